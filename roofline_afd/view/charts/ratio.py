"""The chart of ratios: what the formulas say of each, and what the simulation delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import altair as alt

from roofline_afd.view.charts.style import (
    FAINT,
    GROUND,
    INK,
    SERIES,
    STAGES,
    WIDTH,
    apart,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

STYLES = (
    (SERIES[4].color, [2, 3], 1.8),
    (SERIES[1].color, [9, 4], 1.8),
    (SERIES[2].color, [1, 0], 2.6),
)
"""Colour, dash and width of a formula, the plainest first."""
NAMES = 210
"""Pixels right of the chart for the names of its curves."""
RATE_HEIGHT, IDLE_HEIGHT = 320, 130
APART = 40
"""Pixels between the names of two curves, of two lines each."""
SAMPLE = 30
"""Pixels of the piece of a curve before its name."""
ROOM = 0.12
"""Share of the height left free above and below what is drawn."""
NAMES_APART = 18
"""Pixels between the names of both idle shares."""
CUT = " (95%"
"""Where the headline of an answer ends."""
RIGHT = 0.6
"""Share of the width from which a name stands left of what it names."""


class _Curve(NamedTuple):
    """A formula drawn: colour, dash and width of its line, its name, and its points."""

    color: str
    dash: list[int]
    width: float
    name: str
    points: list[dict[str, Any]]


def ratio_chart(answer: Answer) -> alt.VConcatChart:
    """Draw throughput per instance over the ratio of attention to FFN instances, and idle shares below.

    Parameters
    ----------
    answer : Answer
        That of `simulate`, with its picture.

    Returns
    -------
    altair.VConcatChart
        The chart: formulas as curves, the simulation as points with 95 % intervals.
    """
    rows = answer.rows()
    for row in rows:
        half = row["throughput_half_width"] or 0.0
        row["low"], row["high"] = row["throughput_per_instance"] - half, row["throughput_per_instance"] + half
    first, last = min(row["r"] for row in rows), max(row["r"] for row in rows)
    x = _ratio_axis(first, last, None)
    curves = [
        _Curve(*style, found["name"], found["points"])
        for style, found in zip(STYLES, answer.picture["curves"], strict=True)
    ]
    rates = [point["throughput_per_instance"] for curve in curves for point in curve.points]
    ends = min(*rates, *(row["low"] for row in rows)), max(*rates, *(row["high"] for row in rows))
    room = ROOM * (ends[1] - ends[0] or ends[1])
    y = alt.Y(
        "throughput_per_instance:Q",
        scale=alt.Scale(domain=[max(ends[0] - room, 0.0), ends[1] + room], nice=False, zero=False),
        axis=alt.Axis(title="tokens per second and instance", format=",.4~r", tickCount=6),
    )
    layers: list[alt.Chart] = [
        alt.Chart(chart_data(curve.points))
        .mark_line(color=curve.color, strokeDash=curve.dash, strokeWidth=curve.width, clip=True)
        .encode(x, y)
        for curve in reversed(curves)  # the broken ones on top, so that all show where they coincide
    ]
    layers += _domain_layers(answer, first, last, x)
    layers += _names(curves, x, y)
    layers += _simulated(rows, answer.summary["best_r"], x, y)
    upper = layered(layers, width=WIDTH - NAMES, height=RATE_HEIGHT)
    inputs = answer.inputs
    where = f"{inputs['system']} x {inputs['model']}" if "system" in inputs else "coefficients as given"
    batches = f"{inputs['microbatches']} micro-batch{'es' if inputs['microbatches'] > 1 else ''}"
    parts = [
        where,
        f"{inputs['batch']} slots per attention instance and micro-batch",
        f"{batches} in flight",
        f"a slot holds {answer.picture['theta']:,.0f} tokens, deviation {answer.picture['nu']:,.0f}",
        f"{inputs['start']} start",
        f"{inputs['requests']:,} requests per attention instance",
        f"{inputs['replications']} replication{'s' if inputs['replications'] > 1 else ''}",
    ]
    how = "Curves: formulas, a diamond where each is best. Dots: simulation with 95% intervals."
    chart = alt.VConcatChart(vconcat=[upper, _idle(rows, first, last)], spacing=18)
    headline, cut, rest = answer.summary["answer"].partition(CUT)
    styled = house_style(
        cast("alt.LayerChart", chart),
        headline,
        [
            how,
            _instance(inputs, curves, first),
            " · ".join(parts),
            f"95%{rest.replace(')', '', 1)}" if cut else "",
        ],
        [
            f"r {row['r']}: {row['throughput_per_instance']:,.0f} tokens per second and instance, "
            f"attention idle {row['attention_idle']:.0%}, FFN {row['ffn_idle']:.0%}"
            for row in rows
        ],
    )
    return cast("alt.VConcatChart", styled)


def _instance(inputs: Mapping[str, Any], curves: Sequence[_Curve], first: int) -> str:
    """Return what an instance is, and that ratios below the first are not drawn where one may be best."""
    one = "An instance is a device. " if "system" in inputs else ""
    edge = any(
        max(curve.points, key=lambda point: point["throughput_per_instance"]) is curve.points[0]
        for curve in curves
    )
    below = "Ratios below 1, more FFN than attention instances, are not drawn." if edge and first == 1 else ""
    return f"{one}{below}".strip()


def _domain_layers(answer: Answer, first: int, last: int, x: alt.X) -> list[alt.Chart]:
    """Return a line where both sides no longer fit one scale-up domain, if that is in sight."""
    end = answer.picture.get("domain_ends_at")
    if end is None or not first <= end < last:
        return []
    left = end < first + RIGHT * (last - first)
    base = alt.Chart(
        chart_data([{"r": end, "label": f"beyond r = {end:.3g} a {answer.picture['domain']} is too small"}])
    ).encode(x)
    return [
        base.mark_rule(color=FAINT, strokeWidth=1.2, strokeDash=[4, 3]),
        base.mark_text(
            align="left" if left else "right", dx=6 if left else -6, baseline="top", color=FAINT, fontSize=12
        ).encode(y=alt.YValue(4), text=alt.Text("label:N")),
    ]


def _ratio_axis(first: int, last: int, title: str | None) -> alt.X:
    """Return the axis of ratios, half a step beyond what is drawn."""
    margin = max(0.03 * (last - first), 0.3)
    return alt.X(
        "r:Q",
        scale=alt.Scale(domain=[first - margin, last + margin], nice=False, zero=False),
        axis=alt.Axis(title=title, format="d", tickMinStep=1, grid=False),
    )


def _names(curves: Sequence[_Curve], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the peak of each curve, and to the right a piece of the curve with its name and best ratio."""
    layers: list[alt.Chart] = []
    left = WIDTH - NAMES + 12
    for place, curve in enumerate(curves):
        points = curve.points
        peak = max(points, key=lambda point: point["throughput_per_instance"])
        layers.append(
            alt.Chart(chart_data([peak]))
            .mark_point(shape="diamond", size=80, stroke=curve.color, strokeWidth=1.6, fill=GROUND, opacity=1)
            .encode(x, y)
        )
        at = 12 + place * APART
        if peak is points[-1]:
            where = f"best at r = {peak['r']:.1f} or above"
        else:
            where = f"best at r = {peak['r']:.1f}" + (" or below" if peak is points[0] else "")
        layers.append(
            alt.Chart(chart_data([{"label": curve.name}]))
            .mark_rule(color=curve.color, strokeDash=curve.dash, strokeWidth=curve.width)
            .encode(x=alt.XValue(left), x2=alt.X2Value(left + SAMPLE), y=alt.YValue(at), y2=alt.Y2Value(at))
        )
        name: alt.Chart = (
            alt.Chart(chart_data([{"label": curve.name}]))
            .mark_text(align="left", baseline="middle", color=curve.color, fontSize=12, fontWeight="bold")
            .encode(x=alt.XValue(left + SAMPLE + 8), y=alt.YValue(at), text=alt.Text("label:N"))
        )
        best: alt.Chart = (
            alt.Chart(chart_data([{"label": where}]))
            .mark_text(align="left", baseline="middle", color=FAINT, fontSize=12)
            .encode(x=alt.XValue(left + SAMPLE + 8), y=alt.YValue(at + 16), text=alt.Text("label:N"))
        )
        layers += [name, best]
    return layers


