"""What a buyer may choose, to move in the page: prices exactly, context and latency target on a grid."""

from __future__ import annotations

import contextlib
import html
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.decode.sides import NAMES
from roofline_afd.analysis.prices import PURCHASE
from roofline_afd.analysis.purchase.candidates import candidate_name
from roofline_afd.analysis.purchase.costs import CNY
from roofline_afd.errors import InputError, RooflineAfdError
from roofline_afd.physics.economics import HOURS_PER_YEAR
from roofline_afd.reporting.names import named, names_of
from roofline_afd.serving.deployment import MODES
from roofline_afd.serving.targets import search_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.reporting.case import Case
    from roofline_afd.serving.scenario import Scenario

CONTEXTS, TARGETS = (0.5, 1.0, 2.0, 4.0), (0.5, 0.75, 1.0, 1.5)
"""Context and latency target over those asked for, at each of which both modes are searched."""
GRID_DEVICES = 128
"""Devices up to which the grid is searched, in whole nodes."""
DEAREST = 20.0
"""Where the slider of a price that nobody says ends [USD/h]."""
ANY = "any"
"""Step of a slider of prices, so that it begins at what was asked."""


def grid_of(scenario: Scenario) -> dict[str, Any]:
    """Return the throughput of both modes of a candidate over context and latency target.

    Parameters
    ----------
    scenario : Scenario
        The question about it.

    Returns
    -------
    dict
        `contexts` [tokens], `targets` [ms], and `rates` by mode, a row per
        context: over that where both are as asked, 0 where no deployment is feasible [1].
    """
    contexts = [max(round(scenario.context * times), 1) for times in CONTEXTS]
    asked = scenario.latency_ms
    targets = [asked if times == 1 else float(f"{asked * times:.3g}") for times in TARGETS]
    coarse = attrs.evolve(scenario, max_devices=min(scenario.max_devices, GRID_DEVICES), granularity="node")
    place = contexts.index(scenario.context), targets.index(asked)
    relative = {}
    for mode in MODES:
        rates = [_rates(attrs.evolve(coarse, context=context), mode, targets) for context in contexts]
        base = rates[place[0]][place[1]]
        relative[mode] = [[rate / base if base else 0.0 for rate in row] for row in rates]
    return {"contexts": contexts, "targets": targets, "rates": relative}


def _rates(scenario: Scenario, mode: str, targets: Sequence[float]) -> list[float]:
    """Return the throughput of a mode under each target; 0 where the question does not allow that."""
    allowed = []
    for target in targets:
        with contextlib.suppress(InputError):
            attrs.evolve(scenario, tpot_ms=target)
            allowed.append(target)
    try:
        found = search_targets(scenario, mode, allowed).rates if allowed else ()
    except RooflineAfdError:
        return [0.0] * len(targets)
    known = dict(zip(allowed, found, strict=True))
    return [known.get(target, 0.0) for target in targets]


