"""Families of mixture-of-experts models on Hugging Face, and how each spells its shape in `config.json`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.fields import Fields, Noted
from roofline_afd.errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Table = dict[str, Any]
"""An attention table: type, numbers, flags."""
Shape = dict[str, Any]
"""Record keys outside the attention tables."""
Tables = dict[str, Table]

# --- fields that leave the shape alone -------------------------------------------------------------------

IGNORED_ENDINGS = ("_token_id", "_token_index", "_placeholder", "tokens_per_image", "_dropout", "_eps")
_SHAPELESS = """
    architectures auto_map _name_or_path model_type dtype torch_dtype transformers_version use_cache
    quantization_config tie_word_embeddings add_cross_attention attention_bias bad_words_ids
    begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size diversity_penalty
    do_sample early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty
    finetuning_task id2label is_decoder is_encoder_decoder label2id length_penalty max_length
    min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
    output_hidden_states output_router_logits output_scores prefix problem_type pruned_heads
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate suppress_tokens
    task_specific_params temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p
    torchscript typical_p use_bfloat16 _attn_implementation initializer_range initializer_factor
    embedding_initializer_range rms_norm_epsilon layernorm_epsilon layer_norm_epsilon norm_eps
    hidden_act pretraining_tp ep_size aux_loss_alpha seq_aux router_aux_loss_coef router_z_loss_coef
    routed_scaling_factor scoring_func topk_method norm_topk_prob moe_router_dtype rope_theta
    rope_scaling rope_parameters rope_interleave partial_rotary_factor rotary_dim
    original_max_position_embeddings max_window_layers use_qk_norm qk_norm_type swiglu_limit
    swiglu_alpha ignore_index
