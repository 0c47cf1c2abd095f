"""Operators that mix a sequence: what core attention reads and computes, by type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.sizes import Formats, Layers

if TYPE_CHECKING:
    from roofline_afd.catalogue.attention import Attention
    from roofline_afd.serving.timing import Operator

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


def _core(system: str, name: str = "qwen3-235b-a22b", **sizes: Any) -> Operator:  # noqa: ANN401 - sizes of a step
    """Return core attention of a model whose layers all attend alike."""
    layers = Layers(model=load_model(name), attention=load_system(system))
    (found,) = (item for item in decode_operators(layers, **sizes) if item.name == "core_attention")
    return found


def _times_of(item: Operator) -> tuple[float, float, float]:
    """Return what a core waits for, computes without padding, and streams [s]: from its arguments."""
    given = item.arguments
    computing = item.flops / (given["peak"] * given["compute_efficiency"])
    moving = item.bytes_moved / (given["memory_bandwidth"] * given["memory_efficiency"])
    return given["launch"], float(computing), float(moving)


def test_padding_slows_the_time_and_no_count() -> None:
    """On the H20: sequences of 4 cached heads are dealt out to 78 processors; counts stay those needed.

    Operations are those of the result whatever the kernel fills up: the padding is a factor of the time.
    """
    kind = load_model("qwen3-235b-a22b").attention[0]
    assert (kind.heads, kind.cached_heads) == (64, 4)
    for query_tokens, rows in ((1, 16), (2, 32)):
        item = _core("h20", sequences=39, context=8192, query_tokens=query_tokens)
        assert item.flops == 2 * 39 * query_tokens * 64 * 256 * 8192
        assert item.arguments["rows"] == rows
        assert item.arguments["padding"] == 1.0  # 156 pieces: two whole waves of 78
        launch, computing, moving = _times_of(item)
        assert item.time == pytest.approx(launch + max(computing, moving), rel=1e-12)
    odd = _core("h20", sequences=35, context=8192, query_tokens=2)
    assert odd.flops == 2 * 35 * 2 * 64 * 256 * 8192
    assert odd.arguments["padding"] == pytest.approx(156 / 140)  # 140 pieces leave 16 of 156 places idle
    launch, computing, moving = _times_of(odd)
    assert computing > moving
    assert odd.time == pytest.approx(launch + computing * 156 / 140, rel=1e-12)


def test_rows_of_a_cached_head_fill_tiles() -> None:
    """Fewer query heads of a cached head than 16, or not a multiple, are computed as whole tiles of 16."""
    model = next(
        name
        for name in MODELS
        if (kinds := load_model(name).attention)
        and len(kinds) == 1
        and kinds[0].kernel == "gqa_decode"
        and kinds[0].heads / kinds[0].cached_heads % 16
    )
    kind = load_model(model).attention[0]
    rows = kind.heads / kind.cached_heads
    item = _core("h800", model, sequences=64, context=8192)
    assert item.arguments["tile_rows"] == 16
    assert item.arguments["padding"] == pytest.approx(-(-rows // 16) * 16 / rows)
    launch, computing, moving = _times_of(item)
    filled = computing * item.arguments["padding"]
    assert item.time == pytest.approx(launch + max(filled, moving), rel=1e-12)


def test_few_pieces_are_split() -> None:
    """On GB200: one sequence of 4 cached heads is 4 pieces, two doublings below 16, and waits for them."""
    alone, many = (_core("gb200-nvl72", sequences=count, context=65536) for count in (1, 4))
    assert (alone.arguments["growth"], many.arguments["growth"]) == (2.0, 0.0)
    assert alone.arguments["growth_time"] > 0
    for item, growth in ((alone, 2.0), (many, 0.0)):
        launch, computing, moving = _times_of(item)
        expected = launch + growth * item.arguments["growth_time"] + max(computing, moving)
        assert item.time == pytest.approx(expected, rel=1e-12)
    short = _core("gb200-nvl72", sequences=1, context=8192)
    assert short.arguments["growth"] == 2.0 / 4


def test_vectors_of_latent_cores_pass_by_themselves() -> None:
    """On the H800: queries and results of 128 heads, 576 and 512 wide, at a share of the bandwidth."""
    item = _core("h800", "deepseek-v3", sequences=16, context=4096)
    given = item.arguments
    assert given["vector_bytes"] == 16 * 128 * (576 + 512) * 2
    launch, computing, _ = _times_of(item)
    apart = given["vector_bytes"] / (given["memory_bandwidth"] * given["vector_efficiency"])
    rest = (item.bytes_moved - given["vector_bytes"]) / (
        given["memory_bandwidth"] * given["memory_efficiency"]
    )
    waiting = launch + given["growth"] * given["growth_time"]
    assert item.time == pytest.approx(waiting + apart + max(computing, rest), rel=1e-12)


def test_cores_multiply_in_the_format_of_the_cache_where_they_can() -> None:
    """TensorRT-LLM on GB200 multiplies a cache of fp8 in fp8: twice the peak, and half the bytes."""
    model, system = load_model("deepseek-v3"), load_system("gb200-nvl72")
    peaks = system.accelerator.peak_flop_per_s
    found = {}
    for cache in ("bf16", "fp8"):
        layers = Layers(model=model, attention=system, formats=Formats(cache=cache))
        items = decode_operators(layers, sequences=128, context=8192)
        found[cache] = next(item for item in items if item.name == "core_attention")
        assert found[cache].arguments["peak"] == peaks[cache]
    assert found["fp8"].time < found["bf16"].time
    on_h800 = Layers(model=model, attention=H800, formats=Formats(cache="fp8"))
    items = decode_operators(on_h800, sequences=128, context=8192)
    core = next(item for item in items if item.name == "core_attention")
    assert core.arguments["peak"] == H800.accelerator.peak_flop_per_s["bf16"]


def test_small_kernels_pass_over_what_tokens_have() -> None:
    """DeepSeek-V3 by hand, 32 tokens: 16 B an element of 7,168, 3 B an input of its products, 4 B a query.

    Products read 7,168 (query, key and value), 1,536 (queries), 128 x 128 (keys), 128 x 512 (values) and
    128 x 128 (output) elements in fp8, and 7,168 are sent so; queries are 128 heads of 576.
    """
    layers = Layers(model=load_model("deepseek-v3"), attention=H800, other_us=0.3)
    found = {item.name: item for item in decode_operators(layers, sequences=32, context=4096)}
    item = found["attention_other"]
    inputs = sum(found[name].arguments["k"] for name in ("query_key_value", "query_up", "attention_output"))
    assert inputs == 7168 + 1536 + 128 * 128
    per_head = 128 * (128 + 512)
    moved = 32 * (16 * 7168 + 3 * (inputs + per_head + 7168) + 4 * 128 * 576)
    assert item.bytes_moved == moved
    gemm = found["query_up"].arguments
    streaming = moved / (gemm["memory_bandwidth"] * gemm["memory_efficiency"])
    assert item.time == pytest.approx(0.3e-6 + streaming, rel=1e-12)
    assert (item.layers, item.side, item.kind) == (61, "attention", "derived")
