"""Transfers of a layer: between all devices under expert parallelism, between two groups under AFD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.collectives import ALL_GATHER, ALL_REDUCE
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.physics import collectives, network, tiers, traffic
from roofline_afd.serving import torus
from roofline_afd.serving.collectives import all_reduce, moved
from roofline_afd.serving.domains import FULL, lying_of
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.sizes import ACTIVATION_BYTES, FUSED, SCALE_BYTES, any_shared, where_shared
from roofline_afd.serving.steps import added
from roofline_afd.serving.timing import Operator, operand_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.attention import Attention
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import BoolLike, Count, FloatArray, FloatLike
    from roofline_afd.serving.domains import Lying
    from roofline_afd.serving.sizes import Layers, Side, Sizes


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
    yield from _sums(layers, sizes)
    if layers.replicated:
        return
    fused = layers.kernels == FUSED
    copies: list[tuple[str, int, float | None]] = [("", 0 if fused else model.moe_layers, None)]
    if layers.deployment == "afd" and layers.dense_side != "attention":
        copies.append(("_dense", model.dense_layers, 1.0))
    lying = (
        None if layers.deployment == "ep" else lying_of(layers, sizes.attention_devices, sizes.ffn_devices)
    )
    for suffix, count, only in copies:
        for name, form in (("dispatch", formats.dispatch), ("combine", formats.combine)):
            if not count:
                continue
            vector = {
                "width": model.dispatch_width if only is None else model.hidden_size,
                "bytes_per_element": precision(form).bytes,
                "scale_bytes_per_element": SCALE_BYTES.get(form, 0.0),
            }
            sent = Sent(name, vector, only)
            flow, time, arguments = (
                _ep_exchange(layers, sizes, sent)
                if lying is None
                else _afd_exchange(layers, sizes, sent, lying)
            )
            link = layers.calibration("attention").link
            leaves = bool(np.any(arguments["crosses"]))
            kind = max(link.kind, link.kind_out, key=KINDS.index) if leaves else link.kind
            if layers.transport != link.transport and only is None:
                kind = ESTIMATED
            moved = added(*flow)
            yield Operator(
                *(name + suffix, "network", "experts", count, 0.0, moved, time, "link", kind), arguments
            )
            if only is None and any_shared(layers.expert_tensor_parallel):
                yield _among_sharers(layers, sizes, sent, count)


def crossing_operators(layers: Layers, whole: Attention, sizes: Sizes) -> Iterator[Operator]:
    """Yield what crosses between the groups of the core cut: queries, keys, values there, results back.

    Once for each token: in bf16 there, and back in the format that the product after it multiplies in.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    whole : Attention
        The kind of layer, with all its heads.
    sizes : Sizes
        What one attention device gets.

    Yields
    ------
    Operator
        Bytes are of both groups; times are of one layer.
    """
    lying = lying_of(layers, sizes.attention_devices, sizes.ffn_devices)
    there, back = crossing_elements(whole)
    form = operand_of(layers.system("ffn"), layers.formats.others, layers.formats.others)
    for name, width, size, scale in (
        ("dispatch", there, ACTIVATION_BYTES, 0.0),
        ("combine", back, precision(form).bytes, SCALE_BYTES.get(form, 0.0)),
    ):
        vector = {"width": width, "bytes_per_element": size, "scale_bytes_per_element": scale}
        flow, time, arguments = _afd_exchange(layers, sizes, Sent(name, vector, 1.0), lying)
        yield Operator(
            *(name, "network", whole.name, whole.layers, 0.0, added(*flow), time, "link", ESTIMATED),
            arguments,
        )


def crossing_elements(whole: Attention) -> tuple[int, int]:
    """Return the elements of a token that reach the group with the caches, and that come back.

    Of latents queries and results as they are before and after they are turned, which that group does.
    """
    if whole.constant_state:
        result = whole.inner_width or whole.heads * (whole.value_head_dim or whole.head_dim)
        return whole.vector_elements - result, result
    query, value = whole.core_widths(absorbed=False)
    return whole.heads * query + whole.entry_elements + whole.index_width, whole.heads * value


def _sums(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield the sums over devices that share a dense layer, or experts of tokens that each of them has."""
    model = layers.model
    group = 1 if layers.replicated else layers.tensor_parallel
    message = np.multiply(sizes.tokens, group * model.hidden_size * ACTIVATION_BYTES)
    dense: Side = "attention" if layers.dense_side == "attention" else "ffn"
    summed: tuple[tuple[str, Side, str, int, Count], ...] = (
        ("experts_sum", "ffn", "experts", model.moe_layers, layers.tensor_parallel * layers.replicated),
        ("dense_sum", dense, "dense", model.dense_layers, layers.dense_parts),
    )
    for name, side, part, count, devices in summed:
        if count and any_shared(devices):
            found = all_reduce(
                layers.attention, layers.calibration("attention"), message_bytes=message, devices=devices
            )
            share = 2.0 * (1.0 - 1.0 / devices)
            yield Operator(
                *(name, side, part, count, 0.0, message * share, where_shared(devices, found.time)),
                *(ALL_REDUCE, found.kind, found.arguments),
            )


