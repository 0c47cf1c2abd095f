"""Both modes over the latency target: curves and marks are what the analysis found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from roofline_afd import InputError, Scenario, plot
from roofline_afd.analysis.decode.curves import frontier
from roofline_afd.analysis.decode.questions import Frontier
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
from roofline_afd.view.charts.style import AFD, EP, MODES
from roofline_afd.view.pages import chart_bytes
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, command
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_of,
    rows_of,
    said_of,
    title_of,
)

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

QUESTION = ("--system", "h800", "--model", "deepseek-v3", "--max-devices", "48", *ONE_PLAN_OPTIONS)
H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=48, **ONE_PLAN)


@pytest.fixture(scope="module")
def found() -> Answer:
    return frontier(Frontier(H800))


@pytest.fixture(scope="module")
def curves(found: Answer) -> Any:  # noqa: ANN401
    return afd_vs_ep_chart(found)


def test_both_modes_are_drawn(curves: Any, found: Answer) -> None:  # noqa: ANN401
    layers = layers_of(curves)
    for mode, (color, dash, shape) in MODES.items():
        line = next(
            layer["mark"]
            for layer in layers
            if layer["mark"]["type"] == "line" and layer["mark"]["color"] == color
        )
        assert line["strokeDash"] == dash
        points = next(layer for layer in layers if layer["mark"].get("shape") == shape)
        rates = [row["tokens_per_s_per_device"] for row in rows_of(points)]
        assert rates == [row["tokens_per_s_per_device"] for row in found.rows() if row["mode"] == mode]
        shown = {tip["field"] for tip in points["encoding"]["tooltip"]}
        assert {"n_devices", "batch_per_device", "microbatches", "tpot_ms", "binding"} <= shown
    assert len({style for _, dash, _ in MODES.values() for style in [tuple(dash)]}) == 2
    headline, _, _ = found.summary["answer"].partition(". ")
    assert headline.rstrip(".") in title_of(curves)


def test_the_target_is_marked(curves: Any) -> None:  # noqa: ANN401
    rule = next(layer for layer in layers_of(curves) if layer["mark"]["type"] == "rule")
    assert rows_of(rule)[0]["tpot_ms"] == 50
    chart = plot.afd_vs_ep(H800, tpot_range=(25, 45))
    assert not [layer for layer in layers_of(chart) if layer["mark"]["type"] == "rule"]


def test_names_at_the_ends_stay_apart(curves: Any) -> None:  # noqa: ANN401
    names = next(layer for layer in layers_of(curves) if layer["mark"].get("fontSize") == 13)
    heights = [row["tokens_per_s_per_device"] for row in rows_of(names)]
    top = names["encoding"]["y"]["scale"]["domain"][1]
    assert abs(heights[0] - heights[1]) >= 0.045 * top
    assert max(heights) <= top


@pytest.mark.parametrize(("system", "opacity"), [("mi300x", 0.5), ("gb200-nvl72", 1.0)])
def test_estimates_are_pale(system: str, opacity: float) -> None:
    """Nothing was measured on the MI300X, all but links between domains on the GB200 or its sibling."""
    scenario = Scenario(system=system, model="deepseek-v3", max_devices=72, **ONE_PLAN)
    chart = plot.afd_vs_ep(scenario, tpot_range=(30, 60))
    assert {
        layer["mark"].get("opacity") for layer in layers_of(chart) if layer["mark"]["type"] == "line"
    } == {opacity}
    assert ("Pale with hollow markers" in said_of(chart)) == (opacity < 1)


def test_hostile_names_stay_text() -> None:
    evil = dataclasses.replace(load_system("h800"), name="</script><script>document.title='owned'</script>")
    chart = plot.afd_vs_ep(attrs.evolve(H800, system=evil), tpot_range=(49, 50))
    assert "<script>document.title" not in chart_bytes(chart, "html").decode()
    assert "document.title" in chart_bytes(chart, "svg").decode()


@pytest.mark.parametrize("form", ["svg", "png", "json"])
def test_files(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"afd-vs-ep.{form}"
    outcome = command("plot", "afd-vs-ep", *QUESTION, "--tpot-range", "45:55", "--output", str(path))
    assert outcome.status == 0, outcome.err
    assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("given", "message"), [("50", "write low:high"), ("50:20", "reversed"), ("0:20", "must be above 0")]
)
def test_bad_ranges(given: str, message: str) -> None:
    outcome = command("plot", "afd-vs-ep", *QUESTION, "--tpot-range", given)
    assert outcome.status == 2
    assert message in outcome.complaint


def test_a_reversed_range_is_refused() -> None:
    with pytest.raises(InputError, match="reversed"):
        plot.afd_vs_ep(H800, tpot_range=(60, 20))


@pytest.mark.parametrize("tpot_range", [None, (40, 60)])
def test_a_kept_answer_draws_the_same(tpot_range: tuple[float, float] | None) -> None:
    answer = frontier(
        Frontier(Scenario(system="h800", model="step-3", max_devices=48, **ONE_PLAN), tpot_range=tpot_range)
    )
    draws_the_same_when_kept(afd_vs_ep_chart, answer)


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    is_drawn_from_its_file("afd-vs-ep", *QUESTION, "--tpot-range", "45:55", folder=tmp_path)


def test_a_range_and_targets_exclude_each_other() -> None:
    with pytest.raises(InputError, match="exclude each other"):
        plot.afd_vs_ep(H800, tpot_range=(20, 60), targets_ms=[50])


def test_the_interval_of_the_ratio_is_a_band(curves: Any, found: Answer) -> None:  # noqa: ANN401
    """Its ends are those of the answer; it is drawn behind the curves, and cut where the chart ends."""
    layers = layers_of(curves)
    band, level = (layer for layer in layers if layer["mark"]["type"] == "area")
    assert [layers.index(each) for each in (band, level)] == [0, 1]
    assert (band["mark"]["color"], level["mark"]["color"]) == (AFD, EP)
    assert band["mark"]["clip"]
    drawn = rows_of(band)
    assert drawn[: len(found.picture["band"])] == found.picture["band"]
    top = band["encoding"]["y"]["scale"]["domain"][1]
    assert max(row["tokens_per_s_per_device"] for row in found.rows()) < top
    assert "80 % interval of their ratio" in title_of(curves)
    error = found.picture["validated"]["ep"]
    assert f"the median error of published services, {error:.1%}" in title_of(curves)
    own = [row for row in found.rows() if row["mode"] == "ep"]
    for drawn_row, row in zip(rows_of(level), own, strict=False):
        assert drawn_row["low"] == pytest.approx(row["tokens_per_s_per_device"] * (1 - error))
        assert drawn_row["high"] == pytest.approx(row["tokens_per_s_per_device"] * (1 + error))


def test_a_mode_that_nothing_like_was_measured_has_no_band() -> None:
    """A word says so; never an error of nought."""
    scenario = Scenario(system="mi300x", model="deepseek-v3", max_devices=72, **ONE_PLAN)
    answer = frontier(Frontier(scenario, tpot_range=(30, 60)))
    chart = afd_vs_ep_chart(answer)
    bands = [layer["mark"]["color"] for layer in layers_of(chart) if layer["mark"]["type"] == "area"]
    assert EP not in bands
    assert "No band of EP: no error was measured there." in said_of(chart)
    bare = dataclasses.replace(answer, picture={**answer.picture, "validated": {}, "band": []})
    assert "No band of EP and AFD" in said_of(afd_vs_ep_chart(bare))


def test_values_are_told(curves: Any, found: Answer) -> None:  # noqa: ANN401
    said = said_of(curves)
    for row in found.rows():
        assert f"{row['tokens_per_s_per_device']:,.0f} at {row['tpot_ms']:.3g} ms" in said
