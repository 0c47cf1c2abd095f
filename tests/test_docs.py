"""Pages say what the program says now: those it writes as a whole, and answers in those written by hand."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ONE_PLAN_OPTIONS, ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_SEARCHES = {"sensitivity", "hfu-map", "afd-vs-ep", "procure", "load"}
"""Commands whose answers are tested elsewhere, and that search anew many times."""
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("*_db/README.md")]


def _module(name: str) -> Any:  # noqa: ANN401 - a module
    """Return a module of the folder of the docs."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "docs"))


answers, generate = _module("answers"), _module("generate")
PARTS = [
    (path, number)
    for path in answers.pages()
    for number, _ in enumerate(answers.parts(path.read_text("utf-8")))
]


def _part(path: Path, number: int) -> str:
    part: str = answers.parts(path.read_text("utf-8"))[number]
    return part


def _lighter(words: list[str]) -> Sequence[str] | None:
    """Return a command whose answer is not shown, as it is run here: those that search most search less."""
    if words[0] in {"report", "deploy"}:  # made in their own tests, from the wheel, and by `make demo`
        return None
    one_plan = ONE_PLAN_OPTIONS if {"explore", "pareto"} & set(words) else ()
    small = () if "--devices" in words else ("--max-devices", "16")
    fewer = (*small, *ONE_PLAN_OPTIONS) if MOST_SEARCHES & set(words) else ()
    samples = ("--samples", "20") if {"sensitivity", "tornado"} & set(words) else ()
    return (*words, *one_plan, *fewer, *samples)


@pytest.mark.parametrize("page", [path.name for path in generate.pages()])
def test_generated_pages_are_current(page: str) -> None:
    """Every page as it would be made now; of those that take minutes, some of their texts."""
    path = ROOT / "docs" / page
    assert path.exists(), "run make docs"
    text = path.read_text("utf-8")
    if path in generate.samples():
        for part in generate.samples()[path]():
            assert part in text, "run make docs"
    else:
        assert text == generate.pages()[path](), "run make docs"


@pytest.mark.parametrize(("path", "number"), PARTS, ids=[f"{path.stem}-{number}" for path, number in PARTS])
def test_commands_run_and_answer_as_shown(path: Path, number: int) -> None:
    part = _part(path, number)
    assert part == answers.answered(part, beside=_lighter), "run make docs"


def test_answers_are_put_in() -> None:
    """A stale sentence and a stale table are replaced, and what stands around them stays."""
    stale = (
        "before\n\n```console\n$ roofline-afd explain hfu\n```\n\n> HFU is ten.\n\nbetween\n\n"
        "```console\n$ roofline-afd explain ofu\n```\n\n```text\nold\n```\n\nafter\n"
    )
    fresh = answers.answered(stale)
    assert fresh == answers.answered(fresh)
    assert re.fullmatch(
        r"before\n.*\n> hfu: .*\n\nbetween\n.*\n```text\nofu: .*\n```\n\nafter\n", fresh, re.DOTALL
    )


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(ValueError, match=r"roofline-afd explain nonsense .*nothing is known of"):
        answers.answered("```console\n$ roofline-afd explain nonsense\n```\n\n> Anything.\n")


def test_five_questions_of_the_readme_are_among_those_answered() -> None:
    asked = {
        shlex.join(words)
        for path in answers.pages()
        for block in answers.COMMANDS.findall(path.read_text("utf-8"))
        for words in answers.commands(block)
    }
    rows = re.findall(
        r"^\| .* \| `roofline-afd (.*)` \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 5
    assert set(rows) <= asked


def test_pages_written_by_hand_count_right() -> None:
    for path in generate.COUNTED:
        text = path.read_text("utf-8")
        assert text == generate.counted(text), "run make docs"
    systems = len(list((ROOT / "hardware_db" / "systems").glob("*.toml")))
    assert generate.counted("`systems/` (7), of 7 systems") == f"`systems/` ({systems}), of 7 systems"


@pytest.mark.parametrize("kind", ["dead-zone", "roofline", "breakdown", "fabric"])
def test_commands_of_the_gallery_draw_what_its_code_draws(kind: str) -> None:
    from roofline_afd import Scenario, plot

    (picture,) = (each for each in _module("gallery").PICTURES if each.command.split()[1] == kind)
    drawn = eval(picture.code, {"plot": plot, "Scenario": Scenario})  # noqa: S307 - our own page
    assert json.loads(answers.ran(*shlex.split(picture.command)))["title"] == drawn.to_dict()["title"]


def test_gallery_has_every_picture() -> None:
    """But those of many panels or of a file, which are told with the commands."""
    from roofline_afd import plot

    kinds = {picture.command.split()[1].replace("-", "_") for picture in _module("gallery").PICTURES}
    assert kinds == {*plot.__all__} - {"pareto_panels", "sweep"}


@pytest.mark.parametrize("path", answers.pages(), ids=lambda path: path.stem)
def test_python_in_pages_runs(path: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), flags=re.DOTALL):
        exec(compile(block, path.name, "exec"), {})  # noqa: S102 - our own page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_glossary_has_every_column_and_term() -> None:
    from roofline_afd.analysis.listing.terms import TERMS
    from roofline_afd.view.columns import COLUMNS

    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    assert {*COLUMNS, *TERMS} <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_commands_page_tells_shared_options_once() -> None:
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    own, _, shared = text.partition("## Shared options")
    rows = re.findall(r"^\| `--.*$", shared, re.MULTILINE)
    assert len(rows) == len(set(rows)) > 40
    assert not set(rows) & set(own.splitlines())
    named = set(re.findall(r"`(--[\w-]+)", " ".join(re.findall(r"^\[Shared\].*$", own, re.MULTILINE))))
    assert set(re.findall(r"^\| `(--[\w-]+)", shared, re.MULTILINE)) == named
