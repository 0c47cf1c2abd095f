"""Sweeps: each point is what the command says of it, whoever does the work, and however often it stops."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roofline_afd import (
    Scenario,
    compare,
    explore,
    load_system,
    predict_afd,
    predict_ep,
    provision,
    roofline,
    sweep,
)
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.sweep import sweep as module
from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.analysis.sweep.runners import Job, run
from roofline_afd.analysis.sweep.store import Store
from roofline_afd.errors import InfeasibleError, InputError
from tests.conftest import ONE_PLAN, ROOT, command, lives

H800 = Scenario(system="h800", model="deepseek-v3")
STAGE: dict[str, Any] = {"ffn_nodes": range(1, 41), "scale_out_gb_per_s": [25.0, 50.0, 100.0]}
SMALL: dict[str, Any] = {"max_devices": 32, "tpot_ms": 50, **ONE_PLAN}
BLOCKS: dict[str, Any] = {
    "system": ["h800", "b200", "h20"],
    "ffn_nodes": range(1, 41),
    "scale_out_gb_per_s": np.linspace(10, 400, 400),
    "tpot_ms": [20, 50, 100, 200],
}
"""192,000 points, of more than one task."""


def test_points_of_the_roofline_are_those_of_the_command() -> None:
    """Every metric at every point, over inputs of the system, the model and the question."""
    axes = {**STAGE, "tpot_ms": [20, 50], "top_k": [4, 8]}
    table = sweep(H800, axes=axes, of="roofline", runner="serial")
    assert len(table) == 40 * 3 * 2 * 2
    keys = ["scale_out_gb_per_s", "tpot_ms", "top_k"]
    for row in table[keys].drop_duplicates().to_dict("records"):
        own = roofline(changed(H800, {key: row[key] for key in keys}), ffn_nodes=range(1, 41))
        same = np.all([table[key] == row[key] for key in keys], axis=0)
        held = table[same].sort_values("ffn_nodes")
        for key in ("hfu", "ofu", "temporal_sparsity", "intensity", "weight_time_us", "compute_time_us"):
            assert held[key].to_numpy() == pytest.approx(own[key].to_numpy(), rel=1e-12), key
        assert held["feasible"].tolist() == own["feasible"].tolist()


def test_attention_devices_beside_systems_that_hold_both_sides() -> None:
    """How far a domain reaches depends on both axes: each point is what its own question says."""
    axes: dict[str, Any] = {
        "system": ["h800", "gb200-nvl72"],
        "attention_devices": [8, 40],
        "ffn_nodes": [1, 8, 16],
    }
    table = sweep(H800, axes=axes, of="roofline", metrics=["hfu", "feasible"], runner="serial")
    for row in table.to_dict("records"):
        senders = int(row["attention_devices"])
        asked = Scenario(system=row["system"], model="deepseek-v3", attention_devices=senders)
        own = roofline(asked, ffn_nodes=[int(row["ffn_nodes"])]).iloc[0]
        assert row["feasible"] == own["feasible"], row
        assert row["hfu"] == pytest.approx(own["hfu"], rel=1e-12), row


def test_a_yes_or_no_is_kept_as_a_number_is() -> None:
    for reduce in ("top:2:feasible", "best:feasible", "pareto:feasible,hfu"):
        assert len(sweep(H800, axes=STAGE, of="roofline", reduce=reduce, runner="serial"))


def test_axes_that_meet_in_one_number_are_searched_one_by_one() -> None:
    """TPOT and accept length set the stage budget together: each point is still its own."""
    axes = {"ffn_nodes": [1, 4, 16], "tpot_ms": [20, 50], "accept_length": [1.0, 1.7]}
    table = sweep(H800, axes=axes, of="roofline", metrics=["hfu"], runner="serial")
    for row in table.to_dict("records"):
        asked = Scenario(
            system="h800", model="deepseek-v3", tpot_ms=row["tpot_ms"], accept_length=row["accept_length"]
        )
        own = roofline(asked, ffn_nodes=[int(row["ffn_nodes"])])
        assert row["hfu"] == pytest.approx(float(own["hfu"].iloc[0]), rel=1e-12)


@pytest.mark.parametrize("mode", ["ep", "afd"])
def test_points_of_predictions_are_those_of_the_command(mode: str) -> None:
    """Rates, times and terms; blank where memory does not hold the batch."""
    devices: dict[str, Any] = (
        {"devices": [16, 32]} if mode == "ep" else {"attention_devices": [8, 16], "ffn_devices": [16, 32]}
    )
    axes = {**devices, "batch": [1, 8, 64, 100_000], "context": [4096, 16384]}
    fixed = Scenario(system="h800", model="deepseek-v3", **ONE_PLAN)
    table = sweep(fixed, axes=axes, of="predict", mode=mode, runner="serial")
    assert len(table) == 2 * 2 * 4 * (1 if mode == "ep" else 2)
    for row in table.to_dict("records"):
        asked: dict[str, Any] = {key: int(row[key]) for key in (*devices, "batch", "context")}
        predicted = predict_ep if mode == "ep" else predict_afd
        question = Scenario(system="h800", model="deepseek-v3", **ONE_PLAN, **asked)
        if not row["feasible"]:
            assert np.isnan(row["tpot_ms"])
            with pytest.raises(InfeasibleError):
                predicted(question)
            continue
        own = predicted(question).iloc[0]
        for key in ("tokens_per_s_per_device", "tokens_per_s_per_user", "tpot_ms", "step_ms"):
            assert row[key] == pytest.approx(own[key], rel=1e-9), key


def test_points_of_comparisons_are_those_of_the_command() -> None:
    scenario = Scenario(system="h800", model="deepseek-v3", **SMALL)
    axes = {"system": ["h800", "h200", "mi355x"], "context": [2048, 8192]}
    for row in sweep(scenario, axes=axes, runner="serial").to_dict("records"):
        own = compare(
            Scenario(model="deepseek-v3", system=row["system"], context=int(row["context"]), **SMALL)
        )
        summary = own.attrs["summary"]
        assert row["afd_over_ep"] == pytest.approx(summary["afd_over_ep"])
        assert row["winner"] == summary["winner"]
        assert row["probability_afd_wins"] == pytest.approx(summary["probability_afd_wins"])
        assert (summary["estimated_share"] > 0.1) == (row["system"] == "mi355x")


def test_no_probability_is_told_where_one_mode_is_too_slow() -> None:
    """As `compare`: a target that one mode misses may be missed by the error of a prediction."""
    scenario = Scenario(system="h800", model="deepseek-v3", **SMALL)
    axes = {"tpot_ms": [12.0, 17.0, 50.0], "memory_gb": [40, 80]}
    told = 0
    for row in sweep(scenario, axes=axes, runner="serial").to_dict("records"):
        system = load_system("h800", overrides={"memory_gb": row["memory_gb"]})
        own = Scenario(system=system, model="deepseek-v3", **SMALL | {"tpot_ms": row["tpot_ms"]})
        try:
            sure = compare(own).attrs["summary"]["probability_afd_wins"]
        except InfeasibleError:
            assert row["winner"] not in {"ep", "afd"}
            continue
        told += sure is None
        expected = np.nan if sure is None else sure
        assert row["probability_afd_wins"] == pytest.approx(expected, nan_ok=True)
    assert told


def test_a_comparison_that_cannot_be_leaves_those_beside_it() -> None:
    """One target leaves no time beside the gap: that question alone is refused."""
    scenario = Scenario(system="h800", model="deepseek-v3", **SMALL)
    axes = {"tpot_ms": [60.0, 30.0], "gap_ms": [1.0, 30.0]}
    table = sweep(scenario, axes=axes, metrics=["winner", "best_tokens_per_s_per_device"], runner="serial")
    refused = table["winner"] == "refused"
    assert table[refused][["tpot_ms", "gap_ms"]].to_numpy().tolist() == [[30.0, 30.0]]
    assert table["best_tokens_per_s_per_device"].isna().tolist() == refused.tolist()
    with pytest.raises(InputError, match="leaves no time for the layers"):
        sweep(scenario, axes={"tpot_ms": [30.0], "gap_ms": [30.0]}, runner="serial")


def test_points_of_explorations_are_those_of_the_command() -> None:
    scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tpot_ms=30, **ONE_PLAN)
    axes = {"isl": [512], "osl": [64], "ttft_ms": [1e-3, 500.0]}
    no, yes = sweep(scenario, axes=axes, of="explore", runner="serial").to_dict("records")
    best = explore(scenario, isl=512, osl=64, ttft_ms=500.0).attrs["summary"]["best_under_slo"]
    assert (yes["mode"], no["mode"]) == (best["mode"], "none")
    assert yes["tokens_per_s_per_device"] == pytest.approx(best["tokens_per_s_per_device"])
    assert np.isnan(no["tpot_ms"])


def test_points_of_provisions_are_those_of_the_command() -> None:
    axes = {"batch": [64], "prompt_mean": [500, 1000], "decode_mean": [300]}
    scenario = Scenario(system="h800", model="step-3")
    for row in sweep(scenario, axes=axes, of="provision", runner="serial").to_dict("records"):
        own = provision(scenario=scenario, batch=64, prompt_mean=row["prompt_mean"], decode_mean=300)
        for key in ("ratio", "r_star", "tokens_per_s_per_instance", "tpot_ms"):
            assert row[key] == pytest.approx(own.attrs["summary"][key]), key


@functools.cache
def _serial(form: str, folder: Path) -> bytes:
    file = folder / f"serial{form}"
    sweep(H800, axes=BLOCKS, of="roofline", metrics=["hfu"], runner="serial", file=file)
    return file.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.mark.parametrize(("runner", "form"), [("processes", ".csv"), ("dask", ".parquet"), ("ray", ".csv")])
def test_every_runner_gives_the_same_bytes(runner: str, form: str, folder: Path) -> None:
    file = folder / f"{runner}{form}"
    sweep(H800, axes=BLOCKS, of="roofline", metrics=["hfu"], runner=runner, workers=2, file=file)
    assert file.read_bytes() == _serial(form, folder)
    assert not list(folder.glob("*.parts"))


def test_reductions_are_the_same_of_one_process_and_of_two() -> None:
    asked: dict[str, Any] = {"of": "roofline", "reduce": "pareto:hfu,active_time_us"}
    axes = {**BLOCKS, "tpot_ms": np.linspace(20, 200, 100)}
    one, two = (
        sweep(H800, axes=axes, runner=runner, workers=2, **asked) for runner in ("serial", "processes")
    )
    assert one.equals(two)
    assert len(one) > 1


def test_files_are_read_alike(folder: Path) -> None:
    _serial(".csv", folder), _serial(".parquet", folder)
    table, other = pd.read_csv(folder / "serial.csv"), pd.read_parquet(folder / "serial.parquet")
    assert len(table) == 3 * 40 * 400 * 4
    for key in table.columns:
        assert (table[key] == other[key]).all(), key


def _workers(address: str, many: int) -> list[subprocess.Popen[bytes]]:
    words = (
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nworkers",
        "1",
        "--nthreads",
        "1",
        "--no-dashboard",
    )
    return [
        subprocess.Popen(
            [sys.executable, *words, "--no-nanny"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(many)
    ]


def test_a_killed_worker_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """A scheduler and two workers of their own on loopback; one is killed by its id in the middle."""
    where = tmp_path / "scheduler.json"
    scheduler = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"),
            *("--no-dashboard", "--scheduler-file", str(where)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    workers: list[subprocess.Popen[bytes]] = []
    try:
        deadline = time.monotonic() + 60
        while not where.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(where.read_text("utf-8"))["address"]
        workers = _workers(address, 2)
        file = tmp_path / "killed.csv"
        told: list[float] = []

        def kill(progress: Any) -> None:  # noqa: ANN401 - of the sweep
            told.append(progress.points)
            if len(told) == 1:
                workers[0].kill()

        question = Sweep(
            H800, axes=BLOCKS, of="roofline", metrics=["hfu"], runner="dask", scheduler=address, file=file
        )
        module.sweep(question, told=kill)
        assert len(told) > 1
        assert workers[0].wait(timeout=30) == -signal.SIGKILL
        assert file.read_bytes() == _serial(".csv", folder)
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait(timeout=30)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are not told as files")
def test_a_ray_worker_that_is_killed_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """A process of Ray ends by its id while it works: what it had is done by another."""
    file = tmp_path / "killed.csv"
    killed: list[int] = []

    def kill(progress: Any) -> None:  # noqa: ANN401 - of the sweep
        del progress
        if killed:
            return
        for each in _descendants(os.getpid()):
            title = Path(f"/proc/{each}/cmdline")
            if title.exists() and title.read_bytes().startswith((b"ray::work", b"ray::IDLE")):
                os.kill(each, signal.SIGKILL)
                killed.append(each)
                return

    question = Sweep(H800, axes=BLOCKS, of="roofline", metrics=["hfu"], runner="ray", workers=1, file=file)
    module.sweep(question, told=kill)
    assert killed
    assert file.read_bytes() == _serial(".csv", folder)


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_scheduler_out_of_reach_is_one_line(runner: str) -> None:
    address = "tcp://127.0.0.1:1" if runner == "dask" else "127.0.0.1:1"
    asked = (
        "sweep",
        "--system",
        "h800",
        "--model",
        "deepseek-v3",
        "--of",
        "roofline",
        "--reduce",
        "best:hfu",
    )
    axes = ("--axis", "ffn_nodes=1:1000", "--axis", "scale_out_gb_per_s=10:400/9000")
    done = command(*asked, *axes, "--runner", runner, "--scheduler", address)
    assert (done.status, done.out) == (2, "")
    assert "cannot be reached" in done.complaint


def test_a_killed_sweep_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    """`kill -9` of the whole run, then --resume: the same bytes as without, and finished blocks are kept."""
    file = tmp_path / "resumed.csv"
    script = (
        "import os, signal\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from roofline_afd import Scenario\n"
        "from roofline_afd.analysis.sweep.questions import Sweep\n"
        "from roofline_afd.analysis.sweep.sweep import sweep\n"
        "axes = {'system': ['h800', 'b200', 'h20'], 'ffn_nodes': range(1, 41),\n"
        "        'scale_out_gb_per_s': np.linspace(10, 400, 400), 'tpot_ms': [20, 50, 100, 200]}\n"
        "question = Sweep(Scenario(system='h800', model='deepseek-v3'), axes=axes, of='roofline',\n"
        f"                 metrics=['hfu'], runner='serial', file=Path({str(file)!r}))\n"
        "seen = []\n"
        "def told(progress):\n"
        "    seen.append(progress)\n"
        "    if len(seen) > 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sweep(question, told=told)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not file.exists()
    asked: dict[str, Any] = {"of": "roofline", "metrics": ["hfu"], "runner": "serial", "file": file}
    parts = sorted(path.name for path in (tmp_path / "resumed.csv.parts").glob("*"))
    assert "sweep.json" in parts
    with pytest.raises(InputError, match="holds 1 finished blocks: go on with resume"):
        sweep(H800, axes=BLOCKS, **asked)
    with pytest.raises(InputError, match="of another sweep"):
        sweep(H800, axes={**BLOCKS, "tpot_ms": [20]}, resume=True, **asked)
    sweep(H800, axes=BLOCKS, resume=True, **asked)
    assert file.read_bytes() == _serial(".csv", folder)
    assert not (tmp_path / "resumed.csv.parts").exists()


def _children(parent: int) -> set[int]:
    """Return the processes that a process has begun, as Linux tells them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == parent:
            found.add(int(stat.parent.name))
    return found


