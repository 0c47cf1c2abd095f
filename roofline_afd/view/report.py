"""One self-contained page about a purchase: the answer, why, how sure, and what it rests on."""

from __future__ import annotations

import base64
import html
import math
import re
import shlex
import sys
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd import __version__
from roofline_afd.analysis import services
from roofline_afd.analysis.compare import NAMES, compare
from roofline_afd.analysis.procurement import procure
from roofline_afd.analysis.sensitivity import RATIO, sensitivity
from roofline_afd.analysis.simulator import FEW_TURNS
from roofline_afd.analysis.traces import read_trace
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import roofline as stage
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import Scenario, whole
from roofline_afd.view import procurement_chart, tornado_chart
from roofline_afd.view.charts import BLUE, GREEN, ORANGE, breakdown_chart, dead_zone_chart
from roofline_afd.view.columns import column
from roofline_afd.view.deployment_charts import afd_vs_ep_chart
from roofline_afd.view.pages import script_bundle, script_literal, svg_bytes
from roofline_afd.view.pareto_chart import pareto_chart
from roofline_afd.view.ratio_chart import ratio_chart
from roofline_afd.view.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import altair as alt
    from numpy.typing import NDArray

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.catalogue.hardware import Interconnect
    from roofline_afd.serving.ffn_stage import FfnStageInputs

