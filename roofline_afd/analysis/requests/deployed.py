"""The deployment that requests come to: the best of a search, one described, or that of a kept answer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.answer import refusal
from roofline_afd.analysis.decode.one import asked as one_asked
from roofline_afd.analysis.decode.predict import refuse
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.decode.rows import row_of
from roofline_afd.analysis.decode.sides import search_mode, why_not
from roofline_afd.analysis.kept import answer_of, taken_from
from roofline_afd.analysis.requests import explore
from roofline_afd.analysis.requests.load import Service, service_of
from roofline_afd.analysis.requests.modes import rates_of, rows_of
from roofline_afd.analysis.requests.questions import Exploration, Lengths
from roofline_afd.analysis.requests.reasons import NAMES
from roofline_afd.analysis.requests.reasons import why_not as why_no_mode
from roofline_afd.analysis.requests.traces import read_trace
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.checks import choice, whole
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.modes.profiles import decode_profile
from roofline_afd.serving.modes.question import AGG_AFD, PD_AFD, SERVING_MODES, Question
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.requests.questions import UnderLoad
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

PROMPTS = ("workload", "prefix", "isl")
"""What tells the lengths of prompts: without it decoding alone is asked about."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment, what it serves, and what it costs."""

    name: str
    """Its mode, in words."""
    scenario: Scenario
    inner: str
    """Whether replicas do both sides on all devices: `ep`, `afd`."""
    service: Service
    row: dict[str, Any]
    devices: int
    capacity: float
    """Requests that it serves where none waits [1/s]."""
    stay: float
    """Of a request where none waits [s]."""
    ttft_ms: float | None
    tpot_ms: float | None
    usd_per_hour: float | None
    prefills: bool
    """Whether prompts are computed here."""
    notes: tuple[str, ...]

    @property
    def deployments(self) -> Deployments:
        """What the deployment is one of, at the mean context."""
        context = max(self.service.workload.mean_context, 1)
        return Deployments(attrs.evolve(self.scenario, context=context), self.inner)

    def usd_per_million_tokens(self, rate: float) -> float | None:
        """Return what a million output tokens cost at a rate of requests, all devices paid for."""
        if self.usd_per_hour is None:
            return None
        tokens = min(rate, self.capacity) * self.service.workload.osl
        return float(economics.usd_per_million_tokens(usd_per_hour=self.usd_per_hour, tokens_per_s=tokens))


def deployed(question: UnderLoad) -> Deployed:
    """Return the deployment that requests come to.

    Parameters
    ----------
    question : UnderLoad
        What is asked.

    Returns
    -------
    Deployed
        Of a kept answer; else the one that decodes where a batch and no prompts are given; else the best of
        its mode, or of all, under the limits.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no deployment meets the limits without waiting.
    """
    if question.answer is not None:
        with taken_from(question.answer, what="load"):
            kept = answer_of(question.answer)
            return _of_requests(question, kept) if kept.command == "explore" else _decoding(question, kept)
    if question.scenario.batch is not None:
        if all(getattr(question, name) is None for name in PROMPTS):
            return _decoding(question, None)
        raise InputError(
            "--batch is found where prompts are served: the deployment is the best of its mode under "
            "--ttft-ms and --tpot-ms"
        )
    return _of_requests(question, None)


def _of_requests(question: UnderLoad, kept: Answer | None) -> Deployed:
    """Return the best deployment that prefills and decodes: of its mode, or of all."""
    asked = explore.asked_of(_exploration(question, kept))
    mode = question.mode
    if kept is not None and mode is None:
        mode = kept.summary["best_under_slo"]["mode"]
    modes = SERVING_MODES if mode is None else (choice("--mode", mode, SERVING_MODES),)
    found = explore_modes(asked, modes)
    feasible = {name: each for name, each in found.items() if each.best is not None}
    if not feasible:
        reasons = "; ".join(f"{NAMES[name]}: {why_no_mode(asked, each)}" for name, each in found.items())
        raise refusal(reasons, question.scenario)
    name = max(feasible, key=lambda each: (feasible[each].best or {})["rate"])
    best = feasible[name].best or {}
    rates = rates_of(asked, "rent")
    columns = {key: np.array([value]) for key, value in best.items()}
    (row,) = rows_of(asked, feasible[name], columns, rates)
    work = asked.workload
    tokens_per_s = best["rate"] * asked.devices
    cost = row["usd_per_million_tokens"]
    return Deployed(
        name=NAMES[name],
        scenario=asked.scenario,
        inner=AFD if name in {AGG_AFD, PD_AFD} else EP,
        service=service_of(asked, name, best),
        row=row,
        devices=asked.devices,
        capacity=float(tokens_per_s / work.osl),
        stay=best["ttft"] + work.osl * best["tpot"],
        ttft_ms=asked.ttft_ms,
        tpot_ms=asked.tpot_ms,
        usd_per_hour=None if cost is None else cost * tokens_per_s * economics.SECONDS_PER_HOUR / 1e6,
        prefills=True,
        notes=tuple(each for each in rates.notes if "price" in each),
    )


