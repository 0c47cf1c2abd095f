"""Picture of serving modes: what each reaches in throughput and in tokens a second of every user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from roofline_afd.view.charts.frontiers import (
    DOT,
    SPEED,
    Drawn,
    amount,
    assumed_of,
    band_layers,
    bands_said,
    beaten_layers,
    best_layers,
    capital,
    drawn_of,
    frame_of,
    frontier_layers,
    hardware_of,
    limit_layers,
    values_of,
)
from roofline_afd.view.charts.style import (
    GROUND,
    HEIGHT,
    SERVING_MODES,
    WIDTH,
    chart_data,
    house_style,
    layered,
)

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

KEY_WIDTH, KEY_LINE, SAMPLE = 230, 22, 34
"""Pixels of the key at the top right: across, of a line, and of the piece of a frontier in it."""


def pareto_chart(answer: Answer) -> alt.LayerChart:
    """Draw the frontier of each serving mode: throughput over tokens a second of every user.

    Parameters
    ----------
    answer : Answer
        That of `explore`, with its picture; its `tpot_ms`, where given, is drawn as a line.

    Returns
    -------
    altair.LayerChart
        The chart: a step line a mode, the best under the limits in a ring, and as many dots of what they beat
        as were asked for.
    """
    drawn = drawn_of(answer)
    clear = (KEY_WIDTH, KEY_LINE * (len(drawn.frontiers) + 1))
    frame = frame_of(drawn, width=WIDTH, height=HEIGHT, clear=clear)
    x, y = frame.x("tokens per second and user"), frame.y(drawn.key, drawn.meaning[0])
    layers = [
        *limit_layers(drawn, frame, x, named=True),
        *beaten_layers(drawn, frame, x, y, most=answer.picture["dots"]),
        *band_layers(drawn, x, y),
        *frontier_layers(drawn, frame, x, y),
        *best_layers(drawn, frame, x, y, named=True),
        *_key_layers(drawn),
    ]
    return house_style(
        layered(layers, width=WIDTH, height=HEIGHT),
        _headline(drawn),
        _subtitle(drawn),
        values_of(drawn),
    )


def _key_layers(drawn: Drawn) -> list[alt.Chart]:
    """Return a piece of each frontier with its name and the most it serves, that of most on top."""
    order = sorted(drawn.frontiers, key=lambda mode: -float(drawn.frontiers[mode][0][drawn.key]))
    left = WIDTH - KEY_WIDTH
    layers: list[alt.Chart] = [
        alt.Chart(chart_data([{}]))
        .mark_rect(fill=GROUND)
        .encode(
            x=alt.XValue(left - 8),
            x2=alt.X2Value(WIDTH),
            y=alt.YValue(0),
            y2=alt.Y2Value(KEY_LINE * len(order)),
        )
    ]
    for place, mode in enumerate(order):
        color, dash, shape = SERVING_MODES[mode]
        first = drawn.frontiers[mode][0]
        at = KEY_LINE * (place + 0.5)
        base = alt.Chart(chart_data([{"label": f"{drawn.names[mode]} {amount(first[drawn.key])}"}]))
        layers += [
            base.mark_rule(color=color, strokeDash=dash, strokeWidth=2.2).encode(
                x=alt.XValue(left), x2=alt.X2Value(left + SAMPLE), y=alt.YValue(at)
            ),
            base.mark_point(shape=shape, size=50, stroke=color, fill=color, opacity=1).encode(
                x=alt.XValue(left + SAMPLE / 2), y=alt.YValue(at)
            ),
            base.mark_text(
                align="left", baseline="middle", color=color, fontSize=13, fontWeight="bold"
            ).encode(x=alt.XValue(left + SAMPLE + 8), y=alt.YValue(at), text=alt.Text("label:N")),
        ]
    return layers


def _headline(drawn: Drawn) -> str:
    """Return which mode serves most, and by how much."""
    best, summary = drawn.best, drawn.answer.summary
    second = drawn.second
    verb = "serves most" if second else "alone is feasible" if len(summary["best_by_mode"]) > 1 else "serves"
    text = f"{capital(drawn.names[best['mode']])} {verb}{drawn.limits}: "
    text += f"{amount(best[drawn.key])} {drawn.meaning[1]}"
    if second:
        text += f", {drawn.behind(second)}"
        if drawn.is_close:
            text += f": too close to call, {drawn.doubt}"
    return text


def _subtitle(drawn: Drawn) -> list[str]:
    """Return the question, what is assumed, which modes are missing, and how to read the chart."""
    inputs, picture = drawn.answer.inputs, drawn.answer.picture
    name = f"{inputs['workload']}: " if inputs["workload"] else ""
    best = drawn.best
    fastest = max(
        (own[-1] for own in drawn.frontiers.values()),
        key=lambda row: float(row[SPEED]),
    )
    allowed = "any" if inputs["ttft_ms"] is None else f"{inputs['ttft_ms']:,g} ms"
    asked = [
        f"{name}{inputs['prefix']:,} cached, {inputs['isl']:,} input, {inputs['osl']:,} output tokens",
        f"TTFT of the best {best['ttft_ms']:,.0f} ms ({allowed} allowed)",
    ]
    speed = f"fastest: {drawn.names[fastest['mode']]}, {amount(fastest[SPEED])} tokens/s per user"
    how = "Lines: no deployment of the mode is better in both. Ring: the best."
    if picture["dots"]:
        how += " Grey: beaten ones."
    shapes = "2 x (3A+5F): 2 replicas, each 3 attention and 5 FFN devices; P prefill, D decode."
    return [
        DOT.join([hardware_of(picture, inputs), picture["model"], *asked[:1]]),
        bands_said(drawn),
        how,
        _missing(drawn),
        assumed_of(picture, drawn.answer),
        shapes,
        DOT.join([*asked[1:], speed]),
    ]


def _missing(drawn: Drawn) -> str:
    """Return the modes without a feasible deployment, and why; empty where all have one."""
    found = [f"{drawn.names[mode]} ({why})" for mode, why in drawn.answer.picture["missing"].items()]
    return f"Not feasible: {'; '.join(found)}." if found else ""
