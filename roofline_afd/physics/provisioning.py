"""How many attention instances one FFN instance needs when requests have random lengths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike, IntLike

_REACH = 12.0
"""Standard deviations beyond which a normal number is never found."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_GRID = np.linspace(-_REACH, _REACH, 1921)
_STEP = float(_GRID[1] - _GRID[0])
_CELLS = 64
"""Cells of one round of the search for an optimum."""
_ROUNDS = 7
_MOST_STEPS = 1 << 21
"""Steps up to which a start is followed one by one; beyond, its effect falls as one over the steps."""
_NOTHING = 1e-200
"""A standard deviation [s] that no load has, and that can be divided by."""
_NEGLIGIBLE = 1e-13
"""Share of a time below which a standard deviation is lost in rounding."""


class Load(NamedTuple):
    """Tokens cached in a slot in the stationary state: mean, deviation, skewness, and standard errors."""

    theta: float
    nu: float
    skewness: float
    theta_error: float
    nu_error: float


class Moments(NamedTuple):
    """Means of a length's first four powers."""

    first: float
    second: float
    third: float
    fourth: float


class Coefficients(NamedTuple):
    """Times of one layer and micro-batch as straight lines [s].

    Attention: a slope per cached token of an instance; FFN: per token that reaches an instance; transfers:
    per sequence of an attention instance. Fields may be arrays that broadcast.
    """

    attention_slope: FloatLike
    attention_fixed: FloatLike
    ffn_slope: FloatLike
    ffn_fixed: FloatLike
    transfer_slope: FloatLike
    transfer_fixed: FloatLike


class Optimum(NamedTuple):
    """The best ratio, and the three ratios of which it is the largest."""

    ratio: FloatArray
    attention: FloatArray
    communication: FloatArray
    ffn: FloatArray


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
    below = np.exp(_log_cdf((edges - math.log(mean) + square / 2) / math.sqrt(square)))
    return np.concatenate([[0.0], np.diff(np.concatenate([[0.0], below, [1.0]]))])


def attention_time(*, kv_tokens: FloatLike, coefficients: Coefficients) -> FloatArray:
    """Return the attention time of one instance, micro-batch and layer.

    Parameters
    ----------
    kv_tokens : float or array
        Tokens cached by all sequences of the micro-batch: B * theta on average [tokens].
    coefficients : Coefficients
        Slope a_A per cached token and fixed time b_A [s].

    Returns
    -------
    float or array
        Time t_A [s].

    Notes
    -----
    t_A = a_A * KV + b_A

    References
    ----------
    arXiv 2601.21351, linear step times.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> round(float(attention_time(kv_tokens=256 * 599, coefficients=paper)) * 1e6, 4)
    303.0176
    """
    return np.add(np.multiply(coefficients.attention_slope, kv_tokens), coefficients.attention_fixed)


def ffn_time(*, tokens: FloatLike, coefficients: Coefficients) -> FloatArray:
    """Return the FFN time of one instance, micro-batch and layer.

    Parameters
    ----------
    tokens : float or array
        Tokens of the micro-batches of all its attention instances, r * B [tokens].
    coefficients : Coefficients
        Slope a_F per token and fixed time b_F [s].

    Returns
    -------
    float or array
        Time t_F [s].

    Notes
    -----
    t_F = a_F * r * B + b_F

    References
    ----------
    arXiv 2601.21351, linear step times.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> round(float(ffn_time(tokens=8 * 256, coefficients=paper)) * 1e6, 4)
    269.984
    """
    return np.add(np.multiply(coefficients.ffn_slope, tokens), coefficients.ffn_fixed)


