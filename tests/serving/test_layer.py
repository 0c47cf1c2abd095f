"""The operators of a layer: what they count agrees with the shape of every model, and limits hold."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import KERNELS, Calibration, load_calibration
from roofline_afd.catalogue.hardware import build_system, load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.sizes import TRANSPORTS, Formats, Layers

if TYPE_CHECKING:
    from roofline_afd.serving.timing import Operator

MODELS = Catalogue().ids("model")
H800 = load_system("h800")
SYSTEMS = {name: load_system(name) for name in ("h800", "h20", "mi300x", "gb200-nvl72", "tpu-v6e", "a100")}
SHAPES = {
    name: load_model(name)
    for name in ("deepseek-v3", "qwen3-next-80b-a3b", "deepseek-v4-flash", "nemotron-3-super-120b-a12b")
}
CORE = {"core_attention", "index_logits", "index_choice"}


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


FIXED = ("launch_s", "depth_time_s", "few_items_s", "cold_s", "pair_time_s", "token_time_s")
"""Times of efficiencies, whatever they are counted by."""


def _faster(calibration: Calibration, factor: float) -> Calibration:
    """Return efficiencies, one of each kernel, with all times over a factor."""

    def quicker(found: Any, keys: tuple[str, ...]) -> Any:  # noqa: ANN401 - a record of either kind
        return dataclasses.replace(found, **{key: getattr(found, key) / factor for key in keys})

    legs = {
        name: quicker(leg, ("latency_s", "message_s", "prepare_s"))
        for name, leg in (("up", calibration.link.up), ("out", calibration.link.out))
    }
    link = dataclasses.replace(calibration.link, **legs)
    return dataclasses.replace(
        calibration,
        link=link,
        given={kernel: quicker(calibration.of(kernel, "fp8"), FIXED) for kernel in KERNELS},
    )


@given(
    st.sampled_from(["h800", "gb200-nvl72", "h20"]),
    st.sampled_from(sorted(SHAPES)),
    QUESTIONS,
    st.floats(0.1, 10),
    st.sampled_from(TRANSPORTS),
)
def test_times_are_homogeneous(
    system: str, name: str, question: dict[str, Any], factor: float, transport: str
) -> None:
    """All rates times a factor and all fixed times over it: every time over it."""
    before = SYSTEMS[system]
    mine = _faster(load_calibration(before), 1.0)
    slow = dataclasses.replace(
        _layers(name, system, transport=transport),
        attention_calibration=mine,
        ffn_calibration=mine,
        other_us=20.0,
        router_us=7.0,
    )
    rates = ("bf16_tflops", "fp8_tflops", "memory_gb_per_s", "scale_up_gb_per_s", "scale_out_gb_per_s")
    faster = build_system(
        before.parts, overrides={key: before.quantities[key].value * factor for key in rates}
    )
    quick = _faster(load_calibration(before), factor)
    fast = dataclasses.replace(
        slow,
        attention=faster,
        attention_calibration=quick,
        ffn_calibration=quick,
        other_us=slow.other_us / factor,
        router_us=slow.router_us / factor,
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
