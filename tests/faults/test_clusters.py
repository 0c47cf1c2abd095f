"""What is left of a cluster that dies under a sweep: one line, and the blocks that are finished."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roofline_afd import Scenario, sweep
from roofline_afd.analysis.sweep import runners
from roofline_afd.analysis.sweep import sweep as module
from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.analysis.sweep.runners import Job, LostError
from roofline_afd.errors import InputError

JOB = Job(b"", "table", [(0, range(1)), (1, range(1, 2))], 1, None)
DISTRIBUTED: Any = SimpleNamespace(scheduler=SimpleNamespace(KilledWorker=KeyError))
BLOCKS = {"ffn_nodes": range(1, 41), "scale_out_gb_per_s": [float(each) for each in range(10, 8010)]}


class Future:
    """What a client hands out: done at once, where its worker lives."""

    def __init__(self, client: Client, key: int) -> None:
        self.client, self.key = client, key

    def add_done_callback(self, tell: Any) -> None:  # noqa: ANN401, D102 - as Dask calls it
        if self.client.answers:
            tell(self)

    def result(self) -> bytes:  # noqa: D102 - as of Dask
        if self.client.deaths:
            self.client.deaths -= 1
            raise CancelledError
        return b"done"


class Client:
    """A client of Dask whose scheduler has so many workers, of which some die."""

    def __init__(self, *, status: str = "running", workers: int = 1, deaths: int = 0) -> None:
        self.status, self.workers, self.deaths = status, workers, deaths
        self.answers = workers > 0
        self.asked = 0

    def scheduler_info(self) -> dict[str, Any]:  # noqa: D102 - as of Dask
        return {"workers": dict.fromkeys(range(self.workers))}

    def scatter(self, packed: bytes, **_: object) -> bytes:  # noqa: D102 - as of Dask
        return packed

    def submit(self, *_: object, **__: object) -> Future:  # noqa: D102 - as of Dask
        self.asked += 1
        return Future(self, self.asked)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "PATIENCE_S", "PAUSE_S", "CONNECT_S"):
        monkeypatch.setattr(runners, name, 0.02)


def _told(client: Client) -> list[tuple[int, bytes]]:
    return sorted(runners._through_client(JOB, client, DISTRIBUTED))


def test_a_worker_of_dask_that_dies_is_replaced() -> None:
    client = Client(deaths=runners.RETRIES)
    assert _told(client) == [(0, b"done"), (1, b"done")]
    assert client.asked == 2 + runners.RETRIES


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (Client(status="connecting", deaths=1), "the scheduler is gone"),
        (Client(workers=0), "no worker of the cluster is left"),
        (Client(deaths=100), "its workers ended 4 times, as if killed"),
    ],
)
def test_what_is_lost_of_dask_is_told(client: Client, says: str) -> None:
    with pytest.raises(LostError, match=says):
        _told(client)


@pytest.mark.parametrize(("alive", "cpus"), [(False, 2), (True, 0)])
def test_a_cluster_of_ray_without_a_node_that_works(alive: bool, cpus: int) -> None:  # noqa: FBT001 - a case
    """It would be waited for for ever."""
    ray = SimpleNamespace(
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda *_: object()),
        put=lambda packed: packed,
        cluster_resources=lambda: {"CPU": 1},
        wait=lambda held, timeout: ([], held) if timeout else (held, []),
        nodes=lambda: [{"Alive": alive, "Resources": {"CPU": cpus}}],
    )
    with pytest.raises(LostError, match="no worker of the cluster is left"):
        list(runners._through_ray(JOB, ray))


def _dies(connection: Any, *_: object) -> None:  # noqa: ANN401 - a connection
    """Give one block, and end as Ray ends a process that loses its own node."""
    connection.send((0, b"done"))
    os._exit(1)


def test_a_node_of_ray_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes along the process that speaks to it, and no other."""
    monkeypatch.setattr(runners, "_drive", _dies)
    told = runners.run("ray", JOB)
    assert next(told) == (0, b"done")
    with pytest.raises(LostError, match="the node that led to the cluster is gone"):
        next(told)


def test_finished_blocks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that goes on begins after them."""
    file = tmp_path / "x.csv"
    asked: dict[str, Any] = {"of": "roofline", "metrics": ["hfu"], "axes": BLOCKS, "runner": "serial"}
    scenario = Scenario(system="h800", model="deepseek-v3")

    def dies(_: str, job: Job) -> Any:  # noqa: ANN401 - pairs
        yield next(runners.run("serial", job))
        raise LostError("the scheduler is gone")

    with monkeypatch.context() as patched:
        patched.setattr(module, "run", dies)
        with pytest.raises(InputError, match="gone; 1 finished blocks are kept for resume") as caught:
            sweep(scenario, file=file, **asked)
        with pytest.raises(InputError, match=r"the scheduler is gone; .* keeps what is done"):
            sweep(scenario, reduce="best:hfu", **{**asked, "metrics": None})
    assert "\n" not in str(caught.value)
    assert not file.exists()
    sweep(scenario, file=file, resume=True, **asked)
    assert len(file.read_bytes().splitlines()) == 1 + 40 * 8000


def test_processes_that_are_killed_are_begun_again(tmp_path: Path) -> None:
    """Their blocks are done by others: the same rows as of one process."""
    files = [tmp_path / "killed.csv", tmp_path / "whole.csv"]
    killed: list[int] = []

    def kill(_: object) -> None:
        for each in [] if killed else multiprocessing.active_children():
            each.kill()
            killed.append(each.pid or 0)

    scenario = Scenario(system="h800", model="deepseek-v3")
    for file, runner, told in zip(files, ("processes", "serial"), (kill, None), strict=True):
        asked = Sweep(
            scenario, of="roofline", metrics=["hfu"], axes=BLOCKS, runner=runner, workers=1, file=file
        )
        module.sweep(asked, told=told)
    assert killed
    assert files[0].read_bytes() == files[1].read_bytes()
