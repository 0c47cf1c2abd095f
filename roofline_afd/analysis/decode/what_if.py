"""What changes when inputs do: every metric before and after, what binds, who wins, and where that flips."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import (
    Answer,
    Decisive,
    object_columns,
    provenance_notes,
    refusal,
    with_formats,
)
from roofline_afd.analysis.decode.changes import changed, unit_of, value_of
from roofline_afd.analysis.decode.notes import quantities_of, serving_inputs
from roofline_afd.analysis.decode.sides import NAMES, Side, Successive, refusal_of, search_modes
from roofline_afd.analysis.decode.verdict import Verdict, chance, model_note, verdict_of
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.scenario import COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from roofline_afd.analysis.decode.questions import WhatIf
    from roofline_afd.serving.scenario import Scenario

METRICS = (
    "tokens_per_s_per_device",
    "tpot_ms",
    "tokens_per_s_per_user",
    "hfu_all_devices",
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "microbatches",
    "batch_per_device",
    "memory_gb",
    "attention_us",
    "ffn_us",
    "dispatch_us",
    "combine_us",
)
WIDEST = 16.0
"""Factor either way within which a flip of the winner is looked for."""
CLOSE = 1e-3
"""Relative width at which a break-even value is settled."""
ROUNDS = 8
TABLE_KEYS = ("metric", "before", "after", "change", "change_fraction")


def what_if(question: WhatIf) -> Answer:
    """Answer what inputs change: the best deployments of both modes before and after.

    Parameters
    ----------
    question : WhatIf
        What is asked.

    Returns
    -------
    Answer
        A row per metric: before, after, change; what binds, who wins and how sure that is, and for one
        number the value at which the winner flips. Keys of the verdict are those after the change, those
        before it end in `_before`.

    Raises
    ------
    InputError
        If there is no change, or a key or value is not valid.
    InfeasibleError
        If the baseline has no feasible deployment.
    """
    scenario, changes = question.scenario, question.changes
    if not changes:
        raise InputError("nothing changes: give --change KEY=VALUE; --set holds before and after")
    other = changed(scenario, changes)
    before, after = search_modes(scenario), search_modes(other)
    for name, sides in (("before", before), ("after", after)):
        if all(side.rate is None for side in sides.values()):
            raise refusal(f"{name} the change: {refusal_of(sides)}", scenario, other)
    rows = _rows(before, after)
    winners = [_winner(sides) for sides in (before, after)]
    verdicts = [verdict_of(sides) for sides in (before, after)]
    flip = _break_even(scenario, other, changes, before, after)
    bindings = [
        {
            mode: f"{side.row['binding']}, {side.row['bottleneck'] or 'infeasible'}"
            for mode, side in sides.items()
        }
        for sides in (before, after)
    ]
    quantities = quantities_of(*(side.deployments for side in after.values()))
    examined = sum(side.found.examined for sides in (before, after) for side in sides.values())
    summary = {
        "binding_before": bindings[0][winners[0]],
        "binding_after": bindings[1][winners[1]],
        "bindings_before": bindings[0],
        "bindings_after": bindings[1],
        "winner_before": winners[0],
        "winner_after": winners[1],
        "winner_flips": winners[0] != winners[1],
        "break_even": flip,
        "afd_over_ep": _ratio(after),
        **verdicts[1].keys(),
        **verdicts[0].keys("_before"),
        "changes": {
            key: value if isinstance(value, int | float) else str(value) for key, value in changes.items()
        },
        "deployments_examined": examined,
    }
    said = _sentence((scenario, other), changes, before, after, summary=summary, verdicts=verdicts)
    summary["answer"] = with_formats(said, scenario, other)
    return Answer(
        command="what-if",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary=summary,
        notes=[
            f"{examined:,} deployments examined exhaustively, before and after",
            *(
                f"{NAMES[mode]}: binding {bindings[0][mode]}"
                + (f"; after: {bindings[1][mode]}" if bindings[1][mode] != bindings[0][mode] else ", still")
                for mode in (EP, AFD)
            ),
            *([Decisive(flip["note"])] if flip else []),
            *_sure(other, verdicts),
            *provenance_notes(other, quantities),
        ],
        table_keys=TABLE_KEYS,
    )


def _rows(before: Mapping[str, Side], after: Mapping[str, Side]) -> list[dict[str, Any]]:
    pairs: list[tuple[str, float | None, float | None]] = [("afd_over_ep", _ratio(before), _ratio(after))]
    for mode in (EP, AFD):
        for key in METRICS:
            old, new = (_metric(sides[mode].row, key) for sides in (before, after))
            if old is not None or new is not None:
                pairs.append((f"{mode}.{key}", old, new))
    rows = []
    for name, old, new in pairs:
        known = old is not None and new is not None
        change = new - old if old is not None and new is not None else None
        rows.append(
            {
                "metric": name,
                "before": old,
                "after": new,
                "change": change,
                "change_fraction": change / old if known and change is not None and old else None,
            }
        )
    return rows


def _metric(row: Mapping[str, Any], key: str) -> float | None:
    value = row[key] if key in row else (row.get("breakdown") or {}).get(key)
    return None if value is None else float(value)


def _ratio(sides: Mapping[str, Side]) -> float | None:
    ep, afd = sides[EP].rate, sides[AFD].rate
    return afd / ep if ep and afd else None


def _winner(sides: Mapping[str, Side]) -> str:
    ep, afd = sides[EP].rate, sides[AFD].rate
    return AFD if (afd or 0.0) > (ep or 0.0) else EP


def _break_even(
    scenario: Scenario,
    other: Scenario,
    changes: Mapping[str, float | str],
    before: Mapping[str, Side],
    after: Mapping[str, Side],
) -> dict[str, Any] | None:
    """Return the value of a single changed number at which the winner flips, and what was looked at."""
    if len(changes) != 1:
        return None
    key = next(iter(changes))
    low, high = value_of(scenario, key), value_of(other, key)
    ratios = (_ratio(before), _ratio(after))
    if not low or not high or low == high or None in ratios or min(low, high) <= 0:
        return None
    whole = _is_whole(scenario, key)
    successive = Successive()

    def lead(value: float) -> float:
        try:
            ep, afd = successive.rates(changed(scenario, {key: int(value) if whole else value}))
        except InputError:
            return math.nan
        return math.log(afd / ep) if ep and afd else math.nan

    first, last = (math.log(ratio) for ratio in ratios if ratio is not None)
    bracket = ((low, first), (high, last))
    if first * last > 0:
        found, reach = _beyond(lead, bracket, whole=whole)
        if found is None:
            return {
                "input": key,
                "value": None,
                "note": (
                    f"the winner does not flip for {key} from {reach[0]:.4g} to {reach[1]:.4g}"
                    f"{unit_of(scenario, key)}"
                ),
            }
        bracket = found
    value = _root(lead, *bracket, whole=whole, ahead=first > 0)
    return {
        "input": key,
        "value": value,
        "note": (
            f"break-even: the winner predicted flips at {key} = {value:.4g}{unit_of(scenario, key)}, where "
            "either may be ahead"
        ),
    }


def _is_whole(scenario: Scenario, key: str) -> bool:
    """Whether an input only takes whole numbers."""
    name = key.removeprefix("--").replace("-", "_")
    if name in COUNTS or name in {"draft_tokens", "redundant_experts"}:
        return True
    devices = {"devices_per_node", "scale_up_domain_devices"}
    return name in devices or (name in scenario.model.quantities and name not in scenario.system.quantities)


def _beyond(
    lead: Callable[[float], float], bracket: tuple[tuple[float, float], tuple[float, float]], *, whole: bool
) -> tuple[tuple[tuple[float, float], tuple[float, float]] | None, tuple[float, float]]:
    """Return neighbouring values beyond those given between which the winner flips, and the range seen."""
    (low, first), (high, last) = sorted(bracket)
    reach = [low, high]
    upwards = abs(last) < abs(first)  # towards where the lead shrinks first
    for up in (upwards, not upwards):
        value, held = (high, last) if up else (low, first)
        factor = 2.0
        while factor <= WIDEST:
            tried = (high * factor) if up else (low / factor)
            tried = float(max(round(tried), 1)) if whole else tried
            found = lead(tried)
            if math.isnan(found):
                break
            reach[up] = tried
            if found * held <= 0:
                return ((value, held), (tried, found)), (reach[0], reach[1])
            value, held = tried, found
            factor *= 2.0
    return None, (reach[0], reach[1])


def _root(
    lead: Callable[[float], float],
    one: tuple[float, float],
    other: tuple[float, float],
    *,
    whole: bool,
    ahead: bool,
) -> float:
    """Return where the lead passes zero: false position on logarithms, halved where it stalls.

    Of whole numbers the first at which the lead is no longer `ahead` (AFD's) as it was.
    """
    (low, first), (high, last) = sorted((one, other))
    for turn in range(ROUNDS):
        if high / low - 1 < CLOSE or (whole and high - low <= 1):
            break
        share = first / (first - last) if turn % 3 != 2 and first != last else 0.5  # noqa: PLR2004
        share = min(max(share, 0.02), 0.98)
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        if whole:
            value = float(min(max(round(value), low + 1), high - 1))
        found = lead(value)
        if math.isnan(found):
            break
        if found * first > 0:
            low, first = value, found
        else:
            high, last = value, found
    if whole:
        return high if (first > 0) == ahead else low
    share = first / (first - last) if first != last else 0.5
    return float(math.exp(math.log(low) + share * (math.log(high) - math.log(low))))


def _moved(scenario: Scenario, other: Scenario, key: str, value: float | str) -> str:
    """Return a change in the unit of its key, and as it was written where that is another."""
    old, new, unit = value_of(scenario, key), value_of(other, key), unit_of(scenario, key)
    if old is None or new is None:
        return f"{key} = {value}"
    written = f" ({value})" if isinstance(value, str) and not _is_number(value) else ""
    return f"{key} from {old:g} to {new:g}{unit}{written}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sentence(
    scenarios: tuple[Scenario, Scenario],
    changes: Mapping[str, float | str],
    before: Mapping[str, Side],
    after: Mapping[str, Side],
    *,
    summary: Mapping[str, Any],
    verdicts: Sequence[Verdict],
) -> str:
    texts = [_moved(*scenarios, key, value) for key, value in changes.items()]
    parts = []
    for mode in (EP, AFD):
        old, new = before[mode].rate, after[mode].rate
        if old and new:
            parts.append(f"{NAMES[mode]} {old:,.0f} to {new:,.0f} tokens/s per device ({new / old - 1:+.1%})")
        elif old or new:
            parts.append(f"{NAMES[mode]} {'no longer' if old else 'now'} feasible")
    winners = [NAMES[summary["winner_before"]], NAMES[summary["winner_after"]]]
    verdict = (
        f"the winner flips from {winners[0]} to {winners[1]}"
        if summary["winner_flips"]
        else f"{winners[0]} stays ahead"
    )
    flip = summary["break_even"]
    where = (
        f" (break-even at {flip['input']} = {flip['value']:.4g}{unit_of(scenarios[0], flip['input'])})"
        if flip and flip["value"]
        else ""
    )
    return f"{', '.join(texts)}: {'; '.join(parts)}; {verdict}{where}{_odds(verdicts)}."


def _odds(verdicts: Sequence[Verdict]) -> str:
    """Return how sure it is who is ahead, before and after; empty where neither has odds."""
    known = [(when, one) for when, one in zip(("before", "after"), verdicts, strict=True) if one.odds]
    if not known:
        return ""
    texts = ", ".join(f"{chance(one.odds.probability)} {when}" for when, one in known if one.odds)
    when, last = known[-1][0], known[-1][1].odds
    span = (
        f"AFD / EP {last.ratio:.2f}, 80 % interval {last.low:.2f} to {last.high:.2f} {when}" if last else ""
    )
    close = [when for when, one in known if one.close]
    doubt = f"; too close to call {' and '.join(close)}" if close else ""
    return f"; AFD ahead with probability {texts} ({span}){doubt}"


def _sure(scenario: Scenario, verdicts: Sequence[Verdict]) -> list[str]:
    """Return what the probabilities rest on, or why there is none."""
    notes = [one.note for one in verdicts if one.note]
    known = [one for one in verdicts if one.odds]
    if known:
        notes.append(model_note(load_ratio_error(scenario.system.parts.catalogue), known[-1]))
    return list(dict.fromkeys(notes))
