"""A deployment under load: percentiles of what requests see, at one rate after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, Decisive, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.requests.deployed import deployed
from roofline_afd.analysis.requests.load import Arrivals, Load, enough, loaded, summary_of
from roofline_afd.analysis.requests.questions import ARRIVALS, FROM_TRACE
from roofline_afd.analysis.requests.reasons import prefill_evidence, prefill_note
from roofline_afd.analysis.requests.traces import read_arrivals
from roofline_afd.errors import InputError
from roofline_afd.progress import steps
from roofline_afd.serving.checks import choice, finite, whole
from roofline_afd.simulation.service import Requests

if TYPE_CHECKING:
    from roofline_afd.analysis.requests.deployed import Deployed
    from roofline_afd.analysis.requests.questions import UnderLoad

SHARES = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Loads over what a deployment serves without waiting."""
IN_TIME = 0.95
"""Share of requests within the limits that a load is called good by."""
MOST_PARTS = 1440
_FOLLOWED = {
    True: "it waits for a place, its prompt is computed in chunks, and its tokens with those of others, step "
    "by step",
    False: "it waits for a place, and its tokens are computed with those of others, step by step",
}
"""What happens to a request, where its prompt is computed here or elsewhere."""
TABLE_KEYS = (
    "request_rate",
    "load",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "ttft_p99_ms",
    "tpot_p50_ms",
    "tpot_p95_ms",
    "within_limits",
    "goodput_requests_per_s",
    "requests_in_flight",
    "usd_per_million_tokens",
)


def under_load(question: UnderLoad) -> Answer:
    """Answer what requests see that come to a deployment, at one load after another.

    Parameters
    ----------
    question : UnderLoad
        What is asked.

    Returns
    -------
    Answer
        A row for each rate: percentiles with the half widths of their 95 % intervals, goodput, utilization.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no deployment meets the limits without waiting.
    """
    chosen = deployed(question)
    given = _given(question)
    rows = []
    for rate in steps(_rates(question, chosen, given)):
        arrivals = Arrivals(
            rate,
            question.requests or enough(rate, chosen.stay),
            kind=choice("--arrivals", question.arrivals, ARRIVALS),
            variation=question.prompt_variation,
            output_variation=question.output_variation,
            day=_day(question),
            seed=question.seed,
        )
        followed = loaded(Load(chosen.service, arrivals, given))
        row = summary_of(followed, ttft_ms=chosen.ttft_ms, tpot_ms=chosen.tpot_ms)
        rows.append(
            {
                "request_rate": rate,
                "load": rate / chosen.capacity,
                **row,
                "steady": followed.steady,
                "requests": int(followed.served.requests.arrival.size),
                "usd_per_million_tokens": chosen.usd_per_million_tokens(rate),
            }
        )
    return _answer(question, chosen, rows)


def _given(question: UnderLoad) -> Requests | None:
    """Return the requests of a trace at their times, where these are asked for."""
    if question.rates != FROM_TRACE:
        if isinstance(question.rates, str):
            choice("--requests-per-s", question.rates, (FROM_TRACE,))
        return None
    if question.trace is None:
        raise InputError("--requests-per-s trace needs --trace FILE; or give numbers")
    held = read_arrivals(
        question.trace,
        prompt_column=question.prompt_column,
        decode_column=question.decode_column,
        time_column=question.time_column,
    )
    return Requests(held.times, np.maximum(held.prompt_tokens, 1.0), held.decode_tokens)


def _rates(question: UnderLoad, chosen: Deployed, given: Requests | None) -> list[float]:
    """Return the requests a second of each row, checked."""
    for name in ("prompt_variation", "output_variation"):
        finite(f"--{name.replace('_', '-')}", getattr(question, name), least=0, below=10)
    if question.requests is not None:
        whole("--requests", question.requests, most=10_000_000)
    if given is not None:
        last = float(given.arrival[-1])
        if last <= 0:
            raise InputError("--trace: all requests come at one time")
        return [(given.arrival.size - 1) / last]
    if question.rates is None:
        return [share * chosen.capacity for share in SHARES]
    assert not isinstance(question.rates, str)  # noqa: S101 - checked with the trace
    return [finite("--requests-per-s", rate, above=0, below=1e9) for rate in question.rates]


