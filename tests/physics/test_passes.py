"""What small kernels pass over: counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.passes import elementwise_bytes


def test_passes_by_hand() -> None:
    """Two norms read and write stream and residual in two bytes: 16 an element; then formats, then turns."""
    plain = {"quantised_elements": 0, "operand_bytes": 1, "turned_elements": 0}
    assert elementwise_bytes(tokens=3, width=10, **plain) == 3 * 2 * (2 + 2) * 2 * 10
    narrow = plain | {"quantised_elements": 100}
    assert elementwise_bytes(tokens=3, width=10, **narrow) == 3 * (160 + 100 * (2 + 1))
    turned = narrow | {"turned_elements": 50, "operand_bytes": 0.5}
    assert elementwise_bytes(tokens=3, width=10, **turned) == 3 * (160 + 100 * 2.5 + 50 * (2 + 2))


@given(st.integers(0, 1000), st.integers(1, 1000), *[st.integers(0, 1 << 16)] * 2)
def test_passes_are_in_proportion_to_tokens(tokens: int, width: int, quantised: int, turned: int) -> None:
    """Each token has its own; nothing is read once for all of them."""
    sizes = {"width": width, "quantised_elements": quantised, "operand_bytes": 1, "turned_elements": turned}
    one = elementwise_bytes(tokens=1, **sizes)
    assert elementwise_bytes(tokens=tokens, **sizes) == pytest.approx(tokens * one)
    assert one >= 16 * width
