"""The communication-level roofline: a roof per byte level, and where each FFN node count operates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt

from roofline_afd.units import format_si
from roofline_afd.view.charts.style import (
    ESTIMATED_DASH,
    GROUND,
    HEIGHT,
    INK,
    TIERS,
    WIDTH,
    chart_data,
    decades,
    house_style,
    layered,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

ABOVE = 1.35
"""Height over the peak, as a factor."""
LABEL_SHARE = 0.3
"""Share of the roofline's height kept below its lowest point for the names of the roofs."""
LEAST_SPAN = 12.0
"""Top of the axis over its bottom, at least: roofs that rise too steeply leave no room for their names."""
FLAT = 1.02
"""Highest over lowest rate up to which points lie in a row, and their numbers above them."""
SAME_PLACE = 0.02
"""Decades within which two markers share a label."""


class _Level(NamedTuple):
    """A byte level: its name, roof [B/s], whether that is an estimate, intensities, colour and marker."""

    name: str
    bandwidth: float
    estimated: bool
    intensity: list[float]
    color: str
    shape: str


def roofline_chart(answer: Answer) -> alt.LayerChart:
    """Draw the communication-level roofline of the FFN stage.

    Every byte level has its own roof and its own intensity: operations per byte read from memory, received
    over scale-up, and received over scale-out. At each FFN node count the three markers share a height, the
    rate achieved over the stage; the level whose marker lies on its roof binds.

    Parameters
    ----------
    answer : Answer
        Of `roofline`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; dashed where a roof rests on an estimate.
    """
    about = answer.picture
    peak = about["peak"]
    levels = [
        _Level(roof["level"], roof["bandwidth"], roof["estimated"], roof["intensity"], look.color, look.shape)
        for roof, look in zip(about["roofs"], TIERS, strict=False)
    ]
    points = _operating_points(answer.rows(), levels, peak)
    low_x = min([point["intensity"] for point in points] + [peak / levels[0].bandwidth]) / 4
    high_x = max([point["intensity"] for point in points] + [peak / level.bandwidth for level in levels]) * 3
    high_y = peak * ABOVE
    lowest = min(point["rate"] for point in points)
    low_y = min(lowest / (high_y / lowest) ** (LABEL_SHARE / (1 - LABEL_SHARE)), high_y / LEAST_SPAN)
    x_scale = alt.Scale(type="log", domain=[low_x, high_x], nice=False)
    y_scale = alt.Scale(type="log", domain=[low_y, high_y], nice=False)
    x_axis = alt.Axis(
        values=decades(low_x, high_x),
        format="~s",
        title="arithmetic intensity [FLOP per byte moved at the level]",
    )
    y_axis = alt.Axis(
        values=decades(low_y, high_y), format="~s", title="rate per FFN device over the stage [FLOP/s]"
    )
    x = alt.X("intensity:Q", scale=x_scale, axis=x_axis)
    y = alt.Y("rate:Q", scale=y_scale, axis=y_axis)
    slope = math.degrees(
        math.atan((HEIGHT / math.log10(high_y / low_y)) / (WIDTH / math.log10(high_x / low_x)))
    )

    layers: list[alt.Chart] = []
    for level in levels:
        start = max(low_x, low_y / level.bandwidth)
        roof = [
            {"intensity": start, "rate": start * level.bandwidth},
            {"intensity": peak / level.bandwidth, "rate": peak},
            {"intensity": high_x, "rate": peak},
        ]
        layers.append(
            alt.Chart(chart_data(roof))
            .mark_line(
                color=level.color, strokeWidth=2, strokeDash=_dash(estimated=level.estimated), clip=True
            )
            .encode(x, y)
        )
        at = start * 1.1
        label = f"{level.name} {format_si(level.bandwidth, 'B/s')}"
        layers.append(
            alt.Chart(chart_data([{"intensity": at, "rate": at * level.bandwidth, "label": label}]))
            .mark_text(
                angle=360 - slope, align="left", dy=-9, color=level.color, fontSize=12, fontWeight="bold"
            )
            .encode(x, y, text=alt.Text("label:N"))
        )
    top = [{"intensity": low_x, "rate": peak}, {"intensity": high_x, "rate": peak}]
    layers.append(
        alt.Chart(chart_data(top))
        .mark_line(color=INK, strokeWidth=2.5, strokeDash=_dash(estimated=about["peak_estimated"]))
        .encode(x, y)
    )
    compute = f"compute {format_si(peak, 'FLOP/s')} ({about['operand']}, dense)"
    layers.append(
        alt.Chart(chart_data([{**top[0], "label": compute}]))
        .mark_text(align="left", dx=6, dy=-9, color=INK, fontSize=12, fontWeight="bold")
        .encode(x, y, text=alt.Text("label:N"))
    )
    layers += _point_layers(points, levels, x, y)
    unless = ", or none where the attention side cannot fill the links" if about["attention_devices"] else ""
    weak = about["peak_estimated"] or any(level.estimated for level in levels)
    return house_style(
        layered(layers, width=WIDTH, height=HEIGHT),
        answer.summary["answer"],
        [
            f"A marker per level at each FFN {about['node']} count; the level whose marker touches its roof "
            f"binds{unless}. Hollow: infeasible." + (" Dashed: estimated." if weak else ""),
            about["question"],
        ],
        [
            *(f"roof of {level.name}: {format_si(level.bandwidth, 'B/s')}" for level in levels),
            f"peak: {compute.removeprefix('compute ')}",
            *(
                f"{row['ffn_nodes']} FFN {about['node']}s: HFU {row['hfu']:.1%}, {row['regime']}"
                + ("" if row["feasible"] else f", infeasible: {row['binding']}")
                for row in answer.rows()
            ),
        ],
    )


