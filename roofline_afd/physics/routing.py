"""Node fan-out: how many nodes the experts of one token sit on, and so how many copies cross the network."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, IntLike


def nodes_hit_paper(*, ffn_nodes: IntLike, top_k: IntLike) -> FloatArray:
    """Return the nodes a token reaches if its experts spread over as many nodes as they can.

    Parameters
    ----------
    top_k
        As in `nomenclature`.
    ffn_nodes : int or array
        FFN nodes the experts are spread over, N_F [1].

    Returns
    -------
    float or array
        Nodes hit, u [1].

    Notes
    -----
    u = min(k, N_F), so that one copy serves k/u = max(1, k/N_F) experts

    References
    ----------
    arXiv 2602.09721, two-stage (node-deduplicated) dispatch.

    Examples
    --------
    >>> float(nodes_hit_paper(ffn_nodes=2, top_k=8))
    2.0
    """
    return np.minimum(top_k, ffn_nodes) * 1.0


def miss_probability(*, drawn: int, among: IntLike, held: IntLike) -> FloatArray:
    """Return the probability that none of the distinct experts drawn sits on a node.

    Parameters
    ----------
    drawn : int
        Distinct experts drawn, k [1].
    among : int or array
        Experts they are drawn from, E [1].
    held : int or array
        Of those, the experts on the node, e [1].

    Returns
    -------
    float or array
        Probability [1].

    Notes
    -----
    C(E - e, k) / C(E, k) = product over j < k of (E - e - j) / (E - j), zero where E - e < k

    References
    ----------
    Hypergeometric distribution, value at zero.

    Examples
    --------
    >>> round(float(miss_probability(drawn=2, among=4, held=1)), 6)
    0.5
    """
    rest = np.maximum(np.asarray(among) - np.asarray(held), 0) * 1.0
    miss = np.ones(np.broadcast(rest, among).shape)
    for j in range(drawn):
        miss = miss * np.maximum(rest - j, 0.0) / (among - j)
    return miss[()]


def nodes_hit_uniform(*, ffn_nodes: IntLike, top_k: int, routed_experts: int) -> FloatArray:
    """Return the expected nodes a token reaches if its experts are drawn uniformly.

    Parameters
    ----------
    routed_experts
        As in `nomenclature`.
    ffn_nodes : int or array
        FFN nodes the experts are spread over, N_F; as evenly as whole experts allow [1].
    top_k : int
        Distinct routed experts of a token, k [1].

    Returns
    -------
    float or array
        Expected nodes hit, u [1].

    Notes
    -----
    u = sum over nodes i of 1 - C(E - e_i, k) / C(E, k), e_i = floor((i+1)*E/N_F) - floor(i*E/N_F): of the
    N_F nodes, E mod N_F hold one expert more than the others

    References
    ----------
    This project; expectation under sampling without replacement.

    Examples
    --------
    >>> round(float(nodes_hit_uniform(ffn_nodes=8, top_k=8, routed_experts=256)), 4)
    5.2947
    """
    few, larger = routed_experts // np.asarray(ffn_nodes), routed_experts % np.asarray(ffn_nodes)
    hit_large = 1.0 - miss_probability(drawn=top_k, among=routed_experts, held=few + 1)
    hit_small = 1.0 - miss_probability(drawn=top_k, among=routed_experts, held=few)
    return larger * hit_large + (ffn_nodes - larger) * hit_small


def nodes_hit_grouped(
    *, ffn_nodes: IntLike, top_k: int, routed_experts: int, expert_groups: int, groups_per_token: int
) -> FloatArray:
    """Return the expected nodes a token reaches if its experts come from a limited number of groups.

    Parameters
    ----------
    routed_experts
        As in `nomenclature`.
    ffn_nodes : int or array
        FFN nodes the experts are spread over, N_F; groups laid on nodes in order [1].
    top_k : int
        Distinct routed experts of a token, k [1].
    expert_groups : int
        Groups the experts are divided into [1].
    groups_per_token : int
        Groups the experts of one token come from [1].

    Returns
    -------
    float or array
        Expected nodes hit, u [1].

    Notes
    -----
    u = mean over sets S of groups_per_token groups of sum over nodes i of 1 - C(K - o_i, k) / C(K, k),
    K = groups_per_token * E / expert_groups, o_i = experts of node i that belong to S

    References
    ----------
    This project; group-limited routing as in arXiv 2412.19437 (DeepSeek-V3), section 2.1.2.

    Examples
    --------
    >>> round(float(nodes_hit_grouped(ffn_nodes=8, top_k=8, routed_experts=256, expert_groups=8,
    ...                               groups_per_token=4)), 4)
    3.629
    """
    size, among = routed_experts // expert_groups, groups_per_token * routed_experts // expert_groups
    group_edges = np.arange(expert_groups + 1) * size
    ways = math.comb(expert_groups, groups_per_token)

    def missed(whole: int, parts: tuple[int, ...]) -> float:
        """Return the probability that a node with some whole and at most two partial groups is missed."""
        total = 0.0
        for taken in itertools.product((0, 1), repeat=len(parts)):
            chosen = np.arange(min(whole, groups_per_token - sum(taken)) + 1)
            others = expert_groups - whole - len(parts)
            counts = [
                math.comb(whole, int(j)) * math.comb(others, groups_per_token - sum(taken) - int(j))
                for j in chosen
            ]
            held = chosen * size + sum(part for part, one in zip(parts, taken, strict=True) if one)
            share = np.array([count / ways for count in counts])
            total += float(share @ miss_probability(drawn=top_k, among=among, held=held))
        return total

    def one(nodes: int) -> float:
        edges = np.arange(nodes + 1) * routed_experts // nodes
        low = np.maximum(edges[:-1, None], group_edges[None, :-1])
        high = np.minimum(edges[1:, None], group_edges[None, 1:])
        held = np.maximum(high - low, 0)
        layouts = Counter(
            (int((row == size).sum()), tuple(row[(row > 0) & (row < size)].tolist())) for row in held
        )
        return sum(times * (1.0 - missed(*layout)) for layout, times in layouts.items())

    # Beyond one expert a node, further nodes hold none: the fan-out stays at its value for E nodes.
    counts = np.minimum(np.asarray(ffn_nodes), routed_experts)
    unique, inverse = np.unique(counts, return_inverse=True)
    return np.array([one(int(nodes)) for nodes in unique])[inverse].reshape(counts.shape)[()]
