"""The one deployment a question describes, or the largest that fits: devices, batch, context."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import refusal
from roofline_afd.analysis.decode.memory import largest_context, largest_parts, memory_of, memory_refusal
from roofline_afd.analysis.decode.rows import SHARED
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.batches import LARGEST_BATCH
from roofline_afd.serving.candidates import admitted
from roofline_afd.serving.checks import choice, option
from roofline_afd.serving.deployable import most_sequences, refused
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.limits import KERNELS, LATENCY, MEMORY, RATIO
from roofline_afd.serving.plans import plans_of
from roofline_afd.serving.scenario import COUNTS, PLUGIN
from roofline_afd.serving.sizes import ATTENTION_CUT

if TYPE_CHECKING:
    from roofline_afd.analysis.decode.questions import Prediction
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Plan

AFD_MICROBATCHES = 3
"""Micro-batches of AFD where none are asked for."""
OVERLAPPED = 2
"""Micro-batches that expert parallelism overlaps, and that the plugin has."""
MOST_DEVICES = 2048
"""Devices up to which a question that kernels do not run looks for a size that they do."""


class Found(NamedTuple):
    """A deployment, the question with its batch or context put in, and what is said of that."""

    scenario: Scenario
    deployment: Deployment
    largest: dict[str, Any]
    answer: str


def asked(question: Prediction) -> Found:
    """Return the deployment a question is about.

    Parameters
    ----------
    question : Prediction
        What is asked: one deployment, or the largest batch or context of one.

    Returns
    -------
    Found
        The deployment, and what was found of it.

    Raises
    ------
    InputError
        If devices or batch are missing, or contradict each other.
    InfeasibleError
        If memory, or the latency target, does not hold one sequence of one token.
    """
    scenario = question.scenario
    mode = mode_of(scenario, question.mode)
    if question.largest_batch and question.largest_context:
        raise InputError("--largest-batch and --largest-context exclude each other: one is given, one found")
    if question.largest_batch:
        return _largest_batch(scenario, mode)
    if question.largest_context:
        return _largest_context(scenario, mode)
    return Found(scenario, deployment_of(Deployments(scenario, mode)), {}, "")


def _largest_batch(scenario: Scenario, mode: str) -> Found:
    """Return the deployment with the largest batch that memory, and a latency target given, allow."""
    if scenario.batch is not None:
        raise InputError("--batch and --largest-batch exclude each other: it is what is asked for")
    deployments = Deployments(scenario, mode)
    every = _ways(Deployments(attrs.evolve(scenario, batch=1), mode))
    roomiest = max(every, key=lambda each: _held(deployments, each))
    if _held(deployments, roomiest) < 1:
        raise refusal(memory_refusal(deployments, roomiest, _held(deployments, roomiest)), scenario)
    counts = counts_asked(attrs.evolve(scenario, batch=OVERLAPPED), mode)
    ways = [dataclasses.replace(each, microbatches=m) for each in every for m in counts]
    batch, binding = max((_most(deployments, way) for way in ways), key=lambda most: most[0])
    found = deployment_of(Deployments(attrs.evolve(scenario, batch=batch), mode))
    why = {None: "the most that are looked at", MEMORY: None}.get(binding, f"bound by {binding}")
    why = why or _terms(deployments, found)
    return Found(
        attrs.evolve(scenario, batch=batch),
        found,
        {"largest_batch": batch, "largest_binding": binding},
        f"The largest batch is {_counted(batch)} of {scenario.context:,} tokens a device, {why}. ",
    )


def _most(deployments: Deployments, way: Deployment) -> tuple[int, str | None]:
    """Return the largest batch of one way to serve, and what binds it."""
    most = min(_held(deployments, way), LARGEST_BATCH)
    binding, batch = MEMORY if most < LARGEST_BATCH else None, int(most)
    sent = float(np.asarray(most_sequences(deployments, way)))
    if sent < batch:
        binding, batch = KERNELS, int(sent)
    if deployments.scenario.tpot_ms is not None and batch >= 1:
        limit = deployments.scenario.step_limit
        in_time = largest_batch_in_time(deployments, dataclasses.replace(way, batch=batch), limit)
        if 1 <= in_time < batch:
            binding, batch = LATENCY, in_time
    return batch, binding


def _largest_context(scenario: Scenario, mode: str) -> Found:
    """Return the deployment with the longest context that memory holds its batch with."""
    deployments = Deployments(scenario, mode)
    ways = _ways(deployments)
    reached = [largest_context(deployments, way) for way in ways]
    context = max(reached)
    deployment = ways[reached.index(context)]
    if context < 1:
        shortest = Deployments(attrs.evolve(scenario, context=1), mode)
        most = float(np.asarray(shortest.largest_batch(deployment)))
        raise refusal(memory_refusal(shortest, deployment, most), scenario)
    longest = attrs.evolve(scenario, context=context)
    limit = scenario.model.quantities.get("max_context_tokens")
    over = limit is not None and context > limit.value
    made = f"; {scenario.model.id} is made for {limit.value:,.0f}" if limit is not None and over else ""
    every = context >= COUNTS["context"]
    why = "no cache grows with it" if every else _terms(Deployments(longest, mode), deployment)
    return Found(
        longest,
        deployment,
        {"largest_context": context, "largest_binding": None if every else MEMORY},
        f"The longest context is {context:,} tokens of {_counted(scenario.batch)} a device, {why}{made}. ",
    )


def _counted(sequences: int | None) -> str:
    """Return how many sequences, in words."""
    return "1 sequence" if sequences == 1 else f"{sequences:,} sequences"


def _terms(deployments: Deployments, deployment: Deployment) -> str:
    """Return that memory binds, with its largest terms."""
    both = memory_of(deployments, deployment)
    return f"bound by {MEMORY} ({largest_parts(both['memory'])} of {both['memory']['driver_gb']:.4g} GB)"


def mode_of(scenario: Scenario, mode: str | None) -> str:
    """Return the mode asked for: `afd` where FFN devices are named and nothing else is said."""
    if mode is None:
        return AFD if scenario.ffn_devices is not None else EP
    return choice("--mode", mode, MODES)


def deployment_of(deployments: Deployments) -> Deployment:
    """Return the one deployment a scenario describes.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Returns
    -------
    Deployment
        Its devices, batch, micro-batches and transport.

    Raises
    ------
    InputError
        If the scenario does not say how many devices and which batch, or contradicts itself.
    InfeasibleError
        If the kernels of its engine, or what it is to be deployable with, do not run it.
    """
    ways = _ways(deployments)
    held = [_held(deployments, each) for each in ways]
    fitting = [each for each, most in zip(ways, held, strict=True) if most >= float(np.asarray(each.batch))]
    if not fitting:
        return ways[held.index(max(held))]
    return min(fitting, key=lambda each: float(deployments.step(each).time))


def _ways(deployments: Deployments) -> list[Deployment]:
    """Return the ways in which the devices of a question may serve its batch; raises as `deployment_of`."""
    scenario, mode = deployments.scenario, deployments.mode
    if scenario.batch is None:
        raise InputError("--batch is missing: sequences of one device; `compare` finds the best")
    plugin = mode == AFD and scenario.deployable_with == PLUGIN
    given = scenario.microbatches
    senders, receivers = _groups(scenario, mode)
    if mode == EP and given and given > OVERLAPPED:
        raise InputError(
            f"--microbatches {given}: expert parallelism overlaps two micro-batches at most; valid: 1, 2"
        )
    if plugin and given not in {None, OVERLAPPED}:
        raise InputError(f"--microbatches {given} cannot run with {PLUGIN}: it has two")
    if plugin and senders < (receivers or 0) and not scenario.any_size:
        raise InfeasibleError(
            f"no: binding is {RATIO}: {PLUGIN} needs as many attention devices as FFN devices at least: "
            f"{senders} are fewer than {receivers}; nearest: --attention-devices {receivers} "
            f"--ffn-devices {receivers}; --any-size lifts that"
        )
    every = [
        deployments.deployment_of(senders, receivers or 0, batch=scenario.batch, microbatches=m, plan=plan)
        for plan in _plans(deployments, senders, receivers)
        for m in counts_asked(scenario, mode)
    ]
    why = [refused(deployments, each) for each in every]
    if all(why):
        nearest = max(every, key=lambda each: float(np.asarray(most_sequences(deployments, each))))
        told = why[every.index(nearest)]
        raise InfeasibleError(f"no: binding is {KERNELS}: {told}{_other_size(deployments, nearest)}")
    return [each for each, reason in zip(every, why, strict=True) if not reason]


def _held(deployments: Deployments, deployment: Deployment) -> float:
    """Return the most sequences of a device that memory holds [1]."""
    return float(np.asarray(deployments.largest_batch(deployment)))


def counts_asked(scenario: Scenario, mode: str) -> tuple[int, ...]:
    """Return the micro-batches to try: those asked for, else one or two under `ep`, what suits better.

    Parameters
    ----------
    scenario : Scenario
        The question, with a batch; one of a single sequence has no halves.
    mode : str
        `ep` or `afd`.

    Returns
    -------
    tuple of int
        Micro-batches [1].
    """
    if scenario.microbatches:
        return (scenario.microbatches,)
    if mode == EP:
        return (1, OVERLAPPED) if (scenario.batch or 1) >= OVERLAPPED else (1,)
    return (OVERLAPPED if scenario.deployable_with == PLUGIN else AFD_MICROBATCHES,)


def plans_asked(deployments: Deployments) -> tuple[dict[str, Any], tuple[Plan, ...]]:
    """Return what devices share, nothing unless that is asked for, and the plans that leaves.

    Parameters
    ----------
    deployments : Deployments
        One mode of a question.

    Returns
    -------
    tuple
        By field of the question; and plans, the plainest first.
    """
    scenario = deployments.scenario
    given: dict[str, Any] = {key: getattr(scenario, key) or 1 for key in SHARED}
    given["afd_cut"] = scenario.afd_cut or ATTENTION_CUT
    return given, plans_of(Deployments(attrs.evolve(scenario, **given), deployments.mode))


def _plans(deployments: Deployments, senders: int, receivers: int | None) -> list[Plan]:
    """Return how the devices of one deployment may be used; nothing is shared unless that is asked for."""
    scenario = deployments.scenario
    if senders % deployments.attention_groups:
        raise InputError(
            f"--attention-groups {scenario.attention_groups} does not divide the {senders} attention devices"
        )
    given, plans = plans_asked(deployments)
    groups = np.array([float(senders)]), np.array([float(receivers)] if receivers else [])
    found = [plan for plan in plans if admitted(plan, *groups)[0]]
    if not found:
        wrong = next(
            (option(key), given[key], many)
            for key, many in (
                ("tensor_parallel", senders),
                ("expert_tensor_parallel", receivers or senders),
            )
            if many % given[key]
        )
        raise InputError(f"{wrong[0]} {wrong[1]} does not divide the {wrong[2]} devices it is for")
    return found


def _other_size(deployments: Deployments, refused_one: Deployment) -> str:
    """Return the nearest devices under `ep` that the kernels run, and how limits are lifted."""
    hint = "; --any-size lifts that"
    if deployments.mode == AFD or np.asarray(most_sequences(deployments, refused_one)) >= 1:
        return hint
    counts = np.arange(1, MOST_DEVICES + 1)
    unit = deployments.attention.devices_per_node
    counts = counts[(counts % unit == 0) | (counts < unit)].astype(float)
    every = dataclasses.replace(
        refused_one,
        attention_devices=counts,
        batch=0,
        redundant_experts=deployments.fill(counts),
    )
    running = counts[np.asarray(most_sequences(deployments, every)) >= np.asarray(refused_one.batch)]
    if not running.size:
        return hint
    nearest = running[np.argmin(np.abs(running - np.asarray(refused_one.attention_devices)))]
    return f"; nearest: --devices {nearest:.0f}{hint}"


def _groups(scenario: Scenario, mode: str) -> tuple[int, int | None]:
    """Return attention and FFN devices; under `ep` all devices, and None."""
    total, senders, receivers = scenario.devices, scenario.attention_devices, scenario.ffn_devices
    if mode == EP:
        if receivers is not None:
            raise InputError("--ffn-devices belongs to --mode afd; under ep every device does both sides")
        if total is None and senders is None:
            raise InputError("--devices is missing: devices that share the experts")
        if total is not None and senders is not None and total != senders:
            raise InputError(
                f"--devices {total} and --attention-devices {senders} contradict each other: under ep "
                "they are the same"
            )
        return total or senders or 0, None
    given = [total, senders, receivers]
    if sum(value is not None for value in given) < 2:  # noqa: PLR2004 - two of three fix the third
        raise InputError("--attention-devices and --ffn-devices are needed, or one of them and --devices")
    if senders is None:
        senders = (total or 0) - (receivers or 0)
    if receivers is None:
        receivers = (total or 0) - senders
    if senders < 1 or receivers < 1 or (total is not None and senders + receivers != total):
        raise InputError(
            f"--devices {total} is not the sum of {senders} attention devices and {receivers} FFN devices"
        )
    return senders, receivers


def largest_batch_in_time(deployments: Deployments, deployment: Deployment, limit: float) -> int:
    """Return the most sequences whose step takes at most `limit` [s]; 0 where one is too many."""
    batches = np.arange(1, int(np.asarray(deployment.batch)) + 1)
    times = np.asarray(deployments.step(dataclasses.replace(deployment, batch=batches)).time)
    return int(np.max(batches, where=times <= limit, initial=0))
