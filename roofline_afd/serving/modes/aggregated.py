"""Modes that prefill and decode on the same devices, prompts in chunks among the decode steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.physics import serving_modes
from roofline_afd.physics.filling import LEAST_FILL
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
from roofline_afd.serving.modes.workers import Replicas, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Block, Deployment
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question


class Aggregated:
    """Prefill and decode on the same devices: steps that decode, some with a chunk of a prompt."""

    def __init__(self, question: Question, mode: str) -> None:
        self.question = question
        self.workers = Workers(question, question.scenario, mode, held=question.workload.held)
        self.least = [math.inf, math.inf, math.inf]
        self.fitted = False
        self.prefilled = False
        self.served = False
        self.examined = 0

    def search(self) -> Points:
        """Search every replica, micro-batches, chunk and batch."""
        collected: list[Points] = []
        spaces: list[Points] = []
        for replicas in self.workers.replicas_alike:
            for points, space in self._blocks(replicas):
                collected.append(points)
                spaces.append(space)
        every = joined(collected)
        bounds = joined(spaces)
        best = float(np.max(every["rate"], initial=0.0)) if every else 0.0
        if bounds:
            rows = np.flatnonzero(bounds["bound"] >= best * (1.0 - SAME))
            exact = self._settle(take(bounds, rows))
            every = joined([every, exact]) if every else exact
        return every

    def _blocks(self, replicas: Replicas) -> Iterator[tuple[Points, Points]]:
        """Yield the frontier of every chunk and micro-batches, and the shapes with batches to go on from."""
        workers, work = self.workers, self.question.workload
        batches = workers.microbatches_of(replicas.plan)
        chunks = chunk_sizes(work.isl, self.question.chunk_tokens)
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
        pure = workers.micro(decoding, None)
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
                yield self._case(case, grid, room, decoding, (pure, known[chunk / m]))

    def _case(
        self,
        case: dict[str, Any],
        grid: Numbers,
        most: Numbers,
        decoding: Deployment,
        micro: tuple[tuple[list[Block], FloatArray], tuple[list[Block], FloatArray]],
    ) -> tuple[Points, Points]:
        """Return the frontier of one chunk and number of micro-batches, and the shapes to go on from."""
        deployments = self.workers.deployments
        pure, mixed = micro
        shape = np.broadcast_shapes(case["attention"].shape, grid.shape)
        times = [
            np.broadcast_to(self.workers.step_of(decoding, each, case["m"]), shape) for each in (mixed, pure)
        ]
        found = self.outcome(case, grid, most, *times)
        self.examined += int(np.sum(np.maximum(np.floor(most / case["m"]), 0.0)))
        steady = found.pop("memory") & found.pop("within_share")
        enough = found.pop("enough")
        self.prefilled |= bool(np.any(steady))
        steady &= enough & np.isfinite(found["ttft"])
        self.served |= bool(np.any(steady))
        if np.any(steady):
            self.least[0] = min(self.least[0], float(np.min(found["ttft"][steady])))
            self.least[1] = min(self.least[1], float(np.min(found["tpot"][steady])))
            self.least[2] = min(self.least[2], float(np.min((found["ttft"] * found["tpot"])[steady])))
        feasible = found.pop("feasible")
        columns = {key: np.broadcast_to(value, shape) for key, value in found.items()}
        points = frontier(take(columns, np.flatnonzero((feasible & enough).ravel())))
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
        mixed: FloatArray,
        pure: FloatArray,
    ) -> dict[str, Any]:
        """Return what the users and the operator see of each deployment, and which limits it meets."""
        question, work = self.question, self.question.workload
        accept = self.workers.scenario.accept_length
        batch = micro * case["m"]
        share = serving_modes.mixed_share(
            batch=batch,
            accept_length=accept,
            prompt_tokens=work.isl,
            output_tokens=work.osl,
            chunk_tokens=case["chunk"],
        )
        linked = np.isfinite(mixed) & np.isfinite(pure)  # not over a fabric that is absent
        known = {"mixed": np.where(linked, mixed, 0.0), "pure": np.where(linked, pure, 0.0)}
        step = np.where(linked, serving_modes.mean_step_time(**known, share=share), np.inf)
        steps = least_whole(work.isl / case["chunk"])
        groups = case["attention"] / case["tp"]
        replicas = self.workers.replicas(case["attention"], case["ffn"])
        tokens = replicas * groups * accept * batch / step
        ttft = steps * mixed
        if question.request_rate is not None:
            ttft = ttft + serving_modes.waiting_time(
                rate=question.request_rate / np.maximum(replicas * groups, 1.0),
                service=mixed * (work.isl / case["chunk"]),
                variation=question.prompt_variation,
            )
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
            "mixed": mixed,
            "pure": pure,
            "ttft": ttft,
            "tpot": tpot,
            "rate": tokens / question.devices,
            "memory": memory & np.isfinite(step),
            "within_share": within,
            "feasible": feasible & np.isfinite(step) & (replicas >= 1),
            "enough": (tokens / work.osl >= (question.request_rate or 0.0)) & admitted,
        }

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
        for key in ("memory", "within_share"):
            found.pop(key)
        return take({key: np.broadcast_to(value, micro.shape) for key, value in found.items()}, feasible)

    def _at(self, case: Points, micro: Numbers) -> dict[str, Any]:
        """Return the outcome of deployments, one an element, at some batches of a micro-batch."""
        workers = self.workers
        mixed, pure = np.empty(micro.shape), np.empty(micro.shape)
        dense = [kind.unfolding_pays_from() for kind in workers.scenario.model.attention]
        carried = case["chunk"] / case["m"]
        work = self.question.workload
        after = np.less(carried, work.isl) | (work.prefix > 0)  # whether tokens of the prompt are cached
        long = 2 * sum(np.greater_equal(carried, each) * 1 for each in dense) + after
        for rows in alike(long):
            part = take(case, rows)
            pure[rows] = workers.steps(part, micro[rows])
            mixed[rows] = workers.steps(part, micro[rows], carried[rows])
        return self.outcome(case, micro, case["most"], mixed, pure)

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
