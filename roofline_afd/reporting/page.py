"""One self-contained page about a purchase: the answer, why, how sure, and what it rests on."""

from __future__ import annotations

import base64
import html
import re
import shlex
import sys
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd import __version__
from roofline_afd.analysis.decode.compare import CLOSE_CALL, NAMES
from roofline_afd.analysis.evidence import services
from roofline_afd.analysis.purchase.candidates import candidate_name
from roofline_afd.analysis.purchase.procurement import procure
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.reporting.side_by_side import Ahead, side_by_side
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.scenario import Scenario, whole
from roofline_afd.view.columns import column
from roofline_afd.view.pages import script_bundle, script_literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

OUTPUT_TOKENS = 512
"""Output tokens of a request where nothing says so: its mean context then fixes the input."""
CURVE_DEVICES = 256
"""Devices up to which curves over many latency targets are searched."""
PARETO_DEVICES = 32
FEW_DEVICES = 128
"""Devices up to which groups of single devices are searched where hundreds of searches are needed."""
SURE = 0.8
"""Share of samples from which on the winner is not called unsure."""
FEW_DIGITS = 100
"""Rates below are told in three digits."""
FAR_RATIO = 10
"""Attention to FFN ratio that is too far off to be worth a remark."""
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
VALIDATION_KEYS = ("id", "mode", "use", "system", "model", "measured", "predicted", "error", "origin")
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


class Case(NamedTuple):
    """What a page is about."""

    bought: Answer
    scenarios: Sequence[Scenario]
    """The candidates, with what the demand sets."""
    best: Mapping[str, Any]
    """The row that is recommended."""
    chosen: Scenario
    """The question about its system."""
    coarse: Scenario
    """The same where hundreds of searches are needed."""
    small: Scenario
    """The same about a few devices that prefill and decode."""
    prompt: int
    output: int
    """Mean input and output of a request, which together have the mean context [tokens]."""

    @property
    def own(self) -> list[dict[str, Any]]:
        """Feasible rows of the recommended system."""
        return [row for row in self.bought.rows() if row["system"] == self.best["system"] and row["feasible"]]

    @property
    def afd(self) -> dict[str, Any] | None:
        """Its row of attention-FFN disaggregation."""
        return next((row for row in self.own if row["mode"] == AFD), None)

    @property
    def pair(self) -> bool:
        """Whether it is a pair of systems, a candidate for AFD alone."""
        return self.chosen.side("attention").id != self.chosen.side("ffn").id


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
    with Ahead(script_bundle) as scripts:
        case = _case(scenarios, osl, question)
        from roofline_afd.reporting.pictures import pictures_of  # takes its time, beside the scripts
        from roofline_afd.reporting.sliders import slider_specification

        made = side_by_side(pictures_of(case))
        bundle = scripts.result()
    varied: Answer
    varied, tornado = made["moved"]
    sliders = slider_specification([case.chosen, *case.scenarios])
    ratio = (
        _ratio_text(case, case.afd) + made["ratio"]
        if case.afd
        else _paragraph("There is nothing to split: no disaggregated deployment is feasible.")
    )
    sections: list[tuple[str, str, str]] = [
        ("procurement", "What each system costs", f"{made['procurement']}{_procured(case.bought)}"),
        ("modes", "EP or AFD", f"{_modes(case, made['verdict'])}{made['curves']}"),
        ("breakdown", "Where a step spends its time", made["breakdown"]),
        ("roofline", "The roofline, to move", _sliders_text(sliders)),
        ("dead-zone", "When more FFN devices stop helping", made["dead zone"]),
        ("sensitivity", "How sure this is", f"{_sensitivity(case, varied)}{tornado}"),
        ("serving", "Prefill and decode", f"{_serving_text(case)}{made['pareto']}"),
        ("ratio", "Attention to FFN devices", ratio),
        ("validation", "Predictions against published services", _validation(case.chosen)),
        ("assumptions", "What it rests on", _assumptions(case.bought)),
        ("again", "To make this page again", _again(case.chosen, command)),
    ]
    body = "\n".join(
        f'<section id="{key}"><h2>{html.escape(heading)}</h2>{text}</section>'
        for key, heading, text in sections
    )
    demand = case.bought.inputs["demand_tokens_per_s"]
    page = PAGE.format(
        version=__version__,
        title=html.escape(title or f"{case.chosen.model.name}: which system for {demand:,.0f} tokens/s"),
        style=files(__package__).joinpath("report.css").read_text("utf-8"),
        answer=html.escape(case.bought.summary["answer"]),
        doubt="" if case.pair else _doubt(varied, made["verdict"]),
        about=html.escape(_about(case)),
        contents="".join(f'<a href="#{key}">{html.escape(heading)}</a>' for key, heading, _ in sections),
        body=_cards(case, varied) + body,
        bundle=bundle,
        sliders=script_literal(sliders),
    )
    return page.encode()


