"""Tokens cached in a slot that always has a request, when requests have random lengths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.physics.lengths import Moments

_MOST_STEPS = 1 << 21
"""Steps up to which a start is followed one by one; beyond, its effect falls as one over the steps."""


class Load(NamedTuple):
    """Tokens cached in a slot in the stationary state: mean, deviation, skewness, and standard errors."""

    theta: float
    nu: float
    skewness: float
    theta_error: float
    nu_error: float


def stationary_load(*, prompt: NDArray[np.number], decode: NDArray[np.number]) -> Load:
    """Return the cached tokens of a slot that always has a request, from a trace of requests.

    A request counts once in every step it decodes, so long ones count more; how the lengths of a request
    hang together counts too.

    Parameters
    ----------
    prompt, decode : array
        Lengths of prompt and output of each request, P and D, one-dimensional [1].

    Returns
    -------
    Load
        Mean theta, standard deviation nu [tokens], skewness gamma_1 [1], and the standard errors of theta
        and nu [tokens] where requests are independent of each other. NaN where nothing is decoded.

    Notes
    -----
    theta = E[P*D + D*(D-1)/2] / E[D], nu^2 = E[D*P^2 + P*D*(D-1) + D*(D-1)*(2D-1)/6] / E[D] - theta^2;
    errors by the delta method: those of ratios of means

    References
    ----------
    arXiv 2601.21351, stationary load of a slot; skewness and errors are this project's.

    Examples
    --------
    >>> load = stationary_load(prompt=np.array([100, 300]), decode=np.array([10, 30]))
    >>> round(load.theta, 4), round(load.nu, 4)
    (262.0, 91.2524)
    """
    p, d = np.asarray(prompt, dtype=float), np.asarray(decode, dtype=float)
    steps = float(d.sum())
    if steps <= 0:
        return Load(math.nan, math.nan, math.nan, math.nan, math.nan)
    ages = d * (d - 1) / 2  # sums over the steps of a request: of its age, of its square, of its cube
    squares = ages * (2 * d - 1) / 3
    first = p * d + ages
    theta = float(first.sum()) / steps
    q = p - theta  # powers around the mean, so that nothing cancels
    centred = q * d + ages
    second = d * q**2 + 2 * q * ages + squares
    third = d * q**3 + 3 * q**2 * ages + 3 * q * squares + ages**2
    variance = float(second.sum()) / steps
    nu = math.sqrt(variance)
    theta_error = math.sqrt(float((centred**2).sum())) / steps
    variance_error = math.sqrt(float(((second - variance * d) ** 2).sum())) / steps
    return Load(
        theta=theta,
        nu=nu,
        skewness=float(third.sum()) / steps / nu**3 if nu else 0.0,
        theta_error=theta_error,
        nu_error=variance_error / (2 * nu) if nu else 0.0,
    )


def load_from_moments(*, prompt: Moments, decode: Moments) -> Load:
    """Return the cached tokens of a slot that always has a request, for independent lengths.

    Parameters
    ----------
    prompt, decode : Moments
        Of the lengths of prompt and output, P and D [1].

    Returns
    -------
    Load
        Mean theta, standard deviation nu [tokens] and skewness gamma_1 [1]; no standard errors.

    Notes
    -----
    load = P + A, A the age: E[A] = E[D*(D-1)]/(2*E[D]), E[A^2] = E[D*(D-1)*(2D-1)]/(6*E[D]),
    E[A^3] = E[D^2*(D-1)^2]/(4*E[D])

    References
    ----------
    arXiv 2601.21351, stationary load of a slot; the skewness is this project's.

    Examples
    --------
    >>> from roofline_afd.physics.lengths import fixed_moments, geometric_moments
    >>> load = load_from_moments(prompt=fixed_moments(mean=100.0), decode=geometric_moments(mean=500.0))
    >>> round(load.theta, 4), round(load.nu, 4), round(load.skewness, 4)
    (599.0, 499.4997, 2.0)
    """
    one, two, three, four = decode
    age = (two - one) / (2 * one)
    square = (2 * three - 3 * two + one) / (6 * one)
    cube = (four - 2 * three + two) / (4 * one)
    variances = [max(square - age**2, 0.0), _central_second(prompt)]
    thirds = cube - 3 * age * square + 2 * age**3 + _central_third(prompt)
    variance = sum(variances)
    return Load(
        theta=prompt.first + age,
        nu=math.sqrt(variance),
        skewness=thirds / variance**1.5 if variance else 0.0,
        theta_error=0.0,
        nu_error=0.0,
    )


def _central_second(moments: Moments) -> float:
    return max(moments.second - moments.first**2, 0.0)


def _central_third(moments: Moments) -> float:
    if not _central_second(moments):
        return 0.0
    return moments.third - 3 * moments.first * moments.second + 2 * moments.first**3


def finite_horizon_load(
    *, prompt_mean: FloatLike, decode_mean: FloatLike, batch: FloatLike, requests: FloatLike
) -> FloatArray:
    """Return the mean cached tokens of a slot while an instance serves its first requests.

    All slots start with a fresh request, so the mean is below the stationary one.

    Parameters
    ----------
    prompt_mean : float or array
        Mean prompt, mu_P [tokens].
    decode_mean : float or array
        Mean output, 1/p, geometrically distributed [tokens].
    batch : float or array
        Slots of an instance, B [1].
    requests : float or array
        Requests an attention instance serves, N [1].

    Returns
    -------
    float or array
        Mean load theta_N [tokens].

    Notes
    -----
    theta_N = mu_P + (1-p)/p * (1 - (1 - (1-p)^K)/(K*p)), K = N/(B*p)

    References
    ----------
    arXiv 2601.21351, finite-horizon load.

    Examples
    --------
    >>> round(float(finite_horizon_load(prompt_mean=100, decode_mean=500, batch=256, requests=10_000)), 3)
    586.226
    """
    p = np.divide(1.0, decode_mean)
    steps = np.divide(requests, np.multiply(batch, p))
    with np.errstate(divide="ignore"):
        gone = np.where(p < 1, np.exp(steps * np.log1p(-p)), 0.0)
    return (prompt_mean + (1 - p) / p * (1 - (1 - gone) / (steps * p)))[()]


def finite_horizon_load_of(
    *, ending: NDArray[np.float64], tokens: NDArray[np.float64], steps: float
) -> float:
    """Return the mean cached tokens of a slot over its first steps, for any joint lengths.

    Parameters
    ----------
    ending : array
        Chance that an output is this long, from index 0, which must be 0: P(D = j) [1].
    tokens : array
        Mean cached tokens at an age, counted 0 where the request has ended: E[(P+j) * 1(D > j)] [tokens].
    steps : float
        Steps of a slot from its first request on, K [1].

    Returns
    -------
    float
        Mean load theta_K [tokens].

    Notes
    -----
    theta_K = sum_i u_i * H(K-i) / K, u the renewals 1/(1 - sum_j P(D=j)*z^j), H(n) = sum_{j<n} tokens_j

    References
    ----------
    This project; renewal theory, equal to `finite_horizon_load` for geometric outputs.

    Examples
    --------
    >>> ending, tokens = np.array([0.0, 0.0, 1.0]), np.array([5.0, 6.0])
    >>> round(finite_horizon_load_of(ending=ending, tokens=tokens, steps=10.0), 9)
    5.5
    """
    whole = min(math.ceil(steps), _MOST_STEPS)
    renewals = _renewals(ending, whole)
    cut = np.concatenate([tokens[:whole], np.zeros(max(whole - tokens.size, 0))])
    gained = np.concatenate([[0.0], np.cumsum(cut)])
    upper = float(renewals[:whole] @ gained[whole:0:-1])
    if steps > _MOST_STEPS:
        mean = float(tokens.sum()) / float(ending @ np.arange(ending.size))
        return mean + (upper / whole - mean) * whole / steps
    lower = float(renewals[: whole - 1] @ gained[whole - 1 : 0 : -1])
    return (lower + (upper - lower) * (steps - (whole - 1))) / steps


def _renewals(ending: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the chance that a request starts at each step: 1/(1 - f) as a power series, by Newton."""
    found, size = np.ones(1), 1
    while size < count:
        size *= 2
        head = -ending[:size]
        head[0] += 1.0
        length = 2 * size
        wave = np.fft.rfft(found, length)
        error = np.fft.irfft(np.fft.rfft(head, length) * wave, length)[:size]
        error = -error
        error[0] += 2.0
        found = np.fft.irfft(np.fft.rfft(error, length) * wave, length)[:size]
    return found[:count]
