"""Transfers of a layer: between all devices under expert parallelism, between two groups under AFD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.physics import network, traffic
from roofline_afd.serving import torus
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.sizes import SCALE_BYTES
from roofline_afd.serving.timing import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.serving.sizes import Layers, Sizes

TORUS_DIMENSIONS = 2
"""Dimensions taken for a torus whose record does not say: two carry least."""


class Sent(NamedTuple):
    """What an exchange sends: whether it is a dispatch or a combine, the vector, and how many copies of it.

    `copies` are those of experts, by the transport, where absent.
    """

    operator: str
    vector: Mapping[str, float]
    copies: float | None


def network_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield dispatch and combine of expert layers, and of dense layers that are away from attention.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    sizes : Sizes
        What one attention device sends.

    Yields
    ------
    Operator
        Bytes are of one device under `ep`, of both groups under `afd`; times are of one layer.
    """
    model, formats = layers.model, layers.formats
    copies: list[tuple[str, int, float | None]] = [("", model.moe_layers, None)]
    if layers.deployment == "afd" and layers.dense_side != "attention":
        copies.append(("_dense", model.dense_layers, 1.0))
    for suffix, count, only in copies:
        for name, form in (("dispatch", formats.dispatch), ("combine", formats.combine)):
            if not count:
                continue
            vector = {
                "width": model.dispatch_width if only is None else model.hidden_size,
                "bytes_per_element": precision(form).bytes,
                "scale_bytes_per_element": SCALE_BYTES.get(form, 0.0),
            }
            exchange = _ep_exchange if layers.deployment == "ep" else _afd_exchange
            flow, time, arguments = exchange(layers, sizes, Sent(name, vector, only))
            link = layers.calibration("attention").link
            leaves = bool(np.any(np.asarray(flow.scale_out_bytes) > 0))
            kind = max(link.kind, link.kind_out, key=KINDS.index) if leaves else link.kind
            if layers.transport != link.transport and only is None:
                kind = ESTIMATED
            moved = flow.scale_up_bytes + flow.scale_out_bytes
            yield Operator(
                *(name + suffix, "network", "experts", count, 0.0, moved, time, "link", kind), arguments
            )


