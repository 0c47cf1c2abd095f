"""The command line as its users meet it: answers on stdout, one line of complaint on stderr, exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from roofline_afd import __version__
from roofline_afd.analysis.listing.terms import TERMS
from tests.conftest import ask, command

BASE = ("roofline", "--system", "h800", "--model", "deepseek-v3")


def _process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roofline_afd", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environment,
    )


def test_envelope() -> None:
    answer = ask(*BASE, "--ffn-nodes", "1:3")
    assert list(answer) == ["schema", "command", "version", "inputs", "results", "summary", "notes"]
    assert (answer["schema"], answer["command"], answer["version"]) == (1, "roofline", __version__)
    keys = """ffn_nodes pairs_per_device experts_per_device intensity weight_time_us compute_time_us
    active_time_us stage_budget_us ofu temporal_sparsity hfu regime feasible binding"""
    assert set(answer["results"][0]) >= set(keys.split())
    assert set(answer["summary"]) >= {"hfu_ceiling", "hfu_floor", "dead_zone_from", "dead_zone_to"}
    for value in answer["inputs"]["values"].values():
        assert value["source"]
        assert value["kind"] in {"measured", "datasheet", "derived", "reported", "estimated"}


def test_formats_agree() -> None:
    rows = ask(*BASE, "--ffn-nodes", "1:3")["results"]
    whole = command(*BASE, "--ffn-nodes", "1:3", "--format", "csv", "--all-columns")
    table = list(csv.DictReader(io.StringIO(whole.out)))
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert [float(row["hfu"]) for row in table] == [row["hfu"] for row in rows]
    markdown = command(*BASE, "--ffn-nodes", "1:3", "--format", "markdown").out
    assert "| FFN nodes |" in markdown
    assert "33.1%" in markdown
    text = command(*BASE, "--ffn-nodes", "1:4", "--format", "table").out
    assert "expert weight streaming" in text
    assert max(map(len, text.splitlines())) > 120  # a pipe has no width: nothing is cut
    piped = command(*BASE, "--ffn-nodes", "1:3")
    assert piped.out.startswith("ffn_nodes,")
    assert "note: infeasible rows: 1 of 3, binding expert weight streaming" in piped.err


def test_environment_chooses_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOFLINE_AFD_FORMAT", "json")
    assert json.loads(command(*BASE).out)["command"] == "roofline"
    assert command(*BASE, "--format", "csv").out.startswith("ffn_nodes,")


@pytest.mark.parametrize("suffix", [".json", ".csv", ".md", ".txt"])
def test_output_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"answer{suffix}"
    outcome = command(*BASE, "--output", str(path))
    assert (outcome.status, outcome.out) == (0, "")
    content = path.read_text("utf-8")
    assert "dead zone" in content
    refused = command(*BASE, "--output", str(path), "--tpot-ms", "70")
    assert refused.status == 2
    assert refused.complaint == f"--output {str(path)!r} exists; --force replaces it"
    assert path.read_text("utf-8") == content
    assert command(*BASE, "--output", str(path), "--tpot-ms", "70", "--force").status == 0
    assert path.read_text("utf-8") != content
    assert list(tmp_path.iterdir()) == [path]


BAD = {
    "unknown system": (
        ("roofline", "--system", "h80", "--model", "deepseek-v3"),
        "unknown system 'h80'; did you mean",
    ),
    "unknown model": (
        ("roofline", "--system", "h800", "--model", "deepseek-v4x"),
        "unknown model 'deepseek-v4x'",
    ),
    "no system": (("roofline", "--model", "deepseek-v3"), "Missing option '--system'"),
    "target below the gap": (
        (*BASE, "--tpot-ms", "8", "--gap-ms", "15", "--accept-length", "1.7"),
        "it must be above --gap-ms 15 / --accept-length 1.7 = 8.82353 ms",
    ),
    "target at the gap": ((*BASE, "--tpot-ms", "15", "--gap-ms", "15"), "--tpot-ms 15 leaves no time"),
    "zero": ((*BASE, "--tpot-ms", "0"), "--tpot-ms 0 must be above 0"),
    "negative": ((*BASE, "--tpot-ms", "-5"), "--tpot-ms -5 must be above 0"),
    "nan": ((*BASE, "--tpot-ms", "nan"), "--tpot-ms nan is not a finite number"),
    "inf": ((*BASE, "--gap-ms", "inf"), "--gap-ms inf is not a finite number"),
    "text": ((*BASE, "--tpot-ms", "fast"), "'fast' is not a number"),
    "text for a count": ((*BASE, "--microbatches", "2.5"), "'2.5' is not a whole number"),
    "accept below one": ((*BASE, "--accept-length", "0.5"), "--accept-length 0.5 must be at least 1"),
    "reserve of all": ((*BASE, "--memory-reserve", "1"), "--memory-reserve 1 must be below 1"),
    "reversed range": ((*BASE, "--ffn-nodes", "40:1"), "--ffn-nodes '40:1' is reversed"),
    "empty range": ((*BASE, "--ffn-nodes", ""), "--ffn-nodes '': write a range"),
    "zero step": ((*BASE, "--ffn-nodes", "1:9:0"), "the step must be at least 1"),
    "zero nodes": ((*BASE, "--ffn-nodes", "0"), "--ffn-nodes 0 must be a whole number from 1"),
    "half a node": ((*BASE, "--ffn-nodes", "1.5"), "--ffn-nodes '1.5': write a range"),
    "a billion nodes": ((*BASE, "--ffn-nodes", "1000000000"), "must be a whole number from 1 to 1,000,000"),
    "a billion rows": ((*BASE, "--ffn-nodes", "1:1000000000"), "more than 100,000 rows"),
    "unknown key": (
        (*BASE, "--set", "fp8_tflop=1"),
        "unknown key 'fp8_tflop' in --set; did you mean 'fp8_tflops'",
    ),
    "no value": ((*BASE, "--set", "fp8_tflops"), "--set 'fp8_tflops' is not KEY=VALUE"),
    "bits or bytes": ((*BASE, "--set", "scale_out_gb_per_s=400 gb/s"), "leaves bits and bytes in doubt"),
    "unknown word": (
        (*BASE, "--fan-out", "unifrom"),
        "--fan-out 'unifrom' is not valid; did you mean 'uniform'",
    ),
    "no groups": (
        ("roofline", "--system", "h800", "--model", "kimi-k2", "--fan-out", "grouped"),
        "--fan-out grouped: kimi-k2 does not limit routing to groups; valid: paper, uniform",
    ),
    "unknown precision": (
        (*BASE, "--expert-precision", "fp6"),
        "--expert-precision 'fp6' is not a precision",
    ),
    "no measurement": (
        ("roofline", "--system", "h100-roce-400", "--model", "deepseek-v3", "--links", "calibrated"),
        "--links calibrated: no measurement of roce-400 is known",
    ),
    "unknown format": (
        (*BASE, "--format", "yaml"),
        "--format 'yaml' is not valid; valid: csv, json, markdown, table",
    ),
    "unknown suffix": ((*BASE, "--output", "x.yaml"), "suffix decides the format; valid: .json, .csv"),
    "formats disagree": (
        (*BASE, "--format", "csv", "--output", "x.json"),
        "--format csv and --output 'x.json' disagree",
    ),
    "no folder": ((*BASE, "--output", "/nowhere/x.json"), "folder '/nowhere' does not exist"),
    "no overlay": ((*BASE, "--hardware-db", "/nowhere.toml"), "--hardware-db '/nowhere.toml' does not exist"),
    "unknown option": ((*BASE, "--bogus"), "No such option: --bogus"),
    "unknown command": (("roofbeam",), "No such command 'roofbeam'"),
    "unknown hardware": (("hardware", "show", "h801"), "unknown hardware id 'h801'; did you mean 'h800'"),
    "unknown kind": (
        ("hardware", "list", "--kind", "sytem"),
        "--kind 'sytem' is not valid; did you mean 'system'",
    ),
    "incomplete system": (
        ("roofline", "--system", "p800", "--model", "deepseek-v3"),
        "system p800 is known but incomplete: no source gives bf16_tflops or",
    ),
    "unknown term": (("explain", "hfuu"), "nothing is known of 'hfuu'; did you mean 'hfu'"),
    "half a scenario": (("explain", "hfu", "--system", "h800"), "--model is missing"),
    "no picture": (("plot", *BASE, "--output", "x.bmp"), "'.bmp' is no picture format; valid: .html"),
}


BAD |= {
    "no time at all": ((*BASE, "--tpot-ms", "5e-324"), "--tpot-ms 4.94066e-324 must be at least 1e-06"),
    "digits without end": ((*BASE, "--microbatches", "1" * 400), "is not a finite number"),
    "nodes without end": (
        ("explain", "hfu", *BASE[1:], "--ffn-nodes", "1" * 400),
        "--ffn-nodes must be whole",
    ),
    "name too long": ((*BASE, "--output", "A" * 300 + ".json"), "cannot be written: File name too long"),
    "overlay name too long": ((*BASE, "--hardware-db", "A" * 300), "cannot be read: File name too long"),
    "experts without end": (
        (*BASE, "--set", "routed_experts=100000"),
        "routed_experts 100000 is more than 4096",
    ),
    "node beyond its domain": ((*BASE, "--set", "devices_per_node=16"), "exceeds scale_up_domain_devices 8"),
    "heads": ((*BASE[:3], "--model", "glm-4.5", "--set", "attention.full.kv_heads=128"), "exceeds heads 96"),
    "picture of too much": (
        ("plot", "dead-zone", *BASE[1:], "--ffn-nodes", "1:20000"),
        "a picture holds 2,000",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    arguments, says = BAD[what]
    outcome = command(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert says in outcome.complaint


HOSTILE = {
    "malformed": b"[[[",
    "binary": bytes(range(256)) * 10,
    "wrong types": b"record = 'system'\nid = 3\nname = []\ndevices_per_node = 'eight'\n",
    "missing source": b"record = 'accelerator'\nfp8_tflops = 3\n",
    "escape codes": b"record = 'accelerator'\nid = '\\u001b[2J'\n",
    "deep": b"record = 'accelerator'\nx = " + b"{a=" * 20_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_overlay_gets_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "overlay.toml"
    path.write_bytes(HOSTILE[what])
    outcome = command(*BASE, "--hardware-db", str(path))
    assert outcome.status == 2
    assert outcome.complaint.startswith(str(path))
    assert outcome.complaint.isprintable()


def test_a_long_word_or_a_pipe_in_an_overlay_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "word").mkdir()
    (tmp_path / "word" / "x.toml").write_text(f"record = 'system'\nname = '{'x' * 150_000}'\n", "utf-8")
    assert "missing id" in command(*BASE, "--hardware-db", str(tmp_path / "word" / "x.toml")).complaint
    beside = command(*BASE, "--hardware-db", str(tmp_path / "word"))
    assert beside.status == 0
    assert "note: left out, as it is faulty" in beside.err
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "x.toml")
    assert (
        "is no regular file" in command(*BASE, "--hardware-db", str(tmp_path / "pipe" / "x.toml")).complaint
    )
    beside = command(*BASE, "--hardware-db", str(tmp_path / "pipe"))
    assert beside.status == 0
    assert "is no regular file" in beside.err


def test_many_groups_take_no_time() -> None:
    groups = ("--set", "expert_groups=64", "--set", "groups_per_token=32", "--fan-out", "grouped")
    assert command(*BASE, *groups).status == 0


def test_what_is_set_but_not_used_is_said() -> None:
    notes = ask(*BASE, "--set", "tdp_w=3")["notes"]
    assert "set by the user, but this answer does not depend on it: tdp_w" in notes


def test_nothing_feasible_names_what_binds() -> None:
    answer = ask(*BASE, "--ffn-nodes", "1")
    assert answer["summary"]["best_hfu"] is None
    assert "No FFN node count asked for is feasible: expert weight streaming." in answer["summary"]["answer"]


def test_standard_output_that_takes_nothing() -> None:
    script = f"exec {sys.executable} -m roofline_afd {' '.join(BASE)}"
    for redirection, says in (
        (">&-", "standard output is closed"),
        (">/dev/full", "cannot be written: No space"),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{script} {redirection}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert says in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr


def test_a_terminal_without_our_signs_still_gets_an_answer() -> None:
    done = _process("hardware", "list", "--format", "table", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "gb200-nvl72" in done.stdout


def test_duplicate_and_oversized_overlays(tmp_path: Path) -> None:
    from importlib.resources import files

    copy = tmp_path / "h800.toml"
    copy.write_bytes(files("hardware_db").joinpath("systems/h800.toml").read_bytes())
    assert "duplicate id 'h800'" in command(*BASE, "--hardware-db", str(copy)).complaint
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(100_000_000)
    assert (
        "larger than a record may be"
        in command(*BASE, "--hardware-db", str(tmp_path / "large.toml")).complaint
    )


def test_validate_lists_every_fault_and_says_no(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("record = 'accelerator'\n", "utf-8")
    (tmp_path / "b.toml").write_text("[[[", "utf-8")
    outcome = command("hardware", "validate", "--hardware-db", str(tmp_path), "--format", "json")
    assert outcome.status == 1
    faults = {Path(row["file"]).name: row["faults"] for row in outcome.answer["results"] if row["faults"]}
    assert set(faults) == {"a.toml", "b.toml"}
    assert "missing id" in faults["a.toml"]
    assert outcome.answer["summary"]["faulty"] == 2


@pytest.mark.parametrize("database", ["hardware", "models"])
def test_shipped_catalogue_is_valid(database: str) -> None:
    answer = ask(database, "validate")
    assert answer["summary"]["faulty"] == 0
    assert answer["summary"]["records"] == len(answer["results"]) >= 10
    assert all(row["faults"] == [] for row in answer["results"])


def test_lists_and_shows() -> None:
    systems = {row["id"]: row for row in ask("hardware", "list")["results"]}
    assert set(systems) >= {"a100", "h100", "h800", "h200", "h20", "b200", "gb200-nvl72", "cloudmatrix384"}
    assert systems["gb200-nvl72"]["class"] == "superpod"
    assert systems["h800"]["class"] == "scale-out"
    models = {row["id"]: row for row in ask("models", "list")["results"]}
    assert set(models) >= {
        "deepseek-v3", "deepseek-v3.2", "kimi-k2", "qwen3-235b-a22b", "qwen3-coder-480b", "step-3",
        "ernie-4.5-300b", "glm-4.5", "mixtral-8x7b", "minimax-m2",
    }  # fmt: skip
    (shown,) = ask("hardware", "show", "h800")["results"]
    assert shown["scale_up_gb_per_s"] == 200
    assert shown["scale_up_efficiency"] == 0.8
    assert shown["scale_up_measured_efficiency"] == 0.79
    assert "DeepEP" in shown["scale_up_measured_efficiency_source"]
    (part,) = ask("hardware", "show", "h800", "--kind", "accelerator")["results"]
    assert part["record"] == "accelerator"
    assert ask("models", "show", "deepseek-r1")["results"][0]["id"] == "deepseek-v3"
    table = command("hardware", "show", "h20", "--format", "table").out
    assert re.search(r"int8_tops +296\u2020 +accelerator h20 +TOP/s +estimated", table)


def test_calibrated_links_are_the_measured_ones() -> None:
    nominal, calibrated = (
        ask(*BASE, "--links", links, "--ffn-nodes", "8")["results"][0]["hfu"]
        for links in ("nominal", "calibrated")
    )
    assert calibrated == pytest.approx(0.8 * nominal)  # InfiniBand: 40 of 50 GB/s


def test_version() -> None:
    assert command("--version").out.strip() == __version__


def test_help_imports_nothing_heavy() -> None:
    heavy = "numpy", "pandas", "altair", "jsonschema", "vl_convert", "rich.table"
    script = (
        "import sys; from roofline_afd.cli import run; status = run(sys.argv[1:]);"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    for arguments in (["--help"], ["roofline", "--help"], ["plot", "dead-zone", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr.strip() == "[]"
        assert "Usage: roofline-afd" in done.stdout


def test_answers_need_no_table_library() -> None:
    script = (
        "import sys; from roofline_afd.cli import run; run(sys.argv[1:]);"
        "print([name for name in ('pandas', 'altair', 'jsonschema') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *BASE, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.strip() == "[]"


def test_process_exit_statuses(tmp_path: Path) -> None:
    assert _process(*BASE, "--format", "json").returncode == 0
    failed = _process(*BASE, "--tpot-ms", "-1")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.count("\n") == 1
    bare = _process()
    assert bare.returncode == 2
    assert "Usage: roofline-afd" in bare.stdout + bare.stderr
    (tmp_path / "bad.toml").write_text("x", "utf-8")
    assert _process("hardware", "validate", ROOFLINE_AFD_HARDWARE_DB=str(tmp_path)).returncode == 1


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "roofline_afd", *BASE, "--ffn-nodes", "1:50000", "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 0


@pytest.mark.parametrize("term", ["hfu", "OFU", "weight_time_us", "dead-zone", "stage_budget", "t_G"])
def test_explain(term: str) -> None:
    bare = ask("explain", term)
    assert bare["summary"]["formula"]
    assert "arXiv" in bare["summary"]["reference"]
    assert all(row["value"] is None for row in bare["results"])
    filled = ask("explain", term, "--system", "h800", "--model", "deepseek-v3")
    assert all(row["value"] is not None for row in filled["results"])


OPERATOR_TERMS = [term for term, entry in TERMS.items() if entry.operator and term != "in_switch_time"]
"""Those of sums within switches, which no part of the catalogue was timed with, are asked elsewhere."""


@pytest.mark.parametrize("term", OPERATOR_TERMS)
def test_explain_operators(term: str) -> None:
    """Each has all its numbers for some part and model of the catalogue.

    Least tiles of products and waves of processors are in the laws of the H20's kernels alone, links of a
    mesh on MI300X.
    """
    models = (
        *("deepseek-v3", "qwen3-next-80b-a3b", "glm-5", "deepseek-v4-flash", "kimi-k3"),
        "llama-4-maverick",
    )
    asked = [*(("h800", model) for model in models), ("h20", "deepseek-v3"), ("mi300x", "deepseek-v3")]
    outcomes = [
        command("explain", term, "--system", system, "--model", model, "--format", "json")
        for system, model in asked
    ]
    filled = [outcome for outcome in outcomes if outcome.status == 0]
    assert filled, outcomes[0].err
    assert all(row["value"] is not None for row in filled[0].answer["results"])
    assert filled[0].answer["summary"]["value"] is not None
    assert all("does not apply to" in outcome.err for outcome in outcomes if outcome.status)


def test_explain_takes_sizes_of_operators() -> None:
    """Twice the context: twice the operations of core attention; batch and context are checked."""
    question = ("explain", "decode_attention_flops", "--system", "h800", "--model", "deepseek-v3")
    one, two = (ask(*question, "--context", size)["summary"]["value"] for size in ("1000", "2000"))
    assert two == pytest.approx(2 * one)
    assert "--batch" in command(*question, "--batch", "0").complaint


def test_explain_fabrics_without_a_switch() -> None:
    """Links of a pair and the middle of a torus are of those fabrics only."""
    question = ("--model", "deepseek-v3", "--system")
    assert ask("explain", "mesh_pair_bandwidth", *question, "mi300x")["summary"]["value"] == 64e9
    assert ask("explain", "torus_bisection_bandwidth", *question, "tpu-v6e")["summary"]["value"] > 0
    share = ask("explain", "tier_share", *question, "trn3-ultraserver-gen2")["summary"]["value"]
    assert share == pytest.approx(256 / 704)
    assert "does not apply" in command("explain", "tier_share", *question, "gb200-nvl72").complaint
    assert "does not apply" in command("explain", "mesh_pair_bandwidth", *question, "tpu-v6e").complaint


def test_explain_puts_the_numbers_in() -> None:
    question = ("--system", "h800", "--model", "deepseek-v3", "--ffn-nodes", "2")
    row = ask(*BASE, "--ffn-nodes", "2")["results"][0]
    for term, key, factor in (("hfu", "hfu", 1), ("active_time", "active_time_us", 1e6), ("ofu", "ofu", 1)):
        assert ask("explain", term, *question)["summary"]["value"] * factor == pytest.approx(row[key])
    assert ask("explain", "dead_zone", *question)["summary"]["breakpoints"] == [2.5, 8.0, 32.0]