OUTPUT_TOKENS = 512
"""Output tokens of a request where nothing says so: its mean context then fixes the input."""
CURVE_DEVICES = 256
"""Devices up to which curves over many latency targets are searched."""
PARETO_DEVICES = 32
FEW_DEVICES = 128
"""Devices up to which groups of single devices are searched where hundreds of searches are needed."""
SIMULATED_STEPS = 2600
"""Output tokens of a slot that are simulated, but for its first few requests."""
SAMPLES = 40
BREAK_EVENS = 6
"""Inputs, those that move the answer most, whose break-even is looked for."""
SURE = 0.8
"""Share of samples from which on the winner is not called unsure."""
FEW_DIGITS = 100
"""Rates below are told in three digits."""
FAR_RATIO = 10
"""Attention to FFN ratio that is too far off to be worth a remark."""
MOST_NODES = 40
"""FFN nodes up to which the roofline is drawn."""
SHARES, TIMES = (0.2, 1.0, 0.01), (0.25, 4.0, 0.05)
"""Low, high and step of a slider of shares, and of multiples."""
COLORS = (BLUE, ORANGE, GREEN, "#93317f", "#5b6570", "#8a6d00")
DASHES = ([1, 0], [8, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 6])
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
    "power_basis",
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
<p class="answer">{answer}</p>{doubt}
<p class="faint">{about}</p>
<nav aria-label="Sections">{contents}</nav></header>
<main>
{body}
</main>
<script>{bundle}</script>
<script>
const sliders = {sliders};
const drawn = () => document.body.setAttribute("data-drawn", "yes");
const options = {{mode: "vega-lite", renderer: "svg", actions: false}};
if (sliders) vegaEmbed("#sliders", sliders, options).then(drawn); else drawn();
</script>
</body>
</html>
"""


Chart = tuple["Callable[[], alt.TopLevelMixin]", str]
"""What draws a chart, and what the chart shows."""


def _picture(make: Callable[[], alt.TopLevelMixin], about: str) -> str:
    """Return the image of a chart, or why there is none."""
    try:
        drawn = svg_bytes(make().to_dict(validate=False))
    except (InfeasibleError, InputError) as error:
        return f'<p class="faint">No picture: {html.escape(str(error))}</p>'
    data = base64.b64encode(drawn).decode()
    image = f'<img alt="{html.escape(about)}" src="data:image/svg+xml;base64,{data}">'
    return f'<figure tabindex="0">{image}</figure>'


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
    asked = {key: bought.inputs[key] for key in ("tpot_ms", "context")}  # the demand may set them
    scenarios = [attrs.evolve(each, **asked) for each in scenarios]
    rows = bought.rows()
    best = rows[0]
    chosen = _scenario_of(scenarios, best["system"])
    name = (
        title or f"{chosen.model.name}: which system for {bought.inputs['demand_tokens_per_s']:,.0f} tokens/s"
    )
    if osl is None and question.get("trace") is not None:
        osl = round(float(np.mean(read_trace(question["trace"]).decode_tokens)))
    output = whole("--osl", osl) if osl is not None else min(OUTPUT_TOKENS, max(chosen.context, 1))
    prompt = chosen.context - output // 2
    if prompt < 1:
        raise InputError(
            f"--osl {output:,}: a mean context of {chosen.context:,} tokens leaves no input; --context must "
            f"be above {output // 2:,}"
        )
    own = [row for row in rows if row["system"] == best["system"] and row["feasible"]]
    afd = next((row for row in own if row["mode"] == AFD), None)
    coarse = chosen
    if chosen.granularity == "device" and chosen.devices is None and chosen.max_devices > FEW_DEVICES:
        coarse = attrs.evolve(chosen, granularity="node")  # what varies it asks for hundreds of searches
    small = attrs.evolve(chosen, devices=PARETO_DEVICES, tpot_ms=chosen.latency_ms)

    def moved() -> tuple[Answer, str]:
        found = _moved(coarse, best["mode"])
        about = "Inputs by how far they move the comparison"
        return found, _picture(lambda: tornado_chart.draw(coarse, found), about)

    charts: dict[str, Chart] = {
        "pareto": (
            lambda: pareto_chart(small, isl=prompt, osl=output),
            "Frontiers of four serving modes",
        ),
        "curves": (
            lambda: afd_vs_ep_chart(attrs.evolve(coarse, max_devices=min(coarse.max_devices, CURVE_DEVICES))),
            "Tokens per second and device over TPOT, EP and AFD",
        ),
        "procurement": (
            lambda: procurement_chart.draw(bought, scenarios[0]),
            "Cost per million tokens by system and mode",
        ),
        "breakdown": (
            lambda: breakdown_chart(_deployed(chosen, best), mode=best["mode"]),
            "Where a decode step spends its time",
        ),
        "dead zone": (lambda: dead_zone_chart(chosen), "HFU over FFN nodes, with the dead zone"),
    }
    if afd is not None:
        charts = {"pareto": charts["pareto"], "ratio": _ratio(chosen, afd, prompt, output), **charts}
    made: dict[str, Any] = side_by_side(
        {
            "bundle": script_bundle,
            "moved": moved,
            "verdict": lambda: str(compare(coarse).summary["reason"]),
            **{key: partial(_picture, make, about) for key, (make, about) in charts.items()},
        }
    )
    varied, tornado = made["moved"]
    pair = chosen.side("attention").id != chosen.side("ffn").id
    alone = (
        f"A pair of systems is a candidate for AFD alone: EP, here and below, is on {chosen.system.name}."
        if pair
        else ""
    )
    sliders = slider_specification([chosen, *scenarios])
    ratio = (
        _ratio_text(chosen, afd, prompt, output) + made["ratio"]
        if afd
        else _paragraph("There is nothing to split: no disaggregated deployment is feasible.")
    )
    sections: list[tuple[str, str, str]] = [
        ("procurement", "What each system costs", f"{made['procurement']}{_procured(bought)}"),
        ("modes", "EP or AFD", f"{_modes(own, alone, made['verdict'])}{made['curves']}"),
        ("breakdown", "Where a step spends its time", made["breakdown"]),
        ("roofline", "The roofline, to move", _sliders_text(sliders)),
        ("dead-zone", "When more FFN devices stop helping", made["dead zone"]),
        ("sensitivity", "How sure this is", f"{_sensitivity(varied, coarse=coarse is not chosen)}{tornado}"),
        ("serving", "Prefill and decode", _serving_text(small, prompt, output) + made["pareto"]),
        ("ratio", "Attention to FFN devices", ratio),
        ("validation", "Predictions against published services", _validation(chosen)),
        ("assumptions", "What it rests on", _assumptions(bought)),
        ("again", "To make this page again", _again(chosen, command)),
    ]
    body = "\n".join(
        f'<section id="{key}"><h2>{html.escape(heading)}</h2>{text}</section>'
        for key, heading, text in sections
    )
    page = PAGE.format(
        version=__version__,
        title=html.escape(name),
        style=files(__package__).joinpath("report.css").read_text("utf-8"),
        answer=html.escape(bought.summary["answer"]),
        doubt="" if pair else _doubt(varied),
        about=html.escape(_about(chosen, scenarios, bought)),
        contents="".join(f'<a href="#{key}">{html.escape(heading)}</a>' for key, heading, _ in sections),
        body=_cards(bought, best, varied, pair=pair) + body,
        bundle=made["bundle"],
        sliders=script_literal(sliders),
    )
    return page.encode()


def _moved(chosen: Scenario, mode: str) -> Answer:
    """Return what uncertain inputs do to AFD over EP; to the mode that serves where the other cannot."""
    asked: dict[str, Any] = {"samples": SAMPLES, "break_evens": BREAK_EVENS}
    try:
        return sensitivity(chosen, metric=RATIO, **asked)
    except InfeasibleError:
        return sensitivity(chosen, metric=mode, **asked)


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
    candidates = f"{len(scenarios)} candidates: {names}" if len(scenarios) > 1 else f"candidate: {names}"
    return f"{chosen.model.name} · {limits} · {weights} · {candidates} · {prices}"


def _cards(bought: Answer, best: Mapping[str, Any], moved: Answer, *, pair: bool) -> str:
    """Return the key numbers, each with what is known of its uncertainty; of a pair nothing about EP."""
    error = bought.summary["validated_error"]
    shares = _shares(moved, best["mode"])
    cost, rate = best["usd_per_million_tokens"], best["tokens_per_s_per_device"]
    cards = []
    if cost is not None:
        text = f"{cost:.3g} USD"
        more = "per million output tokens, decode alone"
        if shares:
            low, high = (cost * _replicas(bought, best, share) for share in reversed(shares))
            more += f"; 90 % of samples {low:.3g} to {high:.3g}"
        cards.append((text, more))
    cards += [
        (f"{best['n_devices']:,} devices", f"{best['deployment']}, {best['n_nodes']:,} nodes"),
        (
            f"{_rate(rate)} tokens/s",
            "per device"
            + (
                f"; 90 % of samples {_rate(rate * shares[0])} to {_rate(rate * shares[1])}"
                if shares
                else f"; median error {error:.1%}"
            ),
        ),
        (f"{best['tokens_per_s_per_user']:.0f} tokens/s", f"per user, {best['tpot_ms']:.1f} ms per token"),
    ]
    if best["power_kw"] is not None:
        cards.append((f"{best['power_kw']:,.0f} kW", f"{best['tokens_per_joule']:.3g} tokens per joule"))
    probability = moved.summary.get("probability_afd_wins")
    if probability is not None and not pair:
        cards.append(
            (f"{probability:.0%}", "probability that AFD serves more than EP, uncertain inputs varied")
        )
    inner = "".join(
        f'<div class="card"><b>{html.escape(big)}</b><span>{html.escape(small)}</span></div>'
        for big, small in cards
    )
    return f'<div class="cards">{inner}</div>'


def _rate(value: float) -> str:
    """Return a rate in three digits at least."""
    return f"{value:,.0f}" if value >= FEW_DIGITS else f"{value:.3g}"


def _shares(moved: Answer, mode: str) -> tuple[float, float] | None:
    """Return the 90 % interval of a mode's throughput over that predicted; None without samples."""
    key = f"{mode}_tokens_per_s_per_device"
    found, base = (moved.summary["intervals"] or {}).get(key), moved.summary[key]
    return (found["low"] / base, found["high"] / base) if found and base else None


