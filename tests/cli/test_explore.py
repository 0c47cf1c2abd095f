"""`explore` as users meet it: answers, formats, refusals, bad input, scenario files."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ask, command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("answered_once")

BASE = ("explore", "--system", "b200", "--model", "gpt-oss-20b", "--devices", "4", "--chunk-tokens", "512")
CHAT = (*BASE, "--workload", "chat", "--tpot-ms", "30", "--ttft-ms", "500")
KEYS = {
    *("mode", "ttft_ms", "tpot_ms", "tokens_per_s_per_user", "tokens_per_s_per_device", "on_frontier"),
    *("n_devices", "n_replicas", "n_attention_devices", "n_ffn_devices", "tensor_parallel", "microbatches"),
    *("batch_per_group", "chunk_tokens", "n_prefill_replicas", "binding", "feasible", "deployment"),
}
MODES = ["agg", "pd", "agg+afd", "pd+afd"]


def _numbers(value: object) -> list[float]:
    """Return every number within an answer."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_envelope_and_keys() -> None:
    """The fixed keys of every answer; every number finite and none negative."""
    outcome = command(*CHAT, "--format", "json")
    assert "NaN" not in outcome.out
    assert "Infinity" not in outcome.out
    answer = outcome.answer
    assert list(answer) == ["schema", "command", "version", "inputs", "results", "summary", "notes"]
    assert (answer["schema"], answer["command"]) == (1, "explore")
    assert all(set(row) >= KEYS for row in answer["results"])
    assert len({tuple(row) for row in answer["results"]}) == 1
    assert sorted({row["mode"] for row in answer["results"]}, key=MODES.index) == MODES
    assert all(math.isfinite(number) and number >= 0 for number in _numbers(answer["results"]))
    summary = answer["summary"]
    best = summary["best_under_slo"]
    assert best["tokens_per_s_per_device"] == max(row["tokens_per_s_per_device"] for row in answer["results"])
    assert (best["ttft_ms"] <= 500, best["tpot_ms"] <= 30) == (True, True)
    assert list(summary["best_by_mode"]) == MODES
    assert summary["answer"]
    assert all(isinstance(note, str) and note for note in answer["notes"])


def test_formats_agree() -> None:
    """CSV has the keys of JSON and its numbers, unrounded; tables show them; a pipe gets CSV."""
    rows = ask(*CHAT)["results"]
    whole = command(*CHAT, "--format", "csv", "--all-columns")
    table = list(csv.DictReader(io.StringIO(whole.out)))
    assert [list(row) for row in table] == [list(row) for row in rows]
    for key in ("ttft_ms", "tpot_ms", "tokens_per_s_per_device"):
        assert [float(row[key]) for row in table] == [row[key] for row in rows]
    for form in ("table", "markdown"):
        outcome = command(*CHAT, "--format", form)
        assert outcome.status == 0
        assert "tokens/s per device" in outcome.out
    piped = command(*CHAT)
    assert piped.out.splitlines()[0].split(",")[0] == "mode"


def test_a_mode_without_a_deployment_is_one_empty_row() -> None:
    """Prompts all and hardly a token out: one pool cannot keep up, two can."""
    long = (*BASE[:-2], "--isl", "100000", "--osl", "1", "--modes", "agg,pd")
    answer = ask(*long)
    (row,) = [each for each in answer["results"] if each["mode"] == "agg"]
    assert row["binding"] == "prefill share of steps"
    assert (row["feasible"], row["on_frontier"]) == (False, False)
    filled = {key for key, value in row.items() if value is not None}
    assert filled == {"mode", "feasible", "binding", "on_frontier", "at_load"}
    assert answer["summary"]["best_by_mode"]["agg"] is None
    assert answer["summary"]["best_under_slo"]["mode"] == "pd"
    assert "aggregated has no feasible deployment" in answer["summary"]["answer"]


