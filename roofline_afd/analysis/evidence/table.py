"""Tables of measurements as CSV files hold them: rows, cells and numbers, named when faulty."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MAX_BYTES = 50_000_000
"""Bytes of a file of measured rows, unpacked."""


class TableRow(NamedTuple):
    """One row of a CSV: where it stands, its filled cells by column, and all columns of its file."""

    place: str
    filled: Mapping[str, str]
    header: Sequence[str]


def table_rows(
    text: str,
    *,
    name: str,
    required: Sequence[str],
    one_of: Sequence[str] = (),
) -> Iterator[TableRow]:
    """Yield the rows of a CSV with a header.

    Parameters
    ----------
    text : str
        The CSV.
    name : str
        How messages call it.
    required : sequence of str
        Columns the header must name.
    one_of : sequence of str
        Columns of which the header must name one; any will do where empty.

    Yields
    ------
    TableRow
        Rows in their order, at least one.

    Raises
    ------
    InputError
        If the text is no CSV or empty, a column is missing, or a row has too many cells.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = reader.fieldnames or ()
        absent = [key for key in required if key not in header]
        if not header or absent:
            what = f"lacks the column {', '.join(absent)}" if header else "is empty"
            raise InputError(f"{name} {what}; a header names at least {', '.join(required)}")
        if one_of and not any(key in header for key in one_of):
            raise InputError(f"{name} lacks a measurement: a column {' or '.join(one_of)}")
        count = 0
        for cells in reader:
            count += 1
            place = f"{name}, row {count + 1}"
            if None in cells:
                raise InputError(f"{place}: more cells than the header has columns")
            held = {key: value.strip() for key, value in cells.items() if isinstance(value, str)}
            yield TableRow(place, {key: value for key, value in held.items() if value}, header)
    except csv.Error as error:
        raise InputError(f"{name}, row {reader.line_num}: is no CSV: {error}") from error
    if not count:
        raise InputError(f"{name} holds no rows below its header")


class Identified(Protocol):
    """What a row reads as, with the id that no other row of the same question has."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def place(self) -> str:
        """File and row."""


Read = TypeVar("Read", bound=Identified)


def distinct_rows(
    texts: Iterable[tuple[str, str]], *, required: Sequence[str], read: Callable[[TableRow], Read]
) -> list[Read]:
    """Return what the rows of several CSVs read as, refusing an id that another row has.

    Parameters
    ----------
    texts : iterable of (str, str)
        How messages call each CSV, and the CSV.
    required : sequence of str
        Columns each header must name.
    read : callable
        Reads one row.

    Returns
    -------
    list
        One of each row, in their order.

    Raises
    ------
    InputError
        As of `table_rows` and `read`, or if an id is taken.
    """
    found: dict[str, Read] = {}
    for name, text in texts:
        for row in table_rows(text, name=name, required=required):
            one = read(row)
            if one.id in found:
                raise InputError(f"{row.place}: id {shown(one.id)} is taken by {found[one.id].place}")
            found[one.id] = one
    return list(found.values())


def require_filled(row: TableRow, keys: Iterable[str]) -> None:
    """Refuse a row that leaves one of these columns empty."""
    for key in keys:
        if key not in row.filled:
            raise InputError(f"{row.place}: {key} is empty")


def number(place: str, text: str, *, whole: bool, zero: bool = False) -> float:
    """Return the number a cell holds.

    Parameters
    ----------
    place : str
        How messages call the cell.
    text : str
        What it holds.
    whole : bool
        Whether only whole numbers are valid.
    zero : bool
        Whether 0 is.

    Returns
    -------
    float
        The number, in the unit its column names.

    Raises
    ------
    InputError
        If it is no finite number, or out of bounds.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place} {shown(text)} is not a number")
    if value < 0 or (value == 0 and not zero) or value > 1e15:  # noqa: PLR2004 - no size or time is larger
        least = "at least 0" if zero else "above 0"
        raise InputError(f"{place} {shown(text)} must be {least} and at most 1e15")
    if 0 < value < 1e-15:  # noqa: PLR2004 - what is divided by it would not be finite
        raise InputError(f"{place} {shown(text)} is too small")
    if whole and not value.is_integer():
        raise InputError(f"{place} {shown(text)} is not a whole number")
    return value
