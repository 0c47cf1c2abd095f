"""The index of sparse attention, and short convolutions: operations, bytes and times by hand and as timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Formats, Layers

if TYPE_CHECKING:
    from roofline_afd.serving.timing import Operator

SYSTEMS = {name: load_system(name) for name in ("h800", "h20", "gb200-nvl72", "a100")}
SPARSE = load_model("deepseek-v3.2")
DELTA = load_model("qwen3-next-80b-a3b")
INFERSIM = "https://github.com/alibaba/InferSim bench_data (commit f2293da)"


def _found(operators: Any, part: str) -> dict[str, Operator]:  # noqa: ANN401 - an iterator of operators
    return {item.name: item for item in operators if item.part == part}


def _sparse(system: str = "h800", formats: Formats | None = None, **sizes: Any) -> dict[str, Operator]:  # noqa: ANN401
    layers = Layers(model=SPARSE, attention=SYSTEMS[system], formats=formats or Formats())
    return _found(decode_operators(layers, **sizes), "sparse")


def _prompt(system: str, new: int, context: int) -> dict[str, Operator]:
    layers = Layers(model=SPARSE, attention=SYSTEMS[system])
    return _found(prefill_operators(layers, sequences=1, new_tokens=new, context=context), "sparse")


def test_logits_and_choice_by_hand() -> None:
    """64 sequences of 65,536 tokens on the H800: keys of 132 B and logits of 4 B over 0.82 of 3.35 TB/s."""
    found = _sparse(sequences=64, context=65536)
    logits, choice = found["index_logits"], found["index_choice"]
    assert logits.flops == 2 * 64 * 64 * 128 * 65536
    assert logits.bytes_moved == 64 * (65537 * 132 + 65536 * 4)
    assert float(logits.time) == pytest.approx(6.932e-6 + logits.bytes_moved / (3.35e12 * 0.8198), rel=1e-9)
    assert logits.kind == "measured"
    assert choice.bytes_moved == 64 * 65536 * 4
    expected = 48e-6 + 0.2e-9 * 65536 + choice.bytes_moved / (3.35e12 * 0.16)
    assert float(choice.time) == pytest.approx(expected, rel=1e-9)
    assert choice.kind == "estimated"
    core = found["core_attention"]
    assert core.flops == 2 * 64 * 128 * (576 + 512) * 2048  # no logits of the index among them


def test_prompts_are_scored_at_the_fp8_peak() -> None:
    """4,096 tokens after 61,440: the causal sum of keys, at 0.5761 of 1,979 TFLOP/s."""
    logits = _prompt("h800", 4096, 61440)["index_logits"]
    scored = 4096 * 61440 + 4096 * 4097 // 2
    assert logits.flops == 2 * 64 * 128 * scored
    assert float(logits.time) == pytest.approx(6.932e-6 + logits.flops / (0.5761 * 1.979e15), rel=1e-3)


@pytest.mark.parametrize(
    ("batch", "new", "context", "measured"),
    [(64, 1, 8192, 36.21), (64, 1, 32768, 108.896), (64, 1, 131072, 394.036), (64, 2, 65536, 211.607)],
)
def test_published_decode_logits_are_met(batch: int, new: int, context: int, measured: float) -> None:
    """Times [us] of InferSim on the H800 (`INFERSIM`): a second query token costs 3 %, not double."""
    logits = _sparse(sequences=batch, context=context, query_tokens=new)["index_logits"]
    assert float(logits.time) * 1e6 == pytest.approx(measured, rel=0.14), INFERSIM
    one = _sparse(sequences=batch, context=context)["index_logits"]
    assert float(logits.time) <= 1.04 * float(one.time)


@pytest.mark.parametrize(
    ("new", "context", "measured"),
    [(2048, 16384, 444.289), (4096, 16384, 833.438), (4096, 65536, 3674.0), (4096, 131072, 8143.0)],
)
def test_published_prompt_logits_are_met(new: int, context: int, measured: float) -> None:
    """Times [us] of InferSim on the H800 (`INFERSIM`), `context` in all, the new ones among them."""
    logits = _prompt("h800", new, context - new)["index_logits"]
    assert float(logits.time) * 1e6 == pytest.approx(measured, rel=0.08), INFERSIM


@pytest.mark.parametrize(
    ("batch", "context", "measured"),
    [(1, 4096, 148.8), (8, 65536, 184.6), (32, 131072, 291.2), (128, 16384, 271.2), (128, 131072, 666.5)],
)
def test_whole_sparse_modules_are_met(batch: int, context: int, measured: float) -> None:
    """Modules [us] of TensorRT-LLM 1.3.0rc20 on GB200 in fp8, from aiconfigurator-core 0.12.0."""
    found = _sparse("gb200-nvl72", Formats(cache="fp8"), sequences=batch, context=context)
    total = sum(float(item.time) for item in found.values() if item.side == "attention")
    assert total * 1e6 == pytest.approx(measured, rel=0.1)


def test_logits_run_at_the_nearest_peak_a_part_has() -> None:
    """The A100 has no fp8: its index multiplies in bf16, but keys stay 132 B."""
    formats = Formats(experts="bf16", others="bf16", dispatch="bf16")
    logits = _sparse("a100", formats, sequences=4, context=8192)["index_logits"]
    assert logits.arguments["peak"] == SYSTEMS["a100"].accelerator.peak_flop_per_s["bf16"]
    assert logits.bytes_moved == 4 * (8193 * 132 + 8192 * 4)


@given(st.sampled_from(["bf16", "fp8"]), st.integers(1, 512), st.integers(0, 1_000_000), st.integers(1, 4))
def test_an_index_does_not_depend_on_the_cache_beside_it(
    cache: str, sequences: int, context: int, query_tokens: int
) -> None:
    sizes: dict[str, Any] = {"sequences": sequences, "context": context, "query_tokens": query_tokens}
    plain, other = _sparse(**sizes), _sparse(formats=Formats(cache=cache), **sizes)
    for name in ("index_logits", "index_choice"):
        assert other[name].bytes_moved == plain[name].bytes_moved
        assert other[name].time == plain[name].time


@given(st.integers(1, 8192), st.integers(0, 200_000), st.integers(1, 8))
def test_a_prompt_in_parts_scores_as_many_keys(new: int, context: int, parts: int) -> None:
    whole = _prompt("h800", new * parts, context)["index_logits"].flops
    each = [_prompt("h800", new, context + new * index)["index_logits"].flops for index in range(parts)]
    assert float(np.sum(each)) == pytest.approx(float(whole), rel=1e-9)


@pytest.mark.parametrize(("cache", "size"), [("bf16", 2), ("fp8", 1)])
def test_memory_and_transfers_count_keys_as_they_are_kept(cache: str, size: int) -> None:
    """What a device holds of a sequence, and what moves to it from another pool: 132 B a layer beside 576."""
    deployments = Deployments(Scenario(system="h800", model="deepseek-v3.2", kv_precision=cache), EP)
    assert deployments.cache_of(10_000) == 10_000 * 61 * (576 * size + 132)
    assert deployments.cache_of(10_000, 8) == deployments.cache_of(10_000)  # every device has all keys


def test_borrowed_picks_cost_nothing() -> None:
    model = load_model("glm-5.2")
    found = list(decode_operators(Layers(model=model, attention=SYSTEMS["h800"]), sequences=8, context=65536))
    parts = {item.part for item in found if item.name in ("index_logits", "index_choice")}
    assert parts == {"sparse"}
    (logits,) = (item for item in found if item.name == "index_logits")
    assert logits.layers == 21


def test_blocks_are_chosen_among_blocks() -> None:
    """MiniMax M3 scores tokens, in bf16, and picks among blocks of 128."""
    layers = Layers(model=load_model("minimax-m3"), attention=SYSTEMS["h800"])
    found = _found(decode_operators(layers, sequences=2, context=12800), "sparse")
    assert found["index_logits"].bytes_moved == 2 * (12801 * 256 + 12800 * 4)
    assert found["index_logits"].arguments["peak"] == SYSTEMS["h800"].accelerator.peak_flop_per_s["bf16"]
    assert found["index_choice"].bytes_moved == 2 * 100 * 4


@pytest.mark.parametrize(
    ("batch", "convolution", "update"), [(64, 18, 129), (256, 49, 483), (1024, 159, 1914)]
)
def test_published_linear_layers_are_met(batch: int, convolution: float, update: float) -> None:
    """Times [us] of InferSim on the H20 (`INFERSIM`): gated delta, 16 key and 32 value heads of 128."""
    layers = Layers(model=DELTA, attention=SYSTEMS["h20"])
    kind = next(each for each in DELTA.attention if each.constant_state)
    assert (kind.key_heads, kind.heads, kind.head_dim) == (16, 32, 128)
    found = _found(decode_operators(layers, sequences=batch, context=1000), kind.name)
    assert float(found["convolution"].time) * 1e6 == pytest.approx(convolution, rel=0.08), INFERSIM
    assert float(found["core_attention"].time) * 1e6 == pytest.approx(update, rel=0.02), INFERSIM


def test_a_convolution_reads_what_it_keeps() -> None:
    """8,192 channels: three inputs kept, read and written, one in, one out, 2 B each; taps of a byte once."""
    layers = Layers(model=DELTA, attention=SYSTEMS["h20"])
    kind = next(each for each in DELTA.attention if each.constant_state)
    found = _found(decode_operators(layers, sequences=10, context=1000, query_tokens=2), kind.name)
    assert found["convolution"].bytes_moved == 10 * 8192 * 2 * (2 * 3 + 2 * 2) + 4 * 8192
    assert found["core_attention"].bytes_moved == 10 * (2 * 4 * 32 * 128 * 128 + 2 * 2 * (8192 + 4096))


def test_efficiencies_of_new_tables() -> None:
    """Of other parts, estimates: as the note of each record says."""
    h800, h20, other = (load_calibration(SYSTEMS[name]) for name in ("h800", "h20", "gb200-nvl72"))
    assert h800.of("index").kind == "measured"
    assert (h20.of("state").memory_kind, h20.of("convolution").memory_kind) == ("measured", "measured")
    assert {other.of(kernel).kind for kernel in ("index", "top_k", "state")} == {"estimated"}
    assert other.of("index").memory_efficiency == pytest.approx(h800.of("index").memory_efficiency, rel=0.01)
