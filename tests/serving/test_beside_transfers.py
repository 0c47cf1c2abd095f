"""What overlapped transfers move through memory, beside what the stages that hide them do."""

from __future__ import annotations

import dataclasses

import pytest

from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.sizes import CORE_CUT
from tests.serving.searched import searched

SHARED_OUT = 0.9
"""Of the memory bandwidth, taken as reached by all bytes alike."""


@pytest.mark.parametrize("mode", [EP, AFD])
@pytest.mark.parametrize("system", ["h200", "b200", "gb200-nvl72", "mi355x"])
def test_the_sum_of_bytes_over_the_bandwidth_does_not_bind(system: str, mode: str) -> None:
    """At the best deployment, bytes of both directions counted with those of the layers with experts."""
    deployments, found = searched(
        mode, system=system, model="deepseek-v3", max_devices=128, afd_cut="attention"
    )
    assert found.best is not None
    assert found.best.afd_cut != CORE_CUT
    best = found.best if mode == AFD else dataclasses.replace(found.best, microbatches=2)
    layers = deployments.scenario.model.moe_layers
    moved = 0.0
    bytes_of = {"attention": 0.0, "ffn": 0.0}
    time_of = {"attention": 0.0, "ffn": 0.0}
    for item in deployments.operators(best):
        if item.part == "head" or item.layers < layers:
            continue
        if item.side == "network":
            moved += float(item.bytes_moved)
        else:
            bytes_of[item.side] += float(item.bytes_moved)
            time_of[item.side] += float(item.time)
    bandwidth = SHARED_OUT * deployments.attention.accelerator.memory_bytes_per_s
    if mode == EP:  # sent by a device, and as much received
        assert (sum(bytes_of.values()) + 2 * moved) / bandwidth < sum(time_of.values())
        return
    assert best.ffn_devices is not None
    for side, devices in (("attention", best.attention_devices), ("ffn", best.ffn_devices)):
        assert (bytes_of[side] + moved / float(devices)) / bandwidth < time_of[side]