def _replicas(bought: Answer, best: Mapping[str, Any], share: float) -> float:
    """Return how many times the replicas a demand takes where each serves a share of what is predicted."""
    replicas = int(best["n_replicas"])
    served = float(best["capacity_tokens_per_s"]) / replicas * share
    needed = math.ceil(bought.inputs["demand_tokens_per_s"] / served * (1 - 1e-9))
    if bought.inputs["demand_users"]:
        held = float(best["capacity_sequences"]) / replicas
        needed = max(needed, math.ceil(bought.inputs["demand_users"] / held * (1 - 1e-9)))
    return float(max(needed, 1) / replicas)


def _doubt(moved: Answer) -> str:
    """Return what is unsure of the winner, and of whether anything serves."""
    chance, samples = moved.summary["probability_afd_wins"], moved.summary["samples"]
    missed = samples - (moved.summary["feasible_samples"] or 0)
    parts = []
    if chance is not None and max(chance, 1.0 - chance) < SURE:
        parts.append(
            f"Unsure of EP or AFD: AFD serves more in {chance:.0%} of samples of the uncertain inputs."
        )
    if missed > (1.0 - SURE) * samples:
        parts.append(
            f"Unsure to be served at all: in {missed} of {samples} samples nothing meets the target."
        )
    return _paragraph(" ".join(parts), "doubt") if parts else ""


