"""The search over serving modes: as good as looking at every deployment one by one; limits, refusals."""

from __future__ import annotations

import itertools
import math
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
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
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD, PD_AFD, SERVING_MODES, Question
from roofline_afd.serving.modes.search import ModeFound, explore_modes
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Prompt
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.physics.arrays import Count

SAME = 1e-9
"""Of deployments that differ by rounding either may win."""
MOST = 48
"""Sequences of a group from which on looking one by one takes too long."""
EDGE = 1 + 1e-7
"""A limit this much above what a deployment takes is met by it, however it is rounded."""


class Point(NamedTuple):
    """A deployment, or all of one with the batches of an array: times [s], tokens/s per device."""

    ttft: float
    tpot: float
    rate: float


class Way(NamedTuple):
    """A way to prefill: devices, groups, shared heads, step, time of a prompt, prompts a second."""

    size: int
    attention: int
    heads: int
    chunk: float
    step: float
    ttft: float
    rate: float


class Pool(NamedTuple):
    """A way to decode: devices, attention devices, shared heads, step, time per token, requests a second."""

    size: int
    attention: int
    heads: int
    step: float
    tpot: float
    rate: float


def _shapes(scenario: Scenario, mode: str, devices: int) -> Iterator[tuple[int, int | None]]:
    """Yield the groups of every replica, one by one."""
    for size in range(1, devices + 1):
        if mode == EP:
            yield size, None
        else:
            for attention in range(1, size):
                if not (scenario.deployable_with and attention % (size - attention)):
                    yield attention, size - attention


def _heads(deployments: Deployments, question: Question, attention: int) -> Iterator[int]:
    """Yield the devices that may share heads."""
    for count in [question.tensor_parallel] if question.tensor_parallel else [1, 2, 4, 8]:
        divides = all(kind.split(count) is not None for kind in deployments.scenario.model.attention)
        inside = count <= deployments.attention.devices_per_node
        if divides and inside and attention % count == 0:
            yield count


def _microbatches(scenario: Scenario, mode: str) -> tuple[int, ...]:
    if mode == EP:
        return (scenario.microbatches,) if scenario.microbatches in {1, 2} else (1, 2)
    if scenario.deployable_with:
        return (2,)
    return (scenario.microbatches,) if scenario.microbatches else (1, 2, 3, 4)


def _deployment(
    deployments: Deployments,
    shape: tuple[int, int | None],
    heads: int,
    batch: Count,
    m: int,
) -> Deployment:
    """Return a deployment with experts on the devices that hold them, none on one more than needed."""
    attention, ffn = shape
    holders = ffn or attention
    experts = deployments.scenario.model.routed_experts
    return Deployment(
        mode=deployments.mode,
        attention_devices=attention,
        ffn_devices=ffn,
        batch=batch,
        microbatches=m,
        redundant_experts=-experts % holders,
        tensor_parallel=heads,
    )


def _prompt(work: Workload, tokens: float) -> Prompt:
    """Return the prompts of a micro-batch: whole ones, or a part in the middle of one."""
    new = min(tokens, work.isl)
    return Prompt(tokens / new, new, work.prefix + (work.isl - new) / 2)


def _most_sequences(
    deployments: Deployments,
    question: Question,
    shape: tuple[int, int | None],
    heads: int,
    *,
    tokens: float,
    held: int,
) -> int:
    """Count the sequences of a group that memory holds, one more at a time."""
    model, work = deployments.scenario.model, question.workload
    attention, ffn = shape
    weights = [float(each) for each in deployments.memory(_deployment(deployments, shape, heads, 0, 1))]
    width = max(
        kind.heads * sum(kind.core_widths(absorbed=False)) + kind.entry_elements for kind in model.attention
    )
    mine = 2 * tokens * (2 * model.hidden_size + width / heads)
    pairs = tokens / heads * attention * model.mean_top_k / (ffn or attention)
    theirs = 2 * pairs * (2 * model.dispatch_width + model.expert_matrices * model.expert_intermediate)
    room = deployments.usable_memory()
    own, whole = held, 0.0
    if question.shared_prefix:
        own, whole = held - work.prefix, deployments.cache_of(work.prefix, heads)
    if ffn is None:
        mine += theirs
    elif weights[1] + theirs > room[1]:
        return 0
    each, count = deployments.cache_of(own, heads), 0
    while weights[0] + mine + whole + (count + 1) * each <= room[0]:
        count += 1
        assume(count < MOST)
    return count


