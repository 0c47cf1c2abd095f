"""Charts of searched deployments: what they draw is what the analysis found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from roofline_afd import InputError, Scenario, plot
from roofline_afd.analysis.decode.curves import frontier, grid
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.charts.afd_vs_ep import HATCH, STYLES, afd_vs_ep_chart, hfu_map_chart
from roofline_afd.view.pages import chart_bytes
from tests.conftest import command

QUESTION = ("--system", "h800", "--model", "deepseek-v3", "--max-devices", "160")
H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=160)
X = ("scale_out_gb_per_s", [25.0, 50.0, 100.0, 400.0])
Y = ("expert_intermediate", [1024.0, 2048.0, 8192.0])


def _layers(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any altair chart
    return _filled(chart.to_dict())


def _filled(specification: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of a specification, with their data in place."""
    for layer in specification["layer"]:
        if "name" in layer["data"]:
            layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    layers: list[dict[str, Any]] = specification["layer"]
    return layers


def _rows(layer: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = layer["data"]["values"]
    return rows


def _title(chart: Any) -> str:  # noqa: ANN401
    title = chart.to_dict()["title"]
    return " ".join([*title["text"], *title["subtitle"]])


@pytest.fixture(scope="module")
def curves() -> Any:  # noqa: ANN401
    return afd_vs_ep_chart(H800)


@pytest.fixture(scope="module")
def plane() -> Any:  # noqa: ANN401
    return hfu_map_chart(H800, x=X, y=Y)


def test_both_modes_are_drawn(curves: Any) -> None:  # noqa: ANN401
    found = frontier(H800)
    layers = _layers(curves)
    for mode, (color, dash, shape) in STYLES.items():
        line = next(
            layer["mark"]
            for layer in layers
            if layer["mark"]["type"] == "line" and layer["mark"]["color"] == color
        )
        assert line["strokeDash"] == dash
        points = next(layer for layer in layers if layer["mark"].get("shape") == shape)
        rates = [row["tokens_per_s_per_device"] for row in _rows(points)]
        assert rates == [row["tokens_per_s_per_device"] for row in found.rows() if row["mode"] == mode]
        shown = {tip["field"] for tip in points["encoding"]["tooltip"]}
        assert {"n_devices", "batch_per_device", "microbatches", "tpot_ms", "binding"} <= shown
    assert len({style for _, dash, _ in STYLES.values() for style in [tuple(dash)]}) == 2
    headline, _, _ = found.summary["answer"].partition(". ")
    assert headline.rstrip(".") in _title(curves)


def test_the_target_is_marked(curves: Any) -> None:  # noqa: ANN401
    rule = next(layer for layer in _layers(curves) if layer["mark"]["type"] == "rule")
    assert _rows(rule)[0]["tpot_ms"] == 50
    chart = afd_vs_ep_chart(H800, tpot_range=(25, 45))
    assert not [layer for layer in _layers(chart) if layer["mark"]["type"] == "rule"]


def test_names_at_the_ends_stay_apart(curves: Any) -> None:  # noqa: ANN401
    names = next(layer for layer in _layers(curves) if layer["mark"].get("fontSize") == 13)
    heights = [row["tokens_per_s_per_device"] for row in _rows(names)]
    top = names["encoding"]["y"]["scale"]["domain"][1]
    assert abs(heights[0] - heights[1]) >= 0.045 * top
    assert max(heights) <= top


def test_estimates_are_pale() -> None:
    chart = afd_vs_ep_chart(
        Scenario(system="gb200-nvl72", model="deepseek-v3", max_devices=72), tpot_range=(30, 60)
    )
    assert {layer["mark"].get("opacity") for layer in _layers(chart) if layer["mark"]["type"] == "line"} == {
        0.5
    }
    assert "Pale with hollow markers" in _title(chart)


def test_cells_are_the_points_of_the_map(plane: Any) -> None:  # noqa: ANN401
    found = grid(H800, x=X, y=Y)
    cells = next(layer for layer in _layers(plane) if layer["mark"]["type"] == "rect")
    drawn = {(row["x"], row["y"]): row["afd_over_ep"] for row in _rows(cells)}
    assert drawn == {(row[X[0]], row[Y[0]]): row["afd_over_ep"] for row in found.rows()}
    assert all(row["x1"] < row["x"] < row["x2"] and row["y1"] < row["y"] < row["y2"] for row in _rows(cells))
    domain = cells["encoding"]["color"]["scale"]["domain"]
    assert domain[1] == 1
    assert domain[0] * domain[2] == pytest.approx(1)
    tips = {tip["field"] for tip in cells["encoding"]["tooltip"]}
    assert {"ep_tokens_per_s_per_device", "afd_tokens_per_s_per_device", "afd_over_ep"} <= tips
    assert found.summary["answer"].partition(". ")[0] in _title(plane)


def test_break_even_lies_between_cells_of_different_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """On made-up throughputs, whose winner changes along both axes."""

    def made_up(scenario: Scenario) -> tuple[float, float]:
        bandwidth = scenario.system.quantities["scale_out_gb_per_s"].value
        return 1e3, float(bandwidth * scenario.model.expert_intermediate / 110.0)

    monkeypatch.setattr("roofline_afd.analysis.decode.curves.rates", made_up)
    plane = hfu_map_chart(H800, x=X, y=Y)
    cells = next(layer for layer in _layers(plane) if layer["mark"]["type"] == "rect")
    ahead = {(row["x"], row["y"]): row["afd_over_ep"] > 1 for row in _rows(cells)}
    assert set(ahead.values()) == {True, False}
    lines = [layer for layer in _layers(plane) if layer["mark"]["type"] == "rule"]
    assert lines
    for piece in _rows(lines[0]):
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
    ring = next(layer for layer in _layers(plane) if "shape" in layer["encoding"])
    assert [(row["x"], row["y"]) for row in _rows(ring)] == [(50, 2048)]


def test_infeasible_cells_are_crossed_out_and_in_the_legend() -> None:
    chart = hfu_map_chart(H800, x=("tpot_ms", [1.0, 16.9, 50.0]), y=("context", [4096.0, 8192.0]))
    marks = next(layer for layer in _layers(chart) if "shape" in layer["encoding"])
    scale = marks["encoding"]["shape"]["scale"]
    assert "neither feasible" in scale["domain"]
    assert scale["range"] == [HATCH[name] for name in scale["domain"]]
    assert marks["encoding"]["shape"]["legend"] is not None
    grey = [layer for layer in _layers(chart) if layer["mark"].get("fill") == "#d5d9de"]
    assert all(row["afd_over_ep"] is None for row in _rows(grey[0]))
    drawing = chart_bytes(chart, "svg").decode()
    assert "NaN" not in drawing
    assert "neither feasible" in drawing


def test_a_map_of_hfu() -> None:
    chart = plot.hfu_map(H800, metric="hfu")
    cells = next(layer for layer in _layers(chart) if layer["mark"]["type"] == "rect")
    assert cells["encoding"]["color"]["field"] == "hfu"
    assert not [layer for layer in _layers(chart) if layer["mark"]["type"] == "rule"]


def test_hostile_names_stay_text() -> None:
    evil = dataclasses.replace(load_system("h800"), name="</script><script>document.title='owned'</script>")
    scenario = attrs.evolve(H800, system=evil)
    for chart in (
        afd_vs_ep_chart(scenario, tpot_range=(49, 50)),
        hfu_map_chart(scenario, x=X, y=Y, metric="hfu"),
    ):
        page = chart_bytes(chart, "html").decode()
        assert "<script>document.title" not in page
        assert "document.title" in chart_bytes(chart, "svg").decode()


@pytest.mark.parametrize("form", ["svg", "png", "json"])
def test_files(form: str, tmp_path: Path) -> None:
    for kind, options in (
        ("afd-vs-ep", ("--tpot-range", "45:55")),
        ("hfu-map", ("--x", "context=1024:65536:3", "--y", "tpot_ms=40,50")),
    ):
        path = tmp_path / f"{kind}.{form}"
        outcome = command("plot", kind, *QUESTION, *options, "--output", str(path))
        assert outcome.status == 0, outcome.err
        assert path.stat().st_size > 5000


def test_units_in_a_range() -> None:
    options = ("--x", "scale_out_gb_per_s=100 Gb/s,400 Gb/s", "--y", "top_k=4:8", "--metric", "hfu")
    outcome = command("plot", "hfu-map", *QUESTION, *options)
    assert outcome.status == 0, outcome.err
    cells = next(layer for layer in _filled(json.loads(outcome.out)) if layer["mark"]["type"] == "rect")
    assert {row["x"] for row in _rows(cells)} == {12.5, 50}
    assert {row["y"] for row in _rows(cells)} == {4, 5, 6, 7, 8}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("hfu-map", "--x", "context"), "is not KEY=low:high"),
        (("hfu-map", "--x", "context=1:2:3:4"), "low:high[:count]"),
        (("hfu-map", "--x", "context=1:2:x"), "low:high[:count]"),
        (("hfu-map", "--y", "scale_out_gb_per_s=1,b"), "'b' is not a number in GB/s"),
        (("hfu-map", "--y", "contxt=1:2"), "did you mean 'context'"),
        (("afd-vs-ep", "--tpot-range", "50"), "write low:high"),
        (("afd-vs-ep", "--tpot-range", "50:20"), "reversed"),
        (("afd-vs-ep", "--tpot-range", "0:20"), "must be above 0"),
    ],
)
def test_bad_options(options: tuple[str, ...], message: str) -> None:
    kind, *rest = options
    outcome = command("plot", kind, *QUESTION, *rest)
    assert outcome.status == 2
    assert message in outcome.complaint


def test_a_reversed_range_is_refused() -> None:
    with pytest.raises(InputError, match="reversed"):
        afd_vs_ep_chart(H800, tpot_range=(60, 20))
