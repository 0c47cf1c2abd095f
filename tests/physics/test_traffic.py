"""What devices send each other: transports in order, copies conserved, right limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import network, traffic
from roofline_afd.physics.routing import nodes_hit_uniform

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
    pair = traffic.pair_traffic(**shape, **place)
    limits = {"top_k": place.pop("top_k"), "routed_experts": experts}
    hit = {"devices_hit": nodes_hit_uniform(ffn_nodes=nodes * 8, **limits)}
    rank = traffic.rank_traffic(**shape, **place, **hit)
    reached = nodes_hit_uniform(ffn_nodes=nodes, **limits)
    node = traffic.node_traffic(**shape, **place, **hit, nodes_hit=reached)
    assert node.scale_out_bytes <= rank.scale_out_bytes * (1 + 1e-9) <= pair.scale_out_bytes * (1 + 2e-9)
    assert rank.scale_up_bytes <= pair.scale_up_bytes * (1 + 1e-9)
    if nodes == 1:
        assert pair.scale_out_bytes == rank.scale_out_bytes == node.scale_out_bytes == 0
        assert node.scale_up_bytes == pytest.approx(rank.scale_up_bytes)


def test_traffic_conserves_copies() -> None:
    """Of every copy 1/G stays; the forwarded ones are those that land beside the device they are for."""
    place: dict[str, Any] = {"devices": 32, "devices_per_node": 8, "top_k": 8}
    pair = traffic.pair_traffic(tokens=10, width=100, bytes_per_element=1, **place)
    assert sum(pair) == pytest.approx(10 * 8 * 100 * 31 / 32)
    hit = nodes_hit_uniform(ffn_nodes=32, top_k=8, routed_experts=256)
    node = traffic.node_traffic(
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
        (traffic.rank_traffic, {"devices_hit": 1.0}),
        (traffic.node_traffic, {"devices_hit": 1.0, "nodes_hit": 1.0}),
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
    flow = traffic.rank_traffic(
        tokens=1,
        devices_hit=nodes_hit_uniform(ffn_nodes=1024, top_k=8, routed_experts=256),
        width=100,
        bytes_per_element=1,
        devices=1024,
        devices_per_node=8,
    )
    assert sum(flow) == pytest.approx(8 * 100 * 1023 / 1024)
