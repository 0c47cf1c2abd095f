"""Families with grouped-query attention in every layer: each completes the shape, and returns its tables."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.attention import count_layers, expect_no_window, gqa
from roofline_afd.catalogue.huggingface.experts import after_dense_ones, every_few, widen_shared
from roofline_afd.catalogue.huggingface.fields import Noted
from roofline_afd.errors import shown

if TYPE_CHECKING:
    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Table, Tables


def plain(fields: Fields, shape: Shape, *, derive: bool = True) -> Tables:
    """Read a family whose layers are all alike."""
    shape["moe_layers"] = shape["layers"]
    fields.expect("sliding_window", shape["max_context_tokens"])
    return {"full": gqa(fields, shape["layers"], derive=derive)}


def arctic(fields: Fields, shape: Shape) -> Tables:
    """Read Arctic: a dense branch beside the experts."""
    fields.expect("moe_layer_frequency", 1)
    fields.expect("parallel_attn_mlp_res", True)  # noqa: FBT003
    fields.expect("use_residual", True)  # noqa: FBT003
    note = "the dense branch is as wide as the residual stream, in the code of this family"
    shape["shared_experts"] = 1
    shape["shared_expert_intermediate"] = Noted(shape["hidden_size"], "reported", note)
    return plain(fields, shape)


def dbrx(fields: Fields, shape: Shape) -> Tables:
    """Read DBRX, which writes attention and experts as objects of their own."""
    attention, ffn = fields.table("attn_config"), fields.table("ffn_config")
    layers = shape["moe_layers"] = shape["layers"]
    shape["routed_experts"] = ffn.number("moe_num_experts")
    shape["top_k"] = ffn.number("moe_top_k")
    shape["expert_intermediate"] = ffn.number("ffn_hidden_size")
    heads = fields.number("n_heads")
    width = Noted(max(shape["hidden_size"] // heads, 1), "derived", "d_model / n_heads")
    attention_ignored = frozenset({"attn_pdrop", "clip_qkv", "rope_theta", "model_type"})
    kv_heads = attention.number("kv_n_heads")
    fields.expect("num_key_value_heads", kv_heads)
    attention.unknown(attention_ignored)
    ffn.unknown(
        frozenset(
            {
                *(
                    "ffn_act_fn",
                    "hidden_size",
                    "moe_jitter_eps",
                    "moe_loss_weight",
                    "moe_normalize_expert_weights",
                ),
                *("model_type", "uniform_expert_assignment"),
            }
        )
    )
    full: Table = {"type": "gqa", "layers": layers, "heads": heads, "kv_heads": kv_heads, "head_dim": width}
    return {"full": full}


def minimax_m2(fields: Fields, shape: Shape) -> Tables:
    """Read MiniMax M2."""
    fields.expect("attn_type_list", [1] * shape["layers"])
    fields.expect("shared_intermediate_size", 0)
    fields.expect("mtp_transformer_layers", 1)
    if not fields.flag("use_mtp", absent=True):
        shape["mtp_layers"] = 0
    return plain(fields, shape, derive=False)


def minimax_m3(fields: Fields, shape: Shape) -> Tables:
    """Read MiniMax M3: an index that chooses blocks."""
    layers = shape["layers"]
    shape["moe_layers"] = after_dense_ones(fields, layers)
    fields.expect("attention_output_gate", False)  # noqa: FBT003
    sparse = fields.table("sparse_attention_config")
    sparse.expect("use_sparse_attention", True)  # noqa: FBT003
    sparse.expect("sparse_init_block", 0)
    mix = count_layers(sparse, "sparse_attention_freq", layers, {0: "full", 1: "sparse"})
    block, blocks = sparse.number("sparse_block_size"), sparse.number("sparse_topk_blocks")
    index: Table = {
        "index_heads": sparse.number("sparse_num_index_heads"),
        "index_head_dim": sparse.number("sparse_index_dim"),
        "index_top_k": Noted(block * blocks, "derived", f"{blocks} blocks of {block} tokens"),
        "index_block_tokens": block,
        "index_precision": "bf16",
    }
    sparse.unknown(frozenset({"sparse_disable_index_value", "sparse_local_block", "sparse_score_type"}))
    return {name: gqa(fields, times, **(index if name == "sparse" else {})) for name, times in mix.items()}


def glm4(fields: Fields, shape: Shape) -> Tables:
    """Read GLM 4.5 to 4.7 and Ling: the first layers dense, shared experts."""
    shape["moe_layers"] = after_dense_ones(fields, shape["layers"])
    widen_shared(shape)
    if shape["shared_experts"] == 1:
        fields.expect("moe_shared_expert_intermediate_size", shape["expert_intermediate"])
    return {"full": gqa(fields, shape["layers"], derive=True)}


def qwen(fields: Fields, shape: Shape) -> Tables:
    """Read Qwen 2 and 3, of which only the former has a shared expert."""
    shape["moe_layers"] = every_few(fields, shape["layers"])
    qwen2 = shape.get("shared_expert_intermediate")
    if qwen2:
        shape["shared_experts"] = 1
    expect_no_window(fields)
    return {"full": gqa(fields, shape["layers"], derive=True)}


def ernie(fields: Fields, shape: Shape) -> Tables:
    """Read ERNIE 4.5: experts in a range of layers."""
    layers = shape["layers"]
    start = fields.number("moe_layer_start_index", minimum=0)
    end = fields.number("moe_layer_end_index", null=-1, missing=-1, minimum=-1)
    end = layers - 1 if end == -1 else end
    step = fields.number("moe_layer_interval", missing=1)
    shape["moe_layers"] = sum((layer + 1) % step == 0 and start <= layer <= end for layer in range(layers))
    widen_shared(shape)
    return {"full": gqa(fields, layers, derive=True)}


def hunyuan(fields: Fields, shape: Shape) -> Tables:
    """Read Hunyuan: numbers given for each layer, and layers that borrow a cache."""
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
    widen_shared(shape)
    fields.expect("use_mixed_mlp_moe", True)  # noqa: FBT003
    fields.expect("moe_layer_num_skipped", 0)
    table = gqa(fields, layers, derive=True)
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


def step3(fields: Fields, shape: Shape) -> Tables:
    """Read Step 3: queries through a bottleneck, MoE layers as a list in a text."""
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
