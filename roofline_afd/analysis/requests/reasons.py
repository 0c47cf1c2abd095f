"""What the answer about serving modes says: which is best, why the others lose, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.decode.sides import MOST_DEVICES
from roofline_afd.analysis.requests.odds import ModeOdds, close_words
from roofline_afd.catalogue.calibration import SERVICE
from roofline_afd.serving.candidates import shapes_in_memory
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.limits import (
    CLUSTER,
    FABRIC,
    FIRST_TOKEN,
    KERNELS,
    LATENCY,
    MEMORY,
    PREFILL_SHARE,
    REQUEST_RATE,
    SLOTS,
)
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD, PD_AFD, Question
from roofline_afd.serving.modes.search import ModeFound, explore_modes
from roofline_afd.units import rounded_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.store import Catalogue

NAMES = {AGG: "aggregated", PD: "P/D", AGG_AFD: "aggregated AFD", PD_AFD: "P/D AFD"}
COARSE = 0.1
"""Difference from which per cent are whole numbers: smaller ones are held against an error."""
REASONS = {
    MEMORY: "weights and one request do not fit any replica",
    FABRIC: "no fabric connects the pools",
    KERNELS: "they run no replica there is room for; --any-size lifts that",
    SLOTS: "a step carries more prompts than its batch has slots; a smaller --chunk-tokens does",
    PREFILL_SHARE: "prompts arrive faster than chunks prefill them",
    CLUSTER: "no such groups or pools fit the cluster together",
    REQUEST_RATE: "no deployment serves so many requests",
}


def sentence(
    question: Question,
    best: Mapping[str, dict[str, Any] | None],
    found: Mapping[str, ModeFound],
    *,
    key: str,
    odds: ModeOdds,
    error: float,
) -> str:
    """Return which mode serves most, with what, and why the others lose.

    Parameters
    ----------
    question : Question
        What was asked.
    best : mapping
        By mode, its best deployment as a row; None where none is feasible.
    found : mapping
        By mode, what the search found.
    key : str
        Column by which the best is.
    odds : ModeOdds
        How sure the order is.
    error : float
        Median error of predicted levels [1].

    Returns
    -------
    str
        One sentence.
    """
    winner = max((row for row in best.values() if row), key=lambda row: row[key])
    mode = winner["mode"]
    limits = [
        f"{name} <= {value:g} ms"
        for name, value in (("TTFT", question.ttft_ms), ("TPOT", question.tpot_ms))
        if value is not None
    ]
    others: list[str] = []
    for other, row in best.items():
        if other == mode:
            continue
        if row is None:
            others.append(f"{NAMES[other]} has no feasible deployment ({why_not(question, found[other])})")
            continue
        share = row[key] / winner[key] - 1.0
        figure = f"{share:+.0%}" if abs(share) >= COARSE else f"{share:+.1%}"  # as held against the error
        others.append(f"{NAMES[other]} {figure}")
    name = NAMES[mode][0].upper() + NAMES[mode][1:]
    text = (
        f"{name} serves most{' under ' if limits else ''}{' and '.join(limits)}: "
        f"{winner['tokens_per_s_per_device']:,.0f} tokens/s per device at {winner['ttft_ms']:,.0f} ms TTFT "
        f"and {winner['tpot_ms']:.1f} ms TPOT as {winner['deployment']}, bound by {winner['binding']}"
    )
    if others:
        text += "; " + ", ".join(others)
    if odds.verdict.odds:
        text += f"; best with AFD over best without: {odds.verdict.odds.words}"
    close = close_words(odds, NAMES, level_error=error)
    return f"{text}; {close}." if close else f"{text}."


def why_not(question: Question, found: ModeFound) -> str:
    """Return why a mode has no feasible deployment, with the nearest value that has one.

    Parameters
    ----------
    question : Question
        What was asked.
    found : ModeFound
        What the search found: nothing, and what refuses it.

    Returns
    -------
    str
        Part of a sentence.
    """
    text = f"binding is {found.refusal}"
    if found.refusal == FIRST_TOKEN and np.isfinite(found.least_ttft):
        return f"{text}: the least is --ttft-ms {rounded_up(found.least_ttft * 1e3)}"
    if found.refusal == LATENCY and np.isfinite(found.least_tpot):
        return f"{text}: the least is --tpot-ms {rounded_up(found.least_tpot * 1e3)}"
    if found.refusal == REQUEST_RATE:
        saturated = explore_modes(attrs.evolve(question, request_rate=None), [found.mode])[found.mode]
        if saturated.best:
            most = saturated.best["rate"] * question.devices / question.workload.osl
            return f"{text}: at most {most:,.4g} a second, before any wait"
    if found.refusal in REASONS:
        return f"{text}: {REASONS[found.refusal]}{_holds(question, found)}"
    return (
        f"{text}: each can be met alone (least TTFT {rounded_up(found.least_ttft * 1e3)} ms, least TPOT "
        f"{rounded_up(found.least_tpot * 1e3)} ms), not both together"
    )


def _holds(question: Question, found: ModeFound) -> str:
    """Return the fewest devices whose memory holds a replica, where those of the question are fewer."""
    if found.refusal != MEMORY:
        return ""
    scenario, allowed = question.scenario, min(question.devices, question.scenario.max_devices)
    free = attrs.evolve(scenario, devices=None, max_devices=MOST_DEVICES, context=question.workload.held)
    shapes = shapes_in_memory(Deployments(free, AFD if found.mode in {AGG_AFD, PD_AFD} else EP))
    sizes = (shapes.attention_devices + shapes.ffn_devices)[shapes.most >= 1]
    least = int(np.min(sizes, initial=MOST_DEVICES + 1))
    if not allowed < least <= MOST_DEVICES:
        return ""
    option = "--devices" if question.devices < least else "--max-devices"
    return f"; {least} devices hold one ({option})"


def missing(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return why modes have no feasible deployment, in short.

    Parameters
    ----------
    summary : mapping
        That of an answer about serving modes.

    Returns
    -------
    dict of str to str
        By mode, what binds it and the least that is feasible; those that have a deployment are left out.
    """
    found = {}
    for mode, row in summary["best_by_mode"].items():
        if row is not None:
            continue
        binding = summary["binding_by_mode"][mode]
        least = {
            FIRST_TOKEN: ("TTFT", summary["least_ttft_ms"][mode]),
            LATENCY: ("TPOT", summary["least_tpot_ms"][mode]),
        }.get(binding)
        why = REASONS.get(binding, "each can be met alone, not both together")
        if least and least[1] is not None:
            why = f"least {least[0]} {rounded_up(least[1])} ms"
        found[mode] = f"{binding}: {why}"
    return found


