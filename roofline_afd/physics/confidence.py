"""How sure a predicted ratio is: Student's distribution of its log error, and counts that intervals hold.

EP and AFD of one comparison run on the same kernels and links, so that their errors go together: the error of
their ratio is smaller than those of two levels put together, and is modelled for itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.normal import log_probability

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike

HALVINGS = 60
"""Of an interval, which settle a quantile to the last digits of a float."""
FARTHEST = 40.0
"""Standard deviations within which a quantile of the normal distribution is looked for."""


def student_probability(*, t: FloatLike, degrees: float) -> FloatArray:
    """Return the chance that a number of Student's distribution is at most a bound.

    Parameters
    ----------
    t : float or array
        Bound, in standard errors [1].
    degrees : float
        Degrees of freedom, a whole number from 1 on; infinite for the normal distribution [1].

    Returns
    -------
    float or array
        Probability F_n(t) [1].

    Notes
    -----
    a = atan(t/sqrt(n)); n odd: F = 1/2 + (a + sin(a)*(cos(a) + 2/3*cos(a)^3 + ... (n-2)th power))/pi; n even:
    F = 1/2 + sin(a)*(1 + 1/2*cos(a)^2 + (1*3)/(2*4)*cos(a)^4 + ... (n-2)th power)/2

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions, equations 26.7.3 and 26.7.4.

    Examples
    --------
    >>> student_probability(t=np.array([-1.0, 0.0, 1.0]), degrees=1).round(4).tolist()
    [0.25, 0.5, 0.75]
    """
    bound = np.asarray(t, dtype=float)
    if math.isinf(degrees):
        return np.exp(log_probability(x=bound))[()]
    angle = np.arctan(bound / math.sqrt(degrees))
    cosine = np.cos(angle)
    odd = int(degrees) % 2
    term = cosine if odd else np.ones_like(cosine)
    total = np.zeros_like(cosine)
    for power in range(odd, int(degrees) - 1, 2):
        total = total + term
        term = term * cosine**2 * (power + 1.0) / (power + 2.0)
    within = (angle + np.sin(angle) * total) / math.pi if odd else np.sin(angle) * total / 2.0
    return np.clip(0.5 + within, 0.0, 1.0)[()]


def student_quantile(*, probability: FloatLike, degrees: float) -> FloatArray:
    """Return the bound that a number of Student's distribution stays below with some probability.

    Parameters
    ----------
    probability : float or array
        Above 0 and below 1 [1].
    degrees : float
        Degrees of freedom, as in `student_probability` [1].

    Returns
    -------
    float or array
        Bound t, in standard errors [1].

    Notes
    -----
    F_n(t) = P, by halving an interval of the angle atan(t/sqrt(n))

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions, section 26.7.

    Examples
    --------
    >>> [round(float(student_quantile(probability=0.9, degrees=n)), 3) for n in (1, 2, 3, np.inf)]
    [3.078, 1.886, 1.638, 1.282]
    """
    wanted = np.asarray(probability, dtype=float)
    normal = math.isinf(degrees)
    low = np.full(wanted.shape, -FARTHEST if normal else -math.pi / 2.0)
    high = -low

    def bound(place: FloatArray) -> FloatArray:
        return place if normal else np.tan(place) * math.sqrt(degrees)

    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        below = student_probability(t=bound(middle), degrees=degrees) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return bound((low + high) / 2.0)[()]


def ratio_spread(*, base: FloatLike, estimated_share: FloatLike, estimated_error: FloatLike) -> FloatArray:
    """Return the spread of the log error of a predicted ratio of AFD to EP.

    What both modes have in common cancels in their ratio; what was never measured need not, and widens it.

    Parameters
    ----------
    base : float or array
        Spread where all efficiencies were measured, s_0 [1].
    estimated_share : float or array
        Share of a step's operator time whose efficiencies were never measured, x; the larger of both modes:
        what both rest on is off together, and what one alone rests on is off by no more [1].
    estimated_error : float or array
        Relative error of a time that was never measured, e [1].

    Returns
    -------
    float or array
        Spread s [1].

    Notes
    -----
    s = sqrt(s_0^2 + (e*x)^2)

    References
    ----------
    Variances of independent errors add: JCGM 100:2008 (Guide to the expression of uncertainty), equation 10.

    Examples
    --------
    >>> round(float(ratio_spread(base=0.12, estimated_share=0.3, estimated_error=0.3)), 3)
    0.15
    """
    return np.hypot(base, np.multiply(estimated_error, estimated_share))[()]


def probability_ahead(*, ratio: FloatLike, bias: FloatLike, spread: FloatLike, degrees: float) -> FloatArray:
    """Return the probability that AFD serves more than EP, given their predicted ratio.

    Parameters
    ----------
    ratio : float or array
        Predicted throughput of AFD over EP, r; above 0 [1].
    bias : float or array
        Mean logarithm of predicted over measured ratios, b [1].
    spread : float or array
        As `ratio_spread`, s; above 0 [1].
    degrees : float
        Degrees of freedom of the spread, n [1].

    Returns
    -------
    float or array
        Probability, 1/2 at r = exp(b) [1].

    Notes
    -----
    P = F_n((ln(r) - b)/s), F_n as `student_probability`

    References
    ----------
    Student's t of a mean with an estimated spread: Abramowitz, Stegun, section 26.7.

    Examples
    --------
    >>> ratios = np.array([0.8, 1.0, 1.25])
    >>> probability_ahead(ratio=ratios, bias=0.0, spread=0.15, degrees=2).round(3).tolist()
    [0.138, 0.5, 0.862]
    """
    lead = np.log(np.asarray(ratio, dtype=float)) - bias
    return student_probability(t=lead / spread, degrees=degrees)


def ratio_interval(
    *, ratio: FloatLike, bias: FloatLike, spread: FloatLike, degrees: float, coverage: float
) -> tuple[FloatArray, FloatArray]:
    """Return the interval that a ratio of AFD to EP, measured, is expected in.

    Parameters
    ----------
    ratio : float or array
        Predicted throughput of AFD over EP, r; above 0 [1].
    bias : float or array
        Mean logarithm of predicted over measured ratios, b [1].
    spread : float or array
        As `ratio_spread`, s [1].
    degrees : float
        Degrees of freedom of the spread, n [1].
    coverage : float
        Share of measurements it is to hold, q; above 0 and below 1 [1].

    Returns
    -------
    low, high : float or array
        Ends, as far from the middle on logarithms [1].

    Notes
    -----
    r*exp(-b) times exp(-s*t) and exp(s*t), F_n(t) = (1 + q)/2

    References
    ----------
    Student's t of a mean with an estimated spread: Abramowitz, Stegun, section 26.7.

    Examples
    --------
    >>> ends = ratio_interval(ratio=0.9, bias=0, spread=0.13, degrees=2, coverage=0.8)
    >>> [round(float(end), 3) for end in ends]
    [0.704, 1.15]
    """
    middle = np.asarray(ratio, dtype=float) * np.exp(-np.asarray(bias, dtype=float))
    factor = np.exp(spread * student_quantile(probability=(1.0 + coverage) / 2.0, degrees=degrees))
    return (middle / factor)[()], (middle * factor)[()]


def pooled_spread(*, errors: NDArray[np.float64], groups: NDArray[np.intp]) -> float:
    """Return the spread of errors in groups that weigh alike, about zero.

    Errors of a group have a source in common: however many they are, they say no more than one does of
    another source.

    Parameters
    ----------
    errors : array
        Errors, one at least [1].
    groups : array
        Number of the group of each, from 0 on without gaps [1].

    Returns
    -------
    float
        Root of the mean over groups of their mean squares, with as many degrees of freedom as groups [1].

    Notes
    -----
    s_0^2 = (1/G)*sum_g (1/N_g)*sum_(i in g) e_i^2

    References
    ----------
    Unweighted means of clusters: W. G. Cochran, Sampling Techniques, 3rd ed. (1977), chapter 9A.

    Examples
    --------
    >>> round(pooled_spread(errors=np.array([0.3, 0.3, 0.3, 0.1]), groups=np.array([0, 0, 0, 1])), 4)
    0.2236
    """
    counts = np.bincount(groups)
    return float(np.sqrt(np.mean(np.bincount(groups, weights=errors**2) / counts)))


def shown_bias(*, means: NDArray[np.float64], confidence: float = 0.95) -> float:
    """Return the mean of the errors of several sources where it differs from zero, else zero.

    Parameters
    ----------
    means : array
        Mean error of each source [1].
    confidence : float
        Of the test of two sides, above 0 and below 1 [1].

    Returns
    -------
    float
        The mean, or 0 where sources are fewer than three or their spread explains it [1].

    Notes
    -----
    b = mean if abs(mean)/(sd/sqrt(G)) > t_(G-1)((1 + confidence)/2), else 0

    References
    ----------
    Student's test of a mean: Abramowitz, Stegun, section 26.7.

    Examples
    --------
    >>> means = np.array([[0.1, -0.08, 0.02], [0.2, 0.21, 0.19]])
    >>> [round(shown_bias(means=found), 3) for found in means]
    [0.0, 0.2]
    """
    count = means.size
    if count <= 2:  # noqa: PLR2004 - two sources that agree by chance show nothing
        return 0.0
    mean, error = float(np.mean(means)), float(np.std(means, ddof=1)) / math.sqrt(count)
    least = student_quantile(probability=(1.0 + confidence) / 2.0, degrees=count - 1)
    return mean if abs(mean) > least * error else 0.0


def binomial_interval(*, hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a probability of which some trials are known.

    Parameters
    ----------
    hits : int
        Trials that were met, k [1].
    trials : int
        All, n; one at least [1].
    confidence : float
        Of both sides together, c; above 0 and below 1 [1].

    Returns
    -------
    low, high : float
        Ends, of Clopper and Pearson: never too narrow [1].

    Notes
    -----
    low: sum_(j >= k) C(n,j)*p^j*(1-p)^(n-j) = (1 - c)/2, 0 of no hit; high: sum_(j <= k) = (1 - c)/2, 1 where
    all are hits

    References
    ----------
    C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), pages 404 to 413.

    Examples
    --------
    >>> [round(end, 4) for end in binomial_interval(hits=8, trials=10)]
    [0.4439, 0.9748]
    """
    tail = (1.0 - confidence) / 2.0

    def at_most(count: int, chance: float) -> float:
        return math.fsum(
            math.comb(trials, j) * chance**j * (1.0 - chance) ** (trials - j) for j in range(count + 1)
        )

    low = _halved(lambda p: 1.0 - at_most(hits - 1, p) < tail) if hits else 0.0
    high = _halved(lambda p: at_most(hits, p) > tail) if hits < trials else 1.0
    return low, high


def _halved(below: Callable[[float], bool]) -> float:
    """Return the probability up to which something holds."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2.0
