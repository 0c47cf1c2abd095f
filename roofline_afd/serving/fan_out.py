"""How many places, nodes or devices, the experts of a token are spread over."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.routing import nodes_hit_grouped, nodes_hit_paper, nodes_hit_uniform

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, IntLike
    from roofline_afd.serving.sizes import Layers


def places_hit(layers: Layers, places: FloatArray) -> FloatArray:
    """Return the nodes or devices a token of a model reaches of those its experts are spread over.

    Parameters
    ----------
    layers : Layers
        The model, and how its experts spread.
    places : int or array
        Nodes or devices that hold the experts [1].

    Returns
    -------
    float or array
        Places reached by a token of mean experts [1].
    """
    model = layers.model
    unique, inverse = np.unique(np.asarray(places, dtype=int), return_inverse=True)
    shape = (model.top_k, model.routed_experts, model.expert_groups, model.groups_per_token)
    found = np.array([_once(layers.fan_out, int(count), shape) for count in unique])
    share = model.mean_top_k / model.top_k
    return (share * found[inverse].reshape(np.shape(places)))[()]


@lru_cache(maxsize=1 << 14)
def _once(fan_out: str, places: int, shape: tuple[int, int, int, int]) -> float:
    """Return the places hit, each count computed once: limited routing takes a while."""
    top_k, experts, groups, groups_per_token = shape
    return float(
        hit(
            fan_out,
            places,
            top_k=top_k,
            routed_experts=experts,
            expert_groups=groups,
            groups_per_token=groups_per_token,
        )
    )


def hit(
    fan_out: str,
    places: IntLike,
    *,
    top_k: int,
    routed_experts: int,
    expert_groups: int,
    groups_per_token: int,
) -> FloatArray:
    """Return the places a token with `top_k` experts reaches.

    Parameters
    ----------
    fan_out : str
        `uniform`, `grouped` or `paper`.
    places : int or array
        Nodes or devices that hold the experts [1].
    top_k, routed_experts : int
        Experts of a token, and of a layer [1].
    expert_groups, groups_per_token : int
        Groups of experts, and those that one token's are in [1].

    Returns
    -------
    float or array
        Places reached [1].
    """
    if fan_out == "paper":
        return nodes_hit_paper(ffn_nodes=places, top_k=top_k)
    if fan_out == "grouped":
        return nodes_hit_grouped(
            ffn_nodes=places,
            top_k=top_k,
            routed_experts=routed_experts,
            expert_groups=expert_groups,
            groups_per_token=groups_per_token,
        )
    return nodes_hit_uniform(ffn_nodes=places, top_k=top_k, routed_experts=routed_experts)
