"""Tokens that each expert received: from a file or a list, checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.models import LARGEST
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.serving.checks import finite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

MAX_EXPERTS = int(LARGEST["routed_experts"])
MAX_BYTES = 1_000_000
LIST = set("0123456789.,e+- ")
"""Characters of a list of numbers."""
LONGEST_NUMBER = 9
"""Digits of an expert number; longer ones are names."""


def counts_of(given: object) -> tuple[NDArray[np.float64], object]:
    """Return checked counts, and what the inputs say of them."""
    if isinstance(given, str | Path):
        counts = read_counts(Path(given))
        origin: object = str(given)
    elif isinstance(given, Iterable):
        counts = [_count(f"--expert-counts, expert {index}", value) for index, value in enumerate(given)]
        _check_counts("--expert-counts", counts)
        origin = counts
    else:
        raise InputError(f"--expert-counts {shown(given)} is neither a file nor a list of counts")
    return np.array(counts), origin


def counts_from(text: str) -> tuple[float, ...]:
    """Return the counts an option gives: a list of numbers, or those of a file; InputError as for both."""
    if text and set(text) <= LIST:
        return tuple(counts_of(numbers_in(text))[0].tolist())
    return tuple(read_counts(Path(text)))


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a list with commas between; InputError where one is none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--expert-counts {shown(text)} is no list of numbers, nor a file") from error


def read_counts(file: Path) -> list[float]:
    """Read how many tokens each expert received.

    Parameters
    ----------
    file : Path
        CSV file with a column `count` and perhaps a column `expert`, or one column of counts without header;
        whole-numbered experts may come in any order, others stay as they are.

    Returns
    -------
    list of float
        Counts in order of the experts [1].

    Raises
    ------
    InputError
        If the file cannot be read, lacks the column, or a row is faulty: names it, the first row being 1.
    """
    name = shown_path(file)
    rows = list(_csv_rows(file))
    if not rows:
        raise InputError(f"{name} is empty; it needs columns expert, count, or one column of counts")
    header = [cell.lower() for cell in rows[0][1]]
    if "count" in header:
        rows = rows[1:]
    elif len(header) == 1:
        header = ["count"]  # no header: the first row is a count like the others, or refused as one
    else:
        raise InputError(f"{name} lacks the column count; it needs columns expert, count, or one of counts")
    at = header.index("count")
    expert_at = header.index("expert") if "expert" in header else None
    counts: dict[str, float] = {}
    for number, cells in rows:
        place = f"{name}, row {number}"
        if len(cells) != len(header):
            raise InputError(f"{place}: {len(cells)} cells, but {len(header)} columns")
        expert = str(len(counts)) if expert_at is None else cells[expert_at]
        if not expert:
            raise InputError(f"{place}: expert is empty")
        if expert in counts:
            raise InputError(f"{place}: expert {shown(expert)} is there twice")
        try:
            value: object = float(cells[at])
        except ValueError:
            value = cells[at]
        counts[expert] = _count(place, value)
    _check_counts(name, list(counts.values()))
    return _in_order(name, counts)


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, numbered from 1, their cells stripped."""
    name = shown_path(file)
    reader = csv.reader(io.StringIO(file_text(file, most=MAX_BYTES), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, start=1):
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield number, cells
    except csv.Error as error:
        raise InputError(f"{name}, row {reader.line_num}: is no CSV: {error}") from error


def _count(place: str, value: object) -> float:
    return finite(f"{place}: count", value, least=0)


def _check_counts(place: str, counts: Sequence[float]) -> None:
    """Refuse counts that are no distribution: none, all zero, or of too many experts."""
    if not counts:
        raise InputError(f"{place} holds no counts; give one for each expert")
    if len(counts) > MAX_EXPERTS:
        raise InputError(f"{place} has counts of more than {MAX_EXPERTS:,} experts")
    if not any(counts):
        raise InputError(f"{place}: all counts are 0; at least one must be above")


def _in_order(name: str, counts: Mapping[str, float]) -> list[float]:
    """Return counts by expert number where experts have numbers, which must leave none out."""
    if not all(expert.isdecimal() and len(expert) <= LONGEST_NUMBER for expert in counts):
        return list(counts.values())
    numbered = {int(expert): count for expert, count in counts.items()}
    first = min(numbered)
    missing = next((expert for expert in range(first, first + len(numbered)) if expert not in numbered), None)
    if missing is not None or len(numbered) < len(counts):
        which = "are numbered twice" if missing is None else f"skip {missing}; an idle one has a count of 0"
        raise InputError(f"{name}: experts {which}")
    return [numbered[expert] for expert in sorted(numbered)]
