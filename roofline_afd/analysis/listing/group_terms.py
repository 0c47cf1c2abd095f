"""Numbers of a collective for `explain`: the results of heads that the devices of a node share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.physics import collectives
from roofline_afd.serving.collectives import Collective, all_reduce, moved
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.layer import decode_operators

if TYPE_CHECKING:
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Layers
    from roofline_afd.serving.timing import Operator

MOVING = {
    "all_gather_time": collectives.all_gather_time,
    "reduce_scatter_time": collectives.reduce_scatter_time,
    "all_to_all_time": collectives.all_to_all_time,
}
"""Terms of collectives that move a vector once."""
ACROSS = "domains_all_reduce_time"


def collective_values(term: str, scenario: Scenario, *, sequences: int, context: int) -> dict[str, Any]:
    """Return what the formula of a collective is called with, its vector that of the heads' results.

    Parameters
    ----------
    term : str
        A term of `physics.collectives`.
    scenario : Scenario
        Whose attention it is: as many devices of a node share its heads as these divide among.
    sequences, context : int
        Sequences that the devices share, and tokens cached of each [1].

    Returns
    -------
    dict
        By parameter name, with `efficiency_kind`.

    Raises
    ------
    InputError
        If the heads do not divide, switches do not sum, the fabric is no mesh, or none is between domains.
    """
    layers = _shared(term, scenario)
    operators = decode_operators(
        layers, sequences=sequences, context=context, attention_devices=layers.tensor_parallel
    )
    exchange = next(item for item in operators if item.name == "attention_exchange")
    system = scenario.system
    if term == "in_switch_time" and not exchange.arguments["in_switch_bandwidth"]:
        raise InputError(
            f"{term} does not apply to {system.scale_up.id}: no record says that its switches sum"
        )
    if term == "mesh_group_bandwidth" and system.scale_up.topology != "full-mesh":
        raise InputError(f"{term} does not apply to {system.scale_up.id}: it is no full mesh")
    found = _collective(term, layers, exchange)
    steps = 2.0 * (layers.tensor_parallel - 1.0)
    values = {
        "step_latency": exchange.arguments["two_shot_latency"] / steps,
        "peak": system.scale_up.bytes_per_s,
        "domain_devices": system.scale_up_domain_devices,
        "efficiency_kind": found.kind,
        **found.arguments,
    }
    return {
        key: value.item() if isinstance(value, np.generic | np.ndarray) else value
        for key, value in values.items()
    }


def _shared(term: str, scenario: Scenario) -> Layers:
    """Return layers whose heads as many devices of a node share as can."""
    for devices in range(scenario.system.devices_per_node, 1, -1):
        if all(kind.split(devices) is not None for kind in scenario.model.attention):
            return Deployments(scenario, EP).layers("", devices)
    raise InputError(
        f"{term} does not apply to {scenario.model.id}: its heads do not divide among the devices of a "
        f"{scenario.system.node_name} of {scenario.system.id}"
    )


def _collective(term: str, layers: Layers, exchange: Operator) -> Collective:
    """Return the collective of a term, of the vector that an exchange of heads sums."""
    system, calibration = layers.system("attention"), layers.calibration("attention")
    message = exchange.arguments["message_bytes"]
    if term in MOVING:
        return moved(MOVING[term], system, calibration, message_bytes=message, devices=layers.tensor_parallel)
    if term == ACROSS:
        if system.scale_out is None:
            raise InputError(f"{term} does not apply to {system.id}: it has no scale-out fabric")
        both = 2 * system.scale_up_domain_devices
        return all_reduce(system, calibration, message_bytes=message, devices=both)
    return Collective(exchange.time, exchange.kind, dict(exchange.arguments))
