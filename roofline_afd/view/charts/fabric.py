"""Dispatch and combine of a layer over tokens of a device: a line per group, a gap where a domain ends."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import altair as alt

from roofline_afd.view.charts.style import (
    BAND,
    END_LABELS,
    ESTIMATED_DASH,
    FAINT,
    GROUND,
    HEIGHT,
    INK,
    PALE,
    TIERS,
    WIDTH,
    chart_data,
    house_style,
    layered,
    log_ticks,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

WITHIN, BEYOND = TIERS[1].color, TIERS[2].color
"""Colours of groups inside a scale-up domain, and of those that leave it."""
LIGHTEST, NAMED = 0.55, 0.4
"""Share of white in the line of the smallest group of a colour, the largest has none; and of it in names."""
PANEL_WIDTH, PANEL_HEIGHT = 285, 270
ACROSS = 2
LABEL_GAP = 14
"""Pixels between the names of two lines."""
HEADED = 1.6
"""Such gaps above the names, for the word that heads them."""
SHORT_STEP, BESIDE = 40, 12
"""Pixels of a step below which its factor stands beside it, and how far."""
FEW_TICKS = {False: 12, True: 6}
"""Tokens up to which each has a tick of its own, without panels and with them."""
NUMBERS_OF = re.compile(r" \([^()]*\)")
"""Times that stand behind a factor in the answer; the headline of several panels has the factors alone."""
EACH = ("n_devices", "tokens", "exchange_us", "dispatch_us", "combine_us", "domains", "binding", "library")
NUMBERS = {"exchange_us", "dispatch_us", "combine_us", "predicted_us"}


class Frame(NamedTuple):
    """Where a picture or each of its panels draws: size in pixels, ends of both axes, and tokens."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    tokens: Sequence[int]
    at: int
    """Tokens at which the step out of a domain is told."""
    panels: bool


def fabric_chart(answer: Answer) -> alt.LayerChart | alt.VConcatChart:
    """Draw what dispatch and combine of a layer take over tokens of a device, a line per group size.

    Parameters
    ----------
    answer : Answer
        Of `fabric`, with its picture.

    Returns
    -------
    altair.LayerChart or altair.VConcatChart
        The chart, a panel per system where there are several; the step out of a domain is shaded.
    """
    rows, edges = answer.rows(), answer.summary["edges"]
    points = answer.picture["points"]
    times = [row["exchange_us"] for row in (*rows, *points)]
    tokens = sorted({row["tokens"] for row in rows})
    panels = len(edges) > 1
    frame = Frame(
        width=PANEL_WIDTH if panels else WIDTH - END_LABELS,
        height=PANEL_HEIGHT if panels else HEIGHT,
        x=(tokens[0] / 1.1, tokens[-1] * 1.1),
        y=(min(times) / 1.15, max(times) * 1.15),
        tokens=tokens,
        at=answer.summary["tokens"],
        panels=panels,
    )
    drawn = []
    for at, edge in enumerate(edges):
        own = [row for row in rows if row["system"] == edge["system"]]
        timed = [point for point in points if point["system"] == edge["system"]]
        below, beside = at >= len(edges) - ACROSS, at % ACROSS == 0
        panel = _panel(own, timed, edge, frame, titles=(below, beside))
        if panels:
            panel.title = _panel_title(edge, own)
        drawn.append(panel)
    whole: Any = (
        alt.ConcatChart(concat=drawn, columns=ACROSS, spacing=alt.RowColnumber(row=18, column=24))
        if panels
        else drawn[0]
    )
    said = answer.summary["answer"].rstrip(".")
    styled = house_style(
        whole,
        NUMBERS_OF.sub("", said) if panels else said,
        [answer.picture["question"], _how_to_read(answer), said if panels else ""],
        [
            f"{name}, {row['n_devices']} devices, {row['tokens']:,} tokens: {row['exchange_us']:,.4g} us"
            for name, row in ((edge["name"], row) for edge in edges for row in rows)
            if row["system"] == next(each["system"] for each in edges if each["name"] == name)
            and row["tokens"] in {tokens[0], answer.summary["tokens"], tokens[-1]}
        ],
    )
    return cast("alt.LayerChart | alt.VConcatChart", styled)


