"""What a record holds: numbers and prices, each with its unit, kind and sources."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError
from roofline_afd.units import to_si

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = ("measured", "datasheet", "derived", "reported", "estimated")
"""Kinds of provenance, strongest first; a value set by the user is of kind `GIVEN` and ranks with none."""
GIVEN = "given"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a number was read: title, address, date of publication (else of reading)."""

    title: str
    date: str
    url: str = ""
    revision: str = ""
    note: str = ""

    def __str__(self) -> str:
        """One line for tables and notes."""
        parts = (self.title, self.revision and f"@{self.revision}", self.url, self.date)
        return ", ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, slots=True)
class Alternative:
    """Another figure in circulation for the same quantity, with who uses it."""

    value: float
    sources: tuple[Source, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a record, in the unit its key names, with its provenance."""

    key: str
    value: float
    unit: str
    kind: str
    sources: tuple[Source, ...]
    note: str = ""
    alternatives: tuple[Alternative, ...] = ()
    record: str = ""
    file: str = ""

    @property
    def si(self) -> float:
        """The value in SI."""
        return to_si(self.value, self.unit)

    @property
    def source(self) -> str:
        """All sources in one line."""
        return "; ".join(str(source) for source in self.sources)


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """One dated price of one device; `basis` is rent, tco or purchase, and bases are never mixed."""

    basis: str
    value: float
    unit: str
    date: str
    kind: str
    sources: tuple[Source, ...]
    terms: str = ""
    note: str = ""
    alternatives: tuple[Alternative, ...] = ()
    record: str = ""
    file: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One TOML file: plain entries in `data`, numbers with provenance in `quantities` (dotted keys)."""

    record: str
    id: str
    file: str
    data: Mapping[str, Any]
    quantities: Mapping[str, Quantity]
    sources: Mapping[str, Source]
    prices: tuple[Price, ...] = ()

    def text(self, key: str) -> str:
        """Return a text entry, empty where the record has none."""
        return str(self.data.get(key, ""))


def weakest_kind(quantities: Iterable[Quantity]) -> str:
    """Return the weakest provenance kind among quantities, which a result built on them carries.

    Parameters
    ----------
    quantities : iterable of Quantity
        What the result rests on.

    Returns
    -------
    str
        A member of `KINDS`, or `GIVEN` if the user set them all.
    """
    ranks = [KINDS.index(quantity.kind) for quantity in quantities if quantity.kind in KINDS]
    return KINDS[max(ranks)] if ranks else GIVEN


def table_quantities(record: Record, table: str) -> dict[str, Quantity]:
    """Return the quantities of one table of a record, by their bare keys; InputError where it has none."""
    prefix = f"{table}."
    found = {
        key.removeprefix(prefix): value for key, value in record.quantities.items() if key.startswith(prefix)
    }
    if not found:
        raise InputError(f"{record.file}: missing [{table}]")
    return found


def source_of(record: Record, values: Iterable[Quantity]) -> str:
    """Return which record some values come from, and what that rests on."""
    sources = dict.fromkeys(str(source) for value in values for source in value.sources)
    return f"{record.record} {record.id}: {'; '.join(sources)}"
