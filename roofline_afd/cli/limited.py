"""A process whose memory is limited: libraries may end it without a word, which another then says."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ASKING = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
"""Signals that ask a process to end."""
BY_A_PROCESS = 0
"""Code of a signal that a process has sent, at most: one of the terminal goes to all of its processes."""
LEAST_BYTES = 256 * 2**20
"""Address space without which no question is answered [B]."""
THREADS = "OPENBLAS_NUM_THREADS"
"""How many threads linear algebra begins, each of which reserves memory."""
LIMITS = ("RLIMIT_AS", "RLIMIT_DATA")
PARENT_ENDS = 1
"""Number by which Linux is asked to send a signal when the process that began this one ends."""
DONE = b"\0"


def limit() -> int | None:
    """Return the memory that this process may have [B]; None where it has no limit, or cannot be watched."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return None
    if not hasattr(signal, "sigwaitinfo"):
        return None
    held = [resource.getrlimit(getattr(resource, name))[0] for name in LIMITS]
    finite = [each for each in held if each != resource.RLIM_INFINITY]
    return min(finite, default=None)


def watched(work: Callable[[], int]) -> int | None:
    """Return the exit status of work done in a process forked for it, and pass on what signals ask.

    Parameters
    ----------
    work : callable
        Returns an exit status; in the process that is forked this function does, too.

    Returns
    -------
    int or None
        The status; None where a library has ended the process.
    """
    os.environ.setdefault(THREADS, "1")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*ASKING, signal.SIGCHLD})
    said, says = os.pipe()
    asker, child = os.getpid(), os.fork()
    if not child:
        os.close(said)
        _end_with(asker)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        status = work()
        os.write(says, DONE)
        return status
    os.close(says)
    while True:
        heard = signal.sigwaitinfo({*ASKING, signal.SIGCHLD})
        if heard.si_signo != signal.SIGCHLD:
            if heard.si_code <= BY_A_PROCESS:
                os.kill(child, heard.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
    if os.read(said, 1) == DONE and os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if -code in ASKING else None


def _end_with(asker: int) -> None:
    """End this process with the one that forked it, where the system does that."""
    import ctypes  # in limited memory alone

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PARENT_ENDS, signal.SIGKILL)
    if os.getppid() != asker:  # it has ended meanwhile
        os._exit(1)
