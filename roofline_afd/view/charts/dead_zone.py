"""HFU, OFU and temporal sparsity over FFN nodes, with the regimes they fall into."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import altair as alt

from roofline_afd.view.charts.style import (
    END_LABELS,
    ESTIMATED_DASH,
    FAINT,
    GROUND,
    HEIGHT,
    INK,
    SERIES,
    WIDTH,
    apart,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

DEAD_ZONE = "dead zone"
"""Name of the regime that is set apart."""
BANDS, ZONE = ("#e8ebee", "#f8f9fa"), "#c3cad2"
"""Ground of regimes in turn, and of the dead zone."""
CLEAR = 0.6
"""Opacity of that ground, for the lines of the grid."""
SHARES = (
    ("hfu", "HFU", INK, [1, 0], 3.0, "circle"),
    ("ofu", "OFU", SERIES[1].color, SERIES[1].dash, 1.8, SERIES[1].shape),
    ("temporal_sparsity", "S_t", SERIES[2].color, SERIES[2].dash, 1.8, SERIES[2].shape),
)
"""HFU and its two factors: key, name, colour, dash, width and marker."""
LETTER_WIDTH, LINE, ROWS = 6.6, 16, 3
"""Pixels of a letter and of a line of the names of regimes, and lines of them at most."""
FEW_COUNTS = 16
"""FFN node counts up to which each has a tick of its own."""
MOST_MARKERS = 100
"""FFN node counts up to which each has a marker of its own on a curve."""
SAME = 0.002
"""Change of a share below which a count between two alike has no marker."""
LEAST_BAND = 4
"""Pixels of a band that is named at all."""
NAMES_APART = 18
"""Pixels between the names of curves."""
WHOLE, UP_TO, OVER = 1.0, 1.04, 1.1
"""All of the stage, more of which cannot be had; where the axis ends, and where it does above an arrow."""


def dead_zone_chart(answer: Answer) -> alt.LayerChart:
    """Draw HFU, OFU and temporal sparsity over FFN nodes, the regimes shaded and named.

    Parameters
    ----------
    answer : Answer
        Of `roofline`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; infeasible counts are hollow.
    """
    about = answer.picture
    rows = answer.rows()
    counts = [row["ffn_nodes"] for row in rows]
    low, high = min(counts) - 0.5, max(counts) + 0.5
    over = [row for row in rows if row["temporal_sparsity"] > WHOLE]
    top = OVER if over else UP_TO
    x = alt.X(
        "ffn_nodes:Q",
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(
            title=f"FFN {about['node']}s, {about['devices_per_node']} devices each",
            tickMinStep=1,
            format="d",
            grid=False,
            values=counts if len(counts) <= FEW_COUNTS else alt.Undefined,
        ),
    )
    y = alt.Y(
        "share:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(format=".0%", title="share", values=[0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    )
    layers = _regime_layers(answer.summary["regimes"], low, high)
    weak = answer.summary["weakest_kind"] == "estimated"
    for key, name, color, dash, width, shape in reversed(SHARES):
        values = [{**row, "share": min(row[key], WHOLE), "series": name} for row in rows]
        for value, marked in zip(values, _marked(rows, key), strict=True):
            value["marked"] = 1 if marked else 0
        base = alt.Chart(chart_data(values)).encode(x, y)
        layers.append(
            base.mark_line(
                color=color, strokeWidth=width, strokeDash=ESTIMATED_DASH if weak else dash, clip=True
            )
        )
        if len(counts) > MOST_MARKERS:
            continue
        layers.append(
            base.mark_point(shape=shape, size=40, stroke=color).encode(
                fill=alt.condition("datum.feasible", alt.value(color), alt.value(GROUND)),
                opacity=alt.Opacity("marked:Q", scale=None, legend=None),
                tooltip=[
                    alt.Tooltip("ffn_nodes:Q", title=column("ffn_nodes").title),
                    alt.Tooltip("hfu:Q", title="HFU", format=".1%"),
                    alt.Tooltip("ofu:Q", title="OFU", format=".1%"),
                    alt.Tooltip("temporal_sparsity:Q", title="S_t", format=".1%"),
                    alt.Tooltip("intensity:Q", title=column("intensity").title, format=".1f"),
                    alt.Tooltip("experts_per_device:Q", title=column("experts_per_device").title),
                    alt.Tooltip("regime:N"),
                    alt.Tooltip("binding:N", title="binds"),
                ],
            )
        )
    layers += _too_long(over, x, y)
    layers += _refused(rows, low, high)
    layers.append(_end_labels(rows, high, top))
    lines = [
        "HFU = OFU, utilization while at work, x S_t, share of the stage at work."
        + (" Hollow, with a bar below: infeasible." if any(not row["feasible"] for row in rows) else "")
        + (" Dashed: estimated." if weak else ""),
        about["question"],
        "Arrow: reading the weights alone takes more than the stage." if over else "",
    ]
    return house_style(
        layered(layers, width=WIDTH - END_LABELS, height=HEIGHT),
        answer.summary["answer"],
        lines,
        [
            f"{row['ffn_nodes']} FFN {about['node']}s: HFU {row['hfu']:.1%}, OFU {row['ofu']:.1%}, "
            f"S_t {row['temporal_sparsity']:.1%}, {row['regime']}"
            + ("" if row["feasible"] else f", infeasible: {row['binding']}")
            for row in rows
        ],
    )


def _marked(rows: list[dict[str, Any]], key: str) -> list[bool]:
    """Return which points of a curve have a marker: none of those that are as both their neighbours are."""
    last = len(rows) - 1
    return [
        place in {0, last}
        or any(
            abs(rows[place][key] - rows[place + step][key]) > SAME
            or rows[place]["feasible"] != rows[place + step]["feasible"]
            for step in (-1, 1)
        )
        for place in range(len(rows))
    ]


def _refused(rows: list[dict[str, Any]], low: float, high: float) -> list[alt.Chart]:
    """Return a bar below the counts that no deployment reaches, and what binds there."""
    layers = []
    for feasible, run in itertools.groupby(rows, key=lambda row: bool(row["feasible"])):
        own = list(run)
        if feasible:
            continue
        ends = [
            _pixels(own[place]["ffn_nodes"] + shift - low, high - low)
            for place, shift in ((0, -0.5), (-1, 0.5))
        ]
        why = f"infeasible: {own[0]['binding']}"
        if LETTER_WIDTH * len(why) > ends[1] - ends[0]:
            why = "infeasible" if LETTER_WIDTH * len("infeasible") <= ends[1] - ends[0] else ""
        base = alt.Chart(chart_data([{"label": why}])).encode(x=alt.XValue(ends[0]), y=alt.YValue(HEIGHT - 3))
        layers += [
            base.mark_rule(color=FAINT, strokeWidth=5).encode(x2=alt.X2Value(ends[1])),
            base.mark_text(align="left", baseline="bottom", dx=4, dy=-6, fontSize=12, color=FAINT).encode(
                text=alt.Text("label:N")
            ),
        ]
    return layers


def _too_long(rows: list[dict[str, Any]], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return an arrow where reading the weights takes longer than the stage, with the share it would be."""
    values = [{**row, "share": WHOLE, "label": f"S_t {row['temporal_sparsity']:.0%}"} for row in rows]
    if not values:
        return []
    color = SERIES[2].color
    names = alt.Chart(chart_data(values[:1])).encode(x, y, text=alt.Text("label:N"))
    return [
        alt.Chart(chart_data(values))
        .mark_point(shape="triangle-up", size=90, stroke=color, fill=GROUND, opacity=1, dy=-6)
        .encode(x, y),
        names.mark_text(align="left", dx=-2, dy=-20, fontSize=12, color=GROUND, stroke=GROUND, strokeWidth=4),
        names.mark_text(align="left", dx=-2, dy=-20, fontSize=12, color=color),
    ]


