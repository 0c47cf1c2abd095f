"""Which inputs move the answer, which change the winner, and how sure the answer is with all of them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.sides import NAMES, refusal_of, search_modes
from roofline_afd.analysis.purchase.uncertainty import SPREADS, Input, said, uncertain_inputs, varied
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.repeated import RepeatedSearch
from roofline_afd.serving.scenario import choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from roofline_afd.serving.scenario import Scenario

RATIO, BEST = "afd_over_ep", "best"
METRICS = (RATIO, EP, AFD, BEST)
"""Throughput of the best deployments, AFD over EP; or that of a mode, or of the better one."""
METRIC_NAMES = {
    RATIO: "AFD / EP",
    EP: "EP tokens/s per device",
    AFD: "AFD tokens/s per device",
    BEST: "tokens/s per device of the better mode",
}
SAMPLES = 100
"""Samples where nobody asks for another number."""
FEWEST_SAMPLES, MOST_SAMPLES = 20, 100_000
MOST_PAIRED = 20
NEAR, FAR = 0.5, 0.1
"""Share of the best that a shape must have reached to be searched again: within narrow ranges, and beyond."""
WIDEST = 16.0
"""Factor either way within which a break-even is looked for."""
STRIDE = 4.0
CLOSE, COARSE = 3e-3, 0.02
"""Relative width at which a break-even is settled, and the same as a share of how far away it is."""
ROUNDS = 16
NUDGE = 1e-4
"""Relative step of an elasticity."""
SMOOTH = 0.02
"""Difference of the slopes to both sides up to which an elasticity is one number."""
UNMOVED = 1e-4
"""Share of the metric below which an input is left out of tables."""
NAMED = 3
"""Inputs that the answer names."""
SAMPLED_KEYS = ("feasible_samples", "probability_afd_wins", "intervals")
LOW_END, HIGH_END = 5.0, 95.0
"""Percentiles that hold 90 % of the samples."""
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


class Rates(NamedTuple):
    """Throughput of the best deployment of each mode, 0 where none is feasible [tokens/s per device]."""

    ep: float
    afd: float

    @property
    def winner(self) -> str | None:
        """The mode that serves more; None where neither is feasible."""
        if not (self.ep or self.afd):
            return None
        return AFD if self.afd > self.ep else EP

    def beats(self, base: Rates) -> bool:
        """Whether the winner is another than that of the question; none wins where neither is feasible."""
        return self.winner not in {None, base.winner}

    @property
    def lead(self) -> float:
        """Logarithm of AFD over EP: infinite where one is infeasible, not a number where both are."""
        if self.ep and self.afd:
            return math.log(self.afd / self.ep)
        return math.nan if self.winner is None else math.copysign(math.inf, self.afd - self.ep)

    def metric(self, name: str) -> float | None:
        """Return a metric; None where it has no value."""
        if name == RATIO:
            return self.afd / self.ep if self.ep and self.afd else None
        found = {EP: self.ep, AFD: self.afd, BEST: max(self.ep, self.afd)}[name]
        return found or None


class _Model:
    """The answer as a function of its uncertain inputs."""

    def __init__(self, scenario: Scenario, inputs: Sequence[Input]) -> None:
        self.scenario, self.inputs = scenario, inputs
        self.sides = search_modes(scenario)
        self.base = Rates(*(self.sides[mode].rate or 0.0 for mode in MODES))
        self._searches = {
            share: {mode: RepeatedSearch(side.found, share=share) for mode, side in self.sides.items()}
            for share in (NEAR, FAR)
        }

    def rates(self, values: Mapping[str, float]) -> Rates:
        """Return the best of both modes with inputs at other values."""
        items = [item for item in self.inputs if item.key in values]
        moved = {item.key: values[item.key] for item in items}
        if all(item.value == moved[item.key] for item in items):
            return self.base
        share = NEAR if all(item.close(moved[item.key]) for item in items) else FAR
        try:
            scenario = varied(self.scenario, self.inputs, moved)
        except InputError:  # no time is left for the layers
            return Rates(0.0, 0.0)
        searches = self._searches[share]
        return Rates(*(searches[mode].rate(Deployments(scenario, mode)) for mode in MODES))

    def fixed(self, values: Mapping[str, float]) -> Rates:
        """Return what the best deployments of the question itself reach with inputs at other values."""
        if all(item.value == values.get(item.key, item.value) for item in self.inputs):
            return self.base
        scenario = varied(self.scenario, self.inputs, values)
        found = []
        for mode in MODES:
            best = self.sides[mode].found.best
            deployments = Deployments(scenario, mode)
            found.append(
                0.0
                if best is None
                else float(
                    np.asarray(
                        deployments.tokens_per_s_per_device(best, np.asarray(deployments.step(best).time))
                    )
                )
            )
        return Rates(*found)


# --- one input at a time -----------------------------------------------------------------------------------


def elasticity(model: _Model, item: Input, metric: str) -> float | None:
    """Return percent of the metric per percent of an input at fixed deployments; None at a kink or at 0."""
    step = max(abs(item.value) * NUDGE, 1.0 if item.whole else 0.0)
    if not step or item.value <= 0:
        return None
    places = (-1, 0, 1)
    if item.value + step > item.most:
        places = (-2, -1, 0)
    elif item.value - step <= item.least:
        places = (0, 1, 2)
    values = [item.value + place * step for place in places]
    if values[0] <= 0 or values[0] < item.least or values[-1] > item.most:
        return None
    found = [model.fixed({item.key: value}).metric(metric) for value in values]
    if None in found:
        return None
    logs = [math.log(each) for each in found if each]
    at = [math.log(value) for value in values]
    slopes = [(logs[i + 1] - logs[i]) / (at[i + 1] - at[i]) for i in (0, 1)]
    if abs(slopes[0] - slopes[1]) > SMOOTH * max(1.0, abs(slopes[0])):
        return None
    return (logs[2] - logs[0]) / (at[2] - at[0])


def _swing(values: Iterable[float | None]) -> float | None:
    """Return how far a metric moves; None where it has no value at an end."""
    found = list(values)
    known = [value for value in found if value is not None]
    return max(known) - min(known) if len(known) == len(found) else None


def _single(model: _Model, item: Input, metric: str) -> tuple[dict[str, Any], list[tuple[float, Rates]]]:
    """Return the row of an input, and what was found at its ends."""
    ends = [(value, model.rates({item.key: value})) for value in (item.low, item.high)]
    base = model.base
    low, high = (rates.metric(metric) for _, rates in ends)
    swing = _swing([low, base.metric(metric), high])
    return {
        "input": item.key,
        "low": item.low,
        "high": item.high,
        "metric_low": low,
        "metric_high": high,
        "swing": swing,
        "changes_winner": any(rates.beats(base) for _, rates in ends),
        "value": item.value,
        "unit": item.unit,
        "metric_value": base.metric(metric),
        "elasticity": elasticity(model, item, metric),
        "winner_low": ends[0][1].winner,
        "winner_high": ends[1][1].winner,
        "kind": item.kind,
        "uncertainty": item.uncertainty,
    }, ends


def break_even(model: _Model, item: Input, ends: Sequence[tuple[float, Rates]]) -> float | None:
    """Return the value of one input at which the winner is another, the nearest to its own that was found.

    Parameters
    ----------
    model : object
        The answer as a function of its inputs.
    item : Input
        The input.
    ends : sequence of tuple
        What was found at the ends of its range.

    Returns
    -------
    float or None
        A value at which the other mode wins, settled to 0.3 %, or to 2 % of the
        logarithm of its distance; None where there is none up to
        `WIDEST` either way within the bounds of the input.
    """
    base = (item.value, model.base.lead)

    def lead(value: float) -> float:
        return model.rates({item.key: value}).lead

    def flips(one: float, other: float) -> bool:
        return not math.isnan(other) and (one > 0) != (other > 0)

    points = [(value, rates.lead) for value, rates in ends]
    flipped = [point for point in points if flips(base[1], point[1])]
    if flipped:
        nearest = min(flipped, key=lambda point: _distance(point[0], item.value))
        return _settled(lead, base, nearest, item)
    sides = sorted(zip((False, True), points, strict=True), key=lambda side: abs(side[1][1]))
    for place, (up, (end, held)) in enumerate(sides):
        before = (end, held)
        for value in _further(item, end, up=up)[-2 + place :]:  # where the lead grows the last will do
            found = (value, lead(value))
            if math.isnan(found[1]):
                break
            if flips(base[1], found[1]):
                return _settled(lead, before, found, item)
            before = found
    return None


def _distance(value: float, base: float) -> float:
    if value > 0 and base > 0:
        return abs(math.log(value / base))
    return abs(value - base)


def _further(item: Input, end: float, *, up: bool) -> list[float]:
    """Return values beyond an end of the range at which to look for a break-even."""
    scale = item.value or item.high
    if not scale or (not up and not item.value):
        return []
    bound = min(item.most, scale * WIDEST) if up else max(item.least, scale / WIDEST)
    tried = [scale * STRIDE if up else scale / STRIDE, bound]
    values = [item.rounded(min(value, bound) if up else max(value, bound)) for value in tried]
    beyond = [value for value in values if (value > end if up else value < end) and value > 0]
    return list(dict.fromkeys(beyond))


def _settled(
    lead: Callable[[float], float], stays: tuple[float, float], flips: tuple[float, float], item: Input
) -> float:
    """Return the value next to where the winner changes, on the side where the other one wins."""
    for turn in range(ROUNDS):
        (one, first), (other, last) = stays, flips
        enough = max(CLOSE, COARSE * _distance(other, item.value)) if item.value > 0 else CLOSE
        if abs(other - one) <= max(float(item.whole), enough * max(abs(one), abs(other))):
            break
        finite = math.isfinite(first) and math.isfinite(last) and first != last
        share = first / (first - last) if finite and turn % 3 != 2 else 0.5  # noqa: PLR2004
        share = min(max(share + math.copysign(CLOSE / 4, 0.5 - share), 0.001), 0.999)
        if min(one, other) > 0:
            value = math.exp(math.log(one) + share * (math.log(other) - math.log(one)))
        else:
            value = one + share * (other - one)
        if item.whole:
            value = float(min(max(round(value), min(one, other) + 1), max(one, other) - 1))
        found = lead(value)
        if not math.isnan(found) and (found > 0) != (first > 0):
            flips = (value, found)
        else:
            stays = (value, first if math.isnan(found) else found)
    return flips[0]


# --- pairs -------------------------------------------------------------------------------------------------


def _pair(model: _Model, first: Input, second: Input, metric: str) -> dict[str, Any]:
    """Return the row of two inputs moved together to the four corners of their ranges."""
    base = model.base
    alone = {
        (item.key, value): model.rates({item.key: value})
        for item in (first, second)
        for value in (item.low, item.high)
    }
    corners = {
        (one, other): model.rates({first.key: one, second.key: other})
        for one in (first.low, first.high)
        for other in (second.low, second.high)
    }
    numbers = {corner: rates.metric(metric) for corner, rates in corners.items()}
    middle = base.metric(metric)
    beyond = []
    for (one, other), value in numbers.items():
        parts = (alone[first.key, one].metric(metric), alone[second.key, other].metric(metric))
        if None not in (value, middle, *parts):
            beyond.append(value - sum(part for part in parts if part) + middle)  # type: ignore[operator]
    changes = any(rates.beats(base) for rates in corners.values())
    return {
        "input": first.key,
        "low": first.low,
        "high": first.high,
        "metric_low": numbers[first.low, second.low],
        "metric_high": numbers[first.high, second.high],
        "swing": _swing([middle, *numbers.values()]),
        "changes_winner": changes,
        "value": first.value,
        "unit": first.unit,
        "metric_value": middle,
        "other_input": second.key,
        "other_value": second.value,
        "other_low": second.low,
        "other_high": second.high,
        "metric_low_high": numbers[first.low, second.high],
        "metric_high_low": numbers[first.high, second.low],
        "interaction": max(beyond, key=abs) if beyond else None,
        "only_together": changes and not any(rates.beats(base) for rates in alone.values()),
    }


# --- all inputs at once ------------------------------------------------------------------------------------


def draws(inputs: Sequence[Input], samples: int, seed: int) -> list[dict[str, float]]:
    """Return random values of all inputs, evenly spread between their ends on logarithms.

    Parameters
    ----------
    inputs : sequence of Input
        What is uncertain; those of a group are drawn together, all towards faster or all towards slower.
    samples : int
        How many [1].
    seed : int
        Of the random numbers.

    Returns
    -------
    list of dict
        Value by key, for each sample.
    """
    groups = list(dict.fromkeys(item.group for item in inputs))
    random = np.random.default_rng(seed).random((samples, len(groups)))
    columns = {}
    for item in inputs:
        share = random[:, groups.index(item.group)]
        share = share if item.faster else 1.0 - share
        if item.low > 0:
            values = item.low * (item.high / item.low) ** share
        else:
            values = item.low + (item.high - item.low) * share
        columns[item.key] = [item.rounded(min(max(value, item.low), item.high)) for value in values.tolist()]
    return [{key: values[index] for key, values in columns.items()} for index in range(samples)]


def _interval(values: Sequence[float], asked: int) -> dict[str, float] | None:
    """Return the middle 90 % of samples, their median, and the share of them that has a value."""
    if not values:
        return None
    low, median, high = np.percentile(values, [LOW_END, 50.0, HIGH_END]).tolist()
    return {"low": low, "median": median, "high": high, "feasible_share": len(values) / asked}


def _sampled(found: Sequence[Rates]) -> dict[str, Any]:
    """Return what samples say: an interval of each headline number, and how often AFD wins."""
    decided = [rates for rates in found if rates.winner]
    numbers = {
        "ep_tokens_per_s_per_device": [rates.ep for rates in found if rates.ep],
        "afd_tokens_per_s_per_device": [rates.afd for rates in found if rates.afd],
        RATIO: [rates.afd / rates.ep for rates in found if rates.ep and rates.afd],
    }
    wins = sum(rates.winner == AFD for rates in decided)
    return {
        "feasible_samples": len(decided),
        "probability_afd_wins": wins / len(decided) if decided else None,
        "intervals": {key: _interval(values, len(found)) for key, values in numbers.items()},
    }


# --- the answer --------------------------------------------------------------------------------------------


def sensitivity(
    scenario: Scenario,
    *,
    uncertainty: Mapping[str, str] | None = None,
    metric: str = RATIO,
    pairs: int = 0,
    samples: int = SAMPLES,
    seed: int = 0,
    break_evens: int | None = None,
    advanced: Callable[[float], None] | None = None,
) -> Answer:
    """Answer which uncertain inputs move the comparison of EP and AFD, and which change the winner.

    Parameters
    ----------
    scenario : Scenario
        The question.
    uncertainty : mapping of str to str, optional
        Key to range, in place of the default: `"10%"` to either side, or `"low:high"` in the key's unit.
    metric : str
        `afd_over_ep`, or tokens per second and device of `ep`, `afd` or the `best` of both.
    pairs : int
        How many of the inputs that move the metric most are varied in pairs too [1].
    samples : int
        Random samples of all inputs at once; 0 for none [1].
    seed : int
        Of their random numbers.
    break_evens : int, optional
        For how many of the inputs that move the metric most a break-even is looked for; for all where
        absent [1].
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
    choice("--metric", metric, METRICS)
    _check_whole("--pairs", pairs, least=0, most=MOST_PAIRED)
    if break_evens is not None:
        _check_whole("break_evens", break_evens, least=0, most=2**31)
    _check_whole("--seed", seed, least=0, most=2**63 - 1)
    if samples:
        _check_whole("--samples", samples, least=FEWEST_SAMPLES, most=MOST_SAMPLES)
    inputs, zeros = uncertain_inputs(scenario, uncertainty)
    model = _Model(scenario, inputs)
    _refuse(model, metric)
    every = samples + 6 * len(inputs) + 2 * pairs * pairs
    done = 0

    def advance(by: int) -> None:
        nonlocal done
        done += by
        if advanced is not None:
            advanced(done / every)

    singles = []
    for item in inputs:
        row, ends = _single(model, item, metric)
        singles.append((row, item, ends))
        advance(2)
    singles.sort(key=lambda single: -_size(single[0]))
    sought = len(singles) if break_evens is None else break_evens
    for rank, (row, item, ends) in enumerate(singles):
        looked = rank < sought and item.high > item.low
        row["break_even"] = break_even(model, item, ends) if looked else None
        advance(4)
    rows, ranked = [row for row, _, _ in singles], [item for _, item, _ in singles]
    paired = []
    for first, second in itertools.combinations(ranked[:pairs], 2):
        paired.append(_pair(model, first, second, metric))
        advance(4)
    paired.sort(key=lambda row: -_size(row))
    found = []
    for values in draws(inputs, samples, seed):
        found.append(model.rates(values))
        advance(1)
    return _answer(
        model,
        metric,
        rows,
        paired,
        found,
        seed=seed,
        zeros=zeros,
        given=uncertainty or {},
        sought=break_evens,
    )


