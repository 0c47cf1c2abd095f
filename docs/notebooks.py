"""The notebooks, run, as pages with what each cell printed, tabulated and drew."""

from __future__ import annotations

import html
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from roofline_afd.view.pages import script_literal

FOLDER = Path(__file__).parents[1] / "notebooks"
AT_ONCE = min(4, os.cpu_count() or 1)
LIVE = 'alt.renderers.enable("jupyter", offline=True)'
"""How notebooks draw where they are open."""
DRAWN = "Vega-Lite:"
KEPT = (
    'import json; alt.renderers.register("page", lambda chart, **_: '
    f'{{"text/html": "{DRAWN}" + json.dumps(chart)}}); alt.renderers.enable("page");'
)
"""How they hand on what is to be drawn in a page."""
LIMIT_S = 300


def pages() -> dict[str, str]:
    """Return the pages of all notebooks, each run from its first cell to its last.

    Returns
    -------
    dict of str to str
        Markdown, by place in the site.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    paths = sorted(FOLDER.glob("*.ipynb"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {
            f"notebooks/{path.stem}.md": text
            for path, text in zip(paths, pool.map(_page, paths), strict=True)
        }


def chart(specification: dict[str, Any]) -> str:
    """Return the element that a script of the site draws a chart in.

    Parameters
    ----------
    specification : dict
        Of Vega-Lite.

    Returns
    -------
    str
        HTML.
    """
    literal = script_literal(specification)
    return f'<div class="chart"><script type="application/json">{literal}</script></div>'


def _page(path: Path) -> str:
    import nbformat
    from nbclient import NotebookClient

    text = path.read_text("utf-8").replace(json.dumps(LIVE)[1:-1], json.dumps(KEPT)[1:-1])
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # without types
    NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(FOLDER)}}).execute()
    parts = []
    for cell in notebook.cells:
        source = cell.source.replace(KEPT, LIVE)
        parts += [source] if cell.cell_type == "markdown" else [f"```python\n{source}\n```"]
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join([*parts, f"The notebook: `notebooks/{path.name}`."])


def _shown(output: Any) -> str:  # noqa: ANN401 - of nbformat
    """Return an output of a cell."""
    if output.output_type == "stream":
        printed = html.escape(output.text.rstrip())
        return f'<div class="output"><pre>{printed}</pre></div>' if output.name == "stdout" else ""
    data = output.data
    if data.get("text/html", "").startswith(DRAWN):
        return chart(json.loads(data["text/html"].removeprefix(DRAWN)))
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>|\s*\n\s*", "", data["text/html"], flags=re.DOTALL)
        return f'<div class="output">{table}</div>'
    return f'<div class="output"><pre>{html.escape(data["text/plain"])}</pre></div>'
