"""Points that no other beats, whether a few are looked at first or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.serving.limits import SAME
from roofline_afd.serving.modes.points import MANY, frontier_rows


def plain(tpot: list[float], rate: list[float]) -> list[tuple[float, float]]:
    """Return times and rates of what nothing quicker, or as quick, serves as much as; one by one."""
    best = -np.inf
    found: list[tuple[float, float]] = []
    for time, served in sorted(zip(tpot, rate, strict=True), key=lambda both: (both[0], -both[1])):
        if not found or served > best * (1.0 + SAME):
            found.append((time, served))
        best = max(best, served)
    return found


@pytest.mark.parametrize("count", [1, 50, MANY + 1, 5 * MANY])
@given(seed=st.integers(0, 1000), digits=st.integers(0, 4))
@settings(max_examples=20)
def test_what_no_other_beats(count: int, seed: int, digits: int) -> None:
    """Ties are many with few digits."""
    random = np.random.default_rng(seed)
    tpot = np.round(random.uniform(1.0, 2.0, count), digits)
    rate = np.round(tpot * random.uniform(0.0, 1.0, count), digits)
    rows = frontier_rows(tpot, rate)
    found = list(zip(tpot[rows].tolist(), rate[rows].tolist(), strict=True))
    assert found == plain(tpot.tolist(), rate.tolist())
