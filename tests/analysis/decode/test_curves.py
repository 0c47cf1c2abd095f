"""Curves over the latency target: they say what searches one by one say."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd import InfeasibleError, InputError, Scenario
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.curves import MOST_TARGETS, frontier
from roofline_afd.analysis.decode.questions import Frontier
from roofline_afd.analysis.decode.sides import rates
from tests.conftest import ONE_PLAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.answer import Answer

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=160, **ONE_PLAN)
STEP3 = Scenario(system="h800", model="step-3", tpot_ms=50, **ONE_PLAN)


@pytest.fixture(scope="module")
def curve() -> Answer:
    return frontier(Frontier(H800))


def _of(answer: Answer, mode: str) -> list[dict[str, Any]]:
    return [row for row in answer.rows() if row["mode"] == mode]


@pytest.mark.parametrize("mode", ["ep", "afd"])
def test_throughput_grows_with_the_target(curve: Answer, mode: str) -> None:
    rows = _of(curve, mode)
    assert len(rows) >= 10
    for before, after in itertools.pairwise(rows):
        assert before["tpot_limit_ms"] < after["tpot_limit_ms"]
        assert before["tokens_per_s_per_device"] < after["tokens_per_s_per_device"]
    assert all(row["tpot_ms"] <= row["tpot_limit_ms"] * (1 + 1e-9) for row in rows)
    assert all(row["tokens_per_s_per_user"] == pytest.approx(1e3 / row["tpot_ms"]) for row in rows)


def test_the_own_target_is_on_the_curve_and_is_what_compare_finds(curve: Answer) -> None:
    whole = {row["mode"]: row for row in compare(H800).rows()}
    for mode in ("ep", "afd"):
        point = next(row for row in _of(curve, mode) if row["tpot_limit_ms"] == 50)
        for key in ("tokens_per_s_per_device", "n_devices", "batch_per_device", "microbatches"):
            assert point[key] == whole[mode][key]
        assert curve.summary["at_target"][mode] == point


def test_ends_of_a_curve(curve: Answer) -> None:
    """Nothing is feasible just below the first point, and no target gives more than the last."""
    for mode in ("ep", "afd"):
        rows = _of(curve, mode)
        least = curve.summary["least_tpot_ms"][mode]
        assert rows[0]["tpot_limit_ms"] == least
        place = ("ep", "afd").index(mode)
        assert rates(changed(H800, {"tpot_ms": least * 0.999}))[place] == 0
        assert rates(changed(H800, {"tpot_ms": 1e6}))[place] == rows[-1]["tokens_per_s_per_device"]


def test_crossings_lie_between_winners() -> None:
    answer = frontier(Frontier(STEP3))
    crossings = answer.summary["crossings_ms"]
    parts = answer.summary["parts"]
    assert len(parts) == len(crossings) + 1
    assert [part["from_ms"] for part in parts[1:]] == crossings
    for before, after in itertools.pairwise(parts):
        assert before["to_ms"] == after["from_ms"]
        assert (before["winner"], before["only"]) != (after["winner"], after["only"])
        if not before["only"]:
            for factor, winner in ((0.995, before["winner"]), (1.005, after["winner"])):
                ep, afd = rates(changed(STEP3, {"tpot_ms": before["to_ms"] * factor}))
                assert ("afd" if afd > ep else "ep") == winner or abs(math.log(afd / ep)) < 0.01
    assert " is ahead from " in answer.summary["answer"]


def test_asked_targets() -> None:
    answer = frontier(Frontier(H800, targets_ms=[60, 40, 40]))
    assert answer.inputs["targets_ms"] == [40, 60]
    assert {row["tpot_limit_ms"] for row in answer.rows()} == {40, 60}
    assert answer.summary["at_target"] == {}


def test_one_mode_alone() -> None:
    """Between the least latencies of the two, only one of them is drawn, and the answer says so."""
    first = frontier(Frontier(H800)).summary["least_tpot_ms"]
    low, high = sorted(first.values())
    answer = frontier(Frontier(H800, targets_ms=[math.sqrt(low * high)]))
    name = "AFD" if first["afd"] < first["ep"] else "EP"
    assert answer.summary["answer"].startswith(f"Only {name} is feasible")
    assert any("has no feasible deployment at these targets" in note for note in answer.notes)


def test_no_deployment_at_all() -> None:
    with pytest.raises(InfeasibleError, match="no: EP: binding is latency target"):
        frontier(Frontier(H800, targets_ms=[0.5, 1]))
    with pytest.raises(InfeasibleError, match="HBM capacity"):
        frontier(Frontier(Scenario(system="h800", model="deepseek-v3", max_devices=8)))


@pytest.mark.parametrize("targets", [[], ["soon"], [0], [-3], [math.nan], range(1, MOST_TARGETS + 2)])
def test_bad_targets(targets: Sequence[float]) -> None:
    with pytest.raises(InputError, match="--tpot-range"):
        frontier(Frontier(H800, targets_ms=targets))


def test_the_band_is_the_interval_about_afd(curve: Answer) -> None:
    """At each target where both are feasible: AFD's throughput, off as the interval of the ratio has it."""
    band = curve.picture["band"]
    assert band
    rows = {mode: _of(curve, mode) for mode in ("ep", "afd")}
    assert [each["tpot_ms"] for each in band] == sorted({each["tpot_ms"] for each in band})
    for each in band:
        reached = [row for row in rows["afd"] if row["tpot_limit_ms"] <= each["tpot_ms"] * (1 + 1e-9)]
        rate = reached[-1]["tokens_per_s_per_device"]
        assert each["low"] < rate < each["high"]
        assert each["low"] * each["high"] == pytest.approx(rate**2)  # no bias: as far by factor
    for low, high in curve.summary["too_close_ms"]:
        assert curve.picture["from_ms"] <= low <= high <= curve.picture["to_ms"]
    said = curve.summary["answer"]
    assert ("too close to call from" in said or "too close to call at" in said) == bool(
        curve.summary["too_close_ms"]
    )


def test_the_own_target_has_its_odds(curve: Answer) -> None:
    """What the sentence says at the question's own target is what `compare` says."""
    summary = compare(H800).summary
    span = f"{summary['afd_over_ep_low']:.2f} to {summary['afd_over_ep_high']:.2f}"
    assert f"AFD / EP {summary['afd_over_ep']:.2f}, 80 % interval {span}" in curve.summary["answer"]
