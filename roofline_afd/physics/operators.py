"""The time of an operator, and the operations and bytes of products: dense ones and those of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

LEAST_ROWS = 1e-30
"""Rows below any real product's: keeps shares finite where there is nothing to compute."""


def operator_time(
    *,
    flops: FloatLike,
    bytes_moved: FloatLike,
    tokens: FloatLike,
    depth: FloatLike,
    peak: FloatLike,
    memory_bandwidth: FloatLike,
    compute_efficiency: FloatLike,
    memory_efficiency: FloatLike,
    launch: FloatLike,
    padding: FloatLike = 1.0,
    half_saturation_tokens: FloatLike = 0.0,
    depth_time: FloatLike = 0.0,
    growth: FloatLike = 0.0,
    growth_time: FloatLike = 0.0,
    vector_bytes: FloatLike = 0.0,
    vector_efficiency: FloatLike = 0.0,
) -> FloatArray:
    """Return the time of one operator: a roofline above a fixed time that grows with depth and splitting.

    Parameters
    ----------
    memory_bandwidth
        As in `nomenclature`.
    flops : float or array
        Operations that the result needs [FLOP].
    bytes_moved : float or array
        Bytes read from and written to device memory [B].
    tokens : float or array
        Rows of the product, T: tokens, tokens of one expert, new tokens of a prompt [1].
    depth : float or array
        Elements each output sums over, k; 0 where none is meant [elements].
    peak : float or array
        Peak rate at the operands' precision, F [FLOP/s].
    compute_efficiency : float or array
        Share of the peak that large calls reach, e_c in (0, 1] [1].
    memory_efficiency : float or array
        Share of the memory bandwidth reached, e_m in (0, 1] [1].
    launch : float or array
        Fixed time, t_0 [s].
    padding : float or array
        Operations done over those needed, p: rows filled up to tiles (`padded_share`), processors that the
        last wave leaves idle (`filled_waves`) [1].
    half_saturation_tokens : float or array
        Rows at which half of that share is reached, T_half [1].
    depth_time : float or array
        Fixed time per element of depth, t_k [s/element].
    growth : float or array
        Growth of the fixed time where few pieces of work share a device, g (`few_items_growth`) [1].
    growth_time : float or array
        Time of that growth, t_g [s].
    vector_bytes : float or array
        Bytes among `bytes_moved` of queries and results, V [B].
    vector_efficiency : float or array
        Share of the memory bandwidth at which these pass by themselves, e_v; 0 where they pass with the rest
        [1].

    Returns
    -------
    float or array
        Time; 0 where there is nothing to compute or move [s].

    Notes
    -----
    t = t_0 + t_k * k + t_g * g + V / (W * e_v)
        + max(flops * p * (T + T_half) / (T * F * e_c), (bytes - V) / (W * e_m)); V = 0 where e_v is 0

    References
    ----------
    This project; the roofline of Williams, Waterman, Patterson (2009, doi 10.1145/1498765.1498785) with the
    fixed times, tiles and serial depth that published kernel timings show.

    Examples
    --------
    >>> t = operator_time(flops=2 * 64 * 24576 * 1536, bytes_moved=41.0e6, tokens=64, depth=1536,
    ...                   peak=1.979e15, memory_bandwidth=3.35e12, compute_efficiency=0.75,
    ...                   memory_efficiency=0.8, launch=3e-6, depth_time=1e-9)
    >>> round(float(t) * 1e6, 2)
    19.83
    """
    needed = np.multiply(flops, padding) if _counts(padding, 1.0) else flops
    if _counts(half_saturation_tokens):
        needed = needed * (1.0 + np.divide(half_saturation_tokens, np.maximum(tokens, LEAST_ROWS)))
    fixed = launch
    if _counts(depth_time):
        fixed = fixed + np.multiply(depth_time, depth)
    if _counts(growth_time):
        fixed = fixed + np.multiply(growth_time, growth)
    streamed = bytes_moved
    if _counts(vector_efficiency):
        apart = np.greater(vector_efficiency, 0)
        vectors = np.where(apart, vector_bytes, 0.0)
        rate = np.multiply(memory_bandwidth, np.where(apart, vector_efficiency, 1.0))
        fixed = fixed + vectors / rate
        streamed = np.subtract(bytes_moved, vectors)
    computing = np.divide(needed, np.multiply(peak, compute_efficiency))
    moving = np.divide(streamed, np.multiply(memory_bandwidth, memory_efficiency))
    time = fixed + np.maximum(computing, moving)
    if np.greater(bytes_moved, 0).all():  # the most common, and quicker to see than to sort out
        return time
    return np.where(np.add(flops, bytes_moved) > 0, time, 0.0)[()]


