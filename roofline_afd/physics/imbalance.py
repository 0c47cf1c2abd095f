"""Load imbalance: how even the load of devices is, and what unevenness costs two kinds of deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike

_NOISE = 1e-12
"""Relative distance to a whole number below which a number differs from it by rounding alone."""
TOKENS_PER_ORDER = 32
"""Tokens that share a random order of the experts; see `_draw`."""
_BLOCK = 1 << 20
"""Numbers of one random block, so that large batches take little memory."""


class Placement(NamedTuple):
    """Which expert each slot of the devices holds: an entry per slot that is filled."""

    slot_expert: NDArray[np.int64]
    slot_device: NDArray[np.int64]
    devices: int


class Spread(NamedTuple):
    """Mean and outer deciles of a sample."""

    low: float
    mean: float
    high: float


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


def _needed(sigma: FloatLike, attention_nodes: IntLike) -> FloatArray:
    """Return sigma * N_A, free of the noise that keeps 0.9 * 10 from being 9."""
    product = np.multiply(sigma, attention_nodes)
    whole = np.rint(product)
    return np.where(np.abs(product - whole) <= _NOISE * product, whole, product)


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


def load_balance(*, loads: FloatArray) -> FloatArray:
    """Return how even the load of devices is.

    Parameters
    ----------
    loads : array
        Load of each device, along the last axis; in tokens, or any measure of work [1].

    Returns
    -------
    float or array
        Balance sigma, in (0, 1]; 1 where there is no load at all [1].

    Notes
    -----
    sigma = mean load / maximum load

    References
    ----------
    This project; sigma as in arXiv 2602.09721.

    Examples
    --------
    >>> float(load_balance(loads=[3, 1, 2, 2]))
    0.6666666666666666
    """
    given = np.asarray(loads, dtype=float)
    most = given.max(axis=-1, keepdims=True)
    return np.divide(given, most, out=np.ones_like(given), where=most > 0).mean(axis=-1)[()]


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


def contiguous_placement(*, experts: int, devices: int) -> Placement:
    """Lay experts on devices in order, as evenly as whole experts allow.

    Parameters
    ----------
    experts
        As in `nomenclature`.
    devices : int
        Devices that hold experts, n [1].

    Returns
    -------
    Placement
        Expert and device of each slot [1].

    Notes
    -----
    device i holds experts floor(i*E/n) to floor((i+1)*E/n) - 1

    References
    ----------
    This project.

    Examples
    --------
    >>> contiguous_placement(experts=5, devices=2).slot_device.tolist()
    [0, 0, 1, 1, 1]
    """
    held = np.arange(experts)
    ends = np.arange(1, devices + 1) * experts // devices
    return Placement(held, np.searchsorted(ends, held, side="right"), devices)


def greedy_placement(*, loads: FloatArray, devices: int, redundant_experts: int) -> Placement:
    """Replicate the most loaded experts, and lay all on devices by load, the heaviest first.

    Parameters
    ----------
    loads : array
        Load of each expert, l [1].
    devices : int
        Devices that hold experts, n [1].
    redundant_experts : int
        Replicas beyond one of each expert, r [1].

    Returns
    -------
    Placement
        Expert and device of each slot; replicas share the load of their expert equally [1].

    Notes
    -----
    r times: one more replica for the expert with the largest l_i/replicas_i, n at most; then each replica,
    largest load first, goes to the device of least load with a free slot, of ceil((E+r)/n) slots

    References
    ----------
    Redundant experts placed by load, arXiv 2412.19437 (DeepSeek-V3), section 3.4; longest processing time
    first.

    Examples
    --------
    >>> placement = greedy_placement(loads=[6, 2, 1, 1], devices=2, redundant_experts=2)
    >>> device_loads(loads=[6, 2, 1, 1], placement=placement).tolist()
    [5.0, 5.0]
    """
    given = np.asarray(loads, dtype=float)
    replicas = np.ones(given.size, dtype=np.int64)
    for _ in range(redundant_experts):
        replicas[np.argmax(np.where(replicas < devices, given / replicas, -1.0))] += 1
    slot_expert = np.repeat(np.arange(given.size), replicas)
    slot_load = given[slot_expert] / replicas[slot_expert]
    free = np.full(devices, -(-slot_expert.size // devices))
    device_load = np.zeros(devices)
    slot_device = np.empty(slot_expert.size, dtype=np.int64)
    for slot in np.argsort(-slot_load, kind="stable").tolist():
        device = np.argmin(device_load)
        slot_device[slot] = device
        device_load[device] += slot_load[slot]
        free[device] -= 1
        if not free[device]:
            device_load[device] = np.inf
    return Placement(slot_expert, slot_device, devices)


def device_loads(*, loads: FloatArray, placement: Placement) -> FloatArray:
    """Return the load of each device from that of each expert.

    Parameters
    ----------
    placement
        As in `nomenclature`.
    loads : array
        Load of each expert, l, along the last axis [1].

    Returns
    -------
    array
        Load of each device, along the last axis [1].

    Notes
    -----
    L_d = sum over slots j of device d of l_e(j) / replicas_e(j): replicas share the load of their expert
    equally

    References
    ----------
    This project.

    Examples
    --------
    >>> device_loads(loads=[3, 1, 2], placement=contiguous_placement(experts=3, devices=2)).tolist()
    [3.0, 3.0]
    """
    given = np.asarray(loads, dtype=float)
    replicas = np.bincount(placement.slot_expert, minlength=given.shape[-1])
    shares = given[..., placement.slot_expert] / replicas[placement.slot_expert]
    rows = shares.reshape(-1, shares.shape[-1])
    cells = placement.slot_device + placement.devices * np.arange(len(rows))[:, None]
    sums = np.bincount(cells.ravel(), weights=rows.ravel(), minlength=len(rows) * placement.devices)
    return sums.reshape(*given.shape[:-1], placement.devices)


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


def sampled_sigma(
    *, inclusion: FloatArray, placement: Placement, tokens: int, batches: int, seed: int
) -> FloatArray:
    """Return how even the load of devices is in random batches of tokens.

    Parameters
    ----------
    inclusion, placement, batches, seed
        As in `nomenclature`.
    tokens : int
        Tokens of a batch, T [1].

    Returns
    -------
    array
        Balance sigma of each batch, in (0, 1] [1].

    Notes
    -----
    sigma = mean / maximum of the device loads of a batch, drawn as `sampled_expert_loads` does

    References
    ----------
    This project.

    Examples
    --------
    >>> alone = contiguous_placement(experts=4, devices=1)
    >>> sampled_sigma(inclusion=[0.5] * 4, placement=alone, tokens=9, batches=2, seed=1).tolist()
    [1.0, 1.0]
    """
    generator = np.random.default_rng(seed)
    given = np.asarray(inclusion, dtype=float)
    return np.array(
        [
            load_balance(loads=device_loads(loads=_draw(generator, given, tokens), placement=placement))
            for _ in range(batches)
        ]
    )


def spread(*, sample: FloatArray) -> Spread:
    """Return the mean and the outer deciles of a sample.

    Parameters
    ----------
    sample : array
        Values, at least one [1].

    Returns
    -------
    Spread
        10 % quantile, mean, and 90 % quantile [1].

    Notes
    -----
    quantiles interpolate linearly between neighbours in order

    References
    ----------
    This project.

    Examples
    --------
    >>> tuple(round(value, 6) for value in spread(sample=[0.5, 0.6, 0.7]))
    (0.52, 0.6, 0.68)
    """
    low, high = np.quantile(sample, (0.1, 0.9))
    return Spread(float(low), float(np.mean(sample)), float(high))
