"""Exchanges of groups that are larger than one scale-up domain: the busiest part sets the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.physics.traffic import domains_used, pair_traffic
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from roofline_afd.serving.sizes import Layers

MODEL = load_model("deepseek-v3")
RACK = load_system("gb200-nvl72")


def _exchange(devices: int) -> dict[str, Any]:
    layers = Layers(model=MODEL, attention=RACK)
    found = next(
        item
        for item in decode_operators(layers, sequences=224, context=4096, attention_devices=devices)
        if item.name == "dispatch"
    )
    return {"time": float(np.asarray(found.time)), **found.arguments}


def test_devices_of_two_racks_by_hand() -> None:
    """76 devices are 38 and 38: half of 224 tokens x 8 copies x 7,392 B of each leave its rack.

    At the 50 GB/s of a device, all to itself, that is 132 us; a part of 72 beside one of 4 would take longer,
    and all within a rack (or none of it over scale-out, as if 4 of 76 were few) much less.
    """
    found = _exchange(76)
    leaving = 224 * 8 * 7392 * 38 / 76
    assert found["scale_out_bytes"] == pytest.approx(leaving)
    assert found["scale_up_bytes"] == pytest.approx(224 * 8 * 7392 * 37 / 76)
    assert leaving / 50e9 == pytest.approx(132e-6, rel=0.01)
    assert found["time"] > leaving / 50e9
    assert _exchange(72)["scale_out_bytes"] == 0
    assert _exchange(144)["scale_out_bytes"] == pytest.approx(224 * 8 * 7392 / 2)


def test_the_smallest_part_is_the_busiest() -> None:
    """75 devices are 38 and 37: a device of the 37 sends 38/75 out; one of the 38 keeps 37/75 inside."""
    flow = pair_traffic(tokens=1, top_k=1, width=1, bytes_per_element=1, devices=75, devices_per_node=72)
    assert float(flow.scale_out_bytes) == pytest.approx(38 / 75)
    assert float(flow.scale_up_bytes) == pytest.approx(37 / 75)


@given(devices=st.integers(2, 600), domain=st.integers(1, 96))
def test_parts_are_even_and_fit(devices: int, domain: int) -> None:
    used = float(domains_used(devices=devices, domain_devices=domain))
    assert used == np.ceil(devices / domain)
    assert np.ceil(devices / used) <= domain


def test_more_devices_are_never_quicker_within_a_rack_nor_over_whole_ones() -> None:
    """At equal tokens a device; and leaving a rack is never quicker than staying."""
    within = [_exchange(devices)["time"] for devices in (8, 16, 32, 48, 64, 72)]
    whole = [_exchange(72 * racks)["time"] for racks in (1, 2, 3, 4)]
    assert np.all(np.diff(within) >= 0)
    assert np.all(np.diff(whole) >= 0)
    assert min(_exchange(devices)["time"] for devices in range(73, 145)) > within[-1]


def test_two_groups_over_two_racks_share_each() -> None:
    """72 attention and 72 FFN devices, 36 and 36 in each rack: half of what they send stays inside."""
    layers = Layers(model=MODEL, attention=RACK, deployment="afd", dense_side="attention")
    found = next(
        item
        for item in decode_operators(layers, sequences=64, context=4096, attention_devices=72, ffn_devices=72)
        if item.name == "dispatch"
    )
    whole = 72 * 64 * 8 * 7392
    assert found.arguments["scale_out_bytes"] == pytest.approx(whole / 2)
    assert found.arguments["scale_up_bytes"] == pytest.approx(whole / 2)


def test_nodes_belong_to_one_group() -> None:
    """Of 8-device nodes none holds devices of both groups: all that they send leaves them."""
    layers = Layers(model=MODEL, attention=load_system("h800"), deployment="afd", dense_side="attention")
    found = next(
        item
        for item in decode_operators(layers, sequences=64, context=4096, attention_devices=8, ffn_devices=8)
        if item.name == "dispatch"
    )
    assert found.arguments["scale_out_bytes"] == pytest.approx(8 * 64 * 8 * 7392)


@pytest.mark.parametrize("mode", [EP, AFD])
def test_a_larger_domain_is_never_worse(mode: str) -> None:
    """The best deployment of racks with more devices serves at least as much."""
    rates = []
    for domain in (36, 48, 72, 96, 144):
        scenario = Scenario(
            system=load_system("gb200-nvl72", overrides={"scale_up_domain_devices": domain}),
            model=MODEL,
            tpot_ms=30,
            max_devices=144,
        )
        deployments = Deployments(scenario, mode)
        best = search(deployments).best
        assert best is not None
        rates.append(float(deployments.tokens_per_s_per_device(best, deployments.step(best).time)))
    assert np.all(np.diff(rates) >= -1e-9 * np.array(rates[1:]))
