"""What all tests share."""

from __future__ import annotations

import io
import json
import os
import socket
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from roofline_afd.cli import run
from tests.once import answer_once

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


ONE_PLAN: dict[str, Any] = {
    "tensor_parallel": 1,
    "context_parallel": 1,
    "expert_tensor_parallel": 1,
    "afd_cut": "attention",
}
"""Fields of questions where how devices share a model is not what is tested: the plainest way, no search."""
ONE_PLAN_OPTIONS = (
    *("--tensor-parallel", "1", "--context-parallel", "1", "--expert-tensor-parallel", "1"),
    *("--afd-cut", "attention"),
)
"""The same on the command line."""
APART = (
    "tests/test_docs.py",
    "tests/install/test_wheel.py",
    "tests/analysis/evidence/services/test_fit.py",
    "tests/serving/modes/test_search.py",
    "tests/serving/test_search.py",
    "tests/reporting/test_page.py",
    "tests/analysis/decode/test_what_if.py",
)
"""Files whose tests share little and take long: each test goes to any process. Those of others stay together,
so that what they share is made once."""
TOGETHER = {
    "tests/analysis/evidence/operators/test_collectives.py": "published",
    "tests/analysis/evidence/operators/test_calibrate.py": "published",
    "tests/analysis/evidence/operators/test_record.py": "published",
    "tests/fuzz/test_found.py": "samples",
    "tests/fuzz/test_fuzz.py": "samples",
    "tests/analysis/purchase/test_break_even.py": "close call",
    "tests/analysis/purchase/test_samples.py": "close call",
    "tests/analysis/purchase/test_swings.py": "close call",
    "tests/analysis/purchase/test_variation.py": "close call",
}
"""Files that share what takes a while: by what they share."""
BEGUN_FIRST = (
    "tests/browser/test_site.py",
    "tests/test_docs.py::test_commands",
    "tests/install/test_wheel.py::test_wheel_answers",
    "tests/analysis/purchase/test_break_even.py",
    "tests/analysis/purchase/test_samples.py",
    "tests/analysis/purchase/test_swings.py",
    "tests/analysis/purchase/test_variation.py",
    "tests/analysis/deploy/test_launch.py",
    "tests/analysis/evidence/operators/test_c",
    "tests/browser/",
    "tests/faults/",
    "tests/view/",
    "tests/reporting/",
    "tests/analysis/",
    "tests/cli/",
)
"""Beginnings of what takes longest: begun first, so that no process waits for one of them at the end."""


class Together(LoadScopeScheduling):  # type: ignore[misc]  # a class without types
    """Tests of a file go to one process, and those of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else TOGETHER.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:  # noqa: ANN401 - a producer
    """Let processes share out the tests."""
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""

    def place(item: pytest.Item) -> int:
        found = (index for index, begin in enumerate(BEGUN_FIRST) if item.nodeid.startswith(begin))
        return next(found, len(BEGUN_FIRST))

    items.sort(key=place)


def require(*, present: bool, what: str) -> None:
    """Skip a test whose tool is absent; on the build server, where it must be present, fail it."""
    if not present:
        if os.environ.get("CI"):
            pytest.fail(f"{what} must be present here")
        pytest.skip(f"{what} is absent")


_connect = socket.socket.connect


def _connect_here(opened: socket.socket, address: Any) -> None:  # noqa: ANN401 - one of any family
    """Refuse to connect to another machine: no test needs one, since no command does."""
    far = opened.family in {socket.AF_INET, socket.AF_INET6} and opened.type == socket.SOCK_STREAM
    if far and not str(address[0]).startswith(("127.", "::1", "localhost")):
        pytest.fail(f"connects to {address}")
    _connect(opened, address)


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's overlays, format and terminal out of the tests."""
    for name in ("ROOFLINE_AFD_FORMAT", "ROOFLINE_AFD_HARDWARE_DB", "ROOFLINE_AFD_MODEL_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", _connect_here)
    plain = {"XDG_CONFIG_HOME": "/nonexistent", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "120"}
    for name, value in plain.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each question of a test file be answered once, however often its answer is shown."""
    answer_once(monkeypatch)


class Outcome(NamedTuple):
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON answer on stdout."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    @property
    def complaint(self) -> str:
        """The one line an error is, its frame removed."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("roofline-afd: error: ")
        return lines[0].removeprefix("roofline-afd: error: ")


def command(*arguments: str) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(list(arguments))
    return Outcome(status, out.getvalue(), err.getvalue())


def ask(*arguments: str) -> dict[str, Any]:
    """Run a command that must succeed, and return its JSON answer."""
    outcome = command(*arguments, "--format", "json")
    assert outcome.status == 0, outcome.err
    return outcome.answer


def lives(process: int) -> bool:
    """Return whether a process is there, and not only waits for its end to be taken note of."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
