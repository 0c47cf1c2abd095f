"""Parameters of layers that mix a sequence, by attention or a state; norms and biases are left out."""

from __future__ import annotations


def gqa_parameters(
    *,
    hidden_size: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_head_dim: int | None = None,
    key_is_value: bool = False,
    shared_kv: bool = False,
    output_gate: bool = False,
) -> int:
    """Count the parameters of one grouped-query attention layer.

    Parameters
    ----------
    hidden_size, output_gate
        As in `nomenclature`.
    heads, kv_heads : int
        Query heads; key and value heads [1].
    head_dim, value_head_dim : int
        Width of a query and key head d; of a value head v, as wide where None [elements].
    key_is_value : bool
        Values come from the key projection [1].
    shared_kv : bool
        Keys and values are those of another layer [1].

    Returns
    -------
    int
        Parameters of the query, key, value, gate and output projections [elements].

    Notes
    -----
    params = H * (heads * (d + v) + kv_heads * (d + v)), less kv_heads*v or kv_heads*(d+v) where shared,
    plus H * heads * v for a gate

    References
    ----------
    arXiv 2305.13245 (grouped-query attention), section 2; arXiv 2405.12981 (cross-layer sharing), section 3.

    Examples
    --------
    >>> gqa_parameters(hidden_size=4096, heads=32, kv_heads=8, head_dim=128)
    41943040
    """
    value = value_head_dim or head_dim
    cached = 0 if shared_kv else kv_heads * (head_dim if key_is_value else head_dim + value)
    gate = heads * value if output_gate else 0
    return hidden_size * (heads * (head_dim + value) + cached + gate)


def mla_parameters(
    *,
    hidden_size: int,
    heads: int,
    head_dim: int,
    value_head_dim: int,
    rope_head_dim: int,
    kv_lora_rank: int,
    q_lora_rank: int | None = None,
    output_gate: bool = False,
) -> int:
    """Count the parameters of one multi-head latent attention layer.

    Parameters
    ----------
    hidden_size, heads, output_gate
        As in `nomenclature`.
    head_dim, value_head_dim, rope_head_dim : int
        Widths of a key head without rotary part, of a value head, of the rotary part [elements].
    kv_lora_rank : int
        Width of the cached latent c [elements].
    q_lora_rank : int, optional
        Rank of the query projection q; a full projection where None [elements].

    Returns
    -------
    int
        Parameters of all projections [elements].

    Notes
    -----
    params = H*q + q*heads*(d+rope) + H*(c+rope) + c*heads*(d+v) + heads*v*H, plus heads*v*H for a gate

    References
    ----------
    arXiv 2405.04434 (DeepSeek-V2), section 2.1 and appendix C.

    Examples
    --------
    >>> mla_parameters(hidden_size=7168, heads=128, head_dim=128, value_head_dim=128, rope_head_dim=64,
    ...                kv_lora_rank=512, q_lora_rank=1536)
    187105280
    """
    wide = heads * (head_dim + rope_head_dim)
    query = hidden_size * wide if q_lora_rank is None else q_lora_rank * (hidden_size + wide)
    latent = hidden_size * (kv_lora_rank + rope_head_dim)
    unfold = kv_lora_rank * heads * (head_dim + value_head_dim)
    return query + latent + unfold + (2 if output_gate else 1) * heads * value_head_dim * hidden_size


def mfa_parameters(*, hidden_size: int, heads: int, kv_heads: int, head_dim: int, q_lora_rank: int) -> int:
    """Count the parameters of one multi-matrix factorization attention layer.

    Parameters
    ----------
    hidden_size, head_dim
        As in `nomenclature`.
    heads, kv_heads : int
        Query heads; key and value heads, which are shared [1].
    q_lora_rank : int
        Rank of the shared query projection q [elements].

    Returns
    -------
    int
        Parameters of all projections [elements].

    Notes
    -----
    params = H*q + q*heads*d + 2*H*kv_heads*d + heads*d*H

    References
    ----------
    arXiv 2507.19427 (Step-3), section 3.

    Examples
    --------
    >>> mfa_parameters(hidden_size=7168, heads=64, kv_heads=1, head_dim=256, q_lora_rank=2048)
    169345024
    """
    query = q_lora_rank * (hidden_size + heads * head_dim)
    return query + 2 * hidden_size * kv_heads * head_dim + heads * head_dim * hidden_size


