"""Questions as functions of Python take them: every option by its name, and no other."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

import roofline_afd
from roofline_afd import Scenario, plot

if TYPE_CHECKING:
    from collections.abc import Callable

H800 = Scenario(system="h800", model="deepseek-v3")
FIELDS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "roofline": (roofline_afd.roofline, ["scenario", "ffn_nodes", "arrays"]),
    "what_if": (roofline_afd.what_if, ["scenario", "changes"]),
    "plot.roofline": (plot.roofline, ["scenario", "ffn_nodes"]),
    "plot.dead_zone": (plot.dead_zone, ["scenario", "ffn_nodes"]),
    "plot.breakdown": (plot.breakdown, ["scenario", "mode"]),
    "plot.afd_vs_ep": (plot.afd_vs_ep, ["scenario", "tpot_range", "targets_ms"]),
    "plot.hfu_map": (plot.hfu_map, ["scenario", "x", "y", "metric", "axes"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_options_are_arguments(name: str) -> None:
    function, fields = FIELDS[name]
    assert list(inspect.signature(function).parameters) == fields
    text = inspect.getdoc(function) or ""
    assert all(f"\n{field} : " in text for field in fields)
    needed: dict[str, object] = {"changes": {}} if "changes" in fields else {}
    with pytest.raises(TypeError, match="unexpected keyword argument 'ffn_node'"):
        function(H800, **needed, ffn_node=[8])


def test_imbalance_takes_names_alone() -> None:
    function: Callable[..., Any] = roofline_afd.imbalance
    assert len(inspect.signature(function).parameters) == 15
    with pytest.raises(TypeError, match="missing a required"):
        function(ffn_nodes=1)
    with pytest.raises(TypeError, match="too many positional"):
        function(3, 1)