def _day(question: UnderLoad) -> tuple[float, ...] | None:
    """Return the profile of a day, checked."""
    if question.day is None:
        return None
    parts = tuple(finite("--day", part, least=0, below=1e6) for part in question.day)
    if not parts or len(parts) > MOST_PARTS or not sum(parts) > 0:
        raise InputError(f"--day needs 1 to {MOST_PARTS} numbers, one of them above 0")
    return parts


def _answer(question: UnderLoad, chosen: Deployed, rows: list[dict[str, Any]]) -> Answer:
    scenario, deployments = chosen.scenario, chosen.deployments
    quantities = quantities_of(deployments)
    evidence = prefill_evidence(scenario.system.parts.catalogue)
    good = [row for row in rows if row["within_limits"] >= IN_TIME and row["steady"]]
    unsteady = [f"{row['request_rate']:.4g}" for row in rows if not row["steady"]]
    work = chosen.service.workload
    return Answer(
        command="load",
        inputs={
            **serving_inputs(scenario, quantities),
            "devices": chosen.devices,
            "ttft_ms": chosen.ttft_ms,
            "tpot_ms": chosen.tpot_ms,
            "prefix": work.prefix,
            "isl": work.isl,
            "osl": work.osl,
            "arrivals": FROM_TRACE if question.rates == FROM_TRACE else question.arrivals,
            "prompt_variation": question.prompt_variation,
            "output_variation": question.output_variation,
            "day": list(question.day) if question.day else None,
            "seed": question.seed,
        },
        columns=object_columns(rows),
        summary={
            "deployment": chosen.row,
            "capacity_requests_per_s": chosen.capacity,
            "highest_good_rate": max((row["request_rate"] for row in good), default=None),
            **(evidence if chosen.prefills else {}),
            "answer": with_formats(_sentence(chosen, rows, good), scenario),
        },
        notes=[
            f"every request is followed: {_FOLLOWED[chosen.prefills]}; replicas are filled evenly",
            (
                "percentiles are of requests that come when the service is as full as it will be; half "
                "widths of their 95 % intervals are in the other formats"
            ),
            *(
                [
                    Decisive(
                        f"too few requests to be steady at {', '.join(unsteady)} a second, so that their "
                        "goodput is too low: --requests asks for more"
                    )
                ]
                if unsteady
                else []
            ),
            *([prefill_note(evidence)] if chosen.prefills else []),
            *chosen.notes,
            *notes_of(deployments, []),
            *provenance_notes(scenario, quantities),
        ],
        table_keys=TABLE_KEYS,
        picture={
            "model": scenario.model.name,
            "system": scenario.system.name,
            "prefills": chosen.prefills,
        },
    )


def _sentence(
    chosen: Deployed,
    rows: list[dict[str, Any]],
    good: list[dict[str, Any]],
) -> str:
    """Return up to which load requests are in time, and what they see there."""
    limits = " and ".join(
        f"{name} <= {value:g} ms"
        for name, value in (("TTFT", chosen.ttft_ms), ("TPOT", chosen.tpot_ms))
        if value is not None
    )
    what = f"{chosen.name} as {chosen.row['deployment']}"
    if not limits:
        last = rows[-1]
        return (
            f"{what} serves {chosen.capacity:,.4g} requests/s without waiting; at "
            f"{last['request_rate']:,.4g} 95 % of requests have their first token within "
            f"{last['ttft_p95_ms']:,.0f} ms and every next within {last['tpot_p95_ms']:.1f} ms."
        )
    if not good:
        return (
            f"{what} keeps {limits} for fewer than {IN_TIME:.0%} of requests at every rate looked at; it "
            f"serves {chosen.capacity:,.4g} requests/s without waiting."
        )
    best = max(good, key=lambda row: float(row["request_rate"]))
    return (
        f"{what} keeps {limits} for {best['within_limits']:.1%} of requests at {best['request_rate']:,.4g} "
        f"requests/s, {best['load']:.0%} of what it serves without waiting: 95 % within "
        f"{best['ttft_p95_ms']:,.0f} ms to the first token and {best['tpot_p95_ms']:.1f} ms per token, 99 % "
        f"within {best['ttft_p99_ms']:,.0f} and {best['tpot_p99_ms']:.1f} ms."
    )
