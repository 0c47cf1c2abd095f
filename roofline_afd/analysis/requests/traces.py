"""Traces of requests: how long prompts and outputs were, and when they came, in the forms people have."""

from __future__ import annotations

import csv
import itertools
import json
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.files import file_lines, file_start, file_text
from roofline_afd.analysis.requests.forms import (
    CHARACTERS_PER_TOKEN,
    Columns,
    Form,
    at,
    form_of,
    is_texts,
    parsed,
    seconds,
    wanted,
    whole_runs,
)
from roofline_afd.errors import InputError, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MAX_BYTES = 2_000_000_000
"""Bytes of a trace, unpacked."""
MAX_DOCUMENT = 400_000_000
"""Bytes of a JSON document that is read as a whole."""
MAX_REQUESTS = 20_000_000
MAX_TOKENS = 100_000_000
"""Tokens of one prompt or output: as for the context of a question."""
LEAST_REQUESTS = 2
START = 1 << 16
"""Bytes by which a document is told from lines."""
BLOCKS = "hash_ids"
"""Blocks of a prompt, as Mooncake's traces name them."""
DELIMITERS = (",", "\t", ";", "|")
Row = tuple[int, object, object, float | None]
"""Row of the file, prompt, output, and time [s]; None where there is none."""


class Trace(NamedTuple):
    """Requests that decode something, in the order of the file, and how many were left out."""

    name: str
    prompt_tokens: NDArray[np.int64]
    decode_tokens: NDArray[np.int64]
    without_output: int
    note: str = ""
    """What of it is estimated."""

    @property
    def requests(self) -> int:
        """Requests that decode at least one token [1]."""
        return int(self.decode_tokens.size)


def read_trace(file: Path, *, prompt_column: str | None = None, decode_column: str | None = None) -> Trace:
    """Read the lengths of prompts and outputs.

    Parameters
    ----------
    file : Path
        A table with a header (commas, tabs, semicolons), a JSON object a line, a JSON list of requests or
        conversations, or what a benchmark saved of a run; plain or gzip; at most 2 GB unpacked, 400 MB of a
        JSON document, 20 million requests.
    prompt_column, decode_column : str, optional
        Columns of tokens of prompt and output, or paths into objects, joined by points; those of
        `forms.FORMS` where absent.

    Returns
    -------
    Trace
        Requests that decode at least one token; how many do not, is counted.

    Raises
    ------
    InputError
        If the file cannot be read, is too large or cut off, lacks a column, or a row holds anything but
        whole numbers from 0: names the file and the row, the header or first object being row 1. If fewer
        than two requests decode.
    """
    name = shown_path(file)
    prompts, outputs = array("q"), array("q")
    rows, note = _rows(file, name, Columns(prompt_column, decode_column), timed=False)
    for number, prompt, output, _ in rows:
        prompts.append(_tokens(prompt, name, number))
        outputs.append(_tokens(output, name, number))
        if len(prompts) > MAX_REQUESTS:
            raise InputError(f"{name} has more than {MAX_REQUESTS:,} requests: give a part of them")
    prompt_tokens, decode = (
        np.frombuffer(held, np.int64) if held else np.empty(0, np.int64) for held in (prompts, outputs)
    )
    used = decode > 0
    if int(used.sum()) < LEAST_REQUESTS:
        raise InputError(
            f"{name} has {decode.size} request{'' if decode.size == 1 else 's'}, of which {int(used.sum())} "
            f"decode anything; a load needs at least {LEAST_REQUESTS} that do"
        )
    return Trace(name, prompt_tokens[used], decode[used], int(decode.size - used.sum()), note)


class Arriving(NamedTuple):
    """Requests that decode something, in the order of their arrival, from the first on [s]."""

    name: str
    times: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    decode_tokens: NDArray[np.float64]


