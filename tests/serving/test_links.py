"""One model of an exchange: against every device counted, over faster links, and laid out over domains."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.links import Leg, LinkEfficiency
from roofline_afd.catalogue.models import load_model
from roofline_afd.physics.traffic import around_crossing, domain_parts, even_crossing, pair_traffic
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.domains import laid_out
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Deployment, Layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.serving.timing import Operator

MODEL = load_model("deepseek-v3")
RACK = load_system("gb200-nvl72")
SYSTEMS = (
    *("h100", "h100-efa-v2", "b200-efa-v4", "mi300x", "gb200-nvl72", "cloudmatrix384"),
    *("gaudi3", "tpu-v7"),
)


def _domains(devices: int, domain: int, *, filled: bool) -> NDArray[np.int64]:
    """Return the domain of each device, laid out one by one."""
    used = -(-devices // domain)
    if filled:
        return np.arange(devices) // domain
    return np.repeat(np.arange(used), [len(part) for part in np.array_split(np.arange(devices), used)])


@given(devices=st.integers(2, 80), domain=st.integers(1, 24), filled=st.booleans())
def test_the_busiest_device_of_all_is_the_one_counted(
    devices: int,
    domain: int,
    filled: bool,  # noqa: FBT001 - drawn
) -> None:
    """Every device sends an equal share to every other: bytes of each pair are added up by fabric."""
    lies = _domains(devices, domain, filled=filled)
    same = lies[:, None] == lies[None, :]
    sent = np.full((devices, devices), 1.0 / devices)
    np.fill_diagonal(sent, 0.0)
    inside, outside = np.where(same, sent, 0.0), np.where(same, 0.0, sent)
    flow = pair_traffic(
        tokens=1,
        top_k=1,
        width=1,
        bytes_per_element=1,
        devices=devices,
        devices_per_node=domain,
        filled=filled,
    )
    for way, matrix in ((flow.scale_up_bytes, inside), (flow.scale_out_bytes, outside)):
        assert matrix.sum(axis=1).max() == pytest.approx(matrix.sum(axis=0).max())  # sent and received
        assert float(way) == pytest.approx(matrix.sum(axis=1).max(), abs=1e-12)
    smallest, largest = domain_parts(devices=devices, domain_devices=domain, filled=filled)
    counts = np.bincount(lies)
    assert (float(smallest), float(largest)) == (counts.min(), counts.max())


@given(senders=st.integers(1, 60), receivers=st.integers(1, 30), domain=st.integers(2, 24))
def test_two_groups_send_what_every_pair_of_devices_does(senders: int, receivers: int, domain: int) -> None:
    """One domain holds all FFN devices and is filled with attention devices; the rest lie elsewhere."""
    found = around_crossing(attention_devices=senders, ffn_devices=receivers, domain_devices=domain)
    beside = max(min(senders, domain - receivers), 0)
    sent = np.full((senders, receivers), 1.0 / receivers)
    outside = sent.copy()
    outside[:beside] = 0.0
    assert float(found.share) == pytest.approx(outside.sum() / sent.sum())
    assert outside.sum() == pytest.approx(outside.sum(axis=1).sum()) == outside.sum(axis=0).sum()
    busiest = max(outside.sum(axis=1).max(), outside.sum(axis=0).max())
    ends = min(float(found.sending_devices), receivers)
    assert senders * float(found.share) == pytest.approx(busiest * ends if ends else 0.0)
    assert float(found.sending_devices) + float(found.near_devices) == senders
    even = even_crossing(attention_devices=senders, ffn_devices=receivers, domain_devices=domain)
    if senders + receivers <= domain:
        assert float(found.share) == float(even.share) == 0


def _exchanges(layers: Layers, **sizes: Any) -> list[Operator]:  # noqa: ANN401 - sizes of a step
    found = decode_operators(layers, context=4096, **sizes)
    return [item for item in found if item.side == "network"]


def _twice_as_fast(leg: Leg) -> Leg:
    combine = None if leg.combine_latency_s is None else leg.combine_latency_s / 2
    return dataclasses.replace(
        leg,
        latency_s=leg.latency_s / 2,
        message_s=leg.message_s / 2,
        prepare_s=leg.prepare_s / 2,
        combine_latency_s=combine,
    )


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(SYSTEMS),
    batch=st.integers(1, 512),
    nodes=st.integers(1, 24),
    receivers=st.integers(0, 24),
)
def test_links_twice_as_fast_halve_the_time(name: str, batch: int, nodes: int, receivers: int) -> None:
    """Every link at twice its rate, fixed times and times per message halved."""
    system = load_system(name)
    quick = {
        f"{side}_gb_per_s": 2 * system.quantities[f"{side}_gb_per_s"].value
        for side in ("scale_up", "scale_out")
        if f"{side}_gb_per_s" in system.quantities
    }
    faster = load_system(name, overrides=quick)
    own = load_calibration(system)
    link = LinkEfficiency(
        up=_twice_as_fast(own.link.up),
        out=_twice_as_fast(own.link.out),
        library=own.link.library,
        transport=own.link.transport,
    )
    sizes: dict[str, Any] = {"sequences": batch, "attention_devices": nodes * system.devices_per_node}
    kind: dict[str, Any] = {"model": MODEL}
    if receivers:
        sizes["ffn_devices"] = receivers * system.devices_per_node
        kind |= {"deployment": "afd"}
    before = _exchanges(Layers(attention=system, attention_calibration=own, **kind), **sizes)
    halved = dataclasses.replace(own, link=link)
    after = _exchanges(Layers(attention=faster, attention_calibration=halved, **kind), **sizes)
    assert before
    for slow, quick_one in zip(before, after, strict=True):
        assert float(np.asarray(quick_one.time)) == pytest.approx(float(np.asarray(slow.time)) / 2, rel=1e-9)


def _dispatch(layout: str, senders: int, receivers: int) -> dict[str, Any]:
    layers = Layers(model=MODEL, attention=RACK, deployment="afd", domain_layout=layout)
    found = _exchanges(layers, sequences=64, attention_devices=senders, ffn_devices=receivers)[0]
    return {"time": float(np.asarray(found.time)), **found.arguments}


def test_attention_around_the_experts_by_hand() -> None:
    """80 + 16 devices on racks of 72: 56 attention devices lie beside the 16, 24 others send all they have.

    At 50 GB/s each, 64 tokens x 8 copies x 7,392 B leave a device outside in 76 us at line rate, but the 16
    FFN devices take in 24 / 16 as much each. In two equal halves of 40 + 8 each FFN device takes in 80 / 16
    / 2 times what one sends, which is 1.67 times as long.
    """
    copies = 64 * 8 * 7392
    full, even, apart = (_dispatch(name, 80, 16) for name in ("full", "even", "apart"))
    assert float(full["scale_out_bytes"]) == pytest.approx(24 * copies)
    assert float(full["scale_up_bytes"]) == pytest.approx(56 * copies)
    assert float(even["scale_out_bytes"]) == pytest.approx(40 * copies)
    assert float(apart["scale_out_bytes"]) == pytest.approx(80 * copies)
    out = 50e9 * load_calibration(RACK).link.efficiency_out
    assert float(full["scale_out"]) == pytest.approx(16 * out)
    moving = [each["time"] - float(each["latency"]) for each in (full, even, apart)]
    assert moving[1] / moving[0] == pytest.approx(40 / 24)
    assert moving[2] / moving[0] == pytest.approx(80 / 24)


@given(senders=st.integers(1, 40), receivers=st.integers(1, 30))
def test_the_search_takes_the_quickest_layout(senders: int, receivers: int) -> None:
    """In trays of four: no layout that one may ask for is quicker than the one taken."""
    pair = 4 * senders, 4 * receivers
    taken = _dispatch("", *pair)["time"]
    asked = [_dispatch(name, *pair)["time"] for name in ("even", "full", "apart")]
    assert taken == pytest.approx(min(asked), rel=1e-12)


def _words(devices: int, ffn: int | None = None, layout: str | None = None) -> str:
    scenario = Scenario(system=RACK, model=MODEL, domain_layout=layout)
    deployments = Deployments(scenario, AFD if ffn else EP)
    deployment = Deployment(
        mode=deployments.mode, attention_devices=devices, ffn_devices=ffn, batch=64, microbatches=2
    )
    return laid_out(deployments.layers(deployments.transport), deployment).words


def test_where_devices_lie_is_said_in_words() -> None:
    assert _words(72) == "1 rack"
    assert _words(76) == "2 racks, 38+38"
    assert _words(75) == "2 racks, 38+37"
    assert _words(76, layout="full") == "2 racks, 72+4"
    assert _words(360) == "5 racks of 72"
    assert _words(356) == "5 racks of 71 or 72"
    assert _words(48, 24) == "1 rack"
    assert _words(80, 16) == "1 rack of 16 FFN + 56 attention devices, 24 attention devices in 1 rack"
    assert _words(80, 16, "even") == "2 racks, 40 attention + 8 FFN devices in each"
    assert _words(80, 16, "apart") == "attention in 2 racks, 40+40, FFN in 1 rack"
