"""Where the memory of a device goes: a breakdown of each side, and what leaves no room."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.serving.memory import PARTS
from roofline_afd.serving.scenario import COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.serving.deployment import Deployment, Deployments

NAMES = {
    "experts": "routed experts",
    "shared_experts": "shared experts",
    "dense": "dense layers",
    "attention": "attention weights",
    "embeddings": "embedding and head",
    "cache": "cache",
    "state": "state",
    "activations": "activations",
    "graphs": "graphs",
    "libraries": "libraries",
    "buffers": "exchange buffers",
    "reserve": "kept free",
    "free": "left",
}
"""Parts as sentences call them."""
SEEN_GB = 0.005
"""Parts below this are not told."""
NAMED = 3
"""Largest parts that a refusal names."""


def memory_of(deployments: Deployments, deployment: Deployment) -> dict[str, Any]:
    """Return the breakdown of the memory of a deployment's devices.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.

    Returns
    -------
    dict
        `memory` of an attention device, and `ffn_memory` of an FFN device or None: `driver_gb`, what the
        driver reports, each part that is held, `reserve_gb`, what is kept free, and `free_gb`, what is left.
    """
    mine, theirs = (
        {f"{name}_gb": size / 1e9 for name, size in side.items()}
        for side in deployments.held.breakdown(deployment)
    )
    return {"memory": mine, "ffn_memory": theirs if deployment.ffn_devices is not None else None}


def held_of(memory: Mapping[str, float]) -> float:
    """Return what the parts of a breakdown take together [GB]."""
    return sum(memory[f"{name}_gb"] for name in PARTS)


def memory_notes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return where the memory of each row's devices goes, a sentence a device."""
    notes = []
    for row in rows:
        for key, device in (("memory", "an attention device"), ("ffn_memory", "an FFN device")):
            if row.get(key):
                what = device if row.get("ffn_memory") else "a device"
                notes.append(f"{row['mode']}: memory of {what}: {memory_text(row[key])}")
    return notes


def memory_text(memory: Mapping[str, float]) -> str:
    """Return a breakdown in words: the parts there are, in GB, and all that the driver reports."""
    sizes = {name: memory[f"{key}_gb"] for key, name in NAMES.items()}
    parts = [f"{name} {size:.3g}" for name, size in sizes.items() if abs(size) >= SEEN_GB]
    return f"{', '.join(parts)} of {memory['driver_gb']:.4g} GB"


def largest_parts(memory: Mapping[str, float]) -> str:
    """Return the largest parts of a breakdown in words, the largest first."""
    ranked = sorted(PARTS, key=lambda name: -memory[f"{name}_gb"])[:NAMED]
    return ", ".join(
        f"{NAMES[name]} {memory[f'{name}_gb']:.4g} GB" for name in ranked if memory[f"{name}_gb"] >= SEEN_GB
    )


def memory_refusal(deployments: Deployments, deployment: Deployment, most: float) -> str:
    """Return why memory does not hold a deployment, and the nearest that it does.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.
    most : float
        The most sequences memory holds; below 0 where it does not hold the weights [1].

    Returns
    -------
    str
        What binds, with the largest terms.
    """
    if most >= 1:
        sizes = largest_parts(memory_of(deployments, deployment)["memory"])
        return (
            f"binding is HBM capacity: {deployment.batch} sequences do not fit ({sizes}); --batch "
            f"{most:.0f} does"
        )
    empty = dataclasses.replace(deployment, batch=0)
    held, experts = (float(np.asarray(value)) / 1e9 for value in deployments.memory(empty))
    room, ffn_room = (value / 1e9 for value in deployments.usable_memory())
    both = memory_of(deployments, empty)
    terms = largest_parts(both["ffn_memory"] if experts > ffn_room and both["ffn_memory"] else both["memory"])
    what = "weights" if not deployments.held.beside else "weights and what the engine holds"
    if experts > ffn_room:
        least = np.arange(1, deployments.scenario.model.routed_experts + 1)
        apart = deployment.ffn_devices is not None
        need = deployments.memory(
            dataclasses.replace(
                empty,
                redundant_experts=0,
                attention_devices=deployment.attention_devices if apart else least,
                ffn_devices=least if apart else None,
            )
        )[1]
        fits = least[np.asarray(need) / 1e9 <= ffn_room]
        more = f"; {fits[0]} {'FFN devices' if apart else 'devices'} hold them" if fits.size else ""
        return (
            f"binding is HBM capacity: {what} take {experts:.4g} GB of {ffn_room:.4g} GB a device "
            f"({terms}){more}"
        )
    if held > room:
        return f"binding is HBM capacity: {what} take {held:.4g} GB of {room:.4g} GB a device ({terms})"
    context = largest_context(deployments, dataclasses.replace(deployment, batch=1))
    other = f"; a context of {context:,} tokens would" if context else ""
    return (
        f"binding is HBM capacity: not one sequence of {deployments.scenario.context:,} tokens fits beside "
        f"the weights ({terms}){other}"
    )


def largest_context(deployments: Deployments, deployment: Deployment) -> int:
    """Return the longest context that memory holds the sequences of a deployment with.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode; its own context is not read.
    deployment : Deployment
        One deployment, of plain numbers.

    Returns
    -------
    int
        Tokens, at most as many as can be asked about; 0 where one is too many [1].
    """
    wanted = float(np.asarray(deployment.batch))

    def fits(context: int) -> bool:
        held = dataclasses.replace(deployments.held, held_tokens=float(context))
        return float(np.asarray(held.largest_batch(deployment))) >= wanted

    low, high = 0, COUNTS["context"] + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
