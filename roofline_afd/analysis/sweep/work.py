"""What a worker does: the chunks of a task, reduced, or written as a part of a file."""

from __future__ import annotations

import io
import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.sweep.metrics import METRICS
from roofline_afd.analysis.sweep.plan import plan_of
from roofline_afd.analysis.sweep.reduce import NONE, Reducer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.grids import Chunk
    from roofline_afd.analysis.sweep.metrics import Columns
    from roofline_afd.analysis.sweep.plan import Plan

CSV, PARQUET, TABLE = "csv", "parquet", "table"


def work(packed: bytes, form: str, first: int, last: int) -> bytes:
    """Do a task.

    Parameters
    ----------
    packed : bytes
        The sweep, a pickled `Spec`.
    form : str
        `csv` or `parquet` where rows go to a file, `table` where they are an answer.
    first, last : int
        Chunks of the task, the last left out.

    Returns
    -------
    bytes
        State of the reduction as JSON; or rows in the form asked for, those of an answer pickled.
    """
    plan = plan_of(packed)
    if plan.spec.reduce[0] != NONE:
        reducer = Reducer(plan.spec.of, plan.spec.reduce, plan.spec.metrics)
        for chunk, columns in plan.chunks(range(first, last)):
            reducer.take(plan.start(chunk), columns, plan.shape(chunk))
        return json.dumps(reducer.state()).encode()
    parts = [columns_of(plan, chunk, columns) for chunk, columns in plan.chunks(range(first, last))]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if form == TABLE:
        return pickle.dumps({name: column.tolist() for name, column in whole.items()})
    return as_csv(whole) if form == CSV else as_parquet(whole)


def columns_of(plan: Plan, chunk: Chunk, columns: Columns) -> dict[str, NDArray[Any]]:
    """Return a chunk's axes and metrics as they are written: words as such, whole axes as whole numbers."""
    found = {name: _whole(column) for name, column in plan.inputs(chunk).items()}
    shape = plan.shape(chunk)
    for name, each in columns.items():
        column = np.broadcast_to(each, shape).ravel()
        words = METRICS[plan.spec.of][name].words
        if words:
            codes = np.where(np.isnan(column.astype(float)), 0, column).astype(int)
            found[name] = np.array(words, dtype=object)[codes]
        else:
            found[name] = column
    return found


def _whole(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype == object:
        return column
    whole = column.astype(np.int64)
    return whole if np.array_equal(whole, column) else column


def as_csv(columns: dict[str, NDArray[Any]]) -> bytes:
    """Return rows as CSV without a header: numbers in their shortest form, nothing where there is none."""
    texts = []
    for column in columns.values():
        if column.dtype == object:
            texts.append([f'"{text}"' if "," in text else text for text in column.tolist()])
        elif column.dtype == bool:
            texts.append(["true" if each else "false" for each in column.tolist()])
        else:
            texts.append(["" if each != each else repr(each) for each in column.tolist()])  # noqa: PLR0124 - NaN
    return "".join(f"{','.join(row)}\n" for row in zip(*texts, strict=True)).encode()


def as_parquet(columns: dict[str, NDArray[Any]]) -> bytes:
    """Return rows as a Parquet file of one row group."""
    import pyarrow as pa  # type: ignore[import-untyped]  # an extra
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    table = pa.table({name: _arrow(pa, column) for name, column in columns.items()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _arrow(pa: Any, column: NDArray[Any]) -> Any:  # noqa: ANN401 - a module without types
    if column.dtype == object:
        return pa.array(column.tolist(), pa.string())
    if column.dtype.kind == "f":
        return pa.array(column, mask=np.isnan(column))
    return pa.array(column)
