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


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 80))
def test_chunks_equal_the_sum(new: int, context: int, chunk: int) -> None:
    """The closed form against adding token by token; one chunk that holds all is full attention."""
    asked = {"new_tokens": new, "context": context}
    chunked = attention.chunked_causal_entries(**asked, chunk_tokens=chunk)
    assert chunked == sum((context + i - 1) % chunk + 1 for i in range(1, new + 1))
    full = attention.causal_entries(**asked)
    assert chunked <= attention.causal_entries(**asked, most=chunk) <= full
    assert attention.chunked_causal_entries(**asked, chunk_tokens=chunk + context + new) == full
    parts = [
        attention.chunked_causal_entries(new_tokens=n, context=c, chunk_tokens=chunk)
        for n, c in ((new // 3, context), (new - new // 3, context + new // 3))
    ]
    assert sum(parts) == chunked


@given(st.integers(1, 40), st.integers(1, 9))
def test_a_token_sees_half_a_chunk_on_average(chunk: int, times: int) -> None:
    """Beyond its first chunk: the mean over the positions of whole chunks, the cached tokens before each."""
    cached = [position % chunk for position in range(chunk * times)]
    mean = sum(cached) / len(cached)
    found = attention.chunk_entries(context=chunk * times + 1, chunk_tokens=chunk)
    assert found == pytest.approx(mean + 0.5)  # the token itself, counted by half: chunk / 2
    assert attention.chunk_entries(context=min(chunk, times), chunk_tokens=chunk) == min(chunk, times)
