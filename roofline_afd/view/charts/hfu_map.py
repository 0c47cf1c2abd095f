"""Where AFD beats EP, or how well FFN devices are used, over two inputs at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from roofline_afd.view.charts.style import (
    AFD,
    AMOUNT,
    EP,
    ESTIMATED_DASH,
    FAINT,
    GROUND,
    HEIGHT,
    INK,
    SHADE,
    WIDTH,
    chart_data,
    estimate_line,
    house_style,
    layered,
    log_ticks,
)
from roofline_afd.view.words import in_words, titled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

RATIO = "afd_over_ep"
"""The metric that compares the modes."""
NUMBERS = {
    RATIO: "Numbers: AFD / EP in tokens/s per device.",
    "hfu": "Numbers: best feasible HFU of the FFN stage over 1 to 40 nodes.",
}
"""What the numbers in cells are, by metric."""
KNOWN = {"both feasible", "feasible"}
"""States of a cell that has a value."""
MIDDLE = "#f4f3ef"
"""Colour of the break-even, and of all ratios that are too close to call."""
WIDEST_RATIO, NARROWEST_RATIO = 2.0, 1.1
"""Ratios at which the colours end: leads beyond the first look alike, and small ones are not blown up."""
BEYOND = 1.25
"""Least way of the colours beyond what is too close to call, as a factor."""
CELL_TEXT = (36, 15)
"""Pixels that a cell's number needs, across and up."""
MAP_WIDTH = WIDTH - 130
DARK = 0.6
"""Share of the way to the darkest colour from which a cell's number is light."""
NEAR_LINE = 16
"""Pixels from a number within which the break-even line would strike it through."""
QUESTION = "this question"
HATCH = {
    "neither feasible": "M-1,-1L1,1M-1,1L1,-1",
    "infeasible": "M-1,-1L1,1M-1,1L1,-1",
    "only EP feasible": "M-1,-1L1,1",
    "only AFD feasible": "M-1,1L1,-1",
    QUESTION: "circle",
}
"""Marker of a cell without a value, by its state; and of the question's own values."""
EVERY = 12
"""Values up to which each has a tick of its own."""


def hfu_map_chart(answer: Answer) -> alt.LayerChart:
    """Draw where AFD beats EP, or how well FFN devices are used, over two inputs.

    Parameters
    ----------
    answer : Answer
        Of `hfu-map`, with its picture.

    Returns
    -------
    altair.LayerChart
        The chart; crossed out where nothing is feasible, with the break-even line of the two modes, and a
        ring at the question's own values.
    """
    summary, units = answer.summary, answer.picture["units"]
    rows = [{**row, "x": row[summary["x"]], "y": row[summary["y"]]} for row in answer.rows()]
    axes = {}
    for name in ("x", "y"):
        values = sorted({row[name] for row in rows})
        edges = _edges(values)
        for row in rows:
            place = values.index(row[name])
            row[f"{name}1"], row[f"{name}2"] = edges[place], edges[place + 1]
        axes[name] = (values, edges)
    across = _encoding(alt.X, summary["x"], units[summary["x"]], axes["x"])
    up = _encoding(alt.Y, summary["y"], units[summary["y"]], axes["y"])
    layers = [*_cell_layers(rows, summary, across, up)]
    room = (MAP_WIDTH / len(axes["x"][0]), HEIGHT / len(axes["y"][0]))
    layers += _break_even_layers(summary, across, up)
    if room[0] >= CELL_TEXT[0] and room[1] >= CELL_TEXT[1]:
        layers += _numbers(rows, summary, across, up)
    layers += _marker_layers(rows, summary, axes, across, up)
    if summary["estimated"]:
        frame = {"x": 0, "y": 0, "x2": MAP_WIDTH, "y2": HEIGHT}
        layers.append(
            alt.Chart(chart_data([{}]))
            .mark_rect(filled=False, stroke=INK, strokeDash=ESTIMATED_DASH, strokeWidth=1.6)
            .encode(**{name: alt.value(value) for name, value in frame.items()})
        )
    lines = [
        _undecided(summary),
        answer.picture["question"],
        "Line: AFD = EP, interpolated between points." if summary["break_even"] else "",
        estimate_line(answer, "Dashed frame"),
    ]
    return house_style(
        layered(layers, width=MAP_WIDTH, height=HEIGHT).resolve_scale(shape="independent"),
        summary["answer"],
        lines,
        _values(rows, summary),
    )