def _regime_layers(regimes: list[dict[str, Any]], low: float, high: float) -> list[alt.Chart]:
    """Return the shaded bands of the regimes with their names above."""
    bands = []
    for index, part in enumerate(regimes):
        left = max(low, part["ffn_nodes_from"])
        right = high if part["ffn_nodes_to"] is None else min(high, part["ffn_nodes_to"])
        if right > left:
            bands.append(
                {
                    "left": left,
                    "right": right,
                    "name": part["regime"],
                    "fill": ZONE if part["regime"] == DEAD_ZONE else BANDS[index % 2],
                }
            )
    shading = (
        alt.Chart(chart_data(bands))
        .mark_rect(opacity=CLEAR)
        .encode(
            alt.X("left:Q", scale=alt.Scale(domain=[low, high], nice=False)),
            alt.X2("right:Q"),
            color=alt.Color("fill:N", scale=None),
            tooltip=[alt.Tooltip("name:N", title="regime")],
        )
    )
    names = _placed_names(bands, low, high)
    layers = [shading]
    for name in names:
        base = alt.Chart(chart_data([name]))
        height = -6 - LINE * name["line"]
        layers.append(
            base.mark_text(
                align="left",
                fontSize=12,
                color=INK,
                fontStyle="italic",
                baseline="bottom",
                fontWeight="bold" if name["name"] == DEAD_ZONE else "normal",
            ).encode(x=alt.XValue(name["at"]), y=alt.YValue(height), text=alt.Text("name:N"))
        )
        if name["line"]:
            layers.append(
                base.mark_rule(color=FAINT, strokeWidth=0.8).encode(
                    x=alt.XValue(name["foot"]), y=alt.YValue(height + 1), y2=alt.Y2Value(0)
                )
            )
    return layers


