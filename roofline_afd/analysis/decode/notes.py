"""What predictions rest on: catalogue values, the question as understood, and a sentence each on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.answer import Decisive, describe_inputs
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.engines import IDEAL
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.serving.deployable import held_to
from roofline_afd.serving.sizes import REPLICATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.serving.deployment import Deployments
    from roofline_afd.serving.scenario import Scenario

SYSTEM_KEYS = (
    "memory_gb",
    "memory_driver_mib",
    "memory_gb_per_s",
    "scale_up_gb_per_s",
    "scale_out_gb_per_s",
    "devices_per_node",
    "scale_up_domain_devices",
)
MODEL_KEYS = (
    "hidden_size",
    "dispatch_width",
    "layers",
    "moe_layers",
    "routed_experts",
    "shared_experts",
    "top_k",
    "expert_intermediate",
    "expert_matrices",
    "vocab_size",
)
MUCH = 0.1
"""Share of the operator time that is estimated from which it can change a decision."""
COPIES = {"pair": "expert", "rank": "device", "node": "node"}
"""What kernels send a copy of a token for, by how they send."""
SERVING_FIELDS = (
    "context",
    "context_variation",
    "draft_tokens",
    "batch",
    "devices",
    "ffn_devices",
    "max_devices",
    "granularity",
    "deployable_with",
    "any_size",
    "transport",
    "domain_layout",
    "redundant_experts",
    "afd_cut",
    "attention_groups",
    "kernels",
    "tensor_parallel",
    "context_parallel",
    "expert_tensor_parallel",
    "experts_per_ffn_device",
    "expert_placement",
    "zipf",
    "expert_counts",
    "shared_experts",
    "transfer_share",
    "sigma_dp",
    "sigma_ep",
    "routing",
)


def quantities_of(*deployments: Deployments) -> tuple[Quantity, ...]:
    """Return the catalogue values predictions rest on, each once."""
    found: dict[tuple[str, str], Quantity] = {}

    def take(values: Mapping[str, Quantity], keys: Iterable[str]) -> None:
        for key in keys:
            if key in values:
                found.setdefault((key, values[key].record), values[key])

    for each in deployments:
        sides: tuple[tuple[System, str | None], ...] = (
            (each.ffn, each.ffn_scenario.operand),
            (each.attention, each.attention_scenario.others_operand),
        )
        for system, peak in sides:
            take(system.quantities, ((PEAK_KEYS[peak],) if peak else ()) + SYSTEM_KEYS)
        take(each.scenario.model.quantities, MODEL_KEYS)
        if each.scenario.engine.id != IDEAL:
            take(each.scenario.engine.quantities, each.scenario.engine.quantities)
    return tuple(found.values())


def serving_inputs(scenario: Scenario, quantities: Iterable[Quantity]) -> dict[str, Any]:
    """Return the inputs of a prediction: the question as understood, and each catalogue value."""
    shown = {name: getattr(scenario, name) for name in SERVING_FIELDS} | {"engine": scenario.engine.id}
    constants = load_service_constants(scenario.system.parts.catalogue)
    resolved = {
        "gap_ms": constants.gap_s * 1e3 if scenario.gap_ms is None else scenario.gap_ms,
        "duplex": scenario.duplex or "full",
        "links": scenario.links or "calibrated",
        "fan_out": scenario.fan_out or "uniform",
        "draft_tokens": scenario.query_tokens - 1,
    }
    pair = {
        "attention_system": scenario.side("attention").id,
        "ffn_system": scenario.side("ffn").id,
        "attention_precision": attrs.evolve(scenario, system=scenario.side("attention")).others.id,
        "attention_core_precision": scenario.attention_core_precision,
        "kv_precision": scenario.kv_precision,
    }
    return {**describe_inputs(scenario, quantities), **pair, **shown, **resolved}


def notes_of(deployments: Deployments, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what predictions of one mode rest on, a sentence each."""
    constants = deployments.constants
    fitted = (
        f"fitted to published services: gap {constants.gap_s * 1e3:.3g} ms a step, transfers "
        f"{constants.communication_slowdown:.3g} times as long under live routing (calibration record "
        "service)"
    )
    limited = held_to(deployments)
    notes = [fitted, *([f"{deployments.mode}: {limited}"] if limited else [])]
    if deployments.attention_groups > 1:
        notes.append(
            f"{deployments.mode}: {deployments.attention_groups} attention groups of equal size take turns "
            "at the FFN devices (--attention-groups)"
        )
    model, context = deployments.scenario.model, deployments.scenario.context
    longest = model.quantities.get("max_context_tokens")
    if longest is not None and context > longest.value:
        notes.append(
            Decisive(
                f"a context of {context:,} is beyond the {longest.value:,.0f} tokens {model.id} is made for"
            )
        )
    if deployments.attention.id != deployments.ffn.id:
        notes.append(
            Decisive(
                f"{deployments.mode}: attention on {deployments.attention.id}, experts on "
                f"{deployments.ffn.id}: throughput per device counts both alike, whatever they cost"
            )
        )
    for row in rows:
        notes += _idle_notes(deployments, row)
        share = row.get("estimated_share")
        if share:
            kind = Decisive if share >= MUCH else str
            notes.append(
                kind(
                    f"{row['mode']}: {share:.0%} of the operator time rests on efficiencies never measured "
                    "on these parts"
                )
            )
        if row.get("sibling_share"):
            notes.append(
                f"{row['mode']}: {row['sibling_share']:.0%} of the operator time rests on efficiencies "
                "measured on a sibling of these parts, or in another number format"
            )
        if row.get("transport"):
            notes += _exchange_notes(deployments, str(row["mode"]), str(row["transport"]))
    return notes


