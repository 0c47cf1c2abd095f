"""Efficiencies of operators and links fitted to measured times, one table of a record at a time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.analysis.evidence.operators.families import (
    KERNELS,
    UNNAMED,
    family_of,
    table_of,
    why_unfit,
)
from roofline_afd.analysis.evidence.operators.forwarded import implied_us
from roofline_afd.analysis.evidence.operators.libraries import library_of, why_unfit_exchange
from roofline_afd.analysis.evidence.operators.transfers import Exchange, exchange_of
from roofline_afd.analysis.evidence.operators.work import TimedRows, work_of
from roofline_afd.catalogue.calibration import (
    LAW_UNITS,
    MEASURED,
    OPERATOR_TABLES,
    OperatorEfficiency,
)
from roofline_afd.catalogue.links import GROWTH, LISTS, NEEDED, OUT, UP, LinkEfficiency, leg_from
from roofline_afd.catalogue.schema import table_units
from roofline_afd.errors import InputError
from roofline_afd.units import to_si

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.modules import ExpertRows
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.physics.arrays import FloatLike

    RowWork = TimedRows | ExpertRows | Exchange

SHARE = Bounds(0.02, 1.0, 0.7)
BOUNDS = {
    "launch_us": Bounds(0.0, 100.0, 10.0),
    "depth_ns": Bounds(0.0, 10.0, 0.5),
    "few_items_us": Bounds(0.0, 30.0, 2.0),
    "cold_us": Bounds(0.0, 100.0, 10.0),
    "pacing_us": Bounds(0.0, 200.0, 28.0),
    "compute_efficiency": SHARE,
    "compute_efficiency_wide": SHARE,
    "half_saturation_tokens": Bounds(0.0, 2000.0, 50.0),
    "memory_efficiency": SHARE,
    "warm_memory_efficiency": Bounds(0.1, 1.5, 0.9),
    "vector_efficiency": Bounds(0.02, 1.0, 0.5),
    "pair_ps": Bounds(0.0, 40.0, 2.0),
    "token_ps": Bounds(0.0, 40.0, 2.0),
    "latency_up_us": Bounds(0.0, 400.0, 10.0),
    "combine_latency_up_us": Bounds(0.0, 400.0, 10.0),
    "efficiency_up": SHARE,
    "combine_efficiency_up": SHARE,
    "message_up_ns": Bounds(0.0, 1000.0, 10.0),
    "latency_out_us": Bounds(0.0, 1000.0, 20.0),
    "combine_latency_out_us": Bounds(0.0, 1000.0, 20.0),
    "efficiency_out": SHARE,
    "combine_efficiency_out": SHARE,
    "message_out_ns": Bounds(0.0, 3000.0, 100.0),
    "scale_penalty": Bounds(0.0, 1.0, 0.05),
    "latency_growth": Bounds(0.0, 1.0, 0.05),
}
"""Range of each parameter, in the unit of its key."""
BOTH_SHARES = ("compute_efficiency", "memory_efficiency")
FULL = {
    "gemm": ("launch_us", "depth_ns", *BOTH_SHARES),
    "experts": ("launch_us", "memory_efficiency", "pair_ps", "token_ps"),
    "grouped_gemm": ("launch_us", *BOTH_SHARES),
    "gqa_decode": ("launch_us", "memory_efficiency", "few_items_us"),
    "mla_decode": ("launch_us", "compute_efficiency"),
    "prefill_attention": ("compute_efficiency",),
    "index": ("launch_us", *BOTH_SHARES),
    "convolution": ("launch_us", "memory_efficiency"),
    "state": ("launch_us", "memory_efficiency"),
}
"""Parameters fitted for each kernel where no record says which terms its law has."""
REDUCED = {
    "gemm": BOTH_SHARES,
    "experts": ("memory_efficiency",),
    "grouped_gemm": BOTH_SHARES,
    "gqa_decode": ("memory_efficiency",),
    "mla_decode": ("compute_efficiency",),
    "prefill_attention": ("compute_efficiency",),
    "index": BOTH_SHARES,
    "convolution": ("memory_efficiency",),
    "state": ("memory_efficiency",),
}
"""Parameters fitted where rows are few."""
FROM_DEFAULT = "taken from the record default"
UP_KEYS, OUT_KEYS = ((*NEEDED[way], GROWTH[way]) for way in (UP, OUT))
FITTED = "fitted to measured times"
"""How a record notes what its rows fixed: such values of links are fitted anew."""
MEASURED_ROWS = 8
"""Exchanges that make a link measured: what fewer fix is an estimate."""
REQUIRED = ("launch_us", *BOTH_SHARES)
"""Values that every table states."""
ROWS_PER_PARAMETER = 2
"""Fewer rows than this per parameter fix no more than the shares of the peaks."""
UNMOVED = 1e-9
"""Relative change of every predicted time below which a parameter has no say in them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Rows that share one set of parameters: one table of one record."""

    record: str
    table: str
    rows: tuple[Measurement, ...]
    work: RowWork = dataclasses.field(repr=False)
    measured: NDArray[np.float64] = dataclasses.field(repr=False)
    core_in_cache_format: bool = False

    @property
    def kernel(self) -> str:
        """Kernel of the table, or `link`."""
        return KERNELS[self.rows[0].operator]


@dataclasses.dataclass(frozen=True, slots=True)
class FittedTable:
    """One table of a record: parameters by key, which of them are no fits and why, and the fit."""

    record: str
    table: str
    rows: tuple[Measurement, ...]
    values: Mapping[str, float]
    estimated: Mapping[str, str]
    held: Mapping[str, Quantity]
    """Values that an earlier record states and no row fixes: kept as they are."""
    fit: Fit

    @property
    def stated(self) -> dict[str, float]:
        """Values a record states: all but those of links that come whole from the default."""
        if self.table != "link":
            return {key: self.values[key] for key in LAW_UNITS if key in self.values}
        return {
            key: value
            for key, value in self.values.items()
            if FROM_DEFAULT not in self.estimated.get(key, "")
        }

    @property
    def series(self) -> list[dict[str, Any]]:
        """Points and errors of each operator, system and source."""
        names = [(row.operator, row.system.id, row.texts["source"]) for row in self.rows]
        found = []
        for name in sorted(set(names)):
            mine = [index for index, other in enumerate(names) if other == name]
            found.append(
                {
                    "operator": name[0],
                    "system": name[1],
                    "source": name[2],
                    "points": len(mine),
                    "training_error": float(np.median(np.abs(self.fit.errors[mine]))),
                    "held_out_error": float(np.median(np.abs(self.fit.held_out_errors[:, mine]))),
                }
            )
        return found


def efficiency_of(
    table: str, values: Mapping[str, FloatLike], *, core_in_cache_format: bool = False
) -> OperatorEfficiency | LinkEfficiency:
    """Return efficiencies in SI from the values of a table.

    Parameters
    ----------
    table : str
        A member of `OPERATOR_TABLES`, or `link`.
    values : mapping of str to float or array
        Values in the units the keys name.
    core_in_cache_format : bool
        Whether a core multiplies in the format of its cache.

    Returns
    -------
    OperatorEfficiency or LinkEfficiency
        The same in SI.
    """
    if table == "link":
        of_links = table_units("calibration", "link")
        si: dict[str, Any] = {key: value * to_si(1.0, of_links[key]) for key, value in values.items()}
        return LinkEfficiency(up=leg_from(si, UP), out=leg_from(si, OUT))
    units = table_units("calibration", "gemm")
    fields: dict[str, Any] = {LAW_UNITS[key]: value * to_si(1.0, units[key]) for key, value in values.items()}
    return OperatorEfficiency(
        **fields,
        module=table.startswith("experts"),
        core_in_cache_format=core_in_cache_format,
    )


def times_of(group: Group, values: Mapping[str, FloatLike]) -> NDArray[np.float64]:
    """Return the time of each row under the values of a group's table [s]; of sets of these, (sets, rows)."""
    found = efficiency_of(group.table, values, core_in_cache_format=group.core_in_cache_format)
    return group.work.times(found)  # type: ignore[arg-type]  # table and work belong together


