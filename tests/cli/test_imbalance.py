"""The command `imbalance` as its users meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ask, command

BASE = ("imbalance", "--attention-nodes", "3", "--ffn-nodes", "1")
QUICK = ("--batch-tokens", "500", "--batches", "20")


def test_a_list_of_sigmas() -> None:
    answer = ask(*BASE, "--sigma", ".95,.9,.8,.7", "--lambda-ep", "3")
    assert answer["command"] == "imbalance"
    rows = answer["results"]
    assert [row["sigma"] for row in rows] == [0.95, 0.9, 0.8, 0.7]
    assert [round(row["alpha_ep"], 4) for row in rows] == [0.987, 0.973, 0.9412, 0.9032]
    assert [round(row["alpha_afd"], 4) for row in rows] == [0.95, 0.9, 0.8889, 0.8889]
    assert [row["alpha_afd_continuous"] for row in rows] == [row["alpha_ep"] for row in rows]
    assert answer["inputs"]["sigma"] == [0.95, 0.9, 0.8, 0.7]
    assert answer["summary"]["answer"].count(".") > 1


def test_popularity_of_a_model() -> None:
    question = (*BASE, *QUICK, "--zipf", "0.8", "--model", "qwen3-235b-a22b", "--devices", "32")
    in_order = ask(*question)
    by_load = ask(*question, "--placement", "greedy", "--redundant-experts", "32", "--seed", "3")
    assert in_order["inputs"]["routed_experts"] == 128
    assert by_load["inputs"]["values"]["top_k"]["value"] == 8
    for one, other in zip(in_order["results"], by_load["results"], strict=True):
        assert one["load"] == other["load"]
        assert one["sigma"] < other["sigma"]


def test_an_overlay_of_models_counts(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,'
        '"num_key_value_heads": 8, "num_local_experts": 16, "num_experts_per_tok": 2,'
        '"intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768}',
        "utf-8",
    )
    record = str(tmp_path / "mine.toml")
    assert command("models", "import", str(config), "--output", record).status == 0
    answer = ask(*BASE, *QUICK, "--zipf", "1", "--model", "mine", "--model-db", record)
    assert (answer["inputs"]["routed_experts"], answer["inputs"]["top_k"]) == (16, 2)


def test_counts_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("expert,count\n0,10\n1,20\n2,30\n3,40\n", "utf-8")
    question = (*BASE, *QUICK, "--expert-counts", str(path), "--top-k", "2", "--devices", "2")
    rows = ask(*question)["results"]
    assert [row["load"] for row in rows] == ["expected", "batch p10", "batch mean", "batch p90"]
    assert rows[0]["sigma"] == pytest.approx(5 / 7)
    path.write_text("expert,count\n0,10\n1,-20\n", "utf-8")
    refused = command(*question)
    assert refused.status == 2
    assert refused.complaint == f"{str(path)!r}, row 3: count -20 must be at least 0"


def test_formats() -> None:
    piped = command(*BASE, "--sigma", ".9")
    assert piped.out.startswith("sigma,alpha_ep,alpha_afd_continuous,alpha_afd,")
    assert "note: --lambda-ep is taken as 3 / 1 = 3" in piped.err
    table = command(*BASE, "--sigma", ".9", "--format", "table").out
    assert "AFD's extra 7.3%" in table
    assert "given" not in table
    assert "batch p10" in command(*BASE, *QUICK, "--zipf", "1", "--format", "markdown").out


BAD = {
    "no list": (("--sigma", "high"), "--sigma 'high': write a number above 0 and at most 1 or a list"),
    "an empty list": (("--sigma", ""), "--sigma '': write a number"),
    "a hole": (("--sigma", ".9,,.8"), "--sigma '.9,,.8': write a number"),
    "above 1": (("--sigma", ".9,1.2"), "--sigma 1.2 must be above 0 and at most 1"),
    "nothing": ((), "give exactly one of --sigma, --expert-counts, --zipf"),
    "two": (("--sigma", ".9", "--zipf", "1"), "--sigma and --zipf exclude each other"),
    "half a device": (("--zipf", "1", "--devices", "2.5"), "'2.5' is not a whole number"),
    "text": (("--zipf", "steep"), "'steep' is not a number"),
    "unknown model": (("--zipf", "1", "--model", "deepseek-v3x"), "unknown model 'deepseek-v3x'; did you"),
    "no file": (("--expert-counts", "/nowhere.csv"), "'/nowhere.csv' cannot be read: No such file"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    arguments, says = BAD[what]
    outcome = command(*BASE, *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert says in outcome.complaint


def test_node_counts_are_required() -> None:
    assert "Missing option '--ffn-nodes'" in command(*BASE[:3], "--sigma", ".9").complaint
    assert "whole number from 1" in command(*BASE[:4], "0", "--sigma", ".9").complaint


def test_help_is_a_question() -> None:
    text = command("imbalance", "--help").out
    assert "What does load imbalance of experts cost EP, and AFD in whole nodes?" in " ".join(text.split())
    for option in ("--sigma", "--zipf", "--expert-counts", "--placement", "--model-db", "--batch-tokens"):
        assert option in text
