"""Speed and memory of the program, as ratios to what the machine does anyway: `make bench`.

Absolute times differ from machine to machine; the ratios hardly do. Nothing here asserts a time.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.sides import Successive, search_modes
from roofline_afd.analysis.requests.traces import read_trace
from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.analysis.sweep.sweep import sweep
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics.roofline import ffn_stage
from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import Scenario
from roofline_afd.simulation.service import Pool, Requests, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

RUNS = 7
SLOW_RUNS = 3
SLOW_S = 3.0
"""Runs that take longer are fewer [s]."""
POINTS = 1_000_000
QUESTION = ("--system", "h800", "--model", "deepseek-v3")
SUPERPOD = ("--system", "gb200-nvl72", "--model", "deepseek-v3")
EXPLORED = ("--system", "b200", "--model", "deepseek-v3.2", "--workload", "chat")
CANDIDATES = ("--systems", "h800,h20,gb200-nvl72,cloudmatrix384", "--model", "deepseek-v3")
BOUGHT = (*CANDIDATES, "--demand", "1e6", "--price", "h800=1.5")
SERVED = (
    *("--systems", "h200,b200,gb200-nvl72,mi355x", "--model", "deepseek-v3", "--requests-per-s", "200"),
    *("--isl", "4096", "--osl", "1024", "--prefix-hit", ".5"),
    *("--ttft-p95-ms", "2000", "--tpot-p95-ms", "50"),
)
TIMES = ("--coefficients", ".00165,50,.083,100,.022,20", "--layers", "61", "--batch", "256")
LENGTHS = ("--prompt-mean", "100", "--decode-mean", "500")
WHOLE = {
    "--help": ("--help",),
    "predict --format json": (
        *("predict", *QUESTION, "--devices", "128", "--batch", "128", "--format", "json"),
    ),
    "roofline --format json": ("roofline", *QUESTION, "--format", "json"),
    "plot dead-zone": ("plot", "dead-zone", *QUESTION),
    "compare": ("compare", *QUESTION),
    "compare, groups of single devices": ("compare", *QUESTION, "--granularity", "device"),
    "compare on a superpod": ("compare", *SUPERPOD),
    "what-if with break-even": ("what-if", *QUESTION, "--change", "scale_out_gb_per_s=100"),
    "validate": ("validate",),
    "provision from coefficients": ("provision", *TIMES, *LENGTHS),
    "provision for a system": ("provision", *QUESTION, *LENGTHS, "--batch", "64"),
    "explore, four modes on 128 devices": ("explore", *EXPLORED),
    "procure, four candidates": ("procure", *BOUGHT),
    "procure of whole requests, four candidates": ("procure", *SERVED),
    "sensitivity with 100 samples": ("sensitivity", *SUPERPOD),
    "report on four candidates": ("report", *BOUGHT, "--force", "--output", "report.html"),
    "simulate 10,000 requests per instance, r = 8": (
        *("simulate", *TIMES, *LENGTHS, "--r", "8", "--replications", "1"),
    ),
}
"""Commands, each a process of its own."""


@functools.cache
def _environment() -> dict[str, str]:
    """Return the environment of runs, in which modules that were compiled once stay so."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "roofline-afd-bytecode")}


def _process(*arguments: str) -> None:
    """Run a process to its end."""
    quiet = subprocess.DEVNULL
    subprocess.run(arguments, stdout=quiet, stderr=quiet, env=_environment(), check=True)


