"""Measured rows as what they compute and move, and the times that efficiencies give them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.operators.cores import CORES
from roofline_afd.analysis.evidence.operators.formats import operand_format, row_format, row_peak
from roofline_afd.analysis.evidence.operators.transfers import copies_bytes
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InputError
from roofline_afd.physics import operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import OperatorEfficiency

    Array = NDArray[np.float64]

TABLES = {
    "gemm": "gemm",
    "grouped_gemm": "grouped_gemm",
    "grouped_gemm_up": "grouped_gemm",
    "grouped_gemm_down": "grouped_gemm",
    **dict.fromkeys(CORES, "attention"),
    "dsa_decode_index": "index",
    "dsa_prefill_index": "index",
    "linear_decode_convolution": "convolution",
    "linear_decode_update": "state",
    "dispatch": "link",
    "combine": "link",
}
"""Operator of a measured row to the calibration table that its time depends on."""
FITTED = {name: table for name, table in TABLES.items() if table != "attention" or name == "mla_decode"}
"""Those that tables are fitted to: of core attention only latent decoding, which the tables describe."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What operators compute and move, an element per row: the arguments of `operator_time`."""

    flops: Array
    bytes_moved: Array
    tokens: Array
    depth: Array
    peak: Array
    memory_bandwidth: Array

    def kinds(self, efficiency: OperatorEfficiency) -> list[str]:
        """Return the kind of what each row's time rests on: the memory share's too where memory binds."""
        better = dataclasses.replace(efficiency, memory_efficiency=2 * efficiency.memory_efficiency)
        bound = self.times(better) < self.times(efficiency)
        weakest = max(efficiency.kind, efficiency.memory_kind, key=KINDS.index)
        return [weakest if by_memory else efficiency.kind for by_memory in bound]

    def times(self, efficiency: OperatorEfficiency) -> Array:
        """Return the time of each row [s]."""
        return np.asarray(
            operators.operator_time(
                flops=self.flops,
                bytes_moved=self.bytes_moved,
                tokens=self.tokens,
                depth=self.depth,
                peak=self.peak,
                memory_bandwidth=self.memory_bandwidth,
                compute_efficiency=efficiency.compute_efficiency,
                half_saturation_tokens=efficiency.half_saturation_tokens,
                memory_efficiency=efficiency.memory_efficiency,
                launch=efficiency.launch_s,
                depth_time=efficiency.depth_time_s,
            )
        )


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


def _operator(row: Measurement) -> tuple[float, ...]:
    """Return the arguments of `operator_time` that do not depend on efficiencies."""
    if row.operator in CORES:
        return CORES[row.operator](row)
    groups, tokens, n, depth = _sizes(row)
    flops = operators.grouped_gemm_flops(pairs=groups * tokens, n=n, k=depth)
    peak = row_peak(row)
    moved = operators.grouped_gemm_bytes(
        pairs=groups * tokens,
        n=n,
        k=depth,
        experts_touched=groups,
        input_bytes=operand_format(row).bytes,
        weight_bytes=row_format(row, "precision").bytes,
        output_bytes=ACTIVATION_BYTES,
    )
    return float(flops), float(moved), tokens, depth, peak, row.system.accelerator.memory_bytes_per_s


def work_of(rows: Sequence[Measurement]) -> Work:
    """Return what the operators of rows compute and move; InputError where a format or peak is unknown."""
    return Work(*np.array([_operator(row) for row in rows], dtype=float).T)


def measured_us(row: Measurement) -> float:
    """Return the measured time of a row: its latency, else what its rate implies [us]."""
    values = row.numbers
    if "latency_us" in values:
        return values["latency_us"]
    table = TABLES.get(row.operator)
    if table is None:
        raise InputError(f"{row.place}: a rate says nothing of the time of {row.operator}: give latency_us")
    if table == "link":
        if "gb_per_s" not in values:
            raise InputError(f"{row.place}: tflops says nothing of a transfer: give latency_us or gb_per_s")
        return copies_bytes(row) / (values["gb_per_s"] * 1e3)
    flops, moved, *_ = _operator(row)
    if "tflops" in values:
        return flops / (values["tflops"] * 1e6)
    return moved / (values["gb_per_s"] * 1e3)
