"""Batches to try: micro-batches, sizes on a grid, and the largest one that limits allow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import EP
from roofline_afd.serving.limits import SAME
from roofline_afd.serving.scenario import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.scenario import Scenario

    Numbers = NDArray[np.float64]
    Rows = NDArray[np.intp]

EP_MICROBATCHES = (1, 2)
"""Without overlap, and with two half batches in lock-step."""
AFD_MICROBATCHES = (1, 2, 3, 4)
PLUGIN_MICROBATCHES = (2,)
LARGEST_BATCH = 1 << 20
PER_OCTAVE = 6
"""Batches tried between one and twice as many; the best is then found exactly."""


def microbatches_of(scenario: Scenario, mode: str) -> tuple[int, ...]:
    """Return the numbers of micro-batches to try.

    Parameters
    ----------
    scenario : Scenario
        The question; a number it gives counts, but for one that expert parallelism does not have.
    mode : str
        `ep` or `afd`.

    Returns
    -------
    tuple of int
        Micro-batches in flight [1].

    Raises
    ------
    InputError
        If the software the question names does not run so many.
    """
    given = scenario.microbatches
    if mode == EP:
        return (given,) if given in EP_MICROBATCHES else EP_MICROBATCHES
    if given is not None:
        if scenario.deployable_with == PLUGIN and given not in PLUGIN_MICROBATCHES:
            raise InputError(f"--microbatches {given} cannot run with {PLUGIN}: it has two")
        return (given,)
    return PLUGIN_MICROBATCHES if scenario.deployable_with == PLUGIN else AFD_MICROBATCHES


AT_ONCE = 15
"""Batches of a row that are tried at once [1]."""
WIDE = 1 << 13
"""Elements up to which a call takes hardly longer than for one [1]."""


def batch_grid(most: float) -> Numbers:
    """Return batches of a micro-batch to try, `PER_OCTAVE` to a doubling.

    Parameters
    ----------
    most : float
        The largest batch of interest [1].

    Returns
    -------
    array
        Whole batches from 1, in order [1].
    """
    octaves = max(math.log2(max(most, 1.0)), 0.0)
    return np.unique(np.round(2.0 ** (np.arange(math.floor(octaves * PER_OCTAVE) + 1) / PER_OCTAVE)))


def bracket(grid: Numbers, feasible: NDArray[np.bool_], most: FloatArray) -> tuple[Numbers, Numbers]:
    """Return between which batches the largest feasible one of each row lies.

    Parameters
    ----------
    grid : array
        Batches tried, a column each [1].
    feasible : array of bool
        Which of them are feasible, a row per deployment.
    most : float or array
        The largest batch there can be, per row [1].

    Returns
    -------
    tuple of array
        The largest tried that is feasible, 0 where none is; and the least above it known not to be [1].
    """
    last = np.where(feasible, grid, 0.0).max(axis=1)
    above = np.where(grid > last[:, None], grid, np.inf).min(axis=1)
    return last, np.minimum(above, most + 1.0)


def largest(low: Numbers, high: Numbers, feasible: Callable[[Rows, Numbers], NDArray[np.bool_]]) -> Numbers:
    """Return the largest feasible batch of each row, between what is known of it.

    Of few rows several batches are tried at once: a call costs its operators, not its elements.

    Parameters
    ----------
    low, high : array
        Whole batches known to be feasible, and not to be; rows where nothing lies between are left [1].
    feasible : callable
        Whether rows are feasible with batches, an element each.

    Returns
    -------
    array
        Batches [1].
    """
    low, high = low.copy(), high.copy()
    active = np.flatnonzero(high - low > 1)
    while active.size:
        width = (high[active] - low[active])[:, None]
        at_once = int(np.clip(WIDE // active.size, 1, min(AT_ONCE, np.max(width) - 1)))
        shares = np.arange(1, at_once + 1) / (at_once + 1)
        tried = low[active, None] + np.clip(np.floor(width * shares), 1.0, width - 1.0)
        good = feasible(np.repeat(active, at_once), tried.ravel()).reshape(tried.shape)
        slow = np.min(tried, axis=1, where=~good, initial=np.inf)
        high[active] = np.minimum(high[active], slow)
        good &= tried < high[active, None]
        low[active] = np.maximum(low[active], np.max(tried, axis=1, where=good, initial=0.0))
        active = active[high[active] - low[active] > 1]
    return low


def filled_below(batch: Numbers, grain: float) -> Numbers:
    """Return the largest batches, no larger than given ones, that fill whole waves of processors.

    Parameters
    ----------
    batch : array
        Sequences of a micro-batch [1].
    grain : float
        Sequences that fill one wave, of `Deployments.grains`; 1 for whole sequences [1].

    Returns
    -------
    array
        Whole batches; 0 where not even one wave is filled [1].
    """
    more = 1.0 + SAME  # a wave that is full but for rounding
    waves = np.floor(batch / grain * more)
    found: Numbers = np.floor(waves * grain * more)
    return found


def least_whole(values: FloatArray) -> FloatArray:
    """Return the least whole numbers that are no less than values, but for rounding."""
    return np.ceil(np.multiply(values, 1.0 - SAME))
