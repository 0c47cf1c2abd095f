"""`--afd-cut`, `--kernels` and `compare --levers` as users meet them."""

from __future__ import annotations

import pytest

from tests.conftest import ask, command

MODEL = ("--model", "qwen3-235b-a22b")
GB200 = ("--system", "gb200-nvl72", *MODEL)
SMALL = ("--max-devices", "32", "--tpot-ms", "50")
RATE = "tokens_per_s_per_device"


@pytest.mark.parametrize(
    ("arguments", "binding"),
    [
        (("--mode", "ep", "--devices", "16", "--batch", "128", "--context", "512"), "weight streaming"),
        (("--mode", "ep", "--devices", "8", "--batch", "4096", "--context", "16"), "compute"),
    ],
)
def test_one_kernel_can_bind(arguments: tuple[str, ...], binding: str) -> None:
    """Where the fused kernel sets the pace it is said of what; by its own formula."""
    row = ask("predict", *GB200, *arguments, "--kernels", "fused", "--microbatches", "1")["results"][0]
    assert (row["kernels"], row["binding"]) == ("fused", binding)


def test_compare_answers_where_one_kernel_sets_the_pace() -> None:
    """Short contexts leave the step to experts."""
    answer = ask("compare", *GB200, *SMALL, "--context", "512", "--kernels", "fused")
    assert {row["kernels"] for row in answer["results"]} == {"fused"}


def test_the_better_cut_is_found() -> None:
    """Without --afd-cut the search reaches what the better of both cuts does."""
    question = ("compare", *GB200, *SMALL, "--context", "8192")
    found = ask(*question)["results"][1]
    cuts = {cut: ask(*question, "--afd-cut", cut)["results"][1] for cut in ("attention", "core")}
    assert {cut: row["afd_cut"] for cut, row in cuts.items()} == {cut: cut for cut in cuts}
    assert found[RATE] == pytest.approx(max(row[RATE] for row in cuts.values()))


def test_levers_are_answers_with_one_option_set() -> None:
    """A row of a lever is what compare says with that option; EP has no cut, so that none moves it."""
    question = ("compare", *GB200, *SMALL, "--context", "8192")
    answer = ask(*question, "--levers")
    rows = {row["option"]: row for row in answer["summary"]["levers"]}
    for option in ("--kernels fused", "--afd-cut core"):
        alone = ask(*question, *option.split())["results"]
        assert rows[option]["ep_tokens_per_s_per_device"] == pytest.approx(alone[0][RATE])
        assert rows[option]["afd_tokens_per_s_per_device"] == pytest.approx(alone[1][RATE])
    assert rows["--afd-cut core"]["ep_tokens_per_s_per_device"] == answer["results"][0][RATE]


REFUSED = {
    "no kernel timed": (("compare", "--system", "h800", *MODEL, "--kernels", "fused"), 2, "h800"),
    "word": (("compare", *GB200, "--afd-cut", "middle"), 2, "attention, core"),
    "shared experts": (
        ("compare", *GB200, "--afd-cut", "core", "--shared-experts", "attention"),
        *(2, "--shared-experts attention exclude each other"),
    ),
    "plugin": (
        ("compare", *GB200, "--afd-cut", "core", "--deployable-with", "vllm-afd-plugin"),
        *(2, "--afd-cut core cannot run with vllm-afd-plugin"),
    ),
    "domain": (
        *(("predict", "--system", "b200-efa-v4", *MODEL, "--devices", "16", "--batch", "64"), 1),
        "a fused kernel of experts stays within one scale-up domain",
    ),
    "two systems": (
        ("predict", "--system", "b200", "--attention-system", "h200", *MODEL, "--batch", "64"),
        *(1, "a fused kernel of experts stays within one scale-up domain"),
    ),
}
MORE = {
    "domain": ("--kernels", "fused"),
    "two systems": ("--attention-devices", "4", "--ffn-devices", "4", "--kernels", "fused"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(name: str) -> None:
    """Bad options and what no kernel does: one line, and what is valid."""
    arguments, status, said = REFUSED[name]
    outcome = command(*arguments, *MORE.get(name, ()))
    assert outcome.status == status
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_rows_of_both_cuts_are_predicted() -> None:
    """Published rows that hold only caches on one side are held against predictions like any other."""
    rows = [row for row in ask("validate")["results"] if row["placement"] == "core"]
    assert len(rows) == 8
    assert all(row["error"] is not None and row["why"] is None for row in rows)
