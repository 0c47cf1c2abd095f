"""One deployment, expert parallelism or two groups: the time of its step, its memory, its tokens."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.catalogue.calibration import (
    Calibration,
    load_calibration,
    load_service_constants,
)
from roofline_afd.physics import pipeline
from roofline_afd.physics.pipeline import overlapped_time_share
from roofline_afd.physics.schedule import ONE_GROUP, turns_of
from roofline_afd.physics.uneven import longest_caches_share
from roofline_afd.serving import steps, torus
from roofline_afd.serving.collectives import nominal
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.memory import DeviceMemory
from roofline_afd.serving.order import layer_order
from roofline_afd.serving.sizes import (
    ATTENTION_CUT,
    CORE_CUT,
    DEPLOYMENTS,
    REPLICATED,
    TRANSPORTS,
    Deployment,
    Formats,
    Layers,
    Plan,
)
from roofline_afd.serving.steps import STAGES, Block, Step
from roofline_afd.serving.uneven import expert_load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from roofline_afd.catalogue.calibration import ServiceConstants
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import Count, FloatArray
    from roofline_afd.physics.schedule import LayerTimes
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Prompt
    from roofline_afd.serving.timing import Operator
    from roofline_afd.serving.uneven import ExpertLoad

__all__ = ["AFD", "EP", "MODES", "Block", "Deployment", "Deployments", "Step"]
EP, AFD = MODES = DEPLOYMENTS


class Deployments:
    """All deployments of one mode that a scenario asks about.

    Parameters
    ----------
    scenario : Scenario
        The question.
    mode : str
        `ep` or `afd`.
    held_tokens : float, optional
        Tokens that memory is kept for, of each sequence; the scenario's context where absent [1].
    """

    def __init__(self, scenario: Scenario, mode: str, *, held_tokens: float | None = None) -> None:
        self.scenario = scenario
        self.mode = mode
        self.held_tokens = float(scenario.context if held_tokens is None else held_tokens)
        pair = mode == AFD
        self.attention = scenario.side("attention") if pair else scenario.system
        self.ffn = scenario.side("ffn") if pair else scenario.system
        self._layers: dict[Plan, Layers] = {}
        self._calibrations: dict[str | None, tuple[Calibration, Calibration]] = {}

    @cached_property
    def attention_scenario(self) -> Scenario:
        """The scenario as the attention side sees it: defaults of formats are those of its accelerator."""
        return self._on(self.attention)

    @cached_property
    def ffn_scenario(self) -> Scenario:
        """The scenario as the FFN side sees it."""
        return self._on(self.ffn)

    def _on(self, system: System) -> Scenario:
        scenario = self.scenario
        return scenario if system is scenario.system else attrs.evolve(scenario, system=system)

    @cached_property
    def constants(self) -> ServiceConstants:
        """What running a service adds to its operators."""
        return load_service_constants(self.scenario.system.parts.catalogue)

    @property
    def gap(self) -> float:
        """Time of a step outside its layers, but for what the host of an engine adds [s]."""
        given = self.scenario.gap_ms
        return self.constants.gap_s if given is None else given * 1e-3

    def pause(self, deployment: Deployment) -> FloatArray:
        """Return what the host adds to a step of several groups that wait for each other, elementwise [s]."""
        if not self.scenario.engine.host_pause_s:
            return 0.0
        several = np.greater(deployment.attention_devices, deployment.tensor_parallel)
        return np.where(several, self.scenario.engine.host_pause_s, 0.0)[()]

    @property
    def full_duplex(self) -> bool:
        """Whether dispatch and combine overlap between two groups."""
        return self.scenario.duplex != "shared"

    @property
    def other_s(self) -> float:
        """Small kernels of a layer, beyond their passes: of the engine, or of any [s]."""
        own = self.scenario.engine.other_s
        return self.constants.other_s if own is None else own

    @property
    def slowdown(self) -> float:
        """Factor on what of dispatch and combine leaves a scale-up domain [1]."""
        forced = self.scenario.routing == "balanced" or self.scenario.links == "nominal"
        return 1.0 if forced else self.constants.communication_slowdown

    @property
    def routing_exponent(self) -> float:
        """How alike tokens choose experts; 1 where routing is forced to be even [1]."""
        return 1.0 if self.scenario.routing == "balanced" else self.constants.routing_exponent

    @property
    def load(self) -> ExpertLoad | None:
        """Popularity and placement of experts; None where they are loaded evenly."""
        return expert_load(self.scenario, self.constants.popularity_exponent)

    @cached_property
    def formats(self) -> Formats:
        """Number formats of both sides."""
        mine, theirs = self.attention_scenario, self.ffn_scenario
        return Formats(
            experts=theirs.weights.id,
            others=mine.others.id,
            cache=mine.kv_precision,
            core=mine.attention_core_precision,
            dispatch=theirs.dispatched.id,
            combine=theirs.combined.id,
        )

    @cached_property
    def transport(self) -> str:
        """How tokens are sent where one way is asked for: as the question says, else as its library does."""
        asked = self.scenario.transport
        return asked if asked in TRANSPORTS else self.calibrations(None)[0].link.transport

    def _efficiencies(self, transport: str | None) -> tuple[Calibration, Calibration]:
        """Return the same as `calibrations`, looked up once."""
        if transport not in self._calibrations:
            self._calibrations[transport] = self.calibrations(transport)
        return self._calibrations[transport]

    def calibrations(self, transport: str | None) -> tuple[Calibration, Calibration]:
        """Return the efficiencies of both sides with one way of sending tokens; with the library's own."""
        families, libraries = self.scenario.engine.families, self.scenario.engine.exchanges
        mine, theirs = (
            load_calibration(side, families=families, libraries=libraries, transport=transport)
            for side in (self.attention, self.ffn)
        )
        if self.scenario.links == "nominal":
            mine, theirs = nominal(mine, self.attention), nominal(theirs, self.ffn)
        return mine, mine if self.ffn is self.attention else theirs

    def layers(self, transport: str = "", *others: Any) -> Layers:  # noqa: ANN401 - as a plan has them
        """Return the layers under a plan, of which what is left out is as by default."""
        key = Plan(transport or self.transport, *others)._replace(spare_experts=None)
        if not all(isinstance(number, int) for number in key.shared):
            return self.layers(*key.alone).sharing(*key.shared)
        if key not in self._layers:
            found = self._efficiencies(None if key.transport == REPLICATED else key.transport)
            self._layers[key] = Layers(
                model=self.scenario.model,
                attention=self.attention,
                ffn=self.ffn if self.mode == AFD else None,
                attention_calibration=found[0],
                ffn_calibration=found[1],
                formats=self.formats,
                deployment=self.mode,
                fan_out=self.scenario.fan_out or "uniform",
                dense_side=self.scenario.shared_experts if self.mode == AFD else "ffn",
                experts_reached=self.scenario.experts_per_ffn_device,
                other_us=self.other_s * 1e6,
                router_us=self.constants.router_s * 1e6,
                routing_exponent=self.routing_exponent,
                load=self.load,
                domain_layout=self.scenario.domain_layout or "",
                **key.of_layers,
            )
        return self._layers[key]

    def deployment_of(
        self,
        attention_devices: Count,
        ffn_devices: Count,
        *,
        batch: Count,
        microbatches: Count = 1,
        plan: Plan | None = None,
        redundant_experts: Count | None = None,
    ) -> Deployment:
        """Return a deployment of these devices, or many, elementwise.

        Under `ep` there are no FFN devices, whatever is given; where redundant experts are not, they fill the
        devices that hold experts.
        """
        apart = ffn_devices if self.mode == AFD else None
        plan = plan or Plan(self.transport)
        if redundant_experts is None:
            holders = np.asarray(attention_devices if apart is None else apart)
            redundant_experts = self.fill(holders / plan.expert_tensor_parallel, plan.spare_experts)
        if apart is None:
            plan = plan._replace(afd_cut=ATTENTION_CUT)
        return Deployment(
            mode=self.mode,
            attention_devices=attention_devices,
            ffn_devices=apart,
            batch=batch,
            microbatches=microbatches,
            redundant_experts=redundant_experts,
            **plan._asdict(),
        )

    def operators(
        self, deployment: Deployment, *, query_tokens: int | None = None, prompt: Prompt | None = None
    ) -> Iterator[Operator]:
        """Yield the operators of one micro-batch on the fullest devices, without imbalance and slowdown.

        A prompt, or a part of one, is computed besides the sequences decoded, or alone where there are none.
        """
        layers = self.layers(*deployment.plan)
        devices: dict[str, Any] = {
            "attention_devices": self._sending(deployment),
            "ffn_devices": deployment.ffn_devices,
            "redundant_experts": deployment.redundant_experts,
        }
        if prompt is not None and not np.any(deployment.batch):
            return prefill_operators(layers, **prompt._asdict(), **devices)
        return decode_operators(
            layers,
            sequences=deployment.sequences,
            context=self.scenario.context,
            query_tokens=query_tokens or self.scenario.query_tokens,
            mean_share=self.scenario.sigma_dp,
            prompt=prompt,
            **devices,
        )

    @property
    def attention_groups(self) -> int:
        """Attention groups that take turns at the FFN devices; one under `ep` [1]."""
        return self.scenario.attention_groups if self.mode == AFD else 1

    def _sending(self, deployment: Deployment) -> Count:
        """Return the attention devices that send to the experts at once: those of one group [1]."""
        groups = self.attention_groups
        return deployment.attention_devices if groups == 1 else deployment.attention_devices / groups

    def turns(self, deployment: Deployment) -> LayerTimes:
        """Return how long a micro-batch takes each stage over the time that it needs (`turns_of`) [1]."""
        if self.attention_groups == 1:
            return ONE_GROUP
        assert deployment.ffn_devices is not None  # noqa: S101 - two groups have both
        return turns_of(
            groups=self.attention_groups,
            attention_devices=deployment.attention_devices,
            ffn_devices=deployment.ffn_devices,
        )

    def in_service(self, operator: Operator, deployment: Deployment | None = None) -> FloatArray:
        """Return the factor on an operator's time in service: on what leaves a domain, on full devices.

        Of a deployment also on the core of the attention device whose caches are longest.
        """
        if operator.name == "core_attention" and operator.efficiency != "state" and deployment is not None:
            return self._longest_caches(deployment)
        if operator.side == "network" or operator.efficiency == "link":
            routed = operator.part == "experts" and not operator.name.endswith("_dense")
            slower: FloatArray = np.where(operator.arguments.get("crosses", False), self.slowdown, 1.0)[()]
            return slower / (self.scenario.sigma_ep if routed else 1.0)
        routed = operator.name in {"experts_up", "experts_down", "experts_handling", "experts_fused"}
        return 1.0 / self.scenario.sigma_ep if routed else 1.0

    def _longest_caches(self, deployment: Deployment) -> FloatArray:
        """Return what the attention group with the longest caches reads over the mean [1]."""
        variation = self.scenario.context_variation
        if not variation or not np.any(deployment.batch):
            return 1.0
        groups = np.divide(self._sending(deployment), deployment.tensor_parallel)
        found: FloatArray = longest_caches_share(
            groups=groups, sequences=np.maximum(deployment.sequences, 1.0), variation=variation
        )
        return found

    def _blocks(
        self, deployment: Deployment, query_tokens: int, prompt: Prompt | None = None
    ) -> tuple[list[Block], FloatArray]:
        """Return the layers of the model by kind, and the time of what comes once a micro-batch."""
        model = self.scenario.model
        kinds = {kind.name for kind in model.attention}
        mixing: dict[tuple[str, str], FloatArray] = {}
        core = deployment.afd_cut == CORE_CUT and self.mode == AFD
        common: FloatArray = 0.0
        once: FloatArray = 0.0
        parts: dict[tuple[str, bool], FloatArray] = {}
        for item in self.operators(deployment, query_tokens=query_tokens, prompt=prompt):
            factor = self.in_service(item, deployment)
            time = item.time if isinstance(factor, float) and factor == 1.0 else item.time * factor
            side = item.name.partition("_")[0] if item.side == "network" else item.side
            if item.part == "head":
                once = steps.added(once, time)
            elif item.part in kinds:
                mixing[item.part, side] = steps.added(mixing.get((item.part, side), 0.0), time)
            elif item.part == "residual":
                common = common + time * (item.layers / model.layers)
            else:
                dense = item.part == "dense" or item.name.endswith("_dense")
                parts[side, dense] = steps.added(parts.get((side, dense), 0.0), time)
        order = layer_order(model)
        blocks = []
        beside = {"ffn" if core else "attention": common}
        kinds_times = self._mixing(mixing)
        for (kind, dense), count in zip(order.kinds, order.counts, strict=True):
            attention, ffn, dispatch, combine = (
                steps.added(kinds_times[kind][side], beside.get(side, 0.0), parts.get((side, dense), 0.0))
                for side in STAGES
            )
            blocks.append(Block(float(count), attention, ffn, dispatch, combine, dense=dense))
        return blocks, once

    def _mixing(self, times: dict[tuple[str, str], FloatArray]) -> list[dict[str, FloatArray]]:
        """Return the times of layers that mix a sequence, by stage: of each kind, or before an FFN layer."""
        model = self.scenario.model
        ffn_layers = model.moe_layers + model.dense_layers
        if model.attention_layers == ffn_layers:
            return [{side: times.get((kind.name, side), 0.0) for side in STAGES} for kind in model.attention]
        # layers that only mix, between others that only have an FFN: each of these gets a mean share
        means: dict[str, FloatArray] = {}
        for side in STAGES:
            whole: FloatArray = 0.0
            for kind in model.attention:
                whole = whole + times.get((kind.name, side), 0.0) * kind.layers
            means[side] = np.divide(whole, ffn_layers)
        return [means]

    def step(self, deployment: Deployment, *, prompt: Prompt | None = None, least: bool = False) -> Step:
        """Return the time of a step, elementwise over the arrays of a deployment; or one that it is above."""
        blocks, once = self.micro_batch(deployment, prompt=prompt)
        return self.step_of(blocks, once, deployment, least=least)

    def micro_batch(
        self, deployment: Deployment, *, prompt: Prompt | None = None
    ) -> tuple[list[Block], FloatArray]:
        """Return the times of one micro-batch: of its layers by kind, and of what comes once [s]."""
        scenario = self.scenario
        blocks, once = self._blocks(deployment, scenario.query_tokens, prompt)
        drafted = scenario.query_tokens - 1
        if drafted and np.any(
            deployment.batch
        ):  # each drafted token takes one more layer, of the commonest kind, and the head
            drafting, head = self._blocks(deployment, 1)
            kind = max(range(len(drafting)), key=lambda index: drafting[index].layers)
            blocks.append(drafting[kind]._replace(layers=float(drafted)))
            once = once + drafted * head
        return blocks, once

    def step_of(
        self,
        blocks: list[Block],
        once: FloatArray,
        deployment: Deployment,
        *,
        microbatches: Count | None = None,
        least: bool = False,
        where: NDArray[np.bool_] | None = None,
    ) -> Step:
        """Return the time of a step of micro-batches alike, so many or a deployment's, and of the host [s].

        Where layers differ `least` spares following them: the time is then one that none is below. So does
        `where` for steps whose time is not wanted.
        """
        m = np.multiply(deployment.microbatches if microbatches is None else microbatches, 1.0)
        if self.scenario.transfer_share:
            blocks = [self._beside_transfers(block, m) for block in blocks]
        turns = self.turns(deployment)
        if deployment.afd_cut == CORE_CUT and self.mode == AFD:  # what comes once is the FFN side's too
            once = turns.ffn * once
        once = self.gap + self.pause(deployment) + m * once
        if self.mode == EP:
            layers = steps.ep_layers(blocks, m)
        elif not self.full_duplex:
            layers = steps.sharing_layers(blocks, m, turns)
        else:
            order = layer_order(self.scenario.model)
            layers = steps.afd_layers(blocks, m, order, turns, least=least, where=where)
        return Step(once + layers, once, tuple(blocks))

    def _beside_transfers(self, block: Block, microbatches: FloatArray) -> Block:
        """Return layers whose kernels run on the processors that transfers of other micro-batches leave."""
        slower = overlapped_time_share(microbatches=microbatches, transfer_share=self.scenario.transfer_share)
        return block._replace(attention=slower * block.attention, ffn=slower * block.ffn)

    def busiest(self, block: Block, deployment: Deployment) -> FloatArray:
        """Return the time of the busiest stage of a layer between two groups, others' turns included [s]."""
        return steps.busiest(block, full_duplex=self.full_duplex, turns=self.turns(deployment))

    def tokens_per_s_per_device(self, deployment: Deployment, step: FloatArray) -> FloatArray:
        """Return output tokens of all sequences per second, over all devices that are paid for [tokens/s]."""
        rate = pipeline.token_rate(
            batch=np.multiply(deployment.batch, self.scenario.sigma_dp),
            accept_length=self.scenario.accept_length,
            step=step,
        )
        groups = np.divide(deployment.attention_devices, deployment.tensor_parallel)
        return rate * np.divide(groups, self.paid_devices(deployment))

    def paid_devices(self, deployment: Deployment) -> FloatArray:
        """Return the devices a job pays for: on a torus those of whole slices, idle ones included [1]."""
        if self.attention.id == self.ffn.id:
            return torus.paid_devices(deployment.devices, self.attention)
        sides = ((deployment.attention_devices, self.attention), (deployment.expert_devices, self.ffn))
        paid = [torus.paid_devices(devices, system) for devices, system in sides]
        return paid[0] + paid[1]

    @cached_property
    def held(self) -> DeviceMemory:
        """What devices hold."""
        apart = self.mode == AFD
        return DeviceMemory(
            scenario=self.scenario,
            formats=self.formats,
            attention=self.attention,
            ffn=self.ffn,
            apart=apart,
            held_tokens=self.held_tokens,
            shared_side=self.layers(self.transport).shared_side if apart else "attention",
            dense_side=self.scenario.shared_experts if apart else "attention",
        )

    @property
    def cache_bytes(self) -> float:
        """Bytes of cache and state of one sequence [B]."""
        return float(self.cache_of(self.held_tokens))

    def cache_of(self, tokens: float, tensor_parallel: Count = 1, context_parallel: Count = 1) -> FloatArray:
        """Return the bytes of cache and state of a sequence, on one of the devices that share heads [B]."""
        return self.held.cache_of(tokens, tensor_parallel, context_parallel)

    def memory(self, deployment: Deployment) -> tuple[FloatArray, FloatArray]:
        """Return the bytes of an attention device and of an FFN device; the same twice under `ep` [B]."""
        return self.held.planned(deployment)

    def usable_memory(self) -> tuple[float, float]:
        """Return the bytes of a device that may be used, attention and FFN side [B]."""
        return self.held.usable("attention"), self.held.usable("ffn")

    def largest_batch(
        self,
        deployment: Deployment,
        *,
        working: tuple[FloatArray, FloatArray] = (0.0, 0.0),
        shared_tokens: float | None = None,
    ) -> FloatArray:
        """Return the most sequences an attention device has memory for; negative where weights do not fit.

        `working` is what else an attention and an FFN device hold [B]; `shared_tokens` are cached once for
        all sequences, where they share them.
        """
        return self.held.largest_batch(deployment, working=working, shared_tokens=shared_tokens)

    def fill(self, devices: Count, spare: Count | None = None) -> FloatArray:
        """Return the redundant experts that devices hold: as fill them evenly, and so many more on each [1].

        Devices that share each expert count once; how many more is as loads ask for where absent
        (`ExpertLoad.redundant`).
        """
        experts = self.scenario.model.routed_experts
        given = self.scenario.redundant_experts
        if given is not None:
            return np.zeros(np.shape(devices)) + given
        fill: FloatArray = np.ceil(np.divide(experts, devices)) * devices - experts
        if spare is not None:
            return fill + np.multiply(spare, devices)
        return fill if self.load is None else self.load.redundant(np.multiply(devices, 1.0), fill)

    @cached_property
    def grains(self) -> tuple[float, ...]:
        """Sequences of a micro-batch that fill the attention side's processors, but for a rest of the last.

        Those of one wave, and the least whole number whose pieces leave no processor idle.
        """
        found = self.layers(self.transport).calibration("attention")
        waves = set()
        for kind in self.scenario.model.attention:
            processors = found.of(kind.kernel, self.formats.cache).processors
            if processors:
                shared = math.gcd(round(processors), kind.work_items)
                waves |= {processors / kind.work_items, processors / shared}
        return tuple(sorted(waves))