def _values(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[str]:
    """Return a map in numbers, a line of its cells after the other."""
    form = ".2f" if summary["metric"] == RATIO else ".0%"
    told = []
    for up in sorted({row["y"] for row in rows}):
        own = sorted((row for row in rows if row["y"] == up), key=lambda row: float(row["x"]))
        cells = (
            f"{row['state']}" if row[summary["metric"]] is None else f"{row[summary['metric']]:{form}}"
            for row in own
        )
        told.append(f"{in_words(summary['y'])} {up:,.6g}: {', '.join(cells)}")
    across = ", ".join(f"{value:,.6g}" for value in sorted({row["x"] for row in rows}))
    return [f"Over {in_words(summary['x'])} {across}", *told]


def _undecided(summary: Mapping[str, Any]) -> str:
    """Return what the numbers are, and which ratios are too close to call."""
    found = summary.get("undecided")
    close = f" White, from {found[0]:.2f} to {found[1]:.2f}: too close to call, at least." if found else ""
    return f"{NUMBERS[summary['metric']]}{close}"


def _edges(values: Sequence[float]) -> list[float]:
    """Return the borders of cells around values: midway between neighbours, on logarithms where positive."""
    log = values[0] > 0
    places = np.log(values) if log else np.asarray(values, dtype=float)
    middle = (places[1:] + places[:-1]) / 2
    edges = [2 * places[0] - middle[0], *middle, 2 * places[-1] - middle[-1]]
    return [float(np.exp(edge)) if log else float(edge) for edge in edges]


def _encoding(
    channel: type[alt.X | alt.Y], key: str, unit: str, places: tuple[Sequence[float], Sequence[float]]
) -> dict[str, Any]:
    """Return what an axis of a map is drawn with: its scale and its axis, by part."""
    values, edges = places
    low, high = edges[0], edges[-1]
    log = low > 0
    few = list(values) if len(values) <= EVERY else log_ticks(low, high) if log else alt.Undefined
    axis = alt.Axis(title=_title(key, unit), format=",.6~r", grid=False, values=few)
    scale = alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False)
    return {"channel": channel, "scale": scale, "axis": axis}


def _title(key: str, unit: str) -> str:
    """Return an input in words, with its unit; of a bandwidth with what it is of."""
    words = titled(key, unit)
    if key in {"scale_out_gb_per_s", "scale_up_gb_per_s"}:
        return words.replace(" [", " per device and direction [")
    return words


def _cell_layers(
    rows: list[dict[str, Any]], summary: dict[str, Any], across: dict[str, Any], up: dict[str, Any]
) -> list[alt.Chart]:
    """Return the cells: coloured by value, grey where there is none."""
    metric = summary["metric"]
    legend: dict[str, Any] = {"gradientLength": 220, "labelFontSize": 12, "titleFontWeight": "normal"}
    if metric == RATIO:
        reach = _reach(rows, summary)
        low, high = summary.get("undecided") or (1.0, 1.0)
        color = alt.Color(
            "afd_over_ep:Q",
            scale=alt.Scale(
                type="log",
                domain=[1 / reach, low, high, reach] if low < high else [1 / reach, 1, reach],
                range=[EP, MIDDLE, MIDDLE, AFD] if low < high else [EP, MIDDLE, AFD],
                clamp=True,
                interpolate="lab",
            ),
            legend=alt.Legend(
                title=["AFD / EP", "above 1:", "AFD ahead"],
                values=[1 / reach, low, 1, high, reach],
                format=".2f",
                **legend,
            ),
        )
    else:
        color = alt.Color(
            "hfu:Q",
            scale=alt.Scale(domain=[0, 1], range=list(AMOUNT)),
            legend=alt.Legend(title="best HFU", format=".0%", values=[0, 0.25, 0.5, 0.75, 1], **legend),
        )
    layers = []
    for known in (True, False):
        some = [row for row in rows if (row[metric] is not None) is known]
        if some:
            cells = alt.Chart(chart_data(some)).encode(
                _at(across, "x1"), alt.X2("x2:Q"), _at(up, "y1"), alt.Y2("y2:Q"), tooltip=_tooltips(summary)
            )
            mark: dict[str, Any] = {"stroke": GROUND, "strokeWidth": 0.6}
            if known:
                layers.append(cells.mark_rect(**mark).encode(color=color))
            else:
                layers.append(cells.mark_rect(fill=SHADE, **mark))
    return layers


def _reach(rows: list[dict[str, Any]], summary: Mapping[str, Any]) -> float:
    """Return the ratio at which the colours end."""
    known = [row[RATIO] for row in rows if row[RATIO] is not None]
    widest = math.exp(max((abs(math.log(ratio)) for ratio in known), default=0.0))
    low, high = summary.get("undecided") or (1.0, 1.0)
    return max(min(max(widest, NARROWEST_RATIO), WIDEST_RATIO), high * BEYOND, BEYOND / low)


def _at(axis: dict[str, Any], field: str) -> Any:  # noqa: ANN401 - either channel
    return axis["channel"](f"{field}:Q", scale=axis["scale"], axis=axis["axis"])


def _tooltips(summary: dict[str, Any]) -> list[alt.Tooltip]:
    inputs = [alt.Tooltip(f"{name}:Q", title=in_words(summary[name]), format=",.4~r") for name in ("x", "y")]
    if summary["metric"] == RATIO:
        results = [
            alt.Tooltip("afd_over_ep:Q", title="AFD / EP", format=".3f"),
            alt.Tooltip("ep_tokens_per_s_per_device:Q", title="EP tokens/s per device", format=",.0f"),
            alt.Tooltip("afd_tokens_per_s_per_device:Q", title="AFD tokens/s per device", format=",.0f"),
        ]
    else:
        results = [
            alt.Tooltip("hfu:Q", title="best HFU", format=".1%"),
            alt.Tooltip("best_ffn_nodes:Q", title="at FFN nodes"),
            alt.Tooltip("hfu_floor:Q", title="HFU floor", format=".1%"),
        ]
    return [*inputs, *results, alt.Tooltip("state:N")]