def _exchange_notes(deployments: Deployments, mode: str, transport: str) -> list[str]:
    """Return whose kernels send tokens, and what their times rest on where they were not measured."""
    if transport == REPLICATED:
        return [f"{mode}: every device has all tokens: no exchange, results of experts and heads are summed"]
    link = deployments.layers(transport).calibration("attention").link
    if deployments.scenario.links == "nominal":
        return []
    system = deployments.attention
    if not link.library or link.transport != transport:
        return [
            Decisive(
                f"{mode}: kernels that send a copy per {COPIES[transport]} were never timed on {system.id}"
            )
        ]
    legs = [(link.up, system.scale_up.name)]
    if system.scale_out is not None:
        legs.append((link.out, system.scale_out.name))
    return [
        Decisive(
            f"{mode}: exchanges over {name} are estimated from {leg.basis}: up to {leg.widening:.0%} off for "
            "that"
        )
        for leg, name in legs
        if leg.basis
    ]


def _idle_notes(deployments: Deployments, row: Mapping[str, Any]) -> list[str]:
    """Say which devices of a slice stand idle, and that they are paid for."""
    if not row.get("n_devices"):
        return []
    afd = row["n_ffn_devices"] is not None
    one = deployments.deployment_of(
        row["n_attention_devices"] if afd else row["n_devices"], row["n_ffn_devices"] or 0, batch=1
    )
    paid = int(deployments.paid_devices(one))
    idle = paid - int(row["n_devices"])
    if not idle:
        return []
    fill = f"{row['mode']}: {row['n_devices']} devices fill no slice of the torus: the smallest has {paid}"
    return [Decisive(f"{fill}, and tokens/s per device are over all of them, {idle} idle ones too")]


def question_line(scenario: Scenario, varied: Sequence[str] = ()) -> str:
    """Return the question in a line, without the inputs that a map varies."""
    devices = f"{scenario.devices} devices" if scenario.devices else f"up to {scenario.max_devices} devices"
    sides = (scenario.side("attention"), scenario.side("ffn"))
    pair = f" (AFD: {sides[0].name} + {sides[1].name})" if sides != (scenario.system,) * 2 else ""
    parts = [
        f"{scenario.system.name}{pair} x {scenario.model.name}",
        f"context {scenario.context:,} tokens" if "context" not in varied else "",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        devices if not {"devices", "max_devices"} & {*varied} else "",
        f"{scenario.links} links" if scenario.links else "",
        f"{scenario.routing} routing" if scenario.routing != "natural" else "",
        f"transport {scenario.transport}" if scenario.transport else "",
    ]
    return " · ".join(filter(None, parts))
