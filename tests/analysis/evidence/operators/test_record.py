"""Records of calibrations: an overlay that keeps what it did not measure, whatever sources are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.families import family_of, form_of
from roofline_afd.analysis.evidence.operators.fit import ROWS_PER_PARAMETER, groups_of
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.validate import validate_operators
from roofline_afd.catalogue.calibration import OPERATOR_TABLES, load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from tests.analysis.evidence.operators.times import (
    CATALOGUE,
    DATE,
    published,
    record,
    rows_to_calibrate,
    synthetic,
)
from tests.conftest import ROOT


def test_written_records_are_an_overlay(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, _ = calibrate(rows, catalogue=CATALOGUE)
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "mi300x.toml").write_text(written["mi300x"], encoding="utf-8")
    overlaid = Catalogue([folder])
    fitted = load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
    gemm = fitted.of("gemm", "fp8")
    assert gemm.kind == gemm.memory_kind == gemm.evidence == "measured"
    assert gemm.compute_efficiency == pytest.approx(0.6, rel=2e-3)
    assert fitted.of("grouped_gemm", "fp8").kind == "estimated"
    errors = validate_operators(rows, catalogue=overlaid).summary
    assert errors["max_abs_error"] < 2e-3
    assert validate_operators(rows, catalogue=CATALOGUE).summary["median_abs_error"] > 0.02


def test_a_second_calibration_keeps_what_it_did_not_measure(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv", system="h800")], catalogue=CATALOGUE)
    written, _ = calibrate(rows, catalogue=CATALOGUE)
    assert list(written) == ["h800"]
    assert "replaces = true" in written["h800"]
    mine, shipped = record("h800", written["h800"]), CATALOGUE.record("calibration", "h800")
    assert mine.quantities["gemm.compute_efficiency"].value == pytest.approx(0.6, rel=2e-3)
    for key, value in shipped.quantities.items():
        if not key.startswith("gemm."):
            assert (mine.quantities[key].value, mine.quantities[key].kind) == (value.value, value.kind)
    assert mine.data["accelerators"] == ["h800"]


@pytest.mark.parametrize(
    "source",
    [
        "",
        'a "quoted" \\ path',
        "tab\tand\x7fbell\x07",
        "\U0001f600 ü <b>",
        "https://example.com/a(b)",
        "x" * 3000,
    ],
)
def test_any_source_text_makes_a_valid_record(source: str, tmp_path: Path) -> None:
    path = synthetic(tmp_path / "a.csv")
    quoted = '"' + source.replace('"', '""') + '"'
    path.write_text(path.read_text("utf-8").replace("our bench", quoted), encoding="utf-8")
    written, _ = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    made = record("mi300x", written["mi300x"])
    assert made.quantities["gemm.compute_efficiency"].sources[0].title


def test_shipped_records_are_what_the_command_makes() -> None:
    """To the byte, but for the day of the fit: every table of kernels from both sets of rows, links from one.

    Records whose rows are no part of these sets (whole kernels, changes of format) have tests of their own.
    """
    written, _ = published()
    folder = ROOT / "hardware_db" / "calibration"
    for name, text in written.items():
        shipped = (folder / f"{name}.toml").read_text("utf-8")
        fitted = f'fitted = "{CATALOGUE.record("calibration", name).data["fitted"]}"'
        assert text == shipped.replace(fitted, f'fitted = "{DATE}"', 1), name


def test_every_measured_table_of_kernels_is_made_anew() -> None:
    """No table that says it has points is left out: it was fitted to rows that stand beside a checkout."""
    written, _ = published()
    for name in CATALOGUE.ids("calibration"):
        held = CATALOGUE.record("calibration", name).data
        points = {table for table in (*OPERATOR_TABLES, "link") if "points" in held.get(table, {})}
        made = record(name, written[name]).data if name in written else {}
        assert points == {table for table in points if made.get(table, {}).get("points")}, name


def test_tables_say_which_rows_they_rest_on() -> None:
    """Library, parts and formats of a table are those of the rows that were fitted."""
    groups, _ = groups_of(rows_to_calibrate(), catalogue=CATALOGUE)
    seen = set()
    for group in groups:
        if group.table == "link":
            continue
        held = CATALOGUE.record("calibration", group.record).data[group.table]
        if "points" not in held:  # too few rows to fit: what it states is derived, and says from what
            values = [each for each in held.values() if isinstance(each, dict)]
            assert len(group.rows) < ROWS_PER_PARAMETER
            assert {each["kind"] for each in values} == {"derived"}
            assert all(each["note"] for each in values)
            continue
        assert (group.record, group.table) not in seen
        seen.add((group.record, group.table))
        assert held["points"] == len(group.rows)
        assert set(held["measured_on"]) == {row.system.accelerator.id for row in group.rows}
        assert set(held.get("formats", ())) == {form_of(row) for row in group.rows} - {""}
        assert {family_of(row) for row in group.rows} == {held.get("family", "")}
    assert len(seen) >= 30
