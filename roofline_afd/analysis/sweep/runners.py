"""Runners: tasks one after the other, on all cores, on a Dask cluster, or on Ray; a few lines each."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import socket
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.sweep.questions import RUNNERS
from roofline_afd.analysis.sweep.work import work
from roofline_afd.errors import InputError, RooflineAfdError, shown
from roofline_afd.processes import deaf, end_workers, work_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from types import ModuleType

SERIAL, PROCESSES, DASK, RAY = RUNNERS
RETRIES = 3
"""Times that what a lost process had is begun again."""
AHEAD = 3
"""Tasks that each worker has waiting."""
CONNECT_S = 10.0
"""How long a scheduler is waited for [s]."""
LOOK_S = 5.0
"""How often a cluster that gives nothing is looked after [s]."""
PATIENCE_S = 30.0
"""How long a cluster may be without anything that works [s]."""
PAUSE_S = 0.1
"""Between two looks at a client that connects again [s]."""
NOBODY = "no worker of the cluster is left"
RUNNING = "running"
"""Status of a client of Dask that has its scheduler."""


class LostError(Exception):
    """What did the work is gone, and does not come back."""


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
    """Hold the sweep for the process that asked, without which there is nothing to do."""
    work_for(asker)
    _sent["sweep"] = packed


def _work(form: str, first: int, last: int) -> bytes:
    return work(_sent["sweep"], form, first, last)


def _processes(job: Job) -> Iterator[tuple[int, bytes]]:
    left, others = dict(job.tasks), multiprocessing.active_children()
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
        except BrokenProcessPool as error:
            if attempt == RETRIES:
                raise LostError(f"its processes ended {attempt + 1} times, as if killed") from error
        except BaseException:  # nobody asks for the rest
            end_workers(others)
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
            with deaf("SIGINT", "SIGTERM"):
                running[pool.submit(_work, job.form, chunks.start, chunks.stop)] = number
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), future.result()


def _module(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name, extra) from error


def _missing(name: str, extra: str) -> InputError:
    return InputError(f"--runner {extra} needs {name}: pip install 'roofline-afd[{extra}]'")


class _Patience:
    """How long a cluster is waited for in which nothing works.

    Parameters
    ----------
    works : callable
        Whether anything does.
    """

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works
        self._since: float | None = None

    def look(self) -> None:
        """Raise LostError where nothing has worked for too long."""
        now = time.monotonic()
        if self._works():
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since > PATIENCE_S:
            raise LostError(NOBODY)


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a library's own words off the terminal: what ends a sweep is told in one line."""
    known = [each for each in logging.root.manager.loggerDict if each.partition(".")[0] == name]
    loggers = [logging.getLogger(each) for each in known]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _dask(job: Job) -> Iterator[tuple[int, bytes]]:
    distributed = _module("distributed", DASK)
    with _silent("distributed"):
        yield from _on_dask(job, distributed)


def _on_dask(job: Job, distributed: ModuleType) -> Iterator[tuple[int, bytes]]:
    cluster = None
    try:
        _answers(job.scheduler)
        if job.scheduler is None:
            with deaf("SIGINT"):
                cluster = distributed.LocalCluster(
                    n_workers=job.workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
        client = distributed.Client(cluster or job.scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"--scheduler {shown(job.scheduler)} cannot be reached: start one with `dask scheduler`"
        ) from error
    try:
        yield from _through_client(job, client, distributed)
    except TimeoutError as error:  # nobody to hand the sweep to
        raise LostError(NOBODY) from error
    except (OSError, RuntimeError, CancelledError) as error:
        if client.status == RUNNING:
            raise
        raise LostError("the scheduler is gone") from error
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _through_client(job: Job, client: Any, distributed: ModuleType) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401
    """Yield what tasks give, a few of them waiting for each worker of a scheduler."""
    sweep = client.scatter(job.packed, broadcast=True, hash=False)
    waiting = deque((number, chunks, RETRIES) for number, chunks in job.tasks)
    ended: SimpleQueue[Any] = SimpleQueue()
    running: dict[str, tuple[Any, int, range, int]] = {}
    patience = _Patience(lambda: client.status == RUNNING and client.scheduler_info()["workers"])
    window = AHEAD * max(len(client.scheduler_info()["workers"]), job.workers, 1)
    while waiting or running:
        while waiting and len(running) < window:
            number, chunks, tries = waiting.popleft()
            future = client.submit(
                work, sweep, job.form, chunks.start, chunks.stop, pure=False, retries=RETRIES
            )
            running[future.key] = future, number, chunks, tries
            future.add_done_callback(ended.put)
        try:
            future = ended.get(timeout=LOOK_S)
        except Empty:
            patience.look()
            continue
        _, number, chunks, tries = running.pop(future.key)
        try:
            done = future.result()
        except (CancelledError, distributed.scheduler.KilledWorker) as error:  # its worker took it along
            if not tries:
                raise LostError(f"its workers ended {RETRIES + 1} times, as if killed") from error
            _wait_for(client)
            sweep = client.scatter(job.packed, broadcast=True, hash=False)
            waiting.appendleft((number, chunks, tries - 1))
            continue
        yield number, done


def _wait_for(client: Any) -> None:  # noqa: ANN401 - of Dask
    """Wait a while for a client that connects to its scheduler again."""
    until = time.monotonic() + CONNECT_S
    while client.status != RUNNING and time.monotonic() < until:
        time.sleep(PAUSE_S)
    if client.status != RUNNING:
        raise LostError("the scheduler is gone")


def _answers(address: str | None) -> None:
    """Raise OSError or ValueError unless something listens at an address."""
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=CONNECT_S):
        pass


