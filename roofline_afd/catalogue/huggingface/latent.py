"""Families with latent attention: each completes the shape it is given, and returns its attention tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.attention import index_of, mla
from roofline_afd.catalogue.huggingface.experts import after_dense_ones, widen_shared
from roofline_afd.catalogue.huggingface.fields import Noted

if TYPE_CHECKING:
    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Table, Tables


def deepseek(fields: Fields, shape: Shape) -> Tables:
    """Read DeepSeek V2 to V3.2 and what is shaped like them: Kimi K2, GLM 4.7 Flash and 5."""
    layers = shape["layers"]
    shape["moe_layers"] = after_dense_ones(fields, layers)
    widen_shared(shape)
    if fields.data.get("topk_method") == "greedy":
        shape["expert_groups"] = 1
    if "index_topk" not in fields.data:
        return {"full": mla(fields, layers)}
    kinds = fields.series("indexer_types", layers, ("full", "shared"))
    if not kinds:
        fields.expect("index_topk_freq", 1)
        fields.expect("index_topk_pattern")
    fields.used.update({"index_topk_freq", "index_topk_pattern"})
    index, borrowed = index_of(fields), kinds.count("shared")
    tables = {"sparse": mla(fields, layers - borrowed, **index)}
    if borrowed:
        chosen = {"index_top_k": index["index_top_k"], "shared_index": True}
        tables["sparse-shared-index"] = mla(fields, borrowed, **chosen)
    return tables


def deepseek_v4(fields: Fields, shape: Shape) -> Tables:
    """Read DeepSeek V4: a compressed cache, by layer in one of three ratios."""
    layers = shape["moe_layers"] = shape["layers"]
    widen_shared(shape)
    fields.expect("num_key_value_heads", 1)
    mtp = shape.get("mtp_layers", 0)
    words = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
    if "compress_ratios" in fields.data:
        ratios = fields.series("compress_ratios", layers + mtp, (0, 4, 128))[:layers]
    else:
        ratios = [words[word] for word in fields.series("layer_types", layers, words)]
        fields.expect("compress_rates", {word: ratio for word, ratio in words.items() if ratio})
        kinds = fields.series("mlp_layer_types", layers, ("hash_moe", "moe"))
        shape["hash_routed_layers"] = kinds.count("hash_moe")
    if not ratios:
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
    index = index_of(fields)
    tables: Tables = {}
    for ratio, times in sorted(Counter(ratios).items()):
        table: Table = {**base, "layers": times}
        if ratio:
            table["compress_ratio"] = ratio
        if ratio == 4:  # noqa: PLR2004 - only the weakly compressed history is long enough for an index
            table.update(index)
        tables[f"compressed-{ratio}" if ratio else "window"] = table
    return tables


def longcat(fields: Fields, shape: Shape) -> Tables:
    """Read LongCat: two attention layers and two dense ones in each block, experts that compute nothing."""
    twice = 2 * shape["layers"]
    fields.expect("num_hidden_layers", twice, shape["layers"])
    fields.expect("zero_expert_type", "identity")
    fields.expect("attention_method", "MLA", "mla")
    shape["moe_layers"] = shape["layers"]
    shape["dense_layers"] = Noted(twice, "derived", "two in each block")
    return {"full": mla(fields, twice)}
