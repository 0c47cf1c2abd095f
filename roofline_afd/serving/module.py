"""What expert modules compute, move and are handed: counted once, whichever kernels do it."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.physics import operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES
from roofline_afd.serving.timing import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.calibration import OperatorEfficiency
    from roofline_afd.physics.arrays import FloatArray, FloatLike


class Module(NamedTuple):
    """What expert modules do: sizes of their experts, and of what they are handed; numbers or arrays."""

    pairs: FloatLike
    """Token-expert pairs on the device [1]."""
    touched: FloatLike
    """Experts that at least one token reaches [1]."""
    tokens_handed: FloatLike
    """Vectors handed to the module [1]."""
    width: FloatLike
    intermediate: FloatLike
    matrices: FloatLike
    peak: FloatLike
    memory_bandwidth: FloatLike
    input_bytes: FloatLike
    weight_bytes: FloatLike

    def products(self) -> Iterator[tuple[str, Work, dict[str, Any]]]:
        """Yield both products: name, work, and what it was counted from."""
        rows = self.pairs / np.maximum(self.touched, operators.LEAST_ROWS)
        for name, n, k in (
            ("experts_up", np.subtract(self.matrices, 1) * self.intermediate, self.width),
            ("experts_down", self.width, self.intermediate),
        ):
            shape = {"pairs": self.pairs, "n": n, "k": k}
            memory = {
                "experts_touched": self.touched,
                "input_bytes": self.input_bytes,
                "weight_bytes": self.weight_bytes,
                "output_bytes": ACTIVATION_BYTES,
            }
            work = Work(
                flops=operators.grouped_gemm_flops(**shape),
                bytes_moved=operators.grouped_gemm_bytes(**shape, **memory),
                tokens=rows,
                rows=rows,
                spread=True,
                depth=k,
                peak=self.peak,
                memory_bandwidth=self.memory_bandwidth,
            )
            yield name, work, {**shape, **memory}

    def handling(self, found: OperatorEfficiency) -> dict[str, Any]:
        """Return the arguments of `expert_handling_time`."""
        return {
            "pairs": self.pairs,
            "tokens_handed": self.tokens_handed,
            "width": self.width,
            "pair_time": found.pair_time_s,
            "token_time": found.token_time_s,
        }

    def times(self, found: OperatorEfficiency) -> FloatArray:
        """Return the time of whole modules under efficiencies of whole modules [s]."""
        halves = (work.times(_half(found)) for _, work, _ in self.products())
        return sum(halves) + operators.expert_handling_time(**self.handling(found))


def _half(found: OperatorEfficiency) -> OperatorEfficiency:
    return dataclasses.replace(found, launch_s=found.launch_s / 2.0) if found.module else found


@functools.lru_cache(maxsize=1 << 8)
def of_product(found: OperatorEfficiency) -> OperatorEfficiency:
    """Return the efficiencies of one of both products of experts: half the fixed time of a whole module."""
    return _half(found)
