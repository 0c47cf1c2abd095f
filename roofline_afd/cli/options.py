"""Options: each is declared once, and commands take them in groups.

Help texts and defaults of a question's options are those of its fields: of `Scenario`, or of the dataclass
that a command asks with.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from roofline_afd.cli.ranges import whole_numbers
from roofline_afd.cli.reading import ANSWERED, listed, number, whole_number
from roofline_afd.docstrings import documentation
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.questions import Option, options_of
from roofline_afd.serving.scenario import CHOICES, Scenario
from roofline_afd.units import UNITS, parse_number
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.catalogue.store import Catalogue

HARDWARE_PANEL, QUESTION_PANEL, OUTPUT_PANEL = "What is asked about", "Question", "Output and catalogues"


def _complete(record: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from roofline_afd.catalogue.store import Catalogue  # only on a completion

        return [name for name in Catalogue().ids(record) if name.startswith(incomplete)]

    return complete


def among(*words: str) -> Callable[[str], list[str]]:
    """Return what completes one of a few words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def whole(text: str) -> object:
    """Return an option of the question for a whole number with this help text."""
    return real(text, parser=whole_number)


def real(text: str, metavar: str = "NUMBER", *, parser: Callable[[str], float] | None = None) -> object:
    """Return an option of the question for a number with this help text."""
    return typer.Option(help=text, metavar=metavar, parser=parser or number, rich_help_panel=QUESTION_PANEL)


def word(text: str, *words: str) -> object:
    """Return an option of the question for one of a few words with this help text."""
    return typer.Option(
        help=text, metavar="|".join(words), autocompletion=among(*words), rich_help_panel=QUESTION_PANEL
    )


Force = Annotated[
    bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=OUTPUT_PANEL)
]


@dataclasses.dataclass(frozen=True)
class Output:
    """Where the answer goes."""

    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="table, json, csv or markdown. Default: environment variable ROOFLINE_AFD_FORMAT, else "
            "table on a terminal and csv when piped.",
            autocompletion=among("table", "json", "csv", "markdown"),
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write to FILE; its suffix decides the format: .json, .csv, .md, .txt, .xlsx.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    force: Force = False

    def check(self) -> None:
        """Refuse a bad format or file name before any work is done."""
        from roofline_afd.view.tables import check_output, choose_format  # not for --help

        choose_format(self.format, self.output, terminal=sys.stdout.isatty())
        if self.output is not None:
            check_output(self.output, force=self.force)

    def deliver(self, answer: Answer) -> None:
        """Print the answer, or write it to the file."""
        from roofline_afd.view.tables import deliver  # not for --help

        deliver(answer, form=self.format, output=self.output, force=self.force)


def _from_answer(context: typer.Context, file: Path | None) -> Path | None:
    """Ask for nothing else where an answer is given: what must be given otherwise need not be."""
    if file is not None:
        context.meta[ANSWERED] = True
    return file


@dataclasses.dataclass(frozen=True)
class Picture:
    """Where a picture goes, and where its answer comes from or goes."""

    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write to FILE: .html, .svg, .png, .pdf or .json (Vega-Lite). Default: Vega-Lite on stdout.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    save_answer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Keep the answer that is drawn, to draw it again with --from.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    answer: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE.json",
            help="Draw an answer kept with --save-answer; nothing is asked.",
            is_eager=True,
            callback=_from_answer,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    force: Force = False

    def check(self) -> None:
        """Refuse bad file names before any work is done."""
        from roofline_afd.view.pages import picture_format  # not for --help
        from roofline_afd.view.tables import check_output

        if self.output is not None:
            picture_format(self.output)
            check_output(self.output, force=self.force)
        if self.save_answer is None:
            return
        if self.answer is not None:
            raise InputError("--save-answer and --from exclude each other: the answer is kept already")
        if self.save_answer.suffix.lower() != ".json":
            raise InputError(f"--save-answer {shown_path(self.save_answer)}: the suffix must be .json")
        if self.output is not None and self.save_answer.resolve() == self.output.resolve():
            raise InputError("--save-answer and --output name the same file")
        check_output(self.save_answer, force=self.force, option="--save-answer")


