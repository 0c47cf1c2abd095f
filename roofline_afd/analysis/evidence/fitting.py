"""Fitting a few bounded parameters to measured times: robust, deterministic, with held-out error."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Times = Callable[[Array], Array]
    """Predicted times [s] of all rows under sets of parameters: (sets, parameters) to (sets, rows)."""

FOLDS = 5
SPLITS = 4
"""Random orders in which rows are dealt out to the folds: the error of one alone is partly chance [1]."""
OUTLIER = 0.1
"""Relative error from which a row pulls no harder the further off it is [1]."""
STARTS = 12
AGAIN = 3
"""Starts of a search with rows held out, the first of them where the search with all rows ended."""
STEPS = 200
SETTLED = 1e-12
"""Relative fall of the cost below which a search has arrived."""
DIFFERENCE = 1e-6
"""Step of a numerical derivative, as a share of a parameter's range."""
STUCK = 1e9
"""Damping beyond which no step, however small, goes down: this is a minimum."""
AT_ONCE = 1 << 16
"""Slopes of searches that go on side by side: more of them no longer fit the cache."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """Range of one parameter, and where the first search begins, in the parameter's unit."""

    low: float
    high: float
    start: float


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """Parameters, and relative errors: of rows fitted (rows,), and held out (splits, rows) [1].

    `shape_errors` are those of rows whose whole shape was held out (rows,), nan where it was the only one.
    """

    parameters: tuple[float, ...]
    errors: NDArray[np.float64]
    held_out_errors: NDArray[np.float64]
    shape_errors: NDArray[np.float64]

    @property
    def training_error(self) -> float:
        """Median absolute relative error of the fit on its own rows [1]."""
        return float(np.median(np.abs(self.errors)))

    @property
    def held_out_error(self) -> float:
        """Median absolute relative error on rows that the fit had not seen, over all splits [1]."""
        return float(np.median(np.abs(self.held_out_errors)))

    @property
    def shape_error(self) -> float | None:
        """Median absolute relative error on whole shapes that the fit had not seen [1]; None without."""
        known = self.shape_errors[np.isfinite(self.shape_errors)]
        return float(np.median(np.abs(known))) if known.size else None


