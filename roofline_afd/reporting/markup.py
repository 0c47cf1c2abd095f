"""Rows, texts and pictures as html."""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING

from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

CODE = re.compile(r"`([^`<>]+)`")
LINKED = re.compile(r"https?://[^\s,;)\]]+")


def table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, first: bool = False) -> str:
    """Return rows as an html table.

    Parameters
    ----------
    rows : sequence of mapping
        Rows.
    keys : sequence of str
        Columns.
    first : bool
        Whether the first row stands out.

    Returns
    -------
    str
        The table, every text escaped.
    """
    used = [key for key in keys if any(row.get(key) is not None for row in rows)]
    numeric = {
        key: all(
            isinstance(row.get(key), int | float | None) and not isinstance(row.get(key), bool)
            for row in rows
        )
        for key in used
    }

    def cell(tag: str, key: str, text: str) -> str:
        kind = ' class="number"' if numeric[key] else ""
        return f"<{tag}{kind}>{linked(text)}</{tag}>"

    head = "".join(cell("th", key, column(key).title) for key in used)
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(cell("td", key, column(key).show(row.get(key))) for key in used)
        kind = ' class="first"' if first and not index else ""
        lines.append(f"<tr{kind}>{cells}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide" tabindex="0" role="group" aria-label="Table"><table>{body}</table></div>'


def linked(text: str) -> str:
    """Return a text escaped, its web addresses as links.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        Html.
    """
    parts, last = [], 0
    for found in LINKED.finditer(text):
        parts.append(html.escape(text[last : found.start()]))
        address = html.escape(found.group().rstrip("."))
        parts.append(f'<a href="{address}" rel="noreferrer">{address}</a>')
        last = found.start() + len(found.group().rstrip("."))
    return CODE.sub(r"<code>\1</code>", "".join([*parts, html.escape(text[last:])]))


def paragraph(text: str, kind: str = "") -> str:
    """Return a text as a paragraph, escaped.

    Parameters
    ----------
    text : str
        Any text.
    kind : str
        Its class in the style sheet: `faint`, `doubt`, or none.

    Returns
    -------
    str
        Html.
    """
    named = f' class="{kind}"' if kind else ""
    coded = CODE.sub(r"<code>\1</code>", html.escape(text))
    return f"<p{named}>{coded}</p>"


def picture(drawn: bytes, about: str, *, title: str = "", below: str = "") -> str:
    """Return an image as a figure that scrolls on narrow screens, and is seen whole there when touched.

    Parameters
    ----------
    drawn : bytes
        The image as svg.
    about : str
        What it shows, for those who do not see it.
    title : str
        What it finds, above it; nothing where the page says so already.
    below : str
        How it is read, below it.

    Returns
    -------
    str
        Html that holds the image.
    """
    data = base64.b64encode(drawn).decode()
    image = f'<img alt="{html.escape(about)}" src="data:image/svg+xml;base64,{data}">'
    above = f'<p class="finding">{html.escape(title)}</p>' if title else ""
    told = f"<figcaption>{html.escape(below)}</figcaption>" if below else ""
    whole = '<input type="checkbox" aria-label="Fit the picture to a narrow screen">'
    return f'<figure>{above}<label class="picture">{whole}{image}</label>{told}</figure>'
