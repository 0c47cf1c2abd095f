"""How many attention instances per FFN instance a stream of requests of random lengths needs."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, with_formats
from roofline_afd.analysis.requests.checks import batch_of, latency_of, microbatches_of, settings_of
from roofline_afd.analysis.requests.lengths import workload_of
from roofline_afd.analysis.requests.plan import Plan
from roofline_afd.analysis.requests.recommend import best_whole, recommended
from roofline_afd.analysis.requests.times import (
    LARGEST_RATIO,
    NAMES,
    microseconds,
    source_of,
)
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import barrier, ratio
from roofline_afd.serving.checks import choice, finite
from roofline_afd.serving.deployable import refused
from roofline_afd.serving.limits import KERNELS
from roofline_afd.serving.scenario import DUPLEXES, PLUGIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.requests.lengths import Workload
    from roofline_afd.analysis.requests.questions import Provisioning
    from roofline_afd.analysis.requests.recommend import Recommendation
    from roofline_afd.analysis.requests.times import Source
    from roofline_afd.physics.slots import Load

REGIMES = ("attention-bound", "communication-bound", "FFN-bound")
SENSITIVITY = 0.1
TABLE_KEYS = (
    "granularity",
    "recommended_ratio",
    "attention_instances",
    "ffn_instances",
    "microbatches",
    "tokens_per_s_per_instance",
    "tpot_ms",
    "rounding_loss",
    "r_star",
    "regime",
    "r_star_barrier",
    "r_star_microbatches",
)
HEAD_KEYS = (
    "theta",
    "nu",
    "r_star",
    "regime",
    "r_star_barrier",
    "r_star_microbatches",
    "recommended_ratio",
    "tokens_per_s_per_instance",
)


def provision(question: Provisioning) -> Answer:
    """Answer how many attention instances one FFN instance needs for requests of random lengths.

    Parameters
    ----------
    question : Provisioning
        What is asked.

    Returns
    -------
    Answer
        A row per granularity: whole ratio, whole nodes, and what the plugin runs.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    work = workload_of(question)
    settings = settings_of(question)
    notes = list(work.notes)
    slots = batch_of(question.batch, notes)
    m = microbatches_of(settings["microbatches"], settings["deployable_with"], notes)
    theta, later = _horizon(work, question.horizon, slots, notes)
    links = choice("--duplex", settings["duplex"] or "full", DUPLEXES)
    full = links == "full"
    load = work.load._replace(theta=theta)
    source = source_of(
        question, settings, load=load, batch=slots, microbatches=m, full_duplex=full, notes=notes
    )
    plan = Plan(
        coefficients=source.coefficients,
        theta=theta,
        nu=load.nu,
        skewness=load.skewness,
        batch=slots,
        microbatches=m,
        full_duplex=full,
        layers=source.layers,
        accept_length=finite("--accept-length", settings["accept_length"] or 1.0, least=1, below=1e3),
        gap=source.gap,
        head=source.head,
        most_ratio=source.most_ratio,
        operators=source.operators,
        ffn_devices=source.sharing,
        tpot=latency_of(settings["tpot_ms"]),
    )
    head = _ratios(plan)
    rows = recommended(plan, source, settings["deployable_with"])
    results = [_result(row, head, work.load) for row in rows]
    sensitivity = _sensitivity(plan, rows[0])
    asked = () if source.operators is None else (source.operators.scenario,)
    summary: dict[str, Any] = {
        **{key: results[0][key] for key in HEAD_KEYS},
        "tpot_ms": results[0]["tpot_ms"],
        "ratio": rows[0].ratio,
        "theta_error": work.load.theta_error,
        "nu_error": work.load.nu_error,
        "skewness": work.load.skewness,
        **later,
        **head,
        "r_star_error": _ratio_error(plan, work.load, head["regime"]),
        "rounding_loss": results[0]["rounding_loss"],
        "coefficients_us": {
            name: microseconds(value) for name, value in zip(NAMES, source.coefficients, strict=True)
        },
        "fit": None if source.fit is None else dataclasses.asdict(source.fit),
        "sensitivity": sensitivity,
        "answer": with_formats(_sentence(rows[0], results[0], head, sensitivity, source), *asked),
    }
    return Answer(
        command="provision",
        inputs={
            **source.inputs,
            **work.inputs,
            "batch": slots,
            "microbatches": m,
            "duplex": links,
            "accept_length": plan.accept_length,
            "layers": source.layers,
            "horizon": question.horizon,
            "tpot_ms": settings["tpot_ms"],
            "deployable_with": settings["deployable_with"],
        },
        columns=object_columns(results),
        summary=summary,
        notes=[*notes, *source.notes, *_notes(plan, rows, sensitivity), *_unsupported(source, rows)],
        table_keys=TABLE_KEYS,
    )


