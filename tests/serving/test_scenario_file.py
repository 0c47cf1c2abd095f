"""Scenario files: what they may hold, in whose place, and what is said of files that are none."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.scenario_file import MAX_BYTES, Known, read_scenario_file, scenario_text

FORMS = {"set": "list", "base_set": "list", "hardware_db": "files", "model_db": "files", "levers": "flag"}
NAMES = ("system", "model", "tpot_ms", "batch", "mode", *FORMS)
OPTIONS = {name: Known("set" if name == "base_set" else name, FORMS.get(name, "one")) for name in NAMES}


def _both(file: Path) -> tuple[dict[str, Any], list[str]]:
    return read_scenario_file(file, options=OPTIONS, elsewhere=lambda: {"isl": "explore", "set": "all"})


def _read(folder: Path, text: str | bytes) -> dict[str, Any]:
    file = folder / "question.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return _both(file)[0]


def test_options_of_a_question(tmp_path: Path) -> None:
    """A key per option, spelt either way; those of a scenario that the command lacks are left out."""
    held = _read(tmp_path, 'system = "h800"\ntpot-ms = 42.5\nbatch = 64\nmode = "ep"\nsigma_ep = 0.9\n')
    assert held == {"system": "h800", "tpot_ms": 42.5, "batch": 64, "mode": "ep"}
    assert _read(tmp_path, "") == {}
    assert _read(tmp_path, b"\xef\xbb\xbfbatch = 3\r\n") == {"batch": 3}  # as some editors save


def test_catalogue_values(tmp_path: Path) -> None:
    """`set` as a table, nested ones dotted, as one text or as many."""
    table = '[set]\nfp8_tflops = 4500\nscale_out_gb_per_s = "800 Gb/s"\n[set.attention.full]\nheads = 64\n'
    assert _read(tmp_path, table) == {
        "set": ["fp8_tflops=4500", "scale_out_gb_per_s=800 Gb/s", "attention.full.heads=64"]
    }
    assert _read(tmp_path, 'set = "top_k=4"') == {"set": ["top_k=4"]}
    both = {"set": ["top_k=4", "vocab_size=9"]}
    assert _read(tmp_path, 'set = "top_k=4"\nbase_set = "vocab_size=9"') == both
    assert _read(tmp_path, 'set = ["top_k=4", "vocab_size=9"]') == both


def test_options_of_other_commands_are_left_out_and_said(tmp_path: Path) -> None:
    """One file serves all commands: what this one does not read is named, with a command that does."""
    file = tmp_path / "question.toml"
    file.write_text("batch = 3\nisl = 1000\nlevers = true\n")
    held, notes = _both(file)
    assert held == {"batch": 3, "levers": True}
    assert len(notes) == 1
    assert "not read here: isl (of explore)" in notes[0]


def test_catalogues_lie_beside_the_file(tmp_path: Path) -> None:
    """Paths count from the file's folder, not from where the command runs."""
    held = _read(tmp_path, 'hardware_db = ["mine", "/elsewhere.toml"]\nmodel-db = "my-model.toml"\n')
    assert held == {
        "hardware_db": [str(tmp_path / "mine"), "/elsewhere.toml"],
        "model_db": [str(tmp_path / "my-model.toml")],
    }


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "unknown": ("bacth = 3", "unknown option 'bacth'; did you mean 'batch'"),
    "a file in a file": ('scenario = "other.toml"', "unknown option 'scenario'"),
    "hostile key": ('"\\u001b[2J" = 3', r"unknown option '\x1b[2J'"),
    "table for a number": ("[batch]\na = 1", "batch must be one number or text"),
    "list for a number": ("batch = [1, 2]", "batch must be one number or text"),
    "truth": ("batch = true", "batch must be one number or text"),
    "number for a flag": ("levers = 1", "levers must be true or false"),
    "date": ("tpot-ms = 1979-05-27", "tpot-ms must be one number or text"),
    "number for overrides": ("set = 3", "set must be text or a list of texts"),
    "numbers for overrides": ("set = [3]", "set must be text or a list of texts"),
    "list in overrides": ("[set]\ntop_k = [8]", "set.top_k must be a number or text"),
    "truth deep in overrides": ("[set.a.b]\nc = true", "set.a.b.c must be a number or text"),
    "number for a catalogue": ("model_db = 3", "model_db must be text or a list of texts"),
    "no TOML": ("batch = = 3", "is no TOML: "),
    "no text": (bytes(range(256)), "is not UTF-8 text"),
    "twice": ("batch = 3\nbatch = 4", "is no TOML: "),
    "bottomless": ("batch = " + "[" * 20_000, "is nested too deeply"),
    "key of many dots": (".".join("a" * 60_000) + " = 1", "a key has at most 50 dots"),
    "number beyond a float": ("tpot-ms = 1" + "0" * 400, "a whole number beyond 64 bits"),
    "number of 5,000 digits": ("tpot-ms = 1" + "0" * 5000, "a whole number beyond 64 bits"),
    "too large": (b"#" * (MAX_BYTES + 1), "is larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_name_file_and_key(what: str, tmp_path: Path) -> None:
    text, says = FAULTS[what]
    with pytest.raises(InputError) as raised:
        _read(tmp_path, text)
    assert says in str(raised.value)
    assert "question.toml" in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.toml", tmp_path / "loop.toml"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path, says in (
        (tmp_path / "none.toml", "cannot be read: No such file"),
        (tmp_path, "is no regular file"),
        (pipe, "is no regular file"),
        (loop, "cannot be read: "),
    ):
        with pytest.raises(InputError, match=says):
            _both(path)


def test_scenario_text_gives_the_same_question(tmp_path: Path) -> None:
    """A scenario file that is read back says what was asked, overrides among it."""
    system = load_system("h800", overrides={"scale_out_gb_per_s": 100.0})
    asked = Scenario(system=system, model="deepseek-v3", tpot_ms=40.0, context=8192, ffn_system="h20")
    text = scenario_text(asked)
    held = tomllib.loads(text)
    assert held["set"] == {"scale_out_gb_per_s": 100.0}
    assert held["tpot_ms"] == 40.0
    assert held["context"] == 8192
    assert held["ffn_system"] == "h20"
    assert "granularity" not in held
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    assert _both(file)[0]["set"] == ["scale_out_gb_per_s=100.0"]
