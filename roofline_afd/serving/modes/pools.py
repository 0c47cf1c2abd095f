"""The two pools of a disaggregated cluster: every way to prefill, and replicas that decode."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.physics import serving_modes
from roofline_afd.physics.filling import LEAST_FILL
from roofline_afd.progress import steps
from roofline_afd.serving.batches import batch_grid, bracket, filled_below, largest, least_whole
from roofline_afd.serving.limits import LATENCY, MEMORY, SAME, THROUGHPUT
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.points import alike, frontier_rows, joined, take
from roofline_afd.serving.modes.workers import Replicas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question
    from roofline_afd.serving.modes.transfer import CacheTransfer
    from roofline_afd.serving.modes.workers import Workers


def ways_to_prefill(question: Question, workers: Workers) -> Points:
    """Return every way to prefill, one an element.

    Parameters
    ----------
    question : Question
        What is asked.
    workers : Workers
        Replicas of the pool that prefills.

    Returns
    -------
    dict of str to array
        Replicas, chunk and micro-batches, with the time and rate of prompts; empty where memory holds none.
    """
    work = question.workload
    found: list[Points] = []
    for replicas in workers.replicas_alike:
        tp, size = workers.shared(replicas.plan), replicas.attention + replicas.ffn
        empty = workers.deployment(replicas, batch=0)
        for chunk in chunk_sizes(work.isl, question.chunk_tokens):
            wanted = least_whole(chunk / work.isl)
            most = workers.memory_left(replicas, tokens=chunk)
            for m in workers.microbatches_of(replicas.plan):
                micro = workers.micro(empty, np.asarray(chunk / m))
                step = np.broadcast_to(workers.step_of(empty, micro, m), size.shape)
                fits = np.flatnonzero((most >= wanted) & np.isfinite(step))
                if not fits.size:
                    continue
                one = np.ones(fits.size)
                loading = workers.loading(tp[fits])
                rate = serving_modes.prefill_rate(chunk_tokens=chunk, prompt_tokens=work.isl, step=step[fits])
                with np.errstate(divide="ignore"):
                    read_back = 1.0 / loading
                service = np.maximum(step[fits] * work.isl / chunk, loading)
                found.append(
                    {
                        "p_attention": replicas.attention[fits],
                        "p_ffn": replicas.ffn[fits],
                        "p_tp": tp[fits],
                        "p_plan": replicas.plan[fits] * one,
                        "p_m": m * one,
                        "chunk": chunk * one,
                        "p_step": step[fits],
                        "p_size": size[fits],
                        "p_room": workers.room(size[fits]),
                        "p_service": service,
                        "p_ttft": step[fits] * least_whole(work.isl / chunk) + loading,
                        "p_rate": np.minimum(rate, read_back) * replicas.attention[fits] / tp[fits],
                    }
                )
    return joined(found)


class DecodePool:
    """Replicas that decode, the caches of their prompts sent to them.

    Parameters
    ----------
    question : Question
        What is asked.
    workers : Workers
        Replicas of the pool.
    transfer : CacheTransfer
        How caches reach them.
    """

    def __init__(self, question: Question, workers: Workers, transfer: CacheTransfer) -> None:
        self.question = question
        self.workers = workers
        self.transfer = transfer
        self.examined = 0
        self.fits = self.found_room = False
        self.least_tpot = math.inf

    def on_grid(self, devices: float) -> Points:
        """Return replicas that devices have room for on a grid of batches, none beaten by its like."""
        workers = self.workers
        found: list[Points] = []
        spaces: list[Points] = []
        for every in steps(workers.replicas_alike):
            batches = workers.microbatches_of(every.plan)
            room = workers.memory_left(every, tokens=0.0)
            keep = room >= min(batches)  # a sequence for each
            if not np.any(keep):
                continue
            self.fits = True
            keep &= workers.room(every.attention + every.ffn) <= devices + SAME
            if not np.any(keep):
                continue
            self.found_room = True
            replicas, most = every.rows((keep, None)), room[keep, None]
            columns_alike = {**replicas._asdict(), "tp": workers.shared(replicas.plan)}
            grid = batch_grid(float(np.max(most)))[None, :]
            decoding = workers.deployment(replicas, batch=grid)
            micro = workers.micro(decoding, None)
            shape = (most.size, grid.size)
            for m in batches:
                step = np.broadcast_to(workers.step_of(decoding, micro, m), shape)
                self.examined += int(np.sum(np.maximum(np.floor(most / m), 0.0)))
                case = {**columns_alike, "m": float(m)}
                columns = self.outcome(case, grid * m, step)
                held = (grid * m <= most) & np.isfinite(step)
                if np.any(held):
                    self.least_tpot = min(self.least_tpot, float(np.min(columns["tpot"][held])))
                fits = held & (columns["tpot"] <= self.question.tpot_limit)
                found.append(take(columns, np.flatnonzero(fits)))
                last, high = bracket(grid, fits, np.floor(most[:, 0] / m))
                lines = np.flatnonzero((last >= 1) & np.isfinite(high))
                spaces.append(
                    {
                        **{key: column[lines, 0] * 1.0 for key, column in columns_alike.items()},
                        "m": np.full(lines.size, float(m)),
                        "low": last[lines],
                        "high": high[lines],
                        "most": most[lines, 0],
                    }
                )
        self.spaces = joined(spaces)
        points = joined(found)
        return _best_of_sizes(points) if points and points["tpot"].size else {}

    def settled(self, known: Points) -> Points:
        """Return replicas with the largest batch that memory and the target allow, if it may beat known.

        Where cores are dealt out in whole waves, those with the batches below it that fill them, too.
        """
        space = self.spaces
        rate = self._timed(space, space["low"])["d_rate"]
        bound = rate * np.maximum(space["high"] - 1.0, space["low"]) / space["low"]
        if self.workers.deployments.grains:  # fewer may fill what the last wave leaves idle
            bound = np.maximum(bound, rate / LEAST_FILL)
        room = self.workers.room(space["attention"] + space["ffn"])
        kinds = list(zip(room.tolist(), space["tp"].tolist(), strict=True))
        best = dict.fromkeys(kinds, 0.0)
        columns = (known[key].tolist() for key in ("room", "tp", "d_rate"))
        for held, tp, reached in zip(*columns, strict=True):
            best[held, tp] = max(best.get((held, tp), 0.0), reached)
        least = np.array([best[key] for key in kinds])
        space = take(space, np.flatnonzero(bound >= least * (1.0 - SAME)))

        def quick(rows: Rows, micro: Numbers) -> NDArray[np.bool_]:
            return self._quick(take(space, rows), micro)

        most = largest(space["low"], space["high"], quick)
        found = [self._timed(space, most)]
        for grain in self.workers.deployments.grains:  # one that fills whole waves may be better
            below = filled_below(most, grain)
            rows = np.flatnonzero((below >= 1) & (below < most))
            found.append(self._timed(take(space, rows), below[rows]))
        return _best_of_sizes(joined(found))

    def binding(self, best: Mapping[str, float]) -> str:
        """Return what forbids one more sequence in each micro-batch."""
        case = {key: np.array([best[key]]) for key in ("attention", "ffn", "tp", "plan", "m")}
        more = np.array([best["batch"] / best["m"] + 1.0])
        replicas = Replicas(case["plan"].astype(int), case["attention"], case["ffn"])
        most = self.workers.memory_left(replicas, tokens=0.0)
        if np.any(more * case["m"] > most):
            return MEMORY
        return THROUGHPUT if np.all(self._quick(case, more)) else LATENCY

    def _quick(self, case: Points, micro: Numbers) -> NDArray[np.bool_]:
        """Whether steps meet the target with so many sequences a micro-batch."""
        limit = self.question.tpot_limit * self.workers.scenario.accept_length
        return self.workers.steps(case, micro) <= limit

    def _timed(self, case: Points, micro: Numbers) -> Points:
        """Return what replicas deliver with so many sequences a micro-batch, one an element."""
        return self.outcome(case, micro * case["m"], self.workers.steps(case, micro))

    def outcome(self, case: Mapping[str, Any], batch: Numbers, step: Numbers) -> Points:
        """Return what replicas deliver: tokens' time, requests a second."""
        accept, work = self.workers.scenario.accept_length, self.question.workload
        size = np.asarray(case["attention"]) + np.asarray(case["ffn"])
        columns = {
            **{key: np.asarray(case[key]) for key in ("attention", "ffn", "tp", "plan", "m")},
            "batch": batch,
            "pure": step,
            "size": size,
            "room": self.workers.room(size),
            "tpot": step / accept,
            "d_rate": np.minimum(
                batch * accept / step / work.osl * np.asarray(case["attention"]) / case["tp"],
                self.transfer.received(case["attention"], case["tp"]),
            ),
        }
        return {key: np.broadcast_to(column, np.shape(step)) for key, column in columns.items()}


def _best_of_sizes(points: Points) -> Points:
    """Return the decoding replicas that no other of their room, sharing heads alike, beats in both."""
    keep: list[Rows] = []
    for heads in alike(points["tp"]):
        for room in alike(points["room"][heads]):
            rows = heads[room]
            keep.append(rows[frontier_rows(points["tpot"][rows], points["d_rate"][rows])])
    return take(points, np.concatenate(keep)) if keep else {}
