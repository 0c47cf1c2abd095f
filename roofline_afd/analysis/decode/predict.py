"""One deployment, term by term: what a step takes, what binds it, what it makes of the hardware."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, describe_inputs, object_columns, provenance_notes
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import operators, pipeline
from roofline_afd.serving.candidates import ALL
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.limits import FABRIC, LATENCY, MEMORY, RATIO
from roofline_afd.serving.scenario import choice
from roofline_afd.serving.sizes import MEASURED_TRANSPORT, TRANSPORTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.serving.deployment import Step
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.timing import Operator

DEFAULT_MICROBATCHES = {EP: 2, AFD: 3}
LOOP = "pipeline loop"
TABLE_KEYS = (
    "mode",
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "batch_per_device",
    "microbatches",
    "tpot_ms",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "hfu_all_devices",
    "binding",
    "bottleneck",
)
SYSTEM_KEYS = (
    "memory_gb",
    "memory_gb_per_s",
    "scale_up_gb_per_s",
    "scale_out_gb_per_s",
    "devices_per_node",
    "scale_up_domain_devices",
)
MODEL_KEYS = (
    "hidden_size",
    "dispatch_width",
    "layers",
    "moe_layers",
    "routed_experts",
    "shared_experts",
    "top_k",
    "expert_intermediate",
    "expert_matrices",
    "vocab_size",
)
SERVING_FIELDS = (
    "context",
    "draft_tokens",
    "batch",
    "devices",
    "ffn_devices",
    "max_devices",
    "granularity",
    "deployable_with",
    "transport",
    "redundant_experts",
    "experts_per_ffn_device",
    "shared_experts",
    "sigma_dp",
    "sigma_ep",
    "routing",
)


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


@dataclasses.dataclass(frozen=True, slots=True)
class Bottleneck:
    """What a step waits for most: its name, and which stage that is."""

    name: str
    stage: str


def bottleneck_of(deployments: Deployments, deployment: Deployment, step: Step) -> Bottleneck:
    """Return what a step waits for most.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.
    step : Step
        Its step.

    Returns
    -------
    Bottleneck
        `attention bandwidth`, `weight streaming`, `compute`, `scale-up`, `scale-out`, or `pipeline loop`
        where more micro-batches would help; the stage is attention, ffn, network or loop.
    """
    stage = _busiest_stage(deployments, deployment, step)
    if stage == "loop":
        return Bottleneck(LOOP, stage)
    mine = [
        item
        for item in deployments.operators(deployment)
        if item.side == stage and item.part != "head" and float(np.asarray(item.time)) > 0
    ]
    largest = max(mine, key=lambda item: float(np.asarray(item.time)) * item.layers)
    if stage == "network":
        arguments = largest.arguments
        outer = _ratio(arguments["scale_out_bytes"], arguments["scale_out"]) * float(arguments["slowdown"])
        return Bottleneck(
            "scale-out" if outer > _ratio(arguments["scale_up_bytes"], arguments["scale_up"]) else "scale-up",
            stage,
        )
    if _computes(largest):
        return Bottleneck("compute", stage)
    return Bottleneck("attention bandwidth" if stage == "attention" else "weight streaming", stage)


def _ratio(volume: Any, rate: Any) -> float:  # noqa: ANN401 - numbers of either kind
    volume, rate = float(np.asarray(volume)), float(np.asarray(rate))
    return volume / rate if rate else 0.0


def _computes(item: Operator) -> bool:
    """Whether an operator waits for the matrix units rather than for memory."""
    if not item.efficiency:
        return False
    names = inspect.signature(operators.operator_time).parameters
    given = {name: item.arguments[name] for name in names}
    faster = operators.operator_time(**{**given, "memory_bandwidth": given["memory_bandwidth"] * 2})
    return float(np.asarray(faster)) >= float(np.asarray(item.time))


def _busiest_stage(deployments: Deployments, deployment: Deployment, step: Step) -> str:
    """Return the stage that fills most of the layers' time."""
    totals = {"attention": 0.0, "ffn": 0.0, "network": 0.0}
    busiest = loop = 0.0
    waits: tuple[tuple[str, float], ...]
    for layers, *times in step.blocks:
        attention, ffn, dispatch, combine = (float(np.asarray(time)) for time in times)
        if deployment.mode == EP and deployment.microbatches == 1:
            waits = (("attention", attention), ("ffn", ffn), ("network", dispatch + combine))
        elif deployment.mode == EP:
            waits = tuple(
                max(("network", transfer), (side, compute), key=lambda pair: pair[1])
                for transfer in (dispatch, combine)
                for side, compute in (("attention", attention), ("ffn", ffn))
            )
        else:
            link = float(
                pipeline.link_time(dispatch=dispatch, combine=combine, full_duplex=deployments.full_duplex)
            )
            waits = (("attention", attention), ("ffn", ffn), ("network", link))
            busiest += layers * max(attention, ffn, link)
            loop += layers * (attention + ffn + dispatch + combine)
        for stage, time in waits:
            totals[stage] += layers * time
    if deployment.mode == AFD and loop > busiest * float(np.asarray(deployment.microbatches)):
        return "loop"
    return max(totals, key=lambda stage: totals[stage])


