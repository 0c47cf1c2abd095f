"""The product as users install it: a built wheel, in a fresh environment, away from this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ONE_PLAN_OPTIONS, ROOT

CALLER = """
import pandas as pd
from roofline_afd import Scenario, compare, load_system, plot, roofline

scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50)
reveal_type(scenario.tpot_ms)
reveal_type(compare(scenario))
table: pd.DataFrame = roofline(scenario, ffn_nodes=range(1, 9))
roofline(scenario, ffn_node=8)
Scenario(system="h800", model="deepseek-v3", tpot_ms="fast")
load_system("h800").devices_per_nodes
plot.dead_zone(scenario, ffn_nodes=[1]).save("zone.html")
"""
"""What a user writes, three lines of it wrong."""
TYPES = """
[mypy]
strict = true
[mypy-altair.*,numpy.*,yaml.*,jsonschema.*,rich.*]
follow_imports = skip
"""
"""How it is checked: what others' packages hold of each other is theirs, and takes long."""


def _done(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
        timeout=600,
    )


def _run(*command: str | Path, cwd: Path) -> str:
    done = _done(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install(what: str | Path, *, python: Path, cwd: Path) -> None:
    """Install into an environment: by uv, or where it does not, by pip."""
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, what)
    if _done(*uv, cwd=cwd).returncode:
        quick = ("--quiet", "--no-compile", "--disable-pip-version-check")
        _run(sys.executable, "-m", "pip", "--python", python, "install", *quick, what, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_catalogues_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "roofline_afd/py.typed" in names
    held = (
        *(("hardware_db", "*/*.toml"), ("hardware_db", "*/*.csv"), ("model_db", "**/*.toml")),
        *(("roofline_afd", f"**/*.{kind}") for kind in ("py", "css", "js")),
    )
    for top, pattern in held:
        shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / top).glob(pattern)}
        assert shipped, pattern
        assert shipped <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "roofline_afd",
        "hardware_db",
        "model_db",
    }


def test_callers_of_the_wheel_are_checked_by_mypy(wheel: Path, tmp_path: Path) -> None:
    """Types of the installed package are seen: none is Any, and what is wrong is found."""
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as held:
        held.extractall(installed)
    (tmp_path / "caller.py").write_text(CALLER, "utf-8")
    (tmp_path / "mypy.ini").write_text(TYPES, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache", "caller.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": "", "PYTHONPATH": str(installed)},
        timeout=300,
    )
    told = [
        line.partition(":")[2].partition("  [")[0]
        for line in done.stdout.splitlines()
        if line.startswith("caller.py:")
    ]
    assert told == [
        '6: note: Revealed type is "float | None"',
        '7: note: Revealed type is "pandas.core.frame.DataFrame"',
        '9: error: Unexpected keyword argument "ffn_node" for "roofline"; did you mean "ffn_nodes"?',
        '9: note: "roofline" defined in "roofline_afd.api"',
        '10: error: Argument "tpot_ms" to "Scenario" has incompatible type "str"; expected "float | None"',
        '11: error: "System" has no attribute "devices_per_nodes"; maybe "devices_per_node"?',
    ]


def test_wheel_answers_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed with its own dependencies only the answer; with the extra plots a picture, and a report."""
    venv.create(tmp_path / "env")
    binaries = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    _install(wheel, python=python, cwd=tmp_path)
    question = ("--system", "h800", "--model", "deepseek-v3")
    answer = json.loads(
        _run(binaries / "roofline-afd", "roofline", *question, "--format", "json", cwd=tmp_path)
    )
    assert answer["summary"]["dead_zone_to"] == 32.0
    kept = _run(binaries / "roofline-afd", "plot", "dead-zone", *question, cwd=tmp_path)
    assert json.loads(kept)["title"]
    assert not list((tmp_path / "env").rglob("vl_convert"))
    _install(f"{wheel}[plots]", python=python, cwd=tmp_path)
    picture = tmp_path / "zone.svg"
    _run(binaries / "roofline-afd", "plot", "dead-zone", *question, "--output", picture, cwd=tmp_path)
    assert picture.read_bytes().startswith(b"<svg")
    page = tmp_path / "report.html"
    fleet = ("--systems", "b200", "--model", "qwen3-235b-a22b", "--demand", "1e5")
    fewer = ("--max-devices", "8", "--samples", "20", *ONE_PLAN_OPTIONS)
    _run(binaries / "roofline-afd", "report", *fleet, *fewer, "--output", page, cwd=tmp_path)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    script = (
        "from roofline_afd import Scenario, roofline\n"
        "print(roofline(Scenario(system='b200', model='kimi-k2')).attrs['summary']['hfu_floor'])"
    )
    assert 0 < float(_run(python, "-W", "error", "-c", script, cwd=tmp_path)) < 1
