"""The clock: against a plain recursion, and the closed form of even times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics.linear import Coefficients, cycle_time_of
from roofline_afd.simulation.clock import Clock
from tests.simulation.small import PAPER


def _plain_clock(
    attention: np.ndarray[Any, Any], ratio: int, coefficients: Coefficients, batch: int, duplex: str
) -> list[float]:
    """Run one ratio without vectors: when the FFN instance was done with each step."""
    steps, microbatches, _ = attention.shape
    ffn = coefficients.ffn_slope * ratio * batch + coefficients.ffn_fixed
    trip = float(coefficients.transfer_slope * batch + coefficients.transfer_fixed)
    out, back = (trip, 0.0) if duplex == "shared" else (trip / 2, trip / 2)
    free, link, ffn_free, back_free = [0.0] * ratio, [0.0] * ratio, 0.0, 0.0
    ready, done = [0.0] * microbatches, []
    for step in range(steps):
        for microbatch in range(microbatches):
            for worker in range(ratio):
                free[worker] = max(free[worker], ready[microbatch]) + attention[step, microbatch, worker]
                link[worker] = max(link[worker], free[worker]) + out
            ffn_free = max(ffn_free, *link) + float(ffn)
            back_free = max(back_free, ffn_free) + back
            ready[microbatch] = ffn_free if duplex == "shared" else back_free
        done.append(ffn_free)
    return done


@pytest.mark.parametrize("duplex", ["shared", "full"])
@pytest.mark.parametrize("microbatches", [1, 2, 3])
def test_the_clock_is_the_plain_recursion(microbatches: int, duplex: str) -> None:
    times = np.random.default_rng(microbatches).gamma(4.0, 5e-5, (200, microbatches, 5))
    slow = PAPER._replace(transfer_fixed=150e-6)
    for coefficients in (PAPER, slow):
        clock = Clock(
            np.array([3, 1, 5]),
            coefficients=coefficients,
            batch=256,
            microbatches=microbatches,
            duplex=duplex,
        )
        halves = [clock.run(part)[0] for part in (times[:90], times[90:])]
        found = np.concatenate(halves)
        for column, ratio in enumerate((3, 1, 5)):
            expected = _plain_clock(times, ratio, coefficients, 256, duplex)
            np.testing.assert_allclose(found[:, column], expected, rtol=1e-12)


@pytest.mark.parametrize("duplex", ["shared", "full"])
def test_ffn_devices_that_share_experts_wait_for_all(duplex: str) -> None:
    """Two FFN devices that share: twice the workers, each of them with the FFN time of its own ratio."""
    times = np.random.default_rng(3).gamma(4.0, 5e-5, (100, 2, 6))
    clock = Clock(
        np.array([3, 1]), coefficients=PAPER, batch=256, microbatches=2, duplex=duplex, ffn_devices=2
    )
    found = clock.run(times)[0]
    for column, ratio in enumerate((3, 1)):
        fixed = PAPER.ffn_slope * ratio * 256 + PAPER.ffn_fixed
        same = PAPER._replace(ffn_slope=0.0, ffn_fixed=fixed)
        expected = _plain_clock(times, 2 * ratio, same, 256, duplex)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12)


@given(
    attention=st.floats(1, 500),
    ffn=st.floats(1, 500),
    transfer=st.floats(1, 900),
    microbatches=st.integers(1, 5),
    duplex=st.sampled_from(["shared", "full"]),
)
@settings(max_examples=60, deadline=None)
def test_even_times_give_the_closed_form(
    attention: float, ffn: float, transfer: float, microbatches: int, duplex: str
) -> None:
    """With the same times at every step, a cycle is max(t_A, t_F, link, (t_A + t_F + t_C)/m)."""
    even = Coefficients(0.0, attention, 0.0, ffn, 0.0, transfer)
    clock = Clock(np.array([2]), coefficients=even, batch=1, microbatches=microbatches, duplex=duplex)
    steps = 400
    done, _ = clock.run(np.full((steps, microbatches, 2), attention))
    cycle = (done[-1, 0] - done[steps // 2 - 1, 0]) / (steps // 2 * microbatches)
    expected = cycle_time_of(
        attention=attention,
        ffn=ffn,
        transfer=transfer,
        microbatches=microbatches,
        full_duplex=duplex == "full",
    )
    assert cycle == pytest.approx(float(expected), rel=1e-9)
