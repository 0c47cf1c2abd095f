"""Fields that no family reads: passed over where they cannot change the shape."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.catalogue.huggingface.meaning import may_change
from roofline_afd.catalogue.huggingface.recognised import UNSERVED
from tests.catalogue.huggingface.toys import refusal, toy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("router_jitter_noise", 0.1),
        ("qkv_bias", True),
        ("unsloth_fixed", True),
        ("route_scale", 2.5),
        ("expert_selection_fn", "softmax"),
        ("num_local_windows", None),
        ("moe_layer_of_nothing", 0),
        ("vision_hidden_size", 1024),
        ("position_id_per_seconds", 25),
        ("final_logit_softcapping", 30.0),
        ("enable_moe_fp32_combine", True),
    ],
)
def test_what_cannot_change_the_shape_is_passed_over(name: str, value: Any) -> None:  # noqa: ANN401
    assert not may_change(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_global_heads", 8),
        ("router_hidden_size", 256),
        ("ffn_dim_multiplier", 1.3),
        ("expand_ratio", 1.5),
        ("attention_pattern", "LLLG"),
        ("use_latent_attention", True),
        ("kv_dtype", "fp8"),
        ("shared_layers", [0, 1]),
        ("ngram_vocab", 1000),
    ],
)
def test_what_may_change_it_is_refused(name: str, value: Any) -> None:  # noqa: ANN401
    assert may_change(name, value)
    assert f"{name!r} may change the shape" in refusal(toy("mixtral", **{name: value}))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "x"}, "an adapter, not a model"),
        ({"weight_map": {}, "metadata": {}}, "an index of weights"),
        ({"tokenizer_class": "LlamaTokenizer"}, "a configuration of a tokenizer"),
        ({"do_sample": True, "temperature": 0.6}, "a generation_config.json"),
        ({"dim": 4096, "n_layers": 32}, "a params.json"),
        (
            {"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"], "hidden_size": 64},
            "a draft head",
        ),
        ({"producer": {}, "quantization": {"quant_algo": "FP8"}}, "a file about quantisation"),
        ({"model_type": "lfm2_moe", "hidden_size": 64, "num_experts": 8}, UNSERVED["lfm2_moe"]),
        ("GGUF" + " " * 20, "a GGUF file"),
    ],
)
def test_other_files_are_recognised(config: Any, says: str) -> None:  # noqa: ANN401
    assert says in refusal(config)
