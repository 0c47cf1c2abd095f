"""Sessions of turns: what a cache keeps of them, by hand and against one followed block by block."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.analysis.requests.prefixes import Reuse, reuse
from roofline_afd.analysis.requests.sessions import Sessions

BLOCK = 16
CHAT = Sessions(turns=3, first=1000, input=200, output=300, shared=500, gap_s=10.0, sessions_per_s=2.0)


def test_a_session_by_hand() -> None:
    """Prompts of 1500, 2000, 2500 tokens; all but 200 of a later turn recur, and the 500 of the first."""
    assert CHAT.prompts.tolist() == [1500.0, 2000.0, 2500.0]
    assert CHAT.prompt_tokens == 2000.0
    assert CHAT.cached() == pytest.approx((500 + 1800 + 2300) / 3)
    assert CHAT.hit() == pytest.approx(4600 / 6000)
    mean, deviation = CHAT.computed()
    assert mean == pytest.approx(1400 / 3)
    assert deviation == pytest.approx(float(np.std([1000, 200, 200])))


def test_answers_that_are_computed_again_by_hand() -> None:
    again = Sessions(
        turns=3, first=1000, input=200, output=300, gap_s=1.0, sessions_per_s=1.0, answers_cached=False
    )
    assert again.computed()[0] == pytest.approx((1000 + 500 + 500) / 3)


def test_a_cache_by_hand() -> None:
    """Kept for as long as the mean pause, 1 - 1/e of the turns find what is theirs.

    Sessions that pause after their first and second answer hold 1300 and 1800 tokens, 2 a second for
    10 s x (1 - 1/e) each, and those that are over 2300 for the whole 10 s.
    """
    kept = 1 - 1 / math.e
    size = 500 + 2 * ((1300 + 1800) * 10 * kept + 2300 * 10)
    assert CHAT.held(10.0) == pytest.approx(size)
    assert CHAT.time_kept(size) == pytest.approx(10.0)
    assert CHAT.cached(size) == pytest.approx(500 + kept * (1300 + 1800) / 3)
    own = (1300 + 1800) * kept / (3 * 500 + 1300 + 1800)
    share = (3 * 500) / (3 * 500 + 1300 + 1800) + own
    assert CHAT.cache_for(share) == pytest.approx(size)


def test_no_cache_computes_all_and_no_pause_needs_none() -> None:
    assert CHAT.hit(0.0) == 0.0
    assert CHAT.hit(250.0) == pytest.approx(250 / 2000)
    at_once = Sessions(turns=2, first=100, input=10, output=10, gap_s=0.0, sessions_per_s=1.0)
    assert at_once.hit(10.0) == at_once.hit()


@given(
    turns=st.integers(1, 30),
    gap=st.floats(0.0, 1e4),
    shared=st.integers(0, 10_000),
    sizes=st.tuples(st.floats(1, 1e9), st.floats(1, 1e9)),
)
def test_a_larger_cache_never_keeps_less(
    turns: int, gap: float, shared: int, sizes: tuple[float, float]
) -> None:
    sessions = Sessions(
        turns=turns, first=800, input=150, output=90, shared=shared, gap_s=gap, sessions_per_s=0.7
    )
    small, large = (sessions.hit(size) for size in sorted(sizes))
    assert 0 <= small <= large * (1 + 1e-12) + 1e-12
    assert large <= sessions.hit() * (1 + 1e-12) < 1


@pytest.fixture(scope="module")
def followed() -> tuple[Sessions, Reuse]:
    """Return sessions, and a trace of them drawn at random with its blocks."""
    sessions = Sessions(
        turns=6,
        first=20 * BLOCK,
        input=8 * BLOCK,
        output=4 * BLOCK,
        shared=10 * BLOCK,
        gap_s=30.0,
        sessions_per_s=1.0,
        answers_cached=False,
    )
    random = np.random.default_rng(1)
    many = 6000
    begin = np.cumsum(random.exponential(1.0, many))
    pauses = random.exponential(30.0, (many, 5))
    times = begin[:, None] + np.concatenate([np.zeros((many, 1)), np.cumsum(pauses, axis=1)], axis=1)
    turns = [(times[one, turn], one, turn) for one in range(many) for turn in range(6)]
    blocks: list[int] = []
    counts = []
    for _, one, turn in sorted(turns):
        own = 20 + 12 * turn
        blocks += [*range(10), *range(10 + one * 100, 10 + one * 100 + own)]
        counts.append(10 + own)
    sizes = np.array(counts)
    return sessions, reuse(sizes * BLOCK + 1, np.array(blocks), sizes, block_tokens=BLOCK)


@pytest.mark.parametrize("seconds", [5.0, 15.0, 30.0, 60.0, 120.0])
def test_hits_are_those_of_a_cache_followed_block_by_block(
    followed: tuple[Sessions, Reuse], seconds: float
) -> None:
    """A cache that keeps tokens for so long in the mean: one time for all is exact for many sessions.

    Six thousand sessions, about 150 in a pause at once: their number varies by 8 %, and hits by less than
    2 % of all tokens.
    """
    sessions, trace = followed
    size = sessions.held(seconds)
    assert trace.hit(size) == pytest.approx(sessions.hit(size), abs=0.02)
