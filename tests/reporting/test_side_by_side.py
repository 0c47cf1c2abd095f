"""Work side by side: the results of one after another, faults raised, and no fork where it is not safe."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from roofline_afd.reporting.side_by_side import side_by_side

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