@dataclasses.dataclass(frozen=True)
class Databases:
    """Catalogue overlays."""

    hardware_db: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="File or folder of hardware records laid over the catalogue (repeatable).",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    model_db: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="File or folder of model records laid over the catalogue (repeatable).",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None

    def catalogue(self, *, collect_faults: bool = False) -> Catalogue:
        """Return the catalogue with these overlays."""
        from roofline_afd.catalogue.store import Catalogue  # not for --help

        return Catalogue(self.hardware_db or (), self.model_db or (), collect_faults=collect_faults)


Where = Annotated[
    bool,
    typer.Option("--where", help="Show file and source of each value.", rich_help_panel=OUTPUT_PANEL),
]


def minimum(key: str) -> Any:  # noqa: ANN401 - what typer makes of an option
    """Return the option `--min-KEY` of a record key; it takes units too."""
    shown_as = column(key)
    unit = shown_as.unit if shown_as.unit in UNITS else "1"

    def read(text: str | float) -> float:
        try:
            return parse_number(str(text), unit=unit)
        except InputError as error:
            raise typer.BadParameter(str(error)) from error

    return typer.Option(
        f"--min-{key.replace('_', '-')}",
        metavar=shown_as.unit or "NUMBER",
        help=f"Only records whose {key} is at least this.",
        parser=read,
        rich_help_panel=QUESTION_PANEL,
    )


@dataclasses.dataclass(frozen=True)
class Minimums:
    """Lower bounds on record keys, the fields of a subclass."""

    def given(self) -> dict[str, float]:
        """Return the bounds that were given."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class MaybeScenario:
    """A question, or none where neither system nor model is named."""

    scenario: Scenario | None


@dataclasses.dataclass(frozen=True)
class Serving:
    """A question about whole deployments: a scenario with all its fields."""

    scenario: Scenario


@dataclasses.dataclass(frozen=True)
class Models:
    """The same question about whole deployments of several models."""

    scenarios: tuple[Scenario, ...]


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The same question about whole deployments on several systems, or pairs of systems."""

    scenarios: tuple[Scenario, ...]


@dataclasses.dataclass(frozen=True)
class Changes:
    """A question about whole deployments, and the catalogue values that are to change."""

    scenario: Scenario
    changes: tuple[str, ...]


def _from_file(context: typer.Context, file: Path | None) -> Path | None:
    """Take the options of a scenario file where the command line does not give them."""
    if file is not None:
        from roofline_afd.serving.scenario_file import read_scenario_file  # not for --help

        known = {
            name.lstrip("-").replace("-", "_"): option.name
            for option in context.command.params
            for name in option.opts
            if option.name
        }
        given = read_scenario_file(file, options=known)
        held = {known[name]: value for name, value in given.items()}
        if "base_set" in known and "set" in held:  # where --set is what changes, the file is the baseline
            held["base_set"] = held.pop("set")
        context.default_map = held
    return file


@dataclasses.dataclass(frozen=True)
class ScenarioFile:
    """A file that holds options."""

    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario",
            metavar="FILE.toml",
            help="Options from a file, a key each (system, model, tpot_ms, set ...); the command line wins.",
            is_eager=True,
            callback=_from_file,
            rich_help_panel=HARDWARE_PANEL,
        ),
    ] = None


@dataclasses.dataclass(frozen=True)
class Subjects:
    """The system and the model, with overrides of their values."""

    system: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="System to buy: see `hardware list`.",
            autocompletion=_complete("system"),
            rich_help_panel=HARDWARE_PANEL,
        ),
    ]
    model: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Model to serve: see `models list`.",
            autocompletion=_complete("model"),
            rich_help_panel=HARDWARE_PANEL,
        ),
    ]
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Override a catalogue value by its record key, for example fp8_tflops=4500 (repeatable).",
            rich_help_panel=HARDWARE_PANEL,
        ),
    ] = None


def _parser(hint: object) -> Callable[[Any], float] | None:
    """Return what reads an option of a type; None for text."""
    kinds = {hint, *typing.get_args(hint)}
    return number if float in kinds else whole_number if int in kinds else None