def _check_whole(option: str, value: object, *, least: int, most: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= most:  # type: ignore[call-overload]  # a whole number
        raise InputError(f"{option} {value} must be a whole number from {least} to {most:,}")


def _size(row: Mapping[str, Any]) -> float:
    return math.inf if row["swing"] is None else float(row["swing"])


def _refuse(model: _Model, metric: str) -> None:
    """Raise if the question has no answer to vary."""
    if model.base.winner is None:
        raise InfeasibleError(f"no: {refusal_of(model.sides)}")
    if model.base.metric(metric) is None:
        missing = {mode: side for mode, side in model.sides.items() if side.rate is None}
        raise InfeasibleError(
            f"no: {METRIC_NAMES[metric]} has no value: {refusal_of(missing)}; "
            f"--metric {model.base.winner} has one"
        )


def _answer(
    model: _Model,
    metric: str,
    rows: list[dict[str, Any]],
    paired: list[dict[str, Any]],
    found: list[Rates],
    *,
    seed: int,
    zeros: list[str],
    given: Mapping[str, str],
    sought: int | None,
) -> Answer:
    """Return the answer from what was found."""
    scenario, base = model.scenario, model.base
    quantities = quantities_of(*(side.deployments for side in model.sides.values()))
    middle = base.metric(metric)
    assert middle is not None  # noqa: S101 - refused before
    moved = [
        index
        for index, row in enumerate(rows)
        if row["swing"] is None or row["swing"] > UNMOVED * middle or row["break_even"] is not None
    ]
    flip = _nearest_flip(rows)
    sampled = _sampled(found) if found else dict.fromkeys(SAMPLED_KEYS)
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
        "seed": seed,
        **sampled,
    }
    some = sought if sought is not None and sought < len(rows) else None
    summary["answer"] = _sentence(rows, paired, summary, some)
    table_rows = [*moved, *range(len(rows), len(rows) + len(paired))]
    keys = TABLE_KEYS if not paired else (*TABLE_KEYS, *PAIR_KEYS)
    return Answer(
        command="sensitivity",
        inputs={
            **serving_inputs(scenario, quantities),
            "metric": metric,
            "uncertainty": dict(given),
            "samples": len(found),
            "seed": seed,
        },
        columns=object_columns([*rows, *paired]),
        summary=summary,
        notes=[
            *_notes(rows, zeros, given, found, shown=len(moved), some=some),
            *dict.fromkeys(
                note for side in model.sides.values() for note in notes_of(side.deployments, [side.row])
            ),
            *provenance_notes(scenario, quantities),
        ],
        table_keys=keys,
        table_rows=tuple(table_rows),
    )


