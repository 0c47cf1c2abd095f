"""Core attention of a layer, over a cache or a constant state: operations and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def decode_attention_flops(
    *,
    sequences: FloatLike,
    query_tokens: FloatLike,
    heads: FloatLike,
    query_width: FloatLike,
    value_width: FloatLike,
    entries: FloatLike,
) -> FloatArray:
    """Return the operations of core attention in one decode step of one layer.

    Parameters
    ----------
    sequences, heads
        As in `nomenclature`.
    query_tokens : float or array
        New tokens of each sequence, q: 1 and the drafted ones [1].
    query_width, value_width : float or array
        Width a head reads of a cached key and of a cached value [elements]: head_dim each; in absorbed latent
        attention kv_lora + rope and kv_lora.
    entries : float or array
        Cached entries one new token attends to: all, those of a window, or those an index picks [1].

    Returns
    -------
    float or array
        Operations of scores and weighted sum; the softmax is left out [FLOP].

    Notes
    -----
    flops = 2 * sequences * q * heads * (query_width + value_width) * entries

    References
    ----------
    arXiv 2405.04434 (DeepSeek-V2), section 2.1.2, for the absorbed form.

    Examples
    --------
    DeepSeek-V3, one sequence of 4096 tokens:

    >>> float(decode_attention_flops(sequences=1, query_tokens=1, heads=128, query_width=576, value_width=512,
    ...                              entries=4096))
    1140850688.0
    """
    rows = np.multiply(query_tokens, heads)
    per_entry = rows * np.add(query_width, value_width)
    return np.multiply(sequences, np.multiply(per_entry * 2.0, entries))


def decode_attention_bytes(
    *,
    sequences: FloatLike,
    query_tokens: FloatLike,
    entries: FloatLike,
    kept_entries: FloatLike,
    entry_elements: FloatLike,
    cache_bytes: FloatLike,
    query_elements: FloatLike,
    output_elements: FloatLike,
    activation_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes core attention moves in one decode step of one layer.

    Parameters
    ----------
    sequences, cache_bytes, query_elements, output_elements, activation_bytes
        As in `nomenclature`.
    query_tokens : float or array
        New tokens of each sequence, q [1].
    entries, kept_entries : float or array
        Cached entries one new token attends to; those the layer holds of a sequence [1].
    entry_elements : float or array
        Elements of a cached entry: keys and values of all cached heads, or the latent [elements].

    Returns
    -------
    float or array
        Bytes: the cache read once for all new tokens of a sequence, the new entries written [B].

    Notes
    -----
    bytes = sequences * (b_kv * (min(q * entries, kept) + q) * entry + b_a * q * (query + output))

    References
    ----------
    arXiv 2405.04434 (DeepSeek-V2), table 1, elements cached per token by mechanism.

    Examples
    --------
    DeepSeek-V3, one sequence of 4096 tokens in bf16:

    >>> float(decode_attention_bytes(sequences=1, query_tokens=1, entries=4096, kept_entries=4096,
    ...                              entry_elements=576, cache_bytes=2, query_elements=73728,
    ...                              output_elements=65536, activation_bytes=2))
    4998272.0
    """
    read = np.minimum(np.multiply(query_tokens, entries), kept_entries) + query_tokens
    cached = np.multiply(read, entry_elements)
    vectors = np.multiply(query_tokens, np.add(query_elements, output_elements) * activation_bytes)
    return np.multiply(sequences, cached * cache_bytes + vectors)


def causal_entries(*, new_tokens: FloatLike, context: FloatLike, most: FloatLike = np.inf) -> FloatArray:
    """Return the entries that all new tokens of a sequence attend to, each to those before it and itself.

    Parameters
    ----------
    new_tokens : float or array
        Tokens of the sequence that are computed together, n [1].
    context : float or array
        Tokens of it that are cached already, c [1].
    most : float or array
        Entries one token attends to at most: a window, or what an index picks [1].

    Returns
    -------
    float or array
        Entries, summed over the new tokens [1].

    Notes
    -----
    sum over i = 1..n of min(c + i, most) = S(c + n) - S(c), S(x) = y*(y+1)/2 + (x - y)*most,
    y = min(x, most); n*(n+1)/2 where nothing is cached and nothing bounds it

    References
    ----------
    arXiv 2205.14135 (FlashAttention), causal masks; arithmetic series.

    Examples
    --------
    >>> float(causal_entries(new_tokens=4, context=0)), float(causal_entries(new_tokens=4, context=2, most=3))
    (10.0, 12.0)
    """
    bound = np.minimum(most, 1e18)  # keeps infinity out of the products; sums below stay exact

    def total(tokens: FloatArray) -> FloatArray:
        inside = np.minimum(tokens, bound)
        return inside * (inside + 1.0) / 2.0 + (tokens - inside) * bound

    return total(np.add(context, new_tokens)) - total(np.multiply(1.0, context))


