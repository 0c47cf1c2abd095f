"""What a picture of ratios draws: what the formulas say of each, beside what the simulation delivers."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.requests.prepare import MAX_RATIO, checked, prepare
from roofline_afd.analysis.requests.simulate import answer, predicted
from roofline_afd.physics import linear
from roofline_afd.physics.barrier import barrier_cycle_time, barrier_time, optimal_ratio_barrier_microbatches
from roofline_afd.simulation.run import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.requests.prepare import Prepared
    from roofline_afd.analysis.requests.questions import Simulation
    from roofline_afd.simulation.arrays import Floats

POINTS = 300
"""Ratios at which a formula is computed."""
MOST_SIMULATED = 24
"""Ratios simulated where none are asked for."""
FEWEST_SIMULATED = 8
BEYOND = 2.0
"""How far ratios go where none are asked for, as a multiple of the best one."""


class _Curve(NamedTuple):
    """A formula: its name, and the time between micro-batches it gives a ratio."""

    name: str
    cycle: Callable[[Floats], Floats]


def ratio_picture(question: Simulation) -> Answer:
    """Simulate some ratios, and compute what the formulas say of all between them.

    Parameters
    ----------
    question : Simulation
        What is asked; ratios up to twice the best one are simulated where it names none.

    Returns
    -------
    Answer
        That of `simulate`. Its picture holds `curves`, each with a name and points, the plainest formula
        first; the load of a slot, `theta` and `nu` [tokens]; and the ratio up to which both sides fit one
        scale-up domain, `domain_ends_at`, with what that is called, `domain`, of one system.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    prepared = prepare(dataclasses.replace(question, r=question.r or (1,)))
    if question.r is None:
        prepared = _around_the_best(prepared)
    measured, _ = run(prepared.settings)
    found = answer(prepared, measured)
    load = prepared.workload.load
    return dataclasses.replace(
        found,
        picture={
            "theta": load.theta,
            "nu": load.nu,
            **_domain(prepared),
            "curves": [
                {"name": curve.name, "points": _points(curve, prepared)} for curve in _curves(prepared)
            ],
        },
    )


def _domain(prepared: Prepared) -> dict[str, Any]:
    """Return up to which ratio both sides fit a scale-up domain; empty where they never do."""
    operators = prepared.operators
    if operators is None:
        return {}
    system = operators.deployments.ffn
    ends = system.scale_up_domain_devices / operators.ffn_devices - 1.0
    alike = operators.deployments.attention.id == system.id
    return {"domain_ends_at": ends, "domain": system.domain_name} if alike and ends >= 1 else {}


def _around_the_best(prepared: Prepared) -> Prepared:
    """Return the question with ratios to both sides of the one that the formula calls best."""
    asked, load = prepared.settings, prepared.workload.load
    most = MAX_RATIO
    operators = prepared.operators
    if operators is None:
        best = optimal_ratio_barrier_microbatches(
            batch=asked.batch,
            theta=load.theta,
            nu=load.nu,
            skewness=load.skewness,
            coefficients=asked.coefficients,
            microbatches=asked.microbatches,
            full_duplex=asked.duplex == "full",
        )
    else:
        ratios = operators.every
        best = float(ratios[int(np.argmax(predicted(asked, load, ratios=ratios)[0]))])
        most = min(math.floor(operators.most_ratio * (1 + 1e-12)), most)
    most = min(max(math.ceil(BEYOND * best), FEWEST_SIMULATED), most)
    simulated = np.unique(np.rint(np.linspace(1, most, min(most, MOST_SIMULATED)))).astype(int).tolist()
    return dataclasses.replace(
        prepared,
        settings=checked(dataclasses.replace(asked, ratios=tuple(simulated))),
        inputs={**prepared.inputs, "r": simulated},
    )


def _curves(prepared: Prepared) -> list[_Curve]:
    """Return the formulas, the plainest first."""
    asked, load = prepared.settings, prepared.workload.load
    plain: dict[str, Any] = {"batch": asked.batch, "theta": load.theta, "nu": load.nu}
    plain["ffn_devices"] = asked.ffn_devices
    full = asked.duplex == "full"

    def means(ratio: Floats) -> Floats:
        clock = asked.times(ratio)
        cycle = linear.cycle_time_of(
            attention=linear.attention_time(kv_tokens=asked.batch * load.theta, coefficients=clock),
            ffn=linear.ffn_time(tokens=ratio * asked.batch, coefficients=clock),
            transfer=linear.transfer_time_linear(batch=asked.batch, coefficients=clock),
            microbatches=math.inf,
            full_duplex=False,
        )
        return np.asarray(cycle)

    def barrier(ratio: Floats) -> Floats:
        return np.asarray(barrier_time(ratio=ratio, **plain, coefficients=asked.times(ratio)))

    def in_flight(ratio: Floats) -> Floats:
        cycle = barrier_cycle_time(
            ratio=ratio,
            **plain,
            coefficients=asked.times(ratio),
            skewness=load.skewness,
            microbatches=asked.microbatches,
            full_duplex=full,
        )
        return np.asarray(cycle)

    batches = f"{asked.microbatches} micro-batch{'es' if asked.microbatches > 1 else ''}"
    return [
        _Curve("mean times (r*)", means),
        _Curve("slowest instance", barrier),
        _Curve(f"slowest instance, {batches}", in_flight),
    ]


def _points(curve: _Curve, prepared: Prepared) -> list[dict[str, Any]]:
    """Return a curve's points over real ratios."""
    asked = prepared.settings
    first, last = min(asked.ratios), max(asked.ratios)
    ratios = np.linspace(float(first), float(last), POINTS if last > first else 1)
    if prepared.operators is not None:
        ratios = prepared.operators.whole(ratios)
    cycle = curve.cycle(ratios) + asked.outside / (asked.layers * asked.microbatches)
    rate = linear.throughput_per_instance(
        ratio=ratios, batch=asked.batch, cycle=cycle, layers=asked.layers, accept_length=asked.accept_length
    )
    return [
        {"r": ratio, "throughput_per_instance": value}
        for ratio, value in zip(ratios.tolist(), np.asarray(rate).tolist(), strict=True)
    ]
