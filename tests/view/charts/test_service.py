"""Charts of whole requests and of load: bars, racks and percentiles are those of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd import plot
from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.analysis.purchase.services import procure
from roofline_afd.analysis.requests.questions import LoadPicture
from roofline_afd.analysis.requests.under_load import under_load
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.charts.load import load_chart
from roofline_afd.view.charts.procurement import procurement_chart
from roofline_afd.view.charts.service import BOX, IDLE, MOSTLY
from roofline_afd.view.charts.style import POOLS
from roofline_afd.view.pages import chart_bytes
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_in,
    rows_of,
    said_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from roofline_afd.analysis.answer import Answer

SYSTEMS = ("b200", "gb200-nvl72")
ASKED: dict[str, Any] = {
    "request_rate": 40.0,
    "isl": 2048,
    "osl": 256,
    "prefix_hit": 0.5,
    "ttft_p95_ms": 2000.0,
    "modes": ("pd", "agg"),
}
LOAD: dict[str, Any] = {
    "mode": "pd",
    "isl": 512,
    "osl": 64,
    "ttft_ms": 500.0,
    "rates": [5.0, 50.0, 2000.0],
    "requests": 2000,
}


def candidates(*systems: str) -> list[Scenario]:
    return [Scenario(system=name, model="gpt-oss-120b", tpot_ms=20, **ONE_PLAN) for name in systems]


@pytest.fixture(scope="module")
def bought() -> Answer:
    return procure(Purchase(candidates(*SYSTEMS), **ASKED))


@pytest.fixture(scope="module")
def followed() -> Answer:
    scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tpot_ms=30, **ONE_PLAN)
    return under_load(LoadPicture(scenario, **LOAD))


def panels_of(chart: Any) -> list[list[dict[str, Any]]]:  # noqa: ANN401 - any altair chart
    """Return the layers of each panel, with their data in place."""
    specification = chart.to_dict(validate=False)
    datasets = specification.get("datasets", {})
    return [layers_in({**panel, "datasets": datasets}) for panel in specification["vconcat"][:2]]


def marks(layers: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the rows of all layers of a mark."""
    return [row for layer in layers if layer["mark"]["type"] == kind for row in rows_of(layer)]


def test_bars_add_up_to_what_a_thousand_requests_cost(bought: Answer) -> None:
    upper, _ = panels_of(procurement_chart(bought))
    bars = [bar for bar in marks(upper, "bar") if "fill" in bar]
    for place, row in enumerate(bought.rows()):
        own = [bar for bar in bars if bar["place"] == place]
        assert own[0]["from"] == 0
        assert own[-1]["to"] == pytest.approx(row["usd_per_request"] * 1e3)
        prefill = max(bar["to"] for bar in own if bar["fill"] == POOLS["prefill"])
        assert prefill == pytest.approx(row["usd_per_request"] * 1e3 * row["prefill_cost_share"])
        assert own[-1]["fill"] == POOLS["decode"]


def test_what_was_never_measured_has_a_dashed_edge(bought: Answer) -> None:
    upper, _ = panels_of(procurement_chart(bought))
    edged = {row["place"] for row in marks(upper, "bar") if "fill" not in row}
    rows = bought.rows()
    assert edged == {place for place, row in enumerate(rows) if (row["estimated_share"] or 0.0) >= MOSTLY}


def test_racks_are_those_that_are_bought(bought: Answer) -> None:
    """A frame for each node or rack of the cheapest fleet of a system, filled by the devices in it."""
    _, lower = panels_of(procurement_chart(bought))
    boxes = marks(lower, "rect")
    frames = [box for box in boxes if box["fill"] == IDLE]
    best = {row["system"]: row for row in reversed(bought.rows())}
    assert len(frames) == sum(row["n_units_sold"] for row in best.values())
    shares = sum((box["x2"] - box["x"]) / BOX * box.get("of", 1) for box in boxes if box["fill"] != IDLE)
    used = 0.0
    for row in best.values():
        used += row["n_devices"] / row["unit_devices"]
    assert shares == pytest.approx(used)
    assert {text["text"] for text in marks(lower, "text")} >= set(SYSTEMS)


def test_a_candidate_that_cannot_is_named_with_why() -> None:
    """Weights of R1 do not fit one node of L40S."""
    both = [
        Scenario(system=name, model="deepseek-v3", tpot_ms=50, max_devices=8, **ONE_PLAN)
        for name in ("l40s", "b200")
    ]
    upper, _ = panels_of(plot.procurement(both, **{**ASKED, "modes": ("agg",)}))
    assert any(str(text.get("text")).startswith("no: ") for text in marks(upper, "text"))


def test_devices_are_drawn_where_nobody_has_a_price() -> None:
    chart = plot.procurement(candidates("h20"), **{**ASKED, "modes": ("agg",)})
    upper, _ = panels_of(chart)
    (bar,) = marks(upper, "bar")
    assert bar["part"] == "devices"
    assert "no price is known" in said_of(chart)


def test_percentiles_over_load_are_those_of_the_answer(followed: Answer) -> None:
    """A line for each of three percentiles in both panels, the limit dashed, a growing queue hollow."""
    for key, layers in zip(("ttft", "tpot"), panels_of(load_chart(followed)), strict=True):
        lines = [layer for layer in layers if layer["mark"]["type"] == "line"]
        assert [[row["value"] for row in rows_of(line)] for line in lines] == [
            [row[f"{key}_{share}_ms"] for row in followed.rows()] for share in ("p50", "p95", "p99")
        ]
        (limit,) = marks(layers, "rule")
        assert limit["value"] == followed.inputs[f"{key}_ms"]
        hollow = {row["rate"] for row in marks(layers, "point") if row["fill"] == "#ffffff"}
        assert hollow == {row["request_rate"] for row in followed.rows() if not row["steady"]}
    assert hollow


def test_kept_answers_draw_the_same(bought: Answer, followed: Answer, tmp_path: Path) -> None:
    draws_the_same_when_kept(procurement_chart, bought)
    draws_the_same_when_kept(load_chart, followed)
    question = ("--system", "b200", "--model", "gpt-oss-20b", "--devices", "2", *ONE_PLAN_OPTIONS)
    rates = ("--requests-per-s", "5", "--requests", "400", "--mode", "agg")
    is_drawn_from_its_file("load", *question, "--isl", "512", "--osl", "64", *rates, folder=tmp_path)


@pytest.mark.parametrize("form", ["svg", "html"])
def test_files(bought: Answer, followed: Answer, form: str) -> None:
    for chart in (procurement_chart(bought), load_chart(followed)):
        assert len(chart_bytes(chart, form)) > 10_000
