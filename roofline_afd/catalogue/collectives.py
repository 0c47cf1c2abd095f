"""What collectives reach on a scale-up fabric, by library: measured where it was timed, else estimated."""

from __future__ import annotations

import dataclasses
import weakref
from typing import TYPE_CHECKING

from roofline_afd.catalogue.calibration import DEFAULT, ESTIMATED, MEASURED, weakest
from roofline_afd.catalogue.records import table_quantities
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.catalogue.records import Record
    from roofline_afd.catalogue.store import Catalogue

ALL_REDUCE, ALL_GATHER, ALL_TO_ALL = "all_reduce", "all_gather", "all_to_all"
TABLES = (ALL_REDUCE, ALL_GATHER, ALL_TO_ALL)
"""Tables of a calibration record: sums; gatherings and scattered sums, which take alike; all to all."""
UNITS = {
    "one_shot_us": "one_shot_s",
    "two_shot_us": "two_shot_s",
    "fixed_us": "fixed_s",
    "efficiency": "efficiency",
    "in_switch_us": "in_switch_s",
    "in_switch_efficiency": "in_switch_efficiency",
    "sent_share": "sent_share",
}
"""Key of a table to the field with its SI value."""


@dataclasses.dataclass(frozen=True, slots=True)
class CollectiveEfficiency:
    """What one library's collectives reach on a fabric (`physics.collectives`).

    Shares of the peak of a device's links [1], fixed times [s]: in one step and in two of an all-reduce, else
    `fixed_s`. A share of 0 within switches says that they do not sum.
    """

    efficiency: float
    one_shot_s: float = 0.0
    two_shot_s: float = 0.0
    fixed_s: float = 0.0
    in_switch_efficiency: float = 0.0
    in_switch_s: float = 0.0
    sent_share: float = 1.0
    """Bytes sent over those of the message: below 1 where the library sends a narrower format [1]."""
    kind: str = ESTIMATED
    source: str = ""
    family: str = ""
    """Library whose collectives were timed."""


_FOUND: weakref.WeakKeyDictionary[
    Catalogue, dict[tuple[str, str, tuple[str, ...]], tuple[CollectiveEfficiency, ...]]
] = weakref.WeakKeyDictionary()
"""What was found before: deployments ask again and again."""


def collectives_of(
    table: str, fabric: str, *, catalogue: Catalogue, families: Sequence[str] = ()
) -> tuple[CollectiveEfficiency, ...]:
    """Return what the libraries that may run reach on a fabric: which is the quickest depends on the size.

    Parameters
    ----------
    table : str
        A member of `TABLES`.
    fabric : str
        Id of a scale-up fabric.
    catalogue : Catalogue
        Where to look.
    families : sequence of str
        Libraries asked for, in any order; every one that sends the format it is given where absent.

    Returns
    -------
    tuple of CollectiveEfficiency
        At least one. A table without a family, as a user's own, comes before all. Then those asked for and
        timed on the fabric; those timed on a fabric of the same make, as estimates; other libraries that were
        timed on it; others of the same make; else the record `default`.

    Raises
    ------
    InputError
        If two tables of one library were measured on the fabric: which is meant cannot be told.
    """
    known = _FOUND.setdefault(catalogue, {})
    key = (table, fabric, tuple(families))
    if key not in known:
        known[key] = _chosen(table, fabric, catalogue, families)
    return known[key]


def _chosen(
    table: str, fabric: str, catalogue: Catalogue, families: Sequence[str]
) -> tuple[CollectiveEfficiency, ...]:
    timed: dict[str, CollectiveEfficiency] = {}
    alike: dict[str, CollectiveEfficiency] = {}
    files: dict[str, str] = {}
    for record in catalogue.naming("calibration", fabric):
        if table not in record.data:
            continue
        if fabric in record.data.get("scale_up", ()):
            found = _of(record, table, MEASURED)
            if found.family in timed:
                both = f"{files[found.family]} and {record.file}"
                raise InputError(f"{both} both calibrate [{table}] of {fabric}: keep one")
            timed[found.family], files[found.family] = found, record.file
        elif fabric in record.data.get("alike", ()):
            found = _of(record, table, ESTIMATED)
            alike.setdefault(found.family, found)
    if "" in timed:
        return (timed[""],)

    def asked(group: dict[str, CollectiveEfficiency]) -> tuple[CollectiveEfficiency, ...]:
        return tuple(each for name, each in group.items() if name in families)

    def whole(group: dict[str, CollectiveEfficiency]) -> tuple[CollectiveEfficiency, ...]:
        return tuple(each for each in group.values() if each.sent_share == 1.0)

    return (
        asked(timed)
        or asked(alike)
        or whole(timed)
        or whole(alike)
        or (_of(catalogue.record("calibration", DEFAULT), table, ESTIMATED),)
    )


def _of(record: Record, table: str, kind: str) -> CollectiveEfficiency:
    """Return a table in SI."""
    values = table_quantities(record, table)
    sources = dict.fromkeys(str(source) for value in values.values() for source in value.sources)
    fitted = [value.kind for key, value in values.items() if key != "sent_share"]
    return CollectiveEfficiency(
        **{UNITS[key]: value.si for key, value in values.items()},
        kind=weakest([kind, *fitted]),
        source=f"calibration {record.id}: {'; '.join(sources)}",
        family=str(record.data[table].get("family", "")),
    )
