"""Fitting a few bounded parameters to measured times: robust, deterministic, with held-out error."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Times = Callable[[NDArray[np.float64], NDArray[np.intp]], NDArray[np.float64]]
    """Predicted times [s] of the rows with these indices, given parameters."""

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


def fit(
    times: Times,
    measured: NDArray[np.float64],
    bounds: tuple[Bounds, ...],
    shapes: Sequence[str] = (),
) -> Fit:
    """Fit parameters to measured times, and again with each fifth of the rows held out, in several splits.

    Parameters
    ----------
    times : callable
        Predicted times of chosen rows, given parameters [s].
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
    rows = np.arange(measured.size)
    parameters = best(times, measured, bounds, rows)
    held_out = np.empty((SPLITS, measured.size))
    shuffle = np.random.default_rng(0)
    for split in held_out:
        order = shuffle.permutation(rows)
        for fold in range(min(FOLDS, measured.size)):
            out = order[fold::FOLDS]
            split[out] = _unseen(times, measured, bounds, out, parameters)
    unseen = np.full(measured.size, np.nan)
    names = np.array(list(shapes))
    for name in sorted(set(shapes)):
        out = np.flatnonzero(names == name)
        if measured.size - out.size > len(bounds):
            unseen[out] = _unseen(times, measured, bounds, out, parameters)
    errors = times(parameters, rows) / measured - 1
    return Fit(tuple(map(float, parameters)), errors, held_out, unseen)


def _unseen(
    times: Times,
    measured: NDArray[np.float64],
    bounds: tuple[Bounds, ...],
    out: NDArray[np.intp],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the errors on some rows of a fit to all others."""
    kept = np.setdiff1d(np.arange(measured.size), out)
    return times(best(times, measured, bounds, kept, start=start), out) / measured[out] - 1


def best(
    times: Times,
    measured: NDArray[np.float64],
    bounds: tuple[Bounds, ...],
    rows: NDArray[np.intp],
    *,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the parameters of the least cost that searches from several places find, `start` first."""
    low = np.array([bound.low for bound in bounds])
    span = np.array([bound.high for bound in bounds]) - low

    def misfit(position: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(times(low + span * position, rows) / measured[rows])

    first = (np.array([bound.start for bound in bounds]) if start is None else start) - low
    first, starts = first / span, STARTS if start is None else AGAIN
    others = np.random.default_rng(0).random((starts - 1, len(bounds)))
    found = [_search(misfit, start) for start in (first, *others)]
    position = min(found, key=lambda pair: pair[0])[1]
    return np.asarray(low + span * position)


def _cost(misfit: NDArray[np.float64]) -> float:
    """Return the sum of a loss that is quadratic for small misfits and linear for large ones."""
    return float(np.sum(np.sqrt(1 + (misfit / OUTLIER) ** 2) - 1))


def _search(
    misfit: Callable[[NDArray[np.float64]], NDArray[np.float64]], start: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Levenberg-Marquardt within the unit cube, rows reweighted at every step."""
    position, damping = start, 1e-2
    current = misfit(position)
    cost = _cost(current)
    slopes = None
    for _ in range(STEPS):
        weight = 1 / np.sqrt(1 + (current / OUTLIER) ** 2)
        if slopes is None:
            slopes = _slopes(misfit, position, current)
        gradient = slopes.T @ (weight * current)
        free = ~(((position <= 0) & (gradient > 0)) | ((position >= 1) & (gradient < 0)))
        if not free.any():
            break
        normal = (slopes[:, free].T * weight) @ slopes[:, free]
        step = np.zeros_like(position)
        scaled = normal + damping * np.diag(np.diag(normal) + 1e-9)
        step[free] = -np.linalg.solve(scaled, gradient[free])
        moved = np.clip(position + step, 0, 1)
        after = misfit(moved)
        lower = _cost(after)
        if lower < cost:
            fall = (cost - lower) / max(cost, 1e-300)
            position, current, cost, damping = moved, after, lower, max(damping / 4, 1e-9)
            slopes = None
            if fall < SETTLED:
                break
        elif damping > 1e9:  # noqa: PLR2004 - no step, however small, goes down: this is a minimum
            break
        else:
            damping *= 4
    return cost, position


def _slopes(
    misfit: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    position: NDArray[np.float64],
    current: NDArray[np.float64],
) -> NDArray[np.float64]:
    columns = []
    for index in range(position.size):
        step = np.zeros_like(position)
        step[index] = -DIFFERENCE if position[index] > 1 / 2 else DIFFERENCE
        columns.append((misfit(position + step) - current) / step[index])
    return np.stack(columns, axis=1)
