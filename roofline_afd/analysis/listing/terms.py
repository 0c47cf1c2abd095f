"""Quantities one can ask about: the function whose docstring explains each, and the names it goes by."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.bounds.regimes import regimes
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.physics import (
    attention,
    barrier,
    budget,
    collectives,
    confidence,
    counting,
    economics,
    experts,
    filling,
    index,
    linear,
    network,
    normal,
    operators,
    passes,
    pipeline,
    placement,
    queueing,
    ratio,
    routing,
    schedule,
    serving_modes,
    slots,
    stages,
    tiers,
    traffic,
    uneven,
)
from roofline_afd.physics import imbalance as load
from roofline_afd.physics import regimes as limits
from roofline_afd.physics import roofline as stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """A quantity one can ask about: the function whose docstring explains it, and what it is called with.

    `replaced` names arguments that take another value of the scenario than the one of their own name;
    `operator` is the operator of a layer whose numbers are put in.
    """

    function: Callable[..., Any]
    replaced: dict[str, str] = dataclasses.field(default_factory=dict)
    operator: str = ""


OPERATOR_NAMES = (
    *("query_key_value", "query_up", "key_absorption", "value_absorption", "output_down"),
    *("attention_output", "index_query", "index_key", "index_logits", "index_choice"),
    *("convolution", "core_attention"),
    *("residual_streams", "router", "latent_down", "latent_up", "shared_up", "shared_down"),
    *("dense_up", "dense_down", "experts_up", "experts_down", "experts_handling"),
    *("output_head", "embedding"),
)
HEADS = "heads:attention_exchange"
"""The exchange of heads that devices of a node share."""
TERMS = {
    "stage_budget": Term(budget.stage_budget),
    "nodes_hit_paper": Term(routing.nodes_hit_paper),
    "nodes_hit_uniform": Term(routing.nodes_hit_uniform),
    "nodes_hit_grouped": Term(routing.nodes_hit_grouped),
    "link_bytes_per_pair": Term(stage.link_bytes_per_pair),
    "sender_share": Term(stage.sender_share),
    "link_bandwidth": Term(stage.link_bandwidth),
    "expert_flops_per_pair": Term(experts.expert_flops_per_pair),
    "pairs_per_device": Term(stage.pairs_per_device),
    "experts_per_device": Term(experts.experts_per_device),
    "intensity": Term(stage.arithmetic_intensity),
    "weight_time": Term(experts.weight_time),
    "compute_time": Term(stage.compute_time),
    "active_time": Term(stage.active_time),
    "ofu": Term(stage.operational_utilization),
    "temporal_sparsity": Term(stage.temporal_sparsity),
    "hfu": Term(stage.hardware_utilization),
    "compute_bound_bandwidth": Term(stage.compute_bound_bandwidth),
    "hfu_ceiling": Term(stage.closed_form_utilization, {"link_bandwidth": "ceiling_bandwidth"}),
    "hfu_floor": Term(stage.closed_form_utilization, {"link_bandwidth": "floor_bandwidth"}),
    "expert_memory": Term(experts.expert_memory),
    "dead_zone": Term(regimes),
    "ffn_nodes_from": Term(limits.smallest_ffn_nodes),
    "ffn_nodes_to": Term(limits.largest_ffn_nodes),
    "experts_that_fit": Term(limits.experts_that_fit),
    "expert_params": Term(
        counting.ffn_parameters,
        {"width": "dispatch_width", "intermediate": "expert_intermediate", "matrices": "expert_matrices"},
    ),
    "total_params": Term(counting.total_parameters, {"routed_experts": "routed_expert_params"}),
    "active_params": Term(counting.active_parameters, {"routed_experts": "routed_expert_params"}),
    "kv_bytes_per_token": Term(counting.cache_bytes_per_token),
    "operator_time": Term(operators.operator_time, operator="experts_up"),
    **{name: Term(operators.operator_time, operator=name) for name in OPERATOR_NAMES},
    "gemm_flops": Term(operators.gemm_flops, operator="query_key_value"),
    "gemm_bytes": Term(operators.gemm_bytes, operator="query_key_value"),
    "experts_touched": Term(operators.experts_touched, {"tokens": "routed_tokens"}, operator="experts_up"),
    "grouped_gemm_flops": Term(operators.grouped_gemm_flops, operator="experts_up"),
    "grouped_gemm_bytes": Term(operators.grouped_gemm_bytes, operator="experts_up"),
    "expert_handling_bytes": Term(operators.expert_handling_bytes, operator="experts_handling"),
    "elementwise_bytes": Term(passes.elementwise_bytes, operator="attention_other"),
    "padded_share": Term(filling.padded_share, operator="core_attention"),
    "spread_padded_share": Term(filling.spread_padded_share, operator="experts_up"),
    "least_tile_share": Term(filling.least_tile_share, operator="query_key_value"),
    "filled_waves": Term(filling.filled_waves, operator="core_attention"),
    "few_items_growth": Term(filling.few_items_growth, operator="core_attention"),
    "expert_handling_time": Term(operators.expert_handling_time, operator="rank:experts_handling"),
    "decode_attention_flops": Term(attention.decode_attention_flops, operator="core_attention"),
    "decode_attention_bytes": Term(attention.decode_attention_bytes, operator="core_attention"),
    "state_bytes": Term(attention.state_bytes, operator="core_attention"),
    "convolution_bytes": Term(attention.convolution_bytes, operator="convolution"),
    "index_key_bytes": Term(index.index_key_bytes, operator="index_logits"),
    "index_flops": Term(index.index_flops, operator="index_logits"),
    "index_bytes": Term(index.index_bytes, operator="index_logits"),
    "choice_bytes": Term(index.choice_bytes, operator="index_choice"),
    "causal_entries": Term(attention.causal_entries, operator="prefill:core_attention"),
    "chunk_entries": Term(attention.chunk_entries, {"context": "chunk_context"}, operator="core_attention"),
    "chunked_causal_entries": Term(
        attention.chunked_causal_entries, {"context": "chunk_context"}, operator="prefill:core_attention"
    ),
    "prefill_attention_flops": Term(attention.prefill_attention_flops, operator="prefill:core_attention"),
    "prefill_attention_bytes": Term(attention.prefill_attention_bytes, operator="prefill:core_attention"),
    "dispatch": Term(network.transfer_time, operator="dispatch"),
    "combine": Term(network.transfer_time, operator="combine"),
    "transfer_time": Term(network.transfer_time, operator="dispatch"),
    "scale_out_slowdown": Term(network.scale_out_slowdown, operator="dispatch"),
    "vector_bytes": Term(traffic.vector_bytes, operator="dispatch"),
    "pair_traffic": Term(traffic.pair_traffic, operator="dispatch"),
    "rank_traffic": Term(traffic.rank_traffic, operator="rank:dispatch"),
    "node_traffic": Term(traffic.node_traffic, operator="node:dispatch"),
    "group_traffic": Term(traffic.group_traffic, operator="afd:dispatch"),
    "group_bandwidth": Term(network.group_bandwidth, operator="afd:dispatch"),
    "mesh_pair_bandwidth": Term(network.mesh_pair_bandwidth),
    "torus_bisection_bandwidth": Term(network.torus_bisection_bandwidth),
    "tier_share": Term(tiers.tier_share),
    "cache_transfer_time": Term(network.cache_transfer_time, operator="dispatch"),
    "exchange_time_limit": Term(network.exchange_time_limit, operator="dispatch"),
    "exchange_step_limit": Term(network.exchange_step_limit, operator="dispatch"),
    "group_latency": Term(network.group_latency),
    "serial_layer_time": Term(pipeline.serial_layer_time),
    "lockstep_layer_time": Term(pipeline.lockstep_layer_time),
    "overlap_lower_bound": Term(pipeline.overlap_lower_bound),
    "link_time": Term(pipeline.link_time),
    "busiest_stage_time": Term(pipeline.busiest_stage_time),
    "cycle_time": Term(pipeline.cycle_time),
    "pipeline_layers_time": Term(pipeline.pipeline_layers_time),
    "tokens_per_s_per_device": Term(pipeline.token_rate),
    "sigma": Term(placement.load_balance),
    "alpha_continuous": Term(load.alpha_continuous),
    "alpha_afd": Term(load.alpha_afd),
    "afd_rounding_penalty": Term(load.afd_rounding_penalty),
    "attention_nodes_used": Term(load.attention_nodes_used),
    "theta": Term(slots.stationary_load),
    "theta_n": Term(slots.finite_horizon_load),
    "r_star": Term(ratio.optimal_ratio),
    "r_star_microbatches": Term(ratio.optimal_ratio_microbatches),
    "r_star_two_microbatches": Term(ratio.optimal_ratio_two_microbatches),
    "r_star_barrier": Term(barrier.optimal_ratio_barrier),
    "expected_maximum": Term(normal.expected_maximum),
    "probability_afd_wins": Term(confidence.probability_ahead),
    "ratio_interval": Term(confidence.ratio_interval),
    "ratio_spread": Term(confidence.ratio_spread),
    "student_probability": Term(confidence.student_probability),
    "binomial_interval": Term(confidence.binomial_interval),
    "barrier_time": Term(barrier.barrier_time),
    "barrier_cycle_time": Term(barrier.barrier_cycle_time),
    "throughput_per_instance": Term(linear.throughput_per_instance),
    "mixed_share": Term(serving_modes.mixed_share),
    "mean_step_time": Term(serving_modes.mean_step_time),
    "prompt_step_time": Term(serving_modes.prompt_step_time),
    "prefill_rate": Term(serving_modes.prefill_rate),
    "matched_rate": Term(serving_modes.matched_rate),
    "waiting_time": Term(serving_modes.waiting_time),
    "waiting_probability": Term(queueing.waiting_probability),
    "waiting_percentile": Term(queueing.waiting_percentile),
    "peak_of_poisson": Term(queueing.peak_of_poisson),
    "requests_of_users": Term(queueing.requests_of_users),
    "working_bytes": Term(serving_modes.working_bytes),
    "all_reduce_time": Term(collectives.all_reduce_time, operator=HEADS),
    "one_shot_time": Term(collectives.one_shot_time, {"latency": "one_shot_latency"}, operator=HEADS),
    "two_shot_time": Term(collectives.two_shot_time, {"latency": "two_shot_latency"}, operator=HEADS),
    "ring_time": Term(collectives.ring_time, {"latency": "step_latency"}, operator=HEADS),
    "in_switch_time": Term(
        collectives.in_switch_time,
        {"bandwidth": "in_switch_bandwidth", "latency": "in_switch_latency"},
        operator=HEADS,
    ),
    "all_gather_time": Term(collectives.all_gather_time, operator=HEADS),
    "reduce_scatter_time": Term(collectives.reduce_scatter_time, operator=HEADS),
    "all_to_all_time": Term(collectives.all_to_all_time, operator=HEADS),
    "domains_all_reduce_time": Term(collectives.domains_all_reduce_time, operator=HEADS),
    "mesh_group_bandwidth": Term(collectives.mesh_group_bandwidth, {"bandwidth": "peak"}, operator=HEADS),
    "usd_per_million_tokens": Term(economics.usd_per_million_tokens),
    "usd_per_request": Term(economics.usd_per_request),
    "break_even_utilization": Term(economics.break_even_utilization),
    "tokens_per_joule": Term(economics.tokens_per_joule),
    "ownership_usd_per_hour": Term(economics.ownership_usd_per_hour),
    "affordable_purchase_usd": Term(economics.affordable_purchase_usd),
    "fleet_replicas": Term(economics.fleet_replicas),
    "fused_stage_time": Term(stages.fused_stage_time),
    "plain_imbalance": Term(uneven.plain_imbalance),
    "levelled_imbalance": Term(uneven.levelled_imbalance),
    "chance_imbalance": Term(uneven.chance_imbalance),
    "successive_inclusion": Term(uneven.successive_inclusion),
    "fullest_pairs_share": Term(uneven.fullest_pairs_share),
    "ordered_layers_time": Term(schedule.ordered_layers_time),
    "least_layers_time": Term(schedule.least_layers_time),
    "minimum_activated_share": Term(network.minimum_activated_share, {"width": "dispatch_width"}),
}
ALIASES = {
    "budget": "stage_budget",
    "alpha_ep": "alpha_continuous",
    "nu": "theta",
    "kappa": "expected_maximum",
    "probability_ahead": "probability_afd_wins",
    "too_close_to_call": "probability_afd_wins",
    "afd_over_ep_low": "ratio_interval",
    "afd_over_ep_high": "ratio_interval",
    "tokens_per_s_per_instance": "throughput_per_instance",
    "alpha_afd_continuous": "alpha_continuous",
    "tokens_per_usd": "usd_per_million_tokens",
    "attention_exchange": "all_reduce_time",
    "head_exchange_time": "all_reduce_time",
    "all_reduce": "all_reduce_time",
    "experts_sum": "all_reduce_time",
    "dense_sum": "all_reduce_time",
    "query_gathering": "all_gather_time",
    "result_scattering": "reduce_scatter_time",
    "dispatch_sharing": "all_gather_time",
    "combine_sharing": "reduce_scatter_time",
    "experts_fused": "fused_stage_time",
    "all_gather": "all_gather_time",
    "reduce_scatter": "reduce_scatter_time",
    "all_to_all": "all_to_all_time",
    "requests_per_s": "matched_rate",
    "cycle": "cycle_time",
    "loop": "serial_layer_time",
    "tau": "cycle_time",
    "lock_step": "lockstep_layer_time",
    "tpot_ms": "pipeline_layers_time",
    "tokens_per_s_per_user": "pipeline_layers_time",
    "regime": "dead_zone",
    "regimes": "dead_zone",
    "breakpoints": "dead_zone",
    "dead_zone_from": "dead_zone",
    "dead_zone_to": "dead_zone",
    "arithmetic_intensity": "intensity",
    "pairs": "pairs_per_device",
    "s_t": "temporal_sparsity",
    "t_b": "stage_budget",
    "t_g": "active_time",
    "fan_out": "nodes_hit_paper",
    "duplex": "link_bytes_per_pair",
    "gemm": "gemm_flops",
    "grouped_gemm": "grouped_gemm_flops",
    "t_d": "dispatch",
    "t_c": "combine",
    "kv_transfer": "cache_transfer_time",
    "kv_transfer_time": "cache_transfer_time",
    "expert_memory_gb": "expert_memory",
    "binding": "dead_zone",
    "best_hfu": "hfu",
    "best_ffn_nodes": "hfu",
    "feasible": "experts_that_fit",
    "ffn_nodes": "ffn_nodes_from",
}


def is_term(name: str) -> bool:
    """Return whether a name means a term."""
    return _term(name) is not None


def find_term(name: str, *, also: Iterable[str] = ()) -> str:
    """Return the term a name means: its id, a result key, or a symbol.

    Parameters
    ----------
    name : str
        What was asked for; case, spaces and dashes do not matter.
    also : iterable of str
        Words without a formula that a message may name too.

    Returns
    -------
    str
        A key of `TERMS`.

    Raises
    ------
    InputError
        If nothing of that name is known; names the nearest.
    """
    found = _term(name)
    if found is None:
        raise InputError(f"nothing is known of {shown(name)}{nearest(_key(name), (*TERMS, *also))}")
    return found


def _key(name: str) -> str:
    return name.strip().lower().lstrip("-").replace("-", "_").replace(" ", "_")


def _term(name: str) -> str | None:
    key = _key(name)
    for candidate in (key, key.removesuffix("_us")):
        found = ALIASES.get(candidate, candidate)
        if found in TERMS:
            return found
    return None
