"""Answers as workbooks: results, summary and inputs on a sheet each, numbers as numbers."""

from __future__ import annotations

import io
import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError
from roofline_afd.view.cells import flat_rows
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openpyxl.workbook import Workbook

    from roofline_afd.analysis.answer import Answer

FORMULA = "=+-@\t\r"
"""Characters with which a spreadsheet takes a text for something to run."""
MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384
"""Of a sheet, its header counted."""
LONGEST_TEXT = 32_767
"""Characters of a cell."""
NARROWEST, WIDEST = 9, 70
"""Characters across of a column."""
MEASURED = 500
"""Rows that decide how wide a column is."""
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML cannot hold."""
NUMBER = re.compile(r"\+?,?\.(?P<digits>\d)(?P<kind>[f%])")
PROVENANCE = ("value", "unit", "kind", "record", "source", "note")


def plain_text(text: str) -> str:
    """Return a text that no spreadsheet runs: an apostrophe goes before what looks like a formula.

    Carriage returns become line feeds: csv does not quote them, and what follows would start a cell.

    Parameters
    ----------
    text : str
        What a cell is to say.

    Returns
    -------
    str
        The same, or with an apostrophe in front.

    Examples
    --------
    >>> plain_text("=1+1"), plain_text("h800")
    ("'=1+1", 'h800')
    """
    marked = f"'{text}" if text[:1] and text[0] in FORMULA else text
    return marked.replace("\r\n", "\n").replace("\r", "\n")


def cell_value(value: object) -> object:
    """Return a value as a cell of a spreadsheet holds it: JSON for nested ones, no text that would run.

    Parameters
    ----------
    value : object
        A value of an answer.

    Returns
    -------
    object
        Text, a number, a truth value or None.
    """
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, allow_nan=False)
    return plain_text(value) if isinstance(value, str) else value


def as_xlsx(answer: Answer) -> bytes:
    """Return an answer as an Excel workbook: sheets `results`, `summary` with the notes, and `inputs`.

    Parameters
    ----------
    answer : Answer
        What to write.

    Returns
    -------
    bytes
        The content of a file.

    Raises
    ------
    InputError
        If there are more rows or columns than a sheet holds.
    """
    from openpyxl import Workbook  # an extra

    book = Workbook(write_only=True)
    book.properties.creator = "roofline-afd"
    book.properties.title = f"roofline-afd {answer.command}"
    rows = flat_rows(answer)
    keys = list(rows[0]) if rows else list(answer.columns)
    if len(rows) >= MOST_ROWS or len(keys) > MOST_COLUMNS:
        raise InputError(
            f"{len(rows):,} rows of {len(keys):,} columns are more than a sheet of a workbook holds: "
            "write .csv"
        )
    forms = [_number_form(key) for key in keys]
    _add(book, "results", keys, [list(row.values()) for row in rows], forms)
    summary = [*_flat(answer.summary), *(("note", note) for note in answer.notes)]
    _add(book, "summary", ("key", "value"), summary)
    values: Mapping[str, Mapping[str, Any]] = answer.inputs.get("values") or {}
    options = _flat({key: value for key, value in answer.inputs.items() if key != "values"})
    rests = [(key, *(value.get(part) for part in PROVENANCE)) for key, value in values.items()]
    width = len(PROVENANCE) - 1
    _add(
        *(book, "inputs", ("key", *PROVENANCE)),
        [*((key, value, *[None] * width) for key, value in options), *rests],
    )
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield keys and values, those of tables inside with dots between."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number_form(key: str) -> str:
    """Return the number format of a column, as tables round it."""
    form = column(key).form
    found = NUMBER.fullmatch(form)
    if found:
        zeros = "0." + "0" * int(found["digits"]) if int(found["digits"]) else "0"
        return f"{zeros}%" if found["kind"] == "%" else f"#,##{zeros}"
    return "#,##0" if form == ",d" else "General"


def _add(
    book: Workbook,
    title: str,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    forms: Sequence[str] = (),
) -> None:
    """Add a sheet with a bold header that stays in view."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(title)
    whole = [[_clean(value) for value in row] for row in rows]
    names = [_clean(name) for name in header]
    for index, name in enumerate(names):
        texts = [str(row[index]) for row in islice(whole, MEASURED) if row[index] is not None]
        longest = max(len(text) for text in (str(name), *texts)) + 2
        sheet.column_dimensions[get_column_letter(index + 1)].width = min(max(longest, NARROWEST), WIDEST)
    sheet.freeze_panes = "A2"
    if names and whole:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(names))}{len(whole) + 1}"
    bold = Font(bold=True)
    head = []
    for name in names:
        cell = WriteOnlyCell(sheet, value=name)
        cell.font = bold
        head.append(cell)
    sheet.append(head)
    for row in whole:
        cells = []
        for index, value in enumerate(row):
            cell = WriteOnlyCell(sheet, value=value)
            if isinstance(value, str):
                cell.data_type = "s"  # text, though it may read like an error or a date
            elif isinstance(value, int | float) and not isinstance(value, bool) and forms:
                cell.number_format = forms[index]
            cells.append(cell)
        sheet.append(cells)


def _clean(value: object) -> Any:  # noqa: ANN401 - text, a number, a truth value or None
    """Return a value as a cell holds it: cut to its length, without what XML cannot hold."""
    held = cell_value(value)
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", held)[:LONGEST_TEXT] if isinstance(held, str) else held
