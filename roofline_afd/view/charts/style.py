"""The house style: what each colour means, sizes, fonts, ticks, marks of estimates, the same in all charts.

A colour has one meaning in all pictures and pages, and no meaning has two. What is compared in one picture
differs for colour-blind readers and in greyscale too, or by dash and marker.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
from altair.utils.schemapi import debug_mode

from roofline_afd.view.words import worded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from roofline_afd.analysis.answer import Answer

WIDTH, HEIGHT = 760, 440
INK, FAINT, GROUND = "#1b1f24", "#5b6570", "#ffffff"
"""Words and what belongs to no side; words beside; what lies behind."""
PANE, SHADE = "#eef0f2", "#d5d9de"
"""What is left out of a question, and what has no value."""


class Look(NamedTuple):
    """Colour, dash of a line and marker: any one of them tells a thing from those it is compared with."""

    color: str
    dash: list[int]
    shape: str


MODES = {"ep": Look("#0b4f9e", [1, 0], "circle"), "afd": Look("#d35400", [9, 4], "square")}
"""Where experts run: with attention, or apart."""
EP, AFD = (look.color for look in MODES.values())
SERVING_MODES = {
    "agg": MODES["ep"],
    "pd": Look("#4a90cc", [9, 4], "triangle-up"),
    "agg+afd": Look(AFD, [2, 3], "square"),
    "pd+afd": Look("#7d2b00", [9, 3, 2, 3], "diamond"),
}
"""Of EP and of AFD each with prefill among decode, and in a pool of its own."""
TIERS = (
    Look("#0e4d31", [1, 0], "circle"),
    Look("#2f9160", [1, 0], "square"),
    Look("#789b1e", [1, 0], "triangle-up"),
)
"""Where bytes come from: memory, scale-up, scale-out; from dark to light."""
STAGES = {
    "attention": Look("#3f1463", [1, 0], "square"),
    "network": Look("#8b3a90", [2, 3], "circle"),
    "ffn": Look("#c27ac8", [9, 4], "triangle-up"),
}
"""Parts of a decode step."""
POOLS = {"prefill": "#6b4a12", "decode": "#b8892b"}
"""Parts of a request."""
ENDS = {"low": "#c3c9cf", "high": "#4a535c"}
"""Ends of a range."""
SERIES = (
    Look("#1f2a35", [1, 0], "circle"),
    Look("#7d8995", [8, 3], "square"),
    Look("#44505c", [2, 3], "triangle-up"),
    Look("#a9b3bc", [8, 3, 2, 3], "diamond"),
    Look("#66727e", [4, 4], "triangle-down"),
    Look("#323d48", [1, 2], "cross"),
)
"""Things that have a name and no meaning beyond: systems, values of an axis, terms of a product."""
AMOUNT = ("#ffffff", "#33404d")
"""From none to most of an amount that belongs to no side."""
PALE = 0.5
"""Opacity of what was never measured."""
ESTIMATED_DASH = [6, 4]
BAND = 0.16
"""Opacity of an interval."""
END_LABELS = 120
"""Pixels right of a chart for the names of its curves."""
FEWEST_TICKS = 3
WIDE, NARROW = 1e3, 12.0
"""Ratios of the ends of an axis from which ticks stand at decades, and at 1, 2, 5."""
TITLE_LETTERS, LINE_LETTERS = 88, 124
MOST_LINES, MOST_BELOW = 2, 4
"""Lines between the headline and the picture, and below it; what does not fit is in the description alone."""
SMALL, SMALL_LINE = 11, 15
"""Size of letters and of lines below a picture [px]."""
AXIS_ROOM = 62
"""Pixels that ticks and title of an axis take below a picture."""
LEFT_OF = 56
"""Pixels that ticks and title of an axis take left of a picture."""


class Rows(alt.InlineData):
    """Rows that copies of a chart share: charts are copied often while they are made, rows never changed."""

    def __deepcopy__(self, memo: object) -> Rows:
        """Return these rows."""
        return self


def chart_data(values: list[dict[str, Any]]) -> Rows:
    """Return rows as the data of a layer."""
    with debug_mode(False):  # noqa: FBT003 - rows are not held against the schema one by one
        return Rows(values=values)


class _Channels(alt.FacetedEncoding):
    """What layers encode, which copies of a chart share too."""

    def __deepcopy__(self, memo: object) -> _Channels:
        """Return these channels."""
        return self


def layered(layers: Sequence[alt.Chart], **size: Any) -> alt.LayerChart:  # noqa: ANN401 - properties
    """Return a chart of layers.

    Parameters
    ----------
    layers : sequence of altair chart
        The layers, those below first. Their channels are not changed afterwards: copies share them.
    **size : object
        Properties of the chart.

    Returns
    -------
    altair.LayerChart
        The chart.
    """
    with debug_mode(False):  # noqa: FBT003 - looked at when they were made, and when the chart is written
        for layer in layers:
            if isinstance(layer.encoding, alt.FacetedEncoding):
                layer.encoding = _Channels(**layer.encoding._kwds)  # noqa: SLF001 - its parts, as they are
        return alt.LayerChart(layer=layers, **size)


def house_style(
    chart: alt.LayerChart,
    title: str,
    lines: Iterable[str],
    values: Iterable[str] = (),
    *,
    below: int = AXIS_ROOM,
    left: int = LEFT_OF,
) -> alt.LayerChart:
    """Return a chart in the house style with a headline that states the answer, in words.

    Parameters
    ----------
    chart : altair chart
        The chart: of layers, or of charts one below the other. It is changed.
    title : str
        The answer. Its first sentence is the headline.
    lines : iterable of str
        What is asked and how to read the picture, the first the most important: as many as take two lines
        stand below the headline, and as many of the others as take four below the picture.
    values : iterable of str
        What is drawn, in numbers, for those who do not see it.
    below, left : int
        Pixels that axes take there.

    Returns
    -------
    altair chart
        The chart; its description holds all that is said, and the values.
    """
    headline, _, rest = worded(title).partition(". ")
    said = [worded(line) for line in (*lines, rest) if line]
    above, under = _places(said)
    styled: alt.LayerChart = _with_caption(chart, under, below=below, left=left)
    look = {
        "title": alt.TitleParams(
            _wrap(headline, TITLE_LETTERS),
            subtitle=above,
            anchor="start",
            color=INK,
            subtitleColor=FAINT,
            offset=16,
        ),
        "description": " ".join(_sentence(part) for part in (headline, *said, *values) if part),
        "background": GROUND,
        "padding": 16,
        "config": house_config(),
    }
    for name, value in look.items():  # in place: whatever returns another chart copies all layers many times
        styled[name] = value
    return styled


def house_config() -> alt.Config:
    """Return fonts and colours of all charts."""
    return alt.Config(
        font="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif",
        title=alt.TitleConfig(
            fontSize=16, subtitleFontSize=12, subtitlePadding=6, lineHeight=20, subtitleLineHeight=16
        ),
        axis=alt.AxisConfig(
            labelColor=FAINT,
            titleColor=INK,
            gridColor="#e6e9ec",
            domainColor="#9aa3ad",
            tickColor="#9aa3ad",
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            titlePadding=10,
        ),
        view=alt.ViewConfig(stroke=None),
    )


def _places(said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the lines above a picture, and what stands below it, in order."""
    above: list[str] = []
    for index, part in enumerate(said):
        wrapped = _wrap(part, LINE_LETTERS)
        if len(above) + len(wrapped) > MOST_LINES:
            return above, list(said[index:])
        above += wrapped
    return above, []


