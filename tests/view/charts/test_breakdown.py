"""The picture of a breakdown: drawn for every kind of system."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.questions import Breakdown
from roofline_afd.view.charts.breakdown import LEAST_SHARE, breakdown_chart, drawn_rows
from roofline_afd.view.charts.style import STAGES
from roofline_afd.view.words import in_words
from tests.conftest import command
from tests.view.charts.drawn import (
    draws_the_same_when_kept,
    is_drawn_from_its_file,
    layers_of,
    rows_of,
    said_of,
)


@pytest.mark.parametrize("extra", [(), ("--devices", "32", "--ffn-devices", "4", "--batch", "4")])
@pytest.mark.parametrize(("system", "model"), [("gb200-nvl72", "qwen3-235b-a22b"), ("tpu-v5p", "kimi-k3")])
def test_pictures(system: str, model: str, extra: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "breakdown.svg"
    outcome = command(
        *("plot", "breakdown", "--system", system, "--model", model, "--tpot-ms", "200"),
        *(*extra, "--memory-reserve", "0", "--output", str(path)),
    )
    if outcome.status == 1:
        assert "binding is HBM capacity" in outcome.err or "no" in outcome.err
        return
    assert outcome.status == 0, outcome.err
    drawing = path.read_text("utf-8")
    assert "The operators of one micro-batch take" in drawing
    assert "NaN" not in drawing
    assert "attention over the cache" in drawing
    assert "core_attention" not in drawing


def test_small_operators_are_one_bar() -> None:
    """Bars are the answer's rows, all below a hundredth together, and add up to all of it."""
    answer = breakdown(Breakdown(Scenario(system="h800", model="deepseek-v3", devices=64, batch=64)))
    rows, drawn = answer.rows(), drawn_rows(answer)
    large = [row for row in rows if row["share"] >= LEAST_SHARE]
    assert {row["name"] for row in drawn[:-1]} == {in_words(row["operator"]) for row in large}
    assert drawn[-1]["name"] == f"others, {len(rows) - len(large)} operators"
    assert sum(row["share"] for row in drawn) == pytest.approx(1.0)
    chart = breakdown_chart(answer)
    bars = [row for layer in layers_of(chart) if layer["mark"]["type"] == "bar" for row in rows_of(layer)]
    assert sorted(bar["step_time_ms"] for bar in bars) == sorted(row["step_time_ms"] for row in drawn)
    sides = {row["operator"]: row["side"] for row in large}
    assert all(bar["color"] == STAGES[sides[bar["operator"]]].color for bar in bars if "operator" in bar)
    assert all(f"{row['name']} ({row['part']}) {row['label']}." in said_of(chart) for row in drawn)


def test_a_kept_answer_draws_the_same() -> None:
    scenario = Scenario(system="h800", model="step-3", devices=32, ffn_devices=8, batch=4)
    draws_the_same_when_kept(breakdown_chart, breakdown(Breakdown(scenario)))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    sizes = ("--devices", "32", "--batch", "16", "--mode", "ep")
    is_drawn_from_its_file("breakdown", "--system", "h800", "--model", "step-3", *sizes, folder=tmp_path)
