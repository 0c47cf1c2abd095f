"""The cheapest fleet of a serving mode that serves so many requests a second, most of them in time."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from roofline_afd.physics import queueing
from roofline_afd.serving.batches import least_whole
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.limits import FIRST_TOKEN, LATENCY, REQUEST_RATE, SAME
from roofline_afd.serving.modes.aggregated import FILLED, Aggregated
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.disaggregated import Disaggregated
from roofline_afd.serving.modes.points import alike, joined, take
from roofline_afd.serving.modes.pools import ways_to_prefill
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question

MORE = (1.0, 1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6, 2.0, 3.0, 5.0)
"""Shares of the replicas that throughput alone asks for, tried where requests would wait too long."""
WORTH = 0.8
"""Throughput over the best below which a size is not worth the devices that a rounder fleet would save."""
EARLY = 0.5
"""Share of the time to the first token allowed that leaves room to wait."""
FEW_NODES, LARGEST_REPLICA = 64, 128
"""Devices of the largest replicas that are looked at, within a domain or beyond."""
LIKELY = 128
"""Ways to prefill, the cheapest without waiting, whose waits are looked at."""
KEPT = 64
"""Cheapest fleets whose price is settled exactly."""


class Need(NamedTuple):
    """What a fleet is built for."""

    requests_per_s: float
    share: float
    """Of requests that meet the limits, above a half; 0 where their means do [1]."""
    deviations: float
    """Standard deviations of a normal number that so large a share is below [1]."""


class Weights(NamedTuple):
    """What a device costs, by side and pool: any unit, the same for all."""

    attention: float
    ffn: float
    together: float
    prefill_attention: float
    prefill_ffn: float


@dataclasses.dataclass(frozen=True)
class FleetFound:
    """The cheapest fleets of a mode, each a point; none, and why, where no fleet serves the need."""

    mode: str
    points: Points
    refusal: str = ""
    least_ttft: float = math.inf
    least_tpot: float = math.inf


def cheapest_fleets(
    question: Question, mode: str, need: Need, weights: Weights, *, total: Callable[[Points], FloatArray]
) -> FleetFound:
    """Search the fleets of a serving mode.

    Parameters
    ----------
    question : Question
        Requests and limits; its devices are the most of a replica.
    mode : str
        A member of `SERVING_MODES`.
    need : Need
        Requests a second, and how many of them are to be in time.
    weights : Weights
        Prices, to find the cheapest by.
    total : callable
        Takes fleets, returns what each comes to once it is bought as it is sold.

    Returns
    -------
    FleetFound
        Fleets, the cheapest first.
    """
    asked = _Asked(question, mode, need, weights, total)
    return _apart(asked) if mode in {PD, PD_AFD} else _together(asked)


class _Asked(NamedTuple):
    """What a search of fleets is asked: as `cheapest_fleets`."""

    question: Question
    mode: str
    need: Need
    weights: Weights
    total: Callable[[Points], FloatArray]

    @property
    def inner(self) -> str:
        """Whether replicas do both sides on all devices."""
        return AFD if self.mode in {AGG_AFD, PD_AFD} else EP

    @property
    def attention_weight(self) -> float:
        """What a device of the attention side costs, or one that does both."""
        return self.weights.attention if self.inner == AFD else self.weights.together


class _BySize(Aggregated):
    """Replicas that do both phases, the best of every size; prompts come at random."""

    def __init__(self, question: Question, mode: str) -> None:
        super().__init__(question, mode)
        self.filled = FILLED
        self.chunks = chunk_sizes(question.workload.isl, question.chunk_tokens, per_octave=1)

    def promising(self, bounds: Points, every: Points) -> Rows:
        """Return the shapes that may serve more than any known deployment of their size."""
        best: dict[float, float] = {}
        if every:
            sizes = (every["attention"] + every["ffn"]).tolist()
            for size, rate in zip(sizes, every["rate"].tolist(), strict=True):
                best[size] = max(best.get(size, 0.0), rate)
        least = WORTH * max(best.values(), default=0.0)
        own = [max(best.get(size, 0.0), least) for size in (bounds["attention"] + bounds["ffn"]).tolist()]
        return np.flatnonzero(bounds["bound"] >= np.array(own) * (1.0 - SAME))

    def kept(self, points: Points) -> Points:
        """Return the one of each size that serves most, and the one that does so early in the limit."""
        if not points["rate"].size:
            return points
        size, rate = points["attention"] + points["ffn"], points["rate"]
        early = points["ttft"] <= self.question.ttft_limit * EARLY
        found = []
        for rows in (np.arange(rate.size), np.flatnonzero(early)):
            order = rows[np.lexsort((-rate[rows], size[rows]))]
            found.append(order[np.unique(size[order], return_index=True)[1]])
        return take(points, np.unique(np.concatenate(found)))


def _together(asked: _Asked) -> FleetFound:
    """Return fleets whose replicas do both phases."""
    question, mode, need, weights, total = asked
    searching = _BySize(question, asked.inner)
    every = searching.search()
    if not every or not every["rate"].size:
        return FleetFound(mode, {}, searching.refusal(), *searching.least[:2])
    work = question.workload
    each = every["rate"] * question.devices / every["replicas"] / work.osl
    wanted = _wanted(need, need.requests_per_s * work.osl * every["tpot"], each)
    size = every["attention"] * asked.attention_weight + every["ffn"] * weights.ffn
    likely = np.argsort(wanted * size, kind="stable")[:LIKELY]
    every, each, size = take(every, likely), each[likely], size[likely]
    replicas, ttft = _in_time(
        need,
        question,
        wanted[likely],
        groups=every["attention"] / every["tp"],
        service=np.maximum(every["cycle"] * work.isl / every["chunk"], every["loading"]),
        first=every["ttft"] + need.share * (every["every"] + 1.0) / 2.0 * every["pure"],
    )
    columns = {**every, "replicas": replicas, "ttft_late": ttft, "each": each}
    fits = np.flatnonzero(np.isfinite(ttft) & (ttft <= question.ttft_limit))
    points = take(columns, fits)
    if not fits.size:  # requests wait too long, or without end
        refusal = FIRST_TOKEN if np.any(np.isfinite(ttft)) else REQUEST_RATE
        return FleetFound(mode, {}, refusal, float(np.min(ttft)), searching.least[1])
    return FleetFound(mode, _settled(points, points["replicas"] * size[fits], total))


def _apart(asked: _Asked) -> FleetFound:
    """Return fleets of two pools: the cheapest that decodes, with the cheapest that prefills for it."""
    question, mode, need, weights, total = asked
    searching = Disaggregated(question, asked.inner)
    searching.ways = ways_to_prefill(question, searching.prefill)
    decode = searching.pool.on_grid(math.inf)
    if not (searching.ways and decode):
        tpot = searching.pool.least_tpot
        slow = bool(searching.ways) and tpot > question.tpot_limit
        refusal = LATENCY if slow else searching.refusal()
        return FleetFound(mode, {}, refusal, least_tpot=tpot)
    settled = searching.pool.settled(decode)
    decode = joined(each for each in (decode, settled) if each)
    work = question.workload
    held = need.requests_per_s * work.osl * decode["tpot"]
    replicas = _wanted(need, held, decode["d_rate"])
    side = asked.attention_weight
    cost = replicas * (decode["attention"] * side + decode["ffn"] * weights.ffn)
    found: list[Points] = []
    least = math.inf
    for rows in alike(decode["tp"]):
        ways = searching.ways_to(int(decode["tp"][rows[0]]))
        least = min(least, float(np.min(ways["ttft"])))
        ways = take(ways, np.flatnonzero(ways["ttft"] <= question.ttft_limit))
        if not ways["ttft"].size:
            continue
        each = ways["p_attention"] * weights.prefill_attention + ways["p_ffn"] * weights.prefill_ffn
        least_number = _wanted(need._replace(deviations=0.0), np.ones(each.shape), ways["p_rate"])
        likely = np.argsort(least_number * each, kind="stable")[:LIKELY]
        ways, each = take(ways, likely), each[likely]
        number, first = _in_time(
            need,
            question,
            least_number[likely],
            groups=ways["p_attention"] / ways["p_tp"],
            service=ways["p_service"],
            first=ways["ttft"] + need.share * ways["p_step"] * (work.isl < ways["chunk"]),
        )
        in_time = np.isfinite(first) & (first <= question.ttft_limit)
        price = np.where(in_time, number * each, np.inf)
        best = np.argsort(price, kind="stable")[:8]
        best = best[np.isfinite(price[best])]
        cheap = rows[np.argsort(cost[rows], kind="stable")[:KEPT]]
        if not best.size:
            continue
        way, row = (each.ravel() for each in np.meshgrid(best, cheap, indexing="ij"))
        found.append(
            {
                **take(ways, way),
                **take(decode, row),
                "replicas": replicas[row],
                "p_replicas": number[way],
                "ttft_late": first[way],
                "each": decode["d_rate"][row],
                "price": price[way] + cost[row],
            }
        )
    points = joined(found)
    if not points or not points["price"].size:
        return FleetFound(mode, {}, FIRST_TOKEN, least_ttft=least)
    return FleetFound(mode, _settled(points, points["price"], total))


def _wanted(need: Need, held: Numbers, each: Numbers) -> Numbers:
    """Return the replicas that requests in flight at their peak ask for; `held` are those of the mean [1]."""
    peak = queueing.peak_of_poisson(mean=held, deviations=need.deviations) / np.maximum(held, SAME)
    found: Numbers = least_whole(need.requests_per_s * peak / each)
    return found


def _in_time(
    need: Need, question: Question, wanted: Numbers, *, groups: Numbers, service: Numbers, first: Numbers
) -> tuple[Numbers, Numbers]:
    """Return the fewest replicas whose requests do not wait too long, and the time to their first token."""
    replicas = np.full(wanted.shape, np.inf)
    ttft = np.full(wanted.shape, np.inf)
    for more in MORE:
        open_ = np.flatnonzero(~(np.isfinite(ttft) & (ttft <= question.ttft_limit)))
        if not open_.size:
            break
        number = least_whole(wanted[open_] * more)
        servers = np.maximum(number * groups[open_], 1.0)
        if need.share:
            wait = queueing.waiting_percentile(
                servers=servers,
                rate=need.requests_per_s,
                service=service[open_],
                variation=question.prompt_variation,
                percentile=need.share,
            )
        else:
            wait = np.where(need.requests_per_s * service[open_] < servers, 0.0, np.inf)
        replicas[open_], ttft[open_] = number, first[open_] + wait
    return replicas, ttft


def _settled(points: Points, cost: Numbers, total: Callable[[Points], FloatArray]) -> Points:
    """Return the cheapest fleets, in the order of what they come to as they are sold."""
    rows = np.argsort(cost, kind="stable")[:KEPT]
    points = take(points, rows)
    return take(points, np.lexsort((cost[rows], np.asarray(total(points)))))


def sized(question: Question) -> Question:
    """Return a question about replicas of any size up to a domain, or some nodes, whatever the cluster."""
    domain = max(
        pool.side(side).scale_up_domain_devices
        for pool in (question.scenario, question.prefill)
        for side in ("attention", "ffn")
    )
    most = min(max(domain, FEW_NODES), LARGEST_REPLICA, question.scenario.max_devices)
    return attrs.evolve(question, devices=most, request_rate=None)
