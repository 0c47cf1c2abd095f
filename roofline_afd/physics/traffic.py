"""What devices send each other for a layer of experts: bytes over each fabric, by transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike


class Traffic(NamedTuple):
    """Bytes that one device (or one group, where said) moves in one direction, by fabric [B]."""

    scale_up_bytes: FloatArray
    scale_out_bytes: FloatArray


def vector_bytes(
    *, width: FloatLike, bytes_per_element: FloatLike, scale_bytes_per_element: FloatLike = 0.0
) -> FloatArray:
    """Return the bytes of one copy of a token.

    Parameters
    ----------
    width
        As in `nomenclature`.
    bytes_per_element : float or array
        Bytes of an element, b [B].
    scale_bytes_per_element : float or array
        Bytes of the format's scales per element, b_s: 4/128 for fp8 with a scale per 128 elements [B].

    Returns
    -------
    float or array
        Bytes [B].

    Notes
    -----
    bytes = H * (b + b_s)

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 3.3.2, tiles of 128 elements.

    Examples
    --------
    >>> float(vector_bytes(width=7168, bytes_per_element=1, scale_bytes_per_element=4 / 128))
    7392.0
    """
    return np.multiply(width, np.add(bytes_per_element, scale_bytes_per_element)) * 1.0


def pair_traffic(
    *,
    tokens: FloatLike,
    top_k: FloatLike,
    width: FloatLike,
    bytes_per_element: FloatLike,
    devices: FloatLike,
    devices_per_node: FloatLike,
    scale_bytes_per_element: FloatLike = 0.0,
    filled: bool = False,
) -> Traffic:
    """Return what a device sends under expert parallelism with one copy per token-expert pair.

    Parameters
    ----------
    tokens, width, bytes_per_element, scale_bytes_per_element
        As in `nomenclature`.
    top_k : float or array
        Experts of a token, k [1].
    devices, devices_per_node : float or array
        Devices the experts are spread over, G; those scale-up connects, g [1].
    filled : bool
        Whether domains are filled one after the other (`domain_parts`) [1].

    Returns
    -------
    Traffic
        Bytes over each fabric in one direction; as many arrive [B].

    Notes
    -----
    V = T * k * H * (b + b_s); over scale-up V * (g - 1) / G, over scale-out V * (G - g) / G, V / G stays

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 3.4.2: point-to-point transfers of decoding.

    Examples
    --------
    >>> traffic = pair_traffic(tokens=128, top_k=8, width=7168, bytes_per_element=1, devices=16,
    ...                        devices_per_node=8)
    >>> float(traffic.scale_up_bytes), float(traffic.scale_out_bytes)
    (3211264.0, 3670016.0)
    """
    vector = vector_bytes(
        width=width, bytes_per_element=bytes_per_element, scale_bytes_per_element=scale_bytes_per_element
    )
    return _by_distance(np.multiply(tokens, top_k) * vector, devices, devices_per_node, filled=filled)


def rank_traffic(
    *,
    tokens: FloatLike,
    devices_hit: FloatLike,
    width: FloatLike,
    bytes_per_element: FloatLike,
    devices: FloatLike | IntLike,
    devices_per_node: FloatLike,
    scale_bytes_per_element: FloatLike = 0.0,
    filled: bool = False,
) -> Traffic:
    """Return what a device sends under expert parallelism with one copy per device hit.

    Parameters
    ----------
    tokens, width, bytes_per_element, scale_bytes_per_element
        As in `nomenclature`.
    devices_hit : float or array
        Expected devices a token reaches, u(G) (`nodes_hit_uniform` and the like, a device for a node) [1].
    devices : float or array
        Devices the experts are spread over, G [1].
    devices_per_node : float or array
        Devices that scale-up connects, g [1].
    filled : bool
        Whether domains are filled one after the other (`domain_parts`) [1].

    Returns
    -------
    Traffic
        Bytes over each fabric in one direction; as many arrive [B].

    Notes
    -----
    V = T * u(G) * H * (b + b_s); over scale-up V * (g - 1) / G, over scale-out V * (G - g) / G, V / G stays

    References
    ----------
    This project; devices alike.

    Examples
    --------
    >>> traffic = rank_traffic(tokens=128, devices_hit=5.2947, width=7168, bytes_per_element=1, devices=8,
    ...                        devices_per_node=8)
    >>> round(float(traffic.scale_up_bytes)), float(traffic.scale_out_bytes)
    (4250670, 0.0)
    """
    vector = vector_bytes(
        width=width, bytes_per_element=bytes_per_element, scale_bytes_per_element=scale_bytes_per_element
    )
    return _by_distance(np.multiply(tokens, devices_hit) * vector, devices, devices_per_node, filled=filled)


def domains_used(*, devices: FloatLike | IntLike, domain_devices: FloatLike | IntLike) -> FloatArray:
    """Return the domains that a group of devices is laid out over, in parts as even as can be.

    Parameters
    ----------
    devices : int or array
        Devices of the group, G [1].
    domain_devices : int or array
        Devices of a scale-up domain, D [1].

    Returns
    -------
    float or array
        Domains, P [1].

    Notes
    -----
    P = ceil(G / D); parts of floor(G / P) and ceil(G / P) devices: 76 on racks of 72 are 38 and 38, since
    a part of 4 would send nearly all it has over scale-out

    References
    ----------
    This project.

    Examples
    --------
    >>> [float(domains_used(devices=each, domain_devices=72)) for each in (64, 72, 76, 144)]
    [1.0, 1.0, 2.0, 2.0]
    """
    return np.maximum(np.ceil(np.divide(devices, domain_devices)), 1.0)


def domain_parts(
    *, devices: FloatLike | IntLike, domain_devices: FloatLike | IntLike, filled: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return the devices of the smallest and of the largest part that a group has in a domain.

    Parameters
    ----------
    devices : int or array
        Devices of the group, G [1].
    domain_devices : int or array
        Devices of a scale-up domain, D [1].
    filled : bool
        Whether domains are filled one after the other, instead of all to an equal part [1].

    Returns
    -------
    tuple of float or array
        Devices of the smallest part, and of the largest [1].

    Notes
    -----
    even: floor(G / P) and ceil(G / P), P as `domains_used`; filled: G - (P - 1) * D and min(G, D)

    References
    ----------
    This project.

    Examples
    --------
    >>> [float(part) for part in domain_parts(devices=76, domain_devices=72)]
    [38.0, 38.0]
    >>> [float(part) for part in domain_parts(devices=76, domain_devices=72, filled=True)]
    [4.0, 72.0]
    """
    used = domains_used(devices=devices, domain_devices=domain_devices)
    if filled:
        rest = np.subtract(devices, (used - 1.0) * domain_devices)
        return rest * 1.0, np.minimum(devices, domain_devices) * 1.0
    each = np.divide(devices, used)
    return np.floor(each), np.ceil(each)


