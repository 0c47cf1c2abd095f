"""What the roofline of the FFN stage computes with: a scenario turned into SI numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.errors import InputError
from roofline_afd.physics import budget, experts, regimes, roofline
from roofline_afd.serving.fan_out import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.physics.arrays import FloatArray, IntLike
    from roofline_afd.serving.scenario import Scenario


STAGE_TERMS = (
    *("devices_per_node", "routed_experts", "flops_per_pair", "link_bytes_per_pair", "weight_bytes"),
    *("moe_layers", "stage_budget", "peak", "memory_bandwidth", "scale_up", "scale_out", "attention_devices"),
)
"""Numbers of a stage that its terms are computed with, besides nodes and copies."""


@dataclasses.dataclass(frozen=True, slots=True)
class FfnStageInputs:
    """Scalars of the FFN stage, SI; the names are those of the parameters in `physics.roofline`."""

    scenario: Scenario
    devices_per_node: int
    routed_experts: int
    top_k: int
    moe_layers: int
    flops_per_pair: float
    link_bytes_per_pair: float
    weight_bytes: float
    stage_budget: float
    peak: float
    memory_bandwidth: float
    usable_memory: float
    scale_up: float
    scale_out: float
    superpod: bool
    attention_devices: float
    quantities: tuple[Quantity, ...]

    @property
    def compute_bound_bandwidth(self) -> float:
        """Link bandwidth at which compute binds [B/s]."""
        return float(
            roofline.compute_bound_bandwidth(
                link_bytes_per_pair=self.link_bytes_per_pair,
                flops_per_pair=self.flops_per_pair,
                peak=self.peak,
            )
        )

    @property
    def sender_nodes(self) -> float:
        """Attention devices in units of FFN nodes; infinite where only the receiver counts [1]."""
        return self.attention_devices / self.devices_per_node

    @property
    def ceiling_bandwidth(self) -> float:
        """Link bandwidth of one FFN node [B/s]."""
        return float(
            regimes.ceiling_bandwidth(
                scale_up=self.scale_up, scale_out=self.scale_out, top_k=self.top_k, superpod=self.superpod
            )
        )

    @property
    def floor_bandwidth(self) -> float:
        """Link bandwidth of many FFN nodes [B/s]."""
        return float(
            regimes.floor_bandwidth(scale_up=self.scale_up, scale_out=self.scale_out, superpod=self.superpod)
        )

    def nodes_hit(self, ffn_nodes: IntLike) -> FloatArray:
        """Return the nodes a token reaches under the scenario's fan-out [1]."""
        model = self.scenario.model
        return hit(
            self.scenario.fan_out or "paper",
            ffn_nodes,
            top_k=self.top_k,
            routed_experts=self.routed_experts,
            expert_groups=model.expert_groups,
            groups_per_token=model.groups_per_token,
        )

    def arguments(self, ffn_nodes: IntLike) -> dict[str, Any]:
        """Return the keyword arguments of `physics.roofline.ffn_stage` at some FFN node counts."""
        return {
            "ffn_nodes": ffn_nodes,
            "experts_per_copy": self.top_k / self.nodes_hit(ffn_nodes),
            "superpod": self.superpod,
            **{name: getattr(self, name) for name in STAGE_TERMS},
        }


def _efficiency(scenario: Scenario, side: str) -> tuple[str, float]:
    """Return the record key and the value of a link's efficiency under the scenario's convention."""
    fabric = scenario.system.scale_up if side == "scale_up" else scenario.system.scale_out
    if fabric is None:
        return f"{side}_efficiency", 0.0
    if scenario.links == "nominal":
        return f"{side}_efficiency", fabric.efficiency
    if fabric.measured_efficiency is None:
        raise InputError(
            f"--links calibrated: no measurement of {fabric.id} is known; "
            f"use --links nominal or --set {side}_measured_efficiency=VALUE"
        )
    return f"{side}_measured_efficiency", fabric.measured_efficiency


def ffn_stage_inputs(scenario: Scenario) -> FfnStageInputs:
    """Turn a scenario into the SI numbers of its FFN stage.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    FfnStageInputs
        Scalars, and the quantities they rest on.

    Raises
    ------
    InputError
        If the system has no scale-out fabric but needs one, or no measured efficiency where it is asked for.
    """
    scenario = scenario.for_stage()
    system, model = scenario.system, scenario.model
    if system.scale_out is None and not system.superpod:
        raise InputError(f"system {system.id} has no scale-out fabric to reach a second node")
    links = ["scale_up_gb_per_s", _efficiency(scenario, "scale_up")[0]]
    if not system.superpod:
        links += ["scale_out_gb_per_s", _efficiency(scenario, "scale_out")[0]]
    of_system = [PEAK_KEYS[scenario.operand], "memory_gb", "memory_gb_per_s", *links]
    of_system += ["devices_per_node", "scale_up_domain_devices"]
    of_model = ["dispatch_width", "layers", "moe_layers", "routed_experts", "top_k"]
    of_model += ["expert_intermediate", "expert_matrices"]
    if scenario.fan_out == "grouped":
        of_model += ["expert_groups", "groups_per_token"]
    numbers = stage_numbers(stage_values(scenario))
    return FfnStageInputs(
        scenario=scenario,
        superpod=system.superpod,
        quantities=tuple(system.quantities[key] for key in of_system)
        + tuple(model.quantities[key] for key in of_model),
        **{name: value.item() if isinstance(value, np.generic) else value for name, value in numbers.items()},
    )


