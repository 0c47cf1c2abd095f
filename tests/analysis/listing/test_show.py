"""Views of records, side by side: every value with its provenance, estimates marked."""

from __future__ import annotations

import re

from tests.conftest import ROOT, ask, command


def test_estimates_are_marked_wherever_they_are_seen() -> None:
    for arguments in (("hardware", "list"), ("hardware", "show", "h20"), ("hardware", "show", "h20", "h800")):
        assert "296\u2020" in command(*arguments, "--format", "table").out
        assert "296\u2020" in command(*arguments, "--format", "markdown").out
    (row,) = ask("hardware", "show", "h20")["results"]
    assert row["int8_tops_kind"] == "estimated"
    question = ("roofline", "--system", "h20", "--model", "deepseek-v3", "--expert-precision", "int8")
    answer = ask(*question)
    assert answer["summary"]["weakest_kind"] == "estimated"
    assert any(note.startswith("estimated: int8_tops = 296") for note in answer["notes"])
    assert "note: estimated: int8_tops = 296" in command(*question, "--format", "csv").err
    assert "%\u2020" in command(*question, "--format", "table").out
    shape = ask("models", "show", "hunyuan-a13b")["results"][0]
    assert shape["total_params_kind"] == "estimated"
    assert ask("models", "show", "deepseek-v3")["results"][0]["total_params_kind"] == "derived"
    price = command("hardware", "show", "b300", "--format", "table").out
    assert re.search(r"price, rent \(three-year\) +3\.48\u2020", price)


def test_side_by_side() -> None:
    rows = ask("hardware", "show", "h20", "gb200-nvl72")["results"]
    assert [row["id"] for row in rows] == ["h20", "gb200-nvl72"]
    table = command("hardware", "show", "h20", "gb200-nvl72", "--format", "table").out
    assert re.search(r"fp8_tflops +TFLOP/s +296 +5000", table)
    models = command("models", "show", "deepseek-v3", "kimi-k2", "--format", "table").out
    assert re.search(r"routed_experts +1 +256 +384", models)


def test_where_names_file_and_source_of_each_value() -> None:
    (row,) = ask("hardware", "show", "h800", "--where")["results"]
    values = [key.removesuffix("_kind") for key in row if key.endswith("_kind")]
    assert len(values) > 12
    for key in values:
        assert (ROOT / row[f"{key}_file"]).is_file()
        assert row[f"{key}_source"]
    assert row["fp8_tflops_file"] == "hardware_db/accelerators/h800.toml"
    assert row["scale_up_gb_per_s_file"] == "hardware_db/interconnects/nvlink4-h800.toml"
    (model,) = ask("models", "show", "dbrx")["results"]
    assert all((ROOT / value).is_file() for key, value in model.items() if key.endswith("_file"))
    table = command("hardware", "show", "h800", "--where", "--format", "table").out
    assert "hardware_db/accelerators/h800.toml" in table


def test_prices_are_shown_with_basis_and_date() -> None:
    (row,) = ask("hardware", "show", "h100")["results"]
    assert {price["basis"] for price in row["prices"]} >= {"tco", "rent"}
    assert all(price["date"] and price["source"] and price["kind"] for price in row["prices"])
    assert "price, tco (hyperscaler)" in command("hardware", "show", "h100", "--format", "table").out
