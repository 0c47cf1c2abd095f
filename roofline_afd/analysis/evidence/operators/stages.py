"""Measured stages of experts, fused in one kernel or not: what they do, the law they follow, and its fit."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.analysis.evidence.operators.formats import row_format
from roofline_afd.analysis.evidence.operators.transfers import Exchange
from roofline_afd.catalogue.calibration import MEASURED, SIBLING, record_for, weakest
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import table_quantities, weakest_kind
from roofline_afd.errors import InputError
from roofline_afd.physics import experts, operators, stages, traffic
from roofline_afd.serving.sizes import SCALE_BYTES, Formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.links import LinkEfficiency
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.physics.arrays import FloatLike

    Array = NDArray[np.float64]

TABLE = "fused_stage"
"""Table of a calibration record."""
BOTH, APART = "moe_stage", "afd_moe_stage"
STAGES = (BOTH, APART)
"""Operators: every device sends and multiplies; a group of devices sends to another."""
ONE_BY_ONE = re.compile(r"\bDeepEP\b")
"""How notes say that transfers and products were kernels of their own."""
LANES = re.compile(r"(\d{1,3}) micro-batch lane")
"""How notes state the micro-batches in flight."""
GATED = 3
"""Matrices of an expert: every model that was timed gates."""
COMPUTE_SHARE = 0.56
"""Share of the peak rate held in the fit: what fp8 products of many rows reach on GB200 [1]."""
BOUNDS = {
    "afd_fixed_us": Bounds(0.0, 150.0, 30.0),
    "ep_fixed_us": Bounds(0.0, 150.0, 50.0),
    "memory_efficiency": Bounds(0.1, 1.0, 0.7),
    "moving_efficiency": Bounds(0.1, 1.0, 0.7),
    "hidden_share": Bounds(0.0, 1.0, 0.3),
}
"""Range of each parameter that is fitted, in the unit of its key."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """What stages of experts do, an element per row: arguments of `fused_stage_time`, and how they run."""

    flops: Array
    weight_bytes: Array
    moved_bytes: Array
    peak: Array
    memory_bandwidth: Array
    bandwidth: Array
    apart: NDArray[np.bool_]
    several: NDArray[np.bool_]

    def times(self, values: Mapping[str, FloatLike]) -> Array:
        """Return the time of each row under the values of a table, in the units of its keys [s]."""
        hidden = np.where(self.apart & self.several, values["hidden_share"], 0.0)
        return np.asarray(
            stages.fused_stage_time(
                flops=self.flops,
                weight_bytes=self.weight_bytes,
                moved_bytes=self.moved_bytes,
                peak=self.peak,
                memory_bandwidth=self.memory_bandwidth,
                bandwidth=self.bandwidth,
                compute_efficiency=values["compute_efficiency"],
                memory_efficiency=values["memory_efficiency"],
                moving_efficiency=values["moving_efficiency"],
                fixed_time=1e-6 * np.where(self.apart, values["afd_fixed_us"], values["ep_fixed_us"]),
                hidden_share=hidden,
            )
        )


def is_fused(row: Measurement) -> bool:
    """Whether one kernel did the whole stage."""
    return row.operator in STAGES and not ONE_BY_ONE.search(row.texts["note"])


def stage_of(rows: Sequence[Measurement]) -> Stage:
    """Return what the stages of rows do; InputError where a size, format, peak or fabric is unknown."""
    numbers = np.array([_stage(row) for row in rows], dtype=float).reshape(len(rows), 6).T
    lanes = [LANES.search(row.texts["note"]) for row in rows]
    names = [field.name for field in dataclasses.fields(Stage)]
    return Stage(
        **dict(zip(names, numbers, strict=False)),
        apart=np.array([row.operator == APART for row in rows]),
        several=np.array([found is not None and int(found[1]) > 1 for found in lanes]),
    )


def _stage(row: Measurement) -> tuple[float, ...]:
    values, accelerator = row.numbers, row.system.accelerator
    width, inner = int(values["hidden"]), int(values["intermediate"])
    pairs, touched = _loads(row)
    weights = row_format(row, "precision")
    arriving = precision(Formats().dispatch)
    wider = weights if weights.bytes > arriving.bytes else arriving
    peak = accelerator.peak_flop_per_s.get(wider.id)
    if peak is None:
        raise InputError(f"{row.place}: the catalogue has no {wider.id} rate of {accelerator.id}")
    flops = pairs * experts.expert_flops_per_pair(
        dispatch_width=width, expert_intermediate=inner, expert_matrices=GATED
    )
    moved = sum(_moved(row, form) for form in (Formats().dispatch, Formats().combine))
    weight_bytes = touched * GATED * width * inner * weights.bytes
    return flops, weight_bytes, moved, peak, accelerator.memory_bytes_per_s, row.system.scale_up.bytes_per_s


def _loads(row: Measurement) -> tuple[float, float]:
    """Return the pairs of a device, and the experts whose weights it reads."""
    values, devices, experts_all = row.numbers, row.numbers["n_devices"], row.numbers["experts"]
    for key in ("top_k", "n_devices", "groups"):
        if values.get(key, 0) > experts_all:
            raise InputError(f"{row.place}: {key} {values[key]:g} is more than the {experts_all:g} experts")
    if devices > row.system.scale_up_domain_devices:
        raise InputError(f"{row.place}: a stage beyond one scale-up domain is not modelled")
    if "groups" in values and "tokens_per_expert" in values:
        return values["groups"] * values["tokens_per_expert"], values["groups"]
    if row.operator == APART:
        raise InputError(f"{row.place}: the row lacks groups, tokens_per_expert")
    if "tokens" not in values:
        raise InputError(f"{row.place}: the row lacks tokens, or groups and tokens_per_expert")
    touched = operators.experts_touched(
        experts_per_device=experts_all / devices,
        top_k=values["top_k"],
        routed_experts=experts_all,
        tokens=values["tokens"] * devices,
    )
    return values["tokens"] * values["top_k"], values.get("groups", float(touched))


def _moved(row: Measurement, form: str) -> float:
    """Return the bytes that cross a device's links one way: of one group all, among all the others' share."""
    devices = row.numbers["n_devices"]
    vector = traffic.vector_bytes(
        width=row.numbers["hidden"],
        bytes_per_element=precision(form).bytes,
        scale_bytes_per_element=SCALE_BYTES.get(form, 0.0),
    )
    away = 1.0 if row.operator == APART else (devices - 1) / devices
    return float(_loads(row)[0] * away * vector)


def stage_time(
    row: Measurement,
    link: LinkEfficiency,
    *,
    catalogue: Catalogue,
    product: Callable[[Measurement], tuple[float, str]],
) -> tuple[float, str]:
    """Return the time of a stage of experts: of one kernel, or of transfers and products one after another.

    Parameters
    ----------
    row : Measurement
        A row of one of `STAGES`, whose note says which it was.
    link : LinkEfficiency
        What the system's links reach.
    catalogue : Catalogue
        Where the record with the table of fused stages is looked up.
    product : callable
        Predicts the time of a row of the operators `grouped_gemm_up` and `grouped_gemm_down`, and its kind.

    Returns
    -------
    float
        Time [s].
    str
        Kind of the weakest value it rests on.

    Raises
    ------
    InputError
        If a size, format, peak or fabric is unknown, or no record has the table for the accelerator.
    """
    if not is_fused(row):
        return _one_by_one(row, link, product=product)
    values, kind = load_stage(row, catalogue=catalogue)
    return float(stage_of([row]).times(values)[0]), kind


def load_stage(row: Measurement, *, catalogue: Catalogue) -> tuple[dict[str, float], str]:
    """Return the values of the table for a row's accelerator, in the units of its keys, and their kind."""
    part = row.system.accelerator.id
    record = record_for(TABLE, part, "accelerators", catalogue=catalogue)
    alike = record or record_for(TABLE, part, "alike", catalogue=catalogue)
    if alike is None:
        raise InputError(f"{row.place}: no calibration record has [{TABLE}] of {part}")
    found = table_quantities(alike, TABLE)
    kind = weakest_kind(value for key, value in found.items() if key != "compute_efficiency")
    values = {key: value.value for key, value in found.items()}
    return values, weakest((kind, MEASURED if record else SIBLING))


