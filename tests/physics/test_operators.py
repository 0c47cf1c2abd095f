"""Properties of operators: monotone, above the roofline, homogeneous, right limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import operators

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
