"""How uneven a load is: from counts, from a popularity, by placement; defaults that are said."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.analysis.bounds.imbalance import imbalance
from roofline_afd.analysis.bounds.questions import PLACEMENTS, Imbalance
from roofline_afd.catalogue.models import load_model

NODES: dict[str, Any] = {"attention_nodes": 3, "ffn_nodes": 1}
QUICK: dict[str, Any] = {"tokens": 500, "batches": 20}


def _ask(**question: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the analysis takes
    return imbalance(Imbalance(**{**NODES, **question})).rows()


def test_counts_give_the_expected_load_and_batches() -> None:
    """By hand: 10, 20, 30, 40 on two devices are 30 and 70 in order; 50 and 50 by load."""
    rows = _ask(expert_counts=[10, 20, 30, 40], devices=2, top_k=2)
    assert [row["load"] for row in rows] == ["expected", "batch p10", "batch mean", "batch p90"]
    assert rows[0]["sigma"] == pytest.approx(50 / 70)
    assert rows[1]["sigma"] < rows[2]["sigma"] < rows[3]["sigma"]
    assert rows[2]["sigma"] == pytest.approx(50 / 70, abs=0.02)
    by_load = _ask(expert_counts=[10, 20, 30, 40], devices=2, top_k=2, placement="greedy")
    assert by_load[0]["sigma"] == pytest.approx(1)
    assert by_load[2]["sigma"] < 1


def test_batches_depend_on_the_seed_alone() -> None:
    question = {"zipf": 0.8, "placement": "greedy", "devices": 16, **QUICK}
    assert _ask(**question) == _ask(**question, seed=0)
    assert _ask(**question)[0] == _ask(**question, seed=1)[0]
    assert _ask(**question)[2] != _ask(**question, seed=1)[2]


def test_replicas_and_placement_level_popularity() -> None:
    question = {"zipf": 1.0, "model": "deepseek-v3", "devices": 32, **QUICK}
    in_order, by_load, replicated = (
        [row["sigma"] for row in _ask(**question, **placed)]
        for placed in ({}, {"placement": "greedy"}, {"placement": "greedy", "redundant_experts": 32})
    )
    assert in_order[0] < by_load[0] < replicated[0]
    assert in_order[2] < by_load[2] < replicated[2]


def test_shape_and_devices_are_defaults_that_are_said() -> None:
    answer = imbalance(Imbalance(zipf=1, **NODES, **QUICK))
    assert answer.inputs["model"] == "deepseek-v3"
    assert (answer.inputs["routed_experts"], answer.inputs["top_k"], answer.inputs["devices"]) == (256, 8, 8)
    assert answer.inputs["values"]["routed_experts"]["source"]
    assert answer.summary["weakest_kind"] == answer.inputs["values"]["top_k"]["kind"]
    for said in (
        "the shape of deepseek-v3 is taken by default",
        "--devices is taken as 8: 8 for each FFN node",
        "the worst case",
        "4 of 8 groups",
        "every token chooses the most popular expert",
    ):
        assert any(said in note for note in answer.notes), said
    few = imbalance(Imbalance(expert_counts=[1, 2, 3], **NODES, **QUICK))
    assert few.inputs["devices"] == 3
    assert any("--devices is taken as 3: one for each expert" in note for note in few.notes)
    assert any("a token is taken to choose one expert" in note for note in few.notes)
    assert few.inputs["values"] == {}


def test_a_model_may_be_given_whole_or_overruled() -> None:
    shape = load_model("kimi-k2")
    by_shape, by_name = (
        imbalance(Imbalance(zipf=1, **NODES, **QUICK, model=model)) for model in (shape, "kimi-k2")
    )
    assert by_shape.rows() == by_name.rows()
    overruled = imbalance(Imbalance(zipf=1, **NODES, **QUICK, model=shape, routed_experts=64))
    assert (overruled.inputs["routed_experts"], overruled.inputs["top_k"]) == (64, shape.top_k)
    assert set(overruled.inputs["values"]) == {"top_k"}
    zero = imbalance(Imbalance(zipf=1, **NODES, **QUICK, model="longcat-flash"))
    assert any("compute nothing" in note for note in zero.notes)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_one_device_and_one_expert_each_are_the_limits(placement: str) -> None:
    """A single device is balanced; with one expert a device sigma is mean over maximum of the experts."""
    question = {"expert_counts": [1, 2, 3, 6], "placement": placement, **QUICK}
    assert {row["sigma"] for row in _ask(**question, devices=1)} == {1}
    assert _ask(**question, devices=4)[0]["sigma"] == pytest.approx(0.5)
