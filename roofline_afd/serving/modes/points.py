"""Points of a search, a column for each of their numbers: rows taken, joined, not dominated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.serving.limits import SAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers, Rows

    Points = dict[str, NDArray[np.float64]]


MANY, ONE_OF = 4096, 64
"""Points from which on a few are looked at first, and how few of them [1]."""


def take(points: Mapping[str, NDArray[Any]], rows: Rows) -> Points:
    """Return some rows of points, whose columns may have more than one axis."""
    return {key: np.asarray(column).ravel()[rows] for key, column in points.items()}


def joined(parts: Iterable[Points]) -> Points:
    """Return points one after another."""
    kept = [part for part in parts if part]
    return {key: np.concatenate([part[key] for part in kept]) for key in kept[0]} if kept else {}


def alike(column: NDArray[Any]) -> Iterator[Rows]:
    """Yield the rows that have the same number in a column, the least number first."""
    for value in np.unique(column):
        yield np.flatnonzero(column == value)


def frontier(points: Points) -> Points:
    """Return the points that no other beats in both time per output token and rate."""
    return take(points, frontier_rows(points["tpot"], points["rate"])) if points else {}


def frontier_rows(tpot: Numbers, rate: Numbers) -> Rows:
    """Return the rows that no other beats in both, fastest first."""
    rows = np.arange(tpot.size)
    if tpot.size > MANY:  # most are beaten by one of a few: sorting the rest is quick
        few = frontier_rows(tpot[::ONE_OF], rate[::ONE_OF]) * ONE_OF
        quicker = np.searchsorted(tpot[few], tpot)
        rows = np.flatnonzero(rate > np.concatenate([[-np.inf], rate[few]])[quicker])
    order = rows[np.lexsort((-rate[rows], tpot[rows]))]
    rising = rate[order]
    first = np.ones(order.size, dtype=bool)
    first[1:] = rising[1:] > np.maximum.accumulate(rising)[:-1] * (1.0 + SAME)
    return order[first]


def undominated(costs: Numbers) -> Rows:
    """Return the rows of costs that no other is below, or equal to, in every column."""
    kept: list[int] = []
    for row in np.lexsort(costs.T[::-1]).tolist():
        if not kept or not np.any(np.all(costs[kept] <= costs[row], axis=1)):
            kept.append(row)
    return np.array(kept, dtype=np.intp)
