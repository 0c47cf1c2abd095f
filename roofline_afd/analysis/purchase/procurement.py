"""Candidate systems against a demand: devices, cost and power of each, and where their ranking flips."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.rows import row_of
from roofline_afd.analysis.decode.sides import NAMES, search_modes, why_not
from roofline_afd.analysis.purchase.prices import (
    BASES,
    PUE,
    PURCHASE,
    RENT,
    TERMS,
    Power,
    describe_power,
    describe_price,
    power_of,
    price_of,
    terms_of,
)
from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.records import GIVEN
from roofline_afd.errors import InfeasibleError, InputError, nearest, shown
from roofline_afd.physics import economics
from roofline_afd.physics.slots import stationary_load
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import Scenario, choice, finite, whole
from roofline_afd.serving.search import deployment_at, every_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.deployment import Deployment

YEARS, POWER_USD_PER_KWH, UTILIZATION = 4.0, 0.08, 1.0
"""Defaults of buyers' assumptions, all of kind estimated: they are to be replaced by the buyer's own."""
WIDEST = 16.0
"""Factor either way within which a link speed that flips the ranking is looked for."""
CLOSE = 0.01
MOST_TOKENS_PER_S = 1e12
CNY = "CNY"
TABLE_KEYS = (
    "rank",
    "system",
    "mode",
    "n_devices",
    "n_nodes",
    "deployment",
    "tokens_per_s_per_device",
    "usd_per_million_tokens",
    "power_kw",
    "power_basis",
    "tokens_per_joule",
    "break_even_price",
    "binding",
)
PREFILL_NOTE = (
    "decode alone: devices, cost and power of prefill are not in these numbers; `explore` sizes both"
)


class Terms(NamedTuple):
    """A buyer's assumptions."""

    basis: str
    terms: str
    given: Mapping[str, float]
    years: float
    power_usd_per_kwh: float
    pue: float
    utilization: float
    cny_per_usd: float | None


class Demand(NamedTuple):
    """What a fleet is built for."""

    tokens_per_s: float
    users: int | None
    """Users served at once; any number where None."""
    output_tokens: float | None
    """Mean output of a request; None where nothing says [tokens]."""
    source: str
    """How that came about."""


class Fleet(NamedTuple):
    """Replicas of one deployment that serve the demand with fewest devices, or at least cost."""

    deployments: Deployments
    deployment: Deployment
    replicas: int
    tokens_per_s: float
    """Output tokens a second of one replica."""
    sequences: float
    """Sequences that one replica serves at once."""


class Device(NamedTuple):
    """What one device of a system costs and draws; None where nobody says."""

    price: float | None
    power: Power | None
    quote: dict[str, Any] | None = None
    """The price as it was found: value, unit, terms, date, kind."""


