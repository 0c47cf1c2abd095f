"""Charts of searched deployments: both modes over the latency target, and over two inputs at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from roofline_afd.analysis.decode.compare import NAMES
from roofline_afd.analysis.decode.curves import (
    BOTH,
    FEASIBLE,
    INFEASIBLE,
    NEITHER,
    ONLY_AFD,
    ONLY_EP,
    RATIO,
    TARGETS,
    axis_unit,
    frontier,
    grid,
)
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, MODES
from roofline_afd.serving.scenario import finite
from roofline_afd.view.charts.style import (
    BLUE,
    END_LABELS,
    ESTIMATED_DASH,
    FAINT,
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
    from collections.abc import Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.decode.curves import Axis
    from roofline_afd.serving.scenario import Scenario

STYLES: dict[str, tuple[str, list[int], str]] = {
    EP: (BLUE, [1, 0], "circle"),
    AFD: (ORANGE, [9, 4], "square"),
}
"""Colour, dash and marker of a mode: any one of them tells the two apart."""
PALE = 0.5
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
MIDDLE, NOTHING = "#f4f3ef", "#d5d9de"
"""Colours of the break-even, and of cells without a value."""
WIDEST_RATIO, NARROWEST_RATIO = 2.0, 1.1
"""Ratios at which the colours end: leads beyond the first look alike, and small ones are not blown up."""
CELL_TEXT = (36, 15)
"""Pixels that a cell's number needs, across and up."""
MAP_WIDTH = WIDTH - 130
WIDE, NARROW = 1e3, 12.0
"""Ratios of the ends of an axis from which ticks stand at decades, and at 1, 2, 5."""
DARK = 0.6
"""Share of the way to the darkest colour from which a cell's number is light."""
NEAR_LINE = 16
"""Pixels from a number within which the break-even line would strike it through."""
QUESTION = "this question"
HATCH = {
    NEITHER: "M-1,-1L1,1M-1,1L1,-1",
    INFEASIBLE: "M-1,-1L1,1M-1,1L1,-1",
    ONLY_EP: "M-1,-1L1,1",
    ONLY_AFD: "M-1,1L1,-1",
    QUESTION: "circle",
}
"""Marker of a cell without a value, by why there is none; and of the question's own values."""
AXIS_TITLES = {
    "scale_out_gb_per_s": "scale-out bandwidth per device and direction [GB/s]",
    "scale_up_gb_per_s": "scale-up bandwidth per device and direction [GB/s]",
    "memory_gb_per_s": "memory bandwidth [GB/s]",
    "expert_intermediate": "width of an expert [elements]",
    "context": "context [tokens]",
    "tpot_ms": "latency target: time per output token [ms]",
    "max_devices": "devices at most",
}


def _about(scenario: Scenario, varied: Sequence[str] = ()) -> str:
    """Return the question in a line, without the inputs that a map varies."""
    devices = f"{scenario.devices} devices" if scenario.devices else f"up to {scenario.max_devices} devices"
    sides = (scenario.side("attention"), scenario.side("ffn"))
    pair = f" (AFD: {sides[0].name} + {sides[1].name})" if sides != (scenario.system,) * 2 else ""
    parts = [
        f"{scenario.system.name}{pair} x {scenario.model.name}",
        f"context {scenario.context:,} tokens" if "context" not in varied else "",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        devices if not {"devices", "max_devices"} & {*varied} else "",
        f"{scenario.links} links" if scenario.links else "",
        f"{scenario.routing} routing" if scenario.routing != "natural" else "",
        f"transport {scenario.transport}" if scenario.transport else "",
    ]
    return " · ".join(filter(None, parts))


def _estimated(answer: Answer, what: str) -> str:
    """Return the line that marks an estimate; empty where all was measured."""
    return (
        f"{what}: rests on estimates, never measured on these parts." if answer.summary["estimated"] else ""
    )


def afd_vs_ep_chart(scenario: Scenario, *, tpot_range: tuple[float, float] | None = None) -> alt.LayerChart:
    """Draw the best throughput of both modes over the latency target.

    Parameters
    ----------
    scenario : Scenario
        The question; its own latency target is drawn as a line.
    tpot_range : tuple of float, optional
        First and last latency target; by default from the least that is feasible to where both modes
        saturate [ms].

    Returns
    -------
    altair.LayerChart
        The chart; each marker is one deployment.

    Raises
    ------
    InputError
        If the range is reversed or the scenario is out of bounds.
    InfeasibleError
        If neither mode has a feasible deployment.
    """
    answer = frontier(scenario, tpot_ms=None if tpot_range is None else _spread(tpot_range))
    targets = answer.inputs["targets_ms"]
    rows = answer.rows()
    low, high = targets[0], targets[-1]
    if tpot_range is None:
        low = min(low, *(row["tpot_ms"] for row in rows))
    top = max(row["tokens_per_s_per_device"] for row in rows) * 1.1
    x = alt.X(
        "tpot_ms:Q",
        scale=alt.Scale(type="log", domain=[low / 1.02, high * 1.02], nice=False),
        axis=alt.Axis(
            title="latency target: time per output token [ms]",
            values=_ticks(low, high),
            format=",.4~r",
            grid=False,
        ),
    )
    y = alt.Y(
        "tokens_per_s_per_device:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(title="tokens per second and device", format=",.4~r", tickCount=6),
    )
    layers = _target_layers(scenario.latency_ms, low, high, x)
    for mode in MODES:
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
            _about(scenario),
            "Markers: the best deployment under a latency target, configuration on hover."
            + (" Diamonds: the winner changes." if crossings else ""),
            _estimated(answer, "Pale with hollow markers"),
        ],
    )


