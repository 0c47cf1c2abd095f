"""`calibrate` and `validate --operators` as users meet them, bad files included."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.evidence.operators.times import synthetic
from tests.conftest import ask, command

HEADER = "id,operator,system,precision,m,n,k,latency_us"
CORE = "id,operator,system,precision,kv_precision,batch,context_tokens"
HEADS = "query_heads,kv_heads,head_dim"
GOOD = "a,gemm,h800,fp8,64,4096,7168,13.1"


def _file(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "times.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_calibrate_writes_an_overlay_and_never_clobbers(tmp_path: Path) -> None:
    times, folder = str(synthetic(tmp_path / "a.csv")), tmp_path / "made" / "db"
    first = command("calibrate", times, "--output", str(folder), "--format", "table")
    assert first.status == 0, first.err
    assert "held-out error" in first.out
    assert [path.name for path in folder.iterdir()] == ["mi300x.toml"]
    before = (folder / "mi300x.toml").read_bytes()
    again = command("calibrate", times, "--output", str(folder))
    assert again.status == 2
    assert "--force replaces it" in again.err
    assert command("calibrate", times, "--output", str(folder), "--force").status == 0
    assert (folder / "mi300x.toml").read_bytes() == before
    summary = ask("validate", "--operators", times, "--hardware-db", str(folder))["summary"]
    assert summary["n"] == 24
    assert summary["max_abs_error"] < 2e-3
    checked = ask("hardware", "validate", "--hardware-db", str(folder))["summary"]
    assert checked["faulty"] == 0
    shown = ask("hardware", "show", "mi300x", "--kind", "calibration", "--hardware-db", str(folder))
    assert shown["results"][0]["gemm.compute_efficiency"] == pytest.approx(0.6, rel=2e-3)


def test_calibrate_prints_only_where_no_folder_is_given(tmp_path: Path) -> None:
    answer = ask("calibrate", str(synthetic(tmp_path / "a.csv")))
    assert answer["command"] == "calibrate"
    assert set(answer["results"][0]) >= {
        "operator",
        "system",
        "points",
        "parameters",
        "training_error",
        "held_out_error",
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "a.csv"]


def test_calibrate_refuses_a_file_for_a_folder(tmp_path: Path) -> None:
    times = str(synthetic(tmp_path / "a.csv"))
    assert "is no folder" in command("calibrate", times, "--output", times).complaint


def test_validate_reports_signed_errors_and_skips_with_a_reason(tmp_path: Path) -> None:
    file = _file(tmp_path, HEADER, GOOD, "b,gemm,h800,fp8,64,4096,,13.1", "c,gemm,h800,fp8,64,4096,7168,")
    answer = ask("validate", "--operators", file)
    first, second, third = answer["results"]
    assert first["error"] == pytest.approx(first["predicted"] / first["measured"] - 1)
    assert first["measured"] == 13.1
    assert first["kind"] == "measured"
    assert second["error"] is second["predicted"] is None
    assert second["why"] == "the row lacks k"
    assert third["why"] == "the row lacks latency_us or tflops or gb_per_s"
    assert (answer["summary"]["n"], answer["summary"]["skipped"]) == (1, 2)
    assert set(answer["summary"]) >= {"median_abs_error", "p90_abs_error", "max_abs_error"}
    assert answer["summary"]["median_abs_error_by_system"].keys() == {"h800"}


def test_rates_imply_times(tmp_path: Path) -> None:
    header = HEADER.replace("latency_us", "tflops,gb_per_s")
    file = _file(tmp_path, header, "a,gemm,h800,fp8,64,4096,7168,287,", "b,gemm,h800,fp8,64,4096,7168,,2320")
    first, second = ask("validate", "--operators", file)["results"]
    assert first["measured"] == pytest.approx(2 * 64 * 4096 * 7168 / 287e6)
    assert second["measured"] == pytest.approx((64 * 7168 + 4096 * 7168 + 2 * 64 * 4096) / 2320e3)


BAD = {
    "empty": ([""], "is empty"),
    "no rows": ([HEADER], "holds no rows"),
    "no measurement": (
        ["id,operator,system,precision,m,n,k", "a,gemm,h800,fp8,1,2,3"],
        "lacks a measurement",
    ),
    "no system column": (["id,operator,latency_us", "a,gemm,3"], "lacks the column system"),
    "no size column": (
        ["id,operator,system,precision,m,n,latency_us", "a,gemm,h800,fp8,1,2,3"],
        "row 2: the file lacks the column k, needed for gemm",
    ),
    "text for a number": ([HEADER, GOOD, GOOD.replace("4096", "many")], "row 3: n 'many' is not a number"),
    "not finite": ([HEADER, GOOD.replace("13.1", "nan")], "row 2: latency_us 'nan' is not a number"),
    "negative": ([HEADER, GOOD.replace("13.1", "-2")], "row 2: latency_us '-2' must be above 0"),
    "zero": ([HEADER, GOOD.replace("64", "0")], "row 2: m '0' must be above 0"),
    "broken count": ([HEADER, GOOD.replace("64", "6.5")], "row 2: m '6.5' is not a whole number"),
    "unknown operator": (
        [HEADER, GOOD.replace("gemm", "gemn")],
        "row 2: operator 'gemn' is not known; did you mean 'gemm'?",
    ),
    "unknown use": (
        [HEADER + ",use", GOOD + ",maybe: later"],
        "row 2: use 'maybe: later' starts with none of fit, check, exclude",
    ),
    "text for heads": (
        [f"{CORE},{HEADS},latency_us", "a,gqa_decode,h800,bf16,bf16,32,4096,many,4,128,40"],
        "row 2: query_heads 'many' is not a number",
    ),
    "broken heads": (
        [f"{CORE},{HEADS},latency_us", "a,gqa_decode,h800,bf16,bf16,32,4096,64,4.5,128,40"],
        "row 2: kv_heads '4.5' is not a whole number",
    ),
    "no heads column": (
        [f"{CORE},latency_us", "a,gqa_decode,h800,bf16,bf16,32,4096,40"],
        "row 2: the file lacks the column query_heads, kv_heads, head_dim, needed for gqa_decode",
    ),
    "no bytes": (
        ["id,operator,system,n_devices,message_bytes,latency_us", "a,allreduce,h800,8,0,40"],
        "row 2: message_bytes '0' must be above 0",
    ),
    "no id": ([HEADER, GOOD.removeprefix("a")], "row 2: id is empty"),
    "too many cells": ([HEADER, GOOD + ",7"], "row 2: more cells than the header has columns"),
    "open quote": ([HEADER, 'a,"gemm'], "is no CSV"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("arguments", [("calibrate",), ("validate", "--operators")])
def test_bad_files_are_one_clear_line(name: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    lines, message = BAD[name]
    outcome = command(*arguments, _file(tmp_path, *lines))
    assert outcome.status == 2
    assert message in outcome.complaint
    assert "times.csv" in outcome.complaint


@pytest.mark.parametrize("arguments", [("calibrate",), ("validate", "--operators")])
def test_files_that_cannot_be_read(arguments: tuple[str, ...], tmp_path: Path) -> None:
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (tmp_path / "none.csv", "cannot be read"),
        (tmp_path, "is no regular file"),
        (binary, "is not UTF-8"),
    ):
        outcome = command(*arguments, str(path))
        assert outcome.status == 2
        assert message in outcome.complaint


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER, GOOD.replace("fp8", "fp9")], "'fp9' is not a precision"),
        ([HEADER, GOOD.replace("fp8", "fp4")], "no fp4 rate of h800"),
        ([HEADER, GOOD.replace("13.1", "")], "row 2: lacks latency_us or tflops or gb_per_s"),
        ([HEADER, "a,gemm,h800,,64,4096,7168,13"], "row 2: lacks precision"),
        ([HEADER, GOOD.replace("h800", "h8000")], "row 2: unknown system 'h8000'"),
        ([HEADER + ",use", GOOD + ",check: cache-warm"], "row 2: check: cache-warm"),
    ],
)
def test_calibrate_says_why_nothing_is_fitted(lines: list[str], message: str, tmp_path: Path) -> None:
    outcome = command("calibrate", _file(tmp_path, *lines))
    assert outcome.status == 2
    assert message in outcome.complaint


def test_shipped_calibration_is_listed_and_shown() -> None:
    listed = ask("hardware", "list", "--kind", "calibration")["results"]
    assert {"default", "h20", "h800", "nvlink4", "nvlink5"} <= {row["id"] for row in listed}
    (row,) = ask("hardware", "show", "nvlink5-nvl72")["results"]
    assert row["record"] == "interconnect"
    (row,) = ask("hardware", "show", "h800", "--kind", "calibration")["results"]
    assert row["gemm.launch_us_kind"] == "measured"
    assert row["gemm.held_out_error"] < 0.12
