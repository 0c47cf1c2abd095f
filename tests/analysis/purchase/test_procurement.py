"""Systems against a demand: rows that hold together, notes, and what is refused."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd.analysis.purchase.procurement import TABLE_KEYS
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import EP
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import DEMAND, RENT, asked, procure, rent, rows_of

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def test_rows_hold_together(answer: Answer) -> None:
    """Every number of a row follows from the row: money, power, devices, and the demand."""
    rows = answer.rows()
    assert len(rows) == 6
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    costs = [row["usd_per_million_tokens"] for row in rows]
    assert costs == sorted(costs)
    for row in rows:
        assert set(row) >= set(TABLE_KEYS)
        groups = [row["n_attention_devices"], row["n_ffn_devices"]]
        assert groups == [None, None] if row["mode"] == EP else sum(groups) == row["n_devices"]
        assert row["n_devices"] % row["n_replicas"] == 0
        assert row["capacity_tokens_per_s"] == pytest.approx(
            row["tokens_per_s_per_device"] * row["n_devices"]
        )
        assert row["load"] == pytest.approx(DEMAND / row["capacity_tokens_per_s"])
        assert row["load"] <= 1 + 1e-9
        # one replica less would not do
        assert row["capacity_tokens_per_s"] * (1 - 1 / row["n_replicas"]) < DEMAND
        assert row["usd_per_hour"] == pytest.approx(row["n_devices"] * RENT[row["system"]])
        assert row["usd_per_million_tokens"] == pytest.approx(row["usd_per_hour"] / (DEMAND * 3600 / 1e6))
        assert row["capex_usd"] is None
        assert row["watts_per_token_per_s"] == pytest.approx(row["power_kw"] * 1e3 / DEMAND)
        assert row["tokens_per_joule"] == pytest.approx(1 / row["watts_per_token_per_s"])
        assert row["tpot_ms"] <= 50 * (1 + 1e-9)
        assert row["n_nodes"] * 8 >= row["n_devices"]
    assert answer.summary["best"] == rows[0]["system"]
    assert answer.summary["best_mode"] == rows[0]["mode"]
    assert answer.summary["ranked_by"] == "usd_per_million_tokens"


def test_notes_say_what_is_left_out() -> None:
    """Prefill, halves of pairs that are no candidates, contexts no model is made for."""
    sides: dict[str, Any] = {"attention_system": "h20", "ffn_system": "h800", "tpot_ms": 200}
    pair = Scenario(system="h800", model="deepseek-v3", context=200_000, **sides)
    notes = procure([pair], demand=1e4).notes
    assert any("decode alone" in note for note in notes)
    assert "h20 and h800 alone not compared: add to --systems" in notes
    assert any("beyond the 163,840 tokens deepseek-v3 is made for" in note for note in notes)
    alone = Scenario(system="h800", model="deepseek-v3")
    assert not any("not compared" in note for note in procure([alone], demand=1e4).notes)


def test_refusals_name_what_is_nearest() -> None:
    """The least it names for a mode is served, and a little less is not, whatever kernels reach."""

    def asked_at(tpot_ms: float) -> Scenario:
        return Scenario(system="h800", model="deepseek-v3", tpot_ms=tpot_ms, max_devices=64)

    def refusal(tpot_ms: float) -> str:
        with pytest.raises(InfeasibleError, match=r"h800, EP: .*; the least is .* ms per token") as caught:
            procure([asked_at(tpot_ms)], demand=1e4)
        return str(caught.value)

    least = min(map(float, re.findall(r"the least is (\d+\.\d+) ms", refusal(5.0))))
    assert least > 5.0
    refusal(least - 0.01)
    served = procure([asked_at(least + 0.01)], demand=1e4)
    assert served.rows()[0]["feasible"]


def test_infeasible_candidates_are_rows_without_numbers() -> None:
    """16 H800 cannot hold the model in two groups; that row says what binds and nothing else."""
    answer = procure(asked("h800", "h200", max_devices=16), demand=DEMAND, prices=rent("h800", "h200"))
    rows = rows_of(answer)
    refused = [row for row in rows.values() if not row["feasible"]]
    assert refused
    for row in refused:
        assert row["binding"] == "HBM capacity"
        known = {key for key, value in row.items() if value is not None}
        assert known == {"system", "mode", "feasible", "binding"}
        assert any(note.startswith(f"{row['system']}, ") and "HBM capacity" in note for note in answer.notes)
    assert [row["feasible"] for row in answer.rows()] == sorted(
        (row["feasible"] for row in answer.rows()), reverse=True
    )


def test_nothing_feasible_is_a_no() -> None:
    with pytest.raises(InfeasibleError, match=r"^no: h800, EP: .*h20, AFD: binding is latency target"):
        procure(asked("h800", "h20", tpot_ms=1.0), demand=DEMAND)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no demand": ({"demand": None}, "a demand is one of"),
    "two demands": ({"users": 5, "user_tokens_per_s": 20}, "a demand is one of"),
    "half a demand": ({"demand": None, "users": 5}, "belong together"),
    "no users": ({"demand": None, "users": 0, "user_tokens_per_s": 20}, "users 0 must be"),
    "scale of nothing": ({"trace_scale": 2}, "trace_scale belongs to trace"),
    "zero demand": ({"demand": 0}, "demand 0 must be above 0"),
    "endless demand": ({"demand": math.inf}, "demand inf"),
    "no number": ({"demand": math.nan}, "demand nan"),
    "basis": ({"price_basis": "lease"}, "price_basis 'lease' is not valid; valid: "),
    "terms": ({"price_terms": "three-years"}, "did you mean 'three-year'"),
    "price of another": ({"prices": {"h801": 1.0}}, "prices 'h801' is none of the systems; did you"),
    "price below zero": ({"prices": {"h800": -1.0}}, "prices h800 -1 must be above 0"),
    "years": ({"years": 0}, "years 0 must be above 0"),
    "power": ({"power_usd_per_kwh": -0.1}, "power_usd_per_kwh -0.1 must be"),
    "pue": ({"pue": 0.9}, "pue 0.9 must be at least 1"),
    "utilization": ({"utilization": 1.5}, "utilization 1.5 must be"),
    "no utilization": ({"utilization": 0}, "utilization 0 must be above 0"),
    "rate": ({"cny_per_usd": 0}, "cny_per_usd 0 must be above 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_questions_are_refused(what: str) -> None:
    fields, says = REFUSED[what]
    with pytest.raises(InputError) as raised:
        procure(asked("h800"), **{"demand": DEMAND} | fields)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
