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


PLAIN: dict[str, Any] = {
    "flops": 3e9,
    "bytes_moved": 4e6,
    "tokens": 64,
    "depth": 1000,
    "peak": 1e15,
    "memory_bandwidth": 2e12,
    "compute_efficiency": 0.5,
    "memory_efficiency": 0.8,
    "launch": 5e-6,
}
"""Computes for 6 us (3e9 over half of 1e15), moves for 2.5 us (4e6 over 1.6e12), after 5 us."""


@pytest.mark.parametrize(
    ("terms", "microseconds"),
    [
        ({}, 5 + 6),
        ({"padding": 1.5}, 5 + 9),  # half as many operations again
        ({"half_saturation_tokens": 32.0}, 5 + 9),  # 1 + 32 / 64 of them
        ({"padding": 1.5, "half_saturation_tokens": 32.0}, 5 + 13.5),
        ({"depth_time": 2e-9}, 5 + 2 + 6),  # 1000 elements of 2 ns
        ({"growth": 3.0, "growth_time": 1.5e-6}, 5 + 4.5 + 6),
        ({"growth": 0.0, "growth_time": 1.5e-6}, 5 + 6),
        ({"growth": 3.0}, 5 + 6),  # a kernel without that time does not grow
        ({"compute_efficiency": 1.0, "padding": 0.5}, 5 + 2.5),  # memory binds
        ({"vector_bytes": 1e6, "vector_efficiency": 0.1}, 5 + 5 + 6),  # 1e6 over 2e11; the rest hidden
        ({"vector_bytes": 1e6}, 5 + 6),  # among the rest
        # Memory binds: 3e6 over 1.6e12 remain behind the 5 us of the vectors.
        ({"flops": 1.0, "vector_bytes": 1e6, "vector_efficiency": 0.1}, 5 + 5 + 1.875),
        ({"flops": 1.0}, 5 + 2.5),
    ],
)
def test_each_term_by_hand(terms: dict[str, float], microseconds: float) -> None:
    """One after the other, as numbers and as arrays of rows."""
    assert operators.operator_time(**PLAIN | terms) * 1e6 == pytest.approx(microseconds, rel=1e-12)
    rows = {key: np.full(3, float(value)) for key, value in (PLAIN | terms).items()}
    assert operators.operator_time(**rows) * 1e6 == pytest.approx(np.full(3, microseconds), rel=1e-12)


TERMS = st.fixed_dictionaries(
    {
        "padding": st.floats(1.0, 16.0),
        "growth": st.floats(0.0, 4.0),
        "growth_time": st.floats(0.0, 1e-4),
        "vector_efficiency": st.one_of(st.just(0.0), st.floats(0.05, 1.0)),
    }
)
WORK = st.fixed_dictionaries(
    {
        "flops": st.floats(1.0, 1e15),
        "bytes_moved": st.floats(1.0, 1e11),
        "tokens": st.floats(1.0, 1e5),
        "vectors": st.floats(0.0, 1.0),
    }
)


def _with_terms(work: dict[str, float], efficiency: dict[str, float], **factors: float) -> float:
    """Return the time of some work, of whose bytes a share passes by itself, with parts of it grown."""
    grown = {key: value * factors.get(key, 1.0) for key, value in work.items()}
    vectors = min(1.0, grown.pop("vectors"))
    grown["flops"] *= factors.get("tokens", 1.0)
    moved = vectors * grown["bytes_moved"]
    return float(operators.operator_time(depth=128, vector_bytes=moved, **grown, **efficiency))


@given(WORK, EFFICIENCIES, TERMS, st.floats(1.0, 8.0))
def test_more_work_never_takes_less(
    work: dict[str, float], efficiency: dict[str, float], terms: dict[str, float], factor: float
) -> None:
    """More operations, more bytes, more rows that bring their operations, more padding, more pieces split."""
    whole = efficiency | terms
    least = _with_terms(work, whole) * (1 - 1e-12)
    for key in ("flops", "bytes_moved", "tokens"):
        assert _with_terms(work, whole, **{key: factor}) >= least, key
    for key in ("padding", "growth", "growth_time"):
        assert _with_terms(work, whole | {key: whole[key] * factor}) >= least, key
    if terms["vector_efficiency"] <= efficiency["memory_efficiency"]:  # slower than the rest, and first
        assert _with_terms(work, whole, vectors=factor) >= least


def test_handling_by_hand() -> None:
    """8 elements of 100 pairs at 2 ps and of 300 vectors at 1 ps: 1.6 and 2.4 ns."""
    sizes = {"pairs": 100, "tokens_handed": 300, "width": 8}
    found = operators.expert_handling_time(**sizes, pair_time=2e-12, token_time=1e-12)
    assert found == pytest.approx(4e-9)
    assert operators.expert_handling_time(**sizes, pair_time=2e-12, token_time=0.0) == pytest.approx(1.6e-9)
    assert operators.expert_handling_time(**sizes, pair_time=0.0, token_time=1e-12) == pytest.approx(2.4e-9)


@given(st.integers(0, 4096), st.floats(0.3, 1.0))
def test_alike_tokens_touch_as_many_experts_as_fewer_apart(tokens: int, exponent: float) -> None:
    """T tokens as T to the exponent that choose apart: no more experts than T, nor fewer than one alone."""
    shape = {"experts_per_device": 32, "top_k": 8, "routed_experts": 256}
    alike = operators.experts_touched(tokens=tokens, routing_exponent=exponent, **shape)
    assert alike == pytest.approx(operators.experts_touched(tokens=float(tokens) ** exponent, **shape))
    assert alike <= operators.experts_touched(tokens=tokens, **shape) * (1 + 1e-12)
    if tokens:
        assert alike >= operators.experts_touched(tokens=1, **shape) * (1 - 1e-12)
    assert operators.experts_touched(tokens=64, routing_exponent=0.5, **shape) == pytest.approx(
        32 * (1 - (31 / 32) ** 8)
    )


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
