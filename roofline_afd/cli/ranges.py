"""Ranges and lists as options spell them: `1:40`, `8:64:8`, `1,2,4,8`, `context=1024:65536:3`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.cli.reading import whole_of
from roofline_afd.errors import InputError, shown
from roofline_afd.units import parse_number

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ROWS = 100_000
POINTS = 12
"""Values of an axis given as a range without a count."""
PARTS = 3
"""Numbers of a range: first, last, step."""


def whole_numbers(text: str, *, option: str) -> list[int]:
    """Read a list of whole numbers and ranges `first:last[:step]`, last included.

    Parameters
    ----------
    text : str
        What was given.
    option : str
        How messages call the option.

    Returns
    -------
    list of int
        The numbers, in the order given.

    Raises
    ------
    InputError
        If it is empty, reversed, no whole numbers, or more than `MAX_ROWS` of them.

    Examples
    --------
    >>> whole_numbers("1:3,8", option="--ffn-nodes")
    [1, 2, 3, 8]
    >>> whole_numbers("1k:2k:500", option="--ffn-nodes")
    [1000, 1500, 2000]
    """
    numbers: list[int] = []
    for part in text.split(","):
        try:
            first, *rest = (whole_of(each) for each in part.split(":"))
        except (ValueError, OverflowError):
            rest = [0] * PARTS
        if len(rest) >= PARTS:
            raise InputError(
                f"{option} {shown(text)}: write a range first:last[:step] or a list a,b,c of whole numbers"
            )
        last, step = (*rest, *(first, 1)[len(rest) :])
        if step < 1:
            raise InputError(f"{option} {shown(text)}: the step must be at least 1")
        if last < first:
            raise InputError(f"{option} {shown(text)} is reversed: {first} is above {last}")
        if (last - first) // step + 1 + len(numbers) > MAX_ROWS:
            raise InputError(
                f"{option} {shown(text)} asks for more than {MAX_ROWS:,} rows; take a larger step"
            )
        numbers.extend(range(first, last + 1, step))
    return numbers


def ffn_nodes_of(text: str) -> list[int]:
    """Return the FFN node counts an option asks for."""
    return whole_numbers(text, option="--ffn-nodes")


def _number_reader(option: str, unit: str) -> Callable[[str], float]:
    """Return what reads one number of an option, with or without a unit."""

    def read(text: str) -> float:
        try:
            return parse_number(text.strip(), unit=unit)
        except InputError as error:
            raise InputError(f"{option}: {error}") from error

    return read


def axis_of(text: str, *, option: str) -> tuple[str, list[float]]:
    """Read an axis of a map: `KEY=low:high[:count]` or `KEY=a,b,c`."""
    from roofline_afd.analysis.decode.maps import axis_unit, spaced  # not for --help

    key, equals, given = (part.strip() for part in text.partition("="))
    if not (equals and key and given):
        raise InputError(f"{option} {shown(text)} is not KEY=low:high[:count] or KEY=a,b,c")
    key = key.removeprefix("--").replace("-", "_")
    read = _number_reader(f"{option} {key}", axis_unit(key))
    if ":" not in given:
        return key, [read(part) for part in given.split(",")]
    low, high, count, *more = (*given.split(":"), "", "")[: max(3, given.count(":") + 1)]
    if more or (count and not count.strip().isdecimal()):
        raise InputError(f"{option} {shown(text)}: write low:high[:count], count a whole number")
    return key, spaced(key, read(low), read(high), int(count[:9]) if count else POINTS)


def milliseconds_of(text: str, *, option: str) -> tuple[float, float]:
    """Read `low:high` in ms."""
    low, colon, high = text.partition(":")
    if not colon or ":" in high:
        raise InputError(f"{option} {shown(text)}: write low:high in ms")
    read = _number_reader(option, "ms")
    return read(low), read(high)
