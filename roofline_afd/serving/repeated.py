"""The same search again and again: for questions that differ from one already searched in numbers only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.serving.search import BLOCK, LARGEST_BATCH, deployments_of, taken, transports_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.serving.deployment import Deployment, Deployments
    from roofline_afd.serving.search import Found

    Numbers = NDArray[np.float64]
    Rows = NDArray[np.intp]

GUESSES = 12
"""Shapes tried first: what they reach rules most others out."""
AT_ONCE = 24
"""Batches of every shape that are timed in one go: a call costs more than the numbers in it."""


class RepeatedSearch:
    """The best of all deployments of a mode, for question after question, as `search` finds it.

    A question may differ from the first in any number that leaves its shapes alone: not in devices,
    micro-batches, transport, or whole nodes. Shapes that won before are tried first; another can only win if
    the batch it would need for that is quick enough, which takes one timing of each to see.

    Parameters
    ----------
    found : Found
        What the search of the first question found.
    share : float
        Only shapes that reached this share of the best are searched again, for questions that differ too
        little to make others win; 0 for all of them [1].
    """

    def __init__(self, found: Found, *, share: float = 0.0) -> None:
        best = float(np.max(found.candidates.rate, initial=0.0))
        rows = np.flatnonzero(found.candidates.rate >= share * best)
        self.shapes = taken(found.candidates, rows)
        self.first: Rows = np.argsort(-self.shapes.rate, kind="stable")[:GUESSES]

    def rate(self, deployments: Deployments) -> float:
        """Return the throughput of the best deployment; 0 where none is feasible.

        Parameters
        ----------
        deployments : Deployments
            The question.

        Returns
        -------
        float
            Output tokens [tokens/s per device].
        """
        shapes = self.shapes
        every = np.arange(shapes.rate.size)
        most = np.empty(every.shape)
        for rows, transport in self._ways(deployments, every):
            most[rows] = deployments.largest_batch(
                self._of(deployments, rows, transport, np.zeros(rows.size))
            )
        most = np.minimum(most, LARGEST_BATCH)
        fixed = deployments.scenario.batch
        if fixed is not None:
            most = np.where(most >= fixed, float(fixed), 0.0)
        guesses = self.first[most[self.first] >= 1]
        rates = self._rates(deployments, guesses, most[guesses])
        best = float(np.max(rates, initial=0.0))
        others = self._rivals(deployments, np.flatnonzero(most >= 1), most, best)
        others = others[~np.isin(others, guesses)]
        more = self._rates(deployments, others, most[others])
        if np.max(more, initial=0.0) > best:
            winner = others[int(np.argmax(more))]
            self.first = np.array([winner, *self.first[: GUESSES - 1]])
            best = float(np.max(more))
        return best

    def _ways(self, deployments: Deployments, rows: Rows) -> list[tuple[Rows, str]]:
        """Return rows by their way of sending tokens, a block at a time."""
        found = []
        for code, name in enumerate(transports_of(deployments.scenario)):
            own = rows[self.shapes.transport[rows] == code]
            found += [(own[start : start + BLOCK], name) for start in range(0, own.size, BLOCK)]
        return found

    def _of(self, deployments: Deployments, rows: Rows, transport: str, batch: Numbers) -> Deployment:
        return deployments_of(deployments, taken(self.shapes, rows), transport, batch=batch)

    def _rivals(self, deployments: Deployments, rows: Rows, most: Numbers, best: float) -> Rows:
        """Return the shapes that may beat a throughput.

        To reach it within the latency target a shape needs a batch of at least so many; since a step never
        grows faster than the batch, one that is too slow with that batch stays behind with any.
        """
        limit = deployments.scenario.step_limit
        kept = []
        for own, transport in self._ways(deployments, rows):
            m = self.shapes.microbatches[own]
            one = self._of(deployments, own, transport, np.ones(own.size))
            each = np.asarray(deployments.tokens_per_s_per_device(one, np.full(own.shape, limit)))
            needed = np.maximum(np.floor(best / each / m), 1.0) * m
            held = np.ceil(most[own] / m) * m
            deployment = self._of(deployments, own, transport, np.minimum(needed, held))
            steps = np.asarray(deployments.step(deployment).time)
            with np.errstate(invalid="ignore"):
                rates = np.asarray(deployments.tokens_per_s_per_device(deployment, steps))
            kept.append(own[(steps <= limit) & ((held >= needed) | (rates > best))])
        return np.concatenate([np.zeros(0, dtype=np.intp), *kept])

    def _rates(self, deployments: Deployments, rows: Rows, most: Numbers) -> Numbers:
        """Return the throughput of shapes at the best batch that memory and latency allow each."""
        found = np.zeros(rows.shape)
        places = np.arange(rows.size)
        for own, transport in self._ways(deployments, rows):
            here = places[np.isin(rows, own)]
            found[here] = self._best(deployments, rows[here], transport, most[here])
        return found

    def _best(self, deployments: Deployments, rows: Rows, transport: str, most: Numbers) -> Numbers:
        """Return the throughput of shapes that send tokens one way.

        The largest batch that is quick enough is found among whole micro-batches, `AT_ONCE` of them timed in
        one go between the largest known to be quick enough and the least known not to be. Where memory ends
        between two multiples, all of it is tried too.
        """
        limit = deployments.scenario.step_limit
        m = self.shapes.microbatches[rows]

        def timed(active: Rows, batches: Numbers) -> tuple[Numbers, Numbers]:
            deployment = self._of(deployments, rows[active, None], transport, batches)
            steps = np.asarray(deployments.step(deployment).time)
            with np.errstate(invalid="ignore"):
                rates = np.asarray(deployments.tokens_per_s_per_device(deployment, steps))
            return steps, np.where(steps <= limit, rates, 0.0)

        if deployments.scenario.batch is not None:
            return timed(np.arange(rows.size), most[:, None])[1][:, 0]
        best, whole = np.zeros(most.shape), np.floor(most / m)
        quick, slow = np.zeros(most.shape), whole + 1.0
        while (active := np.flatnonzero(slow - quick > 1)).size:
            width = (slow - quick)[active, None]
            shares = np.arange(1, AT_ONCE + 1) / (AT_ONCE + 1)
            tried = quick[active, None] + np.clip(np.round(width * shares), 1, width - 1)
            steps, rates = timed(active, tried * m[active, None])
            fits = steps <= limit
            quick[active] = np.max(tried, axis=1, where=fits, initial=0.0).clip(quick[active])
            slow[active] = np.min(tried, axis=1, where=~fits, initial=np.inf).clip(max=slow[active])
            best[active] = np.maximum(best[active], np.max(rates, axis=1))
        rest = np.flatnonzero((quick == whole) & (most > whole * m))
        if rest.size:
            best[rest] = np.maximum(best[rest], timed(rest, most[rest, None])[1][:, 0])
        return best
