"""Answers as workbooks: results, costs, summary and inputs on a sheet each, numbers as numbers."""

from __future__ import annotations

import gc
import io
import json
import math
import re
import sys
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError
from roofline_afd.view.columns import column
from roofline_afd.view.cost_sheet import Formula, Given, cost_rows, has_costs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openpyxl.workbook import Workbook

    from roofline_afd.analysis.answer import Answer

FORMULA = "=+-@\t\r"
"""Characters with which a spreadsheet takes a text for something to run."""
MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384
"""Of a sheet, its header counted."""
MOST_CELLS = 1_000_000
"""Of a sheet: more take minutes to write [1]."""
LONGEST_TEXT = 32_767
"""Characters of a cell."""
NARROWEST, WIDEST = 9, 70
"""Characters across of a column."""
MEASURED = 500
"""Rows that decide how wide a column is."""
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML cannot hold."""
NUMBER = re.compile(r"\+?,?\.(?P<digits>\d)(?P<kind>[f%])")
SIGNIFICANT = re.compile(r"\+?,?\.(?P<digits>\d)g")
MOST_PLACES = 9
LONGEST_TITLE = 31
"""Characters of the name of a sheet."""
TO_CHANGE, INK_TO_CHANGE = "FFF2CC", "0B4A8F"
"""Ground and letters of numbers that are to be changed."""
OF_ONE_SYSTEM = ("system", "attention_system", "ffn_system")
"""Inputs that name one of several candidates."""
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
    """Return a value as a cell of csv holds it: JSON for nested ones, no text that would run.

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


def _in_words(value: object) -> object:
    """Return a value as people read it in a cell: lists with commas, tables inside with colons."""
    if isinstance(value, dict):
        value = "; ".join(f"{key}: {_in_words(part)}" for key, part in value.items()) or None
    elif isinstance(value, list | tuple):
        value = ", ".join("-" if part is None else str(_in_words(part)) for part in value) or None
    return plain_text(value) if isinstance(value, str) else value


def as_xlsx(answer: Answer) -> bytes:
    """Return an answer as an Excel workbook, of sheets for people.

    `results`, of a purchase `costs` with prices to change, `summary` with the notes, `inputs`, of a purchase
    one for each candidate, and `keys`: which key of JSON and csv each column is.

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
        If there are more rows or columns than a sheet holds, or the disk has no room for them meanwhile.
    """
    failed, before = "", sys.unraisablehook
    sys.unraisablehook = lambda _: None  # a sheet that could not be written is closed once more
    try:
        try:
            return _written(answer)
        except OSError as error:
            failed = str(error.strerror or error)
        gc.collect()  # such a sheet
    finally:
        sys.unraisablehook = before
    raise InputError(f"the workbook cannot be written in {tempfile.gettempdir()}: {failed}")


def _written(answer: Answer) -> bytes:
    from openpyxl import Workbook  # an extra

    book = Workbook(write_only=True)
    book.properties.creator = "roofline-afd"
    book.properties.title = f"roofline-afd {answer.command}"
    rows = [dict(_flat(row, empty=True)) for row in answer.rows()]
    keys = list(dict.fromkeys([*(key for row in rows for key in row), *([] if rows else answer.columns)]))
    if len(rows) >= MOST_ROWS or len(keys) > MOST_COLUMNS:
        raise InputError(
            f"{len(rows):,} rows of {len(keys):,} columns are more than a sheet of a workbook holds: "
            "write .csv"
        )
    if len(rows) * len(keys) > MOST_CELLS:
        raise InputError(
            f"{len(rows):,} rows of {len(keys):,} columns are more than the {MOST_CELLS:,} cells that a "
            "workbook is written with: write .csv"
        )
    titles = _titles(keys)
    columns = [[row.get(key) for row in rows] for key in keys]
    forms = [_number_form(key, values) for key, values in zip(keys, columns, strict=True)]
    _add(book, "results", titles, [[row.get(key) for key in keys] for row in rows], forms)
    if has_costs(answer):
        head, *lines = cost_rows(answer)
        _add(book, "costs", head, lines, filtered=False)
    summary = [*_listed(answer.summary), *(("note", note) for note in answer.notes)]
    _add(book, "summary", ("key", "value"), summary)
    records: Mapping[str, Sequence[str]] = answer.picture.get("records") or {}
    _add_inputs(book, answer, records)
    _add(book, "keys", ("column", "key"), zip(titles, keys, strict=True))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _add_inputs(book: Workbook, answer: Answer, records: Mapping[str, Sequence[str]]) -> None:
    """Add what was asked with the catalogue's values; of several candidates, those of each on a sheet."""
    values: Mapping[str, Mapping[str, Any]] = answer.inputs.get("values") or {}
    several = len(records) > 1
    left = {"values", *(OF_ONE_SYSTEM if several else ())}
    options = _listed({key: value for key, value in answer.inputs.items() if key not in left})
    asked = [(key, value, *[None] * (len(PROVENANCE) - 1)) for key, value in options]
    rests = [(key, *(value.get(part) for part in PROVENANCE)) for key, value in values.items()]
    head = ("key", *PROVENANCE)
    _add(book, "inputs", head, [*asked, *([] if several else rests)])
    if not several:
        return
    place = head.index("record")
    for number, (name, known) in enumerate(records.items(), 1):
        own = [(str(row[0]).rpartition(".")[2], *row[1:]) for row in rests if row[place] in known]
        title = re.sub(r"[^\w.+-]", " ", f"inputs {name}")
        _add(book, title if len(title) <= LONGEST_TITLE else f"inputs {number}", head, own)


