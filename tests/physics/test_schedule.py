"""Layers that differ: the recursion against a discrete-event simulation, which shares no line with it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics.schedule import (
    AT_ONCE,
    ONE_GROUP,
    LayerTimes,
    even_order,
    least_layers_time,
    ordered_layers_time,
    repeated,
    turns_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Asked = tuple[list[LayerTimes], tuple[int, ...], int]
TIMES = st.floats(min_value=0.0, max_value=1.0, allow_subnormal=False)


def simulated(kinds: Sequence[Any], order: Sequence[int], microbatches: int) -> float:
    """Return the time at which the last stage ends: four servers, each serves who comes first."""
    waiting: list[list[tuple[int, int]]] = [[] for _ in range(4)]
    serving = [False] * 4
    events: list[tuple[float, int, int, int, int]] = []
    started = 0

    def start(stage: int, now: float) -> None:
        nonlocal started
        if serving[stage] or not waiting[stage]:
            return
        layer, index = waiting[stage].pop(0)
        serving[stage] = True
        started += 1
        heapq.heappush(events, (now + kinds[order[layer]][stage], started, stage, layer, index))

    waiting[0] = [(0, index) for index in range(microbatches)]
    start(0, 0.0)
    last = 0.0
    while events:
        last, _, stage, layer, index = heapq.heappop(events)
        serving[stage] = False
        if stage < 3:
            waiting[stage + 1].append((layer, index))
        elif layer + 1 < len(order):
            waiting[0].append((layer + 1, index))
        start(stage, last)
        start((stage + 1) % 4, last)
    return last


@st.composite
def steps(draw: st.DrawFn) -> Asked:
    kinds = draw(st.lists(st.builds(LayerTimes, TIMES, TIMES, TIMES, TIMES), min_size=1, max_size=3))
    many = len(kinds)
    order = draw(
        st.one_of(
            st.lists(st.integers(0, many - 1), min_size=1, max_size=40).map(tuple),
            st.lists(st.integers(1, 20), min_size=many, max_size=many).map(
                lambda counts: even_order(counts=counts)
            ),
            st.tuples(st.integers(0, 3), st.integers(1, 60)).map(
                lambda both: (many - 1,) * both[0] + (0,) * both[1]
            ),
        )
    )
    return kinds, order, draw(st.integers(1, 6))


@given(steps())
@settings(max_examples=150)
def test_the_recursion_is_the_event_simulation(step: Asked) -> None:
    kinds, order, microbatches = step
    told = float(ordered_layers_time(kinds=kinds, order=order, microbatches=microbatches))
    # a repeat counts as steady where stages gain alike to 1e-9: far inside the 2 % that is promised
    assert told == pytest.approx(simulated(kinds, order, microbatches), rel=1e-6, abs=1e-12)


@given(steps())
@settings(max_examples=100)
def test_no_schedule_is_quicker_than_the_least(step: Asked) -> None:
    kinds, order, microbatches = step
    least = float(least_layers_time(kinds=kinds, order=order, microbatches=microbatches))
    assert least <= simulated(kinds, order, microbatches) * (1 + 1e-9)


@given(steps(), st.integers(0, 3), st.floats(1.0, 3.0))
@settings(max_examples=60)
def test_a_slower_stage_never_makes_a_step_quicker(step: Asked, stage: int, factor: float) -> None:
    kinds, order, microbatches = step
    slower = [kinds[0]._replace(**{LayerTimes._fields[stage]: kinds[0][stage] * factor}), *kinds[1:]]
    before = ordered_layers_time(kinds=kinds, order=order, microbatches=microbatches)
    after = ordered_layers_time(kinds=slower, order=order, microbatches=microbatches)
    assert after >= before * (1 - 1e-9)


@pytest.mark.parametrize("shape", [(7,), (2, 5), (AT_ONCE + 3,), (3, AT_ONCE)])
@pytest.mark.parametrize("taking_turns", [False, True])
def test_arrays_are_followed_element_by_element(shape: tuple[int, ...], *, taking_turns: bool) -> None:
    generator = np.random.default_rng(3)
    kinds = [LayerTimes(*generator.random((4, *shape))) for _ in range(2)]
    order = even_order(counts=[30, 10])
    turns = ONE_GROUP
    if taking_turns:
        turns = turns_of(groups=3, attention_devices=generator.integers(1, 99, shape), ffn_devices=32)
    together = ordered_layers_time(kinds=kinds, order=order, microbatches=3, turns=turns)
    assert np.shape(together) == shape
    for place in [*np.ndindex(shape)][:: max(together.size // 7, 1)]:
        one = [LayerTimes(*(float(np.asarray(time)[place]) for time in kind)) for kind in kinds]
        own = turns
        if taking_turns:
            own = LayerTimes(*(float(np.broadcast_to(turn, shape)[place]) for turn in turns))
        alone = ordered_layers_time(kinds=one, order=order, microbatches=3, turns=own)
        assert together[place] == pytest.approx(float(alone), rel=1e-12)  # rounding of another order


def test_groups_that_no_link_connects_never_end() -> None:
    kinds = [LayerTimes(1.0, np.inf, 1.0, 1.0), LayerTimes(1.0, np.inf, 2.0, 1.0)]
    assert ordered_layers_time(kinds=kinds, order=(0, 1) * 20, microbatches=2) == np.inf


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60).map(tuple))
def test_a_pattern_and_what_is_around_it_are_the_order(order: tuple[int, ...]) -> None:
    prefix, pattern, repeats, rest = repeated(order)
    assert prefix + pattern * repeats + rest == order


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(sum))
def test_every_layer_is_in_the_order(counts: list[int]) -> None:
    order = even_order(counts=counts)
    assert [order.count(kind) for kind in range(len(counts))] == counts


def taking_turns(times: Sequence[float], layers: int, microbatches: int, groups: int) -> float:
    """Return when the last group ends: each has its own attention and links, and all share one FFN stage."""
    free = {(stage, group): 0.0 for stage in range(4) for group in range(groups)}
    events: list[tuple[float, int, int, int, int]] = [
        (0.0, turn, group, 0, 0) for turn, (group, _) in enumerate(np.ndindex(groups, microbatches))
    ]
    heapq.heapify(events)
    last, turn = 0.0, len(events)
    while events:  # who comes first begins first, so that a stage's queue is the order of coming
        came, _, group, layer, stage = heapq.heappop(events)
        server = (stage, 0 if stage == 2 else group)
        ends = max(came, free[server]) + times[stage]
        free[server] = ends
        last = max(last, ends)
        layer, stage = (layer, stage + 1) if stage < 3 else (layer + 1, 0)
        turn += 1
        if layer < layers:
            heapq.heappush(events, (ends, turn, group, layer, stage))
    return last


@given(
    st.lists(st.floats(min_value=0.05, max_value=1.0), min_size=4, max_size=4),
    st.integers(1, 3),
    st.integers(1, 4),
)
@settings(max_examples=100)
def test_groups_that_take_turns_are_as_quick_as_simulated(
    times: list[float], microbatches: int, groups: int
) -> None:
    """A layer more takes as long, once the groups have found their turns."""
    turns = turns_of(groups=groups, attention_devices=groups, ffn_devices=groups)
    kinds = [LayerTimes(*times)]

    def told(layers: int) -> float:
        order = (0,) * layers
        found = ordered_layers_time(kinds=kinds, order=order, microbatches=microbatches, turns=turns)
        least = least_layers_time(kinds=kinds, order=order, microbatches=microbatches, turns=turns)
        assert found >= least * (1 - 1e-9)
        return float(found)

    seen = [taking_turns(times, layers, microbatches, groups) for layers in (120, 240)]
    assert told(240) - told(120) == pytest.approx(seen[1] - seen[0], rel=1e-6)


def test_three_groups_wait_for_their_turn() -> None:
    """A layer takes max(t_a, K t_f, K link, t_a + t_d + t_f + t_c) of one micro-batch a group, by hand."""
    turns = turns_of(groups=3, attention_devices=6, ffn_devices=1)
    assert turns == LayerTimes(1.0, 3.0, 3.0, 3.0)
    for layer, expected in (
        (LayerTimes(1.0, 1.0, 1.0, 1.0), 4.0),
        (LayerTimes(1.0, 1.0, 3.0, 1.0), 9.0),
        (LayerTimes(1.0, 5.0, 3.0, 1.0), 15.0),
        (LayerTimes(20.0, 5.0, 3.0, 1.0), 29.0),
    ):
        times = [
            float(ordered_layers_time(kinds=[layer], order=(0,) * layers, microbatches=1, turns=turns))
            for layers in (50, 90)
        ]
        assert (times[1] - times[0]) / 40 == pytest.approx(expected)


def test_three_and_one_take_turns() -> None:
    assert even_order(counts=[6, 2]) == (0, 0, 1, 0) * 2
