"""How sure a verdict is, as users of the commands meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

QUESTION = ("--system", "h800", "--model", "deepseek-v3", "--tpot-ms", "50", "--max-devices", "64")
KEYS = (
    *("probability_afd_wins", "afd_over_ep", "afd_over_ep_low", "afd_over_ep_high"),
    *("too_close_to_call", "basis", "estimated_share", "answer"),
)


@pytest.mark.parametrize(
    "asked",
    [
        ("compare", *QUESTION),
        ("what-if", *QUESTION, "--change", "context=8192"),
        ("explore", "--system", "h800", "--model", "deepseek-v3", "--devices", "48", "--workload", "chat"),
        ("procure", "--systems", "h800", *QUESTION[2:], "--demand", "30000", "--price", "h800=2"),
    ],
)
def test_keys(asked: tuple[str, ...]) -> None:
    summary = ask(*asked)["summary"]
    assert set(KEYS) <= set(summary)
    assert 0 < summary["probability_afd_wins"] < 1
    assert summary["afd_over_ep_low"] < summary["afd_over_ep"] < summary["afd_over_ep_high"]
    assert (summary["probability_afd_wins"] > 0.5) == (summary["afd_over_ep"] > 1)
    assert summary["too_close_to_call"] == (0.2 < summary["probability_afd_wins"] < 0.8)
    assert summary["basis"] in {"device", "wall"}
    assert "ahead with probability" in summary["answer"]


def test_levers_have_odds() -> None:
    """A lever that changes the winner where either may be ahead says so; without a ratio there are none."""
    answer = ask("compare", *QUESTION[:-1], "48", "--levers")
    for row in answer["summary"]["levers"]:
        chance = row["probability_afd_wins"]
        if row["afd_over_ep"] is None:
            assert chance in {None, 0, 1}
            continue
        assert row["afd_over_ep_low"] < row["afd_over_ep"] < row["afd_over_ep_high"]
        assert (chance > 0.5) == (row["winner"] == "afd")
        assert row["too_close_to_call"] == (0.2 < chance < 0.8)
    own = next(row for row in answer["summary"]["levers"] if row["option"] == "--kernels separate")
    assert own["probability_afd_wins"] == answer["summary"]["probability_afd_wins"]


def test_an_infeasible_mode_has_no_interval() -> None:
    summary = ask("compare", *QUESTION[:-1], "16")["summary"]
    assert summary["afd_over_ep"] is summary["afd_over_ep_low"] is summary["afd_over_ep_high"] is None
    assert summary["probability_afd_wins"] == 0
    assert not summary["too_close_to_call"]


def test_validate_lists_pairs_and_coverage() -> None:
    signs = ask("validate")["summary"]["sign_test"]
    assert signs["n"] == len(signs["pairs"]) >= 5
    assert signs["noise"] == 0.17
    for pair in signs["pairs"]:
        assert pair["beyond_noise"] == (pair["measured_margin"] > 0.17)
        assert isinstance(pair["same_sign"], bool)
        assert pair["low_without_source"] < pair["high_without_source"]
    model = signs["ratio_model"]
    coverage = model["coverage"]
    inside = [
        pair["low_without_source"] <= pair["measured_ratio"] <= pair["high_without_source"]
        for pair in signs["pairs"]
    ]
    assert coverage["covered"] == sum(inside)
    assert coverage["low"] <= coverage["share"] <= coverage["high"]
    assert sum(source["pairs"] for source in model["sources"]) == signs["n"]


def test_terms_are_explained() -> None:
    for term in ("probability_afd_wins", "too_close_to_call", "afd_over_ep_low", "binomial_interval"):
        assert ask("explain", term)["summary"]["formula"]


def test_the_curve_carries_the_band(tmp_path: Path) -> None:
    saved = tmp_path / "curve.json"
    small = (*QUESTION[:-1], "32", "--tpot-range", "40:60")
    command("plot", "afd-vs-ep", *small, "--output", str(saved))
    layers = json.loads(saved.read_text(encoding="utf-8"))["layer"]
    areas = [layer for layer in layers if layer["mark"]["type"] == "area"]
    assert len(areas) == 2  # of EP its own error, of AFD that of the ratio
    for area in areas:
        assert area["encoding"]["y"]["field"] == "low"
        assert area["encoding"]["y2"]["field"] == "high"
