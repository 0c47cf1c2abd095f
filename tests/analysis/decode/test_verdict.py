"""How sure a verdict is: odds, and what is said where one mode has no deployment."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.questions import WhatIf
from roofline_afd.analysis.decode.sides import search_modes
from roofline_afd.analysis.decode.verdict import UNDECIDED, chance, odds_of, undecided, verdict_of
from roofline_afd.analysis.decode.what_if import what_if
from roofline_afd.catalogue.ratio_error import RatioError
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.limits import LATENCY, MEMORY
from roofline_afd.serving.scenario import Scenario

ERROR = RatioError(spread=0.12, bias=0.0, degrees=2, estimated_error=0.3, pairs=5, sources=2)
H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50, "max_devices": 64}


def test_odds_by_hand() -> None:
    """Ln 0.8873 = -0.1196, s = 0.12: t = -0.9963, two degrees: 1/2 - 0.9963/(2*sqrt(2 + 0.9926)) = 0.2120.

    With half of a step estimated s = sqrt(0.0144 + 0.0225) = 0.1921 and t = -0.6225: 0.2985.
    """
    measured = odds_of(ERROR, ratio=0.8873, estimated_share=0.0)
    assert measured.probability == pytest.approx(0.2120, abs=2e-4)
    assert measured.close
    assert measured.low == pytest.approx(0.8873 * math.exp(-0.12 * 1.88562), rel=1e-5)
    estimated = odds_of(ERROR, ratio=0.8873, estimated_share=0.5)
    assert estimated.probability == pytest.approx(0.2985, abs=2e-4)
    assert estimated.low < measured.low < measured.high < estimated.high
    assert not odds_of(ERROR, ratio=0.8, estimated_share=0.0).close


@given(st.floats(0.3, 3.0), st.floats(0.0, 1.0))
def test_close_is_what_lies_in_the_undecided_range(ratio: float, share: float) -> None:
    low, high = undecided(ERROR, estimated_share=share)
    odds = odds_of(ERROR, ratio=ratio, estimated_share=share)
    if min(abs(ratio / low - 1), abs(ratio / high - 1)) > 1e-6:
        assert odds.close == (low < ratio < high)
    assert odds_of(ERROR, ratio=low, estimated_share=share).probability == pytest.approx(UNDECIDED)


def test_words_have_no_more_digits_than_known() -> None:
    assert chance(0.274) == "0.27"
    assert chance(0.0004) == "below 0.01"
    assert chance(0.9999) == "above 0.99"
    words = odds_of(ERROR, ratio=0.89, estimated_share=0.0).words
    assert words.startswith("AFD / EP 0.89, 80 % interval 0.71 to 1.12, AFD ahead with probability 0.2")


def test_memory_is_firm_and_latency_is_not() -> None:
    """What does not fit loses for certain; what is too slow by a prediction may be quick enough."""
    firm = search_modes(Scenario(**H800 | {"max_devices": 16}))
    assert firm[AFD].found.refusal == MEMORY
    found = verdict_of(firm)
    assert (found.odds, found.probability, found.close) == (None, 0.0, False)
    assert found.note is not None
    assert "no error of times changes what rules AFD out" in found.note
    slow = search_modes(Scenario(system="h800", model="qwen3-235b-a22b", tpot_ms=9, max_devices=64))
    assert slow[AFD].found.refusal == LATENCY
    assert slow[EP].rate
    found = verdict_of(slow)
    assert (found.odds, found.probability, found.close) == (None, None, False)
    assert found.note is not None
    assert "AFD is too slow by a prediction that may be off" in found.note


def test_compare_tells_the_odds() -> None:
    """The sentence has the ratio, its interval and the probability, and a note what they rest on."""
    answer = compare(Scenario(**H800))
    summary = answer.summary
    span = f"{summary['afd_over_ep_low']:.2f} to {summary['afd_over_ep_high']:.2f}"
    assert f"AFD / EP {summary['afd_over_ep']:.2f}, 80 % interval {span}" in summary["answer"]
    assert f"AFD ahead with probability {chance(summary['probability_afd_wins'])}" in summary["answer"]
    assert summary["basis"] == "device"
    shares = [row["estimated_share"] for row in answer.rows()]
    assert summary["estimated_share"] == max(shares)
    assert any("published pairs" in note and "on the device basis" in note for note in answer.notes)


def test_the_pause_of_a_host_is_another_basis() -> None:
    assert compare(Scenario(**H800 | {"gap_ms": 2})).summary["basis"] == "wall"


def test_estimates_widen_the_interval() -> None:
    """A system of which no kernel was measured: a wider interval at the same kind of margin."""
    measured = compare(Scenario(**H800)).summary
    unknown = compare(Scenario(**H800 | {"system": "cloudmatrix384", "max_devices": 128})).summary
    assert unknown["estimated_share"] > 0.5 > measured["estimated_share"]
    widths = [each["afd_over_ep_high"] / each["afd_over_ep_low"] for each in (measured, unknown)]
    assert widths[1] > widths[0] * 1.2


def test_what_if_tells_both() -> None:
    """Keys after the change as in `compare` of the changed question, before it those of the question."""
    changed = what_if(WhatIf(Scenario(**H800), {"context": 2048})).summary
    before, after = (compare(Scenario(**H800 | extra)).summary for extra in ({}, {"context": 2048}))
    for key in ("probability_afd_wins", "afd_over_ep_low", "afd_over_ep_high", "basis", "estimated_share"):
        assert changed[key] == after[key], key
        assert changed[f"{key}_before"] == before[key], key
    assert changed["afd_over_ep"] == after["afd_over_ep"]
    chances = (
        f"{chance(before['probability_afd_wins'])} before, {chance(after['probability_afd_wins'])} after"
    )
    assert f"AFD ahead with probability {chances}" in changed["answer"]
    assert ("too close to call" in changed["answer"]) == (
        before["too_close_to_call"] or after["too_close_to_call"]
    )