def index_parameters(
    *, hidden_size: int, index_heads: int, index_head_dim: int, q_lora_rank: int, head_weights: bool = True
) -> int:
    """Count the parameters of the index that picks the tokens of sparse attention.

    Parameters
    ----------
    hidden_size
        As in `nomenclature`.
    index_heads : int
        Index heads [1].
    index_head_dim : int
        Width of an index key [elements].
    q_lora_rank : int
        Rank of the query projection it reads from, or H [elements].
    head_weights : bool
        Scores of the heads are weighted by token; not where an index picks blocks [1].

    Returns
    -------
    int
        Parameters of index query, key and head weights [elements].

    Notes
    -----
    params = q*heads*d + H*d + H*heads

    References
    ----------
    DeepSeek-V3.2-Exp technical report (2025-09), section 2.1.

    Examples
    --------
    >>> index_parameters(hidden_size=7168, index_heads=64, index_head_dim=128, q_lora_rank=1536)
    13959168
    """
    keys = hidden_size * (index_head_dim + (index_heads if head_weights else 0))
    return index_heads * index_head_dim * q_lora_rank + keys


def compressed_parameters(
    *,
    hidden_size: int,
    heads: int,
    head_dim: int,
    q_lora_rank: int,
    o_lora_rank: int,
    o_groups: int,
    compressor_width: int = 0,
) -> int:
    """Count the parameters of one attention layer with a shared head and a compressed history.

    Parameters
    ----------
    hidden_size, heads
        As in `nomenclature`.
    head_dim : int
        Width d of the one head that serves as key and value, and of each query head [elements].
    q_lora_rank : int
        Rank of the query projection q [elements].
    o_lora_rank, o_groups : int
        Rank r of each group of the output projection [elements]; groups g [1].
    compressor_width : int
        Width w of the compressor's projections, 0 without one [elements].

    Returns
    -------
    int
        Parameters of all projections [elements].

    Notes
    -----
    params = H*q + q*heads*d + H*d + heads*d*r + g*r*H + 2*H*w

    References
    ----------
    DeepSeek-V4 technical report (2026-04); read from its published inference code.

    Examples
    --------
    >>> compressed_parameters(hidden_size=4096, heads=64, head_dim=512, q_lora_rank=1024, o_lora_rank=1024,
    ...                       o_groups=8)
    106954752
    """
    query = q_lora_rank * (hidden_size + heads * head_dim)
    output = o_lora_rank * (heads * head_dim + o_groups * hidden_size)
    return query + hidden_size * head_dim + output + 2 * hidden_size * compressor_width


def gated_delta_parameters(
    *, hidden_size: int, heads: int, key_heads: int, head_dim: int, value_head_dim: int, conv_kernel: int
) -> int:
    """Count the parameters of one gated delta network layer.

    Parameters
    ----------
    hidden_size, conv_kernel
        As in `nomenclature`.
    heads, key_heads : int
        Value heads; query and key heads [1].
    head_dim, value_head_dim : int
        Width of a query and key head d; of a value head v [elements].

    Returns
    -------
    int
        Parameters of projections, gates and convolution [elements].

    Notes
    -----
    params = H*(2*key_heads*d + 3*heads*v + 2*heads) + c*(2*key_heads*d + heads*v)

    References
    ----------
    arXiv 2412.06464 (gated delta networks), section 3.

    Examples
    --------
    >>> gated_delta_parameters(hidden_size=2048, heads=32, key_heads=16, head_dim=128, value_head_dim=128,
    ...                        conv_kernel=4)
    33718272
    """
    keys, values = 2 * key_heads * head_dim, heads * value_head_dim
    return hidden_size * (keys + 3 * values + 2 * heads) + conv_kernel * (keys + values)