def transfer_time_linear(*, batch: FloatLike, coefficients: Coefficients) -> FloatArray:
    """Return the time of both transfers of one micro-batch and layer.

    Parameters
    ----------
    batch : float or array
        Sequences of the micro-batch on one attention instance, B [1].
    coefficients : Coefficients
        Slope a_C per sequence and fixed time b_C [s].

    Returns
    -------
    float or array
        Time t_C, there and back [s].

    Notes
    -----
    t_C = a_C * B + b_C

    References
    ----------
    arXiv 2601.21351, linear step times.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> round(float(transfer_time_linear(batch=256, coefficients=paper)) * 1e6, 4)
    25.632
    """
    return np.add(np.multiply(coefficients.transfer_slope, batch), coefficients.transfer_fixed)


def cycle_time_of(
    *,
    attention: FloatLike,
    ffn: FloatLike,
    transfer: FloatLike,
    microbatches: FloatLike,
    full_duplex: BoolLike,
) -> FloatArray:
    """Return the time between two micro-batches of one layer.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    attention, ffn : float or array
        Times of both groups for one micro-batch and layer, t_A and t_F [s].
    transfer : float or array
        Time of both transfers, there and back, t_C [s].
    full_duplex : bool or array
        Whether the directions overlap [1].

    Returns
    -------
    float or array
        Time tau_m per layer and micro-batch [s].

    Notes
    -----
    tau_m = max(t_A, t_F, link, (t_A + t_F + t_C)/m), link = t_C where directions share the link, else t_C/2

    References
    ----------
    This project; without the last term arXiv 2601.21351.

    Examples
    --------
    >>> tau = cycle_time_of(attention=3e-4, ffn=2.5e-4, transfer=1e-4, microbatches=2, full_duplex=False)
    >>> round(float(tau) * 1e6, 3)
    325.0
    """
    busiest = np.maximum(np.maximum(attention, ffn), _link(transfer, full_duplex))
    return np.maximum(busiest, np.divide(np.add(np.add(attention, ffn), transfer), microbatches))


def _link(transfer: FloatLike, full_duplex: BoolLike) -> FloatArray:
    return np.multiply(transfer, np.where(full_duplex, 0.5, 1.0))


