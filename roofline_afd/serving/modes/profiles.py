"""What a deployment takes for each step, by the sequences it decodes and the prompts it carries."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD
from roofline_afd.serving.modes.transfer import CacheTransfer
from roofline_afd.serving.modes.workers import Replicas, Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers
    from roofline_afd.serving.deployment import Deployment, Deployments
    from roofline_afd.serving.modes.question import Question

GRID = 24
"""Batches between which step times are taken to lie on lines."""
FILLS = 8
"""Parts of a chunk that are told apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """Replicas alike: how many, their groups and places, and what a step of one takes.

    `even` is its time by the sequences of a replica, from none to all places, and by how full the chunks of
    its groups are, all alike, in eighths; `uneven` where they are so full in the mean, but one wholly [s].
    Without prompts `chunk` is 0.
    """

    replicas: int
    devices: int
    """Of a replica."""
    groups: int
    slots: int
    chunk: float
    every: int
    """Steps of which one carries prompts."""
    even: NDArray[np.float64]
    uneven: NDArray[np.float64]


def profiles_of(question: Question, mode: str, point: Mapping[str, float]) -> tuple[Profile, ...]:
    """Return what a deployment of a serving mode takes for its steps.

    Parameters
    ----------
    question : Question
        What was asked.
    mode : str
        Its serving mode.
    point : mapping of str to float
        A point of `explore_modes`, or of `cheapest_fleets`.

    Returns
    -------
    tuple of Profile
        That of replicas which do both phases; or those of prefill and of decode.
    """
    inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
    work = question.workload
    if mode not in {PD, PD_AFD}:
        workers = Workers(question, question.scenario, inner, held=work.held)
        return (_profile(workers, point, "", chunk=point["chunk"], slots=_slots(point)),)
    before = Workers(question, question.prefill, inner, held=work.prompt)
    after = Workers(question, question.scenario, inner, held=work.held)
    return (
        _profile(before, point, "p_", chunk=point["chunk"], slots=0),
        _profile(after, point, "", chunk=0.0, slots=_slots(point)),
    )


def decode_profile(deployments: Deployments, deployment: Deployment) -> Profile:
    """Return what one deployment takes for the steps of sequences whose prompts are computed elsewhere.

    Parameters
    ----------
    deployments : Deployments
        One mode of a question.
    deployment : Deployment
        The deployment, with all its places taken.

    Returns
    -------
    Profile
        That of one replica.
    """
    groups = max(round(float(np.asarray(deployment.attention_devices) / deployment.tensor_parallel)), 1)
    slots, m = round(float(np.asarray(deployment.batch))), float(np.asarray(deployment.microbatches))
    batches = np.unique([m, *np.round(np.linspace(m, slots, min(GRID, slots)))])
    times = deployments.step(dataclasses.replace(deployment, batch=batches)).time
    held = np.arange(1, slots * groups + 1) / groups
    steps = np.interp(np.maximum(held, batches[0]), batches, np.broadcast_to(times, batches.shape))
    table = np.concatenate([[0.0], steps])[:, None]
    return Profile(
        replicas=1,
        devices=round(float(np.asarray(deployment.devices))),
        groups=groups,
        slots=slots * groups,
        chunk=0.0,
        every=1,
        even=table,
        uneven=table,
    )


def prompt_time(question: Question, mode: str, point: Mapping[str, float]) -> float:
    """Return what whole chunks of prompts add to a step of a deployment with all its places taken [s]."""
    workers, prefix = _prefilling(question, mode)
    one = _numbers(point, prefix)
    micro = np.array([0.0 if prefix else _slots(point) / one["m"]])
    full, none = (_times(workers, one, micro, point["chunk"] / one["m"], part)[0] for part in (1.0, 0.0))
    return float(full[0] - none[0])


