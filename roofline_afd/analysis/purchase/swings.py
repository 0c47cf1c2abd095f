"""How far inputs move the answer: one at a time to the ends of its range, and in pairs to the corners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.analysis.purchase.uncertainty import Input
    from roofline_afd.analysis.purchase.variation import Rates, Variation

NUDGE = 1e-4
"""Relative step of an elasticity."""
SMOOTH = 0.02
"""Difference of the slopes to both sides up to which an elasticity is one number."""


def single_row(
    variation: Variation, item: Input, metric: str
) -> tuple[dict[str, Any], list[tuple[float, Rates]]]:
    """Return the row of an input, and what was found at its ends.

    Parameters
    ----------
    variation : Variation
        The answer as a function of its inputs.
    item : Input
        The input, moved alone.
    metric : str
        What is looked at: of `METRICS`.

    Returns
    -------
    tuple of dict and list
        The row; value and throughput at the low and at the high end.
    """
    ends = [(value, variation.rates({item.key: value})) for value in (item.low, item.high)]
    base = variation.base
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
        "elasticity": elasticity(variation, item, metric),
        "winner_low": ends[0][1].winner,
        "winner_high": ends[1][1].winner,
        "kind": item.kind,
        "uncertainty": item.uncertainty,
    }, ends


def pair_row(variation: Variation, first: Input, second: Input, metric: str) -> dict[str, Any]:
    """Return the row of two inputs moved together to the four corners of their ranges.

    Parameters
    ----------
    variation : Variation
        The answer as a function of its inputs.
    first, second : Input
        The inputs.
    metric : str
        What is looked at: of `METRICS`.

    Returns
    -------
    dict
        The row; `interaction` is what a corner has beyond the sum of both alone.
    """
    base = variation.base
    alone = {
        (item.key, value): variation.rates({item.key: value})
        for item in (first, second)
        for value in (item.low, item.high)
    }
    corners = {
        (one, other): variation.rates({first.key: one, second.key: other})
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


def _swing(values: Iterable[float | None]) -> float | None:
    """Return how far a metric moves; None where it has no value at an end."""
    found = list(values)
    known = [value for value in found if value is not None]
    return max(known) - min(known) if len(known) == len(found) else None


def elasticity(variation: Variation, item: Input, metric: str) -> float | None:
    """Return percent of the metric per percent of an input at fixed deployments.

    Parameters
    ----------
    variation : Variation
        The answer as a function of its inputs.
    item : Input
        The input.
    metric : str
        What is looked at: of `METRICS`.

    Returns
    -------
    float or None
        The slope of logarithms [1]; None at a kink, or at 0.
    """
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
    found = [variation.fixed({item.key: value}).metric(metric) for value in values]
    if None in found:
        return None
    logs = [math.log(each) for each in found if each]
    at = [math.log(value) for value in values]
    slopes = [(logs[i + 1] - logs[i]) / (at[i + 1] - at[i]) for i in (0, 1)]
    if abs(slopes[0] - slopes[1]) > SMOOTH * max(1.0, abs(slopes[0])):
        return None
    return (logs[2] - logs[0]) / (at[2] - at[0])
