"""Samples of all inputs: they repeat, hold the answer, and say what nothing serves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.purchase.samples import draws, sampled
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.analysis.purchase.variation import Rates
from roofline_afd.catalogue.ratio_error import RatioError, load_ratio_error
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics.confidence import probability_ahead, ratio_interval
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import CLOSE_CALL, H800, moved, pinned
from tests.conftest import ONE_PLAN

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def test_samples_repeat_and_hold_the_answer(close_call: Answer) -> None:
    """One seed, one answer; intervals hold what was found without uncertainty; wins are a share."""
    summary = close_call.summary
    for key, interval in summary["intervals"].items():
        assert interval["low"] <= summary[key] <= interval["high"], key
        assert interval["low"] <= interval["median"] <= interval["high"]
        assert interval["feasible_share"] == 1
    assert 0.2 < summary["probability_afd_wins_sampled"] < 1
    scenario = Scenario(**CLOSE_CALL)
    given = pinned(scenario, "fp8_tflops", "context")
    one, same, other = (
        moved(scenario, samples=20, seed=seed, uncertainty=given, break_evens=0).summary for seed in (3, 3, 4)
    )
    assert one == same
    assert one["intervals"] != other["intervals"]


def test_samples_that_nothing_serves_are_told() -> None:
    """The probability counts samples that either mode serves, and the sentence says of how many."""
    scenario = Scenario(system="b200", model="deepseek-v3", tpot_ms=11.8, max_devices=16, **ONE_PLAN)
    free = ("memory_gb_per_s", "scale_up_gb_per_s", "context", "service.other_us", "sigma_ep")
    answer = moved(scenario, metric=AFD, samples=40, uncertainty=pinned(scenario, *free), break_evens=0)
    summary = answer.summary
    assert 0 < summary["feasible_samples"] < 40
    assert f"of the {summary['feasible_samples']} of 40 samples that either serves" in summary["answer"]
    assert any(f"in {40 - summary['feasible_samples']} samples neither" in note for note in answer.notes)
    assert all(row["break_even"] is None for row in answer.rows())
    assert any("of the 0 inputs" in note for note in answer.notes)


def test_clear_cases_leave_the_error_of_the_model() -> None:
    """Inputs without a range: every sample is the prediction, and what is left is the error of the ratio.

    The probability is that of the ratio itself, as `compare` tells it; the interval, 90 % of samples, that of
    its distribution, widened by what was never measured.
    """
    scenario = Scenario(**H800 | {"system": "mi355x", "max_devices": 32})
    summary = moved(scenario, samples=100, uncertainty=pinned(scenario), break_evens=0).summary
    verdict = compare(scenario).summary
    for key in ("probability_afd_wins", "afd_over_ep_low", "afd_over_ep_high", "estimated_share"):
        assert summary[key] == verdict[key] > 0
    assert summary["probability_afd_wins_sampled"] == pytest.approx(verdict["probability_afd_wins"])
    error, ratio = load_ratio_error(Catalogue()), summary["afd_over_ep"]
    spread = math.hypot(error.spread, error.estimated_error * verdict["estimated_share"])
    assert spread > error.spread
    model = {"bias": error.bias, "spread": spread, "degrees": error.degrees}
    assert summary["probability_afd_wins"] == pytest.approx(probability_ahead(ratio=ratio, **model))
    assert summary["afd_ahead_share"] == (1 if ratio > 1 else 0)
    ends = ratio_interval(ratio=ratio, coverage=0.9, **model)
    found = summary["intervals"]["afd_over_ep"]
    assert (found["low"], found["high"]) == pytest.approx(ends, rel=0.05)
    for key in ("ep_tokens_per_s_per_device", "afd_tokens_per_s_per_device"):
        interval = summary["intervals"][key]
        assert interval["low"] == interval["high"] == summary[key]


def test_probability_is_the_mean_over_samples() -> None:
    """By hand: ratios 1 and exp(t_0.9*s) have 0.5 and 0.9; a sample that only AFD serves has 1, EP's 0.

    A share of 0.8 never measured widens 0.1 to hypot(0.1, 0.3*0.8) = 0.26.
    """
    error = RatioError(0.1, 0.0, 2, 0.3)
    ahead = math.exp(0.1 * 1.8856180831641267)
    found = sampled(
        [Rates(1.0, 1.0), Rates(1.0, ahead), Rates(0.0, 5.0), Rates(5.0, 0.0), Rates(0.0, 0.0)], error, 0
    )
    assert found["probability_afd_wins_sampled"] == pytest.approx((0.5 + 0.9 + 1.0 + 0.0) / 4)
    wider = sampled([Rates(1.0, math.exp(0.26 * 1.8856180831641267))], error, 0, estimated_share=0.8)
    assert wider["probability_afd_wins_sampled"] == pytest.approx(0.9)
    assert found["afd_ahead_share"] == 2 / 4
    assert found["feasible_samples"] == 4


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
