"""The best of both modes over the latency target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from roofline_afd.view.charts.style import (
    BLUE,
    END_LABELS,
    FAINT,
    GROUND,
    HEIGHT,
    INK,
    ORANGE,
    WIDTH,
    chart_data,
    estimate_line,
    house_style,
    log_ticks,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

STYLES: dict[str, tuple[str, list[int], str]] = {
    "ep": (BLUE, [1, 0], "circle"),
    "afd": (ORANGE, [9, 4], "square"),
}
"""Colour, dash and marker of a mode, by its name in answers: any one of them tells the two apart."""
PALE = 0.5
BAND = 0.16
"""Opacity of the interval."""
HEADROOM = 1.6
"""Height over the highest curve up to which a chart holds the interval whole."""
CONFIGURATION = (
    "tpot_limit_ms",
    "tpot_ms",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "batch_per_device",
    "microbatches",
    "binding",
    "bottleneck",
)


def afd_vs_ep_chart(answer: Answer) -> alt.LayerChart:
    """Draw the best throughput of both modes over the latency target.

    Parameters
    ----------
    answer : Answer
        Of `afd-vs-ep`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; each marker is one deployment, and a line the question's own latency target.
    """
    rows = answer.rows()
    low, high = answer.picture["from_ms"], answer.picture["to_ms"]
    highest = max(row["tokens_per_s_per_device"] for row in rows)
    reach = max((each["high"] for each in answer.picture.get("band", [])), default=0.0)
    top = max(highest * 1.1, min(reach * 1.02, highest * HEADROOM))
    x = alt.X(
        "tpot_ms:Q",
        scale=alt.Scale(type="log", domain=[low / 1.02, high * 1.02], nice=False),
        axis=alt.Axis(
            title="latency target: time per output token [ms]",
            values=log_ticks(low, high),
            format=",.4~r",
            grid=False,
        ),
    )
    y = alt.Y(
        "tokens_per_s_per_device:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(title="tokens per second and device", format=",.4~r", tickCount=6),
    )
    band = answer.picture.get("band", [])
    layers = _band_layers(band, high, top, x)
    layers += _target_layers(answer.picture["target_ms"], low, high, x)
    for mode in STYLES:
        own = [row for row in rows if row["mode"] == mode]
        if own:
            layers += _curve_layers(own, high, x, y)
    crossings = _crossing_layers(answer, rows, x, y)
    layers += crossings
    layers.append(_end_names(rows, high, top, x, y))
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH - END_LABELS, height=HEIGHT),
        answer.summary["answer"],
        [
            answer.picture["question"],
            "Markers: the best deployment under a latency target, configuration on hover."
            + (" Diamonds: the winner changes." if crossings else ""),
            "Band: where AFD may lie against EP as drawn, the 80 % interval of their ratio." if band else "",
            estimate_line(answer, "Pale with hollow markers"),
        ],
    )


def _target_layers(target: float, low: float, high: float, x: alt.X) -> list[alt.Chart]:
    """Return the line at the question's own latency target."""
    if not low <= target <= high:
        return []
    left = math.log(target / low) < math.log(high / low) * 0.8
    base = alt.Chart(chart_data([{"tpot_ms": target, "label": f"target {target:g} ms"}])).encode(x)
    return [
        base.mark_rule(color=FAINT, strokeWidth=1.2),
        base.mark_text(
            align="left" if left else "right", dx=6 if left else -6, color=FAINT, fontSize=12, baseline="top"
        ).encode(y=alt.value(2), text="label:N"),
    ]


def _band_layers(band: list[dict[str, float]], high: float, top: float, x: alt.X) -> list[alt.Chart]:
    """Return the interval about the curve of AFD, of the ratio to EP as drawn; cut where the chart ends."""
    if not band:
        return []
    last = band[-1]
    rows = [*band, {**last, "tpot_ms": max(high, last["tpot_ms"])}]
    ends = alt.Scale(domain=[0, top], nice=False)
    area: alt.Chart = (
        alt.Chart(chart_data(rows))
        .mark_area(color=ORANGE, opacity=BAND, clip=True)
        .encode(x, alt.Y("low:Q", scale=ends, title=None), alt.Y2("high:Q"))
    )
    return [area]


