"""Collectives on systems: the quickest library at each size, links of a group, and what leaves a domain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import ESTIMATED, MEASURED, Calibration, load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics import collectives
from roofline_afd.serving.collectives import FAMILIES, all_reduce, group_bandwidth, moved
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario

CATALOGUE = Catalogue()
SYSTEMS = ["h100", "h800", "b200", "gb200-nvl72", "l40s", "tpu-v7"]


def _with(system: str, *families: str) -> Calibration:
    found = load_calibration(load_system(system))
    return dataclasses.replace(found, families={FAMILIES: families})


def _value(record: str, key: str) -> float:
    return CATALOGUE.record("calibration", f"collectives-{record}").quantities[key].value


def test_one_library_by_hand() -> None:
    """Eight H100 with vLLM: 8 KiB in one step, 64 MiB in two."""
    one, two = (_value("nvlink4-vllm", f"all_reduce.{shot}_shot_us") for shot in ("one", "two"))
    rate = 450e3 * _value("nvlink4-vllm", "all_reduce.efficiency")  # bytes per us
    found = all_reduce(
        load_system("h100"), _with("h100", "vllm"), message_bytes=np.array([2**13, 2**26]), devices=8
    )
    expected = [one + 7 * 2**13 / rate, two + 2 * 7 / 8 * 2**26 / rate]
    assert (found.time * 1e6).tolist() == pytest.approx(expected, rel=1e-9)
    assert found.kind == MEASURED


def test_the_quickest_library_serves_each_size() -> None:
    """All together are as quick as the quickest alone, and what the formula was called with gives that."""
    system, sizes = load_system("h100"), np.geomspace(1e3, 1e9, 40)
    names = ("vllm", "sglang", "trtllm")
    alone = [all_reduce(system, _with("h100", name), message_bytes=sizes, devices=8).time for name in names]
    best = all_reduce(system, _with("h100", *names), message_bytes=sizes, devices=8)
    assert np.array_equal(best.time, np.minimum.reduce(alone))
    assert len(np.unique(best.arguments["one_shot_latency"])) > 1  # not one library at all sizes
    assert np.allclose(collectives.all_reduce_time(**best.arguments), best.time, rtol=1e-12)
    assert np.any(best.time < alone[0])
    assert np.any(best.time < alone[2])


@given(st.sampled_from(SYSTEMS), st.floats(1, 1e9), st.integers(1, 8), st.floats(1, 20))
def test_more_is_never_quicker_behind_a_switch(
    name: str, message: float, devices: int, factor: float
) -> None:
    system = load_system(name)
    calibration = load_calibration(system)

    def time(size: float, count: int) -> float:
        return float(all_reduce(system, calibration, message_bytes=size, devices=count).time)

    assert time(message * factor, devices) >= time(message, devices)
    domain = system.scale_up_domain_devices
    if devices + 1 <= domain:
        assert time(message, devices + 1) >= time(message, devices) * (1 - 1e-12)
    if system.scale_out is not None:
        assert time(message, 2 * domain) >= time(message, domain)


def test_a_mesh_serves_a_group_with_its_own_links() -> None:
    """Four of eight MI300X reach each other over three of seven links, eight over all of them."""
    system = load_system("mi300x")
    assert group_bandwidth(system, 4) == pytest.approx(192e9)
    assert group_bandwidth(system, 8) == pytest.approx(448e9)
    assert group_bandwidth(load_system("h100"), 2) == 450e9
    share = _value("xgmi-sglang", "all_reduce.efficiency")
    found = all_reduce(system, _with("mi300x", "sglang"), message_bytes=2**23, devices=4)
    assert found.arguments["bandwidth"] == pytest.approx(192e9 * share)


def test_sums_in_fewer_bits_send_fewer_bytes() -> None:
    """Half of a message in int8, over three links; in two steps only."""
    found = all_reduce(load_system("mi300x"), _with("mi300x", "quick-int8"), message_bytes=2**22, devices=4)
    fixed, share = (_value("xgmi-quick-int8", f"all_reduce.{key}") for key in ("two_shot_us", "efficiency"))
    assert found.time * 1e6 == pytest.approx(fixed + 1.5 * 2**21 / (192e3 * share))


def test_what_is_moved_once() -> None:
    """NCCL between four GB200: gathered and scattered alike, all to all by a table of its own."""
    system, calibration = load_system("gb200-nvl72"), _with("gb200-nvl72", "nccl")
    for formula, table in (
        (collectives.all_gather_time, "all_gather"),
        (collectives.reduce_scatter_time, "all_gather"),
        (collectives.all_to_all_time, "all_to_all"),
    ):
        fixed, share = (_value("nvl72-nccl", f"{table}.{key}") for key in ("fixed_us", "efficiency"))
        found = moved(formula, system, calibration, message_bytes=2**26, devices=4)
        assert found.time * 1e6 == pytest.approx(fixed + 0.75 * 2**26 / (900e3 * share))
        assert found.kind == MEASURED


def test_beyond_a_domain_a_share_of_each_device_leaves() -> None:
    """Two nodes of eight H100: one step of an eighth over InfiniBand between the two within; an estimate."""
    system, calibration = load_system("h100"), _with("h100", "vllm")
    link = calibration.link
    found = all_reduce(system, calibration, message_bytes=2**20, devices=16)
    two, share = (_value("nvlink4-vllm", f"all_reduce.{key}") for key in ("two_shot_us", "efficiency"))
    across = link.latency_out_s * 1e6 + 2**17 / (50e3 * link.efficiency_out)
    assert found.time * 1e6 == pytest.approx(two + 1.75 * 2**20 / (450e3 * share) + across)
    assert found.kind == ESTIMATED
    small = all_reduce(system, calibration, message_bytes=1024, devices=16)
    assert 30 <= float(small.time) * 1e6 <= 46.4  # published: 46.4 us over two nodes, 30 at the least


@pytest.mark.parametrize("links", ["calibrated", "nominal"])
def test_attention_takes_the_sum_of_its_fabric(links: str) -> None:
    """Nominal links have a share of the peak and no fixed time; both directions at once, out and in."""
    scenario = Scenario(system="h100", model="qwen3-235b-a22b", links=links)
    layers = Deployments(scenario, EP).layers("pair", 4)
    items = decode_operators(layers, sequences=64.0, context=1000, attention_devices=8)
    (exchange,) = [item for item in items if item.name == "attention_exchange"]
    message = 64 * scenario.model.hidden_size * 2
    if links == "nominal":
        assert float(exchange.time) == pytest.approx(1.5 * message / (0.8 * 450e9))
        return
    found = all_reduce(scenario.system, layers.calibration("attention"), message_bytes=message, devices=4)
    assert float(exchange.time) == float(found.time)
    assert (exchange.kind, exchange.efficiency) == (MEASURED, "all_reduce")
    assert float(collectives.all_reduce_time(**exchange.arguments)) == float(exchange.time)


def test_engines_take_their_own() -> None:
    """At small sizes SGLang's kernels are quicker than vLLM's on H100; no engine beats the ideal one."""
    times = {}
    for engine in ("vllm", "sglang", "trtllm", "ideal"):
        scenario = Scenario(system="h100", model="qwen3-235b-a22b", engine=engine)
        layers = Deployments(scenario, EP).layers("pair", 4)
        items = decode_operators(layers, sequences=1.0, context=1000, attention_devices=8)
        times[engine] = next(float(item.time) for item in items if item.name == "attention_exchange")
    assert times["sglang"] < times["vllm"]
    assert times["ideal"] == min(times.values())
