"""How much more than the mean the fullest device of an expert group gets: popularity, placement, chance."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.normal import expected_maximum
from roofline_afd.physics.placement import device_loads, greedy_placement, greedy_replicas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike

PLACEMENTS = 512
"""Random placements that a mean is taken over [1]."""
SEED = 20_261_129
HALVINGS = 200
"""More halvings than a float has digits."""


def successive_inclusion(*, popularity: FloatArray, top_k: int) -> NDArray[np.float64]:
    """Return the probability that a token chooses each expert, drawn one after another by popularity.

    Parameters
    ----------
    popularity : array
        Popularity of each expert, p; any scale [1].
    top_k : int
        Distinct experts of a token, k [1].

    Returns
    -------
    array
        Probability, pi; their sum is k, or the number of experts with any popularity where that is less [1].

    Notes
    -----
    pi_i = 1 - exp(-p_i t), t such that their sum is k: experts arrive at random, each at a rate of its
    popularity, and the first k are chosen

    References
    ----------
    Rosen (1997), doi 10.1016/S0378-3758(96)00186-3, sampling in the order of exponential arrivals; the time
    of the k-th arrival is taken at its mean.

    Examples
    --------
    >>> successive_inclusion(popularity=[1, 1, 1, 1], top_k=2).round(6).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    given = np.asarray(popularity, dtype=float)
    if top_k >= np.count_nonzero(given):
        chosen: NDArray[np.float64] = np.where(given > 0, 1.0, 0.0)
        return chosen
    shares = given / np.max(given)
    low, high = 0.0, 1.0
    while np.sum(-np.expm1(-shares * high)) < top_k:
        high *= 2.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if middle in {low, high}:
            break
        low, high = (middle, high) if np.sum(-np.expm1(-shares * middle)) < top_k else (low, middle)
    found: NDArray[np.float64] = -np.expm1(-shares * high)
    return found


