"""Modes on the same devices: a chunk among decode steps takes as long as looked at alone."""

from __future__ import annotations

import dataclasses

import attrs
import pytest

from roofline_afd.serving.deployment import EP
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.question import AGG
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.serving.sizes import Plan
from tests.serving.modes.asking import asking
from tests.serving.modes.one_by_one import (
    deployment_of,
    pool_of,
    prompt_of,
    with_prompts,
)


def test_prefilled_alone_or_beside_others_is_alike() -> None:
    """Where a prompt comes first and is short, a chunk attends as if its deployment were looked at alone."""
    question = asking(
        model="deepseek-v2-lite",
        devices=1,
        workload={"prefix": 0, "isl": 150, "osl": 64},
        scenario={"microbatches": 1, "granularity": "device"},
    )
    deployments = pool_of(question, EP, question.scenario, question.workload.held)
    for chunk in chunk_sizes(150, None):
        found = explore_modes(attrs.evolve(question, chunk_tokens=round(chunk)), [AGG])[AGG]
        free = explore_modes(question, [AGG])[AGG]
        for best in (found.best, free.best):
            assert best is not None
            plain = deployment_of(deployments, (1, None), Plan(), best["batch"], 1)
            shape = with_prompts(plain, question.scenario)
            step = deployments.step(shape, prompt=prompt_of(question.workload, best["chunk"])).time
            assert best["mixed"] == pytest.approx(float(step), rel=1e-12)


def test_steps_with_prompts_send_a_copy_per_node() -> None:
    """But where the question names a way to send tokens: then both kinds of steps send theirs so."""
    workload = {"prefix": 0, "isl": 4096, "osl": 256}
    for transport, ways in ((None, ("pair", "node")), ("rank", ("rank", "rank"))):
        asked = {"transport": transport, "microbatches": 1}
        question = asking(devices=16, workload=workload, scenario=asked, tensor_parallel=1)
        best = explore_modes(question, [AGG])[AGG].best
        assert best is not None
        shape = int(best["attention"]), None
        deployments = pool_of(question, EP, question.scenario, question.workload.held)
        plain = deployment_of(deployments, shape, Plan(), best["batch"], 1)
        pure = dataclasses.replace(plain, transport=transport or deployments.transport)
        mixed = with_prompts(pure, question.scenario)
        assert (pure.transport, mixed.transport) == ways
        assert best["pure"] == pytest.approx(float(deployments.step(pure).time), rel=1e-12)
        prompt = prompt_of(question.workload, best["chunk"])
        assert best["mixed"] == pytest.approx(float(deployments.step(mixed, prompt=prompt).time), rel=1e-12)
