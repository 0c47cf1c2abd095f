"""What uneven load of the FFN side costs: with expert parallelism, and with whole attention nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike

_NOISE = 1e-12
"""Relative distance to a whole number below which a number differs from it by rounding alone."""


def alpha_continuous(*, sigma: FloatLike, attention_over_ffn: FloatLike) -> FloatArray:
    """Return the throughput that imbalance leaves where the attention side adapts in any small step.

    Parameters
    ----------
    sigma : float or array
        Balance of the FFN side, mean load over maximum load, in (0, 1] [1].
    attention_over_ffn : float or array
        Attention over FFN, lambda: times t_a/t_f of a device with expert parallelism (which adapts its
        batch), nodes N_A/N_F with disaggregation (which adapts its attention nodes) [1].

    Returns
    -------
    float or array
        Throughput per device over that of a balanced load, alpha, in (0, 1] [1].

    Notes
    -----
    alpha = (lambda + 1) / (lambda + 1/sigma)

    References
    ----------
    arXiv 2602.09721, load imbalance of experts.

    Examples
    --------
    >>> round(alpha_continuous(sigma=0.9, attention_over_ffn=3), 4)
    0.973
    """
    return (attention_over_ffn + 1.0) / (attention_over_ffn + 1.0 / sigma)


def attention_nodes_floor(*, sigma: FloatLike, attention_nodes: IntLike) -> FloatArray:
    """Return the most whole attention nodes that an imbalanced FFN side keeps up with.

    Parameters
    ----------
    sigma, attention_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Attention nodes, possibly none [1].

    Notes
    -----
    n = floor(sigma * N_A), products within 1e-12 of a whole number being that number

    References
    ----------
    arXiv 2602.09721, load imbalance of experts.

    Examples
    --------
    >>> float(attention_nodes_floor(sigma=0.95, attention_nodes=6))
    5.0
    """
    return np.floor(_needed(sigma, attention_nodes))[()]


def attention_nodes_ceil(*, sigma: FloatLike, attention_nodes: IntLike) -> FloatArray:
    """Return the fewest whole attention nodes that keep an imbalanced FFN side busy.

    Parameters
    ----------
    sigma, attention_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Attention nodes, at least one [1].

    Notes
    -----
    n = ceil(sigma * N_A), products within 1e-12 of a whole number being that number

    References
    ----------
    arXiv 2602.09721, load imbalance of experts.

    Examples
    --------
    >>> float(attention_nodes_ceil(sigma=0.9, attention_nodes=10))
    9.0
    """
    return np.ceil(_needed(sigma, attention_nodes))[()]


def _needed(sigma: FloatLike, attention_nodes: IntLike) -> FloatArray:
    """Return sigma * N_A, free of the noise that keeps 0.9 * 10 from being 9."""
    product = np.multiply(sigma, attention_nodes)
    whole = np.rint(product)
    return np.where(np.abs(product - whole) <= _NOISE * product, whole, product)


def alpha_afd_with(
    *, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike, nodes_run: FloatLike
) -> FloatArray:
    """Return the throughput that imbalance leaves with disaggregation, some attention nodes running.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.
    nodes_run : float or array
        Attention nodes that run, n; the others are given back [1].

    Returns
    -------
    float or array
        Throughput per node over that of a balanced load, alpha, in [0, 1] [1].

    Notes
    -----
    alpha = min(n, sigma * N_A) / (n + N_F) * (N_A + N_F) / N_A: attention supplies n nodes' worth of
    tokens, the FFN side takes sigma * N_A

    References
    ----------
    This project; its maximum over n, real or whole, is that of arXiv 2602.09721.

    Examples
    --------
    >>> round(float(alpha_afd_with(sigma=0.8, attention_nodes=3, ffn_nodes=1, nodes_run=3)), 4)
    0.8
    """
    served = np.minimum(nodes_run, np.multiply(sigma, attention_nodes))
    # Both products hold the same factors where all nodes run, so that alpha is exactly 1 for sigma 1.
    return (served * np.add(attention_nodes, ffn_nodes) / (attention_nodes * np.add(nodes_run, ffn_nodes)))[
        ()
    ]


def alpha_afd_floor(*, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike) -> FloatArray:
    """Return the throughput that imbalance leaves where the FFN side is to wait for attention.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Throughput per node over that of a balanced load, alpha; 0 where no node is left [1].

    Notes
    -----
    alpha = (lambda + 1)/lambda * n / (n + N_F), n = floor(sigma * N_A), lambda = N_A/N_F

    References
    ----------
    arXiv 2602.09721, load imbalance of experts; its formulas of node rounding corrected by this project.

    Examples
    --------
    >>> round(float(alpha_afd_floor(sigma=0.8, attention_nodes=3, ffn_nodes=1)), 4)
    0.8889
    """
    nodes = attention_nodes_floor(sigma=sigma, attention_nodes=attention_nodes)
    return alpha_afd_with(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes, nodes_run=nodes)


def alpha_afd_ceil(*, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike) -> FloatArray:
    """Return the throughput that imbalance leaves where attention is to wait for the FFN side.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Throughput per node over that of a balanced load, alpha [1].

    Notes
    -----
    alpha = (lambda + 1)/lambda * sigma*N_A / (n + N_F), n = ceil(sigma * N_A), lambda = N_A/N_F

    References
    ----------
    arXiv 2602.09721, load imbalance of experts; its formulas of node rounding corrected by this project.

    Examples
    --------
    >>> round(float(alpha_afd_ceil(sigma=0.95, attention_nodes=3, ffn_nodes=1)), 4)
    0.95
    """
    nodes = attention_nodes_ceil(sigma=sigma, attention_nodes=attention_nodes)
    return alpha_afd_with(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes, nodes_run=nodes)


def alpha_afd(*, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike) -> FloatArray:
    """Return the throughput that imbalance leaves with disaggregation in whole attention nodes.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Throughput per node over that of a balanced load, alpha, in (0, 1] [1].

    Notes
    -----
    alpha = max(alpha_floor, alpha_ceil), the best of all whole node counts

    References
    ----------
    arXiv 2602.09721, load imbalance of experts; its formulas of node rounding corrected by this project.

    Examples
    --------
    >>> [round(float(alpha_afd(sigma=sigma, attention_nodes=6, ffn_nodes=2)), 4) for sigma in (0.95, 0.8)]
    [0.9524, 0.9143]
    """
    below = alpha_afd_floor(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes)
    above = alpha_afd_ceil(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes)
    return np.maximum(below, above)


def attention_nodes_used(*, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike) -> FloatArray:
    """Return the whole attention nodes that disaggregation should run beside an imbalanced FFN side.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Attention nodes; the fewer where two counts serve as well [1].

    Notes
    -----
    n = floor(sigma * N_A) where alpha_floor >= alpha_ceil, else ceil(sigma * N_A)

    References
    ----------
    arXiv 2602.09721, load imbalance of experts; its formulas of node rounding corrected by this project.

    Examples
    --------
    >>> float(attention_nodes_used(sigma=0.8, attention_nodes=3, ffn_nodes=1))
    2.0
    """
    below = alpha_afd_floor(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes)
    above = alpha_afd_ceil(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes)
    fewer: FloatArray = attention_nodes_floor(sigma=sigma, attention_nodes=attention_nodes)
    more: FloatArray = attention_nodes_ceil(sigma=sigma, attention_nodes=attention_nodes)
    return more - (more - fewer) * (below >= above)


def afd_rounding_penalty(*, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike) -> FloatArray:
    """Return the throughput that disaggregation loses to whole attention nodes alone.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.

    Returns
    -------
    float or array
        Share of the throughput of a balanced load, at least 0 [1].

    Notes
    -----
    penalty = alpha(sigma, lambda = N_A/N_F) - alpha_afd, below 1/(sigma * N_A + N_F)

    References
    ----------
    This project; both terms as in arXiv 2602.09721.

    Examples
    --------
    >>> round(float(afd_rounding_penalty(sigma=0.9, attention_nodes=3, ffn_nodes=1)), 4)
    0.073
    """
    smooth = alpha_continuous(sigma=sigma, attention_over_ffn=np.divide(attention_nodes, ffn_nodes))
    whole = alpha_afd(sigma=sigma, attention_nodes=attention_nodes, ffn_nodes=ffn_nodes)
    return np.maximum(smooth - whole, 0.0)


def scale_without_rounding(
    *, sigma: FloatLike, attention_nodes: IntLike, ffn_nodes: IntLike, tolerance: float
) -> FloatArray:
    """Return how many times larger a deployment must be for node rounding not to matter any more.

    Parameters
    ----------
    sigma, attention_nodes, ffn_nodes
        As in `nomenclature`.
    tolerance : float
        Rounding penalty that does not matter, above 0 [1].

    Returns
    -------
    float or array
        Smallest whole factor on both node counts from which on the penalty stays within tolerance [1].

    Notes
    -----
    min c: penalty(j*N_A, j*N_F) <= tolerance for all whole j >= c; c <= 1/(tolerance*(sigma*N_A + N_F)) + 1,
    since rounding up costs less than 1/(j*(sigma*N_A + N_F))

    References
    ----------
    This project.

    Examples
    --------
    >>> float(scale_without_rounding(sigma=0.9, attention_nodes=3, ffn_nodes=1, tolerance=0.01))
    6.0
    """
    served = np.multiply(sigma, attention_nodes) + ffn_nodes
    factors = np.arange(1, int(np.ceil(1.0 / (tolerance * np.min(served)))) + 1)
    balance, attention, ffn = (
        np.expand_dims(np.asarray(value), -1) for value in (sigma, attention_nodes, ffn_nodes)
    )
    penalty = afd_rounding_penalty(
        sigma=balance, attention_nodes=attention * factors, ffn_nodes=ffn * factors
    )
    return (np.where(penalty > tolerance, factors, 0).max(axis=-1) + 1.0)[()]