def fit(times: Times, measured: Array, bounds: tuple[Bounds, ...], shapes: Sequence[str] = ()) -> Fit:
    """Fit parameters to measured times, and again with each fifth of the rows held out, in several splits.

    Parameters
    ----------
    times : callable
        Predicted times of all rows [s] under sets of parameters: (sets, parameters) to (sets, rows).
    measured : array
        Measured times, all above 0 [s].
    bounds : tuple of Bounds
        One per parameter.
    shapes : sequence of str
        Name of each row's shape: each is held out whole, once; none where absent.

    Returns
    -------
    Fit
        Parameters and signed errors; the same rows in the same order always give the same.
    """
    (parameters,) = best(times, measured, bounds, np.ones((1, measured.size)))
    shuffle = np.random.default_rng(0)
    held_out, unseen = np.empty((SPLITS, measured.size)), np.full(measured.size, np.nan)
    apart = [
        (split, order[fold::FOLDS])
        for split, order in ((split, shuffle.permutation(measured.size)) for split in held_out)
        for fold in range(min(FOLDS, measured.size))
    ]
    names = np.array(list(shapes))
    whole = [np.flatnonzero(names == name) for name in sorted(set(shapes))]
    apart += [(unseen, out) for out in whole if measured.size - out.size > len(bounds)]
    together = max(AT_ONCE // measured.size, 1)
    for start in range(0, len(apart), together):
        block = apart[start : start + together]
        weights = np.ones((len(block), measured.size))
        for weight, (_, out) in zip(weights, block, strict=True):
            weight[out] = 0.0
        errors = times(best(times, measured, bounds, weights, start=parameters)) / measured - 1
        for error, (column, out) in zip(errors, block, strict=True):
            column[out] = error[out]
    trained = (times(parameters[None]) / measured - 1)[0]
    return Fit(tuple(map(float, parameters)), trained, held_out, unseen)


def best(
    times: Times,
    measured: Array,
    bounds: tuple[Bounds, ...],
    weights: Array,
    *,
    start: Array | None = None,
) -> Array:
    """Return the parameters of the least cost that searches from several places find.

    Parameters
    ----------
    times, measured, bounds
        As in `fit`.
    weights : array
        How much each row counts, (fits, rows): 0 where it is held out [1].
    start : array, optional
        Parameters that the first search begins with; few others are then made.

    Returns
    -------
    array
        Parameters of each fit, (fits, parameters).
    """
    low = np.array([bound.low for bound in bounds])
    span = np.array([bound.high for bound in bounds]) - low
    first = (np.array([bound.start for bound in bounds]) if start is None else start) - low
    starts = STARTS if start is None else AGAIN
    others = np.random.default_rng(0).random((starts - 1, len(bounds)))
    begun = np.tile(np.vstack([first / span, others]), (len(weights), 1))
    weighed = np.repeat(weights, starts, axis=0)

    def misfit(position: Array) -> Array:
        return np.log(times(low + span * position) / measured)

    together = max(AT_ONCE // max(measured.size * len(bounds), 1), 1)
    found = [
        _search(misfit, begun[block : block + together], weighed[block : block + together])
        for block in range(0, len(begun), together)
    ]
    costs = np.concatenate([cost for cost, _ in found]).reshape(-1, starts)
    positions = np.concatenate([position for _, position in found]).reshape(-1, starts, len(bounds))
    return np.asarray(low + span * positions[np.arange(len(weights)), np.argmin(costs, axis=1)])


def _cost(misfit: Array, weights: Array) -> Array:
    """Return the sum of a loss that is quadratic for small misfits and linear for large ones."""
    return np.asarray(np.sum(weights * (np.sqrt(1 + (misfit / OUTLIER) ** 2) - 1), axis=-1))


def _search(misfit: Callable[[Array], Array], start: Array, weights: Array) -> tuple[Array, Array]:
    """Levenberg-Marquardt within the unit cube, rows reweighted at every step: searches side by side.

    Positions (searches, parameters), weights of rows (searches, rows) [1].
    """
    position, current = start.copy(), misfit(start)
    cost = _cost(current, weights)
    damping = np.full(cost.size, 1e-2)
    slopes = np.empty((*current.shape, position.shape[1]))
    stale = np.ones(cost.size, dtype=bool)
    going = np.arange(cost.size)
    for _ in range(STEPS):
        anew = going[stale[going]]
        if anew.size:
            slopes[anew] = _slopes(misfit, position[anew], current[anew])
            stale[anew] = False
        step, moves = _step(slopes[going], current[going], weights[going], position[going], damping[going])
        going, step = going[moves], step[moves]
        if not going.size:
            break
        moved = np.clip(position[going] + step, 0, 1)
        after = misfit(moved)
        lower = _cost(after, weights[going])
        better = lower < cost[going]
        fall = (cost[going] - lower) / np.maximum(cost[going], 1e-300)
        ended = np.where(better, fall < SETTLED, damping[going] > STUCK)
        taken = going[better]
        position[taken], current[taken], cost[taken] = moved[better], after[better], lower[better]
        stale[taken] = True
        damping[going] = np.where(better, np.maximum(damping[going] / 4, 1e-9), damping[going] * 4)
        going = going[~ended]
        if not going.size:
            break
    return cost, position


def _step(
    slopes: Array, current: Array, weights: Array, position: Array, damping: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the step of each search, and whether any of its parameters is free to move."""
    weighed = weights / np.sqrt(1 + (current / OUTLIER) ** 2)
    scaled = slopes * weighed[..., None]
    gradient = np.einsum("srp,sr->sp", scaled, current)
    free = ~(((position <= 0) & (gradient > 0)) | ((position >= 1) & (gradient < 0)))
    normal = np.swapaxes(scaled, 1, 2) @ slopes
    each = np.arange(position.shape[1])
    normal[:, each, each] += damping[:, None] * (normal[:, each, each] + 1e-9)
    held = ~(free[:, :, None] & free[:, None, :])
    normal[held] = 0.0
    normal[:, each, each] += ~free
    step = np.linalg.solve(normal, np.where(free, -gradient, 0.0)[..., None])[..., 0]
    return np.asarray(step, dtype=float), np.asarray(free.any(axis=1))


def _slopes(misfit: Callable[[Array], Array], position: Array, current: Array) -> Array:
    """Return how each misfit changes with each parameter, (searches, rows, parameters)."""
    steps = np.where(position > 1 / 2, -DIFFERENCE, DIFFERENCE)
    moved = position[:, None, :] + np.eye(position.shape[1]) * steps[:, None, :]
    found = misfit(moved.reshape(-1, position.shape[1])).reshape(*moved.shape[:2], current.shape[1])
    return np.swapaxes((found - current[:, None, :]) / steps[..., None], 1, 2)
