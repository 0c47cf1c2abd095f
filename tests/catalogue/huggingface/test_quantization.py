"""Precision of the weights: every kind of block, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalogue.huggingface.toys import imported, refusal, toy


def block(**fields: object) -> dict[str, Any]:
    return toy("mixtral", quantization_config=fields)


def group(**weights: object) -> dict[str, Any]:
    return {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


@pytest.mark.parametrize(
    ("fields", "experts", "rest"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8"),
        (
            {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", "model.layers.0.mlp.gate"]},
            "fp8",
            "fp8",
        ),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}, "mxfp4", "bf16"),
        (
            {
                "quant_method": "compressed-tensors",
                **group(num_bits=4, type="int", group_size=32),
                "ignore": ["re:.*self_attn.*"],
            },
            "int4",
            "bf16",
        ),
        ({"quant_method": "compressed-tensors", **group(num_bits=8, type="float")}, "fp8", "fp8"),
        (
            {"quant_method": "compressed-tensors", **group(num_bits=4, type="float", group_size=32)},
            "mxfp4",
            "mxfp4",
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*self_attn*"]}, "nvfp4", "bf16"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", "fp8"),
        ({"quant_method": "gptq", "bits": 4}, "int4", "int4"),
        ({"quant_method": "awq", "bits": 4}, "int4", "int4"),
    ],
)
def test_quantization_blocks(fields: dict[str, Any], experts: str, rest: str) -> None:
    model = imported(block(**fields))
    assert (model.expert_weights, model.attention_weights) == (experts, rest)


def test_experts_of_a_precision_of_their_own() -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    model = imported(toy("deepseek_v4", expert_dtype="fp4", quantization_config=fp8))
    assert (model.expert_weights, model.attention_weights) == ("mxfp4", "fp8")
    (open_,) = model.checkpoints
    assert open_.activations == ""
    stated = fp8 | {"activation_scheme": "dynamic"}
    (checkpoint,) = imported(toy("deepseek_v4", expert_dtype="fp4", quantization_config=stated)).checkpoints
    assert checkpoint.activations == "fp8"


def test_a_precision_nobody_states_stays_open() -> None:
    config = toy("mixtral")
    del config["torch_dtype"]
    assert imported(config).expert_weights == ""


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"quant_method": "hqq"}, "quant_method 'hqq' is not known"),
        ({"quant_method": ["fp8"]}, "quant_method"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED"}, "no known format"),
        ({"quant_method": "compressed-tensors"}, "no known format"),
        ({"quant_method": "compressed-tensors", **group(num_bits=[4], type={}, group_size="x")}, "no known"),
        ({"quant_method": "gptq", "bits": 3}, "no known format"),
        ({"quant_method": "fp8", "fmt": "e8m0"}, "no known format"),
    ],
)
def test_unknown_quantization_is_refused(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(block(**fields))


def test_a_long_list_of_modules_takes_no_time() -> None:
    modules = ["attn" + ".*" * 10_000 + "x", *["self_attn"] * 1000]
    assert imported(block(quant_method="fp8", ignore=modules)).attention_weights == "bf16"


def test_quantization_that_is_no_object() -> None:
    assert "is not an object" in refusal(toy("mixtral", quantization_config="fp8"))
    assert "torch_dtype: 'float64'" in refusal(toy("mixtral", torch_dtype="float64"))
    assert "expert_dtype" in refusal(
        toy("deepseek_v4", expert_dtype=["fp4"], quantization_config={"quant_method": "fp8"})
    )
