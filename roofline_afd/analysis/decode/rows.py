"""One deployment as a row: what it reaches, what binds it, what it makes of the hardware."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.decode.memory import held_of, memory_of
from roofline_afd.catalogue.calibration import ESTIMATED, SIBLING
from roofline_afd.physics import operators, pipeline, roofline, stages, uneven
from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.domains import laid_out
from roofline_afd.serving.fused import TABLE as FUSED_TABLE
from roofline_afd.serving.limits import LATENCY, MEMORY

if TYPE_CHECKING:
    from roofline_afd.serving.deployment import Step
    from roofline_afd.serving.timing import Operator

LOOP = "pipeline loop"
SIDES = ("attention", "ffn", "dispatch", "combine")
"""The times of a layer, in the order of its block."""
SHARED = ("tensor_parallel", "context_parallel", "expert_tensor_parallel")
"""How many devices share heads, caches and experts, as rows call it."""
TABLE_KEYS = (
    "mode",
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "tensor_parallel",
    "batch_per_device",
    "microbatches",
    "tpot_ms",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "hfu_all_devices",
    "binding",
    "bottleneck",
)


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
        A row: rates, times, utilization, memory by part, what binds, the breakdown per layer and micro-batch.
    """
    scenario = deployments.scenario
    step = deployments.step(deployment)
    time = float(np.asarray(step.time))
    rate = float(np.asarray(deployments.tokens_per_s_per_device(deployment, step.time)))
    memory = memory_of(deployments, deployment)
    bottleneck = bottleneck_of(deployments, deployment, step)
    shares = kind_shares(deployments, deployment)
    used = utilization(deployments, deployment, step)
    afd = deployment.ffn_devices is not None
    tpot = time / scenario.accept_length
    layers = deployments.layers(*deployment.plan)
    shared = deployment.plan._asdict()
    lies = laid_out(layers, deployment)
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
        "batch_per_device": batch_per_device(deployment),
        "batch_per_group": int(deployment.batch),
        **{key: shared[key] for key in SHARED},
        "afd_cut": deployment.afd_cut if afd else None,
        "kernels": deployment.kernels,
        "transport": deployment.transport,
        "exchange_library": layers.calibration("attention").link.library or None,
        "domain_layout": lies.layout,
        "domains": lies.words,
        "n_domains": lies.domains,
        "redundant_experts": int(np.asarray(deployment.redundant_experts)),
        "step_ms": time * 1e3,
        **{key: value for key, value in used.items() if key != "hfu_all_devices"},
        "memory_gb": held_of(memory["memory"]),
        "ffn_memory_gb": held_of(memory["ffn_memory"]) if afd else None,
        **memory,
        "estimated_share": shares.get(ESTIMATED, 0.0),
        "sibling_share": shares.get(SIBLING, 0.0),
        "breakdown": breakdown_of(deployments, deployment, step),
    }


def batch_per_device(deployment: Deployment) -> float:
    """Return the sequences of one device: a share of those of the devices that share heads [1]."""
    batch, heads = int(deployment.batch), deployment.tensor_parallel
    return batch if heads == 1 else float(np.divide(batch, heads))


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
    if largest.efficiency == "link":  # also within the FFN stage, where that is a group of its own
        arguments = largest.arguments
        outer = _ratio(arguments["scale_out_bytes"], arguments["scale_out"]) * float(arguments["slowdown"])
        return Bottleneck(
            "scale-out" if outer > _ratio(arguments["scale_up_bytes"], arguments["scale_up"]) else "scale-up",
            stage,
        )
    if _computes(largest):
        return Bottleneck("compute", stage)
    return Bottleneck("attention bandwidth" if stage == "attention" else "weight streaming", stage)


