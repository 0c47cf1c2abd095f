"""Workbooks: numbers stay numbers, texts stay texts, whatever a catalogue calls its parts."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.purchase.procurement import procure
from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view import workbook
from roofline_afd.view.tables import as_csv, choose_format
from roofline_afd.view.workbook import as_xlsx, plain_text
from tests.conftest import ONE_PLAN, command

pytestmark = pytest.mark.usefixtures("answered_once")

ANSWER = roofline(Roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=range(1, 6)))
HOSTILE = (
    "=1+1",
    '=HYPERLINK("http://example.org","x")',
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "=cmd|' /C calc'!A0",
)
HARMLESS = ("h800", "", " =1", "a=b", "'quoted", "1e5", "#N/A", "TRUE", "2026-01-01", "\u2020", "a\x07b")


def _read(content: bytes) -> Any:  # noqa: ANN401 - a workbook
    return openpyxl.load_workbook(io.BytesIO(content))


def _made(rows: list[dict[str, Any]], **parts: Any) -> Answer:  # noqa: ANN401 - parts of an answer
    return Answer(command="test", inputs={}, columns=object_columns(rows), **parts)


def test_results_are_those_of_the_answer() -> None:
    """Numbers unrounded and of type number, texts text, truth values truth values."""
    book = _read(as_xlsx(ANSWER))
    assert book.sheetnames == ["results", "summary", "inputs", "keys"]
    header, *body = book["results"].iter_rows(values_only=True)
    assert list(book["keys"].iter_rows(min_row=2, values_only=True)) == [
        (title, key) for title, key in zip(header, ANSWER.columns, strict=True)
    ]
    assert {"FFN nodes", "stage budget [us]", "HFU"} <= set(header)
    assert len(set(header)) == len(header)
    for cells, row in zip(body, ANSWER.rows(), strict=True):
        for cell, value in zip(cells, row.values(), strict=True):
            # a workbook holds 16 digits
            assert cell == (pytest.approx(value, rel=1e-15) if isinstance(value, float) else value)
            assert isinstance(cell, bool) == isinstance(value, bool)
            assert isinstance(cell, str) == isinstance(value, str)


def test_header_is_bold_and_stays() -> None:
    book = _read(as_xlsx(ANSWER))
    for sheet in book:
        assert sheet.freeze_panes == "A2"
        assert all(cell.font.bold for cell in sheet[1])
        assert not any(cell.font.bold for cell in sheet[2])
        widths = [dimension.width for dimension in sheet.column_dimensions.values()]
        assert len(widths) == sheet.max_column
        assert all(workbook.NARROWEST <= width <= workbook.WIDEST for width in widths)
    results = book["results"]
    assert results.auto_filter.ref == results.dimensions
    keys = [key for _, key in book["keys"].iter_rows(min_row=2, values_only=True)]
    assert results.cell(2, keys.index("hfu") + 1).number_format == "0.0%"
    assert results.cell(2, keys.index("stage_budget_us") + 1).number_format == "#,##0.0"
    assert results.cell(2, keys.index("ffn_nodes") + 1).number_format == "#,##0"


def test_summary_notes_and_inputs() -> None:
    book = _read(as_xlsx(ANSWER))
    summary = list(book["summary"].iter_rows(min_row=2, values_only=True))
    assert dict(summary)["answer"] == ANSWER.summary["answer"]
    assert [value for key, value in summary if key == "note"] == ANSWER.notes
    inputs = list(book["inputs"].iter_rows(values_only=True))
    assert inputs[0] == ("key", "value", "unit", "kind", "record", "source", "note")
    held = {row[0]: row for row in inputs[1:]}
    assert held["system"][1] == "h800"
    for key, value in ANSWER.inputs["values"].items():
        assert held[key][1:6] == tuple(value[part] for part in ("value", "unit", "kind", "record", "source"))


def test_nested_values_are_columns_and_words_and_absent_ones_empty() -> None:
    """No cell holds JSON: tables become columns or rows, lists are told with commas."""
    answer = _made(
        [{"id": "a", "parts": ["x", 1, None], "none": None, "more": {"b": 2, "c": {"d": 3}}}, {"id": "b"}],
        summary={"best": {"id": "a", "flips": [1.5]}, "empty": {}, "next": [{"id": "b"}, {"id": "c"}]},
    )
    book = _read(as_xlsx(answer))
    assert [cell.value for cell in book["results"][1]] == [
        "id",
        "parts",
        "none",
        "more: b",
        "more: c d",
        "more",
    ]
    assert [cell.value for cell in book["results"][2]] == ["a", "x, 1, -", None, 2, 3, None]
    summary = dict(book["summary"].iter_rows(min_row=2, values_only=True))
    assert summary == {"best.id": "a", "best.flips": "1.5", "empty": None, "next.1.id": "b", "next.2.id": "c"}
    assert next(csv.reader(io.StringIO(as_csv(answer))))[:4] == ["id", "parts", "none", "more.b"]


def test_numbers_have_as_many_places_as_they_need() -> None:
    answer = _made([{"usd_per_million_tokens": 0.0983, "usd_per_month": 257_544.4, "load": 0.5, "rank": 1}])
    cells = _read(as_xlsx(answer))["results"][2]
    assert [cell.number_format for cell in cells] == ["#,##0.0000", "#,##0", "0%", "#,##0"]


def _arguments(text: str) -> list[str]:
    """Return what commas outside of brackets part."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


