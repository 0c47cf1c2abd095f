"""The picture of a breakdown: drawn for every kind of system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.questions import Breakdown
from roofline_afd.view.charts.breakdown import breakdown_chart
from tests.conftest import command
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file


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
    assert np.char.find(drawing, "core_attention") >= 0


def test_a_kept_answer_draws_the_same() -> None:
    scenario = Scenario(system="h800", model="step-3", devices=32, ffn_devices=8, batch=4)
    draws_the_same_when_kept(breakdown_chart, breakdown(Breakdown(scenario)))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    sizes = ("--devices", "32", "--batch", "16", "--mode", "ep")
    is_drawn_from_its_file("breakdown", "--system", "h800", "--model", "step-3", *sizes, folder=tmp_path)
