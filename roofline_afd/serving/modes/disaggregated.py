"""Modes that prefill and decode on devices of their own: pools matched to each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics import serving_modes
from roofline_afd.serving.batches import least_whole
from roofline_afd.serving.limits import (
    CLUSTER,
    FABRIC,
    FIRST_TOKEN,
    LATENCY,
    MEMORY,
    PREFILL,
    REQUEST_RATE,
    SAME,
)
from roofline_afd.serving.modes.points import alike, frontier_rows, joined, take, undominated
from roofline_afd.serving.modes.pools import DecodePool, ways_to_prefill
from roofline_afd.serving.modes.transfer import CacheTransfer
from roofline_afd.serving.modes.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question

DECODE = "decode"


class Disaggregated:
    """Prefill and decode on devices of their own, the cache of each prompt sent from one to the other."""

    def __init__(self, question: Question, mode: str) -> None:
        work = question.workload
        self.question = question
        self.prefill = Workers(question, question.prefill, mode, held=work.prompt)
        self.decode = Workers(question, question.scenario, mode, held=work.held)
        self.transfer = CacheTransfer(question, self.prefill, self.decode)
        self.pool = DecodePool(question, self.decode, self.transfer)
        self.ways: Points = {}
        self.least = [math.inf, math.inf, math.inf]
        self.examined = 0

    def search(self) -> Points:
        """Search every pair of pools: their replicas, micro-batches, chunk and batch."""
        self.ways = ways_to_prefill(self.question, self.prefill)
        least_room = float(np.min(self.ways["p_room"])) if self.ways else math.inf
        decode = self.pool.on_grid(self.question.devices - least_room)
        self.least[1] = self.pool.least_tpot
        self.examined = self.pool.examined + (self.ways["chunk"].size if self.ways else 0)
        if not (self.ways and decode):
            return {}
        return joined(self._matched(each) for each in (decode, self.pool.settled(decode)) if each)

    def _matched(self, decode: Points) -> Points:
        """Return, for each decoding replica, the pools that serve most requests within all limits."""
        parts = (take(decode, rows) for rows in alike(decode["tp"]))
        return joined(self._matched_to(part, int(part["tp"][0])) for part in parts)

    def _matched_to(self, decode: Points, tp: int) -> Points:
        """Return the same for decoding groups that share heads alike, as the cache moves alike to all."""
        question, work = self.question, self.question.workload
        late = question.first_token == DECODE
        d_rate = decode["d_rate"]
        ways = self.ways_to(tp)
        self._note_least(ways["p_room"], ways["ttft"], decode)
        ways = take(ways, np.flatnonzero(ways["ttft"] <= question.ttft_limit))
        if not ways["ttft"].size:
            return {}
        ways = take(ways, self._worth(ways))
        counts = np.floor((question.devices - float(np.min(decode["room"]))) / ways["p_room"]).astype(int)
        way = np.repeat(np.arange(counts.size), np.maximum(counts, 0))
        if not way.size:
            return {}
        starts = np.repeat(np.cumsum(np.maximum(counts, 0)) - np.maximum(counts, 0), np.maximum(counts, 0))
        number = np.arange(way.size) - starts + 1.0
        left = question.devices - number * ways["p_room"][way] + SAME
        ttft = ways["ttft"][way]
        if question.request_rate is not None:
            groups = number * (ways["p_attention"] / ways["p_tp"])[way]
            ttft = ttft + serving_modes.waiting_time(
                rate=question.request_rate / groups,
                service=ways["p_service"][way],
                variation=question.prompt_variation,
            )
        chosen = np.zeros(decode["size"].size, dtype=int)
        best = np.zeros(decode["size"].size)
        for start in range(0, decode["size"].size, 64):
            part = slice(start, start + 64)
            replicas = np.floor(left[:, None] / decode["room"][None, part])
            rate = serving_modes.matched_rate(
                prefill_replicas=number[:, None],
                prefill_rate=ways["p_rate"][way][:, None],
                decode_replicas=replicas,
                decode_rate=d_rate[None, part],
            )
            waited = ttft[:, None] + (decode["pure"][None, part] if late else 0.0)
            rate = np.where((waited <= question.ttft_limit) & np.isfinite(waited), rate, 0.0)
            self.examined += rate.size
            chosen[part] = np.argmax(rate, axis=0)
            best[part] = np.max(rate, axis=0)
        enough = best > 0 if question.request_rate is None else best >= question.request_rate
        rows = np.flatnonzero(enough)
        chosen = chosen[rows]
        pick = way[chosen]
        columns = {key: column[pick] for key, column in ways.items()}
        columns |= take(decode, rows)
        columns["ttft"] = ttft[chosen] + (columns["pure"] if late else 0.0)
        columns["p_replicas"] = number[chosen]
        columns["replicas"] = np.floor(left[chosen] / columns["room"])
        columns["d_rate"] = d_rate[rows]
        columns["rate"] = best[rows] * work.osl / question.devices
        return columns

    def served(self, decode: Points) -> Points:
        """Return decoding replicas, so many of each, with the prefill pool that answers first and keeps up.

        All share heads alike; those that no prefill pool keeps up with within the limits are left out.
        """
        question, work = self.question, self.question.workload
        late = decode["pure"] if question.first_token == DECODE else np.zeros(decode["pure"].shape)
        ways = self.ways_to(int(decode["tp"][0]))
        ways = take(ways, _frontier_of_rooms(ways))
        wanted = decode["d_rate"] * decode["replicas"] * decode["busy"]
        left = question.devices - decode["replicas"] * decode["room"] + SAME
        number = np.maximum(least_whole(wanted / ways["p_rate"][:, None]), 1.0)
        fits = number * ways["p_room"][:, None] <= left
        first = np.where(fits, ways["ttft"][:, None], np.inf) + late
        best, lines = np.argmin(first, axis=0), np.arange(wanted.size)
        rows = np.flatnonzero(first[best, lines] <= min(question.ttft_limit, np.finfo(float).max))
        columns = {key: column[best[rows]] for key, column in ways.items()} | take(decode, rows)
        columns["ttft"] = first[best, lines][rows]
        columns["p_replicas"] = number[best, lines][rows]
        columns["rate"] = wanted[rows] * work.osl / question.devices
        return columns

    def ways_to(self, tp: int) -> Points:
        """Return the ways to prefill with their time to the first token, the cache moved to such groups."""
        prefill = self.ways
        moving = np.asarray(self.transfer.time(prefill["p_tp"], tp)) + np.zeros(prefill["p_tp"].shape)
        exposed = moving
        if self.question.kv_overlap:
            exposed = np.maximum(moving - prefill["p_step"], 0.0) + moving / self.decode.scenario.model.layers
        p_rate = np.minimum(prefill["p_rate"], self.transfer.sent(prefill["p_attention"], tp))
        return {**prefill, "p_rate": p_rate, "ttft": prefill["p_ttft"] + exposed, "kv": moving}

    def _note_least(self, room: Numbers, first: Numbers, decode: Points) -> None:
        """Note the least time to the first token, and times time per output token, of two pools that fit."""
        order = np.argsort(room)
        quickest = np.minimum.accumulate(first[order])
        last = np.searchsorted(room[order], self.question.devices - decode["room"] + SAME, side="right")
        fits = np.flatnonzero(last)
        if not fits.size:
            return
        late = decode["pure"][fits] if self.question.first_token == DECODE else 0.0
        ttft = quickest[last[fits] - 1] + late
        self.least[0] = min(self.least[0], float(np.min(ttft)))
        self.least[2] = min(self.least[2], float(np.min(ttft * decode["tpot"][fits])))

    def _worth(self, ways: Points) -> Rows:
        """Return the ways to prefill that can be best: the fastest of each room, or all not dominated."""
        question = self.question
        rooms = alike(ways["p_room"])
        if question.request_rate is not None:  # a wait grows with one's own service, and with the load
            service = ways["p_service"]
            own = ways["p_attention"] / ways["p_tp"] / service
            costs = np.stack([ways["ttft"], -ways["p_rate"], -own, service], axis=1)
            return np.concatenate([rows[undominated(costs[rows])] for rows in rooms])
        if question.first_token == DECODE:
            return _frontier_of_rooms(ways)
        return np.array([rows[np.argmax(ways["p_rate"][rows])] for rows in rooms])

    def quickest(self, points: Points) -> Points:
        """Return the same deployments with prefill pools that are quicker at the same rate."""
        if self.question.request_rate is not None:  # waits depend on the pool as a whole
            return points
        found = {key: column.copy() for key, column in points.items()}
        for rows in alike(points["tp"]):
            ways = self.ways_to(int(points["tp"][rows[0]]))
            ways = take(ways, _frontier_of_rooms(ways))
            wanted = points["rate"][rows] * self.question.devices / self.question.workload.osl
            number = least_whole(wanted / ways["p_rate"][:, None])
            left = self.question.devices - points["replicas"][rows] * points["room"][rows] + SAME
            fits = number * ways["p_room"][:, None] <= left
            first = np.where(fits, ways["ttft"][:, None], np.inf)
            best = np.argmin(first, axis=0)
            lines = np.arange(rows.size)
            late = points["pure"][rows] if self.question.first_token == DECODE else 0.0
            sooner = np.flatnonzero(first[best, lines] + late < points["ttft"][rows] * (1.0 - SAME))
            for key, column in ways.items():
                found[key][rows[sooner]] = column[best[sooner]]
            found["ttft"][rows[sooner]] = (first[best, lines] + late)[sooner]
            found["p_replicas"][rows[sooner]] = number[best, lines][sooner]
        return found

    def binding(self, best: Mapping[str, float]) -> str:
        """Return the pool that limits the best, and what forbids that pool more."""
        if best["p_replicas"] * best["p_rate"] < best["replicas"] * best["d_rate"] * (1.0 - SAME):
            return PREFILL
        return self.pool.binding(best)

    def refusal(self) -> str:
        """Return the constraint that rules every deployment out."""
        if not (self.ways and self.pool.fits):
            refusals = (self.prefill.refusal, self.decode.refusal)
            return next((refusal for refusal in refusals if refusal != MEMORY), MEMORY)
        if not self.transfer.possible:
            return FABRIC
        if not self.pool.found_room:
            return CLUSTER
        if self.least[1] > self.question.tpot_limit:
            return LATENCY
        if self.least[0] > self.question.ttft_limit:
            return FIRST_TOKEN
        return CLUSTER if self.question.request_rate is None else REQUEST_RATE


def _frontier_of_rooms(ways: Points) -> Rows:
    """Return the ways to prefill that no other of their room beats in both time and rate."""
    return np.concatenate(
        [rows[frontier_rows(ways["ttft"][rows], ways["p_rate"][rows])] for rows in alike(ways["p_room"])]
    )
