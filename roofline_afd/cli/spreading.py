"""Options of the command line spread out of groups and questions: help and defaults are those of fields.

The fields are those of `Scenario`, or of the dataclass that a command asks with: nothing of them is declared
again here.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from roofline_afd.cli.options import (
    HARDWARE_PANEL,
    NAMED,
    QUESTION_PANEL,
    RECORDS,
    SYSTEMS,
    Baseline,
    Candidates,
    Databases,
    MaybeScenario,
    Models,
    ScenarioFile,
    Serving,
    Subjects,
    among,
    complete_ids,
    from_answer,
)
from roofline_afd.cli.reading import number, whole_number
from roofline_afd.docstrings import documentation
from roofline_afd.questions import Option, options_of
from roofline_afd.serving.scenario import CHOICES, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _parser(hint: object) -> Callable[[Any], float] | None:
    """Return what reads an option of a type; None for text."""
    kinds = {hint, *typing.get_args(hint)}
    return number if float in kinds else whole_number if int in kinds else None


def _metavar(unit: str, hint: object) -> str:
    """Return what stands for a value in the help: its unit, else what it is."""
    if unit not in {"", "1"}:
        return unit.upper()
    return "FORMAT" if str in (hint, *typing.get_args(hint)) else "NUMBER"


def _hints() -> dict[str, Any]:
    """Return the type of each option of a scenario: a record is given by its id."""
    return typing.get_type_hints(Scenario) | dict.fromkeys((*RECORDS, "expert_counts"), str | None)


def _scenario_parameters(*, serving: bool) -> Iterator[inspect.Parameter]:
    """Yield a command-line option for each field of `Scenario` but the subjects."""
    texts = documentation(Scenario).parameters
    hints = _hints()
    for field in attrs.fields(Scenario):
        if field.name in {"system", "model"} or (not serving and field.metadata.get("serving")):
            continue
        help_text = texts[field.name].text.replace("`", "")
        words = CHOICES.get(field.name)
        option = typer.Option(
            "--" + field.name.replace("_", "-"),
            help=help_text[0].upper() + help_text[1:] + ".",
            metavar="|".join(words)
            if words
            else "ID"
            if field.name in NAMED
            else None
            if hints[field.name] is bool
            else _metavar(texts[field.name].unit, hints[field.name]),
            autocompletion=among(*words)
            if words
            else complete_ids(*NAMED[field.name])
            if field.name in NAMED
            else None,
            parser=_parser(hints[field.name]),
            rich_help_panel=QUESTION_PANEL,
        )
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[hints[field.name], option],
        )


def _of_baseline(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the option of overrides with its second name, where what is changed has a name of its own."""
    if parameter.name != "set":
        return parameter
    option = typer.Option(
        "--set",
        "--base-set",
        metavar="KEY=VALUE",
        help="Override a catalogue value before and after the change, as fp8_tflops=4500 (repeatable).",
        rich_help_panel=HARDWARE_PANEL,
    )
    return parameter.replace(annotation=Annotated[list[str] | None, option])


_MODELS = inspect.Parameter(
    "models",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Models to serve: ids a,b,c of `models list`.",
            rich_help_panel=HARDWARE_PANEL,
        ),
    ],
)


_SYSTEMS = inspect.Parameter(
    "systems",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Systems to compare: ids a,b,c of `hardware list`; a pair for AFD is attention+ffn.",
            rich_help_panel=HARDWARE_PANEL,
        ),
    ],
)


def is_group(annotation: object) -> bool:
    """Return whether a command's parameter stands for several options."""
    return isinstance(annotation, type) and (dataclasses.is_dataclass(annotation) or annotation is Scenario)


def group_parameters(group: type) -> list[inspect.Parameter]:
    """Return the command-line options a group or a question stands for."""
    if group is MaybeScenario:
        return [
            option.replace(default=None) if option.name in {"system", "model"} else option
            for option in group_parameters(Scenario)
        ]
    if group is Models:
        return [_MODELS if option.name == "model" else option for option in group_parameters(Serving)]
    if group is Candidates:
        return [
            _SYSTEMS if option.name == "system" else option
            for option in group_parameters(Serving)
            if option.name not in SYSTEMS
        ]
    if group is Baseline:
        return [_of_baseline(parameter) for parameter in group_parameters(Serving)]
    if group in {Scenario, Serving}:
        return [
            *group_parameters(Subjects),
            *group_parameters(ScenarioFile),
            *_scenario_parameters(serving=group is Serving),
            *group_parameters(Databases),
        ]
    return _own_parameters(group)


def _own_parameters(group: type) -> list[inspect.Parameter]:
    """Return an option for each field of a question, or of a group that declares them itself."""
    if not group.__module__.startswith("roofline_afd.cli."):
        subject, own = subject_of(group), own_options(group)
        if subject is None and any(option.types & {"System", "Model"} for option in own):
            subject = Databases
        return [*(group_parameters(subject) if subject else []), *map(_parameter, own)]
    hints = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]


def subject_of(question: type) -> type | None:
    """Return the group of options that a question's scenarios are made of; None where it has none.

    A scenario that may be absent is made by the command itself.
    """
    for field in dataclasses.fields(question):
        types = set(re.findall(r"\w+", str(field.type)))
        if "Scenario" in types and "None" not in types:
            if "Sequence" in types:
                return Models if field.metadata.get("several") == "models" else Candidates
            return Serving if field.metadata.get("serving", True) else Scenario
    return None


def own_options(question: type) -> list[Option]:
    """Return the fields of a question that are options, its scenarios left out."""
    return [each for each in options_of(question) if each.shown and "Scenario" not in each.types]


ANSWER_FLAG = "--from"
"""The option that names a kept answer: it holds the question."""
TEXTS = {"Sequence", "Iterable", "tuple", "str", "Mapping", "object"}
"""Types of fields whose option is a text, even where they hold numbers."""


def _parameter(option: Option) -> inspect.Parameter:
    """Return the command-line option of a field of a question."""
    types = option.types
    flag = bool(types & {"bool"})
    files = {"Sequence", "Path"} <= types
    several = "Mapping" in types or files
    text = not types & {"float", "int"} or bool(types & TEXTS)
    parser = (
        None if flag or text else number if "float" in types else whole_number if "int" in types else None
    )
    kept: Any = Path if types & {"Path"} else str
    hint: Any = bool if flag else list[kept] if several else kept
    told = option.text.replace("`", "")
    record = "system" if "System" in types else "model" if "Model" in types else ""
    words = option.words
    unit = "" if option.unit in {"", "1"} else option.unit.upper()
    kind = "FILE" if kept is Path else "ID" if record else "NUMBER" if parser else "TEXT"
    info = typer.Option(
        option.flag or "--" + option.name.replace("_", "-"),
        *option.also,
        help=told[0].upper() + told[1:] + (" (repeatable)." if several else "."),
        metavar=None if flag else option.metavar or "|".join(words) or unit or kind,
        autocompletion=among(*words) if words else complete_ids(record) if record else None,
        parser=parser,
        is_eager=option.flag == ANSWER_FLAG,
        callback=from_answer if option.flag == ANSWER_FLAG else None,
        rich_help_panel=HARDWARE_PANEL if option.hardware else QUESTION_PANEL,
    )
    default = option.default
    if not flag and not isinstance(default, int | float | str) and not option.required:
        default = None
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else default,
        annotation=Annotated[hint if flag or option.required else hint | None, info],
    )
