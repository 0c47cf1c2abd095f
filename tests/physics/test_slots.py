"""Tokens cached in a slot: against slots simulated step by step, and steps written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from roofline_afd.physics import lengths
from roofline_afd.physics.slots import (
    finite_horizon_load,
    finite_horizon_load_of,
    load_from_moments,
    stationary_load,
)
from tests.physics.strategies import heavy

Lengths = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], NDArray[np.int64]]]
REQUESTS = 4000
SLOTS = 400
STEPS = 60_000


def _independent(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return generator.integers(1, 400, count), generator.geometric(1 / 150, count)


def _correlated(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    output = generator.geometric(1 / 150, count)
    return 3 * output + generator.integers(0, 50, count), output


LENGTHS: dict[str, Lengths] = {"independent": _independent, "correlated": _correlated, "heavy": heavy}


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
    load = stationary_load(prompt=prompt, decode=output)
    means, variances = _slots(prompt, output, generator)
    error = means.std(ddof=1) / math.sqrt(SLOTS)
    assert abs(means.mean() - load.theta) < 3 * error
    assert abs(variances.mean() - load.nu**2) < 3 * variances.std(ddof=1) / math.sqrt(SLOTS)


@pytest.mark.parametrize("kind", LENGTHS)
def test_standard_errors_are_those_of_many_traces(kind: str) -> None:
    found = [
        stationary_load(prompt=prompt, decode=output)
        for prompt, output in (LENGTHS[kind](np.random.default_rng(seed), 20_000) for seed in range(200))
    ]
    for value, error in (("theta", "theta_error"), ("nu", "nu_error")):
        spread = np.std([getattr(load, value) for load in found])
        assert np.mean([getattr(load, error) for load in found]) == pytest.approx(spread, rel=0.35)


def test_closed_forms_are_the_loads_of_endless_traces() -> None:
    generator = np.random.default_rng(3)
    count = 400_000
    decodes = {
        "geometric": (lengths.geometric_moments(mean=80.0), generator.geometric(1 / 80, count)),
        "fixed": (lengths.fixed_moments(mean=80.0), np.full(count, 80)),
        "lognormal": (
            lengths.lognormal_moments(mean=80.0, variation=0.5),
            np.rint(
                np.exp(generator.normal(math.log(80) - math.log(1.25) / 2, math.sqrt(math.log(1.25)), count))
            ),
        ),
    }
    prompts = (lengths.geometric_moments(mean=50.0), generator.geometric(1 / 50, count))
    for moments, output in decodes.values():
        closed = load_from_moments(prompt=prompts[0], decode=moments)
        sampled = stationary_load(prompt=prompts[1], decode=output)
        assert closed.theta == pytest.approx(sampled.theta, rel=0.01)
        assert closed.nu == pytest.approx(sampled.nu, rel=0.02)
        assert closed.skewness == pytest.approx(sampled.skewness, rel=0.06)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=12))
def test_load_of_a_trace_is_that_of_its_steps_written_out(requests: list[tuple[int, int]]) -> None:
    steps = [prompt + age for prompt, output in requests for age in range(output)]
    prompt, output = np.array(requests).T
    load = stationary_load(prompt=prompt, decode=output)
    assert load.theta == pytest.approx(np.mean(steps))
    assert load.nu == pytest.approx(np.std(steps), abs=1e-6)
    if load.nu > 1e-3:
        skewness = np.mean((np.array(steps) - np.mean(steps)) ** 3) / np.std(steps) ** 3
        assert load.skewness == pytest.approx(skewness, abs=1e-5)


def test_nothing_decoded_is_no_load() -> None:
    assert math.isnan(stationary_load(prompt=np.array([5]), decode=np.array([0])).theta)


@given(st.floats(1.5, 60), st.floats(0, 500), st.integers(1, 600))
def test_start_of_geometric_outputs(mean: float, prompt: float, steps: int) -> None:
    """The renewal form is the closed one, which is the mean of the first ages."""
    ages = np.arange(4000)
    lasting = (1 - 1 / mean) ** ages
    ending = np.concatenate([[0.0], lasting / mean])
    found = finite_horizon_load_of(ending=ending, tokens=(prompt + ages) * lasting, steps=float(steps))
    closed = finite_horizon_load(prompt_mean=prompt, decode_mean=mean, batch=1, requests=steps / mean)
    assert found == pytest.approx(float(closed), rel=1e-6)
    written = prompt + ((mean - 1) * (1 - (1 - 1 / mean) ** ages[:steps])).mean()
    assert float(closed) == pytest.approx(written, rel=1e-9)


def test_long_starts_are_stationary() -> None:
    ending, tokens = np.array([0.0, 0.5, 0.0, 0.5]), np.array([7.0, 4.0, 4.5])
    stationary = tokens.sum() / 2
    for steps in (1e5, 3e6, 1e9):
        found = finite_horizon_load_of(ending=ending, tokens=tokens, steps=steps)
        assert found == pytest.approx(stationary, rel=1e-4)