def utilization(deployments: Deployments, deployment: Deployment, step: Step) -> dict[str, float]:
    """Return hardware FLOPS utilization three ways, and the share of a step both groups compute.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.
    step : Step
        Its step.

    Returns
    -------
    dict of str to float
        `hfu_ffn_devices_stage`: expert operations of an FFN device over the peak in the time its stage has
        per layer and micro-batch; `hfu_ffn_devices_step`: over the whole step; `hfu_all_devices`: all
        operations over the peaks of all devices; `attention_busy`, `ffn_busy`: computing time over the
        step [1].
    """
    formats = deployments.ffn_scenario
    peak_ffn = deployments.ffn.accelerator.peak_flop_per_s[formats.operand]
    attention = deployments.attention_scenario
    peak_attention = deployments.attention.accelerator.peak_flop_per_s[attention.native_precision]
    m = float(np.asarray(deployment.microbatches))
    senders = float(np.asarray(deployment.attention_devices))
    receivers = float(np.asarray(deployment.expert_devices))
    time = float(np.asarray(step.time))
    routed = every = 0.0
    for item in deployments.operators(deployment):
        flops = float(np.asarray(item.flops)) * item.layers * m
        at_ffn = item.side == "ffn"
        every += flops * (receivers if at_ffn else senders)
        routed += flops if item.part == "experts" and at_ffn else 0.0
    whole = senders * peak_attention + (receivers * peak_ffn if deployment.ffn_devices is not None else 0.0)
    if deployment.ffn_devices is None:
        whole = senders * peak_ffn
    layers_time = time - float(np.asarray(step.once))
    moe = deployments.scenario.model.moe_layers / max(deployments.scenario.model.layers, 1)
    busy = [
        sum(float(layers) * float(np.asarray(times[side])) for layers, *times in step.blocks) * m / time
        for side in (0, 1)
    ]
    return {
        "hfu_ffn_devices_stage": routed / (layers_time * moe * peak_ffn) if moe else 0.0,
        "hfu_ffn_devices_step": routed / (time * peak_ffn),
        "hfu_all_devices": every / (time * whole),
        "attention_busy": busy[0],
        "ffn_busy": busy[1],
    }


def kinds_of(deployments: Deployments, deployment: Deployment) -> tuple[float, str]:
    """Return the share of a step's operator time that was never measured, and the weakest kind."""
    total = estimated = 0.0
    weakest = KINDS[0]
    for item in deployments.operators(deployment):
        time = float(np.asarray(item.time)) * item.layers
        total += time
        if item.efficiency:
            weakest = max(weakest, item.kind, key=KINDS.index)
            estimated += time if item.kind == "estimated" else 0.0
    return (estimated / total if total else 0.0), weakest


def row_of(deployments: Deployments, deployment: Deployment, *, limited: bool = True) -> dict[str, Any]:
    """Return everything predicted of one feasible deployment.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.
    limited : bool
        Whether the latency target binds.

    Returns
    -------
    dict
        A row: rates, times, utilization, memory, what binds, and the breakdown per layer and micro-batch.
    """
    scenario = deployments.scenario
    step = deployments.step(deployment)
    time = float(np.asarray(step.time))
    rate = float(np.asarray(deployments.tokens_per_s_per_device(deployment, step.time)))
    memory, ffn_memory = (float(np.asarray(value)) for value in deployments.memory(deployment))
    bottleneck = bottleneck_of(deployments, deployment, step)
    share, _ = kinds_of(deployments, deployment)
    used = utilization(deployments, deployment, step)
    afd = deployment.ffn_devices is not None
    tpot = time / scenario.accept_length
    return {
        "mode": deployment.mode,
        "feasible": True,
        "tpot_ms": tpot * 1e3,
        "tokens_per_s_per_device": rate,
        "tokens_per_s_per_user": 1.0 / tpot,
        "hfu_all_devices": used["hfu_all_devices"],
        "binding": _binding(deployments, deployment, bottleneck, limited=limited),
        "bottleneck": bottleneck.name,
        "bottleneck_stage": bottleneck.stage,
        "n_devices": int(deployment.devices),
        "n_attention_devices": int(deployment.attention_devices) if afd else None,
        "n_ffn_devices": int(deployment.ffn_devices) if deployment.ffn_devices is not None else None,
        "microbatches": int(deployment.microbatches),
        "batch_per_device": int(deployment.batch),
        "transport": deployment.transport,
        "redundant_experts": int(np.asarray(deployment.redundant_experts)),
        "step_ms": time * 1e3,
        **{key: value for key, value in used.items() if key != "hfu_all_devices"},
        "memory_gb": memory / 1e9,
        "ffn_memory_gb": ffn_memory / 1e9 if afd else None,
        "estimated_share": share,
        "breakdown": breakdown_of(deployments, deployment, step),
    }