class _Sheet:
    """A sheet of costs, computed as a spreadsheet does."""

    def __init__(self, sheet: Any) -> None:  # noqa: ANN401 - a sheet
        self.sheet = sheet

    def cell(self, place: str) -> Any:  # noqa: ANN401 - a text or a number
        held = self.sheet[place].value
        if not isinstance(held, str) or not held.startswith("="):
            return held
        code = re.sub(r"\$?([A-Z])\$?(\d+):\$?[A-Z]\$?(\d+)", r'area("\1", \2, \3)', held[1:])
        code = re.sub(r'(?<!")\$?\b([A-Z])\$?(\d+)\b', r'cell("\1\2")', code).replace('=""', '==""')
        known = {
            "cell": self.cell,
            "area": lambda letter, low, high: [self.cell(f"{letter}{row}") for row in range(low, high + 1)],
            "AND": lambda *tests: all(tests),
            "ISNUMBER": lambda value: isinstance(value, int | float),
            "RANK": lambda value, among, _: sorted(among).index(value) + 1,
        }
        test, yes, no = _arguments(code.removeprefix("IF(").removesuffix(")"))
        return eval(yes if eval(test, known) else no, known)  # noqa: S307 - our own formula


@pytest.mark.parametrize("basis", ["rent", "purchase"])
def test_costs_compute_again_from_a_price(basis: str) -> None:
    """Formulas give what the answer says; with another price, what that price gives; a pair has two."""
    prices = {"h800": 2.0, "h20": 1.0} if basis == "rent" else {"h800": 30_000.0, "h20": 15_000.0}
    asked = [
        Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64, **ONE_PLAN),
        Scenario(
            system="h800",
            attention_system="h20",
            model="deepseek-v3",
            tpot_ms=50,
            max_devices=64,
            **ONE_PLAN,
        ),
    ]

    def told(given: dict[str, float]) -> tuple[Any, dict[tuple[str, str], Any]]:
        answer = procure(Purchase(asked, demand=3e4, price_basis=basis, prices=given, utilization=0.5))
        rows = {(row["system"], row["mode"]): row for row in answer.rows() if row["feasible"]}
        return _read(as_xlsx(answer)), rows

    book, _ = told(prices)
    assert book.sheetnames[:2] == ["results", "costs"]
    assert {"inputs h800", "inputs h20+h800"} <= set(book.sheetnames)
    records = {row[4] for row in book["inputs h800"].iter_rows(min_row=2, values_only=True)}
    assert "accelerator h800" in records
    assert "accelerator h20" not in records
    costs = book["costs"]
    labels = {row[0].value: row[0].row for row in costs.iter_rows()}
    first = labels["system"] + 1
    for factor in (1.0, 1.01):
        given = prices | {"h800": prices["h800"] * factor}
        costs[f"B{labels['price of h800']}"].value = given["h800"]
        _, rows = told(given)
        computed = _Sheet(costs)
        for at in range(first, costs.max_row + 1):
            row = rows[costs[f"A{at}"].value, costs[f"B{at}"].value]
            assert computed.cell(f"F{at}") == pytest.approx(row["usd_per_hour"])
            assert computed.cell(f"G{at}") == pytest.approx(row["usd_per_month"])
            assert computed.cell(f"H{at}") == pytest.approx(row["usd_per_million_tokens"])
            assert computed.cell(f"I{at}") == row["rank"]
    costs[f"B{labels['price of h800']}"].value = None
    assert {_Sheet(costs).cell(f"H{at}") for at in range(first, costs.max_row + 1)} == {""}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_runs(text: str) -> None:
    """Neither in the workbook nor in csv: an apostrophe stands before it, in cells and in headers."""
    answer = _made([{"id": text, text: "x"}], summary={"answer": text, text: 1}, notes=[text])
    answer = dataclasses.replace(answer, inputs={"name": text, "values": {"k": {"value": 1, "note": text}}})
    book = _read(as_xlsx(answer))
    for sheet in book:
        for cell in (cell for row in sheet.iter_rows() for cell in row):
            assert cell.data_type != "f"
            assert not isinstance(cell.value, str) or cell.value[:1] not in workbook.FORMULA
    assert book["results"]["A2"].value == f"'{text}".replace("\r", "\n")
    for row in csv.reader(io.StringIO(as_csv(answer), newline="")):
        assert all(cell[:1] not in workbook.FORMULA for cell in row if cell)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_are_kept(text: str) -> None:
    """Nor does a text become a number, a date or an error."""
    answer = _made([{"id": text, "n": -1.5}])
    cell = _read(as_xlsx(answer))["results"]["A2"]
    assert cell.value in ({text or None} | {text.replace("\x07", "\ufffd")})
    assert cell.data_type == ("s" if text else "inlineStr")
    rows = list(csv.reader(io.StringIO(as_csv(answer))))
    assert rows[1] == [text, "-1.5"]


