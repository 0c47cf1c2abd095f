"""Provisioning: loads against slots simulated step by step, ratios against brute force, times in limits."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from roofline_afd.physics import provisioning as physics
from roofline_afd.physics.provisioning import Coefficients

Lengths = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], NDArray[np.int64]]]
PAPER = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
REQUESTS = 4000
SLOTS = 400
STEPS = 60_000

times = st.floats(0, 1e-3)
coefficients = st.builds(
    Coefficients, st.floats(0, 1e-7), times, st.floats(1e-9, 1e-5), times, st.floats(0, 1e-5), times
)
loads = st.floats(1, 1e5)
batches = st.integers(1, 1000)


def _independent(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return generator.integers(1, 400, count), generator.geometric(1 / 150, count)


def _correlated(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    output = generator.geometric(1 / 150, count)
    return 3 * output + generator.integers(0, 50, count), output


def _heavy(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    normal = generator.multivariate_normal([5.0, 4.0], [[1.0, 0.6], [0.6, 1.0]], count)
    prompt, output = np.ceil(np.exp(normal)).astype(np.int64).T
    return prompt, output


LENGTHS: dict[str, Lengths] = {"independent": _independent, "correlated": _correlated, "heavy": _heavy}


def _slots(
    prompt: NDArray[np.int64], output: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Refill slots at once from a trace, step by step; return the mean and the variance each has seen."""
    held = generator.integers(0, prompt.size, SLOTS)
    age = np.zeros(SLOTS, dtype=np.int64)
    sums, squares, counted = np.zeros(SLOTS), np.zeros(SLOTS), 0
    for step in range(STEPS):
        if step >= STEPS // 10:
            load = prompt[held] + age
            sums += load
            squares += load.astype(float) ** 2
            counted += 1
        age += 1
        done = age >= output[held]
        age[done] = 0
        held[done] = generator.integers(0, prompt.size, int(done.sum()))
    mean = sums / counted
    return mean, squares / counted - mean.mean() ** 2


@pytest.mark.parametrize("kind", LENGTHS)
def test_load_of_a_trace_is_that_of_simulated_slots(kind: str) -> None:
    """Within three standard errors of the simulation, slots being independent of each other."""
    generator = np.random.default_rng(7)
    prompt, output = LENGTHS[kind](generator, REQUESTS)
    load = physics.stationary_load(prompt=prompt, decode=output)
    means, variances = _slots(prompt, output, generator)
    error = means.std(ddof=1) / math.sqrt(SLOTS)
    assert abs(means.mean() - load.theta) < 3 * error
    assert abs(variances.mean() - load.nu**2) < 3 * variances.std(ddof=1) / math.sqrt(SLOTS)


@pytest.mark.parametrize("kind", LENGTHS)
def test_standard_errors_are_those_of_many_traces(kind: str) -> None:
    found = [
        physics.stationary_load(prompt=prompt, decode=output)
        for prompt, output in (LENGTHS[kind](np.random.default_rng(seed), 20_000) for seed in range(200))
    ]
    for value, error in (("theta", "theta_error"), ("nu", "nu_error")):
        spread = np.std([getattr(load, value) for load in found])
        assert np.mean([getattr(load, error) for load in found]) == pytest.approx(spread, rel=0.35)


def test_closed_forms_are_the_loads_of_endless_traces() -> None:
    generator = np.random.default_rng(3)
    count = 400_000
    decodes = {
        "geometric": (physics.geometric_moments(mean=80.0), generator.geometric(1 / 80, count)),
        "fixed": (physics.fixed_moments(mean=80.0), np.full(count, 80)),
        "lognormal": (
            physics.lognormal_moments(mean=80.0, variation=0.5),
            np.rint(
                np.exp(generator.normal(math.log(80) - math.log(1.25) / 2, math.sqrt(math.log(1.25)), count))
            ),
        ),
    }
    prompts = (physics.geometric_moments(mean=50.0), generator.geometric(1 / 50, count))
    for moments, output in decodes.values():
        closed = physics.load_from_moments(prompt=prompts[0], decode=moments)
        sampled = physics.stationary_load(prompt=prompts[1], decode=output)
        assert closed.theta == pytest.approx(sampled.theta, rel=0.01)
        assert closed.nu == pytest.approx(sampled.nu, rel=0.02)
        assert closed.skewness == pytest.approx(sampled.skewness, rel=0.06)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=12))
def test_load_of_a_trace_is_that_of_its_steps_written_out(requests: list[tuple[int, int]]) -> None:
    steps = [prompt + age for prompt, output in requests for age in range(output)]
    prompt, output = np.array(requests).T
    load = physics.stationary_load(prompt=prompt, decode=output)
    assert load.theta == pytest.approx(np.mean(steps))
    assert load.nu == pytest.approx(np.std(steps), abs=1e-6)
    if load.nu > 1e-3:
        skewness = np.mean((np.array(steps) - np.mean(steps)) ** 3) / np.std(steps) ** 3
        assert load.skewness == pytest.approx(skewness, abs=1e-5)


