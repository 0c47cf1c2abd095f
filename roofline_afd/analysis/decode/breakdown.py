"""Where a decode step spends its time: every operator of every layer, by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.one import deployment_of, mode_of
from roofline_afd.analysis.decode.rows import row_of
from roofline_afd.catalogue.calibration import ESTIMATED, SIBLING
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import Deployments
from roofline_afd.serving.search import search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.decode.questions import Breakdown
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario


def breakdown(question: Breakdown) -> Answer:
    """Answer where the operators of a decode step spend their time, overlap left out.

    Parameters
    ----------
    question : Breakdown
        What is asked.

    Returns
    -------
    Answer
        A row per operator: side, layers that have it, time of one layer and of all for one micro-batch,
        share, kind.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no fabric of the system connects the devices, or nothing meets the latency target.
    """
    scenario = question.scenario
    deployments = Deployments(scenario, mode_of(scenario, question.mode))
    deployment = _deployment(deployments)
    rows: list[dict[str, Any]] = []
    for item in deployments.operators(deployment):
        time = float(np.asarray(item.time)) * float(np.asarray(deployments.in_service(item))) * 1e6
        rows.append(
            {
                "operator": item.name,
                "side": item.side,
                "layers": item.layers,
                "time_us": time,
                "step_time_us": time * item.layers,
                "flops": float(np.asarray(item.flops)),
                "bytes_moved": float(np.asarray(item.bytes_moved)),
                "kind": item.kind,
            }
        )
    total = sum(row["step_time_us"] for row in rows)
    if not np.isfinite(total):
        raise InfeasibleError(f"no fabric of {scenario.system.id} connects {deployment.devices} devices")
    rows = [{**row, "share": row["step_time_us"] / total} for row in rows if row["time_us"] > 0]
    by_side: dict[str, float] = {}
    for row in rows:
        by_side[row["side"]] = by_side.get(row["side"], 0.0) + row["share"]
    shares = ", ".join(
        f"{side.replace('ffn', 'FFN')} {share:.0%}"
        for side, share in sorted(by_side.items(), key=lambda it: -it[1])
    )
    largest = max(rows, key=lambda row: row["step_time_us"])
    by_kind = dict.fromkeys((SIBLING, ESTIMATED), 0.0)
    for row in rows:
        by_kind[row["kind"]] = by_kind.get(row["kind"], 0.0) + row["share"]
    quantities = quantities_of(deployments)
    whole = row_of(deployments, deployment)
    return Answer(
        command="breakdown",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary={
            "mode": deployment.mode,
            "n_devices": whole["n_devices"],
            "n_attention_devices": whole["n_attention_devices"],
            "n_ffn_devices": whole["n_ffn_devices"],
            "batch_per_device": whole["batch_per_device"],
            "microbatches": whole["microbatches"],
            "step_time_us": total,
            "step_ms": whole["step_ms"],
            "shares": by_side,
            "estimated_share": by_kind[ESTIMATED],
            "sibling_share": by_kind[SIBLING],
            "answer": with_formats(
                f"The operators of one micro-batch take {total / 1e3:.1f} ms: {shares}. "
                f"{_step(whole['microbatches'], whole['step_ms'])} "
                f"The largest is {largest['operator']}, {largest['share']:.0%}.",
                scenario,
            ),
        },
        notes=[
            "operator times are of one device and micro-batch, one after the other",
            *notes_of(deployments, [whole]),
            *provenance_notes(scenario, quantities),
        ],
        picture={"question": _question_line(scenario, whole)},
    )


def _step(microbatches: int, step_ms: float) -> str:
    """Return how long a step of one or several micro-batches takes, in words."""
    if microbatches == 1:
        return f"A step, of one micro-batch, takes {step_ms:.1f} ms."
    return f"A step of {microbatches} micro-batches, which overlap, takes {step_ms:.1f} ms."


def _deployment(deployments: Deployments) -> Deployment:
    """Return the deployment a question describes, or the best one where it leaves the batch open."""
    if deployments.scenario.batch is not None:
        return deployment_of(deployments)
    found = search(deployments)
    if found.best is None:
        raise InfeasibleError(f"no: no {deployments.mode} deployment is feasible: binding is {found.refusal}")
    return found.best


def _question_line(scenario: Scenario, row: Mapping[str, Any]) -> str:
    """Return the deployment that was asked about, in a line."""
    devices = (
        f"{row['n_attention_devices']} attention and {row['n_ffn_devices']} FFN devices"
        if row["n_ffn_devices"]
        else f"{row['n_devices']} devices"
    )
    parts = [
        f"{scenario.system.name} x {scenario.model.name}",
        f"{row['mode'].upper()} on {devices}",
        f"{row['batch_per_device']} sequences per device, micro-batches in flight: {row['microbatches']}",
        f"context {scenario.context} tokens",
    ]
    return " · ".join(parts)
