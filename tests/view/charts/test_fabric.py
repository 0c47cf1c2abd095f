"""The picture of where a rack ends: lines, the step between them, and points where they were measured."""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd import Scenario, plot
from roofline_afd.analysis.bounds.questions import Fabric
from roofline_afd.analysis.evidence.operators.exchanges import measured_fabric
from roofline_afd.view.charts.fabric import LABEL_GAP, LIGHTEST, PANEL_HEIGHT, _lightened, fabric_chart
from roofline_afd.view.charts.style import PALE, TIERS
from tests.conftest import command
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_in,
    layers_of,
    lines_of,
    rows_of,
    said_of,
)

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

RACK, FOUR = ("gb200-nvl72",), ("h800", "b200", "mi355x", "trn2")
ASKED = ("--systems", "gb200-nvl72,h800", "--model", "deepseek-v3")


@functools.cache
def _answer(systems: tuple[str, ...]) -> Answer:
    return measured_fabric(Fabric(_scenarios(systems)))


def _scenarios(systems: tuple[str, ...]) -> list[Scenario]:
    return [Scenario(system=name, model="deepseek-v3") for name in systems]


def _of(chart: Any, mark: str) -> list[dict[str, Any]]:  # noqa: ANN401 - any altair chart
    return [layer for layer in layers_of(chart) if layer["mark"]["type"] == mark]


