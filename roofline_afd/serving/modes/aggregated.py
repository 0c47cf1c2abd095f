"""Modes that prefill and decode on the same devices, prompts in chunks among the decode steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.physics import serving_modes
from roofline_afd.physics.filling import LEAST_FILL
from roofline_afd.progress import steps
from roofline_afd.serving.batches import batch_grid, bracket, filled_below, largest, least_whole
from roofline_afd.serving.limits import (
    FIRST_TOKEN,
    LATENCY,
    MEMORY,
    PREFILL_SHARE,
    REQUEST_RATE,
    SAME,
    SLOTS,
    THROUGHPUT,
)
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.points import alike, frontier, joined, take
from roofline_afd.serving.modes.workers import LEAST_TOKENS, Replicas, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Block, Deployment
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question

    Micro = tuple[list[Block], FloatArray]


ASIDE = ("memory", "within_share", "soonest", "product")
"""Columns of an outcome that the search reads and no point keeps."""


class Steps(NamedTuple):
    """Times of a step: all groups carry a chunk, one alone does, none does [s]."""

    mixed: FloatArray
    one: FloatArray
    pure: FloatArray


class Rhythm(NamedTuple):
    """How often steps carry prompts, and what comes of it: times of steps and of the first token [s]."""

    every: FloatArray
    step: FloatArray
    ttft: FloatArray
    carrying: FloatArray
    """Of a step that carries a chunk of one's own."""
    cycle: FloatArray
    """From such a step to the next."""


FILLED = 0.85
"""The same where prompts come at random: what is left lets them not wait long."""
RAREST = 256.0
"""Steps of which one carries prompts, at most."""


