"""The best deployment of a mode under a latency target: exhaustive over integers, exact."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.progress import steps
from roofline_afd.serving.batches import filled_below, largest
from roofline_afd.serving.bounds import group_bounds
from roofline_afd.serving.candidates import Candidates, blocks_of, deployments_of, shapes_in_memory, taken
from roofline_afd.serving.deployable import lifted
from roofline_afd.serving.limits import FABRIC, KERNELS, LATENCY, MEMORY, RATIO, SAME
from roofline_afd.serving.plans import plans_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Deployment, Deployments
    from roofline_afd.serving.sizes import Plan

NEAR = 0.98
"""Share of the best throughput from which a smaller deployment is worth naming."""
FIRST = 64
"""Candidates settled first, to see what others must reach."""
CHUNK = 4096
"""Candidates settled at a time, those that promise most first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the best, the best of another shape, the smallest nearly as good; all examined.

    `refusal` says why nothing is feasible, and `nearest` the least latency any deployment reaches [s].
    """

    best: Deployment | None
    runner_up: Deployment | None
    smallest: Deployment | None
    examined: int
    candidates: Candidates
    refusal: str = ""
    nearest: float | None = None


def search(deployments: Deployments, *, plans: Sequence[Plan] | None = None, at_least: float = 0.0) -> Found:
    """Find the deployment with the most tokens per second and device that meets the latency target.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    plans : sequence of Plan, optional
        Plans to search; those of the question where absent.
    at_least : float
        Throughput that is reached anyway: what is not better need not be found [tokens/s per device].

    Returns
    -------
    Found
        The best, or why there is none.

    Raises
    ------
    InputError
        If the question contradicts itself.
    """
    scenario = deployments.scenario
    plans = plans_of(deployments) if plans is None else plans
    found = shapes_in_memory(deployments, plans)
    searching = _Search(deployments, plans)
    fixed = scenario.batch
    found = searching.exhaust(found, at_least) if fixed is None else searching.given(found, fixed)
    examined = _examined(found)
    rate = np.where(found.exact, found.rate, 0.0)
    if not rate.size or not np.max(rate) > 0:
        refusal, nearest = _refusal(searching, found)
        return Found(None, None, None, examined, found, refusal, nearest)

    def pick(rows: Rows) -> Deployment | None:
        if not rows.size:
            return None
        return deployment_at(deployments, found, _first(found, rate, rows), plans=plans)

    everything = np.arange(rate.size)
    best = _first(found, rate, everything)
    shape = (found.attention_devices == found.attention_devices[best]) & (
        found.ffn_devices == found.ffn_devices[best]
    )
    others = np.flatnonzero(~shape & (rate > 0))
    near = np.flatnonzero(rate >= NEAR * rate[best])
    devices = found.attention_devices[near] + found.ffn_devices[near]
    fewest = near[devices == devices.min()]
    return Found(pick(np.array([best])), pick(others), pick(fewest), examined, found)


def every_shape(
    deployments: Deployments, *, at_least: float = 0.0, known: Candidates | None = None
) -> Candidates:
    """Return every shape a question admits with its best batch; `search` settles only those that matter.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    at_least : float
        Rate that matters: shapes that cannot reach it are left out, but where the question gives the batch
        [tokens/s per device].
    known : Candidates, optional
        What `search` examined of the question: what it settled, and ruled out, is not done again.

    Returns
    -------
    Candidates
        Shapes whose weights and one sequence fit; `rate` is 0 where the latency target is missed.
    """
    scenario = deployments.scenario
    plans = plans_of(deployments)
    if known is not None and scenario.batch is None:
        return _Search(deployments, plans).rest(known, at_least * (1.0 - SAME))
    found = shapes_in_memory(deployments, plans)
    searching = _Search(deployments, plans)
    found = taken(found, np.flatnonzero(found.most >= (scenario.batch or 1)))
    if scenario.batch is not None:
        return searching.given(found, scenario.batch) if found.most.size else found
    if at_least and found.most.size:
        less = at_least * (1.0 - SAME)
        found = taken(found, np.flatnonzero(group_bounds(deployments, found, plans) >= less))
        found = taken(found, np.flatnonzero(searching.bounds(found) >= less)) if found.most.size else found
        found = taken(found, np.flatnonzero(searching.rivals(found, less))) if found.most.size else found
    return searching.settle(found) if found.most.size else found


def deployment_at(
    deployments: Deployments, found: Candidates, row: int, *, plans: Sequence[Plan] | None = None
) -> Deployment:
    """Return one of the candidates as plain numbers.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    found : Candidates
        What a search found.
    row : int
        Which of them.
    plans : sequence of Plan, optional
        Plans, by the place that candidates name; those of the question where absent.

    Returns
    -------
    Deployment
        Its devices, batch, micro-batches and plan.
    """
    names = plans_of(deployments) if plans is None else plans
    return deployments.deployment_of(
        int(found.attention_devices[row]),
        int(found.ffn_devices[row]),
        batch=int(found.batch[row]),
        microbatches=int(found.microbatches[row]),
        plan=names[int(found.plan[row])],
        redundant_experts=int(found.redundant_experts[row]),
    )


class _Search:
    """Times of candidates, all of one question."""

    def __init__(self, deployments: Deployments, plans: Sequence[Plan]) -> None:
        self.deployments = deployments
        self.plans = plans
        self.limit = deployments.scenario.step_limit
        self.grains = (1.0, *deployments.grains)

    def steps(self, found: Candidates, batch: Numbers, *, least: bool = False) -> Numbers:
        """Return the time of a step of each candidate at some batch, or one that it is no less than [s]."""
        times = np.empty(batch.shape)
        for rows in blocks_of(found.plan, self.plans):
            part = taken(found, rows)
            deployment = deployments_of(self.deployments, part, self.plans, batch=batch[rows])
            times[rows] = self.deployments.step(deployment, least=least).time
        return times

    def rates(self, found: Candidates, batch: Numbers, steps: Numbers) -> Numbers:
        """Return tokens per second and device of each candidate: alike however tokens are sent."""
        if not batch.size:
            return batch
        deployment = deployments_of(self.deployments, found, self.plans, batch=batch)
        with np.errstate(invalid="ignore"):
            rate = self.deployments.tokens_per_s_per_device(deployment, steps)
        return np.where(np.isfinite(steps) & (batch > 0), rate, 0.0)

    def _timed(
        self, found: Candidates, tries: Sequence[tuple[Rows, Numbers]], *, least: bool = False
    ) -> Iterator[tuple[Rows, Numbers, Numbers, Numbers]]:
        """Yield rows, batches, steps and rates of several tries, some candidates each, timed in one go."""
        rows, batches = (np.concatenate(column) for column in zip(*tries, strict=True))
        part = taken(found, rows)
        steps = self.steps(part, batches, least=least)
        rates = self.rates(part, batches, steps)
        ends = np.cumsum([each.size for each, _ in tries])[:-1]
        yield from zip(*(np.split(each, ends) for each in (rows, batches, steps, rates)), strict=True)

    def settle(self, found: Candidates) -> Candidates:
        """Return candidates with the largest batch that memory and latency allow, by bisection.

        A step takes no less time for a larger batch and never grows faster than the batch, but where one more
        sequence begins a wave of processors, or a micro-batch is not filled. So the largest feasible batch is
        the best, or the one below it that fills whole waves, or whole micro-batches.
        """
        m, most = found.microbatches, found.most
        high = np.ceil(most / m)
        low = np.where(self.steps(found, high * m) <= self.limit, high, 0.0)

        def quick(rows: Rows, batches: Numbers) -> NDArray[np.bool_]:
            part = taken(found, rows)
            return self.steps(part, batches * part.microbatches) <= self.limit

        batch = np.minimum(largest(low, high, quick) * m, most)
        tries = [(np.arange(batch.size), np.maximum(batch, 1.0))]
        for grain in self.grains:
            below = filled_below(batch / m, grain) * m
            odd = np.flatnonzero((below < batch) & (below >= 1))
            tries.append((odd, below[odd]))
        (_, _, steps, rate), *others = self._timed(found, tries)
        feasible = (batch >= 1) & (steps <= self.limit)
        rate = np.where(feasible, rate, 0.0)
        for rows, below, other, better in others:
            wins = feasible[rows] & (better > rate[rows])
            for column, value in ((batch, below), (steps, other), (rate, better)):
                column[rows[wins]] = value[wins]
        return found._replace(
            batch=np.where(feasible, batch, 0.0), step=steps, rate=rate, exact=np.ones(rate.shape, dtype=bool)
        )

    def given(self, found: Candidates, batch: int) -> Candidates:
        """Return candidates at a batch that the question gives."""
        whole = np.full(found.most.shape, float(batch))
        steps = self.steps(found, whole)
        feasible = (found.most >= batch) & (steps <= self.limit)
        rate = np.where(feasible, self.rates(found, whole, steps), 0.0)
        return found._replace(
            batch=np.where(feasible, whole, 0.0), step=steps, rate=rate, exact=np.ones(rate.shape, dtype=bool)
        )

    def exhaust(self, found: Candidates, at_least: float = 0.0) -> Candidates:
        """Return all candidates settled, but for those that cannot win.

        These are too slow with one sequence, or even without a latency limit, or with the batch they need to
        come near the best, or near a throughput that is reached anyway.
        """
        apart = group_bounds(self.deployments, found, self.plans)
        possible = np.flatnonzero((found.most >= 1) & (apart > 0))
        at_least = max(at_least, self._leaders(taken(found, possible), apart[possible]))
        near = apart[possible] >= NEAR * at_least
        bound = np.zeros(found.most.shape)
        bound[possible[~near]] = apart[possible[~near]]
        possible = possible[near]
        if at_least:
            ahead = self.rivals(taken(found, possible), NEAR * at_least)
            bound[possible[~ahead]] = np.minimum(apart[possible[~ahead]], NEAR * at_least)
            possible = possible[ahead]
        bound[possible] = np.minimum(self.bounds(taken(found, possible)), apart[possible])
        order = possible[np.argsort(-bound[possible], kind="stable")]
        columns = [np.array(column) for column in found]
        rate, exact = columns[-2], columns[-1]
        rate[:] = bound
        exact[:] = bound == 0
        best = at_least
        for start, size in ((0, FIRST), (FIRST, CHUNK)):
            rows = order[start : start + FIRST] if start == 0 else order[start:]
            rows = rows[bound[rows] >= NEAR * best]
            ahead = self.rivals(taken(found, rows), NEAR * best)
            rate[rows[~ahead]] = np.minimum(bound[rows[~ahead]], NEAR * best)
            rows = rows[ahead]
            for part in steps(np.split(rows, range(size, rows.size, size))):
                chosen = part[bound[part] >= NEAR * best]
                settled = self.settle(taken(found, chosen))
                for column, value in zip(columns, settled, strict=True):
                    column[chosen] = value
                best = max(best, float(np.max(rate[chosen], initial=0.0)))
        return Candidates(*columns)

    def rest(self, known: Candidates, at_least: float) -> Candidates:
        """Return all that may reach a throughput settled, of candidates that `exhaust` settled in part."""
        open_ = np.flatnonzero(~known.exact & (known.most >= 1) & (known.rate >= at_least))
        open_ = open_[self.rivals(taken(known, open_), at_least)] if open_.size else open_
        part = taken(known, open_)
        columns = [np.array(column) for column in known]
        for column, value in zip(columns, self.settle(part) if open_.size else part, strict=True):
            column[open_] = value
        every = Candidates(*columns)
        return taken(every, np.flatnonzero(every.exact & (every.rate >= at_least)))

    def _leaders(self, part: Candidates, apart: Numbers) -> float:
        """Return what the most promising shapes reach: as two groups do apart, or the plainest plan."""
        if np.any(np.isfinite(apart)):
            rows = np.argsort(-apart, kind="stable")[:FIRST]
        else:
            rows = np.flatnonzero(part.plan == 0)
            if rows.size == part.plan.size:
                return 0.0
        return float(np.max(self.settle(taken(part, rows)).rate, initial=0.0))

    def rivals(self, part: Candidates, best: float) -> NDArray[np.bool_]:
        """Return which candidates may reach a throughput within the latency target.

        For that each needs a batch of at least so many. Since a step never grows faster than the batch, but
        where one more sequence begins a wave of processors, one that is too slow with that batch, and stays
        behind with whole waves below it, is so with any.
        """
        m = part.microbatches
        each = self.rates(part, np.ones(m.shape), np.full(m.shape, self.limit))
        needed = np.maximum(np.floor(best / each / m), 1.0) * m
        held = np.ceil(part.most / m) * m
        tried = np.minimum(needed, held)
        tries = [(np.arange(m.size), tried)]
        for grain in self.grains[1:]:
            below = np.maximum(filled_below(tried / m, grain), 1.0) * m
            fewer = np.flatnonzero(below != tried)
            tries.append((fewer, below[fewer]))
        (_, _, steps, rate), *others = self._timed(part, tries, least=True)
        ahead: NDArray[np.bool_] = (steps <= self.limit) & ((held >= needed) | (rate > best))
        for rows, _, took, better in others:
            ahead[rows] |= (took <= self.limit) & (better > best)
        return ahead

    def bounds(self, part: Candidates) -> Numbers:
        """Return tokens per second and device that candidates reach at most, whatever the latency allows.

        The time is that of the largest batch rounded down to whole micro-batches, or less.
        """
        m, most = part.microbatches, part.most
        tries = [(np.arange(m.size), np.where(most < m, most, np.floor(most / m) * m))]
        for grain in self.grains[1:]:  # a batch of whole waves may be better than the largest
            below = np.maximum(filled_below(most / m, grain) * m, 1.0)
            fewer = np.flatnonzero(below != tries[0][1])
            tries.append((fewer, below[fewer]))
        (_, _, times, _), *others = self._timed(part, tries, least=True)
        bound = self.rates(part, most, times)
        for rows, _, _, better in others:
            bound[rows] = np.maximum(bound[rows], better)
        return bound


def _examined(found: Candidates) -> int:
    """Return how many integer deployments the search decided on, batches counted."""
    return int(np.sum(np.maximum(found.most, 0.0)))


def _first(found: Candidates, rate: Numbers, rows: Rows) -> int:
    """Return the best of some candidates: of equals the one with fewest devices, micro-batches, and hops."""
    top = np.max(rate[rows])
    equal = rows[rate[rows] >= top * (1.0 - SAME)]
    devices = found.attention_devices[equal] + found.ffn_devices[equal]
    return int(equal[np.lexsort((found.plan[equal], found.microbatches[equal], devices))[0]])


def _refusal(searching: _Search, found: Candidates) -> tuple[str, float | None]:
    """Return the constraint that rules every deployment out, and the least latency where that is it [s]."""
    scenario = searching.deployments.scenario
    wanted = scenario.batch or 1
    fitting = np.flatnonzero(found.most >= wanted)
    free = None if fitting.size else lifted(searching.deployments)
    if free is not None and np.any(shapes_in_memory(free, searching.plans).most >= wanted):
        return KERNELS, None
    if not found.most.size:
        return RATIO, None
    if not fitting.size:
        return MEMORY, None
    part = taken(found, fitting)
    least = float(np.min(searching.steps(part, np.full(fitting.size, float(wanted)))))
    if not np.isfinite(least):
        return FABRIC, None
    return LATENCY, least / scenario.accept_length