def procure(
    scenarios: Sequence[Scenario],
    *,
    demand: float | None = None,
    users: int | None = None,
    user_tokens_per_s: float | None = None,
    trace: Path | None = None,
    trace_scale: float | None = None,
    price_basis: str | None = None,
    price_terms: str | None = None,
    prices: Mapping[str, float] | None = None,
    years: float | None = None,
    power_usd_per_kwh: float | None = None,
    pue: float | None = None,
    utilization: float | None = None,
    cny_per_usd: float | None = None,
) -> Answer:
    """Answer what each candidate system costs to serve a demand, and which is cheapest.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate, alike but for the systems; a pair of systems is asked about AFD alone.
    demand : float, optional
        Output tokens wanted [tokens/s].
    users : int, optional
        Users served at once, each at `user_tokens_per_s`, which also limits the time per output token [1].
    user_tokens_per_s : float, optional
        Tokens a second of one user [tokens/s].
    trace : Path, optional
        File of requests with times: its mean output tokens a second, times `trace_scale`, and its mean
        context.
    trace_scale : float, optional
        Factor on the arrivals of the trace; 1 where absent [1].
    price_basis : str, optional
        `rent`, `tco` or `purchase`; rent where absent.
    price_terms : str, optional
        Terms of the prices; those that most candidates have where absent.
    prices : mapping of str to float, optional
        Price of a device by system id, instead of the catalogue's: USD/h, for purchase USD.
    years : float, optional
        Time a purchase is written off over; 4 where absent [1].
    power_usd_per_kwh : float, optional
        Price of power, for purchase; 0.08 where absent [USD].
    pue : float, optional
        Power of the site over that of the devices, where only their rated power is known; 1.3 where absent
        [1].
    utilization : float, optional
        Mean demand over the demand the fleet is built for; 1 where absent [1].
    cny_per_usd : float, optional
        Exchange rate for prices in CNY, which are left out where absent [1].

    Returns
    -------
    Answer
        A row per system and mode, cheapest first; the ranking, and where it flips.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.
    """
    if not scenarios:
        raise InputError("--systems is empty")
    _check_distinct(scenarios)
    scenarios, wanted = _demand(
        scenarios, demand=demand, users=users, speed=user_tokens_per_s, trace=trace, scale=trace_scale
    )
    terms = _terms(
        scenarios,
        basis=choice("--price-basis", price_basis or RENT, BASES),
        terms=price_terms,
        given=dict(prices or {}),
        years=finite("--years", YEARS if years is None else years, above=0),
        power_usd_per_kwh=finite(
            "--power-usd-per-kwh",
            POWER_USD_PER_KWH if power_usd_per_kwh is None else power_usd_per_kwh,
            least=0,
        ),
        pue=finite("--pue", PUE if pue is None else pue, least=1),
        utilization=finite(
            "--utilization", UTILIZATION if utilization is None else utilization, above=0, most=1
        ),
        cny_per_usd=None if cny_per_usd is None else finite("--cny-per-usd", cny_per_usd, above=0),
    )
    notes: list[str] = []
    refusals: list[str] = []
    rows: list[dict[str, Any]] = []
    quotes: dict[str, dict[str, Any] | None] = {}
    for scenario in scenarios:
        devices = {side: _device(scenario.side(side), terms, notes) for side in ("attention", "ffn")}
        quotes |= {scenario.side(side).id: device.quote for side, device in devices.items()}
        for mode in (AFD,) if _is_pair(scenario) else (EP, AFD):
            deployments = Deployments(scenario, mode)
            fleet = _fleet(deployments, wanted, _weights(scenario, devices, terms))
            if fleet is None:
                refused = search_modes(scenario)[mode]
                refusal = refused.found.refusal
                rows.append(
                    {"system": candidate_name(scenario), "mode": mode, "feasible": False, "binding": refusal}
                )
                refusals.append(f"{candidate_name(scenario)}, {NAMES[mode]}: {why_not(refused)}")
                continue
            rows.append(_row(scenario, fleet, devices, terms, wanted))
    _rank(rows, terms)
    if not any(row["feasible"] for row in rows):
        raise InfeasibleError(f"no: {'; '.join(refusals)}")
    rows.sort(key=lambda row: row["rank"] or math.inf)  # the list is empty while it is sorted
    keys = list(dict.fromkeys(key for row in rows if row["feasible"] for key in row))
    rows = [{key: row.get(key) for key in keys} for row in rows]
    flips = _flips(scenarios, rows, wanted)
    constants = load_service_constants(scenarios[0].system.parts.catalogue)
    first = Deployments(scenarios[0], AFD if _is_pair(scenarios[0]) else EP)
    every = [Deployments(scenario, AFD) for scenario in scenarios]
    quantities = quantities_of(*every)
    priced = [row for row in rows if row["usd_per_million_tokens"] is not None]
    return Answer(
        command="procure",
        inputs={
            **serving_inputs(scenarios[0], quantities),
            "systems": [candidate_name(scenario) for scenario in scenarios],
            "demand_tokens_per_s": wanted.tokens_per_s,
            "demand_users": wanted.users,
            "mean_output_tokens": wanted.output_tokens,
            "price_basis": terms.basis,
            "price_terms": terms.terms,
            "prices": dict(terms.given),
            "device_prices": quotes,
            "years": terms.years,
            "power_usd_per_kwh": terms.power_usd_per_kwh,
            "pue": terms.pue,
            "utilization": terms.utilization,
            "cny_per_usd": terms.cny_per_usd,
        },
        columns=object_columns(rows),
        summary={
            "best": rows[0]["system"],
            "best_mode": rows[0]["mode"],
            "ranked_by": "usd_per_million_tokens" if priced else "n_devices",
            "flips": flips,
            "validated_error": constants.validated_error,
            "answer": _sentence(rows, wanted.tokens_per_s, terms, flips, constants.validated_error),
        },
        notes=[
            f"demand {_short(wanted.tokens_per_s)} output tokens a second{wanted.source}",
            PREFILL_NOTE,
            _basis_note(terms),
            *dict.fromkeys(notes),
            *_halves_note(scenarios),
            *refusals,
            *notes_of(first, []),
            *provenance_notes(scenarios[0], quantities),
        ],
        table_keys=TABLE_KEYS,
    )


