"""Which systems hold a model, and with how many devices."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.decode.memory import NAMES, memory_of
from roofline_afd.catalogue.engines import IDEAL, load_engine
from roofline_afd.catalogue.models import load_model
from roofline_afd.errors import InputError
from roofline_afd.serving.checks import option
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from roofline_afd.catalogue.engines import Engine
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.store import Catalogue

SHOWN = (
    "id",
    "devices_needed",
    "nodes_needed",
    "memory_needed_gb",
    "driver_gb",
    "experts_gb",
    "attention_gb",
    "embeddings_gb",
    "cache_gb",
    "reserve_gb",
    "free_gb",
)
"""What tables show."""
DEFAULT_CONTEXT = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What a system is to hold: a model with one sequence, as an engine plans with memory."""

    model: Model
    engine: Engine
    context: int = DEFAULT_CONTEXT


def held_of(
    catalogue: Catalogue, model: str | None, *, engine: str | None = None, context: int | None = None
) -> Held | None:
    """Return what systems are to hold.

    Parameters
    ----------
    catalogue : Catalogue
        Where model and engine are looked up.
    model : str or None
        Id of the model; None where nothing is to be held.
    engine : str, optional
        Id of the engine; `ideal` where absent.
    context : int, optional
        Tokens of the sequence held besides; `DEFAULT_CONTEXT` where absent [1].

    Returns
    -------
    Held or None
        The model loaded; None without one.

    Raises
    ------
    InputError
        If an id is unknown, or engine or context stand without a model.
    """
    if model is None:
        for name, given in (("engine", engine), ("context", context)):
            if given is not None:
                raise InputError(f"{option(name)} belongs to --holds, which is missing")
        return None
    return Held(
        load_model(model, catalogue=catalogue),
        load_engine(engine or IDEAL, catalogue=catalogue),
        DEFAULT_CONTEXT if context is None else context,
    )


def holding(system: System, held: Held) -> dict[str, Any] | None:
    """Return with how many devices a system holds a model, and where the memory of one goes.

    Experts are spread over the devices, everything else is on each; one sequence is held beside.

    Parameters
    ----------
    system : System
        What is bought.
    held : Held
        What is served, in its default formats.

    Returns
    -------
    dict or None
        `devices_needed`, `nodes_needed`, `memory_needed_gb` of all devices together, and the parts of a
        device's memory as in `predict`; None where no number of devices holds it.
    """
    scenario = Scenario(system=system, model=held.model, engine=held.engine, context=held.context)
    try:
        deployments = Deployments(scenario, EP)
        most = held.model.routed_experts
        if system.scale_out is None:
            most = min(most, system.scale_up_domain_devices)
        counts = np.arange(1, most + 1)
        every = deployments.deployment_of(counts, counts, batch=1)
        fits = np.asarray(deployments.largest_batch(every)) >= 1
    except InputError:  # it lacks a peak that its formats could run at
        return None
    if not np.any(fits):
        return None
    devices = int(counts[np.argmax(fits)])
    memory = memory_of(deployments, deployments.deployment_of(devices, devices, batch=1))["memory"]
    return {
        "devices_needed": devices,
        "nodes_needed": -(-devices // system.devices_per_node),
        "memory_needed_gb": devices * memory["driver_gb"],
        "driver_gb": memory["driver_gb"],
        **{f"{name}_gb": memory[f"{name}_gb"] for name in NAMES},
        "expert_precision": scenario.weights.id,
    }


def notes_on(held: Held, *, unheld: list[str], incomplete: list[str]) -> list[str]:
    """Return what the numbers mean, and which systems are not among them.

    Parameters
    ----------
    held : Held
        What systems are to hold.
    unheld : list of str
        Systems that hold it with no number of devices, or run none of its formats.
    incomplete : list of str
        Systems that lack a value every computation needs.

    Returns
    -------
    list of str
        A sentence each.
    """
    notes: list[str] = [
        (
            f"devices that hold {held.model.id} with one sequence of {held.context:,} tokens; experts are "
            "spread over them, attention, dense layers and words are on each"
        )
    ]
    for why, names in (("no number of devices holds it", unheld), ("known but incomplete", incomplete)):
        if names:
            notes.append(Decisive(f"{why}: {', '.join(names)}"))
    return notes
