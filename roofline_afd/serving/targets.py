"""The best deployment under each of many latency targets, all shapes and targets at once.

What each answers is what `search` finds. A call costs its operators rather than its numbers, so that twenty
targets take little longer than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from roofline_afd.serving.batches import filled_below, largest
from roofline_afd.serving.bounds import group_bounds
from roofline_afd.serving.candidates import blocks_of, deployments_of, shapes_in_memory, taken
from roofline_afd.serving.deployment import Deployments
from roofline_afd.serving.limits import SAME
from roofline_afd.serving.plans import plans_of
from roofline_afd.serving.search import CHUNK, FIRST, deployment_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.candidates import Candidates
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Plan

MOST_AT_ONCE = 1 << 20
"""Shapes times targets that are looked at together, which bounds the memory [1]."""


class Targets(NamedTuple):
    """What was found under each target: the best, None where nothing is feasible, and its throughput.

    `examined` counts the deployments decided on, of every target.
    """

    best: tuple[Deployment | None, ...]
    rates: tuple[float, ...]
    examined: int


def search_targets(scenario: Scenario, mode: str, targets_ms: Sequence[float]) -> Targets:
    """Find the deployment with the most tokens per second and device under each latency target.

    Parameters
    ----------
    scenario : Scenario
        The question; its own target is replaced.
    mode : str
        `ep` or `afd`.
    targets_ms : sequence of float
        Times per output token, one at least [ms].

    Returns
    -------
    Targets
        In the order of the targets; rates are 0 where nothing is feasible [tokens/s per device].

    Raises
    ------
    InputError
        If the question contradicts itself, or leaves no time within a target.
    """
    order = sorted(range(len(targets_ms)), key=lambda place: targets_ms[place])
    limits = [attrs.evolve(scenario, tpot_ms=targets_ms[place]).step_limit for place in order]
    loosest = Deployments(attrs.evolve(scenario, tpot_ms=max(targets_ms)), mode)
    plans = plans_of(loosest)
    found = shapes_in_memory(loosest, plans)
    searching = _Search(loosest, plans, found)
    size = max(MOST_AT_ONCE // max(found.most.size, 1), 1)
    picked: list[tuple[Deployment | None, float]] = []
    for start in range(0, len(limits), size):
        floor = picked[-1][1] if picked else 0.0  # what a tighter target reaches, a looser one does too
        picked += searching.best(np.array(limits[start : start + size]), floor)
    places = np.argsort(order)
    examined = int(np.sum(np.maximum(found.most, 0.0))) * len(limits)
    return Targets(*zip(*(picked[place] for place in places), strict=True), examined=examined)


class _Search:
    """Times of shapes of one question; pairs of a shape and a target stand beside the limits of theirs."""

    def __init__(self, deployments: Deployments, plans: Sequence[Plan], found: Candidates) -> None:
        self.deployments, self.plans, self.found = deployments, plans, found
        self.fixed = deployments.scenario.batch
        self.grains = (1.0, *deployments.grains)
        self.apart = group_bounds(deployments, found, plans)
        self.possible = np.flatnonzero((found.most >= (self.fixed or 1)) & (self.apart > 0))

    def best(self, limits: Numbers, floor: float) -> list[tuple[Deployment | None, float]]:
        """Return the best deployment and its rate for each limit of a step, in rising order [s]."""
        known = np.full(limits.shape, floor)
        settled: list[tuple[Rows, NDArray[np.intp], Numbers, Numbers]] = []

        def settle(rows: Rows, places: NDArray[np.intp]) -> None:
            batch, rate = self._settled(taken(self.found, rows), limits[places])
            settled.append((rows, places, batch, rate))
            np.maximum.at(known, places, rate)
            np.maximum.accumulate(known, out=known)

        leaders = self._leaders()
        settle(*_crossed(leaders, limits.size))
        others = np.setdiff1d(self.possible, leaders)
        others = others[self.apart[others] >= known[0] * (1.0 - SAME)]
        if others.size and self.fixed is None:
            bound = np.minimum(self.apart[others], self._bounds(taken(self.found, others)))
            others = others[np.argsort(-bound, kind="stable")]
            bound = -np.sort(-bound, kind="stable")
            first = True
            rows, places = _crossed(others, limits.size)
            bounds = np.repeat(bound, limits.size)
            while rows.size:
                kept = bounds >= known[places] * (1.0 - SAME)
                rows, places, bounds = rows[kept], places[kept], bounds[kept]
                kept = self._rivals(taken(self.found, rows), limits[places], known[places] * (1.0 - SAME))
                rows, places, bounds = rows[kept], places[kept], bounds[kept]
                few = not first or rows.size <= CHUNK
                now = np.ones(rows.shape, dtype=bool) if few else _first_of(places, FIRST)
                settle(rows[now], places[now])
                rows, places, bounds, first = rows[~now], places[~now], bounds[~now], False
        elif others.size:
            settle(*_crossed(others, limits.size))
        return self._picked(settled, limits.size)

    def _picked(
        self, settled: Sequence[tuple[Rows, NDArray[np.intp], Numbers, Numbers]], count: int
    ) -> list[tuple[Deployment | None, float]]:
        """Return the best of each target: of equals the one with fewest devices, micro-batches, and hops."""
        rows, places, batch, rate = (np.concatenate(column) for column in zip(*settled, strict=True))
        found = taken(self.found, rows)._replace(batch=batch, rate=rate)
        picked: list[tuple[Deployment | None, float]] = []
        for place in range(count):
            own = np.flatnonzero(places == place)
            top = float(np.max(rate[own], initial=0.0))
            if not top:
                picked.append((None, 0.0))
                continue
            equal = own[rate[own] >= top * (1.0 - SAME)]
            devices = found.attention_devices[equal] + found.ffn_devices[equal]
            one = int(equal[np.lexsort((found.plan[equal], found.microbatches[equal], devices))[0]])
            picked.append((deployment_at(self.deployments, found, one, plans=self.plans), float(rate[one])))
        return picked

    def _leaders(self) -> Rows:
        """Return the most promising shapes: as two groups do apart, or the plainest plan."""
        apart = self.apart[self.possible]
        if np.any(np.isfinite(apart)):
            return self.possible[np.argsort(-apart, kind="stable")[:FIRST]]
        return self.possible[self.found.plan[self.possible] == 0]

    def _steps(self, pairs: Candidates, batch: Numbers, *, least: bool = False) -> Numbers:
        """Return the time of a step of each candidate at some batch, or one that it is no less than [s]."""
        times = np.empty(batch.shape)
        for rows in blocks_of(pairs.plan, self.plans):
            one = deployments_of(self.deployments, taken(pairs, rows), self.plans, batch=batch[rows])
            times[rows] = self.deployments.step(one, least=least).time
        return times

    def _rates(self, pairs: Candidates, batch: Numbers, steps: Numbers) -> Numbers:
        """Return tokens per second and device of each candidate."""
        if not batch.size:
            return batch
        one = deployments_of(self.deployments, pairs, self.plans, batch=batch)
        with np.errstate(invalid="ignore"):
            rate = np.asarray(self.deployments.tokens_per_s_per_device(one, steps))
        return np.where(np.isfinite(steps) & (batch > 0), rate, 0.0)

    def _settled(self, pairs: Candidates, limit: Numbers) -> tuple[Numbers, Numbers]:
        """Return the best batch that memory and the limit allow each candidate, and its rate; 0 of none."""
        m, most = pairs.microbatches, pairs.most
        if self.fixed is not None:
            batch = np.full(most.shape, float(self.fixed))
            steps = self._steps(pairs, batch)
            return batch, np.where(steps <= limit, self._rates(pairs, batch, steps), 0.0)
        high = np.ceil(most / m)
        low = np.where(self._steps(pairs, high * m) <= limit, high, 0.0)

        def quick(rows: Rows, batches: Numbers) -> NDArray[np.bool_]:
            part = taken(pairs, rows)
            return self._steps(part, batches * part.microbatches) <= limit[rows]

        batch = np.minimum(largest(low, high, quick) * m, most)
        steps = self._steps(pairs, np.maximum(batch, 1.0))
        feasible = (batch >= 1) & (steps <= limit)
        rate = np.where(feasible, self._rates(pairs, np.maximum(batch, 1.0), steps), 0.0)
        whole = batch.copy()
        for grain in self.grains:  # whole micro-batches, and whole waves of processors, may be better
            below = filled_below(whole / m, grain) * m
            odd = np.flatnonzero(feasible & (below < whole) & (below >= 1))
            part = taken(pairs, odd)
            better = self._rates(part, below[odd], self._steps(part, below[odd]))
            wins = odd[better > rate[odd]]
            batch[wins] = below[wins]
            rate[odd] = np.maximum(rate[odd], better)
        return batch, rate

    def _rivals(self, pairs: Candidates, limit: Numbers, best: Numbers) -> NDArray[np.bool_]:
        """Return which candidates may reach a rate within their limits: as `search` rules others out."""
        m = pairs.microbatches
        each = self._rates(pairs, np.ones(m.shape), limit)
        needed = np.maximum(np.floor(best / each / m), 1.0) * m
        held = np.ceil(pairs.most / m) * m
        tried = np.minimum(needed, held)
        steps = self._steps(pairs, tried, least=True)
        ahead: NDArray[np.bool_] = (steps <= limit) & (
            (held >= needed) | (self._rates(pairs, tried, steps) > best)
        )
        for grain in self.grains[1:]:
            below = np.maximum(filled_below(tried / m, grain), 1.0) * m
            fewer = np.flatnonzero(below != tried)
            part = taken(pairs, fewer)
            took = self._steps(part, below[fewer], least=True)
            ahead[fewer] |= (took <= limit[fewer]) & (self._rates(part, below[fewer], took) > best[fewer])
        return ahead

    def _bounds(self, shapes: Candidates) -> Numbers:
        """Return the rate that shapes reach at most, whatever their limit."""
        m, most = shapes.microbatches, shapes.most
        tried = np.where(most < m, most, np.floor(most / m) * m)
        bound = self._rates(shapes, most, self._steps(shapes, tried, least=True))
        for grain in self.grains[1:]:
            below = np.maximum(filled_below(most / m, grain) * m, 1.0)
            rate = self._rates(shapes, below, self._steps(shapes, below, least=True))
            bound = np.maximum(bound, rate)
        return bound


def _crossed(rows: Rows, count: int) -> tuple[Rows, NDArray[np.intp]]:
    """Return pairs of every shape and every target: shapes, and places of targets."""
    return np.repeat(rows, count), np.tile(np.arange(count), rows.size)


def _first_of(places: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    """Return which pairs are among the first so many of their target."""
    chosen = np.zeros(places.shape, dtype=bool)
    for place in np.unique(places):
        chosen[np.flatnonzero(places == place)[:count]] = True
    return chosen
