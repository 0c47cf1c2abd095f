"""Modes on two pools: only they gain from a system that prefills faster."""

from __future__ import annotations

from roofline_afd.serving.modes.question import AGG, PD
from roofline_afd.serving.modes.search import explore_modes
from tests.serving.modes.asking import asking, rate_of


def test_a_system_that_only_prefills() -> None:
    """Modes on one pool do not use it; the others may only gain from a faster one."""
    plain, other = (explore_modes(asking(system="h20", prefill=each)) for each in (None, "h200"))
    assert rate_of(plain[AGG]) == rate_of(other[AGG])
    assert rate_of(other[PD]) > rate_of(plain[PD])
