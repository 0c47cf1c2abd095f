"""One input at a time and in pairs: rows are searches of changed questions, elasticities derivatives."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.swings import elasticity
from roofline_afd.analysis.purchase.uncertainty import FASTER, uncertain_inputs
from roofline_afd.analysis.purchase.variation import Variation, varied
from roofline_afd.catalogue.calibration import choose
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import (
    AFD_AHEAD,
    CLOSE_CALL,
    H800,
    ONLY_EP_MS,
    moved,
    pinned,
    singles_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.timing import Operator

FIXED_KEYS = {"input", "low", "high", "metric_low", "metric_high", "swing", "changes_winner"}


def test_rows_are_searches_of_changed_questions(close_call: Answer) -> None:
    """The metric at an end is what a full search finds there; rows come by swing."""
    scenario = Scenario(**CLOSE_CALL)
    rows = singles_of(close_call)
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


def test_a_range_without_width_moves_nothing_and_a_wider_one_no_less() -> None:
    scenario = Scenario(**H800)
    keys = ("scale_out_gb_per_s", "h800.gemm.memory_efficiency")
    swings = []
    for text in ("0%", "5%", "20%"):
        given = pinned(scenario) | dict.fromkeys(keys, text)
        rows = singles_of(moved(scenario, uncertainty=given, metric=EP, samples=0, break_evens=0))
        swings.append([rows[key]["swing"] for key in keys])
    assert swings[0] == [0, 0]
    for narrow, wide in itertools.pairwise(swings):
        assert all(one <= other for one, other in zip(narrow, wide, strict=True))
    assert all(value > 0 for value in swings[-1])
    given = pinned(scenario) | {"context": "4096:4096"}
    same = singles_of(moved(scenario, uncertainty=given, samples=0, break_evens=0))["context"]
    assert (same["low"], same["high"], same["swing"]) == (4096, 4096, 0)


def test_an_end_where_a_mode_drops_out() -> None:
    """It has no ratio there and no swing, comes first, and changes the winner if the other was it."""
    scenario = Scenario(**AFD_AHEAD)
    given = pinned(scenario, "context") | {"tpot_ms": f"{ONLY_EP_MS}:60"}
    answer = moved(scenario, uncertainty=given, samples=0)
    row = answer.rows()[0]
    assert row["input"] == "tpot_ms"
    assert row["metric_low"] is None
    assert row["swing"] is None
    assert (row["winner_low"], row["changes_winner"]) == ("ep", True)
    assert ONLY_EP_MS <= row["break_even"] < 60
    (ep, afd), (later_ep, later_afd) = (
        rates(Scenario(**AFD_AHEAD | {"tpot_ms": row["break_even"] * factor})) for factor in (0.98, 1.02)
    )
    assert (afd > ep) != (later_afd > later_ep)
    assert any("at an end of their range" in note for note in answer.notes)
    assert "infeasible" in answer.summary["answer"]


def test_elasticities_add_up() -> None:
    """At fixed deployments all rates times k and all times over k is k times the tokens (Euler)."""
    scenario = Scenario(**H800 | {"gap_ms": 5.0, "links": "calibrated"})
    inputs, _ = uncertain_inputs(scenario)
    model = Variation(scenario, inputs)
    slopes = {item.key: elasticity(model, item, EP) for item in inputs}
    faster = ("bf16_tflops", "fp8_tflops", "memory_gb_per_s", "scale_up_gb_per_s", "scale_out_gb_per_s")
    times = ("launch_us", "depth_ns", "few_items_us", "cold_us", "pair_ps", "token_ps")
    fixed = [key for key in slopes if key.endswith((*times, "other_us", "router_us"))]
    fixed += [key for key in slopes if ".latency_" in key and key.endswith("_us")]
    total = sum(slopes[key] or 0.0 for key in faster) - sum(slopes[key] or 0.0 for key in (*fixed, "gap_ms"))
    assert total == pytest.approx(1.0, abs=2e-3)
    best = model.sides[EP].found.best
    assert best is not None
    step = float(np.asarray(Deployments(scenario, EP).step(best).time))
    assert slopes["gap_ms"] == pytest.approx(-5e-3 / step, rel=1e-3)
    assert slopes["memory_gb"] == 0
    assert all((slope or 0) >= -1e-9 for key, slope in slopes.items() if key.rpartition(".")[2] in FASTER)


def _slopes(deployments: Deployments, item: Operator, told: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the inputs that the time of an operator of a device depends on, and its derivatives [s]."""
    assert isinstance(item.basis, tuple)
    table = _table(deployments, item)
    ramp = 1 + told.get("half_saturation_tokens", 0.0) / max(told["tokens"], 1e-30)
    filled = told["flops"] * told.get("padding", 1.0) * ramp
    computing = filled / (told["peak"] * told["compute_efficiency"])
    apart = told.get("vector_bytes", 0.0)  # queries and results, by themselves
    if apart:
        yield ("memory_gb_per_s", apart / (told["memory_bandwidth"] * told["vector_efficiency"]))
    moving = (told["bytes_moved"] - apart) / (told["memory_bandwidth"] * told["memory_efficiency"])
    if moving > computing:
        yield ("memory_gb_per_s", moving)
    else:
        peak = next(
            name
            for name in ("fp8", "bf16")
            if deployments.attention.accelerator.peak_flop_per_s[name] == told["peak"]
        )
        yield (f"{peak}_tflops", computing)
        wide = told["compute_efficiency"] == item.basis[1].compute_efficiency_wide
        yield (f"{table}.compute_efficiency" + "_wide" * wide, computing)
    yield (f"{table}.launch_us", -(told["launch"] - item.basis[1].cold_s))
    yield (f"{table}.depth_ns", -told["depth"] * told.get("depth_time", 0.0))
    yield (f"{table}.few_items_us", -told.get("growth", 0.0) * told.get("growth_time", 0.0))


