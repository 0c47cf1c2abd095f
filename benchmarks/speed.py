"""Speed and memory of the program, as ratios to what the machine does anyway.

Run `make bench`. Absolute times differ from machine to machine; the ratios hardly do. Every figure is the
median of several runs, each in a fresh process, after one that is not counted: modules are compiled by then,
as they are where the package is installed.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RUNS = 7
QUESTION = ["--system", "h800", "--model", "deepseek-v3"]
SUPERPOD = ["--system", "gb200-nvl72", "--model", "deepseek-v3"]
SINGLE = ["--granularity", "device"]
EXPLORED = ["--system", "b200", "--model", "deepseek-v3.2", "--workload", "chat"]
CANDIDATES = ["--systems", "h800,h20,gb200-nvl72,cloudmatrix384", "--model", "deepseek-v3"]
BOUGHT = [*CANDIDATES, "--demand", "1e6", "--price", "h800=1.5"]
SERVED = [
    *("--systems", "h200,b200,gb200-nvl72,mi355x", "--model", "deepseek-v3", "--requests-per-s", "200"),
    *("--isl", "4096", "--osl", "1024", "--prefix-hit", ".5"),
    *("--ttft-p95-ms", "2000", "--tpot-p95-ms", "50"),
]
TIMES = ["--coefficients", ".00165,50,.083,100,.022,20", "--layers", "61", "--batch", "256"]
LENGTHS = ["--prompt-mean", "100", "--decode-mean", "500"]
PROGRAM = [sys.executable, "-m", "roofline_afd"]

POINTS = """
import time
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.serving.scenario import Scenario
import numpy as np
scenario, nodes = Scenario(system="h800", model="deepseek-v3"), np.arange(1, 1_000_001)
roofline(Roofline(scenario))
start = time.perf_counter()
roofline(Roofline(scenario, ffn_nodes=nodes))
print(time.perf_counter() - start)
"""
GRID = """
import time
import numpy as np
from roofline_afd.physics.roofline import ffn_stage
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import Scenario
inputs = ffn_stage_inputs(Scenario(system="h800", model="deepseek-v3"))
nodes, out = np.arange(1, 1001)[:, None], np.linspace(10e9, 400e9, 1000)[None, :]
arguments = inputs.arguments(nodes) | {"scale_out": out}
ffn_stage(**arguments)
start = time.perf_counter()
ffn_stage(**arguments)
print(time.perf_counter() - start)
"""
STEPS = """
import time
import numpy as np
from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.scenario import Scenario
deployments = Deployments(Scenario(system="h800", model="deepseek-v3"), "afd")
random = np.random.default_rng(0)
batch, senders, receivers = (random.integers(1, 512, (50, 20_000)) for _ in range(3))
def block(index):
    return Deployment(mode="afd", attention_devices=senders[index], ffn_devices=receivers[index],
                      batch=batch[index], microbatches=3)
deployments.step(block(0))
start = time.perf_counter()
for index in range(50):
    deployments.step(block(index))
print(time.perf_counter() - start)
"""
SEARCH = """
import time
from roofline_afd.analysis.decode.sides import search_modes
from roofline_afd.serving.scenario import Scenario
scenario = Scenario(system="h800", model="deepseek-v3", max_devices=512)
search_modes(scenario)
start = time.perf_counter()
search_modes(scenario)
print(time.perf_counter() - start)
"""
CATALOGUE = """
import time
from roofline_afd.catalogue.store import Catalogue
Catalogue().record("system", "h800")
start = time.perf_counter()
catalogue = Catalogue()
for kind in ("accelerator", "interconnect", "system", "calibration", "model"):
    for record in catalogue.records(kind):
        pass
print(time.perf_counter() - start)
"""
RECORD = """
import time
from roofline_afd.catalogue.hardware import load_system
load_system("h800")
start = time.perf_counter()
load_system("gb200-nvl72")
print(time.perf_counter() - start)
"""
TRACE = """
import tempfile, time
from pathlib import Path
import numpy as np
from roofline_afd.analysis.requests.traces import read_trace
random = np.random.default_rng(0)
lengths = zip(random.integers(1, 8000, 20_000), random.geometric(1 / 300, 20_000))
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "trace.csv"
    rows = "".join(f"2023-11-16 18:15:46.6805900,{prompt},{output}\\n" for prompt, output in lengths)
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\\n" + rows)
    start = time.perf_counter()
    read_trace(file)
    print(time.perf_counter() - start)