def test_nothing_decoded_is_no_load() -> None:
    assert math.isnan(physics.stationary_load(prompt=np.array([5]), decode=np.array([0])).theta)


@given(st.floats(1.5, 60), st.floats(0, 500), st.integers(1, 600))
def test_start_of_geometric_outputs(mean: float, prompt: float, steps: int) -> None:
    """The renewal form is the closed one, which is the mean of the first ages."""
    ages = np.arange(4000)
    lasting = (1 - 1 / mean) ** ages
    ending = np.concatenate([[0.0], lasting / mean])
    found = physics.finite_horizon_load_of(
        ending=ending, tokens=(prompt + ages) * lasting, steps=float(steps)
    )
    closed = physics.finite_horizon_load(prompt_mean=prompt, decode_mean=mean, batch=1, requests=steps / mean)
    assert found == pytest.approx(float(closed), rel=1e-6)
    written = prompt + ((mean - 1) * (1 - (1 - 1 / mean) ** ages[:steps])).mean()
    assert float(closed) == pytest.approx(written, rel=1e-9)


def test_long_starts_are_stationary() -> None:
    ending, tokens = np.array([0.0, 0.5, 0.0, 0.5]), np.array([7.0, 4.0, 4.5])
    stationary = tokens.sum() / 2
    for steps in (1e5, 3e6, 1e9):
        found = physics.finite_horizon_load_of(ending=ending, tokens=tokens, steps=steps)
        assert found == pytest.approx(stationary, rel=1e-4)


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
        tau: NDArray[np.float64] = physics.cycle_time_of(
            attention=physics.attention_time(kv_tokens=batch * theta, coefficients=line),
            ffn=physics.ffn_time(tokens=ratio * batch, coefficients=line),
            transfer=physics.transfer_time_linear(batch=batch, coefficients=line),
            microbatches=microbatches,
            full_duplex=full,
        )
        return ratio / ((ratio + 1) * tau)

    found = physics.optimal_ratio_microbatches(
        theta=theta, batch=batch, coefficients=line, microbatches=microbatches, full_duplex=full
    )
    if found > 0:
        assert float(rate(np.array([found]))[0]) >= _brute(rate) * (1 - 1e-9)
        if microbatches == 2:
            two = physics.optimal_ratio_two_microbatches(
                theta=theta, batch=batch, coefficients=line, full_duplex=full
            )
            assert float(rate(np.array([two]))[0]) == pytest.approx(float(rate(np.array([found]))[0]))


