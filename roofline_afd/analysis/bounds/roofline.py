"""Where does adding FFN nodes stop helping? HFU over FFN nodes, its regimes, and the dead zone."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, Words, describe_inputs, provenance_notes
from roofline_afd.catalogue.hardware import build_system
from roofline_afd.catalogue.records import weakest_kind
from roofline_afd.errors import InputError
from roofline_afd.physics import experts
from roofline_afd.physics import regimes as physics_regimes
from roofline_afd.physics import roofline as physics
from roofline_afd.serving.ffn_stage import FfnStageInputs, ffn_stage_inputs
from roofline_afd.serving.scenario import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.serving.scenario import Scenario

SCALE_UP_BOUND = "scale-up bound"
COMPUTE_BOUND = "compute bound"
STABLE_INTENSITY = "stable intensity"
SCALE_OUT_BOUND = "scale-out bound"
DEAD_ZONE = "dead zone"
ONE_EXPERT = "one expert per device"
SENDER_BOUND = "attention links bound"
BINDINGS = (
    "compute",
    "scale-up",
    "scale-out",
    "attention links",
    "expert weight streaming",
    "HBM capacity",
    "scale-up domain size",
)
TABLE_KEYS = (
    "ffn_nodes",
    "pairs_per_device",
    "experts_per_device",
    "intensity",
    "weight_time_us",
    "compute_time_us",
    "ofu",
    "temporal_sparsity",
    "hfu",
    "regime",
    "feasible",
    "binding",
)
FIRST_RULED_OUT = 4
"""Index of the first binding that rules a deployment out; the ones before only limit the roof."""
BLOCK_ROWS = 8192
DEFAULT_FFN_NODES = range(1, 41)
_EQUAL = 1 - 1e-12
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
    reached = out * inputs.top_k / inputs.nodes_hit(nodes) * share >= top * _EQUAL
    if reached.all():  # beyond one expert a node, the fan-out stays as it is
        return max(float(inputs.routed_experts), inputs.sender_nodes * out / top)
    return float(np.argmin(reached))


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


def _regime_of(edges: Sequence[Regime], ffn_nodes: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return the index of the regime each row belongs to."""
    index = np.zeros(ffn_nodes.shape, np.int8)
    for edge in edges[:-1]:
        upper = edge.ffn_nodes_to
        index += ffn_nodes > upper / _EQUAL if edge.to_included else ffn_nodes >= upper * _EQUAL
    return index


def check_ffn_nodes(ffn_nodes: object) -> NDArray[np.int64]:
    """Check FFN node counts: whole numbers from 1 to a million, at least one.

    Parameters
    ----------
    ffn_nodes : array-like
        What was given.

    Returns
    -------
    ndarray of int
        The counts, one-dimensional.

    Raises
    ------
    InputError
        If there is none, or one is not whole or out of bounds.
    """
    try:
        given = np.atleast_1d(np.asarray(ffn_nodes, dtype=float)).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("--ffn-nodes must be whole numbers") from error
    if given.size == 0:
        raise InputError("--ffn-nodes is empty; give at least one count, for example 1:40")
    valid = np.isfinite(given) & (given >= 1) & (given <= MAX_COUNT) & (given == np.floor(given))
    if not valid.all():
        raise InputError(f"--ffn-nodes {given[~valid][0]:g} must be a whole number from 1 to {MAX_COUNT:,}")
    return given.astype(np.int64)


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
    return float(least), _largest_in_domain(inputs)


def _largest_in_domain(inputs: FfnStageInputs) -> float:
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