def _exploration(question: UnderLoad, kept: Answer | None) -> Exploration:
    """Return the question that a deployment is the answer to."""
    scenario = question.scenario
    if kept is None:
        lengths = {field.name: getattr(question, field.name) for field in dataclasses.fields(Lengths)}
        return Exploration(
            scenario,
            ttft_ms=question.ttft_ms,
            chunk_tokens=question.chunk_tokens,
            prompt_variation=question.prompt_variation,
            **lengths,
        )
    _free(question, ("ttft_ms", "chunk_tokens", *(field.name for field in dataclasses.fields(Lengths))))
    fields = {field.name for field in dataclasses.fields(Exploration)} - {"workload", "prefill_system"}
    given = {key: value for key, value in kept.inputs.items() if key in fields and value is not None}
    name = kept.inputs["prefill_system"]
    if name != scenario.system.id:
        given["prefill_system"] = load_system(name, catalogue=scenario.system.parts.catalogue)
    return Exploration(scenario, **given)


def _free(question: UnderLoad, names: tuple[str, ...]) -> None:
    """Refuse what a kept answer holds already; a trace gives the times of requests."""
    for name in names:
        given = getattr(question, name)
        if given is not None and not (name.endswith(("trace", "_column")) and question.trace is not None):
            raise InputError(f"--from holds the question: leave out --{name.replace('_', '-')}")


def _decoding(question: UnderLoad, kept: Answer | None) -> Deployed:
    """Return one deployment that decodes, its prompts computed elsewhere."""
    if question.ttft_ms is not None or question.chunk_tokens is not None:
        raise InputError("--ttft-ms and --chunk-tokens are of prompts: give --isl and --osl")
    osl = _answer_tokens(question)
    scenario = question.scenario
    mode = None if question.mode is None else choice("--mode", question.mode, MODES)
    if kept is not None and mode is None:
        rows = [row for row in kept.rows() if row.get("feasible") is not False]
        mode = kept.summary.get("winner") or (rows[0]["mode"] if rows else EP)
    if scenario.batch is not None:
        found = one_asked(Prediction(scenario, mode=mode))
        deployment, scenario = found.deployment, found.scenario
        deployments = Deployments(scenario, deployment.mode)
    else:
        side = search_mode(scenario, mode or EP)
        if side.found.best is None:
            raise refusal(f"{side.deployments.mode.upper()}: {why_not(side)}", scenario)
        deployment, deployments = side.found.best, side.deployments
    refuse(deployments, deployment, limited=scenario.tpot_ms is not None)
    row = row_of(deployments, deployment, limited=False)
    work = Workload(prefix=0, isl=max(scenario.context - osl // 2, 1), osl=osl)
    if osl // 2 >= scenario.context:
        raise InputError(f"--osl {osl:,} leaves no prompt of a mean context of {scenario.context:,} tokens")
    devices, tpot = row["n_devices"], row["tpot_ms"]
    hourly, notes = _hourly(scenario, work, deployment, devices)
    return Deployed(
        name=deployments.mode.upper(),
        scenario=scenario,
        inner=deployments.mode,
        service=Service((decode_profile(deployments, deployment),), work, scenario.accept_length),
        row={**row, "deployment": _shape(row)},
        devices=devices,
        capacity=row["tokens_per_s_per_device"] * devices / osl,
        stay=osl * tpot * 1e-3,
        ttft_ms=None,
        tpot_ms=scenario.tpot_ms,
        usd_per_hour=hourly,
        prefills=False,
        notes=(
            (
                "prompts are computed elsewhere: the time to the first token is that of waiting for a place, "
                f"and for the step under way; contexts of {scenario.context:,} tokens in the mean"
            ),
            *notes,
        ),
    )


def _answer_tokens(question: UnderLoad) -> int:
    """Return the tokens of an answer: given, or the mean of a trace."""
    if question.osl is None and question.trace is not None:
        requests = read_trace(
            question.trace, prompt_column=question.prompt_column, decode_column=question.decode_column
        )
        return max(round(float(np.mean(requests.decode_tokens))), 1)
    if question.osl is None:
        raise InputError("--osl missing: tokens of an answer")
    return whole("--osl", question.osl)


def _shape(row: Mapping[str, Any]) -> str:
    """Return a deployment in a few words."""
    if row["n_ffn_devices"]:
        return f"1 x ({row['n_attention_devices']}A+{row['n_ffn_devices']}F)"
    return f"1 x {row['n_devices']}"


def _hourly(
    scenario: Scenario, work: Workload, deployment: Deployment, devices: int
) -> tuple[float | None, list[str]]:
    """Return what the devices cost an hour, None where nobody says, and notes on the prices."""
    asked = Question(scenario=scenario, prefill=scenario, workload=work, devices=devices)
    rates = rates_of(asked, "rent")
    ffn = 0 if deployment.ffn_devices is None else round(float(np.asarray(deployment.ffn_devices)))
    counts = {"attention": devices - ffn, "ffn": ffn} if ffn else {"together": devices}
    parts = [(rates.usd_per_hour[name], many) for name, many in counts.items()]
    notes = [each for each in rates.notes if "price" in each]
    known = [price * many for price, many in parts if price is not None]
    return (sum(known) if len(known) == len(parts) else None), notes
