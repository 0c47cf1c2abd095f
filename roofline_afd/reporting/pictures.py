"""Pictures of the report: answers drawn as images inside the page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.reporting.markup import picture
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
from roofline_afd.view.charts.breakdown import breakdown_chart
from roofline_afd.view.charts.dead_zone import dead_zone_chart
from roofline_afd.view.charts.load import load_chart
from roofline_afd.view.charts.pareto import pareto_chart
from roofline_afd.view.charts.procurement import procurement_chart
from roofline_afd.view.charts.ratio import ratio_chart
from roofline_afd.view.charts.tornado import tornado_chart
from roofline_afd.view.pages import svg_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roofline_afd.analysis.answer import Answer

PICTURES: dict[str, tuple[Callable[[Answer], Any], str]] = {
    "requests": (procurement_chart, "Cost of whole requests by part, and the fleets in their racks"),
    "load": (load_chart, "Percentiles of both times over requests per second"),
    "pareto": (pareto_chart, "Frontiers of four serving modes"),
    "ratio": (ratio_chart, "Throughput over attention instances per FFN instance"),
    "curves": (afd_vs_ep_chart, "Tokens per second and device over TPOT, EP and AFD"),
    "procurement": (procurement_chart, "Cost per million tokens by system and mode"),
    "breakdown": (breakdown_chart, "Where a decode step spends its time"),
    "dead zone": (dead_zone_chart, "HFU over FFN nodes, with the dead zone"),
    "tornado": (tornado_chart, "Inputs by how far they move the comparison"),
}
"""What draws each picture, and what is said of it to those who do not see it."""
TOLD_ABOVE = {"requests", "procurement", "curves", "tornado"}
"""Pictures whose title is what the page says above them."""
LEAST_FONT = 13
"""Pixels of letters: 8 pt where a picture takes the width of A4."""


def drawn(name: str, ask: Callable[[], Answer]) -> str:
    """Return the image of an answer, or why there is none.

    Parameters
    ----------
    name : str
        A key of `PICTURES`.
    ask : callable
        Returns the answer.

    Returns
    -------
    str
        Html.
    """
    chart, about = PICTURES[name]
    try:
        specification = chart(ask()).to_dict(validate=False)
    except (InfeasibleError, InputError) as error:
        return f'<p class="faint">No picture: {html.escape(str(error))}</p>'
    title, lines = taken_title(specification)
    image = svg_bytes({**legible(specification), "background": "transparent"})
    if name in TOLD_ABOVE:  # what goes on from the title is told above too: from the question on
        start = next((place for place, line in enumerate(lines) if " \N{MIDDLE DOT} " in line), 0)
        title, lines = "", lines[start:]
    return picture(image, about, title=title, below=_sentences(lines))


def picture_of(specification: dict[str, Any]) -> str:
    """Return a roofline that nothing moves as an image.

    Parameters
    ----------
    specification : dict
        Vega-Lite.

    Returns
    -------
    str
        Html.
    """
    image = svg_bytes({**legible(specification), "background": "transparent"})
    return picture(image, "HFU of the FFN stage over FFN nodes, by system")


def taken_title(specification: dict[str, Any]) -> tuple[str, list[str]]:
    """Take the title out of a chart, for the page to tell it.

    Parameters
    ----------
    specification : dict
        Vega-Lite; its title is removed.

    Returns
    -------
    tuple of str and list of str
        Title, and the lines below it.
    """
    held = specification.pop("title", None) or ""
    if not isinstance(held, dict):
        held = {"text": held}
    lines = held.get("subtitle") or []
    text = held.get("text") or ""
    return _line(text), [lines] if isinstance(lines, str) else list(lines)


def _sentences(lines: Sequence[str]) -> str:
    """Return lines that were made for a picture as one text."""
    text = ""
    for line in lines:
        ends = not text or text[-1] in ".,;:" or line[:1].islower()
        text += ("" if not text else " " if ends else ". ") + line
    return text


def _line(text: str | list[str]) -> str:
    return text if isinstance(text, str) else " ".join(text)


def legible(value: Any) -> Any:  # noqa: ANN401 - any part of a specification
    """Return a specification whose letters are large enough for paper: `LEAST_FONT` pixels at least.

    Parameters
    ----------
    value : object
        Vega-Lite, or a part of it.

    Returns
    -------
    object
        The same with small letters larger.
    """
    if isinstance(value, dict):
        return {
            key: max(part, LEAST_FONT)
            if key.lower().endswith("fontsize") and isinstance(part, int | float)
            else legible(part)
            for key, part in value.items()
        }
    return [legible(part) for part in value] if isinstance(value, list) else value
