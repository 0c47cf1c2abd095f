"""Strategies for whole questions: command lines made of the option table."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from roofline_afd.catalogue.store import Catalogue
from tests.fuzz.table import BOUNDING, REQUESTS, SMALL, lines_of, options_of
from tests.fuzz.values import hostile_texts, values
from tests.test_parity import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fuzz.table import Option

HERE = "{here}"
"""Stands for the folder of a question: what it reads and writes is in there."""
SHARES: Mapping[str, float] = {
    "compare": 5,
    "predict": 28,
    "roofline": 18,
    "what-if": 4,
    "imbalance": 6,
    "explain": 8,
    "provision": 5,
    "simulate": 3,
    "explore": 2,
    "load": 0.6,
    "procure": 4,
    "deploy": 3,
    "sweep": 4,
    "sensitivity": 0.3,
    "report": 0.1,
    "models import": 1,
    "hardware list": 4,
    "hardware show": 5,
    "hardware validate": 0.3,
    "models list": 3,
    "models show": 4,
    "models validate": 0.3,
    "plot roofline": 1,
    "plot hfu-map": 0.1,
    "plot pareto-panels": 0.05,
    "plot tornado": 0.1,
    "plot load": 0.1,
}
"""How often a command is asked, by its own share: slow ones seldom; 0.25 for one that is not named."""
READ: Mapping[str, tuple[str, ...]] = {
    "trace": ("trace.csv", "trace.jsonl"),
    "scenario": ("scenario.toml",),
    "answer": tuple(f"answer-{number}.json" for number in range(8)),
    "expert_counts": ("counts.csv",),
    "hardware_db": ("hardware", "hardware/mine.toml"),
    "model_db": ("models", "models/mine-v3.toml"),
    "operators": ("operators.csv",),
    "serving_points": ("points.csv",),
    "files": ("systems.csv", "operators.csv", "points.csv"),
    "config": ("config.json",),
    "file": ("grid.csv",),
}
"""Files for options that read one; any of them for one that is not named."""
WRITTEN: Mapping[str, tuple[str, ...]] = {
    "output": ("a.json", "a.csv", "a.md", "a.txt", "a.xlsx", "a.html", "a.svg", "a.parquet", "a"),
    "save_answer": ("kept.json",),
    "series": ("series.csv", "series.parquet"),
    "folder": ("launch",),
}
IDS = {"system": "system", "systems": "system", "model": "model", "models": "model"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A question: a command, its options one by one, and files it needs beside the samples."""

    command: str
    units: tuple[tuple[str, ...], ...]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    every_form: bool = False
    """Whether it is asked in each format that names are escaped in."""

    def words(self, here: str) -> list[str]:
        """Return the command line, in a folder."""
        return [
            *self.command.split(),
            *(word.replace(HERE, here) for unit in self.units for word in unit),
        ]


@functools.cache
def _ids(kind: str) -> tuple[str, ...]:
    return tuple(Catalogue().ids(kind))


EASY = {
    "system": ("h800", "h200", "b200", "gb200-nvl72"),
    "model": ("deepseek-v3", "qwen3-235b-a22b", "step-3"),
}
"""Ids that most questions can be answered for."""


@functools.cache
def _ids_of(option: Option) -> st.SearchStrategy[str]:
    """Return ids of a system or model; several of them for options of lists."""
    kind = IDS[option.name]
    one = st.one_of(st.sampled_from(EASY[kind]), st.sampled_from(_ids(kind)))
    if option.name == "systems":
        one = st.one_of(one, one, st.tuples(one, one).map("+".join))
    return st.lists(one, min_size=1, max_size=2).map(",".join) if option.metavar == "LIST" else one


@st.composite
def _path(draw: st.DrawFn, option: Option, *, hostile: bool) -> str:
    """Draw a path: one of the samples, or where something goes."""
    if hostile and draw(st.integers(0, 2)) == 0:
        text = draw(hostile_texts()).replace("/", "|").replace("..", "|").replace("\x00", "")
        return draw(
            st.sampled_from((f"{HERE}/{text}", f"{HERE}/absent/a.csv", HERE, "/dev/null", "/dev/full", "-"))
        )
    names = WRITTEN.get(option.name) or READ.get(option.name)
    if names is None:
        names = tuple(name for held in (*READ.values(), *WRITTEN.values()) for name in held)
    return f"{HERE}/{draw(st.sampled_from(names))}"


