"""What all tests share."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from roofline_afd.cli import run

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
LONGEST_FIRST = (
    "test_generated_docs_are_current[serving-modes.md]",
    "test_generated_docs_are_current[sweep.md]",
    "test_wheel_answers_in_a_fresh_environment",
    "test_commands_in_the_readme_run",
)
"""Tests that take a minute or more: begun first, so that no process waits for one of them at the end."""


ONE_PROCESS = {
    "tests/analysis/evidence/operators/test_collectives.py": "published",
    "tests/analysis/evidence/operators/test_calibrate.py": "published",
    "tests/analysis/evidence/operators/test_record.py": "published",
    "tests/analysis/purchase/test_break_even.py": "variation",
    "tests/analysis/purchase/test_samples.py": "samples",
    "tests/browser/test_report.py": "report",
    "tests/view/charts/test_afd_vs_ep.py": "curves",
    "tests/view/charts/test_hfu_map.py": "map",
    "tests/view/charts/test_tornado.py": "tornado",
}
"""Files whose tests share what takes a while, and run in one process: by what they share."""


class Together(LoadScopeScheduling):  # type: ignore[misc]  # a class without types
    """Tests of files that share something go to one process, all others to any."""

    def _split_scope(self, nodeid: str) -> str:
        return ONE_PROCESS.get(nodeid.partition("::")[0], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:  # noqa: ANN401 - a producer
    """Let processes share out the tests."""
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: item.name not in LONGEST_FIRST)


def require(*, present: bool, what: str) -> None:
    """Skip a test whose tool is absent; on the build server, where it must be present, fail it."""
    if not present:
        if os.environ.get("CI"):
            pytest.fail(f"{what} must be present here")
        pytest.skip(f"{what} is absent")


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's overlays, format and terminal out of the tests."""
    for name in ("ROOFLINE_AFD_FORMAT", "ROOFLINE_AFD_HARDWARE_DB", "ROOFLINE_AFD_MODEL_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)


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
