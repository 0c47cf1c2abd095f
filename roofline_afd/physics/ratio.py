"""How many attention instances one FFN instance needs, by mean times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.linear import Coefficients, attention_time, cycle_time_of, transfer_time_linear
from roofline_afd.physics.pipeline import link_time

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike, IntLike


class Optimum(NamedTuple):
    """The best ratio, and the three ratios of which it is the largest."""

    ratio: FloatArray
    attention: FloatArray
    communication: FloatArray
    ffn: FloatArray


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
    link = link_time(dispatch=t_c / 2.0, combine=t_c / 2.0, full_duplex=full_duplex)
    full = (2.0 * np.maximum(t_a, link) - round_trip) / per_ratio
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
    link = link_time(dispatch=t_c / 2.0, combine=t_c / 2.0, full_duplex=full_duplex)
    constant = np.maximum(t_a, link)
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
