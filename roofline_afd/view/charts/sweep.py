"""The chart of a sweep's file: a heat map over two of its axes, or lines over one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from roofline_afd.view.charts.style import (
    AFD,
    AMOUNT,
    EP,
    FAINT,
    GROUND,
    MODES,
    SERIES,
    WIDTH,
    Look,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.columns import column
from roofline_afd.view.words import titled

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

CELL, SIDE, LEAST = 22, 150, 200
"""Pixels of a cell, right of the chart for names and the legend, and of the height at least."""
MOST_TOLD = 200
"""Values told in words."""
RATIO = "afd_over_ep"
BETWEEN = 1.0
"""Ratio at which neither mode is ahead."""


def sweep_chart(answer: Answer) -> alt.LayerChart:
    """Draw a sweep's file: cells over two axes, or lines over one.

    Parameters
    ----------
    answer : Answer
        Of `swept`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; a ratio of AFD over EP is blue where EP is ahead and orange where AFD is.
    """
    picture = answer.picture
    rows = answer.rows()
    layers, size = (_cells if picture["y"] else _lines)(rows, picture)
    chart = layered(layers, **size)
    headline = f"{column(picture['metric']).title}{answer.summary['answer'].removeprefix(picture['metric'])}"
    values = [
        f"{row['x']}, {row['y'] if picture['y'] else row['by']}: "
        + ("none" if row["value"] is None else f"{row['value']:,.3g}")
        for row in rows[:MOST_TOLD]
    ]
    return house_style(chart, headline, [picture["about"], picture["how"]], values)


def _look(name: str, index: int) -> Look:
    """Return how a line looks: as the mode that it is of, else as one of several."""
    return MODES.get(name.lower()) or SERIES[index % len(SERIES)]


def _axis(kind: type[Any], name: str, picture: dict[str, Any], **more: Any) -> Any:  # noqa: ANN401 - X or Y
    """Return an axis: words in the order they come, numbers along a line."""
    words = picture["words"][name]
    title = titled(picture[name])
    if picture["y"]:
        return kind(f"{name}:O", sort=words, axis=alt.Axis(title=title, labelAngle=0 if name == "y" else -40))
    if words:
        return kind(f"{name}:O", sort=words, axis=alt.Axis(title=title, labelAngle=-40))
    return kind(f"{name}:Q", axis=alt.Axis(title=title, grid=False), scale=alt.Scale(zero=False), **more)


def _cells(rows: list[dict[str, Any]], picture: dict[str, Any]) -> tuple[list[alt.Chart], dict[str, Any]]:
    """Return a heat map, with the value in cells where these are few."""
    x, y = (_axis(kind, name, picture) for kind, name in ((alt.X, "x"), (alt.Y, "y")))
    values = [row["value"] for row in rows if row["value"] is not None]
    title = column(picture["metric"]).title
    if picture["metric"] == RATIO:
        far = max([abs(value - BETWEEN) for value in values] + [0.1])
        scale = alt.Scale(
            domain=[BETWEEN - far, BETWEEN, BETWEEN + far], range=[EP, GROUND, AFD], interpolate="rgb"
        )
    else:
        scale = alt.Scale(domain=[min(values), max(values)], range=list(AMOUNT), interpolate="rgb")
    held = [{**row, "told": f"{row['value']:,.3g}"} for row in rows if row["value"] is not None]
    blank = [row for row in rows if row["value"] is None]
    many_x, many_y = (len({row[name] for row in rows}) for name in ("x", "y"))
    cells = (
        alt.Chart(chart_data(held))
        .mark_rect(stroke=GROUND)
        .encode(
            x,
            y,
            fill=alt.Fill("value:Q", scale=scale, legend=alt.Legend(title=title)),
            tooltip=[
                alt.Tooltip("x:N", title=titled(picture["x"])),
                alt.Tooltip("y:N", title=titled(picture["y"])),
                alt.Tooltip("told:N", title=title),
            ],
        )
    )
    layers = [cells]
    if blank:
        layers.append(
            alt.Chart(chart_data(blank))
            .mark_text(text="\N{MULTIPLICATION SIGN}", color=FAINT, fontSize=10)
            .encode(x, y)
        )
    wide = min(max(CELL * many_x, 320), WIDTH)
    return layers, {"width": wide, "height": max(CELL * many_y, LEAST)}


def _lines(rows: list[dict[str, Any]], picture: dict[str, Any]) -> tuple[list[alt.Chart], dict[str, Any]]:
    """Return a line for each value of another axis, named at its end."""
    x = _axis(alt.X, "x", picture)
    y = alt.Y("value:Q", axis=alt.Axis(title=column(picture["metric"]).title), scale=alt.Scale(zero=False))
    layers: list[alt.Chart] = []
    for index, name in enumerate(dict.fromkeys(row["by"] for row in rows)):
        own = [row for row in rows if row["by"] == name and row["value"] is not None]
        if not own:
            continue
        color, dash, _ = _look(str(name), index)
        layers.append(
            alt.Chart(chart_data(own)).mark_line(color=color, strokeDash=dash, strokeWidth=2).encode(x, y)
        )
        layers.append(
            alt.Chart(chart_data([{**own[-1], "name": name}]))
            .mark_text(align="left", dx=6, color=color, fontSize=12)
            .encode(x, y, text=alt.Text("name:N"))
        )
    return layers, {"width": WIDTH - SIDE, "height": 360}
