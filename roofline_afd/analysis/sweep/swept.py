"""A sweep's file as a picture: cells over two of its axes, or lines over one, the best of all others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.sweep.metrics import LOW, METRICS
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    import pandas as pd

    from roofline_afd.analysis.sweep.questions import Swept

MOST_CELLS = 10_000
MOST_LINES = 6
MOST_BYTES = 2_000_000_000


def swept(question: Swept) -> Answer:
    """Answer what a sweep's file holds over one axis or two, the best over all others.

    Parameters
    ----------
    question : Swept
        What is asked.

    Returns
    -------
    Answer
        A row for each cell, or each point of a line.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or has too many values for a picture.
    """
    if question.file is None:
        raise InputError("plot sweep needs --file FILE.csv or FILE.parquet, as `sweep --output` writes it")
    table = _table(Path(question.file))
    metric = _known(table, "--metric", question.metric)
    less = any(kinds[metric].better == LOW for kinds in METRICS.values() if metric in kinds)
    x = _known(table, "--x", question.x)
    y = None if question.y is None else _known(table, "--y", question.y)
    by = None if question.by is None else _known(table, "--by", question.by)
    if y is not None and by is not None:
        raise InputError("--y and --by exclude each other: cells over two axes, or lines over one")
    keys = [key for key in (x, y, by) if key is not None]
    for key in (metric, *keys):
        if table[key].dtype.kind == "f" and np.isinf(table[key]).any():
            place = int(np.flatnonzero(np.isinf(table[key]))[0]) + 1
            raise InputError(
                f"--file {shown_path(Path(question.file))}: {key} of row {place} is not a finite number"
            )
    if len(set(keys)) < len(keys):
        raise InputError("axes of a picture differ from each other")
    grouped = table.groupby(keys, sort=False)[metric]
    found = (grouped.min() if less else grouped.max()).reset_index()
    if len(found) > MOST_CELLS:
        raise InputError(f"{len(found):,} cells are more than a picture holds, {MOST_CELLS:,}")
    lines = 1 if by is None else found[by].nunique()
    if lines > MOST_LINES:
        raise InputError(f"--by {by} makes {lines} lines; a picture holds {MOST_LINES}")
    rows = [
        {
            "x": _plain(row[x]),
            "y": None if y is None else _plain(row[y]),
            "by": "" if by is None else str(_plain(row[by])),
            "value": None if row[metric] != row[metric] else float(row[metric]),
        }
        for row in found.to_dict("records")
    ]
    held = [row["value"] for row in rows if row["value"] is not None]
    if not held:
        raise InputError(f"{metric} has no value in {shown_path(Path(question.file))}")
    words = {
        name: []
        if key is None or table[key].dtype.kind in "ifu"
        else [str(each) for each in dict.fromkeys(table[key])]
        for name, key in (("x", x), ("y", y))
    }
    return Answer(
        command="swept",
        inputs={"file": str(question.file), "x": x, "y": y, "by": by, "metric": metric},
        columns=object_columns(rows),
        summary={"answer": _sentence(metric, held, keys, len(table)), "points": len(table)},
        picture={
            "x": x,
            "y": y,
            "metric": metric,
            "words": words,
            "about": f"{len(table):,} points; the {'least' if less else 'most'} of each over all other axes",
            "how": _how(metric, y),
        },
    )


def _table(file: Path) -> pd.DataFrame:
    import pandas as pd  # only for pictures

    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"--file {shown_path(file)} is larger than {MOST_BYTES:,} bytes")
        table = pd.read_parquet(file) if file.suffix.lower() == ".parquet" else pd.read_csv(file)
    except OSError as error:
        raise InputError(f"--file {shown_path(file)} cannot be read: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise InputError(f"--file {shown_path(file)} is no table: {str(error).splitlines()[0]}") from error
    if table.empty:
        raise InputError(f"--file {shown_path(file)} holds no rows")
    return table


def _known(table: pd.DataFrame, option: str, name: str | None) -> str:
    columns = [str(each) for each in table.columns]
    if name is None:
        raise InputError(f"{option} is missing; the file has {', '.join(columns)}")
    key = name.replace("-", "_")
    if key not in columns:
        raise InputError(
            f"{option} {shown(name)} is no column{nearest(key, columns)}; valid: {', '.join(columns)}"
        )
    if option == "--metric" and table[key].dtype.kind not in "ifu":
        raise InputError(f"--metric {key} holds words: a picture needs numbers")
    return key


def _plain(value: Any) -> Any:  # noqa: ANN401 - of a table
    return value.item() if hasattr(value, "item") else value


def _sentence(metric: str, held: list[float], keys: list[str], points: int) -> str:
    return (
        f"{metric} from {min(held):,.3g} to {max(held):,.3g} over {' and '.join(keys)}, of {points:,} points"
    )


def _how(metric: str, y: str | None) -> str:
    if metric == "afd_over_ep":
        return "Orange: AFD ahead; blue: EP ahead; a cross: not both are feasible."
    return "A cross: nothing is feasible." if y else ""
