"""Standard normal numbers, and the largest of several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike

REACH = 12.0
"""Standard deviations beyond which a normal number is never found."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(160)
"""Points of an integral from -1 to 1, and their weights."""
_GRID = np.linspace(-REACH, REACH, 1921)
_STEP = float(_GRID[1] - _GRID[0])
_erfc: Callable[[NDArray[np.float64]], NDArray[np.object_]] = np.frompyfunc(math.erfc, 1, 1)


def log_probability(*, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the chance that a standard normal number is at most x.

    Parameters
    ----------
    x : array
        Bound of the number [1].

    Returns
    -------
    array
        Logarithm, of full precision on both sides; ln(1e-300) at least [1].

    Notes
    -----
    ln Phi(x) = ln(1 - erfc(x/sqrt(2))/2) above 0, ln(erfc(-x/sqrt(2))/2) below

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions, section 26.2.

    Examples
    --------
    >>> np.exp(log_probability(x=np.array([-1.0, 0.0, 1.0]))).round(4).tolist()
    [0.1587, 0.5, 0.8413]
    """
    tail = np.asarray(_erfc(np.abs(x) / math.sqrt(2.0)), dtype=float) / 2.0
    return np.where(x > 0, np.log1p(-tail), np.log(np.maximum(tail, 1e-300)))


_LOG_CDF = log_probability(x=_GRID)


def expected_maximum(*, workers: FloatLike) -> FloatArray:
    """Return the mean of the largest of several standard normal numbers.

    Parameters
    ----------
    workers : float or array
        How many, r; fewer than one count as one [1].

    Returns
    -------
    float or array
        Mean kappa_r [1].

    Notes
    -----
    kappa_r = int x d(Phi(x)^r)

    References
    ----------
    arXiv 2601.21351, barrier of r workers; H. A. David, Order Statistics (1981).

    Examples
    --------
    >>> [round(float(value), 4) for value in expected_maximum(workers=np.array([1, 2, 4, 8, 16, 32]))]
    [0.0, 0.5642, 1.0294, 1.4236, 1.766, 2.0697]
    """
    return (REACH - _powers(workers).sum(axis=-1) * _STEP + _STEP / 2)[()]


def expected_squared_maximum(*, workers: FloatLike) -> FloatArray:
    """Return the mean square of the largest of several standard normal numbers.

    Parameters
    ----------
    workers : float or array
        How many, r; fewer than one count as one [1].

    Returns
    -------
    float or array
        Mean of the square of the maximum, E[M_r^2] [1].

    Notes
    -----
    E[M_r^2] = int x^2 d(Phi(x)^r)

    References
    ----------
    H. A. David, Order Statistics (1981).

    Examples
    --------
    >>> [round(float(value), 4) for value in expected_squared_maximum(workers=np.array([1, 2, 3, 8]))]
    [1.0, 1.0, 1.2757, 2.3995]
    """
    total = (_powers(workers) * _GRID).sum(axis=-1) - REACH / 2
    return (REACH**2 - 2.0 * _STEP * total + _STEP**2 / 6.0)[()]  # the sum ends where x * Phi^r still rises


def _powers(workers: FloatLike) -> FloatArray:
    """Return Phi^r over the grid, a new last axis."""
    count = np.maximum(np.asarray(workers, dtype=float), 1.0)
    return np.exp(count[..., np.newaxis] * _LOG_CDF)


def expected_excess(*, start: FloatArray, workers: FloatArray) -> FloatArray:
    """Return the mean by which the largest of several standard normal numbers exceeds a start.

    Parameters
    ----------
    start : array
        What is to be exceeded, g [1].
    workers : array
        How many, r, from one on; of the shape of the start [1].

    Returns
    -------
    array
        Mean excess, 0 where the largest stays below [1].

    Notes
    -----
    E[max(M_r - g, 0)] = int_g^inf (1 - Phi(x)^r) dx

    References
    ----------
    arXiv 2601.21351, barrier of r workers.

    Examples
    --------
    >>> expected_excess(start=np.array([-10.0, 0.0]), workers=np.array([2.0, 1.0])).round(4).tolist()
    [10.5642, 0.3989]
    """
    low = np.clip(start, -REACH, REACH)
    half = (REACH - low) / 2.0
    points = low[..., np.newaxis] + half[..., np.newaxis] * (NODES + 1.0)
    missing = -np.expm1(workers[..., np.newaxis] * log_probability(x=points))
    return (missing @ WEIGHTS) * half + np.maximum(-REACH - start, 0.0)
