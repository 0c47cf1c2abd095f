"""Properties of core attention: closed forms against sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import attention


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80))
def test_causal_entries_equal_the_sum(new: int, context: int, most: int) -> None:
    """The closed form against adding token by token."""
    total = sum(min(context + i, most) for i in range(1, new + 1))
    assert attention.causal_entries(new_tokens=new, context=context, most=most) == total
    assert attention.causal_entries(new_tokens=new, context=context) == sum(
        range(context + 1, context + new + 1)
    )


@given(st.integers(1, 256), st.integers(1, 128))
def test_padding_fills_tiles(rows: int, tile: int) -> None:
    """Whole tiles, never less than the rows, and not a tile too many."""
    computed = attention.padded_share(rows=rows, tile_rows=tile) * rows
    assert computed == pytest.approx(-(-rows // tile) * tile)
