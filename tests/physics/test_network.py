"""Properties of transfers: monotone, bounded by the links, homogeneous, right limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import network


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
