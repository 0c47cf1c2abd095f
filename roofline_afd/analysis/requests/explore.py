"""Serving modes over the time to the first token and to every next one: what each reaches, and the best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.prices import (
    PUE,
    RENT,
    TCO,
    describe_power,
    describe_price,
    power_of,
    price_of,
    terms_of,
)
from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import economics
from roofline_afd.serving.candidates import ALL
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.limits import (
    CLUSTER,
    FABRIC,
    FIRST_TOKEN,
    LATENCY,
    MEMORY,
    PREFILL_SHARE,
    REQUEST_RATE,
    SLOTS,
)
from roofline_afd.serving.modes.points import frontier_rows, joined, take
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD, PD_AFD, SERVING_MODES, Question
from roofline_afd.serving.modes.search import ModeFound, explore_modes
from roofline_afd.serving.scenario import choice, finite, whole
from roofline_afd.serving.workload import Workload, workload_of
from roofline_afd.units import rounded_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.scenario import Scenario

DEFAULT_DEVICES = 128
MOST_DEVICES = 4096
FROM_TRACE = "trace"
KV_LINKS = ("auto", "scale-up", "scale-out")
KV_MOVED = ("all", "new")
POOLS = ("prefill", "decode")
PRICE_BASES = (RENT, TCO)
OBJECTIVES = {
    "device": "tokens_per_s_per_device",
    "dollar": "tokens_per_usd",
    "watt": "tokens_per_joule",
}
"""What the frontier weighs throughput by, and the key of it."""
NAMES = {AGG: "aggregated", PD: "P/D", AGG_AFD: "aggregated AFD", PD_AFD: "P/D AFD"}
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
PREFILL_KEYS = (
    ("n_prefill_replicas", "p_replicas"),
    ("n_prefill_attention_devices", "p_attention"),
    ("n_prefill_ffn_devices", "p_ffn"),
    ("prefill_tensor_parallel", "p_tp"),
    ("prefill_microbatches", "p_m"),
)


class _Rates(NamedTuple):
    """Price and power of one device of each pool and side; None where the catalogue has none."""

    usd_per_hour: dict[str, float | None]
    power_w: dict[str, float | None]
    notes: list[str]


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
    rates = _rates(question, choice("--price-basis", price_basis or RENT, PRICE_BASES))
    _check_objective(objective, rates)
    found = explore_modes(question, [mode for mode in SERVING_MODES if mode in set(modes)])
    return Explored(
        _answer(question, found, rates, objective),
        [
            row
            for each in found.values()
            if each.best
            for row in _rows(question, each, _weighed(question, each, rates, objective)[1], rates)
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


def _rates(question: Question, basis: str) -> _Rates:
    """Return prices and power of all devices."""
    systems = {
        "attention": question.scenario.side("attention"),
        "ffn": question.scenario.side("ffn"),
        "together": question.scenario.system,
        "prefill": question.prefill.system,
    }
    prices: dict[str, float | None] = {}
    watts: dict[str, float | None] = {}
    notes: list[str] = []
    terms = terms_of(systems.values(), basis)
    for name, system in systems.items():
        price, power = price_of(system, basis, terms), power_of(system)
        prices[name] = price.value if price else None
        watts[name] = power.at_site() if power else None
        notes += [
            f"price of {describe_price(system, price)}"
            if price
            else f"no {basis} price of {system.id} on {terms} terms is known: costs are left out",
            f"power of {describe_power(system, power)}"
            + ("" if power.provisioned else f", times a PUE of {PUE:g}")
            if power
            else f"no power of {system.id} is known: tokens per joule are left out",
        ]
    return _Rates(prices, watts, list(dict.fromkeys(notes)))


def _check_objective(objective: str, rates: _Rates) -> None:
    table = {"dollar": rates.usd_per_hour, "watt": rates.power_w}.get(objective)
    if table is not None and None in table.values():
        what = "price" if objective == "dollar" else "power"
        raise InputError(
            f"--per {objective}: the catalogue has no {what} of every device; valid: --per device"
        )


def _total(question: Question, points: Points, mode: str, table: Mapping[str, float | None]) -> Any:  # noqa: ANN401
    """Return the sum of a rate over all devices, idle ones as those that work; None where one is unknown."""
    apart = mode in {AGG_AFD, PD_AFD}
    sides = ("attention", "ffn") if apart else ("together", "together")
    attention, ffn = (table[name] for name in sides)
    before = table["prefill"]
    pools = mode in {PD, PD_AFD}
    if attention is None or ffn is None or (pools and before is None):
        return None
    own = points["replicas"] * (points["attention"] * attention + points["ffn"] * ffn)
    count = points["replicas"] * (points["attention"] + points["ffn"])
    if pools:
        alike = question.prefill is question.scenario and apart  # both pools are made of the same two groups
        assert before is not None  # noqa: S101 - just checked
        rates = (attention, ffn) if alike else (before, before)
        own = own + points["p_replicas"] * (points["p_attention"] * rates[0] + points["p_ffn"] * rates[1])
        count = count + points["p_replicas"] * points["p_size"]
    return own / count * question.devices


def _columns(question: Question, mode: str, points: Points, rates: _Rates) -> dict[str, NDArray[Any]]:
    """Return points of one mode under the names users know."""
    apart = mode in {PD, PD_AFD}
    tokens = points["rate"] * question.devices
    blank = np.full(tokens.shape, np.nan)
    used = points["replicas"] * (points["attention"] + points["ffn"])
    if apart:
        used = used + points["p_replicas"] * points["p_size"]
    price, power = (_total(question, points, mode, table) for table in (rates.usd_per_hour, rates.power_w))
    return {
        "ttft_ms": points["ttft"] * 1e3,
        "tpot_ms": points["tpot"] * 1e3,
        "tokens_per_s_per_user": 1.0 / points["tpot"],
        "tokens_per_s_per_device": points["rate"],
        "tokens_per_s": tokens,
        "requests_per_s": tokens / question.workload.osl,
        "concurrent_requests": tokens * points["tpot"],
        "n_devices": points["attention"] + points["ffn"],
        "n_replicas": points["replicas"],
        "n_attention_devices": points["attention"] if mode in {AGG_AFD, PD_AFD} else blank,
        "n_ffn_devices": points["ffn"] if mode in {AGG_AFD, PD_AFD} else blank,
        "tensor_parallel": points["tp"],
        "microbatches": points["m"],
        "batch_per_group": points["batch"],
        "chunk_tokens": points["chunk"],
        "mixed_share": blank if apart else points["share"],
        **{key: points[name] if apart else blank for key, name in PREFILL_KEYS},
        "kv_transfer_ms": points["kv"] * 1e3 if apart else blank,
        "n_idle_devices": question.devices - used,
        "usd_per_million_tokens": blank
        if price is None
        else economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=tokens),
        "tokens_per_usd": blank if price is None else tokens * economics.SECONDS_PER_HOUR / price,
        "tokens_per_joule": blank
        if power is None
        else economics.tokens_per_joule(tokens_per_s=tokens, power=power),
    }


WHOLE = frozenset(
    {
        "n_devices",
        "n_replicas",
        "n_attention_devices",
        "n_ffn_devices",
        "tensor_parallel",
        "microbatches",
        "batch_per_group",
        "n_idle_devices",
        *(key for key, _ in PREFILL_KEYS),
    }
)
"""Keys that count."""


def _weighed(question: Question, found: ModeFound, rates: _Rates, objective: str) -> tuple[Points, Points]:
    """Return a mode's frontier by the objective, and what it beats.

    Where all devices cost alike, that is the frontier by device; else it is taken anew from all points kept.
    """
    if objective == "device" or not _mixed(question):
        return found.points, found.others
    every = joined([found.points, found.others])
    columns = _columns(question, found.mode, every, rates)
    rows = frontier_rows(columns["tpot_ms"], columns[OBJECTIVES[objective]])
    rest = np.setdiff1d(np.arange(columns["tpot_ms"].size), rows)
    return take(every, rows), take(every, rest)


def _mixed(question: Question) -> bool:
    """Whether the cluster has devices of several systems."""
    sides = (question.scenario.side("attention"), question.scenario.side("ffn"), question.prefill.system)
    return len({system.id for system in sides}) > 1


def _rows(question: Question, found: ModeFound, points: Points, rates: _Rates) -> list[dict[str, Any]]:
    """Return points as rows of plain values."""
    columns = {
        key: [
            None if math.isnan(value) else round(value) if key in WHOLE else value
            for value in np.asarray(column, dtype=float).tolist()
        ]
        for key, column in _columns(question, found.mode, points, rates).items()
    }
    rows = [
        {"mode": found.mode, **dict(zip(columns, values, strict=True))}
        for values in zip(*columns.values(), strict=True)
    ]
    for row in rows:
        row["deployment"] = _shape(row)
    return rows


def _shape(row: Mapping[str, Any]) -> str:
    """Return a deployment in a few words, as 16 x 8 or 2 x (4A+4F), heads shared by 2."""

    def one(count: Any, size: Any, attention: Any, ffn: Any, heads: Any) -> str:  # noqa: ANN401
        what = f"({attention}A+{ffn}F)" if ffn else f"{size}"
        return f"{count} x {what}" + (f" TP{heads}" if heads > 1 else "")

    own = one(
        row["n_replicas"],
        row["n_devices"],
        row["n_attention_devices"],
        row["n_ffn_devices"],
        row["tensor_parallel"],
    )
    if row["n_prefill_replicas"] is None:
        return own
    before = one(
        row["n_prefill_replicas"],
        row["n_prefill_attention_devices"] + (row["n_prefill_ffn_devices"] or 0),
        row["n_prefill_attention_devices"],
        row["n_prefill_ffn_devices"],
        row["prefill_tensor_parallel"],
    )
    return f"P {before}, D {own}"


def _answer(question: Question, found: Mapping[str, ModeFound], rates: _Rates, objective: str) -> Answer:
    if all(each.best is None for each in found.values()):
        reasons = "; ".join(f"{NAMES[mode]}: {_why_not(question, each)}" for mode, each in found.items())
        raise InfeasibleError(f"no: {reasons}")
    key = OBJECTIVES[objective]
    rows: list[dict[str, Any]] = []
    best: dict[str, dict[str, Any] | None] = {}
    for mode, each in found.items():
        if each.best is None:
            rows.append({"mode": mode, "feasible": False, "binding": each.refusal})
            best[mode] = None
            continue
        own = _rows(question, each, _weighed(question, each, rates, objective)[0], rates)
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
    answer = _sentence(question, best, found, key=key, error=constants.validated_error)
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
            _load_note(question),
            _transfer_note(question),
            *(
                ["devices differ: per dollar or watt, the best of the deployments kept per device is named"]
                if objective != "device" and _mixed(question)
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


def _load_note(question: Question) -> str:
    if question.request_rate is None:
        return (
            "a loaded steady state without queueing: the first token waits for its own prefill alone; "
            "--request-rate adds waiting"
        )
    return (
        f"{question.request_rate:g} requests a second arrive at random and wait for each other (M/G/1 per "
        "attention group); throughput is what the deployment could serve at most"
    )


def _transfer_note(question: Question) -> str:
    moved = "all its cached tokens" if question.kv_moved == "all" else "only its new tokens"
    return (
        f"between prefill and decode pools a prompt moves {moved}"
        + (", layer by layer" if question.kv_overlap else " after its prefill")
        + f", over {_fabric(question)}"
    )


def _fabric(question: Question) -> str:
    system = question.scenario.side("attention")
    inside = question.devices <= system.scale_up_domain_devices and (
        system.id == question.prefill.side("attention").id
    )
    up = question.kv_link == "scale-up" or (question.kv_link == "auto" and inside)
    fabric = system.scale_up if up else system.scale_out
    return f"{'scale-up' if up else 'scale-out'} ({fabric.id})" if fabric else "scale-out, which it lacks"


REASONS = {
    MEMORY: "weights and one request do not fit any replica",
    FABRIC: "no fabric connects the pools",
    SLOTS: "a step carries more prompts than its batch has slots; a smaller --chunk-tokens does",
    PREFILL_SHARE: "prompts arrive faster than chunks prefill them",
    CLUSTER: "no such groups or pools fit the cluster together",
    REQUEST_RATE: "no deployment serves so many requests",
}


def _why_not(question: Question, found: ModeFound) -> str:
    """Return why a mode has no feasible deployment, with the nearest value that has one."""
    text = f"binding is {found.refusal}"
    if found.refusal == FIRST_TOKEN and np.isfinite(found.least_ttft):
        return f"{text}: the least is --ttft-ms {rounded_up(found.least_ttft * 1e3)}"
    if found.refusal == LATENCY and np.isfinite(found.least_tpot):
        return f"{text}: the least is --tpot-ms {rounded_up(found.least_tpot * 1e3)}"
    if found.refusal == REQUEST_RATE:
        saturated = explore_modes(attrs.evolve(question, request_rate=None), [found.mode])[found.mode]
        if saturated.best:
            most = saturated.best["rate"] * question.devices / question.workload.osl
            return f"{text}: at most {most:,.4g} a second, before any wait"
    if found.refusal in REASONS:
        return f"{text}: {REASONS[found.refusal]}"
    return (
        f"{text}: each can be met alone (least TTFT {rounded_up(found.least_ttft * 1e3)} ms, least TPOT "
        f"{rounded_up(found.least_tpot * 1e3)} ms), not both together"
    )


def _sentence(
    question: Question,
    best: Mapping[str, dict[str, Any] | None],
    found: Mapping[str, ModeFound],
    *,
    key: str,
    error: float,
) -> str:
    """Return which mode serves most, with what, and why the others lose."""
    winner = max((row for row in best.values() if row), key=lambda row: row[key])
    mode = winner["mode"]
    limits = [
        f"{name} <= {value:g} ms"
        for name, value in (("TTFT", question.ttft_ms), ("TPOT", question.tpot_ms))
        if value is not None
    ]
    others: list[str] = []
    close: list[str] = []
    for other, row in best.items():
        if other == mode:
            continue
        if row is None:
            others.append(f"{NAMES[other]} has no feasible deployment ({_why_not(question, found[other])})")
            continue
        share = row[key] / winner[key] - 1.0
        if -share <= error:
            close.append(NAMES[other])
        others.append(f"{NAMES[other]} {share:+.0%} ({row['deployment']}, bound by {row['binding']})")
    name = NAMES[mode][0].upper() + NAMES[mode][1:]
    text = (
        f"{name} serves most{' under ' if limits else ''}{' and '.join(limits)}: "
        f"{winner['tokens_per_s_per_device']:,.0f} tokens/s per device at {winner['ttft_ms']:,.0f} ms TTFT "
        f"and {winner['tpot_ms']:.1f} ms TPOT as {winner['deployment']}, {winner['batch_per_group']} "
        f"sequences an attention group, bound by {winner['binding']}"
    )
    if others:
        text += "; " + "; ".join(others)
    if close:
        text += f"; too close to call against {' and '.join(close)}, within the {error:.1%} median error"
    return f"{text}."
