"""Properties of fused stages: above both roofs, transfers added, monotone, nothing for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.stages import conversion_bytes, fused_stage_time

SIZES = st.fixed_dictionaries(
    {
        "flops": st.floats(1e6, 1e14),
        "weight_bytes": st.floats(1e3, 1e11),
        "moved_bytes": st.floats(1e3, 1e10),
    }
)
SHARES = st.fixed_dictionaries(
    {
        "compute_efficiency": st.floats(0.05, 1.0),
        "memory_efficiency": st.floats(0.05, 1.0),
        "moving_efficiency": st.floats(0.05, 1.0),
        "fixed_time": st.floats(0.0, 1e-3),
        "hidden_share": st.floats(0.0, 1.0),
    }
)
RATES = {"peak": 4.5e15, "memory_bandwidth": 8e12, "bandwidth": 9e11}


@given(SIZES, SHARES, st.sampled_from(["flops", "weight_bytes", "moved_bytes"]), st.floats(1.0, 10.0))
def test_a_stage_is_above_its_roofs_and_grows_with_what_it_does(
    sizes: dict[str, float], shares: dict[str, float], grown: str, factor: float
) -> None:
    time = float(fused_stage_time(**sizes, **shares, **RATES))
    roofs = sizes["flops"] / RATES["peak"], sizes["weight_bytes"] / RATES["memory_bandwidth"]
    assert time >= max(roofs) * (1 - 1e-12)
    more = float(fused_stage_time(**sizes | {grown: sizes[grown] * factor}, **shares, **RATES))
    assert more >= time * (1 - 1e-12)


@given(SIZES, SHARES)
def test_transfers_add_and_may_be_hidden(sizes: dict[str, float], shares: dict[str, float]) -> None:
    """They do not overlap with the products of their own micro-batch."""
    still = float(fused_stage_time(**sizes | {"moved_bytes": 0.0}, **shares, **RATES))
    moving = sizes["moved_bytes"] / (RATES["bandwidth"] * shares["moving_efficiency"])
    for hidden in (0.0, shares["hidden_share"], 1.0):
        time = float(fused_stage_time(**sizes, **shares | {"hidden_share": hidden}, **RATES))
        assert time == pytest.approx(still + (1 - hidden) * moving, rel=1e-9)


def test_nothing_takes_no_time() -> None:
    nothing = {"flops": 0.0, "weight_bytes": 0.0, "moved_bytes": 0.0}
    shares = {"compute_efficiency": 1.0, "memory_efficiency": 1.0, "moving_efficiency": 1.0}
    assert float(fused_stage_time(**nothing, **shares, **RATES, fixed_time=1e-5)) == 0.0


def test_a_format_is_read_and_written_once() -> None:
    moved = conversion_bytes(tokens=np.array([1.0, 10.0]), width=100, input_bytes=2, output_bytes=1)
    assert moved.tolist() == [300, 3000]
