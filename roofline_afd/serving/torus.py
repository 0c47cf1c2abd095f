"""Slices of a torus: the shapes that a job may run on, and the links across their middle."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray

CUBE = 4
"""Devices of a side of the cubes that larger slices in three dimensions are made of."""
SMALL = {
    2: ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)),
    3: ((1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2), (2, 2, 4), (2, 4, 4)),
}
"""Slices by dimensions: all there are in two, those smaller than a cube in three."""
FULL_ROW = 16
"""Side of a slice in two dimensions that closes into a ring; in three, all sides do from a cube on."""


class Slice(NamedTuple):
    """A slice: its devices, and the links across its middle, one direction, both rings' halves counted."""

    devices: int
    cut_links: int


def slices(devices: FloatArray, system: System) -> tuple[FloatArray, FloatArray]:
    """Return the devices of the smallest slices that hold groups, and the links across their middle [1].

    Parameters
    ----------
    devices : int or array
        Devices of each group [1].
    system : System
        A system whose scale-up fabric is a torus of known dimensions.

    Returns
    -------
    float or array
        Devices of the slice: those of the whole torus at most.
    float or array
        Links across its middle.
    """
    dimensions = system.scale_up.torus_dimensions
    assert dimensions is not None  # noqa: S101 - asked of no other
    domain = system.scale_up_domain_devices
    unique, inverse = np.unique(np.asarray(devices, dtype=int), return_inverse=True)
    found = [slice_of(min(int(count), domain), dimensions, domain) for count in unique]
    held, links = np.array(found, dtype=float).reshape(-1, 2).T
    shape = np.shape(devices)
    return held[inverse].reshape(shape)[()], links[inverse].reshape(shape)[()]


def whole_slices(totals: NDArray[np.float64], system: System) -> NDArray[np.bool_]:
    """Return which numbers of devices make whole slices: others leave devices idle that are paid for."""
    if system.scale_up.torus_dimensions is None or not totals.size:
        return np.ones(totals.shape, dtype=bool)
    held, _ = slices(totals, system)
    return np.asarray(held == totals)


@lru_cache(maxsize=1 << 14)
def slice_of(devices: int, dimensions: int, domain: int) -> Slice:
    """Return the smallest slice that holds some devices; of shapes alike the one with most links across.

    Parameters
    ----------
    devices : int
        Devices, at most those of the domain [1].
    dimensions : int
        Dimensions of the torus: 2 or 3 [1].
    domain : int
        Devices of the whole torus [1].

    Returns
    -------
    Slice
        Its devices, and the links across its middle.
    """
    small = [shape for shape in SMALL[dimensions] if devices <= math.prod(shape) <= domain]
    if small:
        least = min(map(math.prod, small))
        return max(_slice(shape) for shape in small if math.prod(shape) == least)
    if dimensions == len(SMALL):  # two dimensions have no more: the whole torus
        return _slice((round(math.sqrt(domain)), domain // round(math.sqrt(domain))))
    cubes = math.ceil(devices / CUBE**dimensions)
    return max(_slice(tuple(CUBE * side for side in sides)) for sides in _factors(cubes))


def _slice(shape: tuple[int, ...]) -> Slice:
    """Return a slice of some sides: across the middle of each run the others, twice where it is a ring."""
    devices = math.prod(shape)
    cuts = [devices // side * (2 if _ring(shape, side) else 1) for side in shape if side > 1]
    return Slice(devices, min(cuts, default=0))


def _ring(shape: tuple[int, ...], side: int) -> bool:
    """Whether a side's ends are linked."""
    three = len(shape) > len(SMALL)
    return math.prod(shape) >= CUBE**3 if three else side >= FULL_ROW


def _factors(count: int) -> list[tuple[int, int, int]]:
    """Return every way to write a count as three factors, least first."""
    divisors = [each for each in range(1, count + 1) if count % each == 0]
    return [
        (first, second, count // first // second)
        for first, second in itertools.combinations_with_replacement(divisors, 2)
        if count % (first * second) == 0 and count // first // second >= second
    ]
