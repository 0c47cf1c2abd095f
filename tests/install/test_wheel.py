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


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    building = (sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "--quiet")
    _run(*building, "--wheel-dir", folder, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_catalogues_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = (("hardware_db", "*/*.toml"), ("hardware_db", "*/*.csv"), ("model_db", "**/*.toml"))
    for database, pattern in held:
        shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / database).glob(pattern)}
        assert shipped
        assert shipped <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "roofline_afd",
        "hardware_db",
        "model_db",
    }


def test_wheel_answers_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed with its own dependencies only; the answer, a picture, and a report."""
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    _run(
        binaries / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        wheel,
        cwd=tmp_path,
    )
    question = ("--system", "h800", "--model", "deepseek-v3")
    answer = json.loads(
        _run(binaries / "roofline-afd", "roofline", *question, "--format", "json", cwd=tmp_path)
    )
    assert answer["summary"]["dead_zone_to"] == 32.0
    picture = tmp_path / "zone.svg"
    _run(binaries / "roofline-afd", "plot", "dead-zone", *question, "--output", picture, cwd=tmp_path)
    assert picture.read_bytes().startswith(b"<svg")
    page = tmp_path / "report.html"
    fleet = ("--systems", "b200,h200", "--model", "qwen3-235b-a22b", "--demand", "1e5")
    fewer = ("--max-devices", "16", "--samples", "20", *ONE_PLAN_OPTIONS)
    _run(binaries / "roofline-afd", "report", *fleet, *fewer, "--output", page, cwd=tmp_path)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    script = (
        "from roofline_afd import Scenario, roofline\n"
        "print(roofline(Scenario(system='b200', model='kimi-k2')).attrs['summary']['hfu_floor'])"
    )
    assert 0 < float(_run(binaries / "python", "-W", "error", "-c", script, cwd=tmp_path)) < 1
