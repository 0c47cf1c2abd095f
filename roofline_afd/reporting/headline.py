"""The key numbers of a report with what is known of their uncertainty, and what is unsure."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.decode.compare import CLOSE_CALL
from roofline_afd.analysis.purchase.limits import limits_of
from roofline_afd.analysis.purchase.odds import MOSTLY
from roofline_afd.physics import economics
from roofline_afd.reporting.markup import paragraph
from roofline_afd.reporting.names import MODE_WORDS, named, names_of
from roofline_afd.reporting.requests import request_cards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.reporting.case import Case

SURE = 0.8
"""Probability from which on the winner is not called unsure, and share of samples that serve."""
FEW_DIGITS = 100
"""Rates below are told in three digits."""


def answered(case: Case) -> str:
    """Return the answer: what is cheapest in a sentence, what it takes, and what is next.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    str
        Html.
    """
    asked = case.requests
    answer = case.bought if asked is None else asked.bought
    best, *others = (row for row in answer.rows() if row["feasible"])
    key, per, times = (
        ("usd_per_million_tokens", "million output tokens", 1.0)
        if asked is None
        else ("usd_per_request", "thousand requests", 1e3)
    )
    names = names_of(case.scenarios)
    name = named(best["system"], names)
    cost = best[key]
    lead = f"{name} serves it with the fewest devices: {best['n_devices_sold']:,}."
    if cost is not None:
        lead = f"{name} is the cheapest: {cost * times:.3g} USD per {per}."
        if not any(row[key] is not None and row["system"] != best["system"] for row in others):
            lead = f"{name} costs {cost * times:.3g} USD per {per}."
    mode = MODE_WORDS.get(best["mode"]) or (answer.picture.get("mode_names") or {}).get(best["mode"])
    fleet = f"{_devices(best)}, {mode}"
    if best["n_idle_devices"]:
        fleet += f"; {best['n_idle_devices']:,} of them stay idle, sold with the others"
    if best["power_kw"] is not None:
        fleet += f"; {best['power_kw']:,.0f} kW"
    more = [f"{fleet}{limits_of(case.asked).words(best)}."]
    rival = next((row for row in others if row["system"] != best["system"]), None)
    if rival is not None and cost is not None and rival[key] is not None:
        gap = rival[key] / cost - 1.0
        text = f"{named(rival['system'], names)} costs {gap:.0%} more"
        if gap <= answer.summary["validated_error"]:
            text += ", too close to call: predictions are as far off"
        more.append(f"{text}.")
    if cost is not None and rival is not None and rival[key] is None:
        more.append("No other candidate has a known price: it is the cheapest by default.")
    return f'<p class="answer">{html.escape(lead)}</p>{paragraph(" ".join(more))}'


def _devices(best: Mapping[str, Any]) -> str:
    return f"{best['n_devices_sold']:,} devices as {_shape(best)}"


def _shape(best: Mapping[str, Any]) -> str:
    """Return replicas and their devices, and the nodes or racks where these are more."""
    shape = str(best["deployment"])
    return shape if best["units"] == shape else f"{shape}, sold as {best['units']}"


def about(case: Case) -> str:
    """Return the question in a line.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    str
        Model, limits, formats, candidates and prices.
    """
    chosen, bought = case.chosen, case.bought
    limits = f"TPOT at most {chosen.latency_ms:g} ms, context {chosen.context:,} tokens"
    called = names_of(case.scenarios)
    names = ", ".join(called[name] for name in bought.inputs["systems"])
    weights = f"experts in {chosen.weights.id}, cache in {chosen.kv_precision}"
    prices = f"prices: {bought.inputs['price_basis']}, {bought.inputs['price_terms']}"
    candidates = (
        f"{len(case.scenarios)} candidates: {names}" if len(case.scenarios) > 1 else f"candidate: {names}"
    )
    others = [words for mode, words in MODE_WORDS.items() if mode != case.best["mode"]]
    return " · ".join([chosen.model.name, limits, weights, candidates, prices, *others])


def cards(case: Case, moved: Answer, verdict: str) -> str:
    """Return the key numbers, each with what is known of its uncertainty; of a pair nothing about EP.

    Parameters
    ----------
    case : Case
        What the report is about.
    moved : Answer
        Of `sensitivity`.
    verdict : str
        The reason of `compare`: where it is too close to call, it stands above with its own probability.

    Returns
    -------
    str
        Html.
    """
    bought, best = case.bought, case.best
    error = bought.summary["validated_error"]
    shares = _shares(moved, best["mode"])
    cost, rate = best["usd_per_million_tokens"], best["tokens_per_s_per_device"]
    if case.requests is not None:
        return _cards(request_cards(case.requests))
    shown = []
    if cost is not None:
        text = f"{cost:.3g} USD"
        more = "per million output tokens, decode alone"
        if shares:
            low, high = (cost * _replicas(bought, best, share) for share in reversed(shares))
            more += f"; 90 % of samples {low:.3g} to {high:.3g}"
        shown.append((text, more))
    shown += [
        (f"{best['n_devices_sold']:,} devices", _shape(best)),
        (
            f"{_rate(rate)} tokens/s",
            "per device"
            + (
                f"; 90 % of samples {_rate(rate * shares[0])} to {_rate(rate * shares[1])}"
                if shares
                else f"; median error {error:.1%}"
            ),
        ),
        (f"{best['tokens_per_s_per_user']:.0f} tokens/s", f"per user, {best['tpot_ms']:.1f} ms per token"),
    ]
    if best["power_kw"] is not None:
        shown.append((f"{best['power_kw']:,.0f} kW", f"{best['tokens_per_joule']:.3g} tokens per joule"))
    probability = moved.summary.get("probability_afd_wins")
    if probability is not None and not case.pair and not verdict.startswith(CLOSE_CALL):
        shown.append(
            (
                f"{probability:.0%}",
                "probability that AFD serves more than EP, from the errors of published pairs",
            )
        )
    return _cards(shown)


def _cards(shown: Sequence[tuple[str, str]]) -> str:
    inner = "".join(
        f'<div class="card"><b>{html.escape(big)}</b><span>{html.escape(small)}</span></div>'
        for big, small in shown
    )
    return f'<div class="cards">{inner}</div>'


def _rate(value: float) -> str:
    """Return a rate in three digits at least."""
    return f"{value:,.0f}" if value >= FEW_DIGITS else f"{value:.3g}"


def _shares(moved: Answer, mode: str) -> tuple[float, float] | None:
    """Return the 90 % interval of a mode's throughput over that predicted; None without samples."""
    key = f"{mode}_tokens_per_s_per_device"
    found, base = (moved.summary["intervals"] or {}).get(key), moved.summary[key]
    return (found["low"] / base, found["high"] / base) if found and base else None