def prefill_evidence(catalogue: Catalogue) -> dict[str, Any]:
    """Return how far prefill is off: points, median absolute and signed error; None where unknown."""
    known = catalogue.record("calibration", SERVICE).data[SERVICE]
    return {key: known.get(key) for key in ("prefill_points", "prefill_error", "prefill_bias")}


def prefill_note(evidence: Mapping[str, Any]) -> str:
    """Return how far prefill is off, in words."""
    points, error, bias = (evidence[key] for key in ("prefill_points", "prefill_error", "prefill_bias"))
    if points is None:
        return "prefill (TTFT, prompts a second) is held against no published point"
    return Decisive(
        f"prefill (TTFT, prompts a second) of {points} published points is off by {error:.1%} in the median, "
        f"{bias:+.1%} with its sign (above 0: predicted too fast); nothing is fitted to them, and `validate` "
        "tells them term by term"
    )


def load_note(question: Question) -> str:
    """Return whether requests wait for each other, in words."""
    if question.request_rate is None:
        return Decisive(
            "a loaded steady state without queueing: the first token waits for its own prefill alone; "
            "--request-rate adds waiting"
        )
    return (
        f"{question.request_rate:g} requests a second arrive at random and wait for each other (M/G/1 per "
        "attention group); throughput is what the deployment could serve at most"
    )


def transfer_note(question: Question) -> str:
    """Return what a prompt moves between pools, and over which fabric, in words."""
    moved = "all its cached tokens" if question.kv_moved == "all" else "only its new tokens"
    return (
        f"between prefill and decode pools a prompt moves {moved}"
        + (", layer by layer" if question.kv_overlap else " after its prefill")
        + f", over {_fabric(question)}"
    )


def prompt_note(question: Question) -> str:
    """Return how steps with prompts send tokens to experts, in words."""
    if question.scenario.transport is not None:
        return f"every step sends a token to experts once per {question.scenario.transport}, as asked"
    return (
        "steps with prompts send a token once to each node, which forwards it, as kernels for many tokens "
        "do; steps that decode alone send a copy per expert"
    )


def _fabric(question: Question) -> str:
    system = question.scenario.side("attention")
    inside = question.devices <= system.scale_up_domain_devices and (
        system.id == question.prefill.side("attention").id
    )
    up = question.kv_link == "scale-up" or (question.kv_link == "auto" and inside)
    fabric = system.scale_up if up else system.scale_out
    return f"{'scale-up' if up else 'scale-out'} ({fabric.id})" if fabric else "scale-out, which it lacks"