def _counts(value: FloatLike, neutral: float = 0.0) -> bool:
    """Whether a term is more than its neutral value: arrays always count."""
    return not isinstance(value, float) or value != neutral


def expert_handling_time(
    *,
    pairs: FloatLike,
    tokens_handed: FloatLike,
    width: FloatLike,
    pair_time: FloatLike,
    token_time: FloatLike,
) -> FloatArray:
    """Return the time that an expert module takes to sort, quantise and sum up what it is handed.

    Parameters
    ----------
    pairs : float or array
        Token-expert pairs on the device [1].
    tokens_handed : float or array
        Vectors that the module is handed, N: all tokens of the group behind an all-gather, copies received
        behind an exchange that sends a copy per expert [1].
    width : float or array
        Width of a vector, H [elements].
    pair_time, token_time : float or array
        Time per element of a pair, t_p, and of a vector handed, t_n [s/element].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t = H * (t_p * pairs + t_n * N)

    References
    ----------
    This project: published times of whole expert modules on GB200 (DeepGEMM, CUTLASS, trtllm-gen), which grow
    with the tokens handed to a device even where it works on few of them.

    Examples
    --------
    >>> t = expert_handling_time(pairs=1024, tokens_handed=4096, width=7168, pair_time=1.4e-12,
    ...                          token_time=1.2e-12)
    >>> round(float(t) * 1e6, 2)
    45.51
    """
    per_element = np.multiply(pairs, pair_time) + np.multiply(tokens_handed, token_time)
    return np.multiply(width, per_element)


def gemm_flops(*, m: FloatLike, n: FloatLike, k: FloatLike) -> FloatArray:
    """Return the operations of a matrix product.

    Parameters
    ----------
    m, n, k
        As in `nomenclature`.

    Returns
    -------
    float or array
        Operations [FLOP].

    Notes
    -----
    flops = 2 * m * n * k

    References
    ----------
    Golub, Van Loan, Matrix Computations, section 1.1.

    Examples
    --------
    >>> float(gemm_flops(m=64, n=2112, k=7168))
    1937768448.0
    """
    return np.multiply(m, np.multiply(2.0, n) * k)


