"""Calibration: known parameters come back, and published rows are met."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from tests.analysis.evidence.operators.times import CATALOGUE, TRUTH, published, record, synthetic


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


def test_nothing_to_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,operator,system,precision,m,n,k,latency_us\na,gemm,h800,fp8,1,2,3,4\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="1 rows are too few"):
        calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)


def test_rows_of_other_use_change_nothing(tmp_path: Path) -> None:
    """Rows to check lie a hundred times too high here: a fit that took them would show it."""
    path = synthetic(tmp_path / "a.csv")
    head, *lines = path.read_text("utf-8").splitlines()
    uses = [f"{line},fit" for line in lines]
    uses += [f"{line},check: cache-warm" for line in _slower(lines)]
    uses += [f"{line},exclude: above peak" for line in _slower(lines)]
    path.write_text("\n".join([f"{head},use", *uses]) + "\n", encoding="utf-8")
    written, answer = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    values = record("mi300x", written["mi300x"]).quantities
    for key, value in TRUTH.items():
        assert values[f"gemm.{key}"].value == pytest.approx(value, rel=2e-3), key
    assert answer.summary["points"] == len(lines)
    assert [note for note in answer.notes if note.startswith("not fitted")] == [
        f"not fitted: '{path}', row {2 + times * len(lines)}: {why}; so {len(lines) - 1} more rows"
        for times, why in ((1, "check: cache-warm"), (2, "exclude: above peak"))
    ]


def _slower(lines: list[str]) -> list[str]:
    cells = [line.split(",") for line in lines]
    return [",".join([*each[:-2], str(100 * float(each[-2])), each[-1]]) for each in cells]


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
