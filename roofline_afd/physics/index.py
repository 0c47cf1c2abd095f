"""The index of sparse attention, which picks what core attention reads: its cache, its logits, the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

SCALE_BYTES = 4.0
"""Bytes of the fp32 scale that index keys of 8 bits carry."""
SCALE_WIDTH = 128
"""Elements of an index key that share a scale."""
LOGIT_BYTES = 4.0
"""Bytes of a logit, which kernels leave in fp32 for the choice."""


def index_key_bytes(*, index_width: FloatLike, element_bytes: FloatLike) -> FloatArray:
    """Return the bytes of one index key in the cache, whatever the precision of the cache beside it.

    Parameters
    ----------
    index_width : float or array
        Elements of a key; 0 without an index [elements].
    element_bytes : float or array
        Bytes of an element of a key, b_i [B].

    Returns
    -------
    float or array
        Bytes of a key: elements, and below 2 bytes an fp32 scale of every 128 of them [B].

    Notes
    -----
    bytes = b_i * width + (4 * ceil(width / 128) where b_i < 2)

    References
    ----------
    DeepGEMM, paged index logits (github.com/deepseek-ai/DeepGEMM, pull request 200): keys of 128 fp8 elements
    and a scale, 132 B.

    Examples
    --------
    >>> [float(index_key_bytes(index_width=128, element_bytes=each)) for each in (1, 2)]
    [132.0, 256.0]
    """
    scales = np.ceil(np.divide(index_width, SCALE_WIDTH)) * SCALE_BYTES
    return np.multiply(index_width, element_bytes) + np.where(np.less(element_bytes, 2.0), scales, 0.0)


def index_flops(
    *, sequences: FloatLike, index_heads: FloatLike, index_width: FloatLike, scored: FloatLike
) -> FloatArray:
    """Return the operations of the logits that an index gives keys in one layer.

    Parameters
    ----------
    sequences
        As in `nomenclature`.
    index_heads, index_width : float or array
        Heads of the index [1]; the width of its keys [elements].
    scored : float or array
        Keys scored, summed over the new tokens of a sequence: q times those cached, or the causal sum of a
        prompt (`causal_entries`) [1].

    Returns
    -------
    float or array
        Operations; the weighted sum over heads is left out [FLOP].

    Notes
    -----
    flops = 2 * sequences * index_heads * index_width * scored

    References
    ----------
    DeepSeek-V3.2-Exp technical report (2025-09), section 2.1.

    Examples
    --------
    DeepSeek-V3.2, one token against 65,536:

    >>> float(index_flops(sequences=1, index_heads=64, index_width=128, scored=65536))
    1073741824.0
    """
    return np.multiply(np.multiply(2.0, sequences), np.multiply(index_heads, index_width)) * scored


def index_bytes(
    *,
    sequences: FloatLike,
    new_tokens: FloatLike,
    index_entries: FloatLike,
    key_bytes: FloatLike,
    scored: FloatLike,
) -> FloatArray:
    """Return the bytes that scoring index keys moves in one layer.

    Parameters
    ----------
    sequences
        As in `nomenclature`.
    new_tokens : float or array
        New tokens of each sequence, whose keys are written: drafted ones, or those of a prompt, n [1].
    index_entries : float or array
        Keys cached of a sequence, read once for all its new tokens [1].
    key_bytes : float or array
        Bytes of a key, scale included (`index_key_bytes`) [B].
    scored : float or array
        Keys scored, summed over the new tokens of a sequence [1].

    Returns
    -------
    float or array
        Bytes: keys read and written, logits written in fp32 [B].

    Notes
    -----
    bytes = sequences * ((entries + n) * key_bytes + 4 * scored)

    References
    ----------
    DeepGEMM, paged index logits (github.com/deepseek-ai/DeepGEMM, pull request 200).

    Examples
    --------
    >>> float(index_bytes(sequences=1, new_tokens=1, index_entries=999, key_bytes=132, scored=1000))
    136000.0
    """
    keys = np.multiply(np.add(index_entries, new_tokens), key_bytes)
    return np.multiply(sequences, keys + np.multiply(LOGIT_BYTES, scored))


def choice_bytes(*, sequences: FloatLike, scored: FloatLike) -> FloatArray:
    """Return the bytes that choosing the best of what an index scored reads in one layer.

    Parameters
    ----------
    sequences
        As in `nomenclature`.
    scored : float or array
        Logits, summed over the new tokens of a sequence; of blocks, where whole blocks are picked [1].

    Returns
    -------
    float or array
        Bytes: logits in fp32, once; that kernels pass over them more than once is in the share of the memory
        bandwidth they reach [B].

    Notes
    -----
    bytes = 4 * sequences * scored

    References
    ----------
    DeepSeek-V3.2-Exp technical report (2025-09), section 2.1, for the choice.

    Examples
    --------
    >>> float(choice_bytes(sequences=64, scored=65536))
    16777216.0
    """
    return np.multiply(LOGIT_BYTES, sequences) * scored