def groups_of(rows: Iterable[Measurement], *, catalogue: Catalogue) -> tuple[list[Group], list[str]]:
    """Sort measured rows into the tables of the records they calibrate.

    Parameters
    ----------
    rows : iterable of Measurement
        Rows of any use.
    catalogue : Catalogue
        Its records say which parts are pooled: those that a record's lists name together.

    Returns
    -------
    list of Group
        In order of first appearance.
    list of str
        Which rows are not fitted, and why: those of other use, of operators that no table describes, and
        those that lack what their time is computed from.
    """
    sorted_rows: dict[tuple[str, str], list[Measurement]] = {}
    left: dict[str, list[str]] = {}
    for row in rows:
        try:
            found = _table_of(row, catalogue)
        except InputError as error:
            left.setdefault(str(error).removeprefix(f"{row.place}: "), []).append(row.place)
        else:
            sorted_rows.setdefault(found, []).append(row)
    groups = []
    for (record, table), held in sorted_rows.items():
        work = exchange_of(held) if table == "link" else work_of(held)
        measured = np.array([implied_us(row) for row in held]) * 1e-6
        known = catalogue.find("calibration", record)
        follows = bool(known and known.data.get(table, {}).get("core_in_cache_format"))
        groups.append(Group(record, table, tuple(held), work, measured, follows))
    return groups, [
        f"{places[0]}: {why}" + (f"; so {len(places) - 1} more rows" if len(places) > 1 else "")
        for why, places in left.items()
    ]