def breakdown_of(deployments: Deployments, deployment: Deployment, step: Step) -> dict[str, Any]:
    """Return the times of a mean expert layer and micro-batch [us], and how they make up the step [ms]."""
    model = deployments.scenario.model
    main = max(step.blocks, key=lambda block: block.layers)
    alike = [block for block in step.blocks if block[2:] == main[2:]]  # their attention may differ
    attention = sum(float(np.asarray(block.attention)) * block.layers for block in alike)
    attention /= sum(block.layers for block in alike)
    ffn, dispatch, combine = (float(np.asarray(time)) for time in main[2:])
    times = {"attention": attention, "ffn": ffn, "dispatch": dispatch, "combine": combine}
    m = float(np.asarray(deployment.microbatches))
    loop = float(np.asarray(pipeline.serial_layer_time(**times)))
    found: dict[str, Any] = {f"{name}_us": value * 1e6 for name, value in times.items()}
    if deployment.mode == AFD:
        link = pipeline.link_time(dispatch=dispatch, combine=combine, full_duplex=deployments.full_duplex)
        busiest = pipeline.busiest_stage_time(attention=attention, ffn=ffn, link=link)
        cycle = float(np.asarray(pipeline.cycle_time(busiest=busiest, loop=loop, microbatches=m)))
        found |= {"link_us": float(link) * 1e6, "loop_us": loop * 1e6, "cycle_us": cycle * 1e6}
        layer = cycle * m
    elif m > 1:
        layer = float(np.asarray(pipeline.lockstep_layer_time(**times)))
        found["overlap_lower_bound_us"] = float(np.asarray(pipeline.overlap_lower_bound(**times))) * 1e6
    else:
        layer = loop
    once = float(np.asarray(step.once))
    return found | {
        "schedule": "pipeline" if deployment.mode == AFD else "lock-step" if m > 1 else "no overlap",
        "layer_us": layer * 1e6,
        "layers": model.layers,
        "layers_ms": (float(np.asarray(step.time)) - once) * 1e3,
        "gap_ms": deployments.gap * 1e3,
        "head_ms": (once - deployments.gap) * 1e3,
    }


def _binding(
    deployments: Deployments, deployment: Deployment, bottleneck: Bottleneck, *, limited: bool
) -> str:
    """Return what keeps one sequence more from fitting; the bottleneck where nothing does."""
    more = dataclasses.replace(deployment, batch=deployment.batch + 1)
    if float(deployments.largest_batch(deployment)) < float(np.asarray(more.batch)):
        return MEMORY
    limit = deployments.scenario.step_limit
    if limited and float(np.asarray(deployments.step(more).time)) > limit:
        return LATENCY
    return bottleneck.name


