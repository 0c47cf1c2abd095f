"""Transfers of a layer: between all devices under expert parallelism, between two groups under AFD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.physics import network, tiers, traffic
from roofline_afd.serving import torus
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.sizes import MEASURED_TRANSPORT, SCALE_BYTES
from roofline_afd.serving.timing import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.serving.sizes import Layers, Sizes


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
            flow, time, arguments = exchange(layers, sizes, vector, only)
            link = layers.calibration("attention").link
            leaves = bool(np.any(np.asarray(flow.scale_out_bytes) > 0))
            kind = max(link.kind, link.kind_out, key=KINDS.index) if leaves else link.kind
            if layers.transport != MEASURED_TRANSPORT and only is None:
                kind = ESTIMATED
            moved = flow.scale_up_bytes + flow.scale_out_bytes
            yield Operator(
                *(name + suffix, "network", "experts", count, 0.0, moved, time, "link", kind), arguments
            )


def _ep_exchange(
    layers: Layers, sizes: Sizes, vector: Mapping[str, float], only: float | None
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of a device, and time, where every device sends to every other."""
    del only
    system, link, model = layers.attention, layers.calibration("attention").link, layers.model
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
    up, out = layers.bandwidths("attention")
    usable = up * _exchange_share(system, devices)
    time, arguments = _transfer(layers, flow, (usable, out), devices, link.latency_up_s)
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
    layers: Layers, sizes: Sizes, vector: Mapping[str, float], only: float | None
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of both groups, and time, where one group sends to the other."""
    ffn = layers.system("ffn")
    senders, receivers = sizes.attention_devices, np.asarray(sizes.ffn_devices)
    near = _shared_domain(layers, np.add(senders, receivers))
    together = np.greater(near, 0.0)
    if only is None:
        inside, outside, forwarded = _afd_copies(layers, receivers)
    else:
        inside, outside, forwarded = only, only, 0.0
    sent: dict[str, Any] = {
        "tokens": np.multiply(sizes.sent, senders),
        "scale_up_copies": near * inside + (1.0 - near) * forwarded,
        "scale_out_copies": (1.0 - near) * outside,
    }
    flow = traffic.group_traffic(**sent, **vector)
    up_a, out_a = layers.bandwidths("attention")
    up_f, out_f = layers.bandwidths("ffn")
    ends: dict[str, Any] = {"sending_devices": senders, "receiving_devices": receivers}
    total = np.add(senders, receivers)
    share = _device_share(ffn, total)
    limits = _limits(ffn, min(up_a, up_f), total)
    if "bisection_bandwidth" in limits:
        domain = ffn.scale_up_domain_devices
        limits["bisection_bandwidth"] = limits["bisection_bandwidth"] * traffic.domains_used(
            devices=total, domain_devices=domain
        )
    forwarding = np.multiply(receivers, up_f)
    if layers.transport == "node":
        forwarding = forwarding * _exchange_share(ffn, receivers)
    up_a, up_f = up_a * share, up_f * share
    up = np.where(
        together,
        network.group_bandwidth(**ends, sending_bandwidth=up_a, receiving_bandwidth=up_f, **limits),
        forwarding,
    )
    out = network.group_bandwidth(**ends, sending_bandwidth=out_a, receiving_bandwidth=out_f)
    latency = layers.calibration("attention").link.latency_up_s
    time, arguments = _transfer(layers, flow, (up, out), total, latency)
    used = {
        "sending_bandwidth": np.where(together, up_a, out_a),
        "receiving_bandwidth": np.where(together, up_f, out_f),
        **{key: np.where(together, value, np.inf) for key, value in limits.items()},
    }
    return flow, time, {**sent, **vector, **ends, **used, **arguments}


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
    flow: traffic.Traffic,
    bandwidths: tuple[FloatArray, FloatArray],
    devices: FloatLike,
    latency_up: float,
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the time of a flow, with scale-out's latency where it is crossed, and the numbers put in."""
    link = layers.calibration("attention").link
    inside = network.group_latency(latency=latency_up, devices=devices, latency_growth=link.latency_growth)
    outside = link.latency_out_s + (inside if layers.transport == "node" else 0.0)  # two hops
    crosses = np.greater(flow.scale_out_bytes, 0)
    latency: FloatArray = np.where(crosses, np.maximum(outside, inside), inside)
    arguments = {
        "latency": latency[()],
        "scale_up_bytes": flow.scale_up_bytes,
        "scale_out_bytes": flow.scale_out_bytes,
        "scale_up": bandwidths[0],
        "scale_out": bandwidths[1],
        "slowdown": network.scale_out_slowdown(devices=devices, scale_penalty=link.scale_penalty),
    }
    time = network.transfer_time(**arguments)
    growth = {"latency_growth": link.latency_growth, "scale_penalty": link.scale_penalty}
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
