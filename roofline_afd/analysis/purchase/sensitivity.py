"""Which inputs move the answer, which change the winner, and how sure the answer is with all of them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, Decisive, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.sides import NAMES, refusal_of
from roofline_afd.analysis.decode.verdict import chance, verdict_of
from roofline_afd.analysis.purchase.break_even import WIDEST, break_even, distance
from roofline_afd.analysis.purchase.questions import METRICS, RATIO
from roofline_afd.analysis.purchase.samples import draws, sampled
from roofline_afd.analysis.purchase.swings import pair_row, single_row
from roofline_afd.analysis.purchase.uncertainty import default_text, uncertain_inputs
from roofline_afd.analysis.purchase.variation import METRIC_NAMES, Variation
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.checks import choice
from roofline_afd.serving.deployment import AFD, EP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from roofline_afd.analysis.purchase.questions import Sensitivity
    from roofline_afd.analysis.purchase.variation import Rates

FEWEST_SAMPLES, MOST_SAMPLES = 20, 100_000
MOST_PAIRED = 20
UNMOVED = 1e-4
"""Share of the metric below which an input is left out of tables."""
APART = 0.05
"""Probabilities that differ by less are not told twice."""
NAMED = 3
"""Inputs that the answer names."""
TABLE_KEYS = (
    "input",
    "value",
    "unit",
    "low",
    "high",
    "metric_low",
    "metric_high",
    "swing",
    "elasticity",
    "changes_winner",
    "break_even",
)
PAIR_KEYS = ("other_input", "other_low", "other_high", "interaction")
"""What a table shows of pairs besides."""


def sensitivity(question: Sensitivity, *, advanced: Callable[[float], None] | None = None) -> Answer:
    """Answer which uncertain inputs move the comparison of EP and AFD, and which change the winner.

    Parameters
    ----------
    question : Sensitivity
        The scenario, ranges of its inputs, and how they are varied.
    advanced : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    Answer
        A row per input, those that move the metric most first, then one per pair; the winner, how likely AFD
        wins, and 90 % intervals in the summary.

    Raises
    ------
    InputError
        If a key is unknown, a range is none, or a number is out of bounds.
    InfeasibleError
        If nothing is feasible, or the metric has no value.
    """
    metric, pairs, samples = question.metric, question.pairs, question.samples
    choice("--metric", metric, METRICS)
    _check_whole("--pairs", pairs, least=0, most=MOST_PAIRED)
    if question.break_evens is not None:
        _check_whole("break_evens", question.break_evens, least=0, most=2**31)
    _check_whole("--seed", question.seed, least=0, most=2**63 - 1)
    if samples:
        _check_whole("--samples", samples, least=FEWEST_SAMPLES, most=MOST_SAMPLES)
    inputs, zeros = uncertain_inputs(question.scenario, question.uncertainty)
    variation = Variation(question.scenario, inputs)
    _refuse(variation, metric)
    every = samples + 6 * len(inputs) + 2 * pairs * pairs
    done = 0

    def advance(by: int) -> None:
        nonlocal done
        done += by
        if advanced is not None:
            advanced(done / every)

    singles = []
    for item in inputs:
        row, ends = single_row(variation, item, metric)
        singles.append((row, item, ends))
        advance(2)
    singles.sort(key=lambda single: -_size(single[0]))
    sought = len(singles) if question.break_evens is None else question.break_evens
    for rank, (row, item, ends) in enumerate(singles):
        looked = rank < sought and item.high > item.low
        row["break_even"] = break_even(variation, item, ends) if looked else None
        advance(4)
    rows, ranked = [row for row, _, _ in singles], [item for _, item, _ in singles]
    paired = []
    for first, second in itertools.combinations(ranked[:pairs], 2):
        paired.append(pair_row(variation, first, second, metric))
        advance(4)
    paired.sort(key=lambda row: -_size(row))
    found = []
    for values in draws(inputs, samples, question.seed):
        found.append(variation.rates(values))
        advance(1)
    return _answer(question, variation, rows, paired, found, zeros=zeros)


def _check_whole(option: str, value: object, *, least: int, most: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= most:  # type: ignore[call-overload]  # a whole number
        raise InputError(f"{option} {value} must be a whole number from {least} to {most:,}")


def _size(row: Mapping[str, Any]) -> float:
    return math.inf if row["swing"] is None else float(row["swing"])


def _refuse(variation: Variation, metric: str) -> None:
    """Raise if the question has no answer to vary."""
    if variation.base.winner is None:
        raise InfeasibleError(f"no: {refusal_of(variation.sides)}")
    if variation.base.metric(metric) is None:
        missing = {mode: side for mode, side in variation.sides.items() if side.rate is None}
        raise InfeasibleError(
            f"no: {METRIC_NAMES[metric]} has no value: {refusal_of(missing)}; "
            f"--metric {variation.base.winner} has one"
        )


def _answer(
    question: Sensitivity,
    variation: Variation,
    rows: list[dict[str, Any]],
    paired: list[dict[str, Any]],
    found: list[Rates],
    *,
    zeros: list[str],
) -> Answer:
    """Return the answer from what was found."""
    scenario, base = question.scenario, variation.base
    metric, given = question.metric, question.uncertainty or {}
    quantities = quantities_of(*(side.deployments for side in variation.sides.values()))
    middle = base.metric(metric)
    assert middle is not None  # noqa: S101 - refused before
    moved = [
        index
        for index, row in enumerate(rows)
        if row["swing"] is None or row["swing"] > UNMOVED * middle or row["break_even"] is not None
    ]
    flip = _nearest_flip(rows)
    verdict = verdict_of(variation.sides)
    error = load_ratio_error(scenario.system.parts.catalogue)
    summary: dict[str, Any] = {
        "winner": base.winner,
        "metric": metric,
        "metric_value": middle,
        RATIO: base.metric(RATIO),
        "ep_tokens_per_s_per_device": base.metric(EP),
        "afd_tokens_per_s_per_device": base.metric(AFD),
        "matters_most": [row["input"] for row in rows[:NAMED] if row["swing"] is None or row["swing"] > 0],
        "changes_winner": [row["input"] for row in rows if row["changes_winner"]],
        "nearest_break_even": flip,
        "samples": len(found),
        "seed": question.seed,
        **verdict.keys(),
        **sampled(found, error, question.seed, estimated_share=verdict.estimated_share),
    }
    sought = question.break_evens
    some = sought if sought is not None and sought < len(rows) else None
    summary["answer"] = with_formats(_sentence(rows, paired, summary, some), scenario)
    table_rows = [*moved, *range(len(rows), len(rows) + len(paired))]
    keys = TABLE_KEYS if not paired else (*TABLE_KEYS, *PAIR_KEYS)
    return Answer(
        command="sensitivity",
        inputs={
            **serving_inputs(scenario, quantities),
            "metric": metric,
            "uncertainty": dict(given),
            "samples": len(found),
            "seed": question.seed,
        },
        columns=object_columns([*rows, *paired]),
        summary=summary,
        notes=[
            *([verdict.note] if verdict.note else []),
            *_notes(rows, zeros, given, found, shown=len(moved), some=some),
            *dict.fromkeys(
                note for side in variation.sides.values() for note in notes_of(side.deployments, [side.row])
            ),
            *provenance_notes(scenario, quantities),
        ],
        table_keys=keys,
        table_rows=tuple(table_rows),
        picture={
            "system": scenario.system.name,
            "model": scenario.model.name,
            "metric": METRIC_NAMES[metric],
        },
    )


def _nearest_flip(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the break-even that takes the smallest relative change of an input."""
    known = [row for row in rows if row["break_even"] is not None]
    if not known:
        return None
    row = min(
        known,
        key=lambda row: (
            distance(row["break_even"], row["value"]) if row["value"] > 0 else math.inf,
            abs(row["break_even"]),
        ),
    )
    return {key: row[key] for key in ("input", "value", "unit", "break_even")}


