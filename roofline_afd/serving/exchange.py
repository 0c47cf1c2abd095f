"""Transfers of a layer: between all devices under expert parallelism, between two groups under AFD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.physics import network, tiers, traffic
from roofline_afd.serving import torus
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.sizes import DOMAIN_LAYOUTS, SCALE_BYTES
from roofline_afd.serving.timing import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.serving.sizes import Layers, Sizes

EVEN, FULL, APART = DOMAIN_LAYOUTS
NODES = "nodes"
"""How groups lie over domains that are single nodes: together in one, else each in nodes of its own."""


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
    filled = layers.domain_layout == FULL
    if layers.transport == "pair":
        flow = traffic.pair_traffic(tokens=sizes.sent, top_k=model.mean_top_k, filled=filled, **where)
        hits: dict[str, Any] = {}
    else:
        hits = {"devices_hit": places_hit(layers, devices)}
        if layers.transport == "node":
            hits["nodes_hit"] = places_hit(
                layers, traffic.domains_used(devices=devices, domain_devices=domain)
            )
        spread = traffic.rank_traffic if layers.transport == "rank" else traffic.node_traffic
        flow = spread(tokens=sizes.sent, filled=filled, **hits, **where)
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
    share = _device_share(system, devices)
    if "bisection_bandwidth" in limits:  # of all that a device sends, itself included, a quarter crosses
        far = np.maximum(together - 1.0, 1.0) / together
        return np.minimum(share, limits["bisection_bandwidth"] / together * far)
    return share


def _device_share(system: System, devices: FloatArray) -> FloatArray:
    """Return the share of its bandwidth that a device can use, by its links in a slice or by tiers."""
    fabric, domain = system.scale_up, system.scale_up_domain_devices
    if fabric.slices is not None:
        share = torus.slices(devices, system).device_share
        return np.where(np.greater(share, 0.0), share, 1.0)[()]
    if not fabric.tiers:
        return 1.0
    together = np.ceil(devices / traffic.domains_used(devices=devices, domain_devices=domain))
    usable: FloatArray = 1.0
    inner = 1
    for tier in fabric.tiers:
        sizes = {"devices": together, "inner_devices": inner, "outer_devices": tier.devices}
        usable = np.minimum(usable, tiers.tier_share(**sizes, share=tier.share))
        inner = tier.devices
    return usable


def _afd_exchange(
    layers: Layers, sizes: Sizes, sent: Sent
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of both groups, and time, where one group sends to the other, laid out for the least."""
    flow, time, arguments = _afd_laid_out(layers, sizes, sent, 0)
    if len(layouts_of(layers)) > 1 and np.any(np.asarray(flow.scale_out_bytes) > 0):
        other_flow, other_time, others = _afd_laid_out(layers, sizes, sent, 1)
        better = np.less(other_time, time)
        flow = traffic.Traffic(
            *(np.where(better, two, one) for one, two in zip(flow, other_flow, strict=True))
        )
        arguments = {key: np.where(better, others[key], value)[()] for key, value in arguments.items()}
        time = np.minimum(time, other_time)
    return flow, time, arguments


def layouts_of(layers: Layers) -> tuple[str, ...]:
    """Return how two groups may lie over domains: as asked for, else in any way that domains are used in.

    Groups that fit into one domain share it. Domains larger than a node hold equal parts of both groups, or
    one holds all FFN devices with attention devices beside them; nodes belong to one group.
    """
    system = layers.system("ffn")
    if system.id != layers.attention.id:
        return (APART,)
    if layers.domain_layout:
        return (layers.domain_layout,)
    return (EVEN, FULL) if system.scale_up_domain_devices > system.devices_per_node else (NODES,)


def crossing_of(layout: str, attention: FloatLike, ffn: FloatLike, domain: int) -> traffic.Crossing:
    """Return what two groups that lie in some way send beyond their domains.

    Parameters
    ----------
    layout : str
        A member of `layouts_of`.
    attention, ffn : float or array
        Devices of both groups [1].
    domain : int
        Devices of a scale-up domain [1].

    Returns
    -------
    Crossing
        As `physics.traffic` describes it.
    """
    groups = {"attention_devices": attention, "ffn_devices": ffn, "domain_devices": domain}
    if layout == FULL:
        return traffic.around_crossing(**groups)
    even = traffic.even_crossing(**groups)
    if layout == EVEN:
        return even
    alone: FloatArray = np.where((even.share > 0) | (layout == APART), 1.0, 0.0)
    return even._replace(share=alone[()])


