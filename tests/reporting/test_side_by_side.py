"""Work side by side: the results of one after another, faults raised, and no fork where it is not safe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roofline_afd.reporting.side_by_side import side_by_side
from tests.conftest import ROOT, lives

PROGRAM = """
import os
from roofline_afd.errors import InputError
from roofline_afd.reporting.side_by_side import side_by_side

HERE = os.getpid()

def fault():
    raise InputError("no")

found = side_by_side({name: lambda name=name: (name * 2, os.getpid()) for name in "abc"})
print([text for text, _ in found.values()], sum(pid == os.getpid() for _, pid in found.values()))
try:
    side_by_side({"fine": lambda: 1, "fault": fault})
except InputError as error:
    print("raised", error)
print(list(side_by_side({"first": lambda: os.getpid(), "dies": lambda: DEATH}).values())[1])
"""


@pytest.mark.parametrize(
    ("death", "last"), [("'alive'", "alive"), ("2 if os.getpid() == HERE else os._exit(1)", "2")]
)
def test_workers_give_what_tasks_make(death: str, last: str) -> None:
    """Results in order, made elsewhere on a machine of several cores; a fault is raised."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.replace("DEATH", death)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    several = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1
    here = 0 if several else 3
    assert done.stdout.splitlines() == [f"['aa', 'bb', 'cc'] {here}", "raised no", last]


def test_work_ahead_is_made_even_where_its_process_fails() -> None:
    """What it makes is the same, in a process of its own or here; what it raises is raised."""
    program = (
        PROGRAM.partition("found =")[0]
        + """
from roofline_afd.reporting.side_by_side import Ahead
print(Ahead(lambda: "made" * 100_000).result()[:4])
print(Ahead(lambda: "here" if os.getpid() == HERE else os._exit(1)).result())
try:
    Ahead(fault).result()
except InputError as error:
    print("raised", error)
import multiprocessing, time
with Ahead(lambda: time.sleep(60) or "late"):
    pass
print(multiprocessing.active_children())
"""
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["made", "here", "raised no", "[]"]


def test_no_fork_beside_other_threads() -> None:
    """A process whose libraries have threads does the work itself."""
    import vl_convert

    assert vl_convert
    assert set(side_by_side({"a": os.getpid, "b": os.getpid}).values()) == {os.getpid()}


ALONE = """
import os, time
from pathlib import Path
from roofline_afd.reporting.side_by_side import Ahead, side_by_side

def mark(name):
    Path(name).write_text(str(os.getpid()))
    time.sleep(600)

with Ahead(lambda: mark("ahead")):
    side_by_side({str(number): (lambda number=number: mark(f"worker-{number}")) for number in range(2)})
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are not told as files")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_asked(how: int, tmp_path: Path) -> None:
    """However it ends: none holds its output open."""
    with subprocess.Popen(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as asked:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        workers = [int(path.read_text()) for path in tmp_path.iterdir()]
        assert len(workers) >= 2
        asked.send_signal(how)
        assert asked.stdout is not None
        asked.stdout.read()  # ends when nobody holds it
    deadline = time.monotonic() + 10
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [each for each in workers if lives(each)]
