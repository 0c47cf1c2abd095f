"""What campaigns found, each as the kind it was mended as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.decode.sides import Successive
from tests.conftest import ONE_PLAN, ask, command
from tests.fuzz import samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONE = ("--system", "h800", "--model", "mixtral-8x7b")
SMALL = (*ONE, "--max-devices", "8", "--tensor-parallel", "1")


def test_a_scenario_file_of_a_command_with_arguments(tmp_path: Path) -> None:
    file = tmp_path / "question.toml"
    file.write_text('system = "h800"\nmodel = "mixtral-8x7b"\n', "utf-8")
    assert ask("explain", "hfu", "--scenario", str(file)) == {**ask("explain", "hfu", *ONE)}


def test_plain_numbers_end_in_k_wherever_they_are() -> None:
    """Axes and changes take what options take."""
    swept = ask("sweep", *SMALL, "--axis", "context=1k:2k*2", "--axis", "tpot_ms=50", "--runner", "serial")
    assert [row["context"] for row in swept["results"]] == [1000, 2000]
    changed = [ask("what-if", *SMALL, "--change", f"context={text}") for text in ("2000", "2k")]
    assert changed[0]["results"] == changed[1]["results"]


def _kept(change: Callable[[dict[str, Any]], None], tmp_path: Path, number: int = 0) -> str:
    answer = json.loads(samples.answer(number))
    change(answer)
    file = tmp_path / "kept.json"
    file.write_text(json.dumps(answer), "utf-8")
    return str(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.update(notes=[{}]),
        lambda answer: answer["inputs"].update(model=1),
        lambda answer: answer["inputs"].update(values={"memory_gb": 1}),
        lambda answer: answer["results"][0].pop("mode"),
        lambda answer: answer["results"][0].update(n_devices="a"),
        lambda answer: answer["results"][0].update(batch_per_device=None, batch_per_group=[]),
    ],
)
@pytest.mark.parametrize("asked", [("load",), ("deploy", "--for", "vllm")])
def test_kept_answers_that_hold_something_else(
    change: Callable[[dict[str, Any]], None], asked: tuple[str, ...], tmp_path: Path
) -> None:
    """Whatever reads one, what it lacks is an error of the file, where it is needed."""
    assert command(*asked, "--from", _kept(change, tmp_path)).status in {0, 2}


def test_memory_that_is_held_is_the_sum_of_its_parts() -> None:
    """Whatever share of it an engine plans with: TensorRT-LLM keeps some of what the rest leaves."""
    asked = ("--system", "h800", "--model", "mixtral-8x7b", "--devices", "8", "--batch", "16")
    for engine in ("ideal", "trtllm", "sglang"):
        row = ask("predict", *asked, "--engine", engine)["results"][0]
        memory = row["memory"]
        held = memory.pop("driver_gb") - memory.pop("reserve_gb") - memory.pop("free_gb")
        assert row["memory_gb"] == pytest.approx(held)
        assert held == pytest.approx(sum(memory.values()))


def test_a_mode_without_any_shape_is_searched_again_and_again() -> None:
    """One device is no pair: nothing to search, whatever question comes next."""
    asked = [
        Scenario(system="h20", model="qwen3-30b-a3b", devices=1, tpot_ms=tpot_ms, **ONE_PLAN)
        for tpot_ms in (50.0, 60.0)
    ]
    successive = Successive()
    for _ in range(4):
        found = successive.every(asked)
        assert [afd for _, afd in found] == [0.0, 0.0]
        assert all(ep > 0 for ep, _ in found)


def test_a_file_without_end_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("context,hfu\n1024,.5\ninf,.4\n", "utf-8")
    found = command("plot", "sweep", "--file", str(path), "--metric", "hfu", "--x", "context")
    assert (found.status, found.out) == (2, "")
    assert "context of row 2 is not a finite number" in found.complaint
