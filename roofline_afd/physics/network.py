"""What a fabric carries between devices, the times transfers take, and the limits they set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike

REFERENCE_DEVICES = 16
"""Devices from which on scale-out transfers slow down with scale."""
GROUP_DEVICES = 8
"""Devices from which on the fixed time of a transfer within a scale-up domain grows with the group."""


def transfer_time(
    *,
    latency: FloatLike,
    scale_up_bytes: FloatLike,
    scale_out_bytes: FloatLike,
    scale_up: FloatLike,
    scale_out: FloatLike,
    slowdown: FloatLike = 1.0,
    scale_up_messages: FloatLike = 0.0,
    scale_out_messages: FloatLike = 0.0,
    scale_up_message_time: FloatLike = 0.0,
    scale_out_message_time: FloatLike = 0.0,
) -> FloatArray:
    """Return the time of a transfer over both fabrics at once.

    Parameters
    ----------
    latency : float or array
        Fixed time, t_0 [s].
    scale_up_bytes, scale_out_bytes : float or array
        Volume over each fabric, V_up and V_out [B].
    scale_up, scale_out : float or array
        Effective bandwidth of each, BW_up and BW_out [B/s].
    slowdown : float or array
        Factor on the time over scale-out (`scale_out_slowdown`), s [1].
    scale_up_messages, scale_out_messages : float or array
        Messages that the busiest device sends or receives over each fabric, M_up and M_out [1].
    scale_up_message_time, scale_out_message_time : float or array
        Time that it takes for each, a_up and a_out [s].

    Returns
    -------
    float or array
        Time; 0 where there is nothing to move [s].

    Notes
    -----
    t = t_0 + max(V_up / BW_up, M_up * a_up, s * V_out / BW_out, M_out * a_out)

    References
    ----------
    Hockney (1994), doi 10.1016/S0167-8191(06)80021-9, latency and bandwidth; the two hops of a node-wise
    exchange overlap, as in arXiv 2412.19437 (DeepSeek-V3), section 3.2.2; a gap for each message as in LogGP,
    doi 10.1145/215399.215427.

    Examples
    --------
    >>> t = transfer_time(latency=10e-6, scale_up_bytes=8e6, scale_out_bytes=4e6, scale_up=160e9,
    ...                   scale_out=40e9)
    >>> round(float(t) * 1e6, 1)
    110.0
    >>> t = transfer_time(latency=10e-6, scale_up_bytes=0, scale_out_bytes=4e6, scale_up=160e9,
    ...                   scale_out=40e9, scale_out_messages=500, scale_out_message_time=1e-6)
    >>> round(float(t) * 1e6, 1)
    510.0
    """
    inner = _paced(_seconds(scale_up_bytes, scale_up), scale_up_messages, scale_up_message_time)
    outer = _seconds(scale_out_bytes, scale_out) * slowdown
    moving = np.maximum(inner, _paced(outer, scale_out_messages, scale_out_message_time))
    some, time = np.greater(moving, 0), np.add(latency, moving)
    return time if some.all() else np.where(some, time, 0.0)[()]


def _seconds(volume: FloatLike, rate: FloatLike) -> FloatArray:
    """Return volume over rate; 0 for no volume, even over a link that is absent."""
    if not np.ndim(volume) and not volume:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.true_divide(volume, rate)
        return found if np.greater(rate, 0).all() else np.where(np.greater(volume, 0), found, 0.0)


def _paced(seconds: FloatArray, messages: FloatLike, each: FloatLike) -> FloatArray:
    """Return the time of a volume, or of its messages where these take longer."""
    alone = isinstance(each, float) and each == 0.0
    return seconds if alone else np.maximum(seconds, np.multiply(messages, each))


def scale_out_slowdown(*, devices: FloatLike, scale_penalty: FloatLike) -> FloatArray:
    """Return by how much transfers over scale-out slow down with the devices that take part.

    Parameters
    ----------
    devices
        As in `nomenclature`.
    scale_penalty : float or array
        Growth of the time per doubling of devices, d [1].

    Returns
    -------
    float or array
        Factor on the time, at least 1 [1].

    Notes
    -----
    slowdown = max(1, 1 + d * log2(G / 16))

    References
    ----------
    This project; fitted to published timings of all-to-all kernels (d near 0.045 on Hopper).

    Examples
    --------
    >>> float(scale_out_slowdown(devices=64, scale_penalty=0.045))
    1.09
    """
    doublings = np.log2(np.divide(devices, REFERENCE_DEVICES))
    return 1.0 + np.multiply(scale_penalty, np.maximum(doublings, 0.0))


def group_latency(*, latency: FloatLike, devices: FloatLike, latency_growth: FloatLike) -> FloatArray:
    """Return the fixed time of a transfer within a scale-up domain, which grows with the group.

    Parameters
    ----------
    devices
        As in `nomenclature`.
    latency : float or array
        Fixed time of a group of up to 8 devices, t_8 [s].
    latency_growth : float or array
        Growth of that time per doubling of devices, d [1].

    Returns
    -------
    float or array
        Fixed time [s].

    Notes
    -----
    t_0 = t_8 * max(1, 1 + d * log2(G / 8))

    References
    ----------
    This project; every device signals every other, and published timings of single tokens show it (d near
    0.18 over NVLink 5).

    Examples
    --------
    >>> round(float(group_latency(latency=20e-6, devices=64, latency_growth=0.2)) * 1e6, 3)
    32.0
    """
    doublings = np.log2(np.maximum(np.divide(devices, GROUP_DEVICES), 1.0))
    return np.multiply(latency, 1.0 + np.multiply(latency_growth, doublings))


def exchange_latency(
    *,
    latency_up: FloatLike,
    latency_out: FloatLike,
    latency_growth: FloatLike,
    devices: FloatLike,
    crosses: BoolLike,
) -> FloatArray:
    """Return the fixed time of an exchange: across domains the larger of both fabrics'.

    Parameters
    ----------
    devices
        As in `nomenclature`.
    latency_up : float or array
        Fixed time of a group of up to 8 devices within a domain, t_8 [s].
    latency_out : float or array
        Fixed time across domains, t_out [s].
    latency_growth : float or array
        Growth of the time within a domain per doubling of devices, d [1].
    crosses : bool or array
        Whether the group reaches beyond one domain [1].

    Returns
    -------
    float or array
        Fixed time [s].

    Notes
    -----
    t_0 = t_up = t_8 * max(1, 1 + d * log2(G / 8)) within a domain, max(t_up, t_out) across domains

    References
    ----------
    This project; every device signals every other, wherever it is.

    Examples
    --------
    >>> t = exchange_latency(latency_up=12e-6, latency_out=23e-6, latency_growth=0, devices=16, crosses=True)
    >>> round(float(t) * 1e6, 1)
    23.0
    """
    inside = group_latency(latency=latency_up, devices=devices, latency_growth=latency_growth)
    return np.where(crosses, np.maximum(inside, latency_out), inside)[()]


def group_bandwidth(
    *,
    sending_devices: FloatLike,
    receiving_devices: FloatLike,
    sending_bandwidth: FloatLike,
    receiving_bandwidth: FloatLike,
    pairwise_bandwidth: FloatLike = np.inf,
    bisection_bandwidth: FloatLike = np.inf,
) -> FloatArray:
    """Return what a fabric carries from one group of devices to another, one direction.

    Parameters
    ----------
    sending_devices, receiving_devices : float or array
        Devices of each group, n_A and n_F [1].
    sending_bandwidth, receiving_bandwidth : float or array
        Effective bandwidth of one device of each, BW_A and BW_F [B/s].
    pairwise_bandwidth : float or array
        What one pair of devices has to itself, BW_p, in a full mesh; infinite behind a switch [B/s].
    bisection_bandwidth : float or array
        What crosses any cut between the groups, BW_b; infinite behind a switch [B/s].

    Returns
    -------
    float or array
        Bandwidth of the whole groups [B/s].

    Notes
    -----
    BW = min(n_A * BW_A, n_F * BW_F, n_A * n_F * BW_p, BW_b)

    References
    ----------
    This project; minimum cut between the groups, cf. Dally, Towles, Principles and Practices of
    Interconnection Networks

    Examples
    --------
    Four and four devices of a full mesh of eight, 448 GB/s each over seven links: four of seven serve.

    >>> float(group_bandwidth(sending_devices=4, receiving_devices=4, sending_bandwidth=448e9,
    ...                       receiving_bandwidth=448e9, pairwise_bandwidth=64e9)) / 1e9
    1024.0
    """
    links = np.multiply(sending_devices, receiving_devices) * np.multiply(1.0, pairwise_bandwidth)
    most = np.minimum(np.minimum(np.multiply(sending_devices, sending_bandwidth), links), bisection_bandwidth)
    return np.minimum(most * 1.0, np.multiply(receiving_devices, receiving_bandwidth))


def mesh_pair_bandwidth(*, bandwidth: FloatLike, devices: FloatLike) -> FloatArray:
    """Return what one pair of devices has to itself in a full mesh.

    Parameters
    ----------
    bandwidth
        As in `nomenclature`.
    devices : float or array
        Devices of the mesh, D [1].

    Returns
    -------
    float or array
        Bandwidth of one link [B/s].

    Notes
    -----
    BW_p = BW / (D - 1)

    References
    ----------
    Dally, Towles, Principles and Practices of Interconnection Networks

    Examples
    --------
    >>> float(mesh_pair_bandwidth(bandwidth=448e9, devices=8)) / 1e9
    64.0
    """
    return np.divide(bandwidth, np.maximum(np.subtract(devices, 1.0), 1.0))


def torus_bisection_bandwidth(
    *, bandwidth: FloatLike, cut_links: FloatLike, link_share: FloatLike
) -> FloatArray:
    """Return what crosses the middle of a slice of a torus, one direction.

    Parameters
    ----------
    bandwidth
        As in `nomenclature`.
    cut_links : float or array
        Links across the middle: of a slice of 4 x 4 x 4 with linked ends twice 16 [1].
    link_share : float or array
        Share of a device's bandwidth that one of those links has, s: 1/6 where six are alike [1].

    Returns
    -------
    float or array
        Bandwidth of the cut [B/s].

    Notes
    -----
    BW_b = links * s * BW; of an exchange of all with all a quarter crosses the middle each way, so that
    all devices together send 4 * BW_b at most; two interleaved groups as much, side by side a quarter of it

    References
    ----------
    Dally, Towles, Principles and Practices of Interconnection Networks

    Examples
    --------
    >>> float(torus_bisection_bandwidth(bandwidth=600e9, cut_links=32, link_share=1 / 6)) / 1e9
    3200.0
    """
    return np.multiply(cut_links, link_share) * bandwidth


def cache_transfer_time(
    *,
    cache_bytes: FloatLike,
    sending_devices: FloatLike,
    receiving_devices: FloatLike,
    sending_bandwidth: FloatLike,
    receiving_bandwidth: FloatLike,
    latency: FloatLike,
) -> FloatArray:
    """Return the time to move the cache of a prompt from the devices that prefilled it to those that decode.

    Parameters
    ----------
    cache_bytes : float or array
        Bytes of keys, values and states of all layers [B].
    sending_devices, receiving_devices : float or array
        Devices that share in it at each end [1].
    sending_bandwidth, receiving_bandwidth : float or array
        Effective bandwidth of one device of each [B/s].
    latency : float or array
        Fixed time [s].

    Returns
    -------
    float or array
        Time; 0 where there is nothing to move [s].

    Notes
    -----
    t = t_0 + bytes / min(n_send * BW_send, n_receive * BW_receive)

    References
    ----------
    arXiv 2401.09670 (DistServe): transfer of the cache between pools.

    Examples
    --------
    DeepSeek-V3, 4096 tokens of 70272 B, one link of 50 GB/s:

    >>> t = cache_transfer_time(cache_bytes=4096 * 70272, sending_devices=1, receiving_devices=8,
    ...                         sending_bandwidth=50e9, receiving_bandwidth=50e9, latency=0)
    >>> round(float(t) * 1e3, 3)
    5.757
    """
    bandwidth = group_bandwidth(
        sending_devices=sending_devices,
        receiving_devices=receiving_devices,
        sending_bandwidth=sending_bandwidth,
        receiving_bandwidth=receiving_bandwidth,
    )
    return transfer_time(
        latency=latency,
        scale_up_bytes=0.0,
        scale_out_bytes=cache_bytes,
        scale_up=1.0,
        scale_out=bandwidth,
    )


def exchange_time_limit(
    *,
    tokens: FloatLike,
    copies: FloatLike,
    width: FloatLike,
    dispatch_bytes: FloatLike,
    combine_bytes: FloatLike,
    bandwidth: FloatLike,
) -> FloatArray:
    """Return the time a link needs for one dispatch and one combine, at its bandwidth and no latency.

    Parameters
    ----------
    width, dispatch_bytes, combine_bytes
        As in `nomenclature`.
    tokens : float or array
        Tokens of one device [1].
    copies : float or array
        Copies of a token that leave the device [1].
    bandwidth : float or array
        Bandwidth of the device [B/s].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t = (b_d + b_c) * T * copies * H / BW

    References
    ----------
    arXiv 2505.09343 (Insights into DeepSeek-V3), section 2.3.2.

    Examples
    --------
    >>> round(float(exchange_time_limit(tokens=32, copies=9, width=7000, dispatch_bytes=1, combine_bytes=2,
    ...                                 bandwidth=50e9)) * 1e6, 2)
    120.96
    """
    volume = np.multiply(np.add(dispatch_bytes, combine_bytes), np.multiply(tokens, copies)) * width
    return np.divide(volume, bandwidth)


def exchange_step_limit(
    *, exchange_time: FloatLike, layers: FloatLike, microbatches: FloatLike
) -> FloatArray:
    """Return the time of a decode step that does nothing but exchange.

    Parameters
    ----------
    exchange_time : float or array
        Dispatch and combine of one layer and micro-batch [s].
    layers : float or array
        Layers, L [1].
    microbatches : float or array
        Micro-batches, m [1].

    Returns
    -------
    float or array
        Time per output token [s].

    Notes
    -----
    TPOT = L * m * t

    References
    ----------
    arXiv 2505.09343 (Insights into DeepSeek-V3), section 2.3.2.

    Examples
    --------
    >>> round(float(exchange_step_limit(exchange_time=120.96e-6, layers=61, microbatches=2)) * 1e3, 2)
    14.76
    """
    return np.multiply(np.multiply(exchange_time, layers), microbatches)


def minimum_activated_share(
    *,
    width: FloatLike,
    layers: FloatLike,
    peak: FloatLike,
    memory_bandwidth: FloatLike,
    network: FloatLike,
    step_budget: FloatLike,
) -> FloatArray:
    """Return the share of experts a token must activate for its transfer to hide behind expert weights.

    Parameters
    ----------
    width
        As in `nomenclature`.
    layers : float or array
        Layers, L [1].
    peak : float or array
        Peak rate of a device, F [FLOP/s].
    memory_bandwidth : float or array
        Memory bandwidth of a device, W [B/s].
    network : float or array
        Network bandwidth of a server of eight devices, Net [B/s].
    step_budget : float or array
        Time a step leaves the network over all layers, t [s].

    Returns
    -------
    float or array
        Least experts per token over experts, S [1].

    Notes
    -----
    S >= H * F * L / (Net * W * t)

    References
    ----------
    arXiv 2507.19427 (Step-3): sparsity each accelerator allows.

    Examples
    --------
    >>> round(float(minimum_activated_share(width=7168, layers=61, peak=1.98e15, memory_bandwidth=3.35e12,
    ...                                     network=400e9, step_budget=11.1e-3)), 4)
    0.0582
    """
    needed = np.multiply(np.multiply(width, peak), layers)
    return np.divide(needed, np.multiply(np.multiply(network, memory_bandwidth), step_budget))
