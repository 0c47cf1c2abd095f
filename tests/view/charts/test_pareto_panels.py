"""Panels of serving modes: one for each model and workload, each with what the search found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from roofline_afd import InputError, Scenario, plot
from roofline_afd.analysis.answer import read_answer
from roofline_afd.analysis.requests.explore import explore
from roofline_afd.analysis.requests.pareto import panels_picture
from roofline_afd.analysis.requests.questions import Exploration, ParetoPanels
from roofline_afd.analysis.requests.reasons import NAMES
from roofline_afd.view.charts.pareto_panels import pareto_panels
from roofline_afd.view.pages import chart_bytes
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, command
from tests.view.charts.layers import rows_of

QUESTION = ("--system", "b200", "--devices", "8", *ONE_PLAN_OPTIONS)
B200 = Scenario(system="b200", model="gpt-oss-120b", devices=8, **ONE_PLAN)
RATE = "tokens_per_s_per_device"
MODELS = ("gpt-oss-120b", "qwen3-30b-a3b")


@pytest.fixture(scope="module")
def panels() -> dict[str, Any]:
    scenarios = [attrs.evolve(B200, model=Scenario(system="b200", model=name).model) for name in MODELS]
    told: list[float] = []
    question = ParetoPanels(scenarios, ("chat", "coding"), modes=["agg", "pd"])
    chart = pareto_panels(panels_picture(question, advanced=told.append))
    assert told == [0.25, 0.5, 0.75, 1.0]
    specification: dict[str, Any] = chart.to_dict(validate=False)
    return specification


def test_a_panel_for_each_model_and_workload(panels: dict[str, Any]) -> None:
    key, grid, *_ = panels["vconcat"]
    assert [
        row["label"]
        for layer in key["layer"]
        if layer["mark"]["type"] == "text"
        for row in rows_of(panels, layer)
    ] == [
        "aggregated",
        "P/D",
    ]
    assert grid["columns"] == 2
    titles = [panel["title"]["text"].replace("\N{NO-BREAK SPACE}", " ") for panel in grid["concat"]]
    assert titles == [
        f"{model} · {work}" for model in ("gpt-oss-120b", "Qwen3-30B-A3B") for work in ("chat", "coding")
    ]
    found = explore(Exploration(B200, workload="coding", modes=["agg", "pd"]))
    best = found.summary["best_under_slo"]
    shown = grid["concat"][1]["title"]["subtitle"]
    assert f"{NAMES[best['mode']]}: {best[RATE]:,.0f}".lower() in shown[0].lower()
    assert shown[1] == best["deployment"]
    tops = [panel["layer"][0]["encoding"]["y"]["scale"]["domain"][1] for panel in grid["concat"]]
    assert len(set(tops)) == 1
    title = " ".join(panels["title"]["text"])
    assert "of 4 panels" in title


def test_a_panel_without_a_deployment_says_so() -> None:
    chart: Any = plot.pareto_panels([B200], ("chat", "coding"), ttft_ms=11, modes=["agg", "pd"])
    specification = chart.to_dict(validate=False)
    assert "nothing is feasible in 1" in " ".join(specification["title"]["text"])
    words = specification["vconcat"][1]["concat"][1]
    assert words["title"]["subtitle"][0] == "Nothing is feasible"
    lines = rows_of(specification, words)[0]["label"]
    assert "first-token target" in " ".join(lines)
    assert chart_bytes(chart, "svg").startswith(b"<svg")


def test_panels_without_any_deployment() -> None:
    chart: Any = plot.pareto_panels([B200], ("chat",), ttft_ms=1)
    assert chart.to_dict(validate=False)["title"]["text"] == ["Nothing is feasible in any of 1 panel"]
    assert b"first-token target" in chart_bytes(chart, "svg")


def test_too_few_and_too_many_panels() -> None:
    with pytest.raises(InputError, match="scenarios is empty"):
        plot.pareto_panels([])
    with pytest.raises(InputError, match="workloads is empty"):
        plot.pareto_panels([B200], ())
    with pytest.raises(InputError, match="63 panels; at most 60"):
        plot.pareto_panels([B200] * 21)


def test_a_scenario_file_gives_models_and_workloads(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'system = "b200"\nmodels = "gpt-oss-120b"\nworkloads = "chat"\n'
        'devices = 8\nmodes = "agg"\nttft_ms = 900\n'
    )
    outcome = command("plot", "pareto-panels", "--scenario", str(file))
    assert outcome.status == 0, outcome.err
    assert "Under TTFT <= 900 ms" in " ".join(json.loads(outcome.out)["title"]["text"])


def test_answers_that_were_kept_draw_the_same(tmp_path: Path) -> None:
    """One of them is a no; in Python and by command, and an answer of another command is refused."""
    found = panels_picture(ParetoPanels([B200], ("chat", "coding"), ttft_ms=11, modes=["agg", "pd"]))
    assert [bool(answer.columns) for answer in found] == [True, False]
    again = [read_answer(answer.json(picture=True), name="a file") for answer in found]
    assert pareto_panels(again).to_dict() == pareto_panels(found).to_dict(validate=False)
    kept, first, second, other = (tmp_path / name for name in ("kept.json", "a.json", "b.json", "other.json"))
    asked = command(
        *("plot", "pareto-panels", *QUESTION, "--models", "gpt-oss-120b", "--workloads", "chat,coding"),
        *("--ttft-ms", "11", "--modes", "agg,pd", "--save-answer", str(kept), "--output", str(first)),
    )
    assert asked.status == 0, asked.err
    drawn = command("plot", "pareto-panels", "--from", str(kept), "--output", str(second))
    assert drawn.status == 0, drawn.err
    assert second.read_bytes() == first.read_bytes()
    assert json.loads(first.read_text("utf-8")) == pareto_panels(found).to_dict(validate=False)
    assert command("explain", "hfu", "--output", str(other)).status == 0
    refused = command("plot", "pareto-panels", "--from", str(other))
    assert (refused.status, refused.out) == (2, "")
    assert "holds an answer of explain; plot pareto-panels draws those of explore" in refused.complaint
