"""Questions held to what software runs: by their engine, by a library alone, and without limits."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.candidates import shapes_in_memory
from roofline_afd.serving.deployable import held_to, most_tokens, refused, rules_of, runs
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.limits import KERNELS
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from tests.serving.modes.asking import asking
from tests.serving.searched import H800, rate_of, searched

SAME = 1e-9


def sizes_of(mode: str = EP, **asked: Any) -> set[int]:  # noqa: ANN401 - any field
    """Return all devices, from a node on, of the shapes that a question offers to send tokens in."""
    alone: dict[str, Any] = {"tensor_parallel": 1, "max_devices": 512, "afd_cut": "attention"}
    found = shapes_in_memory(Deployments(Scenario(**alone | H800 | asked), mode))
    node = load_system("h800").devices_per_node
    return {int(size) for size in found.attention_devices + found.ffn_devices if size >= node}


def test_only_shapes_that_a_library_runs_are_offered() -> None:
    """By a library alone, or by one of an engine's; the ideal engine and `any_size` offer all."""
    nodes = {8 * count for count in (1, 2, 3, 4, 6, 8, 12, 16, 18, 20)}
    every = set(range(8, 513, 8))
    assert sizes_of(deployable_with="deepep-v1-normal") == nodes
    assert sizes_of(deployable_with="deepep-v1-normal", any_size=True) == every
    assert sizes_of() == sizes_of(deployable_with="ideal") == every
    divides = {8, 16, 32, 64, 128, 256}
    assert sizes_of(deployable_with="deepep-v1-low-latency", redundant_experts=0) == divides
    assert sizes_of(engine="vllm", redundant_experts=0) == divides
    assert sizes_of(engine="vllm", redundant_experts=0, any_size=True) == every
    assert sizes_of(engine="vllm", deployable_with="deepep-v1-normal") == nodes
    assert sizes_of(AFD, deployable_with="deepep-v1-normal", redundant_experts=0) == nodes


def test_both_groups_are_ranks_and_experts_divide_among_one() -> None:
    """Of 192 devices none are right for kernels of 20 nodes, however they are split."""
    deployments = Deployments(Scenario(**H800, deployable_with="deepep-v1-normal"), AFD)
    attention, ffn = np.array([128.0, 96.0, 96.0]), np.array([64.0, 64.0, 32.0])
    assert runs(deployments, attention, ffn).tolist() == [False, True, True]
    assert most_tokens(deployments, attention, ffn, np.zeros(3)).tolist() == [0, np.inf, np.inf]
    found = shapes_in_memory(deployments)
    sizes = set((found.attention_devices + found.ffn_devices).astype(int))
    assert sizes <= {2, 4} | {8 * nodes for nodes in (1, 2, 3, 4, 6, 8, 12, 16, 18, 20)}


