"""Devices as they are sold: whole nodes, or whole domains, filled with replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.catalogue.hardware import System


def unit_of(system: System) -> int:
    """Return the devices that a system is sold by: a rack, a node, or a node of the slices of a torus [1]."""
    whole = system.superpod and system.scale_up.slices is None
    return system.scale_up_domain_devices if whole else system.devices_per_node


def units_filled(sizes: Iterable[tuple[int, int]], unit: int) -> int:
    """Return the units that replicas take: each within one where it is no larger, else units of its own.

    Parameters
    ----------
    sizes : iterable of tuple of int
        Devices of a replica, and how many of these there are [1].
    unit : int
        Devices of a unit [1].

    Returns
    -------
    int
        Units, the largest replicas placed first, each where it first fits [1].

    Examples
    --------
    >>> units_filled([(16, 5), (24, 2)], 72)
    2
    >>> units_filled([(96, 1), (56, 1)], 72)
    3
    """
    whole = 0
    free: list[int] = []
    for size, many in sorted(sizes, reverse=True):
        for _ in range(many):
            if size >= unit:
                units = -(-size // unit)
                whole += units
                free.append(units * unit - size)
                continue
            place = next((index for index, left in enumerate(free) if left >= size), -1)
            if place < 0:
                whole += 1
                free.append(unit - size)
            else:
                free[place] -= size
    return whole