def _halves_note(scenarios: Sequence[Scenario]) -> list[str]:
    """Return which systems of pairs are no candidates by themselves."""
    alone = {scenario.side("ffn").id for scenario in scenarios if not _is_pair(scenario)}
    halves = [
        scenario.side(side).id
        for scenario in scenarios
        if _is_pair(scenario)
        for side in ("attention", "ffn")
    ]
    left = [name for name in dict.fromkeys(halves) if name not in alone]
    return [f"{' and '.join(left)} alone not compared: add to --systems"] if left else []


def _is_pair(scenario: Scenario) -> bool:
    return scenario.side("attention").id != scenario.side("ffn").id


def candidate_name(scenario: Scenario) -> str:
    """Return what a candidate is called: its system, or attention+ffn.

    Parameters
    ----------
    scenario : Scenario
        The question about it.

    Returns
    -------
    str
        The `system` of its rows.
    """
    if _is_pair(scenario):
        return f"{scenario.side('attention').id}+{scenario.side('ffn').id}"
    return scenario.side("attention").id


def _check_distinct(scenarios: Sequence[Scenario]) -> None:
    """Refuse candidates that rows could not tell apart."""
    seen = set()
    for name in map(candidate_name, scenarios):
        if name in seen:
            raise InputError(f"--systems names {name} twice")
        seen.add(name)


def _demand(
    scenarios: Sequence[Scenario],
    *,
    demand: float | None,
    users: int | None,
    speed: float | None,
    trace: Path | None,
    scale: float | None,
) -> tuple[Sequence[Scenario], Demand]:
    """Return the questions with what the demand sets, and the demand."""
    ways = [demand is not None, users is not None or speed is not None, trace is not None]
    if sum(ways) != 1:
        raise InputError("a demand is one of --demand, --users with --user-tokens-per-s, or --trace")
    if scale is not None and trace is None:
        raise InputError("--trace-scale belongs to --trace")
    if demand is not None:
        tokens = finite("--demand", demand, above=0, below=MOST_TOKENS_PER_S)
        return scenarios, Demand(tokens, None, None, "")
    if trace is not None:
        factor = 1.0 if scale is None else finite("--trace-scale", scale, above=0)
        if any(each.context != attrs.fields(Scenario).context.default for each in scenarios):
            raise InputError("--trace gives the context: leave out --context")
        requests = read_trace(trace)
        output = float(np.mean(requests.decode_tokens))
        load = stationary_load(prompt=requests.prompt_tokens, decode=requests.decode_tokens)
        context = max(round(load.theta), 1)
        per_second = arrival_rate(trace) * requests.requests / (requests.requests + requests.without_output)
        wanted = per_second * output * factor
        source = (
            f": {per_second * factor:.4g} requests a second of {output:,.0f} ({requests.name}), "
            f"context {context:,}"
        )
        return [attrs.evolve(each, context=context) for each in scenarios], Demand(
            wanted, None, output, source
        )
    if users is None or speed is None:
        raise InputError("--users and --user-tokens-per-s belong together")
    whole("--users", users, most=10**9)
    finite("--user-tokens-per-s", speed, above=0, below=1e6)
    tpot = 1e3 / speed
    limited = [
        attrs.evolve(each, tpot_ms=tpot if each.tpot_ms is None else min(tpot, each.tpot_ms))
        for each in scenarios
    ]
    source = f": {users:,} users at once, {speed:g} each, TPOT at most {tpot:.4g} ms"
    return limited, Demand(users * speed, users, None, source)


