"""Files and documents of the user through one guard: of bounded size, depth and numbers, or refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_DOTS = 50
"""Dots of a key: parsers take quadratic time for more [1]."""
MOST_DIGITS = 19
"""Digits of a whole number: those of 64 bits, which TOML and JSON promise at most [1]."""
_KEY_RUN = re.compile(r"""[\w"'.\- \t]+""")
"""A run of characters that keys are made of."""


def file_bytes(file: Path, *, most: int, name: str = "") -> bytes:
    """Return what a regular file holds.

    Parameters
    ----------
    file : Path
        The file.
    most : int
        Bytes it may have.
    name : str
        How messages call it; by its path where empty.

    Returns
    -------
    bytes
        Its bytes.

    Raises
    ------
    InputError
        If it is no regular file, cannot be read, or is larger.
    """
    called = name or shown_path(file)
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{called} is no regular file")
        with file.open("rb") as opened:
            raw = opened.read(most + 1)
    except OSError as error:
        raise InputError(f"{called} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # a loop of links, as pathlib tells it
        raise InputError(f"{called} cannot be read: {error}") from error
    if len(raw) > most:
        raise InputError(f"{called} is larger than {most:,} bytes")
    return raw


def utf8(text: str) -> bytes:
    """Return a text as UTF-8, with question marks for what none is: bytes of the name of a file.

    Examples
    --------
    >>> utf8(chr(0xDCFF) + ".csv")
    b'?.csv'
    """
    return text.encode("utf-8", errors="replace")


@contextlib.contextmanager
def folder_held(folder: Path, *, wait: bool) -> Iterator[None]:
    """Keep other runs of this program out of a folder that is written to, where the system can.

    The system lets go of it however this process ends.

    Parameters
    ----------
    folder : Path
        One that exists.
    wait : bool
        Whether to wait until another lets go of it.

    Raises
    ------
    BlockingIOError
        If another has it, and is not waited for.
    OSError
        If it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # a system without it
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system that cannot
            pass
        yield
    finally:
        os.close(descriptor)


def toml_of(raw: bytes, *, name: str) -> dict[str, Any]:
    """Return what a TOML document holds.

    Parameters
    ----------
    raw : bytes
        UTF-8, with or without a byte order mark.
    name : str
        How messages call it.

    Returns
    -------
    dict
        Its keys and values.

    Raises
    ------
    InputError
        If it is no TOML, nested too deeply, or holds a whole number beyond 64 bits.
    """
    text = _decoded(raw, name)
    try:
        deep = any(run[0].count(".") > MOST_DOTS for run in _KEY_RUN.finditer(text))
        held = {} if deep else tomllib.loads(text)
        _check_numbers(held, name)
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply") from error
    except InputError:
        raise
    except ValueError as error:
        if "integer string conversion" in str(error):  # of more digits than Python converts
            raise InputError(f"{name} holds a whole number beyond 64 bits") from error
        raise InputError(f"{name} is no TOML: {str(error).splitlines()[0][:120]}") from error
    if deep:
        raise InputError(f"{name} is nested too deeply: a key has at most {MOST_DOTS} dots")
    return held


def json_of(text: str | bytes, *, name: str, infinite: bool = False) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what a JSON document holds.

    Parameters
    ----------
    text : str or bytes
        The document, UTF-8 where it is bytes, with or without a byte order mark.
    name : str
        How messages call it.
    infinite : bool
        Whether infinities pass; NaN never does.

    Returns
    -------
    object
        Its value.

    Raises
    ------
    InputError
        If it is no JSON, nested too deeply, names a field twice, or holds NaN or a whole number beyond 64
        bits.
    """

    def constant(word: str) -> float:
        if word == "NaN" or not infinite:
            raise InputError(f"{name} holds {word}, which is no number of JSON")
        return float(word)

    def whole(digits: str) -> int:
        if len(digits.lstrip("-")) > MOST_DIGITS:
            raise InputError(f"{name} holds an integer of {len(digits)} digits; valid: at most {MOST_DIGITS}")
        return int(digits)

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
        if twice:
            raise InputError(f"{name}: field {shown(twice[0])} is given twice")
        return dict(pairs)

    decoded = _decoded(text, name) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        return json.loads(decoded, parse_constant=constant, parse_int=whole, object_pairs_hook=fields)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{name} is no JSON: {str(error)[:120]}") from error


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text") from error


def _check_numbers(held: object, name: str) -> None:
    """Refuse whole numbers that do not fit 64 bits."""
    if isinstance(held, dict):
        for value in held.values():
            _check_numbers(value, name)
    elif isinstance(held, list):
        for value in held:
            _check_numbers(value, name)
    elif isinstance(held, int) and not -(2**63) <= held < 2**63:
        raise InputError(f"{name} holds a whole number beyond 64 bits")
