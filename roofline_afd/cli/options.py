"""Groups of options that commands share: where an answer goes, catalogue overlays, what is asked about."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roofline_afd.cli import progress
from roofline_afd.cli.reading import ANSWERED, listed, number, whole_number
from roofline_afd.errors import InputError, shown_path
from roofline_afd.serving.scenario import Scenario
from roofline_afd.units import UNITS, parse_number
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.view.cells import Choice
    from roofline_afd.view.tables import Form

SYSTEMS = ("attention_system", "ffn_system")
"""Fields of a scenario that name a system."""
RECORDS = dict.fromkeys(SYSTEMS, "system") | {"engine": "engine"}
"""Fields of a scenario that name a record, and its kind."""
NAMED = {field: (kind,) for field, kind in RECORDS.items()} | {"deployable_with": ("engine", "library")}
"""Fields of a scenario whose words are ids, and the kinds of record that have them."""
HARDWARE_PANEL, QUESTION_PANEL, OUTPUT_PANEL = "What is asked about", "Question", "Output and catalogues"


def complete_ids(*records: str) -> Callable[[str], list[str]]:
    """Return what completes the id of some kinds of record."""

    def complete(incomplete: str) -> list[str]:
        from roofline_afd.catalogue.store import Catalogue  # only on a completion

        catalogue = Catalogue()
        found = (name for record in records for name in catalogue.ids(record))
        return [name for name in found if name.startswith(incomplete)]

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
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="a,b,c",
            help="Columns of table, csv or markdown, by key.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    all_columns: Annotated[
        bool,
        typer.Option(
            "--all-columns", help="Every column, not only the main ones.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Every note, not only those that decide.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False

    def check(self) -> None:
        """Refuse a bad format or file name before any work is done."""
        from roofline_afd.view.tables import check_choice, check_output, choose_format  # not for --help

        check_choice(self.choice(), choose_format(self.format, self.output, terminal=sys.stdout.isatty()))
        if self.output is not None:
            check_output(self.output, force=self.force)

    def deliver(self, answer: Answer) -> None:
        """Print the answer, or write it to the file."""
        from roofline_afd.view.tables import deliver  # not for --help

        progress.clear()
        deliver(answer, self.form())
        for note in answer.notes:
            _untold.pop(note, None)

    def form(self) -> Form:
        """Return how an answer is delivered."""
        from roofline_afd.view.tables import Form

        return Form(self.format, self.output, self.force, self.choice(), self.why)

    def choice(self) -> Choice:
        """Return the columns that are shown."""
        from roofline_afd.view.cells import Choice

        names = () if self.columns is None else tuple(listed(self.columns, "--columns"))
        return Choice(names, self.all_columns)


STREAMED = (".csv", ".parquet")
"""Suffixes of files that rows go to as they are made."""


@dataclasses.dataclass(frozen=True)
class Streamed(Output):
    """Where the answer goes, or many rows as they are made: .csv and .parquet."""

    @property
    def streams(self) -> bool:
        """Whether rows go to a file as they are made."""
        return self.output is not None and self.output.suffix.lower() in STREAMED

    def check(self) -> None:
        """Refuse a bad format or file name before any work is done."""
        from roofline_afd.view.tables import check_output  # not for --help

        if self.output is not None and self.streams:
            check_output(self.output, force=self.force)
            if self.columns or self.all_columns:
                raise InputError("--columns and --all-columns: --metrics chooses columns of such a file")
        else:
            super().check()


def from_answer(context: typer.Context, file: Path | None) -> Path | None:
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
            callback=from_answer,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    force: Force = False

    def check(self) -> None:
        """Refuse bad file names before any work is done."""
        from roofline_afd.view.pages import check_drawing, picture_format  # not for --help
        from roofline_afd.view.tables import check_output

        if self.output is not None:
            if picture_format(self.output) != "json":
                check_drawing(f"--output {shown_path(self.output)}")
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
class Folder:
    """Where the files of an answer go."""

    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the files there too, the folder made where it is not.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None

    def check(self) -> None:
        """Refuse a folder that cannot be written to before any work is done."""
        from roofline_afd.view.tables import check_folder  # not for --help

        if self.folder is not None:
            check_folder(self.folder, option="--folder")

    def deliver(self, answer: Answer, *, force: bool) -> None:
        """Write the files of an answer, all or none."""
        from roofline_afd.view.tables import write_files  # not for --help

        if self.folder is not None:
            write_files(self.folder, answer.files, force=force, option="--folder")


@dataclasses.dataclass(frozen=True)
class Databases:
    """Catalogue overlays."""

    hardware_db: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Hardware records laid over the catalogue (repeatable).",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None
    model_db: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Model records laid over the catalogue (repeatable).",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None

    def catalogue(self, *, collect_faults: bool = False) -> Catalogue:
        """Return the catalogue with these overlays."""
        from roofline_afd.catalogue.store import Catalogue  # not for --help

        found = Catalogue(self.hardware_db or (), self.model_db or (), collect_faults=collect_faults)
        if found.left_out:
            _untold[found.left_out] = None
        return found


_untold: dict[str, None] = {}
"""Notes on faulty records that catalogues are without, until an answer tells them."""


@contextlib.contextmanager
def telling_what_is_left_out() -> Iterator[None]:
    """Tell at the end of a command which faulty records were left out, where no answer has told it."""
    _untold.clear()
    yield
    for note in _untold:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201


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
class Baseline(Serving):
    """A question about whole deployments that others are held against; `--base-set` is its `--set` too."""


def _form(option: Any) -> str:  # noqa: ANN401 - an option of typer
    """Return what a scenario file gives for an option: a flag, files, a list, or one value."""
    if getattr(option, "is_flag", False):  # no argument is one
        return "flag"
    if not option.multiple:
        return "one"
    return "files" if option.name in {"hardware_db", "model_db"} else "list"


def _long(option: Any) -> list[str]:  # noqa: ANN401 - an option of typer
    """Return the names of an option or argument that are no single letters."""
    return [name for name in getattr(option, "opts", ()) if name.startswith("--") or "-" not in name]


def _every_option(context: typer.Context) -> dict[str, str]:
    """Return every option of every command by its name in a scenario file, and a command that has it."""
    found: dict[str, str] = {}
    for name, command in context.find_root().command.commands.items():  # type: ignore[attr-defined]  # a group
        for each in getattr(command, "commands", {name: command}).values():
            for option in each.params:
                for spelled in _long(option):
                    found.setdefault(spelled.lstrip("-").replace("-", "_"), name)
    return found


def _from_file(context: typer.Context, file: Path | None) -> Path | None:
    """Take the options of a scenario file where the command line does not give them."""
    if file is not None:
        from roofline_afd.serving.scenario_file import Known, read_scenario_file  # not for --help

        known = {
            name.lstrip("-").replace("-", "_"): Known(option.name, _form(option))
            for option in context.command.params
            for name in _long(option)
            if option.name and option.name != "scenario"
        }
        context.default_map, notes = read_scenario_file(
            file, options=known, elsewhere=lambda: _every_option(context)
        )
        for note in notes:
            print(f"note: {note}", file=sys.stderr)  # noqa: T201
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
            autocompletion=complete_ids("system"),
            rich_help_panel=HARDWARE_PANEL,
        ),
    ]
    model: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Model to serve: see `models list`.",
            autocompletion=complete_ids("model"),
            rich_help_panel=HARDWARE_PANEL,
        ),
    ]
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help=(
                "Override a catalogue value by its record key, for example fp8_tflops=4500; of one of "
                "several systems as h20.memory_gb=141 (repeatable)."
            ),
            rich_help_panel=HARDWARE_PANEL,
        ),
    ] = None
