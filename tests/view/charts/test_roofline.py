"""The roofline: roofs and points are what the analysis says."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd import InputError, Scenario, plot
from roofline_afd.analysis.bounds.questions import RooflinePicture
from roofline_afd.analysis.bounds.roofline import roofline_picture
from roofline_afd.view.charts.dead_zone import dead_zone_chart
from roofline_afd.view.charts.roofline import roofline_chart
from roofline_afd.view.charts.style import TIERS
from tests.conftest import command
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_of,
    lines_of,
    said_of,
)

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, accept_length=1.7, gap_ms=15)


def test_roofs_have_exact_kinks() -> None:
    """Three points a roof, the middle one where bandwidth times intensity meets the peak."""
    roofs = [
        line["data"]["values"]
        for line in lines_of(plot.roofline(H800, ffn_nodes=[2, 8]))
        if len(line["data"]["values"]) == 3
    ]
    bandwidths = [3.35e12, 160e9, 50e9]
    assert [roof[1]["intensity"] for roof in roofs] == pytest.approx([1.979e15 / each for each in bandwidths])
    for roof, bandwidth in zip(roofs, bandwidths, strict=True):
        assert roof[0]["rate"] == pytest.approx(roof[0]["intensity"] * bandwidth)
        assert {roof[1]["rate"], roof[2]["rate"]} == {1.979e15}


def test_operating_points_lie_on_or_below_every_roof() -> None:
    """And exactly one of the links' markers, or the compute roof, is touched."""
    layers = layers_of(plot.roofline(H800, ffn_nodes=range(2, 41)))
    bandwidth = {"HBM": 3.35e12, "scale-up": 160e9, "scale-out": 50e9}
    slack: dict[int, dict[str, float]] = {}
    for layer in layers:
        if layer["mark"]["type"] == "point":
            for point in layer["data"]["values"]:
                roof = min(1.979e15, bandwidth[point["level"]] * point["intensity"])
                slack.setdefault(point["ffn_nodes"], {})[point["level"]] = point["rate"] / roof
    assert len(slack) == 39
    for nodes, shares in slack.items():
        assert all(share <= 1 + 1e-9 for share in shares.values()), nodes
        binding = "scale-up" if nodes <= 2.5 else "scale-out"
        assert shares[binding] == pytest.approx(1.0)


def test_estimated_roofs_are_dashed() -> None:
    def dashes(scenario: Scenario) -> list[list[int]]:
        lines = lines_of(plot.roofline(scenario, ffn_nodes=[1, 2]))
        return [
            line["mark"]["strokeDash"]
            for line in lines
            if len(line["data"]["values"]) == 3 and "strokeDash" in line["mark"]
        ]

    assert dashes(H800) == [[1, 0], [1, 0], [1, 0]]
    assert dashes(Scenario(system="trn3-ultraserver-gen1", model="deepseek-v3")) == [[1, 0], [6, 4]]


@pytest.mark.parametrize("kind", ["roofline", "dead-zone"])
@pytest.mark.parametrize(
    ("system", "model"), [("h20", "step-3"), ("cloudmatrix384", "kimi-k2"), ("a100", "mixtral-8x7b")]
)
def test_every_kind_of_system_can_be_drawn(kind: str, system: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    outcome = command("plot", kind, "--system", system, "--model", model, "--output", str(path))
    assert outcome.status == 0, outcome.err
    drawing = path.read_text("utf-8")
    assert "NaN" not in drawing
    assert "Infinity" not in drawing


def test_every_level_has_a_marker_of_its_own() -> None:
    points = [
        layer["mark"]
        for layer in layers_of(plot.roofline(H800, ffn_nodes=[2]))
        if layer["mark"]["type"] == "point"
    ]
    assert [(mark["stroke"], mark["shape"]) for mark in points] == [(t.color, t.shape) for t in TIERS]


def test_values_are_told() -> None:
    answer = roofline_picture(RooflinePicture(H800, ffn_nodes=[2, 8]))
    for chart in (roofline_chart(answer), dead_zone_chart(answer)):
        for row in answer.rows():
            assert f"{row['ffn_nodes']} FFN nodes: HFU {row['hfu']:.1%}" in said_of(chart)


def test_an_estimated_peak_is_dashed_too() -> None:
    lines = lines_of(plot.roofline(Scenario(system="gaudi2", model="mixtral-8x7b"), ffn_nodes=[1, 2]))
    assert [6, 4] in [line["mark"].get("strokeDash") for line in lines if len(line["data"]["values"]) == 2]


def test_axes_have_numbers() -> None:
    for system in ("h20", "b200", "gaudi2", "tpu-v5e"):
        chart = plot.roofline(Scenario(system=system, model="deepseek-v3"), ffn_nodes=range(1, 9)).to_dict(
            validate=False
        )
        for axis in ("x", "y"):
            assert len(chart["layer"][0]["encoding"][axis]["axis"]["values"]) >= 3


@pytest.mark.parametrize("system", ["h800", "gb200-nvl72", "gaudi2"])
def test_a_kept_answer_draws_the_same(system: str) -> None:
    scenario = Scenario(system=system, model="deepseek-v3", fan_out="uniform", attention_devices=16)
    draws_the_same_when_kept(roofline_chart, roofline_picture(RooflinePicture(scenario)))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    question = ("--system", "h800", "--model", "deepseek-v3", "--ffn-nodes", "8,2")
    is_drawn_from_its_file("roofline", *question, folder=tmp_path)


def test_more_counts_than_a_picture_holds_are_refused() -> None:
    for draw in (plot.roofline, plot.dead_zone):
        with pytest.raises(InputError, match="ffn_nodes asks for 2,001 counts; a picture holds 2,000"):
            draw(H800, ffn_nodes=range(1, 2002))
