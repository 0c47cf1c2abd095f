"""Every output format, once: table, json, csv, markdown; to stdout or to a file that is never clobbered."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.view.columns import column
from roofline_afd.view.workbook import as_xlsx, cell_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

FORMATS = ("table", "json", "csv", "markdown")
XLSX = "xlsx"
"""The format that only files have; it takes the optional dependencies of the same name."""
SUFFIXES = {
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "table",
    ".xlsx": XLSX,
}
LONGEST_UNBROKEN = 24
"""Letters of a word that a narrow terminal does not break."""
SPACE = 2
"""Characters between columns."""
RESULTS = ("hfu", "ofu", "temporal_sparsity", "pairs_per_device", "intensity")
"""Results that carry the weakest kind of their inputs."""
DAGGER = "\u2020"
"""Marks numbers that are, or rest on, an estimate."""


def as_csv(answer: Answer) -> str:
    """Return the results of an answer as CSV with the keys of the JSON; no spreadsheet runs its texts."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(cell_value, answer.columns))
    writer.writerows([cell_value(value) for value in row.values()] for row in answer.rows())
    return buffer.getvalue()


def as_markdown(answer: Answer) -> str:
    """Return an answer as a Markdown table, with its sentence above and its notes below."""
    header, body = _shown(answer)
    escape = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " "})
    lines = ["| " + " | ".join(cell.translate(escape) for cell in row) + " |" for row in (header, *body)]
    lines.insert(1, "|" + "---|" * len(header))
    sentence = answer.summary.get("answer")
    above = [sentence, ""] if sentence else []
    above += file_blocks(answer.files)
    below = ["", *(f"- {note}" for note in answer.notes)] if answer.notes else []
    return "\n".join([*above, *lines, *below]) + "\n"


def file_blocks(files: Mapping[str, str]) -> list[str]:
    """Return files as lines of Markdown, each a block under its name."""
    kinds = {".sh": "bash", ".yaml": "yaml"}
    return [
        line
        for name, text in files.items()
        for line in (f"`{name}`", "", f"```{kinds.get(Path(name).suffix, '')}", text.rstrip("\n"), "```", "")
    ]


def as_table(answer: Answer, *, width: int | None = None) -> str:
    """Return an answer as text for a terminal, `width` columns wide; as wide as it needs where None."""
    from rich.box import SIMPLE_HEAD  # only for people
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header, body = _shown(answer)
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    widths = _fit([[name, *(row[index] for row in body)] for index, name in enumerate(header)], width)
    for index, (name, wide) in enumerate(zip(header, widths, strict=True)):
        numeric = all(row[index][:1].isdigit() or row[index] == "-" for row in body)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", width=wide)
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    terminal = width is not None
    whole = max(width or 0, sum(widths) + SPACE * len(widths) + 1)
    # without a height, rich takes 80 columns on a dumb terminal whatever the width
    console = Console(file=io.StringIO(), width=whole, height=25, force_terminal=terminal, highlight=False)
    sentence = answer.summary.get("answer")
    if sentence:
        console.print(Text(str(sentence)), style="bold")
    files = "".join(f"\n-- {name}\n{text}" for name, text in answer.files.items())  # lines are not broken
    before = console.file.getvalue() if files else ""  # type: ignore[attr-defined]  # the StringIO above
    console.print(table)
    text: str = console.file.getvalue()[len(before) :]  # type: ignore[attr-defined]  # the same
    shown_text = before + files + text
    return "\n".join(line.rstrip() for line in shown_text.splitlines()) + "\n"