def kda_parameters(
    *, hidden_size: int, heads: int, head_dim: int, conv_kernel: int, gate_rank: int | None = None
) -> int:
    """Count the parameters of one Kimi delta attention layer.

    Parameters
    ----------
    hidden_size
        As in `nomenclature`.
    heads : int
        Heads [1].
    head_dim : int
        Width of a query, key and value head d, and rank of the decay gate [elements].
    conv_kernel : int
        Taps of the short convolutions c [1].
    gate_rank : int, optional
        Rank of the output gate; full where None [elements].

    Returns
    -------
    int
        Parameters of projections, gates and convolutions [elements].

    Notes
    -----
    params = 4*H*heads*d + d*(H + heads*d) + H*heads + gate + 3*c*heads*d, gate = H*heads*d where full

    References
    ----------
    arXiv 2510.26692 (Kimi Linear), section 3.

    Examples
    --------
    >>> kda_parameters(hidden_size=7168, heads=96, head_dim=128, conv_kernel=4)
    443727872
    """
    wide = heads * head_dim
    gate = hidden_size * wide if gate_rank is None else gate_rank * (hidden_size + wide)
    decay = head_dim * (hidden_size + wide)
    return 4 * hidden_size * wide + decay + hidden_size * heads + gate + 3 * conv_kernel * wide


def lightning_parameters(*, hidden_size: int, heads: int, head_dim: int) -> int:
    """Count the parameters of one lightning attention layer.

    Parameters
    ----------
    hidden_size, head_dim
        As in `nomenclature`.
    heads : int
        Heads [1].

    Returns
    -------
    int
        Parameters of the query, key, value, gate and output projections [elements].

    Notes
    -----
    params = 5 * H * heads * d

    References
    ----------
    arXiv 2501.08313 (MiniMax-01), section 2.2.

    Examples
    --------
    >>> lightning_parameters(hidden_size=6144, heads=64, head_dim=128)
    251658240
    """
    return 5 * hidden_size * heads * head_dim


def mamba1_parameters(
    *, hidden_size: int, inner_width: int, state_width: int, conv_kernel: int, dt_rank: int
) -> int:
    """Count the parameters of one Mamba layer.

    Parameters
    ----------
    hidden_size, state_width, conv_kernel
        As in `nomenclature`.
    inner_width : int
        Channels D [elements].
    dt_rank : int
        Rank of the step-size projection R [elements].

    Returns
    -------
    int
        Parameters of projections, convolution and state matrix [elements].

    Notes
    -----
    params = 3*H*D + D*(R + 2*N) + R*D + D*N + c*D

    References
    ----------
    arXiv 2312.00752 (Mamba), section 3.

    Examples
    --------
    >>> mamba1_parameters(hidden_size=4096, inner_width=8192, state_width=16, conv_kernel=4, dt_rank=256)
    105283584
    """
    return inner_width * (3 * hidden_size + 2 * dt_rank + 3 * state_width + conv_kernel)


def mamba2_parameters(
    *, hidden_size: int, heads: int, head_dim: int, state_width: int, state_groups: int, conv_kernel: int
) -> int:
    """Count the parameters of one Mamba-2 layer.

    Parameters
    ----------
    hidden_size, state_width, conv_kernel
        As in `nomenclature`.
    heads : int
        Heads [1].
    head_dim : int
        Channels of a head P [elements].
    state_groups : int
        Groups G that share input and output matrices [1].

    Returns
    -------
    int
        Parameters of projections and convolution [elements].

    Notes
    -----
    params = H*(3*heads*P + 2*G*N + heads) + c*(heads*P + 2*G*N)

    References
    ----------
    arXiv 2405.21060 (Mamba-2), section 7.

    Examples
    --------
    >>> mamba2_parameters(hidden_size=2688, heads=64, head_dim=64, state_width=128, state_groups=8,
    ...                   conv_kernel=4)
    38731776
    """
    inner, shared = heads * head_dim, 2 * state_groups * state_width
    return hidden_size * (3 * inner + shared + heads) + conv_kernel * (inner + shared)


def state_flops(*, elements: int, passes: int) -> float:
    """Count the FLOPs of one step of a layer with a constant state.

    Parameters
    ----------
    elements : int
        Elements of the state matrix of one layer [elements].
    passes : int
        Multiply or add passes over it: decay 1, rank-one update 2, read-out 2, delta-rule read 2 [1].

    Returns
    -------
    float
        FLOPs [FLOP]; exponentials and gates are left out.

    Notes
    -----
    flops = passes * elements

    References
    ----------
    arXiv 2412.06464 (gated delta networks), equation 10; arXiv 2405.21060 (Mamba-2), equation 2.

    Examples
    --------
    >>> state_flops(elements=32 * 128 * 128, passes=7)
    3670016
    """
    return passes * elements
