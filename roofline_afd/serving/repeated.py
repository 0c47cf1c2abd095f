"""The same search again and again: for questions that differ from one already searched in numbers only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Deployments
    from roofline_afd.serving.search import Found
    from roofline_afd.serving.sizes import Plan

GUESSES = 8
"""Shapes tried first: what they reach rules most others out."""
AT_ONCE = 64
"""Batches of every shape that are timed in one go: a call costs more than the numbers in it."""


RATES = {"system", "attention_system", "ffn_system", "tpot_ms", "gap_ms"}
"""Fields of a question that leave plans and shapes alone, but for what `_layout` takes of its systems."""
LAYOUTS = 16
"""Questions that are remembered: plans and shapes are laid out anew for no other."""


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
        self._guessed: tuple[Deployments, Numbers, float] | None = None
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
        return self._guess(deployments)[1]

    def rate(self, deployments: Deployments, *, at_least: float = 0.0) -> float:
        """Return the throughput of the best deployment; 0 where none is feasible.

        Parameters
        ----------
        deployments : Deployments
            The question.
        at_least : float
            What matters: shapes that cannot exceed it are left out [tokens/s per device].

        Returns
        -------
        float
            Output tokens; where not above `at_least`, of the best shapes that won before [tokens/s per
            device].
        """
        most, best = self._guess(deployments)
        floor = max(best, at_least)
        possible = np.flatnonzero(most >= 1)
        bound = group_bounds(deployments, taken(self.shapes._replace(most=most), possible), self.plans)
        others = self._rivals(deployments, possible[bound > floor], most, floor)
        others = others[~np.isin(others, self.first)]
        more = self._rates(deployments, others, most[others])
        if np.max(more, initial=0.0) > best:
            winner = others[int(np.argmax(more))]
            self.first = np.array([winner, *self.first[: GUESSES - 1]])
            best = float(np.max(more))
        return best

    def _guess(self, deployments: Deployments) -> tuple[Numbers, float]:
        """Return the batch that memory allows each shape, and what those reach that won before."""
        if self._guessed is not None and self._guessed[0] is deployments:
            return self._guessed[1:]
        shapes = self.shapes
        plans = self.plans = self.plans or plans_of(deployments)
        holders = shapes.attention_devices if deployments.mode == EP else shapes.ffn_devices
        redundant = redundant_of(deployments, plans, shapes.plan, holders)
        self.shapes = shapes._replace(redundant_experts=redundant)
        most = largest_batches(deployments, self.shapes, plans)
        fixed = deployments.scenario.batch
        if fixed is not None:
            most = np.where(most >= fixed, float(fixed), 0.0)
        guesses = self.first[most[self.first] >= 1]
        best = float(np.max(self._rates(deployments, guesses, most[guesses]), initial=0.0))
        self._guessed = deployments, most, best
        return most, best

    def _rates(self, deployments: Deployments, rows: Rows, most: Numbers) -> Numbers:
        """Return the throughput of shapes at the best batch that memory and latency allow each."""
        found = np.zeros(rows.shape)
        for places in blocks_of(self.shapes.plan[rows], self.plans):
            found[places] = self._best(deployments, rows[places], most[places])
        return found

    def _rivals(self, deployments: Deployments, rows: Rows, most: Numbers, best: float) -> Rows:
        """Return the shapes that may beat a throughput.

        To reach it within the latency target a shape needs a batch of at least so many; since a step never
        grows faster than the batch, but where one more sequence begins a wave of processors, one that is too
        slow with that batch, and stays behind with whole waves below it, does so with any.
        """
        limit = deployments.scenario.step_limit
        kept = []
        for places in blocks_of(self.shapes.plan[rows], self.plans):
            own = rows[places]
            m = self.shapes.microbatches[own]
            one = deployments_of(deployments, taken(self.shapes, own), self.plans, batch=np.ones(own.size))
            each = np.asarray(deployments.tokens_per_s_per_device(one, np.full(own.shape, limit)))
            needed = np.maximum(np.floor(best / each / m), 1.0) * m
            held = np.ceil(most[own] / m) * m
            tried = np.minimum(needed, held)
            batches = np.array([tried, *_whole_waves(deployments, tried, m)])
            steps, rates = self._timed(deployments, own, batches, least=True)
            ahead = (steps[0] <= limit) & (held >= needed) | np.any(rates > best, axis=0)
            kept.append(own[ahead])
        return np.concatenate([np.zeros(0, dtype=np.intp), *kept])

    def _best(self, deployments: Deployments, rows: Rows, most: Numbers) -> Numbers:
        """Return the throughput of shapes of one family of plans.

        The largest batch that is quick enough is found among whole micro-batches, `AT_ONCE` of them timed in
        one go between the largest known to be quick enough and the least known not to be. Where memory ends
        between two multiples, all of it is tried too; and where processors work in waves, whole ones.
        """
        limit = deployments.scenario.step_limit
        m = self.shapes.microbatches[rows]
        if deployments.scenario.batch is not None:
            return self._timed(deployments, rows, most)[1]
        best, whole = np.zeros(most.shape), np.floor(most / m)
        quick, slow = np.zeros(most.shape), whole + 1.0
        while (active := np.flatnonzero(slow - quick > 1)).size:
            width = (slow - quick)[active, None]
            shares = np.arange(1, AT_ONCE + 1) / (AT_ONCE + 1)
            tried = quick[active, None] + np.clip(np.round(width * shares), 1, width - 1)
            steps, rates = self._timed(deployments, rows[active, None], tried * m[active, None])
            fits = steps <= limit
            quick[active] = np.max(tried, axis=1, where=fits, initial=0.0).clip(quick[active])
            slow[active] = np.min(tried, axis=1, where=~fits, initial=np.inf).clip(max=slow[active])
            best[active] = np.maximum(best[active], np.max(rates, axis=1))
        partly = (quick == whole) & (most > whole * m)
        if not deployments.grains and not partly.any():  # all that could be better was tried
            return best
        rest = np.where(partly, most, quick * m)
        batches = np.array([rest, *_whole_waves(deployments, quick * m, m)])
        rates = self._timed(deployments, rows, np.maximum(batches, 1.0))[1]
        rates[1:, quick < 1] = 0.0
        rates[0, rest < 1] = 0.0
        found: Numbers = np.maximum(best, np.max(rates, axis=0))
        return found

    def _timed(
        self, deployments: Deployments, rows: Rows, batches: Numbers, *, least: bool = False
    ) -> tuple[Numbers, Numbers]:
        """Return the steps of shapes [s], and their throughput, 0 where the latency target is missed.

        Or steps that none is below, and what is then not exceeded.
        """
        deployment = deployments_of(deployments, taken(self.shapes, rows), self.plans, batch=batches)
        steps = np.asarray(deployments.step(deployment, least=least).time)
        with np.errstate(invalid="ignore"):
            rates = np.asarray(deployments.tokens_per_s_per_device(deployment, steps))
        return steps, np.where(steps <= deployments.scenario.step_limit, rates, 0.0)


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


def _whole_waves(deployments: Deployments, batches: Numbers, m: Numbers) -> Iterator[Numbers]:
    """Yield the batches at or below some whose micro-batches fill whole waves of processors, one at least."""
    for grain in deployments.grains:
        yield np.maximum(np.floor(np.floor(batches / m / grain) * grain), 1.0) * m
