"""Every command on a terminal: it fits, it is short, and it says what it leaves out."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from roofline_afd.cli import progress, run
from tests.conftest import ONE_PLAN_OPTIONS, ROOT, Outcome, ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

H800 = ("-s", "h800", "-m", "deepseek-v3")
SMALL = (*H800, "--max-devices", "48", *ONE_PLAN_OPTIONS)
LENGTHS = ("--prompt-mean", "1000", "--decode-mean", "300")
CHAT = ("--workload", "chat", "--devices", "16", "--tpot-ms", "50", *ONE_PLAN_OPTIONS)
SCREENS = {
    "compare": ("compare", *SMALL),
    "compare levers": ("compare", *SMALL, "--levers", "--why"),
    "what-if": ("what-if", *SMALL, "--change", "scale_out_gb_per_s=100"),
    "sensitivity": ("sensitivity", *SMALL, "--samples", "0"),
    "predict": ("predict", *H800, "--devices", "32", "--batch", "64"),
    "roofline": ("roofline", *H800),
    "roofline of three": ("roofline", *H800, "--ffn-nodes", "1:3"),
    "imbalance": ("imbalance", "--attention-nodes", "6", "--ffn-nodes", "2", "--sigma", "0.7,0.9"),
    "provision": ("provision", *H800, *LENGTHS),
    "simulate": ("simulate", *H800, *LENGTHS, "--r", "1:2", "--requests", "500"),
    "explore": ("explore", *H800, *CHAT),
    "explore frontier": ("explore", *H800, *CHAT, "--frontier"),
    "load": ("load", *H800, *CHAT, "--requests-per-s", "1"),
    "procure": ("procure", "-s", "h800,h200", *SMALL[2:], "--demand", "1e5"),
    "deploy": ("deploy", "--for", "vllm", *SMALL),
    "sweep": ("sweep", *H800, "--axis", "batch=16,32", "--axis", "devices=32,64"),
    "explain": ("explain", "hfu", *H800),
    "explain a word": ("explain", "expert-precision"),
    "validate": ("validate",),
    "hardware list": ("hardware", "list"),
    "hardware list parts": ("hardware", "list", "--kind", "interconnect"),
    "hardware list holds": ("hardware", "list", "--holds", "deepseek-v3"),
    "hardware show": ("hardware", "show", "h800"),
    "hardware show where": ("hardware", "show", "h800", "--where"),
    "hardware show several": ("hardware", "show", "h800", "gb200-nvl72", "mi355x"),
    "hardware validate": ("hardware", "validate"),
    "models list": ("models", "list"),
    "models show": ("models", "show", "deepseek-v3"),
    "models validate": ("models", "validate"),
}
"""Commands by name."""
SLOW = {"validate", "sensitivity", "explore frontier", "simulate"}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def on_terminal(*arguments: str) -> Outcome:
    """Run a command in this process, both streams a terminal of `COLUMNS`."""
    out, err = Terminal(), Terminal()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(list(arguments))
    return Outcome(status, out.getvalue(), err.getvalue().rpartition("\033[K")[2])


def _ids(name: str) -> list[str]:
    """Return words that a screen must show whole, where it lists records."""
    if not name.endswith(" list") and not name.startswith("hardware list"):
        return []
    return [row["id"] for row in ask(*SCREENS[name])["results"]]


@pytest.mark.parametrize("name", SCREENS)
def test_screens_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, no id is broken, at most three notes unasked, none twice."""
    arguments = SCREENS[name]
    for columns in (80, 120) if name not in SLOW else (80,):
        monkeypatch.setenv("COLUMNS", str(columns))
        outcome = on_terminal(*arguments)
        assert outcome.status == 0, outcome.err
        lines = outcome.out.splitlines()
        shown = lines if name != "deploy" else lines[-12:]  # lines of launch files are not broken
        assert max(map(len, shown)) <= columns, (name, columns, max(shown, key=len))
        assert max(map(len, outcome.err.splitlines()), default=0) <= columns
        assert all(re.search(rf"^{re.escape(one)}\s", outcome.out, re.MULTILINE) for one in _ids(name))
        notes = re.split(r"^note: ", outcome.err, flags=re.MULTILINE)[1:]
        assert max(Counter(notes).values(), default=1) == 1
        if "--why" not in arguments:
            assert len([note for note in notes if not note.startswith("too narrow")]) <= 3
        else:
            assert "--why" not in outcome.err


def test_compare_is_turned_on_its_side_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = on_terminal(*SCREENS["compare"]).out.splitlines()
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == ["mode", "ep", "afd"]
    assert max(map(len, table)) <= 60
    assert lines.index("") <= 4
    sentence = " ".join(lines[: lines.index("")])
    assert (
        "Weights in fp8 by default, as DeepSeek publishes them; ideal engine, experts levelled." in sentence
    )
    assert len(re.findall(r"\.(?: |$)", sentence)) <= 2


def test_every_note_is_told_when_asked() -> None:
    notes = ask(*SCREENS["compare"])["notes"]
    told = command(*SCREENS["compare"], "--why").err.splitlines()
    assert told == [f"note: {note}" for note in notes]
    short = command(*SCREENS["compare"]).err.splitlines()
    assert short[-1] == f"{len(notes) - len(short) + 1} more notes: --why"
    assert 1 < len(short) <= 4
    assert set(short[:-1]) < set(told)


