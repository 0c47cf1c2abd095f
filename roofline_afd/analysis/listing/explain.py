"""A formula with its symbols, units and reference, and the numbers of a scenario put in."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import INFINITE, Answer, describe_inputs, provenance_notes
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.regimes import per_expert
from roofline_afd.analysis.bounds.roofline import check_ffn_nodes, roofline
from roofline_afd.analysis.listing.group_terms import collective_values
from roofline_afd.analysis.listing.terms import HEADS, TERMS, find_term, is_term
from roofline_afd.analysis.listing.words import explain_word, word_of, words
from roofline_afd.catalogue.precision import precision
from roofline_afd.docstrings import documentation
from roofline_afd.errors import InputError
from roofline_afd.physics import (
    network,
    routing,
    traffic,
)
from roofline_afd.physics import regimes as limits
from roofline_afd.physics import roofline as stage
from roofline_afd.serving import torus
from roofline_afd.serving.checks import whole
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.sizes import TRANSPORTS, Plan
from roofline_afd.units import format_si

if TYPE_CHECKING:
    from roofline_afd.catalogue.models import Model
    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

EVERYDAY = {"tpot_ms", "tpot", "binding", "tokens_per_s_per_user", "r"}
"""Words that stand for a formula where a scenario is given, and are told in words alone without one."""
DEFAULT_BATCH = 128
DEFAULT_CONTEXT_TOKENS = 4096
MAX_CONTEXT_TOKENS = 100_000_000
ASKED_ELSEWHERE = (
    *("pipeline", "imbalance", "placement", "slots", "linear", "ratio", "barrier", "normal"),
    "confidence",
)
"""Subjects whose numbers are not those of one FFN stage or operator: other commands have them."""


def explain(
    name: str,
    scenario: Scenario | None = None,
    *,
    ffn_nodes: object = 8,
    batch: object = DEFAULT_BATCH,
    context: object = DEFAULT_CONTEXT_TOKENS,
) -> Answer:
    """Explain a quantity, with the numbers of a scenario put in if there is one.

    Parameters
    ----------
    name : str
        A term, a result key or a symbol.
    scenario : Scenario, optional
        Whose numbers to put in.
    ffn_nodes : int
        FFN nodes to put in [1].
    batch, context : int
        Sequences of a device and tokens cached of each, for operators of a layer [1].

    Returns
    -------
    Answer
        A row per symbol: what it is, its unit, its value in SI (None without a scenario).

    Raises
    ------
    InputError
        If the term is unknown or the scenario is out of bounds.
    """
    word = _word(name, scenario)
    if word is not None:
        return explain_word(word)
    return _formula(name, scenario, ffn_nodes=ffn_nodes, batch=batch, context=context)


def _formula(
    name: str, scenario: Scenario | None, *, ffn_nodes: object, batch: object, context: object
) -> Answer:
    """Return a formula with its symbols, and the numbers of a scenario put in if there is one."""
    term = find_term(name, also=words())
    function = TERMS[term].function
    document = documentation(function)
    asked, scenario = scenario, scenario and scenario.for_stage()
    values = _values(scenario, ffn_nodes) if scenario else {}
    if asked and scenario and TERMS[term].operator:
        values |= _limits(scenario, values, batch, context)
        values |= _operator_values(term, asked, ffn_nodes, batch, context)
    elif scenario:
        values |= _fabric(scenario, term)
    arguments = {
        parameter: values.get(TERMS[term].replaced.get(parameter, parameter), _default(entry))
        for parameter, entry in inspect.signature(function).parameters.items()
    }
    if not scenario:
        arguments = dict.fromkeys(arguments)
    if term == "dead_zone":
        arguments = {key: values.get(key) for key in ("top_k", "routed_experts", "devices_per_node")}
        arguments |= {key: values.get(key) for key in ("scale_up", "scale_out", "compute_bound_bandwidth")}
    symbols = _symbols()
    rows = [
        {
            "symbol": key,
            "meaning": (document.parameters.get(key) or symbols[key]).text,
            "unit": (document.parameters.get(key) or symbols[key]).unit,
            "value": INFINITE if isinstance(value, float) and math.isinf(value) else value,
            "shown": _shown(value, (document.parameters.get(key) or symbols[key]).unit),
        }
        for key, value in arguments.items()
    ]
    unit = document.returns.unit
    text = [f"{term}: {document.summary.removeprefix('Return ')}", f"    {document.notes}"]
    summary: dict[str, Any] = {"term": term, "formula": document.notes, "unit": unit, "value": None}
    if scenario and term == "dead_zone":
        inner = roofline(Roofline(scenario, ffn_nodes=check_ffn_nodes(ffn_nodes))).summary
        summary |= {key: inner[key] for key in ("dead_zone_from", "dead_zone_to", "breakpoints", "regimes")}
        steps = ", ".join(
            f"{part['regime']} to {part['ffn_nodes_to']:g}"
            if part["ffn_nodes_to"]
            else f"then {part['regime']}"
            for part in inner["regimes"]
        )
        text.append(f"    here: {steps} (FFN nodes)")
    elif scenario:
        if any(value is None for value in arguments.values()):
            if TERMS[term].function.__module__.rpartition(".")[2] in ASKED_ELSEWHERE:
                raise InputError(
                    f"{term} has its numbers in `predict`, `compare`, `imbalance` or `provision`: "
                    "ask without a system"
                )
            raise InputError(f"{term} does not apply to {scenario.model.id}")
        summary["value"], lines = _put_in(term, arguments, scenario, unit)
        text += lines
    text.append(f"    {document.references}")
    summary |= {"reference": document.references, "answer": "\n".join(text)}
    quantities = ffn_stage_inputs(scenario).quantities if scenario else ()
    notes = provenance_notes(scenario, quantities) if scenario else []
    if scenario and values.get("efficiency_kind"):
        notes.append(f"{term}: efficiencies and fixed times are {values['efficiency_kind']}")
    return Answer(
        command="explain",
        inputs=describe_inputs(scenario, quantities) if scenario else {},
        columns={key: _column([row[key] for row in rows]) for key in rows[0]},
        table_keys=("symbol", "meaning", "shown"),
        summary=summary,
        notes=notes,
    )


def _word(name: str, scenario: Scenario | None) -> str | None:
    """Return the word that is asked about; None where a formula is, or nothing of that name is known."""
    word = word_of(name)
    if word is None or (is_term(name) and (scenario is not None or word not in EVERYDAY)):
        return None
    if scenario is not None:
        raise InputError(f"{word} is no formula: ask without a system")
    return word


def _feasibility(inputs: FfnStageInputs) -> dict[str, Any]:
    """Return what bounds the FFN node count, under the parameter names of `physics.regimes`."""
    time, memory = per_expert(inputs)
    fit = limits.experts_that_fit(
        stage_budget=inputs.stage_budget,
        weight_time_per_expert=time,
        usable_memory=inputs.usable_memory,
        memory_per_expert=memory,
    )
    return {
        "weight_time_per_expert": time,
        "memory_per_expert": memory,
        "usable_memory": inputs.usable_memory,
        "experts_that_fit": fit,
        "domain_devices": inputs.scenario.system.scale_up_domain_devices,
    }


def _put_in(
    term: str, arguments: dict[str, Any], scenario: Scenario, unit: str
) -> tuple[float | dict[str, float], list[str]]:
    """Return what a formula gives for its arguments, a number or one by fabric, and lines that say so."""
    found = TERMS[term].function(**arguments)
    if isinstance(found, traffic.Traffic):
        parts = {key: float(part) for key, part in found._asdict().items()}
        return parts, [f"    {key} = {format_si(part, 'B')}" for key, part in parts.items()]
    value = float(found)
    if math.isinf(value):
        raise InputError(f"{term}: no fabric of {scenario.system.id} connects these devices")
    return value, [f"    = {format_si(value, unit)}"]


def _default(parameter: inspect.Parameter) -> Any:  # noqa: ANN401 - whatever the formula's default is
    """Return what a formula takes where nothing is known of a parameter; None where it needs a value."""
    return None if parameter.default is inspect.Parameter.empty else parameter.default


def _operator_values(
    term: str, scenario: Scenario, ffn_nodes: object, batch: object, context: object
) -> dict[str, Any]:
    """Return what the formulas of an operator are called with, on a system that is all one group or two."""
    mode, _, name = TERMS[term].operator.rpartition(":")
    devices = int(check_ffn_nodes(ffn_nodes)[0]) * scenario.system.devices_per_node
    sequences = whole("--batch", batch)
    tokens = whole("--context", context, most=MAX_CONTEXT_TOKENS)
    if TERMS[term].operator == HEADS:
        return collective_values(term, scenario, sequences=sequences, context=tokens)
    deployments = Deployments(scenario, AFD if mode == "afd" else EP)
    plan = Plan(mode if mode in TRANSPORTS else deployments.transport, kernels=scenario.kernels)
    layers = deployments.layers(*plan)
    if mode == "prefill":
        operators_found = prefill_operators(layers, sequences=1, new_tokens=tokens)
    elif mode == "afd":
        senders = scenario.attention_devices or devices
        operators_found = decode_operators(
            layers,
            sequences=sequences,
            context=tokens,
            attention_devices=senders,
            ffn_devices=devices,
        )
    else:
        operators_found = decode_operators(
            layers, sequences=sequences, context=tokens, attention_devices=devices
        )
    needed = [
        TERMS[term].replaced.get(key, key)
        for key, entry in inspect.signature(TERMS[term].function).parameters.items()
        if _default(entry) is None
    ]
    known = [
        {"efficiency_kind": item.kind, **item.arguments} for item in operators_found if item.name == name
    ]
    if not known:
        raise InputError(f"{term} does not apply to {scenario.model.id}")
    best = max(known, key=lambda arguments: sum(key in arguments for key in needed))
    return {
        key: value.item() if isinstance(value, np.generic | np.ndarray) else value
        for key, value in best.items()
    }


def _fabric(scenario: Scenario, term: str) -> dict[str, Any]:
    """Return what a fabric without a switch is asked about; None for the kinds it is not."""
    system = scenario.system
    shape = system.scale_up.topology or "unknown"
    devices = system.scale_up_domain_devices
    cut = torus.slices(devices, system) if system.scale_up.slices else None
    within, widest = (None, None, *system.scale_up.tiers)[-2:]
    return {
        "bandwidth": system.scale_up.bytes_per_s if term.startswith(shape.removeprefix("full-")) else None,
        "devices": devices,
        "cut_links": float(cut.cut_links) if cut else None,
        "link_share": float(cut.link_share) if cut else None,
        "inner_devices": within.devices if within else 1,
        "outer_devices": widest.devices if widest else None,
        "share": widest.share if widest else None,
        "network": 8 * (system.scale_out or system.scale_up).bytes_per_s,
        "step_budget": (scenario.latency_ms * scenario.accept_length - (scenario.gap_ms or 0.0))
        * 1e-3
        / (scenario.microbatches or 1),
    }


def _limits(scenario: Scenario, values: dict[str, Any], batch: object, context: object) -> dict[str, Any]:
    """Return what transfers of caches and the limits of an exchange are asked about."""
    model, link = scenario.model, (scenario.system.scale_out or scenario.system.scale_up).bytes_per_s
    tokens = whole("--context", context, most=MAX_CONTEXT_TOKENS)
    copies = model.top_k + (1 if model.shared_experts else 0)
    ends = {"sending_devices": 1, "receiving_devices": 1}
    return {
        "copies": copies,
        "bandwidth": link,
        "cache_bytes": float(model.kv_bytes(tokens, precision("bf16").bytes) + model.state_bytes()),
        **ends,
        "sending_bandwidth": link,
        "receiving_bandwidth": link,
        "exchange_time": float(
            network.exchange_time_limit(
                tokens=whole("--batch", batch),
                copies=copies,
                width=model.dispatch_width,
                dispatch_bytes=values["dispatch_bytes"],
                combine_bytes=values["combine_bytes"],
                bandwidth=link,
            )
        ),
    }


def _counts(model: Model) -> dict[str, Any]:
    """Return what is counted from a model's shape, under the parameter names of `physics.counting`."""
    parts = {key: value for key, value in model.params_by_part.items() if key != "routed_experts"}
    return {
        **parts,
        "routed_expert_params": model.params_by_part["routed_experts"],
        "total_params": model.total_params,
        "expert_params": model.expert_params,
        "mean_top_k": model.mean_top_k,
        "unused_embedding": 0 if model.tied_embeddings else model.params_by_part["embedding"],
        "cached_elements": model.cached_elements_per_token,
        "index_bytes": model.index_bytes_per_token,
        "bytes_per_element": precision("bf16").bytes,
    }


