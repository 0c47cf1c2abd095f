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

ENDS_S = 5.0
"""How long a worker that is asked to end is waited for [s]."""
PARENT_S = 0.5
"""How often a worker looks whether the process that asked is still there [s]."""


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_for(parent: int) -> None:
    """Leave interrupts to the process that began this one, by its id, and end when that asks or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, though a library may be at work
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def end_workers(others: Collection[BaseProcess]) -> None:
    """End the processes that this one has begun, but for some others, and wait until they have."""
    workers = [each for each in multiprocessing.active_children() if each not in others]
    for worker in workers:
        worker.terminate()
    for worker in workers:  # one that has hardly begun would complain of what is gone by then
        worker.join(ENDS_S)
        worker.kill()


@contextlib.contextmanager
def deaf(*names: str) -> Iterator[None]:
    """Begin processes that signals of these names do not reach; this one hears of them after the block.

    An interrupt of the terminal is sent to all processes, and theirs is to end with the one that asked. What
    asks a process to end must not come while another is half begun, and unknown: `work_for` lets it in again.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = {getattr(signal, name) for name in names if hasattr(signal, name)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(1)
