"""Candidate systems against a demand: devices, cost and power of each, and where their ranking flips."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import (
    Answer,
    Decisive,
    object_columns,
    provenance_notes,
    refusal,
    with_formats,
)
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.sides import NAMES, search_modes, why_not
from roofline_afd.analysis.decode.verdict import basis_of
from roofline_afd.analysis.prices import PURCHASE
from roofline_afd.analysis.purchase.candidates import (
    candidate_name,
    check_distinct,
    halves_note,
    is_pair,
    records_of,
)
from roofline_afd.analysis.purchase.costs import basis_note, buyer_of, device_of, hourly_weights
from roofline_afd.analysis.purchase.demand import demand_of
from roofline_afd.analysis.purchase.fleets import fleet_of, fleet_row
from roofline_afd.analysis.purchase.limits import limits_of, ruled_out
from roofline_afd.analysis.purchase.odds import Doubts, doubts_of, estimate_words, other_mode_words
from roofline_afd.analysis.purchase.ranking import flips_of, rank, rivals_of
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.progress import steps
from roofline_afd.serving.deployment import AFD, EP, Deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.purchase.costs import Buyer, Device
    from roofline_afd.analysis.purchase.demand import Demand
    from roofline_afd.analysis.purchase.fleets import Fleet
    from roofline_afd.analysis.purchase.limits import Limits
    from roofline_afd.analysis.purchase.questions import DecodePurchase

TABLE_KEYS = (
    "rank",
    "system",
    "mode",
    "n_devices",
    "n_devices_sold",
    "n_nodes",
    "deployment",
    "tokens_per_s_per_device",
    "usd_per_million_tokens",
    "power_kw",
    "power_basis",
    "tokens_per_joule",
    "break_even_price",
    "estimated_share",
    "binding",
)
SOLD_NOTE = "devices are sold by node or rack: cost and power count idle ones"
PREFILL_NOTE = Decisive(
    "decode alone: devices, cost and power of prefill are not in these numbers; `explore` sizes both"
)


def procure(question: DecodePurchase) -> Answer:
    """Answer what each candidate system costs to serve a demand, and which is cheapest.

    Parameters
    ----------
    question : DecodePurchase
        Candidates, demand, and a buyer's assumptions.

    Returns
    -------
    Answer
        A row per system and mode, cheapest first; the ranking, how sure it is, and where it flips.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.
    """
    check_distinct(question.scenarios)
    scenarios, wanted = demand_of(question)
    buyer, limits = buyer_of(question), limits_of(question)
    notes: list[str] = []
    refusals: list[str] = []
    rows: list[dict[str, Any]] = []
    quotes: dict[str, dict[str, Any] | None] = {}
    for scenario in steps(scenarios):
        devices = {side: device_of(scenario.side(side), buyer, notes) for side in ("attention", "ffn")}
        quotes |= {scenario.side(side).id: device.quote for side, device in devices.items()}
        for mode in (AFD,) if is_pair(scenario) else (EP, AFD):
            deployments = Deployments(scenario, mode)
            fleet = fleet_of(deployments, wanted, hourly_weights(scenario, devices, buyer))
            if fleet is None:
                refused = search_modes(scenario)[mode]
                binding = refused.found.refusal
                rows.append(
                    {"system": candidate_name(scenario), "mode": mode, "feasible": False, "binding": binding}
                )
                refusals.append(Decisive(f"{candidate_name(scenario)}, {NAMES[mode]}: {why_not(refused)}"))
                continue
            grown = partial(_grown, fleet, devices, buyer, wanted)
            rows.append(limits.apply(fleet_row(fleet, devices, buyer, wanted), grown))
    refusals += ruled_out(rows)
    rank(rows, buyer)
    if not any(row["feasible"] for row in rows):
        raise refusal("; ".join(refusals), *scenarios)
    rows.sort(key=lambda row: row["rank"] or math.inf)  # the list is empty while it is sorted
    keys = list(dict.fromkeys(key for row in rows if row["feasible"] for key in row))
    rows = [{key: row.get(key) for key in keys} for row in rows]
    flips = flips_of(scenarios, rows, wanted)
    catalogue = scenarios[0].system.parts.catalogue
    level_error = load_service_constants(catalogue).validated_error
    first = Deployments(scenarios[0], AFD if is_pair(scenarios[0]) else EP)
    doubts = doubts_of(rows, load_ratio_error(catalogue), level_error=level_error, basis=basis_of(first))
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
            "price_basis": buyer.basis,
            "price_terms": buyer.terms,
            "prices": dict(buyer.given),
            "device_prices": quotes,
            "years": buyer.years,
            "power_usd_per_kwh": buyer.power_usd_per_kwh,
            "pue": buyer.pue,
            "utilization": buyer.utilization,
            "cny_per_usd": buyer.cny_per_usd,
            **limits.keys(),
        },
        columns=object_columns(rows),
        summary={
            "best": rows[0]["system"],
            "best_mode": rows[0]["mode"],
            "ranked_by": "usd_per_million_tokens" if priced else "n_devices_sold",
            "flips": flips,
            **doubts.keys(),
            "validated_error": level_error,
            "answer": with_formats(
                _sentence(rows, wanted.tokens_per_s, (buyer, limits), flips, doubts, error=level_error),
                *scenarios,
            ),
        },
        notes=[
            f"demand {_short(wanted.tokens_per_s)} output tokens a second{wanted.source}",
            PREFILL_NOTE,
            SOLD_NOTE,
            basis_note(buyer),
            *limits.notes(),
            *dict.fromkeys(notes),
            *halves_note(scenarios),
            *refusals,
            *notes_of(first, []),
            *provenance_notes(scenarios[0], quantities),
        ],
        table_keys=(*TABLE_KEYS[:-1], *limits.columns(), TABLE_KEYS[-1]),
        picture={"model": scenarios[0].model.name, "records": records_of(scenarios)},
    )


def _grown(
    fleet: Fleet, devices: Mapping[str, Device], buyer: Buyer, wanted: Demand, times: float
) -> dict[str, Any]:
    """Return the row of a fleet with replicas for so many times the demand."""
    more = wanted.times(times)
    return fleet_row(fleet.grown(more), devices, buyer, more)


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    wanted: float,
    terms: tuple[Buyer, Limits],
    flips: Sequence[Mapping[str, Any]],
    doubts: Doubts,
    *,
    error: float,
) -> str:
    """Return which candidate serves the demand cheapest, by how much, and what would change that."""
    (buyer, limits), best = terms, rows[0]
    priced = best["usd_per_million_tokens"] is not None
    given = all(name in buyer.given for name in best["system"].split("+"))
    quoted = f"{buyer.basis}, {'price as given' if given else buyer.terms}"
    cost = (
        f" for {_short(best['usd_per_million_tokens'])} USD per million tokens ({quoted})" if priced else ""
    )
    text = (
        f"{best['system']} with {NAMES[best['mode']]} decodes {_short(wanted)} tokens/s{cost}: "
        f"{_fleet_words(best)}{limits.words(best)}{estimate_words(best, what='time')}"
    )
    text += other_mode_words(rows, doubts)
    rivals = [row for row in rows[1:] if row["feasible"] and row["system"] != best["system"]]
    if not priced:
        return f"{text}; no candidate's cost is known, so the fewest devices are best."
    if {row["system"] for row in rows} == {best["system"]}:
        return f"{text}."
    if not rivals or rivals[0]["usd_per_million_tokens"] is None:
        return f"{text}; no other candidate serves it at a known cost."
    rival = rivals[0]
    more = rival["usd_per_million_tokens"] / best["usd_per_million_tokens"] - 1.0
    unit = "USD" if buyer.basis == PURCHASE else "USD/h"
    text += f"; {rival['system']} ({NAMES[rival['mode']]}) costs {more:.0%} more"
    if rival["break_even_price"] is not None and best in rivals_of(rival, rows):
        text += f", as much at {_short(rival['break_even_price'])} {unit} a device"
    for flip in flips:
        if flip["flips_at"] is not None:
            text += (
                f"; they change places if {flip['input']} of {flip['system']} is {_short(flip['flips_at'])} "
                f"instead of {_short(flip['value'])}"
            )
    if more <= error:
        text += f"; these systems are too close to call, within the {error:.1%} median error of predictions"
    return f"{text}."


def _fleet_words(best: Mapping[str, Any]) -> str:
    """Return devices sold, how many of them idle, and power."""
    text = f"{best['n_devices_sold']:,} devices as {best['deployment']}"
    if best["n_idle_devices"]:
        text += f", {best['n_idle_devices']:,} of them idle in {best['units']}"
    return text if best["power_kw"] is None else f"{text}, {best['power_kw']:,.0f} kW"


def _short(value: float) -> str:
    """Return a number of three digits, or whole with its thousands apart."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - what three digits hold