def _busiest_stage(deployments: Deployments, deployment: Deployment, step: Step) -> str:
    """Return the stage that fills most of the layers' time."""
    totals = {"attention": 0.0, "ffn": 0.0, "network": 0.0}
    busiest = loop = 0.0
    waits: tuple[tuple[str, float], ...]
    for block in step.blocks:
        layers = block.layers
        attention, ffn, dispatch, combine = (float(np.asarray(getattr(block, name))) for name in SIDES)
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


def _ratio(volume: Any, rate: Any) -> float:  # noqa: ANN401 - numbers of either kind
    volume, rate = float(np.asarray(volume)), float(np.asarray(rate))
    return volume / rate if rate else 0.0


def _computes(item: Operator) -> bool:
    """Whether an operator gains more of faster matrix units than of faster memory."""
    if not item.efficiency:
        return False
    if "peak" not in item.arguments:
        return False
    fused = item.efficiency == FUSED_TABLE
    formula = stages.fused_stage_time if fused else operators.operator_time
    names = inspect.signature(formula).parameters
    given = {name: item.arguments[name] for name in names if name in item.arguments}
    of_peak, of_memory = (
        float(np.asarray(formula(**{**given, name: given[name] * 2})))
        for name in ("peak", "memory_bandwidth")
    )
    return of_peak <= of_memory


def kind_shares(deployments: Deployments, deployment: Deployment) -> dict[str, float]:
    """Return the shares of a step's operator time that rest on each kind of efficiencies [1]."""
    times: dict[str, float] = {}
    for item in deployments.operators(deployment):
        kind = item.kind if item.efficiency else ""
        times[kind] = times.get(kind, 0.0) + float(np.asarray(item.time)) * item.layers
    total = sum(times.values())
    return {kind: time / total for kind, time in times.items()} if total else {}


def utilization(deployments: Deployments, deployment: Deployment, step: Step) -> dict[str, float]:
    """Return hardware FLOPS utilization three ways, and the share of a step both groups compute.

    Operations are those the model needs for the sequences there are, of a mean device, each at the peak of
    the format it runs in. What tiles, micro-batches and the fullest device are filled up with takes time
    and is no work.

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
        `hfu_ffn_devices_stage`: what the expert operations of an FFN device take at their peak, over the time
        that layers with experts take; `hfu_ffn_devices_step`: over the whole step; `hfu_all_devices`: what
        all operations take at their peaks, over the step of all devices; `attention_busy`, `ffn_busy`:
        computing time over the step [1].
    """
    m = float(np.asarray(deployment.microbatches))
    senders = float(np.asarray(deployment.attention_devices))
    receivers = float(np.asarray(deployment.expert_devices))
    time = float(np.asarray(step.time))
    filled = float(np.asarray(deployment.batch)) / (m * float(np.asarray(deployment.sequences)))
    routed = every = 0.0
    for item in deployments.operators(deployment):
        if not item.efficiency or item.side == "network":
            continue
        seconds = (
            float(np.asarray(item.flops)) / float(item.arguments.get("peak", 1.0)) * item.layers * m * filled
        )
        if item.part == "experts" and item.side == "ffn":
            seconds *= _even_share(deployments, deployment)
            routed += seconds
        every += seconds * (receivers if item.side == "ffn" else senders * deployments.scenario.sigma_dp)
    busy = [
        sum(float(block.layers) * float(np.asarray(getattr(block, side))) for block in step.blocks) * m / time
        for side in ("attention", "ffn")
    ]
    stage = _expert_layers_time(deployments, deployment, step)
    return {
        "hfu_ffn_devices_stage": _share(routed, stage) if stage else 0.0,
        "hfu_ffn_devices_step": _share(routed, time),
        "hfu_all_devices": _share(every, time * float(np.asarray(deployment.devices))),
        "attention_busy": busy[0],
        "ffn_busy": busy[1],
    }


def _share(computing: float, time: float) -> float:
    return float(roofline.hardware_utilization(compute_time=computing, stage_budget=time))


