"""Properties of the FFN-stage formulas: limits, monotonicity, scaling, and agreement of rows with regimes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.regimes import DEAD_ZONE, ONE_EXPERT, STABLE_INTENSITY, regimes
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.catalogue.hardware import build_system, load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.physics import roofline as physics
from roofline_afd.physics.budget import stage_budget
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import Scenario

SYSTEMS = {
    name: load_system(name) for name in ("a100", "h800", "h20", "b200", "gb200-nvl72", "cloudmatrix384")
}
MODELS = {
    name: load_model(name)
    for name in (
        "deepseek-v3",
        "kimi-k2",
        "qwen3-235b-a22b",
        "step-3",
        "ernie-4.5-300b",
        "mixtral-8x7b",
        "minimax-m2",
    )
}
RATES = (
    "bf16_tflops",
    "fp8_tflops",
    "int8_tops",
    "memory_gb_per_s",
    "scale_up_gb_per_s",
    "scale_out_gb_per_s",
)

fan_outs = st.sampled_from(["paper", "uniform"])


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Questions over the catalogue, with links, precisions and targets drawn at random."""
    system = SYSTEMS[draw(st.sampled_from(sorted(SYSTEMS)))]
    overrides: dict[str, float] = {
        "scale_up_gb_per_s": draw(st.floats(20, 2000)),
        "scale_out_gb_per_s": draw(st.floats(5, 400)),
    }
    return Scenario(
        system=build_system(system.parts, overrides=overrides),
        model=MODELS[draw(st.sampled_from(sorted(MODELS)))],
        tpot_ms=draw(st.floats(5, 500)),
        accept_length=draw(st.floats(1, 3)),
        microbatches=draw(st.integers(1, 6)),
        attention_devices=draw(st.none() | st.integers(1, 400)),
        fan_out=draw(fan_outs),
        duplex=draw(st.sampled_from(["shared", "full"])),
        combine_precision=draw(st.sampled_from([None, "fp8"])),
    )


def _hfu(scenario: Scenario, **changes: Any) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401
    answer = roofline(Roofline(attrs.evolve(scenario, **changes), ffn_nodes=range(1, 41)))
    return np.asarray(answer.columns["hfu"])


@given(scenarios(), st.floats(1, 100), st.integers(1, 8), st.integers(1, 200))
def test_hfu_does_not_depend_on_width_layers_or_target(
    scenario: Scenario, slower: float, microbatches: int, layers: int
) -> None:
    """Hidden size, layer count, latency target and micro-batches cancel (arXiv 2602.09721, closed form)."""
    before = _hfu(scenario)
    shape = {"layers": layers + scenario.model.moe_layers, "hidden_size": 8192, "dispatch_width": 6144}
    other = load_model(scenario.model.id, overrides=shape)
    after = _hfu(scenario, model=other, tpot_ms=scenario.latency_ms * slower, microbatches=microbatches)
    np.testing.assert_allclose(after, before, rtol=1e-9)


@given(scenarios())
def test_hfu_factors_and_bounds(scenario: Scenario) -> None:
    """HFU = OFU * S_t, HFU and OFU in (0, 1], and HFU is what its closed form says."""
    columns = roofline(Roofline(scenario, ffn_nodes=range(1, 41))).columns
    hfu, ofu, busy = (np.asarray(columns[key]) for key in ("hfu", "ofu", "temporal_sparsity"))
    np.testing.assert_allclose(ofu * busy, hfu, rtol=1e-12)
    assert np.all((hfu > 0) & (hfu <= 1 + 1e-12) & (ofu > 0) & (ofu <= 1 + 1e-12))
    inputs = ffn_stage_inputs(scenario)
    stage = physics.ffn_stage(**inputs.arguments(np.arange(1, 41)))
    closed = physics.closed_form_utilization(
        link_bandwidth=stage.link_bandwidth, compute_bound_bandwidth=inputs.compute_bound_bandwidth
    )
    np.testing.assert_allclose(hfu, closed, rtol=1e-9)


@given(scenarios(), st.sampled_from(["scale_up_gb_per_s", "scale_out_gb_per_s"]), st.floats(1, 10))
def test_hfu_rises_with_bandwidth(scenario: Scenario, key: str, factor: float) -> None:
    """More bandwidth never lowers HFU."""
    value = scenario.system.quantities[key].value
    wider = build_system(scenario.system.parts, overrides={key: value * factor})
    assert np.all(_hfu(scenario, system=wider) >= _hfu(scenario) * (1 - 1e-12))


