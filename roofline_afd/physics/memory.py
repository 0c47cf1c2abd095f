"""Memory of a device besides weights and cache: logits of sampling, buffers of exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

CHANNELS = 128
"""Elements that share a scale in a message of the low-latency kernels."""
ALIGNED = 128
"""Bytes that their signals are rounded up to."""
HEADER_BYTES = 16
"""Bytes before the elements of a vector sent."""


def sampling_bytes(*, sequences: FloatLike, vocabulary: FloatLike, bytes_per_logit: FloatLike) -> FloatArray:
    """Return the memory that sampling a token of each sequence takes at once.

    Parameters
    ----------
    sequences : float or array
        Sequences sampled in one step, S [1].
    vocabulary : float or array
        Words of the vocabulary, V [1].
    bytes_per_logit : float or array
        Bytes held of each logit: values, sorted values, their places, shares, b [B].

    Returns
    -------
    float or array
        Memory [B].

    Notes
    -----
    bytes = S * V * b

    References
    ----------
    This project, counted from the tensors of a sampler with top-k and top-p: vllm-project/vllm.

    Examples
    --------
    >>> float(sampling_bytes(sequences=1024, vocabulary=201088, bytes_per_logit=30)) / 2**30
    5.753173828125
    """
    return np.multiply(np.multiply(sequences, vocabulary), bytes_per_logit)


def low_latency_buffer_bytes(*, tokens: FloatLike, experts: FloatLike, width: FloatLike) -> FloatArray:
    """Return the buffers of a rank that low-latency kernels exchange tokens with experts through.

    Parameters
    ----------
    tokens : float or array
        Most tokens of a rank, T [1].
    experts : float or array
        Experts of a layer on all ranks, redundant ones too, E [1].
    width
        As in `nomenclature`.

    Returns
    -------
    float or array
        Memory [B].

    Notes
    -----
    bytes = 2 * (send + recv + signal), two sets that take turns:
    D = 16 + max(2 H, H + H / 32), C = 2 H + H / 32,
    send = max(T D, E T C), recv = max(E T D, E T C), signal = 4 E rounded up to 128.
    The number of ranks does not enter: each expert has room for all tokens of each rank it may be sent by.

    References
    ----------
    DeepEP V1, csrc/config.hpp, LowLatencyLayout: https://github.com/deepseek-ai/DeepEP

    Examples
    --------
    >>> round(float(low_latency_buffer_bytes(tokens=128, experts=256, width=7168)) / 2**30, 3)
    1.777
    """
    scales = np.multiply(4.0 / CHANNELS, width)
    wide = np.multiply(2.0, width)
    dispatched = HEADER_BYTES + np.maximum(wide, np.add(width, scales))
    combined = wide + scales
    copies = np.multiply(experts, tokens)
    send = np.maximum(np.multiply(tokens, dispatched), copies * combined)
    receive = copies * np.maximum(dispatched, combined)
    signal = np.ceil(np.multiply(4.0, experts) / ALIGNED) * ALIGNED
    return 2.0 * (send + receive + signal)


def one_sided_buffer_bytes(
    *,
    tokens: FloatLike,
    ranks: FloatLike,
    width: FloatLike,
    top_k: FloatLike,
    dispatch_bytes: FloatLike,
    combine_bytes: FloatLike,
) -> FloatArray:
    """Return the buffers of a rank that others write tokens for its experts, and results, into.

    Parameters
    ----------
    tokens : float or array
        Most tokens of a rank, T [1].
    ranks : float or array
        Ranks that exchange, G [1].
    width, top_k
        As in `nomenclature`.
    dispatch_bytes, combine_bytes : float or array
        Bytes per element on the way to the expert with its scales, b_d, and back, b_c [B].

    Returns
    -------
    float or array
        Memory [B].

    Notes
    -----
    bytes = G * T * (H * (b_d + b_c) + 8 k): each rank has room for all tokens of each, with the places and
    shares of their experts. What keeps the counts is left out: some kB.

    References
    ----------
    FlashInfer, flashinfer/comm/trtllm_moe_alltoall.py, moe_a2a_get_workspace_size_per_rank.

    Examples
    --------
    >>> float(one_sided_buffer_bytes(tokens=1024, ranks=32, width=7168, top_k=8, dispatch_bytes=2,
    ...                              combine_bytes=2)) / 1e9
    0.941621248
    """
    payload = np.add(np.multiply(width, np.add(dispatch_bytes, combine_bytes)), np.multiply(8.0, top_k))
    return np.multiply(np.multiply(ranks, tokens), payload)