def _how_to_read(answer: Answer) -> str:
    """Return what marks mean, those that are there."""
    points = answer.picture["points"]
    parts = []
    if any(edge["factor"] for edge in answer.summary["edges"]):
        parts.append("Dark green: within a scale-up domain; light green: beyond it; shaded: the step out.")
    if points:
        parts.append("Diamonds: measured" + (";" if not all(p["alike"] for p in points) else "."))
        if not all(point["alike"] for point in points):
            parts.append("hollow: other kernels, format or timing.")
    if answer.summary["estimated"]:
        parts.append("Dashed and pale: estimated.")
    return " ".join(parts)


def _axes(frame: Frame, titles: tuple[bool, bool]) -> tuple[alt.X, alt.Y]:
    """Return both axes, each with its title or without."""
    every = FEW_TICKS[frame.panels]
    marks: Sequence[float] = frame.tokens
    doubled = all(low * 2 == high for low, high in itertools.pairwise(marks))
    if len(marks) > every or not doubled:
        ends = (marks[0], marks[-1])
        marks = marks[:: math.ceil(len(marks) / every)] if doubled else log_ticks(*ends) or ends
    x = alt.X(
        "tokens:Q",
        scale=alt.Scale(type="log", domain=list(frame.x), nice=False),
        axis=alt.Axis(
            title="tokens of a device" if titles[0] else None, values=list(marks), format=",d", grid=False
        ),
    )
    y = alt.Y(
        "exchange_us:Q",
        scale=alt.Scale(type="log", domain=list(frame.y), nice=False),
        axis=alt.Axis(
            title="dispatch + combine of a layer [us]" if titles[1] else None,
            values=log_ticks(*frame.y),
            format=",.4~r",
        ),
    )
    return x, y


def _panel(
    rows: Sequence[Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    edge: Mapping[str, Any],
    frame: Frame,
    *,
    titles: tuple[bool, bool],
) -> alt.LayerChart:
    """Return the lines of a system, the step out of its domain, and what was measured."""
    x, y = _axes(frame, titles)
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["n_devices"], []).append(row)
    shades = _shades(groups)
    colors = {count: _lightened(hue, white) for count, (hue, white) in shades.items()}
    layers = _step_layers(groups, edge, frame, (x, y)) if edge["factor"] else []
    for count, own in groups.items():
        weak = own[0]["kind"] == "estimated"
        base = alt.Chart(chart_data([{key: row[key] for key in EACH} for row in own])).encode(x, y)
        layers += [
            base.mark_line(
                color=colors[count],
                strokeWidth=2.2,
                strokeDash=ESTIMATED_DASH if weak else [1, 0],
                opacity=PALE if weak else 1.0,
            ),
            base.mark_point(
                size=60, color=colors[count], filled=True, opacity=1 if len(own) == 1 else 0
            ).encode(tooltip=[_tooltip(key) for key in EACH if own[0][key] is not None]),
        ]
    if points:
        layers.append(_point_layer(points, colors, x, y))
    names = {count: _lightened(hue, NAMED * white) for count, (hue, white) in shades.items()}
    layers += _end_names(groups, edge, names, frame, (x, y))
    return layered(layers, width=frame.width, height=frame.height)


