"""Ranges and lists of whole numbers as options spell them: `1:40`, `8:64:8`, `1,2,4,8`."""

from __future__ import annotations

from roofline_afd.errors import InputError, shown

MAX_ROWS = 100_000


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
    form = f"{option} {shown(text)}: write a range first:last[:step] or a list a,b,c of whole numbers"
    numbers: list[int] = []
    for part in text.split(","):
        pieces = [piece.strip() for piece in part.split(":")]
        if len(pieces) > 3 or not all(piece.isascii() and piece.lstrip("-").isdigit() and len(piece) < 16 for piece in pieces):  # noqa: E501, PLR2004
            raise InputError(form)
        first, last, step = int(pieces[0]), int(pieces[min(1, len(pieces) - 1)]), 1
        if len(pieces) == 3:  # noqa: PLR2004
            step = int(pieces[2])
        if step < 1:
            raise InputError(f"{option} {shown(text)}: the step must be at least 1")
        if last < first:
            raise InputError(f"{option} {shown(text)} is reversed: {first} is above {last}")
        if (last - first) // step + 1 + len(numbers) > MAX_ROWS:
            raise InputError(f"{option} {shown(text)} asks for more than {MAX_ROWS:,} rows; take a larger step")
        numbers.extend(range(first, last + 1, step))
    return numbers