def _ep_exchange(
    layers: Layers, sizes: Sizes, sent: Sent
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of a device, and time, where every device sends to every other."""
    system, model, vector = layers.attention, layers.model, sent.vector
    domain = system.scale_up_domain_devices
    devices = np.asarray(sizes.ffn_devices)
    where: dict[str, Any] = {"devices": devices, "devices_per_node": domain, **vector}
    if layers.transport == "pair":
        flow = traffic.pair_traffic(tokens=sizes.sent, top_k=model.mean_top_k, **where)
        hits: dict[str, Any] = {}
    else:
        hits = {"devices_hit": places_hit(layers, devices)}
        if layers.transport == "node":
            hits["nodes_hit"] = places_hit(
                layers, traffic.domains_used(devices=devices, domain_devices=domain)
            )
        spread = traffic.rank_traffic if layers.transport == "rank" else traffic.node_traffic
        flow = spread(tokens=sizes.sent, **hits, **where)
    up, out = layers.bandwidths("attention", sent.operator)
    usable = up * _exchange_share(system, devices)
    time, arguments = _transfer(layers, sent, flow, (usable, out), devices)
    routing = {"top_k": model.top_k, "routed_experts": model.routed_experts, "tokens": sizes.sent}
    return flow, time, {**routing, **hits, **where, **arguments}


def _exchange_share(system: System, devices: FloatArray) -> FloatArray:
    """Return the share of a device's bandwidth that an exchange of all with all can use."""
    domain = system.scale_up_domain_devices
    limits = _limits(system, 1.0, devices)
    together = np.ceil(devices / traffic.domains_used(devices=devices, domain_devices=domain))
    if "pairwise_bandwidth" in limits:
        return np.minimum(1.0, np.maximum(together - 1.0, 1.0) * limits["pairwise_bandwidth"])
    if "bisection_bandwidth" in limits:
        return np.minimum(1.0, limits["bisection_bandwidth"] / together)
    return 1.0


def _afd_exchange(
    layers: Layers, sizes: Sizes, sent: Sent
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of both groups, and time, where one group sends to the other."""
    ffn = layers.system("ffn")
    senders, receivers = sizes.attention_devices, np.asarray(sizes.ffn_devices)
    near = _shared_domain(layers, np.add(senders, receivers))
    together = np.greater(near, 0.0)
    if sent.copies is None:
        inside, outside, forwarded = _afd_copies(layers, receivers)
    else:
        inside, outside, forwarded = sent.copies, sent.copies, 0.0
    copies: dict[str, Any] = {
        "tokens": np.multiply(sizes.sent, senders),
        "scale_up_copies": near * inside + (1.0 - near) * forwarded,
        "scale_out_copies": (1.0 - near) * outside,
    }
    flow = traffic.group_traffic(**copies, **sent.vector)
    up_a, out_a = layers.bandwidths("attention", sent.operator)
    up_f, out_f = layers.bandwidths("ffn", sent.operator)
    ends: dict[str, Any] = {"sending_devices": senders, "receiving_devices": receivers}
    limits = _limits(ffn, min(up_a, up_f), np.add(senders, receivers))
    up = np.where(
        together,
        network.group_bandwidth(**ends, sending_bandwidth=up_a, receiving_bandwidth=up_f, **limits),
        np.multiply(receivers, up_f),
    )
    out = network.group_bandwidth(**ends, sending_bandwidth=out_a, receiving_bandwidth=out_f)
    busiest = np.minimum(senders, receivers)
    time, arguments = _transfer(layers, sent, flow, (up, out), np.add(senders, receivers), busiest=busiest)
    used = {
        "sending_bandwidth": np.where(together, up_a, out_a),
        "receiving_bandwidth": np.where(together, up_f, out_f),
        **{key: np.where(together, value, np.inf) for key, value in limits.items()},
    }
    return flow, time, {**copies, **sent.vector, **ends, **used, **arguments}


def _shared_domain(layers: Layers, devices: FloatArray) -> FloatArray:
    """Return the share of what one group sends to the other that stays within a scale-up domain.

    Groups that fit into one domain share it. Domains larger than a node are dealt out to both groups in equal
    parts, so that each holds its share of both; nodes belong to one group.
    """
    ffn = layers.system("ffn")
    if ffn.id != layers.attention.id:
        return np.zeros(np.shape(devices))[()]
    domain = ffn.scale_up_domain_devices
    used = traffic.domains_used(devices=devices, domain_devices=domain)
    share: FloatArray = 1.0 / used
    return share if domain > ffn.devices_per_node else np.where(used > 1, 0.0, share)[()]


def _afd_copies(layers: Layers, receivers: FloatArray) -> tuple[FloatLike, FloatLike, FloatLike]:
    """Return copies of a token: within one domain, over scale-out, and forwarded after that."""
    model, ffn = layers.model, layers.system("ffn")
    pairs = model.mean_top_k

    if layers.transport == "pair":
        return pairs, pairs, 0.0
    if layers.transport == "rank":
        hit = places_hit(layers, receivers)
        return hit, hit, 0.0
    nodes = np.maximum(np.ceil(np.divide(receivers, ffn.scale_up_domain_devices)).astype(int), 1)
    return pairs, places_hit(layers, nodes), pairs


def _transfer(
    layers: Layers,
    sent: Sent,
    flow: traffic.Traffic,
    bandwidths: tuple[FloatArray, FloatArray],
    devices: FloatLike,
    *,
    busiest: FloatLike = 1.0,
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the time of a flow, with scale-out's latency where it is crossed, and the numbers put in.

    Of a flow between groups as many devices share the messages as the smaller one has.
    """
    link = layers.calibration("attention").link
    (up, _), (out, _) = (leg.of(sent.operator) for leg in (link.up, link.out))
    inside = {"latency_up": up, "latency_growth": link.up.growth, "devices": devices}
    if layers.transport == "node" and link.transport != "node":  # two hops, of kernels that make one
        out = out + network.group_latency(latency=up, devices=devices, latency_growth=link.up.growth)
    latency = network.exchange_latency(**inside, latency_out=out, crosses=np.greater(flow.scale_out_bytes, 0))
    if sent.operator == "dispatch":
        latency = latency + link.up.prepare_s
    message = traffic.vector_bytes(**sent.vector)
    arguments = {
        "latency": latency,
        "scale_up_bytes": flow.scale_up_bytes,
        "scale_out_bytes": flow.scale_out_bytes,
        "scale_up": bandwidths[0],
        "scale_out": bandwidths[1],
        "slowdown": network.scale_out_slowdown(devices=devices, scale_penalty=link.out.growth),
    }
    if link.up.message_s:
        arguments["scale_up_messages"] = np.divide(flow.scale_up_bytes, message * busiest)
        arguments["scale_up_message_time"] = link.up.message_s
    if link.out.message_s:
        arguments["scale_out_messages"] = np.divide(flow.scale_out_bytes, message * busiest)
        arguments["scale_out_message_time"] = link.out.message_s
    time = network.transfer_time(**arguments)
    growth = {"latency_growth": link.up.growth, "scale_penalty": link.out.growth}
    return time, {"devices": devices, **growth, **arguments}


def _limits(system: System, bandwidth: float, devices: FloatArray) -> dict[str, FloatArray]:
    """Return what a fabric without a switch carries between two devices, and in all across its middle.

    Of what many devices exchange, or two interleaved groups send, a quarter crosses the middle each way.
    """
    fabric, domain = system.scale_up, system.scale_up_domain_devices
    if fabric.topology == "full-mesh":
        return {"pairwise_bandwidth": network.mesh_pair_bandwidth(bandwidth=bandwidth, devices=domain)}
    if fabric.topology != "torus":
        return {}
    dimensions, whole = fabric.torus_dimensions, 1.0
    if dimensions is not None:
        links = torus.slices(devices, system)[1]
    else:  # of unknown shape: as one with equal sides and linked ends, of which a group has its share
        dimensions = TORUS_DIMENSIONS
        links = 2.0 * domain ** (1.0 - 1.0 / dimensions)
        whole = np.minimum(np.divide(devices, domain), 1.0)
    cut = network.torus_bisection_bandwidth(bandwidth=bandwidth, cut_links=links, dimensions=dimensions)
    return {"bisection_bandwidth": 4.0 * cut * whole}