def read_arrivals(
    file: Path,
    *,
    prompt_column: str | None = None,
    decode_column: str | None = None,
    time_column: str | None = None,
) -> Arriving:
    """Read when requests arrive, and their lengths.

    Parameters
    ----------
    file : Path
        As in `read_trace`, with times.
    prompt_column, decode_column, time_column : str, optional
        As in `read_trace` and `arrival_rate`.

    Returns
    -------
    Arriving
        Requests that decode at least one token.

    Raises
    ------
    InputError
        As `read_trace` and `arrival_rate`.
    """
    name = shown_path(file)
    lengths, _ = _rows(file, name, Columns(prompt_column, decode_column), timed=False)
    times, _ = _rows(file, name, Columns(time=time_column), timed=True)
    held = array("d")
    for row, timed in zip(lengths, times, strict=True):
        held.extend((_time(timed, name), _tokens(row[1], name, row[0]), _tokens(row[2], name, row[0])))
        if len(held) > 3 * MAX_REQUESTS:
            raise InputError(f"{name} has more than {MAX_REQUESTS:,} requests: give a part of them")
    table = np.frombuffer(held, float).reshape(-1, 3) if held else np.empty((0, 3))
    table = table[table[:, 2] > 0]
    if table.shape[0] < LEAST_REQUESTS:
        raise InputError(f"{name} has {table.shape[0]} requests that decode anything: too few")
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Arriving(name, table[:, 0] - table[0, 0], table[:, 1], table[:, 2])


def read_blocks(
    file: Path, *, prompt_column: str | None = None
) -> Iterator[tuple[str, int, list[object]]] | None:
    """Read the blocks of prompts, where requests name them by hashes.

    Parameters
    ----------
    file : Path
        As in `read_trace`.
    prompt_column : str, optional
        As in `read_trace`.

    Returns
    -------
    iterator of tuple or None
        Place in the file, tokens of the prompt [1] and `hash_ids` of each request; None where there are none.

    Raises
    ------
    InputError
        As `read_trace`, or if `hash_ids` are no list.
    """
    name = shown_path(file)
    rows, _ = _rows(file, name, Columns(prompt_column, BLOCKS), timed=False)
    try:
        first = next(rows)
    except (StopIteration, InputError):  # lengths were read before: what lacks is the blocks
        return None

    def blocks() -> Iterator[tuple[str, int, list[object]]]:
        for number, prompt, held, _ in itertools.chain([first], rows):
            where = f"{name}, row {number}"
            if not isinstance(held, list) or len(set(map(str, held))) < len(held):
                raise InputError(f"{where}: {BLOCKS} must be a list of blocks, each once")
            yield where, _tokens(prompt, name, number), held

    return blocks()


def arrival_rate(file: Path, *, time_column: str | None = None) -> float:
    """Read how many requests a second arrive in a trace.

    Parameters
    ----------
    file : Path
        As in `read_trace`, with times: dates, with offsets or in UTC, or numbers.
    time_column : str, optional
        Column of times; one of `forms.FORMS` where absent.

    Returns
    -------
    float
        Requests but one over the time between the first and the last [1/s].

    Raises
    ------
    InputError
        If the file cannot be read or says no times, or its last request is not after its first.
    """
    name = shown_path(file)
    rows, _ = _rows(file, name, Columns(time=time_column), timed=True)
    first = next(rows, None)
    last = first
    count = 0
    for count, last in enumerate(rows, 1):  # noqa: B007 - how many, and the last
        pass
    if first is None or last is None or count < 1:
        raise InputError(f"{name} has too few requests to tell a rate")
    begun, ended = _time(first, name), _time(last, name)
    if not ended > begun:
        raise InputError(f"{name}, row {last[0]}: its time is not after that of row {first[0]}")
    return count / (ended - begun)


def _time(row: Row, name: str) -> float:
    if row[3] is None:
        raise InputError(f"{name}, row {row[0]}: its time cannot be read")
    return row[3]


def _rows(file: Path, name: str, columns: Columns, *, timed: bool) -> tuple[Iterator[Row], str]:
    """Return the rows of a file in whatever form, and a note."""
    start = file_start(file, most=START).lstrip("\ufeff \t\r\n")
    if start.startswith("[") or (start.startswith("{") and _one_document(start)):
        held = parsed(file_text(file, most=MAX_DOCUMENT))
        found = whole_runs(held)
        if found is not None:
            note = (
                f"tokens of {name} are estimated: {CHARACTERS_PER_TOKEN} characters each"
                if is_texts(held)
                else ""
            )
            return _of_objects(enumerate(found, 1), name, columns, timed=timed), note
    lines = ((number, line) for number, line in file_lines(file, most=MAX_BYTES) if line.strip())
    first = next(lines, None)
    if first is None:
        what = "has too few requests to tell a rate" if timed else f"is empty; it needs {wanted()}"
        raise InputError(f"{name} {what}")
    if first[1].lstrip("\ufeff ").startswith("{"):
        every = itertools.chain([first], lines)
        return _of_objects(_objects(every, name), name, columns, timed=timed), ""
    return _cells(first, lines, name, columns, timed=timed), ""


