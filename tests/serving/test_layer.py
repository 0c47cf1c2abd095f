"""The operators of a layer: what they count agrees with the shape of every model, and limits hold."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import Calibration, load_calibration
from roofline_afd.catalogue.hardware import build_system, load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.layer import (
    TRANSPORTS,
    Formats,
    Layers,
    Operator,
    decode_operators,
    prefill_operators,
)

if TYPE_CHECKING:
    from roofline_afd.catalogue.attention import Attention

MODELS = Catalogue().ids("model")
H800 = load_system("h800")
SYSTEMS = {name: load_system(name) for name in ("h800", "h20", "mi300x", "gb200-nvl72", "tpu-v6e", "a100")}
SHAPES = {
    name: load_model(name)
    for name in ("deepseek-v3", "qwen3-next-80b-a3b", "deepseek-v4-flash", "nemotron-3-super-120b-a12b")
}
CORE = {"core_attention"}


def _total(found: list[Operator], quantity: str, *, without: set[str] = CORE) -> float:
    return float(sum(item.layers * getattr(item, quantity) for item in found if item.name not in without))


@pytest.mark.parametrize("name", MODELS)
def test_products_count_two_operations_a_parameter(name: str) -> None:
    """One device with all experts: 2 FLOPs for each active parameter of a token, in decode and prefill."""
    model = load_model(name)
    layers = Layers(model=model, attention=H800)
    expected = 2.0 * model.active_params
    assert _total(list(decode_operators(layers, sequences=1, context=1000)), "flops") == pytest.approx(
        expected, rel=1e-6
    )
    prompt = list(prefill_operators(layers, sequences=1, new_tokens=1))
    assert _total(prompt, "flops") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_products_read_every_parameter_once(name: str) -> None:
    """With so many tokens that all experts are touched, weights are read whole, a byte each in fp8."""
    model = load_model(name)
    free = Formats(experts="fp8", others="fp8")
    layers = Layers(model=model, attention=H800, formats=free)
    sizes: dict[str, Any] = {"context": 1000, "attention_devices": 1}
    one, two = (list(decode_operators(layers, sequences=count, **sizes)) for count in (1_000_000, 2_000_000))
    skipped = {*CORE, "dispatch", "combine", "embedding"}
    weights = 2 * _total(one, "bytes_moved", without=skipped) - _total(two, "bytes_moved", without=skipped)
    parts = model.params_by_part
    table = parts["output_head"] or parts["embedding"]
    wide = parts["router"] + parts["residual_streams"] + table  # these stay in bf16
    rest = model.total_params - parts["embedding"] - parts["output_head"] + table - wide
    assert weights == pytest.approx(rest + 2.0 * wide, rel=1e-6)


def _independent_core(layer: Attention, context: int) -> float:
    """Return the cached elements one token reads, written out by type of attention."""
    index = (layer.index_head_dim or 0) * context if layer.index_heads else 0
    chosen = min(context, layer.index_top_k or context)
    window = min(chosen, layer.window_tokens or chosen)
    if layer.type == "mla":
        assert layer.kv_lora_rank is not None
        assert layer.rope_head_dim is not None
        return chosen * (layer.kv_lora_rank + layer.rope_head_dim) + index
    if layer.type == "compressed":
        blocks = context / layer.compress_ratio if layer.compress_ratio else 0
        keys = (layer.index_head_dim or 0) * blocks if layer.index_heads else 0
        picked = min(blocks, layer.index_top_k or blocks)
        return (min(context, layer.window_tokens or context) + picked) * layer.head_dim + keys
    width = layer.head_dim + (layer.value_head_dim or layer.head_dim)
    return window * (layer.kv_heads or 0) * width + index


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
            assert none[layer.name].bytes_moved > 2 * 3 * 4 * layer.state_elements
        else:
            assert grown == pytest.approx(3 * 2 * _independent_core(layer, contexts[1]))
            assert more > 0


@pytest.mark.parametrize("name", MODELS)
def test_prefill_is_decode_token_by_token(name: str) -> None:
    """Operations of core attention over a prompt: the sum over its tokens, each seeing itself."""
    model = load_model(name)
    layers = Layers(model=model, attention=H800)
    prompt = 64
    found = {
        item.part: item.flops
        for item in prefill_operators(layers, sequences=1, new_tokens=prompt)
        if item.name == "core_attention"
    }
    for layer in model.attention:
        steps = float(sum(np.asarray(layer.core_flops(context)) for context in range(1, prompt + 1)))
        if layer.type == "mla" and layer.index_top_k is None:  # unfolded: narrower heads than the latent
            steps *= sum(layer.core_widths(absorbed=False)) / sum(layer.core_widths())
        assert found[layer.name] == pytest.approx(steps), layer.name


def _layers(name: str, system: str, **more: Any) -> Layers:  # noqa: ANN401 - any field
    bf16 = Formats(experts="bf16", others="bf16", dispatch="bf16") if system == "a100" else Formats()
    if "fp8" not in SYSTEMS[system].accelerator.peak_flop_per_s:
        bf16 = Formats(experts="bf16", others="bf16", dispatch="bf16")
    return Layers(model=SHAPES[name], attention=SYSTEMS[system], formats=bf16, **more)


QUESTIONS = st.fixed_dictionaries(
    {
        "sequences": st.integers(1, 1024),
        "context": st.integers(0, 200_000),
        "query_tokens": st.integers(1, 4),
        "attention_devices": st.integers(1, 400),
    }
)


@given(
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from(sorted(SYSTEMS)),
    QUESTIONS,
    st.sampled_from(["sequences", "context", "query_tokens"]),
    st.integers(1, 1000),
)
def test_times_are_monotone_and_above_the_roofline(
    name: str, system: str, question: dict[str, Any], grown: str, more: int
) -> None:
    """No operator is faster for a larger size, nor than its operations or its bytes allow."""
    layers = _layers(name, system)
    before = list(decode_operators(layers, **question))
    after = list(decode_operators(layers, **(question | {grown: question[grown] + more})))
    accelerator = SYSTEMS[system].accelerator
    for small, large in zip(before, after, strict=True):
        assert large.time >= small.time * (1 - 1e-9), small.name
        if small.side != "network":
            assert small.time >= small.bytes_moved / accelerator.memory_bytes_per_s * (1 - 1e-12)
            assert small.time >= small.flops / max(accelerator.peak_flop_per_s.values()) * (1 - 1e-12)


def _faster(calibration: Calibration, factor: float) -> Calibration:
    times = {
        "gemm": ("launch_s", "depth_time_s"),
        "grouped_gemm": ("launch_s", "depth_time_s"),
        "attention": ("launch_s", "depth_time_s"),
        "link": ("latency_up_s", "latency_out_s"),
    }
    parts: dict[str, Any] = {}
    for part, keys in times.items():
        slow = getattr(calibration, part)
        parts[part] = dataclasses.replace(slow, **{key: getattr(slow, key) / factor for key in keys})
    return Calibration(**parts)


@given(st.sampled_from(sorted(SHAPES)), QUESTIONS, st.floats(0.1, 10), st.sampled_from(TRANSPORTS))
def test_times_are_homogeneous(name: str, question: dict[str, Any], factor: float, transport: str) -> None:
    """All rates times a factor and all fixed times over it: every time over it."""
    slow = dataclasses.replace(_layers(name, "h800", transport=transport), other_us=20.0)
    rates = ("bf16_tflops", "fp8_tflops", "memory_gb_per_s", "scale_up_gb_per_s", "scale_out_gb_per_s")
    faster = build_system(H800.parts, overrides={key: H800.quantities[key].value * factor for key in rates})
    fast = dataclasses.replace(
        slow,
        attention=faster,
        attention_calibration=_faster(load_calibration(H800), factor),
        ffn_calibration=_faster(load_calibration(H800), factor),
        other_us=slow.other_us / factor,
    )
    for one, two in zip(decode_operators(slow, **question), decode_operators(fast, **question), strict=True):
        assert two.time == pytest.approx(one.time / factor, rel=1e-9), one.name


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_limits(transport: str) -> None:
    """One token and no context; all experts on one device; more devices than experts."""
    model = SHAPES["deepseek-v3"]
    layers = Layers(model=model, attention=H800, transport=transport)
    found = {item.name: item for item in decode_operators(layers, sequences=1, context=0)}
    assert found["dispatch"].time == found["combine"].time == 0
    assert found["router"].time > 0
    assert found["core_attention"].flops == 0
    assert found["experts_up"].flops == 2 * 8 * 2 * 2048 * 7168
    spread = {
        item.name: item for item in decode_operators(layers, sequences=64, context=0, attention_devices=1024)
    }
    assert spread["experts_up"].flops == pytest.approx(64 * 8 * 2 * 2 * 2048 * 7168)
    assert float(spread["dispatch"].time) > 0


def test_afd_shares_the_attention_side_out() -> None:
    """Tokens of all attention devices reach the FFN devices; within one domain nothing crosses scale-out."""
    model = SHAPES["deepseek-v3"]
    apart = Layers(model=model, attention=H800, deployment="afd", transport="node")
    sizes: dict[str, Any] = {"sequences": 64, "context": 4096, "attention_devices": 24, "ffn_devices": 8}
    found = {item.name: item for item in decode_operators(apart, **sizes)}
    assert found["experts_up"].flops == pytest.approx(24 * 64 * 8 / 8 * 2 * 2 * 2048 * 7168)
    assert found["shared_up"].flops == pytest.approx(24 * 64 / 8 * 2 * 2 * 2048 * 7168)
    assert {"dispatch_dense", "combine_dense"} <= set(found)
    assert found["dispatch"].arguments["scale_out_bytes"] == pytest.approx(24 * 64 * 7392)
    inside = dataclasses.replace(apart, attention=SYSTEMS["gb200-nvl72"])
    found = {item.name: item for item in decode_operators(inside, **sizes)}
    assert found["dispatch"].arguments["scale_out_bytes"] == 0
    assert found["dispatch"].arguments["scale_up_bytes"] == pytest.approx(24 * 64 * 8 * 7392)
    at_home = dataclasses.replace(apart, dense_side="attention")
    found = {item.name: item for item in decode_operators(at_home, **sizes)}
    assert found["shared_up"].side == found["dense_up"].side == "attention"
    assert "dispatch_dense" not in found


def test_narrow_vectors_keep_shared_experts_at_home() -> None:
    """A model that dispatches a narrower vector cannot run its shared experts on the FFN side."""
    layers = Layers(model=SHAPES["nemotron-3-super-120b-a12b"], attention=H800, deployment="afd")
    found = {item.name: item for item in decode_operators(layers, sequences=8, context=100)}
    assert found["shared_up"].side == "attention"
    assert found["latent_down"].flops == 2 * 8 * 4096 * 1024


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


def test_open_axes() -> None:
    """Each operator has the axes it depends on."""
    layers = Layers(model=SHAPES["deepseek-v3"], attention=H800)
    batch, context = np.arange(1, 401)[:, None], np.linspace(0, 1e5, 300)[None, :]
    found = {item.name: item for item in decode_operators(layers, sequences=batch, context=context)}
    assert np.shape(found["query_up"].time) == (400, 1)
    assert np.shape(found["core_attention"].time) == (400, 300)
    one = decode_operators(layers, sequences=400, context=context[0, -1])
    for item in one:
        time = np.broadcast_to(found[item.name].time, (400, 300))
        assert time[-1, -1] == pytest.approx(float(item.time)), item.name


def test_questions_that_contradict_themselves() -> None:
    """Unknown words, and FFN devices where every device does both."""
    model = SHAPES["deepseek-v3"]
    with pytest.raises(InputError, match="did you mean 'rank'"):
        Layers(model=model, attention=H800, transport="ranks")
    with pytest.raises(InputError, match="belongs to deployment afd"):
        list(decode_operators(Layers(model=model, attention=H800), sequences=1, context=0, ffn_devices=8))
    narrow = Layers(model=model, attention=build_system(H800.parts), formats=Formats(experts="int4"))
    assert all(float(item.time) >= 0 for item in decode_operators(narrow, sequences=8, context=100))


def test_efficiencies_have_kinds() -> None:
    """What was never measured says so, operator by operator."""
    grouped = Layers(model=load_model("qwen3-235b-a22b"), attention=H800)
    core = next(
        item
        for item in decode_operators(grouped, sequences=64, context=8192)
        if item.name == "core_attention"
    )
    assert core.kind == "estimated"  # memory binds, and its share was never measured
    for name, kinds in (("h800", {"measured"}), ("mi300x", {"estimated"})):
        layers = Layers(model=SHAPES["deepseek-v3"], attention=load_system(name))
        timed = [item for item in decode_operators(layers, sequences=128, context=4096) if item.efficiency]
        found = {item.kind for item in timed if item.efficiency in ("gemm", "grouped_gemm", "attention")}
        assert found == kinds, name
