"""Kernels beside products: a stage of experts in one kernel, and the change of a number format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def fused_stage_time(
    *,
    flops: FloatLike,
    weight_bytes: FloatLike,
    moved_bytes: FloatLike,
    peak: FloatLike,
    memory_bandwidth: FloatLike,
    bandwidth: FloatLike,
    compute_efficiency: FloatLike,
    memory_efficiency: FloatLike,
    moving_efficiency: FloatLike,
    fixed_time: FloatLike,
    hidden_share: FloatLike = 0.0,
) -> FloatArray:
    """Return the time of one kernel that dispatches, multiplies and combines: transfers add to products.

    Parameters
    ----------
    memory_bandwidth, bandwidth, peak
        As in `nomenclature`.
    flops : float or array
        Operations of both products of all pairs of the device [FLOP].
    weight_bytes : float or array
        Bytes of the weights of the experts that tokens reach [B].
    moved_bytes : float or array
        Bytes that cross the device's links on the way there and back, in one direction each, V [B].
    compute_efficiency, memory_efficiency, moving_efficiency : float or array
        Shares of the peak rate, of the memory bandwidth and of the links that the kernel reaches, e_c, e_m
        and e_v [1].
    fixed_time : float or array
        Time of a stage without work, t_fix: launch, and signals between devices [s].
    hidden_share : float or array
        Share of the moving time that runs beside the products of other micro-batches, h [1].

    Returns
    -------
    float or array
        Time; 0 where there is nothing to compute, read or move [s].

    Notes
    -----
    t = t_fix + max(bytes / (W * e_m), flops / (F * e_c)) + (1 - h) * V / (BW * e_v)

    References
    ----------
    This project; fitted to published timings of fused kernels on B200 (FastAFD, fp8 by mxfp4), where the two
    parts add up and do not overlap.

    Examples
    --------
    >>> t = fused_stage_time(flops=14.5e9, weight_bytes=321e6, moved_bytes=4.8e6, peak=4.5e15,
    ...                      memory_bandwidth=8e12, bandwidth=900e9, compute_efficiency=0.56,
    ...                      memory_efficiency=0.62, moving_efficiency=0.69, fixed_time=20e-6)
    >>> round(float(t) * 1e6, 1)
    92.4
    """
    reading = np.divide(weight_bytes, np.multiply(memory_bandwidth, memory_efficiency))
    computing = np.divide(flops, np.multiply(peak, compute_efficiency))
    shown = np.subtract(1.0, hidden_share)
    moving = shown * np.divide(moved_bytes, np.multiply(bandwidth, moving_efficiency))
    work = np.add(flops, weight_bytes) + moved_bytes
    return np.where(work > 0, fixed_time + np.maximum(reading, computing) + moving, 0.0)[()]


def conversion_bytes(
    *, tokens: FloatLike, width: FloatLike, input_bytes: FloatLike, output_bytes: FloatLike
) -> FloatArray:
    """Return the bytes that a change of number format reads and writes.

    Parameters
    ----------
    tokens, width
        As in `nomenclature`.
    input_bytes, output_bytes : float or array
        Bytes of an element before and after [B].

    Returns
    -------
    float or array
        Bytes; scales of blocks are not counted [B].

    Notes
    -----
    bytes = T * H * (b_in + b_out)

    References
    ----------
    Williams, Waterman, Patterson (2009), doi 10.1145/1498765.1498785: compulsory traffic.

    Examples
    --------
    >>> float(conversion_bytes(tokens=64, width=4096, input_bytes=2, output_bytes=1))
    786432.0
    """
    return np.multiply(tokens, width) * np.add(input_bytes, output_bytes) * 1.0
