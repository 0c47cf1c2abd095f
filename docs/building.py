"""Hooks of the site's generator: pages that are no file of this folder, and links between all of them."""

from __future__ import annotations

import importlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from types import ModuleType

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "hardware_db/README.md": "hardware-records.md",
    "hardware_db/measurements/README.md": "measurements.md",
    "model_db/README.md": "model-records.md",
    "benchmarks/README.md": "benchmarks.md",
    "tests/analysis/deploy/documented/README.md": "documented-flags.md",
}
"""Pages of the repository outside this folder, and where they stand in the site."""
OF_THE_PROJECT = {"Contributing": "contributing.md", "Security": "security.md"}
"""Pages that end the navigation."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""A link within the repository: whether to a picture, its text, file and anchor."""
FENCE = re.compile(r"(^```.*?^```[^\S\n]*$)", flags=re.DOTALL | re.MULTILINE)
DRAWN = '<div class="chart">'
"""How a chart begins that a page draws."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name pages of the project in the navigation, those that there are.

    Parameters
    ----------
    config : MkDocsConfig
        Of the site.

    Returns
    -------
    MkDocsConfig
        The same, its last section longer.
    """
    there = _elsewhere().values()
    (section,) = config.nav[-1].values()  # type: ignore[index]  # it is given
    section += [{title: place} for title, place in OF_THE_PROJECT.items() if place in there]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are made.

    Parameters
    ----------
    files : Files
        Those of the folder of the docs.
    config : MkDocsConfig
        Of the site.

    Returns
    -------
    Files
        The same, with more of them.
    """
    from roofline_afd.view.pages import script_bundle

    made = {page: (ROOT / source).read_text("utf-8") for source, page in _elsewhere().items()}
    with ThreadPoolExecutor(1) as pool:  # notebooks run in processes of their own
        run = pool.submit(_module("notebooks").pages)
        made["gallery.md"] = _module("gallery").page()
        made |= run.result()
    made["assets/vega.js"] = script_bundle()
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead to where their pages stand in the site, and let charts be drawn.

    Parameters
    ----------
    markdown : str
        Text of a page.
    page : Page
        The page.

    Returns
    -------
    str
        The text of the site's page.
    """
    place = page.file.src_uri
    sources = {value: key for key, value in _elsewhere().items()}
    source = ROOT / (place if place.startswith("notebooks/") else sources.get(place, f"docs/{place}"))
    up = os.path.relpath(".", Path(place).parent)

    def moved(match: re.Match[str]) -> str:
        picture, text, file, anchor = match.groups()
        target = _place(os.path.relpath(source.parent / file, ROOT))
        if target is None:
            return text
        return f"{picture}[{text}]({os.path.relpath(target, Path(place).parent)}{anchor or ''})"

    parts = FENCE.split(markdown)
    text = "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)
    if DRAWN in text:
        text += "".join(f'\n\n<script src="{up}/assets/{name}.js"></script>' for name in ("vega", "charts"))
    return text


def _elsewhere() -> dict[str, str]:
    return {source: place for source, place in ELSEWHERE.items() if (ROOT / source).exists()}


def _place(target: str) -> str | None:
    """Return where a file of the repository stands in the site; None where it is no part of it."""
    if target in ELSEWHERE:
        return ELSEWHERE[target]
    if target.startswith("notebooks/"):
        return target.removesuffix(".ipynb") + ".md"
    return os.path.relpath(target, "docs") if target.startswith("docs/") else None


def _module(name: str) -> ModuleType:
    """Return a module of this folder."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))
