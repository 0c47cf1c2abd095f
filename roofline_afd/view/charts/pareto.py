"""Picture of serving modes: what each reaches in throughput and in tokens a second of every user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from roofline_afd.view.charts.frontiers import (
    DOT,
    SPEED,
    STYLES,
    Drawn,
    Frame,
    amount,
    assumed_of,
    beaten_layers,
    best_layers,
    capital,
    drawn_of,
    frame_of,
    frontier_layers,
    hardware_of,
    limit_layers,
)
from roofline_afd.view.charts.style import HEIGHT, WIDTH, chart_data, house_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.answer import Answer

GUTTER = 196
"""Pixels left of the slowest deployment, for the names of the frontiers."""
NAMES_APART = 19
"""Pixels between two names."""


def pareto_chart(answer: Answer) -> alt.LayerChart:
    """Draw the frontier of each serving mode: throughput over tokens a second of every user.

    Parameters
    ----------
    answer : Answer
        That of `explore`, with its picture; its `tpot_ms`, where given, is drawn as a line.

    Returns
    -------
    altair.LayerChart
        The chart: a step line a mode, grey dots what they beat, the best under the limits in a ring.
    """
    drawn = drawn_of(answer)
    frame = frame_of(drawn, left=GUTTER, width=WIDTH, height=HEIGHT)
    x, y = frame.x("tokens per second and user"), frame.y(drawn.key, drawn.meaning[0])
    layers = [
        *limit_layers(drawn, frame, x, named=True),
        *beaten_layers(drawn, frame, x, y, most=answer.picture["dots"]),
        *_name_layers(drawn, frame, x, y),
        *frontier_layers(drawn, frame, x, y),
        *best_layers(drawn, frame, x, y, named=True),
    ]
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH, height=HEIGHT),
        _headline(drawn),
        _subtitle(drawn),
    )


def _name_layers(drawn: Drawn, frame: Frame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the name of each frontier with the most it serves, left of it, and a line that leads there."""
    ends = sorted(
        ((frame.place(own[0][SPEED], own[0][drawn.key])[1], mode) for mode, own in drawn.frontiers.items())
    )
    heights = _apart([at for at, _ in ends], least=10.0, most=frame.height - 10.0)
    layers: list[alt.Chart] = []
    for at, (_, mode) in zip(heights, ends, strict=True):
        color, _, _ = STYLES[mode]
        first = drawn.frontiers[mode][0]
        label = {
            SPEED: frame.speed_at(frame.left - 16),
            drawn.key: frame.height_at(at),
            "label": f"{drawn.names[mode]} {amount(first[drawn.key])}",
            "from": frame.speed_at(frame.left - 12),
            "to": first[SPEED],
            "end": first[drawn.key],
        }
        base = alt.Chart(chart_data([label]))
        layers += [
            base.mark_rule(color=color, strokeWidth=1, opacity=0.6).encode(
                alt.X("from:Q"), alt.X2("to:Q"), y, alt.Y2("end:Q")
            ),
            base.mark_text(
                align="right", baseline="middle", color=color, fontSize=13, fontWeight="bold"
            ).encode(x, y, text="label:N"),
        ]
    return layers


def _apart(places: Sequence[float], *, least: float, most: float) -> list[float]:
    """Return sorted places pushed apart until none is closer than `NAMES_APART` to the next."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + NAMES_APART if found else least))
    limit = most
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], limit)
        limit = found[index] - NAMES_APART
    return found


def _headline(drawn: Drawn) -> str:
    """Return which mode serves most, and by how much."""
    best, summary = drawn.best, drawn.answer.summary
    second = drawn.second
    verb = "serves most" if second else "alone is feasible" if len(summary["best_by_mode"]) > 1 else "serves"
    text = f"{capital(drawn.names[best['mode']])} {verb}{drawn.limits}: "
    text += f"{amount(best[drawn.key])} {drawn.meaning[1]}"
    if second:
        text += f", {drawn.lead(second)} more than {drawn.names[second]}"
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
    how = (
        "Lines: no deployment of the mode is better in both. Grey: beaten ones. Ring: the best. "
        "2 x (3A+5F): 2 replicas, each 3 attention and 5 FFN devices; P prefill, D decode."
    )
    return [
        DOT.join([hardware_of(picture, inputs), picture["model"], speed]),
        DOT.join(asked),
        assumed_of(picture, drawn.answer),
        _missing(drawn),
        how,
    ]


def _missing(drawn: Drawn) -> str:
    """Return the modes without a feasible deployment, and why; empty where all have one."""
    found = [f"{drawn.names[mode]} ({why})" for mode, why in drawn.answer.picture["missing"].items()]
    return f"Not feasible: {'; '.join(found)}." if found else ""
