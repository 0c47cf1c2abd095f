"""Formulas of operators with numbers put in: those that the operator itself was timed with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline_afd.analysis.listing.explain import explain
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario

BATCH, CONTEXT, NODES = 96, 10_000, 2
SIZES = {"batch": BATCH, "context": CONTEXT, "ffn_nodes": NODES}


def _scenario(system: str, model: str) -> Scenario:
    return Scenario(system=system, model=model)


def _times(scenario: Scenario, transport: str = "") -> dict[str, float]:
    """Return the time of each operator of a device of two nodes [s], the longest of each name."""
    devices = NODES * scenario.system.devices_per_node
    layers = Deployments(scenario, EP).layers(transport)
    found: dict[str, float] = {}
    for item in decode_operators(layers, sequences=BATCH, context=CONTEXT, attention_devices=devices):
        found[item.name] = max(found.get(item.name, 0.0), float(np.asarray(item.time)))
    return found


def _values(scenario: Scenario, term: str) -> tuple[float, dict[str, Any]]:
    answer = explain(term, scenario, **SIZES)
    return answer.summary["value"], {row["symbol"]: row["value"] for row in answer.rows()}


@pytest.mark.parametrize("system", ["h800", "h20", "gb200-nvl72", "mi300x"])
@pytest.mark.parametrize("model", ["deepseek-v3", "qwen3-235b-a22b"])
@pytest.mark.parametrize("term", ["core_attention", "experts_up", "experts_down", "query_key_value"])
def test_a_time_is_that_of_the_operator(system: str, model: str, term: str) -> None:
    """Every term of its law is among the numbers: put into the formula they give the operator's time."""
    scenario = _scenario(system, model)
    value, symbols = _values(scenario, term)
    assert None not in symbols.values()
    assert value == pytest.approx(_times(scenario)[term], rel=1e-12)


def test_waves_of_the_h20() -> None:
    """96 sequences of 4 cached heads are 384 pieces: 4.92 waves of 78 processors, of which 5 are paid."""
    scenario = _scenario("h20", "qwen3-235b-a22b")
    value, symbols = _values(scenario, "filled_waves")
    assert symbols == {"items": 384, "processors": 78}
    assert value == pytest.approx(384 / (78 * 5))
    _, core = _values(scenario, "core_attention")
    assert core["padding"] == pytest.approx(1 / value)  # 16 heads of a cached one fill a tile of 16 rows


def test_parts_without_waves_have_none_to_explain() -> None:
    """On the H800 times do not show them: the term is not of its law."""
    with pytest.raises(InputError, match="filled_waves does not apply"):
        explain("filled_waves", _scenario("h800", "qwen3-235b-a22b"), **SIZES)


@pytest.mark.parametrize(("batch", "growth"), [(1, 2.0), (2, 1.0), (4, 0.0)])
def test_few_pieces_on_gb200(batch: int, growth: float) -> None:
    """4 cached heads a sequence: log2(16 / items) doublings, whole from 32,768 entries on."""
    scenario = _scenario("gb200-nvl72", "qwen3-235b-a22b")
    question = {"batch": batch, "context": 65_536, "ffn_nodes": NODES}
    answer = explain("few_items_growth", scenario, **question)
    assert answer.summary["value"] == pytest.approx(growth)
    core = {row["symbol"]: row["value"] for row in explain("core_attention", scenario, **question).rows()}
    assert core["growth"] == pytest.approx(growth)
    assert core["growth_time"] > 0


def test_handling_of_modules_is_told() -> None:
    """Where a device hands its module a copy per place, the module sorts them: H (t_p pairs + t_n N)."""
    scenario = _scenario("gb200-nvl72", "deepseek-v3")
    value, symbols = _values(scenario, "expert_handling_time")
    assert value == pytest.approx(
        symbols["width"]
        * (symbols["pairs"] * symbols["pair_time"] + symbols["tokens_handed"] * symbols["token_time"])
    )
    assert value == pytest.approx(_times(scenario, "rank")["experts_handling"], rel=1e-12)
    bytes_moved, _ = _values(scenario, "expert_handling_bytes")
    assert bytes_moved > 0


def test_live_tokens_touch_fewer_experts_than_forced_balance() -> None:
    """The exponent of the record counts under natural routing alone."""
    live = Scenario(system="h800", model="deepseek-v3")
    forced = Scenario(system="h800", model="deepseek-v3", routing="balanced")
    (few, symbols), (many, even) = (_values(each, "experts_touched") for each in (live, forced))
    assert symbols["routing_exponent"] < even["routing_exponent"] == 1
    assert few < many
