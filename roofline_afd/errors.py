"""The errors this package raises on purpose: each is one clear line."""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SHOWN_CHARACTERS = 60
ARGUMENTS: dict[str, str] = {"--systems": "scenarios", "--models": "scenarios"}
"""The argument that an option of every question is in Python: the fields of `Scenario`, which adds them."""
SETTING = ("--set KEY=VALUE", "overrides={KEY: VALUE}"), ("--set", "overrides")
"""How catalogue values are set on the command line and, of `load_system` and `load_model`, in Python."""
_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether whoever is to read an error is spoken to further out."""


class RooflineAfdError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(RooflineAfdError, ValueError):
    """The question is malformed: says what is wrong, where, and what is valid (exit status 2)."""


class InfeasibleError(RooflineAfdError):
    """The question is well formed and the answer is "no": names the binding constraint (exit status 1)."""


@contextmanager
def naming_options() -> Iterator[None]:
    """Let the errors of a block name options, as the command line does."""
    before = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(before)


@contextmanager
def naming_arguments(own: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let the errors that leave a block name arguments of Python instead of options.

    Of blocks within one another, and within those of `naming_options`, the outermost decides.

    Parameters
    ----------
    own : mapping of str to str, optional
        Options of this question by the argument each is, beside `ARGUMENTS`.

    Examples
    --------
    >>> with naming_arguments({"--for": "target"}):
    ...     raise InputError("--for 'x' is not valid; --output has none")
    Traceback (most recent call last):
    roofline_afd.errors.InputError: target 'x' is not valid; --output has none
    """
    if _inside.get():
        yield
        return
    with naming_options():
        try:
            yield
        except RooflineAfdError as error:
            error.args = (_in_arguments(str(error), {**ARGUMENTS, **(own or {})}), *error.args[1:])
            raise


def _in_arguments(message: str, arguments: Mapping[str, str]) -> str:
    """Return a message with arguments in place of options; what a user supplied, in quotes, stays."""
    for option, argument in SETTING:
        message = message.replace(option, argument)
    pattern = r"(?<![\w'\"-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
    return re.sub(pattern, lambda found: arguments.get(found[0], found[0]), message)


def shown(value: object, *, most: int = SHOWN_CHARACTERS) -> str:
    """Return `value` as it may appear in a message: escaped, quoted, and short.

    Parameters
    ----------
    value : object
        Anything a user or a file supplied.
    most : int
        Characters to show at most [1].

    Returns
    -------
    str
        `repr(value)` cut to a length that keeps a message on one line.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a bottomless table
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= most else text[: most - 3] + "..."


def shown_path(path: object) -> str:
    """Return a file name as it may appear in a message: escaped and quoted, and whole."""
    return shown(str(path), most=4096)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the tail of a message that names the valid words nearest to `word`.

    Parameters
    ----------
    word : str
        What was given.
    known : iterable of str
        What is valid.

    Returns
    -------
    str
        `"; did you mean 'a' or 'b'?"`, or the first valid words where none is near.
    """
    choices = sorted(set(known))
    close = difflib.get_close_matches(word.lower(), choices, n=3, cutoff=0.6)
    close = close or [choice for choice in choices if word and choice.startswith(word.lower())][:3]
    if close:
        return f"; did you mean {' or '.join(repr(choice) for choice in close)}?"
    listed = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")  # noqa: PLR2004
    return f"; valid: {listed}" if choices else ""