@given(coefficients, loads, batches)
@settings(max_examples=60, deadline=None)
def test_ratio_of_mean_times_is_the_best_of_all(line: Coefficients, theta: float, batch: int) -> None:
    def rate(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        tau = np.maximum(
            np.maximum(
                physics.attention_time(kv_tokens=batch * theta, coefficients=line),
                physics.transfer_time_linear(batch=batch, coefficients=line),
            ),
            physics.ffn_time(tokens=ratio * batch, coefficients=line),
        )
        return np.asarray(ratio / ((ratio + 1) * tau))

    best = physics.optimal_ratio(theta=theta, batch=batch, coefficients=line).ratio
    if best > 0:
        assert float(rate(np.array([best]))[0]) >= _brute(rate) * (1 - 1e-9)


@pytest.mark.parametrize("skewness", [0.0, 2.0])
def test_ratio_with_a_barrier_is_the_best_of_all(skewness: float) -> None:
    load = {"batch": 64.0, "theta": 599.0, "nu": 500.0}
    ratios = np.linspace(0.2, 40, 4001)
    tau = physics.barrier_time(ratio=ratios, **load, coefficients=PAPER, skewness=skewness)
    best = physics.optimal_ratio_barrier(**load, coefficients=PAPER, skewness=skewness)
    assert best == pytest.approx(ratios[np.argmax(ratios / ((ratios + 1) * tau))], abs=1.5e-2)
    for m, full in itertools.product((1, 2, 4), (False, True)):
        schedule = {"microbatches": m, "full_duplex": full}
        cycles = physics.barrier_cycle_time(
            ratio=ratios, **load, coefficients=PAPER, skewness=skewness, microbatches=m, full_duplex=full
        )
        mine = physics.optimal_ratio_barrier_microbatches(
            **load, coefficients=PAPER, skewness=skewness, microbatches=m, full_duplex=full
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
    attention = physics.attention_time(kv_tokens=batch * theta, coefficients=line)
    transfer = physics.transfer_time_linear(batch=batch, coefficients=line)
    ffn = physics.ffn_time(tokens=ratio * batch, coefficients=line)
    load: dict[str, Any] = {"ratio": ratio, "batch": batch, "theta": theta, "coefficients": line}
    sure = float(max(attention, ffn, transfer))
    waits = [float(physics.barrier_time(**load, nu=spread)) for spread in (0.0, nu, 2 * nu)]
    assert waits[0] == pytest.approx(sure, rel=1e-12, abs=1e-18)
    assert waits[0] * (1 - 1e-7) <= waits[1] + 1e-15
    assert waits[1] * (1 - 1e-7) <= waits[2] + 1e-15
    mean = physics.cycle_time_of(
        attention=attention, ffn=ffn, transfer=transfer, microbatches=microbatches, full_duplex=False
    )
    cycles = [
        float(physics.barrier_cycle_time(**load, nu=spread, microbatches=microbatches, full_duplex=False))
        for spread in (0.0, nu, 2 * nu)
    ]
    assert cycles[0] == pytest.approx(float(mean), rel=1e-12, abs=1e-18)
    assert cycles[0] * (1 - 1e-6) <= cycles[1] + 1e-15
    assert cycles[1] * (1 - 1e-6) <= cycles[2] + 1e-15


def _pipeline(workers: int, microbatches: int, *, slots: int, prompt: float, mean: float, seed: int) -> float:
    """Simulate attention workers and one FFN step by step; return the mean time between micro-batches."""
    generator = np.random.default_rng(seed)
    age = generator.geometric(1 / mean, (microbatches, workers, slots)) - 1
    ffn = float(physics.ffn_time(tokens=workers * slots, coefficients=PAPER))
    way = float(physics.transfer_time_linear(batch=slots, coefficients=PAPER)) / 2
    free, back, last, steps = np.zeros(workers), np.zeros(microbatches), 0.0, 4000
    for _ in range(steps):
        for index in range(microbatches):
            cached = age[index].sum(axis=1) + prompt * slots
            times = np.asarray(physics.attention_time(kv_tokens=cached, coefficients=PAPER))
            free = np.maximum(free, back[index]) + times
            last = max(last, float(free.max()) + way) + ffn
            back[index] = last + way
            ended = generator.random((workers, slots)) < 1 / mean
            age[index] = np.where(ended, 0, age[index] + 1)
    return last / (steps * microbatches)


@pytest.mark.parametrize(("workers", "microbatches"), [(3, 1), (4, 2), (10, 2), (8, 3)])
def test_cycle_with_a_barrier_is_that_of_a_simulation(workers: int, microbatches: int) -> None:
    """Attention-bound, and where the way through all stages sets the pace: within one percent."""
    moments = physics.geometric_moments(mean=100.0)
    load = physics.load_from_moments(prompt=physics.fixed_moments(mean=900.0), decode=moments)
    predicted = physics.barrier_cycle_time(
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


def test_skewness_mends_small_batches_of_heavy_tails() -> None:
    """The slowest of 32 workers of 16 slots, drawn at random: with skewness nearer than without."""
    generator = np.random.default_rng(11)
    prompt, output = _heavy(generator, 50_000)
    load = physics.stationary_load(prompt=prompt, decode=output)
    chosen = generator.choice(prompt.size, size=(4000, 32, 16), p=output / output.sum())
    tokens = prompt[chosen] + np.floor(generator.random(chosen.shape) * output[chosen])
    drawn = float(tokens.sum(axis=2).max(axis=1).mean()) * 1e-6
    line = Coefficients(1e-6, 0.0, 1e-12, 0.0, 0.0, 0.0)
    plain, skewed = (
        float(
            physics.barrier_time(
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
    assert float(physics.expected_maximum(workers=workers)) == pytest.approx(mean, abs=1e-9)
    squared = physics.expected_squared_maximum(workers=workers)
    assert float(squared) == pytest.approx(float(points**2 @ density) * step, abs=1e-8)
    line = Coefficients(1e-6, 0.0, 1e-12, 0.0, 0.0, 0.0)
    alone: dict[str, Any] = {"batch": 64, "theta": 1000.0, "nu": 800.0, "coefficients": line}
    waits = (
        physics.barrier_time(ratio=workers / 16, **alone, ffn_devices=16),
        physics.barrier_cycle_time(
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
                physics.barrier_time(ratio=ratio, **load, coefficients=line, ffn_devices=sharing),
                physics.barrier_cycle_time(
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
        physics.optimal_ratio_barrier_microbatches(**load, coefficients=PAPER, **flight, ffn_devices=sharing)
        for sharing in (1, 64)
    )
    assert few < many  # the longer wait leaves the FFN time for more tokens
    assert physics.optimal_ratio_barrier(**load, coefficients=PAPER) < physics.optimal_ratio_barrier(
        **load, coefficients=PAPER, ffn_devices=64
    )


@given(st.integers(1, 500))
@settings(max_examples=20, deadline=None)
def test_maximum_grows_with_workers(workers: int) -> None:
    low, high = physics.expected_maximum(workers=np.array([workers, workers + 1]))
    assert low < high <= math.sqrt(2 * math.log(workers + 1))


def test_rates_and_times() -> None:
    rate = physics.throughput_per_instance(ratio=4, batch=100, cycle=1e-3, layers=10, accept_length=1.5)
    assert float(rate) == pytest.approx(4 * 100 * 1.5 / (5 * 1e-2))
    tpot = physics.time_per_token(cycle=1e-3, microbatches=3, layers=10, accept_length=1.5)
    assert float(tpot) == pytest.approx(0.02)
