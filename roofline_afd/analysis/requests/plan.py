"""What every ratio of attention to FFN instances gives, and the best that is allowed."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.requests.times import LARGEST_RATIO
from roofline_afd.physics import barrier, linear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.analysis.requests.operators import Operators
    from roofline_afd.physics.linear import Coefficients


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the ratio, in SI."""

    coefficients: Coefficients
    theta: float
    nu: float
    skewness: float
    batch: float
    microbatches: int
    full_duplex: bool
    layers: int
    accept_length: float
    gap: float
    head: float = 0.0
    """Time of what comes once a micro-batch, beside the gap that comes once a step [s]."""
    most_ratio: float = LARGEST_RATIO
    tpot: float = math.inf
    operators: Operators | None = None
    """Where FFN and transfer times come from as they are, not as straight lines."""
    ffn_devices: int = 1
    """FFN instances that share the experts, so that each waits for the attention instances of all [1]."""

    def cycles(self, ratio: Any) -> Any:  # noqa: ANN401 - a number or an array
        """Return the mean time between micro-batches of a layer [s]."""
        coefficients = self.coefficients
        if self.operators is not None:
            coefficients = self.operators.at(ratio, coefficients, batch=self.batch)
        return barrier.barrier_cycle_time(
            ratio=ratio,
            batch=self.batch,
            theta=self.theta,
            nu=self.nu,
            skewness=self.skewness,
            coefficients=coefficients,
            microbatches=self.microbatches,
            full_duplex=self.full_duplex,
            ffn_devices=self.ffn_devices,
        )

    @property
    def _outside(self) -> float:
        """Time outside the layers, as a share of each layer and micro-batch [s]."""
        return (self.gap / self.microbatches + self.head) / self.layers

    def rates(self, ratio: Any) -> Any:  # noqa: ANN401 - a number or an array
        """Return tokens per second and instance."""
        return linear.throughput_per_instance(
            ratio=ratio,
            batch=self.batch,
            cycle=self.cycles(ratio) + self._outside,
            layers=self.layers,
            accept_length=self.accept_length,
        )

    def rate(self, ratio: float) -> float:
        """Return tokens per second and instance of one ratio."""
        return float(self.rates(ratio))

    def time_per_token(self, ratio: float) -> float:
        """Return the time per output token [s]."""
        return float(
            linear.time_per_token(
                cycle=float(self.cycles(ratio)) + self._outside,
                microbatches=self.microbatches,
                layers=self.layers,
                accept_length=self.accept_length,
            )
        )

    @cached_property
    def best(self) -> float:
        """The ratio with the highest rate, a real number; of whole devices where instances are some [1]."""
        if self.operators is not None:
            ratios = self.operators.every
            return float(ratios[int(np.argmax(self.rates(ratios)))])
        return barrier.optimal_ratio_barrier_microbatches(
            batch=self.batch,
            theta=self.theta,
            nu=self.nu,
            skewness=self.skewness,
            coefficients=self.coefficients,
            microbatches=self.microbatches,
            full_duplex=self.full_duplex,
            ffn_devices=self.ffn_devices,
            outside=self._outside,
        )

    def allowed(self, ratio: float) -> bool:
        """Whether a ratio meets the devices and the latency target."""
        return ratio <= self.most_ratio * (1 + 1e-12) and self.time_per_token(ratio) <= self.tpot

    @cached_property
    def target(self) -> float:
        """The best ratio that is allowed, a real number; 0 where the latency target rules all out [1]."""
        high = min(self.best, self.most_ratio)
        if self.allowed(high):
            return high
        low = 0.0
        for _ in range(60):  # the time per token never falls with the ratio
            middle = (low + high) / 2
            low, high = (middle, high) if self.allowed(middle) else (low, middle)
        return low

    def around(self, unit: float) -> Iterator[int]:
        """Yield the whole multiples of a unit next to the best ratio that are allowed."""
        below = math.floor(self.target / unit * (1 + 1e-12))
        for count in (below - 1, below, below + 1):
            if count >= 1 and self.allowed(count * unit):
                yield count
