"""The page of commands: what each answers and its own options; those that many share stand once."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHARED_BY = 5
"""Commands that have an option in the same words, from which on it stands in the table of shared ones."""
PLAIN = "roofline-afd compare"
"""The command whose shared options others are told by."""
OUTSIDE = "More"
"""Of options that help texts put under no title of their own."""
TEXT = """# Commands

`roofline-afd COMMAND --help` lists the options of a command on a screen. Here options that several commands
share stand once, at the end; a command names those it takes.
"""


@dataclasses.dataclass(frozen=True)
class Told:
    """An option as its help text tells it, wherever it stands there."""

    names: str
    value: str
    text: str
    panel: str = dataclasses.field(compare=False)

    @property
    def row(self) -> str:
        """A row of a table of options."""
        name = f"`{self.names} {self.value}`" if self.value else f"`{self.names}`"
        return f"| {name.replace('|', BAR)} | {self.text.replace('|', BAR)} |"


BAR = "\\|"


def page() -> str:
    """Return the page.

    Returns
    -------
    str
        Markdown.
    """
    import typer

    from roofline_afd.cli.app import app

    commands = dict(_walk("roofline-afd", typer.main.get_command(app)))
    options = {name: [*_options(command)] for name, command in commands.items()}
    counts = collections.Counter(option for own in options.values() for option in own)
    shared = [option for option, count in counts.items() if count >= SHARED_BY]
    plain = [option for option in options[PLAIN] if option in shared]
    parts = [TEXT]
    for name, command in commands.items():
        parts += _section(name, command, options[name], shared, plain)
    parts.append("## Shared options\n")
    for panel in dict.fromkeys(option.panel for option in shared):
        parts.append(f"### {panel}\n\n{_table(option for option in shared if option.panel == panel)}")
    return "\n".join(parts)


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - of typer
    """Yield a command and those below it."""
    yield name, command
    for below in getattr(command, "commands", ()):
        yield from _walk(f"{name} {below}", command.commands[below])


def _options(command: Any) -> Iterator[Told]:  # noqa: ANN401 - of typer
    """Yield the options of a command, with the short flags that it gets when it is asked for."""
    from roofline_afd.cli.helping import with_short_flags

    for option in with_short_flags(command.params):
        if option.param_type_name == "argument" or getattr(option, "hidden", False):
            continue
        text = " ".join(str(option.help or "").split())
        default = option.default
        if option.required:
            text += " Required."
        elif isinstance(default, int | float | str) and not isinstance(default, bool) and default != "":
            text += f" Default: `{default:g}`." if isinstance(default, float) else f" Default: `{default}`."
        value = "" if option.is_flag else option.metavar or option.type.name.upper()
        yield Told(
            ", ".join((*option.opts, *option.secondary_opts)), value, text, option.rich_help_panel or OUTSIDE
        )


def _section(
    name: str,
    command: Any,  # noqa: ANN401 - of typer
    options: list[Told],
    shared: list[Told],
    plain: list[Told],
) -> Iterator[str]:
    """Yield the parts of a command's section."""
    yield f"{'#' * min(2 + name.count(' ') - (name.count(' ') > 0), 3)} `{name}`\n"
    yield " ".join(str(command.help or "").split()) + "\n"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if arguments:
        told = (f"| `{each.name.upper()}` | {' '.join(str(each.help or '').split())} |" for each in arguments)
        yield "\n".join(["| argument | |", "|---|---|", *told]) + "\n"
    own = [option for option in options if option not in shared]
    if own:
        yield _table(own)
    if below := getattr(command, "commands", None):
        links = (f"[`{each}`](#{name.replace(' ', '-')}-{each})" for each in below)
        yield ", ".join(links) + "\n"
    taken = [option for option in options if option in shared]
    if taken and name != PLAIN and set(plain) <= set(taken):
        names = [
            f"those of [`compare`](#{PLAIN.replace(' ', '-')})",
            *(_name(each) for each in taken if each not in plain),
        ]
    else:
        names = [_name(each) for each in taken]
    if names:
        yield f"[Shared](#shared-options): {', '.join(names)}.\n"


def _name(option: Told) -> str:
    return f"`{option.names}`"


def _table(options: Iterable[Told]) -> str:
    return "\n".join(["| option | |", "|---|---|", *(option.row for option in options)]) + "\n"
