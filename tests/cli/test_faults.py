"""What a hostile surrounding does to a command: one line and an exit status, never a fault of the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roofline_afd import InputError, Scenario
from tests.conftest import ROOT, command

BASE = ("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "128", "--batch", "64")


def _program(*arguments: str, flags: tuple[str, ...] = (), stdin: int | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *flags, "-m", "roofline_afd", *arguments],
        cwd=ROOT,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_loop_of_links_is_no_place_for_an_answer(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    assert "cannot be written" in command(*BASE, "--output", str(loop)).complaint


def test_a_pipe_is_no_scenario(tmp_path: Path) -> None:
    """It is refused at once: reading it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "pipe.toml")
    assert "is no regular file" in command(*BASE, "--scenario", str(tmp_path / "pipe.toml")).complaint


def test_standard_input_that_is_closed() -> None:
    program = "[sys.executable, '-m', 'roofline_afd', *sys.argv[1:]]"
    script = f"import os, sys; os.close(0); os.execv(sys.executable, {program})"
    done = subprocess.run(
        [sys.executable, "-c", script, "models", "import", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "standard input is closed" in done.stderr


def test_docstrings_that_are_left_out() -> None:
    """Under -OO help and answers are there."""
    for words in (("--help",), ("compare", "--help"), BASE):
        status, said = _program(*words, flags=("-OO",))
        assert status == 0, said


@pytest.mark.parametrize("text", ["1__0", "1_", "1" * 2000])
def test_numbers_that_are_none(text: str) -> None:
    assert command(*BASE, "--set", f"memory_gb={text}").status == 2


def test_a_refusal_of_lengths_without_end() -> None:
    """Prompts of a million tokens and one token out: what binds, and no number that is infinite."""
    done = command(
        *("explore", "--system", "h100-spectrum-x-400", "--model", "mixtral-8x7b", "--tpot-ms", "200"),
        *("--microbatches", "4", "--devices", "7", "--workload", "chat", "--isl", "1000000", "--osl", "1"),
    )
    assert done.status == 1
    assert "binding is prefill share of steps" in done.complaint


def test_more_devices_than_a_search_may_have() -> None:
    asked = ("compare", "--system", "h800", "--model", "deepseek-v3", "--devices", "384")
    assert (
        "--devices 384 is more than the --max-devices 16" in command(*asked, "--max-devices", "16").complaint
    )


@pytest.mark.parametrize("wrong", [None, 3, ["h800"], {"id": "h800"}])
def test_python_is_told_what_is_no_system(wrong: object) -> None:
    with pytest.raises(InputError, match="is no id, and no system that was loaded"):
        Scenario(system=wrong, model="deepseek-v3")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is no id, and no model that was loaded"):
        Scenario(system="h800", model=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("RLIMIT_AS, (3 * 10**9, -1)", "GB of address space to draw"),
        ("RLIMIT_NOFILE, (16, 16)", "32 open files"),
    ],
)
def test_limits_that_would_end_what_draws(limit: str, says: str, tmp_path: Path) -> None:
    """It would end the whole process: refused before the work."""
    picture = str(tmp_path / "zone.png")
    words = ("plot", "dead-zone", "--system", "h800", "--model", "deepseek-v3", "--output", picture)
    script = (
        "import resource, sys\n"
        "from roofline_afd.cli import main\n"
        f"resource.setrlimit(resource.{limit})\n"
        "main()\n"
    )
    asked = (sys.executable, "-c", script, *words)
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
