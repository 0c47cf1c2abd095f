"""Charts: what they draw is what the analysis says, in every file format, without a network."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import Scenario
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.charts.roofline import dead_zone_chart, roofline_chart
from roofline_afd.view.pages import chart_bytes, script_literal
from tests.conftest import command

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, accept_length=1.7, gap_ms=15)
QUESTION = ("--system", "h800", "--model", "deepseek-v3")


def _layers(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any altair chart
    specification: dict[str, Any] = chart.to_dict()
    datasets = specification.get("datasets", {})
    for layer in specification["layer"]:
        if "name" in layer.get("data", {}):
            layer["data"] = {"values": datasets[layer["data"]["name"]]}
    layers: list[dict[str, Any]] = specification["layer"]
    return layers


def _lines(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [layer for layer in _layers(chart) if layer["mark"]["type"] == "line"]


def test_roofs_have_exact_kinks() -> None:
    """Three points a roof, the middle one where bandwidth times intensity meets the peak."""
    roofs = [
        line["data"]["values"]
        for line in _lines(roofline_chart(H800, ffn_nodes=[2, 8]))
        if len(line["data"]["values"]) == 3
    ]
    bandwidths = [3.35e12, 160e9, 50e9]
    assert [roof[1]["intensity"] for roof in roofs] == pytest.approx([1.979e15 / each for each in bandwidths])
    for roof, bandwidth in zip(roofs, bandwidths, strict=True):
        assert roof[0]["rate"] == pytest.approx(roof[0]["intensity"] * bandwidth)
        assert {roof[1]["rate"], roof[2]["rate"]} == {1.979e15}


def test_operating_points_lie_on_or_below_every_roof() -> None:
    """And exactly one of the links' markers, or the compute roof, is touched."""
    layers = _layers(roofline_chart(H800, ffn_nodes=range(2, 41)))
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
        lines = _lines(roofline_chart(scenario, ffn_nodes=[1, 2]))
        return [
            line["mark"]["strokeDash"]
            for line in lines
            if len(line["data"]["values"]) == 3 and "strokeDash" in line["mark"]
        ]

    assert dashes(H800) == [[1, 0], [1, 0], [1, 0]]
    assert dashes(Scenario(system="trn3-ultraserver-gen2", model="deepseek-v3")) == [[1, 0], [6, 4]]


def test_dead_zone_is_shaded_where_it_is() -> None:
    bands = next(
        layer["data"]["values"]
        for layer in _layers(dead_zone_chart(H800, ffn_nodes=range(1, 41)))
        if layer["mark"]["type"] == "rect"
    )
    assert [(band["name"], band["left"], band["right"]) for band in bands] == [
        ("scale-up bound", 0.5, 2.5),
        ("stable intensity", 2.5, 8.0),
        ("dead zone", 8.0, 32.0),
        ("one expert per device", 32.0, 40.5),
    ]
    assert (
        len(
            {band["fill"] for band in bands if band["name"] == "dead zone"}
            & {b["fill"] for b in bands if b["name"] != "dead zone"}
        )
        == 0
    )


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


MAGIC = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!doctype html>", "json": b"{"}


@pytest.mark.parametrize("form", MAGIC)
@pytest.mark.parametrize("kind", ["roofline", "dead-zone"])
def test_files(form: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{form}"
    assert command("plot", kind, *QUESTION, "--output", str(path)).status == 0
    content = path.read_bytes()
    assert content.startswith(MAGIC[form])
    again = command("plot", kind, *QUESTION, "--output", str(path))
    assert "exists; --force replaces it" in again.complaint
    assert path.read_bytes() == content


def test_default_output_is_vega_lite() -> None:
    specification = json.loads(command("plot", "dead-zone", *QUESTION).out)
    assert specification["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


def test_pictures_are_the_same_every_time() -> None:
    """But for the numbers of clip paths, which count on within a process."""
    first, second = (
        re.sub(rb"clip\d+", b"clip", chart_bytes(dead_zone_chart(H800, ffn_nodes=range(1, 41)), "svg"))
        for _ in range(2)
    )
    assert first == second


def test_pages_need_no_network() -> None:
    page = chart_bytes(roofline_chart(H800, ffn_nodes=[2, 8]), "html").decode()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page.partition("<script>")[0])
    assert "<script src" not in page
    assert "cdn." not in page.rpartition("<script>")[2]


def test_hostile_names_stay_text() -> None:
    """A name that closes the script element must not."""
    literal = script_literal({"name": "</script><script>alert(1)</script>\u2028"})
    assert "<" not in literal
    assert json.loads(literal)["name"].startswith("</script>")
    system = load_system("h800")
    import dataclasses

    import attrs

    evil = dataclasses.replace(system, name="</script><script>document.title='owned'</script>")
    page = chart_bytes(roofline_chart(attrs.evolve(H800, system=evil), ffn_nodes=[2]), "html").decode()
    assert "<script>document.title" not in page


def test_greyscale_tells_the_levels_apart() -> None:
    """The three hues differ in lightness, and every level has a marker of its own."""
    from roofline_afd.view.charts.style import BLUE, GREEN, ORANGE

    def lightness(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 116 * math.cbrt(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) - 16

    values = sorted(map(lightness, (BLUE, GREEN, ORANGE)))
    assert min(values[1] - values[0], values[2] - values[1]) >= 3
    shapes = {
        layer["mark"]["shape"]
        for layer in _layers(roofline_chart(H800, ffn_nodes=[2]))
        if layer["mark"]["type"] == "point"
    }
    assert len(shapes) == 3


def test_counts_out_of_order_are_drawn_in_order() -> None:
    shuffled, ordered = (
        dead_zone_chart(H800, ffn_nodes=counts).to_dict() for counts in ([40, 1, 2, 8], [1, 2, 8, 40])
    )
    assert shuffled == ordered


def test_an_estimated_peak_is_dashed_too() -> None:
    lines = _lines(roofline_chart(Scenario(system="gaudi2", model="mixtral-8x7b"), ffn_nodes=[1, 2]))
    assert [6, 4] in [line["mark"].get("strokeDash") for line in lines if len(line["data"]["values"]) == 2]


def test_axes_have_numbers() -> None:
    for system in ("h20", "b200", "gaudi2", "tpu-v5e"):
        chart = roofline_chart(Scenario(system=system, model="deepseek-v3"), ffn_nodes=range(1, 9)).to_dict()
        for axis in ("x", "y"):
            assert len(chart["layer"][0]["encoding"][axis]["axis"]["values"]) >= 3


def test_names_of_regimes_stay_apart() -> None:
    for model, counts in (("mixtral-8x7b", range(1, 41)), ("deepseek-v3", range(1, 1001))):
        scenario = Scenario(system="h800", model=model)
        texts = [
            layer
            for layer in _layers(dead_zone_chart(scenario, ffn_nodes=counts))
            if layer["mark"]["type"] == "text"
        ]
        places = sorted(
            row["middle"] for layer in texts for row in layer["data"]["values"] if "middle" in row
        )
        span = max(counts)
        assert all((right - left) / span * 640 >= 26 for left, right in itertools.pairwise(places))
