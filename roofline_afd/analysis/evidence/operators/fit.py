"""Efficiencies of operators and links fitted to measured times, one table of a record at a time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.analysis.evidence.operators.transfers import Exchange, exchange_of
from roofline_afd.analysis.evidence.operators.work import FITTED, Work, measured_us, work_of
from roofline_afd.catalogue.calibration import LinkEfficiency, OperatorEfficiency, record_for
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.store import Catalogue

SHARE = Bounds(0.02, 1.0, 0.7)
BOUNDS = {
    "launch_us": Bounds(0.0, 100.0, 5.0),
    "depth_ns": Bounds(0.0, 10.0, 0.5),
    "compute_efficiency": SHARE,
    "half_saturation_tokens": Bounds(0.0, 2000.0, 50.0),
    "memory_efficiency": SHARE,
    "latency_up_us": Bounds(0.0, 200.0, 10.0),
    "efficiency_up": SHARE,
    "latency_out_us": Bounds(0.0, 200.0, 20.0),
    "efficiency_out": SHARE,
    "scale_penalty": Bounds(0.0, 0.5, 0.05),
    "latency_growth": Bounds(0.0, 0.5, 0.05),
}
"""Range of each parameter, in the unit of its key."""
BOTH_SHARES = ("compute_efficiency", "memory_efficiency")
FULL = {
    "gemm": ("launch_us", "depth_ns", "compute_efficiency", "half_saturation_tokens", "memory_efficiency"),
    "grouped_gemm": ("launch_us", "compute_efficiency", "half_saturation_tokens", "memory_efficiency"),
    "attention": ("launch_us", "compute_efficiency"),
    "index": ("launch_us", "compute_efficiency", "memory_efficiency"),
    "convolution": ("launch_us", "memory_efficiency"),
    "state": ("launch_us", "memory_efficiency"),
}
"""Parameters fitted for each class of operators; others are held, or 0: they do not lower held-out errors."""
REDUCED = {
    "gemm": BOTH_SHARES,
    "grouped_gemm": BOTH_SHARES,
    "attention": ("compute_efficiency",),
    "index": BOTH_SHARES,
    "convolution": ("memory_efficiency",),
    "state": ("memory_efficiency",),
}
"""Parameters fitted where rows are few."""
FROM_DEFAULT = "taken from the record default"
HELD = {
    "attention": {
        "memory_efficiency": "all rows of latent attention do about as many operations per byte, so that one "
        f"of both shares fits them: the compute share; this one is {FROM_DEFAULT}"
    },
    "convolution": {"compute_efficiency": f"memory binds in every row: {FROM_DEFAULT}"},
    "state": {"compute_efficiency": f"memory binds in every row: {FROM_DEFAULT}"},
}
"""Parameters that no measured row can fix, and why; the record `default` has them."""
UP = ("latency_up_us", "efficiency_up", "latency_growth")
OUT = ("latency_out_us", "efficiency_out", "scale_penalty")
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
    work: Work | Exchange = dataclasses.field(repr=False)
    measured: NDArray[np.float64] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class FittedTable:
    """One table of a record: parameters by key, which of them are estimates and why, and the fit."""

    record: str
    table: str
    rows: tuple[Measurement, ...]
    values: Mapping[str, float]
    estimated: Mapping[str, str]
    fit: Fit

    @property
    def stated(self) -> dict[str, float]:
        """Values a record states: all but those of links that come whole from the default."""
        if self.table != "link":
            return dict(self.values)
        needed = UP[:2]  # the schema wants these in any case
        return {
            key: value
            for key, value in self.values.items()
            if key in needed or FROM_DEFAULT not in self.estimated.get(key, "")
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


def efficiency_of(table: str, values: Mapping[str, float]) -> OperatorEfficiency | LinkEfficiency:
    """Return efficiencies in SI from the values of a table.

    Parameters
    ----------
    table : str
        A member of `OPERATOR_TABLES`, or `link`.
    values : mapping of str to float
        Values in the units the keys name.

    Returns
    -------
    OperatorEfficiency or LinkEfficiency
        The same in SI.
    """
    if table == "link":
        return LinkEfficiency(
            latency_up_s=values["latency_up_us"] * 1e-6,
            latency_out_s=values["latency_out_us"] * 1e-6,
            efficiency_up=values["efficiency_up"],
            efficiency_out=values["efficiency_out"],
            scale_penalty=values["scale_penalty"],
            latency_growth=values["latency_growth"],
        )
    return OperatorEfficiency(
        compute_efficiency=values["compute_efficiency"],
        half_saturation_tokens=values["half_saturation_tokens"],
        memory_efficiency=values["memory_efficiency"],
        launch_s=values["launch_us"] * 1e-6,
        depth_time_s=values["depth_ns"] * 1e-9,
    )


def times_of(table: str, work: Work | Exchange, values: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the time of each row under the values of a table [s]."""
    return work.times(efficiency_of(table, values))  # type: ignore[arg-type]  # table and work belong together


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
        measured = np.array([measured_us(row) for row in held]) * 1e-6
        groups.append(Group(record, table, tuple(held), work, measured))
    return groups, [
        f"{places[0]}: {why}" + (f"; so {len(places) - 1} more rows" if len(places) > 1 else "")
        for why, places in left.items()
    ]


