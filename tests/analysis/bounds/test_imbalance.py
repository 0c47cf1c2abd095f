"""What imbalance costs: rows, defaults that are said, counts as files hold them, and questions refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roofline_afd.analysis.bounds.imbalance import PLACEMENTS, imbalance, read_counts
from roofline_afd.catalogue.models import load_model
from roofline_afd.errors import InputError

NODES: dict[str, Any] = {"attention_nodes": 3, "ffn_nodes": 1}
QUICK: dict[str, Any] = {"tokens": 500, "batches": 20}


def _ask(**question: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the analysis takes
    return imbalance(**{**NODES, **question}).rows()


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
    answer = imbalance(sigma=0.9, **NODES)
    assert answer.summary["answer"] == (
        "At sigma 0.9, imbalance costs EP 2.7% and AFD (3A1F) 10.0% of throughput; AFD's extra 7.3% is "
        "rounding to whole attention nodes, below 1% from 18A6F on."
    )
    larger = imbalance(sigma=0.9, attention_nodes=18, ffn_nodes=6)
    assert larger.summary["largest_rounding_penalty"] < 0.01
    several = imbalance(sigma=(0.95, 0.8), **NODES).summary["answer"]
    assert several.startswith("At sigma 0.8 to 0.95, imbalance costs EP 1.3% to 5.9% and AFD (3A1F) 5.0% to")
    assert "AFD's extra, at most 5.2%, is rounding" in several
    fewer = imbalance(sigma=0.7, **NODES).summary["answer"]
    assert "AFD (3A1F, 2 attention nodes run) 11.1%" in fewer
    exact = imbalance(sigma=0.9, attention_nodes=10, ffn_nodes=2).summary["answer"]
    assert exact.endswith("nothing of it by rounding to whole attention nodes.")
    other = imbalance(sigma=0.9, **NODES, lambda_ep=1).summary["answer"]
    assert "EP 5.3% and AFD (3A1F) 10.0% of throughput; of AFD's loss 7.3% is rounding" in other


def test_equal_lambda_is_a_default_that_is_said() -> None:
    assert "--lambda-ep is taken as 3 / 1 = 3" in imbalance(sigma=0.9, **NODES).notes[0]
    given = imbalance(sigma=0.9, **NODES, lambda_ep=2)
    assert not any("--lambda-ep" in note for note in given.notes)
    assert given.rows()[0]["alpha_ep"] == pytest.approx(3 / (2 + 1 / 0.9))
    assert (given.summary["lambda_ep"], given.summary["lambda_afd"]) == (2, 3)


def test_what_is_given_but_not_used_is_said() -> None:
    notes = imbalance(sigma=0.9, **NODES, devices=8, tokens=3, model="deepseek-v3").notes
    assert any(note.endswith("does not depend on it: --devices, --model, --batch-tokens") for note in notes)


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
    answer = imbalance(zipf=1, **NODES, **QUICK)
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
    few = imbalance(expert_counts=[1, 2, 3], **NODES, **QUICK)
    assert few.inputs["devices"] == 3
    assert any("--devices is taken as 3: one for each expert" in note for note in few.notes)
    assert any("a token is taken to choose one expert" in note for note in few.notes)
    assert few.inputs["values"] == {}


def test_a_model_may_be_given_whole_or_overruled() -> None:
    shape = load_model("kimi-k2")
    by_shape, by_name = (imbalance(zipf=1, **NODES, **QUICK, model=model) for model in (shape, "kimi-k2"))
    assert by_shape.rows() == by_name.rows()
    overruled = imbalance(zipf=1, **NODES, **QUICK, model=shape, routed_experts=64)
    assert (overruled.inputs["routed_experts"], overruled.inputs["top_k"]) == (64, shape.top_k)
    assert set(overruled.inputs["values"]) == {"top_k"}
    zero = imbalance(zipf=1, **NODES, **QUICK, model="longcat-flash")
    assert any("compute nothing" in note for note in zero.notes)


def test_answers_become_tables() -> None:
    frame = imbalance(zipf=0.5, **NODES, **QUICK).frame()
    assert frame["load"].tolist() == ["expected", "batch p10", "batch mean", "batch p90"]
    assert frame["alpha_afd"].between(0, 1).all()


GOOD_FILES = {
    "expert and count": "expert,count\n0,1\n1,2\n2,3\n",
    "in any order": "count,expert\n3,2\n1,0\n2,1\n",
    "numbered from one": "expert,count\n3,3\n1,1\n2,2\n",
    "named": "expert,count\nfirst,1\nsecond,2\nthird,3\n",
    "other columns": "layer,Expert, Count \n1,0,1\n1,1,2\n1,2,3\n",
    "one column with header": "count\n1\n2\n3\n",
    "one column": "1\n2\n3\n",
    "blank lines": "\n1\n\n 2.0\n3e0\n\n",
    "of a spreadsheet": "\ufeffexpert,count\r\n0,1\r\n1,2\r\n2,3\r\n",
}


@pytest.mark.parametrize("what", GOOD_FILES)
def test_counts_are_read(what: str, tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_bytes(GOOD_FILES[what].encode())
    assert read_counts(path) == [1, 2, 3]
    rows = _ask(expert_counts=path, devices=3, **QUICK)
    assert rows == _ask(expert_counts=str(path), devices=3, **QUICK)
    assert rows == _ask(expert_counts=[1, 2, 3], devices=3, **QUICK)


BAD_FILES = {
    "empty": ("", "is empty; it needs columns expert, count, or one column of counts"),
    "blank": ("\n , \n", "is empty"),
    "header alone": ("expert,count\n", "holds no counts"),
    "no column": ("expert,tokens\n0,1\n", "lacks the column count"),
    "no header": ("0,10\n1,20\n", "lacks the column count"),
    "text": ("expert,count\n0,1\n1,many\n", "row 3: count 'many' is not a finite number"),
    "another header": ("tokens\n1\n", "row 1: count 'tokens' is not a finite number"),
    "missing": ("expert,count\n0,1\n1,\n", "row 3: count '' is not a finite number"),
    "negative": ("1\n-2\n", "row 2: count -2 must be at least 0"),
    "not a number": ("1\nnan\n", "row 2: count nan is not a finite number"),
    "infinite": ("1\ninf\n", "row 2: count inf is not a finite number"),
    "all zero": ("0\n0\n", "all counts are 0"),
    "short row": ("expert,count\n0\n", "row 2: 1 cells, but 2 columns"),
    "long row": ("expert,count\n0,1,2\n", "row 2: 3 cells, but 2 columns"),
    "no expert": ("expert,count\n,1\n", "row 2: expert is empty"),
    "twice": ("expert,count\n0,1\n0,2\n", "row 3: expert '0' is there twice"),
    "twice by number": ("expert,count\n0,1\n00,2\n", "experts are numbered twice"),
    "a gap": ("expert,count\n0,1\n2,2\n", "experts skip 1; an idle one has a count of 0"),
    "open quote": ('"1\n2\n', "row 2: is no CSV"),
    "too many": ("1\n" * 5000, "has counts of more than 4,096 experts"),
    "too large": ("1\n" * 600_000, "is larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_faulty_counts_are_named(what: str, tmp_path: Path) -> None:
    content, says = BAD_FILES[what]
    path = tmp_path / "counts.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError) as error:
        _ask(expert_counts=path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        _ask(expert_counts=tmp_path / "none.csv")
    with pytest.raises(InputError, match="is no regular file"):
        _ask(expert_counts=tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        _ask(expert_counts=tmp_path / "binary.csv")


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


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_one_device_and_one_expert_each_are_the_limits(placement: str) -> None:
    """A single device is balanced; with one expert a device sigma is mean over maximum of the experts."""
    question = {"expert_counts": [1, 2, 3, 6], "placement": placement, **QUICK}
    assert {row["sigma"] for row in _ask(**question, devices=1)} == {1}
    assert _ask(**question, devices=4)[0]["sigma"] == pytest.approx(0.5)
