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
    kept = (layer.kv_heads or 0) * width
    if layer.chunk_tokens and context > layer.chunk_tokens:  # its own chunk, half of it on average
        return layer.chunk_tokens / 2 * kept
    return window * kept


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


def test_chunks_of_llama_4() -> None:
    """By hand, of 131,072 tokens: 36 layers attend to 4,096 and keep them, 12 to all.

    A prompt of 16,384 tokens is two chunks of 8,192 in those 36 layers; another 4,096 tokens read what is new
    alone, since the third chunk begins with them, and 4,096 more read both halves of it.
    """
    model = load_model("llama-4-maverick")
    assert [(kind.name, kind.layers, kind.chunk_tokens) for kind in model.attention] == [
        ("chunked", 36, 8192),
        ("global", 12, None),
    ]
    entry = 2 * 8 * 128 * 2  # keys and values of 8 heads of 128 elements, in bf16
    assert float(model.kv_bytes(131_072, 2)) == (36 * 4096 + 12 * 131_072) * entry
    assert float(model.kv_read_bytes(131_072, 2)) == (36 * 4096 + 12 * 131_072) * entry
    assert float(model.kv_bytes(8192, 2)) == 48 * 8192 * entry
    layers = Layers(model=model, attention=H800)

    def core(new: int, context: int) -> tuple[float, float]:
        found = prefill_operators(layers, sequences=1, new_tokens=new, context=context)
        (item,) = (each for each in found if each.name == "core_attention" and each.part == "chunked")
        return float(item.flops), float(item.bytes_moved)

    vectors = 2 * 40 * 128 * 2
    chunk = 8192 * 8193 / 2
    assert core(16_384, 0) == (2 * 40 * 256 * 2 * chunk, 16_384 * (entry + vectors))
    assert core(4096, 16_384) == (2 * 40 * 256 * 4096 * 4097 / 2, 4096 * (entry + vectors))
    first = 2 * 40 * 256 * 4096 * 4097 / 2
    assert core(4096, 20_480) == (2 * 40 * 256 * chunk - first, 8192 * entry + 4096 * vectors)


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