def _simulated(rows: list[dict[str, Any]], best: int, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the simulated points with their intervals, the best one large."""
    tooltip = [
        alt.Tooltip("r:Q", title=column("r").title),
        alt.Tooltip("throughput_per_instance:Q", title="tokens/s and instance", format=",.0f"),
        alt.Tooltip("throughput_predicted:Q", title="predicted", format=",.0f"),
        alt.Tooltip("attention_idle:Q", title="attention idle", format=".1%"),
        alt.Tooltip("ffn_idle:Q", title="FFN idle", format=".1%"),
        alt.Tooltip("tpot:Q", title="ms per token", format=".4~r"),
    ]
    chosen = [row for row in rows if row["r"] == best]
    chosen[0]["label"] = f"simulated best: r = {best}"
    ratios = [row["r"] for row in rows]
    left = best < min(ratios) + RIGHT * (max(ratios) - min(ratios))
    return [
        alt.Chart(chart_data(chosen)).mark_rule(color=FAINT, strokeWidth=1, strokeDash=[2, 2]).encode(x, y),
        alt.Chart(chart_data(rows))
        .mark_rule(color=INK, strokeWidth=1.6)
        .encode(x, alt.Y("low:Q"), alt.Y2("high:Q")),
        alt.Chart(chart_data(rows))
        .mark_point(shape="circle", size=22, stroke=INK, fill=INK, opacity=1)
        .encode(x, y, tooltip=tooltip),
        alt.Chart(chart_data(chosen))
        .mark_point(shape="circle", size=110, stroke=INK, fill=INK, opacity=1)
        .encode(x, y, tooltip=tooltip),
        alt.Chart(chart_data(chosen))
        .mark_text(
            align="left" if left else "right",
            dx=8 if left else -8,
            color=INK,
            fontSize=12,
            fontWeight="bold",
        )
        .encode(x, y=alt.YValue(RATE_HEIGHT - 12), text=alt.Text("label:N")),
    ]


def _idle(rows: list[dict[str, Any]], first: int, last: int) -> alt.LayerChart:
    """Return the panel of idle shares."""
    x = _ratio_axis(first, last, "attention instances per FFN instance, r")
    high = max(max(row["attention_idle"], row["ffn_idle"]) for row in rows)
    top = min(max(high * 1.08, 0.05), 1.0)
    y = alt.Y(
        "share:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(title="idle", format=".0%", tickCount=4),
    )
    layers: list[alt.Chart] = []
    end = max(rows, key=lambda row: int(row["r"]))
    sides = (("attention_idle", "attention"), ("ffn_idle", "ffn"))
    order = sorted(sides, key=lambda side: -float(end[side[0]]))
    places = apart(
        [IDLE_HEIGHT * (1.0 - end[key] / top) for key, _ in order], NAMES_APART, least=0.0, most=IDLE_HEIGHT
    )
    heights = {key: at for (key, _), at in zip(order, places, strict=True)}
    for key, side in sides:
        color, dash, shape = STAGES[side]
        name = "FFN" if side == "ffn" else side
        base = alt.Chart(chart_data([{"r": row["r"], "share": row[key]} for row in rows])).encode(x, y)
        layers.append(base.mark_line(color=color, strokeWidth=1.8, strokeDash=dash))
        layers.append(base.mark_point(shape=shape, size=30, stroke=color, fill=color, opacity=1))
        layers.append(
            alt.Chart(chart_data([{"label": f"{name} idle {end[key]:.0%}"}]))
            .mark_text(align="left", color=color, fontSize=12, fontWeight="bold")
            .encode(x=alt.XValue(WIDTH - NAMES + 12), y=alt.YValue(heights[key]), text=alt.Text("label:N"))
        )
    return layered(layers, width=WIDTH - NAMES, height=IDLE_HEIGHT)
