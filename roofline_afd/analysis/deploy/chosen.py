"""The deployment that is launched: of a kept answer, or the best that the software can be told to run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.answer import refusal
from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.decode.sides import search_mode, why_not
from roofline_afd.analysis.deploy.targets import TARGETS, Target
from roofline_afd.analysis.kept import answer_of
from roofline_afd.analysis.requests.explore import explore
from roofline_afd.analysis.requests.questions import Exploration, Lengths
from roofline_afd.catalogue.engines import IDEAL, load_engine
from roofline_afd.errors import InputError, shown
from roofline_afd.serving.checks import choice
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD
from roofline_afd.serving.scenario import PLUGIN
from roofline_afd.serving.workload import workload_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.deploy.questions import Launch
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload

LARGEST_SHARED = 16
"""Devices that share heads, at most, of the deployments that are searched."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The deployment: the question, its row, what requests look like, and how it was come by."""

    scenario: Scenario
    target: Target
    row: Mapping[str, Any]
    workload: Workload | None
    ttft_ms: float | None
    notes: tuple[str, ...]


def chosen(question: Launch) -> Chosen:
    """Return the deployment that a question launches.

    Parameters
    ----------
    question : Launch
        What is asked.

    Returns
    -------
    Chosen
        The deployment.

    Raises
    ------
    InputError
        If the question contradicts itself, or an answer holds no deployment.
    InfeasibleError
        If no deployment that the software runs is feasible.
    """
    target = TARGETS[choice("--for", question.target, tuple(TARGETS))]
    scenario, notes = _with_engine(question.scenario, target, kept=question.answer is not None)
    if question.answer is not None:
        answer = answer_of(question.answer)
        work = _workload_of(answer)
        row, more = _row_of(answer, target, question.mode)
        ttft = answer.inputs.get("ttft_ms")
        return Chosen(scenario, target, row, work, ttft, (*notes, *more))
    lengths = {field.name: getattr(question, field.name) for field in dataclasses.fields(Lengths)}
    if any(value is not None for value in lengths.values()):
        row, work = _of_requests(question, scenario, target, lengths)
        return Chosen(scenario, target, row, work, question.ttft_ms, notes)
    if question.ttft_ms is not None:
        raise InputError("--ttft-ms belongs to requests: give --isl and --osl, --workload or --trace")
    row = _of_decode(scenario, target, question.mode)
    return Chosen(scenario, target, row, None, None, notes)


def _with_engine(scenario: Scenario, target: Target, *, kept: bool) -> tuple[Scenario, tuple[str, ...]]:
    """Return the question with the engine of the software, unless it is that of a kept answer."""
    named = scenario.engine.id
    if named != IDEAL and named not in target.engines:
        raise InputError(
            f"--engine {shown(named)} is not what {target.name} runs; valid: {', '.join(target.engines)}"
        )
    if named != IDEAL:
        return scenario, ()
    engine = load_engine(target.engines[0], catalogue=scenario.system.parts.catalogue)
    if kept:
        note = f"the answer is of the best kernels that were measured, not of {engine.name}'s (--engine)"
        return scenario, (note,)
    return attrs.evolve(scenario, engine=engine), (f"kernels and memory are those of {engine.name}",)


def _workload_of(answer: Answer) -> Workload | None:
    inputs = answer.inputs
    if answer.command != "explore":
        return None
    return workload_of(prefix=inputs["prefix"], isl=inputs["isl"], osl=inputs["osl"])


