"""Pages written by hand: their commands, run in order, and the answers they show.

What stands under a block of commands is what the first of them answers: a quotation the sentence, a block of
`text` all that it prints. Files that a page shows with a title are there when its commands run. `make docs`
writes the answers, and a test holds pages to them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
WIDTH = 120
"""Columns of quotations in a page's source."""
SCREEN = "88"
"""Columns that commands print for: as wide as the site shows without scrolling."""
COMMANDS = re.compile(r"^```console\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
SHOWN = re.compile(
    r"(?P<quote>(?:^> [^\n]*\n)+)|^```text\n(?P<text>.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
FILES = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)
ERRORS = re.compile(r"<!-- errors -->\n.*?<!-- end of errors -->", flags=re.DOTALL)
SURROUNDINGS = {"COLUMNS": SCREEN, "TERMINAL_WIDTH": SCREEN, "NO_COLOR": "1", "TERM": "dumb"}


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def pages() -> list[Path]:
    """Return the pages that are written by hand and hold commands.

    Returns
    -------
    list of Path
        The pages.
    """
    docs = ROOT / "docs"
    return [
        ROOT / "README.md",
        docs / "questions.md",
        docs / "reference.md",
        *sorted((docs / "tutorials").glob("*.md")),
    ]


def parts(text: str) -> list[str]:
    """Return a page by its sections, each of which can be run alone; a page that shows files as a whole.

    Parameters
    ----------
    text : str
        Of the page.

    Returns
    -------
    list of str
        Together the text.
    """
    return [text] if FILES.search(text) else re.split(r"^(?=## )", text, flags=re.MULTILINE)


def answered(text: str, *, beside: Callable[[list[str]], Sequence[str] | None] | None = None) -> str:
    """Return a part of a page with the answers that its commands give now.

    Parameters
    ----------
    text : str
        Of the part.
    beside : callable, optional
        Returns what to run instead of a command whose answer is not shown, and None for nothing. Absent,
        these run where later ones may need what they write.

    Returns
    -------
    str
        The text.

    Raises
    ------
    ValueError
        If a command fails.
    """
    files = dict(FILES.findall(text))
    beside = beside or (lambda words: words if files else None)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, content in files.items():
            Path(name).write_text(content, encoding="utf-8")
        return "".join(_pieces(text, beside))


def _pieces(text: str, beside: Callable[[list[str]], Sequence[str] | None]) -> Iterator[str]:
    """Yield the text piece by piece, running its commands in their order."""
    text = ERRORS.sub(lambda _: _errors(), text)
    blocks = list(COMMANDS.finditer(text))
    yield text[: blocks[0].start()] if blocks else text
    ends = [*(block.start() for block in blocks[1:]), len(text)][: len(blocks)]
    for block, end in zip(blocks, ends, strict=True):
        first, *others = commands(block[1])
        below = text[block.end() : end]
        shown = SHOWN.search(below)
        yield block.group()
        if shown:
            below = below[: shown.start()] + _answer(first, shown) + below[shown.end() :]
        for words in (*([] if shown else [first]), *others):
            if instead := beside(words):
                ran(*instead)
        yield below


def commands(block: str) -> list[list[str]]:
    """Return the commands of a block, each as its words without the name of the program.

    Parameters
    ----------
    block : str
        Its lines.

    Returns
    -------
    list of list of str
        The commands.
    """
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ roofline-afd ")]


def _answer(words: list[str], shown: re.Match[str]) -> str:
    """Return what a command answers, in the form in which the page shows it."""
    if shown["quote"] is None:
        printed = ran(*words, "--format", "table").rstrip()
        return f"```text\n{printed}\n```"
    summary = json.loads(ran(*words, "--format", "json"))["summary"]
    sentence = summary.get("reason") or summary["answer"]
    return quoted(sentence) if _sentence(shown["quote"]) != sentence else shown["quote"]


def _sentence(quote: str) -> str:
    return " ".join(line.removeprefix("> ") for line in quote.splitlines())


def quoted(sentence: str) -> str:
    """Return a sentence as a quotation of some lines.

    Parameters
    ----------
    sentence : str
        What an answer says.

    Returns
    -------
    str
        Markdown.
    """
    return "".join(f"> {line}\n" for line in textwrap.wrap(sentence, WIDTH - 2, break_on_hyphens=False))


def outcome(*words: str) -> Outcome:
    """Run a command in this process, for a pipe as wide as the site.

    Parameters
    ----------
    *words : str
        Its words, without the name of the program.

    Returns
    -------
    Outcome
        Exit status, stdout and stderr.
    """
    from roofline_afd.cli import run

    out, err = io.StringIO(), io.StringIO()
    before = {key: os.environ.get(key) for key in SURROUNDINGS}
    os.environ.update(SURROUNDINGS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(list(words))
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
    return Outcome(status, out.getvalue(), err.getvalue())


def ran(*words: str) -> str:
    """Run a command that must succeed.

    Parameters
    ----------
    *words : str
        Its words, without the name of the program.

    Returns
    -------
    str
        What it prints, without spaces at the ends of lines.

    Raises
    ------
    ValueError
        If it fails.
    """
    done = outcome(*words)
    if done.status:
        raise ValueError(f"roofline-afd {shlex.join(words)}: {done.err}")
    return "\n".join(line.rstrip() for line in done.out.splitlines()) + "\n"


def _errors() -> str:
    """Return the table of how far off predictions of published services are, by mode and what was timed."""
    groups: list[dict[str, Any]] = json.loads(ran("validate", "--format", "json"))["summary"]["by_basis"]
    rows = [
        f"| {group['mode'].upper()} | {group['engine']} | {TIMED[group['timing']]} | {group['n']} "
        f"| {group['median_abs_error']:.1%} | {group['p90_abs_error']:.1%} |"
        for group in groups
        if group["role"] == "check"
        and group["n"]
        and (group["timing"] == "wall") == (group["basis"] == "wall")
    ]
    head = "| mode | engine | timed | results | median error | 90 % within |\n|---|---|---|---|---|---|"
    return "\n".join(["<!-- errors -->\n", head, *sorted(rows), "\n<!-- end of errors -->"])


TIMED = {"wall": "by a client", "kernel": "sum of kernels", "profile": "span on the device"}
"""What a timing says, in words."""