def _titles(keys: Sequence[str]) -> list[str]:
    """Return heads with units, each once: the key is added where two columns are called alike."""
    told = [
        column(first).title + (f": {rest.replace('.', ' ').replace('_', ' ')}" if rest else "")
        for first, _, rest in (key.partition(".") for key in keys)
    ]
    return [
        f"{title} ({key})" if told.count(title) > 1 else title for title, key in zip(told, keys, strict=True)
    ]


def _listed(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield keys and values, those of tables inside with dots between, and of lists of tables by number."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _listed(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            for number, each in enumerate(value, 1):
                yield from _listed(each, f"{prefix}{key}.{number}.")
        else:
            yield f"{prefix}{key}", value


def _flat(table: Mapping[str, Any], prefix: str = "", *, empty: bool = False) -> Iterator[tuple[str, object]]:
    """Yield keys and values, those of tables inside with dots between."""
    for key, value in table.items():
        if isinstance(value, dict) and (value or empty):
            yield from _flat(value, f"{prefix}{key}.", empty=empty)
        else:
            yield f"{prefix}{key}", value


def _number_form(key: str, values: Sequence[object] = ()) -> str:
    """Return the number format of a column, as tables round it: so many digits of its largest number."""
    form = column(key).form
    found = NUMBER.fullmatch(form)
    if found:
        zeros = "0." + "0" * int(found["digits"]) if int(found["digits"]) else "0"
        return f"{zeros}%" if found["kind"] == "%" else f"#,##{zeros}"
    numbers = [abs(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    if form == ",d" or all(isinstance(each, int) for each in numbers):
        return "#,##0"
    digits = SIGNIFICANT.fullmatch(form)
    largest = max(numbers, default=0.0)
    if digits is None or not 0 < largest < math.inf:
        return "General"
    places = max(int(digits["digits"]) - 1 - math.floor(math.log10(largest)), 0)
    return "#,##0" + ("." + "0" * min(places, MOST_PLACES) if places else "")


def _add(
    book: Workbook,
    title: str,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    forms: Sequence[str] = (),
    *,
    filtered: bool = True,
) -> None:
    """Add a sheet with a bold header that stays in view."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(title)
    whole = [[_clean(value) for value in row] for row in rows]
    names = [_clean(name) for name in header]
    across = max([len(names), *(len(row) for row in whole)])
    for index in range(across):
        texts = [
            str(row[index])
            for row in islice(whole, MEASURED)
            if len(row) > index and isinstance(row[index], str | int | float)
        ]
        longest = max((len(text) for text in (*names[index : index + 1], *texts)), default=0) + 2
        sheet.column_dimensions[get_column_letter(index + 1)].width = min(max(longest, NARROWEST), WIDEST)
    sheet.freeze_panes = "A2"
    if names and whole and filtered:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(names))}{len(whole) + 1}"
    bold = Font(bold=True)
    head = []
    for name in names:
        cell = WriteOnlyCell(sheet, value=name)
        cell.font = bold
        head.append(cell)
    sheet.append(head)
    for row in whole:
        form = iter(forms)
        sheet.append([_cell(sheet, value, next(form, "")) for value in row])


def _cell(sheet: Any, value: Any, form: str) -> Any:  # noqa: ANN401 - a sheet, what a cell holds, the cell
    """Return a cell: of a number with its format, of one to change in colour, or of a formula."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font, PatternFill

    held = value.text if isinstance(value, Formula) else value.value if isinstance(value, Given) else value
    cell = WriteOnlyCell(sheet, value=held)
    if isinstance(value, Formula | Given):
        cell.number_format = value.form
        if isinstance(value, Given):
            cell.fill, cell.font = PatternFill("solid", fgColor=TO_CHANGE), Font(color=INK_TO_CHANGE)
    elif isinstance(value, str):
        cell.data_type = "s"  # text, though it may read like an error or a date
    elif isinstance(value, int | float) and not isinstance(value, bool) and form:
        cell.number_format = form
    return cell


def _clean(value: object) -> Any:  # noqa: ANN401 - text, a number, a truth value or None
    """Return a value as a cell holds it: cut to its length, without what XML cannot hold."""
    if isinstance(value, Formula | Given):
        return value
    held = _in_words(value)
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", held)[:LONGEST_TEXT] if isinstance(held, str) else held