def optimal_ratio(*, theta: FloatLike, batch: FloatLike, coefficients: Coefficients) -> Optimum:
    """Return the attention instances per FFN instance with most tokens per instance, of mean times.

    Parameters
    ----------
    batch, coefficients
        As in `nomenclature`.
    theta : float or array
        Mean cached tokens of a slot [tokens].

    Returns
    -------
    Optimum
        The ratio r*, and the terms it is the largest of: where the FFN is as slow as attention, as slow as
        the transfers, and where its fixed time is spread best [1].

    Notes
    -----
    r* = max{(a_A*B*theta + b_A - b_F)/(a_F*B), (t_C - b_F)/(a_F*B), sqrt(b_F/(a_F*B))}

    References
    ----------
    arXiv 2601.21351, optimal attention-FFN ratio.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> round(float(optimal_ratio(theta=599, batch=256, coefficients=paper).ratio), 4)
    9.5547
    """
    per_ratio = np.multiply(coefficients.ffn_slope, batch)
    t_a = attention_time(kv_tokens=np.multiply(batch, theta), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    attention = np.subtract(t_a, coefficients.ffn_fixed) / per_ratio
    communication = np.subtract(t_c, coefficients.ffn_fixed) / per_ratio
    ffn = np.sqrt(np.divide(coefficients.ffn_fixed, per_ratio))
    return Optimum(np.maximum(np.maximum(attention, communication), ffn), attention, communication, ffn)


def optimal_ratio_two_microbatches(
    *, theta: FloatLike, batch: FloatLike, coefficients: Coefficients, full_duplex: BoolLike
) -> FloatArray:
    """Return the best attention instances per FFN instance with two micro-batches in flight.

    Parameters
    ----------
    batch, coefficients, full_duplex
        As in `nomenclature`.
    theta : float or array
        Mean cached tokens of a slot [tokens].

    Returns
    -------
    float or array
        Ratio r*_2 [1].

    Notes
    -----
    r*_2 = max{(2*max(t_A, link) - t_A - t_C - b_F)/(a_F*B), min(r_mid, max(r_A + d, r_peak))},
    r_mid = sqrt((t_A + t_C + b_F)/(a_F*B)), d = t_C/(a_F*B), r_A = (t_A - b_F)/(a_F*B),
    r_peak = sqrt(b_F/(a_F*B)), link = t_C where directions share the link, else t_C/2

    References
    ----------
    This project: the maximum of r/((r+1)*tau_2), tau_2 as in `cycle_time_of`.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_two_microbatches(theta=599, batch=256, coefficients=paper, full_duplex=False)
    >>> round(float(best), 4)
    8.3483
    """
    per_ratio = np.multiply(coefficients.ffn_slope, batch)
    t_a = attention_time(kv_tokens=np.multiply(batch, theta), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    terms = optimal_ratio(theta=theta, batch=batch, coefficients=coefficients)
    round_trip = t_a + t_c + coefficients.ffn_fixed
    full = (2.0 * np.maximum(t_a, _link(t_c, full_duplex)) - round_trip) / per_ratio
    middle = np.sqrt(round_trip / per_ratio)
    return np.maximum(full, np.minimum(middle, np.maximum(terms.attention + t_c / per_ratio, terms.ffn)))


def optimal_ratio_microbatches(
    *,
    theta: FloatLike,
    batch: FloatLike,
    coefficients: Coefficients,
    microbatches: IntLike,
    full_duplex: BoolLike,
) -> FloatArray:
    """Return the best attention instances per FFN instance with any number of micro-batches in flight.

    Parameters
    ----------
    batch, coefficients, microbatches, full_duplex
        As in `nomenclature`.
    theta : float or array
        Mean cached tokens of a slot [tokens].

    Returns
    -------
    float or array
        Ratio r*_m [1].

    Notes
    -----
    r*_m = argmax r/((r+1)*tau_m): the best of the ratios at which two of max(t_A, link), t_F and
    (t_A + t_F + t_C)/m are equal, sqrt(b_F/(a_F*B)), and sqrt((t_A + t_C + b_F)/(a_F*B))

    References
    ----------
    This project; for m = 2 equal to `optimal_ratio_two_microbatches`.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_microbatches(theta=599, batch=256, coefficients=paper, microbatches=3,
    ...                                   full_duplex=False)
    >>> round(float(best), 4)
    9.5547
    """
    m = np.multiply(microbatches, 1.0)
    per_ratio = np.multiply(coefficients.ffn_slope, batch)
    t_a = attention_time(kv_tokens=np.multiply(batch, theta), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    fixed = coefficients.ffn_fixed
    constant = np.maximum(t_a, _link(t_c, full_duplex))
    others = np.maximum(m - 1.0, 0.5)  # with one micro-batch the FFN alone never sets the pace
    meeting = (
        (constant - fixed) / per_ratio,
        (m * constant - t_a - t_c - fixed) / per_ratio,
        ((t_a + t_c) / others - fixed) / per_ratio,
    )
    peaks = (np.sqrt(fixed / per_ratio), np.sqrt((t_a + t_c + fixed) / per_ratio))
    ratios = np.stack(np.broadcast_arrays(*meeting, *peaks, m)[:-1])
    rates = _rate(ratios, t_a, per_ratio * ratios + fixed, t_c, m, full_duplex)
    best = np.argmax(rates, axis=0)
    return np.take_along_axis(ratios, best[np.newaxis], axis=0)[0][()]


def _rate(  # noqa: PLR0917 - one per symbol
    ratios: FloatArray, t_a: FloatArray, t_f: FloatArray, t_c: FloatArray, m: FloatArray, duplex: BoolLike
) -> FloatArray:
    """Return r/((r+1)*tau_m) [1/s]; 0 for ratios that are none."""
    usable = ratios > 0
    safe = np.where(usable, ratios, 1.0)
    tau = cycle_time_of(attention=t_a, ffn=t_f, transfer=t_c, microbatches=m, full_duplex=duplex)
    return np.where(usable, safe / ((safe + 1.0) * np.where(usable, tau, 1.0)), 0.0)


_erfc: Callable[[NDArray[np.float64]], NDArray[np.object_]] = np.frompyfunc(math.erfc, 1, 1)


def _log_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the chance that a standard normal number is at most x, of full precision."""
    tail = np.asarray(_erfc(np.abs(x) / math.sqrt(2.0)), dtype=float) / 2.0
    return np.where(x > 0, np.log1p(-tail), np.log(np.maximum(tail, 1e-300)))


_LOG_CDF = _log_cdf(_GRID)


def _excess(start: FloatArray, workers: FloatArray) -> FloatArray:
    """Return the integral of 1 - Phi(x)^r from `start` on."""
    low = np.clip(start, -_REACH, _REACH)
    half = (_REACH - low) / 2.0
    points = low[..., np.newaxis] + half[..., np.newaxis] * (_NODES + 1.0)
    missing = -np.expm1(workers[..., np.newaxis] * _log_cdf(points))
    return (missing @ _WEIGHTS) * half + np.maximum(-_REACH - start, 0.0)


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
    return (_REACH - _powers(workers).sum(axis=-1) * _STEP + _STEP / 2)[()]


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
    total = (_powers(workers) * _GRID).sum(axis=-1) - _REACH / 2
    return (_REACH**2 - 2.0 * _STEP * total + _STEP**2 / 6.0)[()]  # the sum ends where x * Phi^r still rises


def _powers(workers: FloatLike) -> FloatArray:
    """Return Phi^r over the grid, a new last axis."""
    count = np.maximum(np.asarray(workers, dtype=float), 1.0)
    return np.exp(count[..., np.newaxis] * _LOG_CDF)


def barrier_workers(*, ratio: FloatLike, ffn_devices: FloatLike = 1) -> FloatArray:
    """Return how many attention workers wait for each other at a ratio.

    Parameters
    ----------
    ratio
        As in `nomenclature`.
    ffn_devices : float or array
        FFN instances that share the experts: a token may need any, so none begins before all attention
        instances have sent; 1 where an FFN instance holds all experts, n_F [1].

    Returns
    -------
    float or array
        Workers w, at least one [1].

    Notes
    -----
    w = max(r*n_F, 1)

    References
    ----------
    This project; with n_F = 1 arXiv 2601.21351, barrier of r workers.

    Examples
    --------
    >>> float(barrier_workers(ratio=2, ffn_devices=16))
    32.0
    """
    return np.maximum(np.multiply(ratio, ffn_devices), 1.0)


def slowest_attention_mean(
    *,
    workers: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    skewness: FloatLike = 0.0,
) -> FloatArray:
    """Return the mean attention time of one worker, shifted by what skewness adds to the slowest of them.

    Parameters
    ----------
    theta, nu, coefficients
        As in `nomenclature`.
    workers : float or array
        How many wait for each other, w; fewer than one count as one [1].
    batch : float or array
        Slots of one micro-batch on one worker, B [1].
    skewness : float or array
        Skewness of the cached tokens of a slot, gamma_1; 0 takes their sum as normal [1].

    Returns
    -------
    float or array
        Time mu [s].

    Notes
    -----
    mu = a_A*B*theta + b_A + a_A*nu*gamma_1/6 * (E[M_w^2] - 1)

    References
    ----------
    This project: the first term of the Cornish-Fisher expansion, at the maximum of w normal numbers.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = slowest_attention_mean(workers=8, batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                               skewness=2)
    >>> round(float(mean) * 1e6, 4)
    303.4021
    """
    plain = attention_time(kv_tokens=np.multiply(batch, theta), coefficients=coefficients)
    third = np.multiply(coefficients.attention_slope, nu) * np.divide(skewness, 6.0)
    return plain + third * (expected_squared_maximum(workers=workers) - 1.0)


def barrier_time(
    *,
    ratio: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    skewness: FloatLike = 0.0,
    ffn_devices: FloatLike = 1,
) -> FloatArray:
    """Return the mean time between micro-batches where the slowest of all workers sets the pace.

    Parameters
    ----------
    ratio, batch, theta, nu, coefficients, skewness, ffn_devices
        As in `nomenclature`.

    Returns
    -------
    float or array
        Mean time E[tau] per layer and micro-batch [s].

    Notes
    -----
    E[tau] = G + sd * int_{(G-mu)/sd}^inf (1 - Phi(x)^w) dx, G = max(t_C, t_F),
    mu = a_A*B*theta + b_A, sd = a_A*nu*sqrt(B), w = r*n_F; the sum of B loads is taken as normal

    References
    ----------
    arXiv 2601.21351, barrier of r workers, there n_F = 1; several FFN instances, and skewness as in
    `slowest_attention_mean`, are this project's.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = barrier_time(ratio=8, batch=256, theta=599, nu=499.5, coefficients=paper)
    >>> round(float(mean) * 1e6, 3)
    321.79
    """
    t_f = ffn_time(tokens=np.multiply(ratio, batch), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    least = np.maximum(t_c, t_f)
    workers = barrier_workers(ratio=ratio, ffn_devices=ffn_devices)
    worker = slowest_attention_mean(
        workers=workers, batch=batch, theta=theta, nu=nu, coefficients=coefficients, skewness=skewness
    )
    sd = _spread(batch, nu, coefficients)
    return (least + _waiting(least, worker, sd, workers))[()]


def _spread(batch: FloatLike, nu: FloatLike, coefficients: Coefficients) -> FloatArray:
    return np.multiply(coefficients.attention_slope, nu) * np.sqrt(batch)


def _waiting(start: FloatArray, mean: FloatArray, sd: FloatArray, workers: FloatLike) -> FloatArray:
    """Return the mean time by which the slowest worker exceeds `start`."""
    start, mean, sd, count = np.broadcast_arrays(start, mean, sd, workers)
    late = sd > _NEGLIGIBLE * np.maximum(mean, start)
    scale = np.where(late, sd, 1.0)
    first = np.where(late, (start - mean) / scale, 0.0)
    return np.where(late, scale * _excess(first, count), np.maximum(mean - start, 0.0))


def barrier_cycle_time(
    *,
    ratio: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    microbatches: FloatLike,
    full_duplex: BoolLike,
    skewness: FloatLike = 0.0,
    ffn_devices: FloatLike = 1,
) -> FloatArray:
    """Return the mean time between micro-batches, with a barrier and micro-batches in flight.

    Parameters
    ----------
    ratio, batch, theta, nu, coefficients, microbatches, full_duplex, skewness, ffn_devices
        As in `nomenclature`.

    Returns
    -------
    float or array
        Mean time E[tau_m] per layer and micro-batch [s].

    Notes
    -----
    E[tau_m] = G + int_G^inf 1 - Phi((y-mu)/(sd/sqrt(m)))^w * Phi((m*y-t_F-t_C-mu)/sd)^(m*w) dy,
    G = max(t_F, link), w = r*n_F: the worker slowest on average over its m micro-batches keeps the others
    waiting, and so does the slowest way of any micro-batch through all stages; with one micro-batch only the
    latter

    References
    ----------
    This project: the largest cycle mean of the pipeline, loads taken as still while outputs last many steps;
    `cycle_time_of` where nu is 0.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = barrier_cycle_time(ratio=8, batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                           microbatches=2, full_duplex=False)
    >>> round(float(mean) * 1e6, 3)
    317.065
    """
    m = np.multiply(microbatches, 1.0)
    t_f = ffn_time(tokens=np.multiply(ratio, batch), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    workers = barrier_workers(ratio=ratio, ffn_devices=ffn_devices)
    each, pooled = (
        slowest_attention_mean(
            workers=count, batch=batch, theta=theta, nu=nu, coefficients=coefficients, skewness=skewed
        )
        for count, skewed in ((workers * m, skewness), (workers, np.divide(skewness, m)))
    )
    sd = _spread(batch, nu, coefficients)
    around = [
        _Wait(np.where(m > 1, pooled, -np.inf), sd / np.sqrt(m), workers),
        _Wait((each + t_f + t_c) / m, sd / m, workers * m),
    ]
    return _slowest(np.maximum(t_f, _link(t_c, full_duplex)), around)[()]


class _Wait(NamedTuple):
    """A time that is the largest of several normal ones: mean and deviation of each, and how many."""

    mean: FloatArray
    sd: FloatArray
    count: FloatArray


def _slowest(least: FloatArray, waits: list[_Wait]) -> FloatArray:
    """Return the mean of the largest of some independent times, and of a sure one."""
    low = high = least
    for mean, sd, _ in waits:
        low = np.maximum(low, mean - _REACH * sd)
        high = np.maximum(high, mean + _REACH * sd)
    finite = np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    half = np.asarray((high - low) / 2.0)
    points = np.asarray(low)[..., np.newaxis] + half[..., np.newaxis] * (_NODES + 1.0)
    logarithm = np.zeros(())
    for mean, sd, count in waits:
        scale = np.maximum(sd, _NOTHING)[..., np.newaxis]
        distance = np.clip((points - mean[..., np.newaxis]) / scale, -_REACH, _REACH)
        logarithm = logarithm + np.asarray(count)[..., np.newaxis] * _log_cdf(distance)
    return np.where(finite, low + (-np.expm1(logarithm) @ _WEIGHTS) * half, np.inf)[()]


def _largest(coefficients: Coefficients, batch: float, mean: float, sd: float, shift: float) -> float:
    """Return a ratio beyond the best one: there the FFN sets the pace, and more tokens only slow it."""
    slowest = mean + _REACH * sd + _REACH**2 * abs(shift)
    rest = slowest + float(transfer_time_linear(batch=batch, coefficients=coefficients))
    per_ratio = float(coefficients.ffn_slope) * batch
    fixed = float(coefficients.ffn_fixed)
    return 2.0 * max(rest / per_ratio, math.sqrt((rest + fixed) / per_ratio), 1.0)


def _argmax(rate: Callable[[NDArray[np.float64]], FloatArray], most: float) -> float:
    """Return where a function of one maximum, on (0, most], is largest."""
    low, high = most * 1e-9, most
    grid = np.geomspace(low, high, 4 * _CELLS)
    for _ in range(_ROUNDS):
        at = int(np.argmax(rate(grid)))
        low, high = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, grid.size - 1)])
        grid = np.linspace(low, high, _CELLS)
    return float(grid[int(np.argmax(rate(grid)))])


def optimal_ratio_barrier(
    *,
    batch: float,
    theta: float,
    nu: float,
    coefficients: Coefficients,
    skewness: float = 0.0,
    ffn_devices: float = 1,
) -> float:
    """Return the best attention instances per FFN instance where the slowest worker sets the pace.

    Parameters
    ----------
    batch, theta, nu, skewness, ffn_devices
        As in `nomenclature`.
    coefficients : Coefficients
        Of the linear times, plain numbers [s].

    Returns
    -------
    float
        Ratio, a real number [1].

    Notes
    -----
    argmax over r of r*B/((r+1) * E[tau]), E[tau] as in `barrier_time`

    References
    ----------
    arXiv 2601.21351, barrier-aware ratio.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_barrier(batch=256, theta=599, nu=499.5, coefficients=paper)
    >>> round(best, 3)
    10.085
    """
    mean = float(attention_time(kv_tokens=batch * theta, coefficients=coefficients))
    sd = float(_spread(batch, nu, coefficients))
    shift = float(coefficients.attention_slope) * nu * skewness / 6.0

    def rate(ratio: NDArray[np.float64]) -> FloatArray:
        tau = barrier_time(
            ratio=ratio,
            batch=batch,
            theta=theta,
            nu=nu,
            coefficients=coefficients,
            skewness=skewness,
            ffn_devices=ffn_devices,
        )
        return ratio / ((ratio + 1.0) * tau)

    return _argmax(rate, _largest(coefficients, batch, mean, sd, shift))


def optimal_ratio_barrier_microbatches(
    *,
    batch: float,
    theta: float,
    nu: float,
    coefficients: Coefficients,
    microbatches: int,
    full_duplex: bool,
    skewness: float = 0.0,
    ffn_devices: float = 1,
    outside: float = 0.0,
) -> float:
    """Return the best attention instances per FFN instance with a barrier and micro-batches in flight.

    Parameters
    ----------
    batch, theta, nu, microbatches, full_duplex, skewness, ffn_devices
        As in `nomenclature`.
    coefficients : Coefficients
        Of the linear times, plain numbers [s].
    outside : float
        Time per layer and micro-batch that is spent outside the layers, t_o [s].

    Returns
    -------
    float
        Ratio, a real number [1].

    Notes
    -----
    argmax over r of r*B/((r+1) * (E[tau_m] + t_o)), E[tau_m] as in `barrier_cycle_time`

    References
    ----------
    This project.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_barrier_microbatches(batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                                           microbatches=2, full_duplex=False)
    >>> round(best, 3)
    8.253
    """
    mean = float(attention_time(kv_tokens=batch * theta, coefficients=coefficients))
    sd = float(_spread(batch, nu, coefficients))
    shift = float(coefficients.attention_slope) * nu * skewness / 6.0

    def rate(ratio: NDArray[np.float64]) -> FloatArray:
        tau = barrier_cycle_time(
            ratio=ratio,
            batch=batch,
            theta=theta,
            nu=nu,
            coefficients=coefficients,
            microbatches=microbatches,
            full_duplex=full_duplex,
            skewness=skewness,
            ffn_devices=ffn_devices,
        )
        return ratio / ((ratio + 1.0) * (tau + outside))

    return _argmax(rate, _largest(coefficients, batch, mean + outside, sd, shift))


def throughput_per_instance(
    *,
    ratio: FloatLike,
    batch: FloatLike,
    cycle: FloatLike,
    layers: FloatLike = 1,
    accept_length: FloatLike = 1.0,
) -> FloatArray:
    """Return the output tokens per second of r attention instances and one FFN instance, over r + 1.

    Parameters
    ----------
    ratio, batch, cycle, layers, accept_length
        As in `nomenclature`.

    Returns
    -------
    float or array
        Rate [tokens/s].

    Notes
    -----
    rate = r*B*a / ((r+1) * tau * L)

    References
    ----------
    arXiv 2601.21351, throughput per instance; layers and accepted tokens are this project's.

    Examples
    --------
    >>> round(float(throughput_per_instance(ratio=8, batch=256, cycle=322e-6, layers=61)), 3)
    11585.152
    """
    return np.multiply(ratio, batch) * accept_length / (np.add(ratio, 1.0) * cycle * layers)


def time_per_token(
    *,
    cycle: FloatLike,
    microbatches: FloatLike,
    layers: FloatLike = 1,
    accept_length: FloatLike = 1.0,
) -> FloatArray:
    """Return the time per output token of a sequence.

    Parameters
    ----------
    cycle, microbatches, layers, accept_length
        As in `nomenclature`.

    Returns
    -------
    float or array
        Time per output token, TPOT [s].

    Notes
    -----
    TPOT = m * tau * L / a

    References
    ----------
    This project.

    Examples
    --------
    >>> round(float(time_per_token(cycle=322e-6, microbatches=2, layers=61)) * 1e3, 3)
    39.284
    """
    return np.multiply(microbatches, cycle) * layers / accept_length
