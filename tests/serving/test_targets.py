"""Many latency targets at once: each finds what a search of its own does."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from roofline_afd.serving import targets
from roofline_afd.serving.deployment import MODES, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from roofline_afd.serving.targets import search_targets

ASKED = [1e4, 12.0, 30.0, 50.0, 75.0, 4.0]
"""Out of order, one that nothing meets, one that binds nowhere."""
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"system": "h800", "max_devices": 32, "granularity": "node"},
    {"system": "h20", "max_devices": 24, "granularity": "node", "afd_cut": "core"},  # works in waves
    {"system": "gb200-nvl72", "max_devices": 10, "tensor_parallel": 1, "transport": "all"},
    {"system": "h800", "max_devices": 32, "batch": 40, "tensor_parallel": 1},
)


@pytest.mark.parametrize("asked", QUESTIONS)
def test_each_target_finds_what_a_search_does(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same deployment, counted alike; in one go, and in several where shapes are many."""
    scenario = Scenario(model="deepseek-v3", **asked)
    for mode in MODES:
        found = search_targets(scenario, mode, ASKED)
        each = [search(Deployments(attrs.evolve(scenario, tpot_ms=target), mode)) for target in ASKED]
        assert list(found.best) == [one.best for one in each]
        assert found.examined == sum(one.examined for one in each)
        assert [rate > 0 for rate in found.rates] == [best is not None for best in found.best]
        with monkeypatch.context() as patched:
            patched.setattr(targets, "MOST_AT_ONCE", 1)
            assert search_targets(scenario, mode, ASKED) == found
