"""Commands that search: questions that differ in numbers alone together, others one after the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.rows import kind_shares
from roofline_afd.analysis.decode.sides import Successive
from roofline_afd.analysis.decode.verdict import odds_of
from roofline_afd.analysis.requests.questions import Exploration, Provisioning
from roofline_afd.analysis.sweep.metrics import (
    COMPARE,
    EXPLORE,
    METRICS,
    MODES,
    PROVISION,
    REFUSED,
    WINNERS,
)
from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.stacked import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Kind, Places
    from roofline_afd.catalogue.ratio_error import RatioError
    from roofline_afd.serving.repeated import Best

SURE = "probability_afd_wins"
"""The metric that needs the deployments themselves."""


class Comparisons:
    """EP and AFD, each at its best: those that differ in numbers alone together, a start for those after."""

    def __init__(self) -> None:
        self.successive = Successive()

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes of numbers that searches of the same shapes are told apart by."""
        del scenario
        return [axis.key for axis in axes if axis.key in NUMBERS and axis.numbers is not None]

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return what both modes serve."""

        def question(places: Sequence[int]) -> Scenario | InputError:
            values = {axis.key: axis.value(place) for axis, place in zip(axes, places, strict=True)}
            try:
                return changed(scenario, {**outer, **values})
            except InputError as error:  # a combination that cannot be: others can
                return error

        def evaluate(places: Sequence[Places]) -> Columns:
            shape = np.broadcast_shapes(*(place.shape for place in places))
            every = [np.broadcast_to(place, shape).ravel().tolist() for place in places]
            asked = [question(each) for each in zip(*every, strict=True)] if places else [question(())]
            if len(asked) == 1 and isinstance(asked[0], InputError):
                raise asked[0]
            valid = {place: each for place, each in enumerate(asked) if isinstance(each, Scenario)}
            error = load_ratio_error(scenario.system.parts.catalogue)
            found = _compared(error, list(valid.values()), self.successive, sure=SURE in metrics)
            columns = {}
            for name, values in found.items():
                columns[name] = np.full(
                    len(asked), float(WINNERS.index(REFUSED)) if name == "winner" else np.nan
                )
                columns[name][list(valid)] = values
            return {name: column.reshape(shape) for name, column in columns.items()}

        return evaluate


def _compared(
    error: RatioError, asked: Sequence[Scenario], successive: Successive, *, sure: bool
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of questions, NaN where a mode has no deployment."""
    found = successive.bests(asked)
    ep, afd = (np.array([best.rate for best in found[mode]]) for mode in (EP, AFD))
    both = (ep > 0) & (afd > 0)
    ratio = np.divide(afd, ep, out=np.full(ep.shape, np.nan), where=both)
    rates = {EP: np.where(ep > 0, ep, np.nan), AFD: np.where(afd > 0, afd, np.nan)}
    return {
        "afd_over_ep": ratio,
        **{f"{mode}_tokens_per_s_per_device": rate for mode, rate in rates.items()},
        "best_tokens_per_s_per_device": np.fmax(*rates.values()),
        SURE: _odds(error, asked, found, ratio) if sure else np.full(ep.shape, np.nan),
        "winner": np.where(afd > ep, 2.0, np.where(ep > 0, 1.0, 0.0)),
    }


def _odds(
    error: RatioError,
    asked: Sequence[Scenario],
    found: Mapping[str, Sequence[Best]],
    ratio: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the probability that AFD is ahead, as `compare` tells it; NaN where it tells none."""
    sure = np.full(ratio.shape, np.nan)
    for place, (scenario, ep, afd) in enumerate(zip(asked, found[EP], found[AFD], strict=True)):
        if ep.deployment is not None and afd.deployment is not None:
            share = max(
                kind_shares(Deployments(scenario, mode), best.deployment).get(ESTIMATED, 0.0)
                for mode, best in ((EP, ep), (AFD, afd))
                if best.deployment is not None
            )
            sure[place] = odds_of(error, ratio=float(ratio[place]), estimated_share=share).probability
        elif (ep.rate or afd.rate) and not (ep.late or afd.late):
            sure[place] = float(afd.rate > 0)
    return sure


class Provisions:
    """The ratio of attention to FFN instances."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none."""
        del scenario, axes
        return []

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the ratio recommended for one question."""
        from roofline_afd.analysis.requests.provisioning import provision

        del axes, metrics
        own = _own(Provisioning) | {"batch"}
        asked, rest = _split(outer, own)
        try:
            found = provision(Provisioning(scenario=changed(scenario, rest), **asked)).summary
        except InfeasibleError:
            return _constant(dict.fromkeys(METRICS[PROVISION], np.nan))
        values = {name: found.get(name) for name in METRICS[PROVISION]}
        return _constant({name: np.nan if value is None else float(value) for name, value in values.items()})


class Explorations:
    """The best serving mode under the limits."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none."""
        del scenario, axes
        return []

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the best mode of one question."""
        from roofline_afd.analysis.requests.explore import explore

        del axes, metrics
        own = _own(Exploration)
        asked, rest = _split(outer, own)
        try:
            best = explore(Exploration(changed(scenario, rest), **asked)).summary["best_under_slo"]
        except InfeasibleError:
            return _constant({**dict.fromkeys(METRICS[EXPLORE], np.nan), "mode": 0.0})
        found = {name: best[name] for name in METRICS[EXPLORE] if name != "mode"}
        return _constant({**found, "mode": float(MODES.index(best["mode"]))})


def _own(question: type) -> set[str]:
    """Return the fields of a question that its scenario does not have."""
    return {field.name for field in dataclasses.fields(question)} - {
        field.name for field in attrs.fields(Scenario)
    }


def _split(outer: Mapping[str, float | str], own: set[str]) -> tuple[dict[str, Any], dict[str, float | str]]:
    """Return what a question asks itself, and what its scenario says."""
    return {key: value for key, value in outer.items() if key in own}, {
        key: value for key, value in outer.items() if key not in own
    }


def _constant(found: Mapping[str, float]) -> Evaluator:
    """Return metrics that no open axis moves."""

    def evaluate(places: Sequence[Places]) -> Columns:
        del places
        return {name: np.asarray(value) for name, value in found.items()}

    return evaluate


def kind_of(name: str, mode: str | None) -> Kind:
    """Return what sweeps a command that searches."""
    del mode
    made: dict[str, Callable[[], Kind]] = {
        COMPARE: Comparisons,
        PROVISION: Provisions,
        EXPLORE: Explorations,
    }
    return made[name]()