def _replicas(system_domain: int, devices: int, size: int) -> int:
    """Count the replicas of a cluster, none across domains that fits within one."""
    if size > system_domain:
        return devices // size
    count, left = 0, devices
    while left > 0:
        count += min(left, system_domain) // size
        left -= system_domain
    return count


def _domain(deployments: Deployments) -> int:
    return max(each.scale_up_domain_devices for each in (deployments.attention, deployments.ffn))


def _room(deployments: Deployments, devices: int, size: int) -> float:
    """Return the devices that a replica takes of a cluster, with its share of what its domain has left."""
    domain = _domain(deployments)
    return size if devices <= domain or size > domain else domain / (domain // size)


def _waiting(rate: float, service: float, variation: float) -> float:
    load = rate * service
    return load * service * (1 + variation**2) / (2 * (1 - load)) if load < 1 else math.inf


def _pool(question: Question, mode: str, scenario: Scenario, held: int) -> Deployments:
    return Deployments(attrs.evolve(scenario, context=question.workload.mean_context), mode, held_tokens=held)


def aggregated(question: Question, mode: str) -> list[Point]:
    """Return every deployment that prefills and decodes on the same devices, limits aside."""
    work, devices = question.workload, question.devices
    deployments = _pool(question, mode, question.scenario, work.held)
    scenario = deployments.scenario
    accept, points = scenario.accept_length, []
    for shape in _shapes(scenario, mode, min(devices, scenario.max_devices)):
        for heads in _heads(deployments, question, shape[0]):
            for chunk in chunk_sizes(work.isl, question.chunk_tokens):
                most = _most_sequences(deployments, question, shape, heads, tokens=chunk, held=work.held)
                for m in _microbatches(scenario, mode):
                    if most < m:
                        continue
                    batch = m * np.arange(1, most // m + 1)
                    found = _deployment(deployments, shape, heads, batch, m)
                    mixed = deployments.step(found, prompt=_prompt(work, chunk / m)).time
                    pure = deployments.step(found).time
                    share = accept * batch * work.isl / (work.osl * chunk)
                    step = share * mixed + (1 - share) * pure
                    replicas = _replicas(_domain(deployments), devices, shape[0] + (shape[1] or 0))
                    groups = replicas * shape[0] / heads
                    rate = groups * batch * accept / step
                    ttft = math.ceil(round(work.isl / chunk, 9)) * mixed
                    for row in range(batch.size):
                        wait = 0.0
                        if question.request_rate is not None:
                            service = float(mixed[row]) * work.isl / chunk
                            wait = _waiting(
                                question.request_rate / groups, service, question.prompt_variation
                            )
                            if rate[row] / work.osl < question.request_rate:
                                continue
                        slots = batch[row] * (1 + SAME) >= chunk / work.isl
                        if slots and share[row] <= 1 + SAME and math.isfinite(step[row] + wait):
                            points.append(
                                Point(
                                    float(ttft[row]) + wait,
                                    float(step[row]) / accept,
                                    float(rate[row]) / devices,
                                )
                            )
    return points


def _ways(question: Question, deployments: Deployments) -> list[Way]:
    work, found = question.workload, []
    for shape in _shapes(deployments.scenario, deployments.mode, question.devices):
        for heads in _heads(deployments, question, shape[0]):
            for chunk in chunk_sizes(work.isl, question.chunk_tokens):
                most = _most_sequences(deployments, question, shape, heads, tokens=chunk, held=work.prompt)
                if most < math.ceil(round(chunk / work.isl, 9)):
                    continue
                for m in _microbatches(deployments.scenario, deployments.mode):
                    empty = _deployment(deployments, shape, heads, 0, m)
                    step = float(deployments.step(empty, prompt=_prompt(work, chunk / m)).time)
                    rate = shape[0] / heads * chunk / (work.isl * step)
                    ttft = math.ceil(round(work.isl / chunk, 9)) * step
                    if math.isfinite(step):
                        found.append(
                            Way(shape[0] + (shape[1] or 0), shape[0], heads, chunk, step, ttft, rate)
                        )
    return found


def _pools(question: Question, deployments: Deployments) -> list[Pool]:
    work, found = question.workload, []
    accept = deployments.scenario.accept_length
    for shape in _shapes(deployments.scenario, deployments.mode, question.devices):
        for heads in _heads(deployments, question, shape[0]):
            most = _most_sequences(deployments, question, shape, heads, tokens=0, held=work.held)
            for m in _microbatches(deployments.scenario, deployments.mode):
                if most < m:
                    continue
                batch = m * np.arange(1, most // m + 1)
                step = deployments.step(_deployment(deployments, shape, heads, batch, m)).time
                rate = shape[0] / heads * batch * accept / (step * work.osl)
                found += [
                    Pool(shape[0] + (shape[1] or 0), shape[0], heads, *(float(each) for each in row))
                    for row in zip(step, step / accept, rate, strict=True)
                    if math.isfinite(row[0])
                ]
    return found


def _link(question: Question, sender: Deployments, receiver: Deployments) -> tuple[float, float, float]:
    """Return the bandwidth of a device at either end, and the fixed time."""
    first, second = (each.layers("pair").calibration("attention").link for each in (sender, receiver))
    one, two = sender.attention, receiver.attention
    inside = one.id == two.id and question.devices <= one.scale_up_domain_devices
    if question.kv_link == "scale-up" or (question.kv_link == "auto" and inside):
        return (
            one.scale_up.bytes_per_s * first.efficiency_up,
            two.scale_up.bytes_per_s * second.efficiency_up,
            max(first.latency_up_s, second.latency_up_s),
        )
    if one.scale_out is None or two.scale_out is None:
        return 0.0, 0.0, 0.0
    return (
        one.scale_out.bytes_per_s * first.efficiency_out,
        two.scale_out.bytes_per_s * second.efficiency_out,
        max(first.latency_out_s, second.latency_out_s),
    )


def disaggregated(question: Question, mode: str) -> list[Point]:
    """Return every pair of pools on devices of their own, limits aside but for the request rate."""
    work, devices = question.workload, question.devices
    before = _pool(question, mode, question.prefill, work.prompt)
    after = _pool(question, mode, question.scenario, work.held)
    send, receive, latency = _link(question, before, after)
    ways = _ways(question, before)
    points: list[Point] = []
    if not (send and receive and ways):
        return points
    sizes = np.array([_room(before, devices, way.size) for way in ways])
    for pool in _pools(question, after):
        moved = work.isl if question.kv_moved == "new" else work.prompt
        volume = pool.heads * after.cache_of(moved, pool.heads)
        senders = np.array([way.heads for way in ways]) * send
        moving = latency + volume / np.minimum(senders, pool.heads * receive)
        steps = np.array([way.step for way in ways])
        if question.kv_overlap:
            moving = np.maximum(moving - steps, 0) + moving / after.scenario.model.layers
        ttft = np.array([way.ttft for way in ways]) + moving
        if question.first_token == "decode":  # noqa: S105 - no password
            ttft = ttft + pool.step
        prefill = np.minimum(
            [way.rate for way in ways], np.array([way.attention for way in ways]) * send / volume
        )
        decode = min(pool.rate, pool.attention * receive / volume)
        room = _room(after, devices, pool.size)
        for n_prefill, n_decode in itertools.product(range(1, devices), range(1, devices)):
            fits = n_prefill * sizes + n_decode * room <= devices + SAME
            rate = np.minimum(n_prefill * prefill, n_decode * decode)
            for row in np.flatnonzero(fits):
                wait, way = 0.0, ways[row]
                if question.request_rate is not None:
                    if rate[row] < question.request_rate:
                        continue
                    each = question.request_rate / (n_prefill * way.attention / way.heads)
                    wait = _waiting(each, way.step * work.isl / way.chunk, question.prompt_variation)
                if math.isfinite(wait):
                    value = float(rate[row]) * work.osl / devices
                    points.append(Point(float(ttft[row]) + wait, pool.tpot, value))
    return points


def every_point(question: Question, mode: str) -> list[Point]:
    """Return every deployment of a mode."""
    inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
    return (disaggregated if mode in {PD, PD_AFD} else aggregated)(question, inner)


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


def rate_of(found: ModeFound) -> float:
    """Return the best rate found; 0 where there is none."""
    return found.best["rate"] if found.best else 0.0


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
        **rest.pop("scenario", {}),
    )
    rest["workload"] = work
    every = Deployments(scenario, EP, held_tokens=work.held)
    part = max(rest["devices"] // {AGG: 1, PD: 2, AGG_AFD: 2, PD_AFD: 3}[mode], 1)
    weights = float(every.memory(_deployment(every, (part, None), 1, 0, 1))[0])
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


WORKLOADS = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from([0, 50_000, 200_000, 400_000]),
        "isl": st.sampled_from([1, 150, 1000, 3000, 50_000]),
        "osl": st.sampled_from([10, 700, 5000]),
    }
)
QUESTIONS = st.fixed_dictionaries(
    {
        "system": st.sampled_from(["h100", "b200", "gb200-nvl72", "mi300x", "l40s"]),
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
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_search_finds_the_best_there_is(
    mode: str, drawn: dict[str, Any], limits: str, dice: random.Random
) -> None:
    """Over replicas, groups, shared heads, micro-batches, chunk, batch and pools: none is better."""
    question = question_of(drawn, mode)
    if question.tensor_parallel and not _some_group(question, mode):
        with pytest.raises(InputError, match="--tensor-parallel"):
            explore_modes(question, [mode])
        return
    points = every_point(question, mode)
    if points and limits == "rate":
        rate = dice.choice(points).rate * question.devices / question.workload.osl
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


def _some_group(question: Question, mode: str) -> bool:
    """Whether devices may share heads as asked."""
    deployments = Deployments(question.scenario, AFD if mode in {AGG_AFD, PD_AFD} else EP)
    heads = question.tensor_parallel
    assert heads is not None
    return heads <= question.devices and bool(list(_heads(deployments, question, heads)))


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


def _asked(**changes: Any) -> Question:  # noqa: ANN401 - any field
    system = changes.pop("system", "b200")
    options = changes.pop("scenario", {})
    scenario = Scenario(system=system, model=changes.pop("model", "gpt-oss-20b"), **options)
    prefill = changes.pop("prefill", None)
    return Question(
        scenario=scenario,
        prefill=attrs.evolve(scenario, system=load_system(prefill)) if prefill else scenario,
        workload=Workload(**changes.pop("workload", {"prefix": 4096, "isl": 512, "osl": 256})),
        **{"devices": 8, **changes},
    )


def test_sequences_with_a_shared_prefix_keep_states_of_their_own() -> None:
    """Only the prefix's cache is shared: each sequence has its own states, and windows of its last tokens."""
    for model in ("nemotron-3-super-120b-a12b", "gpt-oss-120b", "qwen3-235b-a22b"):
        held = {"prefix": 500_000, "isl": 100, "osl": 100}
        question = _asked(model=model, workload=held, shared_prefix=True)
        found = explore_modes(question, [AGG])[AGG].best
        assert found is not None
        deployments = Deployments(question.scenario, EP, held_tokens=question.workload.held)
        shape = Deployment(
            mode=EP,
            attention_devices=found["attention"],
            batch=0,
            microbatches=1,
            tensor_parallel=int(found["tp"]),
        )
        heads = int(found["tp"])
        used = float(np.asarray(deployments.memory(shape)[0])) + deployments.cache_of(500_000, heads)
        own = deployments.cache_of(200, heads)
        assert own >= deployments.scenario.model.state_bytes() / heads * 0.99
        assert used + found["batch"] * own <= deployments.usable_memory()[0]


def test_new_tokens_move_their_states_too() -> None:
    """States are as many after one new token as after a long prompt, and move whole."""
    kept = {}
    for moved in ("all", "new"):
        question = _asked(
            model="nemotron-3-super-120b-a12b",
            kv_moved=moved,
            devices=16,
            tensor_parallel=1,
            chunk_tokens=512,
            workload={"prefix": 100_000, "isl": 512, "osl": 100},
        )
        found = explore_modes(question, [PD])[PD].best
        assert found is not None
        deployments = Deployments(question.scenario, EP)
        tokens = 512 if moved == "new" else 100_512
        link = deployments.layers("pair").calibration("attention").link
        system = question.scenario.system
        assert system.scale_out is not None
        speed = system.scale_out.bytes_per_s * link.efficiency_out
        expected = deployments.cache_of(tokens) / speed + link.latency_out_s
        assert found["kv"] == pytest.approx(expected, rel=1e-9)
        kept[moved] = found["kv"]
    states = deployments.scenario.model.state_bytes() / speed
    assert states < kept["new"] < kept["all"]


def test_prefilled_alone_or_beside_others_is_alike() -> None:
    """Where a prompt comes first and is short, a chunk attends as if its deployment were looked at alone."""
    question = _asked(
        model="deepseek-v2-lite",
        devices=1,
        workload={"prefix": 0, "isl": 150, "osl": 64},
        scenario={"microbatches": 1, "granularity": "device"},
    )
    deployments = _pool(question, EP, question.scenario, question.workload.held)
    for chunk in chunk_sizes(150, None):
        found = explore_modes(attrs.evolve(question, chunk_tokens=round(chunk)), [AGG])[AGG]
        free = explore_modes(question, [AGG])[AGG]
        for best in (found.best, free.best):
            assert best is not None
            shape = _deployment(deployments, (1, None), 1, best["batch"], 1)
            step = deployments.step(shape, prompt=_prompt(question.workload, best["chunk"])).time
            assert best["mixed"] == pytest.approx(float(step), rel=1e-12)


@pytest.mark.parametrize("mode", SERVING_MODES)
def test_rates_that_only_some_batches_serve(mode: str) -> None:
    """The rate of the very best is served, by it; a little more by none."""
    free = _asked(devices=16, tpot_ms=30)
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


def test_refusals() -> None:
    """Each names what rules everything out."""
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
        (PD, FABRIC, {"system": "tpu-v6e", "devices": 512}),
        (PD_AFD, FABRIC, {"system": "tpu-v6e", "devices": 8, "kv_link": "scale-out"}),
    ]
    for mode, binding, asked in cases:
        found = explore_modes(_asked(**asked), [mode])[mode]
        assert (found.best, found.points) == (None, {}), asked
        assert found.refusal == binding, (mode, asked)


def test_replicas_stay_within_domains() -> None:
    """Of 3 devices two fit a domain of 8, and none crosses; larger ones are whole nodes."""
    question = _asked(devices=20, tpot_ms=50)
    found = explore_modes(question, [AGG, AGG_AFD])
    for each in found.values():
        for points in (each.points, each.others):
            size = points["attention"] + points["ffn"]
            for held, count in {*zip(size.tolist(), points["replicas"].tolist(), strict=True)}:
                assert count == _replicas(8, 20, int(held))
                assert held <= 8 or held % 8 == 0
    paired = explore_modes(_asked(devices=24, tpot_ms=50), [PD])[PD].points
    size, before = paired["attention"], paired["p_attention"]
    for row in range(size.size):
        counts = [*([before[row]] * round(paired["p_replicas"][row]))]
        counts += [size[row]] * round(paired["replicas"][row])
        assert _packs(sorted(counts, reverse=True), 24, 8)


def _packs(sizes: list[float], devices: int, domain: int) -> bool:
    """Whether replicas, largest first, fit domains one after another."""
    free = [float(domain)] * (devices // domain)
    for size in sizes:
        if size > domain:
            whole = math.ceil(size / domain)
            if free.count(domain) < whole:
                return False
            for _ in range(whole):
                free.remove(domain)
            continue
        place = next((index for index, left in enumerate(free) if left >= size), None)
        if place is None:
            return False
        free[place] -= size
    return True


def test_shared_heads_that_do_not_divide() -> None:
    for asked, says in (({"tensor_parallel": 3}, "must divide"), ({"tensor_parallel": 16}, "at most 8")):
        with pytest.raises(InputError, match=says):
            explore_modes(_asked(**asked))


def test_a_system_that_only_prefills() -> None:
    """Modes on one pool do not use it; the others may only gain from a faster one."""
    plain, other = (explore_modes(_asked(system="h20", prefill=each)) for each in (None, "h200"))
    assert rate_of(plain[AGG]) == rate_of(other[AGG])
    assert rate_of(other[PD]) > rate_of(plain[PD])


def test_replicas_of_one_domain_where_no_fabric_leaves_it() -> None:
    """Larger ones have no time at all, and no warning says so."""
    question = _asked(
        system="tpu-v6e", devices=264, tensor_parallel=1, workload={"isl": 4000, "osl": 40}, chunk_tokens=500
    )
    found = explore_modes(question, [AGG])[AGG]
    assert found.best is not None
    for points in (found.points, found.others):
        assert np.max(points["attention"]) <= 256
        assert np.all(np.isfinite(points["rate"]))
