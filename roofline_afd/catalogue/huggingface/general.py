"""Families read by meaning: layers by the kinds a file lists, experts and latents by the fields it has."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.attention import blocks_of, gated_delta, gqa, index_of, mla, present
from roofline_afd.catalogue.huggingface.experts import moe_layers, widen_shared
from roofline_afd.catalogue.huggingface.fields import Noted
from roofline_afd.errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Table, Tables

KINDS = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "indexed_attention": "sparse",
    "mamba": "linear",
    "minimax_m3_sparse": "sparse",
    "deepseek_sparse_attention": "sparse",
}
"""Kinds of our records by the words of `layer_types`."""


def general(fields: Fields, shape: Shape) -> Tables:
    """Read a family whose layers, experts and latents are spelled as most are."""
    layers = shape["layers"]
    shape["moe_layers"] = moe_layers(fields, layers)
    if shape.get("shared_expert_intermediate"):
        shape["shared_experts"] = shape.get("shared_experts") or 1
    else:
        shape.pop("shared_expert_intermediate", None)
        widen_shared(shape)
    return tables_of(fields, layers)


def gated(fields: Fields, shape: Shape) -> Tables:
    """Read a family whose attention multiplies its result with a gate as wide."""
    found = general(fields, shape)
    return {name: {**table, "output_gate": True} for name, table in found.items()}


def tables_of(fields: Fields, layers: int) -> Tables:
    """Return the attention tables of a file by the kinds of layers that it lists, or all alike."""
    kinds = _kinds(fields, layers)
    own = _own(fields, layers)
    borrowing = fields.series("indexer_types", layers, ("full", "shared"))
    mix = Counter(
        (kind, bool(borrowing) and kind == "sparse" and borrowing[layer] == "shared", own.get(layer, ()))
        for layer, kind in enumerate(kinds)
    )
    tables: Tables = {}
    for place, ((kind, borrowed, changes), count) in enumerate(mix.items()):
        of_kind = fields.changed(dict(changes)) if changes else fields
        table = _READERS[kind](of_kind, count)
        if kind == "sparse":
            index = blocks_of(of_kind) if "index_topk_blocks" in fields.data else index_of(of_kind)
            table |= {"index_top_k": index["index_top_k"], "shared_index": True} if borrowed else index
        name = f"{kind}-shared-index" if borrowed else kind
        tables[f"{name}-{place}" if name in tables else name] = table
    fields.used.add("num_sliding_attention_heads")
    sources = fields.value("kv_source_layers")
    if sources is not None and sources != list(range(layers)):
        fields.fault("kv_source_layers: layers that use the cache of others are not known of this family")
    if "sparse" not in kinds:
        fields.used.update({key for key in fields.data if key.startswith("index_")})
    if not {"full", "sliding", "chunked", "sparse"} & set(kinds):
        fields.used.update({"num_attention_heads", "num_key_value_heads", "head_dim"})
    return present(tables)


def _own(fields: Fields, layers: int) -> dict[int, tuple[tuple[str, Any], ...]]:
    """Return what some layers have instead of what the file says of all: as sorted pairs."""
    own: dict[int, dict[str, Any]] = {}
    listed = fields.value("per_layer_config")
    for key, changes in (listed if isinstance(listed, dict) else {}).items():
        if not key.isdigit() or int(key) >= layers or not isinstance(changes, dict):
            fields.fault(f"per_layer_config: {shown(key)} is no layer with fields of its own")
            continue
        own[int(key)] = dict(changes)
    heads = fields.value("num_attention_heads_per_layer")
    if isinstance(heads, list) and len(heads) == layers:
        for layer, number in enumerate(heads):
            if number != fields.data.get("num_attention_heads"):
                own.setdefault(layer, {})["num_attention_heads"] = number
    elif heads is not None:
        fields.fault(
            f"num_attention_heads_per_layer: {shown(heads)} is no number for each of {layers} layers"
        )
    return {
        layer: tuple(sorted((key, value) for key, value in changes.items() if isinstance(value, int)))
        for layer, changes in own.items()
    }


def _kinds(fields: Fields, layers: int) -> list[str]:
    """Return the kind of each layer: as listed, by a pattern of windows, or all full."""
    fields.used.update({"use_sliding_window", "max_window_layers", "full_attention_interval"})
    patterns = ("sliding_window_pattern", "global_attn_every_n_layers")
    fields.used.update(patterns)
    listed = fields.series("layer_types", layers, KINDS)
    if listed:
        kinds = [KINDS[word] for word in listed]
        if "sliding" not in kinds:
            fields.used.add("sliding_window")
        return kinds
    windowed = fields.data.get("sliding_window") is not None and fields.data.get("use_sliding_window", True)
    if not windowed:
        fields.used.add("sliding_window")
        return ["full"] * layers
    every = next((fields.number(key) for key in patterns if isinstance(fields.data.get(key), int)), 0)
    if not every:
        fields.fault("sliding_window is given, but not which layers have it: missing layer_types")
        return ["full"] * layers
    return ["full" if (layer + 1) % every == 0 else "sliding" for layer in range(layers)]


def _base(fields: Fields, count: int) -> Table:
    """Read latent attention where there is a latent, else grouped queries."""
    if fields.data.get("kv_lora_rank") is not None:
        fields.used.update({"head_dim", "num_key_value_heads"})
        return mla(fields, count)
    gate = fields.value("gating") == "per-element"  # one for each head is next to nothing
    value = {"value_head_dim": fields.number("v_head_dim")} if fields.data.get("v_head_dim") else {}
    return gqa(fields, count, derive=True, output_gate=gate, **value)


def _sliding(fields: Fields, count: int) -> Table:
    own = "num_sliding_attention_heads"
    heads = {"num_attention_heads": fields.number(own)} if fields.data.get(own) is not None else {}
    return {**_base(fields.changed(heads), count), "window_tokens": fields.number("sliding_window")}


def _chunked(fields: Fields, count: int) -> Table:
    return {**_base(fields, count), "chunk_tokens": fields.number("attention_chunk_size")}


def _linear(fields: Fields, count: int) -> Table:
    """Read layers with a constant state: Mamba 2, a gated delta rule, or one with a decay per channel."""
    if "mamba_n_heads" in fields.data:
        return {
            "type": "mamba2",
            "layers": count,
            "heads": fields.number("mamba_n_heads"),
            "head_dim": fields.number("mamba_d_head"),
            "state_width": fields.number("mamba_d_state"),
            "state_groups": fields.number("mamba_n_groups"),
            "conv_kernel": fields.number("mamba_d_conv"),
        }
    if "linear_num_value_heads" in fields.data:
        return gated_delta(fields, count)
    if "linear_head_dim" not in fields.data:
        fields.used.update({"block_size", "full_attn_alpha_factor", "linear_attn_alpha_factor"})
        heads = gqa(fields, count, derive=True)
        return {"type": "lightning", "layers": count, "heads": heads["heads"], "head_dim": heads["head_dim"]}
    width = fields.number("linear_head_dim")
    return {
        "type": "kda",
        "layers": count,
        "heads": fields.number("linear_num_heads"),
        "head_dim": width,
        "conv_kernel": fields.number("linear_conv_kernel_dim"),
        "gate_rank": Noted(width, "reported", "gates go through a head's width, in the code of this family"),
    }


_READERS: dict[str, Callable[[Fields, int], Table]] = {
    "full": _base,
    "sparse": _base,
    "sliding": _sliding,
    "chunked": _chunked,
    "linear": _linear,
}
