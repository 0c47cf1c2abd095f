"""Reductions inside the blocks of a sweep: the best points, a frontier, a histogram, quantiles."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.sweep.metrics import HIGH, LOW, METRICS
from roofline_afd.errors import InputError, shown
from roofline_afd.serving.checks import choice, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.metrics import Columns

BEST, TOP, PARETO, HISTOGRAM, QUANTILES, NONE = "best", "top", "pareto", "histogram", "quantiles", "none"
REDUCTIONS = (BEST, TOP, PARETO, HISTOGRAM, QUANTILES, NONE)
MOST_KEPT = 100_000
GROWTH = 1.005
"""Ratio of the ends of a bin that quantiles are counted in: they are off by a quarter of a percent."""
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
FORM = "best:KEY, top:N:KEY, pareto:X,Y, histogram:KEY[:BINS], quantiles:KEY or none"


class Kept(NamedTuple):
    """Points that are kept: their places in the order of all, and their metrics by column."""

    places: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]


def reduction_of(text: str, of: str) -> tuple[str, ...]:
    """Read a reduction: its name, then what it takes; raises InputError where it cannot be meant."""
    name, _, rest = text.strip().partition(":")
    choice("--reduce", name, REDUCTIONS)
    parts = [part for part in rest.replace(",", ":").split(":") if part]
    keys = METRICS[of]
    if name == NONE:
        wanted, numbers = 0, []
    elif name == TOP:
        numbers, parts = parts[:1], parts[1:]
        wanted = 1
    elif name == HISTOGRAM:
        parts, numbers, wanted = parts[:1], parts[1:], 1
    else:
        numbers, wanted = [], 2 if name == PARETO else 1
    if len(parts) != wanted or len(numbers) > 1 or (name == TOP and not numbers):
        raise InputError(f"--reduce {shown(text)} is not one of {FORM}")
    for part in parts:
        choice("--reduce", part, tuple(keys))
        if name in {BEST, TOP, PARETO} and not keys[part].better:
            raise InputError(f"--reduce {shown(text)}: neither more nor less of {part} is better")
    for number in numbers:
        if not number.isdecimal():
            raise InputError(f"--reduce {shown(text)}: {shown(number)} is no whole number")
        whole("--reduce", int(number), most=MOST_KEPT)
    return (name, *parts, *(numbers or ([str(BINS)] if name == HISTOGRAM else [])))


class Reducer:
    """Takes chunks of metrics, keeps what the reduction asks for, and joins with others of its kind."""

    def __init__(self, of: str, reduction: Sequence[str], metrics: Sequence[str]) -> None:
        self.name, *self.given = reduction
        self.metrics = tuple(metrics)
        self.signs = {name: -1.0 if METRICS[of][name].better == LOW else 1.0 for name in metrics}
        self.feasible = "feasible" in metrics
        self.kept = Kept(np.empty(0, np.int64), {name: np.empty(0) for name in metrics})
        self.counts: dict[int, int] = {}
        self.points = self.valid = 0
        self.ends = [math.inf, -math.inf]

    def take(self, start: int, columns: Columns, shape: tuple[int, ...]) -> None:
        """Take a chunk of points, one that comes after those taken before.

        Parameters
        ----------
        start : int
            Place of the first in the order of all.
        columns : dict of str to array
            Metrics, which broadcast to the shape of the chunk.
        shape : tuple of int
            The chunk's.
        """
        shape = shape or (1,)
        size = math.prod(shape)
        self.points += size
        good = columns["feasible"].astype(bool) if self.feasible else np.ones((1,) * len(shape), dtype=bool)
        if self.name in {HISTOGRAM, QUANTILES}:
            value, held = np.broadcast_arrays(columns[self.given[0]], good)
            self._count(value, held, size)
            return
        keys = self.given[:2] if self.name == PARETO else self.given[:1]
        plain = (np.asarray(columns[key], dtype=np.float64) for key in keys)
        signed = [value if self.signs[key] > 0 else -value for key, value in zip(keys, plain, strict=True)]
        tops = [float(value.max()) for value in signed]
        if any(map(math.isnan, tops)):
            for value in signed:
                good = good & ~np.isnan(value)
            tops = [math.inf] * len(keys)
        self.valid += int(np.count_nonzero(good)) * (size // good.size)
        beats = self._unbeaten(signed, tops) if self.name == PARETO else self._worth(signed, tops)
        if beats is None or not beats.any():
            return
        at = _where(shape, good, beats)
        if at is None:
            return
        kept = [np.broadcast_to(value, shape)[at] for value in signed]
        if self.name == PARETO:
            rows = _frontier(kept[0], kept[1])
        elif self._many == 1:
            rows = np.array([np.argmax(kept[0])])
        else:
            rows = np.argsort(-kept[0], kind="stable")[: self._many]
        at = tuple(index[rows] for index in at)
        columns = {name: np.broadcast_to(columns[name], shape)[at].astype(float) for name in self.metrics}
        self._keep(Kept(np.ravel_multi_index(at, shape) + start, columns))

    def _worth(self, signed: Sequence[NDArray[Any]], tops: Sequence[float]) -> NDArray[np.bool_] | None:
        """Return which points of a chunk are above all kept, of those alike the first; None for none."""
        least = self._least()
        return None if tops[0] < least else np.asarray(signed[0] > least)

    @property
    def _many(self) -> int:
        return int(self.given[1]) if self.name == TOP else 1

    def _least(self) -> float:
        """Return what a point must reach to be kept."""
        held = self.kept.columns[self.given[0]] * self.signs[self.given[0]]
        return float(held[-1]) if held.size >= self._many else -math.inf

    def _unbeaten(self, signed: Sequence[NDArray[Any]], tops: Sequence[float]) -> NDArray[np.bool_] | None:
        """Return which points of a chunk no kept one beats in both; None for none."""
        x, y = signed
        held = [self.kept.columns[key] * self.signs[key] for key in self.given[:2]]
        # from the most x on, y grows: the last that has as much x has the most y of those
        best = np.concatenate([[-math.inf], held[1]])
        if tops[1] <= best[np.searchsorted(-held[0], -tops[0], side="right")]:
            return None
        return np.asarray(y > best[np.searchsorted(-held[0], -x, side="right")])

    def _keep(self, more: Kept) -> None:
        places = np.concatenate([self.kept.places, more.places])
        columns = {
            name: np.concatenate([self.kept.columns[name], more.columns[name]]) for name in self.metrics
        }
        if self.name == PARETO:
            x, y = (columns[key] * self.signs[key] for key in self.given[:2])
            rows = _frontier(x, y, places)
        else:
            key = self.given[0]
            rows = np.lexsort((places, -columns[key] * self.signs[key]))[: self._many]
        self.kept = Kept(places[rows], {name: column[rows] for name, column in columns.items()})

    def _count(self, values: NDArray[Any], good: NDArray[np.bool_], size: int) -> None:
        """Count values in bins of even ratios, those below 0 and 0 apart; each stands for as many points."""
        share = size // values.size
        held = values[good].astype(float)
        held = held[np.isfinite(held)]
        self.valid += held.size * share
        if not held.size:
            return
        self.ends = [min(self.ends[0], float(held.min())), max(self.ends[1], float(held.max()))]
        with np.errstate(divide="ignore"):
            bins = np.floor(np.log(np.abs(held)) / math.log(GROWTH))
        code = np.where(held == 0, 0, np.sign(held) * (np.maximum(bins, -(1 << 20)) + (1 << 21))).astype(
            np.int64
        )
        names, many = np.unique(code, return_counts=True)
        for name, count in zip(names.tolist(), many.tolist(), strict=True):
            self.counts[name] = self.counts.get(name, 0) + count * share

    def state(self) -> dict[str, Any]:
        """Return what was kept, as plain values."""
        return {
            "places": self.kept.places.tolist(),
            "columns": {name: column.tolist() for name, column in self.kept.columns.items()},
            "counts": sorted(self.counts.items()),
            "points": self.points,
            "valid": self.valid,
            "ends": self.ends if self.valid and self.counts else None,
        }

    def join(self, state: dict[str, Any]) -> None:
        """Take what another kept."""
        self.points += state["points"]
        self.valid += state["valid"]
        for name, count in state["counts"]:
            self.counts[name] = self.counts.get(name, 0) + count
        if state["ends"]:
            self.ends = [min(self.ends[0], state["ends"][0]), max(self.ends[1], state["ends"][1])]
        if state["places"]:
            columns = {name: np.array(column, dtype=float) for name, column in state["columns"].items()}
            self._keep(Kept(np.array(state["places"], dtype=np.int64), columns))

    def bins(self) -> list[tuple[float, int]]:
        """Return the middle of each bin that holds values, in order, and how many it holds."""
        found = []
        for code, count in self.counts.items():
            if code == 0:
                found.append((0.0, count))
                continue
            power = abs(code) - (1 << 21)
            found.append((math.copysign(GROWTH ** (power + 0.5), code), count))
        return sorted(found)

    def quantiles(self) -> list[dict[str, float]]:
        """Return the values that shares of all points are below."""
        bins = self.bins()
        values = np.array([value for value, _ in bins])
        passed = np.cumsum([count for _, count in bins])
        rows = []
        for share in SHARES:
            value = float(values[int(np.searchsorted(passed, share * passed[-1]))])
            rows.append({"share": share, self.given[0]: min(max(value, self.ends[0]), self.ends[1])})
        return rows

    def histogram(self) -> list[dict[str, float]]:
        """Return how many points lie in each of some bins of even width."""
        low, high = self.ends
        edges = np.linspace(low, high, int(self.given[1]) + 1)
        values = np.clip([value for value, _ in self.bins()], low, high)
        many, _ = np.histogram(values, edges, weights=[count for _, count in self.bins()])
        return [
            {"low": float(edges[index]), "high": float(edges[index + 1]), "points": int(count)}
            for index, count in enumerate(many)
        ]


def _where(shape: tuple[int, ...], *masks: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...] | None:
    """Return where all masks hold that broadcast to a shape, in order; None for nowhere.

    Looked for only at places of an axis where each holds somewhere: most masks change along few axes.
    """
    kept = []
    for axis, size in enumerate(shape):
        held = np.ones(size, dtype=bool)
        for mask in masks:
            others = tuple(index for index in range(len(shape)) if index != axis)
            held &= mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape).any(axis=others)
        kept.append(np.flatnonzero(held))
        if not kept[-1].size:
            return None
    block = np.ix_(*kept)
    both = functools.reduce(np.logical_and, (np.broadcast_to(mask, shape)[block] for mask in masks))
    found = np.nonzero(both)
    return tuple(places[index] for places, index in zip(kept, found, strict=True)) if found[0].size else None


def _frontier(
    x: NDArray[np.float64], y: NDArray[np.float64], places: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the rows that none beats in both, from the most x on; of those alike the first."""
    order = np.lexsort((np.arange(x.size) if places is None else places, -y, -x))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], y[order][:-1]]))
    found: NDArray[np.int64] = order[y[order] > best]
    return found


def better(of: str, key: str) -> str:
    """Return whether more or less of a metric is better, in words."""
    return {HIGH: "most", LOW: "least"}.get(METRICS[of][key].better, "")
