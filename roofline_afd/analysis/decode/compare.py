"""Expert parallelism or attention-FFN disaggregation: who wins under a latency target, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import (
    Answer,
    Decisive,
    object_columns,
    provenance_notes,
    refusal,
    with_formats,
)
from roofline_afd.analysis.decode.levers import lever_notes, levers_of
from roofline_afd.analysis.decode.memory import memory_notes
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.rows import SHARED, TABLE_KEYS, batch_per_device
from roofline_afd.analysis.decode.sides import NAMES, Side, rate_of, refusal_of, search_modes, why_not
from roofline_afd.analysis.decode.verdict import Verdict, model_note, verdict_of
from roofline_afd.catalogue.calibration import ESTIMATED, load_service_constants
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.serving.deployment import AFD, EP, Deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.calibration import ServiceConstants
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

CLOSE_CALL = "Too close to call"
"""How a reason begins where either mode may be ahead."""
EQUALLY_GOOD = 5e-4
"""Share of the throughput below which a difference is not worth a number."""
STAGES = ("attention", "ffn", "dispatch", "combine")


def compare(scenario: Scenario, *, levers: bool = False) -> Answer:
    """Answer whether expert parallelism or disaggregation serves more tokens per device, and why.

    Parameters
    ----------
    scenario : Scenario
        The question.
    levers : bool
        Whether to tell what each lever does to the verdict: kernels, cut, placement, transport and so on, one
        at a time.

    Returns
    -------
    Answer
        The best deployment of each mode; winner, ratio, how sure that is, reason, runners-up.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If neither mode has a feasible deployment: names what binds and the nearest feasible value.
    """
    sides = search_modes(scenario)
    ep, afd = sides[EP], sides[AFD]
    if ep.rate is None and afd.rate is None:
        raise refusal(refusal_of(sides), scenario)
    constants = load_service_constants(scenario.system.parts.catalogue)
    verdict = verdict_of(sides)
    ratio = afd.rate / ep.rate if ep.rate and afd.rate else None
    winner = AFD if ep.rate is None or (ratio is not None and ratio > 1) else EP
    lacking = {mode: why_not(side) for mode, side in sides.items() if side.rate is None}
    verdict_said, why = _verdict(sides, winner, verdict, lacking)
    quantities = quantities_of(*(side.deployments for side in sides.values()))
    rows = [side.row for side in sides.values()]
    examined = sum(side.found.examined for side in sides.values())
    moved = levers_of(scenario, sides) if levers else None
    beside = {
        mode: [_shape(each, side.deployments) for each in (side.found.runner_up, side.found.smallest)]
        for mode, side in sides.items()
    }
    notes = [
        *([Decisive(why.lstrip(":; "))] if why else []),
        f"{examined:,} deployments examined exhaustively: batch, devices, groups, micro-batches, overlap",
        *(Decisive(f"{NAMES[mode]}: no feasible deployment: {reason}") for mode, reason in lacking.items()),
        *_sure(scenario, verdict),
        *_validated(constants),
        *lever_notes(moved or []),
        *memory_notes(row for row in rows if row["feasible"]),
        *_unique(note for side in sides.values() for note in notes_of(side.deployments, [side.row])),
        *_neighbours(sides, beside),
        *provenance_notes(scenario, quantities),
    ]
    return Answer(
        command="compare",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary={
            "winner": winner,
            "afd_over_ep": ratio,
            **verdict.keys(),
            "validated_error": constants.validated_error,
            "reason": f"{verdict_said}{why}.",
            "runner_up": {mode: shape for mode, (shape, _) in beside.items()},
            "smallest_nearly_as_good": {mode: shape for mode, (_, shape) in beside.items()},
            "levers": moved,
            "deployments_examined": examined,
            "answer": with_formats(f"{verdict_said}.{_lies(sides)}", scenario),
        },
        notes=notes,
        table_keys=TABLE_KEYS,
    )


def _verdict(
    sides: Mapping[str, Side], winner: str, verdict: Verdict, lacking: Mapping[str, str]
) -> tuple[str, str]:
    """Return who wins and by how much, and what goes on from there: why."""
    loser = EP if winner == AFD else AFD
    if loser in lacking or verdict.odds is None:
        return f"{NAMES[winner]} wins: {NAMES[loser]} has no feasible deployment, {lacking[loser]}", ""
    ahead, behind = (sides[mode].rate or 0.0 for mode in (winner, loser))
    gain = ahead / behind - 1
    first, second = sides[winner].row, sides[loser].row
    why = (
        f"{_pace(second)}; {_pace(first)} ({NAMES[loser]} bound by {second['binding']}, {NAMES[winner]} by "
        f"{first['binding']})"
    )
    if verdict.close:
        return (
            f"{CLOSE_CALL}: {NAMES[winner]} is ahead by {gain:.1%} ({verdict.odds.words})",
            f"; {why}; what would decide it: {_decider(sides)}",
        )
    return f"{NAMES[winner]} wins by {gain:.0%} ({verdict.odds.words})", f": {why}"


def _sure(scenario: Scenario, verdict: Verdict) -> list[str]:
    """Return what the probability of the verdict rests on, or why it has none."""
    if verdict.odds is None:
        return [verdict.note] if verdict.note else []
    error = load_ratio_error(scenario.system.parts.catalogue)
    return [model_note(error, verdict)]


def _lies(sides: Mapping[str, Side]) -> str:
    """Return where deployments lie that reach beyond a domain of several nodes; empty where none does."""
    found = [
        f"{NAMES[mode]} over {side.row['domains']}"
        for mode, side in sides.items()
        if side.rate is not None and side.deployments.attention.superpod and side.row["n_domains"] > 1
    ]
    return f" {'; '.join(found)}." if found else ""


def _pace(row: Mapping[str, Any]) -> str:
    """Return how busy the devices of a deployment are, and what sets its pace."""
    times = {stage: row["breakdown"][f"{stage}_us"] for stage in STAGES}
    if row["mode"] == AFD:
        busy = (
            f"AFD's attention devices compute {row['attention_busy']:.0%} of a step and its FFN devices "
            f"{row['ffn_busy']:.0%}"
        )
    else:
        busy = f"EP's devices compute {row['attention_busy'] + row['ffn_busy']:.0%} of a step"
    paces = {
        "attention": f"attention ({times['attention']:.0f} us) sets the pace",
        "ffn": f"experts ({times['ffn']:.0f} us) set the pace",
        "network": (
            f"dispatch and combine ({times['dispatch']:.0f} and {times['combine']:.0f} us) set the pace"
        ),
        "loop": (
            f"{row['microbatches']} micro-batches do not hide a way through both groups ("
            + ", ".join(
                f"{stage} {times[stage]:.0f}" for stage in ("attention", "dispatch", "ffn", "combine")
            )
            + " us)"
        ),
    }
    return f"{busy}, where {paces[row['bottleneck_stage']]}"


def _decider(sides: Mapping[str, Side]) -> str:
    """Return the measurement that a close answer hangs on: the longest time that nobody measured."""
    unsure: dict[tuple[str, str], float] = {}
    for side in sides.values():
        best = side.found.best
        for item in side.deployments.operators(best) if best else ():
            if item.efficiency and item.kind == ESTIMATED:
                where = side.deployments.ffn if item.side == "ffn" else side.deployments.attention
                key = (item.name, where.id)
                unsure[key] = unsure.get(key, 0.0) + float(np.asarray(item.time)) * item.layers
    if unsure:
        name, system = max(unsure, key=lambda key: unsure[key])
        return f"a timing of {name} on {system}, which is estimated so far"
    most = max(int(side.row["n_devices"]) for side in sides.values())
    return f"a timing of dispatch and combine over {most} devices in service"


def _neighbours(
    sides: Mapping[str, Side], beside: Mapping[str, Sequence[dict[str, Any] | None]]
) -> list[str]:
    """Return a sentence per mode: the next best shape, and the smallest nearly as good."""
    notes: list[str] = []
    for mode, side in sides.items():
        if side.rate is None:
            continue
        parts = []
        runner_up, smallest = beside[mode]
        if runner_up:
            share = runner_up["tokens_per_s_per_device"] / side.rate
            less = f"{share - 1:.1%}" if share < 1 - EQUALLY_GOOD else "as good"
            parts.append(f"next best {_devices(runner_up)} ({less})")
        if smallest and smallest["n_devices"] < side.row["n_devices"]:
            share = smallest["tokens_per_s_per_device"] / side.rate
            parts.append(f"smallest within 2 %: {_devices(smallest)} ({share - 1:.1%})")
        if parts:
            notes.append(Decisive(f"{NAMES[mode]}: {'; '.join(parts)}"))
    return notes


def _devices(found: Mapping[str, Any]) -> str:
    if found["n_ffn_devices"]:
        return f"{found['n_attention_devices']} + {found['n_ffn_devices']} devices"
    return f"{found['n_devices']} devices"


def _validated(constants: ServiceConstants) -> list[str]:
    """Return how far predictions of each mode were from published services, and to which side."""
    parts = []
    for mode, (error, bias) in constants.validated_by_mode.items():
        side = "low" if bias < 0 else "high"
        parts.append(
            f"{NAMES[mode]} median error {error:.1%}, in the median predicted {abs(bias):.0%} too {side}"
        )
    return [f"held against published services: {'; '.join(parts)} (see validate)"] if parts else []


def _unique(notes: Any) -> list[str]:  # noqa: ANN401 - any iterable of text
    return list(dict.fromkeys(notes))


def _shape(deployment: Deployment | None, deployments: Deployments) -> dict[str, Any] | None:
    """Return a deployment in brief."""
    if deployment is None:
        return None
    afd = deployment.ffn_devices is not None
    return {
        "n_devices": int(deployment.devices),
        "n_attention_devices": int(deployment.attention_devices) if afd else None,
        "n_ffn_devices": int(deployment.ffn_devices) if deployment.ffn_devices is not None else None,
        "batch_per_device": batch_per_device(deployment),
        **{key: getattr(deployment, key) for key in SHARED},
        "afd_cut": deployment.afd_cut if afd else None,
        "microbatches": int(deployment.microbatches),
        "transport": deployment.transport,
        "tokens_per_s_per_device": rate_of(deployments, deployment),
    }
