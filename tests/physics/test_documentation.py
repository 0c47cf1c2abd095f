"""Every public formula says what it takes, in which unit, what it computes, and where that comes from."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

import roofline_afd.physics
from roofline_afd.analysis.listing.terms import TERMS
from roofline_afd.docstrings import documentation

MODULES = [
    importlib.import_module(f"roofline_afd.physics.{module.name}")
    for module in pkgutil.iter_modules(roofline_afd.physics.__path__)
]
FORMULAS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in MODULES
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_is_documented(name: str) -> None:
    """Keyword-only parameters, each with its unit; the equation; a reference; an example, run elsewhere."""
    function: Callable[..., Any] = FORMULAS[name]
    document = documentation(function)
    parameters = inspect.signature(function).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert set(document.parameters) == set(parameters)
    missing = [key for key, entry in document.parameters.items() if "[" not in entry.text and not entry.unit]
    assert not missing, f"no unit: {missing}"
    assert ">>> " in (inspect.getdoc(function) or "")
    assert document.summary
    assert document.notes
    assert document.references


@pytest.mark.parametrize("term", TERMS)
def test_every_explained_term_has_a_formula(term: str) -> None:
    """`explain` prints what the docstring says, so that must be there."""
    document = documentation(TERMS[term].function)
    assert document.notes
    assert document.references


def test_every_result_of_the_roofline_can_be_explained() -> None:
    """Whoever sees a number in the answer can ask where it comes from."""
    from roofline_afd.analysis.bounds.questions import Roofline
    from roofline_afd.analysis.bounds.roofline import roofline
    from roofline_afd.analysis.listing.terms import find_term
    from roofline_afd.serving.scenario import Scenario

    answer = roofline(Roofline(Scenario(system="h800", model="deepseek-v3")))
    words = {
        "ffn_nodes",
        "feasible",
        "binding",
        "regimes",
        "answer",
        "weakest_kind",
        "best_ffn_nodes",
        "best_hfu",
    }
    words |= {"ffn_nodes_from", "ffn_nodes_to"}
    for key in {*answer.columns, *answer.summary} - words:
        assert find_term(key) in TERMS, key
