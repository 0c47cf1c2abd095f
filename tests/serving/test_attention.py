"""Operators that mix a sequence: what core attention reads and computes, by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.sizes import Layers

if TYPE_CHECKING:
    from roofline_afd.catalogue.attention import Attention

MODELS = Catalogue().ids("model")
H800 = load_system("h800")


def _independent_core(layer: Attention, context: int) -> float:
    """Return the cached elements one token reads, written out by type of attention."""
    chosen = min(context, layer.index_top_k or context)
    window = min(chosen, layer.window_tokens or chosen)
    if layer.type == "mla":
        assert layer.kv_lora_rank is not None
        assert layer.rope_head_dim is not None
        return chosen * (layer.kv_lora_rank + layer.rope_head_dim)
    if layer.type == "compressed":
        blocks = context / layer.compress_ratio if layer.compress_ratio else 0
        picked = min(blocks, layer.index_top_k or blocks)
        return (min(context, layer.window_tokens or context) + picked) * layer.head_dim
    width = layer.head_dim + (layer.value_head_dim or layer.head_dim)
    return window * (layer.kv_heads or 0) * width


@pytest.mark.parametrize("name", MODELS)
def test_core_attention_reads_the_cache_it_attends_to(name: str) -> None:
    """Bytes grow with context by what is cached, counted by type; constant states do not grow at all."""
    model = load_model(name)
    layers = Layers(model=model, attention=H800)
    contexts = (0, 100_000)
    none, many = (
        {
            item.part: item
            for item in decode_operators(layers, sequences=3, context=context)
            if item.name == "core_attention"
        }
        for context in contexts
    )
    for layer in model.attention:
        grown = many[layer.name].bytes_moved - none[layer.name].bytes_moved
        more = many[layer.name].flops - none[layer.name].flops
        if layer.constant_state:
            assert grown == more == 0
            assert none[layer.name].bytes_moved > 2 * 3 * 4 * layer.matrix_elements
        else:
            assert grown == pytest.approx(3 * 2 * _independent_core(layer, contexts[1]))
            assert more > 0


@pytest.mark.parametrize("name", MODELS)
def test_prefill_is_decode_token_by_token(name: str) -> None:
    """Operations of index and core attention over a prompt: the sum over its tokens, each seeing itself."""
    model = load_model(name)
    layers = Layers(model=model, attention=H800)
    prompt = 64
    found: dict[str, float] = {}
    for item in prefill_operators(layers, sequences=1, new_tokens=prompt):
        if item.name in ("core_attention", "index_logits"):
            found[item.part] = found.get(item.part, 0.0) + float(item.flops)
    for layer in model.attention:
        steps = float(sum(np.asarray(layer.core_flops(context)) for context in range(1, prompt + 1)))
        if layer.type == "mla" and layer.index_top_k is None:  # unfolded: narrower heads than the latent
            steps *= sum(layer.core_widths(absorbed=False)) / sum(layer.core_widths())
        assert found[layer.name] == pytest.approx(steps), layer.name


def test_padding_raises_operations_only() -> None:
    """Sixteen query heads of a cached head fill a tile of 64 rows to a quarter."""
    model: Model = load_model("qwen3-235b-a22b")
    plain, padded = (
        next(
            item
            for item in decode_operators(
                Layers(model=model, attention=H800, tile_rows=rows), sequences=8, context=1000
            )
            if item.name == "core_attention"
        )
        for rows in (1, 64)
    )
    assert padded.flops == pytest.approx(4 * plain.flops)
    assert padded.bytes_moved == plain.bytes_moved