def _terms(scenarios: Sequence[Scenario], *, basis: str, terms: str | None, **rest: Any) -> Terms:  # noqa: ANN401
    """Return the buyer's assumptions, the terms chosen so that most candidates have a price."""
    systems = {system.id: system for each in scenarios for system in map(each.side, ("attention", "ffn"))}
    for name, value in rest["given"].items():
        if name not in systems:
            raise InputError(f"--price {shown(name)} is none of the systems{nearest(name, sorted(systems))}")
        finite(f"--price {name}", value, above=0)
    if terms is not None:
        choice("--price-terms", terms, TERMS[basis])
    return Terms(basis, terms or terms_of(systems.values(), basis), **rest)


def _device(system: System, terms: Terms, notes: list[str]) -> Device:
    """Return price and power of a device, and note where they come from."""
    power = power_of(system)
    without = " with the cost of owning it" if terms.basis == PURCHASE else ""
    notes.append(
        f"power of {describe_power(system, power)}"
        if power
        else f"power of {system.id} is not known: left out{without}"
    )
    unit = "USD" if terms.basis == PURCHASE else "USD/h"
    if system.id in terms.given:
        notes.append(f"price of {system.id}: {terms.given[system.id]:g} {unit} a device, as given")
        quote = {"value": terms.given[system.id], "unit": unit, "terms": None, "date": None, "kind": GIVEN}
        return Device(terms.given[system.id], power, quote)
    price = price_of(system, terms.basis, terms.terms)
    if price is None:
        other = sorted({found.terms for found in system.prices if found.basis == terms.basis})
        has = f", only on {', '.join(other)}" if other else ""
        notes.append(
            f"no {terms.basis} price of {system.id} on {terms.terms} terms is known{has}: cost left out; "
            f"give --price {system.id}=USD"
        )
        return Device(None, power)
    if price.unit == CNY and terms.cny_per_usd is None:
        notes.append(
            f"price of {describe_price(system, price)}: cost left out; give --cny-per-usd, or "
            f"--price {system.id}=USD"
        )
        return Device(None, power)
    notes.append(f"price of {describe_price(system, price)}")
    quote = {key: getattr(price, key) for key in ("value", "unit", "terms", "date", "kind")}
    return Device(price.value / (terms.cny_per_usd or 1.0 if price.unit == CNY else 1.0), power, quote)


def _weights(scenario: Scenario, devices: Mapping[str, Device], terms: Terms) -> tuple[float, float] | None:
    """Return what a device of each side costs an hour, where they differ and both are known."""
    if not _is_pair(scenario):
        return None
    attention, ffn = (_cost({side: 1}, devices, terms)["usd_per_hour"] for side in ("attention", "ffn"))
    return None if attention is None or ffn is None else (attention, ffn)


def _fleet(
    deployments: Deployments,
    wanted: Demand,
    weights: tuple[float, float] | None = None,
    *,
    at_least: float = 0.0,
) -> Fleet | None:
    """Return the replicas of one deployment that serve the demand; None where no deployment can.

    Those with fewest devices, which cost least where all cost the same; else those that cost least. Shapes
    below `at_least` tokens per second and device are left out.
    """
    found = every_shape(deployments, at_least=at_least)
    if not found.rate.size or not np.any(found.rate > 0):
        return None
    devices = found.attention_devices + found.ffn_devices
    tokens = np.where(found.rate > 0, found.rate * devices, np.nan)
    replicas = economics.fleet_replicas(demand=wanted.tokens_per_s, replica_capacity=tokens)
    sequences = tokens * found.step / deployments.scenario.accept_length  # Little's law
    if wanted.users is not None:
        places = economics.fleet_replicas(demand=float(wanted.users), replica_capacity=sequences)
        replicas = np.maximum(replicas, places)
    weighed = devices
    if weights is not None:
        weighed = found.attention_devices * weights[0] + found.ffn_devices * weights[1]
    total = np.where(np.isfinite(replicas), replicas * weighed, np.inf)
    row = int(np.lexsort((devices, -np.nan_to_num(found.rate), total))[0])
    best = deployment_at(deployments, found, row)
    return Fleet(deployments, best, int(replicas[row]), float(tokens[row]), float(sequences[row]))


