"""How sure the order of serving modes is."""

from __future__ import annotations

from roofline_afd.analysis.decode.verdict import odds_of
from roofline_afd.analysis.requests.explore import explore
from roofline_afd.analysis.requests.questions import Exploration
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.scenario import Scenario

RATE = "tokens_per_s_per_device"


def test_the_best_with_afd_against_the_best_without() -> None:
    """Ratio, odds and the modes that may be ahead follow from the best of each mode."""
    scenario = Scenario(system="h800", model="qwen3-30b-a3b", devices=16)
    summary = explore(Exploration(scenario, workload="chat")).summary
    rates = {mode: row[RATE] for mode, row in summary["best_by_mode"].items() if row}
    with_afd = max(rate for mode, rate in rates.items() if mode.endswith("afd"))
    without = max(rate for mode, rate in rates.items() if not mode.endswith("afd"))
    assert summary["afd_over_ep"] == with_afd / without
    error = load_ratio_error(Catalogue())
    odds = odds_of(error, ratio=with_afd / without, estimated_share=summary["estimated_share"])
    assert summary["probability_afd_wins"] == odds.probability
    assert (summary["afd_over_ep_low"], summary["afd_over_ep_high"]) == (odds.low, odds.high)
    assert summary["too_close_to_call"] == odds.close
    best = summary["best_under_slo"]["mode"]
    level = load_service_constants(Catalogue()).validated_error
    for mode, rate in rates.items():
        if mode == best:
            assert mode not in summary["too_close_to"]
        elif mode.endswith("afd") == best.endswith("afd"):
            close = 1 - rate / rates[best] <= level
            assert (mode in summary["too_close_to"]) == close
            assert summary["too_close_to"].get(mode) is None
        elif mode in summary["too_close_to"]:
            assert 0.2 < summary["too_close_to"][mode] <= 0.5
    assert ("too close to call" in summary["answer"]) == bool(summary["too_close_to"])
    assert odds.words in summary["answer"]


def test_one_family_alone_has_no_odds() -> None:
    scenario = Scenario(system="h800", model="qwen3-30b-a3b", devices=16)
    summary = explore(Exploration(scenario, workload="chat", modes=["agg", "pd"])).summary
    assert summary["afd_over_ep"] is summary["probability_afd_wins"] is None
    assert not summary["too_close_to_call"]