def _row_of(answer: Answer, target: Target, mode: str | None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the deployment of a kept answer: of the mode asked for, or the best that the software runs."""
    if answer.command == "explore":
        runs = (AGG_AFD,) if target.disaggregates else (AGG, PD)
        rows = [row for row in answer.summary["best_by_mode"].values() if row and row["mode"] in runs]
        rows.sort(key=lambda row: -row["tokens_per_s_per_device"])
    else:
        runs = (AFD,) if target.disaggregates else (EP,)
        rows = [row for row in answer.rows() if row.get("feasible") and row["mode"] in runs]
    if mode is not None:
        rows = [row for row in rows if row["mode"] == choice("--mode", mode, runs)]
    if not rows:
        raise InputError(
            f"--from: the answer of {answer.command} holds no deployment that {target.name} runs: "
            f"{' or '.join(runs)}"
        )
    best = answer.summary.get("winner") or (answer.summary.get("best_under_slo") or {}).get("mode")
    if best and best != rows[0]["mode"] and mode is None:
        return rows[0], (f"the answer's best is {best}, which {target.name} does not run",)
    return rows[0], ()


def _told(scenario: Scenario, target: Target) -> Scenario:
    """Return a question held to what the software can be told, where nothing else is asked for."""
    fixed: dict[str, Any] = {}
    if target.disaggregates:
        fixed |= {
            "deployable_with": PLUGIN,
            "afd_cut": "attention",
            "redundant_experts": 0,
            "expert_placement": None if scenario.zipf or scenario.expert_counts else "plain",
            "context_parallel": 1,
        }
    if not target.shares_experts:
        fixed["expert_tensor_parallel"] = 1
    single = not target.overlaps or (not target.drafts_overlapping and scenario.query_tokens > 1)
    if single and not target.disaggregates:
        fixed["microbatches"] = 1
    even = scenario.sigma_ep < 1 or scenario.routing == "balanced"
    if even:
        fixed.pop("expert_placement", None)
    return attrs.evolve(
        scenario, **{key: value for key, value in fixed.items() if getattr(scenario, key) is None}
    )


def _takes(target: Target, side: System, shared: int, devices: int) -> bool:
    """Return whether so many of the devices of a replica may share heads, as the software has it."""
    if not target.shares_heads_within:
        return shared in {1, devices}
    return shared <= side.devices_per_node or not target.heads_within_nodes


def _shared_heads(scenario: Scenario, target: Target) -> Iterator[Scenario]:
    """Yield a question for each number of devices that may share heads, as the software has it."""
    side, shared = scenario.side("attention"), 1
    while shared <= min(side.scale_up_domain_devices, LARGEST_SHARED):
        one = attrs.evolve(scenario, tensor_parallel=shared)
        if target.shares_heads_within or shared == 1:
            yield from [one] if _takes(target, side, shared, 0) else []
        elif scenario.devices in {None, shared}:
            yield attrs.evolve(one, devices=shared)
        shared *= 2


def _of_decode(scenario: Scenario, target: Target, mode: str | None) -> Mapping[str, Any]:
    """Return the best deployment of decode alone, or the one that is described."""
    mode = choice("--mode", mode or (AFD if target.disaggregates else EP), _decode_modes(target))
    told = _told(scenario, target)
    if scenario.batch is not None:
        return predict(Prediction(told, mode=mode)).rows()[0]
    side = search_mode(told, mode)
    if side.rate is None:
        raise refusal(f"{mode.upper()}: {why_not(side)}", told)
    row = side.row
    devices = row["n_attention_devices"] or row["n_devices"]
    if scenario.tensor_parallel or _takes(target, told.side("attention"), row["tensor_parallel"], devices):
        return row
    sides = [search_mode(each, mode) for each in _shared_heads(told, target)]
    if all(each.rate is None for each in sides):
        raise refusal(f"{mode.upper()}: {why_not(sides[0])}", sides[0].deployments.scenario)
    return max(sides, key=lambda each: each.rate or 0.0).row


def _decode_modes(target: Target) -> tuple[str, ...]:
    return (AFD,) if target.disaggregates else (EP,)


def _of_requests(
    question: Launch, scenario: Scenario, target: Target, lengths: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Workload]:
    """Return the best deployment of prefill and decode, and what requests look like."""
    modes = (AGG_AFD,) if target.disaggregates else (AGG, PD)
    if question.mode is not None:
        modes = (choice("--mode", question.mode, modes),)
    told = _told(scenario, target)
    if told.expert_tensor_parallel is None:
        told = attrs.evolve(told, expert_tensor_parallel=1)
    answer = explore(Exploration(told, modes=modes, ttft_ms=question.ttft_ms, **lengths))
    row = answer.summary["best_under_slo"]
    most = scenario.side("attention").devices_per_node
    apart = (
        target.shares_heads_within
        and max(row["tensor_parallel"], row["prefill_tensor_parallel"] or 1) <= most
    )
    if not apart and row["tensor_parallel"] > 1 and told.tensor_parallel is None:
        told = attrs.evolve(told, tensor_parallel=1)
        answer = explore(Exploration(told, modes=modes, ttft_ms=question.ttft_ms, **lengths))
        row = answer.summary["best_under_slo"]
    work = _workload_of(answer)
    assert work is not None  # noqa: S101 - an answer of explore has one
    return row, work