def _deployed(chosen: Scenario, best: Mapping[str, Any]) -> Scenario:
    """Return the question about the deployment that was chosen."""
    replicas = best["n_replicas"]
    groups = {"devices": best["n_devices"] // replicas}
    if best["mode"] == AFD:
        groups = {f"{side}_devices": best[f"n_{side}_devices"] // replicas for side in ("attention", "ffn")}
    return attrs.evolve(chosen, batch=best["batch_per_device"], microbatches=best["microbatches"], **groups)


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
    return f'<div class="wide" tabindex="0"><table>{body}</table></div>'


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


def _modes(own: Sequence[Mapping[str, Any]], alone: str, verdict: str) -> str:
    keys = (
        "mode",
        "tokens_per_s_per_device",
        "tpot_ms",
        "deployment",
        "batch_per_device",
        "n_devices",
        "binding",
    )
    text = _paragraph(f"Per device, whatever the demand: {verdict}") + _paragraph(
        "Table: what serves the whole demand with fewest devices. Chart: the most that one deployment of up "
        f"to {CURVE_DEVICES} devices gives at each latency target, whatever the demand."
    )
    return text + _paragraph(alone) * bool(alone) + table(own, keys, first=True)


def _sensitivity(moved: Answer, *, coarse: bool) -> str:
    text = moved.summary["answer"] + (" Devices come in whole nodes here." if coarse else "")
    return _paragraph(text) + table(moved.rows()[:8], SENSITIVITY_KEYS)


def _serving_text(small: Scenario, prompt: int, output: int) -> str:
    return _paragraph(
        f"Four ways to serve requests of {prompt:,} input and {output:,} output tokens on {small.devices} "
        f"devices of {small.system.name}: prefill and decode on the same devices or in two pools, each with "
        "or without AFD. Prefill is paid for here, and left out of all the above: tokens per device are "
        "fewer."
    )


def _ratio_text(chosen: Scenario, afd: Mapping[str, Any], prompt: int, output: int) -> str:
    attention, ffn = (afd[key] // afd["n_replicas"] for key in ("n_attention_devices", "n_ffn_devices"))
    text = (
        f"How many attention devices keep {ffn} FFN devices busy, where requests are of random length: "
        f"{prompt:,} tokens in and {output:,} out on average, outputs geometric."
    )
    domain = _within(chosen).system.scale_up_domain_devices
    most = domain / ffn - 1
    if 1 <= most < FAR_RATIO:
        text += (
            f" A scale-up domain holds {domain} devices: beyond r = {most:.3g} transfers cross the "
            "scale-out links."
        )
    if attention < ffn:
        text += (
            f" The deployment above, ({attention}A+{ffn}F), has fewer attention than FFN devices, as short "
            "latency targets ask for; simulated are whole ratios, from 1 on."
        )
    return _paragraph(text)


def _ratio(chosen: Scenario, afd: Mapping[str, Any], prompt: int, output: int) -> Chart:
    """Return what draws the ratio about a disaggregated deployment, and what to call it.

    The batch is three quarters of that of a micro-batch: one that fits at the mean context leaves no room
    for one that is longer than the mean.
    """
    m = int(afd["microbatches"])
    batch = max(int(afd["batch_per_device"]) * 3 // (4 * m), 1)
    turns = min(FEW_TURNS, SIMULATED_STEPS / output)
    ffn_devices = afd["n_ffn_devices"] // afd["n_replicas"]
    question: dict[str, Any] = {
        "scenario": attrs.evolve(chosen, microbatches=m, ffn_devices=ffn_devices),
        "prompt_mean": prompt,
        "decode_mean": output,
        "batch": batch,
        "requests": max(round(turns * batch * m), 1),
        "replications": 2,
    }
    return partial(ratio_chart, **question), "Throughput over attention instances per FFN instance"


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
    shown = rows[:MOST_VALIDATION_ROWS]
    reasons = "".join(f"<li>{linked(row['id'])}: {linked(row['why'])}.</li>" for row in shown if row["why"])
    return _paragraph(text) + table(shown, VALIDATION_KEYS) + (f"<ul>{reasons}</ul>" if reasons else "")


def _assumptions(bought: Answer) -> str:
    """Return every note, and every catalogue value with kind and source."""
    notes = "".join(f"<li>{linked(note)}</li>" for note in bought.notes)
    values = [{"input": key.rpartition(".")[2], **value} for key, value in bought.inputs["values"].items()]
    values.sort(key=lambda value: value["record"])
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
        f"{html.escape(chosen.system.id)} as a scenario file</a>, for <code>--scenario</code> of any "
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


def _sliders_text(specification: Mapping[str, Any] | None) -> str:
    if specification is None:
        return _paragraph("No candidate has the links that a second node would need.", "faint")
    return (
        _paragraph(
            "HFU of the FFN stage over FFN nodes: the share of peak operations that the links let FFN "
            "devices do. It falls where copies of a token cross the scale-out links, until each expert "
            "costs a copy: more nodes then bring nothing. Move the sliders to see what would lift it."
        )
        + '<figure id="sliders" role="group" aria-label="Roofline of the FFN stage with sliders"></figure>'
        "<noscript>The script inside this page draws the sliders: it needs JavaScript, but no "
        "network.</noscript>"
    )


def slider_specification(scenarios: Sequence[Scenario]) -> dict[str, Any] | None:
    """Return the roofline of the FFN stage with sliders, its closed form computed in the page.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate; the links of the first set where the sliders of efficiency begin.

    Returns
    -------
    dict or None
        Vega-Lite: a curve per FFN system. Where the sliders begin, HFU is that of the roofline as long as
        it reads its experts in time (`physics.roofline.closed_form_utilization`); None where no system
        reaches a second node.
    """
    stages: dict[str, FfnStageInputs] = {}
    for scenario in scenarios:
        try:
            inputs = ffn_stage_inputs(_within(scenario))
        except InputError:  # it reaches no second node
            continue
        stages.setdefault(inputs.scenario.system.id, inputs)
    if not stages:
        return None
    first, *_ = stages.values()
    width = first.scenario.model.expert_intermediate
    up_efficiency = _efficiency(first.scenario.system.scale_up, first.scale_up)
    tiered = [inputs for inputs in stages.values() if not inputs.superpod]
    params: list[dict[str, Any]] = []
    up = f"(up_efficiency / {up_efficiency!r} * up_times)"
    out = up
    if tiered:
        out_efficiency = _efficiency(tiered[0].scenario.system.scale_out, tiered[0].scale_out)
        out = f"(datum.tiers * out_efficiency / {out_efficiency!r} * out_times + (1 - datum.tiers) * {up})"
        params += [
            _slider("out_efficiency", "Scale-out efficiency", out_efficiency, SHARES),
            _slider("out_times", "Scale-out bandwidth, times that of today", 1.0, TIMES),
        ]
    params += [
        _slider("up_efficiency", "Scale-up efficiency", up_efficiency, SHARES),
        _slider("up_times", "Scale-up bandwidth, times that of today", 1.0, TIMES),
        _slider("expert_width", "Width of an expert", width, _around(width)),
    ]
    nodes = np.arange(1, MOST_NODES + 1)
    rows = [
        {"system": name, "tiers": 0 if inputs.superpod else 1, **row}
        for name, inputs in stages.items()
        for row in _reached(inputs, nodes)
    ]
    x = {
        "field": "ffn_nodes",
        "type": "quantitative",
        "title": "FFN nodes",
        "scale": {"domain": [1, MOST_NODES], "nice": False},
    }
    y = {
        "field": "hfu",
        "type": "quantitative",
        "title": "HFU [1]",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%"},
    }
    names = list(stages)
    legend = {
        "orient": "top",
        "title": None,
        "symbolType": "stroke",
        "symbolSize": 900,
        "symbolStrokeWidth": 2.5,
        "labelLimit": 260,
    }
    of_system = {
        "field": "system",
        "type": "nominal",
        "sort": names,
        "scale": {"domain": names, "range": COLORS[: len(names)]},
        "legend": legend,
    }
    dashes = {**of_system, "scale": {"domain": names, "range": DASHES[: len(names)]}}
    tooltip = [
        {"field": "system", "type": "nominal", "title": "system"},
        {"field": "ffn_nodes", "type": "quantitative", "title": "FFN nodes"},
        {"field": "hfu", "type": "quantitative", "title": "HFU", "format": ".1%"},
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        "height": 320,
        "params": params,
        "data": {"values": rows},
        "transform": [
            {
                "calculate": f"min(1, min({up} * datum.up, {out} * datum.out) * expert_width / {width})",
                "as": "hfu",
            }
        ],
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 2.5},
                "encoding": {"x": x, "y": y, "color": of_system, "strokeDash": dashes},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 30, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": of_system, "tooltip": tooltip},
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
            "legend": {"labelFontSize": 13},
        },
    }


def _reached(inputs: FfnStageInputs, nodes: NDArray[np.int_]) -> list[dict[str, Any]]:
    """Return HFU that scale-up alone and scale-out alone would grant, at some counts of FFN nodes."""
    told = inputs.arguments(nodes)
    share = stage.sender_share(
        attention_devices=inputs.attention_devices, ffn_devices=1.0 * nodes * inputs.devices_per_node
    )
    out = inputs.scale_up if inputs.superpod else inputs.scale_out * told["experts_per_copy"]
    needed = inputs.compute_bound_bandwidth
    grants = np.broadcast_to(np.multiply(out, share) / needed, nodes.shape)
    return [
        {"ffn_nodes": count, "up": inputs.scale_up / needed, "out": grant}
        for count, grant in zip(nodes.tolist(), grants.tolist(), strict=True)
    ]


def _efficiency(fabric: Interconnect | None, effective: float) -> float:
    """Return the share of a link's rate that is counted on."""
    return effective / fabric.bytes_per_s if fabric else 1.0


def _within(scenario: Scenario) -> Scenario:
    """Return the question with one system for both sides: the FFN side's."""
    return attrs.evolve(scenario, system=scenario.side("ffn"), attention_system=None, ffn_system=None)


def _slider(name: str, label: str, value: float, bounds: tuple[float, float, float]) -> dict[str, Any]:
    """Return a parameter that a range input binds: from low to high in steps."""
    low, high, step = bounds
    bind = {"input": "range", "min": low, "max": high, "step": step, "name": label}
    return {"name": name, "value": value, "bind": bind}


def _around(value: float) -> tuple[float, float, float]:
    """Return the bounds of a slider about a value: from a quarter to four times, in whole steps of it."""
    step = float(10 ** np.floor(np.log10(max(value, 1e-9) / 50)))
    return max(np.floor(value / 4 / step), 1) * step, np.ceil(value * 4 / step) * step, step
