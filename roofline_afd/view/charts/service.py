"""The chart of whole requests: what a thousand cost by part on each candidate, and their fleets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import altair as alt

from roofline_afd.view.charts.style import (
    ESTIMATED_DASH,
    FAINT,
    INK,
    POOLS,
    WIDTH,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

PARTS = (
    ("input", "input computed", POOLS["prefill"], 1.0),
    ("cached", "input cached", POOLS["prefill"], 0.45),
    ("output", "output", POOLS["decode"], 1.0),
)
"""Parts of what a request costs: key, name, colour and opacity."""
HELD = (
    ("prefill_devices", "prefill", POOLS["prefill"]),
    ("decode_devices", "decode", POOLS["decode"]),
)
"""What devices of a node or rack do: key, name and colour."""
IDLE = "#dfe3e7"
MOSTLY = 0.5
"""Share of decode never measured from which a bar has a dashed edge and its number a word."""
LETTER, GAP, ROW, HEADER = 7.2, 18, 25, 9
"""Pixels of a letter, between columns, of a row, and above the first for the names of columns."""
ROOM = 1.2
"""Length of the axis over the longest bar, for its number."""
BOX, APART, LINE = 34, 4, 22
"""Pixels across a node or rack that is drawn, between two, and of a line of them."""
MOST_LINES = 4
"""Lines of nodes or racks of a fleet; more stand for several each."""
MOST_FLEETS = 6
HOVER = (
    "rank",
    "system",
    "mode",
    "deployment",
    "n_devices_sold",
    "n_idle_devices",
    "units",
    "usd_per_hour",
    "usd_per_million_input_tokens",
    "usd_per_million_cached_tokens",
    "usd_per_million_output_tokens",
    "ttft_p95_ms",
    "tpot_p95_ms",
    "power_kw",
    "capacity_one_unit_down",
    "break_even_price",
    "estimated_share",
)


class Places(NamedTuple):
    """Pixels from the left at which columns stand; of numbers, where they end."""

    mode: float
    bars: float
    bars_end: float
    devices: float
    power: float
    deployment: float
    end: float


def service_chart(answer: Answer) -> alt.VConcatChart:
    """Draw what a thousand requests cost by part, the cheapest on top, and the cheapest fleets by rack.

    Parameters
    ----------
    answer : Answer
        Of `procure` about whole requests, with its picture.

    Returns
    -------
    altair.VConcatChart
        The chart; where nobody has a price, its bars are devices.
    """
    rows = [
        {**row, "place": place, "racks": racks, "mode_name": answer.picture["mode_names"][row["mode"]]}
        for place, (row, racks) in enumerate(zip(answer.rows(), answer.picture["racks"], strict=True))
    ]
    places = _places(rows)
    priced = answer.summary["ranked_by"] != "n_devices_sold"
    upper = layered(_upper(rows, places, priced=priced), width=places.end, height=ROW * len(rows))
    per_line = int((places.end - places.bars) // (BOX + APART))
    fleets, scale = _fleets(rows, per_line)
    lower, height = _racks(fleets, places, per_line)
    asked = answer.inputs
    limits = [
        f"{name} {asked[key]:,.4g} ms"
        for key, name in (("ttft_ms", "TTFT"), ("tpot_ms", "TPOT"))
        if asked[key] is not None
    ]
    about = [
        answer.picture["model"],
        f"{asked['requests_per_s']:,.4g} requests/s",
        f"{asked['isl']:,} input tokens, {asked['cached_tokens']:,} of them cached",
        f"{asked['osl']:,} output tokens",
        *limits,
        f"prices: {asked['price_basis']}, {asked['price_terms']}" if priced else "no price is known",
    ]
    boxes = f"a box is {scale} nodes or racks" if scale > 1 else "a box is a node or rack"
    chart = alt.VConcatChart(vconcat=[upper, layered(lower, width=places.end, height=height)], spacing=26)
    headline = answer.summary["answer"].replace("; ", ". ", 1)
    if any(map(_unmeasured, rows)):
        boxes += ". Dashed: most of decode was never measured on such parts"
    styled = house_style(
        cast("alt.LayerChart", chart),
        headline,
        [
            f"Dark: prefill, pale where tokens were cached; gold: decode, or both. Below, fleets: {boxes}.",
            " · ".join(about),
        ],
        [_told(row, priced=priced) for row in rows],
        left=0,
    )
    return cast("alt.VConcatChart", styled)


def _unmeasured(row: Mapping[str, Any]) -> bool:
    """Return whether most of decode rests on efficiencies that were never measured on such parts."""
    return bool((row.get("estimated_share") or 0.0) >= MOSTLY)


def _told(row: Mapping[str, Any], *, priced: bool) -> str:
    """Return a row in numbers."""
    name = f"{row['system']}, {row['mode_name']}"
    if not row["feasible"]:
        return f"{name}: no, {row['binding']}"
    cost = row["usd_per_request"]
    figure = f"{cost * 1e3:.3g} USD per thousand requests, " if priced and cost is not None else ""
    return f"{name}: {figure}{row['n_devices_sold']:,} devices as {row['deployment']}"


def _places(rows: Sequence[Mapping[str, Any]]) -> Places:
    """Return where the columns stand, by the longest texts in them."""
    mode = max(len(row["system"]) for row in rows) * LETTER + GAP
    bars = mode + max(len(row["mode_name"]) for row in rows) * LETTER + GAP
    texts = max([len(row["deployment"] or "") for row in rows] + [len("replicas x devices")]) * LETTER
    end = bars + max(280, WIDTH - bars - 130 - texts)
    devices, power = end + 60, end + 116
    return Places(mode, bars, end, devices, power, power + GAP, power + GAP + texts)


def _upper(rows: list[dict[str, Any]], places: Places, *, priced: bool) -> list[alt.Chart]:
    """Return bars by part, their numbers, the columns beside them, and what shows all on hover."""
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=[row["place"] for row in rows], paddingInner=0.3))
    bars, totals, edges = [], [], []
    for row in rows:
        if not row["feasible"]:
            continue
        at = 0.0
        for length, name, color, opacity in _parts(row, priced=priced):
            ends = {"place": row["place"], "from": at, "to": at + length}
            bars.append({**ends, "part": name, "fill": color, "faint": opacity})
            at += length
        if _unmeasured(row):
            edges.append({"place": row["place"], "from": 0.0, "to": at})
        totals.append(
            {
                "place": row["place"],
                "to": at,
                "text": f"{at:.3g}" if priced else f"{at:,.0f}",
                "weight": row["rank"] == 1,
            }
        )
    most = max(row["to"] for row in totals)
    scale = alt.Scale(domain=[0, most * ROOM], range=[places.bars, places.bars_end], nice=False)
    axis = alt.Axis(
        title="USD per thousand requests" if priced else "devices",
        tickCount=5,
        format=",~r",
        grid=False,
        titleX=(places.bars + places.bars_end) / 2,
    )
    x = alt.X("from:Q", scale=scale, axis=axis)
    layers = [
        alt.Chart(chart_data(bars))
        .mark_bar(stroke=None)
        .encode(
            y,
            x,
            x2=alt.X2("to:Q"),
            fill=alt.Fill("fill:N", scale=None),
            fillOpacity=alt.FillOpacity("faint:Q", scale=None),
        ),
        alt.Chart(chart_data(totals))
        .mark_text(align="left", dx=5, fontSize=12, color=INK)
        .encode(y, x=alt.X("to:Q", scale=scale, axis=axis), text=alt.Text("text:N")),
        *_columns(rows, places, y),
        _hover(rows, places, y),
    ]
    if edges:
        layers.insert(
            1,
            alt.Chart(chart_data(edges))
            .mark_bar(filled=False, stroke=INK, strokeWidth=1.2, strokeDash=ESTIMATED_DASH)
            .encode(y, x, x2=alt.X2("to:Q")),
        )
    refused = [
        {"place": row["place"], "text": f"no: {row['binding'].partition(',')[0]}"}
        for row in rows
        if not row["feasible"]
    ]
    if refused:
        layers.append(
            alt.Chart(chart_data(refused))
            .mark_text(align="left", fontSize=12, fontStyle="italic", color=FAINT)
            .encode(y, x=alt.XValue(places.bars + 6), text=alt.Text("text:N"))
        )
    return layers


def _parts(row: Mapping[str, Any], *, priced: bool) -> list[tuple[float, str, str, float]]:
    """Return the parts of a bar: length, name, colour, opacity."""
    if not priced:
        return [(float(row["n_devices_sold"]), "devices", FAINT, 0.5)]
    if row["usd_per_request"] is None:
        return []
    prefill, whole = row["prefill_cost_share"], row["usd_per_request"] * 1e3
    cached = row["cached_cost_share"]
    shares = {"input": prefill * (1 - cached), "cached": prefill * cached, "output": 1 - prefill}
    return [(whole * shares[key], name, color, opacity) for key, name, color, opacity in PARTS if shares[key]]


def _columns(rows: Sequence[Mapping[str, Any]], places: Places, y: alt.Y) -> list[alt.Chart]:
    """Return the columns of text beside the bars, with their names on top."""
    columns = (
        ("system", "system", 0.0, "left"),
        ("mode", "mode", places.mode, "left"),
        ("n_devices_sold", "devices", places.devices, "right"),
        ("power_kw", "kW", places.power, "right"),
        ("deployment", "replicas x devices", places.deployment, "left"),
    )
    layers = []
    for key, title, at, align in columns:
        for best in (True, False):
            own = [
                {"place": row["place"], "text": _text(key, row)}
                for row in rows
                if (row["rank"] == 1) == best and (row["feasible"] or key in {"system", "mode"})
            ]
            if own:
                layers.append(
                    alt.Chart(chart_data(own))
                    .mark_text(align=align, fontSize=12, color=INK, fontWeight="bold" if best else "normal")  # type: ignore[arg-type]
                    .encode(y, x=alt.XValue(at), text=alt.Text("text:N"))
                )
        layers.append(
            alt.Chart(chart_data([{"text": title}]))
            .mark_text(align=align, baseline="bottom", fontSize=12, color=FAINT)  # type: ignore[arg-type]
            .encode(x=alt.XValue(at), y=alt.YValue(-HEADER), text=alt.Text("text:N"))
        )
    return layers


def _text(key: str, row: Mapping[str, Any]) -> str:
    if key == "mode":
        return str(row["mode_name"])
    if key == "power_kw" and row[key] is not None:
        return f"{row[key]:,.0f}"
    return column(key).show(row[key])


def _hover(rows: Sequence[Mapping[str, Any]], places: Places, y: alt.Y) -> alt.Chart:
    """Return a pane over each row that shows all its numbers."""
    given = [key for key in HOVER if any(row.get(key) is not None for row in rows)]
    shown = [
        {"place": row["place"], **{key: column(key).show(row[key]) for key in given if row[key] is not None}}
        for row in rows
    ]
    pane: alt.Chart = (
        alt.Chart(chart_data(shown))
        .mark_rect(fillOpacity=0)
        .encode(
            y,
            x=alt.XValue(0),
            x2=alt.X2Value(places.end),
            tooltip=[alt.Tooltip(f"{key}:N", title=column(key).title) for key in given],
        )
    )
    return pane


class _Row(NamedTuple):
    """A fleet as it is drawn: its name, and what each box holds, in shares of it."""

    name: str
    told: str
    boxes: list[dict[str, float]]


def _fleets(rows: Sequence[dict[str, Any]], per_line: int) -> tuple[list[_Row], int]:
    """Return the cheapest fleet of each candidate, and how many nodes or racks a box stands for."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["feasible"]:
            best.setdefault(row["system"], row)
    fleets = list(best.values())[:MOST_FLEETS]
    most = max(sum(rack["units"] for rack in row["racks"]) for row in fleets)
    scale = -(-most // (per_line * MOST_LINES))
    found = []
    for row in fleets:
        units = [rack for rack in row["racks"] for _ in range(rack["units"])]
        boxes = []
        for start in range(0, len(units), scale):
            held = units[start : start + scale]
            devices = sum(rack["unit_devices"] for rack in held)
            boxes.append({key: sum(rack[key] for rack in held) / devices for key, _, _ in HELD})
        found.append(_Row(row["system"], row["units"], boxes))
    return found, scale


def _racks(fleets: Sequence[_Row], places: Places, per_line: int) -> tuple[list[alt.Chart], float]:
    """Return the nodes and racks of fleets, and the height that they take."""
    frames: list[dict[str, Any]] = []
    filled: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    top = 0.0
    for fleet in fleets:
        names += [
            {"x": 0, "y": top + LINE / 2, "text": fleet.name, "color": INK},
            {"x": places.mode, "y": top + LINE / 2, "text": fleet.told, "color": FAINT},
        ]
        for index, box in enumerate(fleet.boxes):
            line, place = divmod(index, per_line)
            left, upper = places.bars + place * (BOX + APART), top + line * LINE
            at = {"y": upper + 2, "y2": upper + LINE - 3}
            frames.append({"x": left, "x2": left + BOX, **at, "fill": IDLE})
            for key, _, color in HELD:
                if box[key]:
                    filled.append({"x": left, "x2": left + BOX * box[key], **at, "fill": color})
                    left += BOX * box[key]
        top += LINE * -(-len(fleet.boxes) // per_line) + LINE / 2
    x, y = (
        kind(f"{name}:Q", axis=None, scale=alt.Scale(domain=domain, range=domain, nice=False, zero=False))
        for kind, name, domain in ((alt.X, "x", [0, places.end]), (alt.Y, "y", [0, top]))
    )
    boxes = [
        alt.Chart(chart_data(rows))
        .mark_rect()
        .encode(x, y, x2=alt.X2("x2:Q"), y2=alt.Y2("y2:Q"), fill=alt.Fill("fill:N", scale=None))
        for rows in (frames, filled)
    ]
    texts = (
        alt.Chart(chart_data(names))
        .mark_text(align="left", fontSize=12)
        .encode(x, y, text=alt.Text("text:N"), color=alt.Color("color:N", scale=None))
    )
    return [*boxes, texts], top