def _fit(columns: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Return column widths that fit a terminal: the widest columns wrap first, and no word is broken.

    Where even whole words do not fit, the terminal wraps the lines: that is ugly, but loses nothing.
    """
    widths = [max(map(len, cells)) for cells in columns]
    words = [max((len(word) for cell in cells for word in cell.split()), default=1) for cells in columns]
    least = [min(longest, LONGEST_UNBROKEN) for longest in words]
    while width is not None and sum(widths) + SPACE * len(widths) + 1 > width:
        slack = [wide - low for wide, low in zip(widths, least, strict=True)]
        if max(slack) <= 0:
            break
        widths[slack.index(max(slack))] -= 1
    return widths


def _shown(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Return header and rows as people read them; a record's many keys run downwards."""
    rows = answer.rows()
    if answer.command.endswith(" show"):
        return _record_lines(rows, answer.table_keys)
    keys = answer.table_keys or tuple(answer.columns)
    if answer.summary.get("weakest_kind") == "estimated":
        rows = [{**row, **dict.fromkeys((f"{key}_kind" for key in RESULTS), "estimated")} for row in rows]
    if answer.table_rows is not None:
        rows = [rows[index] for index in answer.table_rows]
    header = [column(key).title for key in keys]
    return header, [[_marked(row, key) for key in keys] for row in rows]


def _marked(row: Mapping[str, Any], key: str) -> str:
    dagger = DAGGER if row.get(f"{key}_kind") == "estimated" else ""
    return column(key).show(row[key]) + dagger


PROVENANCE = ("unit", "kind", "source", "note", "record", "file")
_PROVENANCE_ENDINGS = tuple(f"_{part}" for part in PROVENANCE)


def _record_lines(
    rows: Sequence[Mapping[str, Any]], with_provenance: tuple[str, ...]
) -> tuple[list[str], list[list[str]]]:
    """Return a record with a line per key: value and provenance, or several records side by side."""
    keys = dict.fromkeys(key for row in rows for key in row if not key.endswith(_PROVENANCE_ENDINGS))
    if len(rows) > 1:
        lines = [
            [key, _first(rows, f"{key}_unit"), *(_marked(row, key) if key in row else "-" for row in rows)]
            for key in keys
            if key not in {"id", "prices"}
        ]
        return ["key", "unit", *(str(row["id"]) for row in rows)], lines
    (row,) = rows
    lines = []
    for key in keys:
        if row[key] is not None and key != "prices":
            provenance = (str(row.get(f"{key}_{part}") or "") for part in with_provenance)
            lines.append([key, _marked(row, key), *provenance])
    for price in row.get("prices") or ():
        name = f"price, {price['basis']}" + (f" ({price['terms']})" if price["terms"] else "")
        dagger = DAGGER if price["kind"] == "estimated" else ""
        said = {**price, "note": "; ".join(filter(None, (f"dated {price['date']}", price["note"])))}
        provenance = (str(said.get(part) or "") for part in with_provenance)
        lines.append([name, f"{price['value']:g}{dagger}", *provenance])
    return ["key", "value", *with_provenance], lines


def _first(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return next((str(row[key]) for row in rows if row.get(key)), "")


def choose_format(form: str | None, output: Path | None, *, terminal: bool) -> str:
    """Decide the output format: asked for, else by file suffix, else the environment, else by where it goes.

    Parameters
    ----------
    form : str or None
        What `--format` says.
    output : Path or None
        Where `--output` points.
    terminal : bool
        Whether stdout is a terminal.

    Returns
    -------
    str
        A member of `FORMATS`, or `XLSX`.

    Raises
    ------
    InputError
        If a format or suffix is unknown, the two disagree, or openpyxl is absent where it is needed.
    """
    if form is not None and form not in {*FORMATS, XLSX}:
        raise InputError(f"--format {shown(form)} is not valid{nearest(form, FORMATS)}")
    if form == XLSX and output is None:
        raise InputError(f"--format {XLSX} goes to a file: --output FILE.{XLSX}")
    if output is not None:
        by_suffix = SUFFIXES.get(output.suffix.lower())
        if by_suffix is None and form is None:
            raise InputError(
                f"--output {shown_path(output)}: suffix decides the format; valid: {', '.join(SUFFIXES)}"
            )
        if form is not None and by_suffix not in {None, form}:
            raise InputError(f"--format {form} and --output {shown_path(output)} disagree")
        chosen = form or str(by_suffix)
        if chosen == XLSX and importlib.util.find_spec("openpyxl") is None:
            raise InputError(
                f"--output {shown_path(output)}: {XLSX} needs openpyxl: pip install 'roofline-afd[{XLSX}]', "
                "or write .csv"
            )
        return chosen
    from_environment = os.environ.get("ROOFLINE_AFD_FORMAT") or None
    if form is None and from_environment is not None and from_environment not in FORMATS:
        raise InputError(
            f"ROOFLINE_AFD_FORMAT {shown(from_environment)} is not valid{nearest(from_environment, FORMATS)}"
        )
    return form or from_environment or ("table" if terminal else "csv")


def check_output(path: Path, *, force: bool, option: str = "--output") -> None:
    """Refuse an output path early, before any work is done for it.

    Parameters
    ----------
    path : Path
        Where to write.
    force : bool
        Whether an existing file may be replaced.
    option : str
        How messages call where the path was given.

    Raises
    ------
    InputError
        If the file exists and `force` is not given, or its folder cannot be written to.
    """
    try:
        path.resolve()
        if path.is_dir():
            raise InputError(f"{option} {shown_path(path)} is a folder")
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {shown_path(path)} is no regular file")
        if path.exists() and not force:
            raise InputError(f"{option} {shown_path(path)} exists; --force replaces it")
        if not path.parent.is_dir():
            raise InputError(f"{option} {shown_path(path)}: folder {shown_path(path.parent)} does not exist")
    except OSError as error:
        raise InputError(f"{option} {shown(str(path))} cannot be written: {error.strerror}") from error
    except RuntimeError as error:  # a loop of links, as pathlib tells it
        raise InputError(f"{option} {shown(str(path))} cannot be written: {error}") from error


def write_file(path: Path, content: bytes, *, force: bool, option: str = "--output") -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : Path
        Where to write.
    content : bytes
        What to write.
    force : bool
        Whether an existing file may be replaced.
    option : str
        How messages call where the path was given.

    Raises
    ------
    InputError
        If the file exists and `force` is not given, or it cannot be written.
    """
    check_output(path, force=force, option=option)
    _place({path: content}, force=force, option=option)


def write_files(folder: Path, files: Mapping[str, str], *, force: bool, option: str) -> None:
    """Write several files into a folder, which is made where it is not: none where one cannot be.

    Parameters
    ----------
    folder : Path
        Where to write.
    files : mapping of str to str
        Texts by name; scripts may be run.
    force : bool
        Whether existing files may be replaced.
    option : str
        How messages call where the folder was given.

    Raises
    ------
    InputError
        If a file exists and `force` is not given, or cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option} {shown_path(folder)} cannot be made: {error.strerror}") from error
    try:
        for name in files:
            check_output(folder / name, force=force, option=option)
        _place({folder / name: text.encode() for name, text in files.items()}, force=force, option=option)
    except BaseException:
        with contextlib.suppress(OSError):  # one that was not empty, after all
            for each in made:
                each.rmdir()
        raise
    for name in files:
        if name.endswith(".sh"):
            (folder / name).chmod(0o777 & ~_umask())
    print(f"wrote {', '.join(files)} to {shown_path(folder)}", file=sys.stderr)  # noqa: T201


def _place(contents: Mapping[Path, bytes], *, force: bool, option: str) -> None:
    """Write files beside where they go, and put them there once all of them are whole."""
    written: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for given, content in contents.items():
            path = given.resolve()  # what a link points to is written, and the link stays
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written.append((Path(name), path))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).chmod(0o666 & ~_umask())
        for temporary, path in written:
            if force:
                temporary.replace(path)
            else:
                os.link(temporary, path)
    except FileExistsError as error:
        raise InputError(f"{option} {shown_path(path)} exists; --force replaces it") from error
    except OSError as error:
        raise InputError(f"{option} {shown_path(path)} cannot be written: {error.strerror}") from error
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def render(answer: Answer, form: str, *, width: int | None = None) -> str:
    """Return an answer as text in a member of `FORMATS`; `width` only matters to tables."""
    if form == "table":
        return as_table(answer, width=width)
    if form == "json":
        return answer.json()
    return as_csv(answer) if form == "csv" else as_markdown(answer)


def deliver(answer: Answer, *, form: str | None, output: Path | None, force: bool) -> None:
    """Print an answer or write it to a file; notes go to stderr unless the format carries them.

    Parameters
    ----------
    answer : Answer
        What to deliver.
    form, output, force
        What `--format`, `--output` and `--force` say.

    Raises
    ------
    InputError
        If the format is not valid or the file cannot be written.
    """
    terminal = sys.stdout.isatty()
    chosen = choose_format(form, output, terminal=terminal)
    if output is not None:
        content = as_xlsx(answer) if chosen == XLSX else render(answer, chosen).encode()
        write_file(output, content, force=force)
        print(f"wrote {shown_path(output)}", file=sys.stderr)  # noqa: T201
    else:
        width = os.get_terminal_size().columns if terminal else None
        sys.stdout.write(render(answer, chosen, width=width))
    if chosen in {"table", "csv"}:
        for note in answer.notes:
            print(f"note: {note}", file=sys.stderr)  # noqa: T201