def _unsupported(source: Source, rows: Sequence[Recommendation]) -> list[str]:
    """Return which recommendations the kernels of the engine do not run: ratios are not searched by that."""
    if source.operators is None:
        return []
    deployments = source.operators.deployments
    found = []
    for row in rows:
        m = row.plan.microbatches
        one = deployments.deployment_of(row.attention, row.ffn, batch=int(row.plan.batch) * m, microbatches=m)
        why = refused(deployments, one)
        if why:
            found.append(f"{row.granularity}: {row.attention}A{row.ffn}F is beyond the {KERNELS}: {why}")
    return found


def _horizon(work: Workload, horizon: object, batch: int, notes: list[str]) -> tuple[float, dict[str, float]]:
    """Return the mean load that decides, and what the summary says of a finite horizon."""
    if horizon is None:
        return work.load.theta, {}
    requests = finite("--horizon", horizon, least=1)
    if requests * work.decode_mean < batch:
        raise InputError(
            f"--horizon {requests:g} requests of {work.decode_mean:g} tokens do not last one step of "
            f"--batch {batch} slots; give at least {math.ceil(batch / work.decode_mean)}"
        )
    theta = work.starting(batch=batch, requests=requests)
    notes.append(
        f"all ratios are those of the first {requests:,.0f} requests of an attention instance, whose slots "
        f"start together: theta {theta:,.1f} instead of {work.load.theta:,.1f} tokens; nu stays as it is"
    )
    return theta, {"theta_horizon": theta}


def _ratios(plan: Plan) -> dict[str, Any]:
    """Return every closed form and real optimum."""
    basic = ratio.optimal_ratio(theta=plan.theta, batch=plan.batch, coefficients=plan.coefficients)
    terms = [float(term) for term in (basic.attention, basic.communication, basic.ffn)]
    plain: dict[str, Any] = {"batch": plan.batch, "theta": plan.theta, "nu": plan.nu}
    plain["ffn_devices"] = plan.ffn_devices
    looped = float(
        ratio.optimal_ratio_microbatches(
            theta=plan.theta,
            batch=plan.batch,
            coefficients=plan.coefficients,
            microbatches=plan.microbatches,
            full_duplex=plan.full_duplex,
        )
    )
    if max(float(basic.ratio), looped) > LARGEST_RATIO and plan.operators is None:
        raise InfeasibleError(
            f"no: the best ratio is {max(float(basic.ratio), looped):.3g} attention instances per FFN "
            f"instance, more than {LARGEST_RATIO:,.0f}: aF of --coefficients is too small for a choice"
        )
    return {
        "r_star": float(basic.ratio),
        "regime": REGIMES[int(np.argmax(terms))],
        "r_star_attention": terms[0],
        "r_star_communication": terms[1],
        "r_star_ffn": terms[2],
        "r_star_barrier": barrier.optimal_ratio_barrier(**plain, coefficients=plan.coefficients),
        "r_star_barrier_skewed": barrier.optimal_ratio_barrier(
            **plain, coefficients=plan.coefficients, skewness=plan.skewness
        ),
        "r_star_microbatches": looped,
        "r_star_microbatches_barrier": plan.best,
    }


def _result(row: Recommendation, head: dict[str, Any], load: Load) -> dict[str, Any]:
    """Return a recommendation as a row, with the ratios it rounds."""
    plan = row.plan
    rate = plan.rate(row.ratio)
    return {
        "granularity": row.granularity,
        "recommended_ratio": row.text,
        "ratio": row.ratio,
        "attention_instances": row.attention,
        "ffn_instances": row.ffn,
        "microbatches": plan.microbatches,
        "tokens_per_s_per_instance": rate,
        "tpot_ms": plan.time_per_token(row.ratio) * 1e3,
        "cycle_us": float(plan.cycles(row.ratio)) * 1e6,
        "rounding_loss": max(1.0 - rate / plan.rate(plan.target), 0.0),
        "theta": load.theta,
        "nu": load.nu,
        **{
            key: head[key]
            for key in (
                "r_star",
                "regime",
                "r_star_barrier",
                "r_star_microbatches",
                "r_star_microbatches_barrier",
            )
        },
    }


def _ratio_error(plan: Plan, load: Load, regime: str) -> float:
    """Return the standard error of r_star that the length of the trace leaves [1]."""
    if regime != REGIMES[0]:
        return 0.0
    slopes = plan.coefficients.attention_slope, plan.coefficients.ffn_slope
    return load.theta_error * float(np.divide(*slopes))