def _dash(*, estimated: bool) -> list[int]:
    """Return the stroke of a roof: dashed where it rests on an estimate."""
    return ESTIMATED_DASH if estimated else [1, 0]


def _operating_points(rows: list[dict[str, Any]], levels: list[_Level], peak: float) -> list[dict[str, Any]]:
    """Return a point per FFN node count and level, with what its tooltip says."""
    return [
        {
            "ffn_nodes": row["ffn_nodes"],
            "level": level.name,
            "intensity": level.intensity[place],
            "rate": row["hfu"] * peak,
            "hfu": row["hfu"],
            "regime": row["regime"],
            "binding": row["binding"],
            "feasible": row["feasible"],
        }
        for place, row in enumerate(rows)
        for level in levels
    ]


def _point_layers(points: list[dict[str, Any]], levels: list[_Level], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    tooltip = [
        alt.Tooltip("ffn_nodes:Q", title=column("ffn_nodes").title),
        alt.Tooltip("level:N"),
        alt.Tooltip("intensity:Q", title="FLOP per byte", format=".4~s"),
        alt.Tooltip("hfu:Q", title="HFU", format=".1%"),
        alt.Tooltip("regime:N"),
        alt.Tooltip("binding:N", title="binds"),
        alt.Tooltip("feasible:N"),
    ]
    layers = []
    for level in levels:
        own = [point for point in points if point["level"] == level.name]
        own.sort(key=lambda point: bool(point["feasible"]))  # what is feasible is drawn on top
        base = alt.Chart(chart_data(own)).encode(x, y)
        layers.append(
            base.mark_line(color=level.color, strokeWidth=1, opacity=0.5).encode(order="ffn_nodes:Q")
        )
        layers.append(
            base.mark_point(
                shape=level.shape, size=70, stroke=level.color, strokeWidth=1.6, opacity=1, clip=True
            ).encode(
                fill=alt.condition("datum.feasible", alt.value(level.color), alt.value(GROUND)),
                tooltip=tooltip,
            )
        )
    named = _spread([point for point in points if point["level"] == levels[-1].name])
    if len(levels) < 3:  # noqa: PLR2004 - one domain: the points differ in memory intensity alone
        named = _spread([point for point in points if point["level"] == levels[0].name])
    flat = max(point["rate"] for point in named) <= FLAT * min(point["rate"] for point in named)
    place: dict[str, Any] = {"align": "center", "dy": -13} if flat else {"align": "left", "dx": 8, "dy": 10}
    base = alt.Chart(chart_data(named)).encode(x, y, text=alt.Text("label:N"))
    layers += [
        base.mark_text(**place, color=GROUND, stroke=GROUND, strokeWidth=3.5, fontSize=11),
        base.mark_text(**place, color=INK, fontSize=11),
    ]
    return layers


def _spread(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge the labels of points that lie on one another: 8, 16, 32 becomes "8-32"."""
    groups: list[list[dict[str, Any]]] = []
    for point in points:
        last = groups[-1][-1] if groups else None
        near = last is not None and all(
            abs(math.log10(point[key] / last[key])) < SAME_PLACE for key in ("intensity", "rate")
        )
        if near:
            groups[-1].append(point)
        else:
            groups.append([point])
    merged = []
    for group in groups:
        first, last = group[0]["ffn_nodes"], group[-1]["ffn_nodes"]
        merged.append({**group[0], "label": str(first) if first == last else f"{first}-{last}"})
    return merged
