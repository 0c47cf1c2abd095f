"""Families that mix windows with full attention: each completes the shape, and returns its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.attention import count_layers, gqa, mixed
from roofline_afd.catalogue.huggingface.experts import after_dense_ones, widen_shared
from roofline_afd.catalogue.huggingface.fields import Noted
from roofline_afd.catalogue.huggingface.general import general

if TYPE_CHECKING:
    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Table, Tables


def by_window(fields: Fields, shape: Shape) -> Tables:
    """Read a family that says of each layer whether it has a window: GPT-OSS, and part of others."""
    shape["moe_layers"] = shape["layers"]
    kinds = count_layers(
        fields, "layer_types", shape["layers"], {"sliding_attention": "sliding", "full_attention": "full"}
    )
    window: Tables = {"sliding": {"window_tokens": fields.number("sliding_window")}, "full": {}}
    return {name: gqa(fields, times, **window[name]) for name, times in kinds.items()}


def gemma4(fields: Fields, shape: Shape) -> Tables:
    """Read Gemma 4: full layers have head widths of their own, and keys may serve as values."""
    shape["shared_experts"] = 1
    tables = by_window(fields, shape)
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


def llama4(fields: Fields, shape: Shape) -> Tables:
    """Read Llama 4: chunks instead of windows, one shared expert."""
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
    listed_kinds = fields.series("layer_types", layers, ("chunked_attention", "full_attention"))
    note = "every fourth layer is global by the default of this family"
    every = fields.number("no_rope_layer_interval", missing=4)
    whole = rotary.count(0) if rotary else layers // every
    whole = listed_kinds.count("full_attention") if listed_kinds else whole
    mix = {"chunked": layers - whole, "global": whole}
    chunk = fields.number("attention_chunk_size")
    window: Tables = {"chunked": {"chunk_tokens": chunk}, "global": {}}
    return {
        name: gqa(fields, times, **window[name])
        | ({} if rotary else {"layers": Noted(times, "reported", note)})
        for name, times in mix.items()
        if times
    }


def mimo(fields: Fields, shape: Shape) -> Tables:
    """Read MiMo V2: heads of windows differ from those of full attention."""
    layers = shape["layers"]
    if "hybrid_layer_pattern" not in fields.data:
        return general(fields, shape)
    shape["moe_layers"] = after_dense_ones(fields, layers)
    widen_shared(shape)
    mix = count_layers(fields, "hybrid_layer_pattern", layers, {0: "full", 1: "sliding"})
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
    full = gqa(fields, 1, value_head_dim=fields.number("v_head_dim"))
    return mixed(mix, {"full": full, "sliding": sliding})