def test_explore_shows_the_best_of_each_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    best = ask(*SCREENS["explore"])["summary"]["best_by_mode"]
    out = on_terminal(*SCREENS["explore"]).out
    rows = [line for line in out.splitlines() if line.split(" ")[0] in best]
    assert [line.split()[0] for line in rows] == list(best)
    found = {line.split()[0]: line for line in rows}
    assert all(row["deployment"] in found[mode] for mode, row in best.items() if row)
    whole = on_terminal(*SCREENS["explore frontier"]).out
    assert len(whole.splitlines()) > len(out.splitlines()) + 4
    piped = command(*SCREENS["explore"]).out.splitlines()
    assert len(piped) == 1 + len(ask(*SCREENS["explore"])["results"])


def test_columns_are_chosen_in_every_form() -> None:
    chosen = (*SCREENS["compare"], "--columns", "mode,breakdown.attention_us")
    assert command(*chosen).out.splitlines()[0] == "mode,breakdown.attention_us"
    assert "| mode | breakdown.attention [us] |" in command(*chosen, "-f", "markdown").out
    assert re.search(r"^mode  breakdown.attention", command(*chosen, "-f", "table").out, re.MULTILINE)
    refused = command(*SCREENS["compare"], "--columns", "tpot")
    assert (refused.status, refused.out) == (2, "")
    assert "--columns 'tpot' is no column; did you mean 'tpot_ms'" in refused.complaint
    for wrong in (("-f", "json"), ("--all-columns",)):
        assert command(*chosen, *wrong).status == 2


def test_csv_holds_no_json() -> None:
    for name in ("compare", "hardware show", "procure"):
        text = command(*SCREENS[name], "--all-columns").out
        assert "{" not in text
        assert "[" not in text.replace("[W]", "")


@pytest.mark.parametrize(("short", "long"), [("-s", "--system"), ("-m", "--model"), ("-f", "--format")])
def test_letters_are_options(short: str, long: str) -> None:
    words = ["roofline", "-s", "h800", "-m", "deepseek-v3", "-f", "json"]
    spelled = [long if word == short else word for word in words]
    assert command(*words).out == command(*spelled).out != ""
    assert command("-V").out == command("--version").out


def test_letters_name_files(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    assert command("hardware", "list", "-o", str(tmp_path / "x.csv")).status == 0
    assert (tmp_path / "x.csv").read_text("utf-8").startswith("id,")


@pytest.mark.parametrize(
    "line",
    [
        "hardware list | true",
        "hardware list --format json | head -1",
        "compare --help | head -1",
        "--help | true",
        "hardware list --format table 2>&1 | head -1",
    ],
)
def test_a_pipe_that_closes_is_no_failure(line: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {sys.executable} -m roofline_afd {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr.replace("note: ", "").startswith("marked") or done.stderr == "") == (
        0,
        True,
    )


def test_long_work_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal alone; the line is gone before the answer."""
    monkeypatch.setattr(progress, "SILENT_S", 0.0)
    monkeypatch.setattr(progress, "BETWEEN_S", 0.0)
    both = Terminal()
    asked = [*SCREENS["what-if"][:-1], "scale_out_gb_per_s=100.5"]  # of no other test: it was not answered
    with redirect_stdout(both), redirect_stderr(both):
        assert run(asked) == 0
    *before, after = both.getvalue().split("\r\033[K")
    assert re.search(r"\r#+\.+ +\d+%  [\d,]+ s left", before[0])
    assert "left" not in after
    assert after.startswith("scale_out_gb_per_s from 50 to 100.5")
    assert "\r" not in command(*SCREENS["what-if"]).err


def test_json_keeps_every_note_and_row() -> None:
    answer = ask(*SCREENS["explore"])
    assert len(answer["notes"]) > 4
    assert len(answer["results"]) > 4
    assert json.loads(command(*SCREENS["explore"], "--frontier", "-f", "json").out) == answer


def test_a_change_is_told_in_one_unit() -> None:
    changes = ("--change", "scale_out_gb_per_s=800 Gb/s", "--change", "tpot_ms=60")
    said = ask("what-if", *SMALL, *changes)["summary"]["answer"]
    assert said.startswith("scale_out_gb_per_s from 50 to 100 GB/s (800 Gb/s), tpot_ms from 50 to 60 ms: ")


def test_lists_take_a_name() -> None:
    assert [row["id"] for row in ask("models", "list", "KIMI k2")["results"]] == ["kimi-k2", "kimi-k2.5"]
    assert all("b200" in row["id"] for row in ask("hardware", "list", "b200")["results"])
    dense = command("models", "list", "llama-3-70b")
    assert (dense.status, dense.complaint) == (
        1,
        "no model is called 'llama-3-70b': the catalogue has mixture-of-experts models alone",
    )
    assert "did you mean 'h800'" in command("hardware", "list", "h8000").complaint


def test_no_share_is_above_all() -> None:
    """Where weights alone take more than the stage, it says so: that is no share."""
    outcome = command("roofline", *H800, "--ffn-nodes", "1:4", "-f", "table")
    assert ">100%" in outcome.out
    assert "154" not in outcome.out


def test_a_file_of_a_sweep_has_metrics_not_columns(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    sweep = (*SCREENS["sweep"], "-o", str(tmp_path / "x.csv"), "--columns", "batch")
    assert "--metrics chooses" in command(*sweep).complaint
