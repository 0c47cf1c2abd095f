"""Which device holds which expert, and how even that makes the load of devices."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.popularity import sampled_expert_loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray


class Placement(NamedTuple):
    """Which expert each slot of the devices holds: an entry per slot that is filled."""

    slot_expert: NDArray[np.int64]
    slot_device: NDArray[np.int64]
    devices: int


class Spread(NamedTuple):
    """Mean and outer deciles of a sample."""

    low: float
    mean: float
    high: float


def contiguous_placement(*, experts: int, devices: int) -> Placement:
    """Lay experts on devices in order, as evenly as whole experts allow.

    Parameters
    ----------
    experts
        As in `nomenclature`.
    devices : int
        Devices that hold experts, n [1].

    Returns
    -------
    Placement
        Expert and device of each slot [1].

    Notes
    -----
    device i holds experts floor(i*E/n) to floor((i+1)*E/n) - 1

    References
    ----------
    This project.

    Examples
    --------
    >>> contiguous_placement(experts=5, devices=2).slot_device.tolist()
    [0, 0, 1, 1, 1]
    """
    held = np.arange(experts)
    ends = np.arange(1, devices + 1) * experts // devices
    return Placement(held, np.searchsorted(ends, held, side="right"), devices)


def greedy_replicas(*, loads: FloatArray, devices: int, redundant_experts: int) -> NDArray[np.int64]:
    """Return how many replicas each expert gets when the most loaded are replicated, one after another.

    Parameters
    ----------
    redundant_experts
        As in `nomenclature`.
    loads : array
        Load of each expert, l [1].
    devices : int
        Devices that hold experts, n [1].

    Returns
    -------
    array of int
        Replicas of each expert [1].

    Notes
    -----
    r times: one more replica for the expert with the largest l_i/replicas_i, n at most

    References
    ----------
    Redundant experts by load, arXiv 2412.19437 (DeepSeek-V3), section 3.4; the rule of D'Hondt, by which all
    loads are at most s before any is divided below, so that one may begin at l_i/s rounded up.

    Examples
    --------
    >>> greedy_replicas(loads=[6, 2, 1, 1], devices=2, redundant_experts=2).tolist()
    [2, 2, 1, 1]
    """
    given = np.asarray(loads, dtype=float)
    counts = np.ones(given.size, dtype=np.int64)
    whole = float(np.sum(given))
    if redundant_experts > given.size and whole > 0.0:
        ahead = np.maximum(np.ceil(given * (redundant_experts / whole)), 1.0)
        if np.all(ahead < devices) and np.sum(ahead) <= given.size + redundant_experts:
            counts = ahead.astype(np.int64)
    left = given.size + redundant_experts - int(np.sum(counts))
    heaviest = [] if devices == 1 else list(zip((-given / counts).tolist(), range(given.size), strict=True))
    heapq.heapify(heaviest)
    while left and heaviest:
        _, expert = heapq.heappop(heaviest)
        counts[expert] += 1
        left -= 1
        if counts[expert] < devices:
            heapq.heappush(heaviest, (-float(given[expert]) / int(counts[expert]), expert))
    counts[0] += left  # every device holds each already
    return counts


def greedy_placement(*, loads: FloatArray, devices: int, redundant_experts: int) -> Placement:
    """Replicate the most loaded experts, and lay all on devices by load, the heaviest first.

    Parameters
    ----------
    redundant_experts
        As in `nomenclature`.
    loads : array
        Load of each expert, l [1].
    devices : int
        Devices that hold experts, n [1].

    Returns
    -------
    Placement
        Expert and device of each slot; replicas share the load of their expert equally [1].

    Notes
    -----
    r times: one more replica for the expert with the largest l_i/replicas_i, n at most; then each replica,
    largest load first, goes to the device of least load with a free slot, of ceil((E+r)/n) slots

    References
    ----------
    Redundant experts placed by load, arXiv 2412.19437 (DeepSeek-V3), section 3.4; longest processing time
    first.

    Examples
    --------
    >>> placement = greedy_placement(loads=[6, 2, 1, 1], devices=2, redundant_experts=2)
    >>> device_loads(loads=[6, 2, 1, 1], placement=placement).tolist()
    [5.0, 5.0]
    """
    given = np.asarray(loads, dtype=float)
    replicas = greedy_replicas(loads=given, devices=devices, redundant_experts=redundant_experts)
    slot_expert = np.repeat(np.arange(given.size), replicas)
    slot_load = given[slot_expert] / replicas[slot_expert]
    free = [-(-slot_expert.size // devices)] * devices
    lightest = [(0.0, device) for device in range(devices)]
    slot_device = np.empty(slot_expert.size, dtype=np.int64)
    each = slot_load.tolist()
    for slot in np.argsort(-slot_load, kind="stable").tolist():
        load, device = lightest[0]
        slot_device[slot] = device
        free[device] -= 1
        if free[device]:
            heapq.heapreplace(lightest, (load + each[slot], device))
        else:
            heapq.heappop(lightest)
    return Placement(slot_expert, slot_device, devices)


def device_loads(*, loads: FloatArray, placement: Placement) -> FloatArray:
    """Return the load of each device from that of each expert.

    Parameters
    ----------
    placement
        As in `nomenclature`.
    loads : array
        Load of each expert, l, along the last axis [1].

    Returns
    -------
    array
        Load of each device, along the last axis [1].

    Notes
    -----
    L_d = sum over slots j of device d of l_e(j) / replicas_e(j): replicas share the load of their expert
    equally

    References
    ----------
    This project.

    Examples
    --------
    >>> device_loads(loads=[3, 1, 2], placement=contiguous_placement(experts=3, devices=2)).tolist()
    [3.0, 3.0]
    """
    given = np.asarray(loads, dtype=float)
    replicas = np.bincount(placement.slot_expert, minlength=given.shape[-1])
    shares = given[..., placement.slot_expert] / replicas[placement.slot_expert]
    rows = shares.reshape(-1, shares.shape[-1])
    cells = placement.slot_device + placement.devices * np.arange(len(rows))[:, None]
    sums = np.bincount(cells.ravel(), weights=rows.ravel(), minlength=len(rows) * placement.devices)
    return sums.reshape(*given.shape[:-1], placement.devices)


def load_balance(*, loads: FloatArray) -> FloatArray:
    """Return how even the load of devices is.

    Parameters
    ----------
    loads : array
        Load of each device, along the last axis; in tokens, or any measure of work [1].

    Returns
    -------
    float or array
        Balance sigma, in (0, 1]; 1 where there is no load at all [1].

    Notes
    -----
    sigma = mean load / maximum load

    References
    ----------
    This project; sigma as in arXiv 2602.09721.

    Examples
    --------
    >>> float(load_balance(loads=[3, 1, 2, 2]))
    0.6666666666666666
    """
    given = np.asarray(loads, dtype=float)
    most = given.max(axis=-1, keepdims=True)
    return np.divide(given, most, out=np.ones_like(given), where=most > 0).mean(axis=-1)[()]


def sampled_sigma(
    *, inclusion: FloatArray, placement: Placement, tokens: int, batches: int, seed: int
) -> FloatArray:
    """Return how even the load of devices is in random batches of tokens.

    Parameters
    ----------
    inclusion, placement, batches, seed
        As in `nomenclature`.
    tokens : int
        Tokens of a batch, T [1].

    Returns
    -------
    array
        Balance sigma of each batch, in (0, 1] [1].

    Notes
    -----
    sigma = mean / maximum of the device loads of a batch, drawn as `sampled_expert_loads` does

    References
    ----------
    This project.

    Examples
    --------
    >>> alone = contiguous_placement(experts=4, devices=1)
    >>> sampled_sigma(inclusion=[0.5] * 4, placement=alone, tokens=9, batches=2, seed=1).tolist()
    [1.0, 1.0]
    """
    drawn = sampled_expert_loads(inclusion=inclusion, tokens=tokens, batches=batches, seed=seed)
    return np.array([load_balance(loads=device_loads(loads=loads, placement=placement)) for loads in drawn])


def spread(*, sample: FloatArray) -> Spread:
    """Return the mean and the outer deciles of a sample.

    Parameters
    ----------
    sample : array
        Values, at least one [1].

    Returns
    -------
    Spread
        10 % quantile, mean, and 90 % quantile [1].

    Notes
    -----
    quantiles interpolate linearly between neighbours in order

    References
    ----------
    This project.

    Examples
    --------
    >>> tuple(round(value, 6) for value in spread(sample=[0.5, 0.6, 0.7]))
    (0.52, 0.6, 0.68)
    """
    low, high = np.quantile(sample, (0.1, 0.9))
    return Spread(float(low), float(np.mean(sample)), float(high))
