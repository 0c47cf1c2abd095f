"""Processes that work for another: as many as there are cores, and none that outlives the one that asked."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from multiprocessing.process import BaseProcess

PARENT_S = 0.5
"""How often a worker looks whether the process that asked is still there [s]."""


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_for(parent: int) -> None:
    """Leave interrupts to the process that began this one, by its id, and end when that asks or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, though a library may be at work
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def end_workers(others: Collection[BaseProcess]) -> None:
    """End the processes that this one has begun, but for some others."""
    for worker in multiprocessing.active_children():
        if worker not in others:
            worker.terminate()


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Begin processes that an interrupt of the terminal, which all of them get, does not reach.

    They end with the one that asked. That one hears of an interrupt at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(1)
