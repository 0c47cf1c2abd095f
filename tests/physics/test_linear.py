"""Rates and times of a cycle, by hand."""

from __future__ import annotations

import pytest

from roofline_afd.physics import linear


def test_rates_and_times() -> None:
    rate = linear.throughput_per_instance(ratio=4, batch=100, cycle=1e-3, layers=10, accept_length=1.5)
    assert float(rate) == pytest.approx(4 * 100 * 1.5 / (5 * 1e-2))
    tpot = linear.time_per_token(cycle=1e-3, microbatches=3, layers=10, accept_length=1.5)
    assert float(tpot) == pytest.approx(0.02)
