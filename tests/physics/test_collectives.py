"""Properties of collectives: monotone, homogeneous, made of each other, and none for one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import collectives

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = st.floats(1, 1e10)
DEVICES = st.integers(1, 128)
RATES = st.floats(1e9, 1e12)
FIXED = st.floats(0, 1e-4)
SINGLE = [
    collectives.one_shot_time,
    collectives.two_shot_time,
    collectives.ring_time,
    collectives.in_switch_time,
    collectives.all_gather_time,
    collectives.reduce_scatter_time,
    collectives.all_to_all_time,
]
HAND = [
    # 1000 bytes from each of 3 others through 1e9 B/s, and 5 us
    (collectives.one_shot_time, 8e-6),
    # 3/4 of it out and in again
    (collectives.two_shot_time, 6.5e-6),
    # 6 steps of 5 us and of 250 bytes
    (collectives.ring_time, 31.5e-6),
    (collectives.in_switch_time, 6e-6),
    (collectives.all_gather_time, 5.75e-6),
    (collectives.reduce_scatter_time, 5.75e-6),
    (collectives.all_to_all_time, 5.75e-6),
]


@pytest.mark.parametrize(("formula", "expected"), HAND)
def test_by_hand(formula: Callable[..., Any], expected: float) -> None:
    """A number in, a number out; arrays of open axes in, their product out; of one device nothing."""
    values = {"message_bytes": 1000.0, "devices": 4.0, "bandwidth": 1e9, "latency": 5e-6}
    assert float(formula(**values)) == pytest.approx(expected, rel=1e-12)
    assert np.ndim(formula(**values)) == 0
    axes = {
        key: np.full([2 if axis == index else 1 for axis in range(4)], value)
        for index, (key, value) in enumerate(values.items())
    }
    found = np.asarray(formula(**axes))
    assert found.shape == (2, 2, 2, 2)
    assert np.all(found == formula(**values))
    assert float(formula(**values | {"devices": 1})) == 0.0


@pytest.mark.parametrize("formula", SINGLE)
@given(message=MESSAGES, devices=DEVICES, rate=RATES, fixed=FIXED, factor=st.floats(1, 10))
def test_more_is_never_quicker(  # noqa: PLR0917 - drawn by name
    formula: Callable[..., Any], message: float, devices: int, rate: float, fixed: float, factor: float
) -> None:
    """More bytes, or more devices at equal bytes; twice the rates and half the fixed time: half the time."""
    values: dict[str, Any] = {"message_bytes": message, "devices": devices, "bandwidth": rate}
    time = float(formula(**values, latency=fixed))
    assert formula(**values | {"message_bytes": message * factor}, latency=fixed) >= time
    assert formula(**values | {"devices": devices + 1}, latency=fixed) >= time * (1 - 1e-12)
    half = formula(**values | {"bandwidth": 2 * rate}, latency=fixed / 2)
    assert float(half) == pytest.approx(time / 2, rel=1e-12)


@given(MESSAGES, DEVICES, RATES, FIXED, FIXED, RATES, FIXED, st.floats(1, 10))
def test_the_quickest_way_is_as_good_as_each(  # noqa: PLR0917 - drawn in order
    message: float,
    devices: int,
    rate: float,
    one: float,
    two: float,
    summing: float,
    switch: float,
    factor: float,
) -> None:
    """Never slower than a way alone, one of them, and as monotone and homogeneous."""
    law: dict[str, Any] = {"bandwidth": rate, "one_shot_latency": one, "two_shot_latency": two}
    law |= {"in_switch_bandwidth": summing, "in_switch_latency": switch}
    group: dict[str, Any] = {"message_bytes": message, "devices": devices}
    time = float(collectives.all_reduce_time(**group, **law))
    ways = [
        float(collectives.one_shot_time(**group, bandwidth=rate, latency=one)),
        float(collectives.two_shot_time(**group, bandwidth=rate, latency=two)),
        float(collectives.in_switch_time(**group, bandwidth=summing, latency=switch)),
    ]
    assert time == min(ways)
    assert collectives.all_reduce_time(**group | {"message_bytes": message * factor}, **law) >= time
    assert collectives.all_reduce_time(**group | {"devices": devices + 1}, **law) >= time * (1 - 1e-12)
    faster = {key: value * 2 if "bandwidth" in key else value / 2 for key, value in law.items()}
    assert float(collectives.all_reduce_time(**group, **faster)) == pytest.approx(time / 2, rel=1e-12)
    absent = {key: value for key, value in law.items() if "in_switch" not in key}
    assert float(collectives.all_reduce_time(**group, **absent)) == min(ways[:2])


@given(MESSAGES, DEVICES, RATES, FIXED)
def test_a_ring_scatters_sums_and_gathers(message: float, devices: int, rate: float, step: float) -> None:
    """Both halves take G - 1 steps each."""
    group: dict[str, Any] = {"message_bytes": message, "devices": devices, "bandwidth": rate}
    halves = sum(
        float(each(**group, latency=(devices - 1) * step))
        for each in (collectives.reduce_scatter_time, collectives.all_gather_time)
    )
    assert float(collectives.ring_time(**group, latency=step)) == pytest.approx(halves, rel=1e-9)


@given(MESSAGES, st.integers(1, 72), st.integers(1, 16), RATES, FIXED, RATES, FIXED, st.floats(1, 10))
def test_domains_cost_what_leaves_them(  # noqa: PLR0917 - drawn in order
    message: float,
    devices: int,
    domains: int,
    rate: float,
    fixed: float,
    out: float,
    beyond: float,
    factor: float,
) -> None:
    """One domain costs its two steps; more domains and more bytes never less; rates scale times."""
    law: dict[str, Any] = {"bandwidth": rate, "two_shot_latency": fixed}
    law |= {"scale_out": out, "scale_out_latency": beyond}
    group: dict[str, Any] = {"message_bytes": message, "devices": devices, "domains": domains}
    formula = collectives.domains_all_reduce_time
    time = float(formula(**group, **law))
    inside = float(
        collectives.two_shot_time(message_bytes=message, devices=devices, bandwidth=rate, latency=fixed)
    )
    assert float(formula(**group | {"domains": 1}, **law)) == inside
    assert time >= inside
    assert formula(**group | {"domains": domains + 1}, **law) >= time * (1 - 1e-12)
    assert formula(**group | {"message_bytes": message * factor}, **law) >= time
    faster = {key: value / 2 if "latency" in key else value * 2 for key, value in law.items()}
    assert float(formula(**group, **faster)) == pytest.approx(time / 2, rel=1e-12)


def test_domains_by_hand() -> None:
    """Of 8000 bytes 7/8 go out and in within each domain, and 1000 to the other three: in one step or two."""
    group: dict[str, Any] = {"message_bytes": 8000, "devices": 8, "domains": 4, "bandwidth": 1e9}
    law = {"two_shot_latency": 10e-6, "scale_out": 1e8}
    quick = collectives.domains_all_reduce_time(**group, **law, scale_out_latency=1e-6)
    assert float(quick) == pytest.approx(10e-6 + 14e-6 + 2e-6 + 15e-6)  # two steps, 1.5 times the share
    slow = collectives.domains_all_reduce_time(**group, **law, scale_out_latency=50e-6)
    assert float(slow) == pytest.approx(10e-6 + 14e-6 + 50e-6 + 30e-6)  # one step, three times the share


@given(DEVICES, st.integers(2, 128), RATES)
def test_a_mesh_gives_a_group_its_own_links(devices: int, domain: int, rate: float) -> None:
    """All of them where the group is the mesh, one link a pair; a group of one is given a link."""
    found = float(collectives.mesh_group_bandwidth(bandwidth=rate, devices=devices, domain_devices=domain))
    assert found == pytest.approx(rate * max(devices - 1, 1) / (domain - 1))
