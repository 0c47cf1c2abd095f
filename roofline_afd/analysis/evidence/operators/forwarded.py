"""Exchanges by kernels that send a copy per node and forward it inside, and what rates of theirs count."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.evidence.operators.formats import row_format
from roofline_afd.analysis.evidence.operators.transfers import DEFAULTS, Exchange
from roofline_afd.analysis.evidence.operators.work import measured_us
from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.errors import InputError
from roofline_afd.physics import network, routing, traffic
from roofline_afd.serving.sizes import SCALE_BYTES, Formats

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import LinkEfficiency

TRANSFERS = ("dispatch", "combine", "exchange")
"""Operators that a kernel of this kind may do."""
KERNELS = re.compile(r"\b(normal|internode|hybrid-ep|EP\d+(-V[01])?|v1)$|\bnormal API$")
"""Names of kernels that send a copy per node: of DeepEP and UCCL-EP, Hybrid-EP, and MORI (EP8, EP16-V1)."""
ENGINES = re.compile(r"deepep-v2\b")
"""Engines whose kernels all do, but those called low-latency."""
FIRST = re.compile(r"deepep-v1\b")
"""Engines whose benchmark prints the rate of the leg between nodes first, where there is one."""
LOW_LATENCY = "low-latency"
OUT = re.compile(r"RDMA leg|InfiniBand bandwidth|logical bandwidth")
"""How notes say that a rate counts the leg between nodes, with the copy that stays in the node."""
UP = re.compile(r"NVLink leg|one NVLink domain|logical bandwidth|xGMI(?! leg)")
"""How notes say that it counts the leg within a node, with the copy that stays with the device."""
GROUPS = re.compile(r"top-(\d{1,3}) groups")
"""How notes say that the experts of a token come from so many nodes."""
EXPERTS = 256
"""Experts of the layer that these kernels are timed on, DeepSeek-V3's, where no column says."""


def is_forwarded(row: Measurement) -> bool:
    """Whether a row's kernel sends a copy per node, as far as its name or that of its engine tells."""
    kernel, engine = row.texts["kernel"], row.texts["engine"]
    if row.operator not in TRANSFERS or LOW_LATENCY in kernel.lower():
        return False
    across = bool(FIRST.match(engine)) and not kernel and _nodes(row) > 1 and "latency_us" not in row.numbers
    return bool(KERNELS.search(kernel) or ENGINES.match(engine) or across)


def _nodes(row: Measurement) -> float:
    return float(np.ceil(row.numbers["n_devices"] / row.system.scale_up_domain_devices))


def _hit(row: Measurement, places: float) -> float:
    """Return the nodes or devices that a token reaches."""
    experts, nodes = int(row.numbers.get("experts", EXPERTS)), int(_nodes(row))
    for key in ("top_k", "n_devices"):
        if row.numbers[key] > experts:
            raise InputError(f"{row.place}: {key} {row.numbers[key]:g} is more than the {experts} experts")
    drawn: dict[str, Any] = {"top_k": int(row.numbers["top_k"]), "routed_experts": experts}
    stated = GROUPS.search(row.texts["note"])
    if stated and int(stated[1]) < nodes:
        limited = {"expert_groups": nodes, "groups_per_token": int(stated[1])}
        return float(routing.nodes_hit_grouped(ffn_nodes=int(places), **drawn, **limited))
    return float(routing.nodes_hit_uniform(ffn_nodes=int(places), **drawn))


def _vector(row: Measurement, form: str = "") -> dict[str, Any]:
    """Return what a copy of a token is made of, in a format other than its own if asked."""
    name = form or row.texts["precision"] or DEFAULTS[row.operator]
    size = row_format(row, "precision", name).bytes
    return {
        "width": row.numbers["hidden"],
        "bytes_per_element": size,
        "scale_bytes_per_element": SCALE_BYTES.get(name, 0.0),
    }


def forwarded_time(row: Measurement, link: LinkEfficiency) -> tuple[float, str]:
    """Return the time of a transfer, or of a whole exchange, with a copy per node forwarded inside.

    Parameters
    ----------
    row : Measurement
        A row of one of `TRANSFERS`; an `exchange` is a dispatch in its precision and a combine as a service
        sends it by default.
    link : LinkEfficiency
        What the system's links reach, as kernels that send a copy per expert show it.

    Returns
    -------
    float
        Time [s].
    str
        Kind: an estimate, since the links were fitted to other kernels.

    Raises
    ------
    InputError
        If a format is unknown, or the group neither fits a domain nor fills domains.
    """
    system, devices = row.system, row.numbers["n_devices"]
    domain = system.scale_up_domain_devices
    if devices > domain and (system.scale_out is None or devices % domain):
        why = "has no scale-out fabric" if system.scale_out is None else f"has domains of {domain}"
        raise InputError(f"{row.place}: {system.id} {why}, and {devices:g} devices exchange")
    places = {
        "nodes_hit": _hit(row, _nodes(row)),
        "devices_hit": _hit(row, devices),
        "devices": devices,
        "devices_per_node": domain,
    }
    sent = [
        traffic.node_traffic(tokens=row.numbers["tokens"], **_vector(row, form), **places)
        for form in (("", Formats().combine) if row.operator == "exchange" else ("",))
    ]
    ends = (
        devices,
        system.scale_up.bytes_per_s,
        system.scale_out.bytes_per_s if system.scale_out else 1.0,
    )
    columns = [(0.0, float(flow.scale_up_bytes), float(flow.scale_out_bytes), *ends) for flow in sent]
    exchange = Exchange(*np.array(columns).T)
    inside = network.group_latency(
        latency=link.latency_up_s, devices=devices, latency_growth=link.latency_growth
    )
    hops = np.where(exchange.crosses, inside, 0.0)  # forwarding is a second hop
    return float(np.sum(exchange.times(link) + hops)), ESTIMATED


def implied_us(row: Measurement) -> float:
    """Return the measured time of a row: as it states it, else what the rate of one leg implies [us].

    Parameters
    ----------
    row : Measurement
        A complete row.

    Returns
    -------
    float
        Time [us]. Where kernels that send a copy per node state a rate alone, it is that of all copies over
        one leg, that which stays included, under even routing: between nodes a copy per node reached, within
        a node one per device reached. The prediction counts the same copies, so that the routing assumed
        matters little to its error.

    Raises
    ------
    InputError
        If the row states a rate, and neither its note nor its kernel tells what that counts.
    """
    values = row.numbers
    alone = not {"latency_us", "tflops"} & values.keys() and row.operator != "exchange"
    if not (alone and is_forwarded(row)):
        return measured_us(row)
    note, across = row.texts["note"], _nodes(row) > 1
    stated = (OUT if across else UP).search(note) or "algorithm bandwidth" in note
    if not stated and not (across and FIRST.match(row.texts["engine"]) and "NVLink" not in note):
        return measured_us(row)
    hit = _hit(row, _nodes(row) if across else values["n_devices"])
    return float(values["tokens"] * hit * traffic.vector_bytes(**_vector(row)) / (values["gb_per_s"] * 1e3))
