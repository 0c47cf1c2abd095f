"""The texts and tables of a report, a function per section."""

from __future__ import annotations

import base64
import html
import shlex
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.decode.sides import NAMES
from roofline_afd.analysis.purchase.limits import limits_of
from roofline_afd.analysis.purchase.procurement import PREFILL_NOTE, SOLD_NOTE
from roofline_afd.documents import utf8
from roofline_afd.reporting.case import CURVE_DEVICES
from roofline_afd.reporting.choices import choices_section
from roofline_afd.reporting.markup import linked, paragraph, table
from roofline_afd.reporting.names import in_words, input_name, names_of
from roofline_afd.reporting.requests import requests_section
from roofline_afd.serving.scenario_file import scenario_text
from roofline_afd.version import __version__
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.reporting.case import Case
    from roofline_afd.serving.scenario import Scenario

FAR_RATIO = 10
"""Attention to FFN ratio that is too far off to be worth a remark."""
PROCURE_KEYS = (
    "rank",
    "system",
    "mode",
    "n_devices_sold",
    "deployment",
    "tokens_per_s_per_device",
    "usd_per_million_tokens",
    "break_even_price",
    "capex_usd",
    "power_kw",
    "estimated_share",
    "binding",
)
VALIDATION_KEYS = (
    *("service", "mode", "system", "model", "compared"),
    *("measured", "predicted", "error"),
)
LEVER_KEYS = (
    "lever",
    "option",
    "ep_tokens_per_s_per_device",
    "afd_tokens_per_s_per_device",
    "afd_over_ep",
    "probability_afd_wins",
    "remark",
)
SENSITIVITY_KEYS = ("input", "unit", "low", "value", "high", "metric_low", "metric_high", "uncertainty")
MOST_INPUTS = 12
MOST_VALIDATION_ROWS = 14
SECOND_HAND = "secondary"
COMPARED = {
    "absolute": "level",
    "shape": "shape of a curve",
    "relative": "AFD over EP alone",
    "lower-bound": "at least so much",
}
"""What a published result is good for, in words."""
KINDS = {"reported": "reported by others", "derived": "derived", "estimated": "estimated"}
"""Where a value is from, in words, where the word of the catalogue could be misread."""


class Findings(NamedTuple):
    """What was found besides the purchase."""

    moved: Answer
    """What uncertain inputs do: of `sensitivity`."""
    verdict: str
    """Which mode serves more, and why: of `compare`."""
    levers: Sequence[Mapping[str, Any]]
    """What each lever does to that, a row each."""
    validation: Answer
    """How far predictions are from published services."""
    pictures: Mapping[str, str]
    """Html by name."""
    sliders: Mapping[str, Any] | None
    """The roofline with sliders as Vega-Lite; None where there is none."""
    still: str
    """Html of the roofline where they begin, for paper."""
    choices: Mapping[str, Any]
    """What costs are computed from in the page."""


