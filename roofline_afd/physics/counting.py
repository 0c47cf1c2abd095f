"""Parameters and FLOPs of model layers, counted from the shape alone; norms and biases are left out."""

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


def ffn_parameters(*, width: int, intermediate: int, matrices: int) -> int:
    """Count the parameters of one feed-forward block, dense or expert.

    Parameters
    ----------
    width : int
        Width of its input and output [elements].
    intermediate : int
        Intermediate size M [elements].
    matrices : int
        Matrices: 3 gated, 2 not [1].

    Returns
    -------
    int
        Parameters [elements].

    Notes
    -----
    params = n_mat * H * M

    References
    ----------
    arXiv 2002.05202 (GLU variants), section 2.

    Examples
    --------
    >>> ffn_parameters(width=7168, intermediate=2048, matrices=3)
    44040192
    """
    return matrices * width * intermediate


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


def hyper_connection_parameters(*, hidden_size: int, streams: int) -> int:
    """Count the parameters that mix parallel residual streams around one sub-layer.

    Parameters
    ----------
    hidden_size : int
        Width of one stream H [elements].
    streams : int
        Streams n [1].

    Returns
    -------
    int
        Parameters [elements]; none for a single stream.

    Notes
    -----
    params = (n*n + 2*n) * n * H

    References
    ----------
    arXiv 2512.24880 (manifold-constrained hyper-connections), section 4.

    Examples
    --------
    >>> hyper_connection_parameters(hidden_size=4096, streams=4)
    393216
    """
    return (streams * streams + 2 * streams) * streams * hidden_size if streams > 1 else 0


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


def total_parameters(
    *,
    attention: int,
    routed_experts: int,
    shared_experts: int,
    dense: int,
    router: int,
    latent: int,
    residual_streams: int,
    embedding: int,
    output_head: int,
) -> int:
    """Count all parameters of a model from those of its parts.

    Parameters
    ----------
    attention : int
        All sequence-mixing layers [elements].
    routed_experts, shared_experts : int
        Routed experts and shared experts of all layers [elements].
    dense : int
        Feed-forward blocks of the layers without experts [elements].
    router, latent : int
        Routers; projections into and out of a narrower expert space [elements].
    residual_streams : int
        Mixing of parallel residual streams [elements].
    embedding, output_head : int
        Embedding and output head, the latter 0 where it is the embedding [elements].

    Returns
    -------
    int
        Parameters; multi-token-prediction layers, norms and biases left out [elements].

    Notes
    -----
    total = attention + routed + shared + dense + router + latent + streams + embedding + head

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 4.2, for what a published total holds.

    Examples
    --------
    >>> total_parameters(attention=2, routed_experts=10, shared_experts=1, dense=1, router=1, latent=0,
    ...                  residual_streams=0, embedding=3, output_head=3)
    21
    """
    experts = routed_experts + shared_experts + router + latent
    return attention + experts + dense + residual_streams + embedding + output_head


def active_parameters(
    *,
    total_params: int,
    routed_experts: int,
    moe_layers: int,
    mean_top_k: float,
    expert_params: int,
    unused_embedding: int,
) -> int:
    """Count the parameters one token uses.

    Parameters
    ----------
    moe_layers
        As in `nomenclature`.
    total_params : int
        All parameters of the model [elements].
    routed_experts : int
        Those of the routed experts of all layers [elements].
    mean_top_k : float
        Routed experts a token reaches in a layer, those that compute nothing left out [1].
    expert_params : int
        Parameters of one routed expert [elements].
    unused_embedding : int
        Input embedding, of which a token reads one row; 0 where it is the output head too [elements].

    Returns
    -------
    int
        Parameters: output head yes, input embedding no [elements].

    Notes
    -----
    active = total - routed + L_moe * k * expert - embedding

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 4.2: activated parameters per token.

    Examples
    --------
    >>> active_parameters(total_params=21, routed_experts=10, moe_layers=1, mean_top_k=2, expert_params=1,
    ...                   unused_embedding=3)
    10
    """
    return total_params - routed_experts + moe_layers * round(mean_top_k * expert_params) - unused_embedding


def cache_bytes_per_token(*, bytes_per_element: float, cached_elements: float) -> float:
    """Return the cache bytes one token adds, while every sliding window still holds it.

    Parameters
    ----------
    bytes_per_element : float
        Bytes of a cached element [B].
    cached_elements : float
        Elements cached for one token over all layers: keys and values, latents, index keys [elements].

    Returns
    -------
    float
        Cache bytes of all layers [B].

    Notes
    -----
    bytes = b_kv * sum over layers of (2 * kv_heads * d, or c + rope for a latent, + index keys)

    References
    ----------
    arXiv 2405.04434 (DeepSeek-V2), table 1, cache per token by attention mechanism.

    Examples
    --------
    >>> cache_bytes_per_token(bytes_per_element=2.0, cached_elements=35136)
    70272.0
    """
    return bytes_per_element * cached_elements
