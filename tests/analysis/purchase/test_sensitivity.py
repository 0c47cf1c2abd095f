"""Which inputs move the answer: metrics, and questions that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.questions import METRICS, RATIO
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import AFD_AHEAD, H800, ONLY_EP_MS, moved, pinned


def test_metrics() -> None:
    scenario = Scenario(**H800 | {"max_devices": 48})
    ep, afd = rates(scenario)
    expected = {RATIO: afd / ep, EP: ep, AFD: afd, "best": max(ep, afd)}
    for metric in METRICS:
        summary = moved(scenario, metric=metric, samples=0, uncertainty=pinned(scenario)).summary
        assert summary["metric_value"] == pytest.approx(expected[metric])
        assert 0 < summary["probability_afd_wins"] < 1
        assert summary["probability_afd_wins_sampled"] is None
        assert summary["intervals"] is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metric": "afd_over_epp"}, "did you mean 'afd_over_ep'"),
        ({"samples": 5}, "samples 5 must be a whole number from 20"),
        ({"samples": -1}, "samples -1 must be"),
        ({"pairs": 99}, "pairs 99 must be a whole number from 0 to 20"),
        ({"seed": -1}, "seed -1 must be"),
    ],
)
def test_bad_numbers(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        moved(Scenario(**H800), **given)


def test_questions_without_an_answer() -> None:
    """Nothing feasible is a no; so is a ratio where one mode is not, with the metric that has a value."""
    with pytest.raises(InfeasibleError, match="no: EP: binding is latency target"):
        moved(Scenario(**H800 | {"tpot_ms": 2}))
    only_ep = Scenario(**AFD_AHEAD | {"tpot_ms": ONLY_EP_MS})
    with pytest.raises(InfeasibleError, match=r"AFD / EP has no value: AFD: .*; metric ep has one"):
        moved(only_ep)
    found = moved(only_ep, metric=EP, samples=0, uncertainty=pinned(only_ep)).summary
    assert found["winner"] == EP
    assert found[RATIO] is None
    assert found["answer"].startswith("EP is ahead. ")
