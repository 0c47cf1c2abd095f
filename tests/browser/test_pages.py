"""Pages in a real browser: they draw themselves offline, without a complaint on the console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import command, require

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


def browse(page: Path, folder: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """Open a page in the browser without network."""
    assert BROWSER is not None
    return subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=8000", *extra, page.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["roofline", "dead-zone"])
def test_chart_draws_itself_offline(kind: str, tmp_path: Path) -> None:
    require(present=BROWSER is not None, what="a Chromium browser")
    page = tmp_path / "page.html"
    question = ("--system", "gb200-nvl72", "--model", "qwen3-235b-a22b")
    assert command("plot", kind, *question, "--output", str(page)).status == 0
    done = browse(page, tmp_path, "--dump-dom")
    body = done.stdout.rpartition("</script>")[2] + done.stdout.partition("<body")[2][:200]
    assert 'data-drawn="yes"' in body
    drawn = done.stdout.partition('<div id="chart"')[2].partition("<script>")[0]
    assert "<svg" in drawn
    assert "No dead zone inside the scale-up domain" in drawn
    assert drawn.count("<path") > 20
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
