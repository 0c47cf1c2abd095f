"""Import of Hugging Face configurations: every family, every published file, and everything that is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.attention import Attention
from roofline_afd.catalogue.huggingface.configs import import_config
from roofline_afd.catalogue.huggingface.families import FAMILIES
from roofline_afd.catalogue.models import Model, load_model, model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "hf_configs"
FILES = sorted(PUBLISHED.glob("*_config.json"))
needs_files = pytest.mark.skipif(not FILES, reason="the published configurations are not there")

SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 8,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
HEAD = {**SIZES, "head_dim": 16}
MIXTRAL = {**SIZES, "num_local_experts": 16, "num_experts_per_tok": 2, "intermediate_size": 96}
QWEN = {**HEAD, "num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
DEEPSEEK = {
    **SIZES,
    "n_routed_experts": 16,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 48,
    "n_shared_experts": 1,
    "num_nextn_predict_layers": 1,
}
GROUPS = {"n_group": 4, "topk_group": 2, "first_k_dense_replace": 1, "intermediate_size": 128}
MLA = {
    "num_key_value_heads": 8,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}
V3 = {**DEEPSEEK, **GROUPS, **MLA, "model_type": "deepseek_v3"}
INDEX = {"index_n_heads": 4, "index_head_dim": 8, "index_topk": 64}
GDN = {
    "linear_num_value_heads": 8,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "shared_expert_intermediate_size": 48,
}
NEMOTRON = {
    **HEAD,
    **{key: value for key, value in DEEPSEEK.items() if key not in SIZES},
    "model_type": "nemotron_h",
    "n_group": 1,
    "topk_group": 1,
    "intermediate_size": 48,
    "moe_shared_expert_intermediate_size": 96,
    "moe_latent_size": 32,
    "hybrid_override_pattern": "MEM*MEME",
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "ssm_state_size": 32,
    "n_groups": 2,
    "conv_kernel": 4,
    "expand": 2,
    "mlp_hidden_act": "relu2",
}

TOYS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]] = {
    "mixtral": ({**MIXTRAL}, {"moe_layers": 8, "expert_intermediate": 96}, {"full": {"head_dim": 8}}),
    "phimoe": ({**MIXTRAL, "sliding_window": 4096}, {"top_k": 2}, {"full": {"layers": 8}}),
    "olmoe": (
        {**SIZES, "num_experts": 16, "num_experts_per_tok": 4, "intermediate_size": 40},
        {"top_k": 4, "expert_intermediate": 40},
        {"full": {"kv_heads": 2}},
    ),
    "arctic": (
        {**MIXTRAL, "moe_layer_frequency": 1, "parallel_attn_mlp_res": True, "use_residual": True},
        {"shared_experts": 1, "shared_expert_intermediate": 64},
        {"full": {}},
    ),
    "dbrx": (
        {
            "d_model": 64,
            "n_layers": 4,
            "n_heads": 8,
            "vocab_size": 1000,
            "max_seq_len": 2048,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 500000},
            "ffn_config": {"ffn_hidden_size": 80, "moe_num_experts": 16, "moe_top_k": 4},
        },
        {"routed_experts": 16, "top_k": 4, "expert_intermediate": 80, "max_context": None},
        {"full": {"head_dim": 8, "kv_heads": 2}},
    ),
    "qwen2_moe": (
        {
            **{key: value for key, value in QWEN.items() if key != "head_dim"},
            "shared_expert_intermediate_size": 96,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [1],
            "intermediate_size": 128,
        },
        {"moe_layers": 3, "dense_layers": 5, "shared_experts": 1, "shared_expert_intermediate": 96},
        {"full": {"head_dim": 8}},
    ),
    "qwen3_moe": ({**QWEN, "intermediate_size": 128}, {"dense_intermediate": 0}, {"full": {"head_dim": 16}}),
    "qwen3_next": (
        {**QWEN, **GDN},
        {"shared_experts": 1, "moe_layers": 8},
        {"linear": {"layers": 6, "heads": 8, "key_heads": 4}, "full": {"layers": 2, "output_gate": True}},
    ),
    "deepseek_v3": (
        V3,
        {"expert_groups": 4, "groups_per_token": 2, "moe_layers": 7, "dense_layers": 1, "mtp_layers": 1},
        {"full": {"q_lora_rank": 24, "head_dim": 16}},
    ),
    "deepseek_v4": (
        {
            **DEEPSEEK,
            "head_dim": 32,
            "num_key_value_heads": 1,
            "q_lora_rank": 24,
            "o_lora_rank": 16,
            "o_groups": 2,
            "qk_rope_head_dim": 8,
            "sliding_window": 128,
            "num_hash_layers": 2,
            "hc_mult": 4,
            "compress_ratios": [0, 4, 128, 4, 128, 4, 128, 4, 0],
            **INDEX,
        },
        {"hash_routed_layers": 2, "residual_streams": 4, "moe_layers": 8},
        {
            "window": {"layers": 1, "compress_ratio": None},
            "compressed-4": {"layers": 4, "index_heads": 4},
            "compressed-128": {"layers": 3, "index_heads": None},
        },
    ),
    "glm4_moe": (
        {**DEEPSEEK, **GROUPS, "head_dim": 16},
        {"moe_layers": 7},
        {"full": {"kv_heads": 2, "head_dim": 16}},
    ),
    "bailing_moe_v2": (
        {**QWEN, **GROUPS, "num_shared_experts": 1, "moe_shared_expert_intermediate_size": 48},
        {"shared_expert_intermediate": 48},
        {"full": {}},
    ),
    "kimi_linear": (
        {
            **SIZES,
            **MLA,
            "num_experts": 16,
            "num_experts_per_token": 2,
            "moe_intermediate_size": 48,
            "num_shared_experts": 2,
            "intermediate_size": 128,
            "routed_expert_hidden_size": 32,
            "num_expert_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "mla_use_output_gate": True,
            "linear_attn_config": {
                "kda_layers": [1, 2, 3, 5, 6, 7],
                "full_attn_layers": [4, 8],
                "num_heads": 8,
                "head_dim": 16,
                "short_conv_kernel_size": 4,
                "use_full_rank_gate": False,
            },
        },
        {"dispatch_width": 32, "shared_experts": 2, "shared_expert_intermediate": 96},
        {"kda": {"layers": 6, "gate_rank": 16}, "full": {"layers": 2, "output_gate": True}},
    ),
    "llama4_text": (
        {
            **MIXTRAL,
            "head_dim": 8,
            "intermediate_size_mlp": 128,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 512,
        },
        {"moe_layers": 4, "dense_intermediate": 128, "shared_expert_intermediate": 96},
        {"chunked": {"layers": 6, "window_tokens": 512}, "global": {"layers": 2}},
    ),
    "gpt_oss": (
        {
            **MIXTRAL,
            "head_dim": 8,
            "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 4,
        },
        {"moe_layers": 8},
        {"sliding": {"layers": 4, "window_tokens": 128}, "full": {"layers": 4, "window_tokens": None}},
    ),
    "minimax_m1": (
        {**MIXTRAL, "head_dim": 16, "attn_type_list": [0, 0, 0, 1] * 2, "shared_intermediate_size": 0},
        {},
        {"lightning": {"layers": 6, "heads": 8}, "full": {"layers": 2}},
    ),
    "minimax_m2": ({**MIXTRAL, "head_dim": 16, "num_mtp_modules": 3}, {"mtp_layers": 3}, {"full": {}}),
    "minimax_m3": (
        {
            **MIXTRAL,
            "head_dim": 16,
            "hidden_act": "swigluoai",
            "dense_intermediate_size": 128,
            "n_shared_experts": 1,
            "shared_intermediate_size": 96,
            "first_k_dense_replace": 2,
            "moe_layer_freq": [0, 0, 1, 1, 1, 1, 1, 1],
            "sparse_attention_config": {
                "use_sparse_attention": True,
                "sparse_attention_freq": [0, 0, 1, 1, 1, 1, 1, 1],
                "sparse_block_size": 16,
                "sparse_topk_blocks": 4,
                "sparse_num_index_heads": 2,
                "sparse_index_dim": 16,
            },
        },
        {"moe_layers": 6, "dense_layers": 2},
        {"sparse": {"index_top_k": 64, "index_block_tokens": 16}, "full": {"layers": 2}},
    ),
    "step3p7": (
        {
            **QWEN,
            "intermediate_size": 128,
            "first_k_dense_replace": 2,
            "n_shared_experts": 1,
            "share_expert_dim": 48,
            "sliding_window": 64,
            "layer_types": ["full_attention", *["sliding_attention"] * 3] * 2,
        },
        {"moe_layers": 6, "shared_expert_intermediate": 48},
        {"sliding": {"layers": 6}, "full": {"layers": 2}},
    ),
    "step3_text": (
        {
            "hidden_size": 64,
            "num_hidden_layers": 8,
            "vocab_size": 1000,
            "max_position_embedding": 4096,
            "num_attention_heads": 8,
            "num_attention_groups": 1,
            "head_dim": 16,
            "share_q_dim": 32,
            "moe_num_experts": 16,
            "moe_top_k": 3,
            "moe_intermediate_size": 48,
            "share_expert_dim": 48,
            "intermediate_size": 128,
            "moe_layers_enum": "2,3,4,5,6",
        },
        {"moe_layers": 5, "shared_experts": 1},
        {"full": {"type": "mfa", "q_lora_rank": 32}},
    ),
    "ernie4_5_moe": (
        {
            **SIZES,
            "moe_num_experts": 16,
            "moe_k": 3,
            "moe_intermediate_size": 48,
            "moe_num_shared_experts": 2,
            "intermediate_size": 128,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": -1,
            "tie_word_embeddings": True,
        },
        {"moe_layers": 7, "shared_expert_intermediate": 96, "tied_embeddings": True},
        {"full": {}},
    ),
    "hunyuan_v1_moe": (
        {
            **SIZES,
            "num_experts": 16,
            "moe_topk": [1] * 8,
            "num_shared_expert": [1] * 8,
            "moe_intermediate_size": [48] * 8,
            "intermediate_size": 96,
            "use_cla": True,
            "cla_share_factor": 2,
            "use_mixed_mlp_moe": True,
        },
        {"top_k": 1, "expert_intermediate": 48},
        {"full": {"layers": 4}, "shared-kv": {"layers": 4, "shared_kv": True}},
    ),
    "longcat_flash": (
        {
            **{key: SIZES[key] for key in ("hidden_size", "vocab_size", "max_position_embeddings")},
            **MLA,
            "num_layers": 8,
            "num_attention_heads": 8,
            "n_routed_experts": 16,
            "zero_expert_num": 8,
            "zero_expert_type": "identity",
            "moe_topk": 3,
            "expert_ffn_hidden_size": 48,
            "ffn_hidden_size": 128,
        },
        {"layers": 8, "dense_layers": 16, "zero_experts": 8, "mean_top_k": 2.0},
        {"full": {"layers": 16}},
    ),
    "jamba": (
        {
            **SIZES,
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "intermediate_size": 128,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_dt_rank": "auto",
            "mamba_expand": 2,
            "mamba_d_state": 16,
            "mamba_d_conv": 4,
        },
        {"moe_layers": 4, "dense_layers": 4, "dense_intermediate": 128},
        {"mamba": {"layers": 7, "inner_width": 128, "dt_rank": 4}, "full": {"layers": 1}},
    ),
    "nemotron_h": (
        NEMOTRON,
        {"dispatch_width": 32, "expert_matrices": 2, "dense_layers": 0, "moe_layers": 3},
        {"mamba": {"layers": 4, "type": "mamba2"}, "full": {"layers": 1}},
    ),
    "mimo_v2_flash": (
        {
            **DEEPSEEK,
            "n_shared_experts": None,
            "n_group": 1,
            "topk_group": 1,
            "intermediate_size": 128,
            "moe_layer_freq": [0, 1, 1, 1, 1, 1, 1, 1],
            "head_dim": 24,
            "v_head_dim": 16,
            "hybrid_layer_pattern": [0, 1, 1, 1, 0, 1, 1, 1],
            "sliding_window": 128,
            "swa_num_attention_heads": 8,
            "swa_num_key_value_heads": 4,
            "swa_head_dim": 24,
            "swa_v_head_dim": 16,
        },
        {"moe_layers": 7, "shared_experts": 0},
        {"sliding": {"layers": 6, "kv_heads": 4}, "full": {"layers": 2, "kv_heads": 2}},
    ),
    "gemma4_text": (
        {
            **{key: value for key, value in QWEN.items() if key != "num_experts_per_tok"},
            "top_k_experts": 2,
            "intermediate_size": 80,
            "hidden_activation": "gelu_pytorch_tanh",
            "tie_word_embeddings": True,
            "sliding_window": 32,
            "layer_types": [*["sliding_attention"] * 3, "full_attention"] * 2,
            "attention_k_eq_v": True,
            "global_head_dim": 32,
            "enable_moe_block": True,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 0,
            "num_global_key_value_heads": 1,
        },
        {"shared_experts": 1, "shared_expert_intermediate": 80, "tied_embeddings": True},
        {"sliding": {"layers": 6, "head_dim": 16}, "full": {"head_dim": 32, "key_is_value": True}},
    ),
}


def imported(config: dict[str, Any], name: str = "toy") -> Model:
    text = import_config(json.dumps(config), model_id=name)
    return model_of(parse_record(text.encode(), file=f"{name}.toml"))


def toy(family: str, **changed: object) -> dict[str, Any]:
    return {"model_type": family, **TOYS[family][0], **changed}


def refusal(config: object) -> str:
    text = config if isinstance(config, str | bytes) else json.dumps(config)
    with pytest.raises(InputError) as caught:
        import_config(text)
    message = str(caught.value)
    assert message.startswith("config.json: ")
    assert "\n" not in message
    assert len(message) < 3000
    return message


@pytest.mark.parametrize("family", TOYS)
def test_every_family_is_read(family: str) -> None:
    _, expected, tables = TOYS[family]
    model = imported(toy(family))
    for key, value in expected.items():
        if value is not None:
            assert getattr(model, key) == value, key
    assert {kind.name for kind in model.attention} == set(tables)
    for kind in model.attention:
        for key, value in tables[kind.name].items():
            assert getattr(kind, key) == value, (kind.name, key)


def test_every_family_has_a_toy() -> None:
    covered = {name for family in FAMILIES for name in family.names.split() if name in TOYS}
    assert covered == set(TOYS)
    assert all(set(family.names.split()) & covered for family in FAMILIES)
    names = [name for family in FAMILIES for name in family.names.split()]
    assert len(names) == len(set(names))


# The published files


def _of(repository: str) -> Model | None:
    """Return the catalogued model of a repository, by its id, precision and task left off."""
    name = repository.lower()
    for ending in ("-fp8", "-bf16", "-instruct", "-v0.1", "-17b-16e", "-17b-128e"):
        name = name.replace(ending, "")
    name = name.removeprefix("nvidia-")
    known = {"minimax-m2.5": "minimax-m2", "qwen3-vl-30b-a3b": "qwen3-30b-a3b", "deepseek-r1": "deepseek-v3"}
    return load_model(known.get(name, name), catalogue=Catalogue())


@needs_files
def test_all_published_files_are_there() -> None:
    assert len(FILES) == 36


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix("_config.json"))
def test_published_file_agrees_with_the_catalogue(file: Path) -> None:
    vendor, _, repository = file.name.removesuffix("_config.json").partition("--")
    text = import_config(file.read_bytes(), model_id="imported")
    model = model_of(parse_record(text.encode(), file="imported.toml"))
    known = _of(repository)
    assert known is not None
    for field in dataclasses.fields(Model):
        if field.name == "mtp_layers" and "mtp_layers" not in model.quantities:
            continue  # the file does not speak of them
        if field.name not in {"id", "name", "quantities", "attention", "expert_weights", "attention_weights"}:
            assert getattr(model, field.name) == getattr(known, field.name), field.name
    by_name = {kind.name: kind for kind in known.attention}
    assert {kind.name: kind for kind in model.attention} == by_name
    context = "max_context_tokens"
    if "VL" not in repository and repository != "GLM-5.1-FP8":
        assert model.quantities[context].value == known.quantities[context].value
    if "FP8" not in repository and vendor != "sgl-project":
        assert (model.expert_weights, model.attention_weights) == (
            known.expert_weights,
            known.attention_weights,
        )


# Precisions


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
    assert (model.expert_weights, model.attention_weights) == ("fp4", "fp8")


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


# Refusals


def test_dense_models_are_refused_with_the_fields_seen() -> None:
    message = refusal({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32})
    assert "no field speaks of experts" in message
    assert "hidden_size, model_type, num_hidden_layers" in message


def test_unknown_families_are_refused_with_the_nearest() -> None:
    message = refusal({"model_type": "qwen4_moe", "num_experts": 8})
    assert "it has experts, but 'qwen4_moe' is no known family" in message
    assert "'qwen3_moe'" in message
    assert "a file without model_type" in refusal({"num_experts": 8})


def test_names_of_two_families_are_refused() -> None:
    message = refusal(toy("mixtral", architectures=["DeepseekV3ForCausalLM"]))
    assert "name different families" in message


def test_an_unknown_field_is_an_error_with_a_suggestion() -> None:
    message = refusal(toy("mixtral", num_local_expert=4))
    assert "unknown field 'num_local_expert'; did you mean 'num_local_experts'" in message


def test_all_faults_come_in_one_line() -> None:
    config = toy("mixtral", num_experts_per_tok="two", sliding_window=128, extra=1)
    del config["num_local_experts"]
    message = refusal(config)
    for fault in (
        "missing num_local_experts",
        "num_experts_per_tok: 'two'",
        "sliding_window: 128",
        "'extra'",
    ):
        assert fault in message


def test_a_missing_field_is_never_a_default() -> None:
    for family, key in (
        ("mixtral", "num_key_value_heads"),
        ("qwen3_moe", "head_dim"),
        ("minimax_m2", "head_dim"),
        ("deepseek_v3", "n_group"),
        ("deepseek_v3", "first_k_dense_replace"),
        ("deepseek_v3", "n_shared_experts"),
        ("gpt_oss", "layer_types"),
        ("ernie4_5_moe", "tie_word_embeddings"),
        ("deepseek_v4", "compress_ratios"),
        ("gemma4_text", "enable_moe_block"),
        ("gemma4_text", "num_kv_shared_layers"),
    ):
        config = toy(family)
        del config[key]
        assert f"missing {key}" in refusal(config), (family, key)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (toy("deepseek_v3", moe_layer_freq=[1] * 8), "contradict"),
        (toy("deepseek_v3", mlp_layer_types=["sparse"] * 8), "contradict"),
        (toy("deepseek_v3", num_key_value_heads=4), "num_key_value_heads: 4"),
        (toy("deepseek_v3", **INDEX, index_topk_freq=4), "index_topk_freq: 4"),
        (toy("deepseek_v3", n_group=0), "n_group: 0 is not between 1"),
        (toy("gemma4_text", enable_moe_block=False), "enable_moe_block: False"),
        (toy("deepseek_v3", topk_group=5), "groups_per_token 5 exceeds expert_groups 4"),
        (toy("gpt_oss", layer_types=["full_attention"] * 7), "7 entries for 8 layers"),
        (toy("gpt_oss", layer_types=["chunked_attention"] * 8), "is not one of sliding_attention"),
        (toy("mixtral", num_key_value_heads=3), "no multiple of num_key_value_heads 3"),
        (toy("mixtral", num_experts_per_tok=17), "top_k 17 exceeds routed_experts 16"),
        (toy("mixtral", hidden_act="relu2"), "hidden_act: 'relu2'"),
        (toy("qwen3_next", layer_types=["full_attention"] * 8), "full_attention_interval 2"),
        (toy("nemotron_h", hybrid_override_pattern="MEM*MEMX"), "hybrid_override_pattern"),
        (toy("nemotron_h", hybrid_override_pattern="MMMMMMM*"), "no layer has routed experts"),
        (toy("qwen3_moe", mlp_only_layers=[0, 1, 2, 3, 4, 5, 6, 7]), "no layer has routed experts"),
        (toy("longcat_flash", zero_expert_type="copy"), "zero_expert_type: 'copy'"),
        (toy("minimax_m2", attn_type_list=[0] * 8), "attn_type_list"),
        (toy("llama4_text", moe_layers=[1, 3]), "moe_layers has 2 layers"),
        (toy("step3_text", moe_layers_enum="2,3,99"), "layer 99 of 8"),
        (toy("hunyuan_v1_moe", moe_topk=[1, 2] * 4), "moe_topk: not the same"),
        (toy("arctic", moe_layer_frequency=2), "moe_layer_frequency: 2"),
        (toy("mixtral", num_local_experts=True), "num_local_experts: True is not a whole number"),
        (toy("mixtral", num_local_experts=8.0), "num_local_experts: 8.0 is not a whole number"),
        (toy("mixtral", num_local_experts=-8), "not between 1 and"),
        (toy("mixtral", num_hidden_layers=10**8), "num_hidden_layers"),
        (toy("mixtral", num_local_experts=[8]), "is not a whole number"),
        ({"model_type": "mixtral", "text_config": 3}, "text_config: 3 is not an object"),
        (
            {"text_config": toy("mixtral"), "tie_word_embeddings": True},
            "tie_word_embeddings differs",
        ),
        ({"text_config": toy("mixtral"), "num_experts": 8}, "unknown field 'num_experts'"),
    ],
)
def test_what_contradicts_or_is_not_known_is_refused(config: dict[str, Any], says: str) -> None:
    assert says in refusal(config)


DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
LONG = json.dumps(toy("mixtral"))[:-1] + ', "rope_theta": ' + "9" * 5000 + "}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[1, 2]", "is a JSON list, not an object"),
        ("3", "is a JSON int"),
        ("null", "is a JSON NoneType"),
        (b"\xff\xfe{", "is not UTF-8"),
        ('{"a": 1, "a": 2}', "field 'a' is given twice"),
        ('{"model_type": "mixtral", "rope_theta": NaN}', "holds NaN"),
        (LONG, "an integer of 5000 digits"),
        (DEEP, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        (" " * 1_000_001, "1,000,001 bytes"),
        (json.dumps(toy("qwen3_moe", mlp_only_layers=list(range(10**5)))), "8 is not one of 0, 1, 2"),
        ('{"model_type": {"$ref": "x"}}', "a file without model_type"),
        ('{"model_type": "\\ud800\\u0000\\n"}', "no known family"),
        (json.dumps(toy("mixtral", **{f"x{n}": n for n in range(5000)})), "and 4994 more unknown fields"),
        (json.dumps({f"k{n}" * 50: n for n in range(2000)}), "and 1988 more"),
        (json.dumps(toy("mixtral")).replace("16,", "1e999,", 1), "is not a whole number"),
        (json.dumps(toy("mixtral")).replace("16,", "Infinity,", 1), "inf is not a whole number"),
    ],
)
def test_hostile_files_are_one_clear_line(text: str | bytes, says: str) -> None:
    assert says in refusal(text)


def test_an_infinity_that_nobody_reads_passes() -> None:
    """A shipped configuration has one in time_step_limit."""
    config = json.dumps(toy("nemotron_h", time_step_limit=[0.0, 1])).replace("[0.0, 1]", "[0.0, Infinity]")
    assert import_config(config)


def test_a_byte_order_mark_passes() -> None:
    text = json.dumps(toy("mixtral"))
    assert import_config(b"\xef\xbb\xbf" + text.encode()) == import_config(text)


@pytest.mark.parametrize("name", ["../../etc/passwd", "Über", "a b", "", "\ud800", "x" * 100, 'a"\nb = 1'])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        import_config(json.dumps(toy("mixtral")), model_id=name)


def test_the_record_says_where_it_is_from() -> None:
    text = import_config(json.dumps(toy("arctic")), model_id="mine", vendor='A "B" \\ C', date="2026-01-02")
    record = parse_record(text.encode(), file="mine.toml")
    assert record.text("vendor") == 'A "B" \\ C'
    assert record.quantities["hidden_size"].kind == "datasheet"
    assert record.quantities["shared_expert_intermediate"].kind == "reported"
    assert record.quantities["attention.full.head_dim"].kind == "derived"
    assert record.sources["config"].date == "2026-01-02"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@given(family=st.sampled_from(sorted(TOYS)), data=st.data())
def test_no_value_anywhere_breaks_the_import(family: str, data: st.DataObject) -> None:
    config = toy(family)
    key = data.draw(st.sampled_from(sorted(config)))
    config[key] = data.draw(JSON)
    try:
        text = import_config(json.dumps(config), model_id="toy")
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert model_of(parse_record(text.encode(), file="toy.toml")).total_params > 0


@given(text=st.text() | st.binary())
def test_no_text_breaks_the_import(text: str | bytes) -> None:
    with pytest.raises(InputError):
        import_config(text)


def test_attention_tables_compare_by_value() -> None:
    assert Attention("a", "gqa", 1) == Attention("a", "gqa", 1)
