"""Questions as functions of Python take them, and as the command line does: every option, and no other."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import roofline_afd
from roofline_afd import Scenario, plot
from roofline_afd.analysis.requests import questions
from roofline_afd.serving.modes.question import SERVING_MODES
from tests.conftest import command

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, tuple[Callable[..., Any], type]] = {
    "provision": (roofline_afd.provision, questions.Provisioning),
    "simulate": (roofline_afd.simulate, questions.Simulation),
    "explore": (roofline_afd.explore, questions.Exploration),
    "plot ratio": (plot.ratio, questions.Simulation),
    "plot pareto": (plot.pareto, questions.ParetoPicture),
    "plot pareto-panels": (plot.pareto_panels, questions.ParetoPanels),
}
UNSEEN = {"scenario", "scenarios", "dots"}
"""Fields that stand for several options, or that the command line lacks."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_arguments(name: str) -> None:
    function, question = FUNCTIONS[name]
    fields = {field.name for field in dataclasses.fields(question)}
    assert set(inspect.signature(function).parameters) == fields
    text = inspect.getdoc(function) or ""
    assert all(f"\n{field} : " in text for field in fields)
    with pytest.raises(TypeError, match="'worklod'"):
        function(**dict.fromkeys(fields & {"scenario", "scenarios"}), worklod="chat")
    told = command(*name.split(), "--help").out
    assert all(f"--{field.replace('_', '-')}" in told for field in fields - UNSEEN)


def test_a_scenario_and_kinds_of_requests_need_no_name() -> None:
    scenario = Scenario(system="b200", model="gpt-oss-20b")
    assert questions.Exploration(scenario).scenario is scenario
    assert questions.ParetoPanels([scenario], ("chat",)).workloads == ("chat",)
    with pytest.raises(TypeError, match="positional"):
        plot.pareto(scenario, "chat")  # type: ignore[call-arg]  # as mypy says too


def test_modes_are_named() -> None:
    """The question does not load what searches them."""
    text = questions.ModeSearch.__doc__ or ""
    assert f"of {', '.join(SERVING_MODES)};" in text