def chunk_entries(*, context: FloatLike, chunk_tokens: FloatLike) -> FloatArray:
    """Return the entries of its own chunk that a token attends to, and a layer keeps, at a mean context.

    Parameters
    ----------
    chunk_tokens
        As in `nomenclature`.
    context : float or array
        Mean tokens cached of a sequence, c [1].

    Returns
    -------
    float or array
        Entries: all of the first chunk; beyond it the mean over the positions within a chunk [1].

    Notes
    -----
    entries = c where c <= chunk, else chunk / 2: the mean of c mod chunk over a chunk of positions, since
    sequences of a mean context stand anywhere in theirs

    References
    ----------
    huggingface/transformers, src/transformers/models/llama4 (chunked attention mask); vllm-project/vllm,
    vllm/v1/core/single_type_kv_cache_manager.py: blocks of earlier chunks are freed.

    Examples
    --------
    >>> chunk_entries(context=[4096, 131072], chunk_tokens=8192).tolist()
    [4096.0, 4096.0]
    """
    return np.where(np.less_equal(context, chunk_tokens), context, np.divide(chunk_tokens, 2.0))[()]


def chunked_causal_entries(
    *, new_tokens: FloatLike, context: FloatLike, chunk_tokens: FloatLike
) -> FloatArray:
    """Return the entries that all new tokens of a sequence attend to, each to those of its own chunk.

    Parameters
    ----------
    chunk_tokens
        As in `nomenclature`.
    new_tokens : float or array
        Tokens of the sequence that are computed together, n [1].
    context : float or array
        Tokens of it that are cached already, c [1].

    Returns
    -------
    float or array
        Entries, each token's own among them, summed over the new tokens [1].

    Notes
    -----
    sum over i = 1..n of ((c + i - 1) mod chunk) + 1 = S(c + n) - S(c),
    S(x) = w * chunk*(chunk+1)/2 + r*(r+1)/2, w = floor(x / chunk), r = x - w*chunk

    References
    ----------
    huggingface/transformers, src/transformers/models/llama4 (chunked attention mask); arithmetic series.

    Examples
    --------
    >>> float(chunked_causal_entries(new_tokens=4, context=2, chunk_tokens=3))
    9.0
    """

    def total(tokens: FloatLike) -> FloatArray:
        whole = np.floor_divide(tokens, chunk_tokens)
        rest = tokens - whole * chunk_tokens
        return (
            whole * (np.multiply(chunk_tokens, np.add(chunk_tokens, 1.0)) / 2.0) + rest * (rest + 1.0) / 2.0
        )

    return total(np.add(context, new_tokens)) - total(np.multiply(1.0, context))


def prefill_attention_flops(
    *,
    sequences: FloatLike,
    heads: FloatLike,
    query_width: FloatLike,
    value_width: FloatLike,
    attended: FloatLike,
) -> FloatArray:
    """Return the operations of core attention over the new tokens of a prompt in one layer.

    Parameters
    ----------
    heads
        As in `nomenclature`.
    sequences : float or array
        Prompts on the device [1].
    query_width, value_width : float or array
        Width a head reads of a key and of a value [elements].
    attended : float or array
        Entries attended to, summed over the new tokens of a prompt (`causal_entries`) [1].

    Returns
    -------
    float or array
        Operations; only the causal half is computed [FLOP].

    Notes
    -----
    flops = 2 * sequences * heads * (query_width + value_width) * attended

    References
    ----------
    arXiv 2307.08691 (FlashAttention-2), section 4.1: causal attention counts half.

    Examples
    --------
    >>> float(prefill_attention_flops(sequences=1, heads=1, query_width=128, value_width=128, attended=10))
    5120.0
    """
    core = np.multiply(np.multiply(heads, np.add(query_width, value_width)), attended)
    return np.multiply(2.0, sequences) * core


