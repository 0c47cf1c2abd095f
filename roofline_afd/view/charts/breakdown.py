"""Where a decode step spends its time, the largest operator first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from roofline_afd.view.charts.style import (
    BLUE,
    ESTIMATED_DASH,
    GREEN,
    INK,
    ORANGE,
    WIDTH,
    chart_data,
    house_style,
)

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

SIDE_COLORS = {"attention": BLUE, "network": ORANGE, "ffn": GREEN}


def breakdown_chart(answer: Answer) -> alt.LayerChart:
    """Draw where a decode step spends its time, the largest operator first.

    Parameters
    ----------
    answer : Answer
        Of `breakdown`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; pale bars with a dashed edge rest on efficiencies never measured on these parts.
    """
    rows = sorted(answer.rows(), key=lambda row: -row["step_time_us"])
    for row in rows:
        row["step_time_ms"] = row["step_time_us"] / 1e3
        row["estimated"] = row["kind"] == "estimated"
        row["label"] = f"{row['step_time_ms']:.2f} ms  {row['share']:.0%}"
    names = [row["operator"] for row in rows]
    y = alt.Y("operator:N", sort=names, axis=alt.Axis(title=None, labelLimit=260, grid=False))
    x = alt.X(
        "step_time_ms:Q",
        axis=alt.Axis(title="time of all layers for one micro-batch [ms]"),
        scale=alt.Scale(domain=[0, rows[0]["step_time_ms"] * 1.25], nice=False),
    )
    color = alt.Color(
        "side:N",
        scale=alt.Scale(domain=list(SIDE_COLORS), range=list(SIDE_COLORS.values())),
        legend=alt.Legend(title=None, orient="bottom-right", labelFontSize=12, symbolSize=140),
    )
    layers = []
    for estimated in (False, True):
        some = [row for row in rows if row["estimated"] is estimated]
        if some:
            style = {"fillOpacity": 0.45, "strokeDash": ESTIMATED_DASH} if estimated else {"fillOpacity": 1.0}
            layers.append(
                alt.Chart(chart_data(some))
                .mark_bar(strokeWidth=1.2, height={"band": 0.72}, **style)
                .encode(
                    x,
                    y,
                    color=color,
                    stroke=alt.Stroke(
                        "side:N",
                        scale=alt.Scale(domain=list(SIDE_COLORS), range=list(SIDE_COLORS.values())),
                        legend=None,
                    ),
                    tooltip=[
                        alt.Tooltip("operator:N"),
                        alt.Tooltip("side:N"),
                        alt.Tooltip("layers:Q"),
                        alt.Tooltip("time_us:Q", title="one layer [us]", format=".2f"),
                        alt.Tooltip("share:Q", format=".1%"),
                        alt.Tooltip("kind:N", title="efficiency"),
                    ],
                )
            )
    layers.append(
        alt.Chart(chart_data(rows))
        .mark_text(align="left", dx=6, fontSize=11, color=INK)
        .encode(x, y, text="label:N")
    )
    how = "Overlap left out. Pale with a dashed edge: rests on an efficiency never measured on these parts."
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH - 200, height=max(22 * len(rows), 200)),
        answer.summary["answer"],
        [answer.picture["question"], how],
    )
