"""Charts of serving modes: what each reaches in throughput and in tokens a second of every user."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import altair as alt
import numpy as np

from roofline_afd.analysis.decode.predict import rounded_up
from roofline_afd.analysis.requests.explore import NAMES, OBJECTIVES, REASONS, explored
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.limits import FIRST_TOKEN, LATENCY
from roofline_afd.serving.modes.points import frontier_rows
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD, PD_AFD, SERVING_MODES
from roofline_afd.serving.workload import WORKLOADS
from roofline_afd.view.charts.style import (
    BLUE,
    FAINT,
    GREEN,
    GROUND,
    HEIGHT,
    INK,
    ORANGE,
    PLUM,
    WIDTH,
    chart_data,
    house_style,
)
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.scenario import Scenario

STYLES: dict[str, tuple[str, list[int], str]] = {
    AGG: (BLUE, [1, 0], "circle"),
    PD: (GREEN, [9, 4], "triangle-up"),
    AGG_AFD: (ORANGE, [2, 3], "square"),
    PD_AFD: (PLUM, [9, 3, 2, 3], "diamond"),
}
"""Colour, dash and marker of a mode: any one of them tells it from the others."""
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
MOST_BEATEN = 1000
"""Grey dots of a chart."""
BEATEN, TOO_SLOW = "#b3bac2", "#eef0f2"
"""Colours of beaten deployments, and of the speeds below what is allowed."""
GUTTER = 196
"""Pixels left of the slowest deployment, for the names of the frontiers."""
NAMES_APART = 19
"""Pixels between two names."""
MARKERS_APART = 26
"""Pixels of a frontier from one visible marker to the next."""
ROOM = 1.13
"""Height of the axis over the highest point, for the name of the best deployment."""
RIGHT = 0.62
"""Share of the width from which a label stands left of its place."""
GROUPED_FROM, MILLION = 100, 1e6
COARSE = 0.1
"""Lead from which per cent are whole numbers."""
DOT = "\N{NO-BREAK SPACE}\N{MIDDLE DOT} "
"""What stands between the parts of a line, and where it is broken ends it."""
PANEL_WIDTH, PANEL_HEIGHT = 292, 172
PANEL_BEATEN = 250
PANEL_LETTERS = 50
"""Letters of a line inside a panel."""
MOST_PANELS = 60
SAMPLE, KEY_LETTER = 34, 8
"""Pixels of the piece of a line in a key, and of a letter of its name."""


class _Frame(NamedTuple):
    """The two axes of a chart in numbers: what they span, in how many pixels."""

    low: float
    high: float
    top: float
    left: int
    width: int
    height: int

    def speed_at(self, pixels: float) -> float:
        """Return the value that stands so many pixels from the left."""
        return self.low + (pixels - self.left) / (self.width - self.left) * (self.high - self.low)

    def height_at(self, pixels: float) -> float:
        """Return the value that stands so many pixels from the top."""
        return self.top * (1.0 - pixels / self.height)

    def place(self, speed: float, amount: float) -> tuple[float, float]:
        """Return the pixels from the left and from the top."""
        across = self.left + (speed - self.low) / (self.high - self.low) * (self.width - self.left)
        return across, (1.0 - amount / self.top) * self.height

    def x(self, title: str | None) -> alt.X:
        """Return the axis of speeds."""
        return alt.X(
            f"{SPEED}:Q",
            scale=alt.Scale(
                domain=[self.low, self.high], range=[self.left, self.width], nice=False, zero=False
            ),
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


class _Drawn(NamedTuple):
    """What is drawn of an answer: frontiers by mode, slowest first, and deployments they beat."""

    answer: Answer
    frontiers: dict[str, list[dict[str, Any]]]
    beaten: list[dict[str, Any]]
    key: str

    @property
    def best(self) -> dict[str, Any]:
        """The deployment that serves most under the limits."""
        found: dict[str, Any] = self.answer.summary["best_under_slo"]
        return found

    @property
    def meaning(self) -> tuple[str, str]:
        """What throughput is called: on an axis, and after a number."""
        return MEANINGS[self.answer.inputs["per"]]


def pareto_chart(
    scenario: Scenario,
    *,
    dots: int = MOST_BEATEN,
    **question: Any,  # noqa: ANN401 - those of `explored`
) -> alt.LayerChart:
    """Draw the frontier of each serving mode: throughput over tokens a second of every user.

    Parameters
    ----------
    scenario : Scenario
        Model and system; its `tpot_ms`, where given, is drawn as a line.
    dots : int
        Most grey dots [1].
    **question
        Requests, limits and what is searched, as for `explore`.

    Returns
    -------
    altair.LayerChart
        The chart: a step line a mode, grey dots what they beat, the best under the limits in a ring.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment.
    """
    drawn = _drawn(scenario, question)
    frame = _frame(drawn, left=GUTTER, width=WIDTH, height=HEIGHT)
    x, y = frame.x("tokens per second and user"), frame.y(drawn.key, drawn.meaning[0])
    layers = [
        *_limit_layers(drawn, frame, x, named=True),
        *_beaten_layers(drawn, frame, x, y, most=dots),
        *_name_layers(drawn, frame, x, y),
        *_frontier_layers(drawn, frame, x, y),
        *_best_layers(drawn, frame, x, y, named=True),
    ]
    return house_style(
        alt.LayerChart(layer=layers).properties(width=WIDTH, height=HEIGHT),
        _headline(drawn),
        _subtitle(scenario, drawn),
    )


def _drawn(scenario: Scenario, question: Mapping[str, Any]) -> _Drawn:
    """Return what is found, frontiers and the rest apart."""
    answer, beaten = explored(scenario, **question)
    key = OBJECTIVES[answer.inputs["per"]]
    rows = [row for row in answer.rows() if row["feasible"]]
    frontiers = {}
    for mode in SERVING_MODES:
        own = [row for row in rows if row["mode"] == mode]
        if own:
            on = frontier_rows(
                np.array([row["tpot_ms"] for row in own]), np.array([row[key] for row in own])
            ).tolist()
            frontiers[mode] = [own[index] for index in reversed(on)]
    return _Drawn(answer, frontiers, beaten, key)


def _frame(drawn: _Drawn, *, left: int, width: int, height: int) -> _Frame:
    """Return axes that hold all frontiers and the limit."""
    rows = [row for own in drawn.frontiers.values() for row in own]
    speeds = [row[SPEED] for row in rows]
    slowest = drawn.answer.inputs["tpot_ms"]
    if slowest is not None:
        speeds.append(1e3 / slowest)
    low, high = min(speeds), max(speeds)
    margin = 0.025 * (high - low or high)
    return _Frame(
        low=max(low - margin, 0.0),
        high=high + margin,
        top=max(row[drawn.key] for row in rows) * ROOM,
        left=left,
        width=width,
        height=height,
    )


def _shown(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what a point tells: its place and its hover."""
    return {key: row[key] for key in HOVER if row[key] is not None} | {"mode": NAMES[row["mode"]], **more}


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