def _panels(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a specification, above small print or without."""
    grid = chart["vconcat"][0] if "vconcat" in chart else chart
    panels: list[dict[str, Any]] = grid["concat"]
    return panels


def _diamonds(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for layer in layers if layer["mark"].get("shape") == "diamond" for row in rows_of(layer)]


def test_a_line_per_group_darker_with_more_devices() -> None:
    answer = _answer(RACK)
    lines = lines_of(fabric_chart(answer))
    assert [rows_of(line)[0]["n_devices"] for line in lines] == [8, 16, 32, 64, 72, 144]
    colors = [line["mark"]["color"] for line in lines]
    within, beyond = TIERS[1].color, TIERS[2].color
    assert colors[:5] == [_lightened(within, LIGHTEST * (1 - place / 5)) for place in range(1, 6)]
    assert colors[4:] == [within, beyond]
    times = [row["exchange_us"] for line in lines for row in rows_of(line)]
    assert times == [row["exchange_us"] for row in answer.rows()]


def test_the_step_out_of_the_rack_is_shaded_and_named() -> None:
    answer = _answer(RACK)
    chart = fabric_chart(answer)
    (edge,) = answer.summary["edges"]
    (band,) = _of(chart, "area")
    found = {(row["n_devices"], row["tokens"]): row["exchange_us"] for row in answer.rows()}
    for row in rows_of(band):
        ends = (row["exchange_us"], row["beyond_us"])
        assert ends == (found[72, row["tokens"]], found[144, row["tokens"]])
    (rule,) = _of(chart, "rule")
    assert rows_of(rule) == [
        {"tokens": 128, "exchange_us": edge["within_us"], "beyond_us": edge["beyond_us"]}
    ]
    texts = {row["label"] for layer in _of(chart, "text") for row in rows_of(layer)}
    assert {f"x{edge['factor']:.2g}", "72 · 1 rack", "144 · 2 racks", "64", "devices"} <= texts


def test_points_are_at_their_values() -> None:
    points = _diamonds(layers_of(fabric_chart(_answer(RACK))))
    assert {(row["n_devices"], row["tokens"], row["exchange_us"]) for row in points} == {
        (8, 128, 69.8),
        (16, 1024, 369.4),
        (32, 256, 121.2),
        (64, 1, 60.4),
    }
    assert all(row["source"].startswith("TensorRT-LLM tech blog 18") for row in points)


def test_names_stay_apart_and_within_the_frame() -> None:
    chart = fabric_chart(_answer(FOUR)).to_dict(validate=False)
    panels = [layers_in({**panel, "datasets": chart["datasets"]}) for panel in _panels(chart)]
    assert len(panels) == 4
    for layers in panels:
        names = next(
            layer for layer in layers if layer["mark"].get("align") == "left" and "color" in layer["encoding"]
        )
        heights = sorted(row["exchange_us"] for row in rows_of(names))
        domain = layers[0]["encoding"]["y"]["scale"]["domain"]
        assert heights[-1] < domain[1]
        pixel = (domain[1] / domain[0]) ** (1 / PANEL_HEIGHT)
        assert all(two / one >= pixel ** (LABEL_GAP - 0.1) for one, two in itertools.pairwise(heights))


def test_panels_share_their_axes() -> None:
    chart = fabric_chart(_answer(FOUR)).to_dict(validate=False)
    domains = {
        (key, *layer["encoding"][key]["scale"]["domain"])
        for panel in _panels(chart)
        for layer in panel["layer"]
        for key in ("x", "y")
    }
    assert len(domains) == 2
    assert len({panel["title"]["text"] for panel in _panels(chart)}) == 4


def test_estimates_are_dashed_and_pale() -> None:
    question = Fabric([Scenario(system="b300-spectrum-x-800", model="deepseek-v3")], group_sizes=[8, 16])
    chart = fabric_chart(measured_fabric(question))
    within, beyond = (line["mark"] for line in lines_of(chart))
    assert (within["strokeDash"], within["opacity"]) == ([1, 0], 1.0)
    assert (beyond["strokeDash"], beyond["opacity"]) == ([6, 4], PALE)
    assert "Dashed and pale: estimated." in said_of(chart)
    assert "Dashed" not in said_of(fabric_chart(_answer(RACK)))


def test_at_most_two_lines_stand_below_the_headline() -> None:
    for systems in (RACK, FOUR):
        answer = _answer(systems)
        chart = fabric_chart(answer).to_dict(validate=False)
        assert len(chart["title"]["subtitle"]) <= 2
        assert answer.summary["answer"].rstrip(" .") in chart["description"]
        for edge in answer.summary["edges"]:
            if edge["factor"]:
                assert f"x{edge['factor']:.2g}" in " ".join(chart["title"]["text"])


def test_one_number_of_tokens_is_drawn_as_dots() -> None:
    question = Fabric(_scenarios(RACK), tokens=[128], group_sizes=[72, 144])
    dots = [
        layer for layer in layers_of(fabric_chart(measured_fabric(question))) if layer["mark"].get("filled")
    ]
    assert [layer["mark"]["opacity"] for layer in dots] == [1, 1]


@pytest.mark.parametrize(
    ("tokens", "ticks"),
    [([1, 2, 4], [1, 2, 4]), (range(16, 257, 16), [20, 50, 100, 200]), ([131, 140], [131, 140])],
)
def test_tokens_have_ticks(tokens: Any, ticks: list[int]) -> None:  # noqa: ANN401 - whatever holds numbers
    question = Fabric(_scenarios(RACK), tokens=tokens, group_sizes=[72, 144])
    (first, *_) = layers_of(fabric_chart(measured_fabric(question)))
    assert first["encoding"]["x"]["axis"]["values"] == ticks


def test_a_kept_answer_draws_the_same() -> None:
    draws_the_same_when_kept(fabric_chart, _answer(RACK))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    is_drawn_from_its_file("fabric", *ASKED, folder=tmp_path)


def test_the_command_draws_what_the_function_draws(tmp_path: Path) -> None:
    path = tmp_path / "picture.json"
    own = tmp_path / "mine.csv"
    own.write_text(
        "id,operator,system,n_devices,precision,tokens,hidden,top_k,latency_us\n"
        "mine,exchange,h800,16,fp8,64,7168,8,200\n",
        "utf-8",
    )
    sizes = ("--group-sizes", "8,16,144", "--tokens", "32,64,128", "--operators", str(own))
    outcome = command("plot", "fabric", *ASKED, *sizes, "--output", str(path))
    assert outcome.status == 0, outcome.err
    scenarios = [Scenario(system=name, model="deepseek-v3") for name in ("gb200-nvl72", "h800")]
    chart = plot.fabric(scenarios, group_sizes=[8, 16, 144], tokens=[32, 64, 128], operators=[own])
    assert json.loads(path.read_text("utf-8"))["vconcat"] == json.loads(chart.to_json())["vconcat"]
    assert "mine" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--systems", "h800+h20"), "--systems h800+h20 is a pair: exchanges of EP are on one system"),
        (("--systems", "h800", "--group-sizes", "512"), "--group-sizes leaves nothing for h800"),
        (("--systems", "h800", "--tokens", "0"), "--tokens 0 must be a whole number from 1 to 1,000,000"),
        (("--systems", "h800", "--tokens", "a"), "--tokens 'a': write a range"),
        (("--systems", "h800", "--operators", "absent.csv"), "'absent.csv' cannot be read"),
    ],
)
def test_wrong_options_are_one_line(options: tuple[str, ...], message: str) -> None:
    refused = command("plot", "fabric", "--model", "deepseek-v3", *options)
    assert (refused.status, refused.out) == (2, "")
    assert message in refused.complaint


def test_operators_may_be_given_twice(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        files.append(tmp_path / f"{name}.csv")
        files[-1].write_text(
            "id,operator,system,n_devices,precision,tokens,hidden,top_k,latency_us\n"
            f"{name},exchange,h800,16,fp8,64,7168,8,200\n",
            "utf-8",
        )
    given = [word for file in files for word in ("--operators", str(file))]
    outcome = command("plot", "fabric", "--systems", "h800", "--model", "deepseek-v3", *given)
    assert outcome.status == 0, outcome.err
    assert {"one", "two"} <= {row["id"] for row in _diamonds(layers_in(json.loads(outcome.out)))}