def prefill_attention_bytes(
    *,
    sequences: FloatLike,
    new_tokens: FloatLike,
    kept_entries: FloatLike,
    entry_elements: FloatLike,
    cache_bytes: FloatLike,
    query_elements: FloatLike,
    output_elements: FloatLike,
    activation_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes core attention moves over the new tokens of a prompt in one layer.

    Parameters
    ----------
    cache_bytes, query_elements, output_elements, activation_bytes
        As in `nomenclature`.
    sequences : float or array
        Prompts on the device [1].
    new_tokens : float or array
        Tokens of a prompt that are computed together, n [1].
    kept_entries : float or array
        Entries read of a prompt, the new ones among them [1].
    entry_elements : float or array
        Elements of an entry: keys and values of all cached heads, or the latent [elements].

    Returns
    -------
    float or array
        Bytes, everything once; reads repeated by tile are left to the cache [B].

    Notes
    -----
    bytes = sequences * (b_kv * kept * entry + b_a * n * (query + output))

    References
    ----------
    arXiv 2205.14135 (FlashAttention): scores stay on the chip, so only operands and result cross memory.

    Examples
    --------
    >>> float(prefill_attention_bytes(sequences=1, new_tokens=10, kept_entries=10, entry_elements=256,
    ...                               cache_bytes=2, query_elements=128, output_elements=128,
    ...                               activation_bytes=2))
    10240.0
    """
    cached = np.multiply(kept_entries, entry_elements)
    vectors = np.multiply(new_tokens, np.add(query_elements, output_elements) * activation_bytes)
    return np.multiply(sequences, cached * cache_bytes + vectors)


def state_bytes(
    *,
    sequences: FloatLike,
    query_tokens: FloatLike,
    state_elements: FloatLike,
    state_bytes: FloatLike,
    vector_elements: FloatLike,
    activation_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes a layer with a constant state moves in one step.

    Parameters
    ----------
    sequences
        As in `nomenclature`.
    query_tokens : float or array
        New tokens of each sequence, q: the state crosses memory once for all of them [1].
    state_elements : float or array
        Elements of state of one sequence: matrix and convolution [elements].
    state_bytes : float or array
        Bytes of a state element, b_s [B].
    vector_elements : float or array
        Elements of inputs and result of one token [elements].
    activation_bytes : float or array
        Bytes of an element of those, b_a [B].

    Returns
    -------
    float or array
        Bytes: the state read and written, whatever the context [B].

    Notes
    -----
    bytes = sequences * (2 * state * b_s + q * vectors * b_a)

    References
    ----------
    arXiv 2405.21060 (Mamba-2): recurrent form, state of constant size.

    Examples
    --------
    >>> float(state_bytes(sequences=1, query_tokens=1, state_elements=1000, state_bytes=4,
    ...                   vector_elements=100, activation_bytes=2))
    8200.0
    """
    vectors = np.multiply(query_tokens, np.multiply(vector_elements, activation_bytes))
    return np.multiply(sequences, np.multiply(2.0, state_elements) * state_bytes + vectors)


def convolution_bytes(
    *,
    sequences: FloatLike,
    tokens: FloatLike,
    channels: FloatLike,
    kept_elements: FloatLike,
    weights: FloatLike,
    weight_bytes: FloatLike,
    activation_bytes: FloatLike,
) -> FloatArray:
    """Return the bytes the short convolution of a layer with a constant state moves in one step.

    Parameters
    ----------
    sequences
        As in `nomenclature`.
    tokens : float or array
        New tokens of all sequences, T [1].
    channels : float or array
        Channels convolved, each on its own, c [elements].
    kept_elements : float or array
        Last inputs kept of a sequence, over all channels [elements].
    weights : float or array
        Taps of all channels [elements].
    weight_bytes : float or array
        Bytes of a tap, b_w [B].
    activation_bytes : float or array
        Bytes of an element of inputs, kept or new, and of results, b_a [B].

    Returns
    -------
    float or array
        Bytes: inputs kept read and written, new ones read, results written, taps once [B].

    Notes
    -----
    bytes = b_a * (2 * sequences * kept + 2 * T * c) + b_w * weights

    References
    ----------
    arXiv 2312.00752 (Mamba), section 3.4: the convolution before the state.

    Examples
    --------
    Qwen3-Next-80B-A3B, 8,192 channels and three kept inputs, one token without the taps:

    >>> float(convolution_bytes(sequences=1, tokens=1, channels=8192, kept_elements=24576, weights=0,
    ...                         weight_bytes=2, activation_bytes=2))
    131072.0
    """
    moved = np.multiply(2.0, sequences) * kept_elements + np.multiply(2.0, tokens) * channels
    return moved * activation_bytes + np.multiply(weights, weight_bytes)
