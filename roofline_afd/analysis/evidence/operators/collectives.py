"""Measured collectives: which library's they are, their times, and the tables of records fitted to them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.catalogue.collectives import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL
from roofline_afd.errors import InputError
from roofline_afd.physics import collectives
from roofline_afd.serving.collectives import FAMILIES, all_reduce, group_bandwidth, moved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.physics.arrays import FloatArray

    Array = NDArray[np.float64]

TABLE_OF = {
    "allreduce": ALL_REDUCE,
    "allgather": ALL_GATHER,
    "reducescatter": ALL_GATHER,
    "alltoall": ALL_TO_ALL,
}
"""Operator of a measured row to the table of a record that its time depends on."""
MOVING: Mapping[str, Callable[..., FloatArray]] = {
    "allgather": collectives.all_gather_time,
    "reducescatter": collectives.reduce_scatter_time,
    "alltoall": collectives.all_to_all_time,
}
"""Operators that move a vector once, and their formulas."""
NAMES = (
    ("quick all-reduce int4", "quick-int4"),
    ("quick all-reduce int8", "quick-int8"),
    ("quick all-reduce", "quick"),
    ("tokenspeed", "tokenspeed"),
    ("flashinfer", "flashinfer"),
    ("mscclpp", "mscclpp"),
    ("multimem", "multimem"),
    ("symm_mem", "symmetric-memory"),
    ("nccl symmetric", "nccl-symmetric"),
    ("symmetric memory", "nccl-symmetric"),
    ("aiter", "aiter"),
    ("sglang", "sglang"),
    ("tensorrt-llm", "trtllm"),
    ("vllm", "vllm"),
    ("nccl", "nccl"),
    ("hccl", "hccl"),
)
"""Words among the engine, the kernel and the note of a row, and the library they tell; the first counts."""
SENT_SHARE = {"quick-int4": 0.25, "quick-int8": 0.5}
"""Bytes sent over those of the message, which is of 16 bits [1]."""
BOUNDS = {
    "one_shot_us": Bounds(0.0, 100.0, 5.0),
    "two_shot_us": Bounds(0.0, 200.0, 15.0),
    "fixed_us": Bounds(0.0, 100.0, 10.0),
    "efficiency": Bounds(0.02, 1.0, 0.7),
}
"""Range of each parameter, in the unit of its key."""
LAWS = {
    ALL_REDUCE: ("one_shot_us", "two_shot_us", "efficiency"),
    ALL_GATHER: ("fixed_us", "efficiency"),
    ALL_TO_ALL: ("fixed_us", "efficiency"),
}
"""Parameters of each table."""
TWO_SHOT = ("quick-int4", "quick-int8")
"""Libraries that sum in two steps alone: in one they would send every vector whole."""
ROWS_PER_PARAMETER = 2
"""Fewer rows than this per parameter fix nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class FittedCollective:
    """A table of one library on fabrics that share its values, and the fit."""

    table: str
    family: str
    fabrics: tuple[str, ...]
    rows: tuple[Measurement, ...]
    values: Mapping[str, float]
    """In the units of the keys."""
    derived: Mapping[str, str]
    """Keys whose values follow from others, and why."""
    fit: Fit


def library_of(row: Measurement) -> str:
    """Return the library whose collective a row timed; empty where it does not say."""
    words = " ".join((row.texts["engine"], row.texts["kernel"], row.texts["note"][:4])).lower()
    return next((name for word, name in NAMES if word in words), "")


def is_collective(row: Measurement) -> bool:
    """Whether a row is predicted here: an all-to-all beyond a scale-up domain is an exchange."""
    if row.operator != "alltoall":
        return row.operator in TABLE_OF
    return row.numbers["n_devices"] <= row.system.scale_up_domain_devices


