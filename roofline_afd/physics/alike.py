"""Layers alike, one after another, passed by a pipeline of two groups at once, however many they are."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike

FEWEST = 4
"""Layers for which the ways through them are all there are [1]."""


def pass_alike(
    *,
    kind: Sequence[FloatLike],
    layers: int,
    ready: list[NDArray[np.float64]],
    free: list[NDArray[np.float64]],
    last: bool = False,
) -> None:
    """Move all micro-batches through layers alike: when each is ready again, and when each stage is free.

    Parameters
    ----------
    kind : sequence of float or array
        Time of each stage of a layer, of one micro-batch [s].
    layers : int
        Layers, n, `FEWEST` at least [1].
    ready : list of array
        When each of m micro-batches may begin the first stage of the first layer [s]; becomes when it is
        through the last.
    free : list of array
        When each stage may be begun [s]; becomes when the last micro-batch leaves it free.
    last : bool
        Whether only the end of the last micro-batch matters, and others are left as they were [1].

    Notes
    -----
    An end is that of the longest way to it, stage by stage and micro-batch by micro-batch at a stage, which
    takes that stage's time again: best at the longest stage it comes by. Of n layers a way passes w by
    micro-batches, m for each, the rest by stages. Its length is linear in w while it comes by all stages, so
    that the least and the largest w count, and ways short of some stages. With S the time of all stages, t
    the longest of them, T the longest that a way comes by, c = max(S, m t), and d micro-batches further on,
    a way from stage r to stage s takes what lies from r to s and

        d t + S + (n - 2) c      through one more round of stages, or more,
        (d + m (n - 1)) T        through none

    but where s is two or more before r, less what lies between them, and

        d t + 2 S + (n - 3) c    through two more rounds, or more,
        S + (d + m (n - 2)) T    through one

    References
    ----------
    This project; longest ways of a flow shop that is entered again.

    Examples
    --------
    >>> ready, free = [np.zeros(())] * 3, [np.zeros(())] * 4
    >>> pass_alike(kind=(3e-4, 1e-4, 1e-4, 2e-4), layers=60, ready=ready, free=free)
    >>> round(float(ready[-1]) * 1e3, 3)
    54.4
    """
    linked, run = _run(kind, layers, len(ready))
    came = [np.maximum(ready[0], free[0]), *ready[1:]]
    wanted = range(len(ready) - 1 if last else 0, len(ready))
    ends = {index: _end(run, came, free, index) for index in wanted}
    freed = {} if last else {stage: _freed(run, came, free, stage) for stage in range(len(free))}
    for places, found in ((ready, ends), (free, freed)):
        for place, end in found.items():
            places[place] = end if linked is None else np.where(linked, end, np.inf)


def begin_alike(
    *, kind: Sequence[FloatLike], layers: int, microbatches: int
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return when micro-batches are through layers alike that come first, and when each stage is free.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    kind : sequence of float or array
        Time of each stage of a layer, of one micro-batch [s].
    layers : int
        Layers, n, two at least [1].

    Returns
    -------
    ready, free : list of array
        Of every micro-batch, and of every stage, from the beginning of the first [s].

    Notes
    -----
    ready_i = i t + S + (n - 1) c, and free_s what lies up to stage s and
    max((m - 1) t + S + (n - 2) c, (n m - 1) T), as in `pass_alike`: nothing came before

    References
    ----------
    This project; longest ways of a flow shop that is entered again.

    Examples
    --------
    >>> ready, free = begin_alike(kind=(3e-4, 1e-4, 1e-4, 2e-4), layers=3, microbatches=3)
    >>> round(float(ready[-1]) * 1e3, 3), round(float(free[0]) * 1e3, 3)
    (3.1, 2.7)
    """
    linked, run = _run(kind, layers, microbatches)
    first = run.rounds + run.cycle
    ready = [first + index * run.longest if index else first for index in range(microbatches)]
    ways = (microbatches - 1) * run.longest + run.rounds
    upto, slowest = (itertools.accumulate(run.times, each) for each in (np.add, np.maximum))
    free = [
        way + np.maximum(ways, (layers * microbatches - 1) * each)
        for way, each in zip(upto, slowest, strict=True)
    ]
    if linked is not None:
        ready, free = ([np.where(linked, end, np.inf) for end in ends] for ends in (ready, free))
    return ready, free


