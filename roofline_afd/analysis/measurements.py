"""Measured operator and transfer times as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import TYPE_CHECKING

from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

MAX_BYTES = 50_000_000
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


def _text(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{shown_path(file)} is no regular file")
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{shown_path(file)} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise InputError(f"{shown_path(file)} is larger than {MAX_BYTES:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown_path(file)} is not UTF-8 text") from error


def _rows(file: Path, catalogue: Catalogue, systems: dict[str, System]) -> Iterator[Measurement]:
    reader = csv.DictReader(io.StringIO(_text(file), newline=""), strict=True)
    try:
        header = reader.fieldnames or ()
        absent = [name for name in ID_COLUMNS if name not in header]
        if not header or absent:
            what = f"lacks the column {', '.join(absent)}" if header else "is empty"
            raise InputError(f"{shown_path(file)} {what}; a header names at least {', '.join(ID_COLUMNS)}")
        if not any(name in header for name in MEASURES):
            raise InputError(f"{shown_path(file)} lacks a measurement: a column {' or '.join(MEASURES)}")
        count = 0
        for cells in reader:
            count += 1
            yield _row(f"{shown_path(file)}, row {count + 1}", cells, header, catalogue, systems)
    except csv.Error as error:
        raise InputError(f"{shown_path(file)}, row {reader.line_num}: is no CSV: {error}") from error
    if not count:
        raise InputError(f"{shown_path(file)} holds no rows below its header")


def _row(
    place: str,
    cells: Mapping[str | None, str | list[str] | None],
    header: Iterable[str],
    catalogue: Catalogue,
    systems: dict[str, System],
) -> Measurement:
    if None in cells:
        raise InputError(f"{place}: more cells than the header has columns")
    held = {key: value.strip() for key, value in cells.items() if key and isinstance(value, str)}
    filled = {key: value for key, value in held.items() if value}
    for key in ID_COLUMNS:
        if key not in filled:
            raise InputError(f"{place}: {key} is empty")
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
        key: _number(f"{place}: {key}", filled[key], whole=key in WHOLE)
        for key in sorted(wanted)
        if key in filled
    }
    texts = {key: filled.get(key, "") for key in TEXTS}
    return Measurement(place, filled["id"], operator, systems[name], texts, numbers)


def _number(place: str, text: str, *, whole: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place} {shown(text)} is not a number")
    if value <= 0 or value > 1e15:  # noqa: PLR2004 - no size or time of one operator is larger
        raise InputError(f"{place} {shown(text)} must be above 0 and at most 1e15")
    if whole and not value.is_integer():
        raise InputError(f"{place} {shown(text)} is not a whole number")
    return value
