"""Charts: one function a picture, each from the answer of an analysis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
import numpy as np

from roofline_afd.analysis.bounds.roofline import DEAD_ZONE, DEFAULT_FFN_NODES, check_ffn_nodes, roofline
from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.errors import InputError
from roofline_afd.physics.roofline import ffn_stage
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.units import format_si
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
    decades,
    house_style,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

ROOFLINE_FFN_NODES = (*range(1, 9), 16, 32)
"""FFN node counts worth a marker where none are asked for."""
LABEL_SHARE = 0.3
"""Share of the roofline's height kept below its lowest point for the names of the roofs."""
LETTER_WIDTH = 7
"""Pixels of a letter of a regime's name; a name too long for its band is slanted."""
MOST_COUNTS = 2000
FEW_COUNTS = 16
"""FFN node counts up to which each has a tick of its own."""
MOST_MARKERS = 100
"""FFN node counts up to which each has a marker of its own on a curve."""
SLANT = 35
"""Degrees a slanted name rises."""
LEAST_APART, LEAST_BAND = 26, 10
"""Pixels between the names of two regimes, and of a band that is named at all."""
SAME_PLACE = 0.02
"""Decades within which two markers share a label."""


class _Level(NamedTuple):
    """A roof: its name, effective bandwidth [B/s], colour, marker, and the keys it rests on."""

    name: str
    bandwidth: float
    color: str
    shape: str
    keys: tuple[str, ...]


def _about(scenario: Scenario, inputs: FfnStageInputs) -> str:
    """Return the scenario in a line."""
    scenario = inputs.scenario
    parts = [
        f"{scenario.system.name} x {scenario.model.name}",
        f"TPOT {scenario.latency_ms:g} ms",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        f"gap {scenario.gap_ms:g} ms" if scenario.gap_ms else "",
        f"{scenario.microbatches} micro-batches",
        f"stage budget {format_si(inputs.stage_budget, 's')}",
        f"experts {scenario.weights.id}, dispatch {scenario.dispatched.id}, combine {scenario.combined.id}",
        f"{scenario.attention_devices} attention devices" if scenario.attention_devices else "",
        f"{scenario.links} links, fan-out {scenario.fan_out}, {scenario.duplex} duplex",
    ]
    return " · ".join(filter(None, parts))


def _drawn(ffn_nodes: object) -> NDArray[np.int64]:
    """Return the FFN node counts to draw: in order, each once, and no more than a picture can hold."""
    counts = np.unique(check_ffn_nodes(ffn_nodes))
    if counts.size > MOST_COUNTS:
        raise InputError(f"--ffn-nodes asks for {counts.size:,} counts; a picture holds {MOST_COUNTS:,}")
    return counts


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
    answer = roofline(scenario, ffn_nodes=_drawn(ffn_nodes))
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
        [_about(scenario, inputs), how],
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


def dead_zone_chart(scenario: Scenario, *, ffn_nodes: object = DEFAULT_FFN_NODES) -> alt.LayerChart:
    """Draw HFU, OFU and temporal sparsity over FFN nodes, the regimes shaded and named.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts [1].

    Returns
    -------
    altair.LayerChart
        The chart; infeasible counts are hollow.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    answer = roofline(scenario, ffn_nodes=_drawn(ffn_nodes))
    inputs = ffn_stage_inputs(scenario)
    rows = answer.rows()
    counts = [row["ffn_nodes"] for row in rows]
    low, high = min(counts) - 0.5, max(counts) + 0.5
    top = min(max(1.0, *(row["temporal_sparsity"] for row in rows)) * 1.04, 1.25)
    x = alt.X(
        "ffn_nodes:Q",
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(
            title=f"FFN {scenario.system.node_name}s, {inputs.devices_per_node} devices each",
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
            _about(scenario, inputs),
            "Hollow: infeasible. S_t above 100 %: reading the weights takes longer than the stage.",
        ],
    )


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


def _pixels(distance: float, span: float) -> float:
    return distance / span * (WIDTH - END_LABELS)


def _too_narrow(band: dict[str, Any], span: float) -> bool:
    """Return whether a regime's name is longer than its band is wide."""
    return _pixels(band["right"] - band["left"], span) < LETTER_WIDTH * len(band["name"])


SIDE_COLORS = {"attention": BLUE, "network": ORANGE, "ffn": GREEN}


def breakdown_chart(scenario: Scenario, *, mode: str | None = None) -> alt.LayerChart:
    """Draw where a decode step spends its time, the largest operator first.

    Parameters
    ----------
    scenario : Scenario
        The question; with a batch one deployment, without the best one under the latency target.
    mode : str, optional
        `ep` or `afd`; by default afd where FFN devices are named.

    Returns
    -------
    altair.LayerChart
        The chart; pale bars with a dashed edge rest on efficiencies never measured on these parts.

    Raises
    ------
    InputError
        If a size is out of bounds.
    InfeasibleError
        If no fabric of the system connects the devices.
    """
    answer = breakdown(scenario, mode=mode)
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
    found = answer.summary
    about = [
        f"{scenario.system.name} x {scenario.model.name}",
        f"{found['mode'].upper()} on "
        + (
            f"{found['n_attention_devices']} attention and {found['n_ffn_devices']} FFN devices"
            if found["n_ffn_devices"]
            else f"{found['n_devices']} devices"
        ),
        f"{found['batch_per_device']} sequences per device, micro-batches in flight: {found['microbatches']}",
        f"context {scenario.context} tokens",
    ]
    how = "Overlap left out. Pale with a dashed edge: rests on an efficiency never measured on these parts."
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH - 200, height=max(22 * len(rows), 200)),
        answer.summary["answer"],
        [" · ".join(about), how],
    )
