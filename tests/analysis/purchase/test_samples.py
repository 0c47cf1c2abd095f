"""Samples of all inputs: they repeat, hold the answer, and say what nothing serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.purchase.samples import draws
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import CLOSE_CALL, H800, moved, pinned

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def test_samples_repeat_and_hold_the_answer(close_call: Answer) -> None:
    """One seed, one answer; intervals hold what was found without uncertainty; wins are a share."""
    summary = close_call.summary
    for key, interval in summary["intervals"].items():
        assert interval["low"] <= summary[key] <= interval["high"], key
        assert interval["low"] <= interval["median"] <= interval["high"]
        assert interval["feasible_share"] == 1
    assert 0.2 < summary["probability_afd_wins"] < 1
    scenario = Scenario(**CLOSE_CALL)
    given = pinned(scenario, "fp8_tflops", "context")
    one, same, other = (
        moved(scenario, samples=20, seed=seed, uncertainty=given).summary for seed in (3, 3, 4)
    )
    assert one == same
    assert one["intervals"] != other["intervals"]


def test_samples_that_nothing_serves_are_told() -> None:
    """The probability counts samples that either mode serves, and the sentence says of how many."""
    scenario = Scenario(system="b200", model="deepseek-v3", tpot_ms=13, max_devices=64)
    answer = moved(scenario, metric=AFD, samples=40, break_evens=0)
    summary = answer.summary
    assert 0 < summary["feasible_samples"] < 40
    assert f"of the {summary['feasible_samples']} of 40 samples that either serves" in summary["answer"]
    assert any(f"in {40 - summary['feasible_samples']} samples neither" in note for note in answer.notes)
    assert all(row["break_even"] is None for row in answer.rows())
    assert any("of the 0 inputs" in note for note in answer.notes)


def test_clear_cases_are_certain() -> None:
    h800 = Scenario(**H800)
    ep = moved(h800, samples=20, uncertainty=pinned(h800, "context", "memory_gb_per_s")).summary
    assert (ep["winner"], ep["probability_afd_wins"]) == (EP, 0)
    scenario = Scenario(system="tpu-v7", model="deepseek-v3", tpot_ms=50, max_devices=256)
    afd = moved(scenario, samples=20, uncertainty=pinned(scenario)).summary
    assert (afd["winner"], afd["probability_afd_wins"]) == (AFD, 1)
    for key, interval in afd["intervals"].items():
        assert interval["low"] == interval["high"] == afd[key]
    assert "no input moves" in afd["answer"]


def test_draws() -> None:
    """Within their ranges, whole where they count; what was fitted together is off together, a guess not."""
    inputs, _ = uncertain_inputs(Scenario(**H800))
    found = draws(inputs, 200, seed=5)
    for item in inputs:
        values = np.array([values[item.key] for values in found])
        assert item.low <= values.min() <= values.max() <= item.high
        assert not item.whole or np.all(values == np.round(values))
        assert values.std() > 0

    def related(one: str, other: str) -> float:
        columns = np.array([[values[key] for values in found] for key in (one, other)])
        return float(np.corrcoef(columns)[0, 1])

    assert related("h800.gemm.compute_efficiency", "h800.gemm.memory_efficiency") > 0.99
    assert related("h800.gemm.compute_efficiency", "h800.gemm.launch_us") < -0.99
    assert abs(related("h800.gemm.compute_efficiency", "h800.grouped_gemm.compute_efficiency")) < 0.25
    guess = related("h800.mla_decode.compute_efficiency", "h800.mla_decode.memory_efficiency")
    assert abs(guess) < 0.25
    assert abs(related("memory_gb_per_s", "fp8_tflops")) < 0.25
