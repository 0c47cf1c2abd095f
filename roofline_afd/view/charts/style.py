"""The house style: sizes, colours, fonts, ticks and marks of estimates, the same in all charts."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.analysis.answer import Answer

WIDTH, HEIGHT = 760, 440
INK, FAINT, GROUND = "#1b1f24", "#5b6570", "#ffffff"
BLUE, ORANGE, GREEN, PLUM = "#0a4a8f", "#cf5f0c", "#1a7f52", "#9c2c77"
"""Hues that stay apart for colour-blind readers and differ in lightness in greyscale."""
END_LABELS = 120
"""Pixels right of a chart for the names of its curves."""
ESTIMATED_DASH = [6, 4]
FEWEST_TICKS = 3
WIDE, NARROW = 1e3, 12.0
"""Ratios of the ends of an axis from which ticks stand at decades, and at 1, 2, 5."""


def chart_data(values: list[dict[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a layer."""
    return alt.InlineData(values=values)


def house_style(chart: alt.LayerChart, title: str, subtitle: Iterable[str]) -> alt.LayerChart:
    """Return a chart in the house style with a headline that states the answer."""
    headline, _, rest = title.partition(". ")
    lines = [part for line in (rest, *subtitle) if line for part in _wrap(line, 124)]
    styled: alt.LayerChart = chart.properties(
        title=alt.TitleParams(
            _wrap(headline, 88),
            subtitle=lines,
            anchor="start",
            color=INK,
            subtitleColor=FAINT,
            offset=16,
        ),
        background=GROUND,
        padding=16,
        config=house_config(),  # all at once: each change of a chart copies it with its data
    )
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


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]


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
