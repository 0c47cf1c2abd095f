"""The command `simulate` as its users meet it."""

from __future__ import annotations

import csv
import importlib.util
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roofline_afd.cli import progress
from tests.conftest import ask, command

TIMES = ("--coefficients", ".00165,50,.083,100,.022,20")
LENGTHS = ("--prompt-mean", "100", "--decode-mean", "100")
BASE = ("simulate", *TIMES, *LENGTHS, "--batch", "64", "--requests", "1000", "--replications", "3")


def test_rows_and_the_best_ratio() -> None:
    answer = ask(*BASE, "--r", "1:6", "--layers", "61")
    assert answer["command"] == "simulate"
    rows = answer["results"]
    assert [row["r"] for row in rows] == [1, 2, 3, 4, 5, 6]
    keys = {"r", "throughput_per_instance", "attention_idle", "ffn_idle", "tpot"}
    assert all(keys <= row.keys() for row in rows)
    best = max(rows, key=lambda row: row["throughput_per_instance"])["r"]
    assert answer["summary"]["best_r"] == best
    assert answer["inputs"]["layers"] == 61
    assert answer["inputs"]["coefficients_us"] == pytest.approx([0.00165, 50, 0.083, 100, 0.022, 20])
    assert ask(*BASE, "--r", "1:6", "--layers", "61") == answer
    other = ask(*BASE, "--r", "1:6", "--layers", "61", "--seed", "7")
    assert other["results"][0]["throughput_per_instance"] != rows[0]["throughput_per_instance"]


def test_a_system_and_a_model() -> None:
    answer = ask(
        *("simulate", "--system", "h800", "--model", "deepseek-v3", "--prompt-mean", "2000"),
        *("--decode-mean", "300", "--batch", "32", "--requests", "200", "--r", "1:3"),
    )
    assert answer["inputs"]["system"] == "h800"
    assert answer["inputs"]["layers"] == 61
    assert all(row["tpot"] > 1 for row in answer["results"])
    assert any("operator model" in note for note in answer["notes"])


def test_the_transfers_of_a_system_depend_on_the_ratio() -> None:
    """Simulation and provisioning take the same times: an FFN device receives from every attention device."""
    question = (
        *("--system", "h800", "--model", "step-3", "--prompt-mean", "1000", "--decode-mean", "300"),
        *("--batch", "64", "--max-devices", "80"),
    )
    best = ask("provision", *question)["results"][0]
    answer = ask("simulate", *question, "--requests", "300", "--replications", "2")
    assert [row["r"] for row in answer["results"]] == list(range(1, 10))
    assert f"{answer['summary']['best_r']}A1F" == best["recommended_ratio"] == "2A1F"
    rates = [(row["throughput_per_instance"], row["throughput_predicted"]) for row in answer["results"]]
    assert rates[1][1] == pytest.approx(best["tokens_per_s_per_instance"], rel=1e-9)
    for measured, predicted in rates:
        assert measured == pytest.approx(predicted, rel=0.01)
    refused = command("simulate", *question, "--r", "9,10")
    assert refused.status == 1
    assert "--r 10 with 8 FFN devices needs 88 devices in all; nearest: --r 9" in refused.complaint


def test_a_trace_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("ContextTokens,GeneratedTokens\n" + "90,20\n10,40\n500,3\n" * 5, "utf-8")
    question = ("simulate", *TIMES, "--trace", str(path), "--batch", "32", "--r", "2,3", "--requests", "500")
    assert ask(*question)["inputs"]["replay"] == "shuffled"
    assert ask(*question, "--replay", "in-order")["inputs"]["replay"] == "in-order"


def test_formats() -> None:
    piped = command(*BASE, "--r", "3")
    assert piped.out.startswith("r,throughput_per_instance,throughput_half_width,throughput_predicted,")
    assert "note: outputs are taken as geometric" in piped.err
    table = command(*BASE, "--r", "3", "--format", "table").out
    assert "3 attention instances per FFN instance serve most" in table


