"""The chart of sensitivities draws what the analysis found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import Scenario, plot
from roofline_afd.analysis.answer import object_columns, read_answer
from roofline_afd.analysis.purchase.questions import Sensitivity
from roofline_afd.analysis.purchase.sensitivity import sensitivity
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.view.charts.style import ENDS
from roofline_afd.view.charts.tornado import MOST_BARS, tornado_chart
from roofline_afd.view.pages import chart_bytes
from roofline_afd.view.words import in_words
from tests.conftest import ONE_PLAN, command

SCENARIO = Scenario(system="h20", model="kimi-k2", tpot_ms=50, max_devices=128, **ONE_PLAN)
QUESTION: dict[str, Any] = {"samples": 20, "break_evens": 8, "uncertainty": {"fp8_tflops": "30%"}}


@pytest.fixture(scope="module")
def found() -> Any:  # noqa: ANN401
    return sensitivity(Sensitivity(SCENARIO, **QUESTION))


@pytest.fixture(scope="module")
def chart(found: Any) -> Any:  # noqa: ANN401
    return tornado_chart(found)


def _layers(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    specification = chart.to_dict(validate=False)
    for layer in specification["layer"]:
        if "name" in layer["data"]:
            layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    layers: list[dict[str, Any]] = specification["layer"]
    return layers


def _values(layer: dict[str, Any]) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = layer["data"]["values"]
    return values


def _bars(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [value for layer in _layers(chart) if layer["mark"]["type"] == "rect" for value in _values(layer)]


def _texts(chart: Any) -> list[str]:  # noqa: ANN401
    return [
        str(value[layer["encoding"]["text"]["field"]])
        for layer in _layers(chart)
        if layer["mark"]["type"] == "text"
        for value in _values(layer)
    ]


def test_bars_are_the_ends_of_ranges(chart: Any, found: Any) -> None:  # noqa: ANN401
    """From the answer as asked to that at an end, the largest swing on top, at most so many."""
    rows = found.rows()[:MOST_BARS]
    bars = {(bar["input"], bar["end"]): bar for bar in _bars(chart)}
    assert len({name for name, _ in bars}) <= MOST_BARS
    for place, row in enumerate(rows):
        for end in ("low", "high"):
            bar = bars.get((row["input"], end))
            if bar is None:
                assert row[f"metric_{end}"] == row["metric_value"] or row["swing"] < 1e-4
                continue
            assert (bar["base"], bar["metric"]) == (row["metric_value"], row[f"metric_{end}"])
            assert (bar["value"], bar["label"]) == (row[end], f"{row[end]:.4g}")
            assert place < bar["top"] < bar["bottom"] < place + 1
    fills = {layer["mark"]["color"] for layer in _layers(chart) if layer["mark"]["type"] == "rect"}
    assert fills == set(ENDS.values())


def test_rows_share_a_scale(chart: Any) -> None:  # noqa: ANN401
    """Every place is one of a row, on the same scale without an axis, in whichever layer."""
    places = [layer["encoding"]["y"] for layer in _layers(chart) if "field" in layer["encoding"].get("y", {})]
    assert len(places) >= 8
    assert all(place["axis"] is None for place in places)
    assert {tuple(place["scale"]["domain"]) for place in places} == {(MOST_BARS, 0)}


def test_changes_of_the_winner_are_marked(chart: Any, found: Any) -> None:  # noqa: ANN401
    """By a diamond at the end of the bar and a bold name, without colour."""
    (diamonds,) = (layer for layer in _layers(chart) if layer["mark"].get("shape") == "diamond")
    marked = {(value["input"], value["end"]) for value in _values(diamonds)}
    expected = {
        (row["input"], end)
        for row in found.rows()[:MOST_BARS]
        for end in ("low", "high")
        if row[f"winner_{end}"] != found.summary["winner"]
    }
    assert marked == expected
    assert marked
    bold = [
        value["label"]
        for layer in _layers(chart)
        if layer["mark"]["type"] == "text"
        and layer["mark"].get("fontWeight") == "bold"
        and layer["encoding"]["text"]["field"] == "label"
        for value in _values(layer)
    ]
    assert {in_words(name).partition(" (")[0] for name, _ in marked} <= set(bold)


def test_lines_and_title(chart: Any, found: Any) -> None:  # noqa: ANN401
    """The question itself and the break-even of both modes are lines; the headline is the answer."""
    texts = _texts(chart)
    assert f"as asked {found.summary['metric_value']:.4g}" in texts
    assert "EP = AFD" in texts
    headline, _, _ = found.summary["answer"].partition(". ")
    title = chart.to_dict(validate=False)["title"]
    assert headline in " ".join(title["text"])
    assert "Diamonds: the winner changes." in chart.to_dict(validate=False)["description"]


def test_ends_that_are_not_feasible_are_said(found: Any) -> None:  # noqa: ANN401
    rows = found.rows()[:2]
    rows[0] |= {"metric_low": None, "swing": None, "winner_low": None}
    chart = tornado_chart(dataclasses.replace(found, columns=object_columns(rows)))
    assert f"{rows[0]['low']:.4g}: infeasible" in _texts(chart)
    assert b"<svg" in chart_bytes(chart, "svg")[:200]


def test_nothing_moves(found: Any) -> None:  # noqa: ANN401
    rows = [{**row, "swing": 0.0} for row in found.rows()[:2]]
    chart = tornado_chart(dataclasses.replace(found, columns=object_columns(rows)))
    assert not _bars(chart)
    assert chart_bytes(chart, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["html", "svg", "png", "json"])
def test_files(chart: Any, form: str) -> None:  # noqa: ANN401
    assert len(chart_bytes(chart, form)) > 3000


def test_the_function_draws_the_answer() -> None:
    given = {item.key: "0%" for item in uncertain_inputs(SCENARIO)[0] if item.value}
    chart = plot.tornado(SCENARIO, metric="ep", samples=0, uncertainty=given | {"context": "20%"})
    assert "EP = AFD" not in _texts(chart)
    assert (
        chart.to_dict(validate=False)["layer"][0]["encoding"]["x"]["axis"]["title"]
        == "EP tokens/s per device"
    )


def test_an_answer_that_was_kept_draws_the_same(chart: Any, found: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """From JSON and back, in Python and by command; an answer of another command is refused."""
    again = read_answer(found.json(picture=True), name="x")
    assert tornado_chart(again).to_dict() == chart.to_dict(validate=False)
    given = {item.key: "0%" for item in uncertain_inputs(SCENARIO)[0] if item.value and item.key != "context"}
    ranges = [word for key, text in given.items() for word in ("--uncertainty", f"{key}={text}")]
    kept, first, second = (tmp_path / name for name in ("kept.json", "a.json", "b.json"))
    outcome = command(
        *("plot", "tornado", "--system", "h20", "--model", "kimi-k2", "--tpot-ms", "50"),
        *("--max-devices", "128", "--samples", "0", *ranges),
        *("--save-answer", str(kept), "--output", str(first)),
    )
    assert outcome.status == 0, outcome.err
    drawn = command("plot", "tornado", "--from", str(kept), "--output", str(second))
    assert drawn.status == 0, drawn.err
    assert first.read_bytes() == second.read_bytes()
    refused = command("plot", "procurement", "--from", str(kept))
    assert refused.status == 2
    assert "holds an answer of sensitivity; plot procurement draws those of procure" in refused.complaint
