"""Tables of the Python API: numbers in numeric columns, and one value in a cell, whatever is asked."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from pandas.api import types

import roofline_afd as api
from roofline_afd import Scenario, read_answer
from tests.analysis.evidence.operators.times import synthetic
from tests.conftest import ONE_PLAN, ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

pytestmark = pytest.mark.usefixtures("answered_once")

SMALL: dict[str, Any] = {"system": "b200", "model": "gpt-oss-20b", "max_devices": 8, **ONE_PLAN}
PAIR: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "batch": 64}
CONFIG = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "intermediate_size": 14336,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
}
TIMES: dict[str, Any] = {
    "coefficients": (0.00165, 50, 0.083, 100, 0.022, 20),
    "layers": 61,
    "batch": 64,
    "prompt_mean": 100,
    "decode_mean": 50,
}
SPREAD: dict[str, Any] = {"samples": 0, "uncertainty": {"context": "50%"}}


def _small(**more: Any) -> Scenario:  # noqa: ANN401 - fields of a question
    return Scenario(**{**SMALL, **more})


def _kept() -> pd.DataFrame:
    answer = ask("predict", "--system", "h200", "--model", "deepseek-v3", "--devices", "16", "--batch", "32")
    kept = read_answer(json.dumps(answer), name="mine")
    return api.deploy_answer(kept, target="sglang")


def _imported(folder: Path) -> pd.DataFrame:
    (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    return api.import_model(folder / "config.json", model_id="mine")


ASKED: dict[str, Callable[[Path], pd.DataFrame]] = {
    "calibrate": lambda folder: api.calibrate([synthetic(folder / "times.csv")]),
    "compare": lambda _: api.compare(_small(tpot_ms=50)),
    "deploy": lambda _: api.deploy(
        Scenario(system="h200", model="deepseek-v3", devices=16, batch=32), target="vllm"
    ),
    "deploy_answer": lambda _: _kept(),
    "explain": lambda _: api.explain("hfu", _small()),
    "explore": lambda _: api.explore(_small(devices=8), workload="chat", modes=["agg", "pd"]),
    "imbalance": lambda _: api.imbalance(sigma=[0.9, 0.8], attention_nodes=3, ffn_nodes=1),
    "import_model": _imported,
    "list_hardware": lambda _: api.list_hardware(holds="deepseek-v3"),
    "list_models": lambda _: api.list_models(),
    "load": lambda _: api.load(_small(devices=4, tpot_ms=30), mode="pd", isl=512, osl=64, rates=[5, 500]),
    "predict": lambda _: api.predict(Scenario(**PAIR, attention_devices=64, ffn_devices=16)),
    "predict_afd": lambda _: api.predict_afd(Scenario(**PAIR, attention_devices=64, ffn_devices=16)),
    "predict_ep": lambda _: api.predict_ep(Scenario(**PAIR, devices=64)),
    "procure": lambda _: api.procure([_small(), _small(system="mi355x")], request_rate=50, isl=512, osl=64),
    "provision": lambda _: api.provision(**TIMES),
    "roofline": lambda _: api.roofline(_small(), ffn_nodes=range(1, 9)),
    "sensitivity": lambda _: api.sensitivity(_small(devices=8, batch=16), **SPREAD),
    "show_hardware": lambda _: api.show_hardware("h800", "tpu-v7"),
    "show_models": lambda _: api.show_models("deepseek-v3", "step-3"),
    "simulate": lambda _: api.simulate(**TIMES, r=[1, 2], requests=300, replications=2),
    "simulate_series": lambda _: api.simulate_series(**TIMES, r=[1, 2], requests=300, replications=2),
    "sweep": lambda _: api.sweep(
        _small(), axes={"ffn_nodes": range(1, 4), "context": [4096, 8192]}, of="roofline"
    ),
    "validate": lambda _: api.validate(),
    "validate_hardware": lambda _: api.validate_hardware(),
    "validate_models": lambda _: api.validate_models(),
    "what_if": lambda _: api.what_if(_small(), {"context": 8192, "tpot_ms": 40}),
}
"""A cheap question to each function that returns a table."""


def test_every_function_that_returns_a_table_is_asked() -> None:
    functions = {name: getattr(api, name) for name in api.__all__ if name != "Scenario"}
    returning = {
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and inspect.get_annotations(function).get("return") == "pd.DataFrame"
    }
    assert set(ASKED) == returning


@pytest.mark.parametrize("name", ASKED)
def test_numbers_stand_in_numeric_columns(name: str, tmp_path: Path) -> None:
    table = ASKED[name](tmp_path)
    assert len(table)
    numeric = set(table.select_dtypes(["number", "bool", "boolean"]))
    for key, column in table.items():
        kinds = {type(value).__name__ for value in column.dropna()}
        assert "dict" not in kinds, key
        if key not in numeric:
            assert not types.is_numeric_dtype(column), key
            assert kinds <= {"str", "list"}, (key, kinds)


def test_tables_within_a_row_become_columns() -> None:
    table = api.compare(_small(tpot_ms=50))
    answer = ask("compare", *_options(SMALL), "--tpot-ms", "50")
    assert not {"breakdown", "memory", "ffn_memory"} & set(table.columns)
    for row, told in zip(table.to_dict("records"), answer["results"], strict=True):
        assert row["breakdown.ffn_us"] == told["breakdown"]["ffn_us"]
        assert row["memory.cache_gb"] == told["memory"]["cache_gb"]
    assert table["ffn_memory.cache_gb"].isna().tolist() == [True, False]
    assert table.select_dtypes("number").round(2)["breakdown.ffn_us"].notna().all()


def _options(fields: dict[str, Any]) -> list[str]:
    return [word for key, value in fields.items() for word in (f"--{key.replace('_', '-')}", str(value))]
