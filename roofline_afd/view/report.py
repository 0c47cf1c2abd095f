"""One self-contained page about a purchase: the answer, why, how sure, and what it rests on."""

from __future__ import annotations

import base64
import html
import multiprocessing
import re
import shlex
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd import __version__
from roofline_afd.analysis import services
from roofline_afd.analysis.compare import NAMES
from roofline_afd.analysis.procurement import procure
from roofline_afd.analysis.sensitivity import sensitivity
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import roofline as stage
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view import procurement_chart, tornado_chart
from roofline_afd.view.charts import breakdown_chart, dead_zone_chart
from roofline_afd.view.columns import column
from roofline_afd.view.deployment_charts import afd_vs_ep_chart
from roofline_afd.view.pages import script_literal, svg_bytes
from roofline_afd.view.pareto_chart import pareto_chart
from roofline_afd.view.ratio_chart import ratio_chart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    import altair as alt

    from roofline_afd.analysis.answer import Answer

OUTPUT_TOKENS = 512
"""Output tokens of a request where nothing says so: its mean context then fixes the input."""
CURVE_DEVICES = 256
"""Devices up to which curves over many latency targets are searched."""
PARETO_DEVICES = 32
SIMULATED_REQUESTS = 1500
SAMPLES = 40
LINKED = re.compile(r"https?://[^\s,;)\]]+")
PROCURE_KEYS = (
    "rank",
    "system",
    "mode",
    "n_devices",
    "n_nodes",
    "deployment",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "usd_per_million_tokens",
    "break_even_price",
    "capex_usd",
    "power_kw",
    "tokens_per_joule",
    "binding",
)
VALIDATION_KEYS = ("id", "mode", "system", "model", "measured", "predicted", "error", "origin")
SENSITIVITY_KEYS = ("input", "low", "high", "metric_low", "metric_high", "swing", "changes_winner")
MOST_VALIDATION_ROWS = 14
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="roofline-afd {version}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1>
<p class="answer">{answer}</p>
<p class="faint">{about}</p>
<nav aria-label="Sections">{contents}</nav></header>
<main>
{body}
</main>
<script>{bundle}</script>
<script>
vegaEmbed("#sliders", {sliders}, {{mode: "vega-lite", renderer: "svg", actions: false}})
  .then(() => document.body.setAttribute("data-drawn", "yes"));
</script>
</body>
</html>
"""


Drawing = tuple[dict[str, Any] | None, str]
"""Vega-Lite, or None and why there is none."""


def _drawing(make: Callable[[], alt.TopLevelMixin]) -> Drawing:
    """Return a chart as Vega-Lite, or why there is none."""
    try:
        return make().to_dict(), ""
    except (InfeasibleError, InputError) as error:
        return None, str(error)


class _Aside:
    """Charts made in a second process where the platform can fork one; else when they are asked for."""

    def __init__(self, tasks: Sequence[Callable[[], alt.TopLevelMixin]]) -> None:
        self._tasks = list(tasks)
        self._connection: Connection | None = None
        if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
            return
        context = multiprocessing.get_context("fork")
        self._connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=self._work, args=(theirs,), daemon=True)
        with warnings.catch_warnings():  # threads of libraries hold no lock that the child needs
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()

    def _work(self, connection: Connection) -> None:
        for task in self._tasks:
            connection.send(_drawing(task))
        connection.close()

    def drawings(self) -> Iterator[Drawing]:
        """Yield the charts in the order of the tasks."""
        for task in self._tasks:
            if self._connection is None:
                yield _drawing(task)
                continue
            try:
                yield self._connection.recv()
            except EOFError:  # the process died: make this one, and the rest, here
                self._connection = None
                yield _drawing(task)
        if self._connection is not None:
            self._process.join()


class _Pictures:
    """Draws charts as images beside the work that makes them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)

    def draw(self, drawing: Drawing, about: str) -> Callable[[], str]:
        """Return what gives the image of a chart, or why there is none."""
        specification, fault = drawing
        if specification is None:
            return lambda: f'<p class="faint">No picture: {html.escape(fault)}</p>'
        drawn = self._pool.submit(svg_bytes, specification)

        def image() -> str:
            data = base64.b64encode(drawn.result()).decode()
            return f'<figure><img alt="{html.escape(about)}" src="data:image/svg+xml;base64,{data}"></figure>'

        return image


