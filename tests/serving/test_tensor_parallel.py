"""Heads shared by several devices, and several phases in one step: what they hold, count and take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.products import products_of
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.layer import decode_operators, prefill_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Layers, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.attention import Attention

MODELS = Catalogue().ids("model")
KINDS = {(name, kind.name): kind for name in MODELS for kind in load_model(name).attention}
HIDDEN = 4096
PARTS = (2, 4, 8)
REPLICATED = {"query_key_value", "index_query", "index_key", "state_input", "input"}
"""Products that may have outputs of all heads together: latents, indices, shared keys, step sizes."""


def _splits() -> Iterator[tuple[str, Attention, Attention, int]]:
    for (model, _), kind in KINDS.items():
        for parts in PARTS:
            found = kind.split(parts)
            if found is not None:
                yield f"{model}/{kind.name}/{parts}", kind, found, parts


SPLITS = {name: (kind, found, parts) for name, kind, found, parts in _splits()}
SHARED = ("kv_heads", "o_groups", "state_groups")


def _even(kind: Attention, parts: int) -> bool:
    """Whether everything that is counted by heads or groups divides."""
    return all((getattr(kind, name) or 0) % parts == 0 for name in SHARED)


def test_most_kinds_of_layers_are_split() -> None:
    """The properties below are about something: every type of the catalogue is split at least by two."""
    types = {kind.type for kind in KINDS.values()}
    assert {kind.type for kind, _, _ in SPLITS.values()} == types


@pytest.mark.parametrize("name", SPLITS)
def test_devices_together_hold_the_whole(name: str) -> None:
    """Parameters, cache and state of all devices are no less than the layer's; shared parts are repeated."""
    kind, part, parts = SPLITS[name]
    assert parts * part.parameters(HIDDEN) >= kind.parameters(HIDDEN)
    assert part.parameters(HIDDEN) <= kind.parameters(HIDDEN)
    for context in (1, 100, 5000, 1_000_000):
        whole, share = (float(np.asarray(each.cached_elements(context))) for each in (kind, part))
        assert share <= whole <= parts * share
        read, own = (float(np.asarray(each.read_elements(context))) for each in (kind, part))
        assert own <= read <= parts * own
        if kind.type == "gqa" and (kind.kv_heads or 0) % parts == 0:
            assert parts * share == pytest.approx(whole)
        assert kind.index_bytes(context) == part.index_bytes(context)  # each device scores every key
        if kind.type == "mla":
            assert share == whole  # a latent is of all heads
    assert part.state_elements <= kind.state_elements <= parts * part.state_elements
    assert parts * part.matrix_elements == kind.matrix_elements
    if _even(kind, parts):
        assert parts * part.state_elements == kind.state_elements


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("absorbed", [True, False])
def test_products_are_shared_out(name: str, absorbed: bool) -> None:  # noqa: FBT001 - of a parameter
    """Products per head are shared out evenly; those of latents, indices, shared keys and gates at most."""
    kind, part, parts = SPLITS[name]
    before = {item.name: item for item in products_of(kind, HIDDEN, absorbed=absorbed)}
    after = {item.name: item for item in products_of(part, HIDDEN, absorbed=absorbed)}
    assert before.keys() == after.keys()
    for key, item in before.items():
        mine = after[key].parameters
        assert mine <= item.parameters <= parts * mine
        if key not in REPLICATED and (_even(kind, parts) or kind.type in {"gqa", "mla", "mfa"}):
            assert parts * mine == item.parameters


@pytest.mark.parametrize("name", MODELS)
def test_one_device_changes_nothing(name: str) -> None:
    """A group of one is the device itself, bit for bit, in decode, prefill and both together."""
    model, system = load_model(name), load_system("h200")
    kind = model.attention[0]
    assert kind.split(1) is kind
    prompt = Prompt(2, 300, 1000)
    plain = Layers(model=model, attention=system)
    alone = Layers(model=model, attention=system, tensor_parallel=1)
    question: dict[str, Any] = {"sequences": 7.0, "context": 9000, "attention_devices": 8}
    for added in (None, prompt):
        first, second = (
            [(item.name, item.flops, item.bytes_moved, item.time) for item in found]
            for found in (
                decode_operators(plain, **question, prompt=added),
                decode_operators(alone, **question, prompt=added),
            )
        )
        assert repr(first) == repr(second)
        assert "attention_exchange" not in {item[0] for item in first}