def _limit_layers(drawn: _Drawn, frame: _Frame, x: alt.X, *, named: bool) -> list[alt.Chart]:
    """Return the speeds below the time per output token that is allowed, and their border."""
    limit = drawn.answer.inputs["tpot_ms"]
    if limit is None:
        return []
    data = chart_data([{SPEED: 1e3 / limit, "from": frame.speed_at(0), "label": f"TPOT {limit:g} ms"}])
    base = alt.Chart(data)
    layers = [
        base.mark_rect(color=TOO_SLOW, aria=False).encode(
            alt.X("from:Q"), alt.X2(f"{SPEED}:Q"), y=alt.value(0), y2=alt.value(frame.height)
        ),
        base.mark_rule(color=FAINT, strokeWidth=1.2).encode(x),
    ]
    if named:
        layers.append(
            base.mark_text(align="right", baseline="bottom", dx=-6, color=FAINT, fontSize=12).encode(
                x, y=alt.value(frame.height - 5), text="label:N"
            )
        )
    return layers


def _thinned(rows: list[dict[str, Any]], key: str, frame: _Frame, most: int) -> list[dict[str, Any]]:
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


def _beaten_layers(drawn: _Drawn, frame: _Frame, x: alt.X, y: alt.Y, *, most: int) -> list[alt.Chart]:
    """Return the deployments that others of their mode beat, as dots."""
    rows = [_shown(row) for row in _thinned(drawn.beaten, drawn.key, frame, most)]
    if not rows:
        return []
    return [
        alt.Chart(chart_data(rows))
        .mark_circle(size=9, color=BEATEN, opacity=0.75, clip=True, aria=False)
        .encode(x, y, tooltip=_tooltip(rows))
    ]


