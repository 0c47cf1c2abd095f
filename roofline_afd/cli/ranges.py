"""Ranges and lists of whole numbers as options spell them: `1:40`, `8:64:8`, `1,2,4,8`."""

from __future__ import annotations

import re

from roofline_afd.errors import InputError, shown

MAX_ROWS = 100_000
_RANGE = re.compile(r"\s*(-?\d{1,15})\s*(?::\s*(-?\d{1,15})\s*)?(?::\s*(-?\d{1,15})\s*)?", re.ASCII)


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
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InputError(
                f"{option} {shown(text)}: write a range first:last[:step] or a list a,b,c of whole numbers"
            )
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
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
