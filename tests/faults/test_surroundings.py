"""Where a command runs: in another locale, without a home, short of something, heard by nobody."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roofline_afd.catalogue import store
from roofline_afd.cli import _failed, run
from tests.conftest import ROOT, command

ASK = ("--system", "h800", "--model", "deepseek-v3")
SIGNS = ("compare", *ASK, "--max-devices", "16", "--format", "markdown")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "cannot allocate memory"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many open files"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
)
def test_what_runs_short_is_named(error: Exception, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _failed(error) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_another_locale_gets_its_answer(tmp_path: Path) -> None:
    """With question marks for our signs, in a file with them; whatever the names of files are."""
    name = "\u00e4\udcff.md"
    words = (*SIGNS, "--output", str(tmp_path / name))
    with subprocess.Popen(
        [sys.executable, "-m", "roofline_afd", *(os.fsencode(word) for word in words)],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b""), said
    assert said.count(b"\n") == 1
    assert (tmp_path / name).read_text("utf-8")


@pytest.mark.parametrize("what", ["closed", "full", "read by nobody"])
@pytest.mark.parametrize(("batch", "status"), [("8", 0), ("0", 2), ("1000000", 1)])
def test_standard_error_that_takes_nothing(
    what: str, batch: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answer and exit status are as if it were not."""
    reads, writes = os.pipe()
    os.close(reads)
    streams = {"closed": None, "full": Path("/dev/full").open("w"), "read by nobody": os.fdopen(writes, "w")}  # noqa: SIM115
    out = io.StringIO()
    with monkeypatch.context() as patched, contextlib.redirect_stdout(out):
        patched.setattr(sys, "stderr", streams[what])
        assert run(["predict", *ASK, "--devices", "128", "--batch", batch, "--format", "json"]) == status
    assert bool(out.getvalue()) is (status == 0)
    for each in streams.values():
        with contextlib.suppress(OSError):
            if each is not None:
                each.close()


def test_a_home_of_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What may not be looked into is as if it were not there."""

    def refuse(self: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    shut = type("Shut", (type(tmp_path),), {"is_dir": refuse})
    monkeypatch.setattr(store, "user_folder", lambda name: shut(tmp_path / name))
    assert command("models", "list").status == 0


@pytest.mark.skipif(sys.getfilesystemencodeerrors() != "surrogateescape", reason="names of files are texts")
def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    """As bytes of another locale: they are question marks where an answer names them."""
    trace = tmp_path / "\udcff.csv"
    trace.write_text("ContextTokens,GeneratedTokens\n5,6\n7,8\n9,3\n", "utf-8")
    words = (
        "provision",
        "--coefficients",
        ".00165,50,.083,100,.022,20",
        "--batch",
        "8",
        "--trace",
        str(trace),
    )
    done = command(*words, "--output", str(tmp_path / "x.json"))
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["inputs"]["trace"].endswith("/?.csv")
