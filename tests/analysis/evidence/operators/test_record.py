"""Records of calibrations: an overlay that keeps what it did not measure, whatever sources are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.validate import validate_operators
from roofline_afd.catalogue.calibration import OPERATOR_TABLES, load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from tests.analysis.evidence.operators.times import CATALOGUE, published, record, synthetic


def test_written_records_are_an_overlay(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, _ = calibrate(rows, catalogue=CATALOGUE)
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "mi300x.toml").write_text(written["mi300x"], encoding="utf-8")
    overlaid = Catalogue([folder])
    fitted = load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
    assert fitted.gemm.kind == fitted.gemm.memory_kind == "measured"
    assert fitted.gemm.compute_efficiency == pytest.approx(0.6, rel=2e-3)
    assert fitted.grouped_gemm.kind == "estimated"
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
    written, _ = published()
    for name, text in written.items():
        made, shipped = record(name, text), CATALOGUE.record("calibration", name)
        assert set(made.quantities) == set(shipped.quantities)
        for key, value in made.quantities.items():
            assert value.value == pytest.approx(shipped.quantities[key].value, rel=1e-3, abs=1e-9), key
            assert value.kind == shipped.quantities[key].kind
        assert made.data["name"] == shipped.data["name"]
        for table in (*OPERATOR_TABLES, "link"):
            for key in ("note", "points"):
                assert made.data.get(table, {}).get(key) == shipped.data.get(table, {}).get(key)
