"""What pictures of serving modes share: the frontiers of an answer as layers, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
import numpy as np

from roofline_afd.view.charts.style import BAND, FAINT, GROUND, INK, PANE, SERVING_MODES, chart_data
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

MEANINGS = {
    "device": ("tokens per second and device", "tokens/s per device"),
    "dollar": ("tokens per USD", "tokens per USD"),
    "watt": ("tokens per joule", "tokens per joule"),
}
"""What throughput is weighed by: as the title of an axis, and after a number."""
SPEED = "tokens_per_s_per_user"
HOVER = (
    "mode",
    "deployment",
    "batch_per_group",
    "chunk_tokens",
    "microbatches",
    "ttft_ms",
    "tpot_ms",
    SPEED,
    "tokens_per_s_per_device",
    "tokens_per_usd",
    "tokens_per_joule",
    "usd_per_million_tokens",
)
TEXTS = {"mode", "deployment"}
BEATEN = "#b3bac2"
"""Colour of beaten deployments."""
MARKERS_APART = 26
"""Pixels of a frontier from one visible marker to the next."""
ROOM = 1.13
"""Height of the axis over the highest point, for the name of the best deployment."""
RIGHT = 0.62
"""Share of the width from which a label stands left of its place."""
GROUPED_FROM, MILLION = 100, 1e6
COARSE, ALIKE = 0.1, 0.0005
"""Difference from which per cent are whole numbers, and below which there is none to tell."""
DOT = "\N{NO-BREAK SPACE}\N{MIDDLE DOT} "
"""What stands between the parts of a line, and where it is broken ends it."""


class Drawn(NamedTuple):
    """What is drawn of an answer: frontiers by mode, slowest first, and deployments they beat."""

    answer: Answer
    frontiers: dict[str, list[dict[str, Any]]]
    beaten: list[dict[str, Any]]
    key: str

    @property
    def names(self) -> dict[str, str]:
        """The names of modes."""
        found: dict[str, str] = self.answer.picture["names"]
        return found

    @property
    def best(self) -> dict[str, Any]:
        """The deployment that serves most under the limits."""
        found: dict[str, Any] = self.answer.summary["best_under_slo"]
        return found

    @property
    def meaning(self) -> tuple[str, str]:
        """What throughput is called: on an axis, and after a number."""
        return MEANINGS[self.answer.inputs["per"]]

    @property
    def second(self) -> str | None:
        """The mode that serves most after the best; None where no other serves at all."""
        others = {mode: own[0][self.key] for mode, own in self.frontiers.items() if mode != self.best["mode"]}
        return max(others, key=lambda mode: float(others[mode])) if others else None

    @property
    def is_close(self) -> bool:
        """Whether the mode that serves most after the best may as well be ahead."""
        return self.second in self.answer.summary.get("too_close_to", {})

    @property
    def doubt(self) -> str:
        """Why that is: how likely the second is ahead, or the error of levels."""
        summary, second = self.answer.summary, self.second
        chance = summary["too_close_to"].get(second)
        if chance is None:
            return f"the median error is {summary['validated_error']:.1%}"
        return f"{self.names[second or '']} is ahead with probability {chance:.2f}"

    def behind(self, other: str) -> str:
        """Return by how much the best of another mode falls behind, as it is held against the error."""
        share = 1.0 - self.frontiers[other][0][self.key] / self.best[self.key]
        if share < ALIKE:
            return f"{self.names[other]} just as much"
        return f"{self.names[other]} {f'{share:.0%}' if share >= COARSE else f'{share:.1%}'} less"

    @property
    def limits(self) -> str:
        """The limits in words; empty without any."""
        inputs = self.answer.inputs
        named = (("TTFT", inputs["ttft_ms"]), ("TPOT", inputs["tpot_ms"]))
        limits = [f"{name} <= {value:g} ms" for name, value in named if value is not None]
        return " under " + " and ".join(limits) if limits else ""


def drawn_of(answer: Answer) -> Drawn:
    """Return what is drawn of an answer, frontiers and the rest apart."""
    picture, rows = answer.picture, answer.rows()
    beaten = picture["beaten"]
    return Drawn(
        answer=answer,
        frontiers={mode: [rows[at] for at in own] for mode, own in picture["frontiers"].items()},
        beaten=[dict(zip(beaten, values, strict=True)) for values in zip(*beaten.values(), strict=True)],
        key=picture["key"],
    )


class Frame(NamedTuple):
    """The two axes of a chart in numbers: what they span, in how many pixels."""

    low: float
    high: float
    top: float
    width: int
    height: int

    def speed_at(self, pixels: float) -> float:
        """Return the value that stands so many pixels from the left."""
        return self.low + pixels / self.width * (self.high - self.low)

    def place(self, speed: float, amount: float) -> tuple[float, float]:
        """Return the pixels from the left and from the top."""
        across = (speed - self.low) / (self.high - self.low) * self.width
        return across, (1.0 - amount / self.top) * self.height

    def x(self, title: str | None) -> alt.X:
        """Return the axis of speeds."""
        return alt.X(
            f"{SPEED}:Q",
            scale=alt.Scale(domain=[self.low, self.high], nice=False, zero=False),
            axis=alt.Axis(title=title, format=",.4~r", tickCount=max(self.width // 90, 3), grid=False),
        )

    def y(self, key: str, title: str | None) -> alt.Y:
        """Return the axis of throughput."""
        return alt.Y(
            f"{key}:Q",
            scale=alt.Scale(domain=[0, self.top], nice=False),
            axis=alt.Axis(
                title=title,
                format=".3~s" if self.top >= MILLION else ",.4~r",
                tickCount=max(self.height // 70, 3),
            ),
        )


def frame_of(drawn: Drawn, *, width: int, height: int, clear: tuple[int, int] = (0, 0)) -> Frame:
    """Return axes that hold all frontiers and the limit, and leave so many pixels clear at the top right."""
    rows = [row for own in drawn.frontiers.values() for row in own]
    speeds = [row[SPEED] for row in rows]
    slowest = drawn.answer.inputs["tpot_ms"]
    if slowest is not None:
        speeds.append(1e3 / slowest)
    low, high = min(speeds), max(speeds)
    margin = 0.025 * (high - low or high)
    top = max(row[drawn.key] for row in rows) * ROOM
    frame = Frame(low=max(low - margin, 0.0), high=high + margin, top=top, width=width, height=height)
    beside = [row[drawn.key] for row in rows if frame.place(row[SPEED], 0.0)[0] >= width - clear[0]]
    least = max(beside, default=0.0) / (1.0 - clear[1] / height)
    return frame._replace(top=max(top, least))


def on_one_scale(frames: Sequence[Frame]) -> list[Frame]:
    """Return frames that all span what any of them does."""
    low, high, top = (
        min(frame.low for frame in frames),
        max(frame.high for frame in frames),
        max(frame.top for frame in frames),
    )
    return [frame._replace(low=low, high=high, top=top) for frame in frames]


def band_layers(drawn: Drawn, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return the error of published services about the frontiers of modes that such were measured of."""
    layers = []
    for mode, errors in drawn.answer.picture.get("errors", {}).items():
        rows = [
            {SPEED: row[SPEED], "low": row[drawn.key] * (1 - error), "high": row[drawn.key] * (1 + error)}
            for row, error in zip(drawn.frontiers.get(mode, ()), errors, strict=False)
        ]
        area: alt.Chart = (
            alt.Chart(chart_data(rows))
            .mark_area(
                color=SERVING_MODES[mode].color,
                opacity=BAND,
                interpolate="step-before",
                clip=True,
                aria=False,
            )
            .encode(x, alt.Y("low:Q", scale=y["scale"], axis=y["axis"]), alt.Y2("high:Q"))
        )
        layers.append(area)
    return layers


