"""Parameters and cache bytes of a model, counted from its shape alone; norms and biases are left out."""

from __future__ import annotations


def gqa_parameters(*, hidden_size: int, heads: int, kv_heads: int, head_dim: int) -> int:
    """Count the parameters of one grouped-query attention layer.

    Parameters
    ----------
    hidden_size : int
        Width of the residual stream [elements].
    heads, kv_heads : int
        Query heads; key and value heads [1].
    head_dim : int
        Width of a head [elements].

    Returns
    -------
    int
        Parameters of the query, key, value and output projections [elements].

    Notes
    -----
    params = H * d * (2 * heads + 2 * kv_heads)

    References
    ----------
    arXiv 2305.13245 (grouped-query attention), section 2.

    Examples
    --------
    >>> gqa_parameters(hidden_size=4096, heads=32, kv_heads=8, head_dim=128)
    41943040
    """
    return hidden_size * head_dim * (2 * heads + 2 * kv_heads)


def mla_parameters(
    *,
    hidden_size: int,
    heads: int,
    head_dim: int,
    value_head_dim: int,
    rope_head_dim: int,
    kv_lora_rank: int,
    q_lora_rank: int | None = None,
) -> int:
    """Count the parameters of one multi-head latent attention layer.

    Parameters
    ----------
    hidden_size : int
        Width of the residual stream H [elements].
    heads : int
        Query heads [1].
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
    params = H*q + q*heads*(d+rope) + H*(c+rope) + c*heads*(d+v) + heads*v*H

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
    return query + latent + unfold + heads * value_head_dim * hidden_size


def mfa_parameters(*, hidden_size: int, heads: int, kv_heads: int, head_dim: int, q_lora_rank: int) -> int:
    """Count the parameters of one multi-matrix factorization attention layer.

    Parameters
    ----------
    hidden_size : int
        Width of the residual stream H [elements].
    heads, kv_heads : int
        Query heads; key and value heads, which are shared [1].
    head_dim : int
        Width of a head d [elements].
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


def index_parameters(*, hidden_size: int, index_heads: int, index_head_dim: int, q_lora_rank: int) -> int:
    """Count the parameters of the index that picks the tokens of sparse attention.

    Parameters
    ----------
    hidden_size : int
        Width of the residual stream H [elements].
    index_heads : int
        Index heads [1].
    index_head_dim : int
        Width of an index key [elements].
    q_lora_rank : int
        Rank of the query projection it reads from [elements].

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
    return index_heads * index_head_dim * q_lora_rank + hidden_size * (index_head_dim + index_heads)


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