def test_a_time_series(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    assert command(*BASE, "--r", "2:3", "--series", str(path)).status == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert {row["r"] for row in rows} == {"2", "3"}
    assert {"time_s", "step", "throughput_per_instance", "attention_idle", "ffn_idle"} <= rows[0].keys()
    again = command(*BASE, "--r", "2:3", "--series", str(path))
    assert again.complaint == f"--series {str(path)!r} exists; --force replaces it"
    assert command(*BASE, "--r", "2:3", "--series", str(path), "--force").status == 0


def test_a_time_series_as_parquet(tmp_path: Path) -> None:
    """Both forms hold the same columns, of the same types, with the same numbers."""
    import pandas as pd

    plain, parquet = tmp_path / "series.csv", tmp_path / "series.parquet"
    for path in (plain, parquet):
        assert command(*BASE, "--r", "2:3", "--series", str(path)).status == 0
    read = pd.read_parquet(parquet)
    assert set(read["r"]) == {2, 3}
    pd.testing.assert_frame_equal(read, pd.read_csv(plain), rtol=1e-15)
    again = command(*BASE, "--r", "2", "--series", str(parquet))
    assert again.complaint == f"--series {str(parquet)!r} exists; --force replaces it"
    assert command(*BASE, "--r", "2", "--series", str(parquet), "--force").status == 0
    assert set(pd.read_parquet(parquet)["r"]) == {2}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["series.csv", "series.parquet"]


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "pyarrow" else find(name, package),
    )
    refused = command(*BASE, "--r", "2", "--series", str(tmp_path / "other.parquet"))
    assert refused.status == 2
    assert "parquet needs pyarrow: pip install 'roofline-afd[parquet]', or write .csv" in refused.complaint


def test_a_series_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roofline_afd.simulation import run

    monkeypatch.setattr(run, "replicate", lambda *_, **__: pytest.fail("worked in vain"))
    folder, file = tmp_path / "is.csv", tmp_path / "both.csv"
    folder.mkdir()
    cases = {
        (str(folder),): "is a folder",
        (str(tmp_path / "none" / "a.csv"),): "does not exist",
        (str(file), "--output", str(file)): "--series and --output name the same file",
    }
    for given, says in cases.items():
        refused = command(*BASE, "--r", "2", "--series", *given)
        assert refused.status == 2
        assert says in refused.complaint


BAD = {
    "no range": (("--r", "many"), "--r 'many': write a range first:last[:step]"),
    "reversed": (("--r", "5:2"), "--r '5:2' is reversed"),
    "zero": (("--r", "0:3"), "--r 0 must be a whole number from 1 to 1,024"),
    "start": (("--start", "warm"), "--start 'warm' is not valid"),
    "window": (("--window", "late"), "--window 'late' is not valid"),
    "replications": (("--replications", "0"), "--replications 0 must be a whole number from 1 to 1,000"),
    "series": (("--series", "a.xlsx"), "--series 'a.xlsx': the suffix must be one of .csv, .parquet"),
    "two sources": (("--system", "h800"), "--coefficients and --system exclude each other"),
    "no number": (("--requests", "x"), "'x' is not a whole number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions(case: str) -> None:
    arguments, message = BAD[case]
    refused = command(*BASE, *arguments)
    assert refused.status == 2
    assert message in refused.complaint


def test_the_latency_target_can_say_no() -> None:
    refused = command(*BASE, "--r", "2:4", "--tpot-ms", "0.1")
    assert refused.status == 1
    assert refused.complaint.startswith("no: binding is the latency target")


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    from roofline_afd.simulation import run

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "replicate", stop)
    outcome = command(*BASE, "--r", "2")
    assert (outcome.status, outcome.out, outcome.complaint) == (130, "", "interrupted")


@pytest.mark.parametrize("seconds", [0.15, 1.5], ids=["while it loads", "while it simulates"])
def test_control_c(seconds: float, tmp_path: Path) -> None:
    """A long run that the user ends says so in one line, at once, and leaves no file."""
    program = (  # a shell that runs the tests in the background has children ignore the signal
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print(flush=True); "
        "from roofline_afd.cli import main; main()"
    )
    files = ("--series", str(tmp_path / "series.csv"), "--output", str(tmp_path / "answer.json"))
    long = (
        "simulate",
        *TIMES,
        "--prompt-mean",
        "100",
        "--decode-mean",
        "500",
        "--requests",
        "200000",
        *files,
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *long], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "roofline-afd: error: interrupted\n")
    assert not list(tmp_path.iterdir())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_S", 0.0)
    for stream, drawn in ((_Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.progress_bar() as advanced:
            advanced(0.5)
        assert ("50%" in stream.getvalue()) is drawn
