"""Experts of an FFN device: how many it holds, their operations, and what their weights take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike


def expert_flops_per_pair(
    *, dispatch_width: IntLike, expert_intermediate: IntLike, expert_matrices: IntLike
) -> FloatArray:
    """Return the floating-point operations of one token in one expert.

    Parameters
    ----------
    dispatch_width : int or array
        Width of the expert's input and output, H [elements].
    expert_intermediate : int or array
        Intermediate size of the expert, M [elements].
    expert_matrices : int or array
        Matrices of the expert, n_mat: 3 gated, 2 not [1].

    Returns
    -------
    float or array
        Operations, a multiply and an add counted as two [FLOP].

    Notes
    -----
    2 * n_mat * H * M

    References
    ----------
    arXiv 2602.09721, FLOPs of the FFN stage.

    Examples
    --------
    >>> float(expert_flops_per_pair(dispatch_width=7168, expert_intermediate=2048, expert_matrices=3))
    88080384.0
    """
    return 2.0 * expert_matrices * dispatch_width * expert_intermediate


def experts_per_device(
    *, routed_experts: IntLike, ffn_nodes: IntLike, devices_per_node: IntLike
) -> FloatArray:
    """Return the routed experts of one layer that the fullest FFN device holds.

    Parameters
    ----------
    routed_experts, ffn_nodes, devices_per_node
        As in `nomenclature`.

    Returns
    -------
    int or array
        Experts, at least one [1].

    Notes
    -----
    e = ceil(E / (N_F * g))

    References
    ----------
    arXiv 2602.09721, placement of experts.

    Examples
    --------
    >>> int(experts_per_device(routed_experts=256, ffn_nodes=3, devices_per_node=8))
    11
    """
    return -(-np.asarray(routed_experts) // np.multiply(ffn_nodes, devices_per_node))


def expert_bytes(*, flops_per_pair: FloatLike, weight_bytes: FloatLike) -> FloatArray:
    """Return the bytes of one routed expert's weights.

    Parameters
    ----------
    weight_bytes
        As in `nomenclature`.
    flops_per_pair : float or array
        Operations of one token in the expert: two per weight [FLOP].

    Returns
    -------
    float or array
        Bytes of one expert of one layer [B].

    Notes
    -----
    n_mat * H * M * b_w

    References
    ----------
    arXiv 2602.09721, active time of the FFN stage.

    Examples
    --------
    >>> float(expert_bytes(flops_per_pair=88080384, weight_bytes=1))
    44040192.0
    """
    return np.multiply(flops_per_pair, weight_bytes) / 2.0


def weight_time(
    *,
    experts_per_device: FloatLike,
    flops_per_pair: FloatLike,
    weight_bytes: FloatLike,
    memory_bandwidth: FloatLike,
) -> FloatArray:
    """Return the time to read the expert weights of one layer from device memory.

    Parameters
    ----------
    weight_bytes, memory_bandwidth
        As in `nomenclature`.
    experts_per_device : int or array
        Experts read, e [1].
    flops_per_pair : float or array
        Operations of one pair: two per weight [FLOP].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t_weights = e * n_mat * H * M * b_w / W

    References
    ----------
    arXiv 2602.09721, active time of the FFN stage.

    Examples
    --------
    >>> round(float(weight_time(experts_per_device=16, flops_per_pair=88080384, weight_bytes=1,
    ...                         memory_bandwidth=3.35e12)) * 1e6, 2)
    210.34
    """
    expert = expert_bytes(flops_per_pair=flops_per_pair, weight_bytes=weight_bytes)
    return experts_per_device * expert / memory_bandwidth


def expert_memory(
    *, experts_per_device: FloatLike, flops_per_pair: FloatLike, weight_bytes: FloatLike, moe_layers: IntLike
) -> FloatArray:
    """Return the device memory the routed experts of all layers take.

    Parameters
    ----------
    experts_per_device, weight_bytes, moe_layers
        As in `nomenclature`.
    flops_per_pair : float or array
        Operations of one pair: two per weight [FLOP].

    Returns
    -------
    float or array
        Memory [B].

    Notes
    -----
    e * n_mat * H * M * b_w * L_moe

    References
    ----------
    arXiv 2602.09721, capacity of the FFN devices.

    Examples
    --------
    >>> round(float(expert_memory(experts_per_device=32, flops_per_pair=88080384, weight_bytes=1,
    ...                           moe_layers=58)) / 1e9, 1)
    81.7
    """
    expert = expert_bytes(flops_per_pair=flops_per_pair, weight_bytes=weight_bytes)
    return experts_per_device * expert * moe_layers
