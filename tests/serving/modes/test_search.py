"""The search over serving modes: as good as looking at every deployment one by one; limits, refusals."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.limits import (
    CLUSTER,
    FABRIC,
    FIRST_TOKEN,
    LATENCY,
    MEMORY,
    PREFILL_SHARE,
    REQUEST_RATE,
    SLOTS,
)
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD, PD_AFD, SERVING_MODES, Question
from roofline_afd.serving.modes.search import ModeFound, explore_modes
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Plan
from roofline_afd.serving.workload import Workload
from tests.serving.modes.asking import asking, rate_of
from tests.serving.modes.one_by_one import SAME, Point, deployment_of, every_point

EDGE = 1 + 1e-7
"""A limit this much above what a deployment takes is met by it, however it is rounded."""
WORKLOADS = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from([0, 50_000, 200_000, 400_000]),
        "isl": st.sampled_from([1, 150, 1000, 3000, 50_000]),
        "osl": st.sampled_from([10, 700, 5000]),
    }
)
QUESTIONS = st.fixed_dictionaries(
    {
        "system": st.sampled_from(["h100", "b200", "gb200-nvl72", "mi300x", "l40s", "h20"]),
        "model": st.sampled_from(
            ["gpt-oss-20b", "qwen3-30b-a3b", "deepseek-v2-lite", "nemotron-3-nano-30b-a3b", "olmoe-1b-7b"]
        ),
        "workload": WORKLOADS,
        "devices": st.integers(2, 4),
        "shared_prefix": st.booleans(),
        "kv_moved": st.sampled_from(["all", "new"]),
        "kv_overlap": st.booleans(),
        "overrides": st.sampled_from(
            [{}, {"scale_out_gb_per_s": 0.2}, {"scale_up_domain_devices": 2, "devices_per_node": 2}]
        ),
        "sequences": st.integers(1, 20),
        "scenario": st.fixed_dictionaries(
            {},
            optional={
                "accept_length": st.just(1.6),
                "microbatches": st.sampled_from([1, 2]),
                "duplex": st.just("shared"),
                "links": st.just("nominal"),
                "sigma_dp": st.just(0.9),
            },
        ),
        "chunk_tokens": st.sampled_from([500, 100, 2048, 8192]),
    },
    optional={
        "tensor_parallel": st.sampled_from([1, 2]),
        "kv_link": st.sampled_from(["scale-up", "scale-out"]),
    },
)


@pytest.mark.parametrize("mode", SERVING_MODES)
@given(
    drawn=QUESTIONS,
    limits=st.sampled_from(["none", "ttft", "tpot", "both", "rate"]),
    dice=st.randoms(use_true_random=False),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_search_finds_the_best_there_is(
    mode: str, drawn: dict[str, Any], limits: str, dice: random.Random
) -> None:
    """Over replicas, groups, shared heads, micro-batches, chunk, batch and pools: none is better."""
    question = question_of(drawn, mode)
    points = every_point(question, mode)
    if points and limits == "rate":
        rate = dice.choice(points).rate * question.devices / question.workload.osl / EDGE
        question = attrs.evolve(
            question, request_rate=rate * dice.choice([1, 0.7]), prompt_variation=dice.choice([0, 1.5])
        )
        points = every_point(question, mode)
    if points and limits != "none":
        chosen = dice.choice(points)
        given_: dict[str, Any] = {
            "ttft_ms": chosen.ttft * 1e3 * EDGE if limits != "tpot" else None,
            "tpot_ms": chosen.tpot * 1e3 * EDGE if limits != "ttft" else None,
        }
        question = attrs.evolve(question, **given_)
        points = every_point(question, mode)  # how often steps carry prompts depends on the limit
    found = explore_modes(question, [mode])[mode]
    best = best_of(points, question)
    assert rate_of(found) == pytest.approx(best, rel=SAME)
    assert (found.best is None) == (best == 0)
    if found.best is None:
        assert found.refusal
        _refused_rightly(found, question, points)
    else:
        assert found.best["ttft"] <= question.ttft_limit
        assert found.best["tpot"] <= question.tpot_limit


def best_of(points: list[Point], question: Question) -> float:
    """Return the best rate within the limits; 0 where there is none."""
    return max(
        (
            point.rate
            for point in points
            if point.ttft <= question.ttft_limit and point.tpot <= question.tpot_limit
        ),
        default=0.0,
    )


def question_of(drawn: dict[str, Any], mode: str) -> Question:
    """Return a question from what was drawn, with memory for a few sequences in a part of the cluster."""
    rest = dict(drawn)
    if mode == PD_AFD:
        rest["devices"] += 2
    work = Workload(**rest.pop("workload"))
    scenario = Scenario(
        system=load_system(rest.pop("system"), overrides=rest.pop("overrides", {})),
        model=rest.pop("model"),
        granularity="device",
        tensor_parallel=rest.pop("tensor_parallel", None),
        **rest.pop("scenario", {}),
    )
    rest["workload"] = work
    every = Deployments(scenario, EP, held_tokens=work.held)
    part = max(rest["devices"] // {AGG: 1, PD: 2, AGG_AFD: 2, PD_AFD: 3}[mode], 1)
    weights = float(every.memory(deployment_of(every, (part, None), Plan(), 0, 1))[0])
    own, whole = work.held, 0.0
    if rest.get("shared_prefix"):
        own, whole = work.held - work.prefix, every.cache_of(work.prefix)
    wanted = weights + 3e9 + whole + rest.pop("sequences") * every.cache_of(own)
    reserve = 1 - wanted / scenario.system.accelerator.memory_bytes
    scenario = attrs.evolve(scenario, memory_reserve=min(max(reserve, 0.0), 0.98))
    prefill = rest.pop("prefill", None)
    return Question(
        scenario=scenario,
        prefill=attrs.evolve(scenario, system=load_system(prefill)) if prefill else scenario,
        **rest,
    )


def _refused_rightly(found: ModeFound, question: Question, points: list[Point]) -> None:
    """Check that what is blamed is what rules every deployment out."""
    if found.refusal in {MEMORY, CLUSTER, PREFILL_SHARE, FABRIC}:
        assert not points or found.refusal == CLUSTER
    if found.refusal == FIRST_TOKEN:
        assert all(point.ttft > question.ttft_limit for point in points)
    if found.refusal == LATENCY:
        assert all(point.tpot > question.tpot_limit for point in points)


@pytest.mark.parametrize("mode", SERVING_MODES)
@given(drawn=QUESTIONS, limit=st.sampled_from(["ttft_ms", "tpot_ms"]))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_nearest_value_is_feasible(mode: str, drawn: dict[str, Any], limit: str) -> None:
    """Where one limit alone rules all out, the least time named has a deployment, and less has none."""
    drawn = {key: value for key, value in drawn.items() if key != "tensor_parallel"}
    impossible: dict[str, Any] = {limit: 1e-6}
    question = attrs.evolve(question_of(drawn, mode), **impossible)
    found = explore_modes(question, [mode])[mode]
    if found.refusal not in {FIRST_TOKEN, LATENCY}:
        assert found.refusal in {MEMORY, CLUSTER, PREFILL_SHARE, SLOTS}
        return
    assert found.refusal == (FIRST_TOKEN if limit == "ttft_ms" else LATENCY)
    least = found.least_ttft if limit == "ttft_ms" else found.least_tpot
    for factor, feasible in ((1 + 1e-9, True), (1 - 1e-6, False)):
        named: dict[str, Any] = {limit: least * 1e3 * factor}
        again = explore_modes(attrs.evolve(question, **named), [mode])[mode]
        assert (again.best is not None) == feasible


@pytest.mark.parametrize("mode", SERVING_MODES)
def test_rates_that_only_some_batches_serve(mode: str) -> None:
    """The rate of the very best is served, by it; a little more by none."""
    free = asking(devices=16, tpot_ms=30)
    most = explore_modes(free, [mode])[mode].best
    assert most is not None
    rate = most["rate"] * 16 / 256
    served = explore_modes(attrs.evolve(free, request_rate=rate * (1 - 1e-9)), [mode])[mode]
    assert served.best is not None or mode in {PD, PD_AFD}  # a pool all prompts fill waits for ever
    if served.best is not None:
        assert served.best["rate"] == pytest.approx(most["rate"], rel=1e-6)
    again = explore_modes(attrs.evolve(free, request_rate=rate * 0.97, ttft_ms=5e3), [mode])[mode].best
    assert again is not None
    assert again["rate"] >= rate * 0.97 * 256 / 16
    never = explore_modes(attrs.evolve(free, request_rate=rate * 1.001), [mode])[mode]
    assert never.best is None
    assert never.refusal in {REQUEST_RATE, LATENCY}  # with more time per token it might be served


@pytest.mark.parametrize("mode", SERVING_MODES)
def test_more_time_never_hurts_where_cores_come_in_waves(mode: str) -> None:
    """On the H20 the largest batch in time may begin a wave: one that fills waves is then the best.

    Two tokens of a sequence together, so that computing binds: 39 sequences of 4 cached heads fill two waves
    of 78 processors.
    """
    question = asking(
        system="h20",
        model="qwen3-235b-a22b",
        devices=32,
        tensor_parallel=1,
        workload={"prefix": 8192, "isl": 512, "osl": 1024},
        scenario={"accept_length": 1.7, "microbatches": 1},
    )
    rates = [
        rate_of(explore_modes(attrs.evolve(question, tpot_ms=limit), [mode])[mode])
        for limit in (*range(32, 68, 4), 100)
    ]
    assert rates[0] < rates[-1]
    assert all(more >= less * (1 - SAME) for less, more in itertools.pairwise(rates))


def test_refusals() -> None:
    """Each names what rules everything out."""
    alone = dataclasses.replace(load_system("tpu-v6e"), scale_out=None)
    cases: list[tuple[str, str, dict[str, Any]]] = [
        *((mode, MEMORY, {"model": "deepseek-v3", "devices": 2}) for mode in SERVING_MODES),
        *((mode, LATENCY, {"tpot_ms": 0.01}) for mode in SERVING_MODES),
        *((mode, FIRST_TOKEN, {"ttft_ms": 0.01}) for mode in SERVING_MODES),
        *((mode, REQUEST_RATE, {"request_rate": 1e9}) for mode in SERVING_MODES),
        (PD, CLUSTER, {"devices": 1}),
        (AGG_AFD, CLUSTER, {"devices": 1}),
        (PD_AFD, CLUSTER, {"devices": 1}),
        (PD_AFD, CLUSTER, {"devices": 3}),
        (AGG, PREFILL_SHARE, {"workload": {"isl": 100_000, "osl": 1}}),
        (PD, FABRIC, {"system": alone, "devices": 512}),
        (PD_AFD, FABRIC, {"system": alone, "devices": 8, "kv_link": "scale-out"}),
    ]
    for mode, binding, asked in cases:
        found = explore_modes(asking(**asked), [mode])[mode]
        assert (found.best, found.points) == (None, {}), asked
        assert found.refusal == binding, (mode, asked)
