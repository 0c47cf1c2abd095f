"""The points of a sweep in order, cut into chunks that fit a cache and into tasks of many chunks."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def held_block(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]] | None:
    """Return the places of each axis where a mask holds somewhere; None where it holds nowhere."""
    if not mask.any():
        return None
    axes = range(mask.ndim)
    return [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]


def cropped(values: Any, block: Sequence[NDArray[np.intp]]) -> Any:  # noqa: ANN401 - numbers, or an array
    """Return values at the places of each axis that they are spread along; plain numbers as they are."""
    found = np.asarray(values)
    lacking = len(block) - found.ndim
    for axis, places in enumerate(block[lacking:]):
        if found.shape[axis] > 1 and places.size < found.shape[axis]:
            found = found.take(places, axis=axis)
    return found if np.ndim(values) else values


def put(target: NDArray[Any], block: Sequence[NDArray[np.intp]], values: Any) -> None:  # noqa: ANN401
    """Put values at the places of each axis, which are in order: quicker where these lie in a row."""
    spans = [slice(int(places[0]), int(places[-1]) + 1) for places in block]
    alone = all(part.stop - part.start == places.size for part, places in zip(spans, block, strict=True))
    target[tuple(spans) if alone else np.ix_(*block)] = values


def pieces(shape: Sequence[int], most: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of each axis that make a grid whole, in pieces of at most so many points.

    The longest axes are cut, the last one only where others do not suffice: it lies in a row in memory.
    """
    sizes = list(shape)
    while math.prod(sizes) > most:
        leading = sizes[:-1] if max(sizes[:-1], default=1) > 1 else sizes
        axis = leading.index(max(leading))
        sizes[axis] = -(-sizes[axis] // 2)
    cuts = (
        [slice(start, min(start + size, whole)) for start in range(0, whole, size)]
        for whole, size in zip(shape, sizes, strict=True)
    )
    return itertools.product(*cuts)


class Chunk(NamedTuple):
    """Points in a row: places on the leading axes, a slice of one, all of the others."""

    lead: tuple[int, ...]
    part: slice | None
    """Of the axis after the leading ones; None where these are all axes."""
    points: int


class Grid(NamedTuple):
    """All combinations of values: the last axis moves fastest.

    `outer` axes are never cut across: a chunk has one place on each.
    """

    shape: tuple[int, ...]
    outer: int
    chunk_points: int

    @property
    def points(self) -> int:
        """How many there are [1]."""
        return math.prod(self.shape)

    @property
    def _cut(self) -> int:
        """The axis that chunks have a slice of; behind it all values."""
        axis, behind = len(self.shape), 1
        while axis > self.outer and behind * self.shape[axis - 1] <= self.chunk_points:
            axis -= 1
            behind *= self.shape[axis]
        return max(axis - 1, self.outer)

    @property
    def _rows(self) -> int:
        """Values of that axis in a chunk [1]."""
        behind = math.prod(self.shape[self._cut + 1 :])
        return max(self.chunk_points // behind, 1)

    @property
    def _parts(self) -> int:
        cut = self._cut
        return -(-self.shape[cut] // self._rows) if cut < len(self.shape) else 1

    @property
    def chunks(self) -> int:
        """How many chunks there are [1]."""
        return math.prod(self.shape[: self._cut]) * self._parts

    def chunk(self, index: int) -> Chunk:
        """Return a chunk by its place in the order of points."""
        cut, parts, rows = self._cut, self._parts, self._rows
        at, part = divmod(index, parts)
        lead = []
        for size in reversed(self.shape[:cut]):
            at, place = divmod(at, size)
            lead.append(place)
        if cut >= len(self.shape):
            return Chunk(tuple(reversed(lead)), None, 1)
        ends = slice(part * rows, min((part + 1) * rows, self.shape[cut]))
        behind = math.prod(self.shape[cut + 1 :])
        return Chunk(tuple(reversed(lead)), ends, (ends.stop - ends.start) * behind)

    def tasks(self, task_points: int) -> list[range]:
        """Return ranges of chunks of about so many points each, in order."""
        each = max(task_points * self.chunks // max(self.points, 1), 1)
        return [range(start, min(start + each, self.chunks)) for start in range(0, self.chunks, each)]

    def of(self, chunks: range) -> Iterator[Chunk]:
        """Yield chunks by their places."""
        return (self.chunk(index) for index in chunks)
