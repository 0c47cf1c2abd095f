"""Queues: known values, and what must hold whatever the numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import queueing


@pytest.mark.parametrize(
    ("servers", "load", "chance"),
    [(1, 0.8, 0.8), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541)],
)
def test_chance_to_wait(servers: int, load: float, chance: float) -> None:
    """Erlang's C: rho of one server, 2 rho^2 / (1 + rho) of two; his tables have 0.5541 of five, load 4."""
    found = float(queueing.waiting_probability(servers=servers, load=load))
    assert found == pytest.approx(chance, abs=5e-5)


@given(st.floats(0.01, 0.99), st.floats(0.5, 0.999))
def test_one_server_of_random_times_is_exact(load: float, share: float) -> None:
    """M/M/1: P(W > t) = rho exp(-(1 - rho) t / S)."""
    found = float(
        queueing.waiting_percentile(servers=1, rate=load, service=1.0, variation=1.0, percentile=share)
    )
    exact = max(math.log(load / (1 - share)), 0.0) / (1 - load)
    assert found == pytest.approx(exact, rel=1e-9)


@given(st.integers(1, 200), st.floats(0.1, 0.98), st.floats(0, 3), st.floats(1.01, 2))
def test_more_servers_never_make_wait_longer(
    servers: int, rho: float, variation: float, factor: float
) -> None:
    rate = rho * servers
    times = [
        float(
            queueing.waiting_percentile(
                servers=many, rate=rate, service=1.0, variation=variation, percentile=0.95
            )
        )
        for many in (servers, math.ceil(servers * factor))
    ]
    assert 0 <= times[1] <= times[0] < math.inf


def test_as_many_requests_as_are_served_never_end_to_wait() -> None:
    for rate in (4.0, 5.0):
        late = queueing.waiting_percentile(servers=4, rate=rate, service=1.0, variation=0.0, percentile=0.95)
        assert math.isinf(float(late))
    assert float(queueing.waiting_probability(servers=4, load=0.0)) == 0.0


def test_users_and_peaks() -> None:
    assert float(queueing.requests_of_users(users=600, think=50, answer=10)) == 10.0
    assert float(queueing.peak_of_poisson(mean=400, deviations=2)) == 440.0
