"""Precision of the weights: every kind of block, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roofline_afd.catalogue.huggingface.importing import read_config
from roofline_afd.errors import InputError
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


def test_a_precision_nobody_states_is_said_not_to_be() -> None:
    """Files without a type were saved in bf16; what else there may be is told."""
    config = toy("mixtral")
    del config["torch_dtype"]
    found = read_config(json.dumps(config), model_id="toy")
    assert imported(config).expert_weights == "bf16"
    assert "bf16, not stated" in found.record
    assert any("hf_quant_config.json" in note for note in found.notes)


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


@pytest.mark.parametrize(
    ("fields", "experts", "attention"),
    [
        ({"quant_method": "fbgemm_fp8"}, "fp8", "fp8"),
        ({"quant_method": "gptq_marlin", "bits": 4}, "int4", "int4"),
        ({"quant_method": "awq_marlin", "w_bit": 4}, "int4", "int4"),
        ({"quant_method": "auto-round", "bits": 8}, "int8", "int8"),
        (
            {
                "quant_method": "auto-round",
                "bits": 4,
                "extra_config": {".*self_attn.q_proj": {"bits": 16}, ".*self_attn.o_proj": {"bits": 16}},
            },
            "int4",
            "bf16",
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", "int4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", "int8"),
        ({"quant_method": "torchao", "quant_type": "float8_dynamic_activation"}, "fp8", "fp8"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4", "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, "int4", "int4"),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {
                    "model.layers.0.mlp.experts.0.up_proj": {"quant_algo": "NVFP4"},
                    "model.layers.0.mlp.shared_experts.up_proj": {"quant_algo": "FP8"},
                    "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
                },
            },
            "nvfp4",
            "fp8",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {
                        "targets": ["re:.*self_attn.*"],
                        "weights": {"num_bits": 8, "type": "float"},
                    },
                    "b": {
                        "targets": ["re:.*experts.*"],
                        "weights": {"num_bits": 4, "type": "int", "group_size": 32},
                    },
                },
            },
            "int4",
            "fp8",
        ),
        ({"bits": 4, "group_size": 64, "model.layers.0.self_attn.q_proj": {"bits": 8}}, "int4", "int8"),
    ],
)
def test_blocks_are_read_as_their_tools_write_them(
    fields: dict[str, Any], experts: str, attention: str
) -> None:
    """Experts and attention apart where a block says so."""
    model = imported(block(**fields))
    assert (model.expert_weights, model.attention_weights) == (experts, attention)


def test_a_format_may_be_assumed_where_a_block_is_not_known() -> None:
    config = json.dumps(block(quant_method="secret"))
    with pytest.raises(InputError, match="--assume-format takes one for it"):
        read_config(config)
    assert 'expert_weights = "int4"' in read_config(config, assumed="int4").record
