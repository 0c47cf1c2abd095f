"""Where the FFN stage changes its regime, and which FFN node counts a deployment can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike, IntLike


def ceiling_bandwidth(
    *, scale_up: FloatLike, scale_out: FloatLike, top_k: IntLike, superpod: BoolLike
) -> FloatArray:
    """Return the link bandwidth of one FFN node, the most any node count grants.

    Parameters
    ----------
    scale_up, scale_out, superpod
        As in `nomenclature`.
    top_k : int or array
        Routed experts of a token, k: one copy over scale-out serves them all [1].

    Returns
    -------
    float or array
        Bytes of token-expert pairs per second into one FFN device [B/s].

    Notes
    -----
    two tiers: min(BW_up, k * BW_out); superpod: BW_up

    References
    ----------
    arXiv 2602.09721, regimes of the FFN stage.

    Examples
    --------
    >>> float(ceiling_bandwidth(scale_up=160e9, scale_out=50e9, top_k=8, superpod=False))
    160000000000.0
    """
    return np.where(superpod, scale_up, np.minimum(scale_up, np.multiply(top_k, scale_out)))[()] * 1.0


def floor_bandwidth(*, scale_up: FloatLike, scale_out: FloatLike, superpod: BoolLike) -> FloatArray:
    """Return the link bandwidth of many FFN nodes, where every copy over scale-out serves one expert.

    Parameters
    ----------
    scale_up, scale_out, superpod
        As in `nomenclature`.

    Returns
    -------
    float or array
        Bytes of token-expert pairs per second into one FFN device [B/s].

    Notes
    -----
    two tiers: min(BW_up, BW_out); superpod: BW_up

    References
    ----------
    arXiv 2602.09721, regimes of the FFN stage.

    Examples
    --------
    >>> float(floor_bandwidth(scale_up=160e9, scale_out=50e9, superpod=False))
    50000000000.0
    """
    return np.where(superpod, scale_up, np.minimum(scale_up, scale_out))[()] * 1.0


def flat_roof_until(
    *, top_k: FloatLike, scale_out: FloatLike, top_bandwidth: FloatLike, sender_nodes: FloatLike
) -> FloatArray:
    """Return the FFN node count up to which the flat roof at few nodes is reached.

    Parameters
    ----------
    top_k
        As in `nomenclature`.
    scale_out : float or array
        Effective scale-out bandwidth of one device, BW_out [B/s].
    top_bandwidth : float or array
        Bandwidth of the flat roof, BW_top: scale-up, or that at which compute binds [B/s].
    sender_nodes : float or array
        Attention devices over devices per node, N_S; infinite where only the receiver counts [1].

    Returns
    -------
    float or array
        FFN nodes; infinite where the roof is never left [1].

    Notes
    -----
    The largest N_F with BW_out * max(1, k/N_F) * min(1, N_S/N_F) >= BW_top: k * BW_out / BW_top while
    copies are shared and senders suffice, N_S * BW_out / BW_top where only senders are short, and
    sqrt(k * N_S * BW_out / BW_top) where both fall

    References
    ----------
    arXiv 2602.09721, regimes of the FFN stage, for infinite senders; with senders this project's.

    Examples
    --------
    >>> float(flat_roof_until(top_k=8, scale_out=50e9, top_bandwidth=160e9, sender_nodes=float("inf")))
    2.5
    """
    ratio = np.divide(scale_out, top_bandwidth)
    copies, senders = top_k * ratio, sender_nodes * ratio
    both = np.sqrt(copies * sender_nodes)
    short = np.where((np.asarray(sender_nodes) < top_k) & (both <= top_k), both, senders)
    return np.where(copies <= np.minimum(top_k, sender_nodes), copies, short)[()]


def experts_that_fit(
    *,
    stage_budget: FloatLike,
    weight_time_per_expert: FloatLike,
    usable_memory: FloatLike,
    memory_per_expert: FloatLike,
) -> FloatArray:
    """Return the routed experts of a layer one device can hold and read in time.

    Parameters
    ----------
    stage_budget
        As in `nomenclature`.
    weight_time_per_expert : float or array
        Time to read the weights of one expert [s].
    usable_memory : float or array
        Device memory less what is kept free [B].
    memory_per_expert : float or array
        Memory one expert takes over all layers [B].

    Returns
    -------
    float or array
        Whole experts, 0 where not even one [1].

    Notes
    -----
    e_max = floor(min(t_B / t_expert, memory / memory per expert))

    References
    ----------
    This project; feasibility of the FFN stage in arXiv 2602.09721.

    Examples
    --------
    >>> float(experts_that_fit(stage_budget=382.5e-6, weight_time_per_expert=13.15e-6, usable_memory=72e9,
    ...                        memory_per_expert=2.55e9))
    28.0
    """
    in_time = np.divide(stage_budget, weight_time_per_expert)
    return np.floor(np.minimum(in_time, np.divide(usable_memory, memory_per_expert)))


def smallest_ffn_nodes(
    *, routed_experts: FloatLike, devices_per_node: FloatLike, experts_that_fit: FloatLike
) -> FloatArray:
    """Return the fewest FFN nodes whose devices hold all routed experts.

    Parameters
    ----------
    routed_experts, devices_per_node
        As in `nomenclature`.
    experts_that_fit : float or array
        Experts one device can have, e_max [1].

    Returns
    -------
    float or array
        FFN nodes; infinite where a device cannot have even one expert [1].

    Notes
    -----
    N_F = ceil(E / (e_max * g))

    References
    ----------
    This project; feasibility of the FFN stage in arXiv 2602.09721.

    Examples
    --------
    >>> float(smallest_ffn_nodes(routed_experts=256, devices_per_node=8, experts_that_fit=28))
    2.0
    """
    room = np.multiply(experts_that_fit, devices_per_node)
    return np.where(room > 0, np.ceil(routed_experts / np.maximum(room, 1.0)), np.inf)[()]


def largest_ffn_nodes(
    *, domain_devices: FloatLike, attention_devices: FloatLike, devices_per_node: FloatLike
) -> FloatArray:
    """Return the most FFN nodes that fit a scale-up domain beside the attention side.

    Parameters
    ----------
    devices_per_node
        As in `nomenclature`.
    domain_devices : float or array
        Devices of the scale-up domain, D [1].
    attention_devices : float or array
        Attention devices in it, n_A; at least a node's [1].

    Returns
    -------
    float or array
        FFN nodes [1].

    Notes
    -----
    N_F = floor((D - n_A) / g)

    References
    ----------
    arXiv 2602.09721, superpods.

    Examples
    --------
    >>> float(largest_ffn_nodes(domain_devices=72, attention_devices=4, devices_per_node=4))
    17.0
    """
    return np.floor(np.subtract(domain_devices, attention_devices) / devices_per_node)