def _numbers(
    rows: list[dict[str, Any]], summary: dict[str, Any], across: dict[str, Any], up: dict[str, Any]
) -> list[alt.Chart]:
    """Return the value of each cell as text: light on dark cells, with a light edge where the line passes."""
    ratio = summary["metric"] == RATIO
    reach = _reach(rows, summary) if ratio else 1.0
    line = [
        [
            _pixel(across, segment[f"x{end}"], MAP_WIDTH) + 1j * _pixel(up, segment[f"y{end}"], HEIGHT)
            for end in "12"
        ]
        for segment in summary["break_even"]
    ]
    labels = []
    for row in rows:
        value = row[summary["metric"]]
        if value is None:
            continue
        place = _pixel(across, row["x"], MAP_WIDTH) + 1j * _pixel(up, row["y"], HEIGHT)
        struck = any(_distance(place, one, other) < NEAR_LINE for one, other in line)
        dark = not struck and (value < reach**-DARK if ratio else value > DARK)
        text = f"{value:.2f}" if ratio else f"{value:.0%}"
        color = GROUND if dark else INK
        labels.append({"x": row["x"], "y": row["y"], "label": text, "color": color, "struck": struck})
    layers = []
    edged = [label for label in labels if label["struck"]]
    if edged:
        edge = alt.Chart(chart_data(edged)).mark_text(
            fontSize=11, stroke=GROUND, strokeWidth=5, strokeJoin="round"
        )
        layers.append(edge.encode(_at(across, "x"), _at(up, "y"), text=alt.Text("label:N")))
    layers.append(
        alt.Chart(chart_data(labels))
        .mark_text(fontSize=11)
        .encode(
            _at(across, "x"), _at(up, "y"), text=alt.Text("label:N"), color=alt.Color("color:N", scale=None)
        )
    )
    return layers


def _pixel(axis: dict[str, Any], value: float, length: float) -> float:
    """Return where a value lies on an axis, from its lower end."""
    scale = axis["scale"].to_dict()
    low, high = scale["domain"]
    if scale["type"] == "log":
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low) * length)


def _distance(place: complex, one: complex, other: complex) -> float:
    """Return the pixels from a place to a piece of a line."""
    along = other - one
    share = ((place - one) * along.conjugate()).real / (abs(along) ** 2 or 1.0)
    return abs(place - one - min(max(share, 0.0), 1.0) * along)


def _break_even_layers(
    summary: dict[str, Any], across: dict[str, Any], up: dict[str, Any]
) -> list[alt.Chart]:
    """Return the line on which both modes serve the same, on a light edge."""
    if not summary["break_even"]:
        return []
    base = alt.Chart(chart_data(summary["break_even"])).encode(
        _at(across, "x1"), alt.X2("x2:Q"), _at(up, "y1"), alt.Y2("y2:Q")
    )
    dash = ESTIMATED_DASH if summary["estimated"] else [1, 0]
    return [
        base.mark_rule(color=GROUND, strokeWidth=3.5, strokeCap="round"),
        base.mark_rule(color=INK, strokeWidth=1.4, strokeDash=dash, strokeCap="round"),
    ]


def _marker_layers(
    rows: list[dict[str, Any]],
    summary: dict[str, Any],
    axes: dict[str, Any],
    across: dict[str, Any],
    up: dict[str, Any],
) -> list[alt.Chart]:
    """Return crosses on cells without a value and the ring of the question, with one legend of both."""
    markers = [
        {"x": row["x"], "y": row["y"], "meaning": row["state"], "size": 90, "width": 1.3, "color": FAINT}
        for row in rows
        if row["state"] not in KNOWN
    ]
    if _inside(summary, axes):
        place = {name: summary["own"][summary[name]] for name in ("x", "y")}
        markers.append({**place, "meaning": QUESTION, "size": 900, "width": 2.4, "color": INK})
    if not markers:
        return []
    meanings = [name for name in HATCH if any(row["meaning"] == name for row in markers)]
    return [
        alt.Chart(chart_data(markers))
        .mark_point(filled=False, opacity=1)
        .encode(
            _at(across, "x"),
            _at(up, "y"),
            shape=alt.Shape(
                "meaning:N",
                scale=alt.Scale(domain=meanings, range=[HATCH[name] for name in meanings]),
                legend=alt.Legend(
                    title=None, labelFontSize=12, symbolStrokeColor=INK, symbolSize=90, labelLimit=130
                ),
            ),
            size=alt.Size("size:Q", scale=None),
            stroke=alt.Stroke("color:N", scale=None),
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
        )
    ]


def _inside(summary: dict[str, Any], axes: dict[str, Any]) -> bool:
    """Return whether the question's own values lie on the map."""
    own = summary["own"]
    return all(
        own[summary[name]] is not None and axes[name][1][0] <= own[summary[name]] <= axes[name][1][-1]
        for name in ("x", "y")
    )
