"""The roofline of the FFN stage: every number on an axis of its own."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.bounds.regimes import largest_in_domain
from roofline_afd.analysis.bounds.roofline import check_ffn_nodes
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.errors import InputError
from roofline_afd.physics import roofline as physics
from roofline_afd.serving.ffn_stage import (
    NUMBERS,
    STAGE_TERMS,
    ffn_stage_inputs,
    stage_numbers,
    stage_values,
    value_key,
)
from roofline_afd.serving.scenario import COUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Places
    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

WHOLE_DESIGN = {"devices_per_node", "scale_up_domain_devices", "expert_groups", "groups_per_token"}
"""Inputs that change more of the stage than its numbers."""
WHOLE_NUMBERS = {*COUNTS, "layers", "moe_layers", "routed_experts", "top_k", "dispatch_width"}
FFN_NODES = "ffn_nodes"
SAME = 1e-12
"""How far numbers computed together may be off those of a question of its own, relative."""


class Stages:
    """Points of the roofline: numbers of a question on open axes."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes whose values enter the stage as numbers."""
        if all(axis.key != FFN_NODES for axis in axes):
            raise InputError("a sweep of the roofline needs --axis ffn_nodes=RANGE")
        found = [axis.key for axis in axes if axis.key == FFN_NODES or _is_open(scenario, axis)]
        if any(axis.key in {"system", *WHOLE_DESIGN} for axis in axes):  # a domain may hold both sides
            found = [key for key in found if key != "attention_devices"]
        return found

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the stage of one combination over the values of the open axes."""
        base = (changed(scenario, outer) if outer else scenario).for_stage()
        inputs = ffn_stage_inputs(base)
        values = stage_values(base)
        keys = [value_key(base, axis.key) for axis in axes]
        columns = [np.asarray(axis.numbers) for axis in axes]
        at_nodes = keys.index(FFN_NODES)
        columns[at_nodes] = check_ffn_nodes(columns[at_nodes])
        return _StageEvaluator(
            inputs=inputs,
            values=values,
            keys=tuple(keys),
            columns=tuple(columns),
            at_nodes=at_nodes,
            domain=largest_in_domain(inputs),
            metrics=tuple(metrics),
        )


def _is_open(scenario: Scenario, axis: Axis) -> bool:
    """Return whether an axis does nothing but set one value of the stage, of a valid question each."""
    if axis.numbers is None or axis.key in WHOLE_DESIGN:
        return False
    if axis.key == "attention_devices" and scenario.system.superpod:
        return False
    if axis.key in WHOLE_NUMBERS and not np.array_equal(axis.numbers, np.floor(axis.numbers)):
        return False
    base = scenario.for_stage()
    values, key = stage_values(base), value_key(base, axis.key)
    ends = {0, axis.size // 2, axis.size - 1, int(np.argmin(axis.numbers)), int(np.argmax(axis.numbers))}
    for place in ends:
        own = ffn_stage_inputs(changed(base, {axis.key: axis.value(place)}))
        together = stage_numbers({**values, key: axis.value(place)} if key in values else values)
        if own.superpod != base.system.superpod:
            return False
        if not all(
            np.isclose(getattr(own, name), each, rtol=SAME, atol=0) for name, each in together.items()
        ):
            return False
    return True


@dataclasses.dataclass(frozen=True)
class _StageEvaluator:
    """Numbers of a stage, and the values of each open axis."""

    inputs: FfnStageInputs
    values: Mapping[str, Any]
    keys: tuple[str, ...]
    columns: tuple[NDArray[Any], ...]
    at_nodes: int
    domain: float
    metrics: tuple[str, ...]
    held: dict[str, tuple[Places, NDArray[Any]]] = dataclasses.field(default_factory=dict)
    """Places of the last points on each axis, and the values there."""
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Numbers of the stage at these."""

    @cached_property
    def copies(self) -> NDArray[np.float64] | None:
        """Experts a copy serves at each node count, where no axis changes it otherwise [1]."""
        if {"top_k", "routed_experts"} & set(self.keys):
            return None
        return np.asarray(self.inputs.top_k / self.inputs.nodes_hit(self.columns[self.at_nodes]))

    def _numbers(self, places: Sequence[Places]) -> dict[str, Any]:
        """Return the numbers of the stage: those of axes that are where they were as they were."""
        moved = {
            key: (place, column[place])
            for key, column, place in zip(self.keys, self.columns, places, strict=True)
            if key not in self.held or self.held[key][0] is not place
        }
        self.held.update(moved)
        names = [name for name, (keys, _) in NUMBERS.items() if not moved.keys().isdisjoint(keys)]
        values = {**self.values, **{key: column for key, (_, column) in self.held.items()}}
        self.numbers.update(stage_numbers(values, names if self.numbers else NUMBERS))
        return self.numbers

    def __call__(self, places: Sequence[Places]) -> Columns:
        """Return metrics at places of the open axes."""
        numbers = self._numbers(places)
        nodes = self.held[FFN_NODES][1]
        copies = self.copies
        if copies is None:
            held = dataclasses.replace(self.inputs, **numbers)
            per_copy = held.top_k / held.nodes_hit(nodes)
        else:
            per_copy = copies[places[self.at_nodes]]
        asked = {name: STAGE_METRICS[name] for name in self.metrics if name in STAGE_METRICS}
        stage = physics.ffn_stage(
            ffn_nodes=nodes,
            experts_per_copy=per_copy,
            superpod=self.inputs.superpod,
            wanted={term for term, _ in asked.values()},
            **{name: numbers[name] for name in STAGE_TERMS},
        )
        found: Columns = {
            name: np.asarray(getattr(stage, term) if factor == 1 else getattr(stage, term) * factor)
            for name, (term, factor) in asked.items()
        }
        if "feasible" in self.metrics:
            feasible = (stage.weight_time <= numbers["stage_budget"]) & (nodes <= self.domain)
            found["feasible"] = feasible & (stage.expert_memory <= numbers["usable_memory"])
        return found


STAGE_METRICS: Mapping[str, tuple[str, float]] = {
    "hfu": ("hfu", 1.0),
    "ofu": ("ofu", 1.0),
    "temporal_sparsity": ("temporal_sparsity", 1.0),
    "pairs_per_device": ("pairs_per_device", 1.0),
    "experts_per_device": ("experts_per_device", 1.0),
    "intensity": ("intensity", 1.0),
    "link_gb_per_s": ("link_bandwidth", 1e-9),
    "weight_time_us": ("weight_time", 1e6),
    "compute_time_us": ("compute_time", 1e6),
    "active_time_us": ("active_time", 1e6),
    "expert_memory_gb": ("expert_memory", 1e-9),
}
"""Term of the stage that a metric is, and what it is multiplied by for its unit."""


def kind_of(name: str, mode: str | None) -> Stages:
    """Return what sweeps the roofline."""
    del name, mode
    return Stages()
