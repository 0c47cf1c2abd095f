"""Where one input makes the other mode win: the value nearest to its own, searched both ways."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roofline_afd.analysis.purchase.uncertainty import Input
    from roofline_afd.analysis.purchase.variation import Rates, Variation

WIDEST = 16.0
"""Factor either way within which a break-even is looked for."""
STRIDE = 4.0
CLOSE, COARSE = 3e-3, 0.02
"""Relative width at which a break-even is settled, and the same as a share of how far away it is."""
ROUNDS = 16


def break_even(variation: Variation, item: Input, ends: Sequence[tuple[float, Rates]]) -> float | None:
    """Return the value of one input at which the winner is another, the nearest to its own that was found.

    Parameters
    ----------
    variation : Variation
        The answer as a function of its inputs.
    item : Input
        The input.
    ends : sequence of tuple
        What was found at the ends of its range.

    Returns
    -------
    float or None
        A value at which the other mode wins, settled to 0.3 %, or to 2 % of the logarithm of its distance;
        None where there is none up to `WIDEST` either way within the bounds of the input.
    """
    base = (item.value, variation.base.lead)

    def lead(value: float) -> float:
        return variation.lead({item.key: value})

    def flips(one: float, other: float) -> bool:
        return not math.isnan(other) and (one > 0) != (other > 0)

    points = [(value, rates.lead) for value, rates in ends]
    flipped = [point for point in points if flips(base[1], point[1])]
    if flipped:
        nearest = min(flipped, key=lambda point: distance(point[0], item.value))
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


def distance(value: float, base: float) -> float:
    """Return how far a value is from another.

    Parameters
    ----------
    value, base : float
        Both in one unit.

    Returns
    -------
    float
        The logarithm of their ratio [1]; their difference where one is not above 0.
    """
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
        enough = max(CLOSE, COARSE * distance(other, item.value)) if item.value > 0 else CLOSE
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