"""
FOLLOWED = """
import time
import numpy as np
from roofline_afd.simulation.service import Pool, Requests, serve
random, slots, full = np.random.default_rng(0), 256, np.linspace(0.0, 0.06, 9)
even = [[0.02 + 0.02 * held / slots + more for more in full] for held in range(slots + 1)]
pool = Pool(replicas=16, groups=8, slots=slots, chunk=8192.0, every=4, even=even, uneven=even)
many = 100_000
arrival, prompt = np.cumsum(random.exponential(1 / 300, many)), random.exponential(2000.0, many)
requests = Requests(arrival, prompt, random.geometric(1 / 250, many) * 1.0)
start = time.perf_counter()
served = serve(requests, pool)
print(time.perf_counter() - start)
"""
ARRAY = """
import time
import numpy as np
values = np.arange(1.0, 1_000_001.0)
np.sqrt(values)
start = time.perf_counter()
for _ in range(12):
    np.sqrt(values)
print(time.perf_counter() - start)
"""


class Measure(NamedTuple):
    """Median seconds, and the largest memory of a run [MB]."""

    seconds: float
    memory_mb: float


def measure(command: list[str], *, inner: bool) -> Measure:
    """Run a command several times; `inner` takes the seconds it prints instead of its whole run."""
    seconds, memory = [], []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environment()
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        seconds.append(float(printed) if inner else time.perf_counter() - start)
        memory.append(usage.ru_maxrss / 1e3)
    return Measure(statistics.median(seconds[1:]), max(memory))


@functools.cache
def _environment() -> dict[str, str]:
    """Return the environment of runs, in which modules that were compiled once stay so."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "roofline-afd-bytecode")}


def main() -> None:
    """Print the table of benchmarks."""
    with tempfile.TemporaryDirectory() as folder:
        _print_table(Path(folder) / "report.html")


def _print_table(report: Path) -> None:
    bare = measure([sys.executable, "-c", "pass"], inner=False)
    numpy = measure([sys.executable, "-c", "import numpy"], inner=False)
    array = measure([sys.executable, "-c", ARRAY], inner=True)
    whole = {
        "--help, whole process": ["--help"],
        "predict --format json, whole process": [
            *("predict", *QUESTION, "--devices", "128", "--batch", "128", "--format", "json")
        ],
        "roofline --format json, whole process": ["roofline", *QUESTION, "--format", "json"],
        "plot dead-zone, whole process": ["plot", "dead-zone", *QUESTION],
        "compare up to 512 devices, whole process": ["compare", *QUESTION],
        "compare, groups of single devices, whole process": ["compare", *QUESTION, *SINGLE],
        "compare on a superpod, whole process": ["compare", *SUPERPOD],
        "what-if with break-even, whole process": [
            "what-if",
            *QUESTION,
            "--change",
            "scale_out_gb_per_s=100",
        ],
        "validate, whole process": ["validate"],
        "provision from coefficients, whole process": ["provision", *TIMES, *LENGTHS],
        "provision for a system, whole process": ["provision", *QUESTION, *LENGTHS, "--batch", "64"],
        "explore, four modes on 128 devices, whole process": ["explore", *EXPLORED],
        "explore, replicas of every size, whole process": ["explore", *EXPLORED, *SINGLE],
        "procure, four candidates, whole process": ["procure", *BOUGHT],
        "procure of whole requests, four candidates, whole process": ["procure", *SERVED],
        "sensitivity with 100 samples, whole process": ["sensitivity", *SUPERPOD],
        "report on four candidates, whole process": [
            *("report", *BOUGHT, "--force", "--output", str(report))
        ],
        "simulate 10,000 requests per instance, r = 8, once": [
            *("simulate", *TIMES, *LENGTHS, "--r", "8", "--replications", "1")
        ],
    }
    rows = [
        (what, measure([*PROGRAM, *arguments], inner=False), numpy, "import numpy")
        for what, arguments in whole.items()
    ]
    inside = {
        "roofline of 1e6 node counts": (POINTS, array, "12 square roots of 1e6"),
        "1e6 points on open axes": (GRID, array, "12 square roots of 1e6"),
        "1e6 steps of AFD, every operator": (STEPS, array, "12 square roots of 1e6"),
        "both searches, 1.6e6 deployments": (SEARCH, array, "12 square roots of 1e6"),
        "follow 100,000 requests on 16 replicas": (FOLLOWED, array, "12 square roots of 1e6"),
        "read a trace of 20,000 requests": (TRACE, bare, "start Python"),
        "load one system": (RECORD, bare, "start Python"),
        "load the whole catalogue": (CATALOGUE, bare, "start Python"),
    }
    rows += [
        (what, measure([sys.executable, "-c", script], inner=True), reference, name)
        for what, (script, reference, name) in inside.items()
    ]
    print("| what | seconds | ratio | to | memory [MB] |")
    print("|---|---:|---:|---|---:|")
    for what, found, reference, name in rows:
        ratio = f"{found.seconds / reference.seconds:.1f}"
        base = f"{name}, {reference.seconds:.3f} s"
        print(f"| {what} | {found.seconds:.3f} | {ratio} | {base} | {found.memory_mb:.0f} |")


if __name__ == "__main__":
    main()