@pytest.mark.parametrize("name", MODELS)
def test_a_group_does_the_work_of_its_sequences(name: str) -> None:
    """Operations of core attention times devices are those of one device, and what a device gets shrinks."""
    model, system = load_model(name), load_system("h200")
    for parts in PARTS:
        if any(kind.split(parts) is None for kind in model.attention):
            continue
        sums = []
        for heads in (1, parts):
            layers = Layers(model=model, attention=system, tensor_parallel=heads)
            items = list(decode_operators(layers, sequences=16.0, context=20_000, attention_devices=8))
            core = [float(np.asarray(each.flops)) for each in items if each.name == "core_attention"]
            dense = sum(
                float(np.asarray(each.flops)) * each.layers
                for each in items
                if each.side != "network"
                and each.part not in {"head", *(kind.name for kind in model.attention)}
            )
            (head,) = [float(np.asarray(each.flops)) for each in items if each.name == "output_head"]
            assert head == 2 * 16 * model.hidden_size * -(-model.vocab_size // heads)
            sums.append((core, dense))
        (core, dense), (own, share) = sums
        for index, kind in enumerate(model.attention):
            assert parts * own[index] == pytest.approx(core[index], rel=1e-9), kind.name
        assert parts * share == pytest.approx(dense, rel=1e-9)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="the heads of gpt-oss-120b do not divide among 3 devices"):
        Layers(model=load_model("gpt-oss-120b"), attention=load_system("h200"), tensor_parallel=3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_memory_of_groups(mode: str, heads: int) -> None:
    """All devices of a group hold attention weights, words and the cache of its sequences, once for gqa."""
    deployments = Deployments(Scenario(system="b200", model="qwen3-235b-a22b", context=100_000), mode)
    shape: dict[str, Any] = {"mode": mode, "attention_devices": 8, "microbatches": 1}
    if mode == AFD:
        shape["ffn_devices"] = 8

    def held(batch: int, devices: int) -> float:
        found = Deployment(**shape, batch=batch, tensor_parallel=devices)
        return float(np.asarray(deployments.memory(found)[0]))

    assert heads * (held(8, heads) - held(0, heads)) == pytest.approx(held(8, 1) - held(0, 1), rel=1e-9)
    attention = deployments.scenario.model.params_by_part["attention"]
    words = sum(deployments.scenario.model.params_by_part[name] for name in ("embedding", "output_head"))
    saved = (attention + 2 * words) * (1 - 1 / heads)
    norms = 1e-3 * attention
    assert held(0, 1) - held(0, heads) == pytest.approx(saved, abs=norms)
    whole = deployments.cache_of(100_000)
    assert heads * deployments.cache_of(100_000, heads) == pytest.approx(whole)
    assert deployments.cache_bytes == deployments.cache_of(deployments.held_tokens) == whole


def test_tokens_held_and_tokens_attended_to_differ() -> None:
    """Memory is kept for the last token of a request, time is that of a mean one."""
    scenario = Scenario(system="b200", model="qwen3-235b-a22b", context=1000)
    plain, long = Deployments(scenario, EP), Deployments(scenario, EP, held_tokens=3000)
    deployment = Deployment(mode=EP, attention_devices=8, batch=16, microbatches=1)
    assert float(plain.step(deployment).time) == float(long.step(deployment).time)
    ratio = float(long.largest_batch(deployment)) / float(plain.largest_batch(deployment))
    assert ratio == pytest.approx(1 / 3, rel=1e-2)


STEPS = st.fixed_dictionaries(
    {
        "system": st.sampled_from(["h100", "b200", "gb200-nvl72", "mi300x", "l40s"]),
        "model": st.sampled_from(
            [
                *("gpt-oss-120b", "deepseek-v3", "deepseek-v3.2", "nemotron-3-super-120b-a12b"),
                *("qwen3-next-80b-a3b", "deepseek-v4-flash", "step-3", "minimax-m1", "jamba-v0.1"),
            ]
        ),
        "context": st.integers(1, 300_000),
        "accept_length": st.sampled_from([1.0, 1.7]),
    }
)


@given(
    STEPS,
    st.sampled_from(MODES),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 200),
    st.tuples(st.integers(1, 6), st.integers(1, 5000), st.sampled_from([0, 100, 50_000])),
    st.sampled_from([1, 2]),
)
@settings(max_examples=40, deadline=None)
def test_a_mixed_step_is_between_its_phases(  # noqa: PLR0917 - drawn in order
    question: dict[str, Any], mode: str, heads: int, batch: int, prompts: tuple[int, int, int], m: int
) -> None:
    """It takes no less than either phase alone, and no more than both one after the other."""
    deployments = Deployments(Scenario(**question), mode)
    if any(kind.split(heads) is None for kind in deployments.scenario.model.attention):
        heads = 1
    deployment = Deployment(
        mode=mode,
        attention_devices=8,
        ffn_devices=8 if mode == AFD else None,
        batch=batch * m,
        microbatches=m,
        tensor_parallel=heads,
    )
    prompt = Prompt(*prompts)
    mixed = float(deployments.step(deployment, prompt=prompt).time)
    decode = float(deployments.step(deployment).time)
    prefill = float(deployments.step(dataclasses.replace(deployment, batch=0), prompt=prompt).time)
    assert mixed >= max(decode, prefill) * (1 - 1e-9)
    assert mixed <= (decode + prefill) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["deepseek-v3", "gpt-oss-120b", "nemotron-3-super-120b-a12b"])
