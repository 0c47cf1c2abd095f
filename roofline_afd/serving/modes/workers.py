"""Replicas of one kind on one system: their shapes, their memory, the time of their steps."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.serving.batches import LARGEST_BATCH, microbatches_of
from roofline_afd.serving.candidates import blocks_of, offered, shapes_of
from roofline_afd.serving.deployable import rules_of
from roofline_afd.serving.deployment import AFD, Deployments
from roofline_afd.serving.limits import CLUSTER, KERNELS, MEMORY
from roofline_afd.serving.plans import families_of, plan_of, plans_of, shared_of
from roofline_afd.serving.sizes import ATTENTION_CUT, REPLICATED, Plan, Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.batches import Numbers
    from roofline_afd.serving.deployment import Block, Deployment
    from roofline_afd.serving.modes.question import Question
    from roofline_afd.serving.scenario import Scenario


class Replicas(NamedTuple):
    """Replicas whose plans are alike but for how many devices share: plan by place, devices of both sides."""

    plan: NDArray[Any]
    attention: NDArray[Any]
    ffn: NDArray[Any]

    def rows(self, rows: Any) -> Replicas:  # noqa: ANN401 - whatever picks from an array
        """Return some of them."""
        return Replicas(*(column[rows] for column in self))


LEAST_TOKENS = 1.0
"""Prompt tokens of a micro-batch that are next to none."""
PROMPT_TRANSPORT = "node"
"""What kernels for the many tokens of prompts do: a copy per node, forwarded inside to the devices hit."""


class Workers:
    """Replicas of one kind on one system, and the time of their steps, whatever these carry.

    Parameters
    ----------
    question : Question
        What is asked.
    scenario : Scenario
        Model and system of these devices.
    mode : str
        `ep` or `afd`.
    held : int
        Tokens of a sequence that memory is kept for [1].
    """

    def __init__(self, question: Question, scenario: Scenario, mode: str, *, held: int) -> None:
        work = question.workload
        self.question = question
        self.mode = mode
        self.deployments = Deployments(
            attrs.evolve(scenario, context=max(work.mean_context, 1)), mode, held_tokens=held
        )
        self.transport = self.deployments.transport
        self.prompt_transport = scenario.transport or PROMPT_TRANSPORT
        self.microbatches = microbatches_of(scenario, mode)

    @property
    def scenario(self) -> Scenario:
        """Model and system of these devices."""
        return self.deployments.scenario

    @cached_property
    def shapes(self) -> tuple[Numbers, Numbers]:
        """Attention and FFN devices of every replica, whatever runs it; under `ep` the second is empty."""
        most = min(self.question.devices, self.scenario.max_devices)
        alone = attrs.evolve(self.scenario, devices=None, max_devices=most)
        return shapes_of(Deployments(alone, self.mode))

    @property
    def refusal(self) -> str:
        """What binds where no replica is feasible: memory, where there are shapes."""
        if self.replicas_alike:
            return MEMORY
        return KERNELS if self.shapes[0].size and rules_of(self.deployments) else CLUSTER

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """How the devices of a replica may be used; caches stay whole where prompts are computed too."""
        scenario = self.scenario
        most = min(self.question.devices, scenario.max_devices)
        whole, cut = scenario.context_parallel or 1, scenario.afd_cut or ATTENTION_CUT
        alone = attrs.evolve(scenario, devices=None, max_devices=most, context_parallel=whole, afd_cut=cut)
        return plans_of(Deployments(alone, self.mode))

    @cached_property
    def replicas_alike(self) -> tuple[Replicas, ...]:
        """Every replica, those together whose plans are alike but for how many devices share.

        Tokens are not limited: steps with prompts run other kernels than those that decode alone.
        """
        free = self.scenario.expert_tensor_parallel is None
        experts = self.scenario.model.routed_experts if free else np.inf
        attention, ffn = self.shapes
        found = []
        for family in families_of(self.plans):
            rows = [
                np.flatnonzero(offered(self.deployments, self.plans[code], self.shapes, experts=experts))
                for code in family
            ]
            place = np.concatenate(rows)
            codes = np.repeat(family, [each.size for each in rows])
            if place.size:
                beside = ffn[place] if ffn.size else np.zeros(place.size)
                found.append(Replicas(codes, attention[place], beside))
        return tuple(found)

    def shared(self, codes: NDArray[Any]) -> Numbers:
        """Return how many devices share heads under plans, by place [1]."""
        found: Numbers = shared_of(self.plans)[0][codes] * 1.0
        return found

    def microbatches_of(self, codes: NDArray[Any]) -> tuple[int, ...]:
        """Return the micro-batches to try; a sum over all devices leaves nothing to overlap."""
        summed = self.plans[int(codes.flat[0])].transport == REPLICATED
        return self.microbatches[:1] if summed else self.microbatches

    def deployment(self, replicas: Replicas, *, batch: FloatArray) -> Deployment:
        """Return deployments of replicas alike with one micro-batch of a group."""
        plan = plan_of(replicas.plan, self.plans)
        return self.deployments.deployment_of(replicas.attention, replicas.ffn, batch=batch, plan=plan)

    def prompt(self, tokens: FloatArray) -> Prompt:
        """Return the prompts, or the part of one, that a micro-batch carries."""
        work = self.question.workload
        new = np.minimum(tokens, work.isl)
        return Prompt(np.divide(tokens, new), new, work.prefix + (work.isl - new) / 2.0)

    def micro(self, deployment: Deployment, tokens: FloatArray | None) -> tuple[list[Block], FloatArray]:
        """Return the times of a micro-batch with so many prompt tokens, or none."""
        prompt = None if tokens is None else self.prompt(tokens)
        return self.deployments.micro_batch(self.carrying(deployment, tokens), prompt=prompt)

    def carrying(self, deployment: Deployment, tokens: FloatArray | None) -> Deployment:
        """Return a deployment as it sends the tokens of a step: with those of prompts by other kernels."""
        if tokens is None or deployment.transport == REPLICATED:
            return deployment
        return dataclasses.replace(deployment, transport=self.prompt_transport)

    def step_of(
        self,
        deployment: Deployment,
        micro: tuple[list[Block], FloatArray],
        microbatches: FloatArray,
        where: NDArray[np.bool_] | None = None,
    ) -> FloatArray:
        """Return the time of a step of so many micro-batches alike; where it is wanted, or everywhere [s]."""
        return self.deployments.step_of(*micro, deployment, microbatches=microbatches, where=where).time

    def one_of(
        self,
        deployment: Deployment,
        mixed: tuple[list[Block], FloatArray],
        least: tuple[list[Block], FloatArray],
        microbatches: FloatArray,
        groups: FloatArray,
    ) -> FloatArray:
        """Return the time of a step in which one of several groups alone carries its prompt tokens [s].

        Where layers differ, one that it is not below. All wait for its attention; what experts and exchanges
        of the others add to a step with next to no prompt tokens, `least`, one group adds its share of.
        """
        (full, once), (few, _) = mixed, least
        share = 1.0 / np.maximum(groups, 1.0)
        blocks = [
            block._replace(
                **{
                    name: getattr(less, name) + share * (getattr(block, name) - getattr(less, name))
                    for name in ("ffn", "dispatch", "combine")
                }
            )
            for block, less in zip(full, few, strict=True)
        ]
        return self.deployments.step_of(blocks, once, deployment, microbatches=microbatches, least=True).time

    def mixed_steps(
        self, case: Mapping[str, Numbers], batch: Numbers, tokens: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Return times of steps, one an element, in which all groups carry prompt tokens, or one does [s]."""
        every, one = np.empty(batch.shape), np.empty(batch.shape)
        codes = case["plan"].astype(int)
        for rows in blocks_of(codes, self.plans):
            replicas = Replicas(codes[rows], case["attention"][rows], case["ffn"][rows])
            deployment = self.deployment(replicas, batch=batch[rows])
            micro = self.micro(deployment, tokens[rows])
            groups = replicas.attention / self.shared(replicas.plan)
            every[rows] = self.step_of(deployment, micro, case["m"][rows])
            least = self.micro(deployment, np.minimum(tokens[rows], LEAST_TOKENS))
            one[rows] = self.one_of(deployment, micro, least, case["m"][rows], groups)
        return every, one

    def steps(self, case: Mapping[str, Numbers], batch: Numbers, tokens: Numbers | None = None) -> Numbers:
        """Return the time of steps, one an element, whose micro-batches carry so many prompt tokens [s]."""
        found = np.empty(batch.shape)
        codes = case["plan"].astype(int)
        for rows in blocks_of(codes, self.plans):
            replicas = Replicas(codes[rows], case["attention"][rows], case["ffn"][rows])
            deployment = self.deployment(replicas, batch=batch[rows])
            micro = self.micro(deployment, None if tokens is None else tokens[rows])
            found[rows] = self.step_of(deployment, micro, case["m"][rows])
        return found

    def memory_left(self, replicas: Replicas, *, tokens: float) -> Numbers:
        """Return the sequences of a group that memory holds besides weights and a step's prompt tokens."""
        empty = self.deployment(replicas, batch=0)
        most = self.deployments.largest_batch(
            empty,
            working=self.deployments.held.working(empty, tokens),
            shared_tokens=self.question.workload.prefix if self.question.shared_prefix else None,
        )
        found: Numbers = np.minimum(most, LARGEST_BATCH)
        return found

    def loading(self, tp: Numbers) -> Numbers:
        """Return the time in which a group that shares heads so many ways reads a request's tokens back [s].

        It is before the prompt's own time, as it is not known sooner; other prompts are computed meanwhile.
        """
        found = np.zeros(np.shape(tp))
        if not self.question.loading:
            return found
        _, fabric = self.deployments.layers(self.transport).bandwidths("attention")
        kinds, which = np.unique(tp, return_inverse=True)
        for tokens, bandwidth in self.question.loading:
            speed = fabric if bandwidth is None else bandwidth
            each = [float(self.deployments.cache_of(tokens, int(kind))) for kind in kinds]
            with np.errstate(divide="ignore"):
                found = found + np.divide(each, speed)[which].reshape(np.shape(tp))
        return found

    def replicas(self, attention: FloatArray, ffn: FloatArray) -> Numbers:
        """Return the whole replicas of a shape that the cluster has room for."""
        size = attention + ffn if self.mode == AFD else attention
        domain, devices = self.domain, self.question.devices
        inside = devices // domain * np.floor_divide(domain, size) + np.floor_divide(devices % domain, size)
        found: Numbers = np.where(size <= domain, inside, np.floor_divide(devices, size)) * 1.0
        return found

    @property
    def domain(self) -> int:
        """Devices that a replica which is no larger stays within: a scale-up domain."""
        sides = (self.deployments.attention, self.deployments.ffn)
        return max(side.scale_up_domain_devices for side in sides)

    def room(self, size: FloatArray) -> FloatArray:
        """Return the devices that a replica takes up, with its share of those left over in its domain."""
        if self.question.devices <= self.domain:
            return np.multiply(size, 1.0)
        shared = np.divide(self.domain, np.maximum(np.floor_divide(self.domain, size), 1))
        found: FloatArray = np.where(np.less_equal(size, self.domain), shared, size)
        return found
