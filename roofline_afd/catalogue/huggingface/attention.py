"""Attention tables as several families spell them: grouped queries, latents, an index, layers by kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.fields import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.huggingface.fields import Fields, Table, Tables


def gqa(fields: Fields, layers: int, *, derive: bool = False, **changed: Any) -> Table:  # noqa: ANN401
    """Read grouped-query attention; only where a family has no other default is a head width derived."""
    heads = fields.number("num_attention_heads")
    kv_heads = fields.number("num_key_value_heads", null=heads)
    if heads % kv_heads:
        fields.fault(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    table: Table = {"type": "gqa", "layers": layers, "heads": heads, "kv_heads": kv_heads}
    if derive and fields.data.get("head_dim") is None:
        fields.used.add("head_dim")
        hidden = fields.number("hidden_size")
        table["head_dim"] = Noted(
            max(hidden // heads, 1), "derived", "hidden_size / num_attention_heads, rounded down"
        )
    else:
        table["head_dim"] = fields.number("head_dim")
    return {**table, **changed}


def mla(fields: Fields, layers: int, **changed: Any) -> Table:  # noqa: ANN401
    """Read latent attention, whose heads share one cached latent."""
    table: Table = {
        "type": "mla",
        "layers": layers,
        "heads": fields.number("num_attention_heads"),
        "head_dim": fields.number("qk_nope_head_dim"),
        "value_head_dim": fields.number("v_head_dim"),
        "rope_head_dim": fields.number("qk_rope_head_dim", minimum=0, least=0) or None,
        "q_lora_rank": fields.number("q_lora_rank", null=0, missing=0) or None,
        "kv_lora_rank": fields.number("kv_lora_rank"),
    }
    fields.expect("num_key_value_heads", table["heads"])
    fields.expect("qk_head_dim", table["head_dim"] + (table["rope_head_dim"] or 0))
    return {**table, **changed}


def index_of(fields: Fields) -> Table:
    """Read the index that chooses which cached entries a token attends to."""
    """Read latent attention, whose cached latents all heads share."""
    return {
        "index_heads": fields.number("index_n_heads"),
        "index_head_dim": fields.number("index_head_dim"),
        "index_top_k": fields.number("index_topk"),
    }


def blocks_of(fields: Fields) -> Table:
    """Read an index that chooses whole blocks of cached entries."""
    block, blocks = fields.number("index_block_size"), fields.number("index_topk_blocks")
    fields.used.add("index_local_blocks")
    return {
        "index_heads": fields.number("index_n_heads"),
        "index_head_dim": fields.number("index_head_dim"),
        "index_top_k": Noted(block * blocks, "derived", f"{blocks} blocks of {block} tokens"),
        "index_block_tokens": block,
        "index_precision": "bf16",
    }


def gated_delta(fields: Fields, layers: int) -> Table:
    """Read layers with a gated delta rule."""
    return {
        "type": "gated-delta",
        "layers": layers,
        "heads": fields.number("linear_num_value_heads"),
        "key_heads": fields.number("linear_num_key_heads"),
        "head_dim": fields.number("linear_key_head_dim"),
        "value_head_dim": fields.number("linear_value_head_dim"),
        "conv_kernel": fields.number("linear_conv_kernel_dim"),
    }


def count_layers(fields: Fields, key: str, layers: int, valid: Mapping[object, str]) -> dict[str, int]:
    """Count the layers of each kind in a per-layer list; `valid` maps its entries to our names."""
    series = fields.series(key, layers, valid)
    if not series:
        if key not in fields.data:
            fields.fault(f"missing {key}")
        return {}
    return dict(Counter(valid[one] for one in series))


def mixed(mix: Mapping[str, int], tables: Tables) -> Tables:
    """Return the tables of a mix of layers, each with its count."""
    return {name: {**tables[name], "layers": times} for name, times in mix.items()}


def present(tables: Tables) -> Tables:
    """Return the tables that have a layer."""
    return {name: table for name, table in tables.items() if table["layers"]}


def expect_no_window(fields: Fields) -> None:
    """Refuse windows in a family that has them only where a flag says so."""
    fields.expect("use_sliding_window", False)  # noqa: FBT003
    fields.used.add("sliding_window")
