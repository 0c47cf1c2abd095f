"""Schedules of a step: bounds, limits, monotonicity, and agreement with a schedule run event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDING = 1e-12
"""Sums of a few doubles differ by units of the last digit."""
STAGES = ("attention", "ffn", "dispatch", "combine")

durations = st.floats(0, 1e-2, allow_subnormal=False)
times = st.fixed_dictionaries(dict.fromkeys(STAGES, durations))
counts = st.integers(1, 8)


def _layers(question: dict[str, float], *, layers: int, microbatches: int, full_duplex: bool = True) -> float:
    """Return the pipeline's time for layers alike, put together from its parts."""
    link = pipeline.link_time(
        dispatch=question["dispatch"], combine=question["combine"], full_duplex=full_duplex
    )
    busiest = pipeline.busiest_stage_time(attention=question["attention"], ffn=question["ffn"], link=link)
    loop = pipeline.serial_layer_time(**question)
    return float(
        pipeline.pipeline_layers_time(
            busiest_sum=layers * busiest,
            loop_sum=layers * loop,
            busiest=busiest,
            loop=loop,
            microbatches=microbatches,
        )
    )


def _simulated(question: dict[str, float], *, layers: int, microbatches: int) -> float:
    """Run micro-batches in turn through attention, dispatch, FFN and combine, each with one at a time."""
    stages = [question[name] for name in ("attention", "dispatch", "ffn", "combine")]
    free = [0.0] * len(stages)
    ready = [0.0] * microbatches
    for _ in range(layers):
        for index in range(microbatches):
            for stage, duration in enumerate(stages):
                free[stage] = ready[index] = max(ready[index], free[stage]) + duration
    return max(ready)


@given(times)
def test_lockstep_lies_between_its_bounds(question: dict[str, float]) -> None:
    """Not below what any overlap needs, at most half more than that, never above both halves in turn."""
    lockstep = float(pipeline.lockstep_layer_time(**question))
    bound = float(pipeline.overlap_lower_bound(**question))
    serial = 2 * float(pipeline.serial_layer_time(**question))
    assert bound * (1 - ROUNDING) <= lockstep <= 1.5 * bound * (1 + ROUNDING)
    assert lockstep <= serial * (1 + ROUNDING)
    assert bound >= serial / 2 * (1 - ROUNDING)


@pytest.mark.parametrize("busy", [("ffn", "combine"), ("attention", "dispatch"), ("ffn", "dispatch")])
def test_lockstep_reaches_its_worst_case(busy: tuple[str, str]) -> None:
    """Two stages alike that follow each other, the others nothing: half more than the bound, no less."""
    question = {name: float(name in busy) for name in STAGES}
    worst = pipeline.lockstep_layer_time(**question) / pipeline.overlap_lower_bound(**question)
    assert worst == 1.5


def test_lockstep_hides_what_is_smaller() -> None:
    """Transfers below both computing times vanish; computing below both transfers does too."""
    computing: dict[str, Any] = {"attention": 3.0, "ffn": 2.0, "dispatch": 1.0, "combine": 2.0}
    assert pipeline.lockstep_layer_time(**computing) == pipeline.overlap_lower_bound(**computing) == 10
    sending: dict[str, Any] = {"attention": 1.0, "ffn": 2.0, "dispatch": 2.0, "combine": 3.0}
    assert pipeline.lockstep_layer_time(**sending) == pipeline.overlap_lower_bound(**sending) == 10


@given(times, st.integers(1, 12), counts)
def test_pipeline_is_what_its_schedule_takes(
    question: dict[str, float], layers: int, microbatches: int
) -> None:
    """With directions that overlap the formula is exact, for any times, layers and micro-batches."""
    expected = _simulated(question, layers=layers, microbatches=microbatches)
    assert _layers(question, layers=layers, microbatches=microbatches) == pytest.approx(expected, rel=1e-9)


@given(times, st.integers(1, 100))
def test_one_microbatch_overlaps_nothing(question: dict[str, float], layers: int) -> None:
    """Whatever the links, a single micro-batch goes through every stage of every layer in turn."""
    serial = layers * float(pipeline.serial_layer_time(**question))
    for full_duplex in (True, False):
        found = _layers(question, layers=layers, microbatches=1, full_duplex=full_duplex)
        assert found == pytest.approx(serial, rel=1e-9, abs=1e-300)


