"""Slices of a torus: which there are, what crosses their middle, and what both modes get of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import Slices, load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics import network
from roofline_afd.serving.candidates import shapes_in_memory
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Layers, Plan
from roofline_afd.serving.torus import paid_devices, slice_of, slices, whole_slices

V7 = load_system("tpu-v7")
V6 = load_system("tpu-v6e")
TRN2 = load_system("trn2-ultraserver")
MODEL = load_model("kimi-k2")
TORI = ("tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7", "trn2", "trn2-ultraserver")


def _stated(name: str) -> tuple[Slices, int]:
    system = load_system(name)
    assert system.scale_up.slices is not None
    return system.scale_up.slices, system.scale_up_domain_devices


@pytest.mark.parametrize(
    ("name", "devices", "held", "links"),
    [
        ("tpu-v7", 64, 64, 32),  # a cube has linked ends: 2 x 16 links
        ("tpu-v7", 32, 32, 8),  # half of one, 2 x 4 x 4, has none
        ("tpu-v7", 100, 128, 32),  # 4 x 4 x 8: across the long side 16, twice
        ("tpu-v7", 192, 192, 32),  # 4 x 4 x 12, of which no other shape is
        ("tpu-v7", 256, 256, 64),  # 4 x 8 x 8
        ("tpu-v5p", 448, 512, 128),  # 4 x 4 x 28 is longer than any side: 8 x 8 x 8
        ("tpu-v6e", 64, 64, 8),  # a side of 8 is no ring
        ("tpu-v6e", 128, 128, 16),  # 8 x 16: 8 links twice, or 16
        ("tpu-v6e", 256, 256, 32),
        ("trn2", 16, 16, 8),
        ("trn2", 8, 8, 4),  # 2 x 4: across the ring of 4 two links twice, or four
        ("trn2-ultraserver", 16, 16, 8),
        ("trn2-ultraserver", 20, 32, 16),  # two instances, joined by a link a device: 16 of half the rate
        ("trn2-ultraserver", 40, 64, 32),  # jobs take one, two or four instances
    ],
)
def test_slices_by_hand(name: str, devices: int, held: int, links: int) -> None:
    """The smallest slice, and the links across the middle of the side that carries least."""
    found = slice_of(devices, *_stated(name))
    assert (found.devices, found.cut_links) == (held, links)


def test_the_pods_bisection_is_what_google_states() -> None:
    """TPU v5e 1.6 and TPU v6e 3.2 TB/s across the middle of a pod."""
    for name, stated in (("tpu-v5e", 1.6e12), ("tpu-v6e", 3.2e12)):
        system = load_system(name)
        found = slices(256, system)
        cut = network.torus_bisection_bandwidth(
            bandwidth=system.scale_up.bytes_per_s, cut_links=found.cut_links, link_share=found.link_share
        )
        assert cut == pytest.approx(stated)


def test_the_tightest_side_of_an_ultraserver_is_between_instances() -> None:
    """32 links of 64 GB/s make 2,048; 32 of 128 within an instance would make twice that."""
    found = slices(64, TRN2)
    assert found.cut_links * found.link_share * TRN2.scale_up.bytes_per_s == pytest.approx(2048e9)
    assert slices(16, TRN2).device_share * TRN2.scale_up.bytes_per_s == pytest.approx(512e9)
    assert load_system("trn2").scale_up.bytes_per_s == 512e9


def test_slices_of_no_groups() -> None:
    """A search may be left with no shape: it gets as many slices, and answers."""
    assert all(np.shape(column) == (0,) for column in slices(np.zeros(0), V6))


@given(devices=st.integers(1, 9216))
def test_a_slice_holds_its_devices(devices: int) -> None:
    found = slice_of(devices, *_stated("tpu-v7"))
    assert found.devices >= devices
    assert found == slice_of(int(found.devices), *_stated("tpu-v7"))
    if devices > 64:
        assert found.devices % 64 == 0
        assert found.devices - devices < 64


@pytest.mark.parametrize("name", TORI)
@given(data=st.data())
def test_no_slice_carries_more_than_its_links(name: str, data: st.DataObject) -> None:
    """Across the middle no more than the links of half the devices, of one device no more than it has."""
    stated, domain = _stated(name)
    found = slice_of(data.draw(st.integers(1, domain)), stated, domain)
    assert found.cut_links * found.link_share <= found.devices / 2 + 1e-9
    assert 0 <= found.device_share <= 1 + 1e-9


def _dispatch(mode: str, system: str, attention: int, ffn: int | None = None) -> dict[str, float]:
    """Return what a dispatch moves, and the bandwidth of all devices that send together."""
    layers = Layers(
        model=MODEL,
        attention=load_system(system),
        deployment=mode,
        dense_side="attention" if ffn else "ffn",
    )
    found = next(
        item
        for item in decode_operators(
            layers, sequences=64, context=4096, attention_devices=attention, ffn_devices=ffn
        )
        if item.name == "dispatch"
    )
    sending = attention if ffn is None else 1
    moved = {key: float(np.asarray(found.arguments[key])) for key in ("scale_up", "scale_up_bytes")}
    return {key: value * sending for key, value in moved.items()}


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        *(("tpu-v7", devices) for devices in (64, 128, 512)),
        *(("tpu-v5p", devices) for devices in (64, 256)),
        *(("tpu-v6e", devices) for devices in (32, 64, 128, 256)),
        ("tpu-v5e", 256),
        ("trn2", 16),
        *(("trn2-ultraserver", devices) for devices in (16, 32, 64)),
    ],
)
def test_both_modes_get_the_same_of_a_slice(name: str, devices: int) -> None:
    """Of one slice both modes see the same cut: groups dealt out alike send four times of what it carries.

    Under EP one of n copies stays on its device, so that n - 1 of n cross as many links.
    """
    system = load_system(name)
    efficiency = Layers(model=MODEL, attention=system).calibration("attention").link.efficiency_up
    found = slices(devices, system)
    whole = 4 * found.cut_links * found.link_share * system.scale_up.bytes_per_s * efficiency
    assert _dispatch(AFD, name, devices // 2, devices // 2)["scale_up"] == pytest.approx(whole)
    assert _dispatch(EP, name, devices)["scale_up"] == pytest.approx(whole * (devices - 1) / devices)


def test_a_third_of_the_links_serve_a_cube() -> None:
    """64 chips of TPU7x: 32 links of 100 GB/s, four times that in all: a third of 600 GB/s a chip."""
    efficiency = Layers(model=MODEL, attention=V7).calibration("attention").link.efficiency_up
    assert _dispatch(AFD, "tpu-v7", 32, 32)["scale_up"] / 64 == pytest.approx(200e9 * efficiency)


@pytest.mark.parametrize("name", TORI)
def test_a_small_group_has_no_more_than_its_devices_links(name: str) -> None:
    """One attention device of four has two links, whatever crosses the middle of the slice."""
    system = load_system(name)
    efficiency = Layers(model=MODEL, attention=system).calibration("attention").link.efficiency_up
    stated, _ = _stated(name)
    links = sum(stated.link_shares[-2:] if len(stated.link_shares) == 3 else stated.link_shares)
    if name == "trn2-ultraserver":
        links = sum(stated.link_shares[:2])
    up = _dispatch(AFD, name, 1, 3)["scale_up"]
    assert up == pytest.approx(links * system.scale_up.bytes_per_s * efficiency)


@pytest.mark.parametrize("mode", [EP, AFD])
@pytest.mark.parametrize("name", ["tpu-v7", "tpu-v6e", "trn2-ultraserver"])
def test_searches_offer_whole_slices(name: str, mode: str) -> None:
    system = load_system(name)
    deployments = Deployments(Scenario(system=system, model=MODEL, tpot_ms=50), mode)
    found = shapes_in_memory(deployments, (Plan("pair"),))
    totals = found.attention_devices + found.ffn_devices
    assert totals.size
    assert np.all(whole_slices(totals, system))


def test_whole_slices_go_on_beyond_a_pod() -> None:
    """Over several domains every even part is a slice; three parts of a count that two hold are none."""
    assert whole_slices(np.array([4.0, 12.0, 64.0, 72.0]), V7).tolist() == [True, False, True, False]
    assert whole_slices(np.array([256.0, 272.0, 384.0, 512.0, 768.0]), V6).tolist() == [
        *(True, False, False, True, True)
    ]
    assert whole_slices(np.array([64.0, 80.0, 128.0]), TRN2).tolist() == [True, False, True]
    assert np.all(whole_slices(np.arange(1.0, 9.0), load_system("h800")))


@pytest.mark.parametrize("mode", [EP, AFD])
def test_idle_devices_are_paid_for(mode: str) -> None:
    """100 of the 128 chips of a slice: as many tokens, over 128."""
    scenario = Scenario(system=V7, model=MODEL, devices=100, tpot_ms=50)
    deployments = Deployments(scenario, mode)
    shape = (100, 0) if mode == EP else (60, 40)
    one = deployments.deployment_of(*shape, batch=64)
    assert paid_devices(100, V7) == 128
    assert deployments.paid_devices(one) == 128
    rate = deployments.tokens_per_s_per_device(one, 1.0)
    assert rate * 128 == pytest.approx(64 * shape[0] * scenario.sigma_dp)
    assert paid_devices(100, load_system("h800")) == 100


def test_more_of_one_shape_are_never_quicker() -> None:
    """Over growing multiples of a cube, at equal tokens a device, an exchange never takes less time."""
    layers = Layers(model=MODEL, attention=V7)
    times = [
        float(np.asarray(item.time))
        for count in (64, 512, 4096)
        for item in decode_operators(layers, sequences=64, context=4096, attention_devices=count)
        if item.name == "dispatch"
    ]
    assert np.all(np.diff(times) > 0)


def test_arrays_and_numbers_agree() -> None:
    counts = np.array([[4, 64], [100, 256]])
    found = slices(counts, V6)
    for place in np.ndindex(counts.shape):
        assert tuple(column[place] for column in found) == slice_of(int(counts[place]), *_stated("tpu-v6e"))
    assert math.prod(np.shape(found.devices)) == counts.size


def test_racks_of_an_ultraserver_share_a_direct_link() -> None:
    """Trn3 Gen2: half of an exchange of 144 leaves a rack, over 128 GB/s; within one 320 carry 68 of 72."""
    system = load_system("trn3-ultraserver-gen2")
    efficiency = Layers(model=MODEL, attention=system).calibration("attention").link.efficiency_up
    for devices, rate in ((144, 256.0), (108, 256.0), (72, 320 * 72 / 68), (4, 256 * 4 / 3)):
        found = _dispatch(EP, "trn3-ultraserver-gen2", devices)["scale_up"] / devices
        assert found == pytest.approx(rate * 1e9 * efficiency), devices
    both = _dispatch(AFD, "trn3-ultraserver-gen2", 72, 72)["scale_up"] / 72
    assert both == pytest.approx(256e9 * efficiency)


def test_the_catalogue_states_slices_of_every_torus() -> None:
    tori = [each for each in Catalogue().records("interconnect") if each.text("topology") == "torus"]
    assert len(tori) == 6
    for record in tori:
        table = record.data["slices"]
        assert all(len(shape) == len(table["link_gb_per_s"]) for shape in table["shapes"])


def test_groups_over_two_pods_have_two_middles() -> None:
    """Half of what 256 + 256 chips send stays in their pods, each of which has a middle of its own."""
    one, two = (_dispatch(AFD, "tpu-v6e", half, half) for half in (128, 256))
    assert two["scale_up"] == pytest.approx(2 * one["scale_up"])
    assert two["scale_up_bytes"] == pytest.approx(
        one["scale_up_bytes"]
    )  # twice the tokens, half of them stay


def test_what_is_forwarded_in_an_instance_crosses_its_middle() -> None:
    """Groups of whole Trn2 instances: copies that an instance hands on see its cut, as under EP."""
    system = load_system("trn2")
    layers = Layers(model=MODEL, attention=system, deployment=AFD, dense_side="attention", transport="node")
    efficiency = layers.calibration("attention").link.efficiency_up
    found = next(
        item
        for item in decode_operators(layers, sequences=64, context=4096, attention_devices=16, ffn_devices=16)
        if item.name == "dispatch"
    )
    cut = slices(16, system)
    whole = 4 * cut.cut_links * cut.link_share * system.scale_up.bytes_per_s * efficiency
    assert float(np.asarray(found.arguments["scale_up"])) == pytest.approx(whole * 15 / 16)
