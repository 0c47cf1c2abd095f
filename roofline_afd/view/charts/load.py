"""The chart of a service under load: what requests wait for, over how many come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import altair as alt

from roofline_afd.view.charts.style import (
    FAINT,
    GROUND,
    POOLS,
    WIDTH,
    apart,
    chart_data,
    house_style,
    layered,
)

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

SHARES = (("p50", [1, 0]), ("p95", [6, 3]), ("p99", [2, 3]))
"""Percentiles and their dashes."""
PANELS = (
    ("ttft", "time to the first token [ms]", POOLS["prefill"]),
    ("tpot", "time per output token [ms]", POOLS["decode"]),
)
"""Both times: key, axis, and the colour of what takes them."""
HEIGHT, NAMES = 190, 60
"""Pixels of a panel, and right of it for the names of its lines."""
TALL = 4.0
"""Highest value drawn over the limit, where there is one: beyond it requests queue without end."""
APART = 13
"""Pixels between two names."""


def load_chart(answer: Answer) -> alt.VConcatChart:
    """Draw percentiles of both times over the requests that come, with their limits.

    Parameters
    ----------
    answer : Answer
        Of `load`, with its picture.

    Returns
    -------
    altair.VConcatChart
        A panel for the time to the first token, one for the time per output token.
    """
    rows = sorted(answer.rows(), key=lambda row: float(row["request_rate"]))
    panels = [_panel(rows, answer, *panel) for panel in PANELS]
    asked = answer.inputs
    about = [
        answer.picture["model"],
        answer.picture["system"],
        f"{asked['prefix'] + asked['isl']:,} input tokens, {asked['prefix']:,} of them cached"
        if answer.picture["prefills"]
        else f"mean context {asked['context']:,} tokens",
        f"{asked['osl']:,} output tokens",
        f"arrivals: {asked['arrivals']}",
    ]
    how = "Bands: 95 % intervals. Hollow: too few requests to be steady, or a queue that grows."
    chart = alt.VConcatChart(vconcat=panels, spacing=14)
    values = [
        f"{row['request_rate']:.3g} requests per second: "
        + ", ".join(
            f"{share} {key.upper()} {row[f'{key}_{share}_ms']:,.4g} ms"
            for key, *_ in PANELS
            for share, _ in SHARES
        )
        for row in rows
    ]
    styled = house_style(
        cast("alt.LayerChart", chart), answer.summary["answer"], [" · ".join(about), how], values
    )
    return cast("alt.VConcatChart", styled)


def _panel(rows: list[dict[str, Any]], answer: Answer, key: str, title: str, color: str) -> alt.LayerChart:
    """Return the percentiles of one time, and its limit."""
    last = key == PANELS[-1][0]
    limit = answer.inputs[f"{key}_ms"]
    values = [row[f"{key}_{share}_ms"] for row in rows for share, _ in SHARES]
    top = max(values) * 1.08
    if limit is not None:
        top = max(min(top, TALL * limit), 1.15 * limit)
    first, end = rows[0]["request_rate"], rows[-1]["request_rate"]
    margin = 0.03 * (end - first) or 0.1 * end
    x = alt.X(
        "rate:Q",
        scale=alt.Scale(domain=[max(first - margin, 0.0), end + margin], nice=False, zero=False),
        axis=alt.Axis(
            title="requests per second" if last else None, grid=False, format=",~r", labels=last, tickCount=8
        ),
    )
    scale = alt.Scale(domain=[0, top], nice=False)
    axis = alt.Axis(title=title, tickCount=5, format=",~r")
    y = alt.Y("value:Q", scale=scale, axis=axis)
    layers: list[alt.Chart] = []
    names: list[dict[str, Any]] = []
    for share, dash in SHARES:
        points = [
            {
                "rate": row["request_rate"],
                "value": row[f"{key}_{share}_ms"],
                "low": max(row[f"{key}_{share}_ms"] - (row[f"{key}_{share}_half_width_ms"] or 0.0), 0.0),
                "high": row[f"{key}_{share}_ms"] + (row[f"{key}_{share}_half_width_ms"] or 0.0),
                "fill": color if row["steady"] else GROUND,
            }
            for row in rows
        ]
        layers += [
            alt.Chart(chart_data(points))
            .mark_area(color=color, opacity=0.12, clip=True)
            .encode(x, alt.Y("low:Q", scale=scale, axis=axis), y2=alt.Y2("high:Q")),
            alt.Chart(chart_data(points))
            .mark_line(color=color, strokeDash=dash, strokeWidth=1.8, clip=True)
            .encode(x, y),
            alt.Chart(chart_data(points))
            .mark_point(stroke=color, size=34, opacity=1, clip=True)
            .encode(x, y, fill=alt.Fill("fill:N", scale=None)),
        ]
        names.append({"at": min(points[-1]["value"], top), "text": share})
    layers += _names(names, top, color)
    if limit is not None:
        layers += [
            alt.Chart(chart_data([{"value": limit}])).mark_rule(color=FAINT, strokeDash=[4, 4]).encode(y),
            alt.Chart(chart_data([{"value": limit, "text": f"at most {limit:,.4g} ms"}]))
            .mark_text(align="left", baseline="bottom", dx=4, dy=-2, color=FAINT, fontSize=12)
            .encode(y, x=alt.XValue(0), text=alt.Text("text:N")),
        ]
    return layered(layers, width=WIDTH - NAMES, height=HEIGHT)


def _names(names: list[dict[str, Any]], top: float, color: str) -> list[alt.Chart]:
    """Return the names of lines right of their ends, none on another."""
    ordered = sorted(names, key=lambda each: -float(each["at"]))  # from above
    heights = apart([HEIGHT * (1.0 - name["at"] / top) for name in ordered], APART, least=0.0, most=HEIGHT)
    placed = [{"y": at, "text": name["text"]} for at, name in zip(heights, ordered, strict=True)]
    return [
        alt.Chart(chart_data([{"text": name["text"]}]))
        .mark_text(align="left", dx=8, color=color, fontSize=12)
        .encode(x=alt.XValue(WIDTH - NAMES), y=alt.YValue(name["y"]), text=alt.Text("text:N"))
        for name in placed
    ]
