"""The chart of candidates: what a million tokens cost on each, with the devices and the power it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import altair as alt

from roofline_afd.errors import InputError
from roofline_afd.view.charts.service import Places, service_chart
from roofline_afd.view.charts.style import (
    ESTIMATED_DASH,
    FAINT,
    GROUND,
    INK,
    MODES,
    PALE,
    WIDTH,
    chart_data,
    house_style,
    layered,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

Side = Literal["left", "right"]
COST, DEVICES = "usd_per_million_tokens", "n_devices_sold"
MOSTLY = 0.5
"""Share of a step never measured from which a bar is pale."""
LETTER, GAP = 7.4, 18
"""Pixels of a letter, and between columns."""
MODE, NUMBER, BARS = 34, 56, 300
"""Pixels across of the mode, and at least of a column of numbers and of the bars."""
SHAPE = "replicas x devices"
ROW, HEADER = 27, 9
"""Pixels of a row, and from the first one up to the names of the columns."""
ROOM = 1.24
"""Length of the axis over the longest bar, for its number."""
MOST_ROWS = 200
"""Rows of a picture."""
HOVER = (
    "rank",
    "system",
    "mode",
    "n_devices",
    "n_devices_sold",
    "n_nodes",
    "n_scale_up_domains",
    "deployment",
    "batch_per_device",
    "microbatches",
    "tpot_ms",
    "tokens_per_s_per_user",
    "tokens_per_s_per_device",
    "capacity_tokens_per_s",
    "load",
    "usd_per_hour",
    "usd_per_million_tokens",
    "capex_usd",
    "power_kw",
    "watts_per_token_per_s",
    "tokens_per_joule",
    "break_even_price",
    "ffn_nodes_before_dead_zone",
    "binding",
)
TITLES = {"load": "share of capacity in use", "break_even_price": "break-even price of a device [{unit}]"}


def procurement_chart(answer: Answer) -> alt.TopLevelMixin:
    """Draw what a million tokens, or whole requests, cost on each candidate, the cheapest on top.

    Parameters
    ----------
    answer : Answer
        Of `procure`.

    Returns
    -------
    altair.LayerChart or VConcatChart
        The chart; where nobody has a price, its bars are devices.

    Raises
    ------
    InputError
        If it has more rows than a picture holds.
    """
    if "requests_per_s" in answer.inputs:
        return service_chart(answer)
    rows = [{**row, "place": index} for index, row in enumerate(answer.rows())]
    if len(rows) > MOST_ROWS:
        raise InputError(f"--systems makes {len(rows)} rows; a picture holds {MOST_ROWS}")
    key = answer.summary["ranked_by"]
    places = _places(rows, devices=key != DEVICES)
    quotes = answer.inputs["device_prices"]
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=[row["place"] for row in rows], paddingInner=0.35))
    layers = [
        *_bars(rows, key, quotes, places, y),
        *_columns(rows, key, places, y),
        _without_bar(rows, key, places, y),
        _hover(rows, answer, places, y),
    ]
    headline, _, rest = answer.summary["answer"].partition("; ")
    headline = headline.rstrip(".").replace(" x ", "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}")
    return house_style(
        layered([layer for layer in layers if layer is not None], width=places.end, height=ROW * len(rows)),
        headline,
        [
            _about(answer),
            _limits(answer, rows),
            f"{rest[:1].upper()}{rest[1:]}",
            _prices(answer),
        ],
        _values(rows, key),
        left=0,
    )


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Return the rows in numbers."""
    unit = "USD per million output tokens" if key == COST else "devices"
    return [
        f"{row['system']} {row['mode'].upper()}: "
        + (
            f"infeasible, {row['binding']}"
            if not row["feasible"]
            else f"{'no cost known' if row[key] is None else f'{_bar_label(key, row[key])} {unit}'}, "
            f"{row['n_devices']:,} devices as {row['deployment']}"
        )
        for row in rows
    ]


def _places(rows: Sequence[Mapping[str, Any]], *, devices: bool) -> Places:
    """Return where the columns stand, by the longest texts in them."""
    mode = max([len(row["system"]) for row in rows] + [len("system")]) * LETTER + GAP
    bars = mode + MODE + GAP
    texts = max([len(row["deployment"] or "") for row in rows] + [len(SHAPE)]) * LETTER
    counts, watts = (
        max(NUMBER, max(len(_text(key, row)) for row in rows) * LETTER + GAP) for key in (DEVICES, "power_kw")
    )
    counts = counts if devices else 0
    watts = watts if one_power(rows) else 0
    end = bars + max(BARS, WIDTH - bars - counts - watts - GAP - texts)
    power = end + counts + watts
    return Places(mode, bars, end, end + counts, power, power + GAP, power + GAP + texts)


