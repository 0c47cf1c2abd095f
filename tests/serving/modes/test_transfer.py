"""The cache of a prompt between two pools: what moves, and how long it takes."""

from __future__ import annotations

import pytest

from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.modes.question import PD
from roofline_afd.serving.modes.search import explore_modes
from tests.serving.modes.asking import asking


def test_new_tokens_move_their_states_too() -> None:
    """States are as many after one new token as after a long prompt, and move whole."""
    kept = {}
    for moved in ("all", "new"):
        question = asking(
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
        link = deployments.layers(deployments.transport).calibration("attention").link
        system = question.scenario.system
        assert system.scale_out is not None
        speed = system.scale_out.bytes_per_s * link.efficiency_out
        expected = deployments.cache_of(tokens) / speed + link.latency_out_s
        assert found["kv"] == pytest.approx(expected, rel=1e-9)
        kept[moved] = found["kv"]
    states = deployments.scenario.model.state_bytes() / speed
    assert states < kept["new"] < kept["all"]