class Crossing(NamedTuple):
    """How two groups that send to each other lie over domains.

    Share of what they send that leaves its domain [1], and the devices of the first group that send this, and
    that send the rest, were all that send as busy as the busiest [1].
    """

    share: FloatArray
    sending_devices: FloatArray
    near_devices: FloatArray


def even_crossing(
    *, attention_devices: FloatLike, ffn_devices: FloatLike, domain_devices: FloatLike
) -> Crossing:
    """Return what leaves its domain where each domain holds an equal part of both groups.

    Parameters
    ----------
    attention_devices, ffn_devices : float or array
        Devices of both groups, n_A and n_F [1].
    domain_devices : float or array
        Devices of a scale-up domain, D [1].

    Returns
    -------
    Crossing
        Share 0 where both fit into one domain.

    Notes
    -----
    share = 1 - 1 / P, P = ceil((n_A + n_F) / D); all n_A devices send it

    References
    ----------
    This project.

    Examples
    --------
    >>> float(even_crossing(attention_devices=80, ffn_devices=16, domain_devices=72).share)
    0.5
    """
    every = np.add(attention_devices, ffn_devices)
    used = domains_used(devices=every, domain_devices=domain_devices)
    senders = np.multiply(attention_devices, 1.0)
    return Crossing(1.0 - 1.0 / used, senders, senders)


def around_crossing(
    *, attention_devices: FloatLike, ffn_devices: FloatLike, domain_devices: FloatLike
) -> Crossing:
    """Return what leaves its domain where one holds all FFN devices, and is filled with attention devices.

    Parameters
    ----------
    attention_devices, ffn_devices : float or array
        Devices of both groups, n_A and n_F [1].
    domain_devices : float or array
        Devices of a scale-up domain, D [1].

    Returns
    -------
    Crossing
        Share 1 where the FFN devices do not fit into one domain.

    Notes
    -----
    a_0 = min(n_A, D - n_F) attention devices lie beside the FFN devices; share = 1 - a_0 / n_A, which the
    others send

    References
    ----------
    This project.

    Examples
    --------
    >>> found = around_crossing(attention_devices=80, ffn_devices=16, domain_devices=72)
    >>> round(float(found.share), 2), float(found.sending_devices), float(found.near_devices)
    (0.3, 24.0, 56.0)
    """
    beside = np.maximum(np.minimum(attention_devices, np.subtract(domain_devices, ffn_devices)), 0.0)
    outside = np.subtract(attention_devices, beside) * 1.0
    return Crossing(outside / attention_devices, outside, beside * 1.0)


