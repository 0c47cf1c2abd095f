"""Number formats: what products run in, what vectors are sent in, and what stands for what is published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.precision import (
    PRECISIONS,
    arriving,
    native,
    nearest_format,
    operand,
    precision,
)

HOPPER = {"bf16": 990.0, "fp8": 1979.0, "int8": 1979.0}
AMPERE = {"bf16": 312.0, "int8": 624.0}
BLACKWELL = {**HOPPER, "fp4": 4500.0}
BLACKWELL_ULTRA = {"bf16": 2500.0, "fp8": 5000.0, "fp4": 15000.0, "int8": 150.0}
RUBIN = {"fp8": 16700.0, "fp4": 35000.0}
PARTS = (HOPPER, AMPERE, BLACKWELL, BLACKWELL_ULTRA, RUBIN)
formats = st.sampled_from(sorted(PRECISIONS))


@pytest.mark.parametrize(
    ("weights", "vectors", "peaks", "runs"),
    [
        ("fp8", "fp8", HOPPER, "fp8"),
        ("bf16", "fp8", HOPPER, "bf16"),
        ("fp8", "int8", AMPERE, "bf16"),
        ("int4", "bf16", HOPPER, "bf16"),  # W4A16: Kimi K2 Thinking, GPTQ
        ("int4", "bf16", BLACKWELL, "bf16"),
        ("int4", "fp8", HOPPER, "fp8"),  # W4A8, where vectors are asked for in fp8
        ("mxfp4", "bf16", HOPPER, "bf16"),  # Marlin, Triton: weights alone
        ("mxfp4", "fp8", BLACKWELL, "fp8"),  # mixed products run at the fp8 rate (CUTLASS, mxf8f6f4)
        ("mxfp4", "bf16", BLACKWELL, "fp8"),
        ("mxfp4", "mxfp4", BLACKWELL, "fp4"),
        ("nvfp4", "fp8", BLACKWELL, "fp4"),  # W4A4: vectors are quantised again
        ("nvfp4", "bf16", HOPPER, "bf16"),
        ("fp4", "fp8", BLACKWELL, "fp4"),
    ],
)
def test_products_run_at_the_peak_of_the_wider_operand(
    weights: str, vectors: str, peaks: dict[str, float], runs: str
) -> None:
    assert operand(precision(weights), precision(vectors), peaks) == runs


@given(formats, st.sampled_from(PARTS))
def test_what_is_sent_by_default_is_what_the_product_takes(weights: str, peaks: dict[str, float]) -> None:
    """Vectors never arrive narrower than the product runs in, unless the product is in four bits."""
    sent = arriving(precision(weights), peaks)
    assert sent is not None
    runs = operand(precision(weights), precision(sent), peaks)
    if runs is None:  # nothing but bf16 serves, which this part lacks
        assert "bf16" not in peaks
        return
    assert runs in peaks
    assert precision(sent).bytes >= precision(runs).bytes
    if precision(weights).peak not in peaks and "bf16" in peaks:
        assert (sent, runs) == ("bf16", "bf16")


@pytest.mark.parametrize(
    ("published", "peaks", "stands"),
    [
        ("fp8", HOPPER, "fp8"),
        ("fp8", AMPERE, "int8"),
        ("int8", BLACKWELL_ULTRA, "fp8"),  # whose int8 runs at a sixteenth of the rate of bf16
        ("int8", HOPPER, "int8"),
        ("fp8", {"bf16": 100.0}, "fp8"),  # streamed, and widened
        ("mxfp4", HOPPER, "mxfp4"),
        ("int4", AMPERE, "int4"),
        ("bf16", HOPPER, "bf16"),
    ],
)
def test_eight_bits_stand_for_eight_bits(published: str, peaks: dict[str, float], stands: str) -> None:
    assert nearest_format(published, peaks) == stands


@given(formats, st.sampled_from(PARTS))
def test_what_stands_for_a_format_takes_no_more_bytes(published: str, peaks: dict[str, float]) -> None:
    assert precision(nearest_format(published, peaks)).bytes <= precision(published).bytes


def test_a_part_without_any_wide_peak_has_no_native_format() -> None:
    assert native({"fp4": 1.0}) is None
    assert arriving(precision("fp8"), {"fp4": 1.0}) is None
    assert native(RUBIN) == "fp8"
