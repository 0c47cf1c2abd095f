"""Commands that search: one question after the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.sides import Successive
from roofline_afd.analysis.requests.questions import Exploration, Provisioning
from roofline_afd.analysis.sweep.metrics import COMPARE, EXPLORE, METRICS, MODES, PROVISION
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InfeasibleError
from roofline_afd.physics.confidence import probability_ahead
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.metrics import Columns, Evaluator, Kind, Places


class Comparisons:
    """EP and AFD, each at its best: questions one after the other, those before a start for the next."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none: every question is searched."""
        del scenario, axes
        return []

    def __init__(self) -> None:
        self.successive = Successive()

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return what both modes serve."""
        del axes, metrics
        ep, afd = self.successive.rates(changed(scenario, outer) if outer else scenario)
        both = ep > 0 and afd > 0
        ratio = afd / ep if both else np.nan
        error = load_ratio_error(scenario.system.parts.catalogue)
        sure = 1.0 if afd else 0.0 if ep else np.nan
        found = {
            "afd_over_ep": ratio,
            "ep_tokens_per_s_per_device": ep or np.nan,
            "afd_tokens_per_s_per_device": afd or np.nan,
            "best_tokens_per_s_per_device": max(ep, afd) or np.nan,
            "probability_afd_wins": float(
                probability_ahead(ratio=ratio, bias=error.bias, spread=error.spread, degrees=error.degrees)
            )
            if both
            else sure,
            "winner": float(2 if afd > ep else 1 if ep else 0),
        }
        return _constant(found)


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
