"""Where does adding FFN nodes stop helping? HFU over FFN nodes, row by row, and the dead zone."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.answer import (
    Answer,
    Decisive,
    Words,
    describe_inputs,
    provenance_notes,
    with_formats,
)
from roofline_afd.analysis.bounds.regimes import (
    COMPUTE_BOUND,
    EQUAL,
    SCALE_UP_BOUND,
    SENDER_BOUND,
    Regime,
    largest_in_domain,
    regime_of,
    regimes,
    summarise,
)
from roofline_afd.catalogue.hardware import PEAK_KEYS, build_system
from roofline_afd.catalogue.records import weakest_kind
from roofline_afd.errors import InputError
from roofline_afd.physics import roofline as physics
from roofline_afd.serving.checks import MAX_COUNT
from roofline_afd.serving.ffn_stage import FfnStageInputs, ffn_stage_inputs
from roofline_afd.units import format_si

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.bounds.questions import Roofline
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.serving.scenario import Scenario

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
MOST_DRAWN = 2000
"""FFN node counts that a picture holds."""


def roofline(question: Roofline) -> Answer:
    """Answer where adding FFN nodes stops helping.

    Parameters
    ----------
    question : Roofline
        What is asked.

    Returns
    -------
    Answer
        A row per count: the roof, its regime, and whether and by what a deployment is ruled out.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    nodes = check_ffn_nodes(question.ffn_nodes)
    scenario = question.scenario.for_stage()
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
    said = _sentence(inputs, edges, summary, BINDINGS[int(binding[0])])
    summary["answer"] = with_formats(said, scenario, stage=True)
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


def roofline_picture(question: Roofline) -> Answer:
    """Answer likewise, with what pictures of the roofline and of the dead zone need.

    Parameters
    ----------
    question : Roofline
        What is asked; its node counts are taken in order, each once.

    Returns
    -------
    Answer
        As of `roofline`; its picture has the question in a line, the names of things, the compute roof
        [FLOP/s], and per byte level the roof [B/s], whether it rests on an estimate, and the intensity at
        each count [FLOP/B].

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds, or there are more counts than a picture holds.
    """
    counts = np.unique(check_ffn_nodes(question.ffn_nodes))
    if counts.size > MOST_DRAWN:
        raise InputError(f"--ffn-nodes asks for {counts.size:,} counts; a picture holds {MOST_DRAWN:,}")
    answer = roofline(dataclasses.replace(question, ffn_nodes=counts))
    scenario, inputs = question.scenario, ffn_stage_inputs(question.scenario)
    picture = {
        "question": _question_line(inputs),
        "node": scenario.system.node_name,
        "devices_per_node": inputs.devices_per_node,
        "attention_devices": scenario.attention_devices,
        "operand": scenario.operand,
        "peak": inputs.peak,
        "peak_estimated": _is_estimated(scenario, PEAK_KEYS[scenario.operand]),
        "roofs": _roofs(scenario, inputs, answer),
    }
    return dataclasses.replace(answer, picture=picture)


def _question_line(inputs: FfnStageInputs) -> str:
    """Return the question in a line."""
    scenario = inputs.scenario
    parts = [
        f"{scenario.system.name} x {scenario.model.name}",
        f"TPOT {scenario.latency_ms:g} ms",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        f"gap {scenario.gap_ms:g} ms" if scenario.gap_ms else "",
        f"{scenario.microbatches} micro-batches",
        f"stage budget {format_si(inputs.stage_budget, 's')}",
        f"experts {scenario.weights.id}, dispatch {scenario.dispatched.id}, combine {scenario.combined.id}",
        f"{scenario.attention_devices} attention devices" if scenario.attention_devices else "",
        f"{scenario.links} links, fan-out {scenario.fan_out}, {scenario.duplex} duplex",
    ]
    return " · ".join(filter(None, parts))


def _roofs(scenario: Scenario, inputs: FfnStageInputs, answer: Answer) -> list[dict[str, Any]]:
    """Return the roof of each byte level: its bandwidth, and the intensity at each FFN node count."""
    efficiency = "efficiency" if scenario.links == "nominal" else "measured_efficiency"
    per_link_byte = inputs.flops_per_pair / inputs.link_bytes_per_pair
    nodes = np.asarray(answer.columns["ffn_nodes"])
    per_copy = np.broadcast_to(inputs.arguments(nodes)["experts_per_copy"], nodes.shape)
    levels: list[tuple[str, float, tuple[str, ...], Any]] = [
        ("HBM", inputs.memory_bandwidth, ("memory_gb_per_s",), answer.columns["intensity"]),
        (
            "scale-up",
            inputs.scale_up,
            ("scale_up_gb_per_s", f"scale_up_{efficiency}"),
            np.full(nodes.shape, per_link_byte),
        ),
    ]
    if not inputs.superpod:
        keys = ("scale_out_gb_per_s", f"scale_out_{efficiency}")
        levels.append(("scale-out", inputs.scale_out, keys, per_link_byte * per_copy))
    return [
        {
            "level": level,
            "bandwidth": bandwidth,
            "estimated": _is_estimated(scenario, *keys),
            "intensity": np.asarray(intensity).tolist(),
        }
        for level, bandwidth, keys, intensity in levels
    ]


def _is_estimated(scenario: Scenario, *keys: str) -> bool:
    """Return whether one of some values of the system is an estimate."""
    quantities = scenario.system.quantities
    return any(quantities[key].kind == "estimated" for key in keys if key in quantities)


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


def _columns(
    inputs: FfnStageInputs, edges: Sequence[Regime], nodes: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a block of rows, small enough for the cache."""
    stage = physics.ffn_stage(**inputs.arguments(nodes))
    at_compute = stage.link_bandwidth >= inputs.compute_bound_bandwidth * EQUAL
    at_scale_up = stage.link_bandwidth >= inputs.scale_up * EQUAL
    short = nodes * inputs.devices_per_node > inputs.attention_devices
    ruled_out = [
        stage.weight_time > inputs.stage_budget,
        stage.expert_memory > inputs.usable_memory,
        nodes > largest_in_domain(inputs),
    ]
    binding = np.select([*ruled_out, at_compute, at_scale_up, short], [4, 5, 6, 0, 1, 3], default=2)
    regime = regime_of(edges, nodes)
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
    elif inputs.scenario.system.scale_up.tiers:
        text += " An upper bound: that the fabric is slower between larger units is not counted."
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
            notes.append(Decisive(f"infeasible rows: {count} of {binding.size}, binding {BINDINGS[code]}"))
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
        notes.append(Decisive(f"set by the user, but this answer does not depend on it: {', '.join(unused)}"))
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
