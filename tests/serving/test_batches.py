"""Batches to try: which micro-batches, which grid, and that bisection finds the largest one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.serving.batches import (
    PER_OCTAVE,
    batch_grid,
    bracket,
    filled_below,
    largest,
    least_whole,
    microbatches_of,
)
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers, Rows

LIMITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5000)), min_size=1, max_size=20)
"""The largest batch that is quick enough, and that memory holds, of some deployments."""


@given(LIMITS)
def test_a_grid_and_bisection_find_the_largest_batch(limits: list[tuple[int, int]]) -> None:
    """Whatever ends it: as if every batch had been tried."""
    quick, held = (np.array(each, dtype=float) for each in zip(*limits, strict=True))
    grid = batch_grid(float(np.max(held)))[None, :]
    low, high = bracket(grid, grid <= np.minimum(quick, held)[:, None], held)
    assert np.all(low <= np.minimum(quick, held))
    assert np.all(high > np.minimum(quick, held))

    def feasible(rows: Rows, batches: Numbers) -> NDArray[np.bool_]:
        assert np.all(batches <= held[rows])  # none is asked for that is known not to fit
        return batches <= quick[rows]

    assert largest(low, high, feasible).tolist() == np.minimum(quick, held).tolist()


def test_a_grid_is_dense() -> None:
    grid = batch_grid(4096)
    assert (grid[0], grid[-1]) == (1, 4096)
    assert np.all(np.diff(grid) >= 1)
    assert np.all(grid[1:] <= 2 ** (1 / PER_OCTAVE) * grid[:-1] + 1)  # whole numbers, rounded
    assert batch_grid(0).tolist() == [1]


@given(st.integers(1, 5000), st.integers(1, 200), st.integers(1, 64))
def test_batches_that_fill_waves(batch: int, processors: int, pieces: int) -> None:
    """The largest that a number of whole waves holds: as if every batch had been tried."""
    grain = processors / pieces
    waves = batch * pieces // processors
    expected = waves * processors // pieces
    assert filled_below(np.array([float(batch)]), grain).tolist() == [expected]
    assert filled_below(np.array([float(batch)]), 1.0).tolist() == [batch]


def test_rounding_makes_no_whole_number_more() -> None:
    assert least_whole(np.array([3.0, 3.0 * (1 + 1e-12), 3.0 + 1e-6, 0.1 + 0.2 + 0.7])).tolist() == [
        3,
        3,
        4,
        1,
    ]


@pytest.mark.parametrize(
    ("mode", "given_", "software", "expected"),
    [
        (EP, None, None, (1, 2)),
        (EP, 2, None, (2,)),
        (EP, 3, None, (1, 2)),
        (EP, 1, "vllm-afd-plugin", (1,)),
        (AFD, None, None, (1, 2, 3, 4)),
        (AFD, 7, None, (7,)),
        (AFD, None, "vllm-afd-plugin", (2,)),
    ],
)
def test_micro_batches(
    mode: str, given_: int | None, software: str | None, expected: tuple[int, ...]
) -> None:
    """Two halves are all that expert parallelism overlaps; a number for groups leaves it free."""
    scenario = Scenario(system="h800", model="deepseek-v3", microbatches=given_, deployable_with=software)
    assert microbatches_of(scenario, mode) == expected
