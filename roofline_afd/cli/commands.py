"""Commands, each built when it is the one that runs: their options are many, and only its own are needed.

A command is a function. A parameter annotated with a group of `roofline_afd.cli.options` or with a question
stands for all options of that group or question: they are spread into the command line, and the function is
handed the group or the question, ready made.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import MutableMapping
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from roofline_afd.cli import helping, making, progress, reading, spreading
from roofline_afd.cli.options import (
    HARDWARE_PANEL,
    OUTPUT_PANEL,
    QUESTION_PANEL,
    Folder,
    Output,
    Picture,
    telling_what_is_left_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MARKUP: Literal["rich"] | None = "rich" if sys.stdout is not None and sys.stdout.isatty() else None
"""How help texts are shown: boxes on a terminal, plain in a pipe."""
PLACES = {HARDWARE_PANEL: 0, QUESTION_PANEL: 1, OUTPUT_PANEL: 3}
"""Order of panels in a help text; what has none is first where it must be given, else before the output."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands on a shelf: the help of a command, and what builds it."""

    help_text: Callable[[], str]
    build: Callable[[], Any]


class Shelf(MutableMapping[str, Any]):
    """Commands under one name, in the order in which help lists them; each is built when it is taken."""

    def __init__(self, help_text: str = "") -> None:
        self.help_text = help_text
        self.telling = False
        """While help or a shell's completion lists commands, they are taken without their options."""
        self._entries: dict[str, Entry] = {}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a command of typer
        """Return a command."""
        if self.telling:
            return TyperCommand(name, help=self._entries[name].help_text())
        if name not in self._built:
            self._built[name] = self._entries[name].build()
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:  # noqa: ANN401 - a command of typer
        """Put a command that is built already."""
        self._entries[name] = Entry(lambda: str(command.help or ""), lambda: command)

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)

    def told(self, name: str) -> str:
        """Return the help of a command, which is not built for it."""
        return self._entries[name].help_text()

    def put(self, name: str, entry: Entry) -> None:
        """Put a command that is yet to be built."""
        self._entries[name] = entry

    def part(self, name: str, module: str) -> None:
        """Put the command of this name that a module adds; the module is imported when it is needed."""

        def entry() -> Entry:
            own = Shelf()
            import_module(module).add(own)
            return own._entries[name]

        self.put(name, Entry(lambda: entry().help_text(), lambda: entry().build()))

    def group(self, name: str, help_text: str) -> Shelf:
        """Return a new shelf under a name on this one."""
        shelf = Shelf(help_text)

        def build() -> TyperGroup:
            alone = typer.Typer(
                cls=shelf.kind(), help=help_text, no_args_is_help=True, rich_markup_mode=MARKUP
            )
            made = typer.main.get_group(alone)
            made.name = name
            return made

        self.put(name, Entry(lambda: help_text, build))
        return shelf

    def kind(self) -> type[TyperGroup]:
        """Return the class of a group that has these commands."""
        shelf = self

        class Group(TyperGroup):
            def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - those of typer
                super().__init__(*given, **named)
                self.commands = shelf

            def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own, private
                return reading.read_quickly(super().get_params(ctx))

            def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own, private
                return list(shelf)

            def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own, private
                commands = {name: shelf.told(name) for name in shelf}
                options = self.get_params(ctx)
                formatter.write(helping.group_help(ctx.command_path, self.help or "", options, commands))

            def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - as above
                shelf.telling = True
                try:
                    return super().shell_complete(ctx, incomplete)
                finally:
                    shelf.telling = False

        return Group


