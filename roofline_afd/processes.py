"""Processes that work for another: as many as there are cores, and none that outlives the one that asked."""

from __future__ import annotations

import os
import threading
import time

PARENT_S = 0.5
"""How often a worker looks whether the process that asked is still there [s]."""


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with(parent: int) -> None:
    """Have this process end soon after the one that began it, by its id, however and whenever that ends."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(1)
