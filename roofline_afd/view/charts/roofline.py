"""The communication-level roofline: a roof per byte level, and where each FFN node count operates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt

from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.physics.roofline import ffn_stage
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.units import format_si
from roofline_afd.view.charts.question import drawn_counts, stage_question
from roofline_afd.view.charts.style import (
    BLUE,
    ESTIMATED_DASH,
    GREEN,
    GROUND,
    HEIGHT,
    INK,
    ORANGE,
    WIDTH,
    chart_data,
    decades,
    house_style,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

ROOFLINE_FFN_NODES = (*range(1, 9), 16, 32)
"""FFN node counts worth a marker where none are asked for."""
LABEL_SHARE = 0.3
"""Share of the roofline's height kept below its lowest point for the names of the roofs."""
SAME_PLACE = 0.02
"""Decades within which two markers share a label."""


class _Level(NamedTuple):
    """A roof: its name, effective bandwidth [B/s], colour, marker, and the keys it rests on."""

    name: str
    bandwidth: float
    color: str
    shape: str
    keys: tuple[str, ...]


def roofline_chart(scenario: Scenario, *, ffn_nodes: object = ROOFLINE_FFN_NODES) -> alt.LayerChart:
    """Draw the communication-level roofline of the FFN stage.

    Every byte level has its own roof and its own intensity: operations per byte read from memory, received
    over scale-up, and received over scale-out. At each FFN node count the three markers share a height, the
    rate achieved over the stage; the level whose marker lies on its roof binds.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts to mark [1].

    Returns
    -------
    altair.LayerChart
        The chart; dashed where a roof rests on an estimate.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    answer = roofline(scenario, ffn_nodes=drawn_counts(ffn_nodes))
    inputs = ffn_stage_inputs(scenario)
    levels = [_Level("HBM", inputs.memory_bandwidth, BLUE, "circle", ("memory_gb_per_s",))]
    efficiency = "efficiency" if scenario.links == "nominal" else "measured_efficiency"
    keys = tuple(f"scale_up_{part}" for part in ("gb_per_s", efficiency))
    levels.append(_Level("scale-up", inputs.scale_up, GREEN, "square", keys))
    if not inputs.superpod:
        keys = tuple(f"scale_out_{part}" for part in ("gb_per_s", efficiency))
        levels.append(_Level("scale-out", inputs.scale_out, ORANGE, "triangle-up", keys))

    points = _operating_points(inputs, answer.rows(), levels)
    low_x = min([point["intensity"] for point in points] + [inputs.peak / levels[0].bandwidth]) / 4
    high_x = (
        max([point["intensity"] for point in points] + [inputs.peak / level.bandwidth for level in levels])
        * 3
    )
    high_y = inputs.peak * 2.2
    lowest = min(point["rate"] for point in points)
    low_y = lowest / (high_y / lowest) ** (LABEL_SHARE / (1 - LABEL_SHARE))
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
        ridge = inputs.peak / level.bandwidth
        start = max(low_x, low_y / level.bandwidth)
        roof = [
            {"intensity": start, "rate": start * level.bandwidth},
            {"intensity": ridge, "rate": inputs.peak},
            {"intensity": high_x, "rate": inputs.peak},
        ]
        dash = _dash(scenario, level.keys)
        layers.append(
            alt.Chart(chart_data(roof))
            .mark_line(color=level.color, strokeWidth=2, strokeDash=dash, clip=True)
            .encode(x, y)
        )
        at = start * 1.05
        label = f"{level.name} {format_si(level.bandwidth, 'B/s')}"
        layers.append(
            alt.Chart(chart_data([{"intensity": at, "rate": at * level.bandwidth, "label": label}]))
            .mark_text(
                angle=360 - slope, align="left", dy=-9, color=level.color, fontSize=12, fontWeight="bold"
            )
            .encode(x, y, text="label:N")
        )
    peak_key = PEAK_KEYS[scenario.operand]
    top = [{"intensity": low_x, "rate": inputs.peak}, {"intensity": high_x, "rate": inputs.peak}]
    layers.append(
        alt.Chart(chart_data(top))
        .mark_line(color=INK, strokeWidth=2.5, strokeDash=_dash(scenario, (peak_key,)))
        .encode(x, y)
    )
    compute = f"compute {format_si(inputs.peak, 'FLOP/s')} ({scenario.operand}, dense)"
    layers.append(
        alt.Chart(chart_data([{**top[0], "label": compute}]))
        .mark_text(align="left", dx=6, dy=-9, color=INK, fontSize=12, fontWeight="bold")
        .encode(x, y, text="label:N")
    )
    layers += _point_layers(points, levels, x, y)
    unless = ", or none where the attention side cannot fill the links" if scenario.attention_devices else ""
    how = (
        f"Each FFN {scenario.system.node_name} count has one marker per level, all at the height of its "
        f"rate; the level whose marker touches its roof binds{unless}. Hollow: infeasible. Numbers: FFN "
        f"{scenario.system.node_name}s."
    )
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH, height=HEIGHT),
        answer.summary["answer"],
        [stage_question(inputs), how],
    )


def _dash(scenario: Scenario, keys: Iterable[str]) -> list[int]:
    """Return the stroke of a roof: dashed where it rests on an estimate."""
    quantities = scenario.system.quantities
    estimated = any(quantities[key].kind == "estimated" for key in keys if key in quantities)
    return ESTIMATED_DASH if estimated else [1, 0]


def _operating_points(
    inputs: FfnStageInputs, rows: list[dict[str, Any]], levels: list[_Level]
) -> list[dict[str, Any]]:
    """Return a point per FFN node count and level, with what its tooltip says."""
    points = []
    for row in rows:
        arguments = inputs.arguments(row["ffn_nodes"])
        stage = ffn_stage(**arguments)
        per_link_byte = inputs.flops_per_pair / inputs.link_bytes_per_pair
        intensity = {
            "HBM": row["intensity"],
            "scale-up": per_link_byte,
            "scale-out": per_link_byte * float(arguments["experts_per_copy"]),
        }
        points += [
            {
                "ffn_nodes": row["ffn_nodes"],
                "level": level.name,
                "intensity": intensity[level.name],
                "rate": float(stage.hfu) * inputs.peak,
                "hfu": row["hfu"],
                "regime": row["regime"],
                "binding": row["binding"],
                "feasible": row["feasible"],
            }
            for level in levels
        ]
    return points


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
    layers.append(
        alt.Chart(chart_data(named))
        .mark_text(align="left", dx=8, dy=10, color=INK, fontSize=11)
        .encode(x, y, text="label:N")
    )
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