def _one_document(start: str) -> bool:
    """Return whether a file that begins with an object is one: its first line is none, or holds a run."""
    line, ended, _ = start.partition("\n")
    held = parsed(line) if ended or len(start) < START // 2 else None
    return held is None or whole_runs(held) is not None


def _objects(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[int, Any]]:
    """Yield row and object of a file with a JSON object a line."""
    for number, line in lines:
        try:
            held = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, row {number}: is no JSON object") from error
        runs = whole_runs(held) if isinstance(held, dict) else None
        if runs is None:
            yield number, held
        else:
            yield from ((number, each) for each in runs)


def _of_objects(
    held: Iterable[tuple[int, Any]], name: str, columns: Columns, *, timed: bool
) -> Iterator[Row]:
    """Yield the rows of objects, all of the form of the first."""
    form: Form | None = None
    for number, one in held:
        if not isinstance(one, dict):
            raise InputError(f"{name}, row {number}: is no JSON object")
        form = form or form_of(one, name, columns, timed=timed)
        found = [None if path is None else at(one, path) for path in form.columns]
        absent = [
            path
            for path, value in zip(form.columns, found, strict=True)
            if path is not None and value is None
        ]
        if absent:
            raise InputError(f"{name}, row {number}: lacks {', '.join(map(shown, absent))}")
        yield number, found[0], found[1], _seconds(found[2], form)


def _seconds(value: object, form: Form) -> float | None:
    """Return a time in seconds; None where it is none."""
    try:
        return seconds(value, form.per_second)
    except (ValueError, OverflowError):
        return None


def _cells(
    first: tuple[int, str],
    lines: Iterator[tuple[int, str]],
    name: str,
    columns: Columns,
    *,
    timed: bool,
) -> Iterator[Row]:
    """Yield the rows of a table."""
    number, line = first

    def following() -> Iterator[str]:
        nonlocal number
        for number, text in lines:  # noqa: B007 - the row an error names
            yield text

    try:
        split = max(DELIMITERS, key=line.count)
        header = [cell.strip() for cell in next(csv.reader([line], strict=True, delimiter=split))]
        form = form_of(header, name, columns, timed=timed)
        places = [None if column is None else header.index(column) for column in form.columns]
        width = len(header)
        for row in csv.reader(following(), strict=True, delimiter=split):
            if len(row) != width:
                if not any(cell.strip() for cell in row):
                    continue
                raise InputError(f"{name}, row {number}: {len(row)} cells, but {width} columns")
            prompt, decode, time = (None if place is None else row[place] for place in places)
            yield number, prompt, decode, _seconds(time, form)
    except csv.Error as error:
        raise InputError(f"{name}, row {number}: is no CSV: {error}") from error


def _tokens(value: object, name: str, number: int) -> int:
    """Return the tokens a cell holds: a whole number from 0."""
    if isinstance(value, str) and ("_" in value or not value.isascii()):  # digits to Python, not to a CSV
        raise InputError(f"{name}, row {number}: {shown(value)} is not a whole number of tokens")
    try:
        tokens = int(value) if isinstance(value, str) else value
    except ValueError:
        tokens = None
    if tokens is None and isinstance(value, str):
        try:
            tokens = float(value)  # 374.0, as some writers of CSV put it
        except ValueError:
            tokens = None
    if isinstance(tokens, float) and tokens.is_integer():
        tokens = int(tokens)
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        raise InputError(f"{name}, row {number}: {shown(value)} is not a whole number of tokens")
    if not 0 <= tokens <= MAX_TOKENS:
        raise InputError(f"{name}, row {number}: {shown(value)} tokens must be from 0 to {MAX_TOKENS:,}")
    return tokens
