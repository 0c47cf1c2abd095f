"""The command line: one small file per command."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from roofline_afd.cli import limited
from roofline_afd.errors import InfeasibleError, RooflineAfdError, naming_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM = "roofline-afd"
RARELY = 100_000
"""New objects from one search for circles of garbage to the next: loading modules makes many, and none."""
NO, BAD_USAGE, INTERNAL_ERROR, INTERRUPTED = 1, 2, 70, 130
ENDING = ("SIGTERM", "SIGHUP")
"""Signals that ask a process to end: what it began is ended too, and nothing half-written stays."""
SHORT = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""What the system calls a lack of memory, processes or open files."""


class _Ended(BaseException):
    """The process was asked to end by a signal."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(signal.strsignal(number))


class _Voice:
    """Standard error: where it is closed, full or read by nobody, answers are as if it were not."""

    def __init__(self, stream: TextIO | None) -> None:
        if stream is None:
            os.open(os.devnull, os.O_WRONLY)  # in its place, which a file opened later would take
        self._stream = stream or io.StringIO()

    def write(self, text: str) -> int:
        """Write a text, or nothing."""
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what is held."""
        self._tried(self._stream.flush)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        """Return what else a stream has."""
        return getattr(self._stream, name)

    def _tried(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError:
            _close(self._stream)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program name; that of the process by default.

    Returns
    -------
    int
        0 answered, 1 the answer is "no", 2 bad usage; 70 a fault of the program, 130 interrupted, 143 ended.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our signs shows a question mark
            stream.reconfigure(errors="replace")
    with contextlib.redirect_stderr(cast("TextIO", _Voice(sys.stderr))):
        if sys.stdout is None:
            _say("standard output is closed")
            return BAD_USAGE
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        from roofline_afd.cli.app import app  # keeps the import of the package itself light

        with naming_options():
            status = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, _Ended) as end:
        return _stopped(end)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer would call that a failure
            return _failed(stop.__context__)
        raise
    except Exception as error:  # noqa: BLE001 - nobody is to see a traceback
        return _failed(error)
    if status == INTERRUPTED:  # typer catches it, and says nothing
        return _stopped(KeyboardInterrupt())
    return status if isinstance(status, int) else 0


def _stopped(end: BaseException) -> int:
    """Say that a signal has ended the command, and return the exit status for it."""
    _say(str(end).lower() or "interrupted")
    return end.status if isinstance(end, _Ended) else INTERRUPTED


def _failed(error: Exception) -> int:
    """Say what went wrong, and return the exit status for it."""
    if isinstance(error, RooflineAfdError):
        _say(str(error))
        return NO if isinstance(error, InfeasibleError) else BAD_USAGE
    if isinstance(error, BrokenPipeError):  # the reader has seen enough
        _close(sys.stdout)
        return 0
    lacking = _lacking(error)
    if lacking or isinstance(error, OSError):
        if not lacking:
            _close(sys.stdout)
        _say(lacking or f"the answer cannot be written: {getattr(error, 'strerror', '') or error}")
        return BAD_USAGE
    import typer

    if isinstance(error, typer.Abort):
        return _stopped(KeyboardInterrupt())
    click_error = typer.BadParameter.__mro__[2]  # the base of every usage error
    if isinstance(error, click_error):
        message: str = error.format_message()  # type: ignore[attr-defined]  # typer keeps the class private
        if message.startswith("Usage:"):  # a group without a command: its help, whole
            print(message, file=sys.stderr)  # noqa: T201
        else:
            _say(message)
        return BAD_USAGE
    if os.environ.get("ROOFLINE_AFD_DEBUG"):
        raise error
    _say(f"a fault of this program, please report it: {type(error).__name__}: {error}")
    return INTERNAL_ERROR


def _lacking(error: Exception) -> str:
    """Say what the system has too little of; nothing where it is not that."""
    if isinstance(error, MemoryError):
        what = "not enough memory"
    elif isinstance(error, OSError) and error.errno in SHORT:
        what = str(error.strerror).lower()
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):
        what = "no more threads"
    else:
        return ""
    return f"too little of what the system allows, {what}: lift its limits, or ask for less"


def _say(message: str) -> None:
    """Print an error as one line that no hostile text can break or colour."""
    line = " ".join(message.split())
    safe = "".join(char if char.isprintable() else "?" for char in line)
    print(f"{PROGRAM}: error: {safe}", file=sys.stderr or io.StringIO())


def _close(stream: TextIO) -> None:
    """Let what is yet to be written to a stream go nowhere, so that the end of the process is silent."""
    with contextlib.suppress(io.UnsupportedOperation):  # one that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _heed_signals() -> None:
    """End in order where a signal asks to, so that what was begun is ended too; a second one ends at once."""
    asked = os.getpid()

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != asked:  # a process that was forked of this one
            os._exit(128 + number)
        raise _Ended(number)

    for name in ENDING:
        number = getattr(signal, name, None)  # not every system has both
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def main() -> None:
    """Run the command line of this process."""
    gc.set_threshold(RARELY)
    memory = limited.limit()
    status = _main() if memory is None else _within(memory)
    gc.freeze()  # what is left at the end is not searched for circles once more
    sys.exit(status)


def _main() -> int:
    _heed_signals()
    return run()


def _within(memory: int) -> int:
    """Run the command line in limited memory, and return its exit status."""
    if memory >= limited.LEAST_BYTES:
        status = limited.watched(_main)
        if status is not None:
            return status
    _say(_lacking(MemoryError()))
    return BAD_USAGE
