"""Expert parallelism or attention-FFN disaggregation: the best of each under a latency target, and why."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.predict import (
    REFUSALS,
    TABLE_KEYS,
    notes_of,
    quantities_of,
    row_of,
    serving_inputs,
)
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.search import ALL, LATENCY, MEMORY, Found, search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

NAMES = {EP: "EP", AFD: "AFD"}
STAGES = ("attention", "ffn", "dispatch", "combine")


@dataclasses.dataclass(frozen=True)
class Side:
    """One mode of a comparison: what was searched, what was found, and the row of the best."""

    deployments: Deployments
    found: Found
    row: dict[str, Any]

    @property
    def rate(self) -> float | None:
        """Tokens per second and device of the best; None where nothing is feasible."""
        value = self.row["tokens_per_s_per_device"]
        return None if value is None else float(value)


def search_modes(scenario: Scenario) -> dict[str, Side]:
    """Search both modes.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    dict of str to Side
        By mode.
    """
    sides = {}
    for mode in MODES:
        deployments = Deployments(scenario, mode)
        found = search(deployments)
        row = _refused(mode, found) if found.best is None else row_of(deployments, found.best)
        sides[mode] = Side(deployments, found, row)
    return sides


def _refused(mode: str, found: Found) -> dict[str, Any]:
    """Return the row of a mode without a feasible deployment: nothing but what rules it out."""
    blank = dict.fromkeys(TABLE_KEYS)
    return {**blank, "mode": mode, "feasible": False, "binding": found.refusal}


def rates(scenario: Scenario) -> tuple[float, float]:
    """Return the throughput of the best deployment of `ep` and of `afd`; 0 where none is feasible."""
    found = []
    for mode in MODES:
        deployments = Deployments(scenario, mode)
        best = search(deployments).best
        found.append(0.0 if best is None else _rate(deployments, best))
    return found[0], found[1]


def _rate(deployments: Deployments, deployment: Deployment) -> float:
    step = deployments.step(deployment).time
    return float(np.asarray(deployments.tokens_per_s_per_device(deployment, step)))


def compare(scenario: Scenario) -> Answer:
    """Answer whether expert parallelism or disaggregation serves more tokens per device, and why.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    Answer
        The best deployment of each mode; winner, ratio, reason, runners-up.

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
        raise InfeasibleError(f"no: {refusal_of(sides)}")
    error = load_service_constants(scenario.system.parts.catalogue).validated_error
    ratio = afd.rate / ep.rate if ep.rate and afd.rate else None
    winner = AFD if ep.rate is None or (ratio is not None and ratio > 1) else EP
    reason = _reason(sides, winner, ratio, error)
    quantities = quantities_of(*(side.deployments for side in sides.values()))
    rows = [side.row for side in sides.values()]
    examined = sum(side.found.examined for side in sides.values())
    any_transport = _any_transport(scenario)
    notes = [
        f"{examined:,} deployments examined exhaustively: batch, devices, groups, micro-batches, overlap",
        *(
            f"{NAMES[mode]}: no feasible deployment: {_why_not(side)}"
            for mode, side in sides.items()
            if side.rate is None
        ),
        *_neighbours(sides),
        *_transport_note(any_transport, ratio),
        *_unique(note for side in sides.values() for note in notes_of(side.deployments, [side.row])),
        *provenance_notes(scenario, quantities),
    ]
    return Answer(
        command="compare",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary={
            "winner": winner,
            "afd_over_ep": ratio,
            "too_close_to_call": ratio is not None and abs(ratio - 1) <= error,
            "validated_error": error,
            "reason": reason,
            "runner_up": {
                mode: _shape(side.found.runner_up, side.deployments) for mode, side in sides.items()
            },
            "smallest_nearly_as_good": {
                mode: _shape(side.found.smallest, side.deployments) for mode, side in sides.items()
            },
            "any_transport": any_transport,
            "deployments_examined": examined,
            "answer": reason,
        },
        notes=notes,
        table_keys=TABLE_KEYS,
    )


def _unique(notes: Any) -> list[str]:  # noqa: ANN401 - any iterable of text
    return list(dict.fromkeys(notes))


def _any_transport(scenario: Scenario) -> dict[str, Any] | None:
    """Return what becomes of the answer if kernels may send copies per device or node, which nobody timed."""
    if scenario.transport is not None:
        return None
    ep, afd = rates(attrs.evolve(scenario, transport=ALL, granularity="node"))
    if not (ep and afd):
        return None
    return {"ep_tokens_per_s_per_device": ep, "afd_tokens_per_s_per_device": afd, "afd_over_ep": afd / ep}


def _transport_note(found: Mapping[str, Any] | None, ratio: float | None) -> list[str]:
    if found is None or ratio is None:
        return []
    flips = (found["afd_over_ep"] > 1) != (ratio > 1)
    return [
        "tokens travel as a copy per expert, the only kernels timed for decoding; with --transport all, "
        f"copies per device or node, EP would reach {found['ep_tokens_per_s_per_device']:,.0f} and AFD "
        f"{found['afd_tokens_per_s_per_device']:,.0f} tokens/s per device, "
        f"AFD / EP {found['afd_over_ep']:.2f}" + (": the winner would change" if flips else "")
    ]


