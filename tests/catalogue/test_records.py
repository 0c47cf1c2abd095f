"""Kinds of provenance: what a result rests on is as strong as its weakest input."""

from __future__ import annotations

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.records import GIVEN, weakest_kind


def test_weakest_kind() -> None:
    quantities = load_system("h20").quantities
    assert weakest_kind([quantities["fp8_tflops"]]) == "reported"
    assert weakest_kind([quantities["fp8_tflops"], quantities["int8_tops"]]) == "estimated"
    assert weakest_kind([]) == GIVEN