def _table_of(row: Measurement, catalogue: Catalogue) -> tuple[str, str]:
    """Return the record and the table a row is fitted to; InputError says why it is not."""
    if row.use_kind != "fit":
        raise InputError(f"{row.place}: {row.use}")
    if row.operator not in FITTED:
        raise InputError(f"{row.place}: {row.operator} is not fitted: no table of a record is for it alone")
    if row.missing:
        raise InputError(f"{row.place}: lacks {', '.join(row.missing)}")
    table = FITTED[row.operator]
    link = table == "link"
    if link and not row.texts["precision"]:
        raise InputError(f"{row.place}: lacks precision")
    part = row.system.scale_up.id if link else row.system.accelerator.id
    if not part:
        raise InputError(f"{row.place}: {row.system.id} names no scale-up fabric")
    (exchange_of if link else work_of)([row])  # its formats and peaks are known
    measured_us(row)
    known = record_for(table, part, "scale_up" if link else "accelerators", catalogue=catalogue)
    return (known.id if known else part), table


def fit_group(group: Group, defaults: Mapping[str, float]) -> FittedTable | None:
    """Fit the parameters of a table.

    Parameters
    ----------
    group : Group
        Its rows.
    defaults : mapping of str to float
        Values of parameters that the rows do not fix, in the units of the keys.

    Returns
    -------
    FittedTable or None
        None where the rows are too few for even one parameter.
    """
    fitted, estimated = _parameters(group)
    if not fitted:
        return None
    base = {key: defaults[key] for key in (*UP, *OUT)} if group.table == "link" else dict(defaults)
    if group.table in FULL:
        kept = {*FULL[group.table], *HELD.get(group.table, {})}
        base |= {key: 0.0 for key in base if key not in kept}

    def times(parameters: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        values = {**base, **dict(zip(fitted, parameters.tolist(), strict=True))}
        return times_of(group.table, _subset(group.work, rows), values)

    found = fit(times, group.measured, tuple(BOUNDS[key] for key in fitted))
    values = {**base, **dict(zip(fitted, found.parameters, strict=True))}
    for key in fitted:
        if not _matters(group, values, key):
            values[key] = defaults[key]
            estimated[key] = f"no row depends on it: {FROM_DEFAULT}"
    return FittedTable(group.record, group.table, group.rows, values, estimated, found)


def _parameters(group: Group) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which parameters the rows can fix, and why each other one, or any, is an estimate."""
    estimated: dict[str, str] = {}
    if isinstance(group.work, Exchange):
        across = int(np.count_nonzero(group.work.crosses))
        up = UP if group.work.grows else UP[:2]
        choices: list[tuple[tuple[str, ...], list[tuple[str, ...]], int]] = [
            (UP, [up, UP[1:2]], len(group.rows) - across),
            (OUT, [OUT, OUT[:2], OUT[1:2]], across),
        ]
    else:
        full = FULL[group.table]
        choices = [(full, [full, REDUCED[group.table]], len(group.rows))]
        estimated |= HELD.get(group.table, {})
    fitted: list[str] = []
    for every, tiers, rows in choices:
        chosen = next((tier for tier in tiers if rows >= ROWS_PER_PARAMETER * len(tier)), ())
        fitted += chosen
        why = f"{rows} rows are too few to fix it: {FROM_DEFAULT}"
        estimated |= {key: why for key in every if key not in chosen}
        if every[0] not in chosen:  # the fixed time, which comes first
            estimated |= dict.fromkeys(chosen, f"{rows} rows cannot tell it from fixed times")
    return tuple(fitted), estimated


def _subset(work: Work | Exchange, rows: NDArray[np.intp]) -> Work | Exchange:
    columns = {field.name: getattr(work, field.name)[rows] for field in dataclasses.fields(work)}
    return type(work)(**columns)


def _matters(group: Group, values: Mapping[str, float], key: str) -> bool:
    """Whether any predicted time changes when a parameter does."""
    moved = {**values, key: values[key] * 1.1 if values[key] else BOUNDS[key].start}
    before, after = (times_of(group.table, group.work, each) for each in (values, moved))
    less = times_of(group.table, group.work, {**values, key: values[key] * 0.9})
    change = np.maximum(np.abs(after / before - 1), np.abs(less / before - 1))
    return bool(np.max(change) > UNMOVED)
