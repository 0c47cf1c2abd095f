"""The report in a real browser: offline, without a complaint, its sliders at work, hostile texts as texts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.test_pages import BROWSER, browse
from tests.conftest import ONE_PLAN_OPTIONS, require

ROOT = Path(__file__).parents[2]
NAME = "<img src=x onerror=document.body.id='caught'>"
TITLE = '<script>document.body.id="caught"</script> & "quoted" <b>bold</b>'
QUESTION = (
    *("--systems", "h800,h20,gb200-nvl72,cloudmatrix384", "--model", "deepseek-v3"),
    *("--demand", "1e6", "--tpot-ms", "50", "--price", "h800=1.5", "--max-devices", "96"),
    *ONE_PLAN_OPTIONS,
)
MOVED = """<script>
const wait = setInterval(async () => {
  if (document.body.dataset.drawn !== "yes") return;
  clearInterval(wait);
  const lines = () => [...document.querySelectorAll("#sliders .mark-line path")];
  const marks = () => lines().map(line => line.getAttribute("d")).join();
  const sliders = [...document.querySelectorAll("#sliders input[type=range]")];
  let moved = 0;
  for (const slider of sliders) {
    const before = marks();
    slider.focus();
    slider.value = slider.min;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(done => setTimeout(done, 200));
    moved += marks() !== before && document.activeElement === slider;
  }
  document.body.dataset.moved = `${moved} of ${sliders.length}`;
}, 50);
</script></body>"""
SECTIONS = (
    *("procurement", "modes", "breakdown", "roofline", "dead-zone", "sensitivity", "serving", "ratio"),
    *("validation", "assumptions", "again"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of four systems, made by a process of its own as users make it."""
    folder = tmp_path_factory.mktemp("report")
    path, overlay = folder / "report.html", folder / "gb200-nvl72.toml"
    record = (ROOT / "hardware_db" / "systems" / "gb200-nvl72.toml").read_text("utf-8")
    record, named = re.subn(r'^name = ".*"$', f'name = "{NAME}"', record, flags=re.MULTILINE)
    record, titled = re.subn(r'^title = "', f'title = "{NAME}', record, flags=re.MULTILINE)
    assert named == 1
    assert titled
    overlay.write_text(record.replace('id = "', 'replaces = true\nid = "', 1), "utf-8")
    program = (sys.executable, "-m", "roofline_afd")
    made = subprocess.run(
        [*program, "report", *QUESTION, "--hardware-db", overlay, "--title", TITLE, "--output", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    return path


def test_report_is_one_file_without_network(page: Path) -> None:
    """Small enough to mail, nothing in it is loaded from elsewhere, and every section is there."""
    text = page.read_text("utf-8")
    assert page.stat().st_size <= 3_000_000
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(?:link|iframe|base)\b|@import|url\((?!['\"]?data:)", markup)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', markup))
    for key in SECTIONS:
        assert f'<section id="{key}">' in markup
    assert "No picture" not in markup
    assert '<p class="doubt">Too close to call: EP is ahead by' in markup
    assert markup.count("<table>") >= 5
    assert markup.count("<img ") >= 6
    assert "https://" in markup  # sources are links


def test_report_draws_itself_and_sliders_move_the_curve(page: Path, tmp_path: Path) -> None:
    """No console errors; each slider can be reached, and changes the roofline."""
    require(present=BROWSER is not None, what="a Chromium browser")
    moved = tmp_path / "moved.html"
    before, _, after = page.read_text("utf-8").rpartition("</body>")
    moved.write_text(before + MOVED + after, "utf-8")
    done = browse(moved, tmp_path, "--dump-dom")
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None
    assert 'data-drawn="yes"' in body.group()
    assert 'data-moved="5 of 5"' in body.group()
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_hostile_texts_are_texts(page: Path, tmp_path: Path) -> None:
    """Markup in a title, a name or a source is shown letter by letter."""
    require(present=BROWSER is not None, what="a Chromium browser")
    done = browse(page, tmp_path, "--dump-dom")
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None
    assert "caught" not in body.group()
    text = done.stdout.rpartition("<main>")[2].partition("<script>")[0]
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x") >= 2
    assert "&lt;b&gt;bold&lt;/b&gt;" in done.stdout.partition("<h1>")[2].partition("</h1>")[0]
