"""What inputs change: metrics before and after, what binds, who wins, and the value at which that flips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd.analysis.decode.changes import changed, value_of
from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.questions import WhatIf
from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.decode.what_if import METRICS, what_if
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50, "max_devices": 64}


def _rows(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in answer.rows()}


def test_metrics_are_those_of_two_comparisons() -> None:
    """Before and after are what `compare` says of each question; change is the difference."""
    scenario = Scenario(**H800)
    answer = what_if(WhatIf(scenario, {"tpot_ms": 100}))
    rows = _rows(answer)
    both = [compare(each) for each in (scenario, Scenario(**H800 | {"tpot_ms": 100}))]
    for key, side in (("before", both[0]), ("after", both[1])):
        assert rows["afd_over_ep"][key] == pytest.approx(side.summary["afd_over_ep"])
        for row in side.rows():
            flat = {**row, **row["breakdown"]}
            for metric in METRICS:
                if flat.get(metric) is not None:
                    assert rows[f"{row['mode']}.{metric}"][key] == pytest.approx(flat[metric]), metric
        assert answer.summary[f"winner_{key}"] == side.summary["winner"]
        winner = next(row for row in side.rows() if row["mode"] == side.summary["winner"])
        assert winner["binding"] in answer.summary[f"binding_{key}"]
    assert len(rows) == 1 + 2 * len(METRICS) - 2  # groups are of AFD alone
    for row in rows.values():
        assert row["change"] == pytest.approx(row["after"] - row["before"])
        assert row["change_fraction"] == pytest.approx(row["after"] / row["before"] - 1)


def test_what_binds_before_and_after() -> None:
    """Without a latency that matters memory binds, and the summary says both."""
    summary = what_if(WhatIf(Scenario(**H800 | {"max_devices": 256}), {"tpot_ms": 1000})).summary
    assert summary["binding_before"].startswith("latency target")
    assert summary["binding_after"].startswith("HBM capacity")
    assert summary["winner_flips"] == (summary["winner_before"] != summary["winner_after"])
    assert "tpot_ms from 50 to 1000" in summary["answer"]


FLIPS: dict[str, tuple[dict[str, Any], str, float]] = {
    "latency": ({"system": "h20", "model": "kimi-k2", "tpot_ms": 40}, "tpot_ms", 100),
    "latency of coarse experts": ({"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 40}, "tpot_ms", 60),
    "other transports": (
        {"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 40, "max_devices": 72, "transport": "all"},
        "tpot_ms",
        60,
    ),
    "memory": ({"system": "gb200-nvl72", "model": "deepseek-v3", "tpot_ms": 50}, "memory_gb", 40),
    "context beyond": ({"system": "h800", "model": "step-3", "tpot_ms": 50}, "context", 32768),
    "sparsity beyond": ({"system": "gb200-nvl72", "model": "deepseek-v3", "tpot_ms": 50}, "top_k", 4),
    "sparsity the other way": ({"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 40}, "top_k", 16),
}


@pytest.mark.parametrize("name", FLIPS)
def test_break_even(name: str) -> None:
    """At the value named AFD and EP are within 1 % of each other, or winners differ 1 % on either side."""
    question, key, value = FLIPS[name]
    scenario = Scenario(**{"max_devices": 72, **question})
    summary = what_if(WhatIf(scenario, {key: value})).summary
    flip = summary["break_even"]
    assert flip is not None
    assert flip["input"] == key
    assert flip["value"] is not None, flip
    start = value_of(scenario, key)
    assert start is not None
    inside = min(start, value) <= flip["value"] <= max(start, value)
    assert inside == summary["winner_flips"]
    whole = key in {"context", "top_k"}
    step = max(1, round(flip["value"] * 0.01)) if whole else flip["value"] * 0.01
    ratios = []
    for tried in (flip["value"] - step, flip["value"], flip["value"] + step):
        ep, afd = rates(changed(scenario, {key: round(tried) if whole else tried}))
        ratios.append(afd / ep)
    below, at, above = ratios
    assert abs(at - 1) <= 0.01 or (below > 1) != (above > 1), ratios


def test_no_break_even() -> None:
    """Where no winner flips the note says how far was looked; words and several changes have none."""
    flip = what_if(WhatIf(Scenario(**H800), {"scale_out_gb_per_s": 100})).summary["break_even"]
    assert flip["value"] is None
    assert "does not flip for scale_out_gb_per_s" in flip["note"]
    assert what_if(WhatIf(Scenario(**H800), {"transport": "rank"})).summary["break_even"] is None
    several = what_if(WhatIf(Scenario(**H800), {"tpot_ms": 80, "context": 8192})).summary
    assert several["break_even"] is None
    assert set(several["changes"]) == {"tpot_ms", "context"}


def test_several_changes_at_once() -> None:
    """All of them, options and catalogue values of both kinds, in any spelling."""
    changes: dict[str, float | str] = {
        "--tpot-ms": "80",
        "accept-length": 1.7,
        "context": "8192",
        "scale_out_gb_per_s": "800 Gb/s",
        "top_k": 4,
        "attention_system": "h20",
    }
    other = changed(Scenario(**H800), changes)
    assert (other.tpot_ms, other.accept_length, other.context) == (80, 1.7, 8192)
    assert isinstance(other.context, int)
    assert other.system.quantities["scale_out_gb_per_s"].value == 100
    assert other.model.top_k == 4
    assert other.side("attention").id == "h20"
    before, after = rates(Scenario(**H800)), rates(other)
    rows = _rows(what_if(WhatIf(Scenario(**H800), changes)))
    assert rows["ep.tokens_per_s_per_device"]["before"] == pytest.approx(before[0])
    assert rows["afd.tokens_per_s_per_device"]["after"] == pytest.approx(after[1])


def test_whole_numbers_stay_whole() -> None:
    """A count given as text is one; half a token is refused; a break-even of counts is a whole number."""
    assert changed(Scenario(**H800), {"batch": "64"}).batch == 64
    assert isinstance(changed(Scenario(**H800), {"draft_tokens": "2"}).draft_tokens, int)
    with pytest.raises(InputError, match=r"context 4096.5 must be a whole number"):
        changed(Scenario(**H800), {"context": "4096.5"})
    question, key, value = FLIPS["context beyond"]
    flip = what_if(WhatIf(Scenario(**question), {key: value})).summary["break_even"]
    assert float(flip["value"]).is_integer()


def test_nothing_to_say() -> None:
    """No change is a malformed question; a question without an answer, before or after, says which."""
    with pytest.raises(InputError, match="nothing changes"):
        what_if(WhatIf(Scenario(**H800), {}))
    with pytest.raises(InfeasibleError, match="no: before the change: EP: binding is latency target"):
        what_if(WhatIf(Scenario(**H800 | {"tpot_ms": 2}), {"tpot_ms": 50}))
    with pytest.raises(InfeasibleError, match=r"no: after the change: .*HBM capacity"):
        what_if(WhatIf(Scenario(**H800), {"max_devices": 8}))


def test_a_mode_that_drops_out() -> None:
    """Its numbers end with the change: nothing after, no difference, no ratio; the other mode stays."""
    answer = what_if(WhatIf(Scenario(**H800 | {"max_devices": 256}), {"tpot_ms": 11.4}))
    rows = _rows(answer)
    assert rows["afd_over_ep"]["after"] is None
    gone = rows["afd.tokens_per_s_per_device"]
    assert gone["before"] > 0
    assert gone["after"] is gone["change"] is gone["change_fraction"] is None
    assert rows["ep.tokens_per_s_per_device"]["after"] > 0
    assert (answer.summary["winner_before"], answer.summary["winner_after"]) == ("ep", "ep")
    assert "AFD no longer feasible" in answer.summary["answer"]
