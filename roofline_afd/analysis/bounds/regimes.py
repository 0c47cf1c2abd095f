"""Regimes of HFU over FFN nodes: where each begins, its ceiling and floor, and which counts are feasible."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.physics import experts
from roofline_afd.physics import regimes as physics_regimes
from roofline_afd.physics import roofline as physics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.ffn_stage import FfnStageInputs

SCALE_UP_BOUND = "scale-up bound"
COMPUTE_BOUND = "compute bound"
STABLE_INTENSITY = "stable intensity"
SCALE_OUT_BOUND = "scale-out bound"
DEAD_ZONE = "dead zone"
ONE_EXPERT = "one expert per device"
SENDER_BOUND = "attention links bound"
EQUAL = 1 - 1e-12
"""Two bandwidths closer than this bind together; the wider one is named."""


@dataclasses.dataclass(frozen=True, slots=True)
class Regime:
    """A range of FFN nodes in which one term sets HFU.

    Rows from above `ffn_nodes_from` up to `ffn_nodes_to` belong to it; `to_included` says whether the row
    at the upper edge does too.
    """

    regime: str
    ffn_nodes_from: float
    ffn_nodes_to: float
    to_included: bool


def regimes(inputs: FfnStageInputs) -> list[Regime]:
    """Return the regimes of HFU over FFN nodes, in order, from their analytic breakpoints.

    Parameters
    ----------
    inputs : FfnStageInputs
        The FFN stage.

    Returns
    -------
    list of Regime
        From 0 FFN nodes to infinity without gaps.

    Notes
    -----
    scale-up (or compute) bound to N_F = k * BW_out / min(BW_up, BW_c); stable intensity to N_F = k; dead
    zone to N_F = E/g: pairs are fixed by scale-out, so HFU stays at its floor while OFU rises and the
    device idles more; beyond, one expert per device. No dead zone inside a scale-up domain, where
    E/g <= k, where compute binds at the floor, or where the expected fan-out rises with N_F.

    References
    ----------
    arXiv 2602.09721, regimes of the FFN stage.
    """
    top_k = inputs.top_k
    one_expert_from = inputs.routed_experts / inputs.devices_per_node
    senders = inputs.sender_nodes
    top_until = _top_until(inputs)
    name = COMPUTE_BOUND if inputs.compute_bound_bandwidth <= inputs.scale_up else SCALE_UP_BOUND
    edges = [Regime(name, 0.0, top_until, to_included=True)]

    def until(regime: str, upper: float, *, included: bool) -> None:
        lower = edges[-1].ffn_nodes_to
        upper = min(upper, max(senders, top_until))
        if upper > lower:
            edges.append(Regime(regime, lower, upper, included or upper == senders))

    if not inputs.superpod and top_until < math.inf:
        if inputs.scenario.fan_out == "paper":
            until(STABLE_INTENSITY, float(top_k), included=True)
            until(DEAD_ZONE, one_expert_from, included=False)
        else:
            until(SCALE_OUT_BOUND, one_expert_from, included=False)
        until(ONE_EXPERT, math.inf, included=True)
    if edges[-1].ffn_nodes_to < math.inf:
        edges.append(Regime(SENDER_BOUND, edges[-1].ffn_nodes_to, math.inf, to_included=True))
    return [edge for edge in edges if edge.ffn_nodes_to > edge.ffn_nodes_from]


def _top_until(inputs: FfnStageInputs) -> float:
    """Return the FFN node count up to which the flat roof at few nodes is reached; inf for all."""
    top, out = min(inputs.scale_up, inputs.compute_bound_bandwidth), inputs.scale_out
    if inputs.superpod:
        return inputs.sender_nodes * inputs.scale_up / top
    if inputs.scenario.fan_out == "paper":
        return float(
            physics_regimes.flat_roof_until(
                top_k=inputs.top_k, scale_out=out, top_bandwidth=top, sender_nodes=inputs.sender_nodes
            )
        )
    nodes = np.arange(1, inputs.routed_experts + 1)
    share = physics.sender_share(
        attention_devices=inputs.attention_devices, ffn_devices=1.0 * nodes * inputs.devices_per_node
    )
    reached = out * inputs.top_k / inputs.nodes_hit(nodes) * share >= top * EQUAL
    if reached.all():  # beyond one expert a node, the fan-out stays as it is
        return max(float(inputs.routed_experts), inputs.sender_nodes * out / top)
    return float(np.argmin(reached))


def regime_of(edges: Sequence[Regime], ffn_nodes: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return the index of the regime each row belongs to."""
    index = np.zeros(ffn_nodes.shape, np.int8)
    for edge in edges[:-1]:
        upper = edge.ffn_nodes_to
        index += ffn_nodes > upper / EQUAL if edge.to_included else ffn_nodes >= upper * EQUAL
    return index


