"""Serving modes over the time to the first token and to every next one: what each reaches, and the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, refusal, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.requests.modes import (
    Rates,
    check_objective,
    concurrency_notes,
    load_rows,
    mixed,
    rates_of,
    rows_of,
    weighed,
)
from roofline_afd.analysis.requests.odds import mode_odds
from roofline_afd.analysis.requests.questions import (
    FROM_TRACE,
    KV_LINKS,
    KV_MOVED,
    OBJECTIVES,
    POOLS,
    PRICE_BASES,
)
from roofline_afd.analysis.requests.reasons import (
    NAMES,
    load_note,
    prefill_evidence,
    prefill_note,
    prompt_note,
    sentence,
    transfer_note,
    why_not,
)
from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InputError
from roofline_afd.serving.checks import belongs, choice, finite, whole
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes.points import frontier_rows
from roofline_afd.serving.modes.question import SERVING_MODES, Question
from roofline_afd.serving.modes.search import ModeFound, explore_modes
from roofline_afd.serving.plans import ALL
from roofline_afd.serving.workload import Workload, workload_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.requests.questions import Exploration

DEFAULT_DEVICES = 128
MOST_DEVICES = 4096
TABLE_KEYS = (
    "mode",
    "ttft_ms",
    "tpot_ms",
    "tokens_per_s_per_user",
    "tokens_per_s_per_device",
    "deployment",
    "batch_per_group",
    "chunk_tokens",
    "usd_per_million_tokens",
    "on_frontier",
    "at_load",
    "binding",
)


class Explored(NamedTuple):
    """The answer, and deployments that others of their mode beat, as rows with the same keys."""

    answer: Answer
    dominated: list[dict[str, Any]]


class _Searched(NamedTuple):
    """What was asked of the cluster, what each mode found, and how deployments are weighed."""

    question: Question
    found: dict[str, ModeFound]
    rates: Rates
    objective: str
    concurrency: float | None


def explore(question: Exploration) -> Answer:
    """Answer which serving mode gives most tokens, and at what latency.

    Parameters
    ----------
    question : Exploration
        What is asked.

    Returns
    -------
    Answer
        The frontier of each mode, the best under the limits, how sure it is that AFD serves more or less
        than EP, and why the others lose.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment: names what binds each, and the nearest feasible value.
    """
    return _answer(*_searched(question))


def explored(question: Exploration) -> Explored:
    """Answer the same, and tell what the frontiers beat; parameters are those of `explore`.

    Returns
    -------
    Explored
        The answer, and deployments that others of their mode beat.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment: names what binds each, and the nearest feasible value.
    """
    searched = _searched(question)
    asked, found, rates, objective, _ = searched
    return Explored(
        _answer(*searched),
        [
            row
            for each in found.values()
            if each.best
            for row in rows_of(asked, each, weighed(asked, each, rates, objective)[1], rates)
        ],
    )


def _searched(question: Exploration) -> _Searched:
    """Check a question, and search."""
    asked = asked_of(question)
    for mode in question.modes:
        choice("--modes", mode, SERVING_MODES)
    if not question.modes:
        raise InputError(f"--modes is empty; valid: {', '.join(SERVING_MODES)}")
    objective = choice("--per", question.per, tuple(OBJECTIVES))
    rates = rates_of(asked, choice("--price-basis", question.price_basis, PRICE_BASES))
    check_objective(objective, rates)
    concurrency = _concurrency(question)
    found = explore_modes(asked, [mode for mode in SERVING_MODES if mode in set(question.modes)])
    return _Searched(asked, found, rates, objective, concurrency)


def _concurrency(question: Exploration) -> float | None:
    """Return the requests in flight that are asked about, checked."""
    given = {"--concurrency": question.concurrency, "--users": question.users}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise InputError("--concurrency and --users exclude each other: a user has one request in flight")
    for name, value in named.items():
        return finite(name, value, least=1, below=1e9)
    return None


def asked_of(question: Exploration) -> Question:
    """Return what is asked of the cluster, checked; raises InputError where it cannot be."""
    work, variation = _lengths(question)
    rate = question.request_rate
    if isinstance(rate, str):
        choice("--request-rate", rate, (FROM_TRACE,))
        if question.trace is None:
            raise InputError("--request-rate trace needs --trace FILE; or give a number")
        rate = arrival_rate(question.trace, time_column=question.time_column)
    scenario = question.scenario
    links = choice("--kv-link", question.kv_link, KV_LINKS)
    moved = choice("--kv-moved", question.kv_moved, KV_MOVED)
    pool = choice("--first-token", question.first_token, POOLS)
    devices = scenario.devices or DEFAULT_DEVICES
    whole("--devices", devices, most=MOST_DEVICES)
    if scenario.batch is not None:
        raise InputError("--batch is searched: limit it by --tpot-ms, or ask `predict` about one deployment")
    if scenario.transport == ALL:
        raise InputError("--transport all is not searched here; valid: pair, rank, node")
    if question.ttft_ms is not None:
        finite("--ttft-ms", question.ttft_ms, above=0, below=1e9)
    if question.chunk_tokens is not None:
        whole("--chunk-tokens", question.chunk_tokens)
    if rate is not None:
        finite("--request-rate", rate, above=0)
    finite("--prompt-variation", variation, least=0)
    prefill = scenario
    if question.prefill_system is not None:
        prefill = attrs.evolve(
            scenario, system=question.prefill_system, attention_system=None, ffn_system=None
        )
    return Question(
        scenario=scenario,
        prefill=prefill,
        workload=work,
        devices=devices,
        ttft_ms=question.ttft_ms,
        tpot_ms=scenario.tpot_ms,
        chunk_tokens=question.chunk_tokens,
        request_rate=rate,
        prompt_variation=variation,
        kv_link=links,
        kv_overlap=question.kv_overlap,
        kv_moved=moved,
        first_token=pool,
        shared_prefix=question.shared_prefix,
    )


def _lengths(question: Exploration) -> tuple[Workload, float]:
    """Return what requests look like, and the deviation of input tokens over their mean."""
    variation = question.prompt_variation
    if question.trace is None:
        belongs(question, ("prompt_column", "decode_column", "time_column"), "--trace")
        work = workload_of(question.workload, prefix=question.prefix, isl=question.isl, osl=question.osl)
        return work, variation or 0.0
    if question.workload is not None or question.isl is not None or question.osl is not None:
        raise InputError("--trace gives the lengths of requests: leave out --workload, --isl and --osl")
    requests = read_trace(
        question.trace, prompt_column=question.prompt_column, decode_column=question.decode_column
    )
    prompts = requests.prompt_tokens
    isl, osl = (max(round(float(np.mean(each))), 1) for each in (prompts, requests.decode_tokens))
    if variation is None:
        variation = float(np.std(prompts)) / max(float(np.mean(prompts)), 1.0)
    work = workload_of(prefix=question.prefix, isl=isl, osl=osl)
    name = question.trace.name
    return attrs.evolve(
        work, name=name, source="; ".join(filter(None, (f"means of {name}", requests.note)))
    ), variation or 0.0


def _answer(
    question: Question,
    found: Mapping[str, ModeFound],
    rates: Rates,
    objective: str,
    concurrency: float | None,
) -> Answer:
    if all(each.best is None for each in found.values()):
        reasons = "; ".join(f"{NAMES[mode]}: {why_not(question, each)}" for mode, each in found.items())
        raise refusal(reasons, question.scenario)
    key = OBJECTIVES[objective]
    rows: list[dict[str, Any]] = []
    best: dict[str, dict[str, Any] | None] = {}
    for mode, each in found.items():
        if each.best is None:
            rows.append({"mode": mode, "feasible": False, "binding": each.refusal})
            best[mode] = None
            continue
        own = rows_of(question, each, weighed(question, each, rates, objective)[0], rates)
        top = max(own, key=lambda row: row[key])
        best[mode] = {**top, "binding": each.binding}
        rows += [{**row, "feasible": True, "binding": each.binding if row is top else None} for row in own]
    feasible = [row for row in rows if row["feasible"]]
    on = set(
        frontier_rows(
            np.array([row["tpot_ms"] for row in feasible]), np.array([row[key] for row in feasible])
        ).tolist()
    )
    for index, row in enumerate(feasible):
        row["on_frontier"] = index in on
    for row in rows:
        row.setdefault("on_frontier", False)
    loaded = {} if concurrency is None else load_rows(question, found, rates, concurrency)
    rows += [row for row in loaded.values() if row is not None]
    for row in rows:
        row.setdefault("at_load", False)
    order = list(feasible[0])
    rows = [{name: row.get(name) for name in order} for row in rows]
    winner = max((row for row in best.values() if row), key=lambda row: row[key])
    constants = load_service_constants(question.scenario.system.parts.catalogue)
    evidence = prefill_evidence(question.scenario.system.parts.catalogue)
    odds = mode_odds(question, best, key=key, level_error=constants.validated_error)
    said = sentence(question, best, found, key=key, odds=odds, error=constants.validated_error)
    answer = with_formats(said, question.scenario)
    deployments = [Deployments(question.scenario, mode) for mode in (EP, AFD)]
    quantities = quantities_of(*deployments)
    examined = sum(each.examined for each in found.values())
    work = question.workload
    return Answer(
        command="explore",
        inputs={**serving_inputs(question.scenario, quantities), **_inputs(question, objective)},
        columns=object_columns(rows),
        summary={
            "best_under_slo": winner,
            "best_by_mode": best,
            "binding_by_mode": {
                mode: each.binding if each.best else each.refusal for mode, each in found.items()
            },
            "least_ttft_ms": {mode: _milliseconds(each.least_ttft) for mode, each in found.items()},
            "least_tpot_ms": {mode: _milliseconds(each.least_tpot) for mode, each in found.items()},
            "concurrency": concurrency,
            "at_concurrency": loaded or None,
            "deployments_examined": examined,
            **odds.keys(),
            "validated_error": constants.validated_error,
            **evidence,
            "answer": answer,
        },
        notes=[
            (
                f"{examined:,} deployments examined on {question.devices} devices: replicas of every size, "
                "attention and FFN devices, shared heads, micro-batches, chunk, batch, both pools"
            ),
            f"requests of {work.prefix:,} cached, {work.isl:,} input and {work.osl:,} output tokens"
            + (f" ({work.source})" if work.source else ""),
            load_note(question),
            *concurrency_notes(loaded, concurrency),
            prefill_note(evidence),
            transfer_note(question),
            prompt_note(question),
            *(
                ["devices differ: per dollar or watt, the best of the deployments kept per device is named"]
                if objective != "device" and mixed(question)
                else []
            ),
            *rates.notes,
            *dict.fromkeys(note for each in deployments for note in notes_of(each, [])),
            *provenance_notes(question.scenario, quantities),
        ],
        table_keys=TABLE_KEYS,
        table_rows=tuple(index for index, row in enumerate(rows) if row["binding"] or row["at_load"]),
    )


def _milliseconds(value: float) -> float | None:
    return value * 1e3 if np.isfinite(value) else None


def _inputs(question: Question, objective: str) -> dict[str, Any]:
    work = question.workload
    return {
        "devices": question.devices,
        "tpot_ms": question.tpot_ms,
        "ttft_ms": question.ttft_ms,
        "context": work.mean_context,
        "workload": work.name or None,
        "prefix": work.prefix,
        "isl": work.isl,
        "osl": work.osl,
        "prefill_system": question.prefill.system.id,
        "chunk_tokens": question.chunk_tokens,
        "tensor_parallel": question.scenario.tensor_parallel,
        "request_rate": question.request_rate,
        "prompt_variation": question.prompt_variation,
        "kv_link": question.kv_link,
        "kv_moved": question.kv_moved,
        "kv_overlap": question.kv_overlap,
        "first_token": question.first_token,
        "shared_prefix": question.shared_prefix,
        "per": objective,
    }
