"""Files that cannot be written, or that two write: whole or not at all, and told in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roofline_afd import Catalogue, Scenario, load_system
from roofline_afd.analysis.sweep import runners
from roofline_afd.analysis.sweep import sweep as module
from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.analysis.sweep.runners import Job, LostError
from roofline_afd.analysis.sweep.store import Store
from roofline_afd.documents import folder_held
from roofline_afd.errors import InputError
from roofline_afd.view.tables import write_file, write_files
from tests.analysis.evidence.operators.times import synthetic
from tests.catalogue.test_reading import ACCELERATOR
from tests.conftest import command

ASK = ("--system", "h800", "--model", "deepseek-v3")
PREDICT = ("predict", *ASK, "--devices", "128", "--batch", "8")
PLOT = ("plot", "dead-zone", *ASK, "--ffn-nodes", "1:4")
SWEEP = ("sweep", *ASK, "--of", "roofline", "--axis", "ffn_nodes=1:400")
SIMULATE = (
    *("simulate", "--coefficients", ".00165,50,.083,100,.022,20", "--batch", "8", "--prompt-mean", "100"),
    *("--decode-mean", "50", "--requests", "200"),
)


@contextlib.contextmanager
def _full_disk(most: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before, kept = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python would keep half of a module's bytecode, for all that come after
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = kept


WRITES = {
    "csv": (*PREDICT, "--output", "x.csv"),
    "json": (*PREDICT, "--output", "x.json"),
    "markdown": (*PREDICT, "--output", "x.md"),
    "workbook": (*PREDICT, "--output", "x.xlsx"),
    "text": (*PREDICT, "--output", "x.txt"),
    "picture": (*PLOT, "--output", "x.json"),
    "kept answer": (*PLOT, "--save-answer", "x.json"),
    "series": (*SIMULATE, "--series", "x.csv"),
    "launch files": ("deploy", *ASK, "--devices", "32", "--batch", "8", "--for", "vllm", "--folder", "made"),
    "records": ("calibrate", "../times.csv", "--output", "made"),
    "rows of a sweep": (*SWEEP, "--output", "x.csv"),
    "rows of a sweep as parquet": (*SWEEP, "--output", "x.parquet"),
    "what a sweep is reduced to": (*SWEEP, "--reduce", "best:hfu", "--output", "x.json"),
}


def _folder(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder, with what the command reads beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if what == "records":
        synthetic(tmp_path / "times.csv")
    return folder


@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_leaves_nothing(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for finished blocks of a sweep, which are told and go on."""
    folder = _folder(what, tmp_path, monkeypatch)
    with _full_disk(70):
        done = command(*WRITES[what])
    assert done.status == 2, done.err
    assert done.out == "" or what in {"kept answer", "series"}
    assert "cannot be written" in done.complaint
    assert "File too large" in done.complaint
    left = [path.name for path in folder.rglob("*")]
    assert set(left) <= {"sweep.json", "x.csv.parts", "x.parquet.parts", "x.json.parts"}


@pytest.mark.parametrize("what", WRITES)
def test_a_place_below_a_file_is_refused(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder that must not be written to, which the superuser may."""
    folder = _folder(what, tmp_path, monkeypatch)
    (folder / "file").write_text("", "utf-8")
    done = command(*WRITES[what][:-1], f"file/{WRITES[what][-1]}")
    assert (done.status, done.out) == (2, "")
    assert "file" in done.complaint
    assert [path.name for path in folder.rglob("*")] == ["file"]


def test_a_folder_of_others_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the superuser's is to anybody else."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = command(
        "report", "--systems", "h800", *ASK[2:], "--demand", "1e6", "--output", str(tmp_path / "x.html")
    )
    assert (done.status, done.out) == (2, "")
    assert "its folder is not yours to write" in done.complaint


def test_two_write_a_folder_one_after_the_other(tmp_path: Path) -> None:
    """The files are those of one of them, whoever is last; never some of each."""
    texts = [{f"{number}.txt": f"{who}\n" * 2000 for number in range(20)} for who in "ab"]
    threads = [
        threading.Thread(
            target=write_files, args=(tmp_path, each), kwargs={"force": True, "option": "--folder"}
        )
        for each in texts * 4
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    held = {path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert len(held) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --force; of several files those that were put already are taken back."""
    link = os.link

    def late(source: str | Path, target: Path) -> None:
        if target.name == "b.txt":
            target.write_text("theirs", "utf-8")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(InputError, match=r"b\.txt' exists; --force replaces it"):
        write_files(tmp_path, {"a.txt": "ours", "b.txt": "ours"}, force=False, option="--folder")
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("b.txt", "theirs")]
    with pytest.raises(InputError, match="exists"):
        write_file(tmp_path / "b.txt", b"ours", force=False)


@pytest.mark.parametrize("resume", [False, True])
def test_two_sweeps_of_one_file_are_refused(resume: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """While one is at work; when it has ended, however it did, another goes on."""
    output = tmp_path / "x.csv"
    with Store(output, "a sweep", resume=False) as first:
        first.keep(0, b"1\n")
        with pytest.raises(InputError, match="is being written by another sweep"):
            Store(output, "a sweep", resume=resume)
        first.keep(1, b"2\n")
    with Store(output, "a sweep", resume=True) as second:
        assert second.done() == {0, 1}


def test_a_sweep_waits_for_no_other_program(tmp_path: Path) -> None:
    """The command says it in a line, and leaves what the other has."""
    output = tmp_path / "x.csv"
    words = (*SWEEP, "--output", str(output))
    folder = tmp_path / "x.csv.parts"
    folder.mkdir()
    with folder_held(folder, wait=False):
        assert "is being written by another sweep" in command(*words).complaint
        assert "is being written by another sweep" in command(*words, "--resume").complaint
    assert command(*words).status == 0
    assert len(output.read_text("utf-8").splitlines()) == 401


def test_blocks_of_other_records_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of the user's that has changed meanwhile makes another sweep of the same question."""
    asked = Sweep(
        Scenario(system="h800", model="deepseek-v3"),
        of="roofline",
        axes={"ffn_nodes": [1, 2]},
        runner="serial",
    )
    question = dataclasses.replace(asked, file=tmp_path / "x.csv")

    def stops(_: str, job: Job) -> Iterator[tuple[int, bytes]]:
        yield next(runners.run("serial", job))
        raise LostError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(module, "run", stops)
        with pytest.raises(InputError, match="1 finished blocks are kept"):
            module.sweep(question)
    (tmp_path / "mine.toml").write_text(ACCELERATOR.format(fp8=1), "utf-8")
    system = load_system("h800", catalogue=Catalogue([tmp_path / "mine.toml"]))
    other = dataclasses.replace(question, scenario=Scenario(system=system, model="deepseek-v3"), resume=True)
    with pytest.raises(InputError, match="of another sweep"):
        module.sweep(other)
    module.sweep(dataclasses.replace(question, resume=True))
    assert (tmp_path / "x.csv").exists()
