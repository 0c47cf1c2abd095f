"""Operators of the FFN layers: the side of shared experts, packed products, whole modules, the choice."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import OperatorEfficiency, load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.module import Module, of_product
from roofline_afd.serving.sizes import TRANSPORTS, Layers

if TYPE_CHECKING:
    from roofline_afd.serving.timing import Operator

H800, GB200 = load_system("h800"), load_system("gb200-nvl72")
MODEL = load_model("deepseek-v3")
PRODUCTS = ("experts_up", "experts_down")
SIZES: dict[str, Any] = {"sequences": 64, "context": 4096, "attention_devices": 16}


def _found(layers: Layers, **sizes: Any) -> dict[str, Operator]:  # noqa: ANN401 - sizes of a step
    return {item.name: item for item in decode_operators(layers, **SIZES | sizes)}


def test_narrow_vectors_keep_shared_experts_at_home() -> None:
    """A model that dispatches a narrower vector cannot run its shared experts on the FFN side."""
    layers = Layers(model=load_model("nemotron-3-super-120b-a12b"), attention=H800, deployment="afd")
    found = {item.name: item for item in decode_operators(layers, sequences=8, context=100)}
    assert found["shared_up"].side == "attention"
    assert found["latent_down"].flops == 2 * 8 * 4096 * 1024


def test_a_module_by_hand() -> None:
    """Two products of half its fixed time each, and what it does to what it is handed.

    100 pairs on 4 experts of 8 x 16: up computes 2 x 100 x 32 x 8 = 51,200 operations, down 25,600, at half
    of 1e9 a second. Up moves 100 x (8 + 2 x 32) + 4 x 8 x 32 bytes, down 100 x (16 + 2 x 8) + 4 x 16 x 8:
    less than their operations take at half of 1e12. Handling: 8 x (100 x 2 us + 300 x 1 us).
    """
    module = Module(
        pairs=100, touched=4, tokens_handed=300, width=8, intermediate=16, matrices=3, peak=1e9,
        memory_bandwidth=1e12, input_bytes=1, weight_bytes=1,
    )  # fmt: skip
    found = OperatorEfficiency(
        compute_efficiency=0.5, memory_efficiency=0.5, launch_s=1e-3, pair_time_s=2e-6, token_time_s=1e-6,
        module=True,
    )  # fmt: skip
    up, down = (work for _, work, _ in module.products())
    assert (up.flops, down.flops) == (51_200, 25_600)
    assert (up.bytes_moved, down.bytes_moved) == (100 * (8 + 64) + 1024, 100 * (16 + 16) + 512)
    assert (up.rows, up.spread) == (25, True)
    assert of_product(found).launch_s == 0.5e-3
    assert of_product(dataclasses.replace(found, module=False)).launch_s == 1e-3
    assert module.times(found) == pytest.approx(1e-3 + (51_200 + 25_600) / 0.5e9 + 8 * 500e-6)


def test_copies_per_expert_arrive_sorted() -> None:
    """On GB200: packed products, and between them alone something is done with pairs."""
    found = _found(Layers(model=MODEL, attention=GB200))
    table = load_calibration(GB200).of("grouped_gemm", "fp8")
    for name in PRODUCTS:
        assert found[name].efficiency == "grouped_gemm"
        assert found[name].arguments["launch"] == pytest.approx(table.launch_s)
    handling = found["experts_handling"]
    pairs = found["experts_up"].arguments["pairs"]
    assert handling.arguments["width"] == 0
    assert handling.bytes_moved == pytest.approx(pairs * 2048 * (2 * 2 + 1))  # gate and up, then fp8


@pytest.mark.parametrize("transport", ["rank", "node"])
def test_copies_per_device_are_handled_by_whole_modules(transport: str) -> None:
    """On GB200: kernels that sort what they are handed, a copy for each device that a token reaches."""
    layers = Layers(model=MODEL, attention=GB200, transport=transport)
    found = _found(layers)
    table = load_calibration(GB200).of("experts", "fp8")
    assert table.module
    for name in PRODUCTS:
        assert found[name].efficiency == "experts"
        assert found[name].arguments["launch"] == pytest.approx(table.launch_s / 2)
    handling = found["experts_handling"]
    given_ = handling.arguments
    assert given_["tokens_handed"] == pytest.approx(64 * 16 * float(places_hit(layers, np.array(16))) / 16)
    assert given_["tokens_handed"] < given_["pairs"]  # experts of a token share devices
    expected = 7168 * (table.pair_time_s * given_["pairs"] + table.token_time_s * given_["tokens_handed"])
    assert handling.time == pytest.approx(expected, rel=1e-12)
    assert expected > 0


def test_without_whole_modules_bytes_are_handled() -> None:
    """On the H20 no module was timed: packed products, and passes over vectors that arrive unsorted."""
    h20 = load_system("h20")
    pair, rank = (_found(Layers(model=MODEL, attention=h20, transport=way)) for way in ("pair", "rank"))
    for name in PRODUCTS:
        assert pair[name].time == rank[name].time
    assert rank["experts_handling"].arguments["width"] == 7168
    more = rank["experts_handling"].bytes_moved - pair["experts_handling"].bytes_moved
    assert more == pytest.approx(pair["experts_up"].arguments["pairs"] * 7168 * (1 + 1 + 2 + 2))


def test_the_choice_of_experts_takes_a_time_of_its_own() -> None:
    """Once a layer with experts, whatever the tokens; a layer without small kernels of a dense one."""
    layers = Layers(model=MODEL, attention=H800, router_us=4.0, other_us=0.3)
    for count in (1, 64):
        found = _found(layers, sequences=count)
        choice = found["router_choice"]
        assert (choice.side, choice.time, choice.layers) == ("attention", pytest.approx(4e-6), 58)
        assert (found["dense_other"].time, found["dense_other"].layers) == (pytest.approx(0.3e-6), 3)


@given(
    st.sampled_from([H800, GB200, load_system("h20"), load_system("h200")]),
    st.sampled_from(TRANSPORTS),
    st.integers(1, 2048),
    st.floats(1.0, 4.0),
    st.sampled_from([0.67, 1.0]),
)
def test_more_tokens_never_make_experts_faster(
    system: Any,  # noqa: ANN401 - of either system
    transport: str,
    tokens: int,
    factor: float,
    exponent: float,
) -> None:
    """Nor slower per token; however alike they choose, and however they arrive."""
    layers = Layers(model=MODEL, attention=system, transport=transport, routing_exponent=exponent)
    few, many = (_found(layers, sequences=count) for count in (tokens, tokens * factor))
    names = (*PRODUCTS, "experts_handling")
    for name in names:
        assert many[name].time >= few[name].time * (1 - 1e-9), name
    one, two = (float(sum(found[name].time for name in names)) for found in (few, many))
    assert two <= one * factor * (1 + 1e-9)