def bands_said(drawn: Drawn) -> str:
    """Return what the bands are, and which modes have none."""
    known = {mode: own for mode, own in drawn.answer.picture.get("errors", {}).items() if own}
    told = [f"{drawn.names[mode]} {_span(own)}" for mode, own in known.items()]
    if len(known) == len(drawn.frontiers):
        missing = ""
    else:
        whose = "other modes" if known else "these modes"
        missing = f"Of {whose} no such service was measured: no band."
    said = f"Band: the median error of published decode and prefill, {', '.join(told)}." if told else ""
    return " ".join(filter(None, (said, missing)))


def _span(errors: Sequence[float]) -> str:
    low, high = (f"{end(errors):.0%}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def values_of(drawn: Drawn) -> list[str]:
    """Return frontiers in numbers."""
    return [
        f"{drawn.names[mode]}, {drawn.meaning[0]} at tokens per second of a user: "
        + ", ".join(f"{amount(row[drawn.key])} at {row[SPEED]:.3g}" for row in own)
        for mode, own in drawn.frontiers.items()
    ]


def limit_layers(drawn: Drawn, frame: Frame, x: alt.X, *, named: bool) -> list[alt.Chart]:
    """Return the speeds below the time per output token that is allowed, and their border."""
    limit = drawn.answer.inputs["tpot_ms"]
    if limit is None:
        return []
    data = chart_data([{SPEED: 1e3 / limit, "from": frame.speed_at(0), "label": f"TPOT {limit:g} ms"}])
    base = alt.Chart(data)
    layers = [
        base.mark_rect(color=PANE, aria=False).encode(
            alt.X("from:Q"), alt.X2(f"{SPEED}:Q"), y=alt.YValue(0), y2=alt.Y2Value(frame.height)
        ),
        base.mark_rule(color=FAINT, strokeWidth=1.2).encode(x),
    ]
    if named:
        layers.append(
            base.mark_text(align="left", baseline="bottom", dx=6, color=FAINT, fontSize=12).encode(
                x, y=alt.YValue(frame.height - 5), text=alt.Text("label:N")
            )
        )
    return layers


def beaten_layers(drawn: Drawn, frame: Frame, x: alt.X, y: alt.Y, *, most: int) -> list[alt.Chart]:
    """Return the deployments that others of their mode beat, as dots."""
    if most < 1:
        return []
    rows = [_shown(drawn, row) for row in _thinned(drawn.beaten, drawn.key, frame, most)]
    if not rows:
        return []
    return [
        alt.Chart(chart_data(rows))
        .mark_circle(size=9, color=BEATEN, opacity=0.75, clip=True, aria=False)
        .encode(x, y, tooltip=_tooltip(rows))
    ]


def _thinned(rows: list[dict[str, Any]], key: str, frame: Frame, most: int) -> list[dict[str, Any]]:
    """Return at most so many rows, spread over the chart: one of each cell of a grid."""
    rows = [row for row in rows if row[SPEED] >= frame.low]
    cell = 3.0
    while True:
        kept: dict[tuple[int, int], dict[str, Any]] = {}
        for row in rows:
            across, down = frame.place(row[SPEED], row[key])
            kept.setdefault((int(across / cell), int(down / cell)), row)
        if len(kept) <= most:
            return list(kept.values())
        cell *= 1.15


def frontier_layers(drawn: Drawn, frame: Frame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a step line a mode with markers; those too close to another are there for the hover alone."""
    layers: list[alt.Chart] = []
    best = drawn.best["mode"]
    for mode in sorted(drawn.frontiers, key=lambda each: each == best):  # the best on top
        color, dash, shape = SERVING_MODES[mode]
        rows = []
        last = (-np.inf, -np.inf)
        own = drawn.frontiers[mode]
        for row in own:
            place = frame.place(row[SPEED], row[drawn.key])
            visible = np.hypot(place[0] - last[0], place[1] - last[1]) >= MARKERS_APART
            last = place if visible else last
            rows.append(_shown(drawn, row, visible=1 if visible else 0))
        layers += [
            alt.Chart(chart_data([{SPEED: row[SPEED], drawn.key: row[drawn.key]} for row in own]))
            .mark_line(
                color=color,
                strokeDash=dash,
                strokeWidth=2.2,
                interpolate="step-before",
                strokeJoin="round",
                aria=False,
            )
            .encode(x, y),
            alt.Chart(chart_data(rows))
            .mark_point(shape=shape, size=34, stroke=color, fill=color, strokeWidth=1, aria=False)
            .encode(x, y, tooltip=_tooltip(rows), opacity=alt.Opacity("visible:Q", scale=None, legend=None)),
        ]
    return layers


def best_layers(drawn: Drawn, frame: Frame, x: alt.X, y: alt.Y, *, named: bool) -> list[alt.Chart]:
    """Return a ring around the best under the limits, and what it is."""
    best = drawn.best
    color, _, shape = SERVING_MODES[best["mode"]]
    rows = [_shown(drawn, best, label=best["deployment"])]
    base = alt.Chart(chart_data(rows)).encode(x, y)
    layers = [
        base.mark_point(shape="circle", size=210, stroke=INK, strokeWidth=1.6, fill=GROUND, opacity=1),
        base.mark_point(shape=shape, size=60, stroke=color, fill=color, opacity=1).encode(
            tooltip=_tooltip(rows)
        ),
    ]
    if named:
        right = frame.place(best[SPEED], 0.0)[0] < RIGHT * frame.width
        layers.append(
            base.mark_text(
                align="left" if right else "right",
                baseline="bottom",
                dx=8 if right else -8,
                dy=-11,
                color=INK,
                fontSize=13,
                fontWeight="bold",
            ).encode(text=alt.Text("label:N"))
        )
    return layers


def _shown(drawn: Drawn, row: Mapping[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what a point tells: its place and its hover."""
    told = {key: row[key] for key in HOVER if row[key] is not None}
    return told | {"mode": drawn.names[row["mode"]], **more}


def _tooltip(rows: Sequence[Mapping[str, Any]]) -> list[alt.Tooltip]:
    """Return the hover of points: all keys that any of them has."""
    forms = {"chunk_tokens": ",.0f", "usd_per_million_tokens": ".3~r", "ttft_ms": ",.1f", "tpot_ms": ",.2f"}
    return [
        alt.Tooltip(f"{key}:N", title=column(key).title)
        if key in TEXTS
        else alt.Tooltip(f"{key}:Q", title=column(key).title, format=forms.get(key, ",.4~r"))
        for key in HOVER
        if any(row.get(key) is not None for row in rows)
    ]


def system_of(picture: Mapping[str, Any]) -> str:
    """Return the systems in words."""
    return " + ".join(dict.fromkeys([picture["system"], *(picture["sides"] or ())]))


def hardware_of(picture: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return the devices in words."""
    sides = picture["sides"]
    pair = f" (AFD: {sides[0]} + {sides[1]})" if sides else ""
    apart = inputs["prefill_system"] != picture["system_id"]
    before = f", prefill on {inputs['prefill_system']}" if apart else ""
    return f"{inputs['devices']} x {picture['system']}{pair}{before}"


def assumed_of(picture: Mapping[str, Any], answer: Answer) -> str:
    """Return what the numbers rest on, in a line."""
    inputs = answer.inputs
    load = "steady state, no queueing"
    if inputs["request_rate"] is not None:
        load = f"{inputs['request_rate']:g} requests/s that wait for each other"
    moved = next((note for note in answer.notes if note.startswith("between prefill and decode")), "")
    moved = (
        moved.partition("pools ")[2] if any("pd" in mode for mode in answer.summary["best_by_mode"]) else ""
    )
    weakest = next((note for note in answer.notes if note.startswith("the weakest inputs")), "")
    parts = [
        load,
        moved,
        "one prefix in memory for a group" if inputs["shared_prefix"] else "",
        f"accept length {picture['accept_length']:g}" if picture["accept_length"] != 1 else "",
        f"experts {inputs['expert_precision']}, KV {inputs['kv_precision']}",
        weakest.partition(":")[0],
    ]
    return capital("; ".join(filter(None, parts)) + ".")


def amount(value: float) -> str:
    """Return an amount as a chart writes it: short, with separators."""
    if value >= MILLION:
        return f"{value / MILLION:.2f}M"
    return f"{value:,.0f}" if value >= GROUPED_FROM else f"{value:.3g}"


def capital(text: str) -> str:
    """Return a text with a capital."""
    return text[:1].upper() + text[1:]
