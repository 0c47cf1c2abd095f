"""Commands and scripts as text, every flag with what it says of the deployment."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Setting(NamedTuple):
    """A flag, a key or a variable; its value, None for one that is on by being there; and what it says."""

    name: str
    value: str | None
    says: str


class Expansion(str):
    """A value that the shell expands: quoted so that it still does."""

    __slots__ = ()


@dataclasses.dataclass
class Flags:
    """Flags of one process, in order, and variables of its environment."""

    settings: list[Setting] = dataclasses.field(default_factory=list)
    environment: list[Setting] = dataclasses.field(default_factory=list)

    def add(self, name: str, value: object = None, *, says: str) -> None:
        """Add a flag; one without a value is on by being there."""
        self.settings.append(Setting(name, None if value is None else _text(value), says))

    def export(self, name: str, value: object, *, says: str) -> None:
        """Add a variable of the environment."""
        self.environment.append(Setting(name, _text(value), says))

    def words(self) -> list[str]:
        """Return the flags as the words of a command line, unquoted."""
        return [word for each in self.settings for word in (each.name, each.value) if word is not None]

    def lines(self) -> list[str]:
        """Return a line for each flag, quoted for a shell."""
        return [
            each.name if each.value is None else f"{each.name} {_quoted(each.value)}"
            for each in self.settings
        ]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _quoted(value: str) -> str:
    return f'"{value}"' if isinstance(value, Expansion) else shlex.quote(value)


def script(
    program: str, flags: Flags, *, above: Iterable[str], asked: Mapping[str, str] | None = None
) -> str:
    """Return a shell script that starts one process.

    Parameters
    ----------
    program : str
        The command, and what stands before its flags.
    flags : Flags
        Its flags and environment.
    above : iterable of str
        Lines of comment at its head.
    asked : mapping of str to str, optional
        Variables that must be set where it runs, and what to.

    Returns
    -------
    str
        The script.
    """
    lines = ["#!/usr/bin/env bash", *(f"# {line}" for line in above), "set -euo pipefail"]
    lines += [f': "${{{name}:?{what}}}"' for name, what in (asked or {}).items()]
    lines += [f"export {each.name}={_quoted(each.value or '')}" for each in flags.environment]
    command = [f"exec {program}", *flags.lines()]
    return "\n".join([*lines, " \\\n  ".join(command)]) + "\n"


def as_yaml(document: object, *, above: Iterable[str] = ()) -> str:
    """Return a document as YAML, with lines of comment at its head."""
    import yaml  # only where such a file is written

    head = "".join(f"# {line}\n" for line in above)
    return head + str(yaml.safe_dump(document, sort_keys=False, width=100))


def keys_of(document: Mapping[str, Any], prefix: str = "") -> Flags:
    """Return the keys of a document, those of nested ones with dots between, as settings without words."""
    flags = Flags()
    for key, value in document.items():
        if isinstance(value, dict):
            flags.settings += keys_of(value, f"{prefix}{key}.").settings
        else:
            flags.add(f"{prefix}{key}", value if isinstance(value, str) else repr(value), says="")
    return flags