def summarise(inputs: FfnStageInputs) -> dict[str, Any]:
    """Return what holds at every FFN node count: ceiling, floor, breakpoints and the dead zone.

    Parameters
    ----------
    inputs : FfnStageInputs
        The FFN stage.

    Returns
    -------
    dict
        `hfu_ceiling`, `hfu_floor`, `dead_zone_from`, `dead_zone_to` (None without one), `breakpoints`,
        `regimes`, `ffn_nodes_from`, `ffn_nodes_to` (feasible range; None where unbounded or empty).
    """

    def granted(bandwidth: float) -> float:
        return float(
            physics.closed_form_utilization(
                link_bandwidth=bandwidth, compute_bound_bandwidth=inputs.compute_bound_bandwidth
            )
        )

    edges = regimes(inputs)
    dead = next((edge for edge in edges if edge.regime == DEAD_ZONE), None)
    least, most = _feasible_range(inputs)
    possible = math.isfinite(least) and least <= most
    return {
        "hfu_ceiling": granted(inputs.ceiling_bandwidth),
        "hfu_floor": granted(inputs.floor_bandwidth),
        "dead_zone_from": dead and dead.ffn_nodes_from,
        "dead_zone_to": dead and dead.ffn_nodes_to,
        "breakpoints": [edge.ffn_nodes_to for edge in edges[:-1]],
        "regimes": [
            {
                "regime": edge.regime,
                "ffn_nodes_from": edge.ffn_nodes_from,
                "ffn_nodes_to": edge.ffn_nodes_to if math.isfinite(edge.ffn_nodes_to) else None,
            }
            for edge in edges
        ],
        "ffn_nodes_from": int(least) if possible else None,
        "ffn_nodes_to": int(most) if possible and math.isfinite(most) else None,
    }


def _feasible_range(inputs: FfnStageInputs) -> tuple[float, float]:
    """Return the fewest and the most FFN nodes a deployment can have; inf where there is no limit."""
    time, memory = per_expert(inputs)
    fitting = physics_regimes.experts_that_fit(
        stage_budget=inputs.stage_budget,
        weight_time_per_expert=time,
        usable_memory=inputs.usable_memory,
        memory_per_expert=memory,
    )
    least = physics_regimes.smallest_ffn_nodes(
        routed_experts=inputs.routed_experts,
        devices_per_node=inputs.devices_per_node,
        experts_that_fit=fitting,
    )
    return float(least), largest_in_domain(inputs)


def per_expert(inputs: FfnStageInputs) -> tuple[float, float]:
    """Return the time to read one expert of a layer [s] and the memory it takes over all layers [B]."""
    time = experts.weight_time(
        experts_per_device=1,
        flops_per_pair=inputs.flops_per_pair,
        weight_bytes=inputs.weight_bytes,
        memory_bandwidth=inputs.memory_bandwidth,
    )
    memory = experts.expert_memory(
        experts_per_device=1,
        flops_per_pair=inputs.flops_per_pair,
        weight_bytes=inputs.weight_bytes,
        moe_layers=inputs.moe_layers,
    )
    return float(time), float(memory)


def largest_in_domain(inputs: FfnStageInputs) -> float:
    """Return the FFN nodes that still fit the scale-up domain beside the attention side."""
    if not inputs.superpod:
        return math.inf
    beside = inputs.attention_devices if math.isfinite(inputs.attention_devices) else inputs.devices_per_node
    return float(
        physics_regimes.largest_ffn_nodes(
            domain_devices=inputs.scenario.system.scale_up_domain_devices,
            attention_devices=beside,
            devices_per_node=inputs.devices_per_node,
        )
    )