def _shape(deployment: Deployment | None, deployments: Deployments) -> dict[str, Any] | None:
    """Return a deployment in brief."""
    if deployment is None:
        return None
    afd = deployment.ffn_devices is not None
    return {
        "n_devices": int(deployment.devices),
        "n_attention_devices": int(deployment.attention_devices) if afd else None,
        "n_ffn_devices": int(deployment.ffn_devices) if deployment.ffn_devices is not None else None,
        "batch_per_device": int(deployment.batch),
        "microbatches": int(deployment.microbatches),
        "transport": deployment.transport,
        "tokens_per_s_per_device": _rate(deployments, deployment),
    }


def _devices(found: Mapping[str, Any]) -> str:
    if found["n_ffn_devices"]:
        return f"{found['n_attention_devices']} + {found['n_ffn_devices']} devices"
    return f"{found['n_devices']} devices"


def _neighbours(sides: Mapping[str, Side]) -> list[str]:
    """Return a sentence per mode: the next best shape, and the smallest nearly as good."""
    notes = []
    for mode, side in sides.items():
        if side.rate is None:
            continue
        parts = []
        runner_up, smallest = (
            _shape(each, side.deployments) for each in (side.found.runner_up, side.found.smallest)
        )
        if runner_up:
            share = runner_up["tokens_per_s_per_device"] / side.rate
            parts.append(f"next best {_devices(runner_up)} ({share - 1:+.1%})")
        if smallest and smallest["n_devices"] < side.row["n_devices"]:
            share = smallest["tokens_per_s_per_device"] / side.rate
            parts.append(f"smallest within 2 %: {_devices(smallest)} ({share - 1:+.1%})")
        if parts:
            notes.append(f"{NAMES[mode]}: {'; '.join(parts)}")
    return notes


def _reason(sides: Mapping[str, Side], winner: str, ratio: float | None, error: float) -> str:
    """Return who wins, by how much and why, in one sentence."""
    loser = EP if winner == AFD else AFD
    if ratio is None:
        return f"{NAMES[winner]} wins: {NAMES[loser]} has no feasible deployment, {_why_not(sides[loser])}."
    gain = max(ratio, 1 / ratio) - 1
    first, second = sides[winner].row, sides[loser].row
    why = f"{_held_back(second)}; {_held_back(first)}"
    if abs(ratio - 1) <= error:
        return (
            f"Too close to call: {NAMES[winner]} is ahead by {gain:.1%}, within the {error:.1%} median error "
            f"of predictions ({why}); what would decide it: {_decider(sides)}."
        )
    return f"{NAMES[winner]} wins by {gain:.0%}: {why}."


def _held_back(row: Mapping[str, Any]) -> str:
    """Return what holds a deployment back, with the times that show it."""
    times = ", ".join(f"{name} {row['breakdown'][f'{name}_us']:.0f}" for name in STAGES)
    name = NAMES[row["mode"]]
    if row["mode"] == AFD:
        busy = f"its groups compute {row['attention_busy']:.0%} and {row['ffn_busy']:.0%} of a step"
    else:
        busy = f"its devices compute {row['attention_busy'] + row['ffn_busy']:.0%} of a step"
    return f"{name} is bound by {row['binding']} and waits most for {row['bottleneck']}, {busy} ({times} us)"


def _decider(sides: Mapping[str, Side]) -> str:
    """Return the measurement that a close answer hangs on."""
    unsure = max(sides.values(), key=lambda side: float(side.row["estimated_share"]))
    times = {stage: unsure.row["breakdown"][f"{stage}_us"] for stage in STAGES}
    largest = max(times, key=lambda stage: times[stage])
    row = max(sides.values(), key=lambda side: side.row["breakdown"]["dispatch_us"]).row
    if unsure.row["estimated_share"] > 0:
        return f"a timing of {largest} on {unsure.deployments.attention.id}, which is estimated so far"
    return f"a timing of dispatch and combine over {row['n_devices']} devices in service"


def _why_not(side: Side) -> str:
    """Return why a mode has no feasible deployment, with the nearest value that has one."""
    found, scenario = side.found, side.deployments.scenario
    text = f"binding is {found.refusal}: {REFUSALS.get(found.refusal, found.refusal)}"
    if found.refusal == LATENCY and found.nearest:
        return f"{text}; the least is {found.nearest * 1e3:.4g} ms per token"
    if found.refusal == MEMORY:
        return f"{text}{_memory_hint(scenario, side.deployments)}"
    return text


def _memory_hint(scenario: Scenario, deployments: Deployments) -> str:
    """Return the least change that makes the model fit: more devices, or a shorter context."""
    if not (scenario.devices or scenario.attention_devices or scenario.ffn_devices):
        wider = attrs.evolve(scenario, max_devices=4096)
        found = (
            search(Deployments(wider, deployments.mode)) if scenario.max_devices < wider.max_devices else None
        )
        if found is not None and found.candidates.most.size and np.max(found.candidates.most) >= 1:
            sizes = found.candidates.attention_devices + found.candidates.ffn_devices
            least = float(np.min(sizes[found.candidates.most >= (scenario.batch or 1)], initial=np.inf))
            if np.isfinite(least):
                return f"; {least:.0f} devices hold it (--max-devices)"
    shorter = scenario.context
    while shorter > 1:
        shorter //= 2
        candidates = search(Deployments(attrs.evolve(scenario, context=shorter), deployments.mode)).candidates
        if candidates.most.size and np.max(candidates.most) >= (scenario.batch or 1):
            return f"; --context {shorter} fits"
    return "; not even the shortest context fits"


def refusal_of(sides: Mapping[str, Side]) -> str:
    """Return why neither mode has a feasible deployment."""
    return "; ".join(f"{NAMES[mode]}: {_why_not(side)}" for mode, side in sides.items())
