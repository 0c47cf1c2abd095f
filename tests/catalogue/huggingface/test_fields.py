"""Fields: what is unknown, missing or contradicts itself is refused, all of it in one line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalogue.huggingface.toys import INDEX, refusal, toy


def test_an_unknown_field_is_an_error_with_a_suggestion() -> None:
    message = refusal(toy("mixtral", num_local_expert=4))
    assert "'num_local_expert' may change the shape" in message
    assert "did you mean 'num_local_experts'" in message


def test_all_faults_come_in_one_line() -> None:
    config = toy("mixtral", num_experts_per_tok="two", sliding_window=128, extra_experts=1)
    del config["num_local_experts"]
    message = refusal(config)
    for fault in (
        "missing num_local_experts",
        "num_experts_per_tok: 'two'",
        "sliding_window: 128",
        "'extra_experts'",
    ):
        assert fault in message


def test_a_missing_field_is_never_a_default() -> None:
    for family, key in (
        ("mixtral", "num_key_value_heads"),
        ("minimax_m2", "head_dim"),
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
        ({"text_config": toy("mixtral"), "num_experts": 8}, "'num_experts' may change the shape"),
    ],
)
def test_what_contradicts_or_is_not_known_is_refused(config: dict[str, Any], says: str) -> None:
    assert says in refusal(config)
