"""Families most of whose layers keep a constant state: each completes the shape, and returns its tables."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.attention import (
    count_layers,
    expect_no_window,
    gated_delta,
    gqa,
    mixed,
    mla,
    present,
)
from roofline_afd.catalogue.huggingface.experts import after_dense_ones, every_few, widen_shared
from roofline_afd.catalogue.huggingface.fields import Noted
from roofline_afd.catalogue.huggingface.general import general
from roofline_afd.catalogue.huggingface.grouped import plain
from roofline_afd.errors import shown

if TYPE_CHECKING:
    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Table, Tables


def kimi_linear(fields: Fields, shape: Shape) -> Tables:
    """Read Kimi Linear and Kimi K3: delta attention and latent attention."""
    layers = shape["layers"]
    if "linear_attn_config" not in fields.data:
        return general(fields, shape)
    shape["moe_layers"] = after_dense_ones(fields, layers)
    widen_shared(shape)
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
    return {"kda": kda, "full": mla(fields, len(kinds["full"]), output_gate=gate)}


def qwen_hybrid(fields: Fields, shape: Shape) -> Tables:
    """Read Qwen 3 Next and 3.5: a gated delta rule and gated attention."""
    layers = shape["layers"]
    shape["moe_layers"] = every_few(fields, layers)
    shape["shared_experts"] = 1
    kinds = fields.series("layer_types", layers, ("linear_attention", "full_attention"))
    full = kinds.count("full_attention")
    if not kinds or "full_attention_interval" in fields.data:
        every = fields.number("full_attention_interval")
        if kinds and full != layers // every:
            fields.fault(f"layer_types has {full} full layers, full_attention_interval {layers // every}")
        full = layers // every
    expect_no_window(fields)
    fields.expect("attn_output_gate", True)  # noqa: FBT003
    return {"linear": gated_delta(fields, layers - full), "full": gqa(fields, full, output_gate=True)}


def minimax_m1(fields: Fields, shape: Shape) -> Tables:
    """Read MiniMax M1: lightning attention."""
    fields.expect("shared_intermediate_size", 0)
    if "attn_type_list" not in fields.data:
        return general(fields, shape)
    tables = plain(fields, shape, derive=False)
    full = tables["full"]
    mix = count_layers(fields, "attn_type_list", shape["layers"], {0: "lightning", 1: "full"})
    linear = {"type": "lightning", "heads": full["heads"], "head_dim": full["head_dim"]}
    return mixed(mix, {"full": full, "lightning": linear})


BLOCKS = {
    "linear_attention": "M",
    "mamba": "M",
    "moe": "E",
    "full_attention": "*",
    "attention": "*",
    "mlp": "-",
}
"""Letters of a pattern by the words of a list of blocks."""


def nemotron(fields: Fields, shape: Shape) -> Tables:
    """Read Nemotron 3: Mamba 2, the kind of each layer as a letter."""
    fields.expect("expand", 2)
    fields.expect("sliding_window")
    for key in ("mlp_bias", "use_bias", "mamba_proj_bias"):
        fields.expect(key, False)  # noqa: FBT003
    listed = fields.value("layers_block_type")
    pattern = fields.value("hybrid_override_pattern")
    if pattern is None and isinstance(listed, list):
        pattern = "".join(BLOCKS.get(str(word), "?") for word in listed)
        shape["layers"] = len(listed)
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
    return present({"mamba": mamba, "full": gqa(fields, mix["*"])})


def jamba(fields: Fields, shape: Shape) -> Tables:
    """Read Jamba: Mamba, kinds of layers by period and offset."""
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
    return present({"mamba": mamba, "full": gqa(fields, places["full"], derive=True)})
