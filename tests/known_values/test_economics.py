"""Cost, power and fleets, worked by hand: the chain from a device's price to a million tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import economics

POSITIVE = st.floats(1e-3, 1e9)


def test_rented_tokens() -> None:
    """48 devices at 1.60 USD/h are 76.80 USD/h; 100,000 tokens/s are 360 million an hour.

    76.80 / 360 = 0.21333 USD for a million. Exact but for rounding.
    """
    cost = economics.usd_per_million_tokens(usd_per_hour=48 * 1.60, tokens_per_s=100_000)
    assert float(cost) == pytest.approx(76.8 / 360, rel=1e-12)


def test_bought_tokens() -> None:
    """40 devices of 15,000 USD over 4 years, 71.6 kW at 0.08 USD: 17.12 + 5.73 = 22.85 USD/h.

    600,000 USD / 35,040 h = 17.1233 USD/h; 71.6 * 0.08 = 5.728 USD/h; over 360 million tokens an hour
    0.06348 USD for a million. With a PUE of 1.5 the power alone grows by half, to 8.592 USD/h.
    """
    owned: dict[str, Any] = {
        "purchase_usd": 40 * 15_000,
        "years": 4,
        "power": 71_600,
        "power_usd_per_kwh": 0.08,
    }
    hourly = economics.ownership_usd_per_hour(**owned, pue=1.0)
    assert float(hourly) == pytest.approx(22.8513, abs=5e-5)
    cost = economics.usd_per_million_tokens(usd_per_hour=hourly, tokens_per_s=100_000)
    assert float(cost) == pytest.approx(0.06348, abs=5e-6)
    more = economics.ownership_usd_per_hour(**owned, pue=1.5)
    assert float(more - hourly) == pytest.approx(8.592 - 5.728, abs=1e-9)


def test_affordable_purchase_is_ownership_solved() -> None:
    """At 22.8513 USD/h the 40 devices of before may cost 600,000 USD; at less than their power, nothing."""
    terms: dict[str, Any] = {"years": 4, "power": 71_600, "power_usd_per_kwh": 0.08, "pue": 1.0}
    found = economics.affordable_purchase_usd(usd_per_hour=22.8513, **terms)
    assert float(found) == pytest.approx(600_000, rel=1e-5)
    assert float(economics.affordable_purchase_usd(usd_per_hour=5.7, **terms)) < 0


def test_a_year_has_8760_hours() -> None:
    """87,600 USD over ten years is 1 USD/h; 1 kW for an hour at 0.25 USD and PUE 2 is 0.50 USD."""
    ownership = economics.ownership_usd_per_hour
    idle = ownership(purchase_usd=87_600, years=10, power=0, power_usd_per_kwh=1, pue=1)
    assert float(idle) == pytest.approx(1.0, rel=1e-15)
    free = ownership(purchase_usd=0, years=1, power=1000, power_usd_per_kwh=0.25, pue=2)
    assert float(free) == pytest.approx(0.5, rel=1e-15)


def test_tokens_of_a_joule() -> None:
    """100,000 tokens/s at 83,040 W are 1.2042 tokens per joule: 0.8304 W for a token a second."""
    found = economics.tokens_per_joule(tokens_per_s=100_000, power=83_040)
    assert float(found) == pytest.approx(1.2042, abs=5e-5)
    assert 1 / float(found) == pytest.approx(0.8304, rel=1e-12)


def test_replicas_are_whole() -> None:
    """64,000 tokens/s a replica: one serves 64,000, two serve 64,001 and 128,000, sixteen a million."""
    demand = np.array([1, 64_000, 64_001, 128_000, 1_000_000])
    found = economics.fleet_replicas(demand=demand, replica_capacity=64_000.0)
    assert found.tolist() == [1, 1, 2, 2, 16]


@pytest.mark.parametrize("count", [1, 3, 7, 49, 1000])
def test_a_demand_of_whole_replicas_needs_no_more(count: int) -> None:
    """Rounding of the last digit does not add a replica: 3 * 0.1 over 0.1 is a little above 3."""
    rate = 0.1
    assert float(economics.fleet_replicas(demand=count * rate, replica_capacity=rate)) == count


@given(POSITIVE, POSITIVE, st.floats(1e-3, 1e3))
def test_cost_scales(price: float, rate: float, factor: float) -> None:
    """Twice the price is twice the cost; twice the tokens are half of it."""
    cost = float(economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=rate))
    dearer = economics.usd_per_million_tokens(usd_per_hour=price * factor, tokens_per_s=rate)
    faster = economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=rate * factor)
    assert float(dearer) == pytest.approx(cost * factor)
    assert float(faster) == pytest.approx(cost / factor)


@given(POSITIVE, POSITIVE)
def test_a_fleet_serves_its_demand_with_no_replica_to_spare(demand: float, rate: float) -> None:
    count = float(economics.fleet_replicas(demand=demand, replica_capacity=rate))
    assert count == round(count)
    assert count >= 1
    assert count * rate >= demand * (1 - 1e-9)
    assert (count - 1) * rate < demand


def test_over_arrays() -> None:
    """A price per row and a demand per column broadcast; a scalar in gives a scalar out."""
    table = economics.usd_per_million_tokens(
        usd_per_hour=np.array([[36.0], [72.0]]), tokens_per_s=np.array([10_000.0, 20_000.0])
    )
    assert table.tolist() == [[1.0, 0.5], [2.0, 1.0]]
    assert np.ndim(economics.fleet_replicas(demand=5.0, replica_capacity=2.0)) == 0
