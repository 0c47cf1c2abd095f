"""Arrays of inputs: each element is what the question of its own is answered with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline_afd import InputError, Scenario, load_model, load_system, predict_afd, predict_ep, roofline
from tests.conftest import ONE_PLAN

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3"}


def test_elements_of_the_roofline_are_questions_of_their_own() -> None:
    """Numbers of the question, the system and the model, some aligned and some spread against them."""
    arrays: dict[str, Any] = {
        "tpot_ms": [20.0, 50.0, 80.0],
        "scale_out_gb_per_s": [25.0, 50.0, 400.0],
        "top_k": [[4], [8]],
    }
    table = roofline(Scenario(**H800), ffn_nodes=[1, 4, 16], arrays=arrays)
    assert len(table) == 6
    assert table.attrs["summary"]["points"] == 6
    for row in table.to_dict("records"):
        asked = Scenario(
            system=load_system("h800", overrides={"scale_out_gb_per_s": row["scale_out_gb_per_s"]}),
            model=load_model("deepseek-v3", overrides={"top_k": int(row["top_k"])}),
            tpot_ms=row["tpot_ms"],
        )
        own = roofline(asked, ffn_nodes=int(row["ffn_nodes"])).iloc[0]
        for key in ("hfu", "ofu", "temporal_sparsity", "intensity", "weight_time_us", "feasible"):
            assert row[key] == pytest.approx(own[key], rel=1e-12), key


@pytest.mark.parametrize("mode", ["ep", "afd"])
def test_elements_of_predictions_are_questions_of_their_own(mode: str) -> None:
    predict = predict_ep if mode == "ep" else predict_afd
    devices = {"devices": 32} if mode == "ep" else {"attention_devices": [[8], [32]], "ffn_devices": 16}
    arrays: dict[str, Any] = {**devices, "batch": [4, 64, 100_000], "context": [4096, 8192, 8192]}
    table = predict(Scenario(**H800, **ONE_PLAN), arrays=arrays)
    assert len(table) == (3 if mode == "ep" else 6)
    assert not table["feasible"].iloc[2]
    assert np.isnan(table["tpot_ms"].iloc[2])
    for row in table[table["feasible"]].to_dict("records"):
        asked: dict[str, Any] = {key: int(row[key]) for key in arrays}
        own = predict(Scenario(**H800, **ONE_PLAN, **asked)).iloc[0]
        for key in ("tokens_per_s_per_device", "tpot_ms", "step_ms"):
            assert row[key] == pytest.approx(own[key], rel=1e-9), key


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "arrays are empty"),
        ({"batch": [1.5]}, "must be a whole number"),
        (
            {"batch": [1, 2], "context": [1, 2, 3]},
            r"no numbers that broadcast .* batch \(2,\), context \(3,\)",
        ),
        ({"batch": ["x"]}, "no numbers that broadcast"),
        ({"batch": [np.nan]}, "no finite number"),
        ({"batch": []}, "arrays of 0 elements"),
        ({"bach": [1]}, "did you mean 'batch'"),
        ({"system": [1]}, "system is no number"),
        ({"context": [4096]}, "lacks batch"),
    ],
)
def test_arrays_that_cannot_be_meant(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict_ep(Scenario(**H800, devices=16), arrays=arrays)


def test_arrays_and_the_largest_batch_exclude_each_other() -> None:
    with pytest.raises(InputError, match="exclude each other"):
        predict_ep(Scenario(**H800, devices=16), largest_batch=True, arrays={"context": [4096]})
