"""What is simulated, in numbers; and how it is cut into blocks that fit memory."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.physics import barrier
from roofline_afd.simulation.words import FIRST, STATIONARY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.linear import Coefficients
    from roofline_afd.simulation.arrays import Ints
    from roofline_afd.simulation.lengths import Lengths

SECONDS_PER_STEP, SECONDS_PER_WORKER, SECONDS_PER_REQUEST = 6e-6, 6e-9, 3e-7
"""Rough cost of the step of a micro-batch, of each worker in it, and of a request."""
BLOCK = 2048
"""Steps times micro-batches that instances decode at a time, so that long runs take little memory."""
SHORTEST_BLOCK = 64
"""Steps below which FFN instances that share the experts do not bring those timed at a time."""
MOST_KEPT = 1 << 22
"""Numbers kept of the course of a replication; of longer ones every second, third ... step is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is simulated.

    Parameters
    ----------
    lengths : Lengths
        What requests look like.
    coefficients : Coefficients
        Linear step times of one layer [s].
    batch : int
        Slots of an attention instance and micro-batch [1].
    ratios : sequence of int
        Attention instances per FFN instance, each its own row [1].
    microbatches : int
        Micro-batches in flight [1].
    requests : int
        Requests completed per attention instance [1].
    replications : int
        Independent repetitions that the confidence intervals rest on [1].
    seed : int
        Seed of all random numbers [1].
    start : str
        `stationary`: slots are met in the middle of requests; `cold`: all begin one at once.
    window : str
        What counts: `first-80`, from the start until 80 % of the requests are completed; `steady`, after the
        first 20 %.
    duplex : str
        Whether the ways there and back of a micro-batch occupy the link one after the other (`shared`) or
        each its own direction (`full`).
    layers : int
        Layers of the model; all have the times of the one that is simulated [1].
    accept_length : float
        Mean tokens accepted per step [1].
    outside : float
        Time of a step outside its layers [s].
    times_at : callable, optional
        Takes ratios [1], returns their step times [s], where these are no straight lines over ratios.
    ffn_devices : int
        FFN instances that share the experts, n_F: r*n_F attention instances wait for each other [1].
    """

    lengths: Lengths
    coefficients: Coefficients
    batch: int
    ratios: Sequence[int]
    microbatches: int
    requests: int
    replications: int
    seed: int = 0
    start: str = STATIONARY
    window: str = FIRST
    duplex: str = "full"
    layers: int = 1
    accept_length: float = 1.0
    outside: float = 0.0
    times_at: Callable[[NDArray[Any]], Coefficients] | None = None
    ffn_devices: int = 1

    def times(self, ratios: NDArray[Any]) -> Coefficients:
        """Return the step times of some ratios [s]."""
        return self.coefficients if self.times_at is None else self.times_at(ratios)

    def ffn_time(self, ratios: NDArray[Any]) -> NDArray[np.float64]:
        """Return the time that an FFN instance works on a micro-batch and layer, of some ratios [s]."""
        times = self.times(ratios)
        return np.asarray(times.ffn_slope * ratios * self.batch + times.ffn_fixed)

    @property
    def workers(self) -> Ints:
        """Attention instances that wait for each other, of each ratio [1]."""
        counts: Ints = barrier.barrier_workers(
            ratio=np.array(self.ratios), ffn_devices=self.ffn_devices
        ).astype(np.int64)
        return counts

    @property
    def expected_steps(self) -> float:
        """Steps until the requests are completed, on average [1]."""
        return self.requests * self.lengths.mean_decode / (self.batch * self.microbatches)

    @property
    def expected_seconds(self) -> float:
        """Time that all replications take to simulate, roughly [s]."""
        cost = self.expected_steps * self.microbatches
        cost *= SECONDS_PER_STEP + SECONDS_PER_WORKER * sum(self.ratios) * self.ffn_devices
        cost += SECONDS_PER_REQUEST * self.requests * max(self.ratios) * self.ffn_devices
        return cost * self.replications

    @property
    def slots(self) -> int:
        """Slots of all instances of the largest ratio [1]."""
        return max(self.ratios) * self.ffn_devices * self.batch * self.microbatches

    @property
    def stretch(self) -> int:
        """Steps that instances decode at a time, a power of two; ratios must not change it [1]."""
        return max(1, BLOCK >> (self.microbatches - 1).bit_length())

    @property
    def block(self) -> int:
        """Steps that are timed at a time, a power of two that divides the stretch [1]."""
        short = self.stretch >> (self.ffn_devices - 1).bit_length()
        return max(min(self.stretch, SHORTEST_BLOCK), short)

    @property
    def stride(self) -> int:
        """Steps of which one is kept, a power of two [1]."""
        kept = self.expected_steps * len(self.ratios) * (self.microbatches + 4)
        return min(self.block, 1 << max(0, math.ceil(math.log2(max(kept / MOST_KEPT, 1.0)))))
