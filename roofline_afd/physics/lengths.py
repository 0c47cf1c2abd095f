"""Random lengths of prompts and outputs: their moments, and the chance of each whole length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.normal import log_probability

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Moments(NamedTuple):
    """Means of a length's first four powers."""

    first: float
    second: float
    third: float
    fourth: float


def geometric_moments(*, mean: float) -> Moments:
    """Return the moments of a length that ends with the same chance after every token.

    Parameters
    ----------
    mean : float
        Mean length, 1/p, from 1 [1].

    Returns
    -------
    Moments
        Means of the first four powers [1].

    Notes
    -----
    E[D] = 1/p, E[D^2] = (2-p)/p^2, E[D^3] = (6-6p+p^2)/p^3, E[D^4] = (2-p)*(12-12p+p^2)/p^4

    References
    ----------
    Moments of the geometric distribution on 1, 2, ...

    Examples
    --------
    >>> geometric_moments(mean=2.0)
    Moments(first=2.0, second=6.0, third=26.0, fourth=150.0)
    """
    p = 1.0 / mean
    return Moments(
        1 / p,
        (2 - p) / p**2,
        (6 - 6 * p + p**2) / p**3,
        (2 - p) * (12 - 12 * p + p**2) / p**4,
    )


def fixed_moments(*, mean: float) -> Moments:
    """Return the moments of a length that is always the same.

    Parameters
    ----------
    mean : float
        The length [1].

    Returns
    -------
    Moments
        Means of the first four powers [1].

    Notes
    -----
    E[D^k] = D^k

    References
    ----------
    Moments of a constant.

    Examples
    --------
    >>> fixed_moments(mean=3.0)
    Moments(first=3.0, second=9.0, third=27.0, fourth=81.0)
    """
    return Moments(mean, mean**2, mean**3, mean**4)


def lognormal_moments(*, mean: float, variation: float) -> Moments:
    """Return the moments of a length whose logarithm is normal.

    Parameters
    ----------
    mean : float
        Mean length [1].
    variation : float
        Standard deviation over mean, c [1].

    Returns
    -------
    Moments
        Means of the first four powers, of lengths not rounded to whole tokens [1].

    Notes
    -----
    E[D^k] = mean^k * (1 + c^2)^(k*(k-1)/2)

    References
    ----------
    Moments of the log-normal distribution.

    Examples
    --------
    >>> lognormal_moments(mean=2.0, variation=1.0)
    Moments(first=2.0, second=8.0, third=64.0, fourth=1024.0)
    """
    spread = 1.0 + variation**2
    return Moments(mean, mean**2 * spread, mean**3 * spread**3, mean**4 * spread**6)


def lognormal_chances(*, mean: float, variation: float, most: int) -> NDArray[np.float64]:
    """Return the chance of each whole length whose logarithm is normal, rounded to at least one token.

    Parameters
    ----------
    mean : float
        Mean length before rounding [tokens].
    variation : float
        Standard deviation over mean, c, above 0 [1].
    most : int
        Longest length told apart; it takes the chance of all longer ones [tokens].

    Returns
    -------
    array
        Chance of each length from index 0 [1].

    Notes
    -----
    P(D = j) = Phi((ln(j+1/2)-mu)/s) - Phi((ln(j-1/2)-mu)/s), s^2 = ln(1+c^2), mu = ln(mean) - s^2/2

    References
    ----------
    This project, for starts of slots with log-normal outputs.

    Examples
    --------
    >>> chances = lognormal_chances(mean=3.0, variation=0.5, most=100)
    >>> round(float(chances.sum()), 9), round(float(chances @ np.arange(101)), 3)
    (1.0, 2.999)
    """
    square = math.log1p(variation**2)
    edges = np.log(np.arange(1, most) + 0.5)
    below = np.exp(log_probability(x=(edges - math.log(mean) + square / 2) / math.sqrt(square)))
    return np.concatenate([[0.0], np.diff(np.concatenate([[0.0], below, [1.0]]))])
