"""What is read off a simulation: Little's law, scales, intervals, time series."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from roofline_afd.simulation.measure import SERIES_POINTS, half_width, measure, series, window_of
from roofline_afd.simulation.replicate import replicate
from roofline_afd.simulation.run import run
from roofline_afd.simulation.words import WINDOWS
from tests.simulation.small import trial


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("microbatches", "sharing"), [(1, 1), (3, 1), (2, 3)])
def test_littles_law(microbatches: int, sharing: int, window: str) -> None:
    """Requests in service are completions per second times the time each stays: D steps of one TPOT."""
    asked = trial(
        requests=20_000, replications=1, microbatches=microbatches, window=window, ffn_devices=sharing
    )
    course = replicate(asked, 0)
    first, last = window_of(asked, course)
    found = measure(asked, course)
    for column, ratio in enumerate(asked.ratios):
        begin = course.time[first[column], column] if first[column] >= 0 else 0.0
        already = course.completions[first[column], column] if first[column] >= 0 else 0
        rate = (course.completions[last[column], column] - already) / (
            course.time[last[column], column] - begin
        )
        stay = asked.lengths.mean_decode * found.tpot[0, column]
        assert rate * stay == pytest.approx(ratio * sharing * 16 * microbatches, rel=0.03)
        slots = ratio * 16 * microbatches
        assert found.throughput[0, column] * (ratio + 1) == pytest.approx(
            slots / found.tpot[0, column], rel=2e-3
        )


def test_layers_accepted_tokens_and_time_outside_scale() -> None:
    plain, other = trial(), trial(layers=10, accept_length=2.0, outside=1e-3)
    one, two = run(plain)[0], run(other)[0]
    np.testing.assert_allclose(two.tpot, (one.tpot * 10 + 1e-3) / 2, rtol=1e-12)
    tokens = 16 * 2 * np.array(plain.ratios) / (1 + np.array(plain.ratios))
    np.testing.assert_allclose(tokens * 2 / two.throughput, 10 * tokens / one.throughput + 1e-3, rtol=1e-12)
    np.testing.assert_array_equal(one.attention_idle, two.attention_idle)


def test_intervals_hold_the_truth() -> None:
    """Most 95 % intervals hold the mean of many replications."""
    asked = trial(requests=200, ratios=(3,))
    rates = run(dataclasses.replace(asked, replications=300))[0].throughput
    fives = rates.reshape(60, 5, 1)
    held = [abs(part.mean() - rates.mean()) <= float(half_width(part)[0]) for part in fives]
    assert 0.85 <= np.mean(held) <= 1.0
    assert float(half_width(rates)[0]) == pytest.approx(1.96 * rates.std(ddof=1) / math.sqrt(300))


def test_time_series() -> None:
    asked = trial()
    _, course = run(asked)
    columns = series(asked, course)
    assert {len(values) for values in columns.values()} == {len(columns["r"])}
    assert set(columns["r"].tolist()) == {1, 2, 4}
    own = columns["r"] == 4
    assert own.sum() <= SERIES_POINTS
    assert (np.diff(columns["time_s"][own]) > 0).all()
    assert columns["completions"][own].sum() <= course.completions[-1, 2]
    for key in ("attention_idle", "ffn_idle"):
        assert (np.abs(columns[key] - 0.5) <= 0.6).all()
