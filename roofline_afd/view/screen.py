"""Answers on a terminal: a sentence, a table as wide as the terminal, and the notes that decide."""

from __future__ import annotations

import dataclasses
import textwrap
import unicodedata
from itertools import zip_longest
from typing import TYPE_CHECKING

from roofline_afd.analysis.answer import Asked, Decisive
from roofline_afd.view.cells import TABLE, Choice, Grid, grid_of, grid_of_rows
from roofline_afd.view.columns import GO_FIRST, UNBROKEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.answer import Answer

GAP = 2
"""Characters between columns."""
SHORT = 24
"""Characters of a text up to which it is not broken over lines."""
LONG = 40
"""Characters up to which a word of a longer text is not broken either: a path is not, an address is."""
MOST_SIDES, FEWEST_LINES = 3, 6
"""Rows up to which a table may be turned on its side, and columns from which that is worth it."""
READABLE = 100
"""Characters of a line of prose where no terminal says how wide it is."""
MOST_ROWS = 1000
"""Rows of a table for people: more are for programs [1]."""
BESIDE = {
    "levers": (
        *("option", "ep_tokens_per_s_per_device", "afd_tokens_per_s_per_device", "afd_over_ep"),
        *("probability_afd_wins", "remark"),
    )
}
"""Tables of a summary that are shown below that of the answer, and their columns."""
NOTES = 3
"""Notes that are shown unasked."""
BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"


@dataclasses.dataclass(frozen=True)
class Screen:
    """What a terminal shows of an answer."""

    text: str
    left_out: tuple[str, ...] = ()
    """Keys of columns for which it is too narrow."""


def screen_of(
    answer: Answer, *, width: int | None = None, choice: Choice = TABLE, styled: bool = False
) -> Screen:
    """Return an answer as text for a terminal.

    Parameters
    ----------
    answer : Answer
        What is shown.
    width : int, optional
        Columns of the terminal; where absent the table is as wide as it needs.
    choice : Choice
        Its columns.
    styled : bool
        Whether the sentence and heads are bold.

    Returns
    -------
    Screen
        The text, and what was left out of it.
    """
    grid = grid_of(answer, choice, most=MOST_ROWS)
    sentence = answer.summary.get("answer")
    parts = []
    if sentence:
        lines = wrapped(str(sentence), width or READABLE)
        parts.append("\n".join(_bold(line) if styled else line for line in lines) + "\n")
    parts += [f"-- {name}\n{text}" for name, text in answer.files.items()]  # lines are not broken
    if sentence and not grid.body:
        return Screen("\n".join(parts))
    lines, left_out = _table(grid, width, styled=styled)
    if grid.more:
        lines = [*lines, f"... {grid.more:,} more rows: --format csv has all"]
    for name, keys in BESIDE.items():
        if rows := answer.summary.get(name):
            lines = [*lines, *_drawn(grid_of_rows(rows, keys), width, styled=styled)]
    parts.append("\n".join(line.rstrip() for line in lines) + "\n")
    return Screen("\n".join(parts), left_out)


def told_beside(answer: Answer) -> bool:
    """Return whether a table below that of an answer tells what its notes were asked for.

    Parameters
    ----------
    answer : Answer
        Any.

    Returns
    -------
    bool
        Whether there is one.
    """
    return any(answer.summary.get(name) for name in BESIDE)


def wrapped(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Return a text in lines of a width, its own lines kept and no word broken.

    Parameters
    ----------
    text : str
        Prose; what cannot be printed is replaced.
    width : int
        Columns.
    first, rest : str
        What stands before the first line, and before the others.

    Returns
    -------
    list of str
        Lines.
    """
    found: list[str] = []
    for line in text.split("\n"):
        own = line[: len(line) - len(line.lstrip())]
        found += textwrap.wrap(
            safe(line.strip()),
            max(width, 20),
            initial_indent=(rest if found else first) + own,
            subsequent_indent=rest + own,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return found


def safe(text: str) -> str:
    """Return a text that no hostile record can colour a terminal with, on one line."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def notes_shown(
    notes: Sequence[str], *, every: bool, width: int | None = None, styled: bool = False
) -> list[str]:
    """Return the lines that notes are on a terminal: those that can change a decision, the first few.

    Parameters
    ----------
    notes : sequence of str
        Notes of an answer.
    every : bool
        Whether all are shown.
    width : int, optional
        Columns of the terminal; where absent a note is a line.
    styled : bool
        Whether they are dimmed.

    Returns
    -------
    list of str
        Lines; the last one says how many are left out.
    """
    deciding = [note for note in notes if isinstance(note, Decisive) and not isinstance(note, Asked)]
    known = {*deciding[:NOTES], *(note for note in notes if isinstance(note, Asked))}
    told = [note for note in notes if every or note in known]
    lines: list[str] = []
    for note in told:
        whole = safe(str(note))
        lines += wrapped(whole, width, first="note: ", rest="      ") if width else [f"note: {whole}"]
    more = len(notes) - len(told)
    if more:
        lines.append(f"{more} {'more ' if told else ''}note{'s' if more > 1 else ''}: --why")
    return [f"{DIM}{line}{PLAIN}" for line in lines] if styled else lines


