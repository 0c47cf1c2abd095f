"""The site in a real browser, from the disk: pages draw themselves, links lead somewhere, search finds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.test_pages import BROWSER, browse
from tests.conftest import ROOT, require

WALK = """<!doctype html><html><body><script>
const pages = PAGES;
const next = () => {
  document.querySelector("iframe")?.remove();
  const page = pages.shift();
  if (page === undefined) return document.body.setAttribute("data-walked", "yes");
  const frame = document.createElement("iframe");
  frame.onload = () => setTimeout(next, 300);
  frame.width = 1200;
  frame.src = page;
  document.body.append(frame);
};
next();
</script></body></html>"""
"""A page that opens all others, one after another."""


class Page(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.titles = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the addresses of an element."""
        held = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := held.get(key))}
        self.titles += tag == "h1"
        if tag == "a" and held.get("href"):
            self.links.add(str(held["href"]))
        elif tag == "link" and held.get("rel") != "canonical" and held.get("href"):
            self.loaded.add(str(held["href"]))
        elif held.get("src"):
            self.loaded.add(str(held["src"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, made as `make site` does: with every notebook run."""
    folder = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        timeout=600,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Return all pages of the site, read."""
    return {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) >= 35
    for path, page in pages.items():
        for address in page.loaded:
            assert not urlsplit(address).netloc, (path, address)
            assert (path.parent / unquote(urlsplit(address).path)).is_file(), (path, address)
        assert page.titles == 1, path
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", style.read_text("utf-8")), style


def test_links_and_their_anchors_lead_somewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path, link)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, (path, link)


def test_pages_load_from_the_disk_without_complaint(
    site: Path, pages: dict[Path, Page], tmp_path: Path
) -> None:
    require(present=BROWSER is not None, what="a Chromium browser")
    walk = site / "walk.html"
    walk.write_text(WALK.replace("PAGES", json.dumps([path.as_uri() for path in pages])), "utf-8")
    done = browse(walk, tmp_path, "--dump-dom", "--virtual-time-budget=120000")
    assert 'data-walked="yes"' in done.stdout
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


@pytest.mark.parametrize("name", ["gallery", "notebooks/02_afd_vs_ep"])
def test_charts_draw_themselves(name: str, site: Path, tmp_path: Path) -> None:
    require(present=BROWSER is not None, what="a Chromium browser")
    page = site / f"{name}.html"
    charts = page.read_text("utf-8").count('<div class="chart">')
    assert charts >= 3
    done = browse(page, tmp_path, "--dump-dom")
    assert f'data-drawn="{charts}"' in done.stdout
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert len(re.findall(r'<svg [^>]*class="marks"', done.stdout)) == charts


def test_search_finds_a_word(site: Path, tmp_path: Path) -> None:
    """Typed on the first page, a word of the glossary and a heading are found on their pages."""
    require(present=BROWSER is not None, what="a Chromium browser")
    page = site / "search.html"
    text = (site / "index.html").read_text("utf-8")
    page.write_text(
        text.replace("<head>", '<head><script>history.replaceState(null, "", "?q=superpod")</script>', 1),
        "utf-8",
    )
    done = browse(page, tmp_path, "--dump-dom")
    found = re.findall(r'<a href="([^"]*)" class="md-search-result__link"', done.stdout)
    assert any("glossary.html" in link for link in found)
    assert any("01_roofline.html" in link and link.endswith("#what-a-superpod-changes") for link in found)


def test_pages_hold_what_notebooks_answered(site: Path) -> None:
    """Tables or printed texts, and charts, of every notebook; nothing that asks for another program."""
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        text = (site / "notebooks" / f"{notebook.stem}.html").read_text("utf-8")
        assert '<div class="output">' in text, notebook
        assert '<div class="chart">' in text
        assert "mimetype" not in text.partition("<article")[2]
