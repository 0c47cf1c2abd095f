"""The same search again and again: for questions that differ from one already searched in numbers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from roofline_afd.serving.batches import WIDE
from roofline_afd.serving.bounds import group_bounds
from roofline_afd.serving.candidates import (
    blocks_of,
    deployments_of,
    largest_batches,
    redundant_of,
    shapes_asked,
    taken,
)
from roofline_afd.serving.deployment import EP
from roofline_afd.serving.plans import plans_of
from roofline_afd.serving.search import deployment_at
from roofline_afd.serving.stacked import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Deployment, Deployments
    from roofline_afd.serving.search import Found
    from roofline_afd.serving.sizes import Plan
    from roofline_afd.serving.uneven import ExpertLoad

    Pairs = tuple[Rows, Rows]
    """Questions of a stack, and shapes of each, by their places."""

GUESSES = 8
"""Shapes tried first: what they reach rules most others out."""
AT_ONCE = 64
LEAST_AT_ONCE = 8
"""Batches of every shape that are timed in one go: of few shapes a call costs more than its numbers."""
MOST_PAIRS = 1 << 16
"""Pairs of a question and a shape that are held at once [1]."""

RATES = {"system", "attention_system", "ffn_system", "tpot_ms", "gap_ms"}
"""Fields of a question that leave plans and shapes alone, but for what `_layout` takes of its systems."""
LAYOUTS = 16
"""Questions that are remembered: plans and shapes are laid out anew for no other."""


class Best(NamedTuple):
    """What serves most: its throughput [tokens/s per device], 0 and None where nothing is feasible."""

    rate: float
    deployment: Deployment | None
    late: bool
    """Whether the latency target alone rules all out."""


class Reached(NamedTuple):
    """Of each of many the most, and the shape and batch that reach it; 0, -1 and 0 where none does."""

    rate: Numbers
    row: Rows
    batch: Numbers


class RepeatedSearch:
    """The best of all deployments of a mode, for question after question, as `search` finds it.

    A question may differ from the first in any number that leaves its shapes alone: not in devices,
    micro-batches, plans, or whole nodes. Shapes that won before are tried first; another can only win if
    the batch it would need for that is quick enough, which takes one timing of each to see.

    Parameters
    ----------
    found : Found
        What the search of the first question found.
    share : float
        Only shapes that reached this share of the best are searched again, of plans with one that did, and
        those of the same plans that memory did not hold; 0 for all shapes [1].
    plans : tuple of Plan
        Plans of the first question; those of the next where absent.
    """

    def __init__(self, found: Found, *, share: float = 0.0, plans: tuple[Plan, ...] = ()) -> None:
        candidates = found.candidates
        self.enough = share * float(np.max(candidates.rate, initial=0.0))
        """What a question must reach for shapes left out not to matter [tokens/s per device]."""
        reached = candidates.rate >= self.enough
        kept = np.isin(candidates.plan, np.unique(candidates.plan[reached]))
        lacked = candidates.most < 1  # they may be held, with a little more memory
        self.shapes = taken(candidates, np.flatnonzero(reached | (lacked & kept)))
        self.plans = plans
        """As the first question has them: others differ in numbers alone."""
        self.first: Rows = np.argsort(-self.shapes.rate, kind="stable")[:GUESSES]
        self._guessed: tuple[tuple[Deployments, ...], Numbers, Reached] | None = None
        self._held: list[tuple[tuple[object, ...], Numbers]] = []
        """What memory held of the latest questions, and first what that rests on."""
        self._load: ExpertLoad | None = None
        """How the experts of the latest question were loaded."""
        self._layouts: list[tuple[tuple[object, ...], bool]] = []
        """What the latest questions were laid out from, and whether their shapes were those of the first."""

    def answers(self, deployments: Deployments) -> bool:
        """Return whether a question differs from the first in numbers alone."""
        layout = _layout(deployments)
        for known, answer in self._layouts:
            if known == layout:
                return answer
        answer = self._alike(deployments)
        self._layouts = [(layout, answer), *self._layouts[: LAYOUTS - 1]]
        return answer

    def _alike(self, deployments: Deployments) -> bool:
        """Return whether the plans and shapes of a question are those of the first."""
        plans = plans_of(deployments)
        if self.plans and plans != self.plans:
            return False
        asked = shapes_asked(deployments, plans)
        names = ("plan", "attention_devices", "ffn_devices", "microbatches")
        return all(np.array_equal(getattr(asked, name), getattr(self.shapes, name)) for name in names)

    def guess(self, deployments: Deployments) -> float:
        """Return what the shapes reach that won before: no more than the best [tokens/s per device]."""
        return float(self._guess(Stack([deployments]))[1].rate[0])

    def rate(self, deployments: Deployments, *, at_least: float = 0.0) -> float:
        """Return the throughput of the best deployment of a question; parameters are those of `rates`."""
        return self.rates([deployments], at_least=at_least)[0]

    def rates(self, questions: Sequence[Deployments], *, at_least: float = 0.0) -> list[float]:
        """Return the throughput of the best deployment of each question; 0 where none is feasible.

        Parameters
        ----------
        questions : sequence of Deployments
            Questions that differ from each other in `stacked.NUMBERS` alone.
        at_least : float
            What matters: shapes that cannot exceed it are left out [tokens/s per device].

        Returns
        -------
        list of float
            Output tokens; where not above `at_least`, of the best shapes that won before [tokens/s per
            device].
        """
        found = [0.0] * len(questions)
        for places, asked in self._stacks(questions):
            for place, rate in zip(places, self._most(asked, at_least).rate.tolist(), strict=True):
                found[place] = rate
        return found

    def bests(self, questions: Sequence[Deployments]) -> list[Best]:
        """Return the best deployment of each question, which are those of `rates`."""
        found: dict[int, Best] = {}
        for places, asked in self._stacks(questions):
            every = self._most(asked, 0.0)
            for which, place in enumerate(places):
                rate, row = float(every.rate[which]), int(every.row[which])
                if rate > 0:
                    deployment = self._deployment(questions[place], row, every.batch[which])
                    found[place] = Best(rate, deployment, late=False)
                else:
                    found[place] = Best(0.0, None, late=self._late(asked, which))
        return [found[place] for place in range(len(questions))]

    def _late(self, asked: Stack, which: int) -> bool:
        """Return whether any shape that memory holds takes a step at all, where none is feasible."""
        rows = np.flatnonzero(self._guess(asked)[0][which] >= 1)
        batch = np.full(rows.size, float(asked.first.scenario.batch or 1))
        return any(
            np.isfinite(self._timed(asked, own, batch[places])[0]).any()
            for places, own in self._families((np.full(rows.size, which), rows))
        )

    def _deployment(self, deployments: Deployments, row: int, batch: float) -> Deployment:
        """Return a shape with a batch as plain numbers."""
        one = taken(self.shapes, np.array([row]))._replace(batch=np.array([batch]))
        return deployment_at(deployments, one, 0, plans=self.plans)

    def _stacks(self, questions: Sequence[Deployments]) -> Iterator[tuple[list[int], Stack]]:
        """Yield questions as many together as pairs may be held, with their places."""
        together = max(MOST_PAIRS // max(self.shapes.most.size, 1), 1)
        order = sorted(range(len(questions)), key=lambda place: questions[place].held_tokens)
        for start in range(0, len(order), together):  # those side by side that memory holds alike
            places = order[start : start + together]
            yield places, Stack([questions[place] for place in places])

    def _most(self, asked: Stack, at_least: float) -> Reached:
        most, guessed = self._guess(asked)
        best = guessed.rate
        floor = np.maximum(best, at_least)
        load, self._load = self._load, asked.first.load
        # placing experts by another popularity takes longer than all else: only those that may win are placed
        least = asked if load == self._load else asked.by_chance()
        possible = (self._bounds(least, most) > floor[:, None]) & (most >= 1)
        possible[:, self.first] = False
        which, rows = np.nonzero(possible)
        which, rows = self._rivals(least, (which, rows), most, floor)
        rates, batches = self._reached(asked, (which, rows), most)
        others = _most_of(len(best), which, rows, rates, batches)
        better = others.rate > best
        reached = Reached(*(np.where(better, new, old) for new, old in zip(others, guessed, strict=True)))
        winners = rows[(rates > best[which]) & (rates == reached.rate[which])]
        tried = list(dict.fromkeys([*winners.tolist(), *self.first.tolist()]))[:GUESSES]
        self.first = np.array(tried, dtype=np.intp)
        return reached

    def _guess(self, asked: Stack) -> tuple[Numbers, Reached]:
        """Return the batch that memory allows each shape, a row per question, and what winners reach."""
        if self._guessed is not None and self._guessed[0] == asked.questions:
            return self._guessed[1:]
        shapes, deployments = self.shapes, asked.first
        plans = self.plans = self.plans or plans_of(deployments)
        holders = shapes.attention_devices if deployments.mode == EP else shapes.ffn_devices
        redundant = redundant_of(deployments, plans, shapes.plan, holders)
        self.shapes = shapes._replace(redundant_experts=redundant)
        known: dict[float, Numbers] = {}
        for each in asked.questions:
            if each.held_tokens not in known:
                known[each.held_tokens] = self._largest(each, plans)
        most = np.array([known[each.held_tokens] for each in asked.questions])
        fixed = deployments.scenario.batch
        if fixed is not None:
            most = np.where(most >= fixed, float(fixed), 0.0)
        which, places = np.nonzero(most[:, self.first] >= 1)
        rows = self.first[places]
        best = _most_of(len(asked.questions), which, rows, *self._reached(asked, (which, rows), most))
        self._guessed = asked.questions, most, best
        return most, best

    def _largest(self, question: Deployments, plans: tuple[Plan, ...]) -> Numbers:
        """Return the batch that memory allows each shape: of most inputs that vary it does not depend."""
        sides = question.attention, question.ffn
        key = (*_layout(question), *(side.accelerator.memory_bytes for side in sides))
        for known, most in self._held:
            if known == key:
                return most
        most = largest_batches(question, self.shapes, plans)
        self._held = [(key, most), *self._held[: LAYOUTS - 1]]
        return most

    def _bounds(self, asked: Stack, most: Numbers) -> Numbers:
        """Return what shapes cannot exceed, a row per question: of those that hold as much the quickest's."""
        found = np.empty(most.shape)
        tokens = np.array([each.held_tokens for each in asked.questions])
        for each in np.unique(tokens):
            which = np.flatnonzero(tokens == each)
            shapes = self.shapes._replace(most=most[which[0]])
            found[which] = group_bounds(asked.quickest(which), shapes, self.plans)
        return found

    def _families(self, pairs: Pairs) -> Iterator[tuple[Rows, Pairs]]:
        """Yield pairs of a question and a shape by their plans, with their places."""
        which, rows = pairs
        for places in blocks_of(self.shapes.plan[rows], self.plans):
            yield places, (which[places], rows[places])

    def _reached(self, asked: Stack, pairs: Pairs, most: Numbers) -> tuple[Numbers, Numbers]:
        """Return the throughput of shapes at the best batch that memory and latency allow each, and it."""
        found = np.zeros((2, *pairs[0].shape))
        for places, own in self._families(pairs):
            found[:, places] = self._best(asked, own, most[own])
        return found[0], found[1]

    def _rivals(self, asked: Stack, pairs: Pairs, most: Numbers, best: Numbers) -> Pairs:
        """Return the shapes that may beat a throughput, of each question.

        To reach it within the latency target a shape needs a batch of at least so many; since a step never
        grows faster than the batch, but where one more sequence begins a wave of processors, one that is too
        slow with that batch, and stays behind with whole waves below it, does so with any.
        """
        kept = np.zeros(pairs[0].shape, dtype=bool)
        deployments = asked.first
        for places, own in self._families(pairs):
            which, rows = own
            limit = asked.limits[which]
            m = self.shapes.microbatches[rows]
            one = deployments_of(deployments, taken(self.shapes, rows), self.plans, batch=np.ones(rows.size))
            each = np.asarray(deployments.tokens_per_s_per_device(one, limit))
            needed = np.maximum(np.floor(best[which] / each / m), 1.0) * m
            held = np.ceil(most[own] / m) * m
            tried = np.minimum(needed, held)
            batches = np.array([tried, *_whole_waves(deployments, tried, m)])
            steps, rates = self._timed(asked, own, batches, least=True)
            kept[places] = (steps[0] <= limit) & (held >= needed) | np.any(rates > best[which], axis=0)
        return pairs[0][kept], pairs[1][kept]

    def _best(self, asked: Stack, pairs: Pairs, most: Numbers) -> tuple[Numbers, Numbers]:
        """Return the throughput of shapes of one family of plans, and the batch that reaches it.

        The largest batch that is quick enough is found among whole micro-batches, several of them timed in
        one go between the largest known to be quick enough and the least known not to be. Where memory ends
        between two multiples, all of it is tried too; and where processors work in waves, whole ones.
        """
        which, rows = pairs
        limit = asked.limits[which]
        m = self.shapes.microbatches[rows]
        if asked.first.scenario.batch is not None:
            return self._timed(asked, pairs, most)[1], most
        best, batch, whole = np.zeros(most.shape), np.zeros(most.shape), np.floor(most / m)
        quick, slow = np.zeros(most.shape), whole + 1.0
        while (active := np.flatnonzero(slow - quick > 1)).size:
            width = (slow - quick)[active, None]
            at_once = int(np.clip(WIDE // active.size, LEAST_AT_ONCE, AT_ONCE))
            shares = np.arange(1, at_once + 1) / (at_once + 1)
            tried = quick[active, None] + np.clip(np.round(width * shares), 1, width - 1)
            own = which[active, None], rows[active, None]
            steps, rates = self._timed(asked, own, tried * m[active, None])
            fits = steps <= limit[active, None]
            quick[active] = np.max(tried, axis=1, where=fits, initial=0.0).clip(quick[active])
            slow[active] = np.min(tried, axis=1, where=~fits, initial=np.inf).clip(max=slow[active])
            top = np.argmax(rates, axis=1)[:, None]
            highest = np.take_along_axis(rates, top, axis=1)[:, 0]
            better = highest > best[active]
            best[active[better]] = highest[better]
            batch[active[better]] = (np.take_along_axis(tried, top, axis=1)[:, 0] * m[active])[better]
        partly = (quick == whole) & (most > whole * m)
        grains = asked.first.grains
        if not grains and not partly.any():  # all that could be better was tried
            return best, batch
        rest = np.where(partly, most, quick * m)
        batches = np.maximum(np.array([rest, *_whole_waves(asked.first, quick * m, m)]), 1.0)
        rates = self._timed(asked, pairs, batches)[1]
        rates[1:, quick < 1] = 0.0
        rates[0, rest < 1] = 0.0
        tried_last = np.concatenate([best[None], rates]), np.concatenate([batch[None], batches])
        top = np.argmax(tried_last[0], axis=0)[None]
        found, reaching = (np.take_along_axis(each, top, axis=0)[0] for each in tried_last)
        return found, reaching

    def _timed(
        self, asked: Stack, pairs: Pairs, batches: Numbers, *, least: bool = False
    ) -> tuple[Numbers, Numbers]:
        """Return the steps of shapes [s], and their throughput, 0 where the latency target is missed.

        Or steps that none is below, and what is then not exceeded.
        """
        which, rows = pairs
        deployments = asked.of(which)
        deployment = deployments_of(deployments, taken(self.shapes, rows), self.plans, batch=batches)
        steps = np.asarray(deployments.step(deployment, least=least).time)
        with np.errstate(invalid="ignore"):
            rates = np.asarray(deployments.tokens_per_s_per_device(deployment, steps))
        return steps, np.where(steps <= asked.limits[which], rates, 0.0)


def _layout(deployments: Deployments) -> tuple[object, ...]:
    """Return all that plans and shapes can rest on: a question without its targets and rates of its links."""
    scenario = deployments.scenario
    sides = [
        (
            *(side.id, side.accelerator.id, side.devices_per_node, side.scale_up_domain_devices),
            *(
                None if link is None else (link.id, link.slices, link.tiers)
                for link in (side.scale_up, side.scale_out)
            ),
        )
        for side in (deployments.attention, deployments.ffn)
    ]
    kept = (field.name for field in attrs.fields(type(scenario)) if field.name not in RATES)
    return (*sides, deployments.held_tokens, *(getattr(scenario, name) for name in kept))


def _most_of(count: int, which: Rows, rows: Rows, rates: Numbers, batches: Numbers) -> Reached:
    """Return the most that pairs of a question and a shape reach, of each question."""
    found = Reached(np.zeros(count), np.full(count, -1), np.zeros(count))
    order = np.argsort(rates, kind="stable")  # of many assigned to one place the last stays: the most
    order = order[rates[order] > 0]
    for column, values in zip(found, (rates, rows, batches), strict=True):
        column[which[order]] = values[order]
    return found


def _whole_waves(deployments: Deployments, batches: Numbers, m: Numbers) -> Iterator[Numbers]:
    """Yield the batches at or below some whose micro-batches fill whole waves of processors, one at least."""
    for grain in deployments.grains:
        yield np.maximum(np.floor(np.floor(batches / m / grain) * grain), 1.0) * m