def plain_imbalance(*, loads: FloatArray, devices: int, redundant_experts: int) -> float:
    """Return what the fullest device gets over the mean, of experts placed whatever their load.

    Parameters
    ----------
    loads : array
        Load of each expert, l [1].
    devices : int
        Devices that hold experts, n [1].
    redundant_experts : int
        Experts held twice, r, whichever they are [1].

    Returns
    -------
    float
        Mean over random placements, phi, at least 1 [1].

    Notes
    -----
    phi = mean over placements of max over devices of L_d / (sum of l / n); device d holds the slots from
    floor(d (E+r)/n) on, and the two replicas of an expert halve its load

    References
    ----------
    This project.

    Examples
    --------
    >>> plain_imbalance(loads=[1.0] * 8, devices=4, redundant_experts=0)
    1.0
    """
    given = np.asarray(loads, dtype=float)
    placed = given[_orders(given.size)]
    if redundant_experts:
        twice = min(redundant_experts, given.size)
        halves = placed[:, :twice] / 2.0
        placed = np.concatenate([halves, placed[:, twice:], halves], axis=1)
    slots = placed.shape[1]
    starts = np.unique(np.arange(devices) * slots // devices)
    fullest = np.add.reduceat(placed, starts, axis=1).max(axis=1)
    return max(float(np.mean(fullest) * devices / np.sum(given)), 1.0)


@functools.lru_cache(maxsize=16)
def _orders(experts: int) -> NDArray[np.intp]:
    """Return random orders of experts, always the same ones."""
    return np.random.default_rng(SEED).random((PLACEMENTS, experts)).argsort(axis=1)


def levelled_imbalance(*, loads: FloatArray, devices: int, redundant_experts: int) -> float:
    """Return what the fullest device gets over the mean, of experts replicated and placed by their load.

    Parameters
    ----------
    redundant_experts
        As in `nomenclature`.
    loads : array
        Load of each expert, l [1].
    devices : int
        Devices that hold experts, n [1].

    Returns
    -------
    float
        Imbalance, phi, at least 1 [1].

    Notes
    -----
    phi = max over devices of L_d / (sum of l / n) of `greedy_placement`; of one replica a device the largest
    of `greedy_replicas`

    References
    ----------
    Redundant experts placed by load, arXiv 2412.19437 (DeepSeek-V3), section 3.4.

    Examples
    --------
    >>> levelled_imbalance(loads=[6.0, 2, 1, 1], devices=2, redundant_experts=2)
    1.0
    """
    given = np.asarray(loads, dtype=float)
    if given.size + redundant_experts <= devices:
        replicas = greedy_replicas(loads=given, devices=devices, redundant_experts=redundant_experts)
        return max(float(np.max(given / replicas) * devices / np.sum(given)), 1.0)
    placement = greedy_placement(loads=loads, devices=devices, redundant_experts=redundant_experts)
    found = device_loads(loads=loads, placement=placement)
    return max(float(np.max(found) * devices / np.sum(loads)), 1.0)


def chance_imbalance(
    *, devices: FloatLike, tokens: FloatLike, top_k: FloatLike, kappa: FloatLike
) -> FloatArray:
    """Return what the fullest device gets over the mean by chance alone, however even its experts are.

    Parameters
    ----------
    top_k
        As in `nomenclature`.
    devices : float or array
        Devices that hold experts, n [1].
    tokens : float or array
        Tokens of a micro-batch, of all devices together, T [1].
    kappa : float or array
        Expected maximum of n standard normal numbers (`expected_maximum`) [1].

    Returns
    -------
    float or array
        Imbalance, at least 1, and at most n [1].

    Notes
    -----
    phi = min(1 + kappa_n sqrt(n / (T k)), n): pairs of a device are counts of mean T k / n

    References
    ----------
    This project; counts taken as normal.

    Examples
    --------
    >>> round(float(chance_imbalance(devices=64, tokens=512, top_k=8, kappa=2.344)), 3)
    1.293
    """
    pairs = np.maximum(np.multiply(tokens, top_k), np.finfo(float).tiny)
    by_chance = 1.0 + kappa * (np.sqrt(devices) / np.sqrt(pairs))  # no pair at all overflows in one root
    return np.minimum(by_chance, np.maximum(devices, 1.0))


def longest_caches_share(*, groups: FloatLike, sequences: FloatLike, variation: FloatLike) -> FloatArray:
    """Return what the attention group with the longest caches reads over the mean of all groups.

    Parameters
    ----------
    groups : float or array
        Groups of devices that attend to sequences of their own, n [1].
    sequences : float or array
        Sequences of a group in a micro-batch, b [1].
    variation : float or array
        Standard deviation over mean of the tokens cached of a sequence, v [1].

    Returns
    -------
    float or array
        Share, at least 1 [1].

    Notes
    -----
    1 + kappa_n v / sqrt(b), kappa_n the expected maximum of n standard normal numbers: caches of a group are
    sums over b sequences

    References
    ----------
    arXiv 2601.21351, barrier of r workers; sums taken as normal.

    Examples
    --------
    >>> round(float(longest_caches_share(groups=64, sequences=100, variation=0.7)), 3)
    1.164
    """
    kappa = expected_maximum(workers=np.maximum(groups, 1.0))
    return 1.0 + kappa * np.divide(variation, np.sqrt(sequences))


def fullest_pairs_share(
    *, experts_per_device: IntLike, slots: FloatLike, devices: FloatLike, imbalance: FloatLike
) -> FloatArray:
    """Return the share of all token-expert pairs that the fullest device computes.

    Parameters
    ----------
    experts_per_device : int or array
        Experts of the fullest device, e [1].
    slots : float or array
        Experts of all devices, redundant ones with them, E' [1].
    devices : float or array
        Devices that hold experts, n [1].
    imbalance : float or array
        What the fullest device gets over the mean, phi [1].

    Returns
    -------
    float or array
        Share, at most 1 [1].

    Notes
    -----
    max(e / E', min(phi / n, 1))

    References
    ----------
    This project.

    Examples
    --------
    >>> float(fullest_pairs_share(experts_per_device=2, slots=16, devices=8, imbalance=1.5))
    0.1875
    """
    return np.maximum(np.divide(experts_per_device, slots), np.minimum(np.divide(imbalance, devices), 1.0))