def _afd_laid_out(
    layers: Layers, sizes: Sizes, sent: Sent, place: int
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of both groups, and time, with the groups laid out in one of the ways there are."""
    ffn = layers.system("ffn")
    receivers = np.asarray(sizes.ffn_devices)
    devices = np.add(sizes.attention_devices, receivers)
    layout = layouts_of(layers)[place]
    crossing = crossing_of(layout, sizes.attention_devices, receivers, ffn.scale_up_domain_devices)
    near = 1.0 - crossing.share
    near_devices, far_devices = (
        np.maximum(each, 1.0) for each in (crossing.near_devices, crossing.sending_devices)
    )
    together = np.greater(near, 0.0)
    if sent.copies is None:
        inside, outside, forwarded = _afd_copies(layers, receivers)
    else:
        inside, outside, forwarded = sent.copies, sent.copies, 0.0
    copies: dict[str, Any] = {
        "tokens": np.multiply(sizes.sent, sizes.attention_devices),
        "scale_up_copies": near * inside + crossing.share * forwarded,
        "scale_out_copies": crossing.share * outside,
    }
    flow = traffic.group_traffic(**copies, **sent.vector)
    up_a, out_a = layers.bandwidths("attention", sent.operator)
    up_f, out_f = layers.bandwidths("ffn", sent.operator)
    share = _device_share(ffn, devices)
    limits = _limits(ffn, min(up_a, up_f), devices)
    if "bisection_bandwidth" in limits and layout != FULL:  # each domain has a middle of its own
        domain = ffn.scale_up_domain_devices
        limits["bisection_bandwidth"] = limits["bisection_bandwidth"] * traffic.domains_used(
            devices=devices, domain_devices=domain
        )
    forwarding = np.multiply(receivers, up_f)
    if layers.transport == "node":
        forwarding = forwarding * _exchange_share(ffn, receivers)
    up_a, up_f = up_a * share, up_f * share
    up = network.group_bandwidth(
        sending_devices=near_devices,
        receiving_devices=receivers,
        sending_bandwidth=up_a,
        receiving_bandwidth=up_f,
        **limits,
    )
    out = network.group_bandwidth(
        sending_devices=far_devices,
        receiving_devices=receivers,
        sending_bandwidth=out_a,
        receiving_bandwidth=out_f,
    )
    ends = {
        "sending_devices": np.where(together, near_devices, far_devices),
        "receiving_devices": receivers,
    }
    busiest = [np.minimum(each, receivers) for each in (near_devices, far_devices)]
    bandwidths = (np.where(together, up, forwarding), out)
    time, arguments = _transfer(layers, sent, flow, bandwidths, devices, busiest=busiest)
    used = {
        "sending_bandwidth": np.where(together, up_a, out_a),
        "receiving_bandwidth": np.where(together, up_f, out_f),
        **{key: np.where(together, value, np.inf) for key, value in limits.items()},
    }
    return flow, time, {**copies, **sent.vector, **ends, **used, **arguments}


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
    busiest: Sequence[FloatLike] = (1.0, 1.0),
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
        arguments["scale_up_messages"] = np.divide(flow.scale_up_bytes, message * busiest[0])
        arguments["scale_up_message_time"] = link.up.message_s
    if link.out.message_s:
        arguments["scale_out_messages"] = np.divide(flow.scale_out_bytes, message * busiest[1])
        arguments["scale_out_message_time"] = link.out.message_s
    time = network.transfer_time(**arguments)
    growth = {"latency_growth": link.up.growth, "scale_penalty": link.out.growth}
    return time, {"devices": devices, **growth, **arguments}


def _limits(system: System, bandwidth: float, devices: FloatArray) -> dict[str, FloatArray]:
    """Return what a fabric without a switch carries between two devices, and in all across its middle.

    Of what many devices exchange, or two interleaved groups send, a quarter crosses the middle each way.
    Groups over several domains have one in each, of which this is one.
    """
    fabric, domain = system.scale_up, system.scale_up_domain_devices
    if fabric.topology == "full-mesh":
        return {"pairwise_bandwidth": network.mesh_pair_bandwidth(bandwidth=bandwidth, devices=domain)}
    if fabric.slices is None:
        return {}
    _, links, share, _ = torus.slices(devices, system)
    cut = network.torus_bisection_bandwidth(bandwidth=bandwidth, cut_links=links, link_share=share)
    alone = np.equal(links, 0.0)  # a device by itself has no middle
    return {"bisection_bandwidth": np.where(alone, np.inf, 4.0 * cut)[()]}