def gemm_bytes(
    *,
    m: FloatLike,
    n: FloatLike,
    k: FloatLike,
    input_bytes: FloatLike,
    weight_bytes: FloatLike,
    output_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes a matrix product moves when each operand crosses memory once.

    Parameters
    ----------
    m, n, k
        As in `nomenclature`.
    input_bytes, weight_bytes, output_bytes : float or array
        Bytes of an element of the input, of the weights, of the output [B].

    Returns
    -------
    float or array
        Bytes; the weights whole, however few the rows [B].

    Notes
    -----
    bytes = m * k * b_in + k * n * b_w + m * n * b_out

    References
    ----------
    Williams, Waterman, Patterson (2009), doi 10.1145/1498765.1498785: compulsory traffic.

    Examples
    --------
    >>> float(gemm_bytes(m=64, n=2112, k=7168, input_bytes=1, weight_bytes=1, output_bytes=2))
    15867904.0
    """
    columns, rows = np.multiply(1.0, n), np.multiply(1.0, k)
    return np.multiply(m, rows * input_bytes + columns * output_bytes) + rows * columns * weight_bytes


def experts_touched(
    *,
    experts_per_device: FloatLike,
    top_k: FloatLike,
    routed_experts: FloatLike,
    tokens: FloatLike,
    routing_exponent: FloatLike = 1.0,
) -> FloatArray:
    """Return the experts of a device that at least one token reaches.

    Parameters
    ----------
    experts_per_device
        As in `nomenclature`.
    top_k : float or array
        Distinct experts of a token, k [1].
    routed_experts : float or array
        Experts they are drawn from, E [1].
    tokens : float or array
        Tokens routed together, of all devices, T [1].
    routing_exponent : float or array
        How alike live tokens choose, a in (0, 1]: so many reach as many experts as T^a that choose apart [1].

    Returns
    -------
    float or array
        Expected experts touched, whose weights are read [1].

    Notes
    -----
    touched = e * (1 - (1 - k/E)^(T^a)); a = 1: tokens choose independently and uniformly

    References
    ----------
    This project; the exponent from the times of the experts' products in a live service (FastAFD on GB200).

    Examples
    --------
    >>> round(float(experts_touched(experts_per_device=32, top_k=8, routed_experts=256, tokens=64)), 3)
    27.805
    """
    miss = np.subtract(1.0, np.divide(top_k, routed_experts))
    apart = tokens if np.all(np.equal(routing_exponent, 1.0)) else np.power(tokens, routing_exponent)
    return experts_per_device * (1.0 - np.power(miss, apart))


def grouped_gemm_flops(*, pairs: FloatLike, n: FloatLike, k: FloatLike) -> FloatArray:
    """Return the operations of a product in which each row uses the weights of its group.

    Parameters
    ----------
    pairs
        As in `nomenclature`.
    n, k : float or array
        Columns of the output; elements each output sums over [1].

    Returns
    -------
    float or array
        Operations [FLOP].

    Notes
    -----
    flops = 2 * pairs * n * k

    References
    ----------
    arXiv 2211.15841 (MegaBlocks).

    Examples
    --------
    >>> float(grouped_gemm_flops(pairs=512, n=4096, k=7168))
    30064771072.0
    """
    return np.multiply(pairs, np.multiply(2.0, n) * k)


def grouped_gemm_bytes(
    *,
    pairs: FloatLike,
    n: FloatLike,
    k: FloatLike,
    experts_touched: FloatLike,
    input_bytes: FloatLike,
    weight_bytes: FloatLike,
    output_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes of a product in which each row uses the weights of its group.

    Parameters
    ----------
    pairs
        As in `nomenclature`.
    n, k : float or array
        Columns of the output; elements each output sums over [1].
    experts_touched : float or array
        Groups with at least one row, whose weights are read [1].
    input_bytes, weight_bytes, output_bytes : float or array
        Bytes of an element of the input, of the weights, of the output [B].

    Returns
    -------
    float or array
        Bytes [B].

    Notes
    -----
    bytes = pairs * (k * b_in + n * b_out) + touched * k * n * b_w

    References
    ----------
    arXiv 2211.15841 (MegaBlocks); compulsory traffic.

    Examples
    --------
    >>> float(grouped_gemm_bytes(pairs=512, n=4096, k=7168, experts_touched=4, input_bytes=1, weight_bytes=1,
    ...                          output_bytes=2))
    125304832.0
    """
    rows = np.multiply(pairs, np.multiply(k, input_bytes) + np.multiply(n, output_bytes))
    return rows + np.multiply(experts_touched, np.multiply(1.0, k) * n * weight_bytes)


def expert_handling_bytes(
    *,
    pairs: FloatLike,
    width: FloatLike,
    intermediate: FloatLike,
    expert_matrices: FloatLike,
    dispatch_bytes: FloatLike,
    operand_bytes: FloatLike,
    combine_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes that handling token-expert pairs moves around the expert products.

    Parameters
    ----------
    pairs : float or array
        Token-expert pairs on the device [1].
    width : float or array
        Width of the vector that crosses the network, H [elements].
    intermediate : float or array
        Expert intermediate size, M [elements].
    expert_matrices : float or array
        Matrices of an expert, n_mat: 3 gated, 2 not [1].
    dispatch_bytes, combine_bytes : float or array
        Bytes per element of what arrives, b_d, and of what goes back, b_c [B].
    operand_bytes : float or array
        Bytes per element of the products' inputs, b_o [B].

    Returns
    -------
    float or array
        Bytes [B].

    Notes
    -----
    bytes = pairs * (H * (b_d + b_o) + M * (2 * (n_mat - 1) + b_o) + H * (2 + b_c)): gather by expert,
    activation and quantisation of a bf16 result, scatter or reduction of a bf16 result

    References
    ----------
    This project; the passes of published expert kernels (permute, activate, quantise, reduce).

    Examples
    --------
    >>> float(expert_handling_bytes(pairs=1, width=7168, intermediate=2048, expert_matrices=3,
    ...                             dispatch_bytes=1, operand_bytes=1, combine_bytes=2))
    53248.0
    """
    outer = np.multiply(width, np.add(dispatch_bytes, operand_bytes) + np.add(2.0, combine_bytes))
    inner = np.multiply(intermediate, np.subtract(expert_matrices, 1.0) * 2.0 + operand_bytes)
    return np.multiply(pairs, outer + inner)
