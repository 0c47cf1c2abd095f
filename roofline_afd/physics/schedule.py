"""A decode step of two groups over layers that differ, in their order: micro-batch by micro-batch."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.alike import FEWEST, begin_alike, pass_alike
from roofline_afd.physics.pipeline import pipeline_layers_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import Count, FloatArray, FloatLike

    State = list[NDArray[np.float64]]

AT_ONCE = 8192
"""Deployments that are followed together, so that their times stay in the cache [1]."""
LONGEST_PERIOD = 16
"""Layers of the longest pattern that is looked for [1]."""
WARM = 2
"""Repeats of a pattern that are followed one by one at least [1]."""
STEADY = 1e-9
"""Difference between what stages gain by a repeat, over the gain, where all go on alike [1]."""


class LayerTimes(NamedTuple):
    """Times of the stages of one kind of layer, of one micro-batch [s]."""

    attention: FloatLike
    dispatch: FloatLike
    ffn: FloatLike
    combine: FloatLike


ONE_GROUP = LayerTimes(1.0, 1.0, 1.0, 1.0)
"""How long a stage is taken over what a micro-batch needs, where one attention group has all to itself."""


def turns_of(*, groups: Count, attention_devices: Count, ffn_devices: Count) -> LayerTimes:
    """Return how long each stage is taken for one micro-batch of one group, over the time that it needs.

    Attention groups that take turns share the FFN devices and their links, and each has links of its own.

    Parameters
    ----------
    groups : int or array
        Attention groups that take turns at the FFN devices, K [1].
    attention_devices, ffn_devices : int or array
        Devices of all attention groups together, and of the FFN side, a and f [1].

    Returns
    -------
    LayerTimes
        Factors of the stages [1].

    Notes
    -----
    1 of attention, K of the FFN, and of a link K * min(1, (a/K) / f), at least 1: a transfer of a/K devices
    takes that share of what the links of f devices carry

    References
    ----------
    arXiv 2508.02520 (xDeepServe), whose attention domains take turns at one expert domain.

    Examples
    --------
    >>> float(turns_of(groups=3, attention_devices=480, ffn_devices=288).ffn)
    3.0
    """
    link = np.clip(np.divide(attention_devices, ffn_devices), 1.0, groups)[()]
    return LayerTimes(1.0, link, np.multiply(groups, 1.0), link)


def even_order(*, counts: Sequence[int]) -> tuple[int, ...]:
    """Return layers of several kinds in an order that spreads each kind evenly.

    Parameters
    ----------
    counts : sequence of int
        Layers of each kind [1].

    Returns
    -------
    tuple of int
        Kind of each layer.

    Notes
    -----
    layer after layer the kind that lags its share most, the first of those alike

    References
    ----------
    This project; patterns such as three of one kind and one of another come out as they are, but for where
    they begin.

    Examples
    --------
    >>> even_order(counts=[3, 1])
    (0, 0, 1, 0)
    """
    total = sum(counts)
    done = [0] * len(counts)
    order = []
    for layer in range(1, total + 1):
        lag = [layer * count / total - have for count, have in zip(counts, done, strict=True)]
        kind = max(range(len(counts)), key=lambda index: (lag[index], -index))
        done[kind] += 1
        order.append(kind)
    return tuple(order)


@functools.lru_cache(maxsize=256)
def repeated(order: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]:
    """Return an order as what comes first, a pattern, how often it repeats, and what is left.

    Parameters
    ----------
    order : tuple of int
        Kind of each layer.

    Returns
    -------
    tuple
        Prefix, pattern, repeats, rest: the one that leaves fewest layers to follow.

    Notes
    -----
    order = prefix + repeats * pattern + rest

    References
    ----------
    This project.

    Examples
    --------
    >>> repeated((1, 0, 0, 0, 0))
    ((1,), (0,), 4, ())
    """
    best: tuple[int, tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]] | None = None
    for period in range(1, min(LONGEST_PERIOD, len(order)) + 1):
        start = len(order) - period
        while start > 0 and order[start - 1] == order[start - 1 + period]:
            start -= 1
        repeats = (len(order) - start) // period
        end = start + repeats * period
        followed = start + min(repeats, WARM) * period + len(order) - end
        if best is None or followed < best[0]:
            best = followed, (order[:start], order[start : start + period], repeats, order[end:])
    return best[1] if best else ((), (), 0, ())


def ordered_layers_time(
    *,
    kinds: Sequence[LayerTimes],
    order: tuple[int, ...],
    microbatches: int,
    turns: LayerTimes = ONE_GROUP,
) -> FloatArray:
    """Return the time of all layers of a step when two groups of devices work as a pipeline.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    kinds : sequence of LayerTimes
        Times of each kind of layer [s].
    order : tuple of int
        Kind of each layer, by its place [1].
    turns : LayerTimes
        How long each stage is taken over its time (`turns_of`) [1].

    Returns
    -------
    float or array
        Time from the first micro-batch's first stage until the last one has left every stage free [s].

    Notes
    -----
    b_r(l, i) = max(b_(r-1)(l, i) + t_(r-1)(l), b_r(l, i - 1) + u_r t_r(l)) begins stage r of layer l:
    attention, dispatch, experts, combine, u its turns; the first waits for the last of the layer before, and
    micro-batch 0 for the last micro-batch of that layer. Each stage serves first who comes first, which is
    layer by layer and micro-batch by micro-batch; links carry both directions at once. Layers alike, one
    after another, are passed at once (`pass_alike`). A longer pattern that repeats is followed, deployment by
    deployment, until every stage and micro-batch gains the same from one repeat to the next: from there on
    all repeats do, since a beginning of all that is later by so much makes every end so much later.

    References
    ----------
    This project; a flow shop that is entered again, as a recursion in max and plus.

    Examples
    --------
    >>> layer = LayerTimes(3e-4, 1e-4, 1e-4, 2e-4)
    >>> t = ordered_layers_time(kinds=[layer], order=(0,) * 60, microbatches=3)
    >>> round(float(t) * 1e3, 3)
    54.4
    """
    shape = np.broadcast_shapes(*(np.shape(time) for kind in (turns, *kinds) for time in kind))
    repeating = repeated(order)
    prefix, pattern, repeats, rest = repeating
    if len(pattern) == 1 and repeats >= FEWEST and turns is ONE_GROUP:
        ready, free = _begun(shape, microbatches)
        if len(set(prefix)) == 1 < len(prefix):
            ready, free = begin_alike(kind=kinds[prefix[0]], layers=len(prefix), microbatches=microbatches)
        else:
            _follow(kinds, prefix, turns, ready, free)
        pass_alike(kind=kinds[pattern[0]], layers=repeats, ready=ready, free=free, last=not rest)
        _follow(kinds, rest, turns, ready, free)
        return ready[-1][()]
    every = [[np.broadcast_to(time, shape or (1,)) for time in kind] for kind in (turns, *kinds)]
    found = np.empty(shape or (1,))
    rows = max(AT_ONCE // max(math.prod(shape[1:]), 1), 1)
    for start in range(0, len(found), rows):
        part = slice(start, start + rows)
        own, *some = (LayerTimes(*(time[part].ravel() for time in kind)) for kind in every)
        taken = ONE_GROUP if turns is ONE_GROUP else own
        end = _followed(some, repeating, taken, microbatches)
        found[part] = end.reshape(found[part].shape)
    return found.reshape(shape)[()]


def _begun(shape: tuple[int, ...], microbatches: int) -> tuple[State, State]:
    """Return micro-batches and stages before anything began."""
    return [np.zeros(shape)] * microbatches, [np.zeros(shape)] * len(LayerTimes._fields)


def _followed(
    kinds: Sequence[LayerTimes],
    repeating: tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]],
    turns: LayerTimes,
    microbatches: int,
) -> NDArray[np.float64]:
    """Return the time of all layers of some deployments, each followed until it goes on steadily [s]."""
    prefix, pattern, repeats, rest = repeating
    ready, free = _begun(np.shape(kinds[0].attention), microbatches)
    _follow(kinds, prefix, turns, ready, free)
    state = np.array([*ready, *free])
    moving = np.arange(state.shape[1])
    own, own_turns = kinds, turns
    for followed in range(1, repeats + 1):
        before = np.array([*ready, *free])
        _follow(own, pattern, own_turns, ready, free)
        if followed < min(WARM, repeats):
            continue
        after = np.array([*ready, *free])
        with np.errstate(invalid="ignore"):  # where no link connects the groups, every time is infinite
            grown = after - before
            most = np.max(grown, axis=0)
            steady = ~(most - np.min(grown, axis=0) > STEADY * most)
        steady |= followed == repeats
        if not steady.any():
            continue
        more = np.where(np.isfinite(most[steady]), (repeats - followed) * most[steady], 0.0)
        state[:, moving[steady]] = after[:, steady] + more
        on = ~steady
        if not on.any():
            break
        moving, after = moving[on], after[:, on]
        ready, free = list(after[:microbatches]), list(after[microbatches:])
        own = [LayerTimes(*(np.asarray(time)[on] for time in kind)) for kind in own]
        if turns is not ONE_GROUP:
            own_turns = LayerTimes(*(np.asarray(turn)[on] for turn in own_turns))
    ready, free = list(state[:microbatches]), list(state[microbatches:])
    _follow(kinds, rest, turns, ready, free)
    return ready[-1] if turns is ONE_GROUP else np.max([ready[-1], *free], axis=0)


def _follow(
    kinds: Sequence[LayerTimes],
    order: Sequence[int],
    turns: LayerTimes,
    ready: list[NDArray[np.float64]],
    free: list[NDArray[np.float64]],
) -> None:
    """Move all micro-batches through some layers: when each is ready again, and when each stage is free."""
    for kind in order:
        for stage, time in enumerate(kinds[kind]):
            end = free[stage]
            if turns is ONE_GROUP:
                for index, came in enumerate(ready):
                    end = np.maximum(came, end) + time
                    ready[index] = end
            else:
                taken = np.multiply(turns[stage], time)
                for index, came in enumerate(ready):
                    begins = np.maximum(came, end)
                    ready[index] = begins + time
                    end = begins + taken
            free[stage] = end


def least_layers_time(
    *,
    kinds: Sequence[LayerTimes],
    order: tuple[int, ...],
    microbatches: FloatLike,
    turns: LayerTimes = ONE_GROUP,
) -> FloatArray:
    """Return a time below which the layers of a step cannot come.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    kinds : sequence of LayerTimes
        Times of each kind of layer [s].
    order : tuple of int
        Kind of each layer, by its place [1].
    turns : LayerTimes
        How long each stage is taken over its time (`turns_of`) [1].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t >= max(m * max over stages of u_r (sum over layers of t_r), sum over layers and stages of t_r); and of
    layers alike, one after another, t >= S before + t of these alone (`pipeline_layers_time`) + S after, S
    the sums of all stages of the layers there

    References
    ----------
    This project: every stage serves every micro-batch, every micro-batch goes through every stage, and none
    comes to a layer before the first.

    Examples
    --------
    >>> layer = LayerTimes(3e-4, 1e-4, 1e-4, 2e-4)
    >>> round(float(least_layers_time(kinds=[layer], order=(0,) * 60, microbatches=3)) * 1e3, 3)
    54.4
    """
    counts = [order.count(kind) for kind in range(len(kinds))]
    sums: list[FloatArray] = []
    for stage in range(len(LayerTimes._fields)):
        total: FloatArray = 0.0
        for kind, count in zip(kinds, counts, strict=True):
            total = total + count * np.asarray(kind[stage])
        sums.append(total)
    whole = sums[0] + sums[1] + sums[2] + sums[3]
    taken = [np.multiply(turn, total) for turn, total in zip(turns, sums, strict=True)]
    busiest = np.maximum(np.maximum(taken[0], taken[1]), np.maximum(taken[2], taken[3]))
    least: FloatArray = np.maximum(np.multiply(microbatches, busiest), whole)
    _, pattern, repeats, _ = repeated(order)
    if len(pattern) == 1 and turns is ONE_GROUP:
        alike = kinds[pattern[0]]
        loop = sum(np.asarray(time) for time in alike)
        slowest = np.maximum(
            np.maximum(alike.attention, alike.dispatch), np.maximum(alike.ffn, alike.combine)
        )
        alone = pipeline_layers_time(
            busiest_sum=repeats * slowest,
            loop_sum=repeats * loop,
            busiest=slowest,
            loop=loop,
            microbatches=microbatches,
        )
        with np.errstate(invalid="ignore"):  # where no link connects the groups, every time is infinite
            least = np.fmax(least, whole - repeats * loop + alone)
    return least