def _row(
    scenario: Scenario, fleet: Fleet, devices: Mapping[str, Device], terms: Terms, wanted: Demand
) -> dict[str, Any]:
    """Return what a fleet is made of, costs and draws."""
    own = row_of(fleet.deployments, fleet.deployment)
    attention = int(fleet.deployment.attention_devices) * fleet.replicas
    ffn = int(fleet.deployment.ffn_devices or 0) * fleet.replicas
    counts = {"attention": attention, "ffn": ffn}
    cost = _cost(counts, devices, terms)
    watts = _watts(counts, devices, terms)
    own_counts = {side: count // fleet.replicas for side, count in counts.items()}
    if _is_pair(scenario):
        nodes = sum(
            math.ceil(count / scenario.side(side).devices_per_node) for side, count in own_counts.items()
        )
    else:
        nodes = math.ceil(sum(own_counts.values()) / scenario.side("ffn").devices_per_node)
    superpods = [scenario.side(side) for side in counts if counts[side] and scenario.side(side).superpod]
    domains = None
    if superpods and not _is_pair(scenario):
        size = superpods[0].scale_up_domain_devices
        replica = sum(own_counts.values())
        together = size // replica  # whole replicas of a domain
        shared = math.ceil(fleet.replicas / together) if together else 0
        domains = shared or fleet.replicas * math.ceil(replica / size)
    served = wanted.tokens_per_s * terms.utilization
    return {
        "rank": None,
        "system": candidate_name(scenario),
        "mode": own["mode"],
        "n_devices": attention + ffn,
        "n_attention_devices": attention if ffn else None,
        "n_ffn_devices": ffn or None,
        "n_nodes": nodes * fleet.replicas,
        "n_scale_up_domains": domains,
        "n_replicas": fleet.replicas,
        "deployment": _shape(fleet),
        "batch_per_device": own["batch_per_device"],
        "microbatches": own["microbatches"],
        "tpot_ms": own["tpot_ms"],
        "tokens_per_s_per_user": own["tokens_per_s_per_user"],
        "tokens_per_s_per_device": own["tokens_per_s_per_device"],
        "capacity_tokens_per_s": fleet.tokens_per_s * fleet.replicas,
        "capacity_sequences": round(fleet.sequences * fleet.replicas),
        "load": wanted.tokens_per_s / (fleet.tokens_per_s * fleet.replicas),
        "usd_per_hour": cost["usd_per_hour"],
        "usd_per_million_tokens": None
        if cost["usd_per_hour"] is None
        else float(economics.usd_per_million_tokens(usd_per_hour=cost["usd_per_hour"], tokens_per_s=served)),
        "capex_usd": cost["capex_usd"],
        "power_kw": None if watts is None else watts * 1e-3,
        "power_basis": _power_basis(counts, devices),
        "watts_per_token_per_s": None if watts is None else watts / served,
        "tokens_per_joule": None
        if watts is None
        else float(economics.tokens_per_joule(tokens_per_s=served, power=watts)),
        "break_even_price": None,
        "ffn_nodes_before_dead_zone": _headroom(scenario, fleet),
        "feasible": True,
        "binding": own["binding"],
    }


def _shape(fleet: Fleet) -> str:
    attention, ffn = fleet.deployment.attention_devices, fleet.deployment.ffn_devices
    return f"{fleet.replicas} x {f'({attention}A+{ffn}F)' if ffn else attention}"


def _cost(counts: Mapping[str, int], devices: Mapping[str, Device], terms: Terms) -> dict[str, float | None]:
    """Return what the fleet costs an hour, and to buy; None where a price is not known."""
    used = [side for side in counts if counts[side]]
    prices = {side: devices[side].price for side in used}
    blank: dict[str, float | None] = {"usd_per_hour": None, "capex_usd": None}
    known = {side: price for side, price in prices.items() if price is not None}
    if len(known) < len(used):
        return blank
    total = sum(counts[side] * price for side, price in known.items())
    if terms.basis != PURCHASE:
        return {**blank, "usd_per_hour": total}
    watts = _watts(counts, devices, terms)
    if watts is None:
        return {**blank, "capex_usd": total}
    hourly = economics.ownership_usd_per_hour(
        purchase_usd=total,
        years=terms.years,
        power=watts,
        power_usd_per_kwh=terms.power_usd_per_kwh,
        pue=1.0,  # in the watts where they are of the devices alone
    )
    return {"usd_per_hour": float(hourly), "capex_usd": total}


def _watts(counts: Mapping[str, int], devices: Mapping[str, Device], terms: Terms) -> float | None:
    """Return the power of the fleet at the site; None where that of a device is not known [W]."""
    total = 0.0
    for side, count in counts.items():
        power = devices[side].power
        if count and power is None:
            return None
        if count and power is not None:
            total += count * power.at_site(terms.pue)
    return total


def _power_basis(counts: Mapping[str, int], devices: Mapping[str, Device]) -> str | None:
    """Return what the watts are of: provisioned with host and network, rated of the devices, or both."""
    used = [devices[side].power for side in counts if counts[side]]
    kinds = {power and ("provisioned" if power.provisioned else "rated") for power in used}
    return None if None in kinds else " and ".join(sorted(kind for kind in kinds if kind))


def _headroom(scenario: Scenario, fleet: Fleet) -> float | None:
    """Return the FFN nodes that can be added before the dead zone; None under EP and without a dead zone."""
    if fleet.deployments.mode == EP or _is_pair(scenario):
        return None
    try:
        summary = roofline(Roofline(scenario.for_stage(), ffn_nodes=np.arange(1, 2))).summary
    except InputError:  # no fabric to a second node: nothing to add
        return None
    start = summary["dead_zone_from"]
    if start is None:
        return None
    nodes = int(fleet.deployment.ffn_devices or 0) / scenario.side("ffn").devices_per_node
    return max(float(start) - nodes, 0.0)


def _rank(rows: Sequence[dict[str, Any]], terms: Terms) -> None:
    """Give each row its rank, the cheapest first, those without a cost after; add what ties them."""
    feasible = [row for row in rows if row["feasible"]]
    costly = [row for row in feasible if row["usd_per_million_tokens"] is not None]
    free = [row for row in feasible if row["usd_per_million_tokens"] is None]
    costly.sort(key=lambda row: (row["usd_per_million_tokens"], row["n_devices"]))
    free.sort(key=lambda row: row["n_devices"])
    for index, row in enumerate([*costly, *free]):
        row["rank"] = index + 1
    for row in rows:
        row.setdefault("rank", None)
    if not costly:
        return
    for row in feasible:
        row["break_even_price"] = _break_even_price(row, costly, terms)


def _break_even_price(
    row: Mapping[str, Any], costly: Sequence[Mapping[str, Any]], terms: Terms
) -> float | None:
    """Return the price of a device at which a row costs as much as the best of the others.

    Only where all devices have one price: for pairs of systems there is no single one. Pairs that have the
    system on one side are no rivals: their cost would move with the price.
    """
    rivals = _rivals(row, costly)
    if not rivals or "+" in row["system"]:
        return None
    target = rivals[0]["usd_per_hour"]
    if terms.basis != PURCHASE:
        return float(target / row["n_devices"])
    if row["power_kw"] is None:
        return None
    affordable = economics.affordable_purchase_usd(
        usd_per_hour=target,
        years=terms.years,
        power=row["power_kw"] * 1e3,
        power_usd_per_kwh=terms.power_usd_per_kwh,
        pue=1.0,  # in the power where it is of the devices alone
    )
    return float(affordable) / row["n_devices"] if affordable > 0 else None


def _rivals(row: Mapping[str, Any], costly: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of other systems whose cost does not depend on the price of this one."""
    return [other for other in costly if row["system"] not in other["system"].split("+")]


def _flips(
    scenarios: Sequence[Scenario], rows: Sequence[Mapping[str, Any]], wanted: Demand
) -> list[dict[str, Any]]:
    """Return the link speeds at which the cheapest and the next system change places."""
    order = list(dict.fromkeys(row["system"] for row in rows if row["usd_per_million_tokens"] is not None))
    if len(order) < 2:  # noqa: PLR2004 - nothing to change places with
        return []
    known = {candidate_name(scenario): scenario for scenario in scenarios}
    best = {name: next(row for row in rows if row["system"] == name) for name in order[:2]}
    found = []
    for name, other, faster in ((order[0], order[1], False), (order[1], order[0], True)):
        scenario = known[name]
        if _is_pair(scenario):
            continue
        key = "scale_up_gb_per_s" if scenario.system.superpod else "scale_out_gb_per_s"
        if key not in scenario.system.quantities:
            continue
        base = scenario.system.quantities[key].value
        price = best[name]["usd_per_hour"] / best[name]["n_devices"]
        value = _flip(
            *(scenario, key, base, wanted), affordable=best[other]["usd_per_hour"] / price, faster=faster
        )
        found.append({"system": name, "input": key, "value": base, "flips_at": value})
    return found


def _flip(
    scenario: Scenario, key: str, base: float, wanted: Demand, *, affordable: float, faster: bool
) -> float | None:
    """Return the link speed at which a fleet needs more, or less, devices than the rival's cost buys.

    None where that is more than a factor of 16 away.
    """

    def reached(value: float) -> bool:
        question = changed(scenario, {key: value})
        for mode in (EP, AFD):
            least = (
                wanted.tokens_per_s / affordable * (1.0 - 1e-9)
            )  # what has fewer tokens a device needs more devices
            fleet = _fleet(Deployments(question, mode), wanted, at_least=least)
            if fleet is None:
                continue
            count = fleet.replicas * (
                fleet.deployment.attention_devices + (fleet.deployment.ffn_devices or 0)
            )
            if count < affordable if faster else count <= affordable:
                return faster
        return not faster

    low, high = base, base * WIDEST if faster else base / WIDEST
    if not reached(high):
        return None
    while abs(math.log(high / low)) > CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _basis_note(terms: Terms) -> str:
    """Return what the costs are made of."""
    text = f"prices: {terms.basis}, {terms.terms} terms where the catalogue has them; "
    if terms.basis == PURCHASE:
        text += (
            f"devices alone, written off over {terms.years:g} years, power at "
            f"{terms.power_usd_per_kwh:g} USD per kWh; hosts, network, staff and interest are not in it; "
        )
    text += f"PUE {terms.pue:g} on devices whose provisioned power is not known; "
    return text + f"tokens sold are {terms.utilization:.0%} of what the fleet is built for"


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    wanted: float,
    terms: Terms,
    flips: Sequence[Mapping[str, Any]],
    error: float,
) -> str:
    """Return which candidate serves the demand cheapest, by how much, and what would change that."""
    best = rows[0]
    priced = best["usd_per_million_tokens"] is not None
    given = all(name in terms.given for name in best["system"].split("+"))
    quoted = f"{terms.basis}, {'price as given' if given else terms.terms}"
    cost = (
        f" for {_short(best['usd_per_million_tokens'])} USD per million tokens ({quoted})" if priced else ""
    )
    text = (
        f"{best['system']} with {NAMES[best['mode']]} decodes {_short(wanted)} tokens/s{cost}: "
        f"{best['n_devices']:,} devices as {best['deployment']}"
    )
    if best["power_kw"] is not None:
        text += f", {best['power_kw']:,.0f} kW"
    rivals = [row for row in rows[1:] if row["feasible"] and row["system"] != best["system"]]
    if not priced:
        return f"{text}; no candidate's cost is known, so the fewest devices are best."
    if {row["system"] for row in rows} == {best["system"]}:
        return f"{text}."
    if not rivals or rivals[0]["usd_per_million_tokens"] is None:
        return f"{text}; no other candidate serves it at a known cost."
    rival = rivals[0]
    more = rival["usd_per_million_tokens"] / best["usd_per_million_tokens"] - 1.0
    unit = "USD" if terms.basis == PURCHASE else "USD/h"
    text += f"; {rival['system']} ({NAMES[rival['mode']]}) costs {more:.0%} more"
    if rival["break_even_price"] is not None and best in _rivals(rival, rows):
        text += f", as much at {_short(rival['break_even_price'])} {unit} a device"
    for flip in flips:
        if flip["flips_at"] is not None:
            text += (
                f"; they change places if {flip['input']} of {flip['system']} is {_short(flip['flips_at'])} "
                f"instead of {_short(flip['value'])}"
            )
    if more <= error:
        text += f"; too close to call, within the {error:.1%} median error of predictions"
    return f"{text}."


def _short(value: float) -> str:
    """Return a number of three digits, or whole with its thousands apart."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - what three digits hold