class Aggregated:
    """Prefill and decode on the same devices: steps that decode, some with a chunk of a prompt."""

    def __init__(self, question: Question, mode: str) -> None:
        self.question = question
        self.workers = Workers(question, question.scenario, mode, held=question.workload.held)
        self.least = [math.inf, math.inf, math.inf]
        self.chunks = chunk_sizes(question.workload.isl, question.chunk_tokens)
        self.filled = FILLED if question.request_rate is not None else 1.0
        """Share of the chunks of steps that carry prompts which are filled, at most."""
        self.fitted = False
        self.prefilled = False
        self.served = False
        self.examined = 0

    def search(self) -> Points:
        """Search every replica, micro-batches, chunk and batch."""
        collected: list[Points] = []
        spaces: list[Points] = []
        for replicas in steps(self.workers.replicas_alike):
            for points, space in self._blocks(replicas):
                collected.append(points)
                spaces.append(space)
        every = joined(collected)
        bounds = joined(spaces)
        if bounds:
            exact = self._settle(take(bounds, self.promising(bounds, every)))
            every = joined([every, exact]) if every else exact
        return every

    def promising(self, bounds: Points, every: Points) -> Rows:
        """Return the shapes that may serve more than any known deployment, by what bounds each."""
        best = float(np.max(every["rate"], initial=0.0)) if every else 0.0
        return np.flatnonzero(bounds["bound"] >= best * (1.0 - SAME))

    def kept(self, points: Points) -> Points:
        """Return the deployments of a chunk and micro-batches that no other of them beats."""
        return frontier(points)

    def _blocks(self, replicas: Replicas) -> Iterator[tuple[Points, Points]]:
        """Yield the frontier of every chunk and micro-batches, and the shapes with batches to go on from."""
        workers, work = self.workers, self.question.workload
        batches = workers.microbatches_of(replicas.plan)
        chunks = self.chunks
        room = workers.memory_left(replicas, tokens=min(chunks))
        keep = room >= 1
        self.fitted |= bool(np.any(keep))
        if not np.any(keep):
            return
        replicas = replicas.rows((keep, None))
        most = float(np.max(room))
        # the least batches that admit the prompts
        slots = least_whole(np.array([chunk / work.isl / m for chunk in chunks for m in batches]))
        grid = np.unique(np.concatenate([batch_grid(most), slots[slots <= most]]))[None, :]
        decoding = workers.deployment(replicas, batch=grid)
        least, nothing = (workers.micro(decoding, each) for each in (np.asarray(LEAST_TOKENS), None))
        held = room[keep, None]
        pure = {m: workers.step_of(decoding, nothing, float(m), grid * m <= held) for m in batches}
        known: dict[float, tuple[list[Block], FloatArray]] = {}
        for chunk in chunks:
            room = workers.memory_left(replicas, tokens=chunk)
            for m in batches:
                if chunk / m not in known:
                    known[chunk / m] = workers.micro(decoding, np.asarray(chunk / m))
                case = {
                    **replicas._asdict(),
                    "chunk": chunk,
                    "tp": workers.shared(replicas.plan),
                    "m": float(m),
                }
                yield self._case(case, grid, room, (decoding, known[chunk / m], least, pure[m]))

    def _case(
        self,
        case: dict[str, Any],
        grid: Numbers,
        most: Numbers,
        timed: tuple[Deployment, Micro, Micro, FloatArray],
    ) -> tuple[Points, Points]:
        """Return the frontier of one chunk and number of micro-batches, and the shapes to go on from."""
        workers, deployments = self.workers, self.workers.deployments
        decoding, mixed, least, pure = timed
        shape = np.broadcast_shapes(case["attention"].shape, grid.shape)
        groups = case["attention"] / case["tp"]
        held = (grid * case["m"] <= most) & (self._share(grid * case["m"], case["chunk"]) <= 1.0 + SAME)
        times = Steps(
            *(
                np.broadcast_to(each, shape)
                for each in (
                    workers.step_of(decoding, mixed, case["m"], held),
                    workers.one_of(decoding, mixed, least, case["m"], groups),
                    pure,
                )
            )
        )
        found = self.outcome(case, grid, most, times)
        self.examined += int(np.sum(np.maximum(np.floor(most / case["m"]), 0.0)))
        steady = found.pop("memory") & found.pop("within_share")
        enough, soonest, product = (found.pop(key) for key in ("enough", "soonest", "product"))
        self.prefilled |= bool(np.any(steady))
        steady &= enough & np.isfinite(found["ttft"])
        self.served |= bool(np.any(steady))
        if np.any(steady):
            self.least[0] = min(self.least[0], float(np.min(soonest[steady])))
            self.least[1] = min(self.least[1], float(np.min(found["tpot"][steady])))
            self.least[2] = min(self.least[2], float(np.min(product[steady])))
        feasible = found.pop("feasible")
        columns = {key: np.broadcast_to(value, shape) for key, value in found.items()}
        points = self.kept(take(columns, np.flatnonzero((feasible & enough).ravel())))
        last, high = bracket(grid, feasible, self._cap(most[:, 0], case))
        rate = np.where(feasible, columns["rate"], 0.0)
        at = np.argmax(rate * (grid == last[:, None]), axis=1)
        lines = np.arange(last.size)
        open_ = (last >= 1) & (high > last + 1.0)
        bound = np.where(open_, rate[lines, at] * (high - 1.0) / np.maximum(last, 1.0), 0.0)
        if deployments.grains:  # fewer may fill what the last wave of processors leaves idle
            bound = np.maximum(bound, rate[lines, at] / LEAST_FILL)
        pick = np.flatnonzero(bound > 0)
        space = {
            **{key: case[key][:, 0][pick] * 1.0 for key in ("attention", "ffn", "tp", "plan")},
            **{key: np.full(pick.size, case[key]) for key in ("m", "chunk")},
            "low": last[pick],
            "high": np.maximum(high, last + 1.0)[pick],
            "most": most[:, 0][pick],
            "bound": bound[pick],
        }
        return points, space

    def outcome(
        self,
        case: Mapping[str, Any],
        micro: FloatArray,
        most: FloatArray,
        times: Steps,
    ) -> dict[str, Any]:
        """Return what the users and the operator see of each deployment, and which limits it meets."""
        question, work = self.question, self.question.workload
        accept = self.workers.scenario.accept_length
        batch = micro * case["m"]
        share = self._share(batch, case["chunk"])
        groups = case["attention"] / case["tp"]
        replicas = self.workers.replicas(case["attention"], case["ffn"])
        soonest, rhythm = self._rhythm(case["chunk"], times, share=share, groups=groups, replicas=replicas)
        loading = self.workers.loading(np.asarray(case["tp"]))
        step, ttft = rhythm.step, rhythm.ttft + loading
        with np.errstate(divide="ignore"):
            most_read_back = replicas * groups * (work.osl / loading)
        tokens = np.minimum(replicas * groups * accept * batch / step, most_read_back)
        memory = batch <= most
        admitted = batch * (1.0 + SAME) >= case["chunk"] / work.isl  # each prompt takes a slot of the batch
        within = share <= 1.0 + SAME
        tpot = step / accept
        feasible = memory & within & (ttft <= question.ttft_limit) & (tpot <= question.tpot_limit)
        feasible &= np.isfinite(ttft)
        return {
            "attention": case["attention"],
            "ffn": case["ffn"],
            "tp": np.asarray(case["tp"]),
            "plan": np.asarray(case["plan"]),
            "m": np.asarray(case["m"]),
            "chunk": np.asarray(case["chunk"]),
            "batch": batch,
            "replicas": replicas,
            "share": share,
            "every": rhythm.every,
            "mixed": times.mixed,
            "carrying": rhythm.carrying,
            "cycle": rhythm.cycle,
            "loading": loading,
            "pure": times.pure,
            "ttft": ttft,
            "soonest": soonest.ttft + loading,
            "product": np.minimum((soonest.ttft + loading) * soonest.step / accept, ttft * tpot),
            "tpot": tpot,
            "rate": tokens / question.devices,
            "memory": memory & np.isfinite(step),
            "within_share": within,
            "feasible": feasible & np.isfinite(step) & (replicas >= 1),
            "enough": (tokens / work.osl >= (question.request_rate or 0.0)) & admitted,
        }

    def _share(self, batch: FloatArray, chunk: float | FloatArray) -> FloatArray:
        """Return the share of steps' chunks that prompts fill, for as many as outputs end [1]."""
        work = self.question.workload
        return serving_modes.mixed_share(
            batch=batch,
            accept_length=self.workers.scenario.accept_length,
            prompt_tokens=work.isl,
            output_tokens=work.osl,
            chunk_tokens=chunk,
        )

    def _rhythm(
        self,
        chunk: float | FloatArray,
        times: Steps,
        *,
        share: FloatArray,
        groups: FloatArray,
        replicas: FloatArray,
    ) -> tuple[Rhythm, Rhythm]:
        """Return what comes of prompts in every step, and as seldom as all are prefilled and begin in time.

        Prompts that wait for every n-th step go together with those of other groups, which then seldom make
        each other wait: a step takes less in the mean.
        """
        question, work = self.question, self.question.workload
        linked = np.isfinite(times.mixed) & np.isfinite(times.pure)  # not over a fabric that is absent
        times = Steps(*(np.where(linked, each, 0.0) for each in times))
        chunks = least_whole(work.isl / chunk)
        with np.errstate(divide="ignore", invalid="ignore"):
            room = (question.ttft_limit - chunks * times.mixed) / ((chunks - 0.5) * times.pure)
        most = np.minimum(self.filled / np.maximum(share, SAME), np.where(times.pure > 0, room, np.inf) + 1.0)
        every = np.floor(np.clip(np.where(groups > 1, most, 1.0) * (1.0 + SAME), 1.0, RAREST))

        def paced(every: FloatArray) -> Rhythm:
            filled = share * every
            held = serving_modes.mean_step_time(**times._asdict(), share=filled, groups=groups)
            carrying = serving_modes.prompt_step_time(
                mixed=times.mixed, one=times.one, share=filled, groups=groups
            )
            step = held / every + times.pure * (1.0 - 1.0 / every)
            cycle = carrying + (every - 1.0) * times.pure
            ttft = chunks * cycle - (every - 1.0) / 2.0 * times.pure
            if question.request_rate is not None:
                ttft = ttft + serving_modes.waiting_time(
                    rate=question.request_rate / np.maximum(replicas * groups, 1.0),
                    service=cycle * (work.isl / chunk),
                    variation=question.prompt_variation,
                )
            return Rhythm(
                every, np.where(linked, step, np.inf), np.where(linked, ttft, np.inf), carrying, cycle
            )

        soonest = paced(np.ones_like(every))
        seldom = paced(every) if np.any(every > 1.0) else soonest
        late = (seldom.ttft > question.ttft_limit) & (soonest.ttft <= question.ttft_limit)  # of waiting
        return soonest, Rhythm(*(np.where(late, *both) for both in zip(soonest, seldom, strict=True)))

    def _cap(self, most: FloatArray, case: Mapping[str, Any]) -> Numbers:
        """Return the sequences of a micro-batch that memory and the balance of tokens allow."""
        work = self.question.workload
        share = case["chunk"] * work.osl / (self.workers.scenario.accept_length * work.isl)
        found: Numbers = np.floor(np.minimum(most, share * (1.0 + SAME)) / case["m"])
        return found

    def _settle(self, space: Points) -> Points:
        """Return deployments with the largest batch that every limit allows, and those that fill waves."""
        if not space["low"].size:
            return {}

        def fits(rows: Rows, micro: Numbers) -> NDArray[np.bool_]:
            good: NDArray[np.bool_] = self._at(take(space, rows), micro)["feasible"]
            return good

        micro = largest(space["low"], space["high"], fits)
        found = [self._feasible(space, micro)]
        for grain in self.workers.deployments.grains:  # one that fills whole waves may be better
            below = filled_below(micro, grain)
            rows = np.flatnonzero((below >= 1) & (below < micro))
            found.append(self._feasible(take(space, rows), below[rows]))
        return joined(found)

    def _feasible(self, space: Points, micro: Numbers) -> Points:
        """Return those of some deployments that every limit allows at some batches of a micro-batch."""
        found = self._at(space, micro)
        feasible = np.flatnonzero(found.pop("feasible") & found.pop("enough"))
        for key in ASIDE:
            found.pop(key)
        return take({key: np.broadcast_to(value, micro.shape) for key, value in found.items()}, feasible)

    def _at(self, case: Points, micro: Numbers) -> dict[str, Any]:
        """Return the outcome of deployments, one an element, at some batches of a micro-batch."""
        workers = self.workers
        mixed, one, pure = (np.empty(micro.shape) for _ in range(3))
        dense = [kind.unfolding_pays_from() for kind in workers.scenario.model.attention]
        carried = case["chunk"] / case["m"]
        work = self.question.workload
        after = np.less(carried, work.isl) | (work.prefix > 0)  # whether tokens of the prompt are cached
        long = 2 * sum(np.greater_equal(carried, each) * 1 for each in dense) + after
        for rows in alike(long):
            part = take(case, rows)
            pure[rows] = workers.steps(part, micro[rows])
            mixed[rows], one[rows] = workers.mixed_steps(part, micro[rows], carried[rows])
        return self.outcome(case, micro, case["most"], Steps(mixed, one, pure))

    def quickest(self, points: Points) -> Points:
        """Return the points: each has a time to the first token of its own."""
        return points

    def binding(self, best: Mapping[str, float]) -> str:
        """Return what forbids one more sequence in each micro-batch of the best."""
        case = {key: np.array([best[key]]) for key in ("attention", "ffn", "tp", "plan", "m", "chunk")}
        replicas = Replicas(case["plan"].astype(int), case["attention"], case["ffn"])
        case["most"] = self.workers.memory_left(replicas, tokens=best["chunk"])
        more = self._at(case, np.array([best["batch"] / best["m"] + 1.0]))
        limits = (
            (MEMORY, more["memory"]),
            (PREFILL_SHARE, more["within_share"]),
            (FIRST_TOKEN, more["ttft"] <= self.question.ttft_limit),
            (LATENCY, more["tpot"] <= self.question.tpot_limit),
        )
        return next((name for name, holds in limits if not np.all(holds)), THROUGHPUT)

    def refusal(self) -> str:
        """Return the constraint that rules every deployment out."""
        if not self.fitted:
            return self.workers.refusal
        if not self.prefilled:
            return PREFILL_SHARE
        if not self.served:
            return SLOTS if self.question.request_rate is None else REQUEST_RATE
        if self.least[0] > self.question.ttft_limit:
            return FIRST_TOKEN
        if self.least[1] > self.question.tpot_limit:
            return LATENCY
        return f"{FIRST_TOKEN} with {LATENCY}"
