"""Power, budget and growth: what fits, what is ruled out and by which limit, and the fleet later."""

from __future__ import annotations

import math
from typing import Any

import pytest

from roofline_afd import Scenario
from roofline_afd import procure as table
from roofline_afd.analysis.purchase.limits import limits_of
from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.analysis.purchase.services import procure as whole
from roofline_afd.errors import InfeasibleError, InputError
from tests.analysis.purchase.conftest import DEMAND, RENT, asked, procure, rows_of
from tests.conftest import ONE_PLAN, command

NAMES = ("h800", "h20")
PRICES = {name: RENT[name] for name in NAMES}


def test_a_limit_between_two_fleets_rules_the_larger_one_out() -> None:
    """Each fleet stays or goes by its own power; the cheapest of those left is first."""
    free = procure(asked(*NAMES), demand=DEMAND, prices=PRICES)
    watts = sorted(row["power_kw"] for row in free.rows() if row["feasible"])
    limit = (watts[0] + watts[1]) / 2
    answer = procure(asked(*NAMES), demand=DEMAND, prices=PRICES, power_limit_kw=limit)
    left = [row for row in answer.rows() if row["feasible"]]
    assert [row["power_kw"] for row in left] == [watts[0]]
    assert left[0]["fits_power_limit"] is True
    assert left[0]["fits_budget"] is None
    for row in answer.rows()[1:]:
        assert row["binding"].startswith("power limit: ")
        assert row["usd_per_hour"] is None
    assert f"fits {limit:,.0f} kW" in answer.summary["answer"]
    assert answer.inputs["power_limit_kw"] == limit
    assert "fits_power_limit" in answer.table_keys


def test_a_budget_is_a_month_of_rent_or_a_purchase() -> None:
    """730 hours of the fleet's price; what its devices cost to buy where they are bought."""
    (question,) = asked("h800")
    row = rows_of(procure([question], demand=DEMAND, prices={"h800": 2.0}))["h800", "ep"]
    assert row["usd_per_month"] == pytest.approx(730 * 2.0 * row["n_devices_sold"])
    enough: dict[str, Any] = {"demand": DEMAND, "prices": {"h800": 2.0}}
    fits = procure([question], budget=row["usd_per_month"] * 1.001, **enough)
    assert rows_of(fits)["h800", "ep"]["fits_budget"] is True
    with pytest.raises(InfeasibleError, match=r"budget: .* USD a month, .* allowed"):
        procure([question], budget=row["usd_per_month"] * 0.999, **enough)
    bought: dict[str, Any] = {"demand": DEMAND, "price_basis": "purchase", "prices": {"h800": 30_000.0}}
    capex = rows_of(procure([question], **bought))["h800", "ep"]["capex_usd"]
    assert rows_of(procure([question], budget=capex, **bought))["h800", "ep"]["fits_budget"] is True
    with pytest.raises(InfeasibleError, match="USD to buy"):
        procure([question], budget=capex - 1, **bought)


@pytest.mark.parametrize("percent", [0.0, 50.0, -30.0])
def test_growth_takes_more_replicas_of_the_same(percent: float) -> None:
    """As many as the grown demand takes, in whole nodes; limits are told of it, and rule nothing out."""
    (question,) = asked("h800")
    given: dict[str, Any] = {"demand": DEMAND, "prices": {"h800": 2.0}}
    limit = rows_of(procure([question], **given))["h800", "ep"]["power_kw"]
    answer = procure([question], growth=percent, power_limit_kw=limit, **given)
    row = rows_of(answer)["h800", "ep"]
    size = row["n_devices"] // row["n_replicas"]
    replicas = math.ceil(DEMAND * (1 + percent / 100) / (row["tokens_per_s_per_device"] * size))
    assert row["n_devices_sold_grown"] == replicas * math.ceil(size / 8) * 8
    assert row["usd_per_month_grown"] == pytest.approx(730 * 2.0 * row["n_devices_sold_grown"])
    assert row["fits_grown"] is (percent <= 0)
    word = "still" if percent <= 0 else "no longer"
    assert f"at {percent / 100:+.0%} demand" in answer.summary["answer"]
    assert f"which {word} fits" in answer.summary["answer"]


def test_what_is_not_known_is_not_ruled_out() -> None:
    """Without a price a budget says nothing, and the answer says so."""
    (question,) = asked("h800")
    answer = procure([question], demand=DEMAND, budget=1.0)
    assert rows_of(answer)["h800", "ep"]["fits_budget"] is None
    assert "whether it fits 1 USD a month is not known" in answer.summary["answer"]


def test_limits_hold_for_whole_requests_too() -> None:
    """Fleets that prefill and decode: ruled out by power, and sized again for more requests."""
    scenario = Scenario(system="b200", model="gpt-oss-120b", max_devices=8, tpot_ms=20, **ONE_PLAN)
    given: dict[str, Any] = {"request_rate": 40.0, "isl": 1024, "osl": 256, "modes": ("agg",)}
    answer = whole(Purchase([scenario], growth=300, power_limit_kw=1e4, **given))
    (row,) = answer.rows()
    more = whole(Purchase([scenario], **given | {"request_rate": 160.0})).rows()[0]
    assert row["n_devices_sold_grown"] == more["n_devices_sold"]
    assert row["power_kw_grown"] == pytest.approx(more["power_kw"])
    assert (row["fits_power_limit"], row["fits_grown"]) == (True, True)
    assert row["usd_per_month"] == pytest.approx(730 * row["usd_per_hour"])
    with pytest.raises(InfeasibleError, match=r"aggregated: binding is power limit: .* kW, 1 allowed"):
        whole(Purchase([scenario], power_limit_kw=1.0, **given))


@pytest.mark.parametrize(("name", "value"), [("power_limit_kw", 0), ("budget", -1), ("growth", -100)])
def test_limits_are_checked(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}"):
        limits_of(Purchase(asked("h800"), demand=DEMAND, **given))


def test_both_ways_of_asking_have_them() -> None:
    """As options, with exit 1 and the binding limit where nothing is left; and as arguments."""
    question = ("procure", "--systems", "h800", "--model", "deepseek-v3", "--demand", "3e4")
    done = command(*question, "--max-devices", "32", "--power-limit-kw", "5")
    assert (done.status, done.out) == (1, "")
    assert "power limit: " in done.err
    frame = table(asked("h800"), demand=DEMAND, growth=50.0)
    assert frame["n_devices_sold_grown"].min() > 0


def test_what_was_never_timed_is_said() -> None:
    """A first rank that rests on estimates says so, and the table has the share."""
    answer = procure(asked("mi355x"), demand=DEMAND)
    assert "rests on kernels never timed on such parts" in answer.summary["answer"]
    assert "estimated_share" in answer.table_keys
    assert "never timed" not in procure(asked("h800"), demand=DEMAND).summary["answer"]