MEMORY = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
"""
"""A process begins with the peak of the one that begins it: this one is small."""


def _memory(*arguments: str) -> float:
    """Return the most memory that a process, or one of its own, has [MB]."""
    asked = (sys.executable, "-c", MEMORY, *arguments)
    told = subprocess.run(asked, capture_output=True, text=True, env=_environment(), check=True)
    return float(told.stdout)


def _median(run: Callable[[], object]) -> float:
    """Return the median time of a few runs after one that is not counted [s]."""
    seconds = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds[1:]))


@pytest.fixture(scope="session")
def import_numpy() -> tuple[str, float]:
    """Time a process that imports numpy: what whole processes are held to [s]."""
    return "import numpy", _median(lambda: _process(sys.executable, "-c", "import numpy"))


@pytest.fixture(scope="session")
def square_roots() -> tuple[str, float]:
    """Time twelve square roots of a million numbers: what computing is held to [s]."""
    values = np.arange(1.0, POINTS + 1.0)
    return "12 square roots of 1e6", _median(lambda: [np.sqrt(values) for _ in range(12)])


@pytest.fixture(scope="session")
def start_python() -> tuple[str, float]:
    """Time a bare process: what reading files is held to [s]."""
    return "start Python", _median(lambda: _process(sys.executable, "-c", "pass"))


def _told(
    benchmark: BenchmarkFixture, what: str, reference: tuple[str, float], run: Callable[[], Any]
) -> None:
    """Time runs, and keep what they are held to."""
    begun = time.perf_counter()
    run()
    slow = time.perf_counter() - begun > SLOW_S
    benchmark.pedantic(run, rounds=SLOW_RUNS if slow else RUNS, iterations=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"what": what, "to": reference[0], "reference_s": reference[1]}


@pytest.mark.parametrize("what", WHOLE)
def test_whole_processes(
    benchmark: BenchmarkFixture, import_numpy: tuple[str, float], what: str, tmp_path: Path
) -> None:
    """Commands from their start to their end."""
    words = [str(tmp_path / word) if word == "report.html" else word for word in WHOLE[what]]
    asked = (sys.executable, "-m", "roofline_afd", *words)
    _told(benchmark, f"{what}, whole process", import_numpy, lambda: _process(*asked))
    benchmark.extra_info["memory_mb"] = _memory(*asked)


def _node_counts() -> Callable[[], object]:
    scenario, nodes = Scenario(system="h800", model="deepseek-v3"), np.arange(1, POINTS + 1)
    return lambda: roofline(Roofline(scenario, ffn_nodes=nodes))


def _open_axes() -> Callable[[], object]:
    inputs = ffn_stage_inputs(Scenario(system="h800", model="deepseek-v3"))
    nodes, out = np.arange(1, 1001)[:, None], np.linspace(10e9, 400e9, 1000)[None, :]
    arguments = inputs.arguments(nodes) | {"scale_out": out}
    return lambda: ffn_stage(**arguments)


def _steps() -> Callable[[], object]:
    deployments = Deployments(Scenario(system="h800", model="deepseek-v3"), "afd")
    drawn = np.random.default_rng(0).integers(1, 512, (50, 3, POINTS // 50))

    def run() -> None:
        for batch, senders, receivers in drawn:
            deployments.step(
                Deployment(
                    mode="afd",
                    attention_devices=senders,
                    ffn_devices=receivers,
                    batch=batch,
                    microbatches=3,
                )
            )

    return run


def _searches() -> Callable[[], object]:
    scenario = Scenario(system="h800", model="deepseek-v3", max_devices=512)
    return lambda: search_modes(scenario)


def _next_question() -> Callable[[], object]:
    scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64)
    rates, successive = iter(np.linspace(25, 400, 100)), Successive()
    return lambda: successive.rates(changed(scenario, {"scale_out_gb_per_s": float(next(rates))}))


def _questions_alike() -> Callable[[], object]:
    scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64)
    questions = [changed(scenario, {"scale_out_gb_per_s": float(rate)}) for rate in np.linspace(25, 400, 64)]
    successive = Successive()
    return lambda: successive.every(questions)


def _swept_roofline() -> Callable[[], object]:
    axes = {
        "ffn_nodes": range(1, 101),
        "scale_out_gb_per_s": np.linspace(10, 400, 100),
        "tpot_ms": np.linspace(20, 120, 1000),
    }
    scenario = Scenario(system="h800", model="deepseek-v3")
    question = Sweep(scenario, axes=axes, of="roofline", reduce="best:hfu", runner="serial")
    return lambda: sweep(question)


def _swept_predictions() -> Callable[[], object]:
    axes = {
        "attention_devices": range(8, 401, 8),
        "ffn_devices": range(8, 401, 8),
        "batch": range(1, 401),
    }
    scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, redundant_experts=0)
    reduce = "best:tokens_per_s_per_device"
    question = Sweep(scenario, axes=axes, of="predict", mode="afd", reduce=reduce, runner="serial")
    return lambda: sweep(question)


def _followed() -> Callable[[], object]:
    random, slots, full = np.random.default_rng(0), 256, np.linspace(0.0, 0.06, 9)
    even = [[0.02 + 0.02 * held / slots + more for more in full] for held in range(slots + 1)]
    pool = Pool(replicas=16, groups=8, slots=slots, chunk=8192.0, every=4, even=even, uneven=even)
    many = 100_000
    arrival: NDArray[np.float64] = np.cumsum(random.exponential(1 / 300, many))
    prompt = random.exponential(2000.0, many)
    output: NDArray[np.float64] = random.geometric(1 / 250, many).astype(np.float64)
    requests = Requests(arrival, prompt, output)
    return lambda: serve(requests, pool)


COMPUTED: dict[str, Callable[[], Callable[[], object]]] = {
    "roofline of 1e6 node counts": _node_counts,
    "1e6 points of the roofline on open axes": _open_axes,
    "1e6 steps of AFD, every operator": _steps,
    "both searches up to 512 devices": _searches,
    "comparison after one alike": _next_question,
    "64 comparisons alike, together": _questions_alike,
    "sweep of 1e7 points of the roofline, one process": _swept_roofline,
    "sweep of 1e6 predictions, one process": _swept_predictions,
    "follow 100,000 requests on 16 replicas": _followed,
}


@pytest.mark.parametrize("what", COMPUTED)
def test_computing(benchmark: BenchmarkFixture, square_roots: tuple[str, float], what: str) -> None:
    """What many points, searches and requests take within a process."""
    _told(benchmark, what, square_roots, COMPUTED[what]())


def _trace(folder: Path) -> Path:
    random = np.random.default_rng(0)
    lengths = zip(random.integers(1, 8000, 20_000), random.geometric(1 / 300, 20_000), strict=True)
    file = folder / "trace.csv"
    rows = "".join(f"2023-11-16 18:15:46.6805900,{prompt},{output}\n" for prompt, output in lengths)
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows, "utf-8")
    return file


def _whole_catalogue() -> None:
    catalogue = Catalogue()
    for kind in ("accelerator", "interconnect", "system", "calibration", "model"):
        for _ in catalogue.records(kind):
            pass


def test_a_trace(benchmark: BenchmarkFixture, start_python: tuple[str, float], tmp_path: Path) -> None:
    """Reading 20,000 requests."""
    file = _trace(tmp_path)
    _told(benchmark, "read a trace of 20,000 requests", start_python, lambda: read_trace(file))


def test_the_catalogue(benchmark: BenchmarkFixture, start_python: tuple[str, float]) -> None:
    """Every record of the catalogue."""
    _told(benchmark, "load the whole catalogue", start_python, _whole_catalogue)


def test_a_system(benchmark: BenchmarkFixture, start_python: tuple[str, float]) -> None:
    """One system, from a catalogue that read nothing."""
    _told(
        benchmark, "load one system", start_python, lambda: load_system("gb200-nvl72", catalogue=Catalogue())
    )
