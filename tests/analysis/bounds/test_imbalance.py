"""What imbalance costs: rows, the sentence, what is said, and questions refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline_afd.analysis.bounds.imbalance import imbalance
from roofline_afd.analysis.bounds.questions import Imbalance
from roofline_afd.errors import InputError

NODES: dict[str, Any] = {"attention_nodes": 3, "ffn_nodes": 1}
QUICK: dict[str, Any] = {"tokens": 500, "batches": 20}


def _ask(**question: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the analysis takes
    return imbalance(Imbalance(**{**NODES, **question})).rows()


def test_a_row_for_each_sigma() -> None:
    rows = _ask(sigma=[0.9, 0.8, 1.0])
    assert [row["sigma"] for row in rows] == [0.9, 0.8, 1.0]
    assert [row["rounding"] for row in rows] == ["ceil", "floor", "exact"]
    assert [row["attention_nodes_used"] for row in rows] == [3, 2, 3]
    assert {row["load"] for row in rows} == {"given"}
    for row in rows:
        assert row["afd_rounding_penalty"] == pytest.approx(row["alpha_afd_continuous"] - row["alpha_afd"])
    assert _ask(sigma=np.array([0.9, 0.8, 1.0])) == rows
    assert _ask(sigma=np.array(0.9)) == _ask(sigma=0.9) == rows[:1]


def test_the_sentence_names_losses_rounding_and_its_cure() -> None:
    answer = imbalance(Imbalance(sigma=0.9, **NODES))
    assert answer.summary["answer"] == (
        "At sigma 0.9, imbalance costs EP 2.7% and AFD (3A1F) 10.0% of throughput; AFD's extra 7.3% is "
        "rounding to whole attention nodes, below 1% from 18A6F on."
    )
    larger = imbalance(Imbalance(sigma=0.9, attention_nodes=18, ffn_nodes=6))
    assert larger.summary["largest_rounding_penalty"] < 0.01
    several = imbalance(Imbalance(sigma=(0.95, 0.8), **NODES)).summary["answer"]
    assert several.startswith("At sigma 0.8 to 0.95, imbalance costs EP 1.3% to 5.9% and AFD (3A1F) 5.0% to")
    assert "AFD's extra, at most 5.2%, is rounding" in several
    fewer = imbalance(Imbalance(sigma=0.7, **NODES)).summary["answer"]
    assert "AFD (3A1F, 2 attention nodes run) 11.1%" in fewer
    exact = imbalance(Imbalance(sigma=0.9, attention_nodes=10, ffn_nodes=2)).summary["answer"]
    assert exact.endswith("nothing of it by rounding to whole attention nodes.")
    other = imbalance(Imbalance(sigma=0.9, **NODES, lambda_ep=1)).summary["answer"]
    assert "EP 5.3% and AFD (3A1F) 10.0% of throughput; of AFD's loss 7.3% is rounding" in other


def test_equal_lambda_is_a_default_that_is_said() -> None:
    assert "--lambda-ep is taken as 3 / 1 = 3" in imbalance(Imbalance(sigma=0.9, **NODES)).notes[0]
    given = imbalance(Imbalance(sigma=0.9, **NODES, lambda_ep=2))
    assert not any("--lambda-ep" in note for note in given.notes)
    assert given.rows()[0]["alpha_ep"] == pytest.approx(3 / (2 + 1 / 0.9))
    assert (given.summary["lambda_ep"], given.summary["lambda_afd"]) == (2, 3)


def test_what_is_given_but_not_used_is_said() -> None:
    notes = imbalance(Imbalance(sigma=0.9, **NODES, devices=8, tokens=3, model="deepseek-v3")).notes
    assert any(note.endswith("does not depend on it: --devices, --model, --batch-tokens") for note in notes)


def test_answers_become_tables() -> None:
    frame = imbalance(Imbalance(zipf=0.5, **NODES, **QUICK)).frame()
    assert frame["load"].tolist() == ["expected", "batch p10", "batch mean", "batch p90"]
    assert frame["alpha_afd"].between(0, 1).all()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "is missing: give exactly one of --sigma, --expert-counts, --zipf"),
    "two": ({"sigma": 0.9, "zipf": 1}, "--sigma and --zipf exclude each other"),
    "three": ({"sigma": 0.9, "zipf": 1, "expert_counts": [1]}, "--sigma and --expert-counts and --zipf"),
    "no sigma": ({"sigma": []}, "--sigma is empty"),
    "sigma 0": ({"sigma": 0}, "--sigma 0.0 must be above 0 and at most 1"),
    "sigma above 1": ({"sigma": [0.9, 1.0000001]}, "--sigma 1.0000001 must be above 0 and at most 1"),
    "negative sigma": ({"sigma": -0.5}, "--sigma -0.5 must be above 0"),
    "nan": ({"sigma": float("nan")}, "--sigma nan is not a finite number"),
    "text": ({"sigma": "high"}, "--sigma 'high' is not a finite number"),
    "hardly any sigma": ({"sigma": 5e-324}, "must be at least 1e-06"),
    "many sigmas": ({"sigma": [0.5] * 10_001}, "at most 10,000 are answered at once"),
    "no nodes": ({"sigma": 0.9, "ffn_nodes": 0}, "--ffn-nodes 0 must be a whole number from 1"),
    "half a node": ({"sigma": 0.9, "attention_nodes": 1.5}, "--attention-nodes 1.5 must be a whole number"),
    "lambda": ({"sigma": 0.9, "lambda_ep": 0}, "--lambda-ep 0 must be above 0"),
    "infinite lambda": ({"sigma": 0.9, "lambda_ep": float("inf")}, "--lambda-ep inf is not a finite number"),
    "rising popularity": ({"zipf": -1}, "--zipf -1 must be at least 0"),
    "steep popularity": ({"zipf": 20}, "--zipf 20 must be below 20"),
    "placement": ({"zipf": 1, "placement": "greddy"}, "'greddy' is not valid; did you mean 'greedy'"),
    "replicas in order": ({"zipf": 1, "redundant_experts": 8}, "needs --placement greedy"),
    "part of a replica": (
        {"zipf": 1, "placement": "greedy", "redundant_experts": 0.5},
        "--redundant-experts 0.5 must be a whole number from 0",
    ),
    "replicas without end": (
        {"zipf": 1, "placement": "greedy", "redundant_experts": 5000},
        "--redundant-experts 5000 must be at most 4,096",
    ),
    "idle devices": (
        {"zipf": 1, "devices": 320},
        "some would hold none; --placement greedy with --redundant-experts 64 fills them",
    ),
    "too many choices": (
        {"zipf": 1, "routed_experts": 4, "top_k": 5},
        "--top-k 5 exceeds the 4 routed experts",
    ),
    "idle experts": (
        {"expert_counts": [1, 0, 1], "top_k": 3},
        "--top-k 3 exceeds the 2 experts with a count above 0",
    ),
    "no top-k counts": (
        {"expert_counts": [1, 1, 2], "top_k": 3},
        "the busiest expert has 50.0% of all counts, but with --top-k 3 distinct experts a token gives one",
    ),
    "counts of another model": (
        {"expert_counts": [1, 2], "model": "deepseek-v3"},
        "has counts of 2 experts, but model deepseek-v3 has 256",
    ),
    "counts of another size": (
        {"expert_counts": [1, 2], "routed_experts": 3},
        "has counts of 2 experts, but --routed-experts has 3",
    ),
    "no counts": ({"expert_counts": []}, "--expert-counts holds no counts"),
    "counts of nothing": ({"expert_counts": [0, 0]}, "--expert-counts: all counts are 0"),
    "one bad count": ({"expert_counts": [1, -1]}, "--expert-counts, expert 1: count -1 must be at least 0"),
    "no list": ({"expert_counts": 3}, "--expert-counts 3 is neither a file nor a list of counts"),
    "unknown model": ({"zipf": 1, "model": "deepseek"}, "unknown model 'deepseek'; did you mean"),
    "experts without end": ({"zipf": 1, "routed_experts": 10**6}, "--routed-experts 1e+06 must be a whole"),
    "no batch": ({"zipf": 1, "batches": 0}, "--batches 0 must be a whole number from 1 to 10,000"),
    "no tokens": ({"zipf": 1, "tokens": 0}, "--batch-tokens 0 must be a whole number from 1"),
    "too much work": ({"zipf": 1, "tokens": 10**6}, "need more than 200,000,000 random numbers"),
    "seed": ({"zipf": 1, "seed": -1}, "--seed -1 must be at least 0"),
    "half a seed": ({"zipf": 1, "seed": 0.5}, "--seed 0.5 must be a whole number from 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_questions_get_one_line(what: str) -> None:
    question, says = BAD[what]
    with pytest.raises(InputError) as error:
        _ask(**question)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