def _one_by_one(
    row: Measurement, link: LinkEfficiency, *, product: Callable[[Measurement], tuple[float, str]]
) -> tuple[float, str]:
    devices, system = row.numbers["n_devices"], row.system
    sent = [_moved(row, form) for form in (Formats().dispatch, Formats().combine)]
    blank = np.zeros((1, 2))
    exchange = Exchange(
        scale_up_bytes=np.array([sent]),
        scale_out_bytes=blank,
        scale_up_messages=blank,
        scale_out_messages=blank,
        combines=np.array([[False, True]]),
        devices=np.array([devices]),
        scale_up=np.array([system.scale_up.bytes_per_s]),
        scale_out=np.array([1.0]),
    )
    pairs, touched = _loads(row)
    shape = {**row.numbers, "groups": touched, "tokens_per_expert": pairs / touched}
    products = [
        product(dataclasses.replace(row, operator=name, numbers=shape))
        for name in ("grouped_gemm_up", "grouped_gemm_down")
    ]
    kind = weakest((link.kind, *(kind for _, kind in products)))
    return float(np.sum(exchange.times(link))) + sum(time for time, _ in products), kind


def fit_stages(
    rows: Sequence[Measurement], held: Mapping[str, float] | None = None
) -> tuple[dict[str, float], Fit]:
    """Fit the table of fused stages to rows.

    Parameters
    ----------
    rows : sequence of Measurement
        Fused stages with a measured time.
    held : mapping of str to float, optional
        Values that the rows cannot fix, in the units of their keys; the share of the peak rate by default.

    Returns
    -------
    dict of str to float
        Values of the table, in the units of its keys.
    Fit
        The fit, with errors on rows fitted and on rows held out.
    """
    known: dict[str, float] = {"compute_efficiency": COMPUTE_SHARE, **(held or {})}
    free = [key for key in BOUNDS if key not in known]
    measured = np.array([row.numbers["latency_us"] for row in rows]) * 1e-6
    work = stage_of(rows)

    def times(parameters: Array) -> Array:
        return work.times(known | dict(zip(free, parameters.T[..., None], strict=True)))

    found = fit(times, measured, tuple(BOUNDS[key] for key in free))
    return known | dict(zip(free, found.parameters, strict=True)), found
