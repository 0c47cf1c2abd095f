"""One deployment: devices, batch and micro-batches, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.one import OVERLAPPED, counts_asked, plans_asked
from roofline_afd.errors import InputError
from roofline_afd.serving.candidates import admitted
from roofline_afd.serving.checks import option, whole
from roofline_afd.serving.deployable import most_sequences
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import COUNTS
from roofline_afd.serving.sizes import REPLICATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Places
    from roofline_afd.serving.scenario import Scenario

DEPLOYED = ("devices", "attention_devices", "ffn_devices", "batch", "microbatches")
"""Inputs of one deployment, over which many are timed at once."""


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
        del metrics  # a step has them all
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
            senders = at["attention_devices"] if mode == AFD else at["devices"]
            receivers = at["ffn_devices"] if mode == AFD else np.zeros(0)
            best: Columns | None = None
            for plan in plans:
                runs = admitted(plan, np.asarray(senders) * 1.0, np.asarray(receivers) * 1.0)
                for count in counts:
                    if count != counts[0] and plan.transport == REPLICATED:
                        continue  # a sum over all devices leaves nothing to overlap
                    halves = True if len(counts) == 1 else np.asarray(at["batch"]) >= count
                    deployment = deployments.deployment_of(
                        senders,
                        receivers if mode == AFD else 0,
                        batch=at["batch"],
                        microbatches=at["microbatches"] if swept else count,
                        plan=plan,
                    )
                    found = _predicted(deployments, deployment, at["batch"], runs & halves)
                    best = found if best is None else _better(best, found)
            assert best is not None  # noqa: S101 - there is a plan
            return best

        return evaluate


def _counts(axis: Axis) -> NDArray[np.int64]:
    """Return the values of an axis, which must be whole and within the bounds of its option."""
    assert axis.numbers is not None  # noqa: S101 - of numbers alone
    counts = axis.numbers.astype(np.int64)
    odd = np.flatnonzero(counts != axis.numbers)
    ends = (int(np.argmin(counts)), int(np.argmax(counts)), *odd[:1].tolist())
    for place in ends:
        whole(option(axis.key), axis.value(place), most=COUNTS[axis.key])
    return counts


def _predicted(deployments: Deployments, deployment: Any, batch: Any, runs: Any) -> Columns:  # noqa: ANN401 - arrays
    """Return the metrics of deployments; NaN where memory or the target rules one out."""
    scenario = deployments.scenario
    step = deployments.step(deployment)
    most = np.asarray(deployments.largest_batch(deployment))
    held = np.minimum(most, most_sequences(deployments, deployment))  # memory, and the kernels' library
    feasible = runs & np.isfinite(step.time) & (held >= batch)
    tpot = step.time / scenario.accept_length
    if scenario.tpot_ms is not None:
        feasible = feasible & (tpot * 1e3 <= scenario.tpot_ms)
    layers = sum(float(block.layers) for block in step.blocks)
    means = {
        f"{side}_us": sum(block.layers * np.asarray(getattr(block, side)) for block in step.blocks)
        / layers
        * 1e6
        for side in ("attention", "dispatch", "ffn", "combine")
    }
    found = {
        "tokens_per_s_per_device": deployments.tokens_per_s_per_device(deployment, step.time),
        "tokens_per_s_per_user": 1.0 / tpot,
        "tpot_ms": tpot * 1e3,
        "step_ms": step.time * 1e3,
        **means,
        "largest_batch": np.maximum(np.floor(most), 0.0),
    }
    blank = {
        name: np.where(feasible, column, np.nan) for name, column in found.items() if name != "largest_batch"
    }
    return {**found, **blank, "feasible": feasible}


def _better(one: Columns, other: Columns) -> Columns:
    """Return the quicker of two, point by point; what is feasible before what is not."""
    second = ~(one["step_ms"] <= other["step_ms"]) & other["feasible"]
    return {name: np.where(second, other[name], one[name]) for name in one}


def kind_of(name: str, mode: str | None) -> Predictions:
    """Return what sweeps one deployment."""
    del name
    return Predictions(mode)
