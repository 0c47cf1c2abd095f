"""What pictures of serving modes draw: the frontier of each, what it beats, and why a mode has none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer
from roofline_afd.analysis.requests.explore import explored
from roofline_afd.analysis.requests.questions import OBJECTIVES, Exploration, ModeSearch
from roofline_afd.analysis.requests.reasons import NAMES, missing
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import EP
from roofline_afd.serving.modes.points import frontier_rows
from roofline_afd.serving.modes.question import PD, SERVING_MODES
from roofline_afd.serving.workload import workload_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roofline_afd.analysis.requests.questions import ParetoPanels, ParetoPicture
    from roofline_afd.serving.scenario import Scenario

MOST_PANELS = 60
BEATEN_KEYS = (
    *("mode", "deployment", "batch_per_group", "chunk_tokens", "microbatches", "ttft_ms", "tpot_ms"),
    *("tokens_per_s_per_user", "usd_per_million_tokens", *OBJECTIVES.values()),
)
"""What a picture may tell of a deployment that others beat."""


def pareto_picture(question: ParetoPicture) -> Answer:
    """Search serving modes, and keep what their frontiers beat.

    Parameters
    ----------
    question : ParetoPicture
        What is asked.

    Returns
    -------
    Answer
        That of `explore`. Its picture holds `frontiers`, the rows of each mode's frontier, slowest first;
        `key`, by which they are weighed; `beaten`, columns of what they beat, of which at most `dots` are
        drawn; `errors`, the median error of published services at each of those rows, of modes that such were
        measured of; `names` of modes; `missing`, why a mode has no deployment; and names of the hardware.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment.
    """
    return _pictured(question, {"dots": question.dots})


def panels_picture(
    question: ParetoPanels, *, advanced: Callable[[float], None] | None = None
) -> list[Answer]:
    """Search serving modes for each of several scenarios with each of several kinds of requests.

    Parameters
    ----------
    question : ParetoPanels
        What is asked.
    advanced : callable, optional
        Is told the share that is done [1].

    Returns
    -------
    list of Answer
        Scenario by scenario, each with its kinds of requests, as `pareto_picture` gives them. One where
        nothing is feasible has no rows; its picture holds the `refusal`.

    Raises
    ------
    InputError
        If the question contradicts itself, names nothing, or too much.
    """
    scenarios, workloads = question.scenarios, question.workloads
    if not scenarios or not workloads:
        raise InputError(f"{'--workloads' if scenarios else '--models'} is empty: name at least one")
    count = len(scenarios) * len(workloads)
    if count > MOST_PANELS:
        raise InputError(f"--models and --workloads make {count} panels; at most {MOST_PANELS} are drawn")
    search = {field.name: getattr(question, field.name) for field in dataclasses.fields(ModeSearch)}
    more = {"across": len(workloads)}
    found = []
    for scenario in scenarios:
        for name in workloads:
            try:
                found.append(_pictured(Exploration(scenario, workload=name, **search), more))
            except InfeasibleError as error:
                found.append(_refused(scenario, name, {**more, "refusal": str(error)}))
            if advanced is not None:
                advanced(len(found) / count)
    return found


def _pictured(question: Exploration, more: dict[str, Any]) -> Answer:
    """Return the answer to a question with what its picture needs."""
    answer, beaten = explored(question)
    key = OBJECTIVES[answer.inputs["per"]]
    return dataclasses.replace(
        answer,
        picture={
            **_hardware(question.scenario),
            "key": key,
            "frontiers": _frontiers(answer.rows(), key),
            "beaten": {name: [row[name] for row in beaten] for name in BEATEN_KEYS},
            "missing": missing(answer.summary),
            "errors": _errors(question.scenario, answer, key),
            **more,
        },
    )


def _hardware(scenario: Scenario) -> dict[str, Any]:
    """Return the names a picture needs; the two sides of AFD where they are of other systems."""
    sides = [scenario.side("attention"), scenario.side("ffn")]
    return {
        "names": {mode: NAMES[mode] for mode in SERVING_MODES},
        "model": scenario.model.name,
        "system": scenario.system.name,
        "system_id": scenario.system.id,
        "sides": [side.name for side in sides] if sides != [scenario.system] * 2 else None,
        "accept_length": scenario.accept_length,
    }


def _frontiers(rows: Sequence[dict[str, Any]], key: str) -> dict[str, list[int]]:
    """Return the rows on the frontier of each mode, slowest first."""
    found = {}
    for mode in SERVING_MODES:
        own = [at for at, row in enumerate(rows) if row["mode"] == mode and row["feasible"]]
        if own:
            times, amounts = (np.array([rows[at][name] for at in own]) for name in ("tpot_ms", key))
            found[mode] = [own[index] for index in reversed(frontier_rows(times, amounts).tolist())]
    return found


def _errors(scenario: Scenario, answer: Answer, key: str) -> dict[str, list[float]]:
    """Return how far published services are off at each row of a frontier, by the devices of both pools.

    Decode and prefill are measured apart, of EP and in pools: a mode that mixes them, or that prefills with
    AFD, is held against nothing.
    """
    decode = load_service_constants(scenario.system.parts.catalogue).validated_by_mode.get(EP)
    prefill = answer.summary["prefill_error"]
    rows = answer.rows()
    own = [rows[at] for at in _frontiers(rows, key).get(PD, [])]
    if decode is None or prefill is None or not own:
        return {}
    shares = [_prefill_share(row) for row in own]
    return {PD: [share * prefill + (1.0 - share) * decode[0] for share in shares]}


def _prefill_share(row: dict[str, Any]) -> float:
    """Return the share of a deployment's devices that prefill [1]."""
    prefill, decode = (
        row[count] * sum(row[name] or 0 for name in sizes)
        for count, sizes in (
            ("n_prefill_replicas", ("n_prefill_attention_devices", "n_prefill_ffn_devices")),
            ("n_replicas", ("n_devices",)),
        )
    )
    return float(prefill / (prefill + decode))


def _refused(scenario: Scenario, name: str, more: dict[str, Any]) -> Answer:
    """Return the answer that nothing is feasible."""
    work = workload_of(name)
    lengths = {"workload": work.name, "prefix": work.prefix, "isl": work.isl, "osl": work.osl}
    return Answer(command="explore", inputs=lengths, columns={}, picture={**_hardware(scenario), **more})
