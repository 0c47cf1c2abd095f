"""What serving modes expect of a published point, and the terms of the step it rests on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.analysis.evidence.points.rows import PER_DEVICE, PER_INSTANCE, PREFILL, TPOT
from roofline_afd.catalogue.calibration import ESTIMATED, SIBLING
from roofline_afd.errors import InputError
from roofline_afd.physics import pipeline, serving_modes
from roofline_afd.serving.deployment import EP
from roofline_afd.serving.limits import SAME
from roofline_afd.serving.modes.aggregated import Aggregated
from roofline_afd.serving.modes.chunks import chunk_sizes
from roofline_afd.serving.modes.pools import ways_to_prefill
from roofline_afd.serving.modes.question import Question
from roofline_afd.serving.modes.workers import Replicas, Workers
from roofline_afd.serving.sizes import REPLICATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.analysis.evidence.points.rows import ServingPoint
    from roofline_afd.catalogue.calibration import ServiceConstants
    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.sizes import Plan
    from roofline_afd.serving.timing import Operator

CORE, PRODUCTS, EXPERTS, INDEX, EXCHANGE, SMALL, HEAD, DRAFTING, HOST = TERMS = (
    "core",
    "products",
    "experts",
    "index",
    "exchange",
    "small_kernels",
    "head",
    "drafting",
    "host",
)
"""Terms of a step; together, less what overlap hides, they are the step."""
COLLECTIVES = {"attention_exchange", "query_gathering", "result_scattering", "experts_sum", "dense_sum"}
"""Exchanges of devices that share heads, caches, experts or dense layers."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Chosen:
    """A deployment: devices, those that share heads, micro-batches; tokens and sequences of a group."""

    devices: float
    plan: Plan
    microbatches: float
    chunk: float
    batch: float = 0.0
    share: float = 1.0
    """Share of steps that carry a chunk [1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class PointPrediction:
    """What is expected of one row, in the unit of its metric, and the mean step it comes from [s]."""

    predicted: float
    devices: int
    chunk_tokens: float
    batch_per_group: float
    microbatches: int
    step: float
    terms: dict[str, float]
    """Times of the step by term, one after the other [s]."""
    hidden: float
    """What overlap of micro-batches hides of them [s]."""
    estimated_share: float
    """Share of the terms that rests on efficiencies never measured [1]."""
    sibling_share: float
    """Share that rests on those of a sibling of the parts, or of another number format [1]."""


class _Step(NamedTuple):
    """A mean step, the same without overlap, its terms, and its times by kind of evidence [s]."""

    time: float
    serial: float
    terms: dict[str, float]
    kinds: dict[str, float]


def predict_point(row: ServingPoint, *, constants: ServiceConstants | None = None) -> PointPrediction:
    """Predict a published point with what `explore` predicts with.

    Chunk and micro-batches are the best ones, as `explore` would choose; so is the number of devices within a
    scale-up domain where a row of prompts states none, and the batch where a rate states no concurrency.

    Parameters
    ----------
    row : ServingPoint
        A row without `why_not`.
    constants : ServiceConstants, optional
        What running a service adds; by default as in the catalogue of its system.

    Returns
    -------
    PointPrediction
        The figure, and what it is made of.

    Raises
    ------
    InputError
        If nothing can be predicted for the row, or memory holds no deployment of it.
    """
    work = row.workload
    if row.why_not or work is None:
        raise InputError(row.why_not)
    question = Question(
        scenario=row.scenario,
        prefill=row.scenario,
        workload=work,
        devices=row.devices or row.scenario.system.scale_up_domain_devices,
    )
    searching = Aggregated(question, EP)
    workers = Workers(question, row.scenario, EP, held=work.prompt) if row.prefill else searching.workers
    if constants is not None:
        workers.deployments.constants = constants
    if row.devices is not None:
        workers.shapes = np.array([float(row.devices)]), np.zeros(0)
    workers.plans = _plans(workers, row.devices)
    if row.prefill:
        chosen = _prefill(workers, ways_to_prefill(question, workers))
    elif row.concurrency is None:
        chosen = _decoding(workers, searching.search())
    else:
        chosen = _at_concurrency(question, workers, row.concurrency)
    step = _step(workers, chosen, told=True)
    whole = sum(step.kinds.values())
    return PointPrediction(
        predicted=_figure(row, chosen, step.time),
        devices=int(chosen.devices),
        chunk_tokens=chosen.chunk,
        batch_per_group=chosen.batch,
        microbatches=int(chosen.microbatches),
        step=step.time,
        terms=step.terms,
        hidden=max(step.serial - step.time, 0.0),
        estimated_share=step.kinds.get(ESTIMATED, 0.0) / whole,
        sibling_share=step.kinds.get(SIBLING, 0.0) / whole,
    )


def _plans(workers: Workers, devices: int | None) -> tuple[Plan, ...]:
    """Return how a row's devices are used: those that all share heads have every token, and sum results."""
    heads = workers.scenario.tensor_parallel
    together = heads is not None and heads > 1 and devices in {None, heads}
    return tuple(plan for plan in workers.plans if (plan.transport == REPLICATED) == together)