def _shades(groups: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[int, tuple[str, float]]:
    """Return the colour of each group, by whether it leaves the domain, and the share of white in it."""
    found = {}
    for hue, leaves in ((WITHIN, False), (BEYOND, True)):
        own = [count for count in groups if (groups[count][0]["n_domains"] > 1) is leaves]
        for place, count in enumerate(own):
            found[count] = (hue, LIGHTEST * (1 - (place + 1) / len(own)))
    return {count: found[count] for count in groups}


def _tooltip(key: str) -> alt.Tooltip:
    kind, form = ("Q", ",.4~r") if key in NUMBERS else ("N", "")
    return alt.Tooltip(f"{key}:{kind}", title=column(key).title, format=form or alt.Undefined)


def _step_layers(
    groups: Mapping[int, Sequence[Mapping[str, Any]]],
    edge: Mapping[str, Any],
    frame: Frame,
    axes: tuple[alt.X, alt.Y],
) -> list[alt.Chart]:
    """Return the band between the largest group within a domain and the smallest beyond, and its factor."""
    x, y = axes
    pair = (groups[edge["within_devices"]], groups[edge["beyond_devices"]])
    band = [
        {"tokens": low["tokens"], "exchange_us": low["exchange_us"], "beyond_us": high["exchange_us"]}
        for low, high in zip(*pair, strict=True)
    ]
    middle = {
        "tokens": frame.at,
        "exchange_us": math.sqrt(edge["within_us"] * edge["beyond_us"]),
        "label": f"x{edge['factor']:.2g}",
    }
    base = alt.Chart(chart_data([row for row in band if row["tokens"] == frame.at])).encode(x)
    names = alt.Chart(chart_data([middle])).encode(x, y, text=alt.Text("label:N"))
    height = frame.height * math.log(edge["factor"]) / math.log(frame.y[1] / frame.y[0])
    place = {"align": "center"} if height >= SHORT_STEP else {"align": "left", "dx": BESIDE}
    form: dict[str, Any] = {**place, "fontSize": 13, "fontWeight": "bold"}
    return [
        alt.Chart(chart_data(band)).mark_area(color=BEYOND, opacity=BAND).encode(x, y, alt.Y2("beyond_us:Q")),
        base.mark_rule(color=INK, strokeWidth=1.4).encode(y, alt.Y2("beyond_us:Q")),
        names.mark_text(**form, color=GROUND, stroke=GROUND, strokeWidth=5),
        names.mark_text(**form, color=INK),
    ]


def _point_layer(
    points: Sequence[Mapping[str, Any]], colors: Mapping[int, str], x: alt.X, y: alt.Y
) -> alt.Chart:
    """Return what was measured, each in the colour of its group's line."""
    values = [
        {
            **point,
            "color": colors[point["n_devices"]],
            "fill": colors[point["n_devices"]] if point["alike"] else GROUND,
            "edge": INK if point["alike"] else colors[point["n_devices"]],
        }
        for point in points
    ]
    told = ("id", "n_devices", "tokens", "exchange_us", "predicted_us", "precision", "library", "timing")
    marks: alt.Chart = (
        alt.Chart(chart_data(values))
        .mark_point(shape="diamond", size=95, strokeWidth=1.6, opacity=1)
        .encode(
            x,
            y,
            fill=alt.Fill("fill:N", scale=None),
            stroke=alt.Stroke("edge:N", scale=None),
            tooltip=[_tooltip(key) for key in (*told, "source")],
        )
    )
    return marks


def _end_names(
    groups: Mapping[int, Sequence[Mapping[str, Any]]],
    edge: Mapping[str, Any],
    colors: Mapping[int, str],
    frame: Frame,
    axes: tuple[alt.X, alt.Y],
) -> list[alt.Chart]:
    """Return the names of lines at their right end, pushed apart where they would touch."""
    x, y = axes
    low, high = (math.log(value) for value in frame.y)
    gap = LABEL_GAP / frame.height * (high - low)
    ends = sorted((math.log(own[-1]["exchange_us"]), count) for count, own in groups.items())
    placed: list[float] = []
    for height, _ in ends:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    limit = high - HEADED * gap  # room for the word above
    for at in reversed(range(len(placed))):
        placed[at] = min(placed[at], limit)
        limit = placed[at] - gap
    names = []
    for height, (_, count) in zip(placed, ends, strict=True):
        row = groups[count][-1]
        told = count >= (edge["within_devices"] or 0)
        several = "" if row["n_domains"] == 1 else "s"
        names.append(
            {
                "tokens": row["tokens"],
                "exchange_us": math.exp(height),
                "label": f"{count:,}" + (f" · {row['n_domains']} {edge['domain']}{several}" if told else ""),
                "color": colors[count],
            }
        )
    head = [{"tokens": names[-1]["tokens"], "exchange_us": math.exp(placed[-1] + gap), "label": "devices"}]
    ends_at: dict[str, Any] = {"align": "left", "dx": 8, "fontSize": 12}
    return [
        alt.Chart(chart_data(names))
        .mark_text(**ends_at, fontWeight="bold")
        .encode(x, y, text=alt.Text("label:N"), color=alt.Color("color:N", scale=None)),
        alt.Chart(chart_data(head)).mark_text(**ends_at, color=FAINT).encode(x, y, text=alt.Text("label:N")),
    ]


def _panel_title(edge: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> alt.TitleParams:
    """Return the name of a system over its panel, and whose kernels send there."""
    library = rows[0]["library"]
    return alt.TitleParams(
        edge["name"],
        subtitle=f"kernels of {library}" if library else "kernels of no known library",
        color=INK,
        subtitleColor=FAINT,
        fontSize=14,
        subtitleFontSize=11,
        offset=6,
        anchor="start",
        frame="group",
    )


def _lightened(color: str, white: float) -> str:
    """Return a colour with a share of white in it."""
    parts = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * white):02x}" for part in parts)
