"""A few questions and files of the campaign; `make fuzz` asks thousands."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.campaign import Asker, blocks, drawn, line_of, loosened
from tests.fuzz.hostile import KINDS, hostile_files, weighted
from tests.fuzz.page import BEGIN, FIGURES, PAGE, text_of
from tests.fuzz.questions import Case, commands, questions
from tests.fuzz.table import OUTSIDE, lines_of, options_of
from tests.test_parity import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = ("predict", "roofline", "explain", "hardware show", "models list")


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("home"))  # and back, at the end
        yield Asker(tmp_path_factory.mktemp("fuzz"), limit_s=0, kept=False)


@pytest.mark.parametrize("name", QUICK)
def test_questions(name: str, asker: Asker) -> None:
    for number, case in enumerate(drawn(questions(name), 1, 10)):
        found, _ = asker.check(case, random.Random(number))
        assert not found.faults, line_of(case)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "answer"])
def test_files(kind: str, asker: Asker) -> None:
    for number, case in enumerate(drawn(hostile_files(kind), 1, 5)):
        found, _ = asker.check(case, random.Random(number))
        assert not found.faults, line_of(case)


def test_every_command_and_option_is_asked_about() -> None:
    assert {name for name, _ in commands()} == set(COMMANDS)
    for name, command in COMMANDS.items():
        asked = {option.name for option in options_of(name)}
        assert asked == {each.name for each in command.params} - set(OUTSIDE)


def test_the_page_is_made_of_the_figures() -> None:
    """Of the last campaign: `make fuzz` writes both."""
    figures = json.loads(FIGURES.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == text_of(figures)
    assert not figures["violations"]
    assert {name.removeprefix(BEGIN) for name in figures["by"]} <= {*COMMANDS, *KINDS}


def test_examples_are_understood() -> None:
    """Each unit of an example line is an option with its value, a flag, or an argument."""
    for name in COMMANDS:
        flags = {option.flag: option for option in options_of(name)}
        for line in lines_of(name):
            for unit in line:
                assert len(unit) == 2 or unit[0] in flags or not unit[0].startswith("-"), (name, unit)


def test_the_same_seed_asks_the_same() -> None:
    assert drawn(questions("predict"), 7, 5) == drawn(questions("predict"), 7, 5)
    assert drawn(questions("predict"), 7, 5) != drawn(questions("predict"), 8, 5)


def test_shares_are_kept() -> None:
    for shares in (commands(), weighted()):
        made = blocks(shares, 1000, files=False, begin=1)
        assert 950 < sum(block.count for block in made) < 1050
        assert {block.about for block in made} == {name for name, _ in shares}
        assert len({(block.about, block.seed) for block in made}) == len(made)


def test_a_fault_is_brought_down(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that have no part in it are left out of the command line."""
    asked = (("--system", "h800"), ("--model", "step-3"), ("--devices", "64"), ("--batch", "8"))
    case = Case("predict", (*asked, ("--why",), ("--kernels", "separate")))
    monkeypatch.setattr("tests.fuzz.checker.ROUNDING", -1.0)  # every share is a fault
    small = asker.brought_down(case, "shares and HFU from 0 to 1", 1)
    assert small.units == asked


def test_looser_limits(asker: Asker) -> None:
    case = Case("compare", (("--system", "h800"), ("--model", "step-3"), ("--max-devices", "16")))
    outcome, _ = asker.ask(case, "--format", "json")
    answer = json.loads(outcome.out)
    asked = {
        check: changed for n in range(40) for check, changed, _ in loosened(case, answer, random.Random(n))
    }
    assert set(asked) >= {
        "a longer TPOT is never worse",
        "more devices are never worse",
        "more memory_gb is never worse",
    }
    assert all(dataclasses.replace(each, units=()) == Case("compare", ()) for each in asked.values())
