"""The search: as good as looking at every deployment one by one; given batches, transports, refusals."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.limits import FABRIC, LATENCY, MEMORY, RATIO
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import NEAR, search
from roofline_afd.serving.sizes import AFD_CUTS, ATTENTION_CUT, TRANSPORTS, Plan
from tests.serving.searched import H800, best_of, rate_of, searched

ALONE = dataclasses.replace(load_system("tpu-v6e"), scale_out=None)
"""A pod that nothing leaves."""
SAME = 1e-9
"""Of deployments that differ by rounding either may win."""

QUESTIONS: dict[str, dict[str, Any]] = {
    "scale-out": H800,
    "superpod": {"system": "gb200-nvl72", "model": "deepseek-v3", "tpot_ms": 40, "max_devices": 144},
    "drafting": {"system": "h20", "model": "kimi-k2", "tpot_ms": 40, "accept_length": 1.7},
    "hybrid": {"system": "b200", "model": "nemotron-3-super-120b-a12b", "tpot_ms": 30, "context": 32768},
}


def _shapes(scenario: Scenario, mode: str) -> list[tuple[int, int | None]]:
    """Return every number of devices of both groups, one by one."""
    most = range(1, scenario.max_devices + 1)
    if mode == EP:
        return [(count, None) for count in most]
    return [
        (senders, receivers)
        for senders, receivers in itertools.product(most, most)
        if senders + receivers <= scenario.max_devices
        and (not scenario.deployable_with or scenario.any_size or senders >= receivers)
    ]


ONE_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "NVIDIA": {
        "vllm": ("low-latency", "normal", "one-sided", "two-sided", "uccl", "uccl-normal"),
        "sglang": ("low-latency", "normal", "one-sided", "uccl", "uccl-normal"),
        "trtllm": ("one-sided", "two-sided", "low-latency", "normal"),
    },
    "AMD": dict.fromkeys(("vllm", "sglang"), ("mori", "uccl", "uccl-normal")),
}
"""Libraries of an engine that run on the parts of a vendor."""


def _run(scenario: Scenario, deployment: Deployment) -> Any:  # noqa: ANN401 - whether, an array
    """Return which deployments one of an engine's libraries runs, written out."""
    vendor = scenario.system.parts.accelerator.text("vendor")
    libraries = ONE_OF[vendor].get(scenario.engine.id)
    devices = deployment.devices
    if libraries is None or scenario.any_size or devices == 1 or deployment.transport == "replicated":
        return True
    model, domain = scenario.model, scenario.system.scale_up_domain_devices
    experts = np.add(model.routed_experts, deployment.redundant_experts)
    even = experts % deployment.expert_devices == 0
    tokens = np.ceil(deployment.batch / deployment.microbatches) * scenario.query_tokens
    node = even & (devices in ({2, 4, 8} if devices <= domain else {16}))
    sizes = {2048, 2560, 4096, 5120, 6144, 7168, 8192}
    runs = {
        "low-latency": even & (tokens <= 511) & (model.hidden_size in sizes | {3072, 3584}),
        "normal": node,
        "one-sided": devices <= domain,
        "two-sided": devices <= domain,
        "uccl": even & (model.hidden_size in sizes) & (model.top_k <= 9),
        "uccl-normal": node,
        "mori": True,
    }
    found = np.zeros(np.broadcast_shapes(tokens.shape, even.shape), dtype=bool)
    for name in libraries:
        found |= runs[name]
    return found