@pytest.mark.parametrize(
    ("system", "model"),
    [
        ("h800", "deepseek-v3"),
        ("h20", "qwen3-235b-a22b"),
        ("gb200-nvl72", "kimi-k2"),
        ("h800", "deepseek-v3.2"),
    ],
)
def test_elasticities_are_the_derivatives(system: str, model: str) -> None:
    """Without overlap a step is a sum of operators, whose times have derivatives that can be written down."""
    scenario = Scenario(system=system, model=model, microbatches=1, gap_ms=3.0, max_devices=64)
    inputs, _ = uncertain_inputs(scenario)
    known = Variation(scenario, inputs)
    best = known.sides[EP].found.best
    assert best is not None
    deployments = Deployments(scenario, EP)
    step = float(np.asarray(deployments.step(best).time))
    slopes = {"gap_ms": -3e-3}
    timed = 3e-3

    def add(key: str, seconds: float) -> None:
        slopes[key] = slopes.get(key, 0.0) + seconds

    for item in deployments.operators(best):
        count = float(item.layers * np.asarray(deployments.in_service(item)))
        time = float(np.asarray(item.time)) * count
        timed += time
        told = {key: float(np.asarray(value)) for key, value in item.arguments.items()}
        if item.side == "network":
            inside = told["scale_up_bytes"] / told["scale_up"]
            outside = told["scale_out_bytes"] * told["slowdown"] / told["scale_out"]
            key = "scale_up_gb_per_s" if inside > outside else "scale_out_gb_per_s"
            add(key, max(inside, outside) * count)
            continue
        if not item.efficiency:  # small kernels: a fixed time, and passes at what products reach of memory
            name = "router_us" if item.name == "router_choice" else "other_us"
            constants = deployments.constants
            fixed = constants.router_s if item.name == "router_choice" else constants.other_s
            add(name, -fixed * count)
            add("memory_gb_per_s", time - fixed * count)
            continue
        for key, seconds in _slopes(deployments, item, told):
            add(key, seconds * count)
    assert timed == pytest.approx(step, rel=1e-9)
    found = {
        (item.key if item.place != "calibration service" else item.key.partition(".")[2]): elasticity(
            known, item, EP
        )
        for item in inputs
    }
    smooth = {key: value for key, value in found.items() if value is not None and key in slopes}
    assert len(smooth) >= 8
    for key, value in smooth.items():
        assert value == pytest.approx(slopes[key] / step, rel=2e-4, abs=1e-7), key


def _table(deployments: Deployments, item: Operator) -> str:
    """Return the record and the table that an operator's efficiencies are of."""
    assert isinstance(item.basis, tuple)
    part = deployments.attention.accelerator.id
    families = deployments.scenario.engine.families
    for form in ("fp8", "bf16", ""):
        choice = choose(item.efficiency, form, part, catalogue=Catalogue(), families=families)
        found = deployments.layers("pair").calibration(item.side).of(item.efficiency, form)
        if found == item.basis[1]:
            return f"{choice.record.id}.{choice.table}"
    raise AssertionError(item.name)


def test_elasticity_of_tokens_accepted_is_one() -> None:
    scenario = Scenario(**H800 | {"accept_length": 1.7, "max_devices": 48})
    inputs, _ = uncertain_inputs(scenario)
    (item,) = (item for item in inputs if item.key == "accept_length")
    assert elasticity(Variation(scenario, inputs), item, AFD) == pytest.approx(1.0, rel=1e-6)


def test_pairs() -> None:
    """Each pair once, at its four corners; what exceeds the sum of both alone is the interaction."""
    scenario = Scenario(**CLOSE_CALL)
    free = ("fp8_tflops", "scale_out_gb_per_s", "service.communication_slowdown")
    answer = moved(scenario, pairs=3, samples=0, uncertainty=pinned(scenario, *free), break_evens=0)
    single = singles_of(answer)
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
