"""Runners: tasks one after the other, on all cores, on a Dask cluster, or on Ray; a few lines each."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.sweep.questions import RUNNERS
from roofline_afd.analysis.sweep.work import work
from roofline_afd.errors import InputError, shown
from roofline_afd.processes import end_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

SERIAL, PROCESSES, DASK, RAY = RUNNERS
RETRIES = 3
"""Times that what a lost process had is begun again."""
AHEAD = 3
"""Tasks that each worker has waiting."""
CONNECT_S = 10.0
"""How long a scheduler is waited for [s]."""


class Job(NamedTuple):
    """Tasks of a sweep that are left."""

    packed: bytes
    form: str
    tasks: Sequence[tuple[int, range]]
    """By their number: the chunks of each."""
    workers: int
    scheduler: str | None


def run(runner: str, job: Job) -> Iterator[tuple[int, bytes]]:
    """Yield what each task gives, with its number, as they are done.

    Parameters
    ----------
    runner : str
        A member of `RUNNERS`.
    job : Job
        What is to be done.

    Yields
    ------
    tuple of int and bytes
        Number of a task, and what it gives.

    Raises
    ------
    InputError
        If what the runner needs is not installed, or its scheduler cannot be reached.
    """
    return {SERIAL: _serial, PROCESSES: _processes, DASK: _dask, RAY: _ray}[runner](job)


def _serial(job: Job) -> Iterator[tuple[int, bytes]]:
    for number, chunks in job.tasks:
        yield number, work(job.packed, job.form, chunks.start, chunks.stop)


_sent: dict[str, bytes] = {}
"""The sweep of a process of a pool."""


def _begin(packed: bytes, asker: int) -> None:
    """Hold the sweep; an interrupt is for the process that asked, without which there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _sent["sweep"] = packed
    end_with(asker)


def _work(form: str, first: int, last: int) -> bytes:
    return work(_sent["sweep"], form, first, last)


def _processes(job: Job) -> Iterator[tuple[int, bytes]]:
    left = dict(job.tasks)
    for attempt in range(RETRIES + 1):
        pool = ProcessPoolExecutor(
            job.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(job.packed, os.getpid()),
        )
        try:
            for number, done in _windowed(pool, job, dict(left)):
                del left[number]
                yield number, done
        except BrokenProcessPool:
            if attempt == RETRIES:
                raise
        else:
            return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _windowed(pool: ProcessPoolExecutor, job: Job, tasks: dict[int, range]) -> Iterator[tuple[int, bytes]]:
    """Yield what tasks give, a few of them waiting for each process."""
    waiting = deque(tasks.items())
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < AHEAD * job.workers:
            number, chunks = waiting.popleft()
            running[pool.submit(_work, job.form, chunks.start, chunks.stop)] = number
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), future.result()


def _module(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"--runner {extra} needs {name.partition('.')[0]}: pip install 'roofline-afd[{extra}]'"
        ) from error


def _dask(job: Job) -> Iterator[tuple[int, bytes]]:
    distributed = _module("distributed", DASK)
    cluster = None
    try:
        _answers(job.scheduler)
        if job.scheduler is None:
            cluster = distributed.LocalCluster(
                n_workers=job.workers, threads_per_worker=1, dashboard_address=None
            )
        client = distributed.Client(cluster or job.scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"--scheduler {shown(job.scheduler)} cannot be reached: start one with `dask scheduler`"
        ) from error
    try:
        sweep = client.scatter(job.packed, broadcast=True, hash=False)
        waiting = deque((number, chunks, RETRIES) for number, chunks in job.tasks)
        pending = distributed.as_completed(loop=client.loop)
        running: dict[str, tuple[int, range, int]] = {}
        window = AHEAD * max(len(client.scheduler_info()["workers"]), job.workers, 1)
        while waiting or running:
            while waiting and len(running) < window:
                number, chunks, tries = waiting.popleft()
                future = client.submit(
                    work, sweep, job.form, chunks.start, chunks.stop, pure=False, retries=RETRIES
                )
                running[future.key] = number, chunks, tries
                pending.add(future)
            future = next(pending)
            number, chunks, tries = running.pop(future.key)
            try:
                done = future.result()
            except (CancelledError, distributed.scheduler.KilledWorker):  # its worker took the result along
                if not tries:
                    raise
                sweep = client.scatter(job.packed, broadcast=True, hash=False)
                waiting.appendleft((number, chunks, tries - 1))
                continue
            yield number, done
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _answers(address: str | None) -> None:
    """Raise OSError or ValueError unless something listens at an address."""
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=CONNECT_S):
        pass


def _ray(job: Job) -> Iterator[tuple[int, bytes]]:
    ray = _module("ray", RAY)
    try:
        _answers(job.scheduler)
        if job.scheduler is None:
            ray.init(
                num_cpus=job.workers, include_dashboard=False, log_to_driver=False, logging_level="error"
            )
        else:
            ray.init(address=job.scheduler, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError, ConnectionError) as error:
        raise InputError(
            f"--scheduler {shown(job.scheduler)} cannot be reached: start one with `ray start --head`"
        ) from error
    try:
        task = ray.remote(max_retries=RETRIES)(work)
        sweep = ray.put(job.packed)
        waiting, running = deque(job.tasks), dict[Any, int]()
        window = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        while waiting or running:
            while waiting and len(running) < window:
                number, chunks = waiting.popleft()
                running[task.remote(sweep, job.form, chunks.start, chunks.stop)] = number
            done, _ = ray.wait(list(running))
            for each in done:
                yield running.pop(each), ray.get(each)
    finally:
        ray.shutdown()
