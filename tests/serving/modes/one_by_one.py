"""Every deployment of a serving mode, looked at one by one: what the searches are held against."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
from hypothesis import assume

from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.modes.aggregated import FILLED
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD, Question
from roofline_afd.serving.sizes import Plan, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import Count
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload

    Numbers = NDArray[np.float64]

SAME = 1e-9
"""Of deployments that differ by rounding either may win."""
MOST = 48
"""Sequences of a group from which on looking one by one takes too long."""


class Point(NamedTuple):
    """A deployment, or all of one with the batches of an array: times [s], tokens/s per device."""

    ttft: float
    tpot: float
    rate: float


class Way(NamedTuple):
    """A way to prefill: devices, groups, shared heads, step, time of a prompt, prompts a second."""

    size: int
    attention: int
    heads: int
    chunk: float
    step: float
    ttft: float
    rate: float


class Pool(NamedTuple):
    """A way to decode: devices, attention devices, shared heads, step, time per token, requests a second."""

    size: int
    attention: int
    heads: int
    step: float
    tpot: float
    rate: float


def every_point(question: Question, mode: str) -> list[Point]:
    """Return every deployment of a mode."""
    inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
    return (disaggregated if mode in {PD, PD_AFD} else aggregated)(question, inner)


def aggregated(question: Question, mode: str) -> list[Point]:
    """Return every deployment that prefills and decodes on the same devices, limits aside."""
    work, devices = question.workload, question.devices
    deployments = pool_of(question, mode, question.scenario, work.held)
    scenario = deployments.scenario
    accept, points = scenario.accept_length, []
    for shape in _shapes(scenario, mode, min(devices, scenario.max_devices)):
        for plan in plans_of(deployments, question, shape):
            heads: Any = plan.tensor_parallel
            for chunk in chunk_sizes(work.isl, question.chunk_tokens):
                most = _most_sequences(deployments, question, shape, plan, tokens=chunk, held=work.held)
                for m in _microbatches(scenario, mode, plan):
                    if most < m:
                        continue
                    batch = m * np.arange(1, most // m + 1)
                    found = deployment_of(deployments, shape, plan, batch, m)
                    share: Numbers = np.asarray(accept * batch * work.isl / (work.osl * chunk), dtype=float)
                    own = int(shape[0] / heads)
                    paces = _rhythm(deployments, question, found, chunk, share=share, groups=own)
                    replicas = replicas_of(_domain(deployments), devices, shape[0] + (shape[1] or 0))
                    groups = replicas * shape[0] / heads
                    for row, ways in enumerate(paces):
                        pace = _chosen(question, ways, work.isl / chunk, groups)
                        rate = groups * batch[row] * accept / pace.step
                        if rate / work.osl < (question.request_rate or 0.0):
                            continue
                        slots = batch[row] * (1 + SAME) >= chunk / work.isl
                        if slots and share[row] <= 1 + SAME and math.isfinite(pace.step + pace.ttft):
                            points.append(Point(pace.ttft, pace.step / accept, rate / devices))
    return points


class Pace(NamedTuple):
    """Mean step, time to the first token and time between the steps that carry a prompt [s]."""

    step: float
    ttft: float
    cycle: float


def _chosen(question: Question, ways: tuple[Pace, ...], chunks: float, groups: float) -> Pace:
    """Return the first of two paces that begins in time, else the second; prompts wait for one another."""
    if question.request_rate is not None:
        each, variation = question.request_rate / groups, question.prompt_variation
        waits = [_waiting(each, pace.cycle * chunks, variation) for pace in ways]
        ways = tuple(pace._replace(ttft=pace.ttft + wait) for pace, wait in zip(ways, waits, strict=True))
    return next((pace for pace in ways if pace.ttft <= question.ttft_limit), ways[-1])


def _rhythm(
    deployments: Deployments,
    question: Question,
    found: Deployment,
    chunk: float,
    *,
    share: Numbers,
    groups: int,
) -> list[tuple[Pace, Pace]]:
    """Return the paces to be tried of every batch: prompts carried seldom, and by every step.

    Prompts are carried by one of n steps, the largest n that prefills them all and keeps the limit if all
    groups carried them at once; in that step each group does by itself, with a chance of n times its share.
    """
    work, m = question.workload, float(np.asarray(found.microbatches))
    shape = with_prompts(found, deployments.scenario)
    full, once = deployments.micro_batch(shape, prompt=prompt_of(work, chunk / m))
    few, _ = deployments.micro_batch(shape, prompt=prompt_of(work, 1.0))
    alone = []
    for block, less in zip(full, few, strict=True):
        spread: dict[str, Any] = {
            name: (1 - 1 / groups) * np.asarray(getattr(less, name))
            + np.asarray(getattr(block, name)) / groups
            for name in ("ffn", "dispatch", "combine")
        }
        alone.append(block._replace(**spread))
    mixed, one, pure = (
        np.broadcast_to(np.asarray(each.time), share.shape)
        for each in (
            deployments.step_of(full, once, shape),
            deployments.step_of(alone, once, shape, least=True),
            deployments.step(found),
        )
    )
    chunks = math.ceil(round(work.isl / chunk, 9))
    most = FILLED if question.request_rate is not None else 1.0
    rows = []
    for f, all_of, one_of, none in zip(
        share.tolist(), mixed.tolist(), one.tolist(), pure.tolist(), strict=True
    ):
        fitting = [
            n
            for n in range(1, 257)
            if n * f <= most * (1 + SAME)
            and chunks * all_of + (n - 1) * (chunks - 0.5) * none <= question.ttft_limit * (1 + SAME)
        ]
        ways = []
        for n in (max(fitting, default=1) if groups > 1 else 1, 1):
            p = min(n * f, 1.0)
            chances = [math.comb(groups, k) * p**k * (1 - p) ** (groups - k) for k in range(groups + 1)]
            times = [
                none,
                *(one_of + (all_of - one_of) * (k - 1) / max(groups - 1, 1) for k in range(1, groups)),
            ]
            held = sum(chance * time for chance, time in zip(chances, [*times, all_of], strict=True))
            own = all_of if groups == 1 else one_of + p * (all_of - one_of)
            cycle = own + (n - 1) * none
            ways.append(Pace((held + (n - 1) * none) / n, chunks * cycle - (n - 1) / 2 * none, cycle))
        rows.append((ways[0], ways[1]))
    return rows


def disaggregated(question: Question, mode: str) -> list[Point]:
    """Return every pair of pools on devices of their own, limits aside but for the request rate."""
    work, devices = question.workload, question.devices
    before = pool_of(question, mode, question.prefill, work.prompt)
    after = pool_of(question, mode, question.scenario, work.held)
    send, receive, latency = _link(question, before, after)
    ways = _ways(question, before)
    points: list[Point] = []
    if not (send and receive and ways):
        return points
    sizes = np.array([_room(before, devices, way.size) for way in ways])
    for pool in _pools(question, after):
        moved = work.isl if question.kv_moved == "new" else work.prompt
        volume = pool.heads * after.cache_of(moved, pool.heads)
        senders = np.array([way.heads for way in ways]) * send
        moving = latency + volume / np.minimum(senders, pool.heads * receive)
        steps = np.array([way.step for way in ways])
        if question.kv_overlap:
            moving = np.maximum(moving - steps, 0) + moving / after.scenario.model.layers
        ttft = np.array([way.ttft for way in ways]) + moving
        if question.first_token == "decode":  # noqa: S105 - no password
            ttft = ttft + pool.step
        prefill = np.minimum(
            [way.rate for way in ways], np.array([way.attention for way in ways]) * send / volume
        )
        decode = min(pool.rate, pool.attention * receive / volume)
        room = _room(after, devices, pool.size)
        for n_prefill, n_decode in itertools.product(range(1, devices), range(1, devices)):
            fits = n_prefill * sizes + n_decode * room <= devices + SAME
            rate = np.minimum(n_prefill * prefill, n_decode * decode)
            for row in np.flatnonzero(fits):
                wait, way = 0.0, ways[row]
                if question.request_rate is not None:
                    if rate[row] < question.request_rate:
                        continue
                    each = question.request_rate / (n_prefill * way.attention / way.heads)
                    wait = _waiting(each, way.step * work.isl / way.chunk, question.prompt_variation)
                if math.isfinite(wait):
                    value = float(rate[row]) * work.osl / devices
                    points.append(Point(float(ttft[row]) + wait, pool.tpot, value))
    return points


def _ways(question: Question, deployments: Deployments) -> list[Way]:
    work, found = question.workload, []
    for shape in _shapes(deployments.scenario, deployments.mode, question.devices):
        for plan in plans_of(deployments, question, shape):
            heads: Any = plan.tensor_parallel
            for chunk in chunk_sizes(work.isl, question.chunk_tokens):
                most = _most_sequences(deployments, question, shape, plan, tokens=chunk, held=work.prompt)
                if most < math.ceil(round(chunk / work.isl, 9)):
                    continue
                for m in _microbatches(deployments.scenario, deployments.mode, plan):
                    empty = deployment_of(deployments, shape, plan, 0, m)
                    empty = with_prompts(empty, deployments.scenario)
                    step = float(deployments.step(empty, prompt=prompt_of(work, chunk / m)).time)
                    rate = shape[0] / heads * chunk / (work.isl * step)
                    ttft = math.ceil(round(work.isl / chunk, 9)) * step
                    if math.isfinite(step):
                        found.append(
                            Way(shape[0] + (shape[1] or 0), shape[0], heads, chunk, step, ttft, rate)
                        )
    return found


def _pools(question: Question, deployments: Deployments) -> list[Pool]:
    work, found = question.workload, []
    accept = deployments.scenario.accept_length
    for shape in _shapes(deployments.scenario, deployments.mode, question.devices):
        for plan in plans_of(deployments, question, shape):
            heads: Any = plan.tensor_parallel
            most = _most_sequences(deployments, question, shape, plan, tokens=0, held=work.held)
            for m in _microbatches(deployments.scenario, deployments.mode, plan):
                if most < m:
                    continue
                batch = m * np.arange(1, most // m + 1)
                step = deployments.step(deployment_of(deployments, shape, plan, batch, m)).time
                rate = shape[0] / heads * batch * accept / (step * work.osl)
                found += [
                    Pool(shape[0] + (shape[1] or 0), shape[0], heads, *(float(each) for each in row))
                    for row in zip(step, step / accept, rate, strict=True)
                    if math.isfinite(row[0])
                ]
    return found


def _link(question: Question, sender: Deployments, receiver: Deployments) -> tuple[float, float, float]:
    """Return the bandwidth of a device at either end, and the fixed time."""
    first, second = (each.layers(each.transport).calibration("attention").link for each in (sender, receiver))
    one, two = sender.attention, receiver.attention
    inside = one.id == two.id and question.devices <= one.scale_up_domain_devices
    if question.kv_link == "scale-up" or (question.kv_link == "auto" and inside):
        return (
            one.scale_up.bytes_per_s * first.efficiency_up,
            two.scale_up.bytes_per_s * second.efficiency_up,
            max(first.latency_up_s, second.latency_up_s),
        )
    if one.scale_out is None or two.scale_out is None:
        return 0.0, 0.0, 0.0
    return (
        one.scale_out.bytes_per_s * first.efficiency_out,
        two.scale_out.bytes_per_s * second.efficiency_out,
        max(first.latency_out_s, second.latency_out_s),
    )


def pool_of(question: Question, mode: str, scenario: Scenario, held: int) -> Deployments:
    return Deployments(attrs.evolve(scenario, context=question.workload.mean_context), mode, held_tokens=held)


def _shapes(scenario: Scenario, mode: str, devices: int) -> Iterator[tuple[int, int | None]]:
    """Yield the groups of every replica, one by one."""
    for size in range(1, devices + 1):
        if mode == EP:
            yield size, None
        else:
            for attention in range(1, size):
                if not scenario.deployable_with or attention >= size - attention:
                    yield attention, size - attention


def plans_of(deployments: Deployments, question: Question, shape: tuple[int, int | None]) -> Iterator[Plan]:
    """Yield how devices of a shape may be used: heads and experts shared, tokens sent or everywhere."""
    given, model = question.scenario.tensor_parallel, deployments.scenario.model
    holders = shape[1] or shape[0]
    domain = deployments.attention.scale_up_domain_devices
    powers = [each for each in (1, 2, 4, 8, 16) if each <= domain]
    load = deployments.load
    levelled = load is not None and load.placement == "levelled"
    for heads in [given] if given else powers:
        divides = all(kind.split(heads) is not None for kind in model.attention)
        if not divides or shape[0] % heads:
            continue
        for parts in powers:
            if model.expert_intermediate % parts or holders % parts:
                continue
            # a second copy beside the first, on the one device that holds all, is nothing that runs
            spares = (0, 1) if levelled and holders > parts else (0,)
            if parts == 1 or holders > model.routed_experts * parts // 2:
                yield from (Plan("", heads, 1, parts, spare_experts=spare) for spare in spares)
            everywhere = heads == shape[0] > 1 and deployments.scenario.transport is None
            if deployments.mode == EP and everywhere and parts in {1, heads}:
                yield from (Plan("replicated", heads, 1, parts, spare_experts=spare) for spare in spares)


def _microbatches(scenario: Scenario, mode: str, plan: Plan) -> tuple[int, ...]:
    if mode == EP:
        found = (scenario.microbatches,) if scenario.microbatches in {1, 2} else (1, 2)
        return found[:1] if plan.transport == "replicated" else found
    if scenario.deployable_with:
        return (2,)
    return (scenario.microbatches,) if scenario.microbatches else (1, 2, 3, 4)


def deployment_of(
    deployments: Deployments,
    shape: tuple[int, int | None],
    plan: Plan,
    batch: Count,
    m: int,
) -> Deployment:
    """Return a deployment with experts on the devices that hold them: as fill these, or one more on each."""
    attention, ffn = shape
    holders = (ffn or attention) // plan.expert_tensor_parallel
    experts = deployments.scenario.model.routed_experts
    return Deployment(
        mode=deployments.mode,
        attention_devices=attention,
        ffn_devices=ffn,
        batch=batch,
        microbatches=m,
        redundant_experts=-experts % holders + (plan.spare_experts or 0) * holders,
        **plan._asdict(),
    )


def with_prompts(found: Deployment, scenario: Scenario) -> Deployment:
    """Return a deployment in a step with prompts: one copy of a token to each node, if nothing is asked."""
    if found.transport == "replicated":
        return found
    return dataclasses.replace(found, transport=scenario.transport or "node")


def prompt_of(work: Workload, tokens: float) -> Prompt:
    """Return the prompts of a micro-batch: whole ones, or a part in the middle of one."""
    new = min(tokens, work.isl)
    return Prompt(tokens / new, new, work.prefix + (work.isl - new) / 2)


def _most_sequences(
    deployments: Deployments,
    question: Question,
    shape: tuple[int, int | None],
    plan: Plan,
    *,
    tokens: float,
    held: int,
) -> int:
    """Count the sequences of a group that memory holds, one more at a time."""
    model, work = deployments.scenario.model, question.workload
    heads = plan.tensor_parallel
    attention, ffn = shape
    weights = [float(each) for each in deployments.memory(deployment_of(deployments, shape, plan, 0, 1))]
    width = max(
        kind.heads * sum(kind.core_widths(absorbed=False)) + kind.entry_elements for kind in model.attention
    )
    mine = 2 * tokens * (2 * model.hidden_size + width / heads)
    pairs = tokens / heads * attention * model.mean_top_k / (ffn or attention)
    theirs = 2 * pairs * (2 * model.dispatch_width + model.expert_matrices * model.expert_intermediate)
    room = deployments.usable_memory()
    own, whole = held, 0.0
    if question.shared_prefix and work.prefix:
        own, whole = held - work.prefix, deployments.cache_of(work.prefix, heads)
    if ffn is None:
        mine += theirs
    elif weights[1] + theirs > room[1]:
        return 0
    each, count = deployments.cache_of(own, heads), 0
    while weights[0] + mine + whole + (count + 1) * each <= room[0]:
        count += 1
        assume(count < MOST)
    return count


def replicas_of(system_domain: int, devices: int, size: int) -> int:
    """Count the replicas of a cluster, none across domains that fits within one."""
    if size > system_domain:
        return devices // size
    count, left = 0, devices
    while left > 0:
        count += min(left, system_domain) // size
        left -= system_domain
    return count


def _domain(deployments: Deployments) -> int:
    return max(each.scale_up_domain_devices for each in (deployments.attention, deployments.ffn))


def _room(deployments: Deployments, devices: int, size: int) -> float:
    """Return the devices that a replica takes of a cluster, with its share of what its domain has left."""
    domain = _domain(deployments)
    return size if devices <= domain or size > domain else domain / (domain // size)


def _waiting(rate: float, service: float, variation: float) -> float:
    load = rate * service
    return load * service * (1 + variation**2) / (2 * (1 - load)) if load < 1 else math.inf