def _spread(tpot_range: tuple[float, float]) -> list[float]:
    """Return latency targets over a range that was asked for."""
    low, high = (finite("--tpot-range", value, above=0, below=1e9) for value in tpot_range)
    if high <= low:
        raise InputError(f"--tpot-range {low:g}:{high:g} is reversed or empty: write low:high")
    return [float(value) for value in np.geomspace(low, high, TARGETS)]


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


def _curve_layers(rows: list[dict[str, Any]], high: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the curve of one mode: a line that goes on where it saturates, and a marker a deployment."""
    mode = rows[0]["mode"]
    color, dash, shape = STYLES[mode]
    weak = any(row["estimated_share"] > 0 for row in rows)
    keys = ("tpot_ms", "tokens_per_s_per_device")
    line = [{key: row[key] for key in keys} for row in rows]
    line.append({"tpot_ms": max(high, line[-1]["tpot_ms"]), keys[1]: line[-1][keys[1]]})
    shown = [{**row, "mode": NAMES[mode]} for row in rows]
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
        (math.log(row["tpot_ms"]), row["tokens_per_s_per_device"]) for row in rows if row["mode"] == EP
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
    for mode in MODES:
        own = [row["tokens_per_s_per_device"] for row in rows if row["mode"] == mode]
        if own:
            ends.append((own[-1], f"{NAMES[mode]}  {own[-1]:,.0f}", STYLES[mode][0]))
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


# --- two inputs at once ------------------------------------------------------------------------------------


def hfu_map_chart(
    scenario: Scenario, *, x: Axis | None = None, y: Axis | None = None, metric: str = RATIO
) -> alt.LayerChart:
    """Draw where AFD beats EP, or how well FFN devices are used, over two inputs.

    Parameters
    ----------
    scenario : Scenario
        The question; its own values carry a ring.
    x, y : tuple of str and sequence of float, optional
        An input and its values; by default the bandwidth between the groups, and the width of an expert.
    metric : str
        `afd_over_ep` or `hfu`.

    Returns
    -------
    altair.LayerChart
        The chart; crossed out where nothing is feasible, with the break-even line of the two modes.

    Raises
    ------
    InputError
        If a key is unknown, a value out of bounds, or there are too many points.
    """
    answer = grid(scenario, x=x, y=y, metric=metric)
    summary = answer.summary
    rows = [{**row, "x": row[summary["x"]], "y": row[summary["y"]]} for row in answer.rows()]
    axes = {}
    for name in ("x", "y"):
        values = sorted({row[name] for row in rows})
        edges = _edges(values)
        for row in rows:
            place = values.index(row[name])
            row[f"{name}1"], row[f"{name}2"] = edges[place], edges[place + 1]
        axes[name] = (values, edges)
    across = _encoding(alt.X, summary["x"], axes["x"][1])
    up = _encoding(alt.Y, summary["y"], axes["y"][1])
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
    about, numbers = _about_map(scenario, summary)
    lines = [
        numbers,
        "Line: AFD = EP, interpolated between points." if summary["break_even"] else "",
        _estimated(answer, "Dashed frame"),
    ]
    return house_style(
        alt.LayerChart(layer=layers)
        .properties(width=MAP_WIDTH, height=HEIGHT)
        .resolve_scale(shape="independent"),
        summary["answer"],
        [about, " ".join(filter(None, lines))],
    )


def _about_map(scenario: Scenario, summary: dict[str, Any]) -> list[str]:
    """Return the question of a map, and what its numbers are."""
    varied = (summary["x"], summary["y"])
    target = f" · TPOT {scenario.latency_ms:g} ms" if "tpot_ms" not in varied else ""
    if summary["metric"] == RATIO:
        return [f"{_about(scenario, varied)}{target}", "Numbers: AFD / EP in tokens/s per device."]
    stage = scenario.for_stage()
    how = f"{stage.microbatches} micro-batches · {stage.links} links · fan-out {stage.fan_out}"
    return [
        f"{scenario.system.name} x {scenario.model.name}{target} · {how}",
        "Numbers: best feasible HFU of the FFN stage over 1 to 40 nodes.",
    ]


def _edges(values: Sequence[float]) -> list[float]:
    """Return the borders of cells around values: midway between neighbours, on logarithms where positive."""
    log = values[0] > 0
    places = np.log(values) if log else np.asarray(values, dtype=float)
    middle = (places[1:] + places[:-1]) / 2
    edges = [2 * places[0] - middle[0], *middle, 2 * places[-1] - middle[-1]]
    return [float(np.exp(edge)) if log else float(edge) for edge in edges]


def _encoding(channel: type[alt.X | alt.Y], key: str, edges: Sequence[float]) -> dict[str, Any]:
    """Return what an axis of a map is drawn with: its scale and its axis, by part."""
    low, high = edges[0], edges[-1]
    log = low > 0
    unit = axis_unit(key)
    name = key if unit == "1" else column(key).title
    axis = alt.Axis(
        title=AXIS_TITLES.get(key, name.replace("_", " ")),
        format=",.4~r",
        grid=False,
        values=_ticks(low, high) if log else alt.Undefined,
    )
    scale = alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False)
    return {"channel": channel, "scale": scale, "axis": axis}


def _ticks(low: float, high: float) -> list[float]:
    """Return ticks of a logarithmic axis: decades, or finer steps where the range is short."""
    if high / low > WIDE:
        return decades(low, high)
    steps: tuple[float, ...] = (1, 2, 5) if high / low > NARROW else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _at(axis: dict[str, Any], field: str) -> Any:  # noqa: ANN401 - either channel
    return axis["channel"](f"{field}:Q", scale=axis["scale"], axis=axis["axis"])


def _tooltips(summary: dict[str, Any]) -> list[alt.Tooltip]:
    inputs = [
        alt.Tooltip(f"{name}:Q", title=AXIS_TITLES.get(summary[name], summary[name]), format=",.4~r")
        for name in ("x", "y")
    ]
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


def _reach(rows: list[dict[str, Any]]) -> float:
    """Return the ratio at which the colours end."""
    known = [row[RATIO] for row in rows if row[RATIO] is not None]
    widest = math.exp(max((abs(math.log(ratio)) for ratio in known), default=0.0))
    return min(max(widest, NARROWEST_RATIO), WIDEST_RATIO)


def _cell_layers(
    rows: list[dict[str, Any]], summary: dict[str, Any], across: dict[str, Any], up: dict[str, Any]
) -> list[alt.Chart]:
    """Return the cells: coloured by value, grey where there is none."""
    metric = summary["metric"]
    legend: dict[str, Any] = {"gradientLength": 220, "labelFontSize": 12, "titleFontWeight": "normal"}
    if metric == RATIO:
        reach = _reach(rows)
        ticks = [1 / reach, reach**-0.5, 1, reach**0.5, reach]
        color = alt.Color(
            "afd_over_ep:Q",
            scale=alt.Scale(
                type="log",
                domain=[1 / reach, 1, reach],
                range=[BLUE, MIDDLE, ORANGE],
                clamp=True,
                interpolate="lab",
            ),
            legend=alt.Legend(
                title=["AFD / EP", "above 1:", "AFD ahead"], values=ticks, format=".2f", **legend
            ),
        )
    else:
        color = alt.Color(
            "hfu:Q",
            scale=alt.Scale(domain=[0, 1], range=["#f1f5fa", BLUE]),
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
                layers.append(cells.mark_rect(fill=NOTHING, **mark))
    return layers


def _numbers(
    rows: list[dict[str, Any]], summary: dict[str, Any], across: dict[str, Any], up: dict[str, Any]
) -> list[alt.Chart]:
    """Return the value of each cell as text: light on dark cells, with a light edge where the line passes."""
    ratio = summary["metric"] == RATIO
    reach = _reach(rows) if ratio else 1.0
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
        layers.append(edge.encode(_at(across, "x"), _at(up, "y"), text="label:N"))
    layers.append(
        alt.Chart(chart_data(labels))
        .mark_text(fontSize=11)
        .encode(_at(across, "x"), _at(up, "y"), text="label:N", color=alt.Color("color:N", scale=None))
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
        base.mark_rule(color=GROUND, strokeWidth=5, strokeCap="round"),
        base.mark_rule(color=INK, strokeWidth=2.4, strokeDash=dash, strokeCap="round"),
    ]


def _inside(summary: dict[str, Any], axes: dict[str, Any]) -> bool:
    """Return whether the question's own values lie on the map."""
    own = summary["own"]
    return all(
        own[summary[name]] is not None and axes[name][1][0] <= own[summary[name]] <= axes[name][1][-1]
        for name in ("x", "y")
    )


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
        if row["state"] not in {BOTH, FEASIBLE}
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
