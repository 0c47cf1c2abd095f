"""Slices of a torus: which there are, what crosses their middle, and what both modes get of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.candidates import shapes_in_memory
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Layers
from roofline_afd.serving.torus import Slice, slice_of, slices, whole_slices

V7 = load_system("tpu-v7")
V6 = load_system("tpu-v6e")
MODEL = load_model("kimi-k2")


def test_slices_by_hand() -> None:
    """A cube of 64 has linked ends: 2 x 16 links cross its middle; half of one, 2 x 4 x 4, has none: 8.

    4 x 4 x 8: across the long side 16 links, twice. 192 devices as 4 x 4 x 12, of which no other shape is;
    256 as 4 x 8 x 8. In two dimensions a side of 8 is no ring, one of 16 is: 8 x 16 has 8 links twice, or 16.
    """
    assert slice_of(64, 3, 9216) == Slice(64, 32)
    assert slice_of(32, 3, 9216) == Slice(32, 8)
    assert slice_of(100, 3, 9216) == Slice(128, 32)
    assert slice_of(192, 3, 9216) == Slice(192, 32)
    assert slice_of(256, 3, 9216) == Slice(256, 64)
    assert slice_of(64, 2, 256) == Slice(64, 8)
    assert slice_of(128, 2, 256) == Slice(128, 16)
    assert slice_of(256, 2, 256) == Slice(256, 32)


def test_slices_of_no_groups() -> None:
    """A search may be left with no shape: it gets as many slices, and answers."""
    held, links = slices(np.zeros(0), V6)
    assert np.shape(held) == np.shape(links) == (0,)


@given(devices=st.integers(1, 9216))
def test_a_slice_holds_its_devices(devices: int) -> None:
    found = slice_of(devices, 3, 9216)
    assert found.devices >= devices
    assert found == slice_of(found.devices, 3, 9216)
    if devices > 64:
        assert found.devices % 64 == 0
        assert found.devices - devices < 64


def _cut(mode: str, attention: int, ffn: int | None = None) -> float:
    """Return the bytes a second that all devices together send under a mode."""
    layers = Layers(model=MODEL, attention=V7, deployment=mode, dense_side="attention" if ffn else "ffn")
    found = next(
        item
        for item in decode_operators(
            layers, sequences=64, context=4096, attention_devices=attention, ffn_devices=ffn
        )
        if item.name == "dispatch"
    )
    sending = attention if ffn is None else 1
    return float(np.asarray(found.arguments["scale_up"])) * sending


def test_both_modes_get_the_same_of_a_slice() -> None:
    """64 chips of TPU7x: 32 links of 100 GB/s, four times that in all: a third of 600 GB/s a chip."""
    efficiency = Layers(model=MODEL, attention=V7).calibration("attention").link.efficiency_up
    whole = 4 * 32 * 100e9 * efficiency
    assert _cut(EP, 64) == pytest.approx(whole)
    assert whole / 64 == pytest.approx(600e9 / 3 * efficiency)
    assert _cut(AFD, 32, 32) == pytest.approx(whole)


def test_searches_offer_whole_slices() -> None:
    for mode in (EP, AFD):
        found = shapes_in_memory(Deployments(Scenario(system=V7, model=MODEL, tpot_ms=50), mode), ("pair",))
        totals = found.attention_devices + found.ffn_devices
        assert totals.size
        assert np.all(whole_slices(totals, V7))
    assert whole_slices(np.array([4.0, 12.0, 64.0, 72.0]), V7).tolist() == [True, False, True, False]
    assert np.all(whole_slices(np.arange(1.0, 9.0), load_system("h800")))


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
    held, links = slices(counts, V6)
    for place in np.ndindex(counts.shape):
        assert (held[place], links[place]) == slice_of(int(counts[place]), 2, 256)
    assert math.prod(np.shape(held)) == counts.size
