"""The slots of one attention instance: which request each holds, step by step.

What a slot holds at each step does not depend on how long the steps take, since a request that ends is
replaced at once. So the KV tokens of all workers are counted first, event by event, and the clock runs over
them afterwards.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.simulation.words import STATIONARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.simulation.arrays import Floats, Ints
    from roofline_afd.simulation.lengths import Lengths


class Worker:
    """The slots of one attention instance: which request each holds, step by step.

    Parameters
    ----------
    lengths : Lengths
        What requests look like.
    batch : int
        Slots of a micro-batch [1].
    microbatches : int
        Micro-batches [1].
    start : str
        `stationary`: each slot is met in the middle of a request; `cold`: each begins one.
    rng : Generator
        Random numbers of this worker.
    """

    def __init__(
        self, lengths: Lengths, *, batch: int, microbatches: int, start: str, rng: np.random.Generator
    ) -> None:
        self.lengths, self.batch, self.microbatches, self.rng = lengths, batch, microbatches, rng
        slots = batch * microbatches
        self._stream = lengths.stream(rng)
        if start == STATIONARY:
            self.prompt, self.decode, age = lengths.draw_running(rng, slots)
        else:
            self.prompt, self.decode = self._next(slots)
            age = np.zeros(slots, dtype=np.int64)
        self.ends = self.decode - age
        """Steps until each slot begins its next request."""
        self.load = (self.prompt + age).reshape(microbatches, batch).sum(axis=1)
        """KV tokens of each micro-batch at the next step."""
        self.completed_tokens = 0
        """Decode lengths of all requests completed, summed."""

    def _next(self, count: int) -> tuple[Floats, Ints]:
        """Return the next requests, in order where order matters."""
        if self._stream is None:
            return self.lengths.draw(self.rng, count)
        prompts, decodes = zip(*(next(self._stream) for _ in range(count)), strict=True)
        return np.array(prompts, dtype=float), np.array(decodes, dtype=np.int64)

    def advance(self, steps: int) -> tuple[Floats, Ints]:
        """Decode some steps.

        Parameters
        ----------
        steps : int
            Steps, each one token in every slot [1].

        Returns
        -------
        loads : array
            KV tokens of each micro-batch at each step [tokens].
        completions : array
            Requests that end with each step [1].
        """
        fall = np.zeros((self.microbatches, steps + 1))
        completions = np.zeros(steps + 1, dtype=np.int64)
        refill = self._refill if self._stream is None else self._refill_in_order
        for slots, at, freed in refill(steps):
            np.add.at(fall, (slots // self.batch, at), freed)
            completions += np.bincount(at, minlength=steps + 1)
        self.ends -= steps
        grown = self.load[:, None] + self.batch * np.arange(steps + 1) - np.cumsum(fall, axis=1)
        self.load = grown[:, -1]
        return grown[:, :-1], completions[1:]

    def _refill(self, steps: int) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Give slots, the steps at which each begins its next request, and by how much its KV tokens fall."""
        slots = np.flatnonzero(self.ends <= steps)
        while slots.size:
            at = self.ends[slots]
            held = self.prompt[slots] + self.decode[slots]
            self.completed_tokens += int(self.decode[slots].sum())
            self.prompt[slots], self.decode[slots] = self._next(slots.size)
            yield slots, at, held - self.prompt[slots]
            self.ends[slots] = at + self.decode[slots]
            slots = slots[self.ends[slots] <= steps]

    def _refill_in_order(self, steps: int) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Give the same where the slot that is free first gets the next request."""
        queue = [(int(self.ends[slot]), int(slot)) for slot in np.flatnonzero(self.ends <= steps)]
        heapq.heapify(queue)
        events = []
        while queue:
            at, slot = heapq.heappop(queue)
            held = self.prompt[slot] + self.decode[slot]
            self.completed_tokens += int(self.decode[slot])
            prompt, decode = next(self._stream)  # type: ignore[arg-type]  # called only where there is one
            self.prompt[slot], self.decode[slot] = prompt, decode
            events.append((slot, at, held - prompt))
            self.ends[slot] = at + decode
            if at + decode <= steps:
                heapq.heappush(queue, (at + decode, slot))
        if events:
            slots, at_steps, freed = zip(*events, strict=True)
            yield np.array(slots), np.array(at_steps), np.array(freed)
