"""How sure a ranking is: neighbours, and both modes of the best system, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from roofline_afd.analysis.purchase.odds import doubts_of, other_mode_words
from roofline_afd.catalogue.ratio_error import RatioError
from tests.analysis.purchase.conftest import DEMAND, RENT, asked, procure

ERROR = RatioError(spread=0.1, bias=0.0, degrees=2, estimated_error=0.3)
LEVEL = 0.08


def _row(rank: int, system: str, mode: str, cost: float | None, *, devices: int = 8) -> dict[str, Any]:
    return {
        "rank": rank,
        "system": system,
        "mode": mode,
        "usd_per_million_tokens": cost,
        "n_devices_sold": devices,
        "feasible": True,
        "estimated_share": 0.0,
    }


def test_modes_by_the_ratio_and_systems_by_the_level() -> None:
    """A AFD 1.00, a EP 1.05, b EP 1.10, b AFD 2.20, and c without a cost.

    AFD over EP of a is 1.05: t = ln(1.05)/0.1 = 0.4879, P = 1/2 + 0.4879/(2*sqrt(2 + 0.238)) = 0.6631. Of b
    it is 1/2: t = -6.931, P = 0.0101. b costs 4.8 % more than a, within 8 %.
    """
    rows = [
        _row(1, "a", "afd", 1.0),
        _row(2, "a", "ep", 1.05),
        _row(3, "b", "ep", 1.1),
        _row(4, "b", "afd", 2.2),
        _row(5, "c", "ep", None),
        _row(6, "d", "ep", None, devices=9) | {"feasible": False},
    ]
    found = doubts_of(rows, ERROR, level_error=LEVEL, basis="device")
    assert found.ratio == pytest.approx(1.05)
    keys = found.keys()
    assert keys["probability_afd_wins"] == pytest.approx(0.6631, abs=2e-4)
    assert keys["too_close_to_call"]
    assert [each["too_close_to_call"] for each in found.neighbours] == [True, True, False, False]
    chances = [each["probability_cheaper"] for each in found.neighbours]
    assert chances[0] == pytest.approx(0.6631, abs=2e-4)  # AFD is ranked before EP
    assert chances[1] is None  # two systems: the error of levels
    t = math.log(0.5) / 0.1
    assert chances[2] == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t * t)), abs=1e-9)
    assert chances[3] is None
    assert found.neighbours[3]["cost_ratio"] is None
    words = other_mode_words(rows, found)
    assert words == "; with EP it costs 5% more (AFD ahead with probability 0.66, too close to call)"


def test_without_prices_devices_decide_and_a_pair_has_no_odds() -> None:
    rows = [_row(1, "a", "ep", None, devices=16), _row(2, "a", "afd", None, devices=32)]
    found = doubts_of(rows, ERROR, level_error=LEVEL, basis="wall")
    assert found.ratio == 0.5
    assert found.keys()["basis"] == "wall"
    assert other_mode_words(rows, found).startswith("; with AFD it takes 100% more devices (EP ahead with")
    alone = [_row(1, "h20+h800", "afd", 1.0), _row(2, "a", "ep", 1.5)]
    found = doubts_of(alone, ERROR, level_error=LEVEL, basis="device")
    assert found.ratio is found.keys()["probability_afd_wins"] is None
    assert other_mode_words(alone, found) == ""


def test_the_answer_tells_them() -> None:
    """Every two neighbours are in the summary, and the other mode of the best in the sentence."""
    answer = procure(
        asked("h800", "h20"), demand=DEMAND, prices={name: RENT[name] for name in ("h800", "h20")}
    )
    feasible = [row for row in answer.rows() if row["feasible"]]
    summary = answer.summary
    assert len(summary["neighbours"]) == len(feasible) - 1
    for each, first, second in zip(summary["neighbours"], feasible, feasible[1:], strict=False):
        assert (each["system"], each["next_system"]) == (first["system"], second["system"])
        assert each["cost_ratio"] >= 1
        assert (each["probability_cheaper"] is None) == (first["system"] != second["system"])
    assert "ahead with probability" in summary["answer"]
