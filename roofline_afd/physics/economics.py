"""What tokens cost: money and energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

SECONDS_PER_HOUR = 3600.0


def usd_per_million_tokens(*, usd_per_hour: FloatLike, tokens_per_s: FloatLike) -> FloatArray:
    """Return what a million output tokens cost.

    Parameters
    ----------
    usd_per_hour : float or array
        Price of all devices [USD/h].
    tokens_per_s : float or array
        Output tokens of all devices [tokens/s].

    Returns
    -------
    float or array
        Price [USD].

    Notes
    -----
    price = 1e6 * (USD per hour) / (3600 * tokens/s)

    References
    ----------
    This project.

    Examples
    --------
    >>> float(usd_per_million_tokens(usd_per_hour=36, tokens_per_s=10_000))
    1.0
    """
    return 1e6 * np.divide(usd_per_hour, np.multiply(SECONDS_PER_HOUR, tokens_per_s))


def tokens_per_joule(*, tokens_per_s: FloatLike, power: FloatLike) -> FloatArray:
    """Return the output tokens that a joule buys, the same as tokens a second per watt.

    Parameters
    ----------
    tokens_per_s : float or array
        Output tokens of all devices [tokens/s].
    power : float or array
        Power of all devices [W].

    Returns
    -------
    float or array
        Tokens per joule [1/J].

    Notes
    -----
    tokens/J = tokens/s / W

    References
    ----------
    This project.

    Examples
    --------
    >>> float(tokens_per_joule(tokens_per_s=5000, power=2000))
    2.5
    """
    return np.divide(tokens_per_s, power)
