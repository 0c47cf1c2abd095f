"""The chart of sensitivities: how far each uncertain input moves the answer, and which change the winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from roofline_afd.view.charts.style import ENDS, FAINT, GROUND, INK, WIDTH, chart_data, house_style, layered
from roofline_afd.view.words import in_words

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

RATIO = "afd_over_ep"
"""Metric of which 1 is where both modes serve the same."""
MOST_BARS = 15
ROW = 34
"""Pixels of an input, up."""
NAME_ROOM = 310
"""Pixels left of the bars for the names of inputs."""
SMALLEST = 1e-4
"""Share of the metric from which a bar can be seen."""
LETTER = 6.6
"""Pixels of a letter of a number at the end of a bar."""
IN_SIGHT = 1.35
"""Ratio either way from which the line of equal modes is left out of sight."""
LEAST_SPAN = 0.1
"""Share of the metric that the axis shows to either side at least: no crumb fills the picture."""
HALF = 0.4
"""Half of a bar's height, as a share of its row."""


def tornado_chart(answer: Answer) -> alt.LayerChart:
    """Draw how far each uncertain input moves the answer, those that move it most on top.

    Parameters
    ----------
    answer : Answer
        Of `sensitivity`.

    Returns
    -------
    altair.LayerChart
        The chart: a bar to each end of the range, and diamonds where the winner changes.
    """
    base = float(answer.summary["metric_value"])
    rows = [
        row
        for row in answer.rows()
        if row.get("other_input") is None and (row["swing"] is None or row["swing"] > SMALLEST * base)
    ][:MOST_BARS]
    width, height = WIDTH - NAME_ROOM, max(len(rows), 1) * ROW
    winner = answer.summary["winner"]
    bars = [bar for place, row in enumerate(rows) for bar in _bars(row, place, base, winner)]
    ends = [base, *(bar["metric"] for bar in bars)]
    ends += [base * (1 - LEAST_SPAN), base * (1 + LEAST_SPAN)]
    if answer.summary["metric"] == RATIO and 1 / IN_SIGHT < base < IN_SIGHT:
        ends.append(1.0)
    per_pixel = ((max(ends) - min(ends)) or 0.1 * base) / (width - 2 * LETTER * 9)
    domain = [min(ends) - LETTER * 9 * per_pixel, max(ends) + LETTER * 9 * per_pixel]
    x = alt.X(
        "metric:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(title=answer.picture["metric"], format=",.4~r", tickCount=6, grid=False),
    )
    top, middle = (_row_axis(key, len(rows) or 1) for key in ("top", "middle"))
    even, own = _lines(answer, base, domain, x)
    layers = [
        *even,
        *_bar_layers(bars, x, top, middle),
        *own,
        *_names(rows, middle),
        *_markers(bars, x, middle),
    ]
    asked = answer.inputs
    about = [
        f"{answer.picture['system']} x {answer.picture['model']}",
        f"TPOT {asked['tpot_ms']:g} ms",
        f"context {asked['context']:,} tokens",
        f"up to {asked['devices'] or asked['max_devices']} devices",
    ]
    how = "Bars: one input at the low (pale) or high (dark) end of its range, its value there beside."
    marks = ("Diamonds: the winner changes." if any(bar["changes"] for bar in bars) else "") + (
        " Half bars: both ends move it the same way." if any(bar["split"] for bar in bars) else ""
    )
    styled: alt.LayerChart = house_style(
        layered(layers, width=width, height=height),
        answer.summary["answer"],
        [" · ".join(about), how, marks.strip()],
        [_told(row) for row in rows],
        left=NAME_ROOM,
    )
    return styled


def _told(row: dict[str, Any]) -> str:
    """Return a row in numbers."""
    ends = (
        f"at {row[end]:.4g} "
        + ("infeasible" if row[f"metric_{end}"] is None else f"{row[f'metric_{end}']:,.4g}")
        for end in ("low", "high")
    )
    return f"{in_words(row['input'])} {row['value']:.4g}: {', '.join(ends)}"


def _row_axis(key: str, rows: int) -> alt.Y:
    """Return the places of rows, the first on top: on one scale in all layers, which lose it otherwise."""
    return alt.Y(f"{key}:Q", scale=alt.Scale(domain=[rows, 0], nice=False), axis=None)


def _bars(row: dict[str, Any], place: int, base: float, winner: str) -> list[dict[str, Any]]:
    """Return the bars of an input, one to each end; of half the height where both go the same way."""
    numbers = {end: row[f"metric_{end}"] for end in ("low", "high")}
    known = [value for value in numbers.values() if value is not None]
    split = len(known) == 2 and (known[0] - base) * (known[1] - base) > 0  # noqa: PLR2004 - both ends
    middle = place + 0.5
    found = []
    for end, number in numbers.items():
        top = middle if split and end == "high" else middle - HALF
        bottom = middle if split and end == "low" else middle + HALF
        value = base if number is None else number
        free = end == "high" if not known or number is not None else known[0] < base  # beside no bar
        found.append(
            {
                "input": row["input"],
                "name": in_words(row["input"]),
                "end": end,
                "value": row[end],
                "unit": "" if row["unit"] == "1" else row["unit"],
                "base": base,
                "metric": value,
                "feasible": number is not None,
                "top": top,
                "bottom": bottom,
                "middle": (top + bottom) / 2,
                "split": split,
                "changes": row[f"winner_{end}"] not in {None, winner},
                "winner": str(row[f"winner_{end}"]).upper() if row[f"winner_{end}"] else "neither",
                "label": f"{row[end]:.4g}" + ("" if number is not None else ": infeasible"),
                "right": value > base or (value == base and free),
                "uncertainty": row["uncertainty"],
            }
        )
    return [bar for bar in found if not bar["feasible"] or bar["metric"] != base]