@st.composite
def _unit(draw: st.DrawFn, option: Option, *, hostile: bool) -> tuple[str, ...]:
    """Draw an option with its value."""
    if option.kind == "flag":
        return (option.flag,)
    if option.kind == "path" or option.name == "expert_counts":
        value = draw(_path(option, hostile=hostile))
    elif option.name in IDS and not (hostile and draw(st.integers(0, 3)) == 0):
        value = draw(_ids_of(option))
    else:
        value = draw(values(option, hostile=hostile)).replace("\x00", "")
    if option.flag:
        return (option.flag, value)
    return (value,)


def _named(unit: tuple[str, ...], options: tuple[Option, ...]) -> Option | None:
    """Return the option of a unit of an example line; its argument where it has no flag."""
    return next((each for each in options if each.flag == (unit[0] if unit[0].startswith("-") else "")), None)


@st.composite
def _begun(draw: st.DrawFn, command: str) -> list[tuple[str, ...]]:
    """Draw what a question begins with: an example of the help, or what must be given."""
    options = options_of(command)
    lines = lines_of(command)
    from_help = draw(st.integers(0, 3)) > 0
    if lines and from_help:
        units: list[tuple[str, ...]] = []
        for unit in draw(st.sampled_from(lines)):
            option = _named(unit, options)
            if option is None:
                continue
            if (
                option.kind == "path"
                or option.name in SMALL
                or (option.name in IDS and draw(st.integers(0, 2)))
            ):
                unit = draw(_unit(option, hostile=False))  # noqa: PLW2901 - another of the kind
            units.append(unit)
        return units
    return [draw(_unit(option, hostile=False)) for option in options if option.required]


@st.composite
def _bounds(draw: st.DrawFn, options: tuple[Option, ...], given: set[str]) -> list[tuple[str, ...]]:
    """Draw the options that bound the work, where nothing does."""
    found: list[tuple[str, ...]] = []
    requests = any(option.name == REQUESTS for option in options)
    named = {option.name: option for option in options}
    for name, beside in BOUNDING.items():
        taken = given | {unit[0] for unit in found}
        others = {f"--{other.replace('_', '-')}" for other in (name, *beside)}
        if name not in named or taken & others or (name == "devices" and not requests):
            continue
        found.append((named[name].flag, draw(st.sampled_from(SMALL[name]))))
    return found


@st.composite
def questions(draw: st.DrawFn, command: str) -> Case:
    """Draw a question of a command.

    Parameters
    ----------
    draw : callable
        Hypothesis's own.
    command : str
        Its name.

    Returns
    -------
    Case
        The question.
    """
    options = options_of(command)
    units = draw(_begun(command))
    hostile = draw(st.integers(0, 9)) >= 8
    for option in draw(st.lists(st.sampled_from(options), max_size=6)):
        if option.kind == "path" and draw(st.integers(0, 2)):
            continue
        own = [unit for unit in units if unit[0] == option.flag]
        if own and not option.several and draw(st.integers(0, 9)):
            units.remove(own[0])
        if not option.flag and not option.several:
            units = [unit for unit in units if unit[0].startswith("-")]
        units.append(draw(_unit(option, hostile=hostile)))
    units += draw(_bounds(options, {unit[0] for unit in units}))
    if any(unit[0] in {f"--{name.replace('_', '-')}" for name in WRITTEN} for unit in units):
        units.append(("--force",))
    return Case(command, tuple(units))


def commands() -> tuple[tuple[str, float], ...]:
    """Return every command and its share of the questions."""
    whole = sum(SHARES.get(name, 0.25) for name in COMMANDS)
    return tuple((name, SHARES.get(name, 0.25) / whole) for name in COMMANDS)
