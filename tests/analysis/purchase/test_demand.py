"""The demand: users and traces set what they imply."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import DEMAND, asked, procure


def test_users_set_the_latency_target() -> None:
    """1,500 users at 20 tokens/s each are 30,000 tokens/s within 50 ms."""
    users = procure(asked("h800", tpot_ms=None), users=1500, user_tokens_per_s=20)
    plain = procure(asked("h800"), demand=DEMAND)
    assert users.rows() == plain.rows()
    assert users.inputs["tpot_ms"] == 50
    # a tighter limit of one's own stays
    tighter = procure(asked("h800", tpot_ms=40), users=1500, user_tokens_per_s=20)
    assert tighter.inputs["tpot_ms"] == 40
    assert all(row["tpot_ms"] <= 40 * (1 + 1e-9) for row in tighter.rows())
    looser = procure(asked("h800", tpot_ms=80), users=1500, user_tokens_per_s=20)
    assert looser.rows() == plain.rows()


def test_a_trace_sets_demand_and_context(tmp_path: Path) -> None:
    """Two requests a second of 300 tokens each; their context is the prompt and half the output."""
    lines = [f"2026-01-01 00:00:{number / 2:09.6f},1850,300" for number in range(100)]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n", "utf-8")
    traced = procure(asked("h800"), trace=path, trace_scale=50)
    assert traced.inputs["demand_tokens_per_s"] == pytest.approx(2 * 300 * 50)
    plain = procure(asked("h800", context=2000), demand=DEMAND)
    for row, other in zip(traced.rows(), plain.rows(), strict=True):
        assert row["n_devices"] == other["n_devices"]
        assert row["tokens_per_s_per_device"] == pytest.approx(other["tokens_per_s_per_device"])
    assert "100 requests a second of 300" in traced.notes[0]
    assert "context 2,000" in traced.notes[0]


def test_a_trace_gives_the_context_that_slots_hold(tmp_path: Path) -> None:
    """Long outputs hold their tokens for longer; a context beside the trace is refused."""
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:15:{second:02d},1000,{10 if second % 2 else 990}" for second in range(60)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    scenario = Scenario(system="h200", model="deepseek-v3")
    answer = procure([scenario], trace=trace, trace_scale=100.0)
    decoded = (10 * (1000 + 4.5) + 990 * (1000 + 494.5)) / 1000
    assert answer.inputs["context"] == round(decoded)
    with pytest.raises(InputError, match="trace gives the context: leave out context"):
        procure([attrs.evolve(scenario, context=9999)], trace=trace)
