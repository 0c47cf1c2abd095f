"""Uncertain inputs: their ranges follow from kinds, options and records, or are given."""

from __future__ import annotations

import math

import pytest

from roofline_afd.analysis.purchase.uncertainty import SPREADS, uncertain_inputs
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import H800


def test_ranges_follow_from_kinds() -> None:
    """A kind, an option, or the error of a record sets the range; no range leaves the bounds."""
    inputs = {item.key: item for item in uncertain_inputs(Scenario(**H800))[0]}
    memory = inputs["memory_gb_per_s"]
    off = SPREADS[memory.kind].amount
    assert (memory.low, memory.high) == pytest.approx((memory.value * (1 - off), memory.value * (1 + off)))
    fitted = inputs["h800.gemm.compute_efficiency"]
    held_out = Catalogue().record("calibration", "h800").data["gemm"]["held_out_error"]
    assert fitted.high / fitted.value - 1 == pytest.approx(held_out)
    assert "held-out error of [gemm] in calibration record h800" in fitted.uncertainty
    guessed = inputs["h800.mla_decode.memory_efficiency"]
    assert (fitted.kind, guessed.kind) == ("measured", "estimated")  # of a measured table, a guess in it
    assert inputs["service.other_us"].kind == "derived"
    assert (guessed.low, guessed.high) == pytest.approx((guessed.value * 0.7, min(guessed.value * 1.3, 1.0)))
    exponent = inputs["routing.exponent"]  # 1 is that of tokens that choose apart
    assert exponent.low == pytest.approx(exponent.value * 0.7)
    assert exponent.most == 1.0
    assert "sigma_ep" not in inputs  # popularity and placement say how even the load is
    assert inputs["service.popularity_exponent"].value == 0.5
    even, _ = uncertain_inputs(Scenario(**H800, routing="balanced"))
    (sigma,) = [item for item in even if item.key == "sigma_ep"]
    assert (sigma.low, sigma.high) == (0.85, 1.0)
    assert (inputs["gap_ms"].low, inputs["gap_ms"].high) == (0.0, 1.0)
    assert "accept_length" not in inputs  # nothing is drafted
    assert not {"tpot_ms", "top_k", "layers", "devices_per_node"} & set(inputs)
    for item in inputs.values():
        assert item.least <= item.low <= item.value <= item.high <= item.most, item.key


def test_inputs_of_the_question() -> None:
    """Parts never measured are estimates; nominal links rest on a convention; drafts bound the accepted."""
    mi300x = {item.key: item for item in uncertain_inputs(Scenario(system="mi300x", model="step-3"))[0]}
    assert mi300x["default.gemm.launch_us"].kind == "estimated"
    assert "h800.gemm.launch_us" not in mi300x
    h100 = {item.key: item for item in uncertain_inputs(Scenario(system="h100", model="step-3"))[0]}
    experts = h100["h800.grouped_gemm.launch_us"]  # of the same make, not measured
    data = Catalogue().record("calibration", "h800").data["grouped_gemm"]
    off = math.hypot(data["held_out_error"], data["sibling_error"])
    assert experts.high / experts.value - 1 == pytest.approx(off)
    assert "held-out and sibling error" in experts.uncertainty
    nominal = {item.key for item in uncertain_inputs(Scenario(**H800 | {"links": "nominal"}))[0]}
    assert "scale_out_efficiency" in nominal
    assert not any(".link." in key or "slowdown" in key for key in nominal)
    drafted = {item.key: item for item in uncertain_inputs(Scenario(**H800 | {"accept_length": 1.98}))[0]}
    assert drafted["accept_length"].high == 2.0
    pair = {item.key for item in uncertain_inputs(Scenario(**H800 | {"attention_system": "h20"}))[0]}
    assert {"memory_gb_per_s", "attention_system.memory_gb_per_s", "h20.gemm.launch_us"} <= pair


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
        ("sigma_dp", "0.5:1.5", "must lie from 0.001 to 1"),
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
