"""A question asked in this process, with its time, memory and streams watched."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.cli import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

LIMIT_S = 40.0
"""Processor time of a question: more is a hang [s]."""
PATIENCE = 10
"""Wall time of a question over its processor time, at most: other processes want cores too [1]."""
MOST_MB = 1500.0
"""Memory that one question may add to the process [MB]."""


class HungError(BaseException):
    """A question took longer than it may; nothing of the program catches it."""


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float
    """Wall time."""
    cpu_s: float
    grown_mb: float
    raised: str = ""
    hung: bool = False
    most_mb: float = MOST_MB


class Terminal(io.StringIO):
    """A stream that is said to be a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@contextlib.contextmanager
def surroundings(columns: int = 100) -> Iterator[None]:
    """Keep the user's overlays and terminal out of questions, let faults be raised, and close stdin."""
    own = {
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": str(columns),
        "XDG_CONFIG_HOME": "/nonexistent",
        "ROOFLINE_AFD_DEBUG": "1",
    }
    gone = ("ROOFLINE_AFD_FORMAT", "ROOFLINE_AFD_HARDWARE_DB", "ROOFLINE_AFD_MODEL_DB")
    before = dict(os.environ)
    stdin = sys.stdin
    for name in gone:
        os.environ.pop(name, None)
    os.environ.update(own)
    try:
        with open(os.devnull, encoding="utf-8") as sys.stdin:  # noqa: PTH123 - a device
            yield
    finally:
        sys.stdin = stdin
        os.environ.clear()
        os.environ.update(before)


def asked(words: Sequence[str], *, terminal: bool = False, limit_s: float = LIMIT_S) -> Outcome:
    """Ask a question.

    Parameters
    ----------
    words : sequence of str
        The command line.
    terminal : bool
        Whether its output is said to be a terminal; progress is told where errors are, and they are not.
    limit_s : float
        Processor time it may take; 0 for any [s].

    Returns
    -------
    Outcome
        How it ended.
    """
    out, err = (Terminal if terminal else io.StringIO)(), io.StringIO()
    raised, hung, status = "", False, 70

    def stop(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise HungError

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE))
    before = [signal.signal(each, stop) for each, _, _ in timers]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, used = time.perf_counter(), time.process_time()
    for _, timer, longer in timers:
        signal.setitimer(timer, limit_s * longer)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(list(words))
    except HungError:
        hung = True
        raised = traceback.format_exc()
    except SystemExit as stop_:
        raised = f"SystemExit {stop_.code}"
    except BaseException as error:  # noqa: BLE001 - it is what is looked for
        raised = place(error)
    finally:
        for (each, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(each, handler)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - used
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    return Outcome(status, out.getvalue(), err.getvalue(), seconds, cpu_s, grown, raised, hung)


def place(error: BaseException) -> str:
    """Return what was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if "roofline_afd" in frame.filename or "tests" in frame.filename
    ] or frames
    last = own[-1]
    where = f"{last.filename.rpartition('roofline_afd/')[2]}:{last.lineno}"
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"