def _descendants(parent: int) -> set[int]:
    found = _children(parent)
    return found.union(*(_descendants(each) for each in found))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are not told as files")
def test_workers_end_with_the_process_that_asked(tmp_path: Path) -> None:
    """Killed without a chance to say so: nothing of it is left after a few seconds."""
    words = (
        "--axis",
        "ffn_nodes=1:1000",
        "--axis",
        "scale_out_gb_per_s=10:400/1000",
        "--axis",
        "tpot_ms=20:120/400",
    )
    asked = subprocess.Popen(
        [sys.executable, "-m", "roofline_afd", *ASKED, *words, "--reduce", "pareto:hfu,active_time_us"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    workers: set[int] = set()
    deadline = time.monotonic() + 30
    while len(workers) < 2 and time.monotonic() < deadline and asked.poll() is None:
        workers = _children(asked.pid)
        time.sleep(0.1)
    asked.kill()
    asked.wait()
    assert workers
    deadline = time.monotonic() + 15
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [each for each in workers if lives(each)]


def test_blocks_that_are_done_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "again.csv"
    numbers: list[int] = []

    def stops(runner: str, job: Job) -> Any:  # noqa: ANN401 - pairs
        for number, part in run(runner, job):
            if len(numbers) == 1:
                raise KeyboardInterrupt
            numbers.append(number)
            yield number, part

    monkeypatch.setattr(module, "run", stops)
    asked: dict[str, Any] = {"of": "roofline", "metrics": ["hfu"], "runner": "serial", "file": file}
    with pytest.raises(KeyboardInterrupt):
        sweep(H800, axes=BLOCKS, **asked)
    left: list[int] = []

    def counts(runner: str, job: Job) -> Any:  # noqa: ANN401
        left.extend(number for number, _ in job.tasks)
        return run(runner, job)

    monkeypatch.setattr(module, "run", counts)
    sweep(H800, axes=BLOCKS, resume=True, **asked)
    assert numbers == [0]
    assert left
    assert 0 not in left


def test_a_stopped_reduction_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its finished blocks are kept as those of rows are; rows of an answer come by the runner asked for."""
    stopped: dict[str, Any] = {"of": "roofline", "reduce": "best:hfu", "runner": "serial"}
    axes = {**BLOCKS, "tpot_ms": np.linspace(20, 200, 100)}
    whole = sweep(H800, axes=axes, **stopped)

    def stops(runner: str, job: Job) -> Any:  # noqa: ANN401 - pairs
        yield next(iter(run(runner, job)))
        raise KeyboardInterrupt

    file = tmp_path / "best.json"
    with monkeypatch.context() as patched:
        patched.setattr(module, "run", stops)
        with pytest.raises(KeyboardInterrupt):
            sweep(H800, axes=axes, file=file, **stopped)
    left: list[int] = []

    def counts(runner: str, job: Job) -> Any:  # noqa: ANN401
        left.extend(number for number, _ in job.tasks)
        return run(runner, job)

    monkeypatch.setattr(module, "run", counts)
    assert sweep(H800, axes=axes, file=file, resume=True, **stopped).equals(whole)
    assert left
    assert 0 not in left
    left.clear()
    assert len(sweep(H800, axes={"ffn_nodes": [1, 2]}, of="roofline", runner="serial")) == 2
    assert left == [0]


def test_a_full_disk_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "full.csv", "a sweep", resume=False)
    store.keep(0, b"1\n")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device; 1 finished blocks are kept for --resume"):
        store.keep(1, b"2\n")
    assert store.done() == {0}


def test_an_end_while_a_file_is_written_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by the user or whoever ends processes, at the worst moment: whole, but not in its place."""

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path / "x.csv", "a sweep", resume=False)
    store.keep(0, b"1\n")
    monkeypatch.setattr(Path, "replace", ended)
    with pytest.raises(KeyboardInterrupt):
        store.keep(1, b"2\n")
    with pytest.raises(KeyboardInterrupt):
        store.assemble("csv", ["metric"], 1)
    assert not list(tmp_path.rglob("*.half"))
    assert store.done() == {0}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "x.csv", "a sweep", resume=False)


