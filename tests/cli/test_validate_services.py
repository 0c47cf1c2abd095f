"""`validate` without `--operators`: shipped and own services, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.evidence.services.given import GROUPS, ROW, SHIPPED, told, written
from tests.conftest import ask, command

pytestmark = pytest.mark.usefixtures("answered_once")


def test_shipped_services_are_validated_by_default() -> None:
    answer = ask("validate")
    assert answer["command"] == "validate"
    assert answer["inputs"] == {
        "services": ["hardware_db/measurements/systems.csv", "hardware_db/measurements/systems_2.csv"],
        "serving_points": ["hardware_db/measurements/serving_points.csv"],
    }
    assert [row["id"] for row in answer["results"]] == [row["id"] for row in told()]
    for row in answer["results"]:
        assert set(row) >= {"id", "measured", "predicted", "error", "why", "fits_memory"}
        assert set(row) >= {"timing", "basis", "engine", "placement"}
    assert set(answer["summary"]) >= {
        "n",
        "median_abs_error",
        "p90_abs_error",
        "max_abs_error",
        "skipped",
        "median_abs_error_by_mode",
        "median_abs_error_by_source",
        "calibration_rows",
        "counted",
        "counted_rows",
        "like_for_like",
        "device_basis",
        "by_basis",
        "lower_bounds",
        "sign_test",
        "ratio_test",
    }
    assert answer["summary"]["answer"].startswith(
        f"{answer['summary']['n']} published services predicted (tokens/s per device)"
    )


@pytest.mark.parametrize("form", ["table", "csv", "markdown"])
def test_every_format_shows_the_rows(form: str) -> None:
    outcome = command("validate", "--format", form)
    assert outcome.status == 0, outcome.err
    assert "afd-xds-768" in outcome.out
    assert "[us]" not in outcome.out


def test_own_rows_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    answer = ask("validate", str(written(tmp_path, ROW, ROW | GROUPS | {"id": "groups"})))
    assert [row["id"] for row in answer["results"]] == ["mine", "groups"]
    assert answer["summary"]["n"] == 2
    again = ask("validate", *map(str, SHIPPED))
    assert [row["id"] for row in again["results"]] == [row["id"] for row in told()]


def test_errors_however_large_are_an_answer(tmp_path: Path) -> None:
    outcome = command("validate", str(written(tmp_path, ROW | {"tokens_per_s_per_device": "1e9"})))
    assert outcome.status == 0


HEADER = ",".join(ROW)
GOOD = ",".join(ROW.values())
BAD = {
    "empty": ([""], "is empty"),
    "no rows": ([HEADER], "holds no rows"),
    "no column": (["id,mode", "a,ep"], "lacks the column system, model, n_devices"),
    "too many cells": ([HEADER, GOOD + ",7"], "row 2: more cells than the header has columns"),
    "open quote": ([HEADER, 'a,"ep'], "is no CSV"),
    "bad number": (
        [HEADER, GOOD, GOOD.replace("mine", "b").replace("4096", "x")],
        "row 3: context_tokens 'x'",
    ),
    "escape codes": ([HEADER, GOOD.replace("h800", "\x1b[31mred")], r"unknown system '\x1b[31mred'"),
    "operators": (["id,operator,system,latency_us", "a,gemm,h800,3"], "lacks the column mode, model"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_line(name: str, tmp_path: Path) -> None:
    lines, message = BAD[name]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = command("validate", str(path))
    assert outcome.status == 2
    assert message in outcome.complaint
    assert "rows.csv" in outcome.complaint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (tmp_path / "none.csv", "cannot be read"),
        (tmp_path, "is no regular file"),
        (binary, "is not UTF-8"),
    ):
        outcome = command("validate", str(path))
        assert outcome.status == 2
        assert message in outcome.complaint
