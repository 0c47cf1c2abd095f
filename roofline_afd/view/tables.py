"""Every output format, once: table, json, csv, markdown; to stdout or to a file that is never clobbered."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.util
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from roofline_afd.analysis.answer import Asked
from roofline_afd.documents import folder_held, utf8
from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.view.cells import TABLE, Choice, flat_rows, grid_of, keys_of
from roofline_afd.view.screen import notes_shown, screen_of, told_beside
from roofline_afd.view.workbook import as_xlsx, cell_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

FORMATS = ("table", "json", "csv", "markdown")
XLSX = "xlsx"
"""The format that only files have; it takes the optional dependencies of the same name."""
SCRIPT = ".sh"
"""Suffix of files that may be run."""
SUFFIXES = {
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "table",
    ".xlsx": XLSX,
}


def as_csv(answer: Answer, choice: Choice = TABLE) -> str:
    """Return columns of an answer as CSV with the keys of the JSON; no spreadsheet runs its texts.

    A value within another has a column of its own, as `breakdown.attention_us`.
    """
    rows = flat_rows(answer)
    keys = keys_of(answer, choice, rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(cell_value, keys))
    writer.writerows([_csv_cell(row[key]) for key in keys] for row in rows)
    return buffer.getvalue()


def _csv_cell(value: object) -> object:
    """Return a value as a cell: a list of plain values as a text."""
    return cell_value(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)


def as_markdown(answer: Answer, choice: Choice = TABLE) -> str:
    """Return an answer as a Markdown table, with its sentence above and its notes below."""
    grid = grid_of(answer, choice)
    escape = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " "})
    table = (grid.titles, *grid.body)
    lines = ["| " + " | ".join(cell.translate(escape) for cell in row) + " |" for row in table]
    lines.insert(1, "|" + "---|" * len(grid.titles))
    sentence = answer.summary.get("answer")
    above = [_prose(sentence), ""] if sentence else []
    above += file_blocks(answer.files)
    below = ["", *(f"- {_prose(note)}" for note in answer.notes)] if answer.notes else []
    return "\n".join([*above, *lines, *below]) + "\n"


def _prose(text: str) -> str:
    """Return a sentence for Markdown: what could begin an element stands as it is, signs of order too."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split()))


def file_blocks(files: Mapping[str, str]) -> list[str]:
    """Return files as lines of Markdown, each a block under its name."""
    kinds = {".sh": "bash", ".yaml": "yaml"}
    return [
        line
        for name, text in files.items()
        for line in (f"`{name}`", "", f"```{kinds.get(Path(name).suffix, '')}", text.rstrip("\n"), "```", "")
    ]


def as_table(answer: Answer, *, width: int | None = None, choice: Choice = TABLE) -> str:
    """Return an answer as text for a terminal, `width` columns wide; as wide as it needs where None."""
    return screen_of(answer, width=width, choice=choice).text


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
        if not os.access(path.parent, os.W_OK):
            raise InputError(
                f"{option} {shown_path(path)} cannot be written: its folder is not yours to write"
            )
    except OSError as error:
        raise InputError(f"{option} {shown(str(path))} cannot be written: {error.strerror}") from error
    except RuntimeError as error:  # a loop of links, as pathlib tells it
        raise InputError(f"{option} {shown(str(path))} cannot be written: {error}") from error


def check_folder(folder: Path, *, option: str) -> None:
    """Refuse a folder that files cannot go to, or that cannot be made, before any work is done for it.

    Parameters
    ----------
    folder : Path
        Where to write.
    option : str
        How messages call where the folder was given.

    Raises
    ------
    InputError
        If it is a file, lies below one, or is another's.
    """
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    if there.exists() and not there.is_dir():
        below = "" if there == folder else f" cannot be made: {shown_path(there)}"
        raise InputError(f"{option} {shown_path(folder)}{below} is no folder")
    if there.exists() and not os.access(there, os.W_OK):
        raise InputError(f"{option} {shown_path(folder)}: {shown_path(there)} is not yours to write")


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
    contents = {folder / name: utf8(text) for name, text in files.items()}
    try:
        with folder_held(folder, wait=True):  # never some files of one run and some of another
            for path in contents:
                check_output(path, force=force, option=option)
            _place(contents, force=force, option=option)
    except BaseException as error:
        with contextlib.suppress(OSError):  # one that was not empty, after all
            for each in made:
                each.rmdir()
        if isinstance(error, OSError):
            raise InputError(f"{option} {shown_path(folder)} cannot be written: {error.strerror}") from error
        raise
    print(f"wrote {', '.join(files)} to {shown_path(folder)}", file=sys.stderr)  # noqa: T201


