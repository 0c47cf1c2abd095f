"""What formulas share by name is described once, and reads as if each had said it itself."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from roofline_afd.docstrings import SHARED, Parameter, documentation
from roofline_afd.nomenclature import NOMENCLATURE
from roofline_afd.physics.traffic import pair_traffic
from tests.conftest import ROOT
from tests.physics.test_documentation import FORMULAS


def _shared(function: Callable[..., Any]) -> set[str]:
    """Return the symbols a formula leaves to the nomenclature."""
    lines = re.findall(rf"^(.+)\n +{re.escape(SHARED)}$", inspect.getdoc(function) or "", flags=re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def test_every_symbol_is_shared_by_two_formulas_at_least() -> None:
    uses = Counter(symbol for function in FORMULAS.values() for symbol in _shared(function))
    assert set(NOMENCLATURE) == set(uses)
    assert not [symbol for symbol, count in uses.items() if count < 2]


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_says_itself_only_what_the_nomenclature_does_not(name: str) -> None:
    function: Callable[..., Any] = FORMULAS[name]
    own = {
        symbol: f"{entry.text} [{entry.unit}]" if entry.unit else entry.text
        for symbol, entry in documentation(function).parameters.items()
        if symbol not in _shared(function)
    }
    assert not [symbol for symbol, text in own.items() if NOMENCLATURE.get(symbol) == text]


def test_symbols_are_easy_to_find() -> None:
    names = list(dict.fromkeys(NOMENCLATURE.values()))
    first = [next(symbol for symbol, text in NOMENCLATURE.items() if text == entry) for entry in names]
    assert first == sorted(first)


def test_reader_sees_the_descriptions_in_the_order_of_the_call() -> None:
    """The formula's own line for `top_k`; what is described together stays together."""
    volume = Parameter("Bytes of an element, and of the format's scales per element", "B")
    spread = Parameter("Devices the experts are spread over, G; those scale-up connects, g", "1")
    assert list(documentation(pair_traffic).parameters.items()) == [
        ("tokens", Parameter("Tokens of one device, T", "1")),
        ("top_k", Parameter("Experts of a token, k", "1")),
        ("width", Parameter("Width of the vector, H", "elements")),
        ("bytes_per_element", volume),
        ("scale_bytes_per_element", volume),
        ("devices", spread),
        ("devices_per_node", spread),
        ("filled", Parameter("Whether domains are filled one after the other (`domain_parts`)", "1")),
    ]


def test_page_of_formulas_sends_no_reader_elsewhere() -> None:
    assert "nomenclature" not in (ROOT / "docs" / "formulas.md").read_text("utf-8")
