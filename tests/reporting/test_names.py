"""Ids and keys in words."""

from __future__ import annotations

import pytest

from roofline_afd import Scenario
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.reporting.names import in_words, input_name, named, names_of


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("memory_gb_per_s", "memory bandwidth"),
        ("default.gemm.memory_efficiency", "matrix products: share of memory bandwidth reached (estimate)"),
        ("mori-roce.link.latency_out_us", "links: delay across nodes (mori-roce)"),
        ("service.communication_slowdown", "slowdown of transfers in live service"),
        ("model.new_value_us", "new value (model)"),
    ],
)
def test_inputs_have_names(key: str, name: str) -> None:
    assert input_name(key) == name


def test_keys_are_replaced_whole() -> None:
    """A key that begins another is not taken for it."""
    keys = ["memory_gb", "memory_gb_per_s"]
    text = in_words("rests on memory_gb_per_s (1 to 2), memory_gb", keys)
    assert text == "rests on memory bandwidth (1 to 2), memory"
    assert in_words("memory_gb", []) == "memory_gb"


def test_candidates_have_short_names_that_tell_them_apart() -> None:
    pair = Scenario(system="h800", attention_system="h20", model="deepseek-v3")
    names = names_of([Scenario(system="b200", model="deepseek-v3"), pair])
    assert names["b200"] == "NVIDIA HGX B200"
    assert names["h20+h800"] == f"{names['h20']} + {names['h800']}"
    assert named("b200:h20+h800", names) == f"{names['h20+h800']}, prefill on NVIDIA HGX B200"
    twins = names_of([Scenario(system=name, model="deepseek-v3") for name in ("h100", "h100-efa-v2")])
    assert twins["h100"] == load_system("h100").name
    assert twins["h100"] != twins["h100-efa-v2"]
