"""Times of attention and FFN instances as straight lines, the cycle they make, and what it yields."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.pipeline import busiest_stage_time, cycle_time, link_time

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike


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
    way = np.divide(transfer, 2.0)
    link = link_time(dispatch=way, combine=way, full_duplex=full_duplex)
    busiest = busiest_stage_time(attention=attention, ffn=ffn, link=link)
    loop = np.add(np.add(attention, ffn), transfer)
    return cycle_time(busiest=busiest, loop=loop, microbatches=microbatches)


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