def _ray(job: Job) -> Iterator[tuple[int, bytes]]:
    """Yield what tasks give, by a process that speaks to Ray: Ray ends it where it loses its own node."""
    if importlib.util.find_spec(RAY) is None:
        raise _missing(RAY, RAY)
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    driver = context.Process(target=_drive, args=(theirs, job, os.getpid()))
    with deaf("SIGINT", "SIGTERM"):
        driver.start()
    theirs.close()
    try:
        while (told := mine.recv()) is not None:
            if isinstance(told, Exception):
                raise told
            yield told
    except EOFError as error:
        raise LostError("the node that led to the cluster is gone") from error
    finally:
        driver.terminate()
        driver.join(CONNECT_S)
        driver.kill()
        driver.join()
        mine.close()


def _drive(asker: Connection, job: Job, parent: int) -> None:
    """Send what tasks give, and None when all are done; or what went wrong."""
    work_for(parent)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # which Ray fills with its own words
        os.dup2(nowhere, stream)
    try:
        for told in _on_ray(job, _module("ray", RAY)):
            asker.send(told)
    except (RooflineAfdError, LostError) as error:
        asker.send(error)
    except Exception as error:  # noqa: BLE001 - another process is to tell it
        asker.send(RuntimeError(f"{type(error).__name__}: {error}"))
    else:
        asker.send(None)


def _on_ray(job: Job, ray: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - a module without types
    try:
        _answers(job.scheduler)
        own: dict[str, Any] = {"num_cpus": job.workers, "include_dashboard": False}
        where = own if job.scheduler is None else {"address": job.scheduler}
        ray.init(**where, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError, ConnectionError) as error:
        how = "start one with `ray start --head`"
        if "token" in f"{error} {error.__cause__}".lower():
            how = "it asks for a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or say auto where it runs"
        raise InputError(f"--scheduler {shown(job.scheduler)} cannot be reached: {how}") from error
    try:
        yield from _through_ray(job, ray)
    except ray.exceptions.RayTaskError:  # what a task itself raised
        raise
    except ray.exceptions.RayError as error:
        raise LostError("what the cluster held is gone") from error
    finally:
        ray.shutdown()


def _through_ray(job: Job, ray: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - a module without types
    """Yield what tasks give, a few of them waiting for each processor of a cluster."""
    task = ray.remote(max_retries=RETRIES)(work)
    sweep = ray.put(job.packed)
    waiting, running = deque(job.tasks), dict[Any, int]()
    patience = _Patience(lambda: any(node["Alive"] and node["Resources"].get("CPU") for node in ray.nodes()))
    window = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    while waiting or running:
        while waiting and len(running) < window:
            number, chunks = waiting.popleft()
            running[task.remote(sweep, job.form, chunks.start, chunks.stop)] = number
        done, _ = ray.wait(list(running), timeout=LOOK_S)
        if not done:
            patience.look()
        for each in done:
            yield running.pop(each), ray.get(each)
