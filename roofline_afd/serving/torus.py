"""Slices of a torus: the shapes that a job may run on, and the links across their middle."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics import traffic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.catalogue.hardware import Slices, System
    from roofline_afd.physics.arrays import FloatArray


class Slice(NamedTuple):
    """A slice, or many: devices, links across the middle of the tightest side (of a ring: both halves).

    `link_share` is the share of a device's bandwidth that one of those links has, `device_share` that of all
    links of the device with fewest.
    """

    devices: FloatArray
    cut_links: FloatArray
    link_share: FloatArray
    device_share: FloatArray


def slices(devices: FloatArray, system: System) -> Slice:
    """Return the smallest slices that hold groups; of groups over several domains, those of their parts.

    Parameters
    ----------
    devices : int or array
        Devices of each group [1].
    system : System
        A system whose scale-up fabric is a torus.

    Returns
    -------
    Slice
        Its fields as arrays of the devices' shape.
    """
    stated = system.scale_up.slices
    assert stated is not None  # noqa: S101 - asked of no other
    domain = system.scale_up_domain_devices
    parts = np.ceil(np.divide(devices, traffic.domains_used(devices=devices, domain_devices=domain)))
    counts = np.asarray(parts, dtype=int)
    most = int(np.max(counts, initial=1))
    table = _table(1 << most.bit_length(), stated, domain)
    return Slice(*(column[counts] for column in table))


@lru_cache(maxsize=64)
def _table(size: int, stated: Slices, domain: int) -> NDArray[np.float64]:
    """Return the fields of the slices that hold 0, 1, ... devices, fewer than a size; of none that of one."""
    counts = np.clip(np.arange(size), 1, domain)
    return np.array([slice_of(int(count), stated, domain) for count in counts], dtype=float).T


def paid_devices(devices: FloatArray, system: System) -> FloatArray:
    """Return the devices that a group pays for: those of whole slices, idle ones with the rest.

    Parameters
    ----------
    devices : int or array
        Devices of each group [1].
    system : System
        Where it runs.

    Returns
    -------
    float or array
        Devices; of fabrics other than a torus those given [1].
    """
    if system.scale_up.slices is None or not np.size(devices):
        return np.multiply(devices, 1.0)
    domain = system.scale_up_domain_devices
    parts = traffic.domains_used(devices=devices, domain_devices=domain)
    return np.multiply(slices(devices, system).devices, parts)


def whole_slices(totals: NDArray[np.float64], system: System) -> NDArray[np.bool_]:
    """Return which numbers of devices make whole slices: others leave devices idle that are paid for."""
    return np.asarray(paid_devices(totals, system) == totals)


@lru_cache(maxsize=1 << 14)
def slice_of(devices: int, stated: Slices, domain: int) -> Slice:
    """Return the smallest slice that holds some devices; of those as small the one that carries most.

    Parameters
    ----------
    devices : int
        Devices, at most those of the domain [1].
    stated : Slices
        What a record says of its slices.
    domain : int
        Devices of the whole torus [1].

    Returns
    -------
    Slice
        Its devices and links. Where no slice holds as many, the largest there is, with all devices of the
        domain.
    """
    listed = [shape for shape in stated.shapes if math.prod(shape) <= domain]
    fitting = [shape for shape in listed if devices <= math.prod(shape)]
    if fitting:
        least = min(map(math.prod, fitting))
        return _best([shape for shape in fitting if math.prod(shape) == least], stated)
    side = stated.cube_side
    if side is not None:
        longest = (stated.longest_side or domain) // side
        for cubes in range(math.ceil(devices / side**3), domain // side**3 + 1):
            shapes = [sides for sides in _factors(cubes) if sides[-1] <= longest]
            if shapes:
                return _best([tuple(side * each for each in sides) for sides in shapes], stated)
    largest = max(listed, key=math.prod)
    return _slice(largest, stated)._replace(devices=domain)


def _best(shapes: list[tuple[int, ...]], stated: Slices) -> Slice:
    """Return the shape of some alike in size that carries most across its middle."""
    return max((_slice(shape, stated) for shape in shapes), key=lambda each: each.cut_links * each.link_share)


def _slice(shape: tuple[int, ...], stated: Slices) -> Slice:
    """Return a slice of some sides: across the middle of each run the others, twice where it is a ring."""
    devices = math.prod(shape)
    rings = [_ring(side, devices, stated) for side in shape]
    cuts = [
        (devices // side * (2 if ring else 1), share)
        for side, ring, share in zip(shape, rings, stated.link_shares, strict=True)
        if side > 1
    ]
    links, share = min(cuts, key=math.prod, default=(0, stated.link_shares[0]))
    ends = sum(
        each * (2 if ring else min(side - 1, 1))
        for side, ring, each in zip(shape, rings, stated.link_shares, strict=True)
    )
    return Slice(devices, links, share, ends)


def _ring(side: int, devices: int, stated: Slices) -> bool:
    """Whether a side's ends are linked."""
    long = stated.ring_side is not None and side >= stated.ring_side
    return side > 1 and (long or (stated.ring_devices is not None and devices >= stated.ring_devices))


def _factors(count: int) -> list[tuple[int, int, int]]:
    """Return every way to write a count as three factors, least first."""
    divisors = [each for each in range(1, count + 1) if count % each == 0]
    return [
        (first, second, count // first // second)
        for first, second in itertools.combinations_with_replacement(divisors, 2)
        if count % (first * second) == 0 and count // first // second >= second
    ]