class _Run(NamedTuple):
    """Layers alike: times of their stages, micro-batches, layers, and what ways through them take."""

    times: Sequence[FloatArray]
    microbatches: int
    layers: int
    longest: FloatArray
    loop: FloatArray
    cycle: FloatArray
    rounds: FloatArray
    """What takes a way through one more round of stages at least, but for its own micro-batches."""


def _run(kind: Sequence[FloatLike], layers: int, microbatches: int) -> tuple[NDArray[np.bool_] | None, _Run]:
    """Return layers alike, and where links connect their stages; None for everywhere."""
    whole = [np.asarray(time, dtype=float) for time in kind]
    linked = np.isfinite(_sum(whole))
    every = bool(np.all(linked))
    times = whole if every else [np.where(linked, time, 0.0) for time in whole]
    loop, longest = _sum(times), _longest(times)
    cycle = np.maximum(loop, microbatches * longest)
    run = _Run(times, microbatches, layers, longest, loop, cycle, loop + (layers - 2) * cycle)
    return None if every else linked, run


def _sum(times: Iterable[FloatArray]) -> FloatArray:
    return functools.reduce(np.add, times)


def _longest(times: Iterable[FloatArray]) -> FloatArray:
    return functools.reduce(np.maximum, times)


def _through(came: Sequence[FloatArray], time: FloatArray) -> FloatArray:
    """Return when the last of some micro-batches may begin, those before it taking so long each."""
    return functools.reduce(lambda begun, each: np.maximum(begun + time, each), came)


def _end(run: _Run, came: Sequence[FloatArray], free: Sequence[FloatArray], index: int) -> FloatArray:
    """Return when a micro-batch is through the last stage of the last layer."""
    m, n, last = run.microbatches, run.layers, len(run.times)
    end = _through(came[: index + 1], run.longest) + run.loop + (n - 1) * run.cycle
    if index < m - 1:  # later micro-batches delay it by a layer
        back: Any = came[m - 1] - run.longest
        for each in reversed(came[index + 1 : m - 1]):
            back = np.maximum(back, each) - run.longest
        end = np.maximum(end, back + run.rounds + m * run.longest)
    further = run.rounds + index * run.longest
    for stage in range(1, last):
        after = run.times[stage:]
        way = np.maximum(further, (index + m * (n - 1)) * _longest(after))
        end = np.maximum(end, free[stage] + _sum(after) + way)
    return end


def _freed(run: _Run, came: Sequence[FloatArray], free: Sequence[FloatArray], stage: int) -> FloatArray:
    """Return when the last micro-batch leaves a stage of the last layer free."""
    m, n = run.microbatches, run.layers
    before = run.times[: stage + 1]
    slowest = _longest(before)
    ways = (_through(came, run.longest) + run.rounds, _through(came, slowest) + m * (n - 1) * slowest)
    end = _sum(before) + np.maximum(*ways)
    for begin in range(1, len(run.times)):
        end = np.maximum(end, free[begin] + _between(run, begin, stage))
    return end


def _between(run: _Run, begin: int, stage: int) -> FloatArray:
    """Return the longest way from a stage of the first layer to one of the last, past all micro-batches."""
    m, n = run.microbatches, run.layers
    further = (m - 1) * run.longest
    if stage < begin - 1:
        short = _longest([*run.times[begin:], *run.times[: stage + 1]])
        two = further + 2.0 * run.loop + (n - 3) * run.cycle
        one = run.loop + (m - 1 + m * (n - 2)) * short
        return np.maximum(two, one) - _sum(run.times[stage + 1 : begin])
    if stage < begin:
        return further + run.rounds
    part = run.times[begin : stage + 1]
    return _sum(part) + np.maximum(further + run.rounds, (m - 1 + m * (n - 1)) * _longest(part))