def predict(scenario: Scenario, *, mode: str | None = None) -> Answer:
    """Answer what one deployment reaches, term by term.

    Parameters
    ----------
    scenario : Scenario
        The question: devices and batch among it.
    mode : str, optional
        `ep` or `afd`; by default afd where FFN devices are named.

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
    deployments = Deployments(scenario, mode_of(scenario, mode))
    deployment = deployment_of(deployments)
    limited = scenario.tpot_ms is not None
    _refuse(deployments, deployment, limited=limited)
    row = row_of(deployments, deployment, limited=limited)
    quantities = quantities_of(deployments)
    return Answer(
        command="predict",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns([row]),
        summary={"answer": _sentence(row, scenario.accept_length)},
        notes=[*notes_of(deployments, [row]), *provenance_notes(scenario, quantities)],
        table_keys=TABLE_KEYS,
    )


def predict_ep(scenario: Scenario) -> Answer:
    """Answer what one expert-parallel deployment reaches; as `predict` with mode `ep`."""
    return predict(scenario, mode=EP)


def predict_afd(scenario: Scenario) -> Answer:
    """Answer what one deployment of two groups reaches; as `predict` with mode `afd`."""
    return predict(scenario, mode=AFD)


def _refuse(deployments: Deployments, deployment: Deployment, *, limited: bool) -> None:
    """Raise if a deployment cannot be, naming the constraint and the nearest that can."""
    scenario = deployments.scenario
    most = float(np.asarray(deployments.largest_batch(deployment)))
    batch = float(np.asarray(deployment.batch))
    if most < batch:
        raise InfeasibleError(f"no: {_memory_refusal(deployments, deployment, most)}")
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


def rounded_up(value: float) -> str:
    """Write a number in four digits or so that is not below it."""
    digits = max(3 - math.floor(math.log10(value)), 0) if value > 0 else 0
    return f"{math.ceil(value * 10**digits) / 10**digits:.{digits}f}"


def _floor(deployments: Deployments, deployment: Deployment) -> float:
    """Return the time per token with one sequence a device [ms]."""
    least = deployments.step(dataclasses.replace(deployment, batch=1)).time
    return float(np.asarray(least)) / deployments.scenario.accept_length * 1e3


def largest_batch_in_time(deployments: Deployments, deployment: Deployment, limit: float) -> int:
    """Return the most sequences whose step takes at most `limit` [s]; 0 where one is too many."""
    batches = np.arange(1, int(np.asarray(deployment.batch)) + 1)
    times = np.asarray(deployments.step(dataclasses.replace(deployment, batch=batches)).time)
    return int(np.max(batches, where=times <= limit, initial=0))


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


def quantities_of(*deployments: Deployments) -> tuple[Quantity, ...]:
    """Return the catalogue values predictions rest on, each once."""
    found: dict[tuple[str, str], Quantity] = {}

    def take(values: Mapping[str, Quantity], keys: Iterable[str]) -> None:
        for key in keys:
            if key in values:
                found.setdefault((key, values[key].record), values[key])

    for each in deployments:
        sides: tuple[tuple[System, str], ...] = (
            (each.ffn, each.ffn_scenario.operand),
            (each.attention, each.attention_scenario.native_precision),
        )
        for system, peak in sides:
            take(system.quantities, (PEAK_KEYS[peak], *SYSTEM_KEYS))
        take(each.scenario.model.quantities, MODEL_KEYS)
    return tuple(found.values())


def serving_inputs(scenario: Scenario, quantities: Iterable[Quantity]) -> dict[str, Any]:
    """Return the inputs of a prediction: the question as understood, and each catalogue value."""
    shown = {name: getattr(scenario, name) for name in SERVING_FIELDS}
    constants = load_service_constants(scenario.system.parts.catalogue)
    resolved = {
        "gap_ms": constants.gap_s * 1e3 if scenario.gap_ms is None else scenario.gap_ms,
        "duplex": scenario.duplex or "full",
        "links": scenario.links or "calibrated",
        "fan_out": scenario.fan_out or "uniform",
        "draft_tokens": scenario.query_tokens - 1,
    }
    pair = {
        "attention_system": scenario.side("attention").id,
        "ffn_system": scenario.side("ffn").id,
        "attention_precision": scenario.attention_precision or scenario.native_precision,
        "attention_core_precision": scenario.attention_core_precision,
        "kv_precision": scenario.kv_precision,
    }
    return {**describe_inputs(scenario, quantities), **pair, **shown, **resolved}


def notes_of(deployments: Deployments, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what predictions of one mode rest on, a sentence each."""
    constants = deployments.constants
    fitted = (
        f"fitted to published services: gap {constants.gap_s * 1e3:.3g} ms a step, transfers "
        f"{constants.communication_slowdown:.3g} times as long under live routing, "
        f"{constants.other_s * 1e6:.3g} us of small kernels a layer and side (calibration record service)"
    )
    notes = [fitted]
    model, context = deployments.scenario.model, deployments.scenario.context
    longest = model.quantities.get("max_context_tokens")
    if longest is not None and context > longest.value:
        notes.append(
            f"a context of {context:,} is beyond the {longest.value:,.0f} tokens {model.id} is made for"
        )
    if deployments.attention.id != deployments.ffn.id:
        notes.append(
            f"{deployments.mode}: attention on {deployments.attention.id}, experts on {deployments.ffn.id}: "
            "throughput per device counts both alike, whatever they cost"
        )
    for row in rows:
        share = row.get("estimated_share")
        if share:
            notes.append(
                f"{row['mode']}: {share:.0%} of the operator time rests on efficiencies never measured on "
                "these parts"
            )
        if row.get("transport") not in {None, MEASURED_TRANSPORT}:
            notes.append(f"{row['mode']}: kernels that send a copy per {row['transport']} were never timed")
    return notes


REFUSALS = {
    MEMORY: "the weights and one sequence do not fit the devices allowed",
    LATENCY: "no deployment is quick enough",
    RATIO: "no whole number of devices meets the budget and the filters",
    FABRIC: "no fabric connects the devices",
}
"""Why no deployment of a mode is feasible, by its binding constraint."""
