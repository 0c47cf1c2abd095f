"""Traces of requests: how long prompts and outputs were, read from files of any size in bounded memory."""

from __future__ import annotations

import csv
import json
from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.analysis.files import file_lines
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MAX_BYTES = 2_000_000_000
"""Bytes of a trace, unpacked."""
MAX_REQUESTS = 20_000_000
MAX_TOKENS = 100_000_000
"""Tokens of one prompt or output: as for the context of a question."""
LEAST_REQUESTS = 2
LEAST_ROWS = 3
COLUMNS = (("ContextTokens", "GeneratedTokens"), ("input_length", "output_length"))
"""Columns of prompt and output that are found by themselves."""


class Trace(NamedTuple):
    """Requests that decode something, in the order of the file, and how many were left out."""

    name: str
    prompt_tokens: NDArray[np.int64]
    decode_tokens: NDArray[np.int64]
    without_output: int

    @property
    def requests(self) -> int:
        """Requests that decode at least one token [1]."""
        return int(self.decode_tokens.size)


def read_trace(file: Path, *, prompt_column: str | None = None, decode_column: str | None = None) -> Trace:
    """Read the lengths of prompts and outputs.

    Parameters
    ----------
    file : Path
        CSV with a header or a JSON object a line, plain or gzip; at most 2 GB unpacked, 20 million requests.
    prompt_column, decode_column : str, optional
        Columns of tokens of prompt and output; where absent ContextTokens and GeneratedTokens, or
        input_length and output_length.

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
    lines = file_lines(file, most=MAX_BYTES)
    _lengths(lines, name, (prompt_column, decode_column), (prompts, outputs))
    prompt, decode = (
        np.frombuffer(held, np.int64) if held else np.empty(0, np.int64) for held in (prompts, outputs)
    )
    used = decode > 0
    if int(used.sum()) < LEAST_REQUESTS:
        raise InputError(
            f"{name} has {decode.size} request{'' if decode.size == 1 else 's'}, of which {int(used.sum())} "
            f"decode anything; a load needs at least {LEAST_REQUESTS} that do"
        )
    return Trace(name, prompt[used], decode[used], int(decode.size - used.sum()))


def arrival_rate(file: Path) -> float:
    """Read how many requests a second arrive in a trace.

    Parameters
    ----------
    file : Path
        CSV with a column TIMESTAMP of dates, or JSON lines with `timestamp` in ms; rows in order of time.

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
    rows = [(number, line) for number, line in _ends(file_lines(file, most=MAX_BYTES))]
    if len(rows) < LEAST_ROWS:
        raise InputError(f"{name} has too few requests to tell a rate")
    (_, header), first, last = rows[0], rows[1], rows[-1]
    objects = header.lstrip().startswith("{")
    if objects:
        first = rows[0]
    times = [_time(line, None if objects else header, name, number) for number, line in (first, last)]
    requests = last[0] - first[0]
    if not times[1] > times[0]:
        raise InputError(f"{name}, row {last[0]}: its time is not after that of row {first[0]}")
    return requests / (times[1] - times[0])


def _ends(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the first two lines that hold anything, and the last."""
    seen = 0
    last = None
    for number, line in lines:
        if line.strip():
            seen += 1
            if seen < LEAST_ROWS:
                yield number, line
            else:
                last = number, line
    if last is not None:
        yield last


def _time(line: str, header: str | None, name: str, number: int) -> float:
    """Return the time of a row [s]."""
    names = [] if header is None else [cell.strip().lower() for cell in next(csv.reader([header]))]
    if header is not None and "timestamp" not in names:
        raise InputError(f"{name} has no column TIMESTAMP to tell a rate from: give a number")
    try:
        if header is None:
            return float(json.loads(line)["timestamp"]) * 1e-3
        text = next(csv.reader([line]))[names.index("timestamp")]
        whole, _, part = text.strip().partition(".")  # seven digits of a second are one too many for Python
        return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{part or 0}")
    except KeyError as error:
        raise InputError(f"{name}, row {number}: lacks 'timestamp' to tell a rate from") from error
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InputError(f"{name}, row {number}: its time cannot be read") from error


def _lengths(
    lines: Iterator[tuple[int, str]],
    name: str,
    columns: tuple[str | None, str | None],
    into: tuple[array[int], array[int]],
) -> None:
    """Append the lengths of every request."""
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        raise InputError(f"{name} is empty; it needs {_wanted()}")
    rows = _objects if first[1].lstrip().startswith("{") else _cells
    prompts, outputs = into
    for number, prompt, output in rows(first, lines, name, columns):
        prompts.append(_tokens(prompt, name, number))
        outputs.append(_tokens(output, name, number))
        if len(prompts) > MAX_REQUESTS:
            raise InputError(f"{name} has more than {MAX_REQUESTS:,} requests: give a part of them")


def _wanted() -> str:
    return "columns " + ", or ".join(" and ".join(pair) for pair in COLUMNS)


def _chosen(held: Iterable[str], name: str, columns: tuple[str | None, str | None]) -> tuple[str, str]:
    """Return the columns of prompt and output among those a file holds."""
    names = list(held)
    found = next((pair for pair in COLUMNS if all(key in names for key in pair)), (None, None))
    chosen = []
    for given, own, option in zip(columns, found, ("--prompt-column", "--decode-column"), strict=True):
        if given is not None and given not in names:
            raise InputError(f"{option} {shown(given)} is no column of {name}{nearest(given, names)}")
        if given is None and own is None:
            raise InputError(
                f"{name} lacks {_wanted()}; or name yours with --prompt-column and --decode-column"
            )
        chosen.append(given or own or "")
    return chosen[0], chosen[1]


def _cells(
    first: tuple[int, str],
    lines: Iterator[tuple[int, str]],
    name: str,
    columns: tuple[str | None, str | None],
) -> Iterator[tuple[int, object, object]]:
    """Yield row, prompt and output of a CSV."""
    number, line = first

    def following() -> Iterator[str]:
        nonlocal number
        for number, text in lines:  # noqa: B007 - the row an error names
            yield text

    try:
        header = [cell.strip() for cell in next(csv.reader([line], strict=True))]
        prompt_column, decode_column = _chosen(header, name, columns)
        prompt_at, decode_at = header.index(prompt_column), header.index(decode_column)
        width = len(header)
        for row in csv.reader(following(), strict=True):
            if len(row) != width:
                if not any(cell.strip() for cell in row):
                    continue
                raise InputError(f"{name}, row {number}: {len(row)} cells, but {width} columns")
            yield number, row[prompt_at], row[decode_at]
    except csv.Error as error:
        raise InputError(f"{name}, row {number}: is no CSV: {error}") from error


def _objects(
    first: tuple[int, str],
    lines: Iterator[tuple[int, str]],
    name: str,
    columns: tuple[str | None, str | None],
) -> Iterator[tuple[int, object, object]]:
    """Yield row, prompt and output of a file with a JSON object a line."""
    chosen: tuple[str, str] | None = None
    number, line = first
    while True:
        if line.strip():
            try:
                held = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{name}, row {number}: is no JSON object") from error
            if not isinstance(held, dict):
                raise InputError(f"{name}, row {number}: is no JSON object")
            chosen = chosen or _chosen(held, name, columns)
            absent = [key for key in chosen if key not in held]
            if absent:
                raise InputError(f"{name}, row {number}: lacks {', '.join(map(shown, absent))}")
            yield number, held[chosen[0]], held[chosen[1]]
        following = next(lines, None)
        if following is None:
            return
        number, line = following


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