def test_tokens_of_a_device_are_limited() -> None:
    """To 511 in each micro-batch, drafted ones counted; more where another library takes them."""
    asked = H800 | {
        "context": 64,
        "tpot_ms": 1000,
        "devices": 64,
        "tensor_parallel": 1,
        "redundant_experts": 0,
    }
    kernels: dict[str, Any] = {"deployable_with": "deepep-v1-low-latency"}
    for drafts in (0, 1):
        found = shapes_in_memory(Deployments(Scenario(**asked, **kernels, draft_tokens=drafts), EP))
        assert found.most.tolist() == [511 // (1 + drafts) * m for m in (1, 2)]
    free = shapes_in_memory(Deployments(Scenario(**asked, **kernels, any_size=True), EP))
    assert np.min(free.most) > 10_000
    vllm = shapes_in_memory(Deployments(Scenario(**asked, engine="vllm"), EP))
    assert np.min(vllm.most) > 1022  # the normal kernels run eight nodes
    _, best = searched(EP, **asked, **kernels)
    assert best.best is not None
    assert best.best.batch <= 511 * best.best.microbatches


def test_an_engine_without_a_library_for_the_parts_is_not_limited() -> None:
    """What is not known is no limit; a library that is named does not run on other parts."""
    for system, engine, names in (
        ("mi300x", "vllm", {"mori", "uccl-low-latency", "uccl-normal"}),
        ("mi300x", "trtllm", set()),
        ("tpu-v6e", "vllm", set()),
        ("cloudmatrix384", "vllm", {"hccl"}),
    ):
        deployments = Deployments(Scenario(system=system, model="deepseek-v3", engine=engine), EP)
        assert {each.id for rule in rules_of(deployments) for each in rule.libraries} == names
        assert bool(held_to(deployments)) == bool(names)
    named = Deployments(Scenario(system="tpu-v6e", model="deepseek-v3", deployable_with="mori"), EP)
    assert not runs(named, np.array([8.0]), np.zeros(0)).any()
    assert refused(named, named.deployment_of(8, 0, batch=1)) == "mori does not run on these parts"


def test_two_systems_share_no_domain() -> None:
    """Kernels that write into memory of peers do not leave one, whatever its size."""
    pair = {"attention_system": "h800", "ffn_system": "h20", "deployable_with": "trtllm-one-sided"}
    assert searched(AFD, **H800 | pair)[1].refusal == KERNELS
    rack: dict[str, Any] = {"system": load_system("gb200-nvl72"), "max_devices": 160}
    assert max(sizes_of(**rack, deployable_with="trtllm-one-sided")) == 72


def test_explore_offers_what_runs() -> None:
    """Replicas of every mode; where none is left, that binds."""
    work = {"isl": 512, "osl": 256}
    asked: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "devices": 64, "workload": work}
    found = explore_modes(asking(**asked, scenario={"deployable_with": "deepep-v1-normal"}))
    sizes = [each.best["attention"] + each.best["ffn"] for each in found.values() if each.best]
    assert sizes
    assert set(sizes) <= {1, 2, 4, 8, 16, 24, 32, 48, 64}
    hccl = {"deployable_with": "hccl", "tensor_parallel": 1}
    for each in explore_modes(asking(**asked, scenario=hccl)).values():
        assert (each.best, each.refusal) == (None, KERNELS)


@given(
    st.fixed_dictionaries(
        {
            "system": st.sampled_from(["h800", "gb200-nvl72", "mi300x", "h20", "cloudmatrix384"]),
            "model": st.sampled_from(["deepseek-v3", "qwen3-235b-a22b", "gpt-oss-120b", "kimi-k2"]),
            "tpot_ms": st.sampled_from([20, 50, 200]),
            "context": st.sampled_from([256, 4096, 32768]),
            "max_devices": st.sampled_from([24, 64, 200]),
            "redundant_experts": st.sampled_from([None, 0, 32]),
            "engine": st.sampled_from(["ideal", "vllm", "sglang", "trtllm"]),
            "deployable_with": st.sampled_from(
                [None, "vllm", "deepep-v1-normal", "deepep-v1-low-latency", "mori", "hccl", "vllm-afd-plugin"]
            ),
        }
    )
)
@settings(max_examples=8, deadline=None)
def test_lifting_limits_never_lowers_the_best(question: dict[str, Any]) -> None:
    """Whatever is asked: every shape and batch that was offered still is."""
    for mode in MODES:
        held = Deployments(Scenario(**question), mode)
        free = Deployments(Scenario(**question, any_size=True), mode)
        before, after = search(held), search(free)
        assert rate_of(free, after.best) >= rate_of(held, before.best) * (1 - SAME)
        if before.best is None and after.best is not None:
            assert before.refusal
        if before.best is not None:
            assert refused(held, before.best) == ""


@pytest.mark.parametrize("mode", MODES)
def test_what_is_refused_is_told_and_lifted(mode: str) -> None:
    """The reason names the library and the limit; without limits there is none."""
    held = Deployments(Scenario(**H800, engine="trtllm", redundant_experts=0), mode)
    one = held.deployment_of(144, 24, batch=64)
    assert refused(held, one).startswith("trtllm: trtllm-one-sided (")
    free = Deployments(attrs.evolve(held.scenario, any_size=True), mode)
    assert refused(free, one) == held_to(free) == ""
