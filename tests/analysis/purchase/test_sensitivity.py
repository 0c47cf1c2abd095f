"""Which inputs move the answer: ranges, swings, break-evens that flip, samples that repeat."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.sensitivity import (
    FAR,
    METRICS,
    NEAR,
    RATIO,
    Rates,
    draws,
    elasticity,
    sensitivity,
)
from roofline_afd.analysis.purchase.sensitivity import _Model as Model
from roofline_afd.analysis.purchase.uncertainty import FASTER, SPREADS, uncertain_inputs, varied
from roofline_afd.catalogue.calibration import OPERATOR_TABLES, record_for
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.repeated import RepeatedSearch
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50, "max_devices": 96}
CLOSE_CALL: dict[str, Any] = {"system": "h20", "model": "kimi-k2", "tpot_ms": 50, "max_devices": 160}
FIXED_KEYS = {"input", "low", "high", "metric_low", "metric_high", "swing", "changes_winner"}


def _rows(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["input"]: row for row in answer.rows() if row.get("other_input") is None}


def _pinned(scenario: Scenario, *free: str) -> dict[str, str]:
    """Return ranges without width for all inputs but some."""
    inputs, _ = uncertain_inputs(scenario)
    return {item.key: "0:0" if item.value == 0 else "0%" for item in inputs if item.key not in free}


@pytest.fixture(scope="module")
def close_call() -> Answer:
    return sensitivity(Scenario(**CLOSE_CALL), samples=40, seed=3)


# --- the search behind it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        H800,
        H800 | {"accept_length": 1.7, "transport": "all"},
        H800 | {"attention_system": "h20", "granularity": "device", "max_devices": 24},
        H800 | {"batch": 64},
        {"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 30, "max_devices": 96},
    ],
)
def test_a_repeated_search_finds_what_a_search_finds(question: dict[str, Any]) -> None:
    """Whatever the inputs are; where they move little the shapes that did well are enough."""
    scenario = Scenario(**question)
    inputs, _ = uncertain_inputs(scenario)
    first = {mode: search(Deployments(scenario, mode)) for mode in (EP, AFD)}
    again = {
        share: {mode: RepeatedSearch(found, share=share) for mode, found in first.items()}
        for share in (NEAR, FAR)
    }
    questions = [(NEAR, values) for values in draws(inputs, 4, seed=1)]
    for key, factor in (("memory_gb_per_s", 0.25), ("memory_gb", 0.5), ("scale_up_gb_per_s", 8.0)):
        value = scenario.system.quantities[key].value * factor
        questions.append((FAR, {key: value}))
    for share, values in questions:
        other = varied(scenario, inputs, values)
        found = [again[share][mode].rate(Deployments(other, mode)) for mode in (EP, AFD)]
        assert found == pytest.approx(rates(other), rel=1e-9), values


# --- inputs and their ranges -------------------------------------------------------------------------------


def test_ranges_follow_from_kinds() -> None:
    """A kind, an option, or the error of a record sets the range; no range leaves the bounds."""
    inputs = {item.key: item for item in uncertain_inputs(Scenario(**H800))[0]}
    memory = inputs["memory_gb_per_s"]
    off = SPREADS[memory.kind].amount
    assert (memory.low, memory.high) == pytest.approx((memory.value * (1 - off), memory.value * (1 + off)))
    fitted = inputs["h800.gemm.compute_efficiency"]
    assert fitted.high / fitted.value - 1 == pytest.approx(0.05928)
    assert "held-out error of [gemm] in calibration record h800" in fitted.uncertainty
    guessed = inputs["h800.attention.memory_efficiency"]
    assert (guessed.low, guessed.high) == pytest.approx((0.9 * 0.7, 1.0))
    assert (inputs["sigma_ep"].low, inputs["sigma_ep"].high) == (0.85, 1.0)
    assert (inputs["gap_ms"].low, inputs["gap_ms"].high) == (0.0, 1.0)
    assert "accept_length" not in inputs  # nothing is drafted
    assert not {"tpot_ms", "top_k", "layers", "devices_per_node"} & set(inputs)
    for item in inputs.values():
        assert item.least <= item.low <= item.value <= item.high <= item.most, item.key


def test_inputs_of_the_question() -> None:
    """Parts never measured are estimates; nominal links rest on a convention; drafts bound the accepted."""
    b200 = {item.key: item for item in uncertain_inputs(Scenario(system="b200", model="step-3"))[0]}
    assert b200["default.gemm.launch_us"].kind == "estimated"
    assert "h800.gemm.launch_us" not in b200
    h100 = {item.key: item for item in uncertain_inputs(Scenario(system="h100", model="step-3"))[0]}
    assert h100["h800.gemm.launch_us"].kind == "estimated"  # alike, not measured
    nominal = {item.key for item in uncertain_inputs(Scenario(**H800 | {"links": "nominal"}))[0]}
    assert "scale_out_efficiency" in nominal
    assert not any(".link." in key or "slowdown" in key for key in nominal)
    drafted = {item.key: item for item in uncertain_inputs(Scenario(**H800 | {"accept_length": 1.98}))[0]}
    assert drafted["accept_length"].high == 2.0
    pair = {item.key for item in uncertain_inputs(Scenario(**H800 | {"attention_system": "h20"}))[0]}
    assert {"memory_gb_per_s", "attention_system.memory_gb_per_s", "h20.gemm.launch_us"} <= pair


def test_values_reach_the_question() -> None:
    """Each input changes the number it names, on every side that has it, and nothing else."""
    scenario = Scenario(**H800 | {"attention_system": "h20", "accept_length": 1.7})
    inputs, _ = uncertain_inputs(scenario)
    values = {
        "memory_gb_per_s": 3000.0,
        "attention_system.memory_gb_per_s": 3500.0,
        "h20.gemm.launch_us": 1.0,
        "service.other_us": 2.0,
        "accept_length": 1.5,
        "context": 5000.0,
    }
    other = varied(scenario, inputs, values)
    assert other.system.accelerator.memory_bytes_per_s == 3000e9
    assert other.side("ffn").accelerator.memory_bytes_per_s == 3000e9
    assert other.side("attention").accelerator.memory_bytes_per_s == 3500e9
    deployments = Deployments(other, AFD)
    layers = deployments.layers("pair")
    assert layers.calibration("attention").gemm.launch_s == pytest.approx(1e-6)
    assert (
        layers.calibration("ffn").gemm.launch_s
        == Deployments(scenario, EP).layers("pair").calibration("ffn").gemm.launch_s
    )
    assert deployments.constants.other_s == pytest.approx(2e-6)
    assert (other.accept_length, other.context, other.query_tokens) == (1.5, 5000, 2)
    assert Deployments(scenario, AFD).constants.other_s > 5e-6  # the question is left alone


def test_values_set_by_the_user() -> None:
    system = load_system("h800", overrides={"scale_out_gb_per_s": 100})
    (item,) = (
        item
        for item in uncertain_inputs(Scenario(**H800 | {"system": system}))[0]
        if item.key == "scale_out_gb_per_s"
    )
    assert (item.value, item.kind) == (100, "given")


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("contxt", "10%", "'contxt' is no uncertain input; did you mean 'context'"),
        ("fp8_tflop", "10%", "did you mean 'fp8_tflops'"),
        ("top_k", "10%", "'top_k' is no uncertain input"),
        ("context", "10", "'10' is no range: write 10% or low:high"),
        ("context", "100%", "must be at least 0 % and below 100 %"),
        ("context", "-5%", "must be at least 0 % and below 100 %"),
        ("context", "5000:4000", "is reversed"),
        ("context", "5000:6000", "must hold the value itself, 4096"),
        ("context", "4000.5:6000", "write whole numbers"),
        ("sigma_ep", "0.5:1.5", "must lie from 0.001 to 1"),
        ("gap_ms", "10%", "a share of 0 is 0: write low:high"),
        ("memory_gb_per_s", "0:4000", "must lie above 0"),
        ("memory_gb_per_s", "a:b", "'a' is not a number in GB/s"),
        ("h800.gemm.compute_efficiency", "0.5:1.1", "must lie above 0 to 1"),
        ("h800.gemm.compute_eficiency", "10%", "did you mean 'h800.gemm.compute_efficiency'"),
    ],
)
def test_bad_ranges(key: str, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        uncertain_inputs(Scenario(**H800), {key: text})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- one input at a time -----------------------------------------------------------------------------------


def test_rows_are_searches_of_changed_questions(close_call: Answer) -> None:
    """The metric at an end is what a full search finds there; rows come by swing."""
    scenario = Scenario(**CLOSE_CALL)
    rows = _rows(close_call)
    inputs, _ = uncertain_inputs(scenario)
    assert set(rows) == {item.key for item in inputs}
    swings = [row["swing"] for row in rows.values()]
    assert swings == sorted(swings, reverse=True)
    for key in [*list(rows)[:3], "context", "gap_ms"]:
        row = rows[key]
        assert set(row) >= FIXED_KEYS
        for end in ("low", "high"):
            ep, afd = rates(varied(scenario, inputs, {key: row[end]}))
            assert row[f"metric_{end}"] == pytest.approx(afd / ep, rel=1e-9), (key, end)
            assert row[f"winner_{end}"] == (AFD if afd > ep else EP)
        found = [row["metric_low"], row["metric_value"], row["metric_high"]]
        assert row["swing"] == pytest.approx(max(found) - min(found))
        assert row["changes_winner"] == any(
            row[f"winner_{end}"] != close_call.summary["winner"] for end in ("low", "high")
        )


def test_break_even_values_flip_the_winner(close_call: Answer) -> None:
    """Put in, each makes the other mode win; the nearest is the one the answer names."""
    scenario = Scenario(**CLOSE_CALL)
    inputs, _ = uncertain_inputs(scenario)
    found = {key: row for key, row in _rows(close_call).items() if row["break_even"] is not None}
    assert len(found) > 5
    for key, row in found.items():
        ep, afd = rates(varied(scenario, inputs, {key: row["break_even"]}))
        assert (AFD if afd > ep else EP) != close_call.summary["winner"], key
        item = next(each for each in inputs if each.key == key)
        assert item.least <= row["break_even"] <= item.most
        if row["changes_winner"]:
            assert item.low <= row["break_even"] <= item.high
    nearest = close_call.summary["nearest_break_even"]
    assert nearest["input"] in found
    assert f"{nearest['break_even']:.4g}" in close_call.summary["answer"]
    context = found.get("context")
    assert context is None or float(context["break_even"]).is_integer()


def test_a_range_without_width_moves_nothing_and_a_wider_one_no_less() -> None:
    scenario = Scenario(**H800)
    keys = ("scale_out_gb_per_s", "h800.gemm.memory_efficiency")
    swings = []
    for text in ("0%", "5%", "20%"):
        given = _pinned(scenario) | dict.fromkeys(keys, text)
        rows = _rows(sensitivity(scenario, uncertainty=given, metric=EP, samples=0))
        swings.append([rows[key]["swing"] for key in keys])
    assert swings[0] == [0, 0]
    for narrow, wide in itertools.pairwise(swings):
        assert all(one <= other for one, other in zip(narrow, wide, strict=True))
    assert all(value > 0 for value in swings[-1])
    given = _pinned(scenario) | {"context": "4096:4096"}
    same = _rows(sensitivity(scenario, uncertainty=given, samples=0))["context"]
    assert (same["low"], same["high"], same["swing"]) == (4096, 4096, 0)


def test_an_end_where_a_mode_drops_out() -> None:
    """It has no ratio there and no swing, comes first, and changes the winner if the other was it."""
    scenario = Scenario(**H800 | {"max_devices": 512})
    given = _pinned(scenario, "context") | {"tpot_ms": "17:60"}
    answer = sensitivity(scenario, uncertainty=given, samples=0)
    row = answer.rows()[0]
    assert row["input"] == "tpot_ms"
    assert row["metric_low"] is None
    assert row["swing"] is None
    assert (row["winner_low"], row["changes_winner"]) == ("afd", True)
    assert 17 <= row["break_even"] < 50
    assert any("at an end of their range" in note for note in answer.notes)
    assert "infeasible" in answer.summary["answer"]


def test_elasticities_add_up() -> None:
    """At fixed deployments all rates times k and all times over k is k times the tokens (Euler)."""
    scenario = Scenario(**H800 | {"gap_ms": 5.0, "links": "calibrated"})
    inputs, _ = uncertain_inputs(scenario)
    model = Model(scenario, inputs)
    slopes = {item.key: elasticity(model, item, EP) for item in inputs}
    faster = ("bf16_tflops", "fp8_tflops", "memory_gb_per_s", "scale_up_gb_per_s", "scale_out_gb_per_s")
    fixed = [key for key in slopes if key.endswith(("launch_us", "depth_ns", "other_us"))]
    fixed += [key for key in slopes if ".latency_" in key and key.endswith("_us")]
    total = sum(slopes[key] or 0.0 for key in faster) - sum(slopes[key] or 0.0 for key in (*fixed, "gap_ms"))
    assert total == pytest.approx(1.0, abs=2e-3)
    best = model.sides[EP].found.best
    assert best is not None
    step = float(np.asarray(Deployments(scenario, EP).step(best).time))
    assert slopes["gap_ms"] == pytest.approx(-5e-3 / step, rel=1e-3)
    assert slopes["memory_gb"] == 0
    assert all((slope or 0) >= -1e-9 for key, slope in slopes.items() if key.rpartition(".")[2] in FASTER)


@pytest.mark.parametrize(
    ("system", "model"), [("h800", "deepseek-v3"), ("h20", "qwen3-235b-a22b"), ("gb200-nvl72", "kimi-k2")]
)
def test_elasticities_are_the_derivatives(system: str, model: str) -> None:
    """Without overlap a step is a sum of operators, whose times have derivatives that can be written down."""
    scenario = Scenario(system=system, model=model, microbatches=1, gap_ms=3.0, max_devices=64)
    inputs, _ = uncertain_inputs(scenario)
    known = Model(scenario, inputs)
    best = known.sides[EP].found.best
    assert best is not None
    deployments = Deployments(scenario, EP)
    step = float(np.asarray(deployments.step(best).time))
    slopes = {"gap_ms": -3e-3}
    timed = 3e-3

    def add(key: str, seconds: float) -> None:
        slopes[key] = slopes.get(key, 0.0) + seconds

    part, catalogue = deployments.attention.accelerator, Catalogue()
    peaks = part.peak_flop_per_s
    default = catalogue.record("calibration", "default").data
    travelling = [
        table
        for table in OPERATOR_TABLES
        if "balance_flop_per_byte" in default[table]
        and not any(record_for(table, part.id, key, catalogue=catalogue) for key in ("accelerators", "alike"))
    ]
    for item in deployments.operators(best):
        count = float(item.layers * np.asarray(deployments.in_service(item)))
        time = float(np.asarray(item.time)) * count
        timed += time
        told = {key: float(np.asarray(value)) for key, value in item.arguments.items()}
        if not told:
            add("other_us", -time)
            continue
        if item.side == "network":
            inside = told["scale_up_bytes"] / told["scale_up"]
            outside = told["scale_out_bytes"] * told["slowdown"] / told["scale_out"]
            key = "scale_up_gb_per_s" if inside > outside else "scale_out_gb_per_s"
            add(key, max(inside, outside) * count)
            continue
        ramp = 1 + told["half_saturation_tokens"] / told["tokens"]
        computing = told["flops"] * ramp / (told["peak"] * told["compute_efficiency"])
        moving = told["bytes_moved"] / (told["memory_bandwidth"] * told["memory_efficiency"])
        if moving > computing:
            add("memory_gb_per_s", moving * count)
        else:
            peak = next(name for name in ("fp8", "bf16") if peaks[name] == told["peak"])
            add(f"{peak}_tflops", computing * count)
            add(f"{item.efficiency}.compute_efficiency", computing * count)
            if item.efficiency in travelling:  # half saturation goes with the operations per byte
                ramping = computing * (1 - 1 / ramp)
                add("memory_gb_per_s", ramping * count)
                add("fp8_tflops", -ramping * count)
        add(f"{item.efficiency}.launch_us", -told["launch"] * count)
        add(f"{item.efficiency}.depth_ns", -told["depth"] * told["depth_time"] * count)
    assert timed == pytest.approx(step, rel=1e-9)
    found = {
        (item.key if item.key in slopes else item.key.partition(".")[2]): elasticity(known, item, EP)
        for item in inputs
    }
    smooth = {key: value for key, value in found.items() if value is not None and key in slopes}
    assert len(smooth) >= 8
    for key, value in smooth.items():
        assert value == pytest.approx(slopes[key] / step, rel=2e-4, abs=1e-7), key


def test_elasticity_of_tokens_accepted_is_one() -> None:
    scenario = Scenario(**H800 | {"accept_length": 1.7, "max_devices": 48})
    inputs, _ = uncertain_inputs(scenario)
    (item,) = (item for item in inputs if item.key == "accept_length")
    assert elasticity(Model(scenario, inputs), item, AFD) == pytest.approx(1.0, rel=1e-6)


# --- pairs and samples -------------------------------------------------------------------------------------


def test_pairs() -> None:
    """Each pair once, at its four corners; what exceeds the sum of both alone is the interaction."""
    scenario = Scenario(**CLOSE_CALL)
    free = ("fp8_tflops", "scale_out_gb_per_s", "service.communication_slowdown")
    answer = sensitivity(scenario, pairs=3, samples=0, uncertainty=_pinned(scenario, *free))
    single = _rows(answer)
    pairs = [row for row in answer.rows() if row.get("other_input")]
    assert len(pairs) == 3
    top = set(list(single)[:3])
    inputs, _ = uncertain_inputs(scenario)
    for row in pairs:
        one, other = row["input"], row["other_input"]
        assert {one, other} <= top
        ep, afd = rates(varied(scenario, inputs, {one: row["low"], other: row["other_high"]}))
        assert row["metric_low_high"] == pytest.approx(afd / ep)
        extra = []
        for name, at, beside in (
            ("metric_low", "low", "low"),
            ("metric_high", "high", "high"),
            ("metric_low_high", "low", "high"),
            ("metric_high_low", "high", "low"),
        ):
            alone = single[one][f"metric_{at}"] + single[other][f"metric_{beside}"] - row["metric_value"]
            extra.append(row[name] - alone)
        assert row["interaction"] == pytest.approx(max(extra, key=abs))
        assert row["only_together"] == (
            row["changes_winner"] and not (single[one]["changes_winner"] or single[other]["changes_winner"])
        )


def test_samples_repeat_and_hold_the_answer(close_call: Answer) -> None:
    """One seed, one answer; intervals hold what was found without uncertainty; wins are a share."""
    summary = close_call.summary
    for key, interval in summary["intervals"].items():
        assert interval["low"] <= summary[key] <= interval["high"], key
        assert interval["low"] <= interval["median"] <= interval["high"]
        assert interval["feasible_share"] == 1
    assert 0.2 < summary["probability_afd_wins"] < 1
    scenario = Scenario(**CLOSE_CALL)
    given = _pinned(scenario, "fp8_tflops", "context")
    one, same, other = (
        sensitivity(scenario, samples=20, seed=seed, uncertainty=given).summary for seed in (3, 3, 4)
    )
    assert one == same
    assert one["intervals"] != other["intervals"]


def test_samples_that_nothing_serves_are_told() -> None:
    """The probability counts samples that either mode serves, and the sentence says of how many."""
    scenario = Scenario(system="b200", model="deepseek-v3", tpot_ms=13, max_devices=64)
    answer = sensitivity(scenario, metric=AFD, samples=40, break_evens=0)
    summary = answer.summary
    assert 0 < summary["feasible_samples"] < 40
    assert f"of the {summary['feasible_samples']} of 40 samples that either serves" in summary["answer"]
    assert any(f"in {40 - summary['feasible_samples']} samples neither" in note for note in answer.notes)
    assert all(row["break_even"] is None for row in answer.rows())
    assert any("of the 0 inputs" in note for note in answer.notes)


def test_clear_cases_are_certain() -> None:
    h800 = Scenario(**H800)
    ep = sensitivity(h800, samples=20, uncertainty=_pinned(h800, "context", "memory_gb_per_s")).summary
    assert (ep["winner"], ep["probability_afd_wins"]) == (EP, 0)
    scenario = Scenario(**CLOSE_CALL)
    afd = sensitivity(scenario, samples=20, uncertainty=_pinned(scenario)).summary
    assert (afd["winner"], afd["probability_afd_wins"]) == (AFD, 1)
    for key, interval in afd["intervals"].items():
        assert interval["low"] == interval["high"] == afd[key]
    assert "no input moves" in afd["answer"]


def test_draws() -> None:
    """Within their ranges, whole where they count; what was fitted together is off together."""
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
    assert abs(related("h800.gemm.compute_efficiency", "h800.attention.compute_efficiency")) < 0.25
    assert abs(related("memory_gb_per_s", "fp8_tflops")) < 0.25


def test_metrics() -> None:
    scenario = Scenario(**H800 | {"max_devices": 48})
    ep, afd = rates(scenario)
    expected = {RATIO: afd / ep, EP: ep, AFD: afd, "best": max(ep, afd)}
    for metric in METRICS:
        summary = sensitivity(scenario, metric=metric, samples=0, uncertainty=_pinned(scenario)).summary
        assert summary["metric_value"] == pytest.approx(expected[metric])
        assert summary["probability_afd_wins"] is None
        assert summary["intervals"] is None


def test_leads() -> None:
    assert Rates(2.0, 1.0).lead == pytest.approx(-math.log(2))
    assert Rates(0.0, 1.0).lead == math.inf
    assert Rates(1.0, 0.0).lead == -math.inf
    assert math.isnan(Rates(0.0, 0.0).lead)
    assert Rates(0.0, 0.0).winner is None
    assert Rates(1.0, 1.0).winner == EP


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metric": "afd_over_epp"}, "did you mean 'afd_over_ep'"),
        ({"samples": 5}, "--samples 5 must be a whole number from 20"),
        ({"samples": -1}, "--samples -1 must be"),
        ({"pairs": 99}, "--pairs 99 must be a whole number from 0 to 20"),
        ({"seed": -1}, "--seed -1 must be"),
    ],
)
def test_bad_numbers(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sensitivity(Scenario(**H800), **given)


def test_questions_without_an_answer() -> None:
    """Nothing feasible is a no; so is a ratio where one mode is not, with the metric that has a value."""
    with pytest.raises(InfeasibleError, match="no: EP: binding is latency target"):
        sensitivity(Scenario(**H800 | {"tpot_ms": 2}))
    only_afd = Scenario(**H800 | {"tpot_ms": 17, "max_devices": 512})
    with pytest.raises(InfeasibleError, match=r"AFD / EP has no value: EP: .*; --metric afd has one"):
        sensitivity(only_afd)
    found = sensitivity(only_afd, metric=AFD, samples=0, uncertainty=_pinned(only_afd)).summary
    assert found["winner"] == AFD
    assert found[RATIO] is None
    assert found["answer"].startswith("AFD is ahead. ")
