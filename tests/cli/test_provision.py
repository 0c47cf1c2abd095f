"""The command `provision` as its users meet it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.conftest import SHARED, ask, command

PAPER = ("--coefficients", ".00165,50,.083,100,.022,20")
CHAT = ("--prompt-mean", "100", "--decode-mean", "500")
BASE = ("provision", *PAPER, *CHAT, "--batch", "256")
SYSTEM = ("provision", "--system", "gb200-nvl72", "--model", "kimi-k2", "--batch", "128", *CHAT)


def test_the_published_calibration() -> None:
    answer = ask(*BASE, "--layers", "61")
    assert answer["command"] == "provision"
    summary, row = answer["summary"], answer["results"][0]
    assert round(summary["r_star"], 4) == 9.5547
    assert round(summary["r_star_barrier"], 3) == 10.085
    assert round(summary["r_star_microbatches"], 4) == 8.3483
    assert (summary["regime"], summary["recommended_ratio"]) == ("attention-bound", "8A1F")
    assert (row["theta"], row["attention_instances"], row["ffn_instances"]) == (599, 8, 1)
    assert round(ask(*BASE, "--horizon", "10000")["summary"]["r_star"], 4) == 9.3007


def test_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(b"ContextTokens,GeneratedTokens\n100,10\n300,30\n5,0\n"))
    answer = ask("provision", *PAPER, "--trace", str(file))
    assert answer["summary"]["theta"] == pytest.approx(262)
    assert answer["inputs"]["requests_without_output"] == 1
    assert any("1 of 3 requests has no output" in note for note in answer["notes"])
    named = ("--prompt-column", "GeneratedTokens", "--decode-column", "ContextTokens")
    assert ask("provision", *PAPER, "--trace", str(file), *named)["summary"]["theta"] != pytest.approx(262)


def test_a_real_trace() -> None:
    file = SHARED / "data" / "traces" / "azure_llm_2023_conv.csv"
    if not file.exists():
        pytest.skip("the traces are not beside the repository")
    summary = ask("provision", *PAPER, "--trace", str(file))["summary"]
    assert (round(summary["theta"], 3), round(summary["nu"], 3)) == (1226.479, 712.879)


def test_a_system_with_overrides() -> None:
    answer = ask(*SYSTEM, "--set", "scale_up_gb_per_s=1800", "--ffn-devices", "16", "--microbatches", "3")
    assert answer["inputs"]["ffn_devices"] == 16
    assert answer["inputs"]["values"]["scale_up_gb_per_s"]["value"] == 1800
    assert answer["results"][0]["microbatches"] == 3
    assert answer["summary"]["fit"]["max_residual"]["attention"] < 0.1


def test_a_scenario_file(tmp_path: Path) -> None:
    file = tmp_path / "question.toml"
    file.write_text('system = "gb200-nvl72"\nmodel = "kimi-k2"\nmicrobatches = 3\nbatch = 64\n', "utf-8")
    answer = ask("provision", "--scenario", str(file), *CHAT, "--batch", "128")
    assert (answer["inputs"]["microbatches"], answer["inputs"]["batch"]) == (3, 128)


def test_formats() -> None:
    piped = command(*BASE)
    assert piped.out.startswith("granularity,recommended_ratio,")
    assert "note: --microbatches is taken as 2" in piped.err
    assert "Run 8A1F" in command(*BASE, "--format", "table").out
    assert "| whole nodes |" in command(*BASE, "--format", "markdown").out


BAD = {
    "two sources of lengths": ((*BASE, "--trace", "x"), 2, "--trace and --prompt-mean exclude each other"),
    "two sources of times": (
        (*BASE, "--system", "h800"),
        2,
        "--coefficients and --system exclude each other",
    ),
    "an option of a system": (
        (*BASE, "--fan-out", "uniform"),
        2,
        "--coefficients and --fan-out exclude each",
    ),
    "no model": (("provision", "--system", "h800", *CHAT), 2, "--model is missing"),
    "no system": (("provision", "--links", "nominal", *CHAT), 2, "--links belongs to --system and --model"),
    "no times": (("provision", *CHAT), 2, "give --coefficients, or --system and --model"),
    "no lengths": (("provision", *PAPER), 2, "--prompt-mean is missing: give --trace, or"),
    "five numbers": (
        ("provision", "--coefficients", "1,2,3,4,5", *CHAT),
        2,
        "it needs six: aA,bA,aF,bF,aC,bC",
    ),
    "layers of a system": ((*SYSTEM, "--layers", "61"), 2, "--layers belongs to --coefficients"),
    "half a slot": ((*BASE[:-1], "2.5"), 2, "'2.5' is not a whole number"),
    "no file": (("provision", *PAPER, "--trace", "/nowhere.csv"), 2, "'/nowhere.csv' cannot be read"),
    "an unknown system": (
        ("provision", "--system", "h80", "--model", "kimi-k2", *CHAT),
        2,
        "unknown system 'h80'; did you mean",
    ),
    "too slow": ((*BASE, "--layers", "61", "--tpot-ms", "20"), 1, "no: binding is the latency target"),
    "too large": ((*SYSTEM, "--batch", "100000"), 1, "no: binding is HBM capacity"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    arguments, status, says = BAD[what]
    outcome = command(*arguments)
    assert (outcome.status, outcome.out) == (status, "")
    assert says in outcome.complaint


def test_help_is_a_question() -> None:
    text = " ".join(command("provision", "--help").out.split())
    assert "How many attention instances per FFN instance do requests of random lengths need?" in text
    for option in ("--trace", "--decode-distribution", "--coefficients", "--horizon", "--ffn-devices"):
        assert option in text