class _Command(TyperCommand):
    """A command that reads its options itself: typer would build a validator of pydantic for each of them."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own, private
        return helping.with_short_flags(reading.read_quickly(super().get_params(ctx)))

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own, private
        formatter.write(helping.help_of(ctx.command_path, self.help or "", self.get_params(ctx)))


def register(
    shelf: Shelf, name: str, *, help_text: str, readers: Mapping[str, Callable[[Any], object]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function a command, its option groups spread out.

    Parameters
    ----------
    shelf : Shelf
        Where the command goes.
    name : str
        What it is called.
    help_text : str
        The question it answers, in a sentence.
    readers : mapping of str to callable, optional
        What turns the text of an option into the value of a question's field, for fields whose type does
        not say it.

    Returns
    -------
    callable
        The decorator; it returns the function unchanged.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        shelf.put(name, Entry(lambda: help_text, lambda: _built(function, name, help_text, readers or {})))
        return function

    return decorate


def register_picture(
    shelf: Shelf,
    kind: str,
    *,
    help_text: str,
    chart: str,
    of: str,
    readers: Mapping[str, Callable[[Any], object]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a function which asks a command which draws.

    Parameters
    ----------
    shelf : Shelf
        Where the command goes.
    kind : str
        What the picture is called.
    help_text : str
        What it shows, in a sentence.
    chart : str
        What draws: `module:function` in `roofline_afd.view.charts`, of as many answers as the function asks.
    of : str
        Command whose answers it draws.
    readers : mapping of str to callable, optional
        As for `register`.

    Returns
    -------
    callable
        The decorator, for a function that returns an answer or a list of them; it returns it unchanged.
    """

    def decorate(ask: Callable[..., Any]) -> Callable[..., Any]:
        def draw(picture: Picture, **question: Any) -> None:  # noqa: ANN401 - what `ask` takes
            from roofline_afd.cli import pictures  # not for --help

            if picture.answer is None:
                answers = ask(**question)
                pictures.keep(answers, picture)
            else:
                answers = pictures.kept(picture.answer, kind, of)
            pictures.deliver(answers, chart, picture)

        draw.__annotations__ = {**_taken(ask), "picture": Picture}
        own = inspect.signature(ask).parameters.values()
        first = inspect.Parameter("picture", inspect.Parameter.KEYWORD_ONLY, annotation=Picture)
        draw.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect reads
            [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), first]
        )
        register(shelf, kind, help_text=help_text, readers=readers)(draw)
        return ask

    return decorate


def _taken(function: Callable[..., object]) -> dict[str, Any]:
    """Return the types of a function's parameters; what it returns may be known to type checkers alone."""
    own = {name: hint for name, hint in inspect.get_annotations(function).items() if name != "return"}
    spaces = vars(inspect.getmodule(function))
    return typing.get_type_hints(SimpleNamespace(__annotations__=own), spaces, include_extras=True)


def _built(
    function: Callable[..., None],
    name: str,
    help_text: str,
    readers: Mapping[str, Callable[[Any], object]],
) -> Any:  # noqa: ANN401 - a command of typer
    """Return the command of a function."""
    hints = typing.get_type_hints(function, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    spread: dict[str, inspect.Parameter] = {}
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints[parameter.name]
        if spreading.is_group(annotation):
            found = spreading.group_parameters(annotation)
            groups[parameter.name] = (annotation, [option.name for option in found])
        else:
            found = [parameter.replace(annotation=annotation, kind=inspect.Parameter.KEYWORD_ONLY)]
        spread |= {option.name: option for option in found}

    @telling_what_is_left_out()
    def command(**values: Any) -> None:  # noqa: ANN401 - whatever the options are
        shared = dict(values)
        made: dict[str, object] = {}
        order = sorted(groups.items(), key=lambda item: making.reads_catalogue(item[1][0]))
        for key, (group, named) in order:
            held = {option: shared[option] for option in named}
            made[key] = making.make(group, held, readers)
            if isinstance(made[key], Folder | Output | Picture):
                made[key].check()  # type: ignore[attr-defined]  # a bad file name is refused before the work
            if isinstance(made[key], Picture) and made[key].answer is not None:  # type: ignore[attr-defined]
                function(**made)
                return
        taken = {option for _, named in groups.values() for option in named}
        with progress.shown():
            function(**made, **{key: value for key, value in values.items() if key not in taken})

    ordered = sorted(spread.values(), key=_place)
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in ordered}
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=MARKUP)
    alone.command(name, cls=_Command, help=help_text)(command)
    return typer.main.get_command(alone)


def _place(option: inspect.Parameter) -> int:
    """Return where an option stands in a help text."""
    panel = next(
        (
            found
            for extra in getattr(option.annotation, "__metadata__", ())
            if isinstance(found := getattr(extra, "rich_help_panel", None), str)
        ),
        "",
    )
    return PLACES.get(panel, 2 if option.default is not option.empty else -1)
