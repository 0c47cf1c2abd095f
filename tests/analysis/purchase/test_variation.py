"""Inputs at other values: they reach the question, and a repeated search finds what a search finds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.samples import draws
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.analysis.purchase.variation import Rates, Variation, varied
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.repeated import RepeatedSearch
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from tests.analysis.purchase.conftest import CLOSE_CALL, H800


@pytest.mark.parametrize(
    "question",
    [
        H800,
        H800 | {"accept_length": 1.7, "transport": "all"},
        H800 | {"attention_system": "h20", "granularity": "device", "max_devices": 24},
        H800 | {"batch": 64},
        CLOSE_CALL,
        {"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 30, "max_devices": 96},
    ],
)
def test_a_repeated_search_finds_what_a_search_finds(question: dict[str, Any]) -> None:
    """Whatever the inputs are; where they move little the shapes that did well are enough."""
    scenario = Scenario(**question)
    inputs, _ = uncertain_inputs(scenario)
    model = Variation(scenario, inputs)
    asked = draws(inputs, 2, seed=1)
    for key, factor in (("memory_gb_per_s", 0.25), ("memory_gb", 0.5), ("scale_up_gb_per_s", 8.0)):
        asked.append({key: scenario.system.quantities[key].value * factor})
    for values in asked:
        told = rates(varied(scenario, inputs, values))
        assert model.rates(values) == pytest.approx(told, rel=1e-9), values
        lead = model.lead(values)
        assert (lead > 0, lead < 0) == (told[1] > told[0], told[1] < told[0]), values


@pytest.mark.parametrize(("model", "tpot_ms", "context"), [("kimi-k2", 80, 3000), ("deepseek-v3", 100, 8192)])
def test_whole_waves_are_searched_again(model: str, tpot_ms: float, context: int) -> None:
    """On the H20 memory ends above a batch that fills whole waves, 78 or 39 a micro-batch, which is best."""
    scenario = Scenario(system="h20", model=model, tpot_ms=tpot_ms, context=context, max_devices=24)
    deployments = Deployments(scenario, EP)
    found = search(deployments)
    assert found.best is not None
    assert found.best.batch % 39 == 0
    again = RepeatedSearch(found).rate(deployments)
    assert again == pytest.approx(float(np.max(found.candidates.rate)), rel=1e-12)


@pytest.mark.parametrize("exponent", [0.35, 0.46, 0.9])
def test_live_routing_is_searched_widely(exponent: float) -> None:
    """Close to the latency target shapes a fifth as good as the best may overtake when the exponent moves."""
    scenario = Scenario(**CLOSE_CALL)
    inputs, _ = uncertain_inputs(scenario)
    found = Variation(scenario, inputs).rates({"routing.exponent": exponent})
    assert found == pytest.approx(rates(varied(scenario, inputs, {"routing.exponent": exponent})), rel=1e-9)


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
    assert layers.calibration("attention").of("gemm", "fp8").launch_s == pytest.approx(1e-6)
    before = Deployments(scenario, EP).layers("pair").calibration("ffn").of("gemm", "fp8")
    assert layers.calibration("ffn").of("gemm", "fp8").launch_s == before.launch_s
    assert deployments.constants.other_s == pytest.approx(2e-6)
    assert (other.accept_length, other.context, other.query_tokens) == (1.5, 5000, 2)
    assert Deployments(scenario, AFD).constants.other_s != deployments.constants.other_s  # is left alone


def test_leads() -> None:
    assert Rates(2.0, 1.0).lead == pytest.approx(-math.log(2))
    assert Rates(0.0, 1.0).lead == math.inf
    assert Rates(1.0, 0.0).lead == -math.inf
    assert math.isnan(Rates(0.0, 0.0).lead)
    assert Rates(0.0, 0.0).winner is None
    assert Rates(1.0, 1.0).winner == EP