def test_a_carriage_return_starts_no_cell() -> None:
    """What follows one in the middle of a text would be a row of its own where nothing quotes it."""
    text = as_csv(_made([{"id": "a\r=1+1\r\n=2"}]))
    assert "\r" not in text
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [["a\n=1+1\n=2"]]


def test_negative_numbers_are_no_formulas() -> None:
    answer = _made([{"change": -0.25, "count": -3}])
    assert [cell.value for cell in _read(as_xlsx(answer))["results"][2]] == [-0.25, -3]
    assert as_csv(answer) == "change,count\n-0.25,-3\n"
    assert plain_text("-0.25") == "'-0.25"


def test_long_texts_and_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = _made([{"id": "x" * 40_000}])
    cell = _read(as_xlsx(answer))["results"]["A2"]
    assert len(cell.value) == workbook.LONGEST_TEXT
    monkeypatch.setattr(workbook, "MOST_ROWS", 5)
    with pytest.raises(InputError, match=r"5 rows of .* columns are more than a sheet"):
        as_xlsx(ANSWER)
    monkeypatch.setattr(workbook, "MOST_ROWS", 100)
    monkeypatch.setattr(workbook, "MOST_CELLS", 50)
    with pytest.raises(
        InputError, match=r"more than the 50 cells that a workbook is written with: write \.csv"
    ):
        as_xlsx(ANSWER)


def test_an_answer_without_rows() -> None:
    book = _read(as_xlsx(Answer(command="test", inputs={}, columns={"id": np.zeros(0, dtype=object)})))
    assert [cell.value for cell in book["results"][1]] == ["id"]


# --- on the command line ------------------------------------------------------------------------------------


ROOFLINE = ("roofline", "--system", "h800", "--model", "deepseek-v3")
PART = """
schema = 1
record = "accelerator"
id = "mine"
name = {name}
vendor = "@vendor"
status = "announced"
device_unit = "chip"
fp8_tflops = {{ value = 2000, kind = "estimated", source = "plan", note = "-note" }}
memory_gb = {{ value = 100, kind = "datasheet", source = "plan" }}
memory_gb_per_s = {{ value = 5000, kind = "datasheet", source = "plan" }}

[sources.plan]
title = "+plan"
date = "2026-01"
"""