AXIS = ("--axis", "ffn_nodes=1:4")
ASKED = ("sweep", "--system", "h800", "--model", "deepseek-v3", "--of", "roofline")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (ASKED, "a sweep needs an axis"),
        ((*ASKED, "--axis", "tpot_ms=20,50"), "needs --axis ffn_nodes"),
        ((*ASKED, *AXIS, "--metrics", "speed"), "--metrics 'speed'"),
        ((*ASKED, *AXIS, "--axis", "tpott_ms=1,2"), "tpott_ms"),
        ((*ASKED, *AXIS, "--axis", "system=h800,h8000"), "unknown system 'h8000'"),
        ((*ASKED, *AXIS, "--of", "comparison"), "--of 'comparison' is not valid"),
        ((*ASKED, *AXIS, "--runner", "slurm"), "--runner 'slurm' is not valid"),
        ((*ASKED, *AXIS, "--scheduler", "tcp://x:1"), "--scheduler belongs to --runner dask or ray"),
        ((*ASKED, "--axis", "ffn_nodes=1:1000000"), "give --output FILE.csv or FILE.parquet"),
        ((*ASKED, *AXIS, "--output", "x.pdf"), ".pdf"),
        ((*ASKED, *AXIS, "--reduce", "best:hfu", "--output", "x.parquet"), ".parquet"),
        ((*ASKED, *AXIS, "--resume"), "--resume needs --output"),
        ((*ASKED[:-1], "predict", "--axis", "batch=1:4"), "lacks devices"),
    ],
)
def test_what_cannot_be_meant_is_one_line(asked: tuple[str, ...], says: str) -> None:
    done = command(*asked)
    assert (done.status, done.out) == (2, ""), done.err
    assert says in done.complaint
    assert "\n" not in done.complaint.strip()