def _with_caption(chart: Any, parts: Sequence[str], *, below: int, left: int) -> Any:  # noqa: ANN401
    """Return a chart with small print below it."""
    if not parts:
        return chart
    lines: list[str] = []
    for count in range(len(parts), 0, -1):
        lines = _wrap(" ".join(_sentence(part) for part in parts[:count]), LINE_LETTERS + 6)
        if len(lines) <= MOST_BELOW:
            break
    words = alt.Chart(chart_data([{"label": "\n".join(lines)}]))
    style: dict[str, Any] = {
        "align": "left",
        "baseline": "top",
        "fontSize": SMALL,
        "lineHeight": SMALL_LINE,
        "lineBreak": "\n",
        "color": FAINT,
    }
    if isinstance(chart, alt.LayerChart):
        text = words.mark_text(**style).encode(
            x=alt.XValue(-left), y=alt.YValue(chart.height + below), text=alt.Text("label:N")
        )
        chart.layer = [*chart.layer, text]
        return chart
    text = words.mark_text(**style).encode(x=alt.XValue(-left), y=alt.YValue(0), text=alt.Text("label:N"))
    under = layered([text], width=WIDTH - left, height=SMALL_LINE * len(lines))
    if isinstance(chart, alt.VConcatChart):
        chart.vconcat = [*chart.vconcat, under]
        return chart
    return alt.VConcatChart(vconcat=[chart, under], spacing=12)


def _sentence(text: str) -> str:
    return text if text.endswith((".", ":")) else f"{text}."


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]


def apart(places: Sequence[float], gap: float, *, least: float, most: float) -> list[float]:
    """Return sorted places pushed apart until none is closer than a gap to the next, within two ends."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap if found else least))
    limit = most
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], limit)
        limit = found[index] - gap
    return found


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten in a range, for ticks; with their doubles and halves where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [
            step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high
        ]
        if len(ticks) >= FEWEST_TICKS:
            break
    return ticks


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks of a logarithmic axis: decades, or finer steps where the range is short."""
    if high / low > WIDE:
        return decades(low, high)
    steps: tuple[float, ...] = (1, 2, 5) if high / low > NARROW else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def estimate_line(answer: Answer, what: str) -> str:
    """Return the line that marks an estimate; empty where all was measured."""
    return (
        f"{what}: rests on estimates, never measured on these parts." if answer.summary["estimated"] else ""
    )
