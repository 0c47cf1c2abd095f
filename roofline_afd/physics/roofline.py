"""The communication-level roofline of the FFN stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.physics.experts import expert_memory, experts_per_device, weight_time

if TYPE_CHECKING:
    from collections.abc import Collection

    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike, IntLike


def link_bytes_per_pair(
    *, dispatch_width: IntLike, dispatch_bytes: FloatLike, combine_bytes: FloatLike, full_duplex: BoolLike
) -> FloatArray:
    """Return the bytes of link time one token-expert pair costs, there and back.

    Parameters
    ----------
    dispatch_bytes, combine_bytes
        As in `nomenclature`.
    dispatch_width : int or array
        Width of the vector that crosses the network, H [elements].
    full_duplex : bool or array
        Whether the two directions overlap; else they share the stage [1].

    Returns
    -------
    float or array
        Bytes that bound the pair [B].

    Notes
    -----
    shared duplex: H * (b_d + b_c); full duplex: H * max(b_d, b_c)

    References
    ----------
    arXiv 2602.09721 (shared, as its figures need); arXiv 2507.19427 (full, as its system states).

    Examples
    --------
    >>> float(link_bytes_per_pair(dispatch_width=7168, dispatch_bytes=1, combine_bytes=2, full_duplex=False))
    21504.0
    """
    both = np.add(dispatch_bytes, combine_bytes)
    return dispatch_width * np.where(full_duplex, np.maximum(dispatch_bytes, combine_bytes), both)[()] * 1.0


def sender_share(*, attention_devices: FloatLike, ffn_devices: FloatLike) -> FloatArray:
    """Return the share of an FFN device's bandwidth that the attention side can fill.

    Parameters
    ----------
    attention_devices : float or array
        Attention devices that send, n_A; infinite where only the receiver counts [1].
    ffn_devices : float or array
        FFN devices that receive, n_F [1].

    Returns
    -------
    float or array
        Share in (0, 1] [1].

    Notes
    -----
    share = min(1, n_A / n_F): all copies leave the attention devices' links too

    References
    ----------
    This project, both ends of the link; arXiv 2602.09721 counts the receiver only (share 1).

    Examples
    --------
    >>> float(sender_share(attention_devices=8, ffn_devices=32))
    0.25
    """
    return np.minimum(1.0, np.divide(attention_devices, ffn_devices))


def link_bandwidth(
    *,
    scale_up: FloatLike,
    scale_out: FloatLike,
    experts_per_copy: FloatLike,
    sender_share: FloatLike,
    superpod: BoolLike,
) -> FloatArray:
    """Return the rate at which an FFN device receives token-expert pairs, in bytes of pairs.

    Parameters
    ----------
    scale_up, scale_out
        As in `nomenclature`.
    experts_per_copy : float or array
        Experts that one copy over scale-out serves, k/u, after it is forwarded inside the node [1].
    sender_share : float or array
        Share of the bandwidth that the senders can fill [1].
    superpod : bool or array
        Whether one scale-up domain holds both sides, so that nothing crosses scale-out [1].

    Returns
    -------
    float or array
        Bytes of token-expert pairs per second into one FFN device [B/s].

    Notes
    -----
    two tiers: min(BW_out * k/u * share, BW_up); superpod: BW_up * share

    References
    ----------
    arXiv 2602.09721, communication-level roofline; the share is this project's.

    Examples
    --------
    >>> float(link_bandwidth(scale_up=160e9, scale_out=50e9, experts_per_copy=4, sender_share=1,
    ...                      superpod=False))
    160000000000.0
    """
    out = np.multiply(scale_out, experts_per_copy) * sender_share
    return np.where(superpod, np.multiply(scale_up, sender_share), np.minimum(out, scale_up))[()]


def pairs_per_device(
    *,
    link_bandwidth: FloatLike,
    link_bytes_per_pair: FloatLike,
    stage_budget: FloatLike,
    peak: FloatLike,
    flops_per_pair: FloatLike,
) -> FloatArray:
    """Return the token-expert pairs an FFN device can take in and work off in one stage.

    Parameters
    ----------
    link_bytes_per_pair, stage_budget, peak, flops_per_pair
        As in `nomenclature`.
    link_bandwidth : float or array
        Rate at which pairs arrive [B/s].

    Returns
    -------
    float or array
        Pairs; a mean, so not whole [1].

    Notes
    -----
    pairs = t_B * min(bandwidth / bytes per pair, F / FLOPs per pair)

    References
    ----------
    arXiv 2602.09721, communication-level roofline; the compute cap keeps HFU at or below 1.

    Examples
    --------
    >>> round(float(pairs_per_device(link_bandwidth=160e9, link_bytes_per_pair=21504,
    ...                              stage_budget=382.5137e-6, peak=1.979e15, flops_per_pair=88080384)), 2)
    2846.08
    """
    arriving = np.divide(link_bandwidth, link_bytes_per_pair)
    return stage_budget * np.minimum(arriving, np.divide(peak, flops_per_pair))


def arithmetic_intensity(
    *, pairs_per_device: FloatLike, experts_per_device: FloatLike, weight_bytes: FloatLike
) -> FloatArray:
    """Return the operations per byte of expert weights read from device memory.

    Parameters
    ----------
    pairs_per_device, weight_bytes
        As in `nomenclature`.
    experts_per_device : int or array
        Experts whose weights are read, e [1].

    Returns
    -------
    float or array
        Arithmetic intensity, I [FLOP/B].

    Notes
    -----
    I = 2 * pairs / (e * b_w)

    References
    ----------
    arXiv 2602.09721, arithmetic intensity of the FFN stage.

    Examples
    --------
    >>> round(float(arithmetic_intensity(pairs_per_device=2846.08, experts_per_device=16, weight_bytes=1)), 2)
    355.76
    """
    return 2.0 * np.divide(pairs_per_device, np.multiply(experts_per_device, weight_bytes))


def compute_time(*, pairs_per_device: FloatLike, flops_per_pair: FloatLike, peak: FloatLike) -> FloatArray:
    """Return the time the expert products of a stage take at peak rate.

    Parameters
    ----------
    pairs_per_device, flops_per_pair, peak
        As in `nomenclature`.

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t_flops = pairs * 2 * n_mat * H * M / F

    References
    ----------
    arXiv 2602.09721, active time of the FFN stage.

    Examples
    --------
    >>> round(float(compute_time(pairs_per_device=2846.08, flops_per_pair=88080384, peak=1.979e15)) * 1e6, 2)
    126.67
    """
    return np.multiply(pairs_per_device, flops_per_pair) / peak


def active_time(*, compute_time: FloatLike, weight_time: FloatLike) -> FloatArray:
    """Return the time an FFN device is at work in a stage: products and weight reads overlap.

    Parameters
    ----------
    compute_time
        As in `nomenclature`.
    weight_time : float or array
        Time of the weight reads at peak bandwidth [s].

    Returns
    -------
    float or array
        Active time, t_G [s].

    Notes
    -----
    t_G = max(t_flops, t_weights)

    References
    ----------
    arXiv 2602.09721, active time of the FFN stage.

    Examples
    --------
    >>> float(active_time(compute_time=1e-4, weight_time=2e-4))
    0.0002
    """
    return np.maximum(compute_time, weight_time)


def operational_utilization(*, compute_time: FloatLike, active_time: FloatLike) -> FloatArray:
    """Return the utilization of the matrix units while the device is at work.

    Parameters
    ----------
    compute_time, active_time
        As in `nomenclature`.

    Returns
    -------
    float or array
        Operational FLOPS utilization, OFU [1].

    Notes
    -----
    OFU = FLOPs / (t_G * F) = t_flops / t_G

    References
    ----------
    arXiv 2602.09721, HFU = OFU * S_t.

    Examples
    --------
    >>> round(float(operational_utilization(compute_time=126.67e-6, active_time=210.34e-6)), 4)
    0.6022
    """
    return np.divide(compute_time, active_time)


def temporal_sparsity(*, active_time: FloatLike, stage_budget: FloatLike) -> FloatArray:
    """Return the share of the stage in which the device is at work; above 1 the stage cannot be met.

    Parameters
    ----------
    active_time, stage_budget
        As in `nomenclature`.

    Returns
    -------
    float or array
        Temporal sparsity, S_t [1].

    Notes
    -----
    S_t = t_G / t_B

    References
    ----------
    arXiv 2602.09721, HFU = OFU * S_t.

    Examples
    --------
    >>> round(float(temporal_sparsity(active_time=210.34e-6, stage_budget=382.5137e-6)), 4)
    0.5499
    """
    return np.divide(active_time, stage_budget)


def hardware_utilization(*, compute_time: FloatLike, stage_budget: FloatLike) -> FloatArray:
    """Return the utilization of the matrix units over the whole stage.

    Parameters
    ----------
    compute_time, stage_budget
        As in `nomenclature`.

    Returns
    -------
    float or array
        Hardware FLOPS utilization of the FFN devices in the stage, HFU [1].

    Notes
    -----
    HFU = FLOPs / (t_B * F) = OFU * S_t

    References
    ----------
    arXiv 2602.09721, HFU = OFU * S_t.

    Examples
    --------
    >>> round(float(hardware_utilization(compute_time=126.67e-6, stage_budget=382.5137e-6)), 4)
    0.3312
    """
    return np.divide(compute_time, stage_budget)


def compute_bound_bandwidth(
    *, link_bytes_per_pair: FloatLike, flops_per_pair: FloatLike, peak: FloatLike
) -> FloatArray:
    """Return the link bandwidth from which on compute binds: where HFU reaches 1.

    Parameters
    ----------
    link_bytes_per_pair, flops_per_pair, peak
        As in `nomenclature`.

    Returns
    -------
    float or array
        Bandwidth, BW_c [B/s].

    Notes
    -----
    BW_c = F * (bytes per pair) / (FLOPs per pair)

    References
    ----------
    arXiv 2602.09721, closed form of HFU, solved for HFU = 1.

    Examples
    --------
    >>> round(float(compute_bound_bandwidth(link_bytes_per_pair=21504, flops_per_pair=88080384,
    ...                                     peak=1.979e15)) / 1e9, 1)
    483.2
    """
    return peak * np.divide(link_bytes_per_pair, flops_per_pair)


def closed_form_utilization(*, link_bandwidth: FloatLike, compute_bound_bandwidth: FloatLike) -> FloatArray:
    """Return the HFU that a link bandwidth grants: width, layers and latency target cancel.

    Parameters
    ----------
    link_bandwidth : float or array
        Bytes of token-expert pairs per second into one FFN device, BW_eff [B/s].
    compute_bound_bandwidth : float or array
        Bandwidth at which HFU reaches 1, BW_c [B/s].

    Returns
    -------
    float or array
        HFU [1].

    Notes
    -----
    HFU = min(1, BW_eff / BW_c) = min(1, 2 * n_mat * M * BW_eff / ((b_d + b_c) * F))

    References
    ----------
    arXiv 2602.09721, closed form of HFU.

    Examples
    --------
    >>> round(float(closed_form_utilization(link_bandwidth=160e9, compute_bound_bandwidth=483.15e9)), 3)
    0.331
    """
    return np.minimum(1.0, np.divide(link_bandwidth, compute_bound_bandwidth))


class FfnStage(NamedTuple):
    """One stage of the FFN devices, every quantity in SI and broadcast only as far as it depends."""

    experts_per_device: FloatArray
    link_bandwidth: FloatArray
    pairs_per_device: FloatArray
    intensity: FloatArray
    weight_time: FloatArray
    compute_time: FloatArray
    active_time: FloatArray
    ofu: FloatArray
    temporal_sparsity: FloatArray
    hfu: FloatArray
    expert_memory: FloatArray


_RESTING_ON_ACTIVE = frozenset({"active_time", "ofu", "temporal_sparsity"})
_RESTING_ON_PAIRS = _RESTING_ON_ACTIVE | {"pairs_per_device", "compute_time", "intensity"}


def ffn_stage(
    *,
    ffn_nodes: IntLike,
    devices_per_node: IntLike,
    routed_experts: IntLike,
    experts_per_copy: FloatLike,
    flops_per_pair: FloatLike,
    link_bytes_per_pair: FloatLike,
    weight_bytes: FloatLike,
    moe_layers: IntLike,
    stage_budget: FloatLike,
    peak: FloatLike,
    memory_bandwidth: FloatLike,
    scale_up: FloatLike,
    scale_out: FloatLike,
    superpod: BoolLike,
    attention_devices: FloatLike = np.inf,
    wanted: Collection[str] = FfnStage._fields,
) -> FfnStage:
    """Return the communication-level roofline of the FFN stage, all terms together.

    Parameters
    ----------
    weight_bytes, stage_budget, superpod
        As in `nomenclature`.
    ffn_nodes, devices_per_node : int or array
        FFN nodes N_F, and devices of each, g [1].
    routed_experts, moe_layers : int or array
        Routed experts of a layer, E; layers with experts, L_moe [1].
    experts_per_copy : float or array
        Experts one copy over scale-out serves, k/u [1].
    flops_per_pair, link_bytes_per_pair : float or array
        Operations [FLOP] and link bytes [B] of one token-expert pair.
    peak, memory_bandwidth : float or array
        Peak rate of the expert product, F [FLOP/s]; memory bandwidth, W [B/s].
    scale_up, scale_out : float or array
        Effective bandwidth of one device, one direction [B/s].
    attention_devices : float or array
        Attention devices that send; infinite where only the receiver counts [1].
    wanted : collection of str
        Terms that are computed of those that no other rests on, by name; the others are NaN [1].

    Returns
    -------
    FfnStage
        All terms, broadcast over open axes.

    Notes
    -----
    The terms in the order of the fields, each by the function of its name.

    References
    ----------
    arXiv 2602.09721, communication-level roofline.

    Examples
    --------
    DeepSeek-V3 on two H800 nodes, 382.5137 us a stage:

    >>> stage = ffn_stage(ffn_nodes=2, devices_per_node=8, routed_experts=256, experts_per_copy=4,
    ...                   flops_per_pair=88080384, link_bytes_per_pair=21504, weight_bytes=1, moe_layers=58,
    ...                   stage_budget=382.5137e-6, peak=1.979e15, memory_bandwidth=3.35e12,
    ...                   scale_up=160e9, scale_out=50e9, superpod=False)
    >>> round(float(stage.hfu), 4), round(float(stage.ofu), 4)
    (0.3312, 0.6022)
    """
    experts = experts_per_device(
        routed_experts=routed_experts, ffn_nodes=ffn_nodes, devices_per_node=devices_per_node
    )
    share = sender_share(
        attention_devices=attention_devices, ffn_devices=np.multiply(ffn_nodes, devices_per_node)
    )
    link = link_bandwidth(
        scale_up=scale_up,
        scale_out=scale_out,
        experts_per_copy=experts_per_copy,
        sender_share=share,
        superpod=superpod,
    )
    arriving: dict[str, Any] = {
        "link_bandwidth": link,
        "link_bytes_per_pair": link_bytes_per_pair,
        "peak": peak,
        "flops_per_pair": flops_per_pair,
    }
    pairs: FloatArray = np.nan
    computing: FloatArray = np.nan
    if not _RESTING_ON_PAIRS.isdisjoint(wanted):
        pairs = pairs_per_device(stage_budget=stage_budget, **arriving)
        computing = compute_time(pairs_per_device=pairs, flops_per_pair=flops_per_pair, peak=peak)
    reading = weight_time(
        experts_per_device=experts,
        flops_per_pair=flops_per_pair,
        weight_bytes=weight_bytes,
        memory_bandwidth=memory_bandwidth,
    )
    hfu: FloatArray = np.nan
    if "hfu" in wanted:  # of a second as of a stage: how long that is cancels
        second = pairs_per_device(stage_budget=1.0, **arriving)
        busy = compute_time(pairs_per_device=second, flops_per_pair=flops_per_pair, peak=peak)
        hfu = hardware_utilization(compute_time=busy, stage_budget=1.0)
    active: FloatArray = np.nan
    if not _RESTING_ON_ACTIVE.isdisjoint(wanted):
        active = active_time(compute_time=computing, weight_time=reading)
    return FfnStage(
        experts_per_device=experts,
        link_bandwidth=link,
        pairs_per_device=pairs,
        intensity=arithmetic_intensity(
            pairs_per_device=pairs, experts_per_device=experts, weight_bytes=weight_bytes
        )
        if "intensity" in wanted
        else np.nan,
        weight_time=reading,
        compute_time=computing,
        active_time=active,
        ofu=operational_utilization(compute_time=computing, active_time=active)
        if "ofu" in wanted
        else np.nan,
        temporal_sparsity=temporal_sparsity(active_time=active, stage_budget=stage_budget)
        if "temporal_sparsity" in wanted
        else np.nan,
        hfu=hfu,
        expert_memory=expert_memory(
            experts_per_device=experts,
            flops_per_pair=flops_per_pair,
            weight_bytes=weight_bytes,
            moe_layers=moe_layers,
        ),
    )