def report(
    scenarios: Sequence[Scenario],
    *,
    title: str | None = None,
    osl: int | None = None,
    command: Sequence[str] | None = None,
    **question: Any,  # noqa: ANN401 - those of `procure`
) -> bytes:
    """Return a self-contained html page about which system to buy for a model and a demand, and why.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate, alike but for the systems.
    title : str, optional
        What the page is called; model and systems where absent.
    osl : int, optional
        Output tokens of a request, for serving modes and the ratio; 512 where absent [1].
    command : sequence of str, optional
        Command line that makes this page, shown on it.
    **question
        Demand and a buyer's assumptions: as for `procure`.

    Returns
    -------
    bytes
        The page; it needs no network.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no candidate serves the demand.
    """
    bought = procure(scenarios, **question)
    rows = bought.rows()
    best = rows[0]
    chosen = _scenario_of(scenarios, best["system"])
    name = (
        title or f"{chosen.model.name}: which system for {bought.inputs['demand_tokens_per_s']:,.0f} tokens/s"
    )
    output = osl or min(OUTPUT_TOKENS, max(chosen.context, 1))
    prompt = max(chosen.context - output // 2, 1)
    microbatches, batch, ffn_devices = _in_flight(rows, best)
    small = attrs.evolve(chosen, devices=PARETO_DEVICES)
    aside = _Aside(
        [
            lambda: afd_vs_ep_chart(attrs.evolve(chosen, max_devices=min(chosen.max_devices, CURVE_DEVICES))),
            lambda: pareto_chart(small, isl=prompt, osl=output),
            lambda: ratio_chart(
                scenario=attrs.evolve(chosen, microbatches=microbatches, ffn_devices=ffn_devices),
                prompt_mean=prompt,
                decode_mean=output,
                batch=batch,
                requests=SIMULATED_REQUESTS,
                replications=2,
            ),
        ]
    )
    pictures = _Pictures()
    moved = sensitivity(chosen, samples=SAMPLES)
    charts: dict[str, tuple[Callable[[], alt.TopLevelMixin], str]] = {
        "procurement": (
            lambda: procurement_chart.draw(bought, scenarios[0]),
            "Cost per million tokens by system and mode",
        ),
        "breakdown": (
            lambda: breakdown_chart(chosen, mode=best["mode"]),
            "Where a decode step spends its time",
        ),
        "dead zone": (lambda: dead_zone_chart(chosen), "HFU over FFN nodes, with the dead zone"),
        "tornado": (
            lambda: tornado_chart.draw(chosen, moved),
            "Inputs by how far they move AFD over EP",
        ),
    }
    figures = {key: pictures.draw(_drawing(make), about) for key, (make, about) in charts.items()}
    texts = (
        ("curves", "Tokens per second and device over TPOT, EP and AFD"),
        ("pareto", "Frontiers of four serving modes"),
        ("ratio", "Throughput over attention instances per FFN instance"),
    )
    for (key, about), drawing in zip(texts, aside.drawings(), strict=True):
        figures[key] = pictures.draw(drawing, about)
    validation = _validation(chosen)
    sections: list[tuple[str, str, str]] = [
        ("procurement", "What each system costs", f"{figures['procurement']()}{_procured(bought)}"),
        ("modes", "EP or AFD", f"{_modes(rows, best)}{figures['curves']()}"),
        ("breakdown", "Where a step spends its time", figures["breakdown"]()),
        ("roofline", "The roofline, to move", _sliders_text(chosen)),
        ("dead-zone", "When more FFN devices stop helping", figures["dead zone"]()),
        ("sensitivity", "How sure this is", f"{_sensitivity(moved)}{figures['tornado']()}"),
        ("serving", "Prefill and decode", _serving_text(small, prompt, output) + figures["pareto"]()),
        ("ratio", "Attention to FFN devices", _ratio_text(prompt, output) + figures["ratio"]()),
        ("validation", "Predictions against published services", validation),
        ("assumptions", "What it rests on", _assumptions(bought)),
        ("again", "To make this page again", _again(chosen, command)),
    ]
    body = "\n".join(
        f'<section id="{key}"><h2>{html.escape(heading)}</h2>{text}</section>'
        for key, heading, text in sections
    )
    import vl_convert  # only for pages

    page = PAGE.format(
        version=__version__,
        title=html.escape(name),
        style=files(__package__).joinpath("report.css").read_text("utf-8"),
        answer=html.escape(bought.summary["answer"]),
        about=html.escape(_about(chosen, scenarios, bought)),
        contents="".join(f'<a href="#{key}">{html.escape(heading)}</a>' for key, heading, _ in sections),
        body=_cards(bought, best, moved) + body,
        bundle=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
        sliders=script_literal(slider_specification(chosen)),
    )
    return page.encode()


def _scenario_of(scenarios: Sequence[Scenario], name: str) -> Scenario:
    """Return the question whose candidate has a name."""
    for scenario in scenarios:
        sides = (scenario.side("attention").id, scenario.side("ffn").id)
        if name in {"+".join(sides), *(sides[:1] if sides[0] == sides[1] else ())}:
            return scenario
    return scenarios[0]


def _about(chosen: Scenario, scenarios: Sequence[Scenario], bought: Answer) -> str:
    limits = f"TPOT at most {chosen.latency_ms:g} ms, context {chosen.context:,} tokens"
    names = ", ".join(bought.inputs["systems"])
    weights = f"experts in {chosen.weights.id}, cache in {chosen.kv_precision}"
    prices = f"prices: {bought.inputs['price_basis']}, {bought.inputs['price_terms']}"
    return " · ".join((chosen.model.name, limits, weights, f"{len(scenarios)} candidates: {names}", prices))


def _cards(bought: Answer, best: Mapping[str, Any], moved: Answer) -> str:
    """Return the key numbers, each with what is known of its uncertainty."""
    error = bought.summary["validated_error"]
    interval = _interval(moved, best["mode"])
    cost = best["usd_per_million_tokens"]
    cards = []
    if cost is not None:
        text = f"{cost:.3g} USD"
        more = "per million output tokens"
        if interval:
            rate = best["tokens_per_s_per_device"]
            low, high = (cost * rate / bound for bound in reversed(interval))
            more += f"; 90 % of samples {low:.3g} to {high:.3g}"
        cards.append((text, more))
    cards += [
        (f"{best['n_devices']:,} devices", f"{best['deployment']}, {best['n_nodes']:,} nodes"),
        (
            f"{best['tokens_per_s_per_device']:,.0f} tokens/s",
            "per device"
            + (
                f"; 90 % of samples {interval[0]:,.0f} to {interval[1]:,.0f}"
                if interval
                else f"; median error {error:.1%}"
            ),
        ),
        (f"{best['tokens_per_s_per_user']:.0f} tokens/s", f"per user, {best['tpot_ms']:.1f} ms per token"),
    ]
    if best["power_kw"] is not None:
        cards.append((f"{best['power_kw']:,.0f} kW", f"{best['tokens_per_joule']:.3g} tokens per joule"))
    probability = moved.summary.get("probability_afd_wins")
    if probability is not None:
        cards.append((f"{probability:.0%}", "probability that AFD beats EP, inputs varied"))
    inner = "".join(
        f'<div class="card"><b>{html.escape(big)}</b><span>{html.escape(small)}</span></div>'
        for big, small in cards
    )
    return f'<div class="cards">{inner}</div>'


def _interval(moved: Answer, mode: str) -> tuple[float, float] | None:
    """Return the 90 % interval of a mode's tokens per second and device; None without samples."""
    found = (moved.summary["intervals"] or {}).get(f"{mode}_tokens_per_s_per_device")
    return (found["low"], found["high"]) if found and found["low"] is not None else None


def table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, first: bool = False) -> str:
    """Return rows as an html table.

    Parameters
    ----------
    rows : sequence of mapping
        Rows.
    keys : sequence of str
        Columns.
    first : bool
        Whether the first row stands out.

    Returns
    -------
    str
        The table, every text escaped.
    """
    used = [key for key in keys if any(row.get(key) is not None for row in rows)]
    numeric = {
        key: all(
            isinstance(row.get(key), int | float | None) and not isinstance(row.get(key), bool)
            for row in rows
        )
        for key in used
    }

    def cell(tag: str, key: str, text: str) -> str:
        kind = ' class="number"' if numeric[key] else ""
        return f"<{tag}{kind}>{linked(text)}</{tag}>"

    head = "".join(cell("th", key, column(key).title) for key in used)
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(cell("td", key, column(key).show(row.get(key))) for key in used)
        kind = ' class="first"' if first and not index else ""
        lines.append(f"<tr{kind}>{cells}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide"><table>{body}</table></div>'


def linked(text: str) -> str:
    """Return a text escaped, its web addresses as links."""
    parts, last = [], 0
    for found in LINKED.finditer(text):
        parts.append(html.escape(text[last : found.start()]))
        address = html.escape(found.group().rstrip("."))
        parts.append(f'<a href="{address}" rel="noreferrer">{address}</a>')
        last = found.start() + len(found.group().rstrip("."))
    return "".join([*parts, html.escape(text[last:])])


def _paragraph(text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{html.escape(text)}</p>"


def _procured(bought: Answer) -> str:
    rows = [row for row in bought.rows() if row["feasible"]]
    refused = [
        f"{row['system']} ({NAMES[row['mode']]}): {row['binding']}"
        for row in bought.rows()
        if not row["feasible"]
    ]
    left = _paragraph(f"Not feasible: {'; '.join(refused)}.", "faint") if refused else ""
    return table(rows, PROCURE_KEYS, first=True) + left


def _modes(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> str:
    own = [row for row in rows if row["system"] == best["system"] and row["feasible"]]
    keys = (
        "mode",
        "tokens_per_s_per_device",
        "tpot_ms",
        "deployment",
        "batch_per_device",
        "n_devices",
        "binding",
    )
    return table(own, keys, first=True)


def _sensitivity(moved: Answer) -> str:
    return _paragraph(moved.summary["answer"]) + table(moved.rows()[:8], SENSITIVITY_KEYS)


def _serving_text(small: Scenario, prompt: int, output: int) -> str:
    return _paragraph(
        f"Four ways to serve requests of {prompt:,} input and {output:,} output tokens on {small.devices} "
        "devices "
        "of the first system: prefill and decode on the same devices or in two pools, each with or "
        "without AFD.",
        "faint",
    )


def _ratio_text(prompt: int, output: int) -> str:
    return _paragraph(
        f"Requests of random length, {prompt:,} tokens in and {output:,} out on average, outputs geometric.",
        "faint",
    )


def _in_flight(
    rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any]
) -> tuple[int | None, int, int | None]:
    """Return micro-batches of the disaggregated deployment, three quarters of the batch of one, FFN devices.

    A batch that fits at the mean context leaves no room for one that is longer than the mean.
    """
    afd = [row for row in rows if row["system"] == best["system"] and row["mode"] == AFD and row["feasible"]]
    if not afd:
        return None, 1, None
    m = int(afd[0]["microbatches"])
    batch = max(int(afd[0]["batch_per_device"]) * 3 // (4 * m), 1)
    return m, batch, afd[0]["n_ffn_devices"] // afd[0]["n_replicas"]


def _validation(chosen: Scenario) -> str:
    """Return predictions of services that are nearest to this case, with their errors."""
    catalogue = chosen.system.parts.catalogue or Catalogue()
    answer = services.validate_services(services.shipped_services(catalogue), catalogue=catalogue)
    rows = [row for row in answer.rows() if row["error"] is not None]

    def near(row: Mapping[str, Any]) -> tuple[bool, bool]:
        return row["system"] != chosen.system.id, row["model"] != chosen.model.id

    rows.sort(key=near)
    summary = answer.summary
    text = (
        f"Median error {summary['median_abs_error']:.1%} over {summary['n']} published results that set "
        "nothing; the "
        "nearest to this case first."
    )
    return _paragraph(text) + table(rows[:MOST_VALIDATION_ROWS], VALIDATION_KEYS)


def _assumptions(bought: Answer) -> str:
    """Return every note, and every catalogue value with kind and source."""
    notes = "".join(f"<li>{linked(note)}</li>" for note in bought.notes)
    values = [{"input": key, **value} for key, value in bought.inputs["values"].items()]
    rows = table(values, ("input", "value", "unit", "kind", "record", "source"))
    return (
        f"<ul>{notes}</ul><details open><summary>Catalogue values, with their sources</summary>"
        f"{rows}</details>"
    )


def _again(chosen: Scenario, command: Sequence[str] | None) -> str:
    line = f"<pre>{html.escape(shlex.join(command))}</pre>" if command else ""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "altair", "vl-convert-python"))
    held = scenario_text(chosen)
    data = base64.b64encode(held.encode()).decode()
    return (
        f"{line}<p>roofline-afd {__version__}, Python {sys.version.split()[0]}, {html.escape(packages)}.</p>"
        f'<p><a download="scenario.toml" href="data:application/toml;base64,{data}">The question about '
        "the first "
        "system as a scenario file</a>, for <code>--scenario</code> of any "
        f"command:</p><pre>{html.escape(held)}</pre>"
    )


def scenario_text(scenario: Scenario) -> str:
    """Return a question as a scenario file.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    str
        TOML: what differs from the defaults, and the catalogue values overridden.
    """
    lines = [f'system = "{scenario.system.id}"', f'model = "{scenario.model.id}"']
    for field in attrs.fields(Scenario):
        value = getattr(scenario, field.name)
        if field.name in {"system", "model"} or value is None or value == field.default:
            continue
        if field.name in {"attention_system", "ffn_system"}:
            side = scenario.side(field.name.partition("_")[0])
            lines.append(f'{field.name} = "{side.id}"')
        else:
            lines.append(f'{field.name} = "{value}"' if isinstance(value, str) else f"{field.name} = {value}")
    changed = [
        (key, values[key].value)
        for overridden, values in (
            (scenario.system.overridden, scenario.system.quantities),
            (scenario.model.overridden, scenario.model.quantities),
        )
        for key in overridden
        if key in values
    ]
    if changed:
        lines += ["", "[set]", *(f"{key} = {value}" for key, value in changed)]
    return "\n".join(lines) + "\n"


def _sliders_text(chosen: Scenario) -> str:
    del chosen
    return (
        _paragraph(
            "HFU of the FFN stage over FFN nodes: the share of peak operations that the links let FFN "
            "devices do. "
            "Move the sliders: link efficiency, bandwidth, and the width of an expert."
        )
        + '<figure id="sliders" role="group" aria-label="Roofline of the FFN stage with sliders"></figure>'
        "<noscript>The script inside this page draws the sliders: it needs JavaScript, but no "
        "network.</noscript>"
    )


def slider_specification(scenario: Scenario) -> dict[str, Any]:
    """Return the roofline of the FFN stage with sliders, its closed form computed in the page.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    dict
        Vega-Lite. Per device, BW = min(BW_up, BW_out * k / min(N, k)) in two tiers and BW_up in a superpod;
        HFU = min(1, BW / BW_c) with BW_c in proportion to 1 / M (`physics.roofline.closed_form_utilization`).
    """
    inputs = ffn_stage_inputs(_within(scenario))
    system, model = scenario.system, scenario.model
    up, out = system.scale_up, system.scale_out
    per_width = (
        float(
            stage.compute_bound_bandwidth(
                link_bytes_per_pair=inputs.link_bytes_per_pair,
                flops_per_pair=inputs.flops_per_pair,
                peak=inputs.peak,
            )
        )
        * model.expert_intermediate
    )
    params: list[dict[str, Any]] = [
        _slider("up_efficiency", "Scale-up efficiency", round(up.efficiency, 2), (0.2, 1.0, 0.01)),
        _slider("up_gb", "Scale-up bandwidth [GB/s]", up.bytes_per_s / 1e9, _around(up.bytes_per_s / 1e9)),
        _slider(
            "expert_width",
            "Width of an expert",
            model.expert_intermediate,
            _around(model.expert_intermediate),
        ),
    ]
    bandwidth = "up_efficiency * up_gb"
    if not inputs.superpod and out is not None:
        params[2:2] = [
            _slider("out_efficiency", "Scale-out efficiency", round(out.efficiency, 2), (0.2, 1.0, 0.01)),
            _slider(
                "out_gb", "Scale-out bandwidth [GB/s]", out.bytes_per_s / 1e9, _around(out.bytes_per_s / 1e9)
            ),
        ]
        hits = f"min(datum.ffn_nodes, {model.top_k})"
        bandwidth = f"min({bandwidth}, out_efficiency * out_gb * {model.top_k} / {hits})"
    hfu = f"min(1, 1e9 * {bandwidth} * expert_width / {per_width!r})"
    shown = {
        "field": "hfu",
        "type": "quantitative",
        "title": "HFU [1]",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%"},
    }
    nodes = {
        "field": "ffn_nodes",
        "type": "quantitative",
        "title": "FFN nodes",
        "scale": {"domain": [1, 40], "nice": False},
    }
    peak = PEAK_KEYS[scenario.operand].removesuffix("_tflops").removesuffix("_tops")
    about = (
        f"peak {inputs.peak / 1e12:,.0f} {peak} TFLOP/s a device; a token's {model.top_k} experts spread "
        "over the nodes"
    )
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": {
            "text": f"{system.name} x {model.name}",
            "subtitle": about,
            "anchor": "start",
        },
        "width": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        "height": 320,
        "params": params,
        "data": {"sequence": {"start": 1, "stop": 41, "as": "ffn_nodes"}},
        "transform": [{"calculate": hfu, "as": "hfu"}],
        "layer": [
            {
                "mark": {"type": "line", "color": "#0b4a8f", "strokeWidth": 2.5},
                "encoding": {"x": nodes, "y": shown},
            },
            {
                "mark": {"type": "point", "filled": True, "color": "#0b4a8f", "size": 40},
                "encoding": {
                    "x": nodes,
                    "y": shown,
                    "tooltip": [
                        {"field": "ffn_nodes", "title": "FFN nodes"},
                        {"field": "hfu", "title": "HFU", "format": ".1%"},
                    ],
                },
            },
        ],
        "config": {
            "font": "system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelFontSize": 12,
                "titleFontSize": 13,
                "titleFontWeight": "normal",
                "gridColor": "#e6e9ec",
            },
            "title": {"fontSize": 14, "subtitleFontSize": 12},
        },
    }


def _within(scenario: Scenario) -> Scenario:
    """Return the question with one system for both sides: the FFN side's."""
    return attrs.evolve(scenario, system=scenario.side("ffn"), attention_system=None, ffn_system=None)


def _slider(name: str, label: str, value: float, bounds: Iterable[float]) -> dict[str, Any]:
    low, high, step = bounds
    bind = {"input": "range", "min": low, "max": high, "step": step, "name": label}
    return {"name": name, "value": value, "bind": bind}


def _around(value: float) -> tuple[float, float, float]:
    """Return the bounds of a slider about a value: from a quarter to four times, in whole steps of it."""
    step = float(10 ** np.floor(np.log10(max(value, 1e-9) / 50)))
    return max(np.floor(value / 4 / step), 1) * step, np.ceil(value * 4 / step) * step, step