def _case(scenarios: Sequence[Scenario], osl: int | None, question: Mapping[str, Any]) -> Case:
    """Return what a page is about: the purchase, and the questions that follow from it."""
    bought = procure(scenarios, **question)
    asked = {key: bought.inputs[key] for key in ("tpot_ms", "context")}  # the demand may set them
    scenarios = [attrs.evolve(each, **asked) for each in scenarios]
    best = bought.rows()[0]
    chosen = next(each for each in scenarios if candidate_name(each) == best["system"])
    mean = bought.inputs["mean_output_tokens"]
    if osl is None and mean is not None:
        osl = round(mean)
    output = whole("--osl", osl) if osl is not None else min(OUTPUT_TOKENS, max(chosen.context, 1))
    prompt = chosen.context - output // 2
    if prompt < 1:
        raise InputError(
            f"--osl {output:,}: a mean context of {chosen.context:,} tokens leaves no input; --context must "
            f"be above {output // 2:,}"
        )
    coarse = chosen
    if chosen.granularity == "device" and chosen.devices is None and chosen.max_devices > FEW_DEVICES:
        coarse = attrs.evolve(chosen, granularity="node")
    small = attrs.evolve(chosen, devices=PARETO_DEVICES, tpot_ms=chosen.latency_ms)
    return Case(bought, scenarios, best, chosen, coarse, small, prompt, output)


def _about(case: Case) -> str:
    chosen, bought = case.chosen, case.bought
    limits = f"TPOT at most {chosen.latency_ms:g} ms, context {chosen.context:,} tokens"
    names = ", ".join(bought.inputs["systems"])
    weights = f"experts in {chosen.weights.id}, cache in {chosen.kv_precision}"
    prices = f"prices: {bought.inputs['price_basis']}, {bought.inputs['price_terms']}"
    candidates = (
        f"{len(case.scenarios)} candidates: {names}" if len(case.scenarios) > 1 else f"candidate: {names}"
    )
    return f"{chosen.model.name} · {limits} · {weights} · {candidates} · {prices}"


def _cards(case: Case, moved: Answer) -> str:
    """Return the key numbers, each with what is known of its uncertainty; of a pair nothing about EP."""
    bought, best = case.bought, case.best
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
    if probability is not None and not case.pair:
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
    wanted = {"tokens_per_s": bought.inputs["demand_tokens_per_s"] / share}
    if bought.inputs["demand_users"]:
        wanted["sequences"] = bought.inputs["demand_users"]
    needed = (
        economics.fleet_replicas(demand=demand, replica_capacity=best[f"capacity_{key}"] / replicas)
        for key, demand in wanted.items()
    )
    return max(float(each) for each in needed) / replicas


def _doubt(moved: Answer, verdict: str) -> str:
    """Return what is unsure of the winner, and of whether anything serves."""
    chance, samples = moved.summary["probability_afd_wins"], moved.summary["samples"]
    missed = samples - (moved.summary["feasible_samples"] or 0)
    parts = [f"{verdict.partition(';')[0]}."] if verdict.startswith(CLOSE_CALL) else []
    if chance is not None and max(chance, 1.0 - chance) < SURE:
        parts.append(
            f"Unsure of EP or AFD: AFD serves more in {chance:.0%} of samples of the uncertain inputs."
        )
    if missed > (1.0 - SURE) * samples:
        parts.append(
            f"Unsure to be served at all: in {missed} of {samples} samples nothing meets the target."
        )
    return _paragraph(" ".join(parts), "doubt") if parts else ""


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


def _modes(case: Case, verdict: str) -> str:
    alone = (
        "A pair of systems is a candidate for AFD alone: EP, here and below, is on "
        f"{case.chosen.system.name}."
    )
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
    return text + _paragraph(alone) * case.pair + table(case.own, keys, first=True)


def _sensitivity(case: Case, moved: Answer) -> str:
    coarse = case.coarse is not case.chosen
    text = moved.summary["answer"] + (" Devices come in whole nodes here." if coarse else "")
    return _paragraph(text) + table(moved.rows()[:8], SENSITIVITY_KEYS)


def _serving_text(case: Case) -> str:
    small = case.small
    return _paragraph(
        f"Four ways to serve requests of {case.prompt:,} input and {case.output:,} output tokens on "
        f"{small.devices} devices of {small.system.name}: prefill and decode on the same devices or in two "
        "pools, each with or without AFD. Prefill is paid for here, and left out of all the above: tokens "
        "per device are fewer."
    )


def _ratio_text(case: Case, afd: Mapping[str, Any]) -> str:
    attention, ffn = (afd[key] // afd["n_replicas"] for key in ("n_attention_devices", "n_ffn_devices"))
    text = (
        f"How many attention devices keep {ffn} FFN devices busy, where requests are of random length: "
        f"{case.prompt:,} tokens in and {case.output:,} out on average, outputs geometric."
    )
    domain = case.chosen.side("ffn").scale_up_domain_devices
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


def _validation(chosen: Scenario) -> str:
    """Return predictions of services that are nearest to this case, with their errors."""
    catalogue = chosen.system.parts.catalogue or Catalogue()
    answer = services.validate_services(services.shipped_services(catalogue), catalogue=catalogue)
    rows = [row for row in answer.rows() if row["error"] is not None]

    def near(row: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return row["system"] != chosen.system.id, row["model"] != chosen.model.id, row["use"] != "absolute"

    rows.sort(key=near)
    summary = answer.summary
    text = (
        f"Median error {summary['median_abs_error']:.1%} over {summary['n']} published results that set "
        "nothing; those nearest to this case first. It counts absolute rows alone: relative and shape rows "
        "are there for the ratios among them, and their levels are told for completeness."
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