def _metavar(unit: str, hint: object) -> str:
    """Return what stands for a value in the help: its unit, else what it is."""
    if unit not in {"", "1"}:
        return unit.upper()
    return "FORMAT" if str in (hint, *typing.get_args(hint)) else "NUMBER"


SYSTEMS = ("attention_system", "ffn_system")
"""Fields of a scenario that name a system."""


def _hints() -> dict[str, Any]:
    """Return the type of each option of a scenario: a system is given by its id."""
    return typing.get_type_hints(Scenario) | dict.fromkeys(SYSTEMS, str | None)


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
            if field.name in SYSTEMS
            else _metavar(texts[field.name].unit, hints[field.name]),
            autocompletion=among(*words) if words else _complete("system") if field.name in SYSTEMS else None,
            parser=_parser(hints[field.name]),
            rich_help_panel=QUESTION_PANEL,
        )
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[hints[field.name], option],
        )


_CHANGED = inspect.Parameter(
    "set",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Change a catalogue value by its record key, as scale_out_gb_per_s=100 (repeatable).",
            rich_help_panel=QUESTION_PANEL,
        ),
    ],
)


def _renamed(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the option of overrides under the name it has where `--set` is what changes."""
    if parameter.name != "set":
        return parameter
    option = typer.Option(
        "--base-set",
        metavar="KEY=VALUE",
        help="Override a catalogue value before and after the change (repeatable).",
        rich_help_panel=HARDWARE_PANEL,
    )
    return parameter.replace(name="base_set", annotation=Annotated[list[str] | None, option])


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
    if group is Changes:
        return [_renamed(parameter) for parameter in group_parameters(Serving)] + [_CHANGED]
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
        subject, own = _subject(group), _own_options(group)
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


def _subject(question: type) -> type | None:
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


def _own_options(question: type) -> list[Option]:
    """Return the fields of a question that are options, its scenarios left out."""
    return [each for each in options_of(question) if each.shown and "Scenario" not in each.types]


TEXTS = {"Sequence", "Iterable", "tuple", "str", "Mapping", "object"}
"""Types of fields whose option is a text, even where they hold numbers."""


def _parameter(option: Option) -> inspect.Parameter:
    """Return the command-line option of a field of a question."""
    types = option.types
    flag = bool(types & {"bool"})
    several = "Mapping" in types
    text = not types & {"float", "int"} or bool(types & TEXTS)
    parser = (
        None if flag or text else number if "float" in types else whole_number if "int" in types else None
    )
    hint: Any = bool if flag else list[str] if several else Path if types & {"Path"} else str
    told = option.text.replace("`", "")
    record = "system" if "System" in types else "model" if "Model" in types else ""
    words = option.words
    unit = "" if option.unit in {"", "1"} else option.unit.upper()
    kind = "FILE" if hint is Path else "ID" if record else "NUMBER" if parser else "TEXT"
    info = typer.Option(
        option.flag or "--" + option.name.replace("_", "-"),
        help=told[0].upper() + told[1:] + (" (repeatable)." if several else "."),
        metavar=None if flag else option.metavar or "|".join(words) or unit or kind,
        autocompletion=among(*words) if words else _complete(record) if record else None,
        parser=parser,
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


def _maybe(values: dict[str, Any]) -> MaybeScenario:
    if values["system"] is None and values["model"] is None:
        return MaybeScenario(None)
    for name in ("system", "model"):
        if values[name] is None:
            raise InputError(f"--{name} is missing: numbers are put in for a system and a model")
    return MaybeScenario(_make_scenario(values))


def _several_models(values: dict[str, Any]) -> Models:
    models = listed(values.pop("models"), "--models")
    return Models(tuple(_make_scenario({**values, "model": model}) for model in models))


def _candidates(values: dict[str, Any]) -> Candidates:
    systems = listed(values.pop("systems"), "--systems")
    return Candidates(tuple(_make_scenario(_candidate(values, system)) for system in systems))


def _changes(values: dict[str, Any]) -> Changes:
    changes = tuple(values.pop("set") or ())
    values["set"] = values.pop("base_set")
    return Changes(_make_scenario(values), changes)


def make(group: type, values: dict[str, Any], readers: Mapping[str, Callable[[Any], object]]) -> Any:  # noqa: ANN401
    """Build a group or a question from the values given for its options.

    Parameters
    ----------
    group : type
        What is built.
    values : dict
        Values by option.
    readers : mapping of str to callable
        What turns the text of an option into the value of a question's field.

    Returns
    -------
    object
        The group or the question.

    Raises
    ------
    InputError
        If a value cannot be read, is out of bounds, or contradicts another.
    """
    build: dict[type, Callable[[dict[str, Any]], object]] = {
        Scenario: _make_scenario,
        MaybeScenario: _maybe,
        Serving: lambda held: Serving(_make_scenario(held)),
        Models: _several_models,
        Candidates: _candidates,
        Changes: _changes,
    }
    if group in build:
        return build[group](values)
    if group.__module__.startswith("roofline_afd.cli."):
        return group(**values)
    return _question(group, values, readers)


def _question(
    question: type, values: dict[str, Any], readers: Mapping[str, Callable[[Any], object]]
) -> object:
    """Build a question: its scenarios, and the fields that were given."""
    own = _own_options(question)
    given = {option.name: values.pop(option.name) for option in own}
    catalogue = functools.cache(Databases(values.get("hardware_db"), values.get("model_db")).catalogue)
    subject = _subject(question)
    if subject in {Models, Candidates}:
        given["scenarios"] = make(subject, values, {}).scenarios
    elif subject is not None:
        made = make(subject, values, {})
        given["scenario"] = made.scenario if subject is Serving else made
    for option in own:
        if given[option.name] is None:
            del given[option.name]
        elif option.name in readers:
            given[option.name] = readers[option.name](given[option.name])
        else:
            given[option.name] = _read(option, given[option.name], catalogue)
    return question(**given)


def _read(option: Option, value: Any, catalogue: Callable[[], Catalogue]) -> object:  # noqa: ANN401
    """Return what a field holds, from the text of its option, as its type says."""
    if "System" in option.types:
        from roofline_afd.catalogue.hardware import load_system  # not for --help

        return load_system(value, catalogue=catalogue())
    if "Model" in option.types:
        from roofline_afd.catalogue.models import load_model

        return load_model(value, catalogue=catalogue())
    name = option.flag or "--" + option.name.replace("_", "-")
    if "Sequence" in option.types:
        return whole_numbers(value, option=name) if "int" in option.types else listed(value, name)
    return value


def reads_catalogue(group: type) -> bool:
    """Return whether making a group reads the catalogue; those that need not are made first."""
    return group in QUESTIONS or not group.__module__.startswith("roofline_afd.cli.")


QUESTIONS = {Scenario, MaybeScenario, Serving, Models, Candidates, Changes}


def _candidate(values: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the options for one of several systems, or for a pair of them."""
    attention, plus, ffn = text.partition("+")
    if not plus:
        return {**values, "system": text}
    if not (attention and ffn) or "+" in ffn:
        raise InputError(f"--systems {shown(text)} is no system and no pair attention+ffn")
    return {**values, "system": ffn, "attention_system": attention, "ffn_system": ffn}


def _make_scenario(values: dict[str, Any]) -> Scenario:
    """Build the scenario the options describe."""
    from roofline_afd.catalogue.hardware import load_system  # not for --help
    from roofline_afd.catalogue.models import load_model
    from roofline_afd.catalogue.overrides import parse_pairs, split_overrides

    values.pop("scenario", None)
    catalogue = Databases(values.pop("hardware_db"), values.pop("model_db")).catalogue()
    for name in SYSTEMS:
        if values.get(name) is not None:
            values[name] = load_system(values[name], catalogue=catalogue)
    system, model = values.pop("system"), values.pop("model")
    tables = catalogue.record("model", model).data["attention"]
    pairs = parse_pairs(values.pop("set") or ())
    for name in pairs.keys() & values.keys() & {"experts_per_ffn_device"}:  # published rows write it so
        values[name] = whole_number(pairs.pop(name))
    of_system, of_model = split_overrides(pairs, attention_tables=tables)
    return Scenario(
        system=load_system(system, overrides=of_system, catalogue=catalogue),
        model=load_model(model, overrides=of_model, catalogue=catalogue),
        **values,
    )
