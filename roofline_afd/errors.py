"""The errors this package raises on purpose: each is one clear line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_CHARACTERS = 60


class RooflineAfdError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(RooflineAfdError, ValueError):
    """The question is malformed: says what is wrong, where, and what is valid (exit status 2)."""


class InfeasibleError(RooflineAfdError):
    """The question is well formed and the answer is "no": names the binding constraint (exit status 1)."""


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
