"""A deployment under load: percentiles of what requests see, at one rate after another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, refusal, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.requests import explore
from roofline_afd.analysis.requests.load import Arrivals, Load, enough, loaded, summary_of
from roofline_afd.analysis.requests.modes import Rates, rates_of, rows_of
from roofline_afd.analysis.requests.questions import ARRIVALS, FROM_TRACE, Exploration, Lengths
from roofline_afd.analysis.requests.reasons import NAMES, prefill_evidence, prefill_note, why_not
from roofline_afd.analysis.requests.traces import read_arrivals
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.checks import choice, finite, whole
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes.question import AGG_AFD, PD_AFD, SERVING_MODES
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.simulation.service import Requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.requests.questions import UnderLoad
    from roofline_afd.serving.modes.question import Question
    from roofline_afd.serving.modes.search import ModeFound

SHARES = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Loads over what a deployment serves without waiting."""
IN_TIME = 0.95
"""Share of requests within the limits that a load is called good by."""
MOST_PARTS = 1440
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


class _Chosen(NamedTuple):
    """The deployment, and what was asked for it."""

    question: Question
    mode: str
    found: ModeFound
    rates: Rates

    @property
    def capacity(self) -> float:
        """Requests a second that it serves where none waits [1/s]."""
        best = self.found.best or {}
        return float(best["rate"]) * self.question.devices / self.question.workload.osl


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
    chosen = _chosen(question)
    asked = chosen.question
    given = _given(question)
    best = chosen.found.best or {}
    rows = []
    for rate in _rates(question, chosen, given):
        stay = best["ttft"] + asked.workload.osl * best["tpot"]
        arrivals = Arrivals(
            rate,
            question.requests or enough(rate, stay),
            kind=choice("--arrivals", question.arrivals, ARRIVALS),
            variation=question.prompt_variation,
            output_variation=question.output_variation,
            day=_day(question),
            seed=question.seed,
        )
        followed = loaded(Load(asked, chosen.mode, best, arrivals, given))
        row = summary_of(followed, ttft_ms=asked.ttft_ms, tpot_ms=asked.tpot_ms)
        rows.append(
            {
                "request_rate": rate,
                "load": rate / chosen.capacity,
                **row,
                "steady": followed.steady,
                "requests": int(followed.served.requests.arrival.size),
                "usd_per_million_tokens": _cost(chosen, rate),
            }
        )
    return _answer(question, chosen, rows)


def _chosen(question: UnderLoad) -> _Chosen:
    """Return the deployment: the best of its mode, or of all, under the limits."""
    scenario = question.scenario
    if scenario.batch is not None:
        raise InputError(
            "--batch is found: the deployment is the best of its mode under --ttft-ms and --tpot-ms"
        )
    lengths = {field.name: getattr(question, field.name) for field in dataclasses.fields(Lengths)}
    mode = question.mode
    modes = SERVING_MODES if mode is None else (choice("--mode", mode, SERVING_MODES),)
    asked = explore.asked_of(
        Exploration(
            scenario,
            modes=modes,
            ttft_ms=question.ttft_ms,
            chunk_tokens=question.chunk_tokens,
            prompt_variation=question.prompt_variation,
            **lengths,
        )
    )
    found = explore_modes(asked, modes)
    feasible = {name: each for name, each in found.items() if each.best}
    if not feasible:
        reasons = "; ".join(f"{NAMES[name]}: {why_not(asked, each)}" for name, each in found.items())
        raise refusal(reasons, scenario)
    name = max(feasible, key=lambda each: (feasible[each].best or {})["rate"])
    return _Chosen(asked, name, feasible[name], rates_of(asked, "rent"))


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


def _rates(question: UnderLoad, chosen: _Chosen, given: Requests | None) -> list[float]:
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


def _cost(chosen: _Chosen, rate: float) -> float | None:
    """Return what a million output tokens cost at a rate, the cluster paid for as a whole."""
    (row,) = _row(chosen)
    at_capacity = row["usd_per_million_tokens"]
    if at_capacity is None:
        return None
    hourly = at_capacity * chosen.capacity * chosen.question.workload.osl * economics.SECONDS_PER_HOUR / 1e6
    served = min(rate, chosen.capacity) * chosen.question.workload.osl
    return float(economics.usd_per_million_tokens(usd_per_hour=hourly, tokens_per_s=served))


def _row(chosen: _Chosen) -> list[dict[str, Any]]:
    """Return the deployment as `explore` tells it."""
    best = chosen.found.best or {}
    points = {key: np.array([value]) for key, value in best.items()}
    return rows_of(chosen.question, chosen.found, points, chosen.rates)


def _answer(question: UnderLoad, chosen: _Chosen, rows: list[dict[str, Any]]) -> Answer:
    asked = chosen.question
    scenario = asked.scenario
    (deployment,) = _row(chosen)
    inner = AFD if chosen.mode in {AGG_AFD, PD_AFD} else EP
    deployments = Deployments(attrs.evolve(scenario, context=max(asked.workload.mean_context, 1)), inner)
    quantities = quantities_of(deployments)
    evidence = prefill_evidence(scenario.system.parts.catalogue)
    good = [row for row in rows if row["within_limits"] >= IN_TIME and row["steady"]]
    unsteady = [f"{row['request_rate']:.4g}" for row in rows if not row["steady"]]
    work = asked.workload
    return Answer(
        command="load",
        inputs={
            **serving_inputs(scenario, quantities),
            "devices": asked.devices,
            "ttft_ms": asked.ttft_ms,
            "tpot_ms": asked.tpot_ms,
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
            "deployment": deployment,
            "capacity_requests_per_s": chosen.capacity,
            "highest_good_rate": max((row["request_rate"] for row in good), default=None),
            **evidence,
            "answer": with_formats(_sentence(chosen, deployment, rows, good), scenario),
        },
        notes=[
            (
                "every request is followed: it waits for a place, its prompt is computed in chunks, and its "
                "tokens with those of others, step by step; replicas are filled evenly"
            ),
            (
                "percentiles are of requests that come when the service is as full as it will be; half "
                "widths of their 95 % intervals are in the other formats"
            ),
            *(
                [f"too few requests to be steady at {', '.join(unsteady)} a second: --requests asks for more"]
                if unsteady
                else []
            ),
            prefill_note(evidence),
            *(each for each in chosen.rates.notes if "price" in each),
            *notes_of(deployments, []),
            *provenance_notes(scenario, quantities),
        ],
        table_keys=TABLE_KEYS,
    )


def _sentence(
    chosen: _Chosen,
    deployment: Mapping[str, Any],
    rows: list[dict[str, Any]],
    good: list[dict[str, Any]],
) -> str:
    """Return up to which load requests are in time, and what they see there."""
    asked = chosen.question
    limits = " and ".join(
        f"{name} <= {value:g} ms"
        for name, value in (("TTFT", asked.ttft_ms), ("TPOT", asked.tpot_ms))
        if value is not None
    )
    what = f"{NAMES[chosen.mode]} as {deployment['deployment']}"
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