@given(scenarios(), st.floats(0.1, 10))
def test_all_rates_scaled_scale_all_times(scenario: Scenario, factor: float) -> None:
    """FLOP/s and byte/s times k: times over k, so pairs in a fixed budget times k, and HFU as before."""
    quantities = scenario.system.quantities
    faster = build_system(
        scenario.system.parts,
        overrides={key: quantities[key].value * factor for key in RATES if key in quantities},
    )
    before = roofline(Roofline(scenario, ffn_nodes=range(1, 41))).columns
    after = roofline(Roofline(attrs.evolve(scenario, system=faster), ffn_nodes=range(1, 41))).columns
    for key, power in (("weight_time_us", -1), ("pairs_per_device", 1), ("hfu", 0), ("compute_time_us", 0)):
        np.testing.assert_allclose(np.asarray(after[key]), np.asarray(before[key]) * factor**power, rtol=1e-9)


@given(scenarios())
@settings(max_examples=200)
def test_rows_agree_with_the_analytic_regimes(scenario: Scenario) -> None:
    """The breakpoints, found without sweeping, say what the swept rows do."""
    inputs = ffn_stage_inputs(scenario)
    nodes = np.arange(1, 301)
    answer = roofline(Roofline(scenario, ffn_nodes=nodes))
    edges = regimes(inputs)
    assert edges[0].ffn_nodes_from == 0
    assert edges[-1].ffn_nodes_to == math.inf
    assert all(left.ffn_nodes_to == right.ffn_nodes_from for left, right in itertools.pairwise(edges))
    names = np.array(list(answer.columns["regime"]))
    hfu = np.asarray(answer.columns["hfu"])
    ceiling, floor = answer.summary["hfu_ceiling"], answer.summary["hfu_floor"]
    top = np.isin(names, ["scale-up bound", "compute bound"])
    np.testing.assert_allclose(hfu[top], ceiling, rtol=1e-9)
    flat = names == DEAD_ZONE
    np.testing.assert_allclose(hfu[flat], floor, rtol=1e-9)
    if scenario.attention_devices is None and scenario.fan_out == "paper":
        np.testing.assert_allclose(hfu[names == ONE_EXPERT], floor, rtol=1e-9)
        falling = hfu[names == STABLE_INTENSITY] * nodes[names == STABLE_INTENSITY]
        np.testing.assert_allclose(falling, falling[:1].repeat(falling.size), rtol=1e-9)


@given(scenarios())
def test_dead_zone_is_where_hfu_is_flat_and_below_its_ceiling(scenario: Scenario) -> None:
    """Its summary keys and its rows agree; without one both are absent."""
    summary = (answer := roofline(Roofline(scenario, ffn_nodes=range(1, 301)))).summary
    names = np.array(list(answer.columns["regime"]))
    if summary["dead_zone_from"] is None:
        assert summary["dead_zone_to"] is None
        assert not np.any(names == DEAD_ZONE)
    else:
        assert summary["dead_zone_from"] == scenario.model.top_k
        assert summary["dead_zone_from"] < summary["dead_zone_to"]
        system = scenario.system
        assert system.scale_out is not None
        up = system.scale_up.bytes_per_s * system.scale_up.efficiency
        out = system.scale_out.bytes_per_s * system.scale_out.efficiency
        assert summary["hfu_floor"] < summary["hfu_ceiling"] or up <= out * (1 + 1e-9)


@given(scenarios())
def test_smallest_feasible_count_is_the_first_feasible_row(scenario: Scenario) -> None:
    """The analytic feasible range and the feasible rows are the same."""
    answer = roofline(Roofline(scenario, ffn_nodes=range(1, 301)))
    feasible = np.flatnonzero(np.asarray(answer.columns["feasible"])) + 1
    low, high = answer.summary["ffn_nodes_from"], answer.summary["ffn_nodes_to"]
    expected = [] if low is None else list(range(low, min(high or 300, 300) + 1))
    assert feasible.tolist() == expected


@given(st.floats(1e-3, 1), st.floats(1, 4), st.integers(1, 100), st.integers(1, 8))
def test_budget_is_shared_out_whole(tpot: float, accept: float, layers: int, microbatches: int) -> None:
    """The stages of all layers and micro-batches, and the gap, make up the step that is allowed."""
    gap = 0.3 * tpot
    budget = stage_budget(tpot=tpot, accept_length=accept, gap=gap, layers=layers, microbatches=microbatches)
    assert budget * layers * microbatches + gap == pytest.approx(tpot * accept)


def test_open_axes_broadcast() -> None:
    """Each term has only the axes it depends on; the last one broadcasts them all."""
    inputs = ffn_stage_inputs(Scenario(system="h800", model="deepseek-v3"))
    nodes, out = np.arange(1, 41)[:, None], np.linspace(10e9, 400e9, 50)[None, :]
    stage = physics.ffn_stage(**(inputs.arguments(nodes) | {"scale_out": out}))
    assert np.shape(stage.weight_time) == (40, 1)
    assert np.shape(stage.hfu) == (40, 50)
    one = physics.ffn_stage(**(inputs.arguments(8) | {"scale_out": 10e9}))
    assert np.ndim(one.hfu) == 0
    assert float(one.hfu) == stage.hfu[7, 0]
