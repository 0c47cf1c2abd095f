"""The best of both modes over the latency target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from roofline_afd.view.charts.style import (
    AFD,
    BAND,
    END_LABELS,
    FAINT,
    GROUND,
    HEIGHT,
    INK,
    MODES,
    PALE,
    WIDTH,
    apart,
    chart_data,
    house_style,
    layered,
    log_ticks,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.answer import Answer

HEADROOM = 1.6
"""Height over the highest curve up to which a chart holds the interval whole."""
CRUMBS = 0.05
"""Share of a step never measured up to which a curve is not pale."""
MOSTLY = 0.5
"""Share of a step never measured from which the error of measured services says nothing of a mode."""
NAMES_APART = 20
"""Pixels between the names of both curves."""
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
    ratio, level = answer.picture.get("band", []), _level_bands(answer, rows)
    highest = max(row["tokens_per_s_per_device"] for row in rows)
    reach = max((each["high"] for band in (ratio, *level.values()) for each in band), default=0.0)
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
    layers = _band_layers(ratio, AFD, high, x, y)
    for mode, band in level.items():
        layers += _band_layers(band, MODES[mode].color, high, x, y)
    layers += _target_layers(answer.picture["target_ms"], low, high, x)
    for mode in MODES:
        own = [row for row in rows if row["mode"] == mode]
        if own:
            layers += _curve_layers(own, high, x, y)
    crossings = _crossing_layers(answer, rows, x, y)
    layers += crossings
    layers.append(_end_names(rows, high, top, x, y))
    return house_style(
        layered(layers, width=WIDTH - END_LABELS, height=HEIGHT),
        answer.summary["answer"],
        [
            answer.picture["question"],
            _bands_said(answer, level),
            "Markers: the best deployment under a latency target."
            + (" Diamonds: the winner changes." if crossings else ""),
            "Pale with hollow markers: rests on estimates, never measured on these parts."
            if any(_is_weak([row for row in rows if row["mode"] == mode]) for mode in MODES)
            else "",
        ],
        _values(rows),
    )


def _is_weak(rows: list[dict[str, Any]]) -> bool:
    """Return whether a curve rests on efficiencies never measured by more than crumbs."""
    return any(row["estimated_share"] > CRUMBS for row in rows)


def _values(rows: list[dict[str, Any]]) -> list[str]:
    """Return both curves in numbers."""
    told = []
    for mode in MODES:
        own = [row for row in rows if row["mode"] == mode]
        points = ", ".join(f"{row['tokens_per_s_per_device']:,.0f} at {row['tpot_ms']:.3g} ms" for row in own)
        if own:
            told.append(f"{mode.upper()}, tokens per second and device: {points}")
    return told


def _level_bands(answer: Answer, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return the error of published services about a mode's curve, of those that it says something of.

    AFD has the interval of its ratio to EP instead, which is wider, where there is one.
    """
    found = {}
    for mode, error in answer.picture.get("validated", {}).items():
        own = [row for row in rows if row["mode"] == mode]
        if not own or (mode == "afd" and answer.picture.get("band")):
            continue
        if max(row["estimated_share"] for row in own) <= MOSTLY:
            found[mode] = [
                {
                    "tpot_ms": row["tpot_ms"],
                    "low": row["tokens_per_s_per_device"] * (1 - error),
                    "high": row["tokens_per_s_per_device"] * (1 + error),
                }
                for row in own
            ]
    return found


def _bands_said(answer: Answer, level: Mapping[str, Any]) -> str:
    """Return what the bands are, and which mode has none."""
    errors = answer.picture.get("validated", {})
    told = [f"{mode.upper()}, the median error of published services, {errors[mode]:.1%}" for mode in level]
    if answer.picture.get("band"):
        told.append("AFD, the 80 % interval of their ratio, against EP as drawn")
    drawn = {row["mode"] for row in answer.rows()}
    without = [
        mode.upper()
        for mode in MODES
        if mode in drawn and mode not in level and not (mode == "afd" and answer.picture.get("band"))
    ]
    said = f"Pale bands: {'; '.join(told)}." if told else ""
    missing = f"No band of {' and '.join(without)}: no error was measured there." if without else ""
    return " ".join(filter(None, (said, missing)))


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
        ).encode(y=alt.YValue(2), text=alt.Text("label:N")),
    ]


def _band_layers(
    band: list[dict[str, float]], color: str, high: float, x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    """Return an interval about a curve, which goes on where the curve does; cut where the chart ends."""
    if not band:
        return []
    last = band[-1]
    rows = [*band, {**last, "tpot_ms": max(high, last["tpot_ms"])}]
    area: alt.Chart = (
        alt.Chart(chart_data(rows))
        .mark_area(color=color, opacity=BAND, clip=True)
        .encode(x, alt.Y("low:Q", scale=y["scale"], axis=y["axis"]), alt.Y2("high:Q"))
    )
    return [area]


def _curve_layers(rows: list[dict[str, Any]], high: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the curve of one mode: a line that goes on where it saturates, and a marker a deployment."""
    mode = rows[0]["mode"]
    color, dash, shape = MODES[mode]
    weak = _is_weak(rows)
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
    for mode, look in MODES.items():
        own = [row["tokens_per_s_per_device"] for row in rows if row["mode"] == mode]
        if own:
            ends.append((own[-1], f"{mode.upper()}  {own[-1]:,.0f}", look.color))
    ends.sort()
    heights = apart([value for value, _, _ in ends], NAMES_APART / HEIGHT * top, least=0.0, most=top)
    placed = [
        {"tpot_ms": high, "tokens_per_s_per_device": at, "label": label, "color": color}
        for at, (_, label, color) in zip(heights, ends, strict=True)
    ]
    names: alt.Chart = (
        alt.Chart(chart_data(placed))
        .mark_text(align="left", dx=16, fontSize=13, fontWeight="bold")
        .encode(x, y, text=alt.Text("label:N"), color=alt.Color("color:N", scale=None))
    )
    return names
