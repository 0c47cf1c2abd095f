"""Parameters of a model and bytes it caches, counted from the shape; norms and biases are left out."""

from __future__ import annotations


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


def cache_bytes_per_token(
    *, bytes_per_element: float, cached_elements: float, index_bytes: float = 0.0
) -> float:
    """Return the cache bytes one token adds, while every sliding window still holds it.

    Parameters
    ----------
    bytes_per_element : float
        Bytes of a cached element [B].
    cached_elements : float
        Elements cached for one token over all layers: keys and values, latents [elements].
    index_bytes : float
        Index keys cached for one token over all layers, which have a precision of their own [B].

    Returns
    -------
    float
        Cache bytes of all layers [B].

    Notes
    -----
    bytes = b_kv * sum over layers of (2 * kv_heads * d, or c + rope for a latent) + bytes of index keys

    References
    ----------
    arXiv 2405.04434 (DeepSeek-V2), table 1, cache per token by attention mechanism.

    Examples
    --------
    >>> cache_bytes_per_token(bytes_per_element=2.0, cached_elements=35136)
    70272.0
    """
    return bytes_per_element * cached_elements + index_bytes
