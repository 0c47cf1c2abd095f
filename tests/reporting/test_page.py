"""The report: its tables, links, scenario file, and what it refuses."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from roofline_afd import Scenario, load_system, report, roofline
from roofline_afd.errors import InputError
from roofline_afd.reporting.page import linked, scenario_text, table
from roofline_afd.reporting.sliders import slider_specification
from roofline_afd.serving.scenario_file import read_scenario_file
from tests.conftest import command


def test_linked_escapes_all_but_addresses() -> None:
    """Markup is text; an address is a link without the full stop behind it."""
    assert linked("<b> at https://a.example/x?y=1&z=2.") == (
        '&lt;b&gt; at <a href="https://a.example/x?y=1&amp;z=2" rel="noreferrer">'
        "https://a.example/x?y=1&amp;z=2</a>."
    )
    assert "<script" not in linked("https://a.example/<script>alert(1)</script>")
    assert "javascript" not in linked("javascript:alert(1)").replace("javascript:alert(1)", "", 1)


def test_table_leaves_out_empty_columns_and_escapes() -> None:
    """Numbers to the right, absent ones a dash."""
    rows: list[dict[str, object]] = [
        {"a": "<i>", "n_devices": 3, "none": None},
        {"a": "x", "n_devices": None, "none": None},
    ]
    text = table(rows, ("a", "n_devices", "none"))
    assert "&lt;i&gt;" in text
    assert text.count('class="number"') == 3
    assert "none" not in text
    assert ">-<" in text


def test_scenario_text_gives_the_same_question(tmp_path: Path) -> None:
    """A scenario file that is read back says what was asked, overrides among it."""
    system = load_system("h800", overrides={"scale_out_gb_per_s": 100.0})
    asked = Scenario(system=system, model="deepseek-v3", tpot_ms=40.0, context=8192, ffn_system="h20")
    text = scenario_text(asked)
    held = tomllib.loads(text)
    assert held["set"] == {"scale_out_gb_per_s": 100.0}
    assert held["tpot_ms"] == 40.0
    assert held["context"] == 8192
    assert held["ffn_system"] == "h20"
    assert "granularity" not in held
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    assert read_scenario_file(file, options={"system", "set"})["set"] == ["scale_out_gb_per_s=100.0"]


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
    assert hfu("h800", expert_width=1024) == pytest.approx(hfu("h800") / 2)


def test_the_demand_sets_the_question() -> None:
    """Users at a speed limit the time per token of every section; the page comes as bytes from Python too."""
    asked = Scenario(system="h20", model="qwen3-235b-a22b", max_devices=32)
    page = report([asked], users=500, user_tokens_per_s=25.0, osl=256, title="a & b").decode()
    assert "<h1>a &amp; b</h1>" in page
    assert "TPOT at most 40 ms, context 4,096 tokens" in page
    assert "tpot_ms = 40.0" in page
    assert "3,968 input and 256 output tokens" in page
    assert "TPOT 50 ms" not in page


@pytest.mark.parametrize(("osl", "says"), [(0, "--osl 0 must be a whole number"), (9000, "leaves no input")])
def test_report_refuses_outputs_without_input(osl: int, says: str) -> None:
    asked = Scenario(system="h800", model="deepseek-v3")
    with pytest.raises(InputError, match=says):
        report([asked], demand=1e5, osl=osl)


def test_report_refuses_what_is_no_page(tmp_path: Path) -> None:
    """A bad suffix and an existing file are refused before any work."""
    question = ("report", "--systems", "h800", "--model", "deepseek-v3", "--demand", "1e5")
    done = command(*question, "--output", str(tmp_path / "report.pdf"))
    assert (done.status, done.out) == (2, "")
    assert "is no page; valid: .html" in done.err
    page = tmp_path / "report.html"
    page.write_text("mine")
    done = command(*question, "--output", str(page))
    assert done.status == 2
    assert "--force" in done.err
    assert page.read_text() == "mine"
