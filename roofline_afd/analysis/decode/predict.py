"""One deployment, term by term, or the constraint that rules it out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.decode.rows import TABLE_KEYS, row_of
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.candidates import ALL
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.limits import RATIO
from roofline_afd.serving.scenario import choice
from roofline_afd.serving.sizes import MEASURED_TRANSPORT, TRANSPORTS
from roofline_afd.units import rounded_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.serving.scenario import Scenario

DEFAULT_MICROBATCHES = {EP: 2, AFD: 3}


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
    scenario = question.scenario
    deployments = Deployments(scenario, mode_of(scenario, question.mode))
    deployment = deployment_of(deployments)
    limited = scenario.tpot_ms is not None
    _refuse(deployments, deployment, limited=limited)
    row = row_of(deployments, deployment, limited=limited)
    quantities = quantities_of(deployments)
    return Answer(
        command="predict",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns([row]),
        summary={"answer": with_formats(_sentence(row, scenario.accept_length), scenario)},
        notes=[*notes_of(deployments, [row]), *provenance_notes(scenario, quantities)],
        table_keys=TABLE_KEYS,
    )


def predict_ep(scenario: Scenario) -> Answer:
    """Answer what one expert-parallel deployment reaches; as `predict` with mode `ep`."""
    return predict(Prediction(scenario, mode=EP))


def predict_afd(scenario: Scenario) -> Answer:
    """Answer what one deployment of two groups reaches; as `predict` with mode `afd`."""
    return predict(Prediction(scenario, mode=AFD))


def mode_of(scenario: Scenario, mode: str | None) -> str:
    """Return the mode asked for: `afd` where FFN devices are named and nothing else is said."""
    if mode is None:
        return AFD if scenario.ffn_devices is not None else EP
    return choice("--mode", mode, MODES)


def deployment_of(deployments: Deployments) -> Deployment:
    """Return the one deployment a scenario describes.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Returns
    -------
    Deployment
        Its devices, batch, micro-batches and transport.

    Raises
    ------
    InputError
        If the scenario does not say how many devices and which batch, or contradicts itself.
    InfeasibleError
        If the software it is to be deployable with does not run that ratio.
    """
    scenario, mode = deployments.scenario, deployments.mode
    if scenario.batch is None:
        raise InputError("--batch is missing: sequences of one device; `compare` finds the best")
    m = scenario.microbatches or (2 if scenario.deployable_with else DEFAULT_MICROBATCHES[mode])
    senders, receivers = _groups(scenario, mode)
    if mode == EP and m > 2:  # noqa: PLR2004 - two halves overlap, more would not hide more
        raise InputError(
            f"--microbatches {m}: expert parallelism overlaps two micro-batches at most; valid: 1, 2"
        )
    if mode == AFD and scenario.deployable_with and (senders % (receivers or 1) or m != 2):  # noqa: PLR2004
        share = max(round(senders / (receivers or 1)), 1) * (receivers or 1)
        raise InfeasibleError(
            f"no: binding is {RATIO}: {scenario.deployable_with} needs attention devices that are a multiple "
            f"of the FFN devices, and two micro-batches: {senders} and {receivers}, {m} micro-batches are "
            f"not; nearest: --attention-devices {share} --ffn-devices {receivers} --microbatches 2"
        )
    found = Deployment(
        mode=mode,
        attention_devices=senders,
        ffn_devices=receivers,
        batch=scenario.batch,
        microbatches=m,
        transport=scenario.transport or MEASURED_TRANSPORT,
        redundant_experts=int(deployments.fill(np.array([receivers or senders]))[0]),
    )
    if scenario.transport == ALL:
        every = [dataclasses.replace(found, transport=name) for name in TRANSPORTS]
        return min(every, key=lambda each: float(deployments.step(each).time))
    return found


def _groups(scenario: Scenario, mode: str) -> tuple[int, int | None]:
    """Return attention and FFN devices; under `ep` all devices, and None."""
    total, senders, receivers = scenario.devices, scenario.attention_devices, scenario.ffn_devices
    if mode == EP:
        if receivers is not None:
            raise InputError("--ffn-devices belongs to --mode afd; under ep every device does both sides")
        if total is None and senders is None:
            raise InputError("--devices is missing: devices that share the experts")
        if total is not None and senders is not None and total != senders:
            raise InputError(
                f"--devices {total} and --attention-devices {senders} contradict each other: under ep "
                "they are the same"
            )
        return total or senders or 0, None
    given = [total, senders, receivers]
    if sum(value is not None for value in given) < 2:  # noqa: PLR2004 - two of three fix the third
        raise InputError("--attention-devices and --ffn-devices are needed, or one of them and --devices")
    if senders is None:
        senders = (total or 0) - (receivers or 0)
    if receivers is None:
        receivers = (total or 0) - senders
    if senders < 1 or receivers < 1 or (total is not None and senders + receivers != total):
        raise InputError(
            f"--devices {total} is not the sum of {senders} attention devices and {receivers} FFN devices"
        )
    return senders, receivers


def _refuse(deployments: Deployments, deployment: Deployment, *, limited: bool) -> None:
    """Raise if a deployment cannot be, naming the constraint and the nearest that can."""
    scenario = deployments.scenario
    most = float(np.asarray(deployments.largest_batch(deployment)))
    batch = float(np.asarray(deployment.batch))
    if most < batch:
        raise InfeasibleError(with_formats(f"no: {_memory_refusal(deployments, deployment, most)}", scenario))
    time = float(np.asarray(deployments.step(deployment).time))
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
        raise InfeasibleError(
            f"no: binding is the latency target: {deployment.batch} sequences take {tpot:.4g} ms per token, "
            f"--tpot-ms {scenario.latency_ms:g} allows less; {other}"
        )


def _memory_refusal(deployments: Deployments, deployment: Deployment, most: float) -> str:
    held, experts = (
        float(np.asarray(value)) / 1e9
        for value in deployments.memory(dataclasses.replace(deployment, batch=0))
    )
    room, ffn_room = (value / 1e9 for value in deployments.usable_memory())
    if most >= 1:
        return f"binding is HBM capacity: {deployment.batch} sequences do not fit; --batch {most:.0f} does"
    if experts > ffn_room:
        least = np.arange(1, deployments.scenario.model.routed_experts + 1)
        need = deployments.memory(
            dataclasses.replace(
                deployment,
                batch=0,
                redundant_experts=0,
                attention_devices=least if deployment.ffn_devices is None else deployment.attention_devices,
                ffn_devices=None if deployment.ffn_devices is None else least,
            )
        )[1]
        fits = least[np.asarray(need) / 1e9 <= ffn_room]
        side = "devices" if deployment.ffn_devices is None else "FFN devices"
        more = f"; {fits[0]} {side} hold them" if fits.size else ""
        return f"binding is HBM capacity: weights take {experts:.4g} GB of {ffn_room:.4g} GB a device{more}"
    if held > room:
        return f"binding is HBM capacity: weights take {held:.4g} GB of {room:.4g} GB a device"
    context = (room - held) * 1e9 / deployments.cache_bytes * deployments.scenario.context
    return (
        f"binding is HBM capacity: not one sequence of {deployments.scenario.context:,} tokens fits beside "
        f"the weights; about {context:,.0f} tokens would"
    )


def largest_batch_in_time(deployments: Deployments, deployment: Deployment, limit: float) -> int:
    """Return the most sequences whose step takes at most `limit` [s]; 0 where one is too many."""
    batches = np.arange(1, int(np.asarray(deployment.batch)) + 1)
    times = np.asarray(deployments.step(dataclasses.replace(deployment, batch=batches)).time)
    return int(np.max(batches, where=times <= limit, initial=0))


def _floor(deployments: Deployments, deployment: Deployment) -> float:
    """Return the time per token with one sequence a device [ms]."""
    least = deployments.step(dataclasses.replace(deployment, batch=1)).time
    return float(np.asarray(least)) / deployments.scenario.accept_length * 1e3


def _sentence(row: Mapping[str, Any], accept_length: float) -> str:
    """Return what a deployment reaches, and the terms it is made of."""
    shape = (
        f"{row['n_attention_devices']} attention and {row['n_ffn_devices']} FFN devices"
        if row["n_ffn_devices"]
        else f"{row['n_devices']} devices"
    )
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
    accepted = f" / {accept_length:g} accepted" if accept_length != 1 else ""
    return (
        f"{row['mode'].upper()} on {shape}: {row['tokens_per_s_per_device']:,.0f} tokens/s per device, "
        f"{row['tpot_ms']:.1f} ms per token; bound by {row['binding']}{waits}. Per expert layer and "
        f"micro-batch: {times} us; {schedule}; {terms['layers']} layers {terms['layers_ms']:.1f} + head "
        f"{terms['head_ms']:.1f} + gap {terms['gap_ms']:.1f} ms = {row['step_ms']:.1f} ms{accepted}."
    )
