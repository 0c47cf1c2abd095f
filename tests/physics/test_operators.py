"""Properties of operator and network formulas: monotone, above the roofline, homogeneous, right limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import network, operators
from roofline_afd.physics.routing import nodes_hit_uniform

SIZES = st.integers(1, 1 << 16)
EFFICIENCIES = st.fixed_dictionaries(
    {
        "peak": st.floats(1e13, 1e16),
        "memory_bandwidth": st.floats(1e11, 1e13),
        "compute_efficiency": st.floats(0.05, 1.0),
        "half_saturation_tokens": st.floats(0.0, 1e3),
        "memory_efficiency": st.floats(0.05, 1.0),
        "launch": st.floats(0.0, 1e-4),
        "depth_time": st.floats(0.0, 1e-8),
    }
)
FORMATS = {"input_bytes": 1.0, "weight_bytes": 1.0, "output_bytes": 2.0}


def _gemm(m: float, n: float, k: float, efficiency: dict[str, float]) -> float:
    return float(
        operators.operator_time(
            flops=operators.gemm_flops(m=m, n=n, k=k),
            bytes_moved=operators.gemm_bytes(m=m, n=n, k=k, **FORMATS),
            tokens=m,
            depth=k,
            **efficiency,
        )
    )


@given(
    st.fixed_dictionaries({"m": SIZES, "n": SIZES, "k": SIZES}),
    EFFICIENCIES,
    st.floats(1.0, 10.0),
    st.sampled_from("mnk"),
)
def test_gemm_is_monotone_and_above_the_roofline(
    shape: dict[str, int], efficiency: dict[str, float], factor: float, grown: str
) -> None:
    """No size makes it faster when it grows, and peak rates are never beaten."""
    sizes: dict[str, float] = {**shape}
    time = _gemm(**sizes, efficiency=efficiency)
    assert time >= operators.gemm_flops(**sizes) / efficiency["peak"] * (1 - 1e-12)
    moved = operators.gemm_bytes(**sizes, **FORMATS)
    assert time >= moved / efficiency["memory_bandwidth"] * (1 - 1e-12)
    sizes[grown] *= factor
    assert _gemm(**sizes, efficiency=efficiency) >= time * (1 - 1e-12)


@given(SIZES, SIZES, SIZES, EFFICIENCIES, st.floats(0.1, 100.0))
def test_gemm_is_homogeneous(m: int, n: int, k: int, efficiency: dict[str, float], factor: float) -> None:
    """Rates times a factor and fixed times over it: the time over it."""
    faster = dict(efficiency)
    for key in ("peak", "memory_bandwidth"):
        faster[key] *= factor
    for key in ("launch", "depth_time"):
        faster[key] /= factor
    assert _gemm(m, n, k, faster) == pytest.approx(_gemm(m, n, k, efficiency) / factor, rel=1e-9)


def test_nothing_takes_no_time() -> None:
    """No operations and no bytes: no launch either; also within an array."""
    fixed: dict[str, Any] = {
        "peak": 1e15,
        "memory_bandwidth": 1e12,
        "compute_efficiency": 0.5,
        "half_saturation_tokens": 64,
        "memory_efficiency": 0.5,
        "launch": 1e-6,
        "depth_time": 0,
        "depth": 0,
    }
    assert operators.operator_time(flops=0, bytes_moved=0, tokens=0, **fixed) == 0
    both = operators.operator_time(
        flops=np.array([0.0, 1e9]), bytes_moved=np.array([0.0, 0.0]), tokens=np.array([0.0, 64.0]), **fixed
    )
    assert both.tolist() == [0.0, pytest.approx(1e-6 + 2 * 1e9 / 0.5e15)]


@given(st.integers(1, 512), st.integers(1, 64), st.integers(0, 4096), st.integers(0, 4096))
def test_touched_experts(experts: int, top_k: int, tokens: int, more: int) -> None:
    """Between none and all; one token touches its own; more tokens never fewer; many tokens all."""
    top_k = min(top_k, experts)
    shape = {"experts_per_device": experts, "top_k": top_k, "routed_experts": experts}
    touched = operators.experts_touched(tokens=tokens, **shape)
    assert 0 <= touched <= min(experts, tokens * top_k) + 1e-9
    assert operators.experts_touched(tokens=tokens + more, **shape) >= touched - 1e-9
    assert operators.experts_touched(tokens=1, **shape) == pytest.approx(top_k)
    assert operators.experts_touched(tokens=1e9, **shape) == pytest.approx(experts)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80))
def test_causal_entries_equal_the_sum(new: int, context: int, most: int) -> None:
    """The closed form against adding token by token."""
    total = sum(min(context + i, most) for i in range(1, new + 1))
    assert operators.causal_entries(new_tokens=new, context=context, most=most) == total
    assert operators.causal_entries(new_tokens=new, context=context) == sum(
        range(context + 1, context + new + 1)
    )


@given(st.integers(1, 256), st.integers(1, 128))
def test_padding_fills_tiles(rows: int, tile: int) -> None:
    """Whole tiles, never less than the rows, and not a tile too many."""
    computed = operators.padded_share(rows=rows, tile_rows=tile) * rows
    assert computed == pytest.approx(-(-rows // tile) * tile)


# Network

TRAFFIC = st.fixed_dictionaries(
    {
        "tokens": st.integers(0, 1024),
        "width": st.integers(1, 8192),
        "bytes_per_element": st.sampled_from([0.5, 1.0, 2.0]),
        "scale_bytes_per_element": st.sampled_from([0.0, 4 / 128]),
    }
)


@given(TRAFFIC, st.sampled_from([(8, 256), (2, 8), (6, 64), (1, 16)]), st.integers(1, 40))
def test_transports_in_order(shape: dict[str, Any], routing: tuple[int, int], nodes: int) -> None:
    """Fewer copies cross scale-out per node than per device than per expert; nothing does within a node."""
    top_k, experts = routing
    place: dict[str, Any] = {"devices": nodes * 8, "devices_per_node": 8, "top_k": top_k}
    pair = network.pair_traffic(**shape, **place)
    limits = {"top_k": place.pop("top_k"), "routed_experts": experts}
    hit = {"devices_hit": nodes_hit_uniform(ffn_nodes=nodes * 8, **limits)}
    rank = network.rank_traffic(**shape, **place, **hit)
    reached = nodes_hit_uniform(ffn_nodes=nodes, **limits)
    node = network.node_traffic(**shape, **place, **hit, nodes_hit=reached)
    assert node.scale_out_bytes <= rank.scale_out_bytes * (1 + 1e-9) <= pair.scale_out_bytes * (1 + 2e-9)
    assert rank.scale_up_bytes <= pair.scale_up_bytes * (1 + 1e-9)
    if nodes == 1:
        assert pair.scale_out_bytes == rank.scale_out_bytes == node.scale_out_bytes == 0
        assert node.scale_up_bytes == pytest.approx(rank.scale_up_bytes)


def test_traffic_conserves_copies() -> None:
    """Of every copy 1/G stays; the forwarded ones are those that land beside the device they are for."""
    place: dict[str, Any] = {"devices": 32, "devices_per_node": 8, "top_k": 8}
    pair = network.pair_traffic(tokens=10, width=100, bytes_per_element=1, **place)
    assert sum(pair) == pytest.approx(10 * 8 * 100 * 31 / 32)
    hit = nodes_hit_uniform(ffn_nodes=32, top_k=8, routed_experts=256)
    node = network.node_traffic(
        tokens=10,
        width=100,
        bytes_per_element=1,
        nodes_hit=3.6,
        devices_hit=hit,
        devices=32,
        devices_per_node=8,
    )
    assert node.scale_up_bytes == pytest.approx(10 * 100 * hit * 7 / 8)


@pytest.mark.parametrize(
    ("transport", "hits"),
    [
        (network.rank_traffic, {"devices_hit": 1.0}),
        (network.node_traffic, {"devices_hit": 1.0, "nodes_hit": 1.0}),
    ],
)
def test_one_device_sends_nothing(transport: Any, hits: dict[str, float]) -> None:  # noqa: ANN401 - a formula
    """All experts on one device: nothing to send, and no time."""
    flow = transport(
        tokens=64,
        width=7168,
        bytes_per_element=1,
        devices=1,
        devices_per_node=8,
        **hits,
    )
    assert sum(flow) == 0
    assert network.transfer_time(latency=1e-5, **flow._asdict(), scale_up=1e11, scale_out=0) == 0


def test_more_devices_than_experts() -> None:
    """Each expert has copies, and a token still reaches its k devices."""
    flow = network.rank_traffic(
        tokens=1,
        devices_hit=nodes_hit_uniform(ffn_nodes=1024, top_k=8, routed_experts=256),
        width=100,
        bytes_per_element=1,
        devices=1024,
        devices_per_node=8,
    )
    assert sum(flow) == pytest.approx(8 * 100 * 1023 / 1024)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e9, 1e12), st.floats(1e9, 1e12), st.floats(1, 10))
def test_transfers_are_monotone_bounded_and_homogeneous(
    up_bytes: float, out_bytes: float, up: float, out: float, factor: float
) -> None:
    """Larger volumes never arrive earlier, no link is beaten, and rates scale times."""
    volume = {"scale_up_bytes": up_bytes, "scale_out_bytes": out_bytes}
    time = network.transfer_time(latency=1e-5, **volume, scale_up=up, scale_out=out)
    assert time >= max(up_bytes / up, out_bytes / out) * (1 - 1e-12)
    larger = network.transfer_time(
        latency=1e-5,
        scale_up_bytes=up_bytes * factor,
        scale_out_bytes=out_bytes * factor,
        scale_up=up,
        scale_out=out,
    )
    assert larger >= time
    faster = network.transfer_time(
        latency=1e-5 / factor, **volume, scale_up=up * factor, scale_out=out * factor
    )
    assert faster == pytest.approx(time / factor)


def test_transfers_need_a_link() -> None:
    """Something to move over a fabric that is absent never arrives; scale slows scale-out only."""
    assert (
        network.transfer_time(latency=0, scale_up_bytes=0, scale_out_bytes=1, scale_up=1e9, scale_out=0)
        == np.inf
    )
    assert network.scale_out_slowdown(devices=np.array([1, 16, 64]), scale_penalty=0.1).tolist() == [
        1.0,
        1.0,
        pytest.approx(1.2),
    ]


@given(st.integers(1, 64), st.integers(1, 64), st.floats(1e9, 1e12))
def test_group_bandwidth_is_that_of_the_narrowest_cut(sending: int, receiving: int, rate: float) -> None:
    """Behind a switch the smaller group; in a full mesh of both, at most the links between them."""
    ends: dict[str, Any] = {
        "sending_devices": sending,
        "receiving_devices": receiving,
        "sending_bandwidth": rate,
        "receiving_bandwidth": rate,
    }
    switched = network.group_bandwidth(**ends)
    assert switched == pytest.approx(min(sending, receiving) * rate)
    link = network.mesh_pair_bandwidth(bandwidth=rate, devices=sending + receiving)
    meshed = network.group_bandwidth(**ends, pairwise_bandwidth=link)
    assert meshed <= switched
    assert meshed == pytest.approx(min(switched, sending * receiving * link))