def _table_of(row: Measurement, catalogue: Catalogue) -> tuple[str, str]:
    """Return the record and the table a row is fitted to; InputError says why it is not."""
    if row.use_kind != "fit":
        raise InputError(f"{row.place}: {row.use}")
    if row.operator not in KERNELS:
        raise InputError(f"{row.place}: {row.operator} is not fitted: no table of a record is for it alone")
    if row.missing:
        raise InputError(f"{row.place}: lacks {', '.join(row.missing)}")
    link = KERNELS[row.operator] == "link"
    unfit = why_unfit_exchange(row) if link else why_unfit(row)
    if unfit:
        raise InputError(f"{row.place}: {unfit}")
    if link and not row.texts["precision"]:
        raise InputError(f"{row.place}: lacks precision")
    (exchange_of if link else work_of)([row])  # its formats and peaks are known
    implied_us(row)
    if link:
        return _link_record(row, catalogue), "link"
    return _kernel_table(row, row.system.accelerator.id, catalogue)


def _link_record(row: Measurement, catalogue: Catalogue) -> str:
    """Return the record of a row of a link: of its library, and of the fabric that it crosses."""
    system, library = row.system, library_of(row)
    crosses = row.numbers["n_devices"] > system.scale_up_domain_devices
    fabric = system.scale_out if crosses else system.scale_up
    if fabric is None or not fabric.id:
        raise InputError(f"{row.place}: {system.id} names no such fabric")
    maker = system.parts.accelerator.text("vendor")
    for record in catalogue.naming("calibration", fabric.id):
        table = record.data.get("link", {})
        listed = fabric.id in record.data.get(LISTS[OUT if crosses else UP], ())
        alike = bool(table) and table.get("vendor", maker) == maker
        if alike and listed and table.get("library", library) == library:
            return record.id
    return f"{library}-{fabric.id}" if library else fabric.id


def _kernel_table(row: Measurement, part: str, catalogue: Catalogue) -> tuple[str, str]:
    """Return the record and table of a row of a kernel: of its part and its library."""
    library = family_of(row)
    for record in catalogue.naming("calibration", part):
        table = table_of(row, tuple(key for key in OPERATOR_TABLES if key in record.data))
        held = record.data.get(table)
        pooled = part in record.data.get("accelerators", ())
        if held is not None and pooled and held.get("family", library) == library:
            return record.id, table
    others = [record.id for record in catalogue.naming("calibration", part) if record.id == part]
    named = f"{part}-{library}" if library and (others or library not in UNNAMED.values()) else part
    return named, table_of(row)


