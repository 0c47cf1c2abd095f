"""Inputs by their names: read, changed, and refused with the nearest name."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.analysis.decode.changes import changed, value_of
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50}


def test_changing_what_is_asked_about() -> None:
    """A system or a model by its id; values set on a model are kept unless the model itself changes."""
    model = load_model("deepseek-v3", overrides={"top_k": 4})
    scenario = Scenario(system="h800", model=model)
    other = changed(scenario, {"system": "h20", "model": "step-3"})
    assert (other.system.id, other.model.id) == ("h20", "step-3")
    kept = changed(scenario, {"vocab_size": 100_000})
    assert (kept.model.top_k, kept.model.vocab_size) == (4, 100_000)
    fast = load_system("h800", overrides={"fp8_tflops": 3000.0})
    both = changed(Scenario(system=fast, model=model), {"scale_out_gb_per_s": 100})
    assert both.system.quantities["fp8_tflops"].value == 3000
    assert both.system.quantities["scale_out_gb_per_s"].value == 100
    assert changed(scenario, {"tpot_ms": 80}).model.top_k == 4
    assert scenario.tpot_ms is None  # the baseline is left alone


def test_unknown_keys_name_the_nearest() -> None:
    for key, nearest in (
        ("tpot_mss", "tpot_ms"),
        ("--contxt", "context"),
        ("fp8_tflop", "fp8_tflops"),
        ("sigma_epp", "sigma_ep"),
    ):
        with pytest.raises(InputError, match=f"is no option and no catalogue key.*did you mean.*'{nearest}'"):
            changed(Scenario(**H800), {key: 3})
    for value, says in (("step-33", "unknown model 'step-33'; did you mean 'step-3'"), ("", "unknown model")):
        with pytest.raises(InputError, match=says):
            changed(Scenario(**H800), {"model": value})


def test_values_before() -> None:
    scenario = Scenario(system="h800", model="deepseek-v3", context=1000)
    assert value_of(scenario, "--context") == 1000
    assert value_of(scenario, "tpot-ms") == 50  # the default
    assert value_of(scenario, "top_k") == 8
    assert value_of(scenario, "scale_out_gb_per_s") == 50
    assert value_of(scenario, "transport") is None
    assert value_of(scenario, "nothing") is None
