"""What a buyer moves in the page: fleets and prices that give the costs of the table, rates of a search."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.questions import Report
from roofline_afd.reporting.case import case_of
from roofline_afd.reporting.choices import choices_of, choices_section, grid_of
from tests.conftest import ONE_PLAN

ASKED = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64, **ONE_PLAN)
PAIR = attrs.evolve(ASKED, attention_system="h20")
PRICES = {"h800": 2.0, "h20": 1.0}


def _cost(data: dict[str, Any], fleet: dict[str, Any]) -> float:
    """Return what the page computes where its sliders begin."""
    prices = {each["id"]: each["value"] for each in data["prices"]}
    spent = sum(many * prices[name] for name, many in fleet["devices"].items())
    return float((fleet["fixed"] + spent / data["hours"]) / data["served_per_hour"])


@pytest.mark.parametrize("basis", ["rent", "purchase"])
def test_costs_begin_at_those_of_the_table(basis: str) -> None:
    """Of each system and mode, and of a pair with two prices; bought with power in it."""
    times = 1.0 if basis == "rent" else 15_000.0
    given = {name: value * times for name, value in PRICES.items()}
    question = Report([ASKED, PAIR], demand=3e4, price_basis=basis, prices=given, utilization=0.5)
    case = case_of(question)
    grid = {"contexts": [4096], "targets": [50.0], "rates": {"ep": [[1.0]], "afd": [[1.0]]}}
    data = choices_of(case, [grid, grid])
    rows = {(row["system"], row["mode"]): row for row in case.bought.rows() if row["feasible"]}
    assert len(data["fleets"]) == len(rows) == 3
    for fleet in data["fleets"]:
        expected = rows[fleet["system"], fleet["mode"]]["usd_per_million_tokens"]
        assert _cost(data, fleet) == pytest.approx(expected)
        assert (fleet["fixed"] > 0) == (basis == "purchase")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert 'name="price-1"' in choices_section(data)


def test_costs_of_whole_requests_begin_at_those_of_the_table() -> None:
    """By the thousand, for the devices sold of every pool."""
    asked = Scenario(system="b200", model="gpt-oss-120b", max_devices=8, tpot_ms=20, **ONE_PLAN)
    question = Report([asked], request_rate=40.0, isl=1024, osl=256, modes=("agg", "pd"))
    case = case_of(question)
    data = choices_of(case, [])
    assert case.requests is not None
    rows = {row["mode"]: row for row in case.requests.bought.rows() if row["feasible"]}
    assert {fleet["mode"] for fleet in data["fleets"]} == set(rows)
    for fleet in data["fleets"]:
        assert _cost(data, fleet) == pytest.approx(1e3 * rows[fleet["mode"]]["usd_per_request"])
    assert data["contexts"] == []


def test_the_grid_is_what_searches_find() -> None:
    """Throughput of both modes over that as asked, at another context and target; 0 where there is none."""
    found = grid_of(ASKED)
    assert found["contexts"][1] == ASKED.context
    assert 50.0 in found["targets"]
    coarse = attrs.evolve(ASKED, granularity="node")
    base = rates(coarse)
    at = attrs.evolve(coarse, context=found["contexts"][2], tpot_ms=found["targets"][3])
    for place, mode in enumerate(("ep", "afd")):
        assert found["rates"][mode][2][3] == pytest.approx(rates(at)[place] / base[place])
        assert found["rates"][mode][1][found["targets"].index(50.0)] == pytest.approx(1.0)
    hopeless = grid_of(attrs.evolve(ASKED, tpot_ms=1.0))
    assert {rate for row in hopeless["rates"]["ep"] for rate in row} == {0.0}