def _numbers(point: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return the numbers of a pool of a deployment."""
    names = ("attention", "ffn", "tp", "plan", "m", "replicas")
    return {name: float(point[f"{prefix}{name}"]) for name in names}


def transfer_time(question: Question, mode: str, point: Mapping[str, float]) -> float:
    """Return how long a cache moves between the pools of a deployment [s]; 0 where it has one."""
    if mode not in {PD, PD_AFD}:
        return 0.0
    inner = AFD if mode == PD_AFD else EP
    work = question.workload
    before = Workers(question, question.prefill, inner, held=work.prompt)
    after = Workers(question, question.scenario, inner, held=work.held)
    moving = CacheTransfer(question, before, after).time(point["p_tp"], int(point["tp"]))
    return float(np.asarray(moving))


def loading_time(question: Question, mode: str, point: Mapping[str, float]) -> float:
    """Return how long cached tokens of a request are read back before its prompt is computed [s]."""
    if not question.loading:
        return 0.0
    workers, prefix = _prefilling(question, mode)
    return float(workers.loading(np.asarray(point[f"{prefix}tp"])))


def free_sequences(question: Question, mode: str, point: Mapping[str, float]) -> float:
    """Return the sequences whose cache devices that prefill have memory left for, besides what they run [1].

    They are as long as those that the devices run: prompts where another pool decodes, else whole ones.
    """
    workers, prefix = _prefilling(question, mode)
    one = _numbers(point, prefix)
    replicas = Replicas(*(np.array([value]) for value in (int(one["plan"]), one["attention"], one["ffn"])))
    most = float(workers.memory_left(replicas, tokens=point["chunk"])[0])
    running = max(point["chunk"] / question.workload.isl, 1.0) if prefix else point["batch"]
    return max(most - running, 0.0) * one["attention"] / one["tp"] * one["replicas"]


def _prefilling(question: Question, mode: str) -> tuple[Workers, str]:
    """Return the workers that compute prompts, and what their numbers begin with in a point."""
    inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
    work = question.workload
    if mode in {PD, PD_AFD}:
        return Workers(question, question.prefill, inner, held=work.prompt), "p_"
    return Workers(question, question.scenario, inner, held=work.held), ""


def _slots(point: Mapping[str, float]) -> int:
    """Return the sequences of an attention group."""
    return max(int(point["batch"]), 1)


def _profile(
    workers: Workers, point: Mapping[str, float], prefix: str, *, chunk: float, slots: int
) -> Profile:
    """Return the profile of one pool: `slots` are the sequences of a group, 0 of one that prefills."""
    one = _numbers(point, prefix)
    groups = max(round(one["attention"] / one["tp"]), 1)
    batches = np.unique([0.0, min(slots, 1.0), *np.round(np.linspace(0, slots, min(GRID, slots) + 1))])
    parts = np.arange(FILLS + 1 if chunk else 1) / FILLS
    times = [_times(workers, one, batches / one["m"], chunk / one["m"], part) for part in parts.tolist()]
    held = np.arange(slots * groups + 1) / groups
    held[1:] = np.maximum(held[1:], 1.0)  # of the fullest group

    def table(which: int) -> NDArray[np.float64]:
        return np.stack([np.interp(held, batches, each[which]) for each in times], axis=1)

    return Profile(
        replicas=round(one["replicas"]),
        devices=round(one["attention"] + one["ffn"]),
        groups=groups,
        slots=slots * groups,
        chunk=chunk,
        every=round(point.get("every", 1.0)) if slots and chunk else 1,
        even=table(0),
        uneven=table(1),
    )


def _times(
    workers: Workers, one: Mapping[str, float], micro: Numbers, chunk: float, part: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times of a step by the sequences of a micro-batch, whose chunks are full in part [s].

    Those of all groups alike, and where one is wholly full.
    """
    even, uneven = np.zeros(micro.shape), np.zeros(micro.shape)
    for rows in (np.flatnonzero(micro > 0), np.flatnonzero(micro <= 0)):
        if not rows.size or not (part or micro[rows[0]]):
            continue
        alike = np.ones(rows.size)
        replicas = Replicas(
            int(one["plan"]) * alike.astype(int), one["attention"] * alike, one["ffn"] * alike
        )
        deployment = workers.deployment(replicas, batch=micro[rows])
        blocks, once = workers.micro(deployment, part * chunk * alike if part else None)
        even[rows] = uneven[rows] = workers.step_of(deployment, (blocks, once), one["m"] * alike)
        if 0 < part < 1:
            full, last = workers.micro(deployment, chunk * alike)
            longest = [
                block._replace(attention=other.attention) for block, other in zip(blocks, full, strict=True)
            ]
            uneven[rows] = workers.step_of(deployment, (longest, last), one["m"] * alike)
    return even, uneven
