"""The search: as good as looking at every deployment one by one; filters and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.limits import FABRIC, LATENCY, MEMORY, RATIO
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import NEAR, Found, search
from roofline_afd.serving.sizes import TRANSPORTS

SAME = 1e-9
"""Of deployments that differ by rounding either may win."""
H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50}


def _rate(deployments: Deployments, deployment: Deployment | None) -> float:
    """Return the throughput of a deployment; 0 where there is none."""
    if deployment is None:
        return 0.0
    step = deployments.step(deployment).time
    return float(np.asarray(deployments.tokens_per_s_per_device(deployment, step)))


def _found(mode: str, **question: Any) -> tuple[Deployments, Found]:  # noqa: ANN401 - any field
    deployments = Deployments(Scenario(**question), mode)
    return deployments, search(deployments)


def _best(mode: str, **question: Any) -> Deployment:  # noqa: ANN401 - any field
    _, found = _found(mode, **question)
    assert found.best is not None
    return found.best


def _shapes(scenario: Scenario, mode: str) -> list[tuple[int, int | None]]:
    """Return every number of devices of both groups, one by one."""
    most = range(1, scenario.max_devices + 1)
    if mode == EP:
        return [(count, None) for count in most]
    return [
        (senders, receivers)
        for senders, receivers in itertools.product(most, most)
        if senders + receivers <= scenario.max_devices
        and not (scenario.deployable_with and senders % receivers)
    ]


def _brute(scenario: Scenario, mode: str) -> float:
    """Return the best throughput of all deployments there are, by the plain functions."""
    deployments = Deployments(scenario, mode)
    limit = scenario.latency_ms * 1e-3 * scenario.accept_length
    room = deployments.usable_memory()
    microbatches = (1, 2) if mode == EP else (2,) if scenario.deployable_with else (1, 2, 3, 4)
    transports = TRANSPORTS if scenario.transport == "all" else (scenario.transport or "pair",)
    best = 0.0
    for (senders, receivers), transport in itertools.product(_shapes(scenario, mode), transports):
        holding = receivers or senders
        # the most that any memory holds, with room to spare for rounding
        largest = int(room[0] / deployments.cache_bytes) + 2
        every = Deployment(
            mode=mode,
            attention_devices=senders,
            ffn_devices=receivers,
            batch=np.arange(1, largest)[:, None, None],
            microbatches=np.array(microbatches)[:, None],
            transport=transport,
            redundant_experts=np.arange(holding),
        )
        step = deployments.step(every).time
        memory = deployments.memory(every)
        fits = (step <= limit) & (memory[0] <= room[0]) & (memory[1] <= room[1])
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
        }
    )
)
@settings(max_examples=25, deadline=None)
def test_search_finds_the_best_there_is(question: dict[str, Any]) -> None:
    """Over batch, devices, groups, micro-batches, redundant experts, transports: none is better."""
    scenario = Scenario(**question, granularity="device")
    for mode in MODES:
        deployments = Deployments(scenario, mode)
        found = search(deployments)
        best = _brute(scenario, mode)
        assert _rate(deployments, found.best) == pytest.approx(best, rel=SAME)
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


QUESTIONS: dict[str, dict[str, Any]] = {
    "scale-out": H800,
    "superpod": {"system": "gb200-nvl72", "model": "deepseek-v3", "tpot_ms": 40, "max_devices": 144},
    "drafting": {"system": "h20", "model": "kimi-k2", "tpot_ms": 40, "accept_length": 1.7},
    "hybrid": {"system": "b200", "model": "nemotron-3-super-120b-a12b", "tpot_ms": 30, "context": 32768},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_found_is_feasible_and_ordered(name: str, mode: str) -> None:
    """Best, next best of another shape, and the smallest nearly as good, each of which can be had."""
    deployments, found = _found(mode, **QUESTIONS[name])
    assert found.best is not None
    assert found.runner_up is not None
    assert found.smallest is not None
    best = _rate(deployments, found.best)
    for other in (found.best, found.runner_up, found.smallest):
        _is_feasible(deployments, other)
        assert _rate(deployments, other) <= best * (1 + SAME)
    shapes = [(each.attention_devices, each.ffn_devices) for each in (found.best, found.runner_up)]
    assert shapes[0] != shapes[1]
    assert _rate(deployments, found.smallest) >= NEAR * best
    assert found.smallest.devices <= found.best.devices
    assert found.refusal == ""


def test_search_is_deterministic() -> None:
    for mode in MODES:
        first, second = (_found(mode, **H800)[1] for _ in range(2))
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
@settings(max_examples=25, deadline=None)
def test_more_time_or_more_devices_never_hurt(  # noqa: PLR0917 - drawn in order
    system: str, model: str, tpot: float, factor: float, budget: int, more: int
) -> None:
    """Whatever was feasible stays so."""
    for mode in MODES:
        scenario = Scenario(system=system, model=model, tpot_ms=tpot, max_devices=budget)
        first, later, larger = (
            _rate(deployments := Deployments(each, mode), search(deployments).best)
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
@settings(max_examples=25, deadline=None)
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
    _, found = _found(mode, **question, tpot_ms=0.1)
    assume(found.refusal != MEMORY)
    assert found.best is None
    assert found.refusal == LATENCY
    assert found.nearest is not None
    for factor, feasible in ((1 + 1e-9, True), (1 - 1e-6, False)):
        _, again = _found(mode, **question, tpot_ms=found.nearest * 1e3 * factor)
        assert (again.best is not None) == feasible


def test_filters() -> None:
    """Each keeps what it asks for, and costs throughput where it rules the best out."""
    free = Deployments(Scenario(**H800), AFD)
    most = _rate(free, search(free).best)
    filters: list[dict[str, Any]] = [
        {"attention_devices": 64},
        {"ffn_devices": 32},
        {"attention_devices": 64, "ffn_devices": 32},
        {"devices": 128},
        {"microbatches": 2},
        {"max_devices": 96},
        {"deployable_with": "vllm-afd-plugin"},
        {"granularity": "device"},
    ]
    for asked in filters:
        deployments, found = _found(AFD, **H800 | asked)
        best = found.best
        assert best is not None, asked
        assert best.ffn_devices is not None
        for key in ("attention_devices", "ffn_devices", "devices", "microbatches"):
            if key in asked:
                assert getattr(best, key) == asked[key]
        assert best.devices <= asked.get("max_devices", 512)
        if "granularity" in asked:
            assert _rate(deployments, best) >= most * (1 - SAME)  # single devices include whole nodes
        else:
            assert best.attention_devices % 8 == best.ffn_devices % 8 == 0
            assert _rate(deployments, best) <= most * (1 + SAME)
        if "deployable_with" in asked:
            assert best.attention_devices % best.ffn_devices == 0
            assert best.microbatches == 2
    assert _best(EP, **H800, devices=120).devices == 120
    assert _best(EP, **H800, microbatches=1).microbatches == 1
    with pytest.raises(InputError, match="--microbatches 3 cannot run with vllm-afd-plugin"):
        _found(AFD, **H800, deployable_with="vllm-afd-plugin", microbatches=3)


def test_groups_are_whole_nodes_of_their_systems() -> None:
    """A tray of gb200-nvl72 has 4 devices, a node of h800 has 8."""
    question = H800 | {"attention_system": "gb200-nvl72", "max_devices": 100}
    candidates = _found(AFD, **question)[1].candidates
    assert set(np.unique(candidates.attention_devices % 8)) == {0, 4}
    assert set(np.unique(candidates.ffn_devices % 8)) == {0}
    assert np.max(candidates.attention_devices + candidates.ffn_devices) == 100
    single = _found(AFD, **question | {"granularity": "device", "max_devices": 40})[1].candidates
    assert set(np.unique(single.ffn_devices)) == set(range(1, 40))
    assert len(single.ffn_devices) == 39 * 40 / 2 * 4


def test_a_given_batch_is_kept() -> None:
    for mode in MODES:
        deployments, found = _found(mode, **H800, batch=50)
        assert found.best is not None
        assert found.best.batch == 50
        free = Deployments(Scenario(**H800), mode)
        assert _rate(deployments, found.best) <= _rate(free, search(free).best) * (1 + SAME)


def test_all_transports_are_no_worse_than_any() -> None:
    """And of equals the one that was timed is named: inside one domain of 8, `pair` with 8 experts."""
    for mode in MODES:
        rates = {}
        for transport in (*TRANSPORTS, "all"):
            deployments, found = _found(mode, **H800, transport=transport)
            rates[transport] = _rate(deployments, found.best)
        assert rates["all"] == pytest.approx(max(rates.values()), rel=SAME)
    best = _best(EP, **H800 | {"model": "qwen3-30b-a3b", "devices": 1}, granularity="device", transport="all")
    assert best.transport == "pair"  # one device sends nothing


def test_nothing_leaves_a_domain_without_a_fabric() -> None:
    """The catalogue knows no scale-out of tpu-v6e: deployments stay within its 256 devices."""
    system = load_system("tpu-v6e")
    assert system.scale_out is None
    assert system.scale_up_domain_devices == 256
    for mode in MODES:
        _, found = _found(mode, system=system, model="deepseek-v3", tpot_ms=200)
        candidates = found.candidates
        assert np.max(candidates.attention_devices + candidates.ffn_devices) == 256
        assert found.best is not None


@pytest.mark.parametrize("mode", MODES)
def test_more_devices_than_a_fabric_connects_are_refused(mode: str) -> None:
    """Asked for outright, 512 devices without scale-out have no deployment, and that is why."""
    _, found = _found(mode, system="tpu-v6e", model="deepseek-v3", tpot_ms=200, devices=512)
    assert found.best is None
    assert (found.refusal, found.nearest) == (FABRIC, None)


def test_a_latency_missed_within_a_domain_is_no_missing_fabric() -> None:
    """Of 200 attention devices and up to 312 others some fit a domain of 256: the latency is what binds."""
    question: dict[str, Any] = {"system": "tpu-v6e", "model": "deepseek-v3", "attention_devices": 200}
    _, found = _found(AFD, **question, tpot_ms=0.1)
    assert found.refusal == LATENCY
    assert found.nearest is not None
    assert _best(AFD, **question, tpot_ms=found.nearest * 1e3 * (1 + 1e-9)).devices <= 256


def test_refusals() -> None:
    """Each names what rules everything out."""
    cases: list[tuple[str, str, dict[str, Any]]] = [
        (EP, MEMORY, {"max_devices": 8}),
        (AFD, MEMORY, {"max_devices": 16}),
        (AFD, MEMORY, {"context": 50_000_000}),
        (EP, MEMORY, {"batch": 1_000_000}),
        (AFD, RATIO, {"devices": 7}),
        (AFD, RATIO, {"devices": 12}),
        (AFD, RATIO, {"max_devices": 7}),
        (EP, RATIO, {"max_devices": 7}),
        (AFD, RATIO, {"attention_devices": 60, "ffn_devices": 16, "deployable_with": "vllm-afd-plugin"}),
        (AFD, RATIO, {"devices": 128, "attention_devices": 127}),
        (EP, LATENCY, {"tpot_ms": 5}),
        (AFD, LATENCY, {"tpot_ms": 5}),
        (AFD, LATENCY, {"batch": 170, "tpot_ms": 20}),
    ]
    for mode, binding, asked in cases:
        _, found = _found(mode, **H800 | asked)
        assert (found.best, found.runner_up, found.smallest) == (None, None, None), asked
        assert found.refusal == binding, asked
        assert (found.nearest is not None) == (binding == LATENCY)
    assert _best(AFD, **H800 | {"devices": 127}, granularity="device").devices == 127


def test_one_node_may_be_split() -> None:
    """In whole nodes both groups may also share one: every split of it is tried, and no other odd number."""
    small = {"system": "b200", "model": "qwen3-30b-a3b", "tpot_ms": 50}
    inside = _best(AFD, **small, devices=8)
    assert inside.devices == 8
    every = _best(AFD, **small, devices=8, granularity="device")
    assert (inside.attention_devices, inside.ffn_devices) == (every.attention_devices, every.ffn_devices)
    fixed = _best(AFD, **small, devices=8, ffn_devices=3)
    assert (fixed.attention_devices, fixed.ffn_devices) == (5, 3)