@given(times, st.integers(1, 100))
def test_many_microbatches_keep_the_busiest_stage_busy(question: dict[str, float], layers: int) -> None:
    """Per micro-batch and layer the time tends to that of the busiest stage, from above."""
    many = 1_000_000
    busiest = max(question.values())  # directions overlap
    loop = sum(question.values())
    found = _layers(question, layers=layers, microbatches=many) / (many * layers)
    assert found >= busiest * (1 - ROUNDING)
    # of the fill and the drain no more is left than one loop a layer, spread over all micro-batches
    assert found <= busiest + loop / many + ROUNDING * busiest


@given(times, st.sampled_from(STAGES), st.floats(0, 1e-2), st.integers(1, 80), counts)
def test_no_schedule_is_faster_for_a_longer_stage(
    question: dict[str, float], stage: str, more: float, layers: int, microbatches: int
) -> None:
    longer = question | {stage: question[stage] + more}
    for schedule in (
        pipeline.serial_layer_time,
        pipeline.lockstep_layer_time,
        pipeline.overlap_lower_bound,
    ):
        assert schedule(**longer) >= schedule(**question) * (1 - ROUNDING)
    for full_duplex in (True, False):
        before, after = (
            _layers(each, layers=layers, microbatches=microbatches, full_duplex=full_duplex)
            for each in (question, longer)
        )
        assert after >= before * (1 - ROUNDING)


@given(times, st.integers(1, 80), counts)
def test_full_duplex_is_never_slower(question: dict[str, float], layers: int, microbatches: int) -> None:
    """Directions that overlap are at most twice as quick for the link, and no slower for a step."""
    links = {
        full: float(
            pipeline.link_time(dispatch=question["dispatch"], combine=question["combine"], full_duplex=full)
        )
        for full in (True, False)
    }
    assert links[True] <= links[False] <= 2 * links[True]
    full, shared = (
        _layers(question, layers=layers, microbatches=microbatches, full_duplex=duplex)
        for duplex in (True, False)
    )
    assert full <= shared * (1 + ROUNDING)


@given(times, st.integers(1, 80), counts)
def test_cycles_bound_the_step(question: dict[str, float], layers: int, microbatches: int) -> None:
    """A step takes at least m*L cycles, and at most one loop more."""
    loop = float(pipeline.serial_layer_time(**question))
    cycle = float(pipeline.cycle_time(busiest=max(question.values()), loop=loop, microbatches=microbatches))
    found = _layers(question, layers=layers, microbatches=microbatches)
    assert found >= microbatches * layers * cycle * (1 - 1e-9)
    assert found <= (microbatches * layers * cycle + loop) * (1 + 1e-9)


@pytest.mark.parametrize(
    "schedule",
    [pipeline.serial_layer_time, pipeline.lockstep_layer_time, pipeline.overlap_lower_bound],
)
@given(st.lists(times, min_size=1, max_size=5))
def test_arrays_are_their_elements(schedule: Callable[..., Any], questions: list[dict[str, float]]) -> None:
    """Every schedule of arrays is that of each element, and of a number a number."""
    columns = {name: np.array([question[name] for question in questions]) for name in STAGES}
    found = schedule(**columns)
    assert found.shape == (len(questions),)
    for value, question in zip(found, questions, strict=True):
        alone = schedule(**question)
        assert np.ndim(alone) == 0
        assert value == alone
    full = np.arange(len(questions)) % 2 == 0
    links = pipeline.link_time(dispatch=columns["dispatch"], combine=columns["combine"], full_duplex=full)
    for value, question, duplex in zip(links, questions, full.tolist(), strict=True):
        one = pipeline.link_time(
            dispatch=question["dispatch"], combine=question["combine"], full_duplex=duplex
        )
        assert np.ndim(one) == 0
        assert value == one


@given(st.integers(1, 10_000), st.floats(1, 8), st.floats(1e-4, 10), st.floats(0.1, 10))
def test_rate_is_tokens_over_time(batch: int, accepted: float, step: float, factor: float) -> None:
    rate = float(pipeline.token_rate(batch=batch, accept_length=accepted, step=step))
    assert rate * step == pytest.approx(batch * accepted)
    slower = pipeline.token_rate(batch=batch, accept_length=accepted, step=step * factor)
    assert float(slower) == pytest.approx(rate / factor)
