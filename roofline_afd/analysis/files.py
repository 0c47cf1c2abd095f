"""Files of the user as text: opened, unpacked, measured and decoded, or refused in one line."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING, cast

from roofline_afd.errors import InputError, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = b"\x1f\x8b"
LONGEST_LINE = 1_000_000
"""Bytes of a line where a file is read line by line."""
BLOCK = 1 << 20
"""Bytes that are looked at at once [1]."""
MOST_LINES = 2_000_000
"""Lines of such a file, blank ones too [1]."""


def file_text(file: Path, *, most: int) -> str:
    """Return the text of a file.

    Parameters
    ----------
    file : Path
        UTF-8 text, plain or gzip.
    most : int
        Bytes it may have, unpacked.

    Returns
    -------
    str
        The text, without a byte order mark.

    Raises
    ------
    InputError
        If the file cannot be read, is too large, cut off, or no text.
    """
    with _opened(file) as stream:
        try:
            raw = stream.read(most + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{shown_path(file)}: the gzip is cut off or damaged") from error
    if len(raw) > most:
        raise _too_large(file, most)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown_path(file)} is not UTF-8 text") from error


def file_start(file: Path, *, most: int) -> str:
    """Return how a file begins: at most so many bytes as text, unpacked; raises as `file_lines` does."""
    with _opened(file) as stream:
        try:
            raw = stream.read(most)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{shown_path(file)}: the gzip is cut off or damaged") from error
    return raw.decode("utf-8-sig", errors="replace")


def file_lines(file: Path, *, most: int) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of any size, in the memory of one.

    Parameters
    ----------
    file : Path
        UTF-8 text, plain or gzip.
    most : int
        Bytes it may have, unpacked.

    Yields
    ------
    tuple of int and str
        Number of the line, from 1, and its text with the end of line.

    Raises
    ------
    InputError
        If the file cannot be read, is too large, cut off, or a line is no text: names the line.
    """
    name = shown_path(file)
    number = 0
    _check_size(file, most)
    with _opened(file) as stream:
        try:
            while raw := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise InputError(f"{name}, row {number}: is longer than {LONGEST_LINE:,} bytes")
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}, row {number}: is not UTF-8 text") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{name}, row {number + 1}: the gzip is cut off or damaged") from error


def _check_size(file: Path, most: int) -> None:
    """Refuse a file of too many bytes or lines before any line is read."""
    total = lines = 0
    with _opened(file) as stream, contextlib.suppress(EOFError, zlib.error, gzip.BadGzipFile):
        while block := stream.read(BLOCK):  # what is damaged is told with its line, as that is read
            total += len(block)
            lines += block.count(b"\n")
            if total > most:
                raise _too_large(file, most)
            if lines > MOST_LINES:
                raise InputError(f"{shown_path(file)} has more than {MOST_LINES:,} lines: give a part of it")


def _too_large(file: Path, most: int) -> InputError:
    return InputError(f"{shown_path(file)} is larger than {most:,} bytes: give a part of it")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, unpacked where it is gzip."""
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{shown_path(file)} is no regular file")
        with file.open("rb") as opened:
            packed = opened.read(len(GZIP)) == GZIP
            opened.seek(0)
            if packed:
                yield io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=opened)))
            else:
                yield opened
    except OSError as error:
        raise InputError(f"{shown_path(file)} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # a loop of links, as pathlib tells it
        raise InputError(f"{shown_path(file)} cannot be read: {error}") from error