def value_key(scenario: Scenario, key: str) -> str:
    """Return the key of `stage_values` under which a record key or field of a scenario stands."""
    named = {PEAK_KEYS[scenario.operand]: "peak_tflops"}
    named |= {_efficiency(scenario, side)[0]: f"{side}_efficiency" for side in ("scale_up", "scale_out")}
    return named.get(key, key)


def stage_values(scenario: Scenario) -> dict[str, Any]:
    """Return the values that the numbers of an FFN stage are made of, by record key or field, in its units.

    Parameters
    ----------
    scenario : Scenario
        The question, with the conventions of the stage.

    Returns
    -------
    dict
        What `stage_numbers` takes; any of them may be replaced by an array.

    Raises
    ------
    InputError
        If no measured efficiency of a link is known where it is asked for.
    """
    system, model = scenario.system, scenario.model
    up, up_efficiency = system.scale_up, _efficiency(scenario, "scale_up")[1]
    out = None if system.superpod else system.scale_out
    return {
        "devices_per_node": system.devices_per_node,
        "peak_tflops": system.accelerator.peak_flop_per_s[scenario.operand] / 1e12,
        "memory_gb": system.accelerator.memory_bytes / 1e9,
        "memory_gb_per_s": system.accelerator.memory_bytes_per_s / 1e9,
        "memory_reserve": scenario.reserve,
        "scale_up_gb_per_s": up.bytes_per_s / 1e9,
        "scale_up_efficiency": up_efficiency,
        "scale_out_gb_per_s": 0.0 if out is None else out.bytes_per_s / 1e9,
        "scale_out_efficiency": 0.0 if out is None else _efficiency(scenario, "scale_out")[1],
        "layers": model.layers,
        "moe_layers": model.moe_layers,
        "routed_experts": model.routed_experts,
        "top_k": model.top_k,
        "dispatch_width": model.dispatch_width,
        "expert_intermediate": model.expert_intermediate,
        "expert_matrices": model.expert_matrices,
        "weight_bytes": scenario.weights.bytes,
        "dispatch_bytes": scenario.dispatched.bytes,
        "combine_bytes": scenario.combined.bytes,
        "full_duplex": scenario.duplex == "full",
        "tpot_ms": scenario.latency_ms,
        "accept_length": scenario.accept_length,
        "gap_ms": scenario.gap_ms or 0.0,
        "microbatches": scenario.microbatches or 1,
        "attention_devices": np.inf if scenario.attention_devices is None else scenario.attention_devices,
    }


def _number(name: str) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return a value that is a number of the stage as it stands."""
    return (name,), lambda value: value


NUMBERS: Mapping[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    **{name: _number(name) for name in ("devices_per_node", "routed_experts", "top_k", "moe_layers")},
    "flops_per_pair": (
        ("dispatch_width", "expert_intermediate", "expert_matrices"),
        lambda width, inner, matrices: (
            experts.expert_flops_per_pair(
                dispatch_width=width, expert_intermediate=inner, expert_matrices=matrices
            )
            * 1.0
        ),
    ),
    "link_bytes_per_pair": (
        ("dispatch_width", "dispatch_bytes", "combine_bytes", "full_duplex"),
        lambda width, sent, back, full: roofline.link_bytes_per_pair(
            dispatch_width=width, dispatch_bytes=sent, combine_bytes=back, full_duplex=full
        ),
    ),
    "weight_bytes": _number("weight_bytes"),
    "stage_budget": (
        ("tpot_ms", "accept_length", "gap_ms", "layers", "microbatches"),
        lambda tpot, accepted, gap, layers, microbatches: budget.stage_budget(
            tpot=tpot * 1e-3,
            accept_length=accepted,
            gap=gap * 1e-3,
            layers=layers,
            microbatches=microbatches,
        ),
    ),
    "peak": (("peak_tflops",), lambda tera: tera * 1e12),
    "memory_bandwidth": (("memory_gb_per_s",), lambda giga: giga * 1e9),
    "usable_memory": (("memory_gb", "memory_reserve"), lambda giga, kept: giga * 1e9 * (1 - kept)),
    "scale_up": (("scale_up_gb_per_s", "scale_up_efficiency"), lambda giga, share: giga * 1e9 * share),
    "scale_out": (("scale_out_gb_per_s", "scale_out_efficiency"), lambda giga, share: giga * 1e9 * share),
    "attention_devices": (("attention_devices",), lambda devices: devices * 1.0),
}
"""Numbers of an FFN stage, SI: the keys of `stage_values` each is made of, and how."""


def stage_numbers(values: Mapping[str, Any], names: Iterable[str] = NUMBERS) -> dict[str, Any]:
    """Return the numbers of an FFN stage, SI, elementwise over values that broadcast against each other.

    Parameters
    ----------
    values : mapping
        As of `stage_values`; numbers or arrays.
    names : iterable of str
        Those wanted.

    Returns
    -------
    dict
        By field of `FfnStageInputs`.
    """
    made = ((name, *NUMBERS[name]) for name in names)
    return {name: make(*(values[key] for key in keys)) for name, keys, make in made}
