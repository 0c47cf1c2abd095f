"""Whole requests in a report: what fleets that prefill and decode cost, and what requests wait for."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd.analysis.purchase import services
from roofline_afd.analysis.purchase.questions import Purchase, Report
from roofline_afd.analysis.purchase.wanted import wanted_of
from roofline_afd.analysis.requests.questions import LoadPicture
from roofline_afd.analysis.requests.under_load import under_load
from roofline_afd.reporting.markup import paragraph, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.scenario import Scenario

LOADED_DEVICES = 128
"""Devices of the cluster that is followed under load."""
KEYS = (
    "rank",
    "system",
    "mode",
    "deployment",
    "n_devices_sold",
    "n_idle_devices",
    "usd_per_million_input_tokens",
    "usd_per_million_cached_tokens",
    "usd_per_million_output_tokens",
    "usd_per_request",
    "ttft_p95_ms",
    "tpot_p95_ms",
    "power_kw",
    "capacity_one_unit_down",
    "break_even_price",
    "estimated_share",
    "binding",
)
CACHE_KEYS = (
    "tiers",
    "cache_gb",
    "prefix_hit",
    "n_prefill_devices",
    "n_decode_devices",
    "usd_per_request",
    "loading_ms",
)


OF_REQUESTS_ALONE = {
    *services.OF_REQUESTS,
    *("request_rate", "think_time_s", "users", "trace", "trace_scale"),
    *("prompt_column", "decode_column", "time_column"),
} - {"osl"}
"""What the question about decoded tokens leaves out."""
TOLD = ("fleets are", "the cost of a request", "devices are", "devices that prefill")
"""Beginnings of notes that stand below the table."""


class WholeRequests(NamedTuple):
    """What is asked of whole requests."""

    purchase: Purchase
    bought: Answer
    """Of `procure`."""
    requests_per_s: float
    prefix: int
    isl: int
    osl: int

    @property
    def best(self) -> dict[str, Any]:
        """The row that is recommended."""
        return self.bought.rows()[0]


def asked_of_requests(question: Report) -> tuple[Report, WholeRequests | None]:
    """Return the question about decoded tokens, and that about whole requests where these are asked for.

    Parameters
    ----------
    question : Report
        What the report is about.

    Returns
    -------
    tuple
        The first with the demand, context and target that requests set; None where no requests are.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no candidate serves the requests.
    """
    if not services.of_requests(question, but=("osl",)):
        return question, None
    names = [field.name for field in dataclasses.fields(Purchase)]
    purchase = Purchase(**{name: getattr(question, name) for name in names})
    wanted, _, limits = wanted_of(purchase)
    work = wanted.workload
    scenarios = [
        attrs.evolve(each, context=max(work.mean_context, 1), tpot_ms=limits["tpot_ms"])
        for each in question.scenarios
    ]
    plain: dict[str, Any] = {
        field.name: field.default for field in dataclasses.fields(Purchase) if field.name in OF_REQUESTS_ALONE
    }
    demand = wanted.requests_per_s * work.osl
    decode = dataclasses.replace(question, **plain, scenarios=scenarios, osl=work.osl, demand=demand)
    return decode, WholeRequests(
        purchase, services.procure(purchase), wanted.requests_per_s, work.prefix, work.isl, work.osl
    )


def asked_for_requests(asked: WholeRequests) -> dict[str, Callable[[], Answer]]:
    """Return what is asked for the pictures of whole requests, by name of the picture.

    Parameters
    ----------
    asked : WholeRequests
        What is asked.

    Returns
    -------
    dict
        Of `procure`, and of `load` for its best.
    """

    def under() -> Answer:
        best = asked.best
        scenario = _scenario_of(asked, best)
        return under_load(
            LoadPicture(
                scenario,
                mode=best["mode"],
                prefix=asked.prefix,
                isl=asked.isl,
                osl=asked.osl,
                ttft_ms=asked.purchase.ttft_p95_ms or asked.purchase.ttft_ms,
            )
        )

    return {"requests": lambda: asked.bought, "load": under}


def _scenario_of(asked: WholeRequests, best: Mapping[str, Any]) -> Scenario:
    """Return the question about the cluster of the best fleet, or some of it."""
    purchase = asked.purchase
    name = best["system"].rpartition(":")[2]
    scenario = next(each for each in purchase.scenarios if each.side("ffn").id == name.rpartition("+")[2])
    tpot = purchase.tpot_p95_ms or scenario.tpot_ms
    return attrs.evolve(scenario, devices=min(best["n_devices"], LOADED_DEVICES), tpot_ms=tpot)


def request_cards(asked: WholeRequests) -> list[tuple[str, str]]:
    """Return the key numbers of whole requests: each large, with what it is of.

    Parameters
    ----------
    asked : WholeRequests
        What is asked.

    Returns
    -------
    list of tuple
        Number and words.
    """
    best = asked.best
    shown = []
    if best["usd_per_request"] is not None:
        parts = [
            f"{best[f'usd_per_million_{kind}_tokens']:.3g} {kind}"
            for kind in ("input", "cached", "output")
            if best[f"usd_per_million_{kind}_tokens"] is not None
        ]
        words = f"per thousand requests; per million tokens {', '.join(parts)}"
        shown.append((f"{best['usd_per_request'] * 1e3:.3g} USD", words))
    shown.append((f"{best['n_devices_sold']:,} devices", f"{best['units']} as {best['deployment']}"))
    shown.append((f"{best['ttft_p95_ms']:,.0f} ms", "to the first token, 95 % of requests"))
    shown.append((f"{best['tpot_p95_ms']:.1f} ms", "per output token, 95 % of requests"))
    if best["power_kw"] is not None:
        shown.append((f"{best['power_kw']:,.0f} kW", f"{asked.requests_per_s:,.4g} requests/s"))
    return shown


def requests_section(asked: WholeRequests, drawn: str) -> str:
    """Return the section about what whole requests cost.

    Parameters
    ----------
    asked : WholeRequests
        What is asked.
    drawn : str
        Its picture as html.

    Returns
    -------
    str
        Html.
    """
    answer = asked.bought
    rows = [row for row in answer.rows() if row["feasible"]]
    refused = [note for note in answer.notes if "binding is" in note]
    by_cache = answer.summary["by_prefix_cache"]
    parts = [
        drawn,
        table(rows, KEYS, first=True),
        *(paragraph(f"Not feasible: {each}.", "faint") for each in refused),
    ]
    if by_cache:
        parts += [
            paragraph("What each tier of the prefix cache is worth on the cheapest, sized and not followed:"),
            table(by_cache, CACHE_KEYS),
        ]
    sized = [note for note in answer.notes if note.startswith(TOLD)]
    return "".join(parts) + "<ul>" + "".join(f"<li>{html.escape(each)}</li>" for each in sized) + "</ul>"