def sections_of(case: Case, found: Findings, command: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return the sections of a report.

    Parameters
    ----------
    case : Case
        What the report is about.
    found : Findings
        What was found besides the purchase.
    command : sequence of str or None
        Command line that makes the report.

    Returns
    -------
    list of tuple
        Name, heading and html of each, from top to bottom.
    """
    drawn, asked = found.pictures, case.requests
    first = (
        []
        if asked is None
        else [
            ("requests", "What whole requests cost", requests_section(asked, drawn["requests"])),
            ("load", "What requests wait for", drawn["load"]),
        ]
    )
    decoded = "" if asked is None else paragraph(f"Decoding alone: {case.bought.summary['answer']}")
    return [
        ("change", "What would change it", choices_section(found.choices)),
        *first,
        ("procurement", "What each system costs", f"{decoded}{drawn['procurement']}{_procured(case)}"),
        ("modes", "EP or AFD", f"{_modes(case, found.verdict)}{drawn['curves']}"),
        ("levers", "What each lever does to the verdict", _levers(found.levers)),
        ("breakdown", "Where a step spends its time", drawn["breakdown"]),
        ("roofline", "The roofline, to move", _sliders(found.sliders, found.still)),
        ("dead-zone", "When more FFN devices stop helping", drawn["dead zone"]),
        ("sensitivity", "How sure this is", f"{_sensitivity(case, found.moved)}{drawn['tornado']}"),
        ("serving", "Prefill and decode", f"{_serving(case)}{drawn['pareto']}"),
        ("ratio", "Attention to FFN devices", f"{_ratio(case)}{drawn.get('ratio', '')}"),
        ("validation", "Predictions against published services", _validation(case, found.validation)),
        ("assumptions", "What it rests on", _assumptions(case.bought)),
        ("again", "To make this page again", _again(case.chosen, command)),
    ]


def _procured(case: Case) -> str:
    bought, names = case.bought, names_of(case.scenarios)
    rows = [
        {**row, "system": names[row["system"]], "mode": NAMES[row["mode"]]}
        for row in bought.rows()
        if row["feasible"]
    ]
    refused = [
        f"{names[row['system']]} ({NAMES[row['mode']]}): {row['binding']}"
        for row in bought.rows()
        if not row["feasible"]
    ]
    left = paragraph(f"Not feasible: {'; '.join(refused)}.", "faint") if refused else ""
    limits = limits_of(case.asked)
    limited = table(rows, ("system", "mode", *limits.columns()), first=True) if limits.columns() else ""
    told = [note for note in bought.notes if note in {PREFILL_NOTE, SOLD_NOTE, *limits.notes()}]
    return (
        table(rows, PROCURE_KEYS, first=True)
        + limited
        + left
        + paragraph(f"{'. '.join(map(_sentence, told))}.", "faint")
    )


def _sentence(note: str) -> str:
    """Return a note as a sentence without its full stop."""
    return note[:1].upper() + note[1:]


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
    text = paragraph(f"Per device, whatever the demand: {verdict}") + paragraph(
        "Table: what serves the whole demand with fewest devices. Chart: the most that one deployment of up "
        f"to {CURVE_DEVICES} devices gives at each latency target, whatever the demand."
    )
    own = [{**row, "mode": NAMES[row["mode"]]} for row in case.own]
    return text + paragraph(alone) * case.pair + table(own, keys, first=True)


def _levers(levers: Sequence[Mapping[str, Any]]) -> str:
    return paragraph(
        "One choice changed at a time, for EP and AFD alike, all else as asked and searched anew. Rates are "
        "tokens/s per device; the probability is that AFD serves more."
    ) + table(levers, LEVER_KEYS)


def _sliders(specification: Mapping[str, Any] | None, still: str) -> str:
    if specification is None:
        return paragraph("No candidate has the links that a second node would need.", "faint")
    return (
        paragraph(
            "HFU of the FFN stage over FFN nodes: the share of peak operations that the links let FFN "
            "devices do. It falls where copies of a token cross the scale-out links, until each expert "
            "costs a copy: more nodes then bring nothing."
        )
        + '<figure id="sliders" role="group" aria-label="Roofline of the FFN stage with sliders"></figure>'
        f'<noscript>{still}</noscript><div class="still">{still}</div>'
    )


def _sensitivity(case: Case, moved: Answer) -> str:
    """Return what is sure in words, which inputs would change the winner, and all of them folded away."""
    rows = [row for row in moved.rows() if row.get("other_input") is None]
    coarse = case.coarse is not case.chosen
    text = in_words(moved.summary["answer"], [row["input"] for row in rows])
    text += " Devices come in whole nodes here." if coarse else ""
    named_rows = [{**row, "input": input_name(row["input"])} for row in rows]
    turning = [row for row in named_rows if row["changes_winner"] or row["break_even"] is not None]
    turns = (
        paragraph("Inputs that would change the winner, and from where on:")
        + table(turning, ("input", "value", "break_even", "unit", "low", "high", "changes_winner"))
        if turning
        else ""
    )
    numbers = table(named_rows[:MOST_INPUTS], SENSITIVITY_KEYS)
    folded = f"<summary>The inputs that move it most, in numbers</summary>{numbers}"
    return f'{paragraph(text)}{turns}<details class="screen">{folded}</details>'


def _serving(case: Case) -> str:
    small = case.small
    return paragraph(
        f"Four ways to serve requests of {case.prompt:,} input and {case.output:,} output tokens on "
        f"{small.devices} devices of {small.system.name}: prefill and decode on the same devices or in two "
        "pools, each with or without AFD. Prefill is paid for here, and left out of all the above: tokens "
        "per device are fewer."
    )


def _ratio(case: Case) -> str:
    afd = case.afd
    if afd is None:
        return paragraph("There is nothing to split: no disaggregated deployment is feasible.")
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
    return paragraph(text)


def _validation(case: Case, answer: Answer) -> str:
    """Return predictions of services that are nearest to this case, with their errors."""
    chosen = case.chosen
    rows = [row for row in answer.rows() if row["error"] is not None]

    def near(row: Mapping[str, Any]) -> tuple[bool, bool, bool, bool]:
        unlike = row["timing"] == "wall" and row["basis"] == "device"
        other = row["system"] != chosen.system.id, row["model"] != chosen.model.id
        return (unlike, *other, row["use"] != "absolute")

    rows.sort(key=near)
    summary = answer.summary
    text = (
        f"Median error {summary['median_abs_error']:.1%} over {summary['n']} published results that set "
        f"nothing ({summary['counted']}); those nearest to this case first. Relative rows are there for the "
        "ratios among them, and rows of named engines for completeness: the pause of an engine's host is not "
        "modelled, so that what it took by the wall clock stands last."
    )
    shown = rows[:MOST_VALIDATION_ROWS]
    told = [
        {
            **row,
            "mode": NAMES[row["mode"]],
            "service": _service(row),
            "compared": COMPARED.get(row["use"], row["use"]),
        }
        for row in shown
    ]
    reasons = "".join(
        f"<li>{linked(_service(row))}: {linked(row['why'])}.</li>" for row in shown if row["why"]
    )
    sources = "".join(
        f"<li>{linked(each)}</li>"
        for each in dict.fromkeys(f"{_service(row)}: {row['source']}" for row in shown if row["source"])
    )
    return (
        paragraph(text)
        + table(told, VALIDATION_KEYS)
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + f"<details><summary>Where they were published</summary><ul>{sources}</ul></details>"
    )


def _service(row: Mapping[str, Any]) -> str:
    """Return what a measured service is called: where it is from, and whether that itself was read."""
    second = " (second hand)" if row["reading"] == SECOND_HAND else ""
    return f"{row['origin'] or row['id']}{second}"


def _assumptions(bought: Answer) -> str:
    """Return every note, and every catalogue value with kind and source."""
    notes = "".join(f"<li>{linked(note)}</li>" for note in bought.notes)
    values = [
        {
            "input": column(key.rpartition(".")[2]).label,
            **value,
            "kind": KINDS.get(value["kind"], value["kind"]),
        }
        for key, value in bought.inputs["values"].items()
    ]
    values.sort(key=lambda value: value["record"])
    rows = table(values, ("input", "value", "unit", "kind", "record", "source"))
    return f"<ul>{notes}</ul><details><summary>Catalogue values, with their sources</summary>{rows}</details>"


def _again(chosen: Scenario, command: Sequence[str] | None) -> str:
    line = f"<pre>{html.escape(shlex.join(command))}</pre>" if command else ""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "altair", "vl-convert-python"))
    held = scenario_text(chosen)
    data = base64.b64encode(utf8(held)).decode()
    return (
        f"{line}<p>roofline-afd {__version__}, Python {sys.version.split()[0]}, {html.escape(packages)}.</p>"
        f'<p><a download="scenario.toml" href="data:application/toml;base64,{data}">The question about '
        f"{html.escape(chosen.system.id)} as a scenario file</a>, for <code>--scenario</code> of any "
        f"command:</p><pre>{html.escape(held)}</pre>"
    )
