"""The fit finds parameters that made the data, stays in bounds, and repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roofline_afd.analysis.evidence.fitting import Bounds, fit

Array = NDArray[np.float64]
RNG = np.random.default_rng(7)
FLOPS = np.exp(RNG.uniform(np.log(1e8), np.log(1e13), 60))
MOVED = np.exp(RNG.uniform(np.log(1e6), np.log(1e9), 60))
BOUNDS = (Bounds(0.0, 100.0, 5.0), Bounds(0.02, 1.0, 0.7), Bounds(0.02, 1.0, 0.7))
TRUTH = (7.0, 0.62, 0.81)


def times(parameters: Array) -> Array:
    launch, compute, memory = parameters.T[..., None]
    return np.asarray(launch * 1e-6 + np.maximum(FLOPS / (1e15 * compute), MOVED / (3e12 * memory)))


def test_exact_data_give_their_parameters() -> None:
    found = fit(times, times(np.array([TRUTH]))[0], BOUNDS)
    assert found.parameters == pytest.approx(TRUTH, rel=1e-4)
    assert found.training_error < 1e-5
    assert found.held_out_error < 1e-4


def test_noise_and_outliers_move_little() -> None:
    measured = times(np.array([TRUTH]))[0] * np.exp(RNG.normal(0, 0.03, FLOPS.size))
    measured[::12] *= 3.0
    found = fit(times, measured, BOUNDS)
    assert found.parameters == pytest.approx(TRUTH, rel=0.08)
    assert 0.01 < found.held_out_error < 0.06


def test_bounds_hold_and_repeats_agree() -> None:
    measured = times(np.array([[0.0, 1.0, 1.0]]))[0] * 0.8
    first, second = (fit(times, measured, BOUNDS) for _ in range(2))
    assert first.parameters == second.parameters
    assert np.array_equal(first.held_out_errors, second.held_out_errors)
    for value, bound in zip(first.parameters, BOUNDS, strict=True):
        assert bound.low <= value <= bound.high


def test_held_out_errors_are_not_those_of_the_fit() -> None:
    measured = times(np.array([TRUTH]))[0] * np.exp(RNG.normal(0, 0.2, FLOPS.size))
    found = fit(times, measured, BOUNDS)
    assert not np.allclose(found.errors, found.held_out_errors, rtol=1e-6)
