"""HFU, OFU and temporal sparsity over FFN nodes, with the regimes they fall into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from roofline_afd.view.charts.style import (
    BLUE,
    END_LABELS,
    ESTIMATED_DASH,
    GREEN,
    GROUND,
    HEIGHT,
    INK,
    ORANGE,
    WIDTH,
    chart_data,
    house_style,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

DEAD_ZONE = "dead zone"
"""Name of the regime that is set apart."""
LETTER_WIDTH = 7
"""Pixels of a letter of a regime's name; a name too long for its band is slanted."""
FEW_COUNTS = 16
"""FFN node counts up to which each has a tick of its own."""
MOST_MARKERS = 100
"""FFN node counts up to which each has a marker of its own on a curve."""
SLANT = 35
"""Degrees a slanted name rises."""
LEAST_APART, LEAST_BAND = 26, 10
"""Pixels between the names of two regimes, and of a band that is named at all."""


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
    top = min(max(1.0, *(row["temporal_sparsity"] for row in rows)) * 1.04, 1.25)
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
    weak = ESTIMATED_DASH if answer.summary["weakest_kind"] == "estimated" else [1, 0]
    for key, name, color, width, shape in (
        ("ofu", "OFU: utilization while at work", BLUE, 1.6, "square"),
        ("temporal_sparsity", "S_t: share of the stage at work", GREEN, 1.6, "triangle-up"),
        ("hfu", "HFU = OFU x S_t", ORANGE, 3.0, "circle"),
    ):
        values = [{**row, "share": row[key], "series": name} for row in rows]
        base = alt.Chart(chart_data(values)).encode(x, y)
        layers.append(base.mark_line(color=color, strokeWidth=width, strokeDash=weak, clip=True))
        if len(counts) > MOST_MARKERS:
            continue
        layers.append(
            base.mark_point(shape=shape, size=34, stroke=color, opacity=1, clip=True).encode(
                fill=alt.condition("datum.feasible", alt.value(color), alt.value(GROUND)),
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
    layers.append(_end_labels(rows, high, top))
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH - END_LABELS, height=HEIGHT),
        answer.summary["answer"],
        [
            about["question"],
            "Hollow: infeasible. S_t above 100 %: reading the weights takes longer than the stage.",
        ],
    )


def _regime_layers(regimes: list[dict[str, Any]], low: float, high: float) -> list[alt.Chart]:
    """Return the shaded bands of the regimes with their names above."""
    bands = []
    for index, part in enumerate(regimes):
        left = max(low, part["ffn_nodes_from"])
        right = high if part["ffn_nodes_to"] is None else min(high, part["ffn_nodes_to"])
        if right > left:
            fill = "#fbd3b0" if part["regime"] == DEAD_ZONE else ("#e3e9f0", "#f6f8fa")[index % 2]
            bands.append(
                {
                    "left": left,
                    "right": right,
                    "middle": (left + right) / 2,
                    "name": part["regime"],
                    "fill": fill,
                }
            )
    shading = (
        alt.Chart(chart_data(bands))
        .mark_rect(opacity=0.6)
        .encode(
            alt.X("left:Q", scale=alt.Scale(domain=[low, high], nice=False)),
            alt.X2("right:Q"),
            color=alt.Color("fill:N", scale=None),
            tooltip=[alt.Tooltip("name:N", title="regime")],
        )
    )
    layers = [shading]
    named: list[dict[str, Any]] = []
    for band in bands:  # a name that would run into the one before is left to the tooltip
        band["slanted"] = _too_narrow(band, high - low)
        clear = not named or _pixels(band["middle"] - named[-1]["middle"], high - low) >= LEAST_APART
        if clear and _pixels(band["right"] - band["left"], high - low) >= LEAST_BAND:
            named.append(band)
    for slanted in (False, True):
        some = [band for band in named if band["slanted"] is slanted]
        if some:
            mark = {"angle": 360 - SLANT, "align": "left"} if slanted else {"align": "center"}
            layers.append(
                alt.Chart(chart_data(some))
                .mark_text(fontSize=12, color=INK, fontStyle="italic", baseline="bottom", **mark)
                .encode(alt.X("middle:Q"), y=alt.value(-6), text="name:N")
            )
    return layers


def _too_narrow(band: dict[str, Any], span: float) -> bool:
    """Return whether a regime's name is longer than its band is wide."""
    return _pixels(band["right"] - band["left"], span) < LETTER_WIDTH * len(band["name"])


def _pixels(distance: float, span: float) -> float:
    return distance / span * (WIDTH - END_LABELS)


def _end_labels(rows: list[dict[str, Any]], high: float, top: float) -> alt.Chart:
    """Return the names of the curves at their right end, pushed apart where they would touch."""
    last = rows[-1]
    ends = sorted(
        [
            (last["ofu"], "OFU", BLUE),
            (last["temporal_sparsity"], "S_t", GREEN),
            (last["hfu"], "HFU", ORANGE),
        ],
        key=lambda end: end[0],
    )
    gap = 0.045 * top
    placed: list[dict[str, Any]] = []
    for value, name, color in ends:
        at = max(min(value, top), placed[-1]["share"] + gap if placed else 0.0)
        placed.append({"ffn_nodes": high, "share": at, "label": f"{name} {value:.1%}", "color": color})
    excess = max(placed[-1]["share"] - top, 0.0)
    for label in placed:
        label["share"] -= excess
    labels: alt.Chart = (
        alt.Chart(chart_data(placed))
        .mark_text(align="left", dx=6, fontSize=12, fontWeight="bold")
        .encode(
            alt.X("ffn_nodes:Q"),
            alt.Y("share:Q"),
            text="label:N",
            color=alt.Color("color:N", scale=None),
        )
    )
    return labels
