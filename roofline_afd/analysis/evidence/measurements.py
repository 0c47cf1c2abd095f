"""Measured operator and transfer times as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

MAX_BYTES = 50_000_000
"""Bytes of a file of measured rows, unpacked."""
ID_COLUMNS = ("id", "operator", "system")
GROUPED = ("precision", "groups", "tokens_per_expert", "hidden", "intermediate")
TRANSFER = ("precision", "n_devices", "tokens", "hidden", "top_k")
INPUTS: Mapping[str, tuple[str, ...]] = {
    "gemm": ("precision", "m", "n", "k"),
    "grouped_gemm": ("precision", "n", "k", "groups", "tokens_per_expert"),
    "grouped_gemm_up": GROUPED,
    "grouped_gemm_down": GROUPED,
    "mla_decode": ("precision", "kv_precision", "batch", "context_tokens"),
    "dispatch": TRANSFER,
    "combine": TRANSFER,
    "attention_layer": ("precision", "batch", "context_tokens", "note"),
}
"""Operator to the columns its time is computed from."""
MEASURES = ("latency_us", "tflops", "gb_per_s")
"""Columns with a measurement; the first that a row fills counts."""
TEXTS = ("id", "operator", "system", "precision", "kv_precision", "note", "source")
WHOLE = ("n_devices", "m", "n", "k", "groups", "hidden", "top_k", "experts", "intermediate")


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a file: what was timed on which system, and the figure."""

    place: str
    id: str
    operator: str
    system: System
    texts: Mapping[str, str]
    numbers: Mapping[str, float]

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns this row leaves empty although its time depends on them."""
        absent = [key for key in INPUTS[self.operator] if key not in self.numbers and not self.texts.get(key)]
        if not any(key in self.numbers for key in MEASURES):
            absent.append(" or ".join(MEASURES))
        return tuple(absent)


def read_measurements(files: Iterable[Path], *, catalogue: Catalogue) -> list[Measurement]:
    """Read measured rows, in the order of the files.

    Parameters
    ----------
    files : iterable of Path
        CSV files with a header; columns beyond those needed are ignored.
    catalogue : Catalogue
        Where systems are looked up.

    Returns
    -------
    list of Measurement
        At least one.

    Raises
    ------
    InputError
        If a file cannot be read or is empty, a column is missing, or a row holds text for a number, a number
        not above 0, or an unknown operator or system: names the file and the row, the header being row 1.
    """
    systems: dict[str, System] = {}
    return [row for file in files for row in _rows(file, catalogue, systems)]


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


def require_filled(row: TableRow, keys: Iterable[str]) -> None:
    """Refuse a row that leaves one of these columns empty."""
    for key in keys:
        if key not in row.filled:
            raise InputError(f"{row.place}: {key} is empty")


def _rows(file: Path, catalogue: Catalogue, systems: dict[str, System]) -> Iterator[Measurement]:
    text = file_text(file, most=MAX_BYTES)
    for row in table_rows(text, name=shown_path(file), required=ID_COLUMNS, one_of=MEASURES):
        yield _row(row, catalogue, systems)


def _row(row: TableRow, catalogue: Catalogue, systems: dict[str, System]) -> Measurement:
    place, filled, header = row
    require_filled(row, ID_COLUMNS)
    operator = filled["operator"]
    if operator not in INPUTS:
        raise InputError(f"{place}: operator {shown(operator)} is not known{nearest(operator, INPUTS)}")
    absent = [name for name in INPUTS[operator] if name not in header]
    if absent:
        raise InputError(f"{place}: the file lacks the column {', '.join(absent)}, needed for {operator}")
    name = filled["system"]
    if name not in systems:
        try:
            systems[name] = load_system(name, catalogue=catalogue)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
    wanted = {*INPUTS[operator], *MEASURES, "experts", "n_devices"} - {*TEXTS}
    numbers = {
        key: number(f"{place}: {key}", filled[key], whole=key in WHOLE)
        for key in sorted(wanted)
        if key in filled
    }
    texts = {key: filled.get(key, "") for key in TEXTS}
    return Measurement(place, filled["id"], operator, systems[name], texts, numbers)


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
