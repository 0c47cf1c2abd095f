"""The cheapest fleet of a candidate and serving mode: devices as sold, and what a request costs by part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.purchase.candidates import candidate_name
from roofline_afd.analysis.purchase.costs import Device, cost_of, device_of, power_basis, watts_of
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.limits import FIRST_TOKEN, LATENCY
from roofline_afd.serving.modes.fleets import FleetFound, Need, Weights, cheapest_fleets, sized
from roofline_afd.serving.modes.profiles import prompt_time
from roofline_afd.serving.modes.question import PD, PD_AFD, Question
from roofline_afd.serving.modes.sold import unit_of, units_filled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.purchase.costs import Buyer
    from roofline_afd.analysis.purchase.wanted import Spares, Wanted
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload


class Terms(NamedTuple):
    """What fleets are for, and on whose terms they are bought."""

    wanted: Wanted
    need: Need
    limits: Mapping[str, float | None]
    spares: Spares
    buyer: Buyer


class _Pool(NamedTuple):
    """Replicas alike, spares among them."""

    name: str
    attention: int
    ffn: int
    replicas: int

    @property
    def size(self) -> int:
        """Devices of a replica."""
        return self.attention + self.ffn


@attrs.frozen
class Candidate:
    """A system: the question about it, and what its devices cost and draw."""

    name: str
    question: Question
    devices: dict[str, Device]


def candidate_of(
    scenario: Scenario,
    wanted: Wanted,
    limits: Mapping[str, float | None],
    buyer: Buyer,
    notes: list[str],
) -> Candidate:
    """Return a candidate: its question, and what its devices cost."""
    if scenario.batch is not None or scenario.devices is not None:
        raise InputError("--batch and --devices are found: leave them out where whole requests are asked for")
    asked = attrs.evolve(scenario, tpot_ms=limits["tpot_ms"])
    question = sized(
        Question(
            scenario=asked,
            prefill=asked,
            workload=wanted.workload,
            devices=asked.max_devices,
            ttft_ms=limits["ttft_ms"],
            tpot_ms=limits["tpot_ms"],
            prompt_variation=wanted.variation,
        )
    )
    devices = {side: device_of(scenario.side(side), buyer, notes) for side in ("attention", "ffn")}
    return Candidate(candidate_name(scenario), question, devices)


def service_row(candidate: Candidate, mode: str, terms: Terms) -> dict[str, Any]:
    """Return the cheapest fleet of a mode as a row."""
    question = candidate.question
    prices = {
        side: cost_of({side: 1}, candidate.devices, terms.buyer)["usd_per_hour"] or 1.0
        for side in ("attention", "ffn")
    }
    each = Weights(prices["attention"], prices["ffn"], prices["ffn"], prices["attention"], prices["ffn"])

    def total(points: Points) -> FloatArray:
        fleets = (
            {key: float(column[row]) for key, column in points.items()} for row in range(points["tpot"].size)
        )
        return np.array(
            [
                sum(
                    prices[side] * count for side, count in _counts(question, mode, one, terms.spares).items()
                )
                for one in fleets
            ]
        )

    found = cheapest_fleets(question, mode, terms.need, each, total=total)
    if not found.points:
        return _refused(candidate, mode, found)
    point = {key: float(column[0]) for key, column in found.points.items()}
    return _priced(candidate, mode, point, terms)


def _refused(candidate: Candidate, mode: str, found: FleetFound) -> dict[str, Any]:
    least = {FIRST_TOKEN: found.least_ttft, LATENCY: found.least_tpot}.get(found.refusal)
    told = found.refusal
    if least is not None and math.isfinite(least):
        told += f", the least is {least * 1e3:.4g} ms"
    return {"system": candidate.name, "mode": mode, "feasible": False, "binding": told}


def _pools(mode: str, point: Mapping[str, float], spares: Spares) -> list[_Pool]:
    """Return the pools of a fleet."""
    replicas = round(point["replicas"])
    pools = [_Pool("decode", round(point["attention"]), round(point["ffn"]), replicas + spares.of(replicas))]
    if mode in {PD, PD_AFD}:
        many = round(point["p_replicas"])
        own = (round(point["p_attention"]), round(point["p_ffn"]), many + spares.of(many))
        pools.insert(0, _Pool("prefill", *own))
    return pools


def _counts(question: Question, mode: str, point: Mapping[str, float], spares: Spares) -> dict[str, int]:
    """Return the devices sold of each side: whole nodes or racks, of all pools together."""
    scenario = question.scenario
    sides = {side: scenario.side(side) for side in ("attention", "ffn")}
    pools = _pools(mode, point, spares)
    if sides["attention"].id == sides["ffn"].id:
        unit = unit_of(sides["ffn"])
        held = units_filled(((pool.size, pool.replicas) for pool in pools), unit)
        return {"attention": 0, "ffn": held * unit}
    found = {}
    for side, system in sides.items():
        parts = [(getattr(pool, side), pool.replicas) for pool in pools if getattr(pool, side)]
        found[side] = unit_of(system) * units_filled(parts, unit_of(system))
    return found


def _priced(candidate: Candidate, mode: str, point: Mapping[str, float], terms: Terms) -> dict[str, Any]:
    """Return a fleet as a row: devices, cost by part, power, and what is left when a domain is down."""
    wanted, spares, buyer = terms.wanted, terms.spares, terms.buyer
    question, work = candidate.question, wanted.workload
    counts = _counts(question, mode, point, spares)
    cost = cost_of(counts, candidate.devices, buyer)
    watts = watts_of(counts, candidate.devices, buyer)
    pools = _pools(mode, point, spares)
    used = sum(pool.size * pool.replicas for pool in pools)
    sold = sum(counts.values())
    served = wanted.requests_per_s * buyer.utilization
    per_hour = cost["usd_per_hour"]
    request = (
        None
        if per_hour is None
        else float(economics.usd_per_request(usd_per_hour=per_hour, requests_per_s=served))
    )
    prefill, cached = _shares(question, mode, point, pools)
    unit = unit_of(question.scenario.side("ffn"))
    tokens = served * work.osl
    return {
        "rank": None,
        "system": candidate.name,
        "mode": mode,
        "feasible": True,
        "deployment": _deployment(pools, point),
        "n_devices": used,
        "n_devices_sold": sold,
        "n_idle_devices": sold - used,
        "n_units_sold": sold // unit,
        "unit_devices": unit,
        "n_replicas": round(point["replicas"]),
        "n_prefill_replicas": round(point["p_replicas"]) if "p_replicas" in point else None,
        "n_attention_devices": round(point["attention"]) if point["ffn"] else None,
        "n_ffn_devices": round(point["ffn"]) or None,
        "n_prefill_attention_devices": round(point["p_attention"]) if "p_attention" in point else None,
        "n_prefill_ffn_devices": round(point["p_ffn"]) if "p_ffn" in point else None,
        "tensor_parallel": round(point["tp"]),
        "prefill_tensor_parallel": round(point["p_tp"]) if "p_tp" in point else None,
        "microbatches": round(point["m"]),
        "batch_per_group": round(point["batch"]),
        "chunk_tokens": point["chunk"],
        "ttft_ms": point["ttft"] * 1e3,
        "tpot_ms": point["tpot"] * 1e3,
        "ttft_p95_ms": point["ttft_late"] * 1e3,
        "tpot_p95_ms": point["tpot"] * 1e3,
        "simulated": False,
        "requests_per_s": wanted.requests_per_s,
        "tokens_per_s_per_device": wanted.requests_per_s * work.osl / sold,
        "capacity_one_unit_down": _one_down(point, pools, unit),
        "usd_per_hour": per_hour,
        "usd_per_request": request,
        "usd_per_million_tokens": None if request is None else request / work.osl * 1e6,
        **_split(request, work, prefill, cached),
        "prefill_cost_share": prefill,
        "capex_usd": cost["capex_usd"],
        "power_kw": None if watts is None else watts * 1e-3,
        "power_basis": power_basis(counts, candidate.devices),
        "watts_per_token_per_s": None if watts is None else watts / tokens,
        "break_even_price": None,
        "binding": None,
        "point": dict(point),
    }


def _split(request: float | None, work: Workload, prefill: float, cached: float) -> dict[str, float | None]:
    """Return what a million tokens of each kind cost, so that those of a request add up to what it costs."""
    kinds = {
        "input": (prefill * (1.0 - cached), work.isl),
        "cached": (prefill * cached, work.prefix),
        "output": (1.0 - prefill, work.osl),
    }
    return {
        f"usd_per_million_{kind}_tokens": None
        if request is None or not tokens
        else request * share / tokens * 1e6
        for kind, (share, tokens) in kinds.items()
    }


def _shares(
    question: Question, mode: str, point: Mapping[str, float], pools: Sequence[_Pool]
) -> tuple[float, float]:
    """Return the share of a request's cost that its prompt has, and what of it cached tokens add.

    By devices where pools are apart, else by what prompts add to the mean step; of that, what falls away
    where nothing was cached.
    """
    if mode in {PD, PD_AFD}:
        sizes = {pool.name: pool.size * pool.replicas for pool in pools}
        prefill = sizes["prefill"] / sum(sizes.values())
    else:
        prefill = 1.0 - point["pure"] / (point["tpot"] * question.scenario.accept_length)
    if not question.workload.prefix:
        return prefill, 0.0
    fresh = attrs.evolve(question, workload=attrs.evolve(question.workload, prefix=0))
    whole, alone = (prompt_time(asked, mode, point) for asked in (question, fresh))
    return prefill, min(max(1.0 - alone / whole, 0.0), 1.0) if whole > 0 else 0.0


def _deployment(pools: Sequence[_Pool], point: Mapping[str, float]) -> str:
    """Return a fleet in a few words: P 3 x 8, D 2 x (24A+16F) TP2."""
    told = []
    for pool in pools:
        heads = round(point["p_tp" if pool.name == "prefill" else "tp"])
        size = f"({pool.attention}A+{pool.ffn}F)" if pool.ffn else f"{pool.attention}"
        letter = {"prefill": "P ", "decode": "D " if len(pools) > 1 else ""}[pool.name]
        told.append(f"{letter}{pool.replicas} x {size}" + (f" TP{heads}" if heads > 1 else ""))
    return ", ".join(told)


def _one_down(point: Mapping[str, float], pools: Sequence[_Pool], unit: int) -> float:
    """Return the share of the load that is served while a node or rack of the worse pool is down.

    A replica is lost as a whole with any device of it: it is the failure domain.
    """
    needed = {"decode": round(point["replicas"]), "prefill": round(point.get("p_replicas", 0.0))}
    shares = []
    for pool in pools:
        lost = max(unit // pool.size, 1)
        shares.append(max(pool.replicas - lost, 0) / needed[pool.name])
    return min(1.0, *shares)
