"""What serves a given number of requests in flight best, in each serving mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.limits import SAME
from roofline_afd.serving.modes.aggregated import ASIDE, Aggregated, Steps
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.disaggregated import Disaggregated
from roofline_afd.serving.modes.points import alike, joined, take
from roofline_afd.serving.modes.pools import ways_to_prefill
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD
from roofline_afd.serving.modes.workers import LEAST_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question


def at_concurrency(question: Question, mode: str, concurrency: float) -> dict[str, float] | None:
    """Return the deployment of a mode that serves most tokens of so many requests in flight, within limits.

    Requests are spread evenly over replicas and groups; where there are fewer than groups, some groups stand
    idle. Apart from the prefill pool, of which it counts those it has handed on, a request is in flight
    until its last token.

    Parameters
    ----------
    question : Question
        What is asked; its request rate is not read.
    mode : str
        A member of `SERVING_MODES`.
    concurrency : float
        Requests in flight on all devices of the cluster [1].

    Returns
    -------
    dict of str to float or None
        The columns of a point of `explore_modes`; None where none meets the limits.
    """
    inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
    if mode in {PD, PD_AFD}:
        points = joined(_matched(question, Disaggregated(question, inner), concurrency))
    else:
        points = joined(_mixed(question, Aggregated(question, inner), concurrency))
    if not points or not points["rate"].size:
        return None
    best = int(np.lexsort((points["ttft"], -np.round(points["rate"] / np.max(points["rate"]), 12)))[0])
    return {key: float(column[best]) for key, column in points.items()}


def _mixed(question: Question, searching: Aggregated, concurrency: float) -> Iterator[Points]:
    """Yield deployments that prefill and decode on the same devices, and meet all limits."""
    workers, work = searching.workers, question.workload
    for replicas in workers.replicas_alike:
        attention, shared = replicas.attention, workers.shared(replicas.plan)
        groups = workers.replicas(attention, replicas.ffn) * attention / shared
        batch = np.maximum(concurrency / np.maximum(groups, 1.0), 1.0)
        for m in workers.microbatches_of(replicas.plan):
            micro = batch / m
            deployment = workers.deployment(replicas, batch=np.ceil(micro))
            least, pure = (workers.micro(deployment, tokens) for tokens in (np.asarray(LEAST_TOKENS), None))
            for chunk in chunk_sizes(work.isl, question.chunk_tokens):
                room = workers.memory_left(replicas, tokens=chunk)
                mixed = workers.micro(deployment, np.asarray(chunk / m))
                case = {**replicas._asdict(), "tp": shared, "chunk": chunk, "m": float(m)}
                each = (
                    workers.step_of(deployment, mixed, m),
                    workers.one_of(deployment, mixed, least, m, attention / shared),
                    workers.step_of(deployment, pure, m),
                )
                times = Steps(*(np.broadcast_to(time, attention.shape) for time in each))
                found = searching.outcome(case, micro, room, times)
                feasible = found.pop("feasible") & (found.pop("enough") | (batch * groups > concurrency))
                for key in ASIDE:
                    found.pop(key)
                columns = {key: np.broadcast_to(value, attention.shape) for key, value in found.items()}
                busy = concurrency / np.maximum(batch * groups, concurrency)
                columns["rate"] = columns["rate"] * busy
                yield take(columns, np.flatnonzero(feasible & (groups >= 1)))


def _matched(question: Question, searching: Disaggregated, concurrency: float) -> Iterator[Points]:
    """Yield pools that decode, each with the prefill pool that is quickest of those that keep up with it."""
    workers, pool = searching.decode, searching.pool
    searching.ways = ways_to_prefill(question, searching.prefill)
    if not searching.ways:
        return
    most = question.devices - float(np.min(searching.ways["p_room"]))
    for every in workers.replicas_alike:
        room = workers.room(every.attention + every.ffn)
        counts = np.maximum(np.floor((most + SAME) / room), 0.0).astype(int)
        rows = np.repeat(np.arange(counts.size), counts)
        if not rows.size:
            continue
        number = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts) + 1.0
        replicas = every.rows(rows)
        shared = workers.shared(replicas.plan)
        groups = number * replicas.attention / shared
        batch = np.maximum(concurrency / groups, 1.0)
        held = batch <= workers.memory_left(replicas, tokens=0.0)
        for m in workers.microbatches_of(replicas.plan):
            deployment = workers.deployment(replicas, batch=np.ceil(batch / m))
            blocks, once = workers.micro(deployment, None)
            step = np.broadcast_to(workers.step_of(deployment, (blocks, once), m), batch.shape)
            case = {**replicas._asdict(), "tp": shared, "m": float(m)}
            found = pool.outcome(case, batch, step)
            found["replicas"] = number
            found["busy"] = concurrency / np.maximum(batch * groups, concurrency)
            fits = held & np.isfinite(step) & (found["tpot"] <= question.tpot_limit)
            decode = take(found, np.flatnonzero(fits))
            for rows in alike(decode["tp"]):
                yield searching.served(take(decode, rows))