def _placed_names(bands: list[dict[str, Any]], low: float, high: float) -> list[dict[str, Any]]:
    """Return the names of bands, level, each over its band: a line higher where two would touch."""
    free = [float(WIDTH)] * ROWS
    found: list[dict[str, Any]] = []
    for band in reversed(bands):  # so that lines down to narrow bands pass left of the names below
        left, right = (_pixels(band[end] - low, high - low) for end in ("left", "right"))
        if right - left < LEAST_BAND:
            continue
        length = LETTER_WIDTH * len(band["name"])
        start = max((left + right - length) / 2, left)
        line = next((place for place, end in enumerate(free) if start + length <= end), None)
        if line is None:  # left to the tooltip
            continue
        free[line] = start - 2 * LETTER_WIDTH
        found.append({"name": band["name"], "line": line, "at": start, "foot": start + 1})
    return found


def _pixels(distance: float, span: float) -> float:
    return distance / span * (WIDTH - END_LABELS)


def _end_labels(rows: list[dict[str, Any]], high: float, top: float) -> alt.Chart:
    """Return the names of the curves at their right end, pushed apart where they would touch."""
    last = rows[-1]
    ends = sorted((min(last[key], WHOLE), last[key], name, color) for key, name, color, *_ in SHARES)
    heights = apart([end[0] for end in ends], NAMES_APART / HEIGHT * top, least=0.0, most=top)
    placed = [
        {"ffn_nodes": high, "share": at, "label": f"{name} {value:.1%}", "color": color}
        for at, (_, value, name, color) in zip(heights, ends, strict=True)
    ]
    labels: alt.Chart = (
        alt.Chart(chart_data(placed))
        .mark_text(align="left", dx=6, fontSize=12, fontWeight="bold")
        .encode(
            alt.X("ffn_nodes:Q"),
            alt.Y("share:Q"),
            text=alt.Text("label:N"),
            color=alt.Color("color:N", scale=None),
        )
    )
    return labels
