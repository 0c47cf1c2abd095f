"""What a call loads and builds: its own command, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from roofline_afd.cli.app import COMMANDS, shelf

LOADED = """
import contextlib, io, json, sys
import roofline_afd.cli
with contextlib.redirect_stdout(io.StringIO()):
    status = roofline_afd.cli.run(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]))
"""
PREDICT = ("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "128", "--batch", "128")


def _loaded(*words: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], check=True, capture_output=True, text=True, env=os.environ
    )
    status, names = json.loads(done.stdout)
    return status, set(names)


def test_a_command_loads_no_other() -> None:
    status, names = _loaded(*PREDICT)
    assert status == 0
    found = {name.removeprefix("roofline_afd.cli.") for name in names if name.startswith("roofline_afd.cli.")}
    assert found & {name.replace("-", "_") for name in COMMANDS} == {"predict"}
    assert not names & {"pandas", "altair", "pydantic"}


@pytest.mark.parametrize("words", [("--help",), ("plot", "--help"), ("explore", "--help")])
def test_help_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    status, names = _loaded(*words)
    assert status == 0
    assert not names & {"numpy", "pandas", "altair", "pydantic"}


def test_every_command_is_in_the_file_of_its_name() -> None:
    assert list(shelf) == list(COMMANDS)
    for name in COMMANDS:
        assert shelf[name].name == name
