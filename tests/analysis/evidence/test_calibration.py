"""Calibration: known parameters come back, published rows are met, shipped records are what the fit gives."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.evidence.calibration import calibrate
from roofline_afd.analysis.evidence.measurements import read_measurements
from roofline_afd.analysis.evidence.validation import validate_operators
from roofline_afd.catalogue.calibration import (
    OPERATOR_TABLES,
    OperatorEfficiency,
    load_calibration,
)
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.physics.operators import gemm_bytes, gemm_flops, operator_time
from tests.conftest import SHARED, require

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Record

OPERATORS = SHARED / "data" / "measurements" / "operators.csv"
CATALOGUE = Catalogue()
TRUTH = {
    "launch_us": 4.0,
    "depth_ns": 0.9,
    "compute_efficiency": 0.6,
    "half_saturation_tokens": 120.0,
    "memory_efficiency": 0.75,
}


@functools.cache
def published() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return what the command makes of the published rows: records, and errors by series."""
    require(present=OPERATORS.is_file(), what="the file of published operator times")
    written, answer = calibrate(
        read_measurements([OPERATORS], catalogue=CATALOGUE),
        catalogue=CATALOGUE,
        date="2026-01-01",
        shipped=True,
    )
    return written, answer.rows()


def record(name: str, text: str) -> Record:
    return parse_record(text.encode(), file=f"{name}.toml")


def synthetic(path: Path, *, system: str = "mi300x") -> Path:
    """Write products whose times are exactly those of known parameters."""
    accelerator = load_system(system, catalogue=CATALOGUE).accelerator
    lines = ["id,operator,system,precision,m,n,k,latency_us,source"]
    for m in (1, 16, 64, 256, 1024, 4096):
        for n, k in ((1024, 7168), (4096, 7168), (7168, 2048), (512, 16384)):
            time = operator_time(
                flops=gemm_flops(m=m, n=n, k=k),
                bytes_moved=gemm_bytes(m=m, n=n, k=k, input_bytes=1, weight_bytes=1, output_bytes=2),
                tokens=m,
                depth=k,
                peak=accelerator.peak_flop_per_s["fp8"],
                memory_bandwidth=accelerator.memory_bytes_per_s,
                compute_efficiency=TRUTH["compute_efficiency"],
                half_saturation_tokens=TRUTH["half_saturation_tokens"],
                memory_efficiency=TRUTH["memory_efficiency"],
                launch=TRUTH["launch_us"] * 1e-6,
                depth_time=TRUTH["depth_ns"] * 1e-9,
            )
            lines.append(f"s{len(lines)},gemm,{system},fp8,{m},{n},{k},{float(time) * 1e6!r},our bench")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------ known parameters


def test_known_parameters_come_back(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, answer = calibrate(rows, catalogue=CATALOGUE, date="2026-01-01")
    values = record("mi300x", written["mi300x"]).quantities
    for key, value in TRUTH.items():
        assert values[f"gemm.{key}"].value == pytest.approx(value, rel=2e-3), key
        assert values[f"gemm.{key}"].kind == "measured"
        assert values[f"gemm.{key}"].source == "our bench, 2026-01-01"
    (row,) = answer.rows()
    assert row["points"] == 24
    assert row["held_out_error"] < 1e-3


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


def test_what_rows_do_not_fix_is_estimated(tmp_path: Path) -> None:
    head = "id,operator,system,precision,m,n,k,n_devices,tokens,hidden,top_k,latency_us,source\n"
    small = [f"a{m},gemm,mi300x,fp8,{m},4096,4096,,,,,{20 + m / 100},bench" for m in (1, 2, 3, 4)]
    links = [f"b{t},dispatch,mi300x,fp8,,,,8,{t},7168,8,{10 + t / 4},bench" for t in (32, 64, 128, 256)]
    path = tmp_path / "a.csv"
    path.write_text(head + "\n".join(small + links) + "\n", encoding="utf-8")
    written, answer = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    gemm = record("mi300x", written["mi300x"]).quantities
    assert {value.kind for value in gemm.values()} == {"estimated"}
    assert "4 rows" in gemm["gemm.launch_us"].note
    fabric = load_system("mi300x", catalogue=CATALOGUE).scale_up.id
    link = record(fabric, written[fabric]).quantities
    assert {key: value.kind for key, value in link.items()} == {
        "link.latency_up_us": "measured",
        "link.efficiency_up": "measured",
    }
    assert any("latency_out_us" in note for note in answer.notes)


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


def test_nothing_to_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,operator,system,precision,m,n,k,latency_us\na,gemm,h800,fp8,1,2,3,4\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="1 rows are too few"):
        calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)


