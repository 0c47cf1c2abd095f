"""What a question admits: devices, filters, whole nodes and one that is split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from tests.serving.searched import H800, best_of, rate_of, searched

SAME = 1e-9
"""Of deployments that differ by rounding either may win."""


def test_filters() -> None:
    """Each keeps what it asks for, and costs throughput where it rules the best out."""
    free = Deployments(Scenario(**H800), AFD)
    most = rate_of(free, search(free).best)
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
        deployments, found = searched(AFD, **H800 | asked)
        best = found.best
        assert best is not None, asked
        assert best.ffn_devices is not None
        for key in ("attention_devices", "ffn_devices", "devices", "microbatches"):
            if key in asked:
                assert getattr(best, key) == asked[key]
        assert best.devices <= asked.get("max_devices", 512)
        if "granularity" in asked:
            assert rate_of(deployments, best) >= most * (1 - SAME)  # single devices include whole nodes
        else:
            assert best.attention_devices % 8 == best.ffn_devices % 8 == 0
            assert rate_of(deployments, best) <= most * (1 + SAME)
        if "deployable_with" in asked:
            assert best.attention_devices >= best.ffn_devices
            assert best.microbatches == 2
    assert best_of(EP, **H800, devices=120).devices == 120
    assert best_of(EP, **H800, microbatches=1).microbatches == 1
    with pytest.raises(InputError, match="--microbatches 3 cannot run with vllm-afd-plugin"):
        searched(AFD, **H800, deployable_with="vllm-afd-plugin", microbatches=3)


def test_groups_are_whole_nodes_of_their_systems() -> None:
    """A tray of gb200-nvl72 has 4 devices, a node of h800 has 8."""
    question = H800 | {"attention_system": "gb200-nvl72", "max_devices": 100}
    candidates = searched(AFD, **question)[1].candidates
    assert set(np.unique(candidates.attention_devices % 8)) == {0, 4}
    assert set(np.unique(candidates.ffn_devices % 8)) == {0}
    assert np.max(candidates.attention_devices + candidates.ffn_devices) == 100
    single = searched(AFD, **question | {"granularity": "device", "max_devices": 40})[1].candidates
    assert set(np.unique(single.ffn_devices)) == set(range(1, 40))
    assert np.sum(single.plan == 0) == 39 * 40 / 2 * 4


def test_nothing_leaves_a_domain_without_a_fabric() -> None:
    """A pod of tpu-v6e by itself: deployments stay within its 256 devices."""
    system = dataclasses.replace(load_system("tpu-v6e"), scale_out=None)
    assert system.scale_up_domain_devices == 256
    for mode in MODES:
        _, found = searched(mode, system=system, model="deepseek-v3", tpot_ms=200)
        candidates = found.candidates
        assert np.max(candidates.attention_devices + candidates.ffn_devices) == 256
        assert found.best is not None


def test_one_node_may_be_split() -> None:
    """In whole nodes both groups may also share one: every split of it is tried, and no other odd number."""
    small = {"system": "b200", "model": "qwen3-30b-a3b", "tpot_ms": 50}
    inside = best_of(AFD, **small, devices=8)
    assert inside.devices == 8
    every = best_of(AFD, **small, devices=8, granularity="device")
    assert (inside.attention_devices, inside.ffn_devices) == (every.attention_devices, every.ffn_devices)
    fixed = best_of(AFD, **small, devices=8, ffn_devices=3)
    assert (fixed.attention_devices, fixed.ffn_devices) == (5, 3)
