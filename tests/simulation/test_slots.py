"""Slots of an attention instance: tokens are conserved, traces replayed, starts stationary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics.lengths import fixed_moments, geometric_moments
from roofline_afd.physics.slots import load_from_moments, stationary_load
from roofline_afd.simulation.lengths import IndependentLengths, TracedLengths, law
from roofline_afd.simulation.slots import Worker
from roofline_afd.simulation.words import STARTS
from tests.simulation.small import alike, correlated, requests


@given(
    seed=st.integers(0, 1000),
    prompt=st.integers(0, 50),
    mean=st.floats(1, 30),
    microbatches=st.integers(1, 3),
    start=st.sampled_from(STARTS),
)
@settings(max_examples=30, deadline=None)
def test_tokens_are_conserved(seed: int, prompt: int, mean: float, microbatches: int, start: str) -> None:
    """Tokens out are those of requests completed and in progress, less those decoded before the start."""
    worker = Worker(
        requests(prompt, mean),
        batch=7,
        microbatches=microbatches,
        start=start,
        rng=np.random.default_rng(seed),
    )
    before = int((worker.decode - worker.ends).sum())
    steps = 0
    for block in (1, 40, 3):
        loads, _ = worker.advance(block)
        steps += block
        age = worker.decode - worker.ends
        assert (age >= 0).all()
        assert (worker.ends > 0).all()
        assert worker.completed_tokens + int(age.sum()) - before == steps * 7 * microbatches
        held = (worker.prompt + age).reshape(microbatches, 7).sum(axis=1)
        np.testing.assert_array_equal(worker.load, held)
        assert (loads >= 7 * prompt).all()


def _plain_replay(trace: list[tuple[int, int]], at: int, slots: int, steps: int) -> tuple[list[int], int]:
    """Replay a trace slot by slot and token by token: the load of each step, and how many ended."""
    held = [[*trace[(at + slot) % len(trace)], 0] for slot in range(slots)]
    at, ended, loads = at + slots, 0, []
    for _ in range(steps):
        loads.append(sum(prompt + age for prompt, _, age in held))
        for slot, (prompt, decode, age) in enumerate(held):
            held[slot] = [prompt, decode, age + 1]
            if age + 1 == decode:
                held[slot] = [*trace[at % len(trace)], 0]
                at, ended = at + 1, ended + 1
    return loads, ended


@pytest.mark.parametrize("blocks", [(300,), (1,) * 300, (7, 100, 193)])
def test_a_trace_is_replayed_in_order(blocks: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    trace = [(int(p), int(d)) for p, d in zip(rng.integers(0, 90, 40), rng.integers(1, 30, 40), strict=True)]
    prompts, decodes = (np.array(part) for part in zip(*trace, strict=True))
    at = int(np.random.default_rng(3).integers(40))
    lengths = TracedLengths(prompts, decodes, in_order=True)
    worker = Worker(lengths, batch=6, microbatches=1, start="cold", rng=np.random.default_rng(3))
    loads, ended = zip(*(worker.advance(block) for block in blocks), strict=True)
    expected, count = _plain_replay(trace, at, 6, 300)
    np.testing.assert_array_equal(np.concatenate(loads, axis=1)[0], expected)
    assert sum(int(part.sum()) for part in ended) == count


def test_slots_that_start_together_march_together() -> None:
    worker = Worker(alike(10, 5), batch=3, microbatches=2, start="cold", rng=np.random.default_rng(0))
    loads, ended = worker.advance(12)
    np.testing.assert_array_equal(loads, [[3 * (10 + step % 5) for step in range(12)]] * 2)
    assert ended.tolist() == [0, 0, 0, 0, 6, 0, 0, 0, 0, 6, 0, 0]


@pytest.mark.parametrize("kind", ["geometric", "fixed", "lognormal", "trace"])
def test_the_stationary_start_is_stationary(kind: str) -> None:
    """Mean and deviation of a slot's load are theta and nu at once, and stay so."""
    if kind == "trace":
        lengths: Any = correlated()
        load = stationary_load(prompt=lengths.prompts, decode=lengths.decodes)
    else:
        lengths = IndependentLengths(
            law(distribution="fixed", mean=20), law(distribution=kind, mean=60, variation=0.7)
        )
        if kind == "geometric":
            load = load_from_moments(prompt=fixed_moments(mean=20.0), decode=geometric_moments(mean=60.0))
        else:
            load = stationary_load(
                prompt=np.full(lengths.decode.lengths.size, 20), decode=lengths.decode.lengths
            )
    count = 40_000
    worker = Worker(lengths, batch=1, microbatches=count, start="stationary", rng=np.random.default_rng(1))
    error = load.nu / math.sqrt(count)
    for _ in range(3):
        assert worker.load.mean() == pytest.approx(load.theta, abs=4.5 * error)
        assert worker.load.std() == pytest.approx(load.nu, rel=0.05)
        worker.advance(37)