def test_the_command_streams_and_never_clobbers(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    asked = (*ASKED, *AXIS, "--axis", "tpot_ms=20,50", "--metrics", "hfu", "--output", str(file))
    done = command(*asked)
    assert done.status == 0, done.err
    assert "wrote 8 points" in done.err
    assert file.read_text("utf-8").splitlines()[0] == "ffn_nodes,tpot_ms,hfu"
    again = command(*asked)
    assert again.status == 2
    assert "--force" in again.complaint
    table = command(*ASKED, *AXIS, "--reduce", "best:hfu", "--format", "table")
    assert re.search(
        r"The highest hfu of 4 points of roofline is \.?\d[\d.]*, at ffn_nodes \d\.",
        " ".join(table.out.split()),
    )


def test_combinations_that_cannot_be_are_told() -> None:
    """A model whose heads do not divide as asked is no reason to stop; the first point must be possible."""
    scenario = Scenario(system="h800", model="deepseek-v3", **{**SMALL, "tensor_parallel": 8})
    table = sweep(scenario, axes={"model": ["deepseek-v3", "gpt-oss-20b", "mixtral-8x7b"]}, runner="serial")
    assert table["winner"].iloc[0] in {"ep", "afd"}
    assert len(table) == 3
    systems = {"system": ["h800", "rubin-nvl72"], "tpot_ms": [50, 1]}
    told = sweep(Scenario(system="h800", model="deepseek-v3", **SMALL), axes=systems, runner="serial")
    assert told["winner"].tolist()[1:] == ["neither", "refused", "refused"]
    assert told["best_tokens_per_s_per_device"].notna().tolist() == [True, False, False, False]
    with pytest.raises(InputError):
        sweep(H800, axes={"ffn_nodes": [1.5, 2]}, of="roofline", runner="serial")