def _widest(deployments: Deployments, heads: int) -> int:
    """Return the most devices whose sharing caches leaves less on each, in powers of two."""
    model, widest = deployments.scenario.model, 1
    for caches in (2, 4, 8):
        fits = heads % caches == 0 and all(kind.split(heads // caches) for kind in model.attention)
        if fits:
            before, after = (
                deployments.cache_of(deployments.held_tokens, heads, each) for each in (caches // 2, caches)
            )
            widest = caches if after < 0.999 * before else widest
    return widest


def _planned(deployments: Deployments) -> Iterator[tuple[int, int | None, Plan]]:
    """Yield every shape with every way to use its devices, written out."""
    scenario, mode = deployments.scenario, deployments.mode
    model = scenario.model
    powers = [each for each in (1, 2, 4, 8) if each <= deployments.attention.scale_up_domain_devices]
    transports = TRANSPORTS if scenario.transport == "all" else (deployments.transport,)
    spares = (0,) if deployments.load is None else (0, 1)
    for (senders, receivers), heads, caches, parts in itertools.product(
        _shapes(scenario, mode), powers, powers, powers
    ):
        holding = receivers or senders
        groups = scenario.attention_groups if mode == AFD else 1
        if (
            senders % (heads * groups)
            or heads % caches
            or holding % parts
            or model.expert_intermediate % parts
        ):
            continue
        if any(kind.split(each) is None for kind in model.attention for each in (heads, heads // caches)):
            continue
        if caches not in {1, _widest(deployments, heads)}:
            continue
        if parts == 1 or holding > model.routed_experts * parts // 2:
            cuts = AFD_CUTS if mode == AFD and not scenario.deployable_with else (ATTENTION_CUT,)
            for transport, cut, spare in itertools.product(transports, cuts, spares):
                yield senders, receivers, Plan(transport, heads, caches, parts, cut, spare_experts=spare)
        whole = parts in {1, heads}
        if mode == EP and heads == senders > 1 and scenario.transport in {None, "all"} and whole:
            for spare in spares:
                yield senders, receivers, Plan("replicated", heads, caches, parts, spare_experts=spare)


def _brute(scenario: Scenario, mode: str) -> float:
    """Return the best throughput of all deployments there are, by the plain functions."""
    deployments = Deployments(scenario, mode)
    limit = scenario.latency_ms * 1e-3 * scenario.accept_length
    room = deployments.usable_memory()
    microbatches = (1, 2) if mode == EP else (2,) if scenario.deployable_with else (1, 2, 3, 4)
    best = 0.0
    for senders, receivers, plan in _planned(deployments):
        holding = (receivers or senders) / plan.expert_tensor_parallel
        # the most that any memory holds, with room to spare for rounding
        own = deployments.cache_of(deployments.held_tokens, plan.tensor_parallel, plan.context_parallel)
        largest = int(room[0] / own) + 2
        every = Deployment(
            mode=mode,
            attention_devices=senders,
            ffn_devices=receivers,
            batch=np.arange(1, largest)[:, None],
            microbatches=np.array(microbatches),
            redundant_experts=float(deployments.fill(holding, plan.spare_experts)),
            **plan._asdict(),
        )
        step = deployments.step(every).time
        memory = deployments.memory(every)
        fits = (step <= limit) & (memory[0] <= room[0]) & (memory[1] <= room[1])
        fits &= _run(scenario, every)
        rates = np.where(fits, deployments.tokens_per_s_per_device(every, step), 0.0)
        best = max(best, float(np.max(rates)))
    return best


@given(
    st.fixed_dictionaries(
        {
            "system": st.sampled_from(["h200", "b200", "gb200-nvl72", "h20", "mi300x"]),
            "model": st.sampled_from(["qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v2-lite", "minimax-m2"]),
            "tpot_ms": st.floats(5, 60),
            "context": st.integers(10_000, 60_000),
            "accept_length": st.sampled_from([1.0, 1.6]),
            "max_devices": st.integers(2, 9),
            "transport": st.sampled_from([None, "rank", "node", "all"]),
            "deployable_with": st.sampled_from([None, "vllm-afd-plugin"]),
            "duplex": st.sampled_from(["full", "shared"]),
            "sigma_ep": st.sampled_from([1.0, 0.8]),
            "sigma_dp": st.sampled_from([1.0, 0.9]),
            "engine": st.sampled_from(["ideal", "vllm", "sglang", "trtllm"]),
            "any_size": st.booleans(),
            "attention_groups": st.sampled_from([1, 1, 2, 3]),
            "context_variation": st.sampled_from([0.0, 0.0, 1.0]),
        }
    )
)
@settings(max_examples=6, deadline=None)
def test_search_finds_the_best_there_is(question: dict[str, Any]) -> None:
    """Over batch, devices, groups, micro-batches, transports, sharing, cuts: none is better."""
    scenario = Scenario(**question, granularity="device")
    for mode in MODES:
        deployments = Deployments(scenario, mode)
        found = search(deployments)
        best = _brute(scenario, mode)
        assert rate_of(deployments, found.best) == pytest.approx(best, rel=SAME)
        assert (found.best is None) == (best == 0)
        if found.best is not None:
            _is_feasible(deployments, found.best)


def _is_feasible(deployments: Deployments, best: Deployment) -> None:
    """Check latency, memory and budget of a deployment found."""
    scenario = deployments.scenario
    assert float(deployments.step(best).time) <= scenario.latency_ms * 1e-3 * scenario.accept_length
    held, room = deployments.memory(best), deployments.usable_memory()
    assert float(held[0]) <= room[0]
    assert float(held[1]) <= room[1]
    assert int(best.devices) <= (scenario.devices or scenario.max_devices)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_found_is_feasible_and_ordered(name: str, mode: str) -> None:
    """Best, next best of another shape, and the smallest nearly as good, each of which can be had."""
    deployments, found = searched(mode, **QUESTIONS[name])
    assert found.best is not None
    assert found.runner_up is not None
    assert found.smallest is not None
    best = rate_of(deployments, found.best)
    for other in (found.best, found.runner_up, found.smallest):
        _is_feasible(deployments, other)
        assert rate_of(deployments, other) <= best * (1 + SAME)
    shapes = [(each.attention_devices, each.ffn_devices) for each in (found.best, found.runner_up)]
    assert shapes[0] != shapes[1]
    assert rate_of(deployments, found.smallest) >= NEAR * best
    assert found.smallest.devices <= found.best.devices
    assert found.refusal == ""


def test_search_is_deterministic() -> None:
    for mode in MODES:
        first, second = (searched(mode, **H800)[1] for _ in range(2))
        assert (first.best, first.runner_up, first.smallest) == (
            second.best,
            second.runner_up,
            second.smallest,
        )
        assert first.examined == second.examined > 1000


@given(
    st.sampled_from(["h800", "h20", "gb200-nvl72", "cloudmatrix384"]),
    st.sampled_from(["deepseek-v3", "step-3", "qwen3-235b-a22b"]),
    st.floats(15, 80),
    st.floats(1, 3),
    st.integers(24, 120),
    st.integers(1, 200),
)
@settings(max_examples=6, deadline=None)
def test_more_time_or_more_devices_never_hurt(  # noqa: PLR0917 - drawn in order
    system: str, model: str, tpot: float, factor: float, budget: int, more: int
) -> None:
    """Whatever was feasible stays so."""
    for mode in MODES:
        scenario = Scenario(system=system, model=model, tpot_ms=tpot, max_devices=budget)
        first, later, larger = (
            rate_of(deployments := Deployments(each, mode), search(deployments).best)
            for each in (
                scenario,
                attrs.evolve(scenario, tpot_ms=tpot * factor),
                attrs.evolve(scenario, max_devices=budget + more),
            )
        )
        assert later >= first * (1 - SAME)
        assert larger >= first * (1 - SAME)


@given(
    st.sampled_from(["h800", "h20", "gb200-nvl72"]),
    st.sampled_from(["deepseek-v3", "step-3", "qwen3-235b-a22b", "nemotron-3-super-120b-a12b"]),
    st.sampled_from(MODES),
    st.sampled_from([1.0, 1.6, 3.0]),
    st.sampled_from([None, 3, 40]),
    st.sampled_from([None, "all"]),
)
@settings(max_examples=4, deadline=None)
def test_nearest_latency_is_feasible(  # noqa: PLR0917 - drawn in order
    system: str, model: str, mode: str, accepted: float, batch: int | None, transport: str | None
) -> None:
    """Where nothing is quick enough, the least latency there is has a deployment, and less has none."""
    question: dict[str, Any] = {
        "system": system,
        "model": model,
        "accept_length": accepted,
        "batch": batch,
        "transport": transport,
        "max_devices": 200,
    }
    _, found = searched(mode, **question, tpot_ms=0.1)
    assume(found.refusal != MEMORY)
    assert found.best is None
    assert found.refusal == LATENCY
    assert found.nearest is not None
    for factor, feasible in ((1 + 1e-9, True), (1 - 1e-6, False)):
        _, again = searched(mode, **question, tpot_ms=found.nearest * 1e3 * factor)
        assert (again.best is not None) == feasible


def test_a_given_batch_is_kept() -> None:
    for mode in MODES:
        deployments, found = searched(mode, **H800, batch=50)
        assert found.best is not None
        assert found.best.batch == 50
        free = Deployments(Scenario(**H800), mode)
        assert rate_of(deployments, found.best) <= rate_of(free, search(free).best) * (1 + SAME)


def test_all_transports_are_no_worse_than_any() -> None:
    """And of equals the one that was timed is named: inside one domain of 8, `pair` with 8 experts."""
    for mode in MODES:
        rates = {}
        for transport in (*TRANSPORTS, "all"):
            deployments, found = searched(mode, **H800, transport=transport)
            rates[transport] = rate_of(deployments, found.best)
        assert rates["all"] == pytest.approx(max(rates.values()), rel=SAME)
    best = best_of(
        EP, **H800 | {"model": "qwen3-30b-a3b", "devices": 1}, granularity="device", transport="all"
    )
    assert best.transport == "pair"  # one device sends nothing


@pytest.mark.parametrize("mode", MODES)
def test_more_devices_than_a_fabric_connects_are_refused(mode: str) -> None:
    """Asked for outright, 512 devices without scale-out have no deployment, and that is why."""
    _, found = searched(mode, system=ALONE, model="deepseek-v3", tpot_ms=200, devices=512)
    assert found.best is None
    assert (found.refusal, found.nearest) == (FABRIC, None)


def test_a_latency_missed_within_a_domain_is_no_missing_fabric() -> None:
    """Of 200 attention devices and up to 312 others some fit a domain of 256: the latency is what binds."""
    question: dict[str, Any] = {"system": ALONE, "model": "deepseek-v3", "attention_devices": 200}
    _, found = searched(AFD, **question, tpot_ms=0.1)
    assert found.refusal == LATENCY
    assert found.nearest is not None
    assert best_of(AFD, **question, tpot_ms=found.nearest * 1e3 * (1 + 1e-9)).devices <= 256


def test_refusals() -> None:
    """Each names what rules everything out."""
    cases: list[tuple[str, str, dict[str, Any]]] = [
        (EP, MEMORY, {"max_devices": 8}),
        (AFD, MEMORY, {"max_devices": 16}),
        (AFD, MEMORY, {"context": 50_000_000}),
        (EP, MEMORY, {"batch": 1_000_000}),
        (AFD, MEMORY, {"devices": 7}),
        (AFD, RATIO, {"devices": 12}),
        (AFD, RATIO, {"devices": 1}),
        (EP, MEMORY, {"max_devices": 7}),
        (AFD, RATIO, {"attention_devices": 16, "ffn_devices": 64, "deployable_with": "vllm-afd-plugin"}),
        (AFD, RATIO, {"devices": 128, "attention_devices": 127}),
        (EP, LATENCY, {"tpot_ms": 5}),
        (AFD, LATENCY, {"tpot_ms": 5}),
        (AFD, LATENCY, {"batch": 170, "tpot_ms": 20}),
    ]
    for mode, binding, asked in cases:
        _, found = searched(mode, **H800 | asked)
        assert (found.best, found.runner_up, found.smallest) == (None, None, None), asked
        assert found.refusal == binding, asked
        assert (found.nearest is not None) == (binding == LATENCY)
    assert best_of(AFD, **H800 | {"devices": 127}, granularity="device").devices == 127
