"""The load of a slot from empty slots on: requests of known lengths, and other distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline_afd.analysis.requests.lengths import Workload, workload_of
from roofline_afd.analysis.requests.questions import Provisioning
from roofline_afd.analysis.requests.traces import Trace


def _workload(**lengths: Any) -> Workload:  # noqa: ANN401 - fields of a question
    return workload_of(Provisioning(**lengths))


def _trace(outputs: list[int], prompts: list[int]) -> Trace:
    return Trace("mine", np.array(prompts), np.array(outputs), 3)


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"decode_distribution": "fixed", "decode_mean": 4, "prompt_mean": 10}, [10, 11, 12, 13] * 5),
        ({"trace": _trace([4, 4], [10, 10])}, [10, 11, 12, 13] * 5),
        ({"trace": _trace([1, 1], [10, 20])}, [15] * 20),
    ],
)
def test_start_from_empty_slots(settings: dict[str, Any], known: list[float]) -> None:
    """Requests of known lengths, slot by slot."""
    work = _workload(**settings)
    for steps in (1, 2, 3, 7, 20):
        found = work.starting(batch=1, requests=steps / work.decode_mean)
        assert found == pytest.approx(np.mean(known[:steps]))


def test_start_of_other_distributions_nears_the_stationary_load() -> None:
    generator = np.random.default_rng(5)
    outputs = generator.geometric(1 / 50, 200_000)
    traced = _workload(trace=Trace("mine", np.full(outputs.size, 30), outputs, 0))
    geometric = _workload(prompt_mean=30, decode_mean=50)
    heavy = _workload(prompt_mean=30, decode_mean=50, decode_distribution="lognormal", decode_cv=1)
    for requests in (200, 1000, 20_000):
        near = geometric.starting(batch=64, requests=requests)
        assert traced.starting(batch=64, requests=requests) == pytest.approx(near, rel=0.01)
    assert heavy.starting(batch=1, requests=1e6) == pytest.approx(heavy.load.theta, rel=2e-3)
    assert heavy.starting(batch=64, requests=200) < heavy.load.theta
