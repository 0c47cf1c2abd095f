"""Attention instances that wait for the slowest of them: the time that takes, and the best ratio with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.linear import Coefficients, attention_time, ffn_time, transfer_time_linear
from roofline_afd.physics.normal import (
    NODES,
    REACH,
    WEIGHTS,
    expected_excess,
    expected_squared_maximum,
    log_probability,
)
from roofline_afd.physics.pipeline import link_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike

_COARSE, _CELLS = 64, 12
"""Places of the first round of the search for an optimum, and of each that follows."""
_ROUNDS = 14
"""Rounds, which find it to 1e-10 of it: a function is flatter there than numbers tell apart."""
_NOTHING = 1e-200
"""A standard deviation [s] that no load has, and that can be divided by."""
_NEGLIGIBLE = 1e-13
"""Share of a time below which a standard deviation is lost in rounding."""


def barrier_workers(*, ratio: FloatLike, ffn_devices: FloatLike = 1) -> FloatArray:
    """Return how many attention workers wait for each other at a ratio.

    Parameters
    ----------
    ratio
        As in `nomenclature`.
    ffn_devices : float or array
        FFN instances that share the experts: a token may need any, so none begins before all attention
        instances have sent; 1 where an FFN instance holds all experts, n_F [1].

    Returns
    -------
    float or array
        Workers w, at least one [1].

    Notes
    -----
    w = max(r*n_F, 1)

    References
    ----------
    This project; with n_F = 1 arXiv 2601.21351, barrier of r workers.

    Examples
    --------
    >>> float(barrier_workers(ratio=2, ffn_devices=16))
    32.0
    """
    return np.maximum(np.multiply(ratio, ffn_devices), 1.0)


def slowest_attention_mean(
    *,
    workers: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    skewness: FloatLike = 0.0,
) -> FloatArray:
    """Return the mean attention time of one worker, shifted by what skewness adds to the slowest of them.

    Parameters
    ----------
    theta, nu, coefficients
        As in `nomenclature`.
    workers : float or array
        How many wait for each other, w; fewer than one count as one [1].
    batch : float or array
        Slots of one micro-batch on one worker, B [1].
    skewness : float or array
        Skewness of the cached tokens of a slot, gamma_1; 0 takes their sum as normal [1].

    Returns
    -------
    float or array
        Time mu [s].

    Notes
    -----
    mu = a_A*B*theta + b_A + a_A*nu*gamma_1/6 * (E[M_w^2] - 1)

    References
    ----------
    This project: the first term of the Cornish-Fisher expansion, at the maximum of w normal numbers.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = slowest_attention_mean(workers=8, batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                               skewness=2)
    >>> round(float(mean) * 1e6, 4)
    303.4021
    """
    plain = attention_time(kv_tokens=np.multiply(batch, theta), coefficients=coefficients)
    third = np.multiply(coefficients.attention_slope, nu) * np.divide(skewness, 6.0)
    return plain + third * (expected_squared_maximum(workers=workers) - 1.0)


def barrier_time(
    *,
    ratio: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    skewness: FloatLike = 0.0,
    ffn_devices: FloatLike = 1,
) -> FloatArray:
    """Return the mean time between micro-batches where the slowest of all workers sets the pace.

    Parameters
    ----------
    ratio, batch, theta, nu, coefficients, skewness, ffn_devices
        As in `nomenclature`.

    Returns
    -------
    float or array
        Mean time E[tau] per layer and micro-batch [s].

    Notes
    -----
    E[tau] = G + sd * int_{(G-mu)/sd}^inf (1 - Phi(x)^w) dx, G = max(t_C, t_F),
    mu = a_A*B*theta + b_A, sd = a_A*nu*sqrt(B), w = r*n_F; the sum of B loads is taken as normal

    References
    ----------
    arXiv 2601.21351, barrier of r workers, there n_F = 1; several FFN instances, and skewness as in
    `slowest_attention_mean`, are this project's.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = barrier_time(ratio=8, batch=256, theta=599, nu=499.5, coefficients=paper)
    >>> round(float(mean) * 1e6, 3)
    321.79
    """
    t_f = ffn_time(tokens=np.multiply(ratio, batch), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    least = np.maximum(t_c, t_f)
    workers = barrier_workers(ratio=ratio, ffn_devices=ffn_devices)
    worker = slowest_attention_mean(
        workers=workers, batch=batch, theta=theta, nu=nu, coefficients=coefficients, skewness=skewness
    )
    sd = _spread(batch, nu, coefficients)
    return (least + _waiting(least, worker, sd, workers))[()]


def _spread(batch: FloatLike, nu: FloatLike, coefficients: Coefficients) -> FloatArray:
    return np.multiply(coefficients.attention_slope, nu) * np.sqrt(batch)


def _waiting(start: FloatArray, mean: FloatArray, sd: FloatArray, workers: FloatLike) -> FloatArray:
    """Return the mean time by which the slowest worker exceeds `start`."""
    start, mean, sd, count = np.broadcast_arrays(start, mean, sd, workers)
    late = sd > _NEGLIGIBLE * np.maximum(mean, start)
    scale = np.where(late, sd, 1.0)
    first = np.where(late, (start - mean) / scale, 0.0)
    return np.where(late, scale * expected_excess(start=first, workers=count), np.maximum(mean - start, 0.0))


def barrier_cycle_time(
    *,
    ratio: FloatLike,
    batch: FloatLike,
    theta: FloatLike,
    nu: FloatLike,
    coefficients: Coefficients,
    microbatches: FloatLike,
    full_duplex: BoolLike,
    skewness: FloatLike = 0.0,
    ffn_devices: FloatLike = 1,
) -> FloatArray:
    """Return the mean time between micro-batches, with a barrier and micro-batches in flight.

    Parameters
    ----------
    ratio, batch, theta, nu, coefficients, microbatches, full_duplex, skewness, ffn_devices
        As in `nomenclature`.

    Returns
    -------
    float or array
        Mean time E[tau_m] per layer and micro-batch [s].

    Notes
    -----
    E[tau_m] = G + int_G^inf 1 - Phi((y-mu)/(sd/sqrt(m)))^w * Phi((m*y-t_F-t_C-mu)/sd)^(m*w) dy,
    G = max(t_F, link), w = r*n_F: the worker slowest on average over its m micro-batches keeps the others
    waiting, and so does the slowest way of any micro-batch through all stages; with one micro-batch only the
    latter

    References
    ----------
    This project: the largest cycle mean of the pipeline, loads taken as still while outputs last many steps;
    `cycle_time_of` where nu is 0.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> mean = barrier_cycle_time(ratio=8, batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                           microbatches=2, full_duplex=False)
    >>> round(float(mean) * 1e6, 3)
    317.065
    """
    m = np.multiply(microbatches, 1.0)
    t_f = ffn_time(tokens=np.multiply(ratio, batch), coefficients=coefficients)
    t_c = transfer_time_linear(batch=batch, coefficients=coefficients)
    workers = barrier_workers(ratio=ratio, ffn_devices=ffn_devices)
    each, pooled = (
        slowest_attention_mean(
            workers=count, batch=batch, theta=theta, nu=nu, coefficients=coefficients, skewness=skewed
        )
        for count, skewed in ((workers * m, skewness), (workers, np.divide(skewness, m)))
    )
    sd = _spread(batch, nu, coefficients)
    around = [
        _Wait(np.where(m > 1, pooled, -np.inf), sd / np.sqrt(m), workers),
        _Wait((each + t_f + t_c) / m, sd / m, workers * m),
    ]
    link = link_time(dispatch=t_c / 2.0, combine=t_c / 2.0, full_duplex=full_duplex)
    return _slowest(np.maximum(t_f, link), around)[()]


class _Wait(NamedTuple):
    """A time that is the largest of several normal ones: mean and deviation of each, and how many."""

    mean: FloatArray
    sd: FloatArray
    count: FloatArray


def _slowest(least: FloatArray, waits: list[_Wait]) -> FloatArray:
    """Return the mean of the largest of some independent times, and of a sure one."""
    low = high = least
    for mean, sd, _ in waits:
        low = np.maximum(low, mean - REACH * sd)
        high = np.maximum(high, mean + REACH * sd)
    finite = np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    half = np.asarray((high - low) / 2.0)
    points = np.asarray(low)[..., np.newaxis] + half[..., np.newaxis] * (NODES + 1.0)
    logarithm = np.zeros(())
    for mean, sd, count in waits:
        scale = np.maximum(sd, _NOTHING)[..., np.newaxis]
        distance = np.clip((points - mean[..., np.newaxis]) / scale, -REACH, REACH)
        logarithm = logarithm + np.asarray(count)[..., np.newaxis] * log_probability(x=distance)
    return np.where(finite, low + (-np.expm1(logarithm) @ WEIGHTS) * half, np.inf)[()]


def optimal_ratio_barrier(
    *,
    batch: float,
    theta: float,
    nu: float,
    coefficients: Coefficients,
    skewness: float = 0.0,
    ffn_devices: float = 1,
) -> float:
    """Return the best attention instances per FFN instance where the slowest worker sets the pace.

    Parameters
    ----------
    batch, theta, nu, skewness, ffn_devices
        As in `nomenclature`.
    coefficients : Coefficients
        Of the linear times, plain numbers [s].

    Returns
    -------
    float
        Ratio, a real number [1].

    Notes
    -----
    argmax over r of r*B/((r+1) * E[tau]), E[tau] as in `barrier_time`

    References
    ----------
    arXiv 2601.21351, barrier-aware ratio.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_barrier(batch=256, theta=599, nu=499.5, coefficients=paper)
    >>> round(best, 3)
    10.085
    """
    mean = float(attention_time(kv_tokens=batch * theta, coefficients=coefficients))
    sd = float(_spread(batch, nu, coefficients))
    shift = float(coefficients.attention_slope) * nu * skewness / 6.0

    def rate(ratio: NDArray[np.float64]) -> FloatArray:
        tau = barrier_time(
            ratio=ratio,
            batch=batch,
            theta=theta,
            nu=nu,
            coefficients=coefficients,
            skewness=skewness,
            ffn_devices=ffn_devices,
        )
        return ratio / ((ratio + 1.0) * tau)

    return _argmax(rate, _largest(coefficients, batch, mean, sd, shift))


def optimal_ratio_barrier_microbatches(
    *,
    batch: float,
    theta: float,
    nu: float,
    coefficients: Coefficients,
    microbatches: int,
    full_duplex: bool,
    skewness: float = 0.0,
    ffn_devices: float = 1,
    outside: float = 0.0,
) -> float:
    """Return the best attention instances per FFN instance with a barrier and micro-batches in flight.

    Parameters
    ----------
    batch, theta, nu, microbatches, full_duplex, skewness, ffn_devices
        As in `nomenclature`.
    coefficients : Coefficients
        Of the linear times, plain numbers [s].
    outside : float
        Time per layer and micro-batch that is spent outside the layers, t_o [s].

    Returns
    -------
    float
        Ratio, a real number [1].

    Notes
    -----
    argmax over r of r*B/((r+1) * (E[tau_m] + t_o)), E[tau_m] as in `barrier_cycle_time`

    References
    ----------
    This project.

    Examples
    --------
    >>> paper = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    >>> best = optimal_ratio_barrier_microbatches(batch=256, theta=599, nu=499.5, coefficients=paper,
    ...                                           microbatches=2, full_duplex=False)
    >>> round(best, 3)
    8.253
    """
    mean = float(attention_time(kv_tokens=batch * theta, coefficients=coefficients))
    sd = float(_spread(batch, nu, coefficients))
    shift = float(coefficients.attention_slope) * nu * skewness / 6.0

    def rate(ratio: NDArray[np.float64]) -> FloatArray:
        tau = barrier_cycle_time(
            ratio=ratio,
            batch=batch,
            theta=theta,
            nu=nu,
            coefficients=coefficients,
            microbatches=microbatches,
            full_duplex=full_duplex,
            skewness=skewness,
            ffn_devices=ffn_devices,
        )
        return ratio / ((ratio + 1.0) * (tau + outside))

    return _argmax(rate, _largest(coefficients, batch, mean + outside, sd, shift))


def _largest(coefficients: Coefficients, batch: float, mean: float, sd: float, shift: float) -> float:
    """Return a ratio beyond the best one: there the FFN sets the pace, and more tokens only slow it."""
    slowest = mean + REACH * sd + REACH**2 * abs(shift)
    rest = slowest + float(transfer_time_linear(batch=batch, coefficients=coefficients))
    per_ratio = float(coefficients.ffn_slope) * batch
    fixed = float(coefficients.ffn_fixed)
    return 2.0 * max(rest / per_ratio, math.sqrt((rest + fixed) / per_ratio), 1.0)


def _argmax(rate: Callable[[NDArray[np.float64]], FloatArray], most: float) -> float:
    """Return where a function of one maximum, on (0, most], is largest."""
    grid = np.geomspace(most * 1e-9, most, _COARSE)
    for _ in range(_ROUNDS):
        at = int(np.argmax(rate(grid)))
        low, high = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, grid.size - 1)])
        grid = np.linspace(low, high, _CELLS)
    return float(grid[int(np.argmax(rate(grid)))])
