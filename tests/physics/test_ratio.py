"""The best ratio by mean times, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics import linear
from roofline_afd.physics.ratio import (
    optimal_ratio,
    optimal_ratio_microbatches,
    optimal_ratio_two_microbatches,
)
from tests.physics.strategies import batches, coefficients, loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.linear import Coefficients


def _brute(rate: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
    return float(rate(np.geomspace(1e-3, 1e7, 200_001)).max())


@given(coefficients, loads, batches, st.integers(1, 6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ratio_with_micro_batches_is_the_best_of_all(
    line: Coefficients,
    theta: float,
    batch: int,
    microbatches: int,
    full: bool,  # noqa: FBT001
) -> None:
    def rate(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        tau: NDArray[np.float64] = linear.cycle_time_of(
            attention=linear.attention_time(kv_tokens=batch * theta, coefficients=line),
            ffn=linear.ffn_time(tokens=ratio * batch, coefficients=line),
            transfer=linear.transfer_time_linear(batch=batch, coefficients=line),
            microbatches=microbatches,
            full_duplex=full,
        )
        return ratio / ((ratio + 1) * tau)

    found = optimal_ratio_microbatches(
        theta=theta, batch=batch, coefficients=line, microbatches=microbatches, full_duplex=full
    )
    if found > 0:
        assert float(rate(np.array([found]))[0]) >= _brute(rate) * (1 - 1e-9)
        if microbatches == 2:
            two = optimal_ratio_two_microbatches(
                theta=theta, batch=batch, coefficients=line, full_duplex=full
            )
            assert float(rate(np.array([two]))[0]) == pytest.approx(float(rate(np.array([found]))[0]))


@given(coefficients, loads, batches)
@settings(max_examples=60, deadline=None)
def test_ratio_of_mean_times_is_the_best_of_all(line: Coefficients, theta: float, batch: int) -> None:
    def rate(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        tau = np.maximum(
            np.maximum(
                linear.attention_time(kv_tokens=batch * theta, coefficients=line),
                linear.transfer_time_linear(batch=batch, coefficients=line),
            ),
            linear.ffn_time(tokens=ratio * batch, coefficients=line),
        )
        return np.asarray(ratio / ((ratio + 1) * tau))

    best = optimal_ratio(theta=theta, batch=batch, coefficients=line).ratio
    if best > 0:
        assert float(rate(np.array([best]))[0]) >= _brute(rate) * (1 - 1e-9)