def _nearest_flip(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the break-even that takes the smallest relative change of an input."""
    known = [row for row in rows if row["break_even"] is not None]
    if not known:
        return None
    row = min(
        known,
        key=lambda row: (
            _distance(row["break_even"], row["value"]) if row["value"] > 0 else math.inf,
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
        "low and high move one input alone, both modes searched anew; the shape of the model is certain",
        "elasticity: percent of the metric per percent of the input at the same deployments; none at a kink",
        f"break_even: where the other mode wins, up to {WIDEST:g}-fold either way; not of certain inputs",
    ]
    if found:
        notes.append(
            f"{len(found)} samples: inputs drawn independently, evenly on logarithms between low and high; "
            "parameters fitted as one table are off together, all faster or all slower; intervals hold the "
            "middle 90 %; ranges that end at a bound pull them to one side"
        )
    if some is not None:
        notes.append(f"break-evens are looked for of the {some} inputs that move the metric most")
    out = sum(rates.winner is None for rates in found)
    if out:
        notes.append(f"in {out} samples neither mode is feasible: they count in no interval")
    if any(row["swing"] is None for row in rows):
        notes.append("inputs without a swing come first: at an end of their range a mode is not feasible")
    if shown < len(rows):
        notes.append(f"{len(rows) - shown} inputs that move nothing are left out of tables")
    if zeros:
        notes.append(f"left out, at 0 without a range: {', '.join(zeros)}")
    return notes


def default_text() -> str:
    """Return the default uncertainties in a line."""
    parts = [
        f"{name} {said(spread, 'ms' if name.endswith('_ms') else '1')}" for name, spread in SPREADS.items()
    ]
    return ", ".join(parts) + "; fitted parameters the held-out error of their record"


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    paired: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    some: int | None,
) -> str:
    """Return what matters most, and what would change the verdict."""
    ratio, winner = summary[RATIO], NAMES[summary["winner"]]
    lead = f"{winner} is ahead" if ratio is None else f"{winner} is ahead (AFD / EP {ratio:.2f})"
    if summary["probability_afd_wins"] is not None:
        chance = summary["probability_afd_wins"]
        chance = chance if summary["winner"] == AFD else 1.0 - chance
        known, drawn = summary["feasible_samples"], summary["samples"]
        lead += f" and stays so in {chance:.0%} of "
        lead += f"{drawn} samples" if known == drawn else f"the {known} of {drawn} samples that either serves"
    interval = summary["intervals"] and summary["intervals"][RATIO]
    share = interval["feasible_share"] if interval else 1.0
    both = "them" if share == 1.0 else f"the {share:.0%} that both serve"
    middle = (
        f"AFD / EP is {interval['low']:.2f} to {interval['high']:.2f} in 90 % of {both}; " if interval else ""
    )
    top = [row for row in rows[:NAMED] if row["input"] in summary["matters_most"]]
    name = METRIC_NAMES[summary["metric"]]
    matters = ", ".join(
        f"{row['input']} ({_number(row['metric_low'])} to {_number(row['metric_high'])})" for row in top
    )
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