def _by_distance(
    volume: FloatArray, devices: FloatLike | IntLike, devices_per_node: FloatLike, *, filled: bool
) -> Traffic:
    """Share a volume out over places alike, as the busiest part sends it.

    1/G stays, those of its domain go over scale-up, the rest beyond: of the largest part most stays inside,
    of the smallest most leaves.
    """
    smallest, largest = domain_parts(devices=devices, domain_devices=devices_per_node, filled=filled)
    return Traffic(
        volume * (np.subtract(largest, 1.0) / devices),
        volume * (np.subtract(devices, smallest) / devices),
    )


def node_traffic(
    *,
    tokens: FloatLike,
    nodes_hit: FloatLike,
    devices_hit: FloatLike,
    width: FloatLike,
    bytes_per_element: FloatLike,
    devices: FloatLike | IntLike,
    devices_per_node: FloatLike | IntLike,
    scale_bytes_per_element: FloatLike = 0.0,
    filled: bool = False,
) -> Traffic:
    """Return what a device sends under expert parallelism with one copy per node hit, forwarded inside.

    Parameters
    ----------
    tokens, width, bytes_per_element, scale_bytes_per_element
        As in `nomenclature`.
    nodes_hit, devices_hit : float or array
        Expected nodes, and devices, a token reaches, u(N) and u(G) (`nodes_hit_uniform` and the like) [1].
    devices, devices_per_node : float or array
        Devices the experts are spread over, G; those scale-up connects, g; G in whole nodes [1].
    filled : bool
        Whether domains are filled one after the other (`domain_parts`) [1].

    Returns
    -------
    Traffic
        Bytes over each fabric in one direction; as many arrive [B].

    Notes
    -----
    over scale-out T * u(N) * H * (b + b_s) * (N - 1) / N, N = G / g nodes; over scale-up
    T * u(G) * H * (b + b_s) * (g - 1) / g

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 3.2.2: to the device of equal index, then over scale-up.

    Examples
    --------
    >>> traffic = node_traffic(tokens=128, nodes_hit=1.993, devices_hit=6.5233, width=7168,
    ...                        bytes_per_element=1, devices=16, devices_per_node=8)
    >>> round(float(traffic.scale_up_bytes)), round(float(traffic.scale_out_bytes))
    (5237010, 914293)
    """
    nodes = domains_used(devices=devices, domain_devices=devices_per_node)
    near = domain_parts(devices=devices, domain_devices=devices_per_node, filled=filled)[1]
    vector = vector_bytes(
        width=width, bytes_per_element=bytes_per_element, scale_bytes_per_element=scale_bytes_per_element
    )
    volume = np.multiply(tokens, vector)
    return Traffic(
        volume * devices_hit * (np.subtract(near, 1.0) / near),
        volume * nodes_hit * (np.subtract(nodes, 1.0) / nodes),
    )


def group_traffic(
    *,
    tokens: FloatLike,
    scale_up_copies: FloatLike,
    scale_out_copies: FloatLike,
    width: FloatLike,
    bytes_per_element: FloatLike,
    scale_bytes_per_element: FloatLike = 0.0,
) -> Traffic:
    """Return what one whole group of devices sends to another, attention to FFN or back.

    Parameters
    ----------
    width, bytes_per_element, scale_bytes_per_element
        As in `nomenclature`.
    tokens : float or array
        Tokens of the whole group, T [1].
    scale_up_copies, scale_out_copies : float or array
        Copies of a token over each fabric [1]: k and u where a copy per node hit is forwarded inside it, 0
        and k for a copy per expert, k and 0 within one scale-up domain.

    Returns
    -------
    Traffic
        Bytes of the group over each fabric; nothing is local to it [B].

    Notes
    -----
    V_up = T * copies_up * H * (b + b_s), V_out = T * copies_out * H * (b + b_s)

    References
    ----------
    This project; both ends of arXiv 2602.09721's two-stage dispatch.

    Examples
    --------
    >>> traffic = group_traffic(tokens=1024, scale_up_copies=8, scale_out_copies=2, width=7168,
    ...                         bytes_per_element=1)
    >>> float(traffic.scale_up_bytes), float(traffic.scale_out_bytes)
    (58720256.0, 14680064.0)
    """
    volume = np.multiply(
        tokens,
        vector_bytes(
            width=width, bytes_per_element=bytes_per_element, scale_bytes_per_element=scale_bytes_per_element
        ),
    )
    both = (scale_up_copies, scale_out_copies)
    return Traffic(*(volume * each if np.ndim(each) or each else 0.0 for each in both))
