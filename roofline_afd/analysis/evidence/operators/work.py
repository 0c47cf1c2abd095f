"""Measured rows as what they compute and move, and the times that efficiencies give them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.evidence.operators.cores import CORES
from roofline_afd.analysis.evidence.operators.families import KERNELS
from roofline_afd.analysis.evidence.operators.formats import operand_format, row_format, row_peak
from roofline_afd.analysis.evidence.operators.modules import ExpertRows, expert_rows
from roofline_afd.analysis.evidence.operators.transfers import copies_bytes
from roofline_afd.errors import InputError
from roofline_afd.physics import operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES
from roofline_afd.serving.timing import Work, stated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import OperatorEfficiency

    Array = NDArray[np.float64]

WARM = "cache-warm"
"""How the use of a row says that its weights may lie in the cache on the chip."""
WARM_BYTES = 150e6
"""Bytes of a product up to which a loop that repeats it reads part of its weights from that cache: products
of 117 MB on Hopper show more than the memory gives, those of 235 MB on Blackwell do not."""
EMPTY_FROM = 1.0
"""Mean tokens of an expert down to which the benchmark of grouped products leaves about half of them empty:
it draws the rows of each from 0.7 to 1.3 of the mean, and rounds down."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TimedRows(Work):
    """Work of rows, an element each, and how they were timed."""

    warm: NDArray[np.bool_]

    def times(self, found: OperatorEfficiency) -> Array:
        """Return the time of each row [s]: as it was timed, not as a service runs it."""
        arguments = self.arguments(found)
        if stated(found.warm_memory_efficiency):
            shares = (found.warm_memory_efficiency, found.memory_efficiency)
            arguments["memory_efficiency"] = np.where(self.warm, *shares)
        if stated(found.cold_s):
            fits = np.less_equal(self.bytes_moved, found.cache_bytes)
            arguments["launch"] = arguments["launch"] - np.where(fits, found.cold_s, 0.0)
        time = operators.operator_time(**arguments)
        return np.asarray(np.maximum(time, found.pacing_s))


def _sizes(row: Measurement) -> tuple[float, float, float, float]:
    """Return groups, rows of a group, columns and depth of a product."""
    values = row.numbers
    if row.operator == "gemm":
        return 1, values["m"], values["n"], values["k"]
    groups, rows = values["groups"], values["tokens_per_expert"]
    if row.operator == "grouped_gemm":
        return groups, rows, values["n"], values["k"]
    hidden, intermediate = values["hidden"], values["intermediate"]
    if row.operator == "grouped_gemm_up":  # gate and up matrices side by side
        return groups, rows, 2 * intermediate, hidden
    return groups, rows, hidden, intermediate


def _fields(row: Measurement) -> dict[str, float]:
    """Return the fields of `Work` of a row."""
    if row.operator in CORES:
        return CORES[row.operator](row)
    groups, tokens, n, depth = _sizes(row)
    grouped = row.operator != "gemm"
    touched = groups / 2 if grouped and tokens <= EMPTY_FROM else groups
    moved = operators.grouped_gemm_bytes(
        pairs=groups * tokens,
        n=n,
        k=depth,
        experts_touched=touched,
        input_bytes=operand_format(row).bytes,
        weight_bytes=row_format(row, "precision").bytes,
        output_bytes=ACTIVATION_BYTES,
    )
    return {
        "flops": float(operators.grouped_gemm_flops(pairs=groups * tokens, n=n, k=depth)),
        "bytes_moved": float(moved),
        "tokens": tokens,
        "rows": tokens * groups / touched,
        "depth": depth,
        "peak": row_peak(row),
        "memory_bandwidth": row.system.accelerator.memory_bytes_per_s,
    }


def work_of(rows: Sequence[Measurement]) -> TimedRows | ExpertRows:
    """Return what rows of one kernel compute and move; InputError where a format or peak is unknown."""
    if KERNELS[rows[0].operator] == "experts":
        return expert_rows(rows)
    every = [_fields(row) for row in rows]
    columns: dict[str, Any] = {key: np.array([fields[key] for fields in every]) for key in every[0]}
    spread = KERNELS[rows[0].operator] == "grouped_gemm"
    return TimedRows(**columns, spread=spread, warm=_warm(rows, columns["bytes_moved"]))


def _warm(rows: Sequence[Measurement], bytes_moved: Array) -> NDArray[np.bool_]:
    """Return which rows may have found weights in the cache: they say so, or their weights are few."""
    return np.array([WARM in row.use for row in rows]) | np.less(bytes_moved, WARM_BYTES)


def measured_us(row: Measurement) -> float:
    """Return the measured time of a row: its latency, else what its rate implies [us]."""
    values = row.numbers
    if "latency_us" in values:
        return values["latency_us"]
    kernel = KERNELS.get(row.operator)
    if kernel is None:
        raise InputError(f"{row.place}: a rate says nothing of the time of {row.operator}: give latency_us")
    if kernel == "link":
        if "gb_per_s" not in values:
            raise InputError(f"{row.place}: tflops says nothing of a transfer: give latency_us or gb_per_s")
        return copies_bytes(row) / (values["gb_per_s"] * 1e3)
    fields = _fields(row)
    if "tflops" in values:
        return fields["flops"] / (values["tflops"] * 1e6)
    return fields["bytes_moved"] / (values["gb_per_s"] * 1e3)
