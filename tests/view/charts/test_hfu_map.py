"""The map over two inputs: cells, break-even line and marks are what the analysis found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from roofline_afd import Scenario, plot
from roofline_afd.analysis.decode import maps
from roofline_afd.analysis.decode.maps import grid
from roofline_afd.analysis.decode.questions import METRICS, Map
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.charts.hfu_map import HATCH, KNOWN, NUMBERS, RATIO, hfu_map_chart
from roofline_afd.view.charts.hfu_map import QUESTION as RING
from roofline_afd.view.charts.style import AFD, EP
from roofline_afd.view.pages import chart_bytes
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, command
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_in,
    layers_of,
    rows_of,
    said_of,
    title_of,
)

QUESTION = ("--system", "h800", "--model", "deepseek-v3", "--max-devices", "160", *ONE_PLAN_OPTIONS)
H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=160, **ONE_PLAN)
X = ("scale_out_gb_per_s", [25.0, 50.0, 100.0, 400.0])
Y = ("expert_intermediate", [1024.0, 2048.0, 8192.0])


@pytest.fixture(scope="module")
def plane() -> Any:  # noqa: ANN401
    return plot.hfu_map(H800, x=X, y=Y)


def test_cells_are_the_points_of_the_map(plane: Any) -> None:  # noqa: ANN401
    found = grid(Map(H800, x=X, y=Y))
    cells = next(layer for layer in layers_of(plane) if layer["mark"]["type"] == "rect")
    drawn = {(row["x"], row["y"]): row["afd_over_ep"] for row in rows_of(cells)}
    assert drawn == {(row[X[0]], row[Y[0]]): row["afd_over_ep"] for row in found.rows()}
    assert all(
        row["x1"] < row["x"] < row["x2"] and row["y1"] < row["y"] < row["y2"] for row in rows_of(cells)
    )
    domain = cells["encoding"]["color"]["scale"]["domain"]
    assert domain[1:3] == found.summary["undecided"]
    assert domain[0] * domain[3] == pytest.approx(1)
    colors = cells["encoding"]["color"]["scale"]["range"]
    assert (colors[0], colors[3]) == (EP, AFD)
    assert colors[1] == colors[2]
    first = [row for row in found.rows() if row[Y[0]] == Y[1][0]]
    told = ", ".join(f"{row['afd_over_ep']:.2f}" for row in first)
    assert f"width of an expert 1,024: {told}." in said_of(plane)
    tips = {tip["field"] for tip in cells["encoding"]["tooltip"]}
    assert {"ep_tokens_per_s_per_device", "afd_tokens_per_s_per_device", "afd_over_ep"} <= tips
    assert found.summary["answer"].partition(". ")[0] in title_of(plane)


def test_break_even_lies_between_cells_of_different_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """On made-up throughputs, whose winner changes along both axes."""

    def made_up(scenario: Scenario) -> tuple[float, float]:
        bandwidth = scenario.system.quantities["scale_out_gb_per_s"].value
        return 1e3, float(bandwidth * scenario.model.expert_intermediate / 110.0)

    monkeypatch.setattr(
        "roofline_afd.analysis.decode.sides.Successive.rates", lambda _, scenario: made_up(scenario)
    )
    plane = plot.hfu_map(H800, x=X, y=Y)
    cells = next(layer for layer in layers_of(plane) if layer["mark"]["type"] == "rect")
    ahead = {(row["x"], row["y"]): row["afd_over_ep"] > 1 for row in rows_of(cells)}
    assert set(ahead.values()) == {True, False}
    lines = [layer for layer in layers_of(plane) if layer["mark"]["type"] == "rule"]
    assert lines
    for piece in rows_of(lines[0]):
        for end in "12":
            x, y = piece[f"x{end}"], piece[f"y{end}"]
            beside = [
                wins
                for (left, below), wins in ahead.items()
                if left in _neighbours(X[1], x) and below in _neighbours(Y[1], y)
            ]
            assert set(beside) == {True, False}


def _neighbours(values: list[float], value: float) -> set[float]:
    """Return the values of an axis around a place on it, itself where it is one."""
    same = [each for each in values if each == pytest.approx(value)]
    if same:
        return {same[0]}
    return {max(each for each in values if each < value), min(each for each in values if each > value)}


def test_the_question_has_a_ring(plane: Any) -> None:  # noqa: ANN401
    ring = next(layer for layer in layers_of(plane) if "shape" in layer["encoding"])
    assert [(row["x"], row["y"]) for row in rows_of(ring)] == [(50, 2048)]


def test_infeasible_cells_are_crossed_out_and_in_the_legend() -> None:
    chart = plot.hfu_map(H800, x=("tpot_ms", [1.0, 16.9, 50.0]), y=("context", [4096.0, 8192.0]))
    marks = next(layer for layer in layers_of(chart) if "shape" in layer["encoding"])
    scale = marks["encoding"]["shape"]["scale"]
    assert "neither feasible" in scale["domain"]
    assert scale["range"] == [HATCH[name] for name in scale["domain"]]
    assert marks["encoding"]["shape"]["legend"] is not None
    grey = [layer for layer in layers_of(chart) if layer["mark"].get("fill") == "#d5d9de"]
    assert all(row["afd_over_ep"] is None for row in rows_of(grey[0]))
    drawing = chart_bytes(chart, "svg").decode()
    assert "NaN" not in drawing
    assert "neither feasible" in drawing


def test_a_map_of_hfu() -> None:
    chart = plot.hfu_map(H800, metric="hfu")
    cells = next(layer for layer in layers_of(chart) if layer["mark"]["type"] == "rect")
    assert cells["encoding"]["color"]["field"] == "hfu"
    assert not [layer for layer in layers_of(chart) if layer["mark"]["type"] == "rule"]


def test_hostile_names_stay_text() -> None:
    evil = dataclasses.replace(load_system("h800"), name="</script><script>document.title='owned'</script>")
    chart = plot.hfu_map(attrs.evolve(H800, system=evil), x=X, y=Y, metric="hfu")
    assert "<script>document.title" not in chart_bytes(chart, "html").decode()
    assert "document.title" in chart_bytes(chart, "svg").decode()


@pytest.mark.parametrize("form", ["svg", "png", "json"])
def test_files(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"hfu-map.{form}"
    options = ("--x", "context=1024:65536:3", "--y", "tpot_ms=40,50")
    outcome = command("plot", "hfu-map", *QUESTION, *options, "--output", str(path))
    assert outcome.status == 0, outcome.err
    assert path.stat().st_size > 5000


def test_units_in_a_range() -> None:
    options = ("--x", "scale_out_gb_per_s=100 Gb/s,400 Gb/s", "--y", "top_k=4:8", "--metric", "hfu")
    outcome = command("plot", "hfu-map", *QUESTION, *options)
    assert outcome.status == 0, outcome.err
    cells = next(layer for layer in layers_in(json.loads(outcome.out)) if layer["mark"]["type"] == "rect")
    assert {row["x"] for row in rows_of(cells)} == {12.5, 50}
    assert {row["y"] for row in rows_of(cells)} == {4, 5, 6, 7, 8}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--x", "context"), "is not KEY=low:high"),
        (("--x", "context=1:2:3:4"), "low:high[:count]"),
        (("--x", "context=1:2:x"), "low:high[:count]"),
        (("--y", "scale_out_gb_per_s=1,b"), "'b' is not a number in GB/s"),
        (("--y", "contxt=1:2"), "did you mean 'context'"),
    ],
)
def test_bad_options(options: tuple[str, ...], message: str) -> None:
    outcome = command("plot", "hfu-map", *QUESTION, *options)
    assert outcome.status == 2
    assert message in outcome.complaint


def test_words_are_those_of_the_analysis() -> None:
    assert set(HATCH) == {maps.NEITHER, maps.INFEASIBLE, maps.ONLY_EP, maps.ONLY_AFD, RING}
    assert {maps.BOTH, maps.FEASIBLE} == KNOWN
    assert tuple(NUMBERS) == METRICS
    assert RATIO == maps.RATIO


@pytest.mark.parametrize("metric", METRICS)
def test_a_kept_answer_draws_the_same(metric: str) -> None:
    answer = grid(Map(H800, x=("tpot_ms", [1.0, 16.9, 50.0]), y=("context", [4096, 8192]), metric=metric))
    draws_the_same_when_kept(hfu_map_chart, answer)


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    options = ("--x", "context=1024:65536:3", "--y", "tpot_ms=40,50")
    is_drawn_from_its_file("hfu-map", *QUESTION, *options, folder=tmp_path)
