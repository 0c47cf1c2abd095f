"""Commands that are asked to end, or short of memory: one line, nothing half-written, nobody left at work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.evidence.operators.times import synthetic
from tests.conftest import ROOT

LINUX = Path("/proc/self/stat").exists()
ASK = ("--system", "h800", "--model", "deepseek-v3")
LENGTHS = ("--isl", "2048", "--osl", "512")
MANY = ("--max-devices", "512")
COEFFICIENTS = ("--coefficients", ".00165,50,.083,100,.022,20", "--batch", "64")
AXES = (
    *("--axis", "ffn_nodes=1:1000", "--axis", "scale_out_gb_per_s=10:400/1000"),
    *("--axis", "tpot_ms=20:120/400"),
)
LONG = {
    "compare": ("compare", *ASK, *MANY, "--output", "x.json"),
    "what-if": ("what-if", *ASK, *MANY, "--change", "memory_gb=141", "--output", "x.csv"),
    "sensitivity": ("sensitivity", *ASK, "--output", "x.xlsx"),
    "simulate": (
        *("simulate", *COEFFICIENTS, "--prompt-mean", "100", "--decode-mean", "500", "--requests", "200000"),
        *("--series", "x.csv", "--output", "x.json"),
    ),
    "explore": ("explore", *ASK, *LENGTHS, "--devices", "64", "--output", "x.md"),
    "load": ("load", *ASK, *LENGTHS, "--devices", "64", "--output", "x.csv"),
    "procure": ("procure", "--systems", "h800,h20,b200", *ASK[2:], "--demand", "1e6", "--output", "x.xlsx"),
    "deploy": (
        "deploy",
        *ASK,
        *LENGTHS,
        "--devices",
        "64",
        "--for",
        "vllm",
        "--folder",
        "made",
        "--output",
        "x.json",
    ),
    "report": ("report", "--systems", "h800,h20", *ASK[2:], "--demand", "1e6", "--output", "x.html"),
    "picture": ("plot", "hfu-map", *ASK, "--output", "x.html", "--save-answer", "x.json"),
    "validate": ("validate", "--output", "x.csv"),
    "calibrate": (
        "calibrate",
        "../operators.csv",
        "--output",
        "made",
    ),
    "sweep": ("sweep", *ASK, "--of", "roofline", *AXES, "--reduce", "pareto:hfu,active_time_us"),
    "sweep in one process": (
        *("sweep", *ASK, "--of", "roofline", *AXES, "--metrics", "hfu", "--runner", "serial"),
        *("--output", "x.csv"),
    ),
}
"""What takes long, with every kind of file that it writes."""
AFTER_S = {"sweep": 1.0}
"""Seconds of work after which they are asked to end, where the workers of a command begin late."""
TIMED = (
    *("mi300x", "mi325x", "mi355x", "h20", "h800", "h100", "h200", "b200", "b300"),
    *("gb200-nvl72", "gb300-nvl72", "gaudi3"),
)
"""Systems with rows to calibrate on, many times over: of fewer it would be done before it is asked to end."""
KEPT = {"sweep in one process": "x.csv.parts"}
"""What stays so that a command goes on where it stopped."""


BOTH = {"sweep in one process", "report", "explore"}
"""Of which the user's own signal is tried, too; the others catch it where these do."""
SHORT = (
    (2, "explore", *ASK, *LENGTHS, "--devices", "64"),
    (4, "explore", *ASK, *LENGTHS, "--devices", "64"),
    (8, "roofline", *ASK, "--ffn-nodes", "1:100000"),
    (0, "sweep", *ASK, "--of", "roofline", *AXES, "--reduce", "best:hfu", "--runner", "serial"),
)
"""Commands for which so many megabytes more than the program has loaded are too few."""
ASKED = [
    {"name": name, "words": words, "signal": number, "after_s": AFTER_S.get(name, 0.1)}
    for name, words in LONG.items()
    for number in ("SIGINT", "SIGTERM")
    if number == "SIGTERM" or name in BOTH
]
CASES: list[dict[str, Any]] = [*ASKED, *({"words": words[1:], "more_mb": words[0]} for words in SHORT)]

pytestmark = pytest.mark.skipif(not LINUX, reason="processes and their memory are not told as files")


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run all of them in processes forked of one, and return what became of each."""
    folder = tmp_path_factory.mktemp("ends")
    several = [synthetic(folder / f"{name}.csv", system=name).read_text("utf-8") for name in TIMED]
    rows = [text.partition("\n")[2] for text in several]
    (folder / "operators.csv").write_text(several[0].partition("\n")[0] + "\n" + 60 * "".join(rows), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.forked"],
        input=json.dumps({"cases": CASES, "folder": str(folder), "together": 2}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def test_long_commands_end_when_they_are_asked_to(ends: list[dict[str, Any]]) -> None:
    """By the user at the terminal, and by whoever ends processes."""
    for case, told in zip(ASKED, ends, strict=False):
        status, word = (130, "interrupted") if case["signal"] == "SIGINT" else (143, "terminated")
        assert (told["status"], told["said"]) == (status, f"roofline-afd: error: {word}\n"), (case, told)
        kept = KEPT.get(str(case["name"]), "?")
        assert [file for file in told["files"] if not file.startswith(kept)] == [], (case, told)
        assert not [file for file in told["files"] if file.endswith(".half")], (case, told)
        assert told["left"] == 0, (case, told)
        assert told["seconds"] < 10, (case, told)


def test_short_memory_is_told(ends: list[dict[str, Any]]) -> None:
    """Though libraries end a process for it without a word."""
    for words, told in zip(SHORT, ends[len(ASKED) :], strict=True):
        assert told["status"] == 2, (words, told)
        assert told["said"].count("\n") == 1, (words, told)
        assert "lift its limits" in told["said"]
