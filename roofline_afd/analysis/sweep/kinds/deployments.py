"""One deployment: devices, batch and micro-batches, many at once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.one import OVERLAPPED, counts_asked, plans_asked
from roofline_afd.analysis.sweep.grids import cropped, held_block, pieces, put
from roofline_afd.errors import InputError
from roofline_afd.serving.candidates import admitted
from roofline_afd.serving.checks import option, whole
from roofline_afd.serving.deployable import most_sequences
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import COUNTS
from roofline_afd.serving.sizes import REPLICATED
from roofline_afd.serving.steps import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Places
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Plan

DEPLOYED = ("devices", "attention_devices", "ffn_devices", "batch", "microbatches")
"""Inputs of one deployment, over which many are timed at once."""


PIECE = 1 << 15
"""Deployments timed at once: as many as keep what a step is made of near the core [1]."""
NEEDED = ("step_ms", "feasible")
"""Metrics by which the quicker of two plans is told."""


class Predictions:
    """One deployment: devices, batch and micro-batches on open axes, heads shared as the question says."""

    def __init__(self, mode: str | None) -> None:
        self.mode = mode

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes of the deployment itself."""
        del scenario
        return [axis.key for axis in axes if axis.key in DEPLOYED and axis.numbers is not None]

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the times of deployments of one question."""
        wanted_metrics = {*metrics, *NEEDED}
        base = changed(scenario, outer) if outer else scenario
        open_ = {axis.key: _counts(axis) for axis in axes}
        fixed = {name: getattr(base, name) for name in DEPLOYED if name not in open_}
        given = {name for name in DEPLOYED if name in open_ or fixed[name] is not None}
        apart = bool({"ffn_devices"} & given)
        mode = self.mode or (AFD if apart else EP)
        wanted = {"attention_devices", "ffn_devices"} if mode == AFD else {"devices"}
        missing = sorted((wanted | {"batch"}) - given)
        if missing:
            names = " and ".join(missing)
            raise InputError(f"a sweep of predict with mode {mode} lacks {names}: give an axis or the option")
        bare: dict[str, Any] = {name: None for name in DEPLOYED if name != "microbatches"}
        deployments = Deployments(attrs.evolve(base, **bare), mode)
        _, plans = plans_asked(deployments)
        swept = "microbatches" in open_
        counts = (0,) if swept else counts_asked(attrs.evolve(base, batch=OVERLAPPED), mode)
        keys = [axis.key for axis in axes]

        def evaluate(places: Sequence[Places]) -> Columns:
            at: dict[str, Any] = dict(fixed)
            for key, place in zip(keys, places, strict=True):
                at[key] = open_[key][place]
            best: Columns | None = None
            for plan in plans:
                for count in counts:
                    if count != counts[0] and plan.transport == REPLICATED:
                        continue  # a sum over all devices leaves nothing to overlap
                    asked = at if swept else {**at, "microbatches": count}
                    found = _predicted(deployments, plan, asked, wanted_metrics, halves=len(counts) > 1)
                    best = found if best is None else _better(best, found)
            assert best is not None  # noqa: S101 - there is a plan
            return best

        return evaluate


def _counts(axis: Axis) -> NDArray[np.float64]:
    """Return the values of an axis, which must be whole and within the bounds of its option."""
    assert axis.numbers is not None  # noqa: S101 - of numbers alone
    counts = axis.numbers
    odd = np.flatnonzero(counts != np.floor(counts))
    ends = (int(np.argmin(counts)), int(np.argmax(counts)), *odd[:1].tolist())
    for place in ends:
        whole(option(axis.key), axis.value(place), most=COUNTS[axis.key])
    return counts


def _predicted(
    deployments: Deployments, plan: Plan, at: Mapping[str, Any], wanted: Collection[str], *, halves: bool
) -> Columns:
    """Return the metrics wanted of one plan's deployments; NaN where memory or the target rules one out.

    Only those are timed that memory holds: the places of each axis where it holds some.
    """
    senders = at["attention_devices"] if deployments.mode == AFD else at["devices"]
    receivers = at["ffn_devices"] if deployments.mode == AFD else np.zeros(0)
    empty = _deployment(deployments, plan, {**at, "batch": 0})
    most = np.asarray(deployments.largest_batch(empty))
    held = np.minimum(most, most_sequences(deployments, empty))  # memory, and the kernels' library
    fits = admitted(plan, np.asarray(senders) * 1.0, np.asarray(receivers) * 1.0) & (held >= at["batch"])
    if halves:
        fits = fits & (np.asarray(at["batch"]) >= at["microbatches"])
    shape = np.broadcast_shapes(fits.shape, *(np.shape(value) for value in at.values() if value is not None))
    found: Columns = {name: np.full(shape, np.nan) for name in wanted if name != "largest_batch"}
    found["feasible"] = np.zeros(shape, dtype=bool)
    if "largest_batch" in wanted:
        found["largest_batch"] = np.maximum(np.floor(most), 0.0)
    block = held_block(np.broadcast_to(fits, shape))
    if block is None:
        return found
    for piece in pieces([places.size for places in block], PIECE):
        own = [places[part] for places, part in zip(block, piece, strict=True)]
        inside = {name: None if value is None else cropped(value, own) for name, value in at.items()}
        timed = _timed(deployments, _deployment(deployments, plan, inside), cropped(fits, own), wanted)
        for name, column in timed.items():
            put(found[name], own, column)
    return found


def _deployment(deployments: Deployments, plan: Plan, at: Mapping[str, Any]) -> Deployment:
    pair = deployments.mode == AFD
    return deployments.deployment_of(
        at["attention_devices"] if pair else at["devices"],
        at["ffn_devices"] if pair else 0,
        batch=at["batch"],
        microbatches=at["microbatches"],
        plan=plan,
    )


def _timed(
    deployments: Deployments, deployment: Deployment, fits: NDArray[np.bool_], wanted: Collection[str]
) -> Columns:
    """Return metrics that rest on the time of a step, of deployments that fit."""
    scenario = deployments.scenario
    step = deployments.step(deployment)
    feasible = fits & np.isfinite(step.time)
    if scenario.tpot_ms is not None:
        feasible = feasible & (step.time * 1e3 <= scenario.tpot_ms * scenario.accept_length)
    layers = sum(float(block.layers) for block in step.blocks)

    def mean(side: str) -> Any:  # noqa: ANN401 - an array
        return sum(block.layers * np.asarray(getattr(block, side)) for block in step.blocks) / layers * 1e6

    made: dict[str, Callable[[], Any]] = {
        "tokens_per_s_per_device": lambda: deployments.tokens_per_s_per_device(deployment, step.time),
        "tokens_per_s_per_user": lambda: scenario.accept_length / step.time,
        "tpot_ms": lambda: step.time * 1e3 / scenario.accept_length,
        "step_ms": lambda: step.time * 1e3,
        **{f"{side}_us": functools.partial(mean, side) for side in STAGES},
    }
    found = {name: np.where(feasible, make(), np.nan) for name, make in made.items() if name in wanted}
    return {**found, "feasible": feasible}


def _better(one: Columns, other: Columns) -> Columns:
    """Return the quicker of two, point by point; what is feasible before what is not."""
    second = ~(one["step_ms"] <= other["step_ms"]) & other["feasible"]
    return {name: np.where(second, other[name], one[name]) for name in one}


def kind_of(name: str, mode: str | None) -> Predictions:
    """Return what sweeps one deployment."""
    del name
    return Predictions(mode)
