"""Standard normal numbers: against the library's, and in limits."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics.normal import expected_excess, expected_maximum, log_probability


@given(st.integers(1, 500))
@settings(max_examples=20, deadline=None)
def test_maximum_grows_with_workers(workers: int) -> None:
    low, high = expected_maximum(workers=np.array([workers, workers + 1]))
    assert low < high <= math.sqrt(2 * math.log(workers + 1))


@given(st.floats(-8, 8))
def test_probability_is_that_of_the_library(x: float) -> None:
    chance = float(np.exp(log_probability(x=np.array(x))))
    assert chance == pytest.approx(statistics.NormalDist().cdf(x), rel=1e-9, abs=1e-15)


@given(st.floats(-20, 8))
def test_excess_of_one_number(start: float) -> None:
    """Density at the start, less the start times the chance to be above it; all of it from far below on."""
    normal = statistics.NormalDist()
    found = float(expected_excess(start=np.array(start), workers=np.array(1.0)))
    assert found == pytest.approx(normal.pdf(start) - start * normal.cdf(-start), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 50])
def test_excess_over_what_all_exceed_is_the_maximum(workers: int) -> None:
    found = float(expected_excess(start=np.array(-12.0), workers=np.array(float(workers))))
    assert found - 12.0 == pytest.approx(float(expected_maximum(workers=workers)), abs=1e-9)
