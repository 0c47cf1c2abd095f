"""Charts as files: html that needs no network, svg, png, pdf, or Vega-Lite json."""

from __future__ import annotations

import html
import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

from roofline_afd.documents import utf8
from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.view.tables import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import altair as alt

PICTURE_SUFFIXES = (".html", ".svg", ".png", ".pdf", ".json")
PNG_SCALE = 2.0
DRAWS = "vl_convert"
"""What draws, and holds the scripts of pages: an extra, more than a third of all that is installed."""

ADDRESS_SPACE_BYTES = 80_000_000_000
"""What the engine that draws reserves, of which it uses little [B]."""
OPEN_FILES = 32

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 1rem auto; max-width: 60rem; padding: 0 .5rem; background: #fff; overflow-x: auto;
  font-family: system-ui, "DejaVu Sans", Helvetica, Arial, sans-serif; color: #1b1f24; }}
#chart {{ min-height: 30rem; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #12151a; color: #e6eaef; }}
  #chart svg {{ filter: invert(.93) hue-rotate(180deg); }} }}
@media print {{ body {{ max-width: none; }} #chart svg {{ max-width: 100%; height: auto; filter: none; }} }}
</style>
</head>
<body>
<main><div id="chart" role="img" aria-label="{about}"></div></main>
<noscript>The script inside this page draws the picture: it needs JavaScript, but no network.</noscript>
<script>{bundle}</script>
<script>
vegaEmbed("#chart", {specification}, {{mode: "vega-lite", renderer: "svg", actions: false}})
  .then(() => document.body.setAttribute("data-drawn", "yes"));
</script>
</body>
</html>
"""


def picture_format(path: Path) -> str:
    """Return the picture format that a file name asks for.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        A member of `PICTURE_SUFFIXES` without its dot.

    Raises
    ------
    InputError
        If the suffix is none of them.
    """
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise InputError(
            f"--output {shown_path(path)}: {shown(suffix)} is no picture format"
            f"{nearest(suffix, PICTURE_SUFFIXES)}"
        )
    return suffix[1:]


def check_drawing(what: str) -> None:
    """Refuse what has to be drawn where nothing that draws is installed, before the work.

    Parameters
    ----------
    what : str
        What is to be written, for the message.

    Raises
    ------
    InputError
        If so: says how to install it; or where a limit of this process would end what draws.
    """
    if importlib.util.find_spec(DRAWS) is None:
        raise InputError(f"{what} needs the extra plots: pip install 'roofline-afd[plots]'")
    if importlib.util.find_spec("resource") is None:  # a system without such limits
        return
    import resource

    space, files = (resource.getrlimit(limit)[0] for limit in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE))
    if space != resource.RLIM_INFINITY and space < ADDRESS_SPACE_BYTES:
        raise InputError(
            f"{what} needs {ADDRESS_SPACE_BYTES / 1e9:.0f} GB of address space to draw, and the limit is "
            f"{space / 1e9:.3g} GB: lift it (ulimit -v), or write .json"
        )
    if files != resource.RLIM_INFINITY and files < OPEN_FILES:
        raise InputError(
            f"{what} needs {OPEN_FILES} open files to draw, and the limit is {files}: lift it (ulimit -n)"
        )


def script_literal(value: object) -> str:
    """Return a value as JSON that is safe inside a script element, whatever its texts say.

    Parameters
    ----------
    value : object
        Anything JSON can hold.

    Returns
    -------
    str
        JSON without `<`, `>`, `&` and line separators, which could end the element or the statement.
    """
    text = json.dumps(value, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def chart_bytes(chart: alt.TopLevelMixin, form: str) -> bytes:
    """Return a chart as a file's content.

    Parameters
    ----------
    chart : altair chart
        The chart.
    form : str
        `html`, `svg`, `png`, `pdf` or `json`.

    Returns
    -------
    bytes
        The content; html carries every script it needs.
    """
    specification = chart.to_dict(validate=False)  # tests hold charts to their schema
    if form == "json":
        return utf8(json.dumps(specification, indent=1, allow_nan=False) + "\n")
    if form == "html":
        page = PAGE.format(
            title=html.escape(_title(specification)),
            about=html.escape(specification.get("description", _title(specification))),
            bundle=script_bundle(),
            specification=script_literal(specification),
        )
        return utf8(page)
    if form == "svg":
        return svg_bytes(specification)
    import vl_convert  # only for files

    if form == "png":
        return bytes(vl_convert.vegalite_to_png(specification, scale=PNG_SCALE))
    return bytes(vl_convert.vegalite_to_pdf(specification))


def script_bundle() -> str:
    """Return the scripts that draw Vega-Lite in a page."""
    import vl_convert  # only for files

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
    return bundle


def _title(specification: Mapping[str, Any]) -> str:
    """Return the headline of a specification; empty without one."""
    text = specification.get("title", {}).get("text", "")
    return " ".join(text) if isinstance(text, list) else str(text)


def svg_bytes(specification: dict[str, Any]) -> bytes:
    """Return a Vega-Lite specification drawn as svg, with its headline and description as text."""
    import vl_convert  # only for files

    drawn: str = vl_convert.vegalite_to_svg(specification)
    words = "".join(
        f"<{tag}>{html.escape(text, quote=False)}</{tag}>"
        for tag, text in (("title", _title(specification)), ("desc", specification.get("description", "")))
        if text
    )
    start, opened, rest = drawn.partition(">")
    return utf8(f'{start} role="img"{opened}{words}{rest}')


def deliver_chart(chart: alt.TopLevelMixin, *, output: Path | None, force: bool) -> None:
    """Write a chart to a file, or print it as Vega-Lite.

    Parameters
    ----------
    chart : altair chart
        The chart.
    output : Path or None
        The file; its suffix decides the format. None prints Vega-Lite JSON.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the suffix is no picture format or the file cannot be written.
    """
    if output is None:
        sys.stdout.write(chart_bytes(chart, "json").decode())
        return
    write_file(output, chart_bytes(chart, picture_format(output)), force=force)
    print(f"wrote {shown_path(output)}", file=sys.stderr)  # noqa: T201