def _frontier_layers(drawn: _Drawn, frame: _Frame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a step line a mode with markers; those too close to another are there for the hover alone."""
    layers: list[alt.Chart] = []
    best = drawn.best["mode"]
    for mode in sorted(drawn.frontiers, key=lambda each: each == best):  # the best on top
        color, dash, shape = STYLES[mode]
        rows = []
        last = (-np.inf, -np.inf)
        own = drawn.frontiers[mode]
        for row in own:
            place = frame.place(row[SPEED], row[drawn.key])
            visible = np.hypot(place[0] - last[0], place[1] - last[1]) >= MARKERS_APART
            last = place if visible else last
            rows.append(_shown(row, visible=1 if visible else 0))
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


def _name_layers(drawn: _Drawn, frame: _Frame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
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
            "label": f"{NAMES[mode]} {_amount(first[drawn.key])}",
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


def _best_layers(drawn: _Drawn, frame: _Frame, x: alt.X, y: alt.Y, *, named: bool) -> list[alt.Chart]:
    """Return a ring around the best under the limits, and what it is."""
    best = drawn.best
    color, _, shape = STYLES[best["mode"]]
    rows = [_shown(best, label=best["deployment"])]
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
            ).encode(text="label:N")
        )
    return layers


def _amount(value: float) -> str:
    if value >= MILLION:
        return f"{value / MILLION:.2f}M"
    return f"{value:,.0f}" if value >= GROUPED_FROM else f"{value:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _limits(inputs: Mapping[str, Any]) -> str:
    """Return the limits in words; empty without any."""
    named = (("TTFT", inputs["ttft_ms"]), ("TPOT", inputs["tpot_ms"]))
    limits = [f"{name} <= {value:g} ms" for name, value in named if value is not None]
    return " under " + " and ".join(limits) if limits else ""


def _headline(drawn: _Drawn) -> str:
    """Return which mode serves most, and by how much."""
    best, summary = drawn.best, drawn.answer.summary
    second = _second(drawn)
    verb = "serves most" if second else "alone is feasible" if len(summary["best_by_mode"]) > 1 else "serves"
    text = f"{_capital(NAMES[best['mode']])} {verb}{_limits(drawn.answer.inputs)}: "
    text += f"{_amount(best[drawn.key])} {drawn.meaning[1]}"
    if second:
        text += f", {_lead(drawn, second)} more than {NAMES[second]}"
        if _is_close(drawn):
            text += f": too close to call, the median error is {summary['validated_error']:.1%}"
    return text


def _lead(drawn: _Drawn, other: str) -> str:
    """Return by how much the best exceeds the best of another mode."""
    share = drawn.best[drawn.key] / drawn.frontiers[other][0][drawn.key] - 1.0
    return f"{share:.0%}" if share >= COARSE else f"{share:.1%}"


def _second(drawn: _Drawn) -> str | None:
    """Return the mode that serves most after the best; None where no other serves at all."""
    others = {mode: own[0][drawn.key] for mode, own in drawn.frontiers.items() if mode != drawn.best["mode"]}
    return max(others, key=lambda mode: float(others[mode])) if others else None


def _is_close(drawn: _Drawn) -> bool:
    """Return whether the lead of the best is within the error of predictions."""
    second = _second(drawn)
    if second is None:
        return False
    rate = drawn.frontiers[second][0][drawn.key]
    return bool(1.0 - rate / drawn.best[drawn.key] <= drawn.answer.summary["validated_error"])


def _subtitle(scenario: Scenario, drawn: _Drawn) -> list[str]:
    """Return the question, what is assumed, which modes are missing, and how to read the chart."""
    inputs = drawn.answer.inputs
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
    speed = f"fastest: {NAMES[fastest['mode']]}, {_amount(fastest[SPEED])} tokens/s per user"
    how = (
        "Lines: no deployment of the mode is better in both. Grey: beaten ones. Ring: the best. "
        "2 x (3A+5F): 2 replicas, each 3 attention and 5 FFN devices; P prefill, D decode."
    )
    return [
        DOT.join([_hardware(scenario, inputs), scenario.model.name, speed]),
        DOT.join(asked),
        _assumed(scenario, drawn.answer),
        _missing(drawn.answer),
        how,
    ]


def _hardware(scenario: Scenario, inputs: Mapping[str, Any]) -> str:
    """Return the devices in words."""
    sides = [scenario.side("attention"), scenario.side("ffn")]
    pair = f" (AFD: {sides[0].name} + {sides[1].name})" if sides != [scenario.system] * 2 else ""
    apart = inputs["prefill_system"] != scenario.system.id
    before = f", prefill on {inputs['prefill_system']}" if apart else ""
    return f"{inputs['devices']} x {scenario.system.name}{pair}{before}"


def _assumed(scenario: Scenario, answer: Answer) -> str:
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
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        f"experts {inputs['expert_precision']}, KV {inputs['kv_precision']}",
        weakest.partition(":")[0],
    ]
    return _capital("; ".join(filter(None, parts)) + ".")


def _missing(answer: Answer) -> str:
    """Return the modes without a feasible deployment, and why; empty where all have one."""
    summary = answer.summary
    found = []
    for mode, row in summary["best_by_mode"].items():
        if row is not None:
            continue
        binding = summary["binding_by_mode"][mode]
        least = {
            FIRST_TOKEN: ("TTFT", summary["least_ttft_ms"][mode]),
            LATENCY: ("TPOT", summary["least_tpot_ms"][mode]),
        }.get(binding)
        why = REASONS.get(binding, "each can be met alone, not both together")
        if least and least[1] is not None:
            why = f"least {least[0]} {rounded_up(least[1])} ms"
        found.append(f"{NAMES[mode]} ({binding}: {why})")
    return f"Not feasible: {'; '.join(found)}." if found else ""


# --- many questions at once --------------------------------------------------------------------------------


def pareto_panels(
    scenarios: Sequence[Scenario],
    workloads: Sequence[str] = tuple(WORKLOADS),
    *,
    advanced: Callable[[float], None] | None = None,
    **question: Any,  # noqa: ANN401 - those of `explored`
) -> alt.VConcatChart:
    """Draw the frontiers of each scenario, a row, for each kind of requests, a column.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Models and systems.
    workloads : sequence of str
        Requests by name: `chat`, `coding`, `agentic`.
    advanced : callable, optional
        Is told the share that is done [1].
    **question
        Limits and what is searched, as for `explore`.

    Returns
    -------
    altair.VConcatChart
        The panels, each with axes of its own and its best deployment; one where nothing is feasible says why.

    Raises
    ------
    InputError
        If the question contradicts itself, names nothing, or too much.
    """
    if not scenarios or not workloads:
        raise InputError(f"{'--workloads' if scenarios else '--models'} is empty: name at least one")
    count = len(scenarios) * len(workloads)
    if count > MOST_PANELS:
        raise InputError(f"--models and --workloads make {count} panels; at most {MOST_PANELS} are drawn")
    done: dict[tuple[int, str], _Drawn | str] = {}
    for row, scenario in enumerate(scenarios):
        for name in workloads:
            try:
                done[row, name] = _drawn(scenario, {**question, "workload": name})
            except InfeasibleError as error:
                done[row, name] = str(error)
            if advanced is not None:
                advanced(len(done) / count)
    alike = len({_system(scenario) for scenario in scenarios}) == 1
    panels = []
    for row, scenario in enumerate(scenarios):
        what = scenario.model.name if alike else f"{scenario.model.name} on {_system(scenario)}"
        for name in workloads:
            below, beside = row == len(scenarios) - 1, name == workloads[0]
            panels.append(_panel(done[row, name], f"{what}{DOT}{name}", below=below, beside=beside))
    grid = alt.ConcatChart(concat=panels, columns=len(workloads), spacing=24)
    known = [each for each in done.values() if isinstance(each, _Drawn)]
    modes = [mode for mode in SERVING_MODES if any(mode in each.frontiers for each in known)]
    chart = alt.VConcatChart(vconcat=[_key(modes), grid] if modes else [grid], spacing=22)
    styled = house_style(
        cast("alt.LayerChart", chart),
        _panels_headline(list(done.values())),
        _panels_subtitle(scenarios, workloads, known, alike=alike),
    )
    return cast("alt.VConcatChart", styled)


def _system(scenario: Scenario) -> str:
    sides = dict.fromkeys(
        system.name for system in (scenario.system, scenario.side("attention"), scenario.side("ffn"))
    )
    return " + ".join(sides)


def _panel(found: _Drawn | str, title: str, *, below: bool, beside: bool) -> alt.LayerChart:
    """Return one panel: frontiers with the best named above, or why there are none."""
    if isinstance(found, str):
        return _empty_panel(found, title)
    frame = _frame(found, left=0, width=PANEL_WIDTH, height=PANEL_HEIGHT)
    x = frame.x("tokens/s per user" if below else None)
    y = frame.y(found.key, found.meaning[1] if beside else None)
    layers = [
        *_limit_layers(found, frame, x, named=False),
        *_beaten_layers(found, frame, x, y, most=PANEL_BEATEN),
        *_frontier_layers(found, frame, x, y),
        *_best_layers(found, frame, x, y, named=False),
    ]
    best = found.best
    second = _second(found)
    lead = f", {_lead(found, second)} more than {NAMES[second]}" if second else ""
    text = [f"{_capital(NAMES[best['mode']])}: {_amount(best[found.key])}{lead}", best["deployment"]]
    return alt.LayerChart(layer=layers).properties(
        width=PANEL_WIDTH, height=PANEL_HEIGHT, title=_panel_title(title, text, STYLES[best["mode"]][0])
    )


def _panel_title(title: str, text: list[str], color: str) -> alt.TitleParams:
    return alt.TitleParams(
        title,
        subtitle=text,
        fontSize=13,
        subtitleFontSize=11,
        subtitleLineHeight=14,
        subtitleColor=color,
        offset=6,
        anchor="start",
        frame="group",
    )


def _empty_panel(why: str, title: str) -> alt.LayerChart:
    """Return a panel of words."""
    lines = [
        line
        for reason in why.removeprefix("no: ").split("; ")
        for line in textwrap.wrap(reason, PANEL_LETTERS, subsequent_indent="  ")
    ]
    words = alt.Chart(chart_data([{"label": lines}]))
    layers = [
        words.mark_rect(fill=TOO_SLOW, stroke=None).encode(
            x=alt.value(0), x2=alt.value(PANEL_WIDTH), y=alt.value(0), y2=alt.value(PANEL_HEIGHT)
        ),
        words.mark_text(align="left", baseline="top", fontSize=11, lineHeight=15, color=INK).encode(
            x=alt.value(8), y=alt.value(10), text="label:N"
        ),
    ]
    text = ["Nothing is feasible", "\N{NO-BREAK SPACE}"]  # as many lines as the others
    return alt.LayerChart(layer=layers).properties(
        width=PANEL_WIDTH, height=PANEL_HEIGHT, title=_panel_title(title, text, FAINT)
    )


def _key(modes: Sequence[str]) -> alt.LayerChart:
    """Return a strip with a piece of each line and its name."""
    layers: list[alt.Chart] = []
    left = 0
    for mode in modes:
        color, dash, shape = STYLES[mode]
        base = alt.Chart(chart_data([{"label": NAMES[mode]}]))
        layers += [
            base.mark_rule(color=color, strokeDash=dash, strokeWidth=2.2).encode(
                x=alt.value(left), x2=alt.value(left + SAMPLE), y=alt.value(8), y2=alt.value(8)
            ),
            base.mark_point(shape=shape, size=50, stroke=color, fill=color, opacity=1).encode(
                x=alt.value(left + SAMPLE / 2), y=alt.value(8)
            ),
            base.mark_text(
                align="left", baseline="middle", color=color, fontSize=13, fontWeight="bold"
            ).encode(x=alt.value(left + SAMPLE + 8), y=alt.value(8), text="label:N"),
        ]
        left += SAMPLE + KEY_LETTER * len(NAMES[mode]) + 40
    return alt.LayerChart(layer=layers).properties(width=left, height=16)


def _panels_headline(found: Sequence[_Drawn | str]) -> str:
    """Return how often each mode serves most."""
    known = [each for each in found if isinstance(each, _Drawn)]
    panels = f"{len(found)} panel{'s' if len(found) > 1 else ''}"
    if not known:
        return f"Nothing is feasible in any of {panels}"
    best = [each.best["mode"] for each in known]
    counts = sorted((-best.count(mode), mode) for mode in SERVING_MODES if mode in best)
    words = [f"{NAMES[mode]} in {-count}" for count, mode in counts]
    words[0] = f"{NAMES[counts[0][1]]} serves most in {-counts[0][0]} of {panels}"
    limits = _limits(known[0].answer.inputs).strip()
    text = f"{limits}, {', '.join(words)}" if limits else ", ".join(words)
    close = sum(map(_is_close, known))
    if close:
        text += f"; {close} lead{'s' if close > 1 else ''} too close to call"
    if len(known) < len(found):
        text += f"; nothing is feasible in {len(found) - len(known)}"
    return _capital(text)


def _panels_subtitle(
    scenarios: Sequence[Scenario], workloads: Sequence[str], found: Sequence[_Drawn], *, alike: bool
) -> list[str]:
    """Return the question, what is assumed, and how to read the panels."""
    if not found:
        return [_system(scenarios[0])] if alike else []
    first = found[0].answer
    requests = []
    for name in workloads:
        work = WORKLOADS[name]
        requests.append(f"{name} {work.prefix:,} / {work.isl:,} / {work.osl:,}")
    where = _hardware(scenarios[0], first.inputs) if alike else f"{first.inputs['devices']} devices"
    error = first.summary["validated_error"]
    return [
        f"{where}{DOT}cached / input / output tokens: {', '.join(requests)}",
        _assumed(scenarios[0], first),
        f"Too close to call: within the {error:.1%} median error. Each panel has scales of its own. Lines: "
        "no deployment of the mode is better in both. Grey: beaten ones. Ring: the best, named above."
        + (" Shaded: slower than allowed." if first.inputs["tpot_ms"] is not None else ""),
    ]