def fit_group(
    group: Group, defaults: Mapping[str, float], earlier: Mapping[str, Quantity] | None = None
) -> FittedTable | None:
    """Fit the parameters of a table.

    Parameters
    ----------
    group : Group
        Its rows.
    defaults : mapping of str to float
        Values of parameters that the rows do not fix, in the units of the keys.
    earlier : mapping of str to Quantity, optional
        Values of an earlier record's table: it says which terms the law has, and those of them that are not
        `measured` are kept.

    Returns
    -------
    FittedTable or None
        None where the rows are too few for even one parameter.
    """
    law = dict(earlier or {})
    held = {key: value for key, value in law.items() if not _fitted(group, value)}
    wanted = tuple(key for key in law if key not in held) or FULL.get(group.kernel, ())
    fitted, estimated = _parameters(group, wanted)
    if not fitted:
        return None
    link = group.table == "link"
    if link:
        base = {key: defaults[key] for key in (*UP_KEYS, *OUT_KEYS)}
        estimated |= {key: FROM_DEFAULT for key in base if law and key not in law}
        base |= {key: value.value for key, value in held.items()}
    else:
        base = {key: defaults[key] for key in REQUIRED} | {key: value.value for key, value in held.items()}
        base |= {key: defaults[key] for key in wanted if key not in fitted and key in defaults}
        for key in REQUIRED:
            if key not in {*fitted, *held}:
                estimated.setdefault(key, f"no row fixes it: {FROM_DEFAULT}")

    def times(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        aside = (slice(None), *(None,) * (2 if link else 1))  # rows of links have two parts
        each = (values[aside] for values in parameters.T)
        return times_of(group, {**base, **dict(zip(fitted, each, strict=True))})

    bounds = tuple(BOUNDS[key] for key in fitted)
    found = fit(times, group.measured, bounds, [] if link else shapes_of(group.rows))
    values = {**base, **dict(zip(fitted, found.parameters, strict=True))}
    if link and len(group.rows) < MEASURED_ROWS:
        few = f"{FITTED}, {len(group.rows)} of them: fewer than {MEASURED_ROWS} make an estimate"
        estimated |= {key: few for key in fitted if key not in estimated}
    for key in fitted:
        if not _matters(group, values, key):
            values[key] = defaults.get(key, 0.0)
            estimated[key] = f"no row depends on it: {FROM_DEFAULT}"
    return FittedTable(group.record, group.table, group.rows, values, estimated, held, found)


def _fitted(group: Group, value: Quantity) -> bool:
    """Whether a value of an earlier record's table was fitted to rows, and is to be fitted again."""
    return value.note.startswith(FITTED) if group.table == "link" else value.kind == MEASURED


def shapes_of(rows: Sequence[Measurement]) -> list[str]:
    """Return the name of each row's shape; where all have one, its context or its size."""
    for keys in (
        ("n", "k", "hidden", "intermediate", "query_heads", "kv_heads", "head_dim", "model", "n_devices"),
        ("context_tokens",),
        ("batch", "tokens"),
    ):
        names = [
            "/".join(f"{key} {row.numbers.get(key, row.texts.get(key, ''))}" for key in keys) for row in rows
        ]
        if len(set(names)) > 1:
            return names
    return [row.id for row in rows]


def _parameters(group: Group, wanted: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which parameters the rows can fix, and why each other one, or any, is an estimate."""
    estimated: dict[str, str] = {}
    if isinstance(group.work, Exchange):
        across = int(np.count_nonzero(group.work.crosses))
        up = UP_KEYS if group.work.grows else UP_KEYS[:2]
        choices: list[tuple[tuple[str, ...], list[tuple[str, ...]], int]] = [
            (UP_KEYS, [up, UP_KEYS[1:2]], len(group.rows) - across),
            (OUT_KEYS, [OUT_KEYS, OUT_KEYS[:2], OUT_KEYS[1:2]], across),
        ]
        if wanted:
            return wanted, estimated
    else:
        fewer = tuple(key for key in REDUCED[group.kernel] if key in wanted)
        choices = [(wanted, [wanted, fewer], len(group.rows))]
    fitted: list[str] = []
    for every, tiers, rows in choices:
        chosen = next((tier for tier in tiers if rows >= ROWS_PER_PARAMETER * len(tier)), ())
        fitted += chosen
        why = f"{rows} rows are too few to fix it: {FROM_DEFAULT}"
        estimated |= {key: why for key in every if key not in chosen}
        if every[0] not in chosen:  # the fixed time, which comes first
            estimated |= dict.fromkeys(chosen, f"{rows} rows cannot tell it from fixed times")
    return tuple(fitted), estimated


def _matters(group: Group, values: Mapping[str, float], key: str) -> bool:
    """Whether any predicted time changes when a parameter does."""
    moved = {**values, key: values[key] * 1.1 if values[key] else BOUNDS[key].start}
    before, after = (times_of(group, each) for each in (values, moved))
    less = times_of(group, {**values, key: values[key] * 0.9})
    change = np.maximum(np.abs(after / before - 1), np.abs(less / before - 1))
    return bool(np.max(change) > UNMOVED)
