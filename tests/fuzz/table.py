"""The option table of the command line, walked: what each option takes, and values that pages give it.

Nothing here names an option, but for those that would reach a network or take hours: a new option is asked
about as soon as the command line has it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
from typing import TYPE_CHECKING, Any

from roofline_afd.cli.examples import EXAMPLES
from tests.conftest import ROOT
from tests.test_parity import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUTSIDE = {
    "scheduler": "connects to a cluster",
    "force": "given wherever a file is",
    "format": "the checker's",
}
"""Options that are not asked about, and why."""
SMALL: Mapping[str, tuple[str, ...]] = {
    "max_devices": ("8", "8", "16", "16", "24"),
    "devices": ("8", "16", "32", "64"),
    "samples": ("0", "2", "5"),
    "pairs": ("0", "1"),
    "requests": ("100", "400", "1k"),
    "replications": ("1", "2"),
    "batches": ("1", "3", "10"),
    "runner": ("serial",),
    "of": ("roofline", "predict", "roofline", "predict", "compare"),
}
"""Options that say how much work there is, and what they mostly are here."""
BOUNDING: Mapping[str, tuple[str, ...]] = {
    "devices": ("max_devices", "attention_devices", "ffn_devices"),
    "max_devices": ("devices", "coefficients"),
    "samples": (),
    "requests": (),
    "replications": (),
    "runner": (),
    "of": (),
}
"""Of these, those that are given wherever a command has them, but for beside others that bound it too."""
REQUESTS = "isl"
"""An option of commands that search over whole requests, which need the bound on devices most."""
PLAIN = "number"


@dataclasses.dataclass(frozen=True)
class Option:
    """An option or argument of a command."""

    name: str
    flag: str
    """How it is written; empty for an argument."""
    kind: str
    """`flag`, `number`, `whole`, `path`, `word` (one of `words`) or `text`."""
    metavar: str
    required: bool
    several: bool
    words: tuple[str, ...]
    default: Any


@functools.cache
def options_of(command: str) -> tuple[Option, ...]:
    """Return the options and arguments of a command that are asked about."""
    return tuple(_option(each) for each in COMMANDS[command].params if each.name not in OUTSIDE)


def _option(given: Any) -> Option:  # noqa: ANN401 - an option of typer
    info = given.type_descriptor.parameter_info
    metavar = given.metavar or ""
    parser = getattr(info.parser, "__name__", "")
    numbers = {"number": PLAIN, "whole_number": "whole", "read": PLAIN}
    complete = info.autocompletion
    words = _completed(complete) if complete is not None else ()
    if getattr(given, "is_flag", False):
        kind = "flag"
    elif parser in numbers:
        kind = numbers[parser]
    elif "Path" in str(given.type_descriptor.annotation):
        kind = "path"
    else:
        kind = "word" if words and not metavar.endswith(("RANGE", "LIST")) else "text"
    argument = given.param_type_name == "argument"
    flag = "" if argument else max(given.opts, key=len)
    several = bool(given.multiple) or given.nargs == -1
    return Option(given.name, flag, kind, metavar, bool(given.required), several, words, given.default)


_WORDS: dict[Any, tuple[str, ...]] = {}


def _completed(complete: Any) -> tuple[str, ...]:  # noqa: ANN401 - what typer completes with
    key = (complete.__code__, str([cell.cell_contents for cell in complete.__closure__ or ()]))
    if key not in _WORDS:
        _WORDS[key] = tuple(complete(""))
    return _WORDS[key]


@functools.cache
def lines_of(command: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Return the example lines of a command, each as units: an option with its value, or an argument."""
    by_flag = {
        name: option
        for option, given in zip(options_of(command), _given(command), strict=True)
        for name in (*given.opts, *_short(option))
    }
    lines = []
    for text in EXAMPLES.get(command, ()):
        words = shlex.split(text)
        units: list[tuple[str, ...]] = []
        while words:
            flag, equals, value = words.pop(0).partition("=")
            if flag not in by_flag:
                units.append((f"{flag}{equals}{value}",))
            elif by_flag[flag].kind == "flag":
                units.append((by_flag[flag].flag,))
            else:
                units.append((by_flag[flag].flag, value if equals else words.pop(0)))
        lines.append(tuple(units))
    return tuple(lines)


def _given(command: str) -> list[Any]:
    return [each for each in COMMANDS[command].params if each.name not in OUTSIDE]


def _short(option: Option) -> tuple[str, ...]:
    """Return the letters of help's examples."""
    letters = {"system": "-s", "systems": "-s", "model": "-m", "models": "-m", "output": "-o"}
    return (letters[option.name],) if option.name in letters else ()


@functools.cache
def harvested() -> Mapping[str, tuple[str, ...]]:
    """Return values that pages and help texts give each option, by how it is written."""
    found: dict[str, dict[str, None]] = {}
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for flag, value in _pairs(page.read_text("utf-8")):
            found.setdefault(flag, {})[value] = None
    for command in EXAMPLES:
        for units in lines_of(command):
            for unit in units:
                if len(unit) == 2:
                    found.setdefault(unit[0], {})[unit[1]] = None
    return {flag: tuple(values) for flag, values in found.items()}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"(--[a-z][a-z0-9-]+)[ =]('[^'\n]*'|\"[^\"\n]*\"|[^\s`|)<>;'\"]+)", text):
        value = found[2].strip("'\"").rstrip(".,:")
        placeholder = re.search(r"[A-Z]{2}", value) and not re.search(r"\d", value)
        if value and not placeholder and not value.startswith(("--", "{", "...")) and len(value) < 200:
            yield found[1], value