def _place(contents: Mapping[Path, bytes], *, force: bool, option: str) -> None:
    """Write files beside where they go, and put them there once all of them are whole."""
    written: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    path = Path()
    try:
        for given, content in contents.items():
            path = given.resolve()  # what a link points to is written, and the link stays
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written.append((Path(name), path))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).chmod((0o777 if path.suffix == SCRIPT else 0o666) & ~_umask())
        for temporary, path in written:
            if force:
                temporary.replace(path)
            else:
                os.link(temporary, path)
                placed.append(path)
    except FileExistsError as error:
        for each in placed:
            each.unlink(missing_ok=True)
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


@dataclasses.dataclass(frozen=True)
class Form:
    """How an answer is delivered: format, file, columns and notes, as options say."""

    format: str | None = None
    output: Path | None = None
    force: bool = False
    choice: Choice = TABLE
    why: bool = False
    """Whether every note is told."""


def render(answer: Answer, form: str, *, choice: Choice = TABLE) -> str:
    """Return an answer as text in a member of `FORMATS`, tables as wide as they need."""
    if form == "table":
        return as_table(answer, choice=choice)
    if form == "json":
        return answer.json()
    return as_csv(answer, choice) if form == "csv" else as_markdown(answer, choice)


def check_choice(choice: Choice, chosen: str) -> None:
    """Refuse a choice of columns where the format holds every one."""
    if choice == TABLE:
        return
    option = "--columns" if choice.names else "--all-columns"
    if choice.names and choice.whole:
        raise InputError("--columns and --all-columns exclude each other")
    if chosen in {"json", XLSX}:
        raise InputError(f"{option} is for tables, csv and markdown: {chosen} holds every column")


def deliver(answer: Answer, form: Form) -> None:
    """Print an answer or write it to a file; notes go to stderr unless the format carries them.

    Parameters
    ----------
    answer : Answer
        What to deliver.
    form : Form
        How.

    Raises
    ------
    InputError
        If the format is not valid, a column is none of the answer's, or the file cannot be written.
    """
    terminal = sys.stdout.isatty()
    chosen = choose_format(form.format, form.output, terminal=terminal)
    check_choice(form.choice, chosen)
    left_out: tuple[str, ...] = ()
    if form.output is not None:
        content = as_xlsx(answer) if chosen == XLSX else utf8(render(answer, chosen, choice=form.choice))
        write_file(form.output, content, force=form.force)
        print(f"wrote {shown_path(form.output)}", file=sys.stderr)  # noqa: T201
    elif chosen == "table" and terminal:
        width = shutil.get_terminal_size().columns
        screen = screen_of(answer, width=width, choice=form.choice, styled=_has_style(sys.stdout))
        left_out = screen.left_out
        sys.stdout.write(screen.text)
        sys.stdout.flush()  # before the notes
    else:
        text = render(answer, chosen, choice=form.choice)
        sys.stdout.write(_harmless(text) if terminal else text)
    if chosen in {"table", "csv"}:
        beside = chosen == "table" and told_beside(answer)
        notes = [note for note in answer.notes if not (beside and isinstance(note, Asked))]
        _tell(notes, left_out, why=form.why)


def _harmless(text: str) -> str:
    """Return a text that cannot control a terminal, whatever names in it say."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)


def _has_style(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ


def _tell(notes: Sequence[str], left_out: Sequence[str], *, why: bool) -> None:
    """Print notes, and which columns a terminal was too narrow for."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    styled = _has_style(sys.stderr)
    lines = notes_shown(notes, every=why, width=width, styled=styled)
    if left_out:
        gone = [f"too narrow for {', '.join(left_out)}: --columns a,b,c chooses"]
        lines = [*notes_shown(gone, every=True, width=width, styled=styled), *lines]
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201