def _bold(text: str) -> str:
    return f"{BOLD}{text}{PLAIN}"


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _table(grid: Grid, width: int | None, *, styled: bool) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines of a table, and the keys of columns left out."""
    grid = dataclasses.replace(grid, body=tuple(tuple(safe(cell) for cell in row) for row in grid.body))
    few = 0 < len(grid.body) <= MOST_SIDES and len(grid.keys) >= FEWEST_LINES and grid.heads == 1
    turned = _turned(grid) if few else None
    if turned and (len(grid.body) < MOST_SIDES or not _fits(grid, width)) and _fits(turned, width):
        return _drawn(turned, width, styled=styled), ()
    if grid.chosen:
        lines: list[str] = []
        for part in _blocks(grid, width):
            lines += _drawn(part, width, styled=styled)
        return lines, ()
    narrow, left_out = _narrowed(grid, width)
    return _drawn(narrow, width, styled=styled), left_out


def _turned(grid: Grid) -> Grid:
    """Return a table of few rows with a line for each column; those without any value are left out."""
    first, *others = zip(grid.keys, grid.titles, *grid.body, strict=True)
    lines = tuple(
        (title, *values)
        for _, title, *values in others
        if grid.chosen or any(value != "-" for value in values)
    )
    names = (first[1], *first[2:])
    return Grid(names, names, lines)


def _least(grid: Grid) -> list[int]:
    """Return the least width of each column in which no id, number or short text is broken."""
    found = []
    for index, (key, title) in enumerate(zip(grid.keys, grid.titles, strict=True)):
        least = max(map(_cells, title.split()), default=1)
        for row in grid.body:
            text = row[index]
            if _cells(text) <= SHORT or key in UNBROKEN or index == 0:
                least = max(least, _cells(text))
            elif grid.heads > 1 and grid.chosen:  # records side by side
                least = max(least, *map(_cells, text.split()))
            else:
                words = (_cells(word) for word in text.split())
                least = max(least, SHORT, *(each for each in words if each <= LONG))
        found.append(least)
    return found


def _fits(grid: Grid, width: int | None) -> bool:
    return width is None or _total(_least(grid)) <= width


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _narrowed(grid: Grid, width: int | None) -> tuple[Grid, tuple[str, ...]]:
    """Return a table without the columns that a terminal is too narrow for, and their keys.

    Columns without a value go first, then those of `GO_FIRST`, then the last ones; the first ones stay.
    """
    empty = [
        key
        for index, key in enumerate(grid.keys)
        if index >= grid.heads and all(row[index] in {"-", ""} for row in grid.body)
    ]
    rest = [key for key in reversed(grid.keys[grid.heads :]) if key not in {*empty, *GO_FIRST}]
    order = [*empty, *(key for key in GO_FIRST if key in grid.keys[grid.heads :] and key not in empty), *rest]
    left_out: list[str] = []
    found = grid
    while not _fits(found, width) and order and len(found.keys) > grid.heads:
        left_out.append(order.pop(0))
        found = _only(grid, [key for key in grid.keys if key not in left_out])
    for key in reversed(left_out[:-1]):  # the last one made room, perhaps for more than one
        wider = _only(grid, [each for each in grid.keys if each not in left_out or each == key])
        if _fits(wider, width):
            left_out.remove(key)
            found = wider
    return found, tuple(key for key in grid.keys if key in left_out)


def _only(grid: Grid, keys: Sequence[str]) -> Grid:
    """Return some columns of a table."""
    at = [grid.keys.index(key) for key in keys]
    return dataclasses.replace(
        grid,
        keys=tuple(keys),
        titles=tuple(grid.titles[index] for index in at),
        body=tuple(tuple(row[index] for index in at) for row in grid.body),
    )


def _blocks(grid: Grid, width: int | None) -> list[Grid]:
    """Return a table in as many parts as a terminal is too narrow for, each with the first columns."""
    heads, rest = list(grid.keys[: grid.heads]), list(grid.keys[grid.heads :])
    parts: list[list[str]] = []
    for key in rest:
        if parts and _fits(_only(grid, [*heads, *parts[-1], key]), width):
            parts[-1].append(key)
        else:
            parts.append([key])
    return [_only(grid, [*heads, *part]) for part in parts] or [grid]


def _widths(grid: Grid, width: int | None) -> list[int]:
    """Return column widths that fit a terminal: the widest columns wrap first."""
    natural = [
        max(_cells(title), *(_cells(row[index]) for row in grid.body), 1)
        for index, title in enumerate(grid.titles)
    ]
    least = _least(grid)
    while width is not None and _total(natural) > width:
        slack = [wide - low for wide, low in zip(natural, least, strict=True)]
        if max(slack) <= 0:
            break
        natural[slack.index(max(slack))] -= 1
    return natural


def _drawn(grid: Grid, width: int | None, *, styled: bool) -> list[str]:
    """Return the lines of a table as it is."""
    widths = _widths(grid, width)
    right = [all(_is_number(row[index]) for row in grid.body) for index in range(len(widths))]
    head = _lines(grid.titles, widths)
    depth = max((len(each) for each in head), default=0)
    head = [[""] * (depth - len(each)) + each for each in head]  # titles stand on the rule
    found = [_line(cells, widths, right) for cells in zip(*head, strict=True)]
    found = [_bold(line.rstrip()) if styled else line for line in found]
    found.append("\u2500" * _total(widths))
    for row in grid.body:
        cells = _lines(row, widths)
        found += [_line(each, widths, right) for each in zip_longest(*cells, fillvalue="")]
    return [*found, ""]


def _is_number(text: str) -> bool:
    """Return whether a cell stands to the right: a number, or nothing."""
    return text in {"", "-"} or text.lstrip("+->")[:1].isdigit()


def _lines(texts: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """Return each text in lines of its column."""
    return [
        textwrap.wrap(text, wide, break_on_hyphens=False) or [""]
        for text, wide in zip(texts, widths, strict=True)
    ]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        " " * (wide - _cells(cell)) + cell if to_right else cell + " " * (wide - _cells(cell))
        for cell, wide, to_right in zip(cells, widths, right, strict=True)
    )
    return (" " * GAP).join(padded)
