"""The cheapest fleet of a candidate and serving mode: devices as sold, and what a request costs by part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.purchase.candidates import candidate_name
from roofline_afd.analysis.purchase.costs import Device, cost_of, device_of, monthly, power_basis, watts_of
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.limits import FIRST_TOKEN, LATENCY
from roofline_afd.serving.modes.fleets import FleetFound, Need, Weights, cheapest_fleets, sized
from roofline_afd.serving.modes.profiles import prompt_time
from roofline_afd.serving.modes.question import PD, PD_AFD, Question
from roofline_afd.serving.modes.sold import unit_of, units_filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.analysis.purchase.costs import Buyer
    from roofline_afd.analysis.purchase.wanted import Spares, Wanted
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload


SIDES = ("attention", "ffn")
TO = ":"
"""Between the system that prefills and the one that decodes, in the name of a candidate."""


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
    scenario: Scenario

    @property
    def size(self) -> int:
        """Devices of a replica."""
        return self.attention + self.ffn

    @property
    def unit(self) -> int:
        """Devices that those of a replica are sold by, and lost by."""
        return max(unit_of(self.scenario.side(side)) for side in SIDES if getattr(self, side))

    def parts(self) -> Iterator[tuple[System, int]]:
        """Yield what a replica has of each system."""
        attention, ffn = (self.scenario.side(side) for side in SIDES)
        if attention.id == ffn.id:
            yield ffn, self.size
            return
        yield from ((system, devices) for system, devices in ((attention, self.attention), (ffn, self.ffn)))


@attrs.frozen
class Candidate:
    """A system, or several: the question about it, and what a device of each costs and draws."""

    name: str
    question: Question
    devices: dict[str, Device]
    """By the id of the system."""
    mixed: bool
    """Whether another system prefills than decodes."""


def candidate_of(
    scenario: Scenario, terms: Terms, notes: list[str], prefill: System | None = None
) -> Candidate:
    """Return a candidate: its question, and what its devices cost; `prefill` is a system of that pool."""
    wanted, limits, buyer = terms.wanted, terms.limits, terms.buyer
    if scenario.batch is not None or scenario.devices is not None:
        raise InputError("--batch and --devices are found: leave them out where whole requests are asked for")
    asked = attrs.evolve(scenario, tpot_ms=limits["tpot_ms"])
    before = asked
    if prefill is not None:
        before = attrs.evolve(asked, system=prefill, attention_system=None, ffn_system=None)
    question = sized(
        Question(
            scenario=asked,
            prefill=before,
            workload=wanted.workload,
            devices=asked.max_devices,
            ttft_ms=limits["ttft_ms"],
            tpot_ms=limits["tpot_ms"],
            prompt_variation=wanted.variation,
            loading=wanted.loading,
        )
    )
    systems = {each.id: each for pool in (asked, before) for each in map(pool.side, SIDES)}
    devices = {name: device_of(system, buyer, notes) for name, system in systems.items()}
    own = candidate_name(scenario)
    name = own if prefill is None else f"{prefill.id}{TO}{own}"
    return Candidate(name, question, devices, prefill is not None)


def service_row(candidate: Candidate, mode: str, terms: Terms) -> dict[str, Any]:
    """Return the cheapest fleet of a mode as a row."""
    question = candidate.question
    prices = _prices(candidate, terms.buyer)
    attention, ffn, *before = (
        prices[pool.side(side).id] for pool in (question.scenario, question.prefill) for side in SIDES
    )
    each = Weights(attention, ffn, ffn, *before)

    def total(points: Points) -> FloatArray:
        fleets = (
            {key: float(column[row]) for key, column in points.items()} for row in range(points["tpot"].size)
        )
        counts = (_counts(_pools(question, mode, one, terms.spares)) for one in fleets)
        return np.array([sum(prices[name] * many for name, many in one.items()) for one in counts])

    found = cheapest_fleets(question, mode, terms.need, each, total=total)
    if not found.points:
        return _refused(candidate, mode, found)
    point = {key: float(column[0]) for key, column in found.points.items()}
    return _priced(candidate, mode, point, terms)


def _prices(candidate: Candidate, buyer: Buyer) -> dict[str, float]:
    """Return what a device of each system costs an hour; all the same where nobody says."""
    return {
        name: cost_of({name: 1}, candidate.devices, buyer)["usd_per_hour"] or 1.0
        for name in candidate.devices
    }


def _refused(candidate: Candidate, mode: str, found: FleetFound) -> dict[str, Any]:
    least = {FIRST_TOKEN: found.least_ttft, LATENCY: found.least_tpot}.get(found.refusal)
    told = found.refusal
    if least is not None and math.isfinite(least):
        told += f", the least is {least * 1e3:.4g} ms"
    return {"system": candidate.name, "mode": mode, "feasible": False, "binding": told}


def _pools(question: Question, mode: str, point: Mapping[str, float], spares: Spares) -> list[_Pool]:
    """Return the pools of a fleet."""
    replicas = round(point["replicas"])
    size = round(point["attention"]), round(point["ffn"])
    pools = [_Pool("decode", *size, replicas + spares.of(replicas), question.scenario)]
    if mode in {PD, PD_AFD}:
        many = round(point["p_replicas"])
        size = round(point["p_attention"]), round(point["p_ffn"])
        pools.insert(0, _Pool("prefill", *size, many + spares.of(many), question.prefill))
    return pools


def _counts(pools: Sequence[_Pool]) -> dict[str, int]:
    """Return the devices sold of each system: whole nodes or racks, of all pools together."""
    return {system.id: unit_of(system) * len(units) for system, units in _units(pools)}


def _units(pools: Sequence[_Pool]) -> list[tuple[System, list[dict[str, int]]]]:
    """Return the nodes or racks of each system, with the devices of each pool in them."""
    systems: dict[str, System] = {}
    parts: dict[str, list[tuple[str, int, int]]] = {}
    for pool in pools:
        for system, devices in pool.parts():
            if devices:
                systems[system.id] = system
                parts.setdefault(system.id, []).append((pool.name, devices, pool.replicas))
    return [(system, units_filled(parts[name], unit_of(system))) for name, system in systems.items()]


def _units_told(units: Sequence[tuple[System, list[dict[str, int]]]]) -> str:
    """Return nodes or racks in a few words: 3 x 8, or 3 x 8 h20 and 1 x 72 gb200-nvl72."""
    if len(units) == 1:
        ((system, held),) = units
        return f"{len(held)} x {unit_of(system)}"
    return " and ".join(f"{len(held)} x {unit_of(system)} {system.id}" for system, held in units)


def _racks(units: Sequence[tuple[System, list[dict[str, int]]]]) -> list[dict[str, Any]]:
    """Return nodes or racks alike together: how many, of which system, and what each holds of each pool."""
    found: dict[tuple[str, int, int, int], int] = {}
    for system, held in units:
        for each in held:
            key = (system.id, unit_of(system), each.get("prefill", 0), each.get("decode", 0))
            found[key] = found.get(key, 0) + 1
    names = ("system", "unit_devices", "prefill_devices", "decode_devices")
    return [{**dict(zip(names, key, strict=True)), "units": many} for key, many in found.items()]


def _priced(candidate: Candidate, mode: str, point: Mapping[str, float], terms: Terms) -> dict[str, Any]:
    """Return a fleet as a row: devices, cost by part, power, and what is left when a domain is down."""
    wanted, spares, buyer = terms.wanted, terms.spares, terms.buyer
    question, work = candidate.question, wanted.workload
    pools = _pools(question, mode, point, spares)
    units, counts = _units(pools), _counts(pools)
    cost = cost_of(counts, candidate.devices, buyer)
    watts = watts_of(counts, candidate.devices, buyer)
    used = sum(pool.size * pool.replicas for pool in pools)
    sold = sum(counts.values())
    served = wanted.requests_per_s * buyer.utilization
    per_hour = cost["usd_per_hour"]
    request = (
        None
        if per_hour is None
        else float(economics.usd_per_request(usd_per_hour=per_hour, requests_per_s=served))
    )
    prefill, cached = _shares(question, mode, point, pools, _prices(candidate, buyer))
    sold_by = {unit_of(system) for system, _ in units}
    tokens = served * work.osl
    return {
        "rank": None,
        "system": candidate.name,
        "prefill_system": question.prefill.side("ffn").id if candidate.mixed else None,
        "mode": mode,
        "feasible": True,
        "deployment": _deployment(pools, point),
        "n_devices": used,
        "n_devices_sold": sold,
        "n_idle_devices": sold - used,
        "n_units_sold": sum(len(held) for _, held in units),
        "unit_devices": sold_by.pop() if len(sold_by) == 1 else None,
        "units": _units_told(units),
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
        "capacity_one_unit_down": _one_down(point, pools),
        "usd_per_hour": per_hour,
        "usd_per_month": monthly(per_hour),
        "usd_per_request": request,
        "usd_per_million_tokens": None if request is None else request / work.osl * 1e6,
        **_split(request, work, prefill, cached),
        "prefill_cost_share": prefill,
        "cached_cost_share": cached,
        "capex_usd": cost["capex_usd"],
        "power_kw": None if watts is None else watts * 1e-3,
        "power_basis": power_basis(counts, candidate.devices),
        "watts_per_token_per_s": None if watts is None else watts / tokens,
        "break_even_price": None,
        "binding": None,
        "point": dict(point),
        "racks": _racks(units),
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
    question: Question,
    mode: str,
    point: Mapping[str, float],
    pools: Sequence[_Pool],
    prices: Mapping[str, float],
) -> tuple[float, float]:
    """Return the share of a request's cost that its prompt has, and what of it cached tokens add.

    By what devices cost where pools are apart, else by what prompts add to the mean step; of that, what falls
    away where nothing was cached.
    """
    if mode in {PD, PD_AFD}:
        costs = {
            pool.name: pool.replicas * sum(prices[system.id] * devices for system, devices in pool.parts())
            for pool in pools
        }
        prefill = costs["prefill"] / sum(costs.values())
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


def _one_down(point: Mapping[str, float], pools: Sequence[_Pool]) -> float:
    """Return the share of the load that is served while a node or rack of the worse pool is down.

    A replica is lost as a whole with any device of it: it is the failure domain.
    """
    needed = {"decode": round(point["replicas"]), "prefill": round(point.get("p_replicas", 0.0))}
    shares = []
    for pool in pools:
        lost = max(pool.unit // pool.size, 1)
        shares.append(max(pool.replicas - lost, 0) / needed[pool.name])
    return min(1.0, *shares)