def collective_time(row: Measurement, calibration: Calibration) -> tuple[float, str]:
    """Return the time of a collective by the library that a row timed, else by the quickest that is known.

    Parameters
    ----------
    row : Measurement
        Its `message_bytes` are those of the whole vector that is summed or gathered, or of what a device has
        to send to all.
    calibration : Calibration
        What links reach beyond a scale-up domain, and where records are looked up.

    Returns
    -------
    float
        Time [s].
    str
        Kind of what it rests on.

    Raises
    ------
    InputError
        If a group reaches beyond one scale-up domain and there is no fabric, or no model of that.
    """
    system, library = row.system, library_of(row)
    group = {"message_bytes": row.numbers["message_bytes"], "devices": row.numbers["n_devices"]}
    if group["devices"] > system.scale_up_domain_devices:
        if row.operator != "allreduce":
            raise InputError(f"{row.place}: {row.operator} beyond one scale-up domain is not modelled")
        if system.scale_out is None:
            raise InputError(f"{row.place}: {system.id} has no scale-out fabric, and its domain is smaller")
    if library:
        calibration = dataclasses.replace(calibration, families={FAMILIES: [library]})
    if row.operator == "allreduce":
        found = all_reduce(system, calibration, **group)
    else:
        found = moved(MOVING[row.operator], system, calibration, **group)
    return float(found.time), found.kind


def fit_collectives(
    rows: Iterable[Measurement], *, catalogue: Catalogue
) -> tuple[list[FittedCollective], list[str]]:
    """Fit the tables of collectives to measured rows, a library at a time.

    Parameters
    ----------
    rows : iterable of Measurement
        Rows of any operator and use; those of `TABLE_OF` whose use is `fit` count.
    catalogue : Catalogue
        Its records say which fabrics share values: those that the list `scale_up` of one names.

    Returns
    -------
    list of FittedCollective
        By table, library and fabric.
    list of str
        Groups that are not fitted, and why.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[Measurement]] = {}
    for row in rows:
        if row.operator not in TABLE_OF or row.use_kind != "fit" or row.why_not:
            continue
        if "latency_us" not in row.numbers or not is_collective(row):
            continue
        table, library = TABLE_OF[row.operator], library_of(row)
        fabrics = _pooled(table, library, row.system.scale_up.id, catalogue)
        groups.setdefault((table, library, fabrics), []).append(row)
    fitted, left = [], []
    for (table, library, fabrics), held in sorted(groups.items(), key=lambda item: item[0]):
        keys = tuple(key for key in LAWS[table] if key != "one_shot_us" or library not in TWO_SHOT)
        needed = ROWS_PER_PARAMETER * len(keys)
        if len(held) < needed:
            left.append(f"[{table}] {library} on {', '.join(fabrics)}: {len(held)} rows, {needed} are needed")
            continue
        found = _fitted(table, keys, held)
        values = dict(zip(keys, found.parameters, strict=True))
        derived = {}
        if "two_shot_us" in keys and "one_shot_us" not in keys:
            values = {"one_shot_us": values["two_shot_us"], **values}
            derived["one_shot_us"] = "as in two steps, the only way it has: so one step is never quicker"
        fitted.append(FittedCollective(table, library, fabrics, tuple(held), values, derived, found))
    return fitted, left


def _pooled(table: str, library: str, fabric: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the fabrics whose rows are fitted together with those of one."""
    for record in catalogue.naming("calibration", fabric):
        named = record.data.get("scale_up", ())
        if fabric in named and record.data.get(table, {}).get("family") == library:
            return tuple(named)
    return (fabric,)


def _fitted(table: str, keys: tuple[str, ...], rows: Sequence[Measurement]) -> Fit:
    devices = np.array([row.numbers["n_devices"] for row in rows])
    sent = np.array(
        [row.numbers["message_bytes"] * SENT_SHARE.get(library_of(row), 1.0) for row in rows], dtype=float
    )
    peaks = np.array(
        [float(group_bandwidth(row.system, count)) for row, count in zip(rows, devices, strict=True)]
    )
    measured = np.array([row.numbers["latency_us"] for row in rows]) * 1e-6

    def times(parameters: Array) -> Array:
        values = dict(zip(keys, parameters.T[..., None], strict=True))
        group = {"message_bytes": sent, "devices": devices, "bandwidth": peaks * values["efficiency"]}
        if table == ALL_REDUCE:
            two_shot = values["two_shot_us"] * 1e-6
            one_shot = values.get("one_shot_us", values["two_shot_us"]) * 1e-6
            shots = {"one_shot_latency": one_shot, "two_shot_latency": two_shot}
            return np.asarray(collectives.all_reduce_time(**group, **shots))
        return np.asarray(collectives.all_gather_time(**group, latency=values["fixed_us"] * 1e-6))

    return fit(times, measured, tuple(BOUNDS[key] for key in keys))