def _among_sharers(layers: Layers, sizes: Sizes, sent: Sent, count: int) -> Operator:
    """Return what devices that share experts exchange: the vectors each was sent, or parts of the results."""
    devices = layers.expert_tensor_parallel
    places = np.asarray(layers.expert_places(sizes.ffn_devices))
    copies = layers.model.mean_top_k if layers.sorted else places_hit(layers, places)
    tokens = np.multiply(sizes.sent, sizes.attention_devices) / places
    gathered = sent.operator == "dispatch"
    message = tokens * copies * traffic.vector_bytes(**sent.vector)
    found = moved(
        collectives.all_gather_time if gathered else collectives.reduce_scatter_time,
        layers.system("ffn"),
        layers.calibration("ffn"),
        message_bytes=message,
        devices=devices,
    )
    return Operator(
        *(f"{sent.operator}_sharing", "network", "experts", count, 0.0, message * (1.0 - 1.0 / devices)),
        *(where_shared(devices, found.time), ALL_GATHER, found.kind, found.arguments),
    )


def _ep_exchange(
    layers: Layers, sizes: Sizes, sent: Sent
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of a device, and time, where every device sends to every other."""
    system, model, vector = layers.attention, layers.model, sent.vector
    fullest = _fullest(layers, sizes, sent)
    domain = system.scale_up_domain_devices
    devices = np.asarray(sizes.ffn_devices)
    where: dict[str, Any] = {"devices": devices, "devices_per_node": domain, **vector}
    filled = layers.domain_layout == FULL
    if layers.transport == "pair":
        flow = traffic.pair_traffic(tokens=sizes.sent, top_k=model.mean_top_k, filled=filled, **where)
        hits: dict[str, Any] = {}
    else:
        hits = {"devices_hit": places_hit(layers, layers.expert_places(devices))}
        if layers.transport == "node":
            hits["nodes_hit"] = places_hit(
                layers, traffic.domains_used(devices=devices, domain_devices=domain)
            )
        spread = traffic.rank_traffic if layers.transport == "rank" else traffic.node_traffic
        flow = spread(tokens=sizes.sent, filled=filled, **hits, **where)
    up, out = layers.bandwidths("attention", sent.operator)
    usable = up * _exchange_share(system, devices)
    busiest = traffic.Traffic(flow.scale_up_bytes * fullest, flow.scale_out_bytes * fullest)
    crosses = np.greater(traffic.domains_used(devices=devices, domain_devices=domain), 1.0)
    time, arguments = _transfer(layers, sent, busiest, (usable, out), devices, crosses=crosses)
    routing = {"top_k": model.top_k, "routed_experts": model.routed_experts, "tokens": sizes.sent}
    return flow, time, {**routing, **hits, **where, **arguments, "imbalance": fullest}


def _fullest(layers: Layers, sizes: Sizes, sent: Sent) -> FloatArray:
    """Return the copies that the fullest device with experts gets over the mean: at most one of every token.

    Where it gets a copy per expert, one for every pair.
    """
    if sent.copies is not None:
        return 1.0
    if layers.load is None or layers.sorted:
        return sizes.fullest
    places = layers.expert_places(sizes.ffn_devices)
    hit = places_hit(layers, places) / places
    return np.minimum(sizes.fullest, 1.0 / hit)


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
    layers: Layers, sizes: Sizes, sent: Sent, lying: Lying
) -> tuple[traffic.Traffic, FloatArray, dict[str, Any]]:
    """Return volume of both groups, and time, where one group sends to the other."""
    ffn = layers.system("ffn")
    receivers = np.asarray(sizes.ffn_devices)
    devices = np.add(sizes.attention_devices, receivers)
    crossing = lying.crossing
    near = 1.0 - crossing.share
    near_devices, far_devices = (
        np.maximum(each, 1.0) for each in (crossing.near_devices, crossing.sending_devices)
    )
    together = np.greater(near, 0.0)
    if sent.copies is None:
        inside, outside, forwarded = lying.copies
    else:
        inside, outside, forwarded = sent.copies, sent.copies, 0.0
    copies: dict[str, Any] = {
        "tokens": np.multiply(sizes.sent, sizes.attention_devices),
        "scale_up_copies": near * inside + crossing.share * forwarded,
        "scale_out_copies": crossing.share * outside,
    }
    if not np.any(copies["scale_up_copies"]):  # as where each group has nodes of its own
        copies["scale_up_copies"] = 0.0
    flow = traffic.group_traffic(**copies, **sent.vector)
    up_a, out_a = layers.bandwidths("attention", sent.operator)
    fullest = _fullest(layers, sizes, sent)
    whole_f, whole_out = layers.bandwidths("ffn", sent.operator)
    up_f, out_f = whole_f / fullest, whole_out / fullest
    share = _device_share(ffn, devices)
    limits = _limits(ffn, np.minimum(up_a, whole_f), devices)
    if "bisection_bandwidth" in limits:  # each domain that holds both groups has a middle of its own
        used = traffic.domains_used(devices=devices, domain_devices=ffn.scale_up_domain_devices)
        middles = np.where(lying.around, 1.0, used)
        limits["bisection_bandwidth"] = limits["bisection_bandwidth"] * middles
    forwarding = np.multiply(receivers, up_f)
    if layers.transport == "node":
        forwarding = forwarding * _exchange_share(ffn, receivers)
    up: FloatArray = forwarding
    if np.any(together):
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
        "sending_devices": _where(together, near_devices, far_devices),
        "receiving_devices": receivers,
    }
    bandwidths = (_where(together, up, forwarding), out)
    crosses = np.greater(copies["scale_out_copies"], 0.0)
    busiest = (near_devices, far_devices, receivers, fullest)
    time, arguments = _transfer(layers, sent, flow, bandwidths, devices, crosses=crosses, busiest=busiest)
    used = {
        "sending_bandwidth": _where(together, up_a, out_a),
        "receiving_bandwidth": _where(together, up_f, out_f),
        **{key: _where(together, value, np.inf) for key, value in limits.items()},
    }
    return flow, time, {**copies, **sent.vector, **ends, **used, **arguments}


def _where(together: NDArray[np.bool_], near: FloatLike, far: FloatLike) -> FloatArray:
    """Return what holds where devices of both groups lie together, and what does where none do."""
    return np.where(together, near, far) if np.any(together) else far


def _transfer(
    layers: Layers,
    sent: Sent,
    flow: traffic.Traffic,
    bandwidths: tuple[FloatArray, FloatArray],
    devices: FloatLike,
    *,
    crosses: BoolLike,
    busiest: Sequence[FloatLike] = (1.0, 1.0, 1.0, 1.0),
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the time of a flow, with scale-out's latency where it is crossed, and the numbers put in.

    Of a flow between groups as many devices share the messages as the smaller one has: `busiest` are those
    that send within a domain and beyond it, those that receive, and what the fullest gets over the mean.
    """
    link = layers.calibration("attention").link
    (up, _), (out, _) = (leg.of(sent.operator) for leg in (link.up, link.out))
    inside = {"latency_up": up, "latency_growth": link.up.growth, "devices": devices}
    if layers.transport == "node" and link.transport != "node":  # two hops, of kernels that make one
        out = out + network.group_latency(latency=up, devices=devices, latency_growth=link.up.growth)
    latency = network.exchange_latency(**inside, latency_out=out, crosses=crosses)
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
        ends = np.minimum(busiest[0], busiest[2] / busiest[3])
        arguments["scale_up_messages"] = np.divide(flow.scale_up_bytes, message * ends)
        arguments["scale_up_message_time"] = link.up.message_s
    if link.out.message_s:
        ends = np.minimum(busiest[1], busiest[2] / busiest[3])
        arguments["scale_out_messages"] = np.divide(flow.scale_out_bytes, message * ends)
        arguments["scale_out_message_time"] = link.out.message_s
    time = network.transfer_time(**arguments)
    growth = {"latency_growth": link.up.growth, "scale_penalty": link.out.growth}
    return time, {"devices": devices, "crosses": crosses, **growth, **arguments}


def _limits(system: System, bandwidth: FloatLike, devices: FloatArray) -> dict[str, FloatArray]:
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
