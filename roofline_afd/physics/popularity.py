"""How popular the experts of a layer are, and how many of some tokens choose each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray

TOKENS_PER_ORDER = 32
"""Tokens that share a random order of the experts; see `_draw`."""
_BLOCK = 1 << 20
"""Numbers of one random block, so that large batches take little memory."""


def zipf_popularity(*, experts: int, exponent: float) -> NDArray[np.float64]:
    """Return expert popularity that falls with rank by a power law; uniform for exponent 0.

    Parameters
    ----------
    experts
        As in `nomenclature`.
    exponent : float
        Exponent s; 0 makes all experts equal [1].

    Returns
    -------
    array
        Share of the routed tokens each expert asks for, by rank, p_i; their sum is 1 [1].

    Notes
    -----
    p_i = i^-s / sum over j of j^-s, i = 1 ... E

    References
    ----------
    This project; Zipf's law over a finite number of ranks.

    Examples
    --------
    >>> zipf_popularity(experts=3, exponent=1).round(4).tolist()
    [0.5455, 0.2727, 0.1818]
    """
    weights = np.power(np.arange(1.0, experts + 1), -exponent)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def inclusion_probability(*, popularity: FloatArray, top_k: int) -> FloatArray:
    """Return the probability that a token chooses each expert, its choices being distinct.

    Parameters
    ----------
    popularity : array
        Popularity of each expert, p, along the last axis; any scale [1].
    top_k : int
        Distinct experts of a token, k, at most as many as there are [1].

    Returns
    -------
    array
        Probability, pi; their sum is k, or the number of experts with any popularity where that is less [1].

    Notes
    -----
    pi_i = min(1, c * p_i), c such that their sum is k: no expert is chosen twice by a token

    References
    ----------
    This project; probabilities proportional to size, capped at 1.

    Examples
    --------
    >>> inclusion_probability(popularity=[4, 1, 1], top_k=2).tolist()
    [1.0, 0.5, 0.5]
    """
    given = np.asarray(popularity, dtype=float)
    ordered = np.flip(np.sort(given, axis=-1), axis=-1)
    rest = np.flip(np.cumsum(np.flip(ordered, axis=-1), axis=-1), axis=-1)[..., :top_k]
    left = top_k - np.arange(top_k)
    # The first rank whose expert is not capped, once all before it are; the last one always fits.
    first = np.argmax(ordered[..., :top_k] * left <= rest, axis=-1)[..., None]
    shared = np.take_along_axis(rest, first, axis=-1)
    unlimited = np.where(given > 0, np.inf, 0.0)
    with np.errstate(over="ignore"):  # popularities may be as far apart as floats allow
        shares = np.divide(given, shared, out=unlimited, where=shared > 0)
        return np.minimum(shares * left[first], 1.0)


def sampled_expert_loads(*, inclusion: FloatArray, tokens: int, batches: int, seed: int) -> FloatArray:
    """Return the load of each expert in random batches of tokens.

    Parameters
    ----------
    inclusion, batches, seed
        As in `nomenclature`.
    tokens : int
        Tokens of a batch, T [1].

    Returns
    -------
    array
        Tokens of each expert, a row per batch [1].

    Notes
    -----
    sum over T independent tokens of their choice: k = sum of pi distinct experts, expert i with probability
    pi_i

    References
    ----------
    This project; systematic sampling in random order, which keeps the probabilities exactly.

    Examples
    --------
    >>> loads = sampled_expert_loads(inclusion=[1.0, 0.5, 0.5], tokens=10, batches=2, seed=1)
    >>> loads[:, 0].tolist(), loads.sum(axis=1).tolist()
    ([10, 10], [20, 20])
    """
    generator = np.random.default_rng(seed)
    given = np.asarray(inclusion, dtype=float)
    return np.array([_draw(generator, given, tokens) for _ in range(batches)])


def _draw(generator: np.random.Generator, inclusion: NDArray[np.float64], tokens: int) -> NDArray[np.int64]:
    """Return how many of some tokens choose each expert.

    Experts lie in random order on a line, each as long as its probability; a token takes those under points
    one apart, from a random first. So its experts are distinct and their probabilities exact, which sampling
    by perturbed logarithms cannot promise. Tokens that share an order are still uncorrelated, since the
    expected load of a token is the same in every order.
    """
    experts, chosen = inclusion.size, round(float(inclusion.sum()))
    loads = np.zeros(experts, dtype=np.int64)
    block = TOKENS_PER_ORDER * max(1, _BLOCK // max(experts, TOKENS_PER_ORDER * chosen))
    for start in range(0, tokens, block):
        count = min(block, tokens - start)
        orders = -(-count // TOKENS_PER_ORDER)
        order = generator.random((orders, experts)).argsort(axis=-1)
        ends = np.cumsum(inclusion[order], axis=-1)
        ends[:, -1] = chosen
        line = (ends + chosen * np.arange(orders)[:, None]).ravel()
        first = generator.random(count) + chosen * (np.arange(count) // TOKENS_PER_ORDER)
        hit = np.searchsorted(line, (first[:, None] + np.arange(chosen)).ravel(), side="right")
        loads += np.bincount(order.ravel()[np.minimum(hit, line.size - 1)], minlength=experts)
    return loads
