"""When each micro-batch is where: a max-plus recursion over micro-batches, for all ratios at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.linear import Coefficients
    from roofline_afd.simulation.arrays import Floats, Ints


class Clock:
    """When each micro-batch is where: the max-plus recursion, for all ratios at a time.

    An attention instance, its link and the FFN each handle one micro-batch at a time, in order. FFN instances
    that share the experts work as one, and begin a micro-batch when the attention instances of all of them
    have computed and sent theirs. On a shared link the round trip of a micro-batch is one occupation, before
    the FFN; on a full one each way is its own.

    Parameters
    ----------
    ratios : array of int
        Attention instances per FFN instance [1].
    coefficients : Coefficients
        Linear step times of one layer [s].
    batch : int
        Slots of an attention instance and micro-batch [1].
    microbatches : int
        Micro-batches in flight [1].
    duplex : str
        `shared` or `full` links.
    ffn_devices : int
        FFN instances that share the experts [1].
    """

    def __init__(
        self,
        ratios: Ints,
        *,
        coefficients: Coefficients,
        batch: int,
        microbatches: int,
        duplex: str,
        ffn_devices: int = 1,
    ) -> None:
        self.ratios = ratios
        workers = ratios * ffn_devices
        self.microbatches = microbatches
        self.coefficients = coefficients
        self.ffn_time = coefficients.ffn_slope * ratios * batch + coefficients.ffn_fixed
        trip = np.broadcast_to(
            coefficients.transfer_slope * batch + coefficients.transfer_fixed, ratios.shape
        )
        self._of_ratio = np.repeat(np.arange(ratios.size), workers)
        self._both_ways = duplex != "shared"
        self.way_back = trip / 2
        self.way_out = (trip / 2 if self._both_ways else trip)[self._of_ratio]
        self._first = np.concatenate([[0], np.cumsum(workers)[:-1]])
        self._worker = np.arange(workers.sum()) - self._first[self._of_ratio]
        self._attention_free = np.zeros(self._worker.size)
        self._link_free = np.zeros(self._worker.size)
        self._ffn_free = np.zeros(ratios.size)
        self._back_free = np.zeros(ratios.size)
        self._ready = np.zeros((microbatches, ratios.size))

    def run(self, attention: Floats) -> tuple[Floats, Floats]:
        """Take the clock through some steps.

        Parameters
        ----------
        attention : array
            Attention times: steps, micro-batches, workers [s].

        Returns
        -------
        done : array
            When the FFN instance was done: steps, ratios [s].
        returned : array
            When each micro-batch was back: steps, micro-batches, ratios [s].
        """
        steps = attention.shape[0]
        done = np.empty((steps, self.ratios.size))
        returned = np.empty((steps, self.microbatches, self.ratios.size))
        rows = max(1, (1 << 19) // (self.microbatches * self._worker.size))
        for low in range(0, steps, rows):
            times = attention[low : low + rows][:, :, self._worker]
            for step, of_step in enumerate(times, start=low):
                for microbatch, time in enumerate(of_step):
                    self._advance(microbatch, time)
                    returned[step, microbatch] = self._ready[microbatch]
                done[step] = self._ffn_free
        return done, returned

    def _advance(self, microbatch: int, time: Floats) -> None:
        """Take one micro-batch around once."""
        free, link, ffn = self._attention_free, self._link_free, self._ffn_free
        np.maximum(free, self._ready[microbatch].take(self._of_ratio), out=free)
        free += time
        np.maximum(link, free, out=link)
        link += self.way_out
        np.maximum(ffn, np.maximum.reduceat(link, self._first), out=ffn)
        ffn += self.ffn_time
        if self._both_ways:
            np.maximum(self._back_free, ffn, out=self._back_free)
            self._back_free += self.way_back
            self._ready[microbatch] = self._back_free
        else:
            self._ready[microbatch] = ffn