def _even_share(deployments: Deployments, deployment: Deployment) -> float:
    """Return the token-expert pairs of a mean device over those of the fullest, which is the one timed."""
    places = float(np.asarray(deployment.expert_places))
    redundant = float(np.asarray(deployment.redundant_experts))
    experts = deployments.scenario.model.routed_experts + redundant
    groups = float(np.asarray(deployment.attention_devices)) / deployment.tensor_parallel
    sequences = float(np.asarray(deployment.sequences)) * deployments.scenario.sigma_dp
    tokens = sequences * deployments.scenario.query_tokens * groups
    load = deployments.load
    share = uneven.fullest_pairs_share(
        experts_per_device=math.ceil(experts / places),
        slots=max(experts, places),
        devices=places,
        imbalance=1.0 if load is None else load.factor(places, redundant, tokens),
    )
    return float(1.0 / (places * share))


def _expert_layers_time(deployments: Deployments, deployment: Deployment, step: Step) -> float:
    """Return the time that the layers with experts take for all micro-batches [s]."""
    m = float(np.asarray(deployment.microbatches))
    total = 0.0
    for block in step.blocks:
        if block.dense:
            continue
        times = {name: getattr(block, name) for name in SIDES}
        loop = pipeline.serial_layer_time(**times)
        if deployment.mode == AFD:
            busiest = deployments.busiest(block, deployment)
            layer = m * pipeline.cycle_time(busiest=busiest, loop=loop, microbatches=m)
        else:
            layer = pipeline.lockstep_layer_time(**times) if m > 1 else loop
        total += float(block.layers) * float(np.asarray(layer))
    return min(total, float(np.asarray(step.time)) - float(np.asarray(step.once)))


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


def breakdown_of(deployments: Deployments, deployment: Deployment, step: Step) -> dict[str, Any]:
    """Return the times of a mean expert layer and micro-batch [us], and how they make up the step [ms]."""
    model = deployments.scenario.model
    main = max(step.blocks, key=lambda block: block.layers)
    alike = [block for block in step.blocks if block[2:] == main[2:]]  # their attention may differ
    attention = sum(float(np.asarray(block.attention)) * block.layers for block in alike)
    attention /= sum(block.layers for block in alike)
    ffn, dispatch, combine = (float(np.asarray(getattr(main, name))) for name in SIDES[1:])
    times = {"attention": attention, "ffn": ffn, "dispatch": dispatch, "combine": combine}
    m = float(np.asarray(deployment.microbatches))
    loop = float(np.asarray(pipeline.serial_layer_time(**times)))
    found: dict[str, Any] = {f"{name}_us": value * 1e6 for name, value in times.items()}
    if deployment.mode == AFD:
        link = pipeline.link_time(dispatch=dispatch, combine=combine, full_duplex=deployments.full_duplex)
        turns = deployments.turns(deployment)
        busiest = pipeline.busiest_stage_time(
            attention=attention, ffn=turns.ffn * ffn, link=turns.dispatch * link
        )
        cycle = float(np.asarray(pipeline.cycle_time(busiest=busiest, loop=loop, microbatches=m)))
        found |= {"link_us": float(link) * 1e6, "loop_us": loop * 1e6, "cycle_us": cycle * 1e6}
        layer = cycle * m
    elif m > 1:
        layer = float(np.asarray(pipeline.lockstep_layer_time(**times)))
        found["overlap_lower_bound_us"] = float(np.asarray(pipeline.overlap_lower_bound(**times))) * 1e6
    else:
        layer = loop
    once = float(np.asarray(step.once))
    gap = deployments.gap + float(np.asarray(deployments.pause(deployment)))
    return found | {
        "schedule": "pipeline" if deployment.mode == AFD else "lock-step" if m > 1 else "no overlap",
        "layer_us": layer * 1e6,
        "layers": model.layers,
        "layers_ms": (float(np.asarray(step.time)) - once) * 1e3,
        "gap_ms": gap * 1e3,
        "head_ms": (once - gap) * 1e3,
    }