def _replicas(bought: Answer, best: Mapping[str, Any], share: float) -> float:
    """Return how many times the replicas a demand takes where each serves a share of what is predicted."""
    replicas = int(best["n_replicas"])
    wanted = {"tokens_per_s": bought.inputs["demand_tokens_per_s"] / share}
    if bought.inputs["demand_users"]:
        wanted["sequences"] = bought.inputs["demand_users"]
    needed = (
        economics.fleet_replicas(demand=demand, replica_capacity=best[f"capacity_{key}"] / replicas)
        for key, demand in wanted.items()
    )
    return max(float(each) for each in needed) / replicas


def doubt(case: Case, moved: Answer, verdict: str) -> str:
    """Return what is unsure of the winner, and of whether anything serves.

    Parameters
    ----------
    case : Case
        What the report is about; of a pair nothing is said, for which EP is no rival.
    moved : Answer
        Of `sensitivity`.
    verdict : str
        The reason of `compare`.

    Returns
    -------
    str
        Html, empty where nothing is.
    """
    if case.pair:
        return ""
    chance, samples = moved.summary["probability_afd_wins_sampled"], moved.summary["samples"]
    missed = samples - (moved.summary["feasible_samples"] or 0)
    best = case.best if case.requests is None else case.requests.best
    parts = []
    if best["estimated_share"] >= MOSTLY:
        parts.append(
            f"First on estimates: {best['estimated_share']:.0%} of its time rests on kernels never timed on "
            "such parts."
        )
    if verdict.startswith(CLOSE_CALL):
        parts.append(f"EP or AFD on it: {verdict[0].lower()}{verdict[1:].partition(';')[0]}.")
    elif chance is not None and max(chance, 1.0 - chance) < SURE:
        parts.append(
            f"Unsure of EP or AFD where inputs vary: AFD then serves more with probability {chance:.2f}."
        )
    if missed > (1.0 - SURE) * samples:
        parts.append(
            f"Unsure to be served at all: in {missed} of {samples} samples nothing meets the target."
        )
    return paragraph(" ".join(parts), "doubt") if parts else ""