def _sensitivity(plan: Plan, chosen: Recommendation) -> list[dict[str, Any]]:
    """Return what becomes of the ratios when the workload is another, and what the recommendation loses."""
    found = []
    for name in ("theta", "nu", "batch"):
        for factor in (1 - SENSITIVITY, 1 + SENSITIVITY):
            mine = chosen.plan
            other = dataclasses.replace(mine, **{name: getattr(mine, name) * factor})
            best = ratio.optimal_ratio(theta=other.theta, batch=other.batch, coefficients=plan.coefficients)
            row = best_whole(other, chosen.ffn if chosen.ffn > 1 else None)
            found.append(
                {
                    "input": name,
                    "change": factor - 1,
                    "r_star": float(best.ratio),
                    "r_star_microbatches_barrier": other.best,
                    "recommended_ratio": row and row.text,
                    "loss_if_kept": row and max(1.0 - other.rate(chosen.ratio) / other.rate(row.ratio), 0.0),
                    "kept_in_time": other.time_per_token(chosen.ratio) <= other.tpot,
                }
            )
    return found


def _sentence(
    row: Recommendation,
    result: dict[str, Any],
    head: dict[str, Any],
    sensitivity: Sequence[dict[str, Any]],
    source: Source,
) -> str:
    """Return what to run, what it gives, and how sure that is."""
    plan = row.plan
    instance = "instance" if source.ffn_instances is None else "device"
    of_devices = (
        f" ({row.attention} attention and {row.ffn} FFN devices)" if source.ffn_instances is not None else ""
    )
    one_layer = " for a model of one layer" if source.layers == 1 else ""
    rules = (
        f"{head['regime']}: r* {head['r_star']:.2f} of mean times, {head['r_star_barrier']:.2f} where the "
        f"slowest {instance} sets the pace"
    )
    if source.fit is not None and source.fit.poor:
        rules = "by the operator model as it is: straight lines fit it poorly"
    more = next(each for each in sensitivity if each["input"] == "theta" and each["change"] > 0)
    if more["recommended_ratio"] is None:
        then = "requests 10% longer miss the latency target"
    elif more["recommended_ratio"] == row.text:
        then = "requests 10% longer would not change it"
    else:
        other, lost = more["recommended_ratio"], more["loss_if_kept"]
        then = f"requests 10% longer ask for {other} (without it {lost:.1%} are lost)"
    return (
        f"Run {row.text}{of_devices}: {result['tokens_per_s_per_instance']:,.0f} tokens/s per {instance} at "
        f"{result['tpot_ms']:.3g} ms per token{one_layer}, {plan.microbatches} micro-batch"
        f"{'es' if plan.microbatches > 1 else ''} of {plan.batch:g}; the best ratio is {plan.best:.2f} "
        f"({rules}), rounding costs {result['rounding_loss']:.1%}, and {then}."
    )


def _notes(plan: Plan, rows: Sequence[Recommendation], sensitivity: Sequence[dict[str, Any]]) -> list[str]:
    """Say what the ratios rest on, and where they part."""
    low, high = (
        next(each for each in sensitivity if each["input"] == "theta" and (each["change"] > 0) == up)
        for up in (False, True)
    )
    notes = [
        (
            "theta 10% lower or higher moves r* to "
            f"{low['r_star']:.3g} or {high['r_star']:.3g}, and the best ratio with micro-batches and "
            f"barrier to {low['r_star_microbatches_barrier']:.3g} or "
            f"{high['r_star_microbatches_barrier']:.3g}"
        ),
        (
            "recommendations maximise tokens/s with micro-batches, the slowest instance and the skewness of "
            "the load; r_star and r_star_barrier are the published rules, without a way through all stages"
        ),
    ]
    if plan.target < min(plan.best, plan.most_ratio) * (1 - 1e-9):
        notes.append(
            f"the latency target binds: without it the best ratio is {min(plan.best, plan.most_ratio):.3g}, "
            f"with it {plan.target:.3g}"
        )
    if plan.most_ratio < plan.best:
        notes.append(
            f"devices bind: --max-devices or the fabric allow a ratio of {plan.most_ratio:.3g}, the best is "
            f"{plan.best:.3g}"
        )
    plugin = next((row for row in rows if row.granularity == PLUGIN), None)
    if plugin is None:
        notes.append(
            f"{PLUGIN} runs nothing here: it needs as many attention devices as FFN devices at least"
        )
    return notes
