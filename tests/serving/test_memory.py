"""What devices hold with each engine, against published startup logs, and what no engine may break."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.engines import Engine, load_engine
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics.memory import low_latency_buffer_bytes, one_sided_buffer_bytes, sampling_bytes
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.memory import BESIDE, PARTS
from roofline_afd.serving.scenario import Scenario

CATALOGUE = Catalogue()
ENGINES = CATALOGUE.ids("engine")
GIB = 2**30
MODELS = ("deepseek-v3", "qwen3-235b-a22b", "gpt-oss-120b", "qwen3-next-80b-a3b")


def _deployment(mode: str, **changes: Any) -> Deployment:  # noqa: ANN401 - fields of several types
    shape: dict[str, Any] = {"mode": mode, "attention_devices": 32, "batch": 16, "microbatches": 2}
    if mode == AFD:
        shape["ffn_devices"] = 16
    return Deployment(**shape | changes)


def _held(scenario: Scenario, deployment: Deployment) -> dict[str, float]:
    """Return the parts of an attention device, in GiB as startup logs give them."""
    mine, _ = Deployments(scenario, deployment.mode).held.breakdown(deployment)
    return {name: size / GIB for name, size in mine.items()}


@pytest.mark.parametrize(("tokens", "gib"), [(128, 1.777), (512, 7.109)])
def test_low_latency_buffers_are_those_the_library_asks_for(tokens: int, gib: float) -> None:
    """256 experts and a width of 7,168: the sizes DeepEP reports for 128 and 512 tokens of a rank."""
    size = float(low_latency_buffer_bytes(tokens=tokens, experts=256, width=7168))
    assert size / GIB == pytest.approx(gib, abs=5e-4)


def test_one_sided_buffers_hold_all_tokens_of_each_rank() -> None:
    """As FlashInfer sizes them: ranks times tokens times what travels with one, both ways."""
    payload = 7168 // 2 + 7168 // 16 + 8 * 4 + 8 * 4 + 7168 * 2
    size = one_sided_buffer_bytes(
        tokens=1024, ranks=32, width=7168, top_k=8, dispatch_bytes=1 / 2 + 1 / 16, combine_bytes=2
    )
    assert float(size) == 32 * 1024 * payload


def test_buffers_and_logits_grow_with_what_they_are_for() -> None:
    """In proportion to tokens and experts, or sequences and words; wider vectors take more."""
    base: dict[str, float] = {"tokens": 128, "experts": 256, "width": 7168}
    one = float(low_latency_buffer_bytes(**base))
    for name in ("tokens", "experts"):
        twice = float(low_latency_buffer_bytes(**base | {name: 2 * base[name]}))
        assert twice == pytest.approx(2 * one, rel=1e-4)
    assert float(low_latency_buffer_bytes(**base | {"width": 8192})) > one
    several = sampling_bytes(sequences=np.array([1, 2]), vocabulary=100, bytes_per_logit=30)
    assert several.tolist() == [3000, 6000]


QWEN = Scenario(system="h100", model="qwen3-235b-a22b", engine="vllm", expert_precision="fp8", context=1)
TP4 = Deployment(mode=EP, attention_devices=4, batch=1, microbatches=1, tensor_parallel=4)


def test_cache_of_qwen3_on_four_h100_with_vllm() -> None:
    """vllm-project/vllm, issue 21348: 8.11 GiB and 178,880 tokens with 0.9 of memory and TP4.

    Term by term: weights 55.07 GiB (228 GB of fp8 over four devices, words in bf16), logits of 1,024
    sequences 4.35, context and communicators 4.0, of 0.9 x 79.65.
    """
    held = _held(QWEN, TP4)
    assert held["experts"] + held["attention"] + held["embeddings"] == pytest.approx(55.07, abs=0.01)
    assert held["activations"] == pytest.approx(1024 * 151936 * 30 / GIB)
    assert held["buffers"] == 0  # all four devices have the same tokens: nothing is dispatched
    tokens = float(Deployments(QWEN, EP).largest_batch(TP4))
    assert Deployments(QWEN, EP).cache_of(1.0, 4) == 2 * 128 * 2 * 94
    assert tokens == pytest.approx(178_880, rel=0.06)
    assert held["free"] + held["cache"] == pytest.approx(8.11, rel=0.06)


def test_cache_of_qwen3_on_four_h100_with_sglang() -> None:
    """The same issue: 367,404 tokens with a static share of 0.93, beside which activations lie."""
    engine = dataclasses.replace(load_engine("sglang", catalogue=CATALOGUE), memory_fraction=0.93)
    scenario = attrs.evolve(QWEN, engine=engine)
    tokens = float(Deployments(scenario, EP).largest_batch(TP4))
    assert tokens == pytest.approx(367_404, rel=0.1)
    assert tokens > 1.5 * float(Deployments(QWEN, EP).largest_batch(TP4))


GPT_OSS = Scenario(
    system="h100",
    model="gpt-oss-120b",
    engine="vllm",
    expert_precision="mxfp4",
    attention_precision="bf16",
)
ALONE = Deployment(mode=EP, attention_devices=1, batch=1, microbatches=1)


def test_gpt_oss_does_not_fit_one_h100_with_vllm() -> None:
    """vllm-project/vllm, issues 23278 and 33155: loaded 64.38 GiB (65.97 with other kernels), no cache left.

    With 0.95 of memory there is room for some (issue 27508, 1.71 GiB); without an engine there is, too.
    """
    held = _held(GPT_OSS, ALONE)
    assert held["experts"] + held["attention"] + held["embeddings"] == pytest.approx(64.38, rel=5e-3)
    assert float(Deployments(GPT_OSS, EP).largest_batch(ALONE)) < 0
    assert -2.14 < held["free"] + held["cache"] < 0
    raised = attrs.evolve(GPT_OSS, memory_reserve=0.05)
    assert float(Deployments(raised, EP).largest_batch(ALONE)) >= 1
    assert float(Deployments(attrs.evolve(GPT_OSS, engine="ideal"), EP).largest_batch(ALONE)) >= 1


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_parts_and_what_is_left_make_up_what_the_driver_reports(name: str, mode: str) -> None:
    """Nothing is counted twice or forgotten; without an engine there are weights and cache alone."""
    scenario = Scenario(system="h200", model="deepseek-v3", engine=name)
    deployments = Deployments(scenario, mode)
    for side in deployments.held.breakdown(_deployment(mode)):
        assert side["driver"] == 143771 * 2**20
        rest = sum(side[part] for part in PARTS) + side["reserve"] + side["free"]
        assert rest == pytest.approx(side["driver"])
        assert all(side[part] >= 0 for part in (*PARTS, "reserve"))
        assert (sum(side[part] for part in BESIDE) == 0) == (name == "ideal")
    mine, theirs = deployments.held.breakdown(_deployment(mode))
    assert (mine == theirs) == (mode == EP)
    assert (mine["experts"] == 0) == (mode == AFD)


@given(
    st.sampled_from(ENGINES),
    st.sampled_from(MODES),
    st.sampled_from(MODELS),
    st.tuples(st.integers(1, 200_000), st.sampled_from([1, 2, 3]), st.sampled_from([None, 0.0, 0.25])),
)
@settings(max_examples=60, deadline=None)
def test_the_largest_batch_fits_and_one_more_does_not(
    engine: str, mode: str, model: str, shape: tuple[int, int, float | None]
) -> None:
    """Whatever an engine keeps, and whether that grows with the batch or not."""
    context, microbatches, reserve = shape
    scenario = Scenario(system="h200", model=model, engine=engine, context=context, memory_reserve=reserve)
    deployments = Deployments(scenario, mode)
    deployment = _deployment(mode, microbatches=microbatches)
    most = float(deployments.largest_batch(deployment))
    rooms = deployments.usable_memory()

    def fits(batch: float) -> bool:
        held = deployments.memory(dataclasses.replace(deployment, batch=batch))
        return all(float(size) <= room for size, room in zip(held, rooms, strict=True))

    assert most == int(most)
    if most >= 0:
        assert fits(most)
        assert not fits(most + 1)
    else:
        assert not fits(0)


@given(
    st.sampled_from(ENGINES),
    st.sampled_from(MODES),
    st.sampled_from(MODELS),
    st.floats(40, 300),
    st.floats(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_more_memory_never_lowers_the_largest_batch(
    engine: str, mode: str, model: str, gb: float, more: float
) -> None:
    """With any engine, of either side."""
    batches = []
    for memory in (gb, gb + more):
        system = load_system("h200", overrides={"memory_gb": memory}, catalogue=CATALOGUE)
        scenario = Scenario(system=system, model=model, engine=engine)
        batches.append(float(Deployments(scenario, mode).largest_batch(_deployment(mode))))
    assert batches[0] <= batches[1] or batches[1] < 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_many_deployments_are_as_one_by_one(engine: str, mode: str) -> None:
    """Arrays of devices and micro-batches give each its own largest batch."""
    deployments = Deployments(Scenario(system="h100", model="deepseek-v3", engine=engine), mode)
    devices, microbatches = np.array([[8], [16], [48], [256]]), np.array([[1, 2, 4]])
    ffn = {"ffn_devices": devices // 2} if mode == AFD else {}
    every = _deployment(mode, attention_devices=devices, microbatches=microbatches, **ffn)
    together = np.broadcast_to(deployments.largest_batch(every), (4, 3))
    for row, count in enumerate(devices[:, 0]):
        for column, m in enumerate(microbatches[0]):
            half = {"ffn_devices": int(count) // 2} if mode == AFD else {}
            one = _deployment(mode, attention_devices=int(count), microbatches=int(m), **half)
            assert float(together[row, column]) == float(deployments.largest_batch(one))


def test_a_reserve_given_rules_over_the_engine() -> None:
    """It is the share kept free of all that is held, whatever the engine's own share would hold."""
    rooms = {}
    for name in ENGINES:
        scenario = Scenario(system="h200", model="deepseek-v3", engine=name, memory_reserve=0.2)
        rooms[name] = Deployments(scenario, EP).usable_memory()[0]
        held = Deployments(scenario, EP).memory(_deployment(EP))[0]
        parts = Deployments(scenario, EP).held.parts(_deployment(EP))[0]
        assert float(held) == pytest.approx(sum(float(size) for size in parts.values()))
    assert set(rooms.values()) == {143771 * 2**20 * (1 - 0.2)}


def test_an_engines_share_may_be_for_the_cache_alone() -> None:
    """TensorRT-LLM gives its cache nine tenths of what all else leaves."""
    engine: Engine = load_engine("trtllm", catalogue=CATALOGUE)
    scenario = Scenario(system="h200", model="deepseek-v3", engine=engine)
    deployments = Deployments(scenario, EP)
    empty = _deployment(EP, batch=0)
    left = deployments.usable_memory()[0] - float(deployments.memory(empty)[0])
    most = float(deployments.largest_batch(empty))
    assert most == int(engine.memory_fraction * left / deployments.cache_bytes)