def _figure(row: ServingPoint, chosen: _Chosen, step: float) -> float:
    """Return what a row measures, from the mean step."""
    heads = float(np.asarray(chosen.plan.tensor_parallel))
    accept, groups = row.scenario.accept_length, chosen.devices / heads
    if row.metric == TPOT:
        return step / accept * 1e3
    rate = chosen.batch * accept / step * groups
    prompts = chosen.chunk / step / heads
    return {PREFILL: prompts, PER_INSTANCE: rate, PER_DEVICE: rate / chosen.devices}[row.metric]


def _prefill(workers: Workers, ways: Points) -> _Chosen:
    """Return the way to prefill with the highest rate per device."""
    if not ways:
        raise InputError("memory does not hold the weights and one prompt")
    best = int(np.argmax(ways["p_rate"] / ways["p_size"]))
    return _Chosen(
        devices=float(ways["p_attention"][best]),
        plan=workers.plans[int(ways["p_plan"][best])],
        microbatches=float(ways["p_m"][best]),
        chunk=float(ways["chunk"][best]),
    )


def _decoding(workers: Workers, points: Points) -> _Chosen:
    """Return the deployment with the highest rate."""
    if not points or not points["rate"].size:
        raise InputError("no batch that memory holds keeps up with its prompts")
    best = int(np.argmax(points["rate"]))
    return _Chosen(
        devices=float(points["attention"][best]),
        plan=workers.plans[int(points["plan"][best])],
        microbatches=float(points["m"][best]),
        chunk=float(points["chunk"][best]),
        batch=float(points["batch"][best]),
        share=float(points["share"][best]),
    )


def _at_concurrency(question: Question, workers: Workers, concurrency: float) -> _Chosen:
    """Return the chunk and micro-batches with the shortest mean step at a number of requests in flight."""
    work, plan = question.workload, workers.plans[0]
    batch = float(np.multiply(concurrency, plan.tensor_parallel)) / question.devices
    best, shortest = None, np.inf
    for chunk in chunk_sizes(work.isl, None):
        if chunk > max(batch, 1.0) * work.isl * (1.0 + SAME):  # no more prompts than requests in flight
            continue
        share = float(
            serving_modes.mixed_share(
                batch=batch,
                accept_length=workers.scenario.accept_length,
                prompt_tokens=work.isl,
                output_tokens=work.osl,
                chunk_tokens=chunk,
            )
        )
        for count in workers.microbatches_of(np.zeros(1, dtype=int)) if share <= 1.0 + SAME else ():
            chosen = _Chosen(float(question.devices), plan, float(count), chunk, batch, min(share, 1.0))
            step = _step(workers, chosen).time
            if step < shortest:
                best, shortest = chosen, step
    if best is None:
        raise InputError("prompts arrive faster than any chunk lets them be prefilled")
    return best


def _step(workers: Workers, chosen: _Chosen, *, told: bool = False) -> _Step:
    """Return the mean step of a deployment; with its times by kind of evidence where they are to be told."""
    deployments, count = workers.deployments, chosen.microbatches
    whole = serial = 0.0
    terms = dict.fromkeys(TERMS, 0.0)
    kinds: dict[str, float] = {}
    code = np.asarray(workers.plans.index(chosen.plan))
    replica = Replicas(code, np.asarray(chosen.devices), np.zeros(()))
    deployment = workers.deployment(replica, batch=np.asarray(np.ceil(chosen.batch / count)))
    for weight, tokens in ((chosen.share, chosen.chunk / count), (1.0 - chosen.share, None)):
        if not weight:
            continue
        carried = None if tokens is None else np.asarray(tokens)
        blocks, once = workers.micro(deployment, carried)
        whole += weight * float(workers.step_of(deployment, (blocks, once), count))
        layers = sum(
            block.layers
            * float(
                pipeline.serial_layer_time(
                    attention=block.attention,
                    ffn=block.ffn,
                    dispatch=block.dispatch,
                    combine=block.combine,
                )
            )
            for block in blocks
        )
        host = deployments.gap + float(np.asarray(deployments.pause(deployment)))
        serial += weight * (host + count * (float(once) + layers))
        prompt = None if carried is None else workers.prompt(carried)
        sending = workers.carrying(deployment, carried)
        for item, time in _times(workers, deployments.operators(sending, prompt=prompt)):
            terms[_term(item)] += weight * count * time
            if told:
                kind = item.kind if item.efficiency else ""
                kinds[kind] = kinds.get(kind, 0.0) + weight * count * time
        terms[HOST] += weight * host
    if workers.scenario.query_tokens > 1:  # layers and heads that draft
        terms[DRAFTING] = max(serial - sum(terms.values()), 0.0)
    return _Step(whole, serial, terms, kinds)


def _times(workers: Workers, items: Iterator[Operator]) -> Iterator[tuple[Operator, float]]:
    """Yield operators with the time of all their layers in service [s]."""
    for item in items:
        yield item, float(np.squeeze(item.time * workers.deployments.in_service(item))) * item.layers


def _term(item: Operator) -> str:
    """Return the term of a step that an operator belongs to."""
    if item.part == "head":
        return HEAD
    if item.side == "network" or item.name in COLLECTIVES:
        return EXCHANGE
    if item.name in {"core_attention", "convolution"}:
        return CORE
    if item.name.startswith("index_"):
        return INDEX
    if item.name.startswith("experts_"):
        return EXPERTS
    return SMALL if item.name.endswith("_other") else PRODUCTS
