"""The ranking, what ties candidates and what flips them: put in, each does what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd.analysis.decode.changes import changed
from tests.analysis.purchase.conftest import DEMAND, RENT, asked, order_of, procure, rent, rows_of

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def test_order_of_candidates_does_not_matter(answer: Answer) -> None:
    for systems in (("h200", "h20", "h800"), ("h20", "h200", "h800")):
        other = procure(asked(*systems), demand=DEMAND, prices=RENT)
        assert other.rows() == answer.rows()
        assert other.summary == answer.summary


@pytest.mark.parametrize("factor", [2.0, 0.01, 1000.0])
def test_prices_scale(answer: Answer, factor: float) -> None:
    """All prices times a factor: so are all costs and the break-even prices; nothing else changes."""
    other = procure(
        asked("h800", "h20", "h200"), demand=DEMAND, prices={key: RENT[key] * factor for key in RENT}
    )
    assert order_of(other) == order_of(answer)
    for row, before in zip(other.rows(), answer.rows(), strict=True):
        for key in ("usd_per_hour", "usd_per_million_tokens", "break_even_price"):
            assert row[key] == pytest.approx(before[key] * factor)
        assert (row["n_devices"], row["power_kw"]) == (before["n_devices"], before["power_kw"])
    assert other.summary["flips"] == answer.summary["flips"]


@pytest.mark.parametrize("basis", ["rent", "purchase"])
def test_break_even_price_ties(basis: str) -> None:
    """Put in as the system's price, a row costs as much as the best row of the other systems."""
    prices = RENT if basis == "rent" else {"h800": 25_000.0, "h20": 10_000.0, "h200": 30_000.0}
    question: dict[str, Any] = {"demand": DEMAND, "price_basis": basis}
    first = procure(asked("h800", "h20", "h200"), **question, prices=prices)
    priced = [row for row in first.rows() if row["break_even_price"] is not None]
    for row in priced[::2]:
        again = procure(
            asked("h800", "h20", "h200"),
            **question,
            prices={**prices, row["system"]: row["break_even_price"]},
        )
        rows = rows_of(again)
        own = rows.pop((row["system"], row["mode"]))
        rivals = [each["usd_per_million_tokens"] for key, each in rows.items() if key[0] != row["system"]]
        assert own["usd_per_million_tokens"] == pytest.approx(min(rivals), rel=1e-9)
    assert len(priced) >= 3


def test_no_price_ties_where_power_alone_costs_more() -> None:
    """Bought devices whose power costs more than the rival's whole hour: no price is low enough."""
    answer = procure(
        asked("h800", "h200"),
        demand=DEMAND,
        price_basis="purchase",
        prices={"h800": 1.0, "h200": 30_000.0},
        power_usd_per_kwh=1.0,
    )
    assert all(row["break_even_price"] is None for row in answer.rows() if row["system"] == "h200")
    assert all(row["break_even_price"] > 0 for row in answer.rows() if row["system"] == "h800")


@pytest.mark.parametrize("demand", [DEMAND, 2_000_000.0])
def test_a_flip_flips(demand: float) -> None:
    """At 2 % beyond the link speed named the other system is cheapest; at 2 % before it not yet."""
    systems = ("h800", "h20")
    prices = {"h800": 2.0, "h20": 0.47}
    first = procure(asked(*systems), demand=demand, prices=prices)
    flips = [flip for flip in first.summary["flips"] if flip["flips_at"] is not None]
    assert flips
    for flip in flips:
        faster = flip["flips_at"] > flip["value"]
        leads = []
        for factor in (1.02, 1 / 1.02):
            value = flip["flips_at"] * (factor if faster else 1 / factor)
            scenarios = [
                changed(each, {flip["input"]: value}) if each.system.id == flip["system"] else each
                for each in asked(*systems)
            ]
            leads.append(procure(scenarios, demand=demand, prices=prices).summary["best"])
        assert leads[0] != first.summary["best"] == leads[1]
        assert f"{flip['input']} of {flip['system']}" in first.summary["answer"]


def test_nothing_flips_what_is_far_apart() -> None:
    answer = procure(asked("h800", "h20"), demand=DEMAND, prices={"h800": 0.01, "h20": 100.0})
    assert [flip["flips_at"] for flip in answer.summary["flips"]][1] is None
    alone = procure(asked("h800"), demand=DEMAND, prices=rent("h800"))
    assert alone.summary["flips"] == []
    assert "no other" not in alone.summary["answer"]


def test_without_any_price_devices_rank() -> None:
    answer = procure(asked("h20", "h800"), demand=DEMAND)
    devices = [row["n_devices_sold"] for row in answer.rows()]
    assert devices == sorted(devices)
    assert answer.summary["ranked_by"] == "n_devices_sold"
    assert "fewest devices" in answer.summary["answer"]
    assert {row["break_even_price"] for row in answer.rows()} == {None}
