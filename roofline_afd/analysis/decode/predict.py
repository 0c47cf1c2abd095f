"""One deployment, term by term, or the constraint that rules it out."""

from __future__ import annotations

import dataclasses
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
from roofline_afd.analysis.decode.memory import memory_notes, memory_refusal
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.one import asked, largest_batch_in_time
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.decode.rows import TABLE_KEYS, row_of
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.sizes import FUSED
from roofline_afd.units import rounded_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.serving.scenario import Scenario


def predict(question: Prediction) -> Answer:
    """Answer what one deployment reaches, term by term.

    Parameters
    ----------
    question : Prediction
        What is asked.

    Returns
    -------
    Answer
        One row.

    Raises
    ------
    InputError
        If devices or batch are missing, or contradict each other.
    InfeasibleError
        If it does not fit memory, or misses a latency target that was given; names the nearest that does.
    """
    found = asked(question)
    scenario, deployment = found.scenario, found.deployment
    deployments = Deployments(scenario, deployment.mode)
    limited = scenario.tpot_ms is not None
    refuse(deployments, deployment, limited=limited)
    row = {**found.largest, **row_of(deployments, deployment, limited=limited)}
    quantities = quantities_of(deployments)
    said, terms = _said(row, scenario)
    return Answer(
        command="predict",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns([row]),
        summary={**found.largest, "answer": with_formats(f"{found.answer}{said}", scenario)},
        notes=[
            Decisive(terms),
            *memory_notes([row]),
            *notes_of(deployments, [row]),
            *provenance_notes(scenario, quantities),
        ],
        table_keys=(*found.largest, *TABLE_KEYS),
    )


def predict_ep(scenario: Scenario, **largest: bool) -> Answer:
    """Answer what one expert-parallel deployment reaches; as `predict` with mode `ep`."""
    return predict(Prediction(scenario, mode=EP, **largest))


def predict_afd(scenario: Scenario, **largest: bool) -> Answer:
    """Answer what one deployment of two groups reaches; as `predict` with mode `afd`."""
    return predict(Prediction(scenario, mode=AFD, **largest))


def refuse(deployments: Deployments, deployment: Deployment, *, limited: bool) -> None:
    """Raise if a deployment cannot be, naming the constraint and the nearest that can.

    Parameters
    ----------
    deployments : Deployments
        One mode of a question.
    deployment : Deployment
        The deployment.
    limited : bool
        Whether a latency target was given.

    Raises
    ------
    InfeasibleError
        If it does not fit memory, no fabric or kernel holds it together, or it misses the target.
    """
    scenario = deployments.scenario
    most = float(np.asarray(deployments.largest_batch(deployment)))
    batch = float(np.asarray(deployment.batch))
    if most < batch:
        raise refusal(memory_refusal(deployments, deployment, most), scenario)
    time = float(np.asarray(deployments.step(deployment).time))
    if not np.isfinite(time) and deployment.kernels == FUSED:
        raise InfeasibleError(
            "no: binding is kernels: a fused kernel of experts stays within one scale-up domain, of "
            f"{deployments.ffn.scale_up_domain_devices} devices of {deployments.ffn.id}; --kernels separate "
            "lifts that"
        )
    if not np.isfinite(time):
        raise InfeasibleError(
            f"no: no fabric of {deployments.attention.id} connects {deployment.devices} devices: one "
            f"scale-up domain has {deployments.attention.scale_up_domain_devices}"
        )
    limit = scenario.step_limit
    if limited and time > limit:
        nearest = largest_batch_in_time(deployments, deployment, limit)
        tpot = time / scenario.accept_length * 1e3
        other = (
            f"--batch {nearest} meets it"
            if nearest
            else f"the nearest feasible is --tpot-ms {rounded_up(_floor(deployments, deployment))} "
            "with --batch 1"
        )
        raise refusal(
            f"binding is the latency target: {deployment.batch} sequences take {tpot:.4g} ms per token, "
            f"--tpot-ms {scenario.latency_ms:g} allows less; {other}",
            scenario,
        )


def _floor(deployments: Deployments, deployment: Deployment) -> float:
    """Return the time per token with one sequence a device [ms]."""
    least = deployments.step(dataclasses.replace(deployment, batch=1)).time
    return float(np.asarray(least)) / deployments.scenario.accept_length * 1e3


def _said(row: Mapping[str, Any], scenario: Scenario) -> tuple[str, str]:
    """Return what a deployment reaches, and the terms its step is made of."""
    shape = (
        f"{row['n_attention_devices']} attention and {row['n_ffn_devices']} FFN devices"
        if row["n_ffn_devices"]
        else f"{row['n_devices']} devices"
    )
    if scenario.side("attention").superpod and row["n_domains"] > 1:
        shape += f" ({row['domains']})"
    waits = f", waiting most for {row['bottleneck']}" if row["bottleneck"] != row["binding"] else ""
    terms = row["breakdown"]
    times = ", ".join(
        f"{name} {terms[f'{name}_us']:.1f}" for name in ("attention", "dispatch", "ffn", "combine")
    )
    schedule = {
        "lock-step": f"two halves in lock-step {terms['layer_us']:.1f} us a layer",
        "no overlap": f"no overlap, {terms['layer_us']:.1f} us a layer",
        "pipeline": f"{row['microbatches']} micro-batches, one every {terms.get('cycle_us', 0.0):.1f} us",
    }[terms["schedule"]]
    if row["mode"] == EP and scenario.microbatches is None and row["batch_per_group"] > 1:
        schedule += f" (quicker than {'one micro-batch' if row['microbatches'] > 1 else 'two micro-batches'})"
    accepted = f" / {scenario.accept_length:g} accepted" if scenario.accept_length != 1 else ""
    said = (
        f"{row['mode'].upper()} on {shape}: {row['tokens_per_s_per_device']:,.0f} tokens/s per device, "
        f"{row['tpot_ms']:.1f} ms per token; bound by {row['binding']}{waits}."
    )
    return said, (
        f"per expert layer and micro-batch: {times} us; {schedule}; {terms['layers']} layers "
        f"{terms['layers_ms']:.1f} + head {terms['head_ms']:.1f} + gap {terms['gap_ms']:.1f} ms = "
        f"{row['step_ms']:.1f} ms{accepted}"
    )