@pytest.mark.parametrize("mode", MODES)
def test_next_to_no_prompt_costs_next_to_nothing(name: str, mode: str) -> None:
    """But for starting the kernel of its attention once a layer, and for the weights of one more token.

    A layer that keeps a constant state starts its convolution apart, too, and reads its taps once more.
    """
    deployments = Deployments(Scenario(system="b200", model=name, context=4000), mode)
    shape: dict[str, Any] = {"attention_devices": 8, "ffn_devices": 8 if mode == AFD else None}
    deployment = Deployment(mode=mode, **shape, batch=64, microbatches=1)
    decode = float(deployments.step(deployment).time)
    model = deployments.scenario.model
    found = deployments.layers("pair").calibration("attention")
    bandwidth = deployments.attention.accelerator.memory_bytes_per_s
    kernels = 0.0
    for kind in model.attention:
        core = found.of("state" if kind.constant_state else "prefill_attention").launch_s
        if kind.elementwise_parameters:
            taps = found.of("state")
            core += taps.launch_s + kind.elementwise_parameters / (bandwidth * taps.memory_efficiency)
        kernels += kind.layers * core
    for tokens, slack in ((1.0, 0.03), (1e-6, 1e-6)):
        mixed = float(deployments.step(deployment, prompt=Prompt(tokens, 1.0, 1.0)).time)
        assert decode * (1 - 1e-12) <= mixed <= decode * (1 + slack) + kernels


@pytest.mark.parametrize("name", ["deepseek-v3", "qwen3-235b-a22b", "nemotron-3-super-120b-a12b"])
def test_a_prompt_in_chunks_attends_to_as_much_as_whole(name: str) -> None:
    """Chunks in the mean position of a prompt do the operations of core attention of the prompt, together."""
    layers = Layers(model=load_model(name), attention=load_system("b200"))

    def operations(new: float, cached: float) -> float:
        items = prefill_operators(layers, sequences=1, new_tokens=new, context=cached)
        return sum(float(np.asarray(each.flops)) for each in items if each.name == "core_attention")

    prefix, tokens = 3000, 4096
    for parts in (1, 2, 8):
        new = tokens / parts
        mean = parts * operations(new, prefix + (tokens - new) / 2)
        each = sum(operations(new, prefix + index * new) for index in range(parts))
        assert mean == pytest.approx(each, rel=1e-6)
