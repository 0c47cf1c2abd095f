"""Layers alike, passed at once: what following them one by one gives, from any state to any end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from roofline_afd.physics.alike import FEWEST, begin_alike, pass_alike

Ends = list[NDArray[np.float64]]

TIMES = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 1.7, 5.0]), min_size=4, max_size=4)
BEGINS = st.lists(st.floats(0, 200), min_size=8, max_size=8)


def _followed(times: list[float], layers: int, ready: Ends, free: Ends) -> None:
    """Go through every layer, stage and micro-batch in turn."""
    for _ in range(layers):
        for stage, time in enumerate(times):
            end = free[stage]
            for index, came in enumerate(ready):
                end = np.maximum(came, end) + time
                ready[index] = end
            free[stage] = end


def _state(begins: list[float], microbatches: int) -> tuple[Ends, Ends]:
    values = [np.asarray(begin) for begin in begins]
    return values[4 : 4 + microbatches], values[:4]


@given(times=TIMES, layers=st.integers(FEWEST, 40), microbatches=st.integers(1, 4), begins=BEGINS)
def test_at_once_is_one_by_one(
    times: list[float], layers: int, microbatches: int, begins: list[float]
) -> None:
    """Wherever micro-batches and stages stand when the layers begin."""
    ready, free = _state(begins, microbatches)
    same_ready, same_free = _state(begins, microbatches)
    pass_alike(kind=times, layers=layers, ready=ready, free=free)
    _followed(times, layers, same_ready, same_free)
    np.testing.assert_allclose([*ready, *free], [*same_ready, *same_free], rtol=1e-12)


@given(times=TIMES, layers=st.integers(FEWEST, 40), microbatches=st.integers(1, 4), begins=BEGINS)
def test_the_last_end_alone_is_the_same(
    times: list[float], layers: int, microbatches: int, begins: list[float]
) -> None:
    """Where nothing comes after, only it is looked for."""
    every, free = _state(begins, microbatches)
    alone, left = _state(begins, microbatches)
    pass_alike(kind=times, layers=layers, ready=every, free=free)
    pass_alike(kind=times, layers=layers, ready=alone, free=left, last=True)
    assert alone[-1] == every[-1]


@given(times=TIMES, layers=st.integers(2, 9), microbatches=st.integers(1, 5))
def test_what_comes_first_is_one_by_one(times: list[float], layers: int, microbatches: int) -> None:
    """From the beginning of a step fewer layers are told at once."""
    same_ready, same_free = _state([0.0] * 9, microbatches)
    _followed(times, layers, same_ready, same_free)
    ready, free = begin_alike(kind=times, layers=layers, microbatches=microbatches)
    np.testing.assert_allclose([*ready, *free], [*same_ready, *same_free], rtol=1e-12)
    never, _ = begin_alike(kind=[*times[:3], np.inf], layers=layers, microbatches=microbatches)
    assert np.isinf(never).all()


def test_what_no_link_connects_never_ends() -> None:
    """The others of an array are not touched by that."""
    times = (np.array([1.0, 1.0]), np.array([np.inf, 0.5]), np.array([2.0, 2.0]), np.array([0.5, 0.5]))
    ready, free = [np.zeros(2)] * 2, [np.zeros(2)] * 4
    pass_alike(kind=times, layers=10, ready=ready, free=free)
    assert all(np.isinf(end[0]) and np.isfinite(end[1]) for end in (*ready, *free))
