"""Configurations as small as they can be, one for each family, and what the import makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roofline_afd.catalogue.huggingface.importing import read_config
from roofline_afd.catalogue.models import Model, model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.errors import InputError

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
        {"chunked": {"layers": 6, "chunk_tokens": 512, "window_tokens": None}, "global": {"layers": 2}},
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
    "afmoe": (
        {
            **QWEN,
            "intermediate_size": 128,
            "num_dense_layers": 2,
            "num_shared_experts": 2,
            "sliding_window": 64,
            "global_attn_every_n_layers": 4,
        },
        {"moe_layers": 6, "dense_layers": 2, "shared_expert_intermediate": 96},
        {"sliding": {"layers": 6, "window_tokens": 64, "output_gate": True}, "full": {"layers": 2}},
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
    text = read_config(json.dumps(config), model_id=name).record
    return model_of(parse_record(text.encode(), file=f"{name}.toml"))


def toy(family: str, **changed: object) -> dict[str, Any]:
    return {"model_type": family, **TOYS[family][0], **changed}


def refusal(config: object) -> str:
    text = config if isinstance(config, str | bytes) else json.dumps(config)
    with pytest.raises(InputError) as caught:
        read_config(text)
    message = str(caught.value)
    assert message.startswith("config.json")
    assert "\n" not in message
    assert len(message) < 3000
    return message