def roofline(scenario: Scenario, *, ffn_nodes: object = DEFAULT_FFN_NODES) -> Answer:
    """Answer where adding FFN nodes stops helping.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts, one row each [1].

    Returns
    -------
    Answer
        A row per count: the roof, its regime, and whether and by what a deployment is ruled out.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    nodes = check_ffn_nodes(ffn_nodes)
    scenario = scenario.for_stage()
    inputs = ffn_stage_inputs(scenario)
    edges = regimes(inputs)
    first = _columns(inputs, edges, nodes[:BLOCK_ROWS])
    columns = {key: np.empty(nodes.shape, value.dtype) for key, value in first.items()}
    for start in range(0, nodes.size, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        for key, value in (_columns(inputs, edges, nodes[rows]) if start else first).items():
            columns[key][rows] = value
    regime, binding = columns.pop("regime"), columns.pop("binding")
    feasible, hfu = columns["feasible"], columns["hfu"]
    best = int(np.argmax(np.where(feasible, hfu, -1.0))) if feasible.any() else None
    summary = summarise(inputs)
    summary["best_ffn_nodes"] = None if best is None else int(nodes[best])
    summary["best_hfu"] = None if best is None else float(hfu[best])
    summary["weakest_kind"] = weakest_kind(inputs.quantities)
    summary["answer"] = _sentence(inputs, edges, summary, BINDINGS[int(binding[0])])
    return Answer(
        command="roofline",
        inputs=describe_inputs(scenario, inputs.quantities),
        columns={
            **columns,
            "regime": Words(regime, tuple(edge.regime for edge in edges)),
            "binding": Words(binding, BINDINGS),
        },
        summary=summary,
        table_keys=TABLE_KEYS,
        notes=[*_notes(inputs, summary, binding), *provenance_notes(scenario, inputs.quantities)],
    )


def _columns(
    inputs: FfnStageInputs, edges: Sequence[Regime], nodes: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a block of rows, small enough for the cache."""
    stage = physics.ffn_stage(**inputs.arguments(nodes))
    at_compute = stage.link_bandwidth >= inputs.compute_bound_bandwidth * _EQUAL
    at_scale_up = stage.link_bandwidth >= inputs.scale_up * _EQUAL
    short = nodes * inputs.devices_per_node > inputs.attention_devices
    ruled_out = [
        stage.weight_time > inputs.stage_budget,
        stage.expert_memory > inputs.usable_memory,
        nodes > _largest_in_domain(inputs),
    ]
    binding = np.select([*ruled_out, at_compute, at_scale_up, short], [4, 5, 6, 0, 1, 3], default=2)
    regime = _regime_of(edges, nodes)
    if inputs.scenario.fan_out != "paper" and edges[0].regime in {SCALE_UP_BOUND, COMPUTE_BOUND}:
        regime[at_compute | at_scale_up] = 0  # unequal nodes can reach the flat roof again
    columns = {
        "ffn_nodes": nodes,
        "pairs_per_device": stage.pairs_per_device,
        "experts_per_device": stage.experts_per_device,
        "intensity": stage.intensity,
        "weight_time_us": stage.weight_time * 1e6,
        "compute_time_us": stage.compute_time * 1e6,
        "active_time_us": stage.active_time * 1e6,
        "stage_budget_us": inputs.stage_budget * 1e6,
        "ofu": stage.ofu,
        "temporal_sparsity": stage.temporal_sparsity,
        "hfu": stage.hfu,
        "expert_memory_gb": stage.expert_memory / 1e9,
        "regime": regime,
        "feasible": binding < FIRST_RULED_OUT,
        "binding": binding.astype(np.int8),
    }
    return {key: np.broadcast_to(value, nodes.shape) for key, value in columns.items()}


def _sentence(inputs: FfnStageInputs, edges: Sequence[Regime], summary: dict[str, Any], binding: str) -> str:
    """Return the answer in a few sentences; `binding` is what rules the first row out if none is feasible."""
    unit = inputs.scenario.system.node_name
    text = _roof_sentence(inputs, edges, summary)
    last = edges[-1]
    if last.regime == SENDER_BOUND:
        text += (
            f" Beyond {last.ffn_nodes_from:.3g} FFN {unit}s the {inputs.attention_devices:g} attention "
            "devices cannot fill the links, and HFU falls on."
        )
    if inputs.scenario.system.scale_up.topology == "torus":
        text += " An upper bound: the cut of the torus between the two groups is not counted."
    if summary["best_hfu"] is None:
        return f"{text} No FFN {unit} count asked for is feasible: {binding}."
    best = summary["best_ffn_nodes"]
    plural = "s" if best > 1 else ""
    return f"{text} Best of those asked for: {best} FFN {unit}{plural}, HFU {summary['best_hfu']:.1%}."