"""
IGNORED = frozenset(_SHAPELESS.split())
"""Fields of every family: names, training, sampling, positions, norms, router scores."""
OUTER = IGNORED | {
    "text_config",
    "vision_config",
    "audio_config",
    "model_max_length",
    "use_unified_vision_chunk",
}
"""Fields around the `text_config` of a multimodal model, whose other parts are not counted."""


# --- layers, in the ways families write them -------------------------------------------------------------


def _split(fields: Fields, key: str, layers: int, valid: Mapping[object, str]) -> dict[str, int]:
    """Count the layers of each kind in a per-layer list; `valid` maps its entries to our names."""
    series = fields.series(key, layers, valid)
    if not series:
        if key not in fields.data:
            fields.fault(f"missing {key}")
        return {}
    return dict(Counter(valid[one] for one in series))


def _gqa(fields: Fields, layers: int, *, derive: bool = False, **changed: Any) -> Table:  # noqa: ANN401
    """Read grouped-query attention; only where a family has no other default is a head width derived."""
    heads = fields.number("num_attention_heads")
    kv_heads = fields.number("num_key_value_heads", null=heads)
    if heads % kv_heads:
        fields.fault(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    table: Table = {"type": "gqa", "layers": layers, "heads": heads, "kv_heads": kv_heads}
    if derive and fields.data.get("head_dim") is None:
        fields.used.add("head_dim")
        hidden = fields.number("hidden_size")
        if hidden % heads:
            fields.fault(f"missing head_dim: hidden_size {hidden} is no multiple of {heads} heads")
        table["head_dim"] = Noted(max(hidden // heads, 1), "derived", "hidden_size / num_attention_heads")
    else:
        table["head_dim"] = fields.number("head_dim")
    return {**table, **changed}


def _mla(fields: Fields, layers: int, **changed: Any) -> Table:  # noqa: ANN401
    table: Table = {
        "type": "mla",
        "layers": layers,
        "heads": fields.number("num_attention_heads"),
        "head_dim": fields.number("qk_nope_head_dim"),
        "value_head_dim": fields.number("v_head_dim"),
        "rope_head_dim": fields.number("qk_rope_head_dim"),
        "q_lora_rank": fields.number("q_lora_rank", null=0) or None,
        "kv_lora_rank": fields.number("kv_lora_rank"),
    }
    fields.expect("num_key_value_heads", table["heads"])
    fields.expect("qk_head_dim", table["head_dim"] + table["rope_head_dim"])
    return {**table, **changed}


def _index(fields: Fields) -> Table:
    return {
        "index_heads": fields.number("index_n_heads"),
        "index_head_dim": fields.number("index_head_dim"),
        "index_top_k": fields.number("index_topk"),
    }


def _after_dense_ones(fields: Fields, layers: int) -> int:
    """Return the MoE layers of a family whose first layers are dense; all spellings given must agree."""
    counts: dict[str, int] = {}
    if "first_k_dense_replace" in fields.data:
        first = fields.number("first_k_dense_replace", minimum=0, maximum=layers)
        counts["first_k_dense_replace"] = layers - first
    if isinstance(fields.data.get("moe_layer_freq"), list):
        counts["moe_layer_freq"] = fields.series("moe_layer_freq", layers, (0, 1)).count(1)
    else:
        fields.expect("moe_layer_freq", 1)
    if "mlp_layer_types" in fields.data:
        kinds = fields.series("mlp_layer_types", layers, ("dense", "sparse"))
        counts["mlp_layer_types"] = kinds.count("sparse")
    if not counts:
        fields.fault("missing first_k_dense_replace")
    if len(set(counts.values())) > 1:
        given = ", ".join(f"{count} by {key}" for key, count in counts.items())
        fields.fault(f"MoE layers contradict each other: {given}")
    return next(iter(counts.values()), 1)


def _qwen_moe_layers(fields: Fields, layers: int) -> int:
    step = fields.number("decoder_sparse_step", missing=1)
    dense = set(fields.series("mlp_only_layers", None, range(layers)))
    return sum((layer + 1) % step == 0 and layer not in dense for layer in range(layers))


# --- families --------------------------------------------------------------------------------------------


def _deepseek(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    shape["moe_layers"] = _after_dense_ones(fields, layers)
    _shared(shape)
    if fields.data.get("topk_method") == "greedy":
        shape["expert_groups"] = 1
    if "index_topk" not in fields.data:
        return {"full": _mla(fields, layers)}
    kinds = fields.series("indexer_types", layers, ("full", "shared"))
    if not kinds:
        fields.expect("index_topk_freq", 1)
        fields.expect("index_topk_pattern")
    fields.used.update({"index_topk_freq", "index_topk_pattern"})
    index, borrowed = _index(fields), kinds.count("shared")
    tables = {"sparse": _mla(fields, layers - borrowed, **index)}
    if borrowed:
        chosen = {"index_top_k": index["index_top_k"], "shared_index": True}
        tables["sparse-shared-index"] = _mla(fields, borrowed, **chosen)
    return tables


def _shared(shape: Shape) -> None:
    """Count the shared experts as wide as routed ones each, where the file gives their number only."""
    if shape.get("shared_experts") and "shared_expert_intermediate" not in shape:
        wide, several = shape["expert_intermediate"], shape["shared_experts"]
        note = "shared experts times the width of a routed expert"
        shape["shared_expert_intermediate"] = Noted(wide * several, "derived", note) if several > 1 else wide


def _deepseek_v4(fields: Fields, shape: Shape) -> Tables:
    layers = shape["moe_layers"] = shape["layers"]
    _shared(shape)
    fields.expect("num_key_value_heads", 1)
    mtp = shape.get("mtp_layers", 0)
    ratios = fields.series("compress_ratios", layers + mtp, (0, 4, 128))[:layers]
    if "compress_ratios" not in fields.data:
        fields.fault("missing compress_ratios")
    base = {
        "type": "compressed",
        "heads": fields.number("num_attention_heads"),
        "head_dim": fields.number("head_dim"),
        "q_lora_rank": fields.number("q_lora_rank"),
        "o_lora_rank": fields.number("o_lora_rank"),
        "o_groups": fields.number("o_groups"),
        "window_tokens": fields.number("sliding_window"),
    }
    fields.number("qk_rope_head_dim")
    index = _index(fields)
    tables: Tables = {}
    for ratio, times in sorted(Counter(ratios).items()):
        table: Table = {**base, "layers": times}
        if ratio:
            table["compress_ratio"] = ratio
        if ratio == 4:  # noqa: PLR2004 - only the weakly compressed history is long enough for an index
            table.update(index)
        tables[f"compressed-{ratio}" if ratio else "window"] = table
    return tables


def _kimi_linear(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    shape["moe_layers"] = _after_dense_ones(fields, layers)
    _shared(shape)
    linear = fields.table("linear_attn_config")
    kinds = {
        name: linear.series(key, None, range(1, layers + 1))
        for name, key in (("kda", "kda_layers"), ("full", "full_attn_layers"))
    }
    if sorted(kinds["kda"] + kinds["full"]) != list(range(1, layers + 1)):
        linear.fault("kda_layers and full_attn_layers do not cover each layer once")
    width = linear.number("head_dim")
    kda: Table = {
        "type": "kda",
        "layers": len(kinds["kda"]),
        "heads": linear.number("num_heads"),
        "head_dim": width,
        "conv_kernel": linear.number("short_conv_kernel_size"),
        "gate_rank": None if linear.flag("use_full_rank_gate", absent=False) else width,
    }
    linear.unknown(frozenset({"gate_lower_bound"}))
    gate = fields.flag("mla_use_output_gate", absent=False)
    return {"kda": kda, "full": _mla(fields, len(kinds["full"]), output_gate=gate)}


def _plain(fields: Fields, shape: Shape, *, derive: bool = True) -> Tables:
    shape["moe_layers"] = shape["layers"]
    fields.expect("sliding_window", shape["max_context_tokens"])
    return {"full": _gqa(fields, shape["layers"], derive=derive)}


def _glm4(fields: Fields, shape: Shape) -> Tables:
    shape["moe_layers"] = _after_dense_ones(fields, shape["layers"])
    _shared(shape)
    if shape["shared_experts"] == 1:
        fields.expect("moe_shared_expert_intermediate_size", shape["expert_intermediate"])
    return {"full": _gqa(fields, shape["layers"])}


def _qwen(fields: Fields, shape: Shape) -> Tables:
    shape["moe_layers"] = _qwen_moe_layers(fields, shape["layers"])
    qwen2 = shape.get("shared_expert_intermediate")
    if qwen2:
        shape["shared_experts"] = 1
    fields.expect("use_sliding_window", False)  # noqa: FBT003
    fields.used.add("sliding_window")
    return {"full": _gqa(fields, shape["layers"], derive=bool(qwen2))}


def _qwen_hybrid(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    shape["moe_layers"] = _qwen_moe_layers(fields, layers)
    shape["shared_experts"] = 1
    kinds = fields.series("layer_types", layers, ("linear_attention", "full_attention"))
    full = kinds.count("full_attention")
    if not kinds or "full_attention_interval" in fields.data:
        every = fields.number("full_attention_interval")
        if kinds and full != layers // every:
            fields.fault(f"layer_types has {full} full layers, full_attention_interval {layers // every}")
        full = layers // every
    fields.expect("use_sliding_window", False)  # noqa: FBT003
    fields.used.add("sliding_window")
    fields.expect("attn_output_gate", True)  # noqa: FBT003
    linear: Table = {
        "type": "gated-delta",
        "layers": layers - full,
        "heads": fields.number("linear_num_value_heads"),
        "key_heads": fields.number("linear_num_key_heads"),
        "head_dim": fields.number("linear_key_head_dim"),
        "value_head_dim": fields.number("linear_value_head_dim"),
        "conv_kernel": fields.number("linear_conv_kernel_dim"),
    }
    return {"linear": linear, "full": _gqa(fields, full, output_gate=True)}


def _by_window(fields: Fields, shape: Shape) -> Tables:
    shape["moe_layers"] = shape["layers"]
    kinds = _split(
        fields, "layer_types", shape["layers"], {"sliding_attention": "sliding", "full_attention": "full"}
    )
    window: Tables = {"sliding": {"window_tokens": fields.number("sliding_window")}, "full": {}}
    return {name: _gqa(fields, times, **window[name]) for name, times in kinds.items()}


def _step3p7(fields: Fields, shape: Shape) -> Tables:
    tables = _by_window(fields, shape)
    shape["moe_layers"] = _after_dense_ones(fields, shape["layers"])
    return tables


def _gemma4(fields: Fields, shape: Shape) -> Tables:
    shape["shared_experts"] = 1
    tables = _by_window(fields, shape)
    fields.need("num_kv_shared_layers", 0)
    fields.need("hidden_size_per_layer_input", 0)
    fields.expect("use_double_wide_mlp", False)  # noqa: FBT003
    fields.need("enable_moe_block", True)  # noqa: FBT003
    same = fields.flag("attention_k_eq_v", absent=False)
    if "full" in tables:
        full = tables["full"]
        full["head_dim"] = fields.number("global_head_dim", null=0) or full["head_dim"]
        full["kv_heads"] = fields.number("num_global_key_value_heads", null=0) or full["kv_heads"]
        full["key_is_value"] = same
    return tables


def _llama4(fields: Fields, shape: Shape) -> Tables:
    layers, step = shape["layers"], fields.number("interleave_moe_layer_step")
    shape["moe_layers"] = layers // step
    listed = fields.series("moe_layers", None, range(layers))
    if listed and len(set(listed)) != layers // step:
        fields.fault(f"moe_layers has {len(set(listed))} layers, interleave_moe_layer_step {layers // step}")
    if step == 1:
        shape.pop("dense_intermediate")
    code = "one always-on expert as wide as a routed one, in the code of this family"
    shape["shared_experts"] = Noted(1, "reported", code)
    shape["shared_expert_intermediate"] = Noted(shape["expert_intermediate"], "reported", code)
    rotary = fields.series("no_rope_layers", layers, (0, 1))
    note = "every fourth layer is global by the default of this family"
    every = fields.number("no_rope_layer_interval", missing=4)
    whole = rotary.count(0) if rotary else layers // every
    mix = {"chunked": layers - whole, "global": whole}
    chunk = fields.number("attention_chunk_size")
    window: Tables = {"chunked": {"window_tokens": chunk}, "global": {}}
    return {
        name: _gqa(fields, times, **window[name])
        | ({} if rotary else {"layers": Noted(times, "reported", note)})
        for name, times in mix.items()
        if times
    }


def _minimax_m2(fields: Fields, shape: Shape) -> Tables:
    fields.expect("attn_type_list", [1] * shape["layers"])
    fields.expect("shared_intermediate_size", 0)
    fields.expect("mtp_transformer_layers", 1)
    if not fields.flag("use_mtp", absent=True):
        shape["mtp_layers"] = 0
    return _plain(fields, shape, derive=False)


def _minimax_m1(fields: Fields, shape: Shape) -> Tables:
    fields.expect("shared_intermediate_size", 0)
    tables = _plain(fields, shape, derive=False)
    full = tables["full"]
    mix = _split(fields, "attn_type_list", shape["layers"], {0: "lightning", 1: "full"})
    linear = {"type": "lightning", "heads": full["heads"], "head_dim": full["head_dim"]}
    return {name: {**(full if name == "full" else linear), "layers": times} for name, times in mix.items()}


def _minimax_m3(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    shape["moe_layers"] = _after_dense_ones(fields, layers)
    fields.expect("attention_output_gate", False)  # noqa: FBT003
    sparse = fields.table("sparse_attention_config")
    sparse.expect("use_sparse_attention", True)  # noqa: FBT003
    sparse.expect("sparse_init_block", 0)
    mix = _split(sparse, "sparse_attention_freq", layers, {0: "full", 1: "sparse"})
    block, blocks = sparse.number("sparse_block_size"), sparse.number("sparse_topk_blocks")
    index: Table = {
        "index_heads": sparse.number("sparse_num_index_heads"),
        "index_head_dim": sparse.number("sparse_index_dim"),
        "index_top_k": Noted(block * blocks, "derived", f"{blocks} blocks of {block} tokens"),
        "index_block_tokens": block,
    }
    sparse.unknown(frozenset({"sparse_disable_index_value", "sparse_local_block", "sparse_score_type"}))
    return {name: _gqa(fields, times, **(index if name == "sparse" else {})) for name, times in mix.items()}


def _mimo(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    shape["moe_layers"] = _after_dense_ones(fields, layers)
    _shared(shape)
    mix = _split(fields, "hybrid_layer_pattern", layers, {0: "full", 1: "sliding"})
    window = fields.number("sliding_window")
    for key in ("sliding_window_size", "attention_chunk_size"):
        fields.expect(key, window)
    sliding: Table = {
        "type": "gqa",
        "heads": fields.number("swa_num_attention_heads"),
        "kv_heads": fields.number("swa_num_key_value_heads"),
        "head_dim": fields.number("swa_head_dim"),
        "value_head_dim": fields.number("swa_v_head_dim"),
        "window_tokens": window,
    }
    full = _gqa(fields, 1, value_head_dim=fields.number("v_head_dim"))
    return {name: {**(full if name == "full" else sliding), "layers": times} for name, times in mix.items()}


def _nemotron(fields: Fields, shape: Shape) -> Tables:
    fields.expect("expand", 2)
    fields.expect("sliding_window")
    for key in ("mlp_bias", "use_bias", "mamba_proj_bias"):
        fields.expect(key, False)  # noqa: FBT003
    pattern = fields.value("hybrid_override_pattern")
    if not isinstance(pattern, str) or set(pattern) - set("ME*-") or len(pattern) != shape["layers"]:
        fields.fault(
            f"hybrid_override_pattern: {shown(pattern)} is not {shape['layers']} letters M, E, * or -"
        )
        pattern = ""
    mix = Counter(pattern)
    shape["moe_layers"], shape["dense_layers"] = mix["E"], mix["-"]
    if not mix["-"]:
        shape.pop("dense_intermediate")
    latent = fields.number("moe_latent_size", missing=0, null=0)
    shape["dispatch_width"] = latent or shape["hidden_size"]
    mamba: Table = {
        "type": "mamba2",
        "layers": mix["M"],
        "heads": fields.number("mamba_num_heads"),
        "head_dim": fields.number("mamba_head_dim"),
        "state_width": fields.number("ssm_state_size"),
        "state_groups": fields.number("n_groups"),
        "conv_kernel": fields.number("conv_kernel"),
    }
    tables = {"mamba": mamba, "full": _gqa(fields, mix["*"])}
    return {name: table for name, table in tables.items() if table["layers"]}


def _jamba(fields: Fields, shape: Shape) -> Tables:
    layers, hidden = shape["layers"], shape["hidden_size"]
    fields.expect("sliding_window")
    places = {}
    for name, prefix in (("full", "attn_layer"), ("moe", "expert_layer")):
        period, offset = fields.number(f"{prefix}_period"), fields.number(f"{prefix}_offset", minimum=0)
        places[name] = sum(layer % period == offset for layer in range(layers))
    shape["moe_layers"] = places["moe"]
    shape["dense_intermediate"] = shape["expert_intermediate"]
    rank = fields.data.get("mamba_dt_rank")
    if rank == "auto":
        fields.used.add("mamba_dt_rank")
        rank = Noted(math.ceil(hidden / 16), "derived", "hidden_size / 16")
    else:
        rank = fields.number("mamba_dt_rank")
    mamba: Table = {
        "type": "mamba1",
        "layers": layers - places["full"],
        "inner_width": Noted(
            fields.number("mamba_expand") * hidden, "derived", "mamba_expand times hidden_size"
        ),
        "state_width": fields.number("mamba_d_state"),
        "conv_kernel": fields.number("mamba_d_conv"),
        "dt_rank": rank,
    }
    tables = {"mamba": mamba, "full": _gqa(fields, places["full"], derive=True)}
    return {name: table for name, table in tables.items() if table["layers"]}


def _longcat(fields: Fields, shape: Shape) -> Tables:
    twice = 2 * shape["layers"]
    fields.expect("num_hidden_layers", twice, shape["layers"])
    fields.expect("zero_expert_type", "identity")
    fields.expect("attention_method", "MLA", "mla")
    shape["moe_layers"] = shape["layers"]
    shape["dense_layers"] = Noted(twice, "derived", "two in each block")
    return {"full": _mla(fields, twice)}


def _step3(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    listed = fields.value("moe_layers_enum")
    if not isinstance(listed, str) or not re.fullmatch(r"\d{1,4}(,\d{1,4})*", listed):
        fields.fault(f"moe_layers_enum: {shown(listed)} is not a list of layers")
        listed = "0"
    numbers = {int(one) for one in listed.split(",")}
    if max(numbers) >= layers:
        fields.fault(f"moe_layers_enum: layer {max(numbers)} of {layers}")
    shape["moe_layers"] = len(numbers)
    shape["shared_experts"] = 1
    fields.expect("moe_every_n_layer", 1)
    mfa: Table = {
        "type": "mfa",
        "layers": layers,
        "heads": fields.number("num_attention_heads"),
        "kv_heads": fields.number("num_attention_groups"),
        "head_dim": fields.number("head_dim"),
        "q_lora_rank": fields.number("share_q_dim"),
    }
    return {"full": mfa}


def _ernie(fields: Fields, shape: Shape) -> Tables:
    layers = shape["layers"]
    start = fields.number("moe_layer_start_index", minimum=0)
    end = fields.number("moe_layer_end_index", null=-1, missing=-1, minimum=-1)
    end = layers - 1 if end == -1 else end
    step = fields.number("moe_layer_interval", missing=1)
    shape["moe_layers"] = sum((layer + 1) % step == 0 and start <= layer <= end for layer in range(layers))
    _shared(shape)
    return {"full": _gqa(fields, layers, derive=True)}


def _hunyuan(fields: Fields, shape: Shape) -> Tables:
    layers = shape["moe_layers"] = shape["layers"]
    for ours, theirs in (
        ("routed_experts", "num_experts"),
        ("top_k", "moe_topk"),
        ("shared_experts", "num_shared_expert"),
    ):
        shape[ours] = fields.alike(theirs, layers)
    wide = "moe_intermediate_size" if fields.data.get("moe_intermediate_size") else "intermediate_size"
    fields.used.update({"moe_intermediate_size", "intermediate_size"})
    shape["expert_intermediate"] = fields.alike(wide, layers)
    _shared(shape)
    fields.expect("use_mixed_mlp_moe", True)  # noqa: FBT003
    fields.expect("moe_layer_num_skipped", 0)
    table = _gqa(fields, layers, derive=True)
    if fields.data.get("attention_head_dim") is not None:
        table["head_dim"] = fields.number("attention_head_dim")
    factor = fields.number("cla_share_factor", missing=1)
    if not fields.flag("use_cla", absent=False) or factor == 1:
        return {"full": table}
    own = math.ceil(layers / factor)
    return {
        "full": {**table, "layers": own},
        "shared-kv": {**table, "layers": layers - own, "shared_kv": True},
    }


def _dbrx(fields: Fields, shape: Shape) -> Tables:
    attention, ffn = fields.table("attn_config"), fields.table("ffn_config")
    layers = shape["moe_layers"] = shape["layers"]
    shape["routed_experts"] = ffn.number("moe_num_experts")
    shape["top_k"] = ffn.number("moe_top_k")
    shape["expert_intermediate"] = ffn.number("ffn_hidden_size")
    heads = fields.number("n_heads")
    width = Noted(max(shape["hidden_size"] // heads, 1), "derived", "d_model / n_heads")
    attention_ignored = frozenset({"attn_pdrop", "clip_qkv", "rope_theta", "model_type"})
    kv_heads = attention.number("kv_n_heads")
    attention.unknown(attention_ignored)
    ffn.unknown(
        frozenset(
            {
                *("ffn_act_fn", "moe_jitter_eps", "moe_loss_weight", "moe_normalize_expert_weights"),
                *("model_type", "uniform_expert_assignment"),
            }
        )
    )
    full: Table = {"type": "gqa", "layers": layers, "heads": heads, "kv_heads": kv_heads, "head_dim": width}
    return {"full": full}


def _arctic(fields: Fields, shape: Shape) -> Tables:
    fields.expect("moe_layer_frequency", 1)
    fields.expect("parallel_attn_mlp_res", True)  # noqa: FBT003
    fields.expect("use_residual", True)  # noqa: FBT003
    note = "the dense branch is as wide as the residual stream, in the code of this family"
    shape["shared_experts"] = 1
    shape["shared_expert_intermediate"] = Noted(shape["hidden_size"], "reported", note)
    return _plain(fields, shape)


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """How one family of models spells its shape."""

    names: str
    """Values of model_type and architectures."""
    layers: Callable[[Fields, Shape], Tables]
    """Reads the mix of layers; may complete the shape."""
    spelling: str
    """ours=theirs; !n where a null field means n, ?n where a missing one does too."""
    gated: tuple[str, ...] = ("silu",)
    """Activations whose experts have three matrices in this family."""
    plain: tuple[str, ...] = ()
    """Activations whose experts have two."""
    activation: str = "hidden_act"
    tied: bool | None = False
    """Whether embeddings are tied where the file does not say; None: it must."""
    ignored: str = ""


_SIZES = (
    "hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
    "max_context_tokens=max_position_embeddings "
)
_DEEPSEEK = (
    _SIZES
    + "routed_experts=n_routed_experts top_k=num_experts_per_tok expert_intermediate=moe_intermediate_size "
    "shared_experts=n_shared_experts!0 mtp_layers=num_nextn_predict_layers?0 "
)
_GROUPS = "expert_groups=n_group!1 groups_per_token=topk_group!1 "
_MIXTRAL = (
    _SIZES
    + "routed_experts=num_local_experts top_k=num_experts_per_tok expert_intermediate=intermediate_size "
)
_QWEN = (
    _SIZES + "routed_experts=num_experts top_k=num_experts_per_tok expert_intermediate=moe_intermediate_size "
)

FAMILIES = (
    Family(
        names="deepseek_v2 deepseek_v3 deepseek_v32 kimi_k2 kimi_k25 KimiK25ForConditionalGeneration "
        "glm_moe_dsa glm4_moe_lite DeepseekV2ForCausalLM "
        "DeepseekV3ForCausalLM DeepseekV32ForCausalLM GlmMoeDsaForCausalLM Glm4MoeLiteForCausalLM",
        layers=_deepseek,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size",
        ignored="head_dim index_share_for_mtp_iteration index_skip_topk_offset indexer_rope_interleave",
    ),
    Family(
        names="deepseek_v4 DeepseekV4ForCausalLM",
        layers=_deepseek_v4,
        spelling=_DEEPSEEK + "hash_routed_layers=num_hash_layers residual_streams=hc_mult",
        ignored="expert_dtype hc_sinkhorn_iters compress_rope_theta",
    ),
    Family(
        names="kimi_linear kimi_k3 KimiLinearForCausalLM KimiK3ForConditionalGeneration",
        layers=_kimi_linear,
        spelling=_SIZES + "routed_experts=num_experts top_k=num_experts_per_token "
        "expert_intermediate=moe_intermediate_size shared_experts=num_shared_experts!0 "
        "mtp_layers=num_nextn_predict_layers?0 dense_intermediate=intermediate_size "
        "dispatch_width=routed_expert_hidden_size?0 expert_groups=num_expert_group!1 "
        "groups_per_token=topk_group!1",
        gated=("silu", "situ"),
        ignored="activation_situ_beta activation_situ_linear_beta attn_res_block_size latent_moe_use_norm "
        "mla_use_nope moe_renormalize moe_router_activation_func use_grouped_topk head_dim model_max_length",
    ),
    Family(
        names="glm4_moe Glm4MoeForCausalLM",
        layers=_glm4,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size",
    ),
    Family(
        names="bailing_moe bailing_moe_v2 BailingMoeV2ForCausalLM",
        layers=_glm4,
        spelling=_QWEN + _GROUPS + "shared_experts=num_shared_experts!0 dense_intermediate=intermediate_size "
        "mtp_layers=num_nextn_predict_layers?0",
        ignored="use_bias use_qkv_bias use_rmsnorm norm_softmax norm_head moe_router_enable_expert_bias "
        "score_function router_dtype mtp_loss_scaling_factor",
    ),
    Family(
        names="qwen2_moe Qwen2MoeForCausalLM",
        layers=_qwen,
        spelling=_QWEN + "shared_expert_intermediate=shared_expert_intermediate_size "
        "dense_intermediate=intermediate_size?0",
    ),
    Family(
        names="qwen3_moe qwen3_vl_moe qwen3_vl_moe_text Qwen3MoeForCausalLM "
        "Qwen3VLMoeForConditionalGeneration",
        layers=_qwen,
        spelling=_QWEN + "dense_intermediate=intermediate_size?0",
    ),
    Family(
        names="qwen3_next qwen3_5_moe qwen3_5_moe_text Qwen3NextForCausalLM "
        "Qwen3_5MoeForConditionalGeneration",
        layers=_qwen_hybrid,
        spelling=_QWEN + "shared_expert_intermediate=shared_expert_intermediate_size "
        "mtp_layers=mtp_num_hidden_layers?0 dense_intermediate=intermediate_size?0",
        ignored="mtp_use_dedicated_embeddings mamba_ssm_dtype",
    ),
    Family(names="mixtral MixtralForCausalLM", layers=_plain, spelling=_MIXTRAL),
    Family(
        names="phimoe PhimoeForCausalLM PhiMoEForCausalLM",
        layers=_plain,
        spelling=_MIXTRAL,
        ignored="lm_head_bias input_jitter_noise router_jitter_noise",
    ),
    Family(
        names="olmoe OlmoeForCausalLM",
        layers=_plain,
        spelling=_SIZES + "routed_experts=num_experts top_k=num_experts_per_tok "
        "expert_intermediate=intermediate_size",
        ignored="clip_qkv",
    ),
    Family(
        names="arctic ArcticForCausalLM",
        layers=_arctic,
        spelling=_MIXTRAL,
        ignored="moe_eval_capacity_factor moe_min_capacity moe_token_dropping moe_train_capacity_factor "
        "enable_expert_tensor_parallelism quantization",
    ),
    Family(
        names="dbrx DbrxForCausalLM",
        layers=_dbrx,
        spelling="hidden_size=d_model layers=n_layers vocab_size=vocab_size max_context_tokens=max_seq_len",
        ignored="emb_pdrop resid_pdrop",
    ),
    Family(
        names="llama4 llama4_text Llama4ForConditionalGeneration Llama4ForCausalLM",
        layers=_llama4,
        spelling=_MIXTRAL + "dense_intermediate=intermediate_size_mlp",
        ignored="for_llm_compressor attn_temperature_tuning floor_scale attn_scale router_jitter_noise",
    ),
    Family(
        names="gpt_oss GptOssForCausalLM",
        layers=_by_window,
        spelling=_MIXTRAL,
        ignored="experts_per_token initial_context_length",
    ),
    Family(
        names="minimax_m1 MiniMaxM1ForCausalLM",
        layers=_minimax_m1,
        spelling=_MIXTRAL,
        ignored="postnorm layernorm_full_attention_alpha layernorm_full_attention_beta "
        "layernorm_linear_attention_alpha layernorm_linear_attention_beta layernorm_mlp_alpha "
        "layernorm_mlp_beta shared_moe_mode router_jitter_noise attention_type block block_size",
    ),
    Family(
        names="minimax_m2 MiniMaxM2ForCausalLM",
        layers=_minimax_m2,
        spelling=_MIXTRAL + "mtp_layers=num_mtp_modules?0",
        ignored="use_routing_bias layernorm_full_attention_beta layernorm_mlp_beta",
    ),
    Family(
        names="minimax_m3 MiniMaxM3ForCausalLM",
        layers=_minimax_m3,
        spelling=_MIXTRAL + "mtp_layers=num_nextn_predict_layers?0 shared_experts=n_shared_experts!0 "
        "shared_expert_intermediate=shared_intermediate_size!0 dense_intermediate=dense_intermediate_size",
        gated=("swigluoai",),
        ignored="num_mtp_modules moe_intermediate_size use_gemma_norm use_routing_bias",
    ),
    Family(
        names="step3p7 Step3p7FlashForCausalLM",
        layers=_step3p7,
        spelling=_QWEN + "shared_experts=n_shared_experts!0 shared_expert_intermediate=share_expert_dim!0 "
        "mtp_layers=num_nextn_predict_layers?0 dense_intermediate=intermediate_size",
        ignored="use_moe_router_bias moe_router_scaling_factor",
    ),
    Family(
        names="step3 step3_text Step3TextForCausalLM Step3VLForConditionalGeneration",
        layers=_step3,
        spelling="hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
        "max_context_tokens=max_position_embedding routed_experts=moe_num_experts top_k=moe_top_k "
        "expert_intermediate=moe_intermediate_size shared_expert_intermediate=share_expert_dim "
        "dense_intermediate=intermediate_size",
        ignored="max_seq_len use_moe norm_expert_weight moe_layer_offset use_im_start_end",
    ),
    Family(
        names="ernie4_5_moe Ernie4_5_MoeForCausalLM",
        layers=_ernie,
        spelling=_SIZES
        + "routed_experts=moe_num_experts top_k=moe_k expert_intermediate=moe_intermediate_size "
        "shared_experts=moe_num_shared_experts!0 dense_intermediate=intermediate_size "
        "mtp_layers=num_nextn_predict_layers?0",
        tied=None,
        ignored="use_bias moe_capacity moe_gate moe_use_aux_free moe_norm_min compression_ratio "
        "moe_dropout_prob",
    ),
    Family(
        names="hunyuan hunyuan_v1_moe HunYuanMoEV1ForCausalLM HunYuanForCausalLM HunYuanMoeForCausalLM",
        layers=_hunyuan,
        spelling=_SIZES,
        tied=None,
        ignored="moe_drop_tokens moe_random_routing_dropped_token capacity_factor mlp_bias cla_share_factor "
        "group_limited_greedy use_rotary_pos_emb norm_type",
    ),
    Family(
        names="longcat_flash LongcatFlashForCausalLM",
        layers=_longcat,
        spelling="hidden_size=hidden_size layers=num_layers vocab_size=vocab_size "
        "max_context_tokens=max_position_embeddings routed_experts=n_routed_experts "
        "zero_experts=zero_expert_num!0 "
        "top_k=moe_topk expert_intermediate=expert_ffn_hidden_size dense_intermediate=ffn_hidden_size "
        "mtp_layers=num_nextn_predict_layers?0",
        ignored="mla_scale_q_lora mla_scale_kv_lora router_bias head_dim",
    ),
    Family(
        names="jamba JambaForCausalLM",
        layers=_jamba,
        spelling=_SIZES + "routed_experts=num_experts top_k=num_experts_per_tok "
        "expert_intermediate=intermediate_size",
        ignored="mamba_conv_bias mamba_inner_layernorms mamba_proj_bias use_mamba_kernels num_logits_to_keep "
        "calc_logits_for_entire_prompt n_ctx",
    ),
    Family(
        names="nemotron_h NemotronHForCausalLM",
        layers=_nemotron,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size?0 "
        "shared_expert_intermediate=moe_shared_expert_intermediate_size!0",
        gated=(),
        plain=("relu2",),
        activation="mlp_hidden_act",
        ignored="chunk_size mamba_hidden_act mamba_ssm_cache_dtype mtp_hybrid_override_pattern "
        "num_logits_to_keep rescale_prenorm_residual residual_in_fp32 time_step_floor time_step_max "
        "time_step_min time_step_limit use_conv_bias use_mamba_kernels moe_shared_expert_overlap",
    ),
    Family(
        names="mimo_v2_flash MiMoV2FlashForCausalLM",
        layers=_mimo,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size",
        ignored="add_full_attention_sink_bias add_swa_attention_sink_bias attention_value_scale "
        "swa_rope_theta",
    ),
    Family(
        names="gemma4 gemma4_text Gemma4ForConditionalGeneration Gemma4ForCausalLM",
        layers=_gemma4,
        spelling=_SIZES + "routed_experts=num_experts top_k=top_k_experts "
        "expert_intermediate=moe_intermediate_size shared_expert_intermediate=intermediate_size",
        gated=("gelu_pytorch_tanh",),
        activation="hidden_activation",
        tied=None,
        ignored="final_logit_softcapping use_bidirectional_attention vocab_size_per_layer_input",
    ),
)