# -------------------------------------------------------------------------------------------- published rows

TARGETS = {
    ("gemm", "h20"): 0.12,
    ("gemm", "h800"): 0.12,
    ("grouped_gemm", "h800"): 0.08,
    ("attention", "h800"): 0.08,
    ("attention", "h20"): 0.13,
    ("link", "nvlink4"): 0.08,
    ("link", "nvlink5"): 0.15,
}
"""Table and record to the largest held-out median error that is good enough."""


@pytest.mark.parametrize(("table", "name"), TARGETS)
def test_held_out_errors_meet_their_targets(table: str, name: str) -> None:
    written, _ = published()
    assert record(name, written[name]).data[table]["held_out_error"] <= TARGETS[table, name]


def test_both_series_of_products_on_the_h800_are_reported() -> None:
    _, rows = published()
    series = [row for row in rows if (row["operator"], row["system"]) == ("gemm", "h800")]
    assert [row["points"] for row in series] == [43, 7]
    assert all(row["held_out_error"] <= 0.12 for row in series)


def test_whole_attention_layers_are_predicted_within_a_fifth() -> None:
    require(present=OPERATORS.is_file(), what="the file of published operator times")
    rows = read_measurements([OPERATORS], catalogue=CATALOGUE)
    answer = validate_operators(rows, catalogue=CATALOGUE)
    assert answer.summary["n"] == len(rows) == 284
    assert answer.summary["skipped"] == 0
    assert answer.summary["median_abs_error_by_operator"]["attention_layer"] <= 0.20
    layers = [row for row in answer.rows() if row["operator"] == "attention_layer"]
    assert max(abs(row["error"]) for row in layers) <= 0.30


def test_cloudmatrix_is_a_prior() -> None:
    link = load_calibration(load_system("cloudmatrix384")).link
    assert link.kind == link.kind_out == "estimated"


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


def test_shipped_records_carry_no_rows() -> None:
    """The records hold parameters and their sources, never the data they were fitted to."""
    for shipped in CATALOGUE.records("calibration"):
        assert not {"rows", "measurements", "latency_us"} & set(json.dumps(shipped.data).split('"'))


# --------------------------------------------------------------------------------------------------- loading


def test_every_system_has_efficiencies_with_a_kind() -> None:
    for name in CATALOGUE.ids("system"):
        try:
            system = load_system(name, catalogue=CATALOGUE)
        except InputError:
            continue
        found = load_calibration(system, catalogue=CATALOGUE)
        assert all(kind in {"measured", "estimated"} for kind in found.kinds.values())
        for table in OPERATOR_TABLES:
            efficiency: OperatorEfficiency = getattr(found, table)
            assert 0 < efficiency.compute_efficiency <= 1
            assert efficiency.source


def test_measured_alike_and_default_parts() -> None:
    def kinds(name: str) -> dict[str, str]:
        return load_calibration(load_system(name, catalogue=CATALOGUE), catalogue=CATALOGUE).kinds

    assert set(kinds("h800").values()) == {"measured"}
    assert kinds("h200")["gemm"] == "estimated"
    assert set(kinds("mi300x").values()) == {"estimated"}
    h800, h200 = (load_calibration(load_system(name)) for name in ("h800", "h200"))
    assert h800.gemm.compute_efficiency == h200.gemm.compute_efficiency
    assert load_calibration(load_system("h800-roce-400")).link.kind_out == "estimated"


def test_memory_share_of_latent_attention_stays_an_estimate() -> None:
    attention = load_calibration(load_system("h800")).attention
    assert (attention.kind, attention.memory_kind) == ("measured", "estimated")


def test_class_defaults_are_medians_of_what_was_measured() -> None:
    measured = [other for other in CATALOGUE.records("calibration") if other.id != "default"]
    for key, value in CATALOGUE.record("calibration", "default").quantities.items():
        assert value.kind == "estimated"
        assert value.note
        found = [
            other.quantities[key].value
            for other in measured
            if key in other.quantities and other.quantities[key].kind == "measured"
        ]
        if found:
            assert value.value == pytest.approx(float(np.median(found)), rel=0.05, abs=1e-9), key


def test_two_records_of_one_part_are_refused(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, _ = calibrate(rows, catalogue=CATALOGUE)
    for name in ("mi300x", "other"):
        (tmp_path / f"{name}.toml").write_text(
            written["mi300x"].replace('id = "mi300x"', f'id = "{name}"'), encoding="utf-8"
        )
    overlaid = Catalogue([tmp_path])
    with pytest.raises(InputError, match=r"both calibrate \[gemm\] of mi300x"):
        load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