def _roof_sentence(inputs: FfnStageInputs, edges: Sequence[Regime], summary: dict[str, Any]) -> str:
    """Say where HFU is flat, where it falls, and what sets it."""
    unit = inputs.scenario.system.node_name
    ceiling, floor = f"{summary['hfu_ceiling']:.1%}", f"{summary['hfu_floor']:.1%}"
    roofs = [edge for edge in edges if edge.regime != SENDER_BOUND]
    always = f" at every FFN {unit} count" if len(roofs) == len(edges) else ""
    if summary["dead_zone_from"] is not None:
        low, high = summary["dead_zone_from"], summary["dead_zone_to"]
        return (
            f"Dead zone from {low:g} to {high:g} FFN {unit}s: HFU stays at {floor}, "
            "set by the scale-out link, however many FFN instances are added."
        )
    if len(roofs) == 1 and roofs[0].regime in {SCALE_UP_BOUND, COMPUTE_BOUND}:
        where = " inside the scale-up domain" if inputs.superpod else ""
        return f"No dead zone{where}: {roofs[0].regime.removesuffix(' bound')} binds{always}, HFU {ceiling}."
    if math.isclose(summary["hfu_ceiling"], summary["hfu_floor"]):
        return f"No dead zone: scale-out binds{always}, HFU {ceiling}."
    if inputs.scenario.fan_out == "paper":
        return (
            f"HFU falls from {ceiling} to its floor, {floor}, at {inputs.top_k} FFN {unit}s, and stays "
            "there; no dead zone before, since a device has one expert by then."
        )
    return f"No flat dead zone: HFU falls from {ceiling} towards {floor} as FFN {unit}s are added."


def _notes(inputs: FfnStageInputs, summary: dict[str, Any], binding: NDArray[np.int8]) -> list[str]:
    scenario = inputs.scenario
    notes: list[str] = []
    for code in range(FIRST_RULED_OUT, len(BINDINGS)):
        count = int((binding == code).sum())
        if count:
            notes.append(f"infeasible rows: {count} of {binding.size}, binding {BINDINGS[code]}")
    if scenario.links == "nominal":
        notes.append(
            "links are nominal: a fixed share of the scale-up peak, scale-out at line rate; "
            "--links calibrated takes what published measurements reached"
        )
    else:
        notes.append("links are calibrated: what published measurements of large messages reached")
    if scenario.attention_devices is None:
        notes.append(
            "the receiving end of the link is counted; --attention-devices counts the sending end too"
        )
    if scenario.fan_out == "paper" and not inputs.superpod:
        notes.append(
            "fan-out paper: a token reaches as many nodes as it can; uniform and grouped take the expectation"
        )
    notes += _shape_notes(scenario)
    used = {value.key for value in inputs.quantities}
    unused = [key for key in (*scenario.system.overridden, *scenario.model.overridden) if key not in used]
    if unused:
        notes.append(f"set by the user, but this answer does not depend on it: {', '.join(unused)}")
    notes += [note for value in inputs.quantities for note in _alternative_notes(scenario, value, summary)]
    return notes


def _shape_notes(scenario: Scenario) -> list[str]:
    """Say where the fabric or the model is of a shape that this roofline does not see."""
    notes = []
    system, model = scenario.system, scenario.model
    fabric = system.scale_up
    pair = system.quantities.get("scale_up_pair_gb_per_s")
    if fabric.topology == "torus":
        notes.append(
            f"{fabric.id} is a torus: all traffic between the two groups crosses a cut of it, which this "
            "roof does not count; it is an upper bound, not what the fabric delivers"
        )
    elif pair is not None and pair.si < fabric.bytes_per_s:
        notes.append(
            f"{fabric.id} is a {fabric.topology}: one pair of devices reaches {pair.value:g} of its "
            f"{fabric.bytes_per_s / 1e9:g} GB/s, so uneven traffic between the two groups stays below this "
            "roof"
        )
    if model.moe_layers + model.dense_layers < model.layers:
        notes.append(
            f"the stage budget is shared over all {model.layers} layers of {model.id}, of which "
            f"{model.moe_layers} have experts; HFU does not depend on it"
        )
    if model.zero_experts:
        notes.append(
            f"{model.zero_experts} experts of {model.id} compute nothing and need no transfer: "
            f"of top-{model.top_k}, {model.mean_top_k:g} are real on average; the roof counts all"
        )
    return notes


def _alternative_notes(scenario: Scenario, value: Quantity, summary: dict[str, Any]) -> list[str]:
    """Say what another published figure for an input would change, if anything."""
    notes = []
    for other in value.alternatives:
        if value.key not in scenario.system.quantities:
            continue
        system = build_system(scenario.system.parts, overrides={value.key: other.value})
        changed = summarise(ffn_stage_inputs(attrs.evolve(scenario, system=system)))
        differing = [
            f"{key} {changed[key]:.1%} instead of {summary[key]:.1%}"
            for key in ("hfu_ceiling", "hfu_floor")
            if not math.isclose(changed[key], summary[key], rel_tol=1e-9)
        ]
        if differing:
            who = "; ".join(source.title for source in other.sources)
            reason = f" ({other.note})" if other.note else ""
            notes.append(
                f"{value.key} is {value.value:g} here, {other.value:g} in {who}{reason}: "
                f"--set {value.key}={other.value:g} gives {' and '.join(differing)}"
            )
    return notes
