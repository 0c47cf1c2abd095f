"""`sensitivity` and `plot tornado` as users meet them: answers, formats, refusals."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.purchase.uncertainty import SPREADS, uncertain_inputs
from roofline_afd.api import sensitivity
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

BASE = ("--system", "h800", "--model", "deepseek-v3", "--max-devices", "48", *ONE_PLAN_OPTIONS)
FREE = ("context", "scale_out_gb_per_s", "memory_gb_per_s", "gap_ms")
GIVEN = {"context": "25%", "scale-out-gb-per-s": "40:50"} | {
    item.key: "0%"
    for item in uncertain_inputs(Scenario(system="h800", model="deepseek-v3", max_devices=48, **ONE_PLAN))[0]
    if item.key not in FREE
}
"""Few uncertain inputs, so that an answer is quick."""
RANGES = [word for key, text in GIVEN.items() for word in ("--uncertainty", f"{key}={text}")]
SENSITIVITY = ("sensitivity", *BASE, "--samples", "20", *RANGES)


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    return ask(*SENSITIVITY)


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_answer(answer: dict[str, Any]) -> None:
    """The fixed keys, finite numbers, ranges as given, and a sentence that says what matters."""
    assert answer["command"] == "sensitivity"
    fixed = {"input", "low", "high", "metric_low", "metric_high", "swing", "changes_winner"}
    more = {"value", "unit", "kind", "uncertainty", "winner_low", "winner_high", "break_even", "elasticity"}
    rows = {row["input"]: row for row in answer["results"]}
    assert all(set(row) >= fixed | more for row in rows.values())
    assert all(math.isfinite(number) for number in _numbers(answer))
    assert (rows["context"]["low"], rows["context"]["high"]) == (3072, 5120)
    assert (rows["scale_out_gb_per_s"]["low"], rows["scale_out_gb_per_s"]["high"]) == (40, 50)
    assert rows["context"]["uncertainty"] == "25%, as given"
    summary = answer["summary"]
    assert set(summary) >= {"winner", "probability_afd_wins", "intervals", "answer", "nearest_break_even"}
    assert summary["samples"] == 20
    assert summary["matters_most"][0] in summary["answer"]
    assert any(note.startswith("uncertainties given: context 25%, scale-out") for note in answer["notes"])
    assert any("datasheet 2 %, measured 5 %" in note for note in answer["notes"])


def test_formats_agree(answer: dict[str, Any]) -> None:
    """CSV has the keys and the numbers of JSON; the Python table too; a table shows what moves."""
    rows = answer["results"]
    table = list(csv.DictReader(io.StringIO(command(*SENSITIVITY, "--format", "csv", "--all-columns").out)))
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert [float(row["swing"]) for row in table] == [row["swing"] for row in rows]
    frame = sensitivity(
        Scenario(system="h800", model="deepseek-v3", max_devices=48, **ONE_PLAN),
        samples=20,
        uncertainty=GIVEN,
    )
    assert frame["metric_low"].tolist() == [row["metric_low"] for row in rows]
    assert frame.attrs["summary"] == answer["summary"]
    shown = command(*SENSITIVITY, "--format", "table").out
    assert rows[0]["input"] in shown
    assert rows[-1]["swing"] > 0 or rows[-1]["input"] not in shown
    assert "metric at low" in shown


def test_pairs_are_rows() -> None:
    found = ask(*SENSITIVITY, "--samples", "0", "--pairs", "2")["results"]
    pair = [row for row in found if row["other_input"]]
    assert len(pair) == 1
    assert {pair[0]["input"], pair[0]["other_input"]} == {found[0]["input"], found[1]["input"]}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--uncertainty", "contxt=10%"), 2, "'contxt' is no uncertain input; did you mean 'context'?"),
        (("--uncertainty", "context"), 2, "--uncertainty 'context' is not KEY=VALUE"),
        (("--uncertainty", "context=5"), 2, "--uncertainty context: '5' is no range: write 10% or low:high"),
        (("--metric", "epp"), 2, "--metric 'epp' is not valid; did you mean 'ep'"),
        (("--samples", "3"), 2, "--samples 3 must be a whole number from 20"),
        (("--pairs", "x"), 2, "'x' is not a whole number"),
        (("--tpot-ms", "2"), 1, "no: EP: binding is latency target"),
    ],
)
def test_refusals(arguments: tuple[str, ...], status: int, says: str) -> None:
    for name in (("sensitivity",), ("plot", "tornado")):
        if name[0] == "plot" and "--pairs" in arguments:
            continue
        outcome = command(*name, *BASE, *arguments)
        assert outcome.status == status
        assert says in outcome.complaint
        assert not outcome.out


def test_help_names_the_defaults() -> None:
    """Those of the one table there is."""
    text = " ".join(command("sensitivity", "--help").out.split())
    assert "2 % for datasheet values, 5 % measured or set by --set" in text
    numbers = {f"{spread.amount * 100:g} %" for spread in SPREADS.values() if spread.relative}
    assert all(number in text for number in numbers)
    for part in ("context 20 %", "gap 1 ms", "30 % estimated", "--uncertainty KEY=RANGE", "[100]"):
        assert part in text


def test_the_tornado_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "tornado.json"
    outcome = command("plot", "tornado", *SENSITIVITY[1:], "--output", str(file))
    assert outcome.status == 0, outcome.err
    assert json.loads(file.read_text("utf-8"))["$schema"].startswith(
        "https://vega.github.io/schema/vega-lite"
    )