REFUSED = {
    "quicker than anything": (("--tpot-ms", "0.01"), "binding is latency target: the least is --tpot-ms"),
    "first token": (("--ttft-ms", "0.01"), "binding is first-token target: the least is --ttft-ms"),
    "both": (("--ttft-ms", "0.01", "--tpot-ms", "0.01"), "the least is"),
    "heads of more devices": (("--tensor-parallel", "8"), "binding is cluster size"),
    "one device": (("--devices", "1", "--modes", "pd,agg+afd"), "binding is cluster size"),
    "too many requests": (("--request-rate", "1e9"), "binding is request rate"),
    "too large": (("--model", "kimi-k2"), "binding is HBM capacity"),
    "too long": (("--prefix", "90000000"), "binding is HBM capacity"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_answer_is_no(what: str) -> None:
    """In one line, with what binds."""
    options, says = REFUSED[what]
    outcome = command(*BASE, "--workload", "chat", *options)
    assert (outcome.status, outcome.out) == (1, "")
    assert says in outcome.complaint
    assert "inf" not in outcome.complaint.replace("infeasible", "")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", ["--ttft-ms", "--tpot-ms"])
def test_the_limit_named_is_feasible(mode: str, limit: str) -> None:
    """What the refusal names as the least is answered when asked for."""
    question = (*BASE, "--workload", "chat", "--modes", mode)
    complaint = command(*question, limit, "0.01").complaint
    named = re.search(rf"the least is {limit} ([\d.]+)", complaint)
    assert named is not None, complaint
    row = ask(*question, limit, named[1])["summary"]["best_under_slo"]
    assert row[limit.removeprefix("--").replace("-", "_")] <= float(named[1])


BAD = {
    "no workload": ((), "--isl and --osl missing"),
    "no osl": (("--isl", "5"), "--osl missing"),
    "workload": (("--workload", "chatt"), "--workload"),
    "negative": (("--isl", "-5", "--osl", "5"), "--isl"),
    "zero": (("--isl", "5", "--osl", "0"), "--osl"),
    "together": (("--prefix", "100000000", "--isl", "5", "--osl", "5"), "together"),
    "ttft": (("--workload", "chat", "--ttft-ms", "0"), "--ttft-ms"),
    "ttft nan": (("--workload", "chat", "--ttft-ms", "nan"), "--ttft-ms"),
    "mode": (("--workload", "chat", "--modes", "agg,afd"), "--modes"),
    "no mode": (("--workload", "chat", "--modes", ","), "--modes"),
    "heads": (("--workload", "chat", "--tensor-parallel", "3"), "--tensor-parallel 3"),
    "chunk": (("--workload", "chat", "--chunk-tokens", "0"), "--chunk-tokens"),
    "rate": (("--workload", "chat", "--request-rate", "0"), "--request-rate"),
    "variation": (("--workload", "chat", "--prompt-variation", "-1"), "--prompt-variation"),
    "link": (("--workload", "chat", "--kv-link", "pigeon"), "--kv-link"),
    "moved": (("--workload", "chat", "--kv-moved", "some"), "--kv-moved"),
    "first": (("--workload", "chat", "--first-token", "never"), "--first-token"),
    "per": (("--workload", "chat", "--per", "hour"), "--per"),
    "price": (("--workload", "chat", "--price-basis", "gift"), "--price-basis"),
    "batch": (("--workload", "chat", "--batch", "8"), "--batch"),
    "transport": (("--workload", "chat", "--transport", "all"), "--transport all"),
    "cluster": (("--workload", "chat", "--devices", "5000"), "--devices"),
    "prefill": (("--workload", "chat", "--prefill-system", "b201"), "b201"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    options, says = BAD[what]
    outcome = command(*BASE, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert says in outcome.complaint


def test_scenario_files_give_options(tmp_path: Path) -> None:
    """All options of a question in a file; those on the command line win."""
    file = tmp_path / "question.toml"
    file.write_text(
        'system = "b200"\nmodel = "gpt-oss-20b"\ndevices = 4\nworkload = "chat"\nisl = 1000\nttft_ms = 500\n'
        'tpot_ms = 30\nchunk_tokens = 500\nmodes = "agg,pd"\nshared_prefix = true\nkv_moved = "new"\n',
        encoding="utf-8",
    )
    inputs = ask("explore", "--scenario", str(file))["inputs"]
    assert (inputs["isl"], inputs["osl"], inputs["prefix"]) == (1000, 256, 4096)
    assert (inputs["ttft_ms"], inputs["tpot_ms"], inputs["devices"]) == (500, 30, 4)
    assert (inputs["shared_prefix"], inputs["kv_moved"], inputs["chunk_tokens"]) == (True, "new", 500)
    file.write_text('shared_prefix = "yes"', encoding="utf-8")
    outcome = command(*BASE, "--workload", "chat", "--scenario", str(file))
    assert outcome.status == 2
    assert outcome.complaint.endswith("shared_prefix must be true or false")


def test_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "question.toml"
    file.write_text('workload = "chat"\nisl = 1000\nmodes = "agg,pd"\nchunk-tokens = 500', encoding="utf-8")
    again = ask(*BASE[:-2], "--scenario", str(file), "--isl", "2000", "--modes", "agg")
    assert again["inputs"]["isl"] == 2000
    assert {row["mode"] for row in again["results"]} == {"agg"}


def test_spelling_does_not_matter() -> None:
    """A workload by name or by its numbers, modes in any order, the default limit given."""
    named = ask(*CHAT, "--modes", "agg,pd")
    plain = ask(
        *(
            *BASE,
            "--prefix",
            "4096",
            "--isl",
            "512",
            "--osl",
            "256",
            "--tpot-ms",
            "3e1",
            "--ttft-ms",
            "500.0",
        ),
        *("--modes", " pd, agg", "--kv-link", "auto", "--first-token", "prefill", "--per", "device"),
    )
    assert json.dumps(named["results"]) == json.dumps(plain["results"])


@pytest.mark.parametrize(
    "options",
    [
        ("--prefill-system", "h200"),
        ("--attention-system", "h20", "--ffn-system", "h800"),
        ("--system", "tpu-v6e"),
        ("--accept-length", "1.7", "--draft-tokens", "2", "--sigma-dp", "0.9", "--sigma-ep", "0.8"),
        ("--granularity", "device", "--links", "nominal"),
        ("--deployable-with", "vllm-afd-plugin", "--kv-overlap", "--first-token", "decode"),
        ("--isl", "1", "--osl", "1", "--prefix", "0"),
        ("--request-rate", "5", "--prompt-variation", "1"),
    ],
)
def test_variants_are_answered(options: tuple[str, ...]) -> None:
    """Every number finite, none negative, devices within the cluster, and no warning."""
    answer: dict[str, Any] = ask(*CHAT, *options)
    for row in answer["results"]:
        assert all(math.isfinite(number) and number >= 0 for number in _numbers(row))
        if row["feasible"]:
            used = row["n_replicas"] * row["n_devices"]
            before = (row["n_prefill_attention_devices"] or 0) + (row["n_prefill_ffn_devices"] or 0)
            used += (row["n_prefill_replicas"] or 0) * before
            assert used + row["n_idle_devices"] == 4
