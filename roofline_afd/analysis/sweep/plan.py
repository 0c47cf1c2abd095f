"""A sweep laid out: its axes in order, its chunks, and the metrics of each."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.sweep.grids import Grid
from roofline_afd.analysis.sweep.metrics import COMPARE, METRICS, MODES, PREDICT, REFUSED, WINNERS, kind_of
from roofline_afd.analysis.sweep.reduce import NONE
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.grids import Chunk
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Kind, Places
    from roofline_afd.serving.scenario import Scenario

CHUNK_POINTS = 1 << 17
"""Points of a chunk: as many as keep what is done once a chunk small, and its columns near the core [1]."""
PREDICTED_POINTS = 1 << 20
"""Points of a chunk of predictions, but for rows that are written: what batches do not move is shared [1]."""
COMPARED_POINTS = (8, 64)
"""Points of a chunk of comparisons, least and most: as many as search together, in `FEWEST_CHUNKS` [1]."""
FEWEST_CHUNKS = 16
_BLANK: dict[str, Any] = {"feasible": False, "winner": 0.0, "mode": 0.0}
"""Metrics of what is infeasible; the others have no number."""
_REFUSED: dict[str, Any] = {
    "feasible": False,
    "winner": float(WINNERS.index(REFUSED)),
    "mode": float(MODES.index(REFUSED)),
}
"""The same of combinations that are no question."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """A sweep as it goes to workers: what is asked, of which points."""

    of: str
    mode: str | None
    scenario: Scenario
    axes: tuple[Axis, ...]
    """In the order of points: those that are searched one by one first."""
    n_outer: int
    metrics: tuple[str, ...]
    reduce: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """What tells this sweep from any other, and from the same by another program or other records."""
        told = [self.of, self.mode, self.n_outer, self.metrics, self.reduce, repr(self.scenario)]
        told += [__version__, repr(self.scenario.system.parts.catalogue.added)]
        held = hashlib.sha256(repr(told).encode())
        for axis in self.axes:
            held.update(repr((axis.key, axis.words)).encode())
            if axis.numbers is not None:
                held.update(axis.numbers.tobytes())
        return held.hexdigest()

    @property
    def grid(self) -> Grid:
        """All points."""
        whole = Grid(tuple(axis.size for axis in self.axes), self.n_outer, CHUNK_POINTS)
        if self.of == COMPARE:
            least, most = COMPARED_POINTS
            return whole._replace(chunk_points=min(max(whole.points // FEWEST_CHUNKS, least), most))
        if self.of == PREDICT and self.reduce[0] != NONE:
            return whole._replace(chunk_points=PREDICTED_POINTS)
        return whole


def ordered(
    of: str, mode: str | None, scenario: Scenario, axes: tuple[Axis, ...]
) -> tuple[tuple[Axis, ...], int]:
    """Return axes in the order of points, and how many of them are searched one by one.

    Parameters
    ----------
    of, mode : str
        What is swept.
    scenario : Scenario
        The question.
    axes : tuple of Axis
        As given.

    Returns
    -------
    tuple
        Axes, those over which many points are computed at once last, and the number of the others.
    """
    open_ = set(kind_of(of, mode).open_axes(scenario, axes))
    outer = [axis for axis in axes if axis.key not in open_]
    return (*outer, *(axis for axis in axes if axis.key in open_)), len(outer)


class Plan:
    """What a worker computes with: the sweep, and the evaluator of the last outer combination."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.grid = spec.grid
        self.kind: Kind = kind_of(spec.of, spec.mode)
        self._held: tuple[tuple[int, ...], Evaluator] | None = None
        self._last: dict[int, tuple[range, NDArray[np.int64]]] = {}

    def chunks(self, places: range) -> Iterator[tuple[Chunk, Columns]]:
        """Yield chunks by their places, each with its metrics, which broadcast to its shape."""
        for chunk in self.grid.of(places):
            yield chunk, self._metrics(chunk)

    def tried(self) -> None:
        """Compute the first point, and raise what refuses it."""
        open_ = self.spec.grid.shape[self.spec.n_outer :]
        self._evaluated((0,) * self.spec.n_outer, [np.zeros((1,) * len(open_), dtype=np.int64)] * len(open_))

    def _metrics(self, chunk: Chunk) -> Columns:
        outer = chunk.lead[: self.spec.n_outer]
        try:
            found = self._evaluated(outer, self.places(chunk))
        except (InputError, InfeasibleError) as error:  # a combination that cannot be: others can
            blank = _REFUSED if isinstance(error, InputError) else _BLANK
            found = {name: np.asarray(blank.get(name, np.nan)) for name in self.spec.metrics}
        return {name: found[name] for name in self.spec.metrics}

    def _evaluated(self, outer: tuple[int, ...], places: Sequence[Places]) -> Columns:
        """Return the metrics of one outer combination at places of the open axes."""
        spec = self.spec
        if self._held is None or self._held[0] != outer:
            given = {axis.key: axis.value(place) for axis, place in zip(spec.axes, outer, strict=False)}
            self._held = (
                outer,
                self.kind.evaluator(spec.scenario, given, spec.axes[spec.n_outer :], spec.metrics),
            )
        return self._held[1](places)

    def places(self, chunk: Chunk) -> list[NDArray[np.int64]]:
        """Return the places of a chunk on the open axes, which broadcast against each other."""
        every = self._ranges(chunk)[self.spec.n_outer :]
        return [self._places(len(every), index, part) for index, part in enumerate(every)]

    def _places(self, many: int, index: int, part: range) -> NDArray[np.int64]:
        """Return places on one open axis: the same object for the same places as before."""
        known = self._last.get(index)
        if known is None or known[0] != part:
            shape = (-1,) + (1,) * (many - 1 - index)
            known = self._last[index] = part, np.arange(part.start, part.stop).reshape(shape)
        return known[1]

    def shape(self, chunk: Chunk) -> tuple[int, ...]:
        """Return how many places a chunk has on each open axis."""
        return tuple(part.stop - part.start for part in self._ranges(chunk)[self.spec.n_outer :])

    def _ranges(self, chunk: Chunk) -> list[range]:
        """Return the places of a chunk on every axis."""
        shape = self.grid.shape
        found = [range(place, place + 1) for place in chunk.lead]
        if chunk.part is not None:
            found.append(range(chunk.part.start, chunk.part.stop))
        found += [range(size) for size in shape[len(found) :]]
        return found

    def inputs(self, chunk: Chunk) -> dict[str, NDArray[Any]]:
        """Return the values of the axes at the points of a chunk, flat."""
        ranges = self._ranges(chunk)
        shape = tuple(len(part) for part in ranges)
        found: dict[str, NDArray[Any]] = {}
        for index, (axis, part) in enumerate(zip(self.spec.axes, ranges, strict=True)):
            if axis.numbers is None:
                column = np.array(axis.words, dtype=object)[part.start : part.stop]
            else:
                column = axis.numbers[part.start : part.stop]
            spread = column.reshape((1,) * index + (-1,) + (1,) * (len(shape) - 1 - index))
            found[axis.key] = np.broadcast_to(spread, shape).ravel()
        return found

    def point(self, place: int) -> dict[str, float | str]:
        """Return the values of the axes at a point by its place in the order of all."""
        found: dict[str, float | str] = {}
        for axis in reversed(self.spec.axes):
            place, at = divmod(place, axis.size)
            found[axis.key] = axis.value(at)
        return dict(reversed(found.items()))

    def start(self, chunk: Chunk) -> int:
        """Return the place of a chunk's first point in the order of all."""
        at = 0
        for part, size in zip(self._ranges(chunk), self.grid.shape, strict=True):
            at = at * size + part.start
        return at


_plans: dict[str, Plan] = {}


def plan_of(packed: bytes) -> Plan:
    """Return what a worker computes a sweep with, made once a process.

    Parameters
    ----------
    packed : bytes
        A `Spec`, pickled by the process that asks.
    """
    name = hashlib.sha256(packed).hexdigest()
    if name not in _plans:
        _plans.clear()
        _plans[name] = Plan(pickle.loads(packed))  # noqa: S301 - by our own coordinator
    return _plans[name]


def valid_metrics(of: str) -> tuple[str, ...]:
    """Return the metrics of a command, the first where none is asked for."""
    return tuple(METRICS[of])