def _shown(value: object, unit: str) -> object:
    """Return a value as people write it: numbers with unit and prefix, the rest as it is."""
    if isinstance(value, float) and math.isinf(value):
        return "infinite"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return format_si(value, unit) if number else value  # type: ignore[arg-type]  # just checked


def _column(values: list[Any]) -> np.ndarray[Any, np.dtype[np.object_]]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _symbols() -> dict[str, Any]:
    """Return what each parameter name means, for terms whose function takes them all together."""
    return documentation(stage.ffn_stage).parameters | {
        **documentation(stage.closed_form_utilization).parameters,
        **documentation(routing.nodes_hit_paper).parameters,
    }


def _values(scenario: Scenario, ffn_nodes: object) -> dict[str, Any]:
    """Return every number of a scenario under the parameter name physics knows it by, in SI."""
    nodes = int(check_ffn_nodes(ffn_nodes)[0])
    inputs: FfnStageInputs = ffn_stage_inputs(scenario)
    result = stage.ffn_stage(**inputs.arguments(nodes))
    model = scenario.model
    limited = scenario.model.expert_groups > 1
    values: dict[str, Any] = {
        **inputs.arguments(nodes),
        **result._asdict(),
        "tpot": scenario.latency_ms * 1e-3,
        "accept_length": scenario.accept_length,
        "gap": (scenario.gap_ms or 0.0) * 1e-3,
        "microbatches": scenario.microbatches,
        "layers": model.layers,
        "dispatch_width": model.dispatch_width,
        "expert_intermediate": model.expert_intermediate,
        "expert_matrices": model.expert_matrices,
        "expert_groups": model.expert_groups if limited else None,
        "groups_per_token": model.groups_per_token if limited else None,
        "top_k": inputs.top_k,
        "dispatch_bytes": scenario.dispatched.bytes,
        "combine_bytes": scenario.combined.bytes,
        "full_duplex": scenario.duplex == "full",
        "ffn_devices": nodes * inputs.devices_per_node,
        "sender_share": stage.sender_share(
            attention_devices=inputs.attention_devices, ffn_devices=nodes * inputs.devices_per_node
        ),
        "compute_bound_bandwidth": inputs.compute_bound_bandwidth,
        **_counts(model),
        **_feasibility(inputs),
        "ceiling_bandwidth": inputs.ceiling_bandwidth,
        "floor_bandwidth": inputs.floor_bandwidth,
    }
    plain = {
        key: value.item() if isinstance(value, np.generic | np.ndarray) else value
        for key, value in values.items()
    }
    if math.isinf(plain["attention_devices"]):
        plain["attention_devices"] = plain["ffn_devices"]  # the receiver alone is counted
    return plain
