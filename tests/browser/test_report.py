"""The report in a real browser: offline, without a complaint, its sliders at work, hostile texts as texts."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roofline_afd.reporting.pictures import LEAST_FONT
from roofline_afd.view.pages import script_literal
from tests.browser.test_pages import BROWSER, browse
from tests.conftest import ONE_PLAN_OPTIONS, require
from tests.reporting.papers import holds_the_page

ROOT = Path(__file__).parents[2]
NAME = "<img src=x onerror=document.body.id='caught'>"
TITLE = '<script>document.body.id="caught"</script> & "quoted" <b>bold</b>'
QUESTION = (
    *("--systems", "h800,gb200-nvl72,cloudmatrix384", "--model", "deepseek-v3"),
    *("--demand", "1e6", "--tpot-ms", "50", "--price", "h800=1.5", "--max-devices", "96", "--samples", "20"),
    *ONE_PLAN_OPTIONS,
)
MOVED = """<script>
const wait = setInterval(async () => {
  if (document.body.dataset.drawn !== "yes") return;
  clearInterval(wait);
  const lines = () => [...document.querySelectorAll("#sliders .mark-line path")];
  const marks = () => lines().map(line => line.getAttribute("d")).join();
  const sliders = [...document.querySelectorAll("#sliders input[type=range]")];
  const start = marks();
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
  for (const slider of sliders) {
    slider.value = slider.max;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
  await new Promise(done => setTimeout(done, 200));
  const away = marks();
  document.querySelector("#sliders button").click();
  await new Promise(done => setTimeout(done, 200));
  document.body.dataset.back = start !== away && marks() === start ? "yes" : "no";
}, 50);
</script></body>"""
CHOSEN = """<script>
const wait = setInterval(async () => {
  if (document.body.dataset.drawn !== "yes") return;
  clearInterval(wait);
  const root = document.getElementById("choices");
  const verdict = () => root.querySelector(".finding").textContent;
  const costs = () => root.querySelector(".bars").textContent;
  const sliders = [...root.querySelectorAll("input[type=range]")];
  const reset = async () => {
    root.querySelector("button").click();
    await new Promise(done => setTimeout(done, 50));
  };
  const told = { start: verdict(), costs: costs(), names: [], moved: 0, back: 0 };
  told.seen = getComputedStyle(root).display;
  for (const slider of sliders) {
    told.names.push(slider.parentNode.firstChild.textContent);
    slider.value = slider.max;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    told.moved += costs() !== told.costs && slider.parentNode.lastChild.textContent !== "";
    if (slider === sliders[0]) told.dear = verdict();
    await reset();
    told.back += verdict() === told.start && costs() === told.costs;
  }
  const first = sliders[0];
  first.value = 2 * Number(first.getAttribute("value"));
  first.dispatchEvent(new Event("input", { bubbles: true }));
  told.twice = costs();
  document.body.dataset.told = JSON.stringify(told);
}, 50);
</script></body>"""
NARROW = """<!doctype html><body><script>
const frame = document.createElement("iframe");
frame.style = "width: 390px; height: 3000px; border: 0";
frame.srcdoc = PAGE;
document.body.append(frame);
setInterval(() => {
  const page = frame.contentDocument;
  if (!page || !page.body || page.body.dataset.drawn !== "yes") return;
  const wide = [...page.querySelectorAll(".picture, p, h1, h2, pre, form, .bar, .card")];
  const most = Math.max(...wide.map(each => each.getBoundingClientRect().right));
  const picture = page.querySelector(".picture");
  const image = picture.querySelector("img");
  const large = image.getBoundingClientRect().width / image.naturalWidth;
  picture.click();
  const whole = image.getBoundingClientRect().width;
  picture.click();
  const told = [frame.contentWindow.innerWidth, page.documentElement.scrollWidth, most, large, whole];
  document.body.dataset.told = JSON.stringify(told);
}, 50);
</script></body>"""
COLOURED = """<script>
const style = getComputedStyle(document.body);
const image = getComputedStyle(document.querySelector("figure img"));
document.body.dataset.told = JSON.stringify([style.backgroundColor, style.color, image.filter]);
</script></body>"""
SECTIONS = (
    *(
        "change",
        "procurement",
        "modes",
        "breakdown",
        "roofline",
        "dead-zone",
        "sensitivity",
        "serving",
        "ratio",
    ),
    *("validation", "assumptions", "again"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of three systems, made by a process of its own as users make it."""
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
    assert re.search(
        r'<p class="doubt">(?:First on estimates: [^<]*)?EP or AFD on it: too close to call:', markup
    )
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
    assert 'data-moved="4 of 4"' in body.group()
    assert 'data-back="yes"' in body.group()
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def _told(page: Path, folder: Path, added: str, *flags: str) -> Any:  # noqa: ANN401 - what a page says of itself
    """Return what a script at the end of the page finds; the console stays silent."""
    changed = folder / "changed.html"
    before, _, after = page.read_text("utf-8").rpartition("</body>")
    changed.write_text(before + added + after, "utf-8")
    done = browse(changed, folder, "--dump-dom", *flags)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search(r'<body[^>]* data-told="([^"]*)"', done.stdout)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def test_what_a_buyer_chooses_moves_costs_and_verdict(page: Path, tmp_path: Path) -> None:
    """Every slider has a name with its unit and moves costs; the button leads back to the question."""
    require(present=BROWSER is not None, what="a Chromium browser")
    told = _told(page, tmp_path, CHOSEN)
    assert told["seen"] == "block"
    count = len(told["names"])
    assert count >= 4
    assert (told["moved"], told["back"]) == (count, count)
    assert all(re.fullmatch(r"Price of .+ \[USD a device-hour\]", name) for name in told["names"][:-2])
    assert told["names"][-2:] == ["Context [tokens]", "Time per output token, at most [ms]"]
    cheapest = re.match(
        r"(.*) \((?:EP|AFD)\) is cheapest: ([\d.]+) USD per million output tokens", told["start"]
    )
    assert cheapest is not None
    assert not told["dear"].startswith(cheapest[1])  # at three times its price another is
    (before,) = re.findall(rf"{re.escape(cheapest[1])}, (?:EP|AFD)([\d.]+) USD", told["costs"])
    (after,) = re.findall(rf"{re.escape(cheapest[1])}, (?:EP|AFD)([\d.]+) USD", told["twice"])
    assert before == cheapest[2]
    assert float(after) == pytest.approx(2 * float(before), rel=0.01)


def test_a_phone_shows_all_without_moving_the_page(page: Path, tmp_path: Path) -> None:
    """390 pixels across: nothing is wider but what scrolls in itself, as pictures do to be read.

    Their letters have 10 pixels at least; one that is touched is seen whole.
    """
    require(present=BROWSER is not None, what="a Chromium browser")
    narrow = tmp_path / "narrow.html"
    narrow.write_text(NARROW.replace("PAGE", script_literal(page.read_text("utf-8"))), "utf-8")
    done = browse(narrow, tmp_path, "--dump-dom", "--window-size=800,600")
    found = re.search(r'<body[^>]* data-told="([^"]*)"', done.stdout)
    assert found is not None
    window, across, most, large, whole = json.loads(html.unescape(found[1]))
    assert window == 390
    assert across <= window
    assert most <= window
    assert LEAST_FONT * large >= 10
    assert whole <= window


def test_the_dark_is_dark(page: Path, tmp_path: Path) -> None:
    """Ground, letters and pictures follow what the reader prefers."""
    require(present=BROWSER is not None, what="a Chromium browser")
    light = _told(page, tmp_path, COLOURED, "--blink-settings=preferredColorScheme=1")
    dark = _told(page, tmp_path, COLOURED, "--blink-settings=preferredColorScheme=0")
    assert light == ["rgb(255, 255, 255)", "rgb(27, 31, 36)", "none"]
    assert dark[0] == "rgb(20, 24, 29)"
    assert dark[1] == "rgb(230, 234, 239)"
    assert dark[2].startswith("invert(")


def test_paper_holds_the_page_and_no_sliders(page: Path, tmp_path: Path) -> None:
    """A4, printed by a browser: pictures whole, letters legible, nothing to move."""
    require(present=BROWSER is not None, what="a Chromium browser")
    printed = tmp_path / "printed.pdf"
    browse(page, tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    holds_the_page(printed.read_bytes())


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