def _bars(
    rows: Sequence[Mapping[str, Any]],
    key: str,
    quotes: Mapping[str, Mapping[str, Any] | None],
    places: Places,
    y: alt.Y,
) -> list[alt.Chart]:
    """Return the bars and their numbers; pale and dashed where a price or most of a step is an estimate."""
    shown = [
        {
            "place": row["place"],
            "value": row[key],
            "zero": 0,
            "label": _bar_label(key, row[key]),
            "fill": MODES[row["mode"]].color,
            "estimated": _unmeasured(row) or (key == COST and _estimated(row["system"], quotes)),
            "best": row["rank"] == 1,
        }
        for row in rows
        if row[key] is not None
    ]
    most = max(row["value"] for row in shown)
    x = alt.X(
        "value:Q",
        scale=alt.Scale(domain=[0, most * ROOM], range=[places.bars, places.bars_end], nice=False),
        axis=alt.Axis(
            title="USD per million output tokens" if key == COST else "devices",
            tickCount=5,
            format=",~r",
            grid=False,
        ),
    )
    layers = []
    for estimated in (False, True):
        own = [row for row in shown if row["estimated"] == estimated]
        if own:
            dash: dict[str, Any] = {"strokeDash": ESTIMATED_DASH, "fillOpacity": PALE} if estimated else {}
            layers.append(
                alt.Chart(chart_data(own))
                .mark_bar(strokeWidth=1.4, **dash)
                .encode(
                    x,
                    y,
                    x2=alt.X2("zero:Q"),
                    fill=alt.Fill("fill:N", scale=None),
                    stroke=alt.Stroke("fill:N", scale=None),
                )
            )
    for best in (True, False):
        own = [row for row in shown if row["best"] == best]
        layers.append(
            alt.Chart(chart_data(own))
            .mark_text(align="left", dx=6, color=INK, fontSize=12, fontWeight="bold" if best else "normal")
            .encode(x, y, text=alt.Text("label:N"))
        )
    return layers


def _bar_label(key: str, value: float) -> str:
    """Return the number of a bar; of costs all have three digits, so that they line up."""
    if key == COST and value < 1000:  # noqa: PLR2004 - what three digits hold
        return f"{value:#.3g}".rstrip(".")
    return column(key).show(value)


