"""Commands in processes forked of one that has loaded them: many endings for the price of one start.

Read from standard input as JSON: a list of cases. Each is run in a session and a folder of its own, together
with the others; what became of it is written to standard output.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import roofline_afd
from roofline_afd.cli import main
from tests.conftest import command, lives

ASK = ("--system", "h800", "--model", "deepseek-v3")
DEADLINE_S = 30.0
"""How long anything may take [s]."""
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def load() -> None:
    """Load every module, and make what a first question makes."""
    for each in walk_packages(roofline_afd.__path__, "roofline_afd."):
        if not each.name.endswith("__main__"):
            import_module(each.name)
    command("predict", *ASK, "--devices", "128", "--batch", "8")


def begin(case: dict[str, Any], folder: Path) -> int:
    """Fork a process that runs a command, and return its id."""
    folder.mkdir()
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(folder)
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder.parent / f"{folder.name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    for number in (signal.SIGINT, signal.SIGTERM):  # as at the start of a program
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = case["words"]
    if "more_mb" in case:
        limit = _held("VmSize") + int(case["more_mb"] * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        main()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 70
    except BaseException:  # noqa: BLE001 - what a program would show as a traceback
        import traceback

        traceback.print_exc()
        status = 71
    threading._shutdown()  # type: ignore[attr-defined]  # as at the end of a program, but for the tests' own
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _held(key: str) -> int:
    text = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key)) * 1024


def _session(leader: int) -> list[int]:
    """Return the processes of a session that live, but for the one that began it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            if int(words[3]) == leader and process != leader and lives(process):
                found.append(process)
    return found


def _seconds(process: int) -> float:
    """Return the processor time of a process and of those it has begun and that live."""
    total = 0.0
    for each in (process, *_session(process)):
        with suppress(OSError):
            words = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += (int(words[11]) + int(words[12])) * TICK
    return total


def watch(case: dict[str, Any], folder: Path, child: int) -> dict[str, Any]:
    """Signal a command once it has worked a while, and tell how it ended and what it left."""
    begun = time.monotonic()
    after = case.get("after_s")
    while after is not None and _seconds(child) < after and lives(child):
        if time.monotonic() - begun > DEADLINE_S:
            break
        time.sleep(0.02)
    asked = time.monotonic()
    if after is not None:
        os.kill(child, getattr(signal, case["signal"]))
    ended, status = 0, 0
    while not ended and time.monotonic() - asked < DEADLINE_S:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    took = time.monotonic() - asked
    until = time.monotonic() + 5.0
    while _session(child) and time.monotonic() < until:
        time.sleep(0.05)
    left = _session(child)
    for each in left:
        with suppress(OSError):
            os.kill(each, signal.SIGKILL)
    said = (folder.parent / f"{folder.name}.err").read_text("utf-8", errors="replace")
    return {
        "status": os.waitstatus_to_exitcode(status) if ended else None,
        "seconds": took,
        "said": said,
        "files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")),
        "left": len(left),
    }


def run_all() -> None:
    """Run the cases, some at a time."""
    asked = json.load(sys.stdin)
    root = Path(asked["folder"])
    load()
    told = []
    cases = asked["cases"]
    together = asked.get("together", 4)
    for first in range(0, len(cases), together):
        batch = [
            (case, root / str(first + place)) for place, case in enumerate(cases[first : first + together])
        ]
        begun = [(case, folder, begin(case, folder)) for case, folder in batch]
        told += [watch(*each) for each in begun]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    run_all()
