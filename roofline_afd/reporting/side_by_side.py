"""Independent pieces of work on all cores, where a process can be forked safely; else one after another."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from roofline_afd.processes import cores, end_workers, work_for
from roofline_afd.progress import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from typing import Self

Made = TypeVar("Made")
MOST_WORKERS = 4
THREADED = "vl_convert"
"""Library whose threads, once it has been used, a fork would leave behind with their locks held."""

_held: dict[str, Callable[[], Any]] = {}
"""Work of this process, where it is a worker: closures reach it by the fork, not by pickling."""


def side_by_side(tasks: Mapping[str, Callable[[], Made]]) -> dict[str, Made]:
    """Return what each task makes, the first begun first.

    Parameters
    ----------
    tasks : mapping of str to callable
        Work that takes nothing and shares nothing; what it returns can be pickled.

    Returns
    -------
    dict
        What each made, in the order of the tasks. What one of them raises is raised.
    """
    workers = min(cores(), len(tasks), MOST_WORKERS)
    if workers == 1 or not _forks_safely():
        return {name: task() for name, task in steps(tasks.items())}
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(dict(tasks), os.getpid()),
    )
    try:
        with warnings.catch_warnings():  # idle threads of linear algebra, which are made for forks
            warnings.simplefilter("ignore", DeprecationWarning)
            futures = {name: pool.submit(_work, name) for name in tasks}
        made = {name: future.result() for name, future in steps(futures.items())}
    except BrokenProcessPool:  # a worker was killed: without it, here
        made = {name: task() for name, task in tasks.items()}
    except BaseException:
        end_workers(others)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return made


class Ahead:
    """One piece of work that begins at once, in a process of its own where one can be forked safely.

    Parameters
    ----------
    task : callable
        As those of `side_by_side`.
    """

    def __init__(self, task: Callable[[], str]) -> None:
        self._task = task
        self._process: BaseProcess | None = None
        if cores() == 1 or not _forks_safely():
            return
        context = multiprocessing.get_context("fork")
        self._mine, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_send, args=(theirs, task, os.getpid()), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Return this piece of work."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind that nobody asks for its result."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()

    def result(self) -> str:
        """Return what the task makes; what it raises is raised."""
        if self._process is None:
            return self._task()
        try:
            made: str = self._mine.recv()
        except EOFError:  # it failed, or was killed: without it, here
            return self._task()
        finally:
            self._process.join()
        return made


def _send(connection: Connection, task: Callable[[], str], asker: int) -> None:
    """Make and send; say nothing where that fails, which is asked for again."""
    work_for(asker)
    with contextlib.suppress(Exception):
        connection.send(task())


def _forks_safely() -> bool:
    """Return whether nothing in this process could hold a lock that a fork of it would wait for."""
    forks = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return forks and threading.active_count() == 1 and THREADED not in sys.modules


def _begin(tasks: dict[str, Callable[[], Any]], asker: int) -> None:
    """Hold the work; memory is freed when it ends."""
    gc.disable()
    work_for(asker)
    _held.update(tasks)


def _work(name: str) -> Any:  # noqa: ANN401 - whatever the task makes
    return _held[name]()
