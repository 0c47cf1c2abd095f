"""Questions that differ in numbers alone, as one: each element of an array is of one of them."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.serving.deployment import AFD, Deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Layers
    from roofline_afd.serving.uneven import ExpertLoad

NUMBERS = (
    *("tpot_ms", "context", "gap_ms"),
    *("memory_gb_per_s", "scale_up_gb_per_s", "scale_out_gb_per_s"),
)
"""Inputs in which questions of a stack may differ: fields, and catalogue keys of their systems."""
FIELDS = ("context", "gap_ms")
"""Of these the fields that the time of a step rests on."""
FEWER = ("context", "gap_ms")
"""Of these those of which less makes a step quicker; of the others more does."""


class Stack:
    """Questions that differ in `NUMBERS` alone, for one mode.

    Parameters
    ----------
    questions : sequence of Deployments
        One at least.
    """

    def __init__(self, questions: Sequence[Deployments]) -> None:
        self.questions = tuple(questions)
        self.first = questions[0]
        self.limits: Numbers = np.array([each.scenario.step_limit for each in questions])
        """Longest step of each question [s]."""
        self._fields = {
            name: column
            for name in FIELDS
            if (column := _moved([getattr(each.scenario, name) for each in questions])) is not None
        }
        self._attention = _rates([each.attention for each in questions])
        self._ffn = _rates([each.ffn for each in questions])

    def by_chance(self) -> Stack:
        """Return the same questions with experts that chance alone loads unevenly: no step is quicker."""
        found = copy.copy(self)
        found.first = _ByChance(self.first)
        return found

    def of(self, which: Rows) -> Deployments:
        """Return deployments each element of which is of the question at a place.

        Parameters
        ----------
        which : array of int
            Place of each element's question, of a shape that broadcasts to the deployments'.

        Returns
        -------
        Deployments
            Whose steps are timed elementwise; what memory holds is for each question to say.
        """
        return self.first if len(self.questions) == 1 else self._with(lambda _, column: column[which])

    def quickest(self, which: Rows) -> Deployments:
        """Return a question whose deployments take no longer than those of any question at some places."""
        if len(self.questions) == 1:
            return self.first
        found = self._with(lambda name, column: _extreme(name, column[which]))
        limits = [self.questions[place].scenario.latency_ms for place in which.tolist()]
        object.__setattr__(found.scenario, "tpot_ms", max(limits))
        return found

    def _with(self, pick: Callable[[str, Numbers], Any]) -> Deployments:
        """Return the first question with numbers picked of all."""
        scenario = copy.copy(self.first.scenario)
        for name, column in self._fields.items():
            object.__setattr__(scenario, name, pick(name, column))
        sides = (
            _changed(system, {name: pick(name, column) for name, column in rates.items()})
            for system, rates in ((self.first.attention, self._attention), (self.first.ffn, self._ffn))
        )
        return _Elementwise(self.first, scenario, *sides)


class _Like(Deployments):
    """Deployments like those of a question, with all that was looked up for it."""

    def __init__(self, like: Deployments) -> None:
        self.__dict__.update(vars(like))


class _Elementwise(_Like):
    """The same, but for numbers that may be arrays: what was looked up rests on other inputs."""

    def __init__(self, like: Deployments, scenario: Scenario, attention: System, ffn: System) -> None:
        super().__init__(like)
        self.like = like
        self.scenario = scenario
        self.attention = attention
        self.ffn = ffn

    def layers(self, transport: str = "", *others: Any) -> Layers:  # noqa: ANN401 - as a plan has them
        """Return the layers under a plan, on systems whose rates may be arrays."""
        apart = self.ffn if self.mode == AFD else None
        return self.like.layers(transport, *others).on(self.attention, apart)


class _ByChance(_Like):
    """The same, but for how uneven experts are, which layers rest on."""

    def __init__(self, like: Deployments) -> None:
        super().__init__(like)
        self._layers = {}

    @property
    def load(self) -> ExpertLoad | None:
        """Popularity that is not looked at."""
        found = super().load
        return found and dataclasses.replace(found, by_chance=True)


def _moved(values: Sequence[float | None]) -> Numbers | None:
    """Return the values of an input where questions differ in it."""
    same = all(value == values[0] for value in values)
    return None if same else np.array(values, dtype=float)


def _extreme(name: str, values: Numbers) -> float:
    return float(values.min() if name in FEWER else values.max())


def _rates(systems: Sequence[System]) -> dict[str, Numbers]:
    """Return the rates in which systems differ, by the part that has them [B/s]."""
    columns = {
        "accelerator": _moved([each.accelerator.memory_bytes_per_s for each in systems]),
        "scale_up": _moved([each.scale_up.bytes_per_s for each in systems]),
        "scale_out": _moved([each.scale_out.bytes_per_s if each.scale_out else None for each in systems]),
    }
    return {name: column for name, column in columns.items() if column is not None}


def _changed(system: System, rates: dict[str, Any]) -> System:
    """Return a system with other rates of its parts."""
    keys = {"accelerator": "memory_bytes_per_s", "scale_up": "bytes_per_s", "scale_out": "bytes_per_s"}
    parts = {
        name: dataclasses.replace(getattr(system, name), **{keys[name]: rate}) for name, rate in rates.items()
    }
    return dataclasses.replace(system, **parts) if parts else system