def test_every_kind_of_command_writes_one(tmp_path: Path) -> None:
    for number, arguments in enumerate(
        (
            ROOFLINE,
            ("compare", *ROOFLINE[1:], "--max-devices", "64"),
            ("hardware", "list"),
            ("hardware", "show", "h800"),
            ("models", "list"),
            ("imbalance", "--attention-nodes", "3", "--ffn-nodes", "1", "--sigma", ".9"),
        )
    ):
        path = tmp_path / f"{number}.xlsx"
        outcome = command(*arguments, "--output", str(path))
        assert (outcome.status, outcome.out, outcome.err) == (0, "", f"wrote {str(path)!r}\n")
        rows = list(_read(path.read_bytes())["results"].iter_rows(values_only=True))
        plain = list(csv.reader(io.StringIO(command(*arguments, "--format", "csv", "--all-columns").out)))
        told = list(_read(path.read_bytes())["keys"].iter_rows(min_row=2, values_only=True))
        assert [title for title, _ in told] == list(rows[0])
        assert set(plain[0]) <= {part for _, key in told for part in (key, key.partition(".")[0])}
        assert len(rows) == len(plain)


@pytest.mark.parametrize("name", [text for text in HOSTILE if text.isprintable()])
def test_hostile_names_of_a_catalogue(name: str, tmp_path: Path) -> None:
    """A part that someone sent us: its name, vendor, sources and notes reach no formula."""
    import json

    (tmp_path / "mine.toml").write_text(PART.format(name=json.dumps(name)), "utf-8")
    Catalogue([tmp_path / "mine.toml"])  # it is a valid record
    question = ("hardware", "show", "mine", "--hardware-db", str(tmp_path / "mine.toml"))
    assert command(*question, "--output", str(tmp_path / "x.xlsx")).status == 0
    book = _read((tmp_path / "x.xlsx").read_bytes())
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    piped = command(*question, "--format", "csv").out
    texts = [cell for row in csv.reader(io.StringIO(piped, newline="")) for cell in row]
    for text in (*(cell.value for cell in cells if isinstance(cell.value, str)), *texts):
        assert text[:1] not in workbook.FORMULA or not text
    assert not any(cell.data_type == "f" for cell in cells)
    assert "'@vendor" in texts
    assert "'-note" in texts


def test_format_and_file_agree(tmp_path: Path) -> None:
    path = tmp_path / "answer.xlsx"
    assert choose_format("xlsx", path, terminal=True) == "xlsx"
    assert choose_format(None, path.with_suffix(".XLSX"), terminal=False) == "xlsx"
    assert choose_format("xlsx", Path("answer.bin"), terminal=False) == "xlsx"
    refused = command(*ROOFLINE, "--format", "xlsx")
    assert (refused.status, refused.complaint) == (2, "--format xlsx goes to a file: --output FILE.xlsx")
    assert "disagree" in command(*ROOFLINE, "--format", "csv", "--output", str(path)).complaint
    assert command(*ROOFLINE, "--output", str(path)).status == 0
    assert (
        command(*ROOFLINE, "--output", str(path)).complaint
        == f"--output {str(path)!r} exists; --force replaces it"
    )
    assert command(*ROOFLINE, "--output", str(path), "--force").status == 0


def test_the_environment_names_no_workbook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOFLINE_AFD_FORMAT", "xlsx")
    assert "ROOFLINE_AFD_FORMAT 'xlsx' is not valid" in command(*ROOFLINE).complaint


def test_workbooks_need_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in one line before any work; everything else goes on without it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "openpyxl" else find(name, package),
    )
    path = tmp_path / "answer.xlsx"
    refused = command(*ROOFLINE, "--output", str(path))
    assert refused.status == 2
    assert refused.complaint == (
        f"--output {str(path)!r}: xlsx needs openpyxl: pip install 'roofline-afd[xlsx]', or write .csv"
    )
    assert command(*ROOFLINE, "--output", str(tmp_path / "answer.csv")).status == 0
