"""Collectives of devices that all take part alike: sums, gatherings, and everything to everyone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.network import mesh_pair_bandwidth

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def one_shot_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time of an all-reduce in which every device reads the whole vector of every other.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time: one barrier, t_1 [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = t_1 + M * (G - 1) / BW

    References
    ----------
    Thakur, Rabenseifner, Gropp (2005), doi 10.1177/1094342005051521, for the volumes; custom all-reduce of
    vLLM and TensorRT-LLM for a step over memory that devices share.

    Examples
    --------
    >>> t = one_shot_time(message_bytes=2**17, devices=8, bandwidth=361e9, latency=4e-6)
    >>> round(float(t) * 1e6, 2)
    6.54
    """
    return _time(np.multiply(message_bytes, np.subtract(devices, 1.0)), bandwidth, latency)


def two_shot_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time of an all-reduce in two steps: every device sums a share, then all gather the shares.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time of both steps, t_2 [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = t_2 + 2 * M * (1 - 1/G) / BW

    References
    ----------
    Thakur, Rabenseifner, Gropp (2005), doi 10.1177/1094342005051521: a reduce-scatter and an all-gather.

    Examples
    --------
    >>> t = two_shot_time(message_bytes=2**21, devices=8, bandwidth=361e9, latency=10e-6)
    >>> round(float(t) * 1e6, 2)
    20.17
    """
    return _time(np.multiply(2.0, _shared_out(message_bytes, devices)), bandwidth, latency)


def ring_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time of an all-reduce around a ring: 2 (G - 1) steps, a share of the vector in each.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time of one step, a [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = 2 * (G - 1) * (a + M / (G * BW))

    References
    ----------
    Patarasuk, Yuan (2009), doi 10.1016/j.jpdc.2008.09.002.

    Examples
    --------
    >>> t = ring_time(message_bytes=2**26, devices=8, bandwidth=361e9, latency=1e-6)
    >>> round(float(t) * 1e6, 1)
    339.3
    """
    steps = np.multiply(2.0, np.subtract(devices, 1.0))
    return two_shot_time(
        message_bytes=message_bytes, devices=devices, bandwidth=bandwidth, latency=np.multiply(steps, latency)
    )


def in_switch_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time of an all-reduce that switches sum: every device sends its vector once and reads one.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time, t_s [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = t_s + M / BW where G > 1: both directions run at once

    References
    ----------
    Klenk, Jiang, Thorson, Dennison, ISCA 2020: collectives of memory that devices share, summed within
    switches (NVLink SHARP, multimem).

    Examples
    --------
    >>> t = in_switch_time(message_bytes=2**22, devices=8, bandwidth=225e9, latency=9e-6)
    >>> round(float(t) * 1e6, 1)
    27.6
    """
    return _time(np.where(np.greater(devices, 1.0), message_bytes, 0.0), bandwidth, latency)


def all_gather_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time in which every device collects the shares of all others.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time, t_0 [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = t_0 + M * (1 - 1/G) / BW with M of the gathered vector

    References
    ----------
    Thakur, Rabenseifner, Gropp (2005), doi 10.1177/1094342005051521

    Examples
    --------
    >>> t = all_gather_time(message_bytes=2**29, devices=4, bandwidth=570e9, latency=12e-6)
    >>> round(float(t) * 1e6, 1)
    718.4
    """
    return _time(_shared_out(message_bytes, devices), bandwidth, latency)


def reduce_scatter_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time in which every device receives all others' parts of its share, and sums them.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time, t_0 [s].

    Returns
    -------
    float or array
        Time, that of an all-gather the other way round; 0 of one device [s].

    Notes
    -----
    t = t_0 + M * (1 - 1/G) / BW with M of the whole vector before it is scattered

    References
    ----------
    Thakur, Rabenseifner, Gropp (2005), doi 10.1177/1094342005051521

    Examples
    --------
    >>> t = reduce_scatter_time(message_bytes=2**20, devices=8, bandwidth=361e9, latency=5e-6)
    >>> round(float(t) * 1e6, 2)
    7.54
    """
    return all_gather_time(message_bytes=message_bytes, devices=devices, bandwidth=bandwidth, latency=latency)


def all_to_all_time(
    *, message_bytes: FloatLike, devices: FloatLike, bandwidth: FloatLike, latency: FloatLike
) -> FloatArray:
    """Return the time in which every device sends every other a share of its own, all of one size.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    latency : float or array
        Fixed time, t_0 [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = t_0 + M * (1 - 1/G) / BW with M of all that a device has to send, what stays with it included

    References
    ----------
    Thakur, Rabenseifner, Gropp (2005), doi 10.1177/1094342005051521: pairwise exchange, of long messages.

    Examples
    --------
    >>> t = all_to_all_time(message_bytes=2**26, devices=4, bandwidth=450e9, latency=12e-6)
    >>> round(float(t) * 1e6, 1)
    123.8
    """
    return _time(_shared_out(message_bytes, devices), bandwidth, latency)


def all_reduce_time(
    *,
    message_bytes: FloatLike,
    devices: FloatLike,
    bandwidth: FloatLike,
    one_shot_latency: FloatLike,
    two_shot_latency: FloatLike,
    in_switch_bandwidth: FloatLike = 0.0,
    in_switch_latency: FloatLike = 0.0,
) -> FloatArray:
    """Return the time of an all-reduce by the quickest way at its size.

    Parameters
    ----------
    bandwidth, devices, message_bytes
        As in `nomenclature`.
    one_shot_latency, two_shot_latency : float or array
        Fixed times in one step and in two, t_1 and t_2 [s].
    in_switch_bandwidth : float or array
        Bandwidth of a device where switches sum, BW_s; 0 where they do not [B/s].
    in_switch_latency : float or array
        Fixed time of that, t_s [s].

    Returns
    -------
    float or array
        Time; 0 of one device [s].

    Notes
    -----
    t = min(t_1 + M * (G - 1) / BW, t_2 + 2 * M * (1 - 1/G) / BW, t_s + M / BW_s)

    References
    ----------
    This project; libraries choose by size, and published timings of their kernels follow the least of these.

    Examples
    --------
    >>> sizes = np.array([2**19, 2**21, 2**23, 2**26])
    >>> t = all_reduce_time(message_bytes=sizes, devices=8, bandwidth=361e9, one_shot_latency=4e-6,
    ...                     two_shot_latency=10e-6)
    >>> (t * 1e6).round(1).tolist()
    [12.5, 20.2, 50.7, 335.3]
    """
    group = {"message_bytes": message_bytes, "devices": devices}
    once = one_shot_time(**group, bandwidth=bandwidth, latency=one_shot_latency)
    twice = two_shot_time(**group, bandwidth=bandwidth, latency=two_shot_latency)
    if not np.any(in_switch_bandwidth):
        return np.minimum(once, twice)
    summed = in_switch_time(**group, bandwidth=in_switch_bandwidth, latency=in_switch_latency)
    return np.minimum(np.minimum(once, twice), summed)


def domains_all_reduce_time(
    *,
    message_bytes: FloatLike,
    devices: FloatLike,
    domains: FloatLike,
    bandwidth: FloatLike,
    two_shot_latency: FloatLike,
    scale_out: FloatLike,
    scale_out_latency: FloatLike,
) -> FloatArray:
    """Return the time of an all-reduce over several scale-up domains: within, across, and within again.

    Parameters
    ----------
    bandwidth, message_bytes
        As in `nomenclature`.
    devices : float or array
        Devices of one domain that take part, G [1].
    domains : float or array
        Domains, D [1].
    two_shot_latency : float or array
        Fixed time of the scattering and the gathering within a domain, t_2 [s].
    scale_out : float or array
        Effective bandwidth of one device to other domains, one direction, BW_out [B/s].
    scale_out_latency : float or array
        Fixed time of a step to other domains, t_out [s].

    Returns
    -------
    float or array
        Time; of one domain that of two steps within it [s].

    Notes
    -----
    t = t_2 + 2 * M * (1 - 1/G) / BW + min(t_out + S * (D - 1) / BW_out, 2 * t_out + 2 * S * (1 - 1/D) /
    BW_out) with the share of a device S = M / G

    References
    ----------
    Cho, Finkler, Kung, Hunter, SysML 2019 (BlueConnect): an all-reduce along the levels of a network.

    Examples
    --------
    Two nodes of eight H100: 64 KiB of the 512 KiB vector leave each device.

    >>> t = domains_all_reduce_time(message_bytes=2**19, devices=8, domains=2, bandwidth=361e9,
    ...                             two_shot_latency=10e-6, scale_out=47e9, scale_out_latency=23e-6)
    >>> round(float(t) * 1e6, 1)
    36.9
    """
    within = two_shot_time(
        message_bytes=message_bytes, devices=devices, bandwidth=bandwidth, latency=two_shot_latency
    )
    across = all_reduce_time(
        message_bytes=np.divide(message_bytes, devices),
        devices=domains,
        bandwidth=scale_out,
        one_shot_latency=scale_out_latency,
        two_shot_latency=np.multiply(2.0, scale_out_latency),
    )
    return within + across


def mesh_group_bandwidth(
    *, bandwidth: FloatLike, devices: FloatLike, domain_devices: FloatLike
) -> FloatArray:
    """Return what a device of a group in a full mesh reaches the others with: its links to them, no more.

    Parameters
    ----------
    bandwidth
        As in `nomenclature`.
    devices : float or array
        Devices of the group, G [1].
    domain_devices : float or array
        Devices of the mesh, D [1].

    Returns
    -------
    float or array
        Bandwidth of the device to the group [B/s].

    Notes
    -----
    BW_G = BW * (G - 1) / (D - 1)

    References
    ----------
    Dally, Towles, Principles and Practices of Interconnection Networks

    Examples
    --------
    >>> float(mesh_group_bandwidth(bandwidth=448e9, devices=4, domain_devices=8)) / 1e9
    192.0
    """
    link = mesh_pair_bandwidth(bandwidth=bandwidth, devices=domain_devices)
    return np.multiply(link, np.maximum(np.subtract(devices, 1.0), 1.0))


def _shared_out(message_bytes: FloatLike, devices: FloatLike) -> FloatArray:
    """Return the bytes of a vector that lie with other devices."""
    return np.multiply(message_bytes, np.subtract(1.0, np.divide(1.0, devices)))


def _time(volume: FloatArray, bandwidth: FloatLike, latency: FloatLike) -> FloatArray:
    """Return the fixed time and that of a volume of each device; 0 where there is nothing to move."""
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.add(latency, np.true_divide(volume, bandwidth))
    return np.where(np.greater(volume, 0.0), time, 0.0)[()]
