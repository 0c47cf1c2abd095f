"""What SECURITY.md promises: that the tests it names exist, and those promises that have no other test."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from roofline_afd.cli.app import COMMANDS
from tests.analysis.evidence.operators.times import synthetic
from tests.conftest import ONE_PLAN_OPTIONS, ROOT, command

PACKAGE = ROOT / "roofline_afd"
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
RUNS_DATA = {
    *("pickle.load", "pickle.Unpickler", "marshal.loads", "marshal.load", "shelve.open", "yaml.load"),
    *("yaml.unsafe_load", "os.system", "os.popen", "numpy.load", "np.load", "runpy.run_path"),
    *("pd.read_pickle", "pandas.read_pickle", "joblib.load"),
}
OF_OUR_OWN = {"analysis/sweep/sweep.py", "analysis/sweep/plan.py"}
"""Files that unpickle what this program itself has sent to its workers, or they to it."""
CONNECTS = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "requests",
    "ftplib",
    "smtplib",
    "aiohttp",
    "websockets",
    "httpx",
}
ASK = ("--system", "h800", "--model", "deepseek-v3")
LENGTHS = ("--isl", "512", "--osl", "128", "--devices", "16", *ONE_PLAN_OPTIONS)
SMALL = ("--max-devices", "16", *ONE_PLAN_OPTIONS)
TIMES = ("--coefficients", ".00165,50,.083,100,.022,20", "--batch", "8")
QUESTIONS = {
    "compare": (*ASK, *SMALL),
    "what-if": (*ASK, *SMALL, "--change", "memory_gb=141"),
    "sensitivity": (*ASK, "--devices", "16", *SMALL),
    "predict": (*ASK, "--devices", "128", "--batch", "8"),
    "roofline": (*ASK, "--ffn-nodes", "1:4"),
    "imbalance": (*ASK[2:], "--attention-nodes", "4", "--ffn-nodes", "2", "--zipf", "1", "--batches", "10"),
    "provision": (*TIMES, "--prompt-mean", "100", "--decode-mean", "50"),
    "simulate": (*TIMES, "--prompt-mean", "100", "--decode-mean", "50", "--requests", "100", "--r", "2"),
    "explore": (*ASK, *LENGTHS),
    "load": (*ASK, *LENGTHS, "--requests-per-s", "1"),
    "procure": ("--systems", "h800", *ASK[2:], "--demand", "1e4", *SMALL),
    "deploy": (*ASK, "--devices", "32", "--batch", "8", "--for", "vllm"),
    "sweep": (*ASK, "--of", "roofline", "--axis", "ffn_nodes=1:4"),
    "explain": ("hfu",),
    "validate": ("--operators", "times.csv"),
    "calibrate": ("times.csv",),
    "plot": ("dead-zone", *ASK, "--ffn-nodes", "1:4", "--output", "x.json"),
    "hardware": ("list",),
    "models": ("show", "deepseek-v3"),
}


def _suspicious(words: set[str]) -> Iterator[tuple[str, ast.Module]]:
    """Yield the files that hold one of some words: name and syntax."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        if any(word in text for word in words):
            yield path.relative_to(PACKAGE).as_posix(), ast.parse(text)


def test_nothing_runs_what_a_file_says() -> None:
    words = {f"{each}(" for each in RUNS_CODE | RUNS_DATA} | {"pickle", "subprocess"}
    found = list(_suspicious(words))
    assert found
    for name, tree in found:
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & (RUNS_CODE | RUNS_DATA), name
        assert not any(call.startswith("subprocess.") for call in calls), name
        assert "pickle.loads" not in calls or name in OF_OUR_OWN, name


def test_one_file_alone_connects() -> None:
    """The one that hands work to a cluster which the user names."""
    found = set()
    for file, tree in _suspicious(CONNECTS):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.partition(".")[0] for name in names} & CONNECTS:
                found.add(file)
    assert found == {"analysis/sweep/runners.py"}


def test_every_command_is_asked() -> None:
    """But for the report, which takes long: no test of it may connect to another machine, as no other may."""
    assert {*QUESTIONS, "report"} == set(COMMANDS)


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_command_connects(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[object] = []

    def refuse(*given: object, **_: object) -> None:
        tried.append(given)
        raise OSError("no network")

    for owner, function in (
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
        (socket.socket, "bind"),
        (socket.socket, "sendto"),
        (socket, "create_connection"),
        (socket, "getaddrinfo"),
    ):
        monkeypatch.setattr(owner, function, refuse)
    monkeypatch.chdir(tmp_path)
    synthetic(tmp_path / "times.csv")
    done = command(name, *QUESTIONS[name])
    assert done.status in {0, 1}, done.err
    assert not tried


def _floors() -> dict[str, str]:
    """Return the oldest version that SECURITY.md names of each library."""
    return dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))


def test_floors_lie_above_known_faults() -> None:
    """Every library of the table has its floor wherever it is asked for, and here too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lists = {
        "dependencies": project["project"]["dependencies"],
        **project["project"]["optional-dependencies"],
        "dev": project["dependency-groups"]["dev"],
    }
    floors = _floors()
    assert len(floors) >= 8
    for name, floor in floors.items():
        asked = [
            (where, requirement)
            for where, listed in lists.items()
            for requirement in map(Requirement, listed)
            if requirement.name.replace("dask", "distributed") == name.replace("dask", "distributed")
        ]
        assert asked, name
        for where, requirement in asked:
            (bound,) = requirement.specifier
            assert bound.operator == ">=", (where, name)
            assert Version(bound.version) >= Version(floor), (where, name)
        assert Version(importlib.metadata.version(name)) >= Version(floor), name


def test_every_promise_names_tests_that_exist() -> None:
    promises = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(promises) >= 6
    for line in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", line)
        assert named, line
        for file, function in named:
            text = (ROOT / file).read_text("utf-8")
            assert not function or f"def {function}(" in text, (file, function)
