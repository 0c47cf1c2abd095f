"""Attention instances that wait for the slowest: limits, simulations, and ratios against brute force."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics import barrier, lengths, linear
from roofline_afd.physics.linear import Coefficients
from roofline_afd.physics.normal import expected_maximum, expected_squared_maximum
from roofline_afd.physics.slots import load_from_moments, stationary_load
from tests.physics.strategies import PAPER, batches, coefficients, heavy, loads

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray


def _around(best: float) -> FloatArray:
    """Return ratios a hundredth apart around one, and fewer up to 40: a better one far away shows there."""
    return np.union1d(np.geomspace(0.2, 40, 300), np.arange(max(best - 1, 0.2), best + 1, 0.01))


@pytest.mark.parametrize("skewness", [0.0, 2.0])
def test_ratio_with_a_barrier_is_the_best_of_all(skewness: float) -> None:
    load = {"batch": 64.0, "theta": 599.0, "nu": 500.0}
    best = barrier.optimal_ratio_barrier(**load, coefficients=PAPER, skewness=skewness)
    ratios = _around(best)
    tau = barrier.barrier_time(ratio=ratios, **load, coefficients=PAPER, skewness=skewness)
    assert best == pytest.approx(ratios[np.argmax(ratios / ((ratios + 1) * tau))], abs=1.5e-2)
    for m, full in itertools.product((1, 2, 4), (False, True)):
        schedule = {"microbatches": m, "full_duplex": full}
        mine = barrier.optimal_ratio_barrier_microbatches(
            **load, coefficients=PAPER, skewness=skewness, microbatches=m, full_duplex=full
        )
        ratios = _around(mine)
        cycles = barrier.barrier_cycle_time(
            ratio=ratios, **load, coefficients=PAPER, skewness=skewness, microbatches=m, full_duplex=full
        )
        assert mine == pytest.approx(ratios[np.argmax(ratios / ((ratios + 1) * cycles))], abs=1.5e-2), (
            schedule
        )


@given(coefficients, loads, st.floats(0, 1e5), st.tuples(batches, st.floats(0.05, 1000), st.integers(1, 6)))
@settings(deadline=None)
def test_limits_of_the_barrier(
    line: Coefficients, theta: float, nu: float, shape: tuple[int, float, int]
) -> None:
    """Never below mean times, equal to them without spread, and higher with more of it."""
    batch, ratio, microbatches = shape
    attention = linear.attention_time(kv_tokens=batch * theta, coefficients=line)
    transfer = linear.transfer_time_linear(batch=batch, coefficients=line)
    ffn = linear.ffn_time(tokens=ratio * batch, coefficients=line)
    load: dict[str, Any] = {"ratio": ratio, "batch": batch, "theta": theta, "coefficients": line}
    sure = float(max(attention, ffn, transfer))
    waits = [float(barrier.barrier_time(**load, nu=spread)) for spread in (0.0, nu, 2 * nu)]
    assert waits[0] == pytest.approx(sure, rel=1e-12, abs=1e-18)
    assert waits[0] * (1 - 1e-7) <= waits[1] + 1e-15
    assert waits[1] * (1 - 1e-7) <= waits[2] + 1e-15
    mean = linear.cycle_time_of(
        attention=attention, ffn=ffn, transfer=transfer, microbatches=microbatches, full_duplex=False
    )
    cycles = [
        float(barrier.barrier_cycle_time(**load, nu=spread, microbatches=microbatches, full_duplex=False))
        for spread in (0.0, nu, 2 * nu)
    ]
    assert cycles[0] == pytest.approx(float(mean), rel=1e-12, abs=1e-18)
    assert cycles[0] * (1 - 1e-6) <= cycles[1] + 1e-15
    assert cycles[1] * (1 - 1e-6) <= cycles[2] + 1e-15


def _pipeline(workers: int, microbatches: int, *, slots: int, prompt: float, mean: float, seed: int) -> float:
    """Simulate attention workers and one FFN step by step; return the mean time between micro-batches."""
    generator = np.random.default_rng(seed)
    age = generator.geometric(1 / mean, (microbatches, workers, slots)) - 1
    ffn = float(linear.ffn_time(tokens=workers * slots, coefficients=PAPER))
    way = float(linear.transfer_time_linear(batch=slots, coefficients=PAPER)) / 2
    free, back, last, steps = np.zeros(workers), np.zeros(microbatches), 0.0, 4000
    for _ in range(steps):
        for index in range(microbatches):
            cached = age[index].sum(axis=1) + prompt * slots
            times = np.asarray(linear.attention_time(kv_tokens=cached, coefficients=PAPER))
            free = np.maximum(free, back[index]) + times
            last = max(last, float(free.max()) + way) + ffn
            back[index] = last + way
            ended = generator.random((workers, slots)) < 1 / mean
            age[index] = np.where(ended, 0, age[index] + 1)
    return last / (steps * microbatches)


@pytest.mark.parametrize(("workers", "microbatches"), [(3, 1), (4, 2), (10, 2), (8, 3)])
def test_cycle_with_a_barrier_is_that_of_a_simulation(workers: int, microbatches: int) -> None:
    """Attention-bound, and where the way through all stages sets the pace: within one percent."""
    moments = lengths.geometric_moments(mean=100.0)
    load = load_from_moments(prompt=lengths.fixed_moments(mean=900.0), decode=moments)
    predicted = barrier.barrier_cycle_time(
        ratio=workers,
        batch=64,
        theta=load.theta,
        nu=load.nu,
        skewness=load.skewness,
        coefficients=PAPER,
        microbatches=microbatches,
        full_duplex=False,
    )
    simulated = _pipeline(workers, microbatches, slots=64, prompt=900, mean=100.0, seed=5)
    assert float(predicted) == pytest.approx(simulated, rel=0.01)


def test_skewness_mends_small_batches_ofheavy_tails() -> None:
    """The slowest of 32 workers of 16 slots, drawn at random: with skewness nearer than without."""
    generator = np.random.default_rng(11)
    prompt, output = heavy(generator, 50_000)
    load = stationary_load(prompt=prompt, decode=output)
    chosen = generator.choice(prompt.size, size=(4000, 32, 16), p=output / output.sum())
    tokens = prompt[chosen] + np.floor(generator.random(chosen.shape) * output[chosen])
    drawn = float(tokens.sum(axis=2).max(axis=1).mean()) * 1e-6
    line = Coefficients(1e-6, 0.0, 1e-12, 0.0, 0.0, 0.0)
    plain, skewed = (
        float(
            barrier.barrier_time(
                ratio=32, batch=16, theta=load.theta, nu=load.nu, coefficients=line, skewness=skewness
            )
        )
        for skewness in (0.0, load.skewness)
    )
    assert plain < drawn * 0.95
    assert abs(skewed - drawn) < abs(plain - drawn) / 2


@pytest.mark.parametrize("workers", [64, 512, 4096])
def test_maximum_of_many_workers(workers: int) -> None:
    """Against a fine sum over the density of the maximum; the barrier alone is that maximum."""
    normal = statistics.NormalDist()
    points = np.linspace(-2.0, 10.0, 24_001)
    density = [workers * normal.pdf(x) * math.exp((workers - 1) * math.log(normal.cdf(x))) for x in points]
    step = float(points[1] - points[0])
    mean = float(points @ density) * step
    assert float(expected_maximum(workers=workers)) == pytest.approx(mean, abs=1e-9)
    squared = expected_squared_maximum(workers=workers)
    assert float(squared) == pytest.approx(float(points**2 @ density) * step, abs=1e-8)
    line = Coefficients(1e-6, 0.0, 1e-12, 0.0, 0.0, 0.0)
    alone: dict[str, Any] = {"batch": 64, "theta": 1000.0, "nu": 800.0, "coefficients": line}
    waits = (
        barrier.barrier_time(ratio=workers / 16, **alone, ffn_devices=16),
        barrier.barrier_cycle_time(
            ratio=workers / 16, **alone, ffn_devices=16, microbatches=1, full_duplex=True
        ),
    )
    assert [float(wait) for wait in waits] == pytest.approx([1e-6 * (64_000 + 800 * 8 * mean)] * 2, rel=1e-6)


@pytest.mark.parametrize("microbatches", [1, 2, 4])
def test_ffn_devices_that_share_experts_wait_for_all_attention_devices(microbatches: int) -> None:
    """The barrier of r per FFN device is that of r*n_F workers; the FFN time is still that of r."""
    still = PAPER._replace(ffn_slope=0.0)
    load: dict[str, Any] = {"batch": 64, "theta": 2000.0, "nu": 1900.0, "skewness": 1.3}
    ratios = np.array([0.25, 1.0, 2.0, 7.0])
    flight: dict[str, Any] = {"microbatches": microbatches, "full_duplex": False}
    for line in (still, PAPER):
        shared, alone = (
            (
                barrier.barrier_time(ratio=ratio, **load, coefficients=line, ffn_devices=sharing),
                barrier.barrier_cycle_time(
                    ratio=ratio, **load, coefficients=line, ffn_devices=sharing, **flight
                ),
            )
            for ratio, sharing in ((ratios, 8), (ratios * 8, 1))
        )
        if line is still:
            np.testing.assert_array_equal(shared, alone)
        else:
            assert (np.array(shared) <= np.array(alone)).all()
            assert (np.array(shared) < np.array(alone))[:, -1].all()
    few, many = (
        barrier.optimal_ratio_barrier_microbatches(**load, coefficients=PAPER, **flight, ffn_devices=sharing)
        for sharing in (1, 64)
    )
    assert few < many  # the longer wait leaves the FFN time for more tokens
    assert barrier.optimal_ratio_barrier(**load, coefficients=PAPER) < barrier.optimal_ratio_barrier(
        **load, coefficients=PAPER, ffn_devices=64
    )