def _notes(
    rows: Sequence[Mapping[str, Any]],
    zeros: Sequence[str],
    given: Mapping[str, str],
    found: Sequence[Rates],
    *,
    shown: int,
    some: int | None,
) -> list[str]:
    """Return what the ranges are, and how each number was found."""
    own = ", ".join(f"{key} {text}" for key, text in given.items())
    notes = [
        f"uncertainties given: {own}; all others are defaults"
        if given
        else "all uncertainties are defaults: set your own with --uncertainty KEY=10% or KEY=low:high",
        f"defaults, to either side within the bounds of each input: {default_text()}",
        "low and high move one input alone, both modes searched anew, the model taken as certain",
        "elasticity: percent of the metric per percent of the input at the same deployments; none at a kink",
        f"break_even: where the other mode wins, up to {WIDEST:g}-fold either way; not of certain inputs",
    ]
    if found:
        notes.append(
            f"{len(found)} samples: inputs drawn independently, evenly on logarithms between low and high; "
            "parameters fitted as one table are off together, all faster or all slower; intervals hold the "
            "middle 90 %; ranges that end at a bound pull them to one side"
        )
        notes.append(
            "the error of predicted AFD / EP itself, as published pairs show it and compare tells it, is in "
            "its probability and its interval; fitted parameters are drawn besides, so that both err to the "
            "wide side; intervals of EP and of AFD are of inputs alone"
        )
    if some is not None:
        notes.append(f"break-evens are looked for of the {some} inputs that move the metric most")
    out = sum(rates.winner is None for rates in found)
    if out:
        notes.append(Decisive(f"in {out} samples neither mode is feasible: they count in no interval"))
    if any(row["swing"] is None for row in rows):
        notes.append(
            Decisive("inputs without a swing come first: at an end of their range a mode is not feasible")
        )
    if shown < len(rows):
        notes.append(Decisive(f"{len(rows) - shown} inputs that move nothing are left out of tables"))
    if zeros:
        notes.append(f"left out, at 0 without a range: {', '.join(zeros)}")
    return notes


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    paired: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    some: int | None,
) -> str:
    """Return what matters most, and what would change the verdict."""
    ratio, winner = summary[RATIO], NAMES[summary["winner"]]
    lead = f"{winner} is ahead"
    if ratio is not None:
        lead += f" (AFD / EP {ratio:.2f}"
        lead += f", AFD ahead with probability {chance(summary['probability_afd_wins'])}"
        lead += ", too close to call)" if summary["too_close_to_call"] else ")"
    share = summary["afd_ahead_share"]
    if share is not None:
        share = share if summary["winner"] == AFD else 1.0 - share
        known, drawn = summary["feasible_samples"], summary["samples"]
        lead += f" and stays so in {share:.0%} of "
        lead += f"{drawn} samples" if known == drawn else f"the {known} of {drawn} samples that either serves"
        varied = summary["probability_afd_wins_sampled"]
        if ratio is not None and abs(varied - summary["probability_afd_wins"]) >= APART:
            lead += f" (AFD with probability {chance(varied)} where inputs vary too)"
    interval = summary["intervals"] and summary["intervals"][RATIO]
    share = interval["feasible_share"] if interval else 1.0
    both = "them" if share == 1.0 else f"the {share:.0%} that both serve"
    middle = (
        f"AFD / EP is {interval['low']:.2f} to {interval['high']:.2f} in 90 % of {both}; " if interval else ""
    )
    top = [row for row in rows[:NAMED] if row["input"] in summary["matters_most"]]
    name = METRIC_NAMES[summary["metric"]]
    ends = [
        f" ({_number(row['metric_low'])} to {_number(row['metric_high'])})"
        if rank == 0 or row["swing"] is None
        else ""
        for rank, row in enumerate(top)
    ]
    matters = ", ".join(f"{row['input']}{told}" for row, told in zip(top, ends, strict=True))
    said_most = f"{name} rests most on {matters}" if top else f"no input moves {name}"
    flip = summary["nearest_break_even"]
    flippers = summary["changes_winner"]
    if flippers:
        most = ", ".join(flippers[:NAMED])
        most += f" and {len(flippers) - NAMED} more" if len(flippers) > NAMED else ""
        verdict = f"within its range {most} alone {'change' if len(flippers) > 1 else 'changes'} the winner"
    else:
        verdict = "no input alone changes the winner within its range"
    together = sum(row["only_together"] for row in paired)
    if together:
        verdict += f", {together} pairs do only together" if together > 1 else ", one pair does together"
    if flip is None:
        tried = "one input" if some is None else f"the {some} that move it most"
        verdict += f", nor any value of {tried} that was tried" if not flippers else ""
    else:
        among = "" if some is None else f" among the {some} that move it most"
        verdict += (
            f"; the least change that does{among}: {flip['input']} from {flip['value']:.4g} to "
            f"{flip['break_even']:.4g}" + (f" {flip['unit']}" if flip["unit"] != "1" else "")
        )
    return f"{lead}. {middle}{said_most}; {verdict}."


def _number(value: float | None) -> str:
    if value is None:
        return "infeasible"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004
