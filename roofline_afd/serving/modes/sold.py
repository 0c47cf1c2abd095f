"""Devices as they are sold: whole nodes, or whole domains, filled with replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from roofline_afd.catalogue.hardware import System


def unit_of(system: System) -> int:
    """Return the devices that a system is sold by: a rack, a node, or a node of the slices of a torus [1]."""
    whole = system.superpod and system.scale_up.slices is None
    return system.scale_up_domain_devices if whole else system.devices_per_node


def units_filled(parts: Iterable[tuple[str, int, int]], unit: int) -> list[dict[str, int]]:
    """Return the units that replicas take: each within one where it is no larger, else units of its own.

    Parameters
    ----------
    parts : iterable of tuple of str and int
        Name of a pool, devices of a replica, and how many of these there are [1].
    unit : int
        Devices of a unit [1].

    Returns
    -------
    list of dict
        What each unit holds of each pool, the largest replicas placed first, each where it first fits [1].

    Examples
    --------
    >>> units_filled([("decode", 40, 1), ("prefill", 16, 3)], 72)
    [{'decode': 40, 'prefill': 32}, {'prefill': 16}]
    >>> len(units_filled([("decode", 96, 1), ("prefill", 56, 1)], 72))
    3
    """
    held: list[dict[str, int]] = []
    free: list[int] = []
    for name, size, many in sorted(parts, key=lambda part: -part[1]):
        for _ in range(many):
            if size >= unit:
                whole, rest = divmod(size, unit)
                held += [{name: unit} for _ in range(whole)]
                free += [0] * whole
                if rest:
                    held.append({name: rest})
                    free.append(unit - rest)
                continue
            place = next((index for index, left in enumerate(free) if left >= size), -1)
            if place < 0:
                held.append({name: size})
                free.append(unit - size)
            else:
                held[place][name] = held[place].get(name, 0) + size
                free[place] -= size
    return held


def units_alike(*, size: ArrayLike, replicas: ArrayLike, unit: int) -> NDArray[np.float64]:
    """Return how many units replicas of one size take: as many as `units_filled` has of one pool.

    Parameters
    ----------
    size : array_like
        Devices of a replica [1].
    replicas : array_like
        Replicas; infinite ones take units without end [1].
    unit : int
        Devices of a unit [1].

    Returns
    -------
    array
        Units, over the broadcast of both [1].

    Examples
    --------
    >>> units_alike(size=[4, 64, 96], replicas=[33, 2, 2], unit=72).tolist()
    [2.0, 2.0, 4.0]
    """
    together = np.floor(unit / np.maximum(size, 1))
    shared = np.ceil(np.divide(replicas, np.maximum(together, 1)))
    return np.where(together >= 1, shared, np.multiply(replicas, np.ceil(np.divide(size, unit))))
