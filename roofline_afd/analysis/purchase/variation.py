"""A question with its uncertain inputs at other values, and what its best deployments then reach."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.decode.sides import search_modes
from roofline_afd.analysis.purchase.questions import BEST, RATIO
from roofline_afd.analysis.purchase.uncertainty import OPTION, SIDES, WHOLE, systems_of
from roofline_afd.catalogue.hardware import build_system
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.repeated import RepeatedSearch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.analysis.purchase.uncertainty import Input
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario

METRIC_NAMES = {
    RATIO: "AFD / EP",
    EP: "EP tokens/s per device",
    AFD: "AFD tokens/s per device",
    BEST: "tokens/s per device of the better mode",
}
NEAR, FAR = 0.8, 0.3
"""Share of the best that a shape must have reached to be searched again: within narrow ranges, and beyond."""


class Rates(NamedTuple):
    """Throughput of the best deployment of each mode, 0 where none is feasible [tokens/s per device]."""

    ep: float
    afd: float

    @property
    def winner(self) -> str | None:
        """The mode that serves more; None where neither is feasible."""
        if not (self.ep or self.afd):
            return None
        return AFD if self.afd > self.ep else EP

    def beats(self, base: Rates) -> bool:
        """Whether the winner is another than that of the question; none wins where neither is feasible."""
        return self.winner not in {None, base.winner}

    @property
    def lead(self) -> float:
        """Logarithm of AFD over EP: infinite where one is infeasible, not a number where both are."""
        if self.ep and self.afd:
            return math.log(self.afd / self.ep)
        return math.nan if self.winner is None else math.copysign(math.inf, self.afd - self.ep)

    def metric(self, name: str) -> float | None:
        """Return a metric; None where it has no value."""
        if name == RATIO:
            return self.afd / self.ep if self.ep and self.afd else None
        found = {EP: self.ep, AFD: self.afd, BEST: max(self.ep, self.afd)}[name]
        return found or None


class Variation:
    """The answer as a function of its uncertain inputs."""

    def __init__(self, scenario: Scenario, inputs: Sequence[Input]) -> None:
        self.scenario, self.inputs = scenario, inputs
        self.sides = search_modes(scenario)
        self.base = Rates(*(self.sides[mode].rate or 0.0 for mode in MODES))
        self._searches = {
            share: {mode: RepeatedSearch(side.found, share=share) for mode, side in self.sides.items()}
            for share in (NEAR, FAR, 0.0)
        }

    def rates(self, values: Mapping[str, float]) -> Rates:
        """Return the best of both modes with inputs at other values."""
        return self._answered(values, lead_only=False)

    def lead(self, values: Mapping[str, float]) -> float:
        """Return the logarithm of AFD over EP with inputs at other values: its sign is exact."""
        return self._answered(values, lead_only=True).lead

    def _answered(self, values: Mapping[str, float], *, lead_only: bool) -> Rates:
        items = [item for item in self.inputs if item.key in values]
        moved = {item.key: values[item.key] for item in items}
        if all(item.value == moved[item.key] for item in items):
            return self.base
        near = all(item.close(moved[item.key]) for item in items)
        try:
            scenario = varied(self.scenario, self.inputs, moved)
        except InputError:  # no time is left for the layers
            return Rates(0.0, 0.0)
        sides = {mode: Deployments(scenario, mode) for mode in MODES}
        if not lead_only:
            return Rates(*(self._best(sides[mode], near=near) for mode in MODES))
        least = Rates(*(self._search(NEAR if near else FAR, mode).guess(sides[mode]) for mode in MODES))
        found = dict(zip(MODES, least, strict=True))
        ahead, behind = (AFD, EP) if least.lead > 0 else (EP, AFD)
        found[behind] = self._best(sides[behind], near=near, at_least=found[ahead])
        if found[behind] >= found[ahead]:
            found[ahead] = self._best(sides[ahead], near=near, at_least=found[behind])
        return Rates(found[EP], found[AFD])

    def _search(self, share: float, mode: str) -> RepeatedSearch:
        return self._searches[share][mode]

    def _best(self, deployments: Deployments, *, near: bool, at_least: float = 0.0) -> float:
        """Return the best of one mode, among all shapes where the nearest fall behind what others had."""
        found = 0.0
        for share in (NEAR, FAR, 0.0) if near else (FAR, 0.0):
            search = self._search(share, deployments.mode)
            found = search.rate(deployments, at_least=at_least)
            if max(found, at_least) >= search.enough > 0:
                break
        return found

    def fixed(self, values: Mapping[str, float]) -> Rates:
        """Return what the best deployments of the question itself reach with inputs at other values."""
        if all(item.value == values.get(item.key, item.value) for item in self.inputs):
            return self.base
        scenario = varied(self.scenario, self.inputs, values)
        found = []
        for mode in MODES:
            best = self.sides[mode].found.best
            deployments = Deployments(scenario, mode)
            found.append(
                0.0
                if best is None
                else float(
                    np.asarray(
                        deployments.tokens_per_s_per_device(best, np.asarray(deployments.step(best).time))
                    )
                )
            )
        return Rates(*found)


def varied(scenario: Scenario, inputs: Iterable[Input], values: Mapping[str, float]) -> Scenario:
    """Return a scenario with inputs at other values.

    Parameters
    ----------
    scenario : Scenario
        The question.
    inputs : iterable of Input
        Its uncertain inputs.
    values : mapping of str to float
        Value by key, of some of them, in their units.

    Returns
    -------
    Scenario
        The changed question; tokens drafted per step stay as they were.

    Raises
    ------
    InputError
        If the values leave no time for the layers.
    """
    places: dict[str, dict[str, float]] = {}
    for found in inputs:
        if found.key in values:
            places.setdefault(found.place, {})[found.name] = values[found.key]
    changes: dict[str, Any] = {}
    records = {
        place.removeprefix("calibration "): given
        for place, given in places.items()
        if place.startswith("calibration ")
    }
    replaced: list[tuple[System, System]] = []
    for field, system in systems_of(scenario).items():
        given = places.get(field, {})
        changed = build_system(system.parts, overrides=given) if given else system
        if records:
            changed = _recalibrated(changed, records)
        replaced.append((system, changed))
    for field, system in (
        ("system", scenario.system),
        *((field, scenario.side(field.partition("_")[0])) for field in SIDES),
    ):
        other = next(changed for before, changed in replaced if before == system)
        if other is not system and getattr(scenario, field) is not None:
            changes[field] = other
    for name, value in places.get(OPTION, {}).items():
        changes[name] = int(value) if name in WHOLE else value
    if "accept_length" in changes:
        changes["draft_tokens"] = scenario.query_tokens - 1
    return attrs.evolve(scenario, **changes)


def _recalibrated(system: System, records: Mapping[str, Mapping[str, float]]) -> System:
    """Return a system whose catalogue has other values in some calibration records."""
    catalogue = system.parts.catalogue
    changed = []
    for name, given in records.items():
        record = catalogue.record("calibration", name)
        quantities = {
            **record.quantities,
            **{key: dataclasses.replace(record.quantities[key], value=value) for key, value in given.items()},
        }
        changed.append(dataclasses.replace(record, quantities=quantities))
    parts = dataclasses.replace(system.parts, catalogue=catalogue.laid_over(changed))
    return dataclasses.replace(system, parts=parts)
