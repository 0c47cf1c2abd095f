"""Where a decode step spends its time, the largest operator first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from roofline_afd.view.charts.style import (
    ESTIMATED_DASH,
    FAINT,
    INK,
    PALE,
    STAGES,
    WIDTH,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.words import in_words

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

NAMES = {"attention": "attention", "network": "network", "ffn": "FFN"}
"""Parts of a step, in the order of the key."""
LEAST_SHARE = 0.01
"""Share of a step below which operators are drawn together."""
OF_ONE = (
    alt.Tooltip("layers:Q"),
    alt.Tooltip("time_us:Q", title="one layer [us]", format=".2f"),
    alt.Tooltip("kind:N", title="efficiency"),
)
"""What is told of an operator that is drawn by itself."""
ROW, NAME_ROOM = 24, 230
"""Pixels of an operator, and left of the bars for its name."""
ROOM = 1.3
"""Length of the axis over the longest bar, for its number."""


def breakdown_chart(answer: Answer) -> alt.LayerChart:
    """Draw where a decode step spends its time, the largest operator first.

    Parameters
    ----------
    answer : Answer
        Of `breakdown`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart, small operators together; pale bars with a dashed edge rest on efficiencies never measured
        on these parts.
    """
    rows = drawn_rows(answer)
    names = [row["name"] for row in rows]
    y = alt.Y(
        "name:N",
        sort=names,
        axis=alt.Axis(
            title=None, labelLimit=NAME_ROOM, labelColor=INK, grid=False, ticks=False, domain=False
        ),
    )
    x = alt.X(
        "step_time_ms:Q",
        axis=alt.Axis(title="time of all layers for one micro-batch [ms]", grid=False, tickCount=6),
        scale=alt.Scale(domain=[0, max(row["step_time_ms"] for row in rows) * ROOM], nice=False),
    )
    layers = []
    for estimated, one in ((False, True), (False, False), (True, True), (True, False)):
        some = [row for row in rows if row["estimated"] is estimated and ("operator" in row) is one]
        if some:
            style = {"fillOpacity": PALE, "strokeDash": ESTIMATED_DASH} if estimated else {"fillOpacity": 1.0}
            layers.append(
                alt.Chart(chart_data(some))
                .mark_bar(strokeWidth=1.2, height={"band": 0.72}, **style)
                .encode(
                    x,
                    y,
                    fill=alt.Fill("color:N", scale=None),
                    stroke=alt.Stroke("color:N", scale=None),
                    tooltip=[
                        alt.Tooltip("name:N", title="operator"),
                        alt.Tooltip("part:N", title="side"),
                        alt.Tooltip("share:Q", format=".1%"),
                        *(OF_ONE if one else []),
                    ],
                )
            )
    layers.append(
        alt.Chart(chart_data(rows))
        .mark_text(align="left", dx=6, fontSize=11, color=INK)
        .encode(x, y, text=alt.Text("label:N"))
    )
    height = max(ROW * len(rows), 5 * ROW)
    layers += _key(answer.summary["shares"], height)
    return house_style(
        layered(layers, width=WIDTH - NAME_ROOM, height=height),
        answer.summary["answer"],
        [
            answer.picture["question"],
            "Overlap left out. Pale with a dashed edge: rests on an efficiency never measured on these parts."
            if any(row["estimated"] for row in rows)
            else "Overlap left out.",
        ],
        [f"{row['name']} ({row['part']}) {row['label']}" for row in rows],
        left=NAME_ROOM,
    )


def drawn_rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the operators that have a bar, the largest first, and one of all that are too small."""
    found = sorted(answer.rows(), key=lambda row: -float(row["step_time_us"]))
    large = [row for row in found if row["share"] >= LEAST_SHARE]
    small = [row for row in found if row["share"] < LEAST_SHARE]
    if len(small) < 2:  # noqa: PLR2004 - one needs no sum
        large, small = found, []
    rows = [
        _shown(
            row,
            in_words(row["operator"]),
            NAMES[row["side"]],
            STAGES[row["side"]].color,
            estimated=row["kind"] == "estimated",
        )
        for row in large
    ]
    if small:
        total = {key: sum(row[key] for row in small) for key in ("step_time_us", "share")}
        weak = sum(row["share"] for row in small if row["kind"] == "estimated") > total["share"] / 2
        rows.append(_shown(total, f"others, {len(small)} operators", "all", FAINT, estimated=weak))
    return rows


def _shown(row: dict[str, Any], name: str, part: str, color: str, *, estimated: bool) -> dict[str, Any]:
    """Return what a bar tells."""
    milliseconds = row["step_time_us"] / 1e3
    return {
        **row,
        "name": name,
        "part": part,
        "color": color,
        "estimated": estimated,
        "step_time_ms": milliseconds,
        "label": f"{milliseconds:.2f} ms, {row['share']:.0%}",
    }


def _key(shares: dict[str, float], height: int) -> list[alt.Chart]:
    """Return the parts of a step with their shares, in the free corner beside the short bars."""
    right, line = WIDTH - NAME_ROOM, 20
    layers: list[alt.Chart] = []
    told = [(name, STAGES[side].color, shares[side]) for side, name in NAMES.items() if side in shares]
    for place, (name, color, share) in enumerate(told):
        at = height - line * (len(told) - place)
        base = alt.Chart(chart_data([{"label": f"{name} {share:.0%}"}]))
        layers += [
            base.mark_point(shape="square", size=150, filled=True, color=color, opacity=1).encode(
                x=alt.XValue(right - 110), y=alt.YValue(at)
            ),
            base.mark_text(align="left", fontSize=12, color=INK).encode(
                x=alt.XValue(right - 96), y=alt.YValue(at), text=alt.Text("label:N")
            ),
        ]
    return layers
