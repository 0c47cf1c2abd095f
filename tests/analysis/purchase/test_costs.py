"""Costs and power by hand, and what is never guessed or mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline_afd.errors import InputError
from tests.analysis.purchase.conftest import DEMAND, asked, order_of, overlay, procure, rent


def test_power_of_a_site() -> None:
    """H800 and H20 by rated power times PUE, 700 and 400 W; H200 as provisioned, 1,730 W, PUE in it."""
    for pue in (1.3, 2.0):
        rows = procure(asked("h800", "h20", "h200"), demand=DEMAND, pue=pue).rows()
        watts = {"h800": 700 * pue, "h20": 400 * pue, "h200": 1730}
        for row in rows:
            assert row["power_kw"] == pytest.approx(row["n_devices"] * watts[row["system"]] / 1e3)


def test_currency_does_not_matter(tmp_path: Path) -> None:
    """The same prices in CNY at 7.2 to the dollar; other rates scale all costs and keep the ranks."""
    question: dict[str, Any] = {"demand": DEMAND, "price_basis": "purchase", "power_usd_per_kwh": 0}
    dollars = procure(overlay(tmp_path, unit="USD"), **question)
    assert dollars.inputs["price_terms"] == "street"
    scenarios = overlay(tmp_path, unit="CNY", rate=7.2)
    for rate in (7.2, 3.6, 72.0):
        yuan = procure(scenarios, **question, cny_per_usd=rate)
        assert order_of(yuan) == order_of(dollars)
        for row, before in zip(yuan.rows(), dollars.rows(), strict=True):
            for key in ("capex_usd", "usd_per_hour", "usd_per_million_tokens", "break_even_price"):
                assert row[key] == pytest.approx(before[key] * 7.2 / rate)
    without = procure(scenarios, **question)
    assert {row["usd_per_million_tokens"] for row in without.rows()} == {None}
    assert sum("give --cny-per-usd" in note for note in without.notes) == 2


def test_utilization() -> None:
    """Half the tokens sold for the same fleet: twice the cost of each, the same ranks."""
    whole, half = (
        procure(asked("h800", "h20"), demand=DEMAND, prices=rent("h800", "h20"), utilization=share)
        for share in (1.0, 0.5)
    )
    assert order_of(whole) == order_of(half)
    for row, other in zip(whole.rows(), half.rows(), strict=True):
        assert other["n_devices"] == row["n_devices"]
        assert other["usd_per_hour"] == row["usd_per_hour"]
        assert other["usd_per_million_tokens"] == pytest.approx(2 * row["usd_per_million_tokens"])
        assert other["tokens_per_joule"] == pytest.approx(row["tokens_per_joule"] / 2)


def test_purchase_by_hand() -> None:
    """Devices written off over the years, and their power at the site: nothing else is in the hour."""
    for years, pue, power in ((4.0, 1.3, 0.08), (2.0, 1.3, 0.08), (4.0, 2.0, 0.08), (4.0, 1.3, 0.2)):
        answer = procure(
            asked("h800"),
            demand=DEMAND,
            price_basis="purchase",
            prices={"h800": 25_000.0},
            years=years,
            pue=pue,
            power_usd_per_kwh=power,
        )
        for row in answer.rows():
            devices = row["n_devices"]
            assert row["capex_usd"] == devices * 25_000
            hourly = devices * (25_000 / (years * 8760) + 0.7 * pue * power)
            assert row["usd_per_hour"] == pytest.approx(hourly)
            assert row["usd_per_million_tokens"] == pytest.approx(hourly / (DEMAND * 3600 / 1e6))


def test_provisioned_power_knows_no_pue() -> None:
    """H200's power has its cooling in it: neither power nor cost moves with PUE."""
    rows = [
        procure(
            asked("h200"), demand=DEMAND, price_basis="purchase", prices={"h200": 30_000.0}, pue=pue
        ).rows()
        for pue in (1.0, 2.0)
    ]
    assert rows[0] == rows[1]


def test_a_missing_price_is_never_guessed() -> None:
    """Its cost is null and a note says so; it ranks after those with a price, however few its devices."""
    answer = procure(asked("h800", "h20"), demand=DEMAND, prices={"h20": 50.0})
    assert [row["system"] for row in answer.rows()] == ["h20", "h20", "h800", "h800"]
    for row in answer.rows()[2:]:
        assert row["usd_per_hour"] is row["usd_per_million_tokens"] is None
        assert row["n_devices"] < answer.rows()[0]["n_devices"]
        assert row["break_even_price"] > 0  # what it may cost is known all the same
    assert any(
        note.startswith("no rent price of h800") and "--price h800=USD" in note for note in answer.notes
    )
    assert "no other candidate serves it at a known cost" in answer.summary["answer"]
    assert answer.summary["flips"] == []


def test_bases_and_terms_are_never_mixed() -> None:
    """H200 is on three terms; b200 on demand has no price, though it has one over three years."""
    three_years = procure(asked("h200", "b200"), demand=DEMAND)
    assert three_years.inputs["price_terms"] == "three-year"
    assert all(row["usd_per_hour"] for row in three_years.rows())
    on_demand = procure(asked("h200", "b200"), demand=DEMAND, price_terms="on-demand")
    for row in on_demand.rows():
        assert (row["usd_per_hour"] is None) == (row["system"] == "b200")
    assert any("b200 on on-demand terms is known, only on three-year" in note for note in on_demand.notes)
    with pytest.raises(InputError, match="price_terms 'on-demand' is not valid; valid: hyperscaler"):
        procure(asked("h200"), demand=DEMAND, price_basis="tco", price_terms="on-demand")


def test_the_newest_price_counts(tmp_path: Path) -> None:
    """Of two prices of one kind the one of 2026, and the note says its date."""
    answer = procure(overlay(tmp_path, unit="USD"), demand=DEMAND, price_basis="purchase")
    for row in answer.rows():
        price = {"alpha-node": 20_000, "beta-node": 9_000}[row["system"]]
        assert row["capex_usd"] == row["n_devices"] * price
    assert sum("2026-01" in note for note in answer.notes if note.startswith("price of")) == 2


def test_unknown_power_is_left_out(tmp_path: Path) -> None:
    """Null where nobody states it; what is bought has then no cost an hour, what is rented has one."""
    scenarios = overlay(tmp_path, unit="USD", power="")
    answer = procure(scenarios, demand=DEMAND, price_basis="purchase")
    for row in answer.rows():
        for key in ("power_kw", "watts_per_token_per_s", "tokens_per_joule", "usd_per_hour"):
            assert row[key] is None
        assert row["capex_usd"] > 0
    assert sum("power of" in note and "with the cost of owning it" in note for note in answer.notes) == 2
    rented = procure(scenarios, demand=DEMAND, prices={"alpha-node": 3.0, "beta-node": 1.0})
    assert all(row["usd_per_hour"] > 0 and row["power_kw"] is None for row in rented.rows())
