"""Serving modes over the time to the first token and to every next one: what each reaches, and the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.decode.predict import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.purchase.prices import RENT, TCO
from roofline_afd.analysis.requests.modes import (
    OBJECTIVES,
    Rates,
    check_objective,
    mixed,
    rates_of,
    rows_of,
    weighed,
)
from roofline_afd.analysis.requests.reasons import NAMES, load_note, sentence, transfer_note, why_not
from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes import (
    SERVING_MODES,
    ModeFound,
    Question,
    explore_modes,
    frontier_rows,
)
from roofline_afd.serving.scenario import choice, finite, whole
from roofline_afd.serving.search import ALL
from roofline_afd.serving.workload import Workload, workload_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario

DEFAULT_DEVICES = 128
MOST_DEVICES = 4096
FROM_TRACE = "trace"
KV_LINKS = ("auto", "scale-up", "scale-out")
KV_MOVED = ("all", "new")
POOLS = ("prefill", "decode")
PRICE_BASES = (RENT, TCO)
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
    "binding",
)
TABLE_STEP = 1.25
"""Gain in throughput from which a step of the frontier has a line of its own in a table."""


class Explored(NamedTuple):
    """The answer, and deployments that others of their mode beat, as rows with the same keys."""

    answer: Answer
    dominated: list[dict[str, Any]]


def explore(scenario: Scenario, **question: Any) -> Answer:  # noqa: ANN401 - those of `explored`
    """Answer which serving mode gives most tokens, and at what latency: the answer of `explored`."""
    return explored(scenario, **question).answer


def explored(
    scenario: Scenario,
    *,
    workload: str | None = None,
    prefix: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    ttft_ms: float | None = None,
    modes: Sequence[str] = SERVING_MODES,
    prefill_system: System | None = None,
    chunk_tokens: int | None = None,
    tensor_parallel: int | None = None,
    trace: Path | None = None,
    request_rate: float | str | None = None,
    prompt_variation: float | None = None,
    kv_link: str | None = None,
    kv_moved: str | None = None,
    kv_overlap: bool = False,
    first_token: str | None = None,
    shared_prefix: bool = False,
    per: str | None = None,
    price_basis: str | None = None,
) -> Explored:
    """Answer which serving mode gives most tokens, and at what latency.

    Parameters
    ----------
    scenario : Scenario
        Model and system; `devices` is the cluster, 128 where absent, `max_devices` the largest replica,
        `tpot_ms` the time per output token allowed.
    workload : str, optional
        `chat`, `coding` or `agentic`; or the three lengths instead.
    prefix, isl, osl : int, optional
        Tokens of a request that are cached already, to prefill, to decode [1].
    ttft_ms : float, optional
        Time to the first token allowed; any where absent [ms].
    modes : sequence of str
        Modes to search: `agg`, `pd`, `agg+afd`, `pd+afd`.
    prefill_system : System, optional
        System that prefills in the modes that do so apart; that of the scenario where absent.
    chunk_tokens : int, optional
        Prompt tokens of a step and attention group; searched where absent [1].
    tensor_parallel : int, optional
        Devices that share attention heads; searched where absent [1].
    trace : Path, optional
        File of requests, as `provision` takes it: its mean lengths, instead of `isl` and `osl`.
    request_rate : float or "trace", optional
        Requests a second of the whole cluster, which then wait for each other, or those of the trace;
        saturated where absent [1/s].
    prompt_variation : float, optional
        Standard deviation of input tokens over their mean, for waiting; that of the trace, else 0, where
        absent [1].
    kv_link : str, optional
        Fabric between the pools: `scale-up`, `scale-out`, or `auto`, scale-up where one domain holds all.
    kv_moved : str, optional
        What moves between pools: `all` cached tokens of a prompt, or only the `new` ones where both have the
        prefix; all where absent.
    kv_overlap : bool
        Whether the cache moves layer by layer during prefill.
    first_token : str, optional
        Pool that gives out the first token: `prefill`, or `decode`, one decode step later; prefill where
        absent.
    shared_prefix : bool
        Whether the sequences of an attention group share one prefix in memory.
    per : str, optional
        What the frontier weighs throughput by: `device`, `dollar` or `watt`; device where absent.
    price_basis : str, optional
        Prices: `rent` or `tco`; rent where absent.

    Returns
    -------
    Explored
        The frontier of each mode, the best under the limits, and why the others lose; and what they beat.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment: names what binds each, and the nearest feasible value.
    """
    lengths: dict[str, int | None] = {"isl": isl, "osl": osl}
    if trace is not None:
        if workload is not None or isl is not None or osl is not None:
            raise InputError("--trace gives the lengths of requests: leave out --workload, --isl and --osl")
        requests = read_trace(trace)
        means = (float(np.mean(each)) for each in (requests.prompt_tokens, requests.decode_tokens))
        lengths = dict(zip(lengths, (max(round(mean), 1) for mean in means), strict=True))
        if prompt_variation is None:
            prompts = requests.prompt_tokens
            prompt_variation = float(np.std(prompts)) / max(float(np.mean(prompts)), 1.0)
    work = workload_of(workload, prefix=prefix, **lengths)
    if trace is not None:
        work = attrs.evolve(work, name=trace.name, source=f"means of {trace.name}")
    if isinstance(request_rate, str):
        choice("--request-rate", request_rate, (FROM_TRACE,))
        if trace is None:
            raise InputError("--request-rate trace needs --trace FILE; or give a number")
        request_rate = arrival_rate(trace)
    question = _question(
        scenario,
        work,
        prefill_system=prefill_system,
        ttft_ms=ttft_ms,
        chunk_tokens=chunk_tokens,
        tensor_parallel=tensor_parallel,
        request_rate=request_rate,
        prompt_variation=prompt_variation or 0.0,
        kv_link=choice("--kv-link", kv_link or "auto", KV_LINKS),
        kv_moved=choice("--kv-moved", kv_moved or "all", KV_MOVED),
        kv_overlap=kv_overlap,
        first_token=choice("--first-token", first_token or "prefill", POOLS),
        shared_prefix=shared_prefix,
    )
    for mode in modes:
        choice("--modes", mode, SERVING_MODES)
    if not modes:
        raise InputError(f"--modes is empty; valid: {', '.join(SERVING_MODES)}")
    objective = choice("--per", per or "device", tuple(OBJECTIVES))
    rates = rates_of(question, choice("--price-basis", price_basis or RENT, PRICE_BASES))
    check_objective(objective, rates)
    found = explore_modes(question, [mode for mode in SERVING_MODES if mode in set(modes)])
    return Explored(
        _answer(question, found, rates, objective),
        [
            row
            for each in found.values()
            if each.best
            for row in rows_of(question, each, weighed(question, each, rates, objective)[1], rates)
        ],
    )


def _question(
    scenario: Scenario,
    workload: Workload,
    *,
    prefill_system: System | None,
    **options: Any,  # noqa: ANN401
) -> Question:
    """Return what is asked, checked."""
    devices = scenario.devices or DEFAULT_DEVICES
    whole("--devices", devices, most=MOST_DEVICES)
    if scenario.batch is not None:
        raise InputError("--batch is searched: limit it by --tpot-ms, or ask `predict` about one deployment")
    if scenario.transport == ALL:
        raise InputError("--transport all is not searched here; valid: pair, rank, node")
    if options["ttft_ms"] is not None:
        finite("--ttft-ms", options["ttft_ms"], above=0, below=1e9)
    for name in ("chunk_tokens", "tensor_parallel"):
        if options[name] is not None:
            whole("--" + name.replace("_", "-"), options[name])
    if options["request_rate"] is not None:
        finite("--request-rate", options["request_rate"], above=0)
    finite("--prompt-variation", options["prompt_variation"], least=0)
    prefill = scenario
    if prefill_system is not None:
        prefill = attrs.evolve(scenario, system=prefill_system, attention_system=None, ffn_system=None)
    return Question(
        scenario=scenario,
        prefill=prefill,
        workload=workload,
        devices=devices,
        tpot_ms=scenario.tpot_ms,
        **options,
    )


def _answer(question: Question, found: Mapping[str, ModeFound], rates: Rates, objective: str) -> Answer:
    if all(each.best is None for each in found.values()):
        reasons = "; ".join(f"{NAMES[mode]}: {why_not(question, each)}" for mode, each in found.items())
        raise InfeasibleError(f"no: {reasons}")
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
    order = list(feasible[0])
    rows = [{name: row.get(name) for name in order} for row in rows]
    winner = max((row for row in best.values() if row), key=lambda row: row[key])
    constants = load_service_constants(question.scenario.system.parts.catalogue)
    answer = sentence(question, best, found, key=key, error=constants.validated_error)
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
            "deployments_examined": examined,
            "validated_error": constants.validated_error,
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
            transfer_note(question),
            *(
                ["devices differ: per dollar or watt, the best of the deployments kept per device is named"]
                if objective != "device" and mixed(question)
                else []
            ),
            *rates.notes,
            *(note for each in deployments for note in notes_of(each, [])),
            *provenance_notes(question.scenario, quantities),
        ],
        table_keys=TABLE_KEYS,
        table_rows=_shown(rows, key),
    )


def _shown(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[int, ...]:
    """Return the rows worth a line: each mode's best or refusal, and steps of the frontier of all modes."""
    shown = {index for index, row in enumerate(rows) if row["binding"]}
    least = 0.0
    steps = sorted((row["tpot_ms"], index) for index, row in enumerate(rows) if row["on_frontier"])
    for _, index in steps:
        if rows[index][key] >= least:
            shown.add(index)
            least = rows[index][key] * TABLE_STEP
    return tuple(sorted(shown))


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
        "tensor_parallel": question.tensor_parallel,
        "request_rate": question.request_rate,
        "prompt_variation": question.prompt_variation,
        "kv_link": question.kv_link,
        "kv_moved": question.kv_moved,
        "kv_overlap": question.kv_overlap,
        "first_token": question.first_token,
        "shared_prefix": question.shared_prefix,
        "per": objective,
    }
