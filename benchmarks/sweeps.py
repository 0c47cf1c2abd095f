"""How sweeps scale: points a second and memory, over points and processes, beside copying the results.

Run `make performance`: it writes docs/performance.md. Seconds differ from machine to machine; that time is
linear in points, and memory flat, does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
STAGE = """
axes = {"ffn_nodes": range(1, 1001), "scale_out_gb_per_s": np.linspace(10, 400, 100),
        "tpot_ms": np.linspace(20, 120, max(POINTS // 100_000, 1))}
question = dict(axes=axes, of="roofline", reduce="REDUCE")
scenario = Scenario(system="h800", model="deepseek-v3")
"""
STEPS = """
many = max(round((POINTS / 64) ** .5), 1)
axes = {"batch": range(1, 65), "attention_devices": range(32, 32 + many), "ffn_devices": range(32, 32 + many)}
question = dict(axes=axes, of="predict", mode="afd", reduce="best:tokens_per_s_per_device")
scenario = Scenario(system="h800", model="deepseek-v3", redundant_experts=0)
"""
SEARCHES = """
axes = {"scale_out_gb_per_s": np.linspace(25, 400, max(POINTS // 4, 1)),
        "context": [2048, 4096, 8192, 16384]}
question = dict(axes=axes, of="compare", reduce="best:afd_over_ep")
scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64)
"""
TIMED = """
import json, resource, time
import numpy as np
from roofline_afd import Scenario, sweep
if __name__ == "__main__":
    {asked}
    few = {{key: list(values)[:2] for key, values in axes.items()}}
    sweep(scenario, **{{**question, "axes": few}})
    begun = time.perf_counter()
    found = sweep(scenario, **question, runner={runner!r}, workers={workers}, scheduler={scheduler!r})
    seconds = time.perf_counter() - begun
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1e3
    told = {{key: found.attrs["summary"][key] for key in ("points", "points_counted")}}
    print(json.dumps({{**told, "seconds": seconds, "memory_mb": memory}}))
"""
FLOOR = """
import json, time
import numpy as np
values, held = np.ones(20_000_000), np.empty(20_000_000)
np.copyto(held, values)
begun = time.perf_counter()
for _ in range(5):
    np.copyto(held, values)
print(json.dumps({"ns": (time.perf_counter() - begun) * 1e9 / 5 / held.nbytes}))
"""
LOOP = """
import json, time
from roofline_afd import Scenario, compare
scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64)
compare(scenario)
begun = time.perf_counter()
for _ in range(10):
    compare(scenario)
print(json.dumps({"seconds": (time.perf_counter() - begun) / 10}))
"""
CLUSTERED = 8000
"""Comparisons that clusters are measured with."""
SETTLED_S = 8.0
"""What a cluster is given to start [s]."""
CASES = (
    ("roofline, the best", STAGE.replace("REDUCE", "best:hfu"), (10**6, 10**7, 10**8, 10**9), 9),
    ("roofline, Pareto of two", STAGE.replace("REDUCE", "pareto:hfu,active_time_us"), (10**8, 10**9), 17),
    ("predict of AFD, every operator", STEPS, (10**5, 10**6, 10**7), 9),
    ("compare up to 64 devices", SEARCHES, (100, 1000), 8),
)
"""What is swept, how many points, and the bytes of results that each has."""


def _run(script: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _timed(
    asked: str, points: int, runner: str, workers: int, scheduler: str | None = None
) -> dict[str, Any]:
    held = asked.replace("POINTS", str(points)).strip().replace("\n", "\n    ")
    return _run(TIMED.format(asked=held, runner=runner, workers=workers, scheduler=scheduler))


@contextlib.contextmanager
def _dask(workers: int) -> Iterator[str]:
    """Start a scheduler and workers on loopback, as its documentation has it, and give its address."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        file = Path(folder) / "scheduler.json"
        alone = ("--no-dashboard", "--scheduler-file", str(file))
        _begin(running, "dask_scheduler", "--host", "127.0.0.1", "--port", "0", *alone)
        for _ in range(workers):
            _begin(running, "dask_worker", "--nthreads", "1", "--no-nanny", *alone)
        time.sleep(SETTLED_S)
        yield json.loads(file.read_text("utf-8"))["address"]


@contextlib.contextmanager
def _ray(workers: int) -> Iterator[str]:
    """Start a node of Ray that has so many processors, and give its address."""
    ray = str(Path(sys.executable).with_name("ray"))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    alone = ("--num-cpus", str(workers), "--include-dashboard", "false")
    subprocess.run([ray, "start", "--head", *alone], check=True, **quiet)
    try:
        yield "auto"
    finally:
        subprocess.run([ray, "stop", "--force"], check=True, **quiet)


def _begin(running: contextlib.ExitStack, command: str, *words: str) -> None:
    """Start a part of a cluster, which ends with what runs."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", f"distributed.cli.{command}", *words], **quiet)
    running.callback(process.wait)
    running.callback(process.terminate)


def _clusters() -> list[str]:
    """Return how much quicker two workers of a cluster are than one."""
    lines = [
        "",
        f"Clusters on the same machine, already started: comparisons, {CLUSTERED:,} of them, with the",
        "process that asks and the scheduler beside the workers on its cores.",
        "",
        "| runner | workers | seconds | times one worker |",
        "|---|---:|---:|---:|",
    ]
    for runner, cluster in (("processes", None), ("dask", _dask), ("ray", _ray)):
        first = 0.0
        for workers in (1, 2):
            with cluster(workers) if cluster else contextlib.nullcontext() as address:
                seconds = _timed(SEARCHES, CLUSTERED, runner, workers, address)["seconds"]
            first = first or seconds
            lines.append(f"| {runner} | {workers} | {seconds:.1f} | {first / seconds:.2f} |")
    return lines


def main() -> None:
    """Write the page."""
    floor, loop = _run(FLOOR)["ns"], _run(LOOP)["seconds"]
    lines = [
        "<!-- Written by benchmarks/sweeps.py (make performance); do not edit. -->",
        "",
        "# How fast sweeps are",
        "",
        f"On {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}), whole runs",
        "with the start of their processes. The floor is what copying the results in memory takes,",
        f"`numpy.copyto`, {floor:.3f} ns a byte; the ratio is of the whole time to it.",
        "",
        "| what | points | feasible | processes | seconds | points a second | ratio to floor | memory [MB] |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rate = 0.0
    for what, asked, sizes, size in CASES:
        for points in sizes:
            for runner, workers in (("serial", 1), ("processes", 2)):
                if workers == 1 and points >= 10**9:
                    continue
                found = _timed(asked, points, runner, workers)
                rate = found["points"] / found["seconds"]
                ratio = found["seconds"] / (found["points"] * size * floor * 1e-9)
                told = f"{ratio:,.1f}" if ratio < 1e3 else f"{ratio:,.0f}"  # noqa: PLR2004 - digits
                lines.append(
                    f"| {what} | {found['points']:,} | {found['points_counted'] / found['points']:.0%} | "
                    f"{workers} | {found['seconds']:.2f} | {rate:,.3g} | "
                    f"{told} | {found['memory_mb']:.0f} |"
                )
    lines += [
        "",
        f"A loop of single comparisons in one process takes {loop:.3f} s each; the last sweep on two",
        f"processes is {rate * loop:.1f} times as quick. Time is linear in points, and memory flat: points",
        "exist in chunks, terms on the axes that move them, and reductions keep what they need.",
        "Of predictions only those are timed that memory holds; here it holds all of them.",
        *_clusters(),
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
