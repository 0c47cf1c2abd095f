"""The chart of ratios: what it draws is what the formulas and the simulation say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline_afd import InputError, Scenario, plot
from roofline_afd.analysis.requests.prepare import prepare
from roofline_afd.analysis.requests.questions import Simulation
from roofline_afd.analysis.requests.ratio import ratio_picture
from roofline_afd.physics.ratio import optimal_ratio
from roofline_afd.view.charts.ratio import ratio_chart
from roofline_afd.view.pages import chart_bytes
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file

QUESTION: dict[str, Any] = {
    "coefficients": ".00165,50,.083,100,.022,20",
    "prompt_mean": 100,
    "decode_mean": 100,
    "batch": 256,
    "requests": 2000,
    "replications": 2,
}


def _panels(chart: Any) -> list[list[dict[str, Any]]]:  # noqa: ANN401 - any altair chart
    """Return the layers of both panels, with their data in place."""
    specification = chart.to_dict(validate=False)
    panels = specification["vconcat"][:2]  # below them is small print
    for panel in panels:
        for layer in panel["layer"]:
            if "name" in layer["data"]:
                layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    return [panel["layer"] for panel in panels]


def _values(layer: dict[str, Any]) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = layer["data"]["values"]
    return values


def _texts(layers: list[dict[str, Any]]) -> list[str]:
    return [row["label"] for layer in layers if layer["mark"]["type"] == "text" for row in _values(layer)]


def test_formulas_and_simulation_are_drawn() -> None:
    question = Simulation(**QUESTION, r=range(1, 7))
    found = ratio_picture(question)
    chart = ratio_chart(found)
    upper, lower = _panels(chart)
    lines = [layer for layer in upper if layer["mark"]["type"] == "line"]
    assert len({tuple(line["mark"]["strokeDash"]) for line in lines}) == 3
    assert len({line["mark"]["color"] for line in lines}) == 3
    means = min(lines, key=lambda line: line["mark"]["strokeDash"][0] + 9 * (line["mark"]["strokeWidth"] > 2))
    peak = max(_values(means), key=lambda point: point["throughput_per_instance"])
    prepared = prepare(question)
    load = prepared.workload.load
    best = optimal_ratio(theta=load.theta, batch=256, coefficients=prepared.settings.coefficients)
    assert peak["r"] == pytest.approx(float(best.ratio), abs=0.03)
    dots = next(layer for layer in upper if layer["mark"].get("size") == 22)
    for drawn, row in zip(_values(dots), found.rows(), strict=True):
        assert drawn["throughput_per_instance"] == row["throughput_per_instance"]
        assert drawn["high"] - drawn["low"] == pytest.approx(2 * row["throughput_half_width"])
    assert f"simulated best: r = {found.summary['best_r']}" in _texts(upper)
    assert {"mean times (r*)", "slowest instance", "slowest instance, 2 micro-batches"} <= {*_texts(upper)}
    shares = [layer for layer in lower if layer["mark"]["type"] == "line"]
    assert [point["share"] for point in _values(shares[0])] == [row["attention_idle"] for row in found.rows()]
    assert [point["share"] for point in _values(shares[1])] == [row["ffn_idle"] for row in found.rows()]
    title = " ".join(chart.to_dict(validate=False)["title"]["text"])
    assert title in found.summary["answer"] or found.summary["answer"].startswith(title.rstrip("."))


def test_the_end_of_a_domain_is_marked() -> None:
    """Where both sides outgrow a rack throughput falls off; the picture says so, if that is in sight."""
    scenario = Scenario(system="gb200-nvl72", model="deepseek-v3", tpot_ms=200)
    lengths: dict[str, Any] = {"prompt_mean": 1000, "decode_mean": 200, "requests": 200, "replications": 1}
    found = ratio_picture(Simulation(scenario=scenario, **lengths, batch=64, r=(15, 17, 19)))
    end = found.picture["domain_ends_at"]
    assert (end + 1) * found.inputs["ffn_devices"] == pytest.approx(72)
    upper, _ = _panels(ratio_chart(found))
    assert f"beyond r = {end:.3g} a rack is too small" in _texts(upper)
    rules = [
        row["r"] for layer in upper if layer["mark"]["type"] == "rule" for row in _values(layer) if "r" in row
    ]
    assert end in rules


def test_without_ratios_the_best_is_in_the_middle() -> None:
    upper, _ = _panels(plot.ratio(**QUESTION))
    ratios = [row["r"] for row in _values(next(layer for layer in upper if layer["mark"].get("size") == 22))]
    assert ratios == list(range(1, 9))


def test_one_ratio_and_a_best_beyond_are_drawn() -> None:
    one: Any = plot.ratio(**QUESTION, r=(2,))
    assert chart_bytes(one, "svg").startswith(b"<svg")
    upper, _ = _panels(plot.ratio(**(QUESTION | {"decode_mean": 2000, "requests": 500}), r=(1, 2, 3)))
    assert "best at r = 3.0 or above" in _texts(upper)


@pytest.mark.parametrize("form", ["html", "svg", "png", "json"])
def test_files(form: str) -> None:
    chart: Any = plot.ratio(**QUESTION, r=(2, 3))
    assert len(chart_bytes(chart, form)) > 2000


def test_bad_questions_are_refused() -> None:
    with pytest.raises(InputError, match="r 0 must be a whole number"):
        plot.ratio(**QUESTION, r=(0,))


def test_an_answer_that_was_kept_draws_the_same(tmp_path: Path) -> None:
    draws_the_same_when_kept(ratio_chart, ratio_picture(Simulation(**QUESTION, r=(2, 3))))
    options = ("--prompt-mean", "100", "--decode-mean", "100", "--requests", "500", "--r", "2,3")
    is_drawn_from_its_file("ratio", "--coefficients", QUESTION["coefficients"], *options, folder=tmp_path)