def choices_of(case: Case, grids: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the page computes costs from.

    Parameters
    ----------
    case : Case
        What the report is about.
    grids : sequence of mapping
        Of `grid_of`, in the order of the candidates; empty where whole requests are asked about.

    Returns
    -------
    dict
        Fleets with devices by system, hours that a price is for, what does not move with prices, and where
        sliders begin; JSON can hold it.
    """
    asked = case.requests
    answer = case.bought if asked is None else asked.bought
    names = names_of(case.scenarios)
    fleets = _fleets(case, answer)
    systems = list(dict.fromkeys(name for fleet in fleets for name in fleet["devices"]))
    prices = {name: _price(answer, case.bought.inputs["cny_per_usd"], name) for name in systems}
    for fleet in fleets:
        fleet["name"] = named(fleet["system"], names)
        fleet["way"] = _mode_name(answer, fleet["mode"])
    purchase = answer.inputs["price_basis"] == PURCHASE
    hours = HOURS_PER_YEAR * float(case.bought.inputs["years"]) if purchase else 1.0
    served = asked.requests_per_s / 1e3 if asked else case.bought.inputs["demand_tokens_per_s"] / 1e6
    grid = grids[0] if grids else {"contexts": [], "targets": []}
    by_system = dict(zip((candidate_name(each) for each in case.scenarios), grids, strict=False))
    for fleet in fleets:
        if grids:
            fleet["rates"] = by_system[fleet["system"]]["rates"][fleet["mode"]]
        fixed = fleet.pop("usd_per_hour")
        known = all(prices[name] is not None for name in fleet["devices"])
        spent = sum(many * (prices[name] or 0.0) for name, many in fleet["devices"].items()) / hours
        fleet["fixed"] = max(fixed - spent, 0.0) if purchase and known and fixed is not None else 0.0
    return {
        "per": "thousand requests" if asked else "million output tokens",
        "served_per_hour": served * 3600.0 * float(answer.inputs["utilization"]),
        "hours": hours,
        "unit": "USD a device" if purchase else "USD a device-hour",
        "prices": [{"id": name, "name": names.get(name, name), "value": prices[name]} for name in systems],
        "fleets": fleets,
        "contexts": grid["contexts"],
        "targets": grid["targets"],
        "context": case.chosen.context,
        "target": case.chosen.latency_ms,
        "close": float(answer.summary["validated_error"]),
    }


def _fleets(case: Case, answer: Answer) -> list[dict[str, Any]]:
    """Return the feasible fleets: system, mode, devices sold of each system, and cost."""
    racks = answer.picture.get("racks")
    known = {candidate_name(each): each for each in case.scenarios}
    found = []
    for index, row in enumerate(answer.rows()):
        if not row["feasible"]:
            continue
        devices: dict[str, int] = {}
        if racks is not None:
            for rack in racks[index]:
                many = rack["units"] * rack["unit_devices"]
                devices[rack["system"]] = devices.get(rack["system"], 0) + many
        elif row["n_ffn_devices_sold"] is not None:
            scenario = known[row["system"]]
            devices = {scenario.side(side).id: row[f"n_{side}_devices_sold"] for side in ("attention", "ffn")}
        else:
            devices = {row["system"]: row["n_devices_sold"]}
        found.append({key: row[key] for key in ("system", "mode", "usd_per_hour")} | {"devices": devices})
    return found


def _price(answer: Answer, cny_per_usd: float | None, system: str) -> float | None:
    """Return the price of a device in USD; None where it is not known."""
    quote = answer.inputs["device_prices"][system]
    if quote is None:
        return None
    rate = cny_per_usd if str(quote["unit"]).startswith(CNY) else 1.0
    return float(quote["value"]) / float(rate or 1.0)


def _mode_name(answer: Answer, mode: str) -> str:
    """Return what a mode is called."""
    return str((answer.picture.get("mode_names") or NAMES)[mode])


def choices_section(data: Mapping[str, Any]) -> str:
    """Return the section that a page fills: inputs, a verdict and a bar for each candidate.

    Parameters
    ----------
    data : mapping
        Of `choices_of`.

    Returns
    -------
    str
        Html. Without JavaScript it is not shown.
    """
    inputs = [
        _slider(f"price-{place}", f"Price of {each['name']}", data["unit"], _price_range(each["value"]))
        for place, each in enumerate(data["prices"])
    ]
    for key, label, unit in (
        ("context", "Context", "tokens"),
        ("target", "Time per output token, at most", "ms"),
    ):
        values = data[f"{key}s"]
        if len(values) > 1:
            start = values.index(data[key])
            inputs.append(_slider(key, label, unit, (0, len(values) - 1, "1", start)))
    grid = (
        " Context and target are those of a grid searched beforehand; devices follow from tokens per device, "
        "from the fleets of the table on."
        if data["contexts"]
        else " The fleets stay those of the table."
    )
    return (
        '<div id="choices" hidden><p class="finding" aria-live="polite"></p>'
        f'<div class="bars"></div><p class="set faint"></p><form>{"".join(inputs)}'
        '<button type="reset">Back to the question</button></form>'
        f'<p class="faint">Prices move costs exactly.{grid}</p></div>'
        '<noscript><p class="faint">The script inside this page moves these costs: it needs JavaScript, but '
        "no network.</p></noscript>"
    )


def _price_range(value: float | None) -> tuple[float, float, str, float]:
    """Return low, high, step and start of the slider of a price."""
    return (0.0, DEAREST, ANY, 0.0) if value is None else (value / 4, value * 3, ANY, value)


def _slider(name: str, label: str, unit: str, bounds: tuple[float, float, str, float]) -> str:
    low, high, step, start = bounds
    return (
        f'<label><span>{html.escape(label)} [{html.escape(unit)}]</span><input type="range" name="{name}" '
        f'min="{low:.6g}" max="{high:.6g}" step="{step}" value="{start:.6g}"><output></output></label>'
    )
