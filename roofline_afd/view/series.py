"""Columns too long to read, as files for other programs: csv or parquet."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING

from roofline_afd.documents import utf8
from roofline_afd.errors import InputError, shown_path
from roofline_afd.view.tables import check_output, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

OPTION = "--series"
SUFFIXES = (".csv", ".parquet")
PARQUET_EXTRA = "parquet"
"""Optional dependencies that writing parquet takes."""


def check_series(file: Path, *, force: bool) -> None:
    """Refuse a file that a series cannot go to, before the work.

    Parameters
    ----------
    file : Path
        Where it is to go.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the suffix is neither .csv nor .parquet, pyarrow is absent, or the file exists or cannot be
        written.
    """
    name = shown_path(file)
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{OPTION} {name}: the suffix must be one of {', '.join(SUFFIXES)}")
    if file.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            f"{OPTION} {name}: parquet needs pyarrow: pip install 'roofline-afd[{PARQUET_EXTRA}]', or "
            "write .csv"
        )
    check_output(file, force=force, option=OPTION)


def write_series(columns: Mapping[str, NDArray[Any]], file: Path, *, force: bool) -> None:
    """Write columns to a file, whole or not at all.

    Parameters
    ----------
    columns : mapping of str to array
        Columns of equal lengths.
    file : Path
        `.csv`, or `.parquet`, which needs pyarrow.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As for `check_series`.
    """
    check_series(file, force=force)
    import pandas as pd  # 250 ms, only for those who want a file

    frame = pd.DataFrame(dict(columns))
    if file.suffix.lower() == ".csv":
        content = utf8(frame.to_csv(index=False, lineterminator="\n"))
    else:
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    write_file(file, content, force=force, option=OPTION)