def _bar_layers(bars: list[dict[str, Any]], x: alt.X, top: alt.Y, middle: alt.Y) -> list[alt.Chart]:
    """Return the bars, and the value of the input at the end of each."""
    layers = []
    tooltip = [
        alt.Tooltip("name:N", title="input"),
        alt.Tooltip("value:Q", format=".4~r"),
        alt.Tooltip("unit:N"),
        alt.Tooltip("metric:Q", format=",.4~r"),
        alt.Tooltip("winner:N"),
        alt.Tooltip("uncertainty:N"),
    ]
    for end, color in ENDS.items():
        own = [bar for bar in bars if bar["end"] == end]
        layers.append(
            alt.Chart(chart_data(own))
            .mark_rect(color=color, stroke=INK, strokeWidth=0.6)
            .encode(x, top, x2=alt.X2("base:Q"), y2=alt.Y2("bottom:Q"), tooltip=tooltip)
        )
    for right in (False, True):
        own = [bar for bar in bars if bar["right"] == right]
        place: dict[str, Any] = {"align": "left" if right else "right", "dx": 11 if right else -11}
        base = alt.Chart(chart_data(own)).encode(x, y=middle, text=alt.Text("label:N"))
        layers.insert(0, base.mark_text(**place, fontSize=11, color=GROUND, stroke=GROUND, strokeWidth=4))
        layers.append(base.mark_text(**place, fontSize=11, color=FAINT))
    return layers


def _markers(bars: list[dict[str, Any]], x: alt.X, middle: alt.Y) -> list[alt.Chart]:
    """Return a diamond at the end of every bar where the winner is another."""
    own = [bar for bar in bars if bar["changes"]]
    if not own:
        return []
    found: alt.Chart = (
        alt.Chart(chart_data(own))
        .mark_point(shape="diamond", size=130, stroke=INK, strokeWidth=1.8, fill=GROUND, opacity=1)
        .encode(x, y=middle, tooltip=[alt.Tooltip("winner:N", title="winner here")])
    )
    return [found]


def _lines(
    answer: Answer, base: float, domain: list[float], x: alt.X
) -> tuple[list[alt.Chart], list[alt.Chart]]:
    """Return the line at which both modes are equal, where in sight, and that of the question itself."""
    even: list[alt.Chart] = []
    if answer.summary["metric"] == RATIO and domain[0] < 1 < domain[1]:
        even = _line(1.0, "EP = AFD", x, dash=[5, 4], right=base <= 1)
    return even, _line(base, f"as asked {base:,.4g}", x, dash=[1, 0], right=not even or base > 1)


def _line(at: float, label: str, x: alt.X, *, dash: list[int], right: bool) -> list[alt.Chart]:
    """Return an upright line with its name on top."""
    one = alt.Chart(chart_data([{"metric": at, "label": label}]))
    name: alt.Chart = one.mark_text(
        align="left" if right else "right",
        dx=4 if right else -4,
        dy=-8,
        fontSize=12,
        fontWeight="bold",
        color=INK,
    ).encode(x, y=alt.YValue(0), text=alt.Text("label:N"))
    return [one.mark_rule(color=INK, strokeWidth=1.6, strokeDash=dash).encode(x), name]


def _names(rows: list[dict[str, Any]], middle: alt.Y) -> list[alt.Chart]:
    """Return the names of the inputs left of their bars, each with its own value."""
    named = []
    for place, row in enumerate(rows):
        name, _, record = in_words(row["input"]).partition(" (")
        value = f"{row['value']:.4g}" + ("" if row["unit"] == "1" else f" {row['unit']}")
        named.append(
            {
                "middle": place + 0.5,
                "input": row["input"],
                "label": name,
                "value": f"{record.rstrip(')')}: {value}" if record else value,
                "weight": "bold" if row["changes_winner"] else "normal",
            }
        )
    layers = []
    for weight in ("bold", "normal"):
        own = [each for each in named if each["weight"] == weight]
        names: alt.Chart = (
            alt.Chart(chart_data(own))
            .mark_text(align="right", dx=-10, dy=-7, fontSize=12, color=INK, fontWeight=weight)
            .encode(x=alt.XValue(0), y=middle, text=alt.Text("label:N"))
        )
        layers.append(names)
    values: alt.Chart = (
        alt.Chart(chart_data(named))
        .mark_text(align="right", dx=-10, dy=8, fontSize=11, color=FAINT)
        .encode(x=alt.XValue(0), y=middle, text=alt.Text("value:N"))
    )
    return [*layers, values]
