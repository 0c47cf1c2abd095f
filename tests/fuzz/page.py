"""`docs/robustness.md`: the figures of the last whole campaign, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conftest import ROOT
from tests.fuzz.asking import LIMIT_S, MOST_MB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIGURES = ROOT / "tests" / "fuzz" / "figures.json"
PAGE = ROOT / "docs" / "robustness.md"
MENDED = ROOT / "tests" / "fuzz" / "mended.md"
"""What campaigns found, by hand."""
BEGIN = "files: "
"""What names of hostile files begin with among figures."""
FILES = {
    "record": "records of hardware",
    "model": "records of models",
    "config": "`config.json` of models",
    "trace": "traces of requests",
    "operators": "measured operators",
    "services": "measured services",
    "points": "measured points",
    "scenario": "scenario files",
    "counts": "counts of experts",
    "answer": "kept answers",
    "grid": "grids of sweeps",
    "names": "files that call things what nobody does",
}
"""Kinds of hostile files, in words."""


TEXT = """<!-- Written by `make fuzz`; do not edit. -->

# Nothing breaks it

`make fuzz` asks {questions:,} random questions and has {files:,} hostile files read, and holds every answer
to one checker (`tests/fuzz/checker.py`). A tenth of it runs on every change, with a seed that stays and one
that turns with the day; it prints both, and `python -m tests.fuzz --seeds N` asks the same again.

Questions are made of the option table of the command line: a new option is asked about without a line
written. They begin with an example of the help, or with what must be given; then come up to six options, with
values that pages give them, others of their kind, and, in two questions of ten, what nobody means: numbers
beyond bounds, markup, signs that control terminals. Files are valid ones with values, keys, lines and bytes
changed. What does not hold is brought down to a short command line, to copy.

The last campaign (seed {seeds}): **{whole:,} asked, {faulty} that did not hold**, in {minutes:.0f} minutes
on {processes} processes, {rate:.0f} a second; the largest process held {memory_mb:,} MB.

## What is promised, and how often it was looked at

No question may take more than {limit:.0f} s of a processor, on searches of a few dozen devices, or add more
than {most:,.0f} MB to a process.

{checks}

More of a resource, or a looser limit, is held to be never worse where the model says so: in `compare` and
`predict`, for the throughput of a device under each mode. It is not held where a choice is not searched
over: a longer draft changes what is computed, more devices of one deployment may lie worse over domains, and
with more memory the largest batch or context is another one.

## Questions

{asked}

## Hostile files

{read}

{mended}
"""


def text_of(figures: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    figures : mapping
        What a campaign came to, as `python -m tests.fuzz --write` keeps it.

    Returns
    -------
    str
        Markdown.
    """
    own: Mapping[str, Any] = figures["by"]
    asked = {name: row for name, row in own.items() if not name.startswith(BEGIN)}
    read = {FILES[name.removeprefix(BEGIN)]: row for name, row in own.items() if name.startswith(BEGIN)}
    checks = ("| what holds | times looked at |", "|---|---:|")
    whole = figures["questions"] + figures["files"]
    return TEXT.format(
        **{key: figures[key] for key in ("questions", "files", "processes", "memory_mb")},
        seeds=" and ".join(map(str, figures["seeds"])),
        whole=whole,
        faulty=f"{len(figures['violations']):,}" if figures["violations"] else "nothing",
        minutes=figures["wall_s"] / 60,
        rate=whole / figures["wall_s"],
        limit=LIMIT_S,
        most=MOST_MB,
        checks="\n".join(
            (*checks, *(f"| {name} | {count:,} |" for name, count in figures["checks"].items()))
        ),
        asked="\n".join(_table("command", asked)),
        read="\n".join(_table("file", read)),
        mended=MENDED.read_text("utf-8").strip(),
    )


def _table(title: str, by: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    yield f"| {title} | asked | answered | no | refused | s each | slowest [s] |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, own in by.items():
        told = f"{own['asked']:,} | {own['answered']:,} | {own['no']:,} | {own['refused']:,}"
        yield f"| {name} | {told} | {own['seconds'] / max(own['asked'], 1):.3f} | {own['slowest_s']:.1f} |"


def write_page(figures: Mapping[str, Any]) -> None:
    """Write the page."""
    PAGE.write_text(text_of(figures), "utf-8")
