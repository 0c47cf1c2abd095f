"""Picture of many questions about serving modes: a panel of frontiers for each model and kind of requests."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, cast

import altair as alt

from roofline_afd.view.charts.frontiers import (
    DOT,
    Drawn,
    Frame,
    amount,
    assumed_of,
    best_layers,
    capital,
    drawn_of,
    frame_of,
    frontier_layers,
    hardware_of,
    limit_layers,
    on_one_scale,
    system_of,
    values_of,
)
from roofline_afd.view.charts.style import FAINT, INK, PANE, SERVING_MODES, chart_data, house_style, layered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

PANEL_WIDTH, PANEL_HEIGHT = 292, 172
PANEL_LETTERS = 50
"""Letters of a line inside a panel."""
SAMPLE, KEY_LETTER = 34, 8
"""Pixels of the piece of a line in a key, and of a letter of its name."""


def pareto_panels(answers: Sequence[Answer]) -> alt.VConcatChart:
    """Draw the frontiers of each scenario, a row, for each kind of requests, a column.

    Parameters
    ----------
    answers : sequence of Answer
        Those of `explore`, with their pictures: scenario by scenario, each with its kinds of requests.

    Returns
    -------
    altair.VConcatChart
        The panels, all on one scale, each with its best deployment; one where nothing is feasible says why.
    """
    done = [each.picture["refusal"] if "refusal" in each.picture else drawn_of(each) for each in answers]
    across = answers[0].picture["across"]
    alike = len({system_of(each.picture) for each in answers}) == 1
    frames = _frames(done)
    panels = []
    for at, (answer, found) in enumerate(zip(answers, done, strict=True)):
        what, model = answer.inputs["workload"], answer.picture["model"]
        title = model if alike else f"{model} on {system_of(answer.picture)}"
        below, beside = at >= len(answers) - across, at % across == 0
        panels.append(_panel(found, frames[at], f"{title}{DOT}{what}", below=below, beside=beside))
    grid = alt.ConcatChart(concat=panels, columns=across, spacing=24)
    known = [each for each in done if isinstance(each, Drawn)]
    names = answers[0].picture["names"]
    modes = [mode for mode in names if any(mode in each.frontiers for each in known)]
    chart = alt.VConcatChart(vconcat=[_key(modes, names), grid] if modes else [grid], spacing=22)
    styled = house_style(
        cast("alt.LayerChart", chart),
        _headline(done, names),
        _subtitle(answers, known, alike=alike),
        [
            f"{answer.picture['model']}, {answer.inputs['workload']}: "
            + (found if isinstance(found, str) else "; ".join(values_of(found)))
            for answer, found in zip(answers, done, strict=True)
        ],
    )
    return cast("alt.VConcatChart", styled)


def _frames(found: Sequence[Drawn | str]) -> list[Frame | None]:
    """Return the axes of panels: the same for all that weigh throughput alike."""
    known = [
        frame_of(each, width=PANEL_WIDTH, height=PANEL_HEIGHT) for each in found if isinstance(each, Drawn)
    ]
    shared = iter(on_one_scale(known)) if known else iter(())
    return [next(shared) if isinstance(each, Drawn) else None for each in found]


def _panel(
    found: Drawn | str, frame: Frame | None, title: str, *, below: bool, beside: bool
) -> alt.LayerChart:
    """Return one panel: frontiers with the best named above, or why there are none."""
    if isinstance(found, str) or frame is None:
        return _empty_panel(str(found), title)
    x = frame.x("tokens/s per user" if below else None)
    y = frame.y(found.key, found.meaning[1] if beside else None)
    layers = [
        *limit_layers(found, frame, x, named=False),
        *frontier_layers(found, frame, x, y),
        *best_layers(found, frame, x, y, named=False),
    ]
    best = found.best
    second = found.second
    lead = f", {found.behind(second)}" if second else ""
    text = [f"{capital(found.names[best['mode']])}: {amount(best[found.key])}{lead}", best["deployment"]]
    return layered(
        layers,
        width=PANEL_WIDTH,
        height=PANEL_HEIGHT,
        title=_panel_title(title, text, SERVING_MODES[best["mode"]][0]),
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
        words.mark_rect(fill=PANE, stroke=None).encode(
            x=alt.XValue(0), x2=alt.X2Value(PANEL_WIDTH), y=alt.YValue(0), y2=alt.Y2Value(PANEL_HEIGHT)
        ),
        words.mark_text(align="left", baseline="top", fontSize=11, lineHeight=15, color=INK).encode(
            x=alt.XValue(8), y=alt.YValue(10), text=alt.Text("label:N")
        ),
    ]
    text = ["Nothing is feasible", "\N{NO-BREAK SPACE}"]  # as many lines as the others
    return layered(layers, width=PANEL_WIDTH, height=PANEL_HEIGHT, title=_panel_title(title, text, FAINT))


def _key(modes: Sequence[str], names: Mapping[str, str]) -> alt.LayerChart:
    """Return a strip with a piece of each line and its name."""
    layers: list[alt.Chart] = []
    left = 0
    for mode in modes:
        color, dash, shape = SERVING_MODES[mode]
        base = alt.Chart(chart_data([{"label": names[mode]}]))
        layers += [
            base.mark_rule(color=color, strokeDash=dash, strokeWidth=2.2).encode(
                x=alt.XValue(left), x2=alt.X2Value(left + SAMPLE), y=alt.YValue(8), y2=alt.Y2Value(8)
            ),
            base.mark_point(shape=shape, size=50, stroke=color, fill=color, opacity=1).encode(
                x=alt.XValue(left + SAMPLE / 2), y=alt.YValue(8)
            ),
            base.mark_text(
                align="left", baseline="middle", color=color, fontSize=13, fontWeight="bold"
            ).encode(x=alt.XValue(left + SAMPLE + 8), y=alt.YValue(8), text=alt.Text("label:N")),
        ]
        left += SAMPLE + KEY_LETTER * len(names[mode]) + 40
    return layered(layers, width=left, height=16)


def _headline(found: Sequence[Drawn | str], names: Mapping[str, str]) -> str:
    """Return how often each mode serves most."""
    known = [each for each in found if isinstance(each, Drawn)]
    panels = f"{len(found)} panel{'s' if len(found) > 1 else ''}"
    if not known:
        return f"Nothing is feasible in any of {panels}"
    best = [each.best["mode"] for each in known]
    counts = sorted((-best.count(mode), mode) for mode in names if mode in best)
    words = [f"{names[mode]} in {-count}" for count, mode in counts]
    words[0] = f"{names[counts[0][1]]} serves most in {-counts[0][0]} of {panels}"
    limits = known[0].limits.strip()
    text = f"{limits}, {', '.join(words)}" if limits else ", ".join(words)
    close = sum(each.is_close for each in known)
    if close:
        text += f"; {close} lead{'s' if close > 1 else ''} too close to call"
    if len(known) < len(found):
        text += f"; nothing is feasible in {len(found) - len(known)}"
    return capital(text)


def _subtitle(answers: Sequence[Answer], found: Sequence[Drawn], *, alike: bool) -> list[str]:
    """Return the question, what is assumed, and how to read the panels."""
    picture = answers[0].picture
    if not found:
        return [system_of(picture)] if alike else []
    first = found[0].answer
    requests = [
        f"{work['workload']} {work['prefix']:,} / {work['isl']:,} / {work['osl']:,}"
        for work in (each.inputs for each in answers[: picture["across"]])
    ]
    where = hardware_of(picture, first.inputs) if alike else f"{first.inputs['devices']} devices"
    error = first.summary["validated_error"]
    return [
        f"{where}{DOT}cached / input / output tokens: {', '.join(requests)}",
        "Lines: no deployment of the mode is better in both. Ring: the best, named above."
        + (" Shaded: slower than allowed." if first.inputs["tpot_ms"] is not None else ""),
        (
            "Too close to call: AFD ahead of EP with a probability of 0.2 to 0.8, else within the "
            f"{error:.1%} median error"
        ),
        assumed_of(picture, first),
    ]
