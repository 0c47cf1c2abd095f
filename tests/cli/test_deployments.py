"""`predict`, `compare` and `what-if` as users meet them: answers, refusals, bad input, scenario files."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import __version__
from roofline_afd.catalogue.records import GIVEN, KINDS
from tests.conftest import Outcome, ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

BASE = ("--system", "h800", "--model", "deepseek-v3")
PREDICT = ("predict", *BASE, "--devices", "128", "--batch", "96")
AFD = ("predict", *BASE, "--attention-devices", "96", "--ffn-devices", "64", "--batch", "96")
PLUGIN = ("--deployable-with", "vllm-afd-plugin")
COMPARE = ("compare", *BASE, "--tpot-ms", "50")
WHAT_IF = ("what-if", *BASE, "--change", "tpot_ms=80", "--max-devices", "48")
COMMANDS = {"predict": PREDICT, "compare": COMPARE, "what-if": WHAT_IF}
PREDICT_KEYS = {
    "mode",
    "tpot_ms",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "hfu_all_devices",
    "feasible",
    "binding",
    "breakdown",
}
SHAPE_KEYS = {"n_devices", "n_attention_devices", "n_ffn_devices", "microbatches", "batch_per_device"}


def _numbers(value: object) -> list[float]:
    """Return every number within an answer."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _strict(text: str) -> dict[str, Any]:
    """Read JSON that has no word for what is no number."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    answer: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return answer


@pytest.mark.parametrize("name", COMMANDS)
def test_envelope(name: str) -> None:
    """The fixed keys of every answer; every number finite, every catalogue value with its source."""
    answer = _strict(command(*COMMANDS[name], "--format", "json").out)
    assert list(answer) == ["schema", "command", "version", "inputs", "results", "summary", "notes"]
    assert (answer["schema"], answer["command"], answer["version"]) == (1, name, __version__)
    numbers = _numbers(answer)
    assert len(numbers) > 40
    assert all(math.isfinite(number) for number in numbers)
    for value in answer["inputs"]["values"].values():
        assert value["source"]
        assert value["kind"] in {*KINDS, GIVEN}
    assert all(isinstance(note, str) and note for note in answer["notes"])
    assert answer["summary"]["answer"]


def test_values_of_both_systems_are_named() -> None:
    """Where two systems have a key, each has its value and source: bare that of the system asked for."""
    pair = ("--attention-system", "h20", "--ffn-system", "h800")
    values = ask("compare", "--system", "h800", "--model", "deepseek-v3", *pair)["inputs"]["values"]
    assert (values["fp8_tflops"]["value"], values["fp8_tflops"]["record"]) == (1979, "accelerator h800")
    assert (values["h20.fp8_tflops"]["value"], values["h20.fp8_tflops"]["record"]) == (296, "accelerator h20")
    assert all(value["source"] for value in values.values())


def test_fixed_keys() -> None:
    for arguments in (PREDICT, AFD):
        (row,) = ask(*arguments)["results"]
        assert set(row) >= PREDICT_KEYS | SHAPE_KEYS
        assert set(row["breakdown"]) >= {"attention_us", "ffn_us", "dispatch_us", "combine_us"}
    answer = ask(*COMPARE)
    assert [row["mode"] for row in answer["results"]] == ["ep", "afd"]
    assert all(set(row) >= PREDICT_KEYS | SHAPE_KEYS for row in answer["results"])
    assert set(answer["summary"]) >= {"winner", "afd_over_ep", "reason"}
    answer = ask(*WHAT_IF)
    for row in answer["results"]:
        assert set(row) == {"metric", "before", "after", "change", "change_fraction"}
    assert set(answer["summary"]) >= {"binding_before", "binding_after", "winner_before", "winner_after"}


@pytest.mark.parametrize("name", COMMANDS)
def test_formats_agree(name: str) -> None:
    """CSV has keys of JSON and its numbers, unrounded; a table shows them; a pipe gets CSV."""
    rows = ask(*COMMANDS[name])["results"]
    table = list(csv.DictReader(io.StringIO(command(*COMMANDS[name], "--format", "csv").out)))
    assert all(set(row) <= set(rows[0]) for row in table)
    whole = command(*COMMANDS[name], "--format", "csv", "--all-columns").out.splitlines()[0]
    assert {key.partition(".")[0] for key in whole.split(",")} == set(rows[0])
    key = "before" if name == "what-if" else "tokens_per_s_per_device"
    assert [float(row[key]) for row in table if row[key]] == [
        row[key] for row in rows if row[key] is not None
    ]
    for form in ("table", "markdown"):
        assert command(*COMMANDS[name], "--format", form).status == 0
    piped = command(*COMMANDS[name])
    assert piped.out.splitlines()[0].split(",")[0] == next(iter(rows[0]))
    assert piped.err


def test_the_mode_follows_from_the_devices() -> None:
    assert ask(*PREDICT)["results"][0]["mode"] == "ep"
    assert ask(*AFD)["results"][0]["mode"] == "afd"
    both = ask(*AFD, "--mode", "afd")["results"][0]
    total = ask(
        "predict", *BASE, "--mode", "afd", "--devices", "160", "--attention-devices", "96", "--batch", "96"
    )["results"][0]
    assert both == total
    assert (both["n_devices"], both["n_attention_devices"], both["n_ffn_devices"]) == (160, 96, 64)


def test_groups_of_different_systems() -> None:
    """Attention on H20, experts on H800: both parts are named, and each does what it does best."""
    pair = ("--attention-system", "h20", "--ffn-system", "h800")
    answer = ask(*AFD, *pair)
    assert (answer["inputs"]["attention_system"], answer["inputs"]["ffn_system"]) == ("h20", "h800")
    mixed, alone = answer["results"][0]["breakdown"], ask(*AFD)["results"][0]["breakdown"]
    assert mixed["ffn_us"] == alone["ffn_us"]
    assert mixed["attention_us"] != alone["attention_us"]
    (ep, afd), plain = ask(*COMPARE, *pair)["results"], ask(*COMPARE)["results"]
    assert ep == plain[0]  # expert parallelism runs on the system bought
    assert afd["tokens_per_s_per_device"] != plain[1]["tokens_per_s_per_device"]
    flipped = ask(*COMPARE, "--attention-system", "h800", "--ffn-system", "h20")["results"][1]
    assert flipped["tokens_per_s_per_device"] != afd["tokens_per_s_per_device"]


BAD = {
    "unknown system": (("predict", "--system", "h80", "--model", "step-3"), "unknown system 'h80'; did you"),
    "unknown model": (
        ("compare", "--system", "h800", "--model", "step-9"),
        "unknown model 'step-9'; did you",
    ),
    "unknown group": ((*COMPARE, "--attention-system", "h21"), "unknown system 'h21'; did you mean 'h20'"),
    "no system": (("compare", "--model", "step-3"), "Missing option '--system'"),
    "no batch": (("predict", *BASE, "--devices", "128"), "--batch is missing"),
    "no devices": (("predict", *BASE, "--batch", "128"), "--devices is missing"),
    "no groups": (
        ("predict", *BASE, "--batch", "9", "--mode", "afd"),
        "--attention-devices and --ffn-devices are needed",
    ),
    "groups do not add up": ((*AFD, "--devices", "100"), "--devices 100 is not the sum of 96"),
    "negative batch": ((*PREDICT, "--batch", "-4"), "--batch -4 must be a whole number from 1"),
    "no sequences": ((*PREDICT, "--batch", "0"), "--batch 0 must be a whole number from 1"),
    "half a sequence": ((*PREDICT, "--batch", "1.5"), "'1.5' is not a whole number"),
    "batch of nan": ((*PREDICT, "--batch", "nan"), "'nan' is not a whole number"),
    "batch without end": ((*PREDICT, "--batch", "9" * 400), "is not a finite number"),
    "too many devices": (("predict", *BASE, "--devices", "1000001", "--batch", "1"), "from 1 to 1,000,000"),
    "no time": ((*PREDICT, "--tpot-ms", "0"), "--tpot-ms 0 must be above 0"),
    "time of nan": ((*COMPARE, "--tpot-ms", "nan"), "--tpot-ms nan is not a finite number"),
    "time without end": ((*COMPARE, "--tpot-ms", "1e400"), "--tpot-ms inf is not a finite number"),
    "gap above the target": ((*COMPARE, "--gap-ms", "50"), "it must be above --gap-ms 50"),
    "more accepted than drafted": (
        (*PREDICT, "--accept-length", "3", "--draft-tokens", "1"),
        "--accept-length 3 exceeds the 2 tokens of a step",
    ),
    "drafts below none": ((*PREDICT, "--draft-tokens", "-1"), "--draft-tokens -1 must be a whole number"),
    "groups of one": (
        (*PREDICT, "--mode", "ep", "--ffn-devices", "8"),
        "--ffn-devices belongs to --mode afd",
    ),
    "unknown mode": ((*PREDICT, "--mode", "epp"), "--mode 'epp' is not valid; did you mean 'ep'"),
    "three halves": ((*PREDICT, "--microbatches", "3"), "--microbatches 3: expert parallelism overlaps two"),
    "micro-batches of the plugin": (
        (*COMPARE, "--deployable-with", "vllm-afd-plugin", "--microbatches", "3"),
        "--microbatches 3 cannot run with vllm-afd-plugin",
    ),
    "unknown software": (
        (*COMPARE, "--deployable-with", "vlm"),
        "--deployable-with 'vlm' is not valid; did you mean 'vllm'",
    ),
    "sizes any time": (("what-if", *BASE, "--change", "any_size=soon"), "--any-size 'soon' must be true"),
    "unknown transport": ((*COMPARE, "--transport", "paris"), "--transport 'paris' is not valid; did you"),
    "unknown format": ((*COMPARE, "--kv-precision", "fp9"), "--kv-precision 'fp9' is not a precision"),
    "balance above one": ((*COMPARE, "--sigma-ep", "1.1"), "--sigma-ep 1.1 must be at most 1"),
    "no balance": ((*COMPARE, "--sigma-dp", "0"), "--sigma-dp 0 must be at least 0.001"),
    "no context": ((*COMPARE, "--context", "0"), "--context 0 must be a whole number from 1"),
    "huge context": ((*COMPARE, "--context", "1000000000"), "from 1 to 100,000,000"),
    "nothing changes": (
        ("what-if", *BASE),
        "nothing changes: give --change KEY=VALUE; --set holds before and after",
    ),
    "set alone": (("what-if", *BASE, "--set", "top_k=4"), "nothing changes: give --change KEY=VALUE"),
    "changed for nothing": (
        ("what-if", *BASE, "--change", "mtp_layers=3"),
        "--draft-tokens and --accept-length",
    ),
    "unknown change": (("what-if", *BASE, "--change", "tpot_mss=3"), "did you mean 'tpot_ms'"),
    "unknown value changes": (("what-if", *BASE, "--change", "fp8_tflop=3"), "did you mean 'fp8_tflops'"),
    "changed to an unknown model": (("what-if", *BASE, "--change", "model=step"), "unknown model 'step'"),
    "changed to no number": (("what-if", *BASE, "--change", "tpot_ms=soon"), "--tpot-ms 'soon' is not a"),
    "changed to half a token": (
        ("what-if", *BASE, "--change", "context=9.5"),
        "--context 9.5 must be a whole",
    ),
    "changed out of bounds": (("what-if", *BASE, "--change", "top_k=0"), "top_k: 0 must be at least 1"),
    "change without a value": (("what-if", *BASE, "--change", "tpot_ms"), "'tpot_ms' is not KEY=VALUE"),
}


def _says(outcome: Outcome, *, status: int, says: str) -> None:
    assert (outcome.status, outcome.out) == (status, ""), outcome.err
    assert says in outcome.complaint
    assert outcome.complaint.isprintable()


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    arguments, says = BAD[what]
    _says(command(*arguments), status=2, says=says)


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "../../etc/passwd", "x" * 10_000, "a\nb", "", "h800;ls", "\u202e"]
)
def test_hostile_names(hostile: str) -> None:
    """Names are escaped and cut; nothing of them reaches the terminal or the file system."""
    for arguments in (
        ("compare", "--system", hostile, "--model", "step-3"),
        ("compare", "--system", "h800", "--model", hostile),
        (*COMPARE, "--ffn-system", hostile),
        ("what-if", *BASE, "--change", f"model={hostile}"),
    ):
        outcome = command(*arguments)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.complaint.isprintable()
        assert len(outcome.complaint) < 1000


REFUSED = {
    "not what the plugin runs": (
        (*AFD[:-6], "--attention-devices", "64", "--ffn-devices", "96", *AFD[-2:], *PLUGIN),
        "binding is ratio granularity: vllm-afd-plugin needs as many attention devices as FFN devices",
        "nearest: --attention-devices 96 --ffn-devices 96",
    ),
    "nodes of a library": (
        (*PREDICT, "--devices", "192", "--deployable-with", "deepep-v1-normal"),
        "binding is limits of exchange kernels: deepep-v1-normal: 24 nodes of 8 are none of 2, 3, 4, 6, 8",
        "nearest: --devices 160; --any-size lifts that",
    ),
    "libraries of an engine": (
        (*PREDICT, "--devices", "192", "--engine", "vllm", "--redundant-experts", "0"),
        "binding is limits of exchange kernels: vllm: deepep-v1-low-latency (256 experts do not divide",
        "nearest: --devices 128",
    ),
    "tokens of a library": (
        (*PREDICT, "--batch", "1024", "--context", "64", "--deployable-with", "deepep-v1-low-latency"),
        "512 tokens a device exceed 511; --batch 1,022 fits",
        "--any-size lifts that",
    ),
    "library of other parts": (
        (*COMPARE, "--deployable-with", "mori"),
        "binding is limits of exchange kernels",
        "mori does not run on these parts",
    ),
    "no size of a library": (
        (*COMPARE, "--devices", "192", "--deployable-with", "deepep-v1-normal"),
        "binding is limits of exchange kernels: those that hold the model are none that the software runs",
        "nearest: --devices 160",
    ),
    "memory of one device": ((*PREDICT, "--devices", "8"), "binding is HBM capacity", "devices hold them"),
    "memory of FFN devices": ((*AFD, "--ffn-devices", "3"), "binding is HBM capacity", "FFN devices hold"),
    "batch beyond memory": ((*PREDICT, "--batch", "9999"), "binding is HBM capacity", "--batch "),
    "context beyond memory": ((*PREDICT, "--context", "5000000"), "binding is HBM capacity", "tokens would"),
    "latency of one": ((*PREDICT, "--tpot-ms", "40"), "binding is the latency target", "--batch "),
    "latency of both": (("compare", *BASE, "--tpot-ms", "2"), "binding is latency target", "the least is"),
    "memory of both": ((*COMPARE, "--max-devices", "8"), "binding is HBM capacity", "16 devices hold it"),
    "odd devices": ((*COMPARE, "--devices", "11"), "binding is ratio granularity", "no whole number"),
    "after the change": (("what-if", *BASE, "--change", "tpot_ms=2"), "after the change", "latency target"),
    "before the change": (
        ("what-if", *BASE, "--tpot-ms", "2", "--change", "tpot_ms=50"),
        "before the change",
        "latency target",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_answer_is_no(what: str) -> None:
    """Exit status 1, nothing on stdout, and a line that names what binds and what would do."""
    arguments, binding, nearest = REFUSED[what]
    outcome = command(*arguments)
    _says(outcome, status=1, says=binding)
    assert nearest in outcome.complaint


def _after(complaint: str, words: str) -> list[str]:
    """Return the numbers a complaint names after some words."""
    return re.findall(re.escape(words) + r" ([\d.]+)", complaint)


def test_the_batch_named_is_the_largest() -> None:
    """Of a deployment that is too full or too slow, the batch named has an answer and one more has none."""
    for asked in (("--batch", "9999"), ("--tpot-ms", "40")):
        (batch,) = _after(command(*PREDICT, *asked).complaint, "--batch")
        others = asked if asked[0] != "--batch" else ()
        assert command(*PREDICT, *others, "--batch", batch).status == 0
        assert command(*PREDICT, *others, "--batch", str(int(batch) + 1)).status == 1


@pytest.mark.parametrize("devices", [64, 72, 88, 120, 128, 160])
def test_the_latency_named_for_a_deployment_is_feasible(devices: int) -> None:
    """Too slow even for one sequence: with the latency named, the same deployment has an answer."""
    asked = ("predict", *BASE, "--devices", str(devices), "--batch", "1")
    (nearest,) = _after(command(*asked, "--tpot-ms", "2").complaint, "the nearest feasible is --tpot-ms")
    assert command(*asked, "--tpot-ms", nearest).status == 0


@pytest.mark.parametrize("context", [1000, 3000, 4096, 5000, 8000, 20000])
def test_the_latency_named_for_both_modes_is_feasible(context: int) -> None:
    """Asked for again with the least latency named, the mode has a deployment."""
    asked = ("compare", *BASE, "--context", str(context))
    named = _after(command(*asked, "--tpot-ms", "2").complaint, "the least is")
    assert len(named) == 2
    for index, least in enumerate(named):
        outcome = command(*asked, "--tpot-ms", least, "--format", "json")
        assert outcome.status == 0, outcome.err
        assert outcome.answer["results"][index]["feasible"]


def test_the_devices_named_hold_the_model() -> None:
    """Too few: the count named has an answer, and one device less has none."""
    least = min(
        re.findall(r"(\d+) devices hold it", command(*COMPARE, "--max-devices", "8").complaint), key=int
    )
    assert command(*COMPARE, "--max-devices", least).status == 0
    assert command(*COMPARE, "--max-devices", str(int(least) - 1)).status == 1
    complaint = command(*PREDICT, "--devices", "8").complaint
    (least,) = re.findall(r"(\d+) devices hold them", complaint)
    smallest = ("predict", *BASE, "--batch", "1", "--devices")
    assert command(*smallest, least).status == 0
    assert command(*smallest, str(int(least) - 1)).status == 1


def test_a_batch_that_no_memory_holds_is_not_blamed_on_the_context() -> None:
    """A million sequences a device: fewer would fit, and the answer is to say so."""
    outcome = command(*COMPARE, "--batch", "1000000")
    _says(outcome, status=1, says="binding is HBM capacity")
    assert "not even the shortest context fits" not in outcome.complaint


@pytest.mark.parametrize("name", ["compare", "predict"])
def test_no_warnings_beyond_a_fabric(name: str, tmp_path: Path) -> None:
    """512 devices where nothing leaves a domain of 256: one line, whatever the mode."""
    asked = {
        "compare": ("--devices", "512"),
        "predict": ("--attention-devices", "256", "--ffn-devices", "256", "--batch", "4"),
    }[name]
    shipped = (files("hardware_db") / "systems" / "tpu-v6e.toml").read_text("utf-8")
    alone = shipped.replace('scale_out = "google-dcn-v6e"', "replaces = true")
    (tmp_path / "tpu-v6e.toml").write_text(alone, "utf-8")
    where = ("--hardware-db", str(tmp_path), "--system", "tpu-v6e")
    outcome = command(name, *where, "--model", "deepseek-v3", *asked)
    _says(outcome, status=1, says="fabric")


def test_a_cluster_too_large_to_search_is_refused_in_one_line() -> None:
    """Of 200,000 devices there are as many splits into two groups."""
    _says(command(*COMPARE, "--devices", "200000"), status=2, says="valid up to 4096")


def test_devices_that_contradict_each_other() -> None:
    """Under expert parallelism all devices attend: 128 of which 64 attend cannot be."""
    outcome = command("predict", *BASE, "--mode", "ep", *("--devices", "128"), *("--attention-devices", "64"),
                      "--batch", "8")  # fmt: skip
    assert outcome.status == 2, outcome.out


QUESTION = 'system = "h800"\nmodel = "deepseek-v3"\ndevices = 128\nbatch = 96\n'


def _file(folder: Path, text: str) -> tuple[str, str]:
    path = folder / "question.toml"
    path.write_text(text, "utf-8")
    return "--scenario", str(path)


def test_scenario_files_give_options(tmp_path: Path) -> None:
    """The same answer as the options themselves; the command line wins; `set` may be a table."""
    held = _file(tmp_path, QUESTION)
    assert ask("predict", *held)["results"] == ask(*PREDICT)["results"]
    assert ask("predict", *held, "--batch", "64")["results"] == ask(*PREDICT, "--batch", "64")["results"]
    assert ask("predict", *held, "--model", "step-3")["inputs"]["model"] == "step-3"
    mode = _file(tmp_path, QUESTION + 'mode = "afd"\nffn-devices = 64\n')
    assert ask("predict", *mode)["results"][0]["n_attention_devices"] == 64
    override = _file(tmp_path, QUESTION + "[set]\nfp8_tflops = 1000\n[set.attention.full]\nheads = 64\n")
    flags = ("--set", "fp8_tflops=1000", "--set", "attention.full.heads=64")
    answer = ask("predict", *override)
    assert answer["results"] == ask(*PREDICT, *flags)["results"]
    assert answer["inputs"]["values"]["fp8_tflops"]["kind"] == GIVEN
    changed = ask(
        "what-if",
        *_file(tmp_path, 'system = "h800"\nmodel = "step-3"\nmax-devices = 32\n'),
        "--change",
        "tpot_ms=80",
    )
    same = ask(
        "what-if",
        *("--system", "h800", "--model", "step-3", "--max-devices", "32"),
        *("--change", "tpot_ms=80"),
    )
    assert changed["results"] == same["results"]
    base = _file(tmp_path, QUESTION + "[set]\nscale_out_gb_per_s = 100\n")  # of the baseline, not the change
    found = ask("what-if", *base, "--change", "batch=64")
    given = ("--devices", "128", "--batch", "96", "--base-set", "scale_out_gb_per_s=100")
    assert found["results"] == ask("what-if", *BASE, *given, "--change", "batch=64")["results"]
    assert found["summary"]["changes"] == {"batch": "64"}


BAD_FILES = {
    "unknown key": (QUESTION + "bacth = 3\n", "unknown option 'bacth'; did you mean 'batch'"),
    "no TOML": ("batch = = 3", "is no TOML"),
    "table for a number": (QUESTION + "[context]\na = 3\n", "context must be one number or text"),
    "truth for a number": (QUESTION + "context = true\n", "context must be one number or text"),
    "text for a number": (QUESTION + 'context = "long"\n', "'long' is not a whole number"),
    "part of a token": (QUESTION + "context = 4096.7\n", "4096.7"),
    "no number": (QUESTION + "tpot_ms = nan\n", "--tpot-ms nan is not a finite number"),
    "count without end": (QUESTION + "context = inf\n", "inf"),
    "out of bounds": (QUESTION + "context = -3\n", "--context -3 must be a whole number"),
    "unknown system": (QUESTION.replace("h800", "h80"), "unknown system 'h80'"),
    "unknown value": (QUESTION + "[set]\nfp8_tflop = 3\n", "unknown key 'fp8_tflop'"),
    "no such catalogue": (QUESTION + 'hardware_db = "none.toml"\n', "none.toml' does not exist"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_scenario_files_get_one_line(what: str, tmp_path: Path) -> None:
    text, says = BAD_FILES[what]
    _says(command("predict", *_file(tmp_path, text)), status=2, says=says)


def test_a_missing_scenario_file(tmp_path: Path) -> None:
    outcome = command("compare", "--scenario", str(tmp_path / "none.toml"))
    _says(outcome, status=2, says="cannot be read: No such file")