def _curve_layers(rows: list[dict[str, Any]], high: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the curve of one mode: a line that goes on where it saturates, and a marker a deployment."""
    mode = rows[0]["mode"]
    color, dash, shape = STYLES[mode]
    weak = any(row["estimated_share"] > 0 for row in rows)
    keys = ("tpot_ms", "tokens_per_s_per_device")
    line = [{key: row[key] for key in keys} for row in rows]
    line.append({"tpot_ms": max(high, line[-1]["tpot_ms"]), keys[1]: line[-1][keys[1]]})
    shown = [{**row, "mode": mode.upper()} for row in rows]
    return [
        alt.Chart(chart_data(line))
        .mark_line(color=color, strokeWidth=2.5, strokeDash=dash, opacity=PALE if weak else 1.0, clip=True)
        .encode(x, y),
        alt.Chart(chart_data(shown))
        .mark_point(
            shape=shape, size=42, stroke=color, strokeWidth=1.4, fill=GROUND if weak else color, opacity=1
        )
        .encode(
            x,
            y,
            tooltip=[
                alt.Tooltip("mode:N"),
                *(
                    alt.Tooltip(
                        f"{key}:{'N' if key in {'binding', 'bottleneck'} else 'Q'}", title=_title(key)
                    )
                    for key in CONFIGURATION
                    if rows[0][key] is not None
                ),
                alt.Tooltip("estimated_share:Q", title="never measured", format=".0%"),
            ],
        ),
    ]


def _title(key: str) -> str:
    return column(key).title.replace("tokens per s per", "tokens/s per")


def _crossing_layers(answer: Answer, rows: list[dict[str, Any]], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a diamond where the winner changes, at the height of the curve of EP."""
    only = [part["only"] for part in answer.summary["parts"]]
    places = [
        limit
        for limit, one, other in zip(answer.summary["crossings_ms"], only, only[1:], strict=False)
        if not one and not other
    ]
    if not places:
        return []
    curve = sorted(
        (math.log(row["tpot_ms"]), row["tokens_per_s_per_device"]) for row in rows if row["mode"] == "ep"
    )
    heights = np.interp(np.log(places), [one for one, _ in curve], [rate for _, rate in curve])
    values = [
        {"tpot_ms": limit, "tokens_per_s_per_device": float(height)}
        for limit, height in zip(places, heights, strict=True)
    ]
    return [
        alt.Chart(chart_data(values))
        .mark_point(shape="diamond", size=150, stroke=INK, strokeWidth=1.8, fill=GROUND, opacity=1)
        .encode(x, y, tooltip=[alt.Tooltip("tpot_ms:Q", title="winner changes at [ms]", format=".3~r")])
    ]


def _end_names(rows: list[dict[str, Any]], high: float, top: float, x: alt.X, y: alt.Y) -> alt.Chart:
    """Return the names of the curves at their right end, pushed apart where they would touch."""
    ends = []
    for mode in STYLES:
        own = [row["tokens_per_s_per_device"] for row in rows if row["mode"] == mode]
        if own:
            ends.append((own[-1], f"{mode.upper()}  {own[-1]:,.0f}", STYLES[mode][0]))
    gap = 0.05 * top
    placed: list[dict[str, Any]] = []
    for value, label, color in sorted(ends):
        at = max(value, placed[-1]["tokens_per_s_per_device"] + gap) if placed else value
        placed.append(
            {"tpot_ms": high, "tokens_per_s_per_device": min(at, top), "label": label, "color": color}
        )
    names: alt.Chart = (
        alt.Chart(chart_data(placed))
        .mark_text(align="left", dx=16, fontSize=13, fontWeight="bold")
        .encode(x, y, text="label:N", color=alt.Color("color:N", scale=None))
    )
    return names
