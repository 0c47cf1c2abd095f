"""Questions that differ in numbers alone, as one: every element is what its own question says."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.sides import Successive
from roofline_afd.serving.deployment import MODES, Deployments
from roofline_afd.serving.plans import plans_of
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.stacked import NUMBERS, Stack
from tests.serving.searched import H800

CHANGES: tuple[dict[str, Any], ...] = (
    {"context": 4096, "scale_out_gb_per_s": 50.0, "memory_gb_per_s": 3000.0, "gap_ms": 1.0},
    {"context": 1000, "scale_out_gb_per_s": 25.0, "memory_gb_per_s": 2000.0, "gap_ms": 3.0},
    {"context": 9000, "scale_out_gb_per_s": 400.0, "memory_gb_per_s": 4000.0, "gap_ms": 0.0},
)
ASKED: tuple[dict[str, Any], ...] = (
    H800 | {"max_devices": 32},
    {"system": "gb200-nvl72", "model": "deepseek-v3.2", "max_devices": 96, "accept_length": 1.7},
    {"system": "mi355x", "model": "qwen3-next-80b-a3b", "max_devices": 16, "context_variation": 0.5},
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: str(asked["model"]))
def test_steps_of_a_stack_are_those_of_each_question(asked: dict[str, Any], mode: str) -> None:
    """Several plans, batches of a shape; a question never takes less than the quickest of all."""
    every = [{**each, "scale_up_gb_per_s": 100.0 + place} for place, each in enumerate(CHANGES)]
    questions = [Deployments(changed(Scenario(**asked), each), mode) for each in every]
    stack = Stack(questions)
    which = np.array([0, 2, 1, 2])[:, None]
    batches = np.array([1.0, 7.0, 64.0, 100.0])[:, None] * [1.0, 3.0]
    for plan in plans_of(questions[0])[::-7]:
        shape: dict[str, Any] = {"batch": batches, "microbatches": 2, "plan": plan}
        together, least = stack.of(which), stack.quickest(np.array([0, 1, 2]))
        times, bound = (
            np.asarray(each.step(each.deployment_of(16.0, 8.0, **shape)).time) for each in (together, least)
        )
        for row, place in enumerate(which[:, 0]):
            own = questions[place]
            alone = own.step(own.deployment_of(16.0, 8.0, **shape | {"batch": batches[row]})).time
            assert times[row] == pytest.approx(np.broadcast_to(alone, times[row].shape), rel=1e-14), plan
        assert (np.broadcast_to(bound, times.shape) <= times * (1 + 1e-12)).all(), plan


def test_questions_together_have_the_best_of_each() -> None:
    """In one go, one after the other, and searched anew: the same throughput; also where none is feasible."""
    base = Scenario(**H800 | {"max_devices": 24, "tensor_parallel": 1, "expert_tensor_parallel": 1})
    targets = (50.0, 25.0, 100.0, 1.5)
    asked = [
        attrs.evolve(changed(base, each), tpot_ms=target)
        for each, target in zip((*CHANGES, CHANGES[0]), targets, strict=True)
    ]
    together, alone = Successive().every(asked), Successive()
    assert together[-1] == (0.0, 0.0)
    for found, each in zip(together, asked, strict=True):
        assert found == pytest.approx(alone.rates(each), rel=1e-12)
        assert found == pytest.approx(Successive().rates(each), rel=1e-9)


def test_every_number_of_a_stack_is_an_input() -> None:
    base = Scenario(**H800)
    for name in NUMBERS:
        assert changed(base, {name: 49}) != base, name
