"""The report in a real browser: offline, without a complaint, its sliders at work, hostile texts as texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.test_pages import BROWSER, browse
from tests.conftest import command, require

TITLE = '<script>document.body.id="caught"</script> & "quoted" <b>bold</b>'
QUESTION = (
    *("--systems", "h800,h20,gb200-nvl72,cloudmatrix384", "--model", "deepseek-v3"),
    *("--demand", "1e6", "--tpot-ms", "50", "--price", "h800=1.5"),
)
MOVED = """<script>
const wait = setInterval(() => {
  if (document.body.dataset.drawn !== "yes") return;
  clearInterval(wait);
  const line = () => document.querySelector("#sliders .mark-line path").getAttribute("d");
  const before = line();
  const slider = document.querySelector("#sliders input[type=range]");
  slider.value = slider.min;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  setTimeout(() => { document.body.dataset.moved = String(line() !== before); }, 500);
}, 50);
</script></body>"""
SECTIONS = (
    *("procurement", "modes", "breakdown", "roofline", "dead-zone", "sensitivity", "serving", "ratio"),
    *("validation", "assumptions", "again"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of four systems."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    done = command("report", *QUESTION, "--title", TITLE, "--output", str(path))
    assert done.status == 0, done.err
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
    assert markup.count("<table>") >= 5
    assert markup.count("<img ") >= 6
    assert "https://" in markup  # sources are links


def test_report_draws_itself_and_sliders_move_the_curve(page: Path, tmp_path: Path) -> None:
    """No console errors; a slider changes the roofline."""
    require(present=BROWSER is not None, what="a Chromium browser")
    moved = tmp_path / "moved.html"
    moved.write_text(page.read_text("utf-8").replace("</body>", MOVED), "utf-8")
    done = browse(moved, tmp_path, "--dump-dom")
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None
    assert 'data-drawn="yes"' in body.group()
    assert 'data-moved="true"' in body.group()
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_hostile_title_is_text(page: Path, tmp_path: Path) -> None:
    """A title with markup is shown letter by letter."""
    require(present=BROWSER is not None, what="a Chromium browser")
    done = browse(page, tmp_path, "--dump-dom")
    assert 'id="caught"' not in done.stdout.partition("<h1>")[0]
    assert "&lt;b&gt;bold&lt;/b&gt;" in done.stdout.partition("<h1>")[2].partition("</h1>")[0]
