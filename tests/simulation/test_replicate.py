"""One replication: known steps, slower parts, and what is kept of a long one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from roofline_afd.simulation import settings as simulation_settings
from roofline_afd.simulation.measure import measure
from roofline_afd.simulation.replicate import replicate
from tests.simulation.small import PAPER, alike, trial


@pytest.mark.parametrize("duplex", ["shared", "full"])
def test_one_worker_and_micro_batch_take_turns(duplex: str) -> None:
    """Fixed lengths, r = 1, m = 1: every step is t_A(KV) + t_C + t_F, and the KV tokens are known."""
    asked = trial(
        lengths=alike(100, 40), ratios=(1,), microbatches=1, start="cold", requests=640, duplex=duplex
    )
    course = replicate(asked, 0)
    kv = 16 * (100 + np.arange(course.steps[-1]) % 40)
    trip = PAPER.transfer_slope * 16 + PAPER.transfer_fixed
    ffn = PAPER.ffn_slope * 16 + PAPER.ffn_fixed
    each = PAPER.attention_slope * kv + PAPER.attention_fixed + trip + ffn
    late = trip / 2 if duplex == "full" else 0.0  # the way back is not the FFN's
    np.testing.assert_allclose(course.time[:, 0], np.cumsum(each) - late, rtol=1e-12)
    found = measure(asked, course)
    last = 640 // 16 * 40 * 4 // 5
    assert found.throughput[0, 0] == pytest.approx(16 * last / (each[:last].sum() - late) / 2, rel=1e-12)
    assert found.ffn_idle[0, 0] == pytest.approx(1 - last * ffn / (each[:last].sum() - late), rel=1e-9)


@pytest.mark.parametrize("field", PAPER._fields)
def test_slower_parts_never_help(field: str) -> None:
    """Every coefficient raised lowers the throughput, or leaves it, request by request."""
    fast = trial(requests=300, batch=64, window="steady")
    slow = dataclasses.replace(fast, coefficients=PAPER._replace(**{field: getattr(PAPER, field) * 1.5}))
    one, other = replicate(fast, 0), replicate(slow, 0)
    assert (other.time >= one.time).all()
    assert other.time[-1, 0] > one.time[-1, 0]


def test_long_runs_keep_every_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replicate(trial(requests=5000), 0)
    monkeypatch.setattr(simulation_settings, "MOST_KEPT", 20_000)
    asked = trial(requests=5000)
    assert asked.stride == 8
    course = replicate(asked, 0)
    np.testing.assert_array_equal(course.steps, whole.steps[7::8])
    np.testing.assert_array_equal(course.time, whole.time[7::8])
    np.testing.assert_array_equal(course.attention_busy, whole.attention_busy[7::8])
    np.testing.assert_array_equal(course.completions, whole.completions[7::8])