def _estimated(system: str, quotes: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Return whether a candidate's price is an estimate, on either side of a pair."""
    return any((quotes.get(name) or {}).get("kind") == "estimated" for name in system.split("+"))


def _unmeasured(row: Mapping[str, Any]) -> bool:
    """Return whether most of a step rests on efficiencies that were never measured on such parts."""
    return bool((row.get("estimated_share") or 0.0) >= MOSTLY)


def _columns(rows: Sequence[Mapping[str, Any]], key: str, places: Places, y: alt.Y) -> list[alt.Chart]:
    """Return the columns of text beside the bars, with their names on top."""
    devices: list[tuple[str, str, float, Side]] = [("n_devices", "devices", places.devices, "right")]
    power: list[tuple[str, str, float, Side]] = [("power_kw", "kW", places.power, "right")]
    columns: list[tuple[str, str, float, Side]] = [
        ("system", "system", 0, "left"),
        ("mode", "mode", places.mode, "left"),
        *(devices if key != DEVICES else []),
        *(power if one_power(rows) else []),
        ("deployment", SHAPE, places.deployment, "left"),
    ]
    layers = []
    for name, title, at, align in columns:
        for best in (True, False):
            own = [
                {"place": row["place"], "text": _text(name, row)}
                for row in rows
                if (row["rank"] == 1) == best and (row["feasible"] or name in {"system", "mode"})
            ]
            if own:
                layers.append(
                    alt.Chart(chart_data(own))
                    .mark_text(align=align, fontSize=12, color=INK, fontWeight="bold" if best else "normal")
                    .encode(y, x=alt.XValue(at), text=alt.Text("text:N"))
                )
        layers.append(
            alt.Chart(chart_data([{"text": title}]))
            .mark_text(align=align, baseline="bottom", fontSize=12, color=FAINT)
            .encode(x=alt.XValue(at), y=alt.YValue(-HEADER), text=alt.Text("text:N"))
        )
    return layers


def _text(key: str, row: Mapping[str, Any]) -> str:
    if key == "mode":
        return str(row["mode"]).upper()
    if key == "power_kw" and row[key] is not None:
        return f"{row[key]:,.0f}" if row[key] >= 10 else f"{row[key]:.2g}"  # noqa: PLR2004 - two digits
    return column(key).show(row[key])


def _without_bar(rows: Sequence[Mapping[str, Any]], key: str, places: Places, y: alt.Y) -> alt.Chart | None:
    """Return why rows have no bar: nobody says what they cost, or they cannot serve the demand."""
    shown = [
        {
            "place": row["place"],
            "text": ("no price" if _unpriced(row) else "cost not known")
            if row["feasible"]
            else f"infeasible: {row['binding']}",
        }
        for row in rows
        if row[key] is None
    ]
    if not shown:
        return None
    named: alt.Chart = (
        alt.Chart(chart_data(shown))
        .mark_text(align="left", fontSize=12, fontStyle="italic", color=FAINT)
        .encode(y, x=alt.XValue(places.bars + 6), text=alt.Text("text:N"))
    )
    return named


def _unpriced(row: Mapping[str, Any]) -> bool:
    """Return whether it is the price that is missing; what is bought lacks a cost where power is unknown."""
    return row["capex_usd"] is None


def _hover(rows: Sequence[Mapping[str, Any]], answer: Answer, places: Places, y: alt.Y) -> alt.Chart:
    """Return a pane over each row that shows all its numbers."""
    unit = "USD" if answer.inputs["price_basis"] == "purchase" else "USD/h"
    given = [key for key in HOVER if any(row[key] is not None for row in rows)]
    shown = [
        {"place": row["place"], **{key: _shown(key, row) for key in given if row[key] is not None}}
        for row in rows
    ]
    pane: alt.Chart = (
        alt.Chart(chart_data(shown))
        .mark_rect(fill=GROUND, fillOpacity=0)
        .encode(
            y,
            x=alt.XValue(0),
            x2=alt.X2Value(places.end),
            tooltip=[
                alt.Tooltip(f"{key}:N", title=TITLES.get(key, column(key).title).format(unit=unit))
                for key in given
            ],
        )
    )
    return pane


def _shown(key: str, row: Mapping[str, Any]) -> str:
    if key == "load":
        return f"{row[key]:.0%}"
    return str(row[key]).upper() if key == "mode" else column(key).show(row[key])


def _about(answer: Answer) -> str:
    """Return demand, model and limits in a line."""
    asked = answer.inputs
    demand = answer.notes[0].removeprefix("demand ").replace("output tokens a second", "tokens/s")
    most = f"{asked['devices']} devices" if asked["devices"] else f"at most {asked['max_devices']} devices"
    limit = f"TPOT at most {asked['tpot_ms']:.4g} ms"
    parts = [
        answer.picture["model"],
        f"demand {demand}",
        limit if limit not in demand else "",
        f"context {asked['context']:,} tokens",
        f"accept length {asked['accept_length']:g}" if asked["accept_length"] != 1 else "",
        f"{most} a replica",
    ]
    return " · ".join(filter(None, parts))


def one_power(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether all power is of one kind: others do not compare, and stand in the hover alone."""
    return len({row["power_basis"] for row in rows if row["power_basis"]}) < 2  # noqa: PLR2004 - two kinds


def _prices(answer: Answer) -> str:
    """Return basis, terms and dates of the prices in a line."""
    asked = answer.inputs
    found = {name: quote for name, quote in asked["device_prices"].items() if quote}
    if not found:
        return f"No candidate has a {asked['price_basis']} price on {asked['price_terms']} terms."
    dates = sorted({quote["date"] for quote in found.values() if quote["date"]})
    given = sorted(name for name, quote in found.items() if quote["kind"] == "given")
    parts = [f"Prices: {asked['price_basis']}"]
    if dates:
        parts.append(f"{asked['price_terms']}, " + " to ".join(dict.fromkeys((dates[0], dates[-1]))))
    if given:
        parts.append(f"as given for {', '.join(given)}")
    if asked["cny_per_usd"] and any(quote["unit"] == "CNY" for quote in found.values()):
        parts.append(f"{asked['cny_per_usd']:g} CNY per USD")
    if asked["price_basis"] == "purchase":
        parts.append(
            f"devices alone, over {asked['years']:g} years, power at {asked['power_usd_per_kwh']:g} USD "
            "per kWh"
        )
    if asked["utilization"] != 1:
        parts.append(f"{asked['utilization']:.0%} of the tokens sold")
    return " · ".join(parts)


def _limits(answer: Answer, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how to read the bars: costs of systems are held against the median error of predictions."""
    if answer.summary["ranked_by"] == DEVICES:
        pale = " Pale and dashed: never measured on such parts." if any(map(_unmeasured, rows)) else ""
        return f"Bars: devices, the fewest on top.{pale}"
    prices = any(_estimated(row["system"], answer.inputs["device_prices"]) for row in rows if row[COST])
    weak = [
        *(["the price is an estimate"] if prices else []),
        *(["most of a step was never measured on such parts"] if any(map(_unmeasured, rows)) else []),
    ]
    pale = f" Pale and dashed: {', or '.join(weak)}." if weak else ""
    return f"Systems less than {answer.summary['validated_error']:.1%} apart are too close to call.{pale}"
