"""The roofline with sliders begins where the analysis is, and moves as its inputs say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from roofline_afd import Scenario, roofline
from roofline_afd.reporting.sliders import slider_specification


@pytest.mark.parametrize("fan_out", ["paper", "uniform"])
def test_sliders_begin_at_the_roofline(fan_out: str) -> None:
    """The closed form with the sliders where they begin is the HFU of the roofline, at every node count."""
    asked = [
        Scenario(system=system, model="deepseek-v3", fan_out=fan_out)
        for system in ("h800", "gb200-nvl72", "h20")
    ]
    specification = slider_specification(asked)
    assert specification is not None
    values = {each["name"]: each["value"] for each in specification["params"]}
    formula = specification["transform"][0]["calculate"]
    for scenario in asked:
        rows = [row for row in specification["data"]["values"] if row["system"] == scenario.system.id]
        answer = roofline(scenario, ffn_nodes=[row["ffn_nodes"] for row in rows])
        assert len(rows) == 40
        for row, expected in zip(rows, answer["hfu"], strict=True):
            known = {"min": min, "datum": SimpleNamespace(**row), **values}
            assert eval(formula, known) == pytest.approx(expected, rel=1e-9)  # noqa: S307 - our own formula


def test_sliders_move_what_they_name() -> None:
    """Twice the scale-out bandwidth is twice the HFU in the dead zone, and nothing in a superpod."""
    asked = [Scenario(system=system, model="deepseek-v3") for system in ("h800", "gb200-nvl72")]
    specification = slider_specification(asked)
    assert specification is not None
    values = {each["name"]: each["value"] for each in specification["params"]}
    formula = specification["transform"][0]["calculate"]

    def hfu(system: str, **moved: float) -> float:
        row = next(
            row
            for row in specification["data"]["values"]
            if row["system"] == system and row["ffn_nodes"] == 32
        )
        known = {"min": min, "datum": SimpleNamespace(**row), **values, **moved}
        return float(eval(formula, known))  # noqa: S307 - our own formula

    assert hfu("h800", out_times=2.0) == pytest.approx(2 * hfu("h800"))
    assert hfu("h800", up_times=2.0) == pytest.approx(hfu("h800"))
    assert hfu("gb200-nvl72", out_times=2.0) == pytest.approx(hfu("gb200-nvl72"))
    assert hfu("gb200-nvl72", up_efficiency=0.4) == pytest.approx(hfu("gb200-nvl72") / 2)
