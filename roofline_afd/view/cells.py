"""Answers as grids of texts: which columns are shown, and what stands in each cell."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.view.columns import BILLIONS, column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

RESULTS = ("hfu", "ofu", "temporal_sparsity", "pairs_per_device", "intensity")
"""Results that carry the weakest kind of their inputs."""
DAGGER = "\u2020"
"""Marks numbers that are, or rest on, an estimate."""
PROVENANCE = ("unit", "kind", "source", "note", "record", "file")
CHANGING = ("metric", "before", "after", "change")
"""Columns of rows that tell of a metric each."""
_PROVENANCE_ENDINGS = tuple(f"_{part}" for part in PROVENANCE)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which columns of an answer are shown: those of its table, all, or some by name."""

    names: tuple[str, ...] = ()
    whole: bool = False


TABLE = Choice()


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of texts."""

    keys: tuple[str, ...]
    titles: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    heads: int = 1
    """Columns at the left that say what a line is of: they stay whatever the width."""
    chosen: bool = False
    """Whether its columns were asked for by name, so that none may go."""
    more: int = 0
    """Rows that are not shown [1]."""


def flat_rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the results row by row, with a key of its own for each value that lies within another.

    Parameters
    ----------
    answer : Answer
        Any.

    Returns
    -------
    list of dict
        Rows, all with the same keys: `breakdown.attention_us` for a table within, `prices.0.value` for one
        of a list of tables.
    """
    rows = [dict(_flat(row)) for row in answer.rows()]
    keys = dict.fromkeys(key for row in rows for key in row)
    within = {key for key in keys for other in keys if other.startswith(f"{key}.")}
    return [{key: row.get(key) for key in keys if key not in within} for row in rows]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        inner = value
        if isinstance(value, list | tuple) and any(isinstance(each, dict | list | tuple) for each in value):
            inner = {str(index): each for index, each in enumerate(value)}
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", None if inner == {} else inner


def keys_of(answer: Answer, choice: Choice, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys that are shown.

    Parameters
    ----------
    answer : Answer
        What is shown.
    choice : Choice
        What was asked for.
    rows : sequence of mapping
        Its flat rows.

    Returns
    -------
    tuple of str
        Keys of the rows.

    Raises
    ------
    InputError
        If a name is none of them, and begins none.
    """
    known = tuple(rows[0]) if rows else tuple(answer.columns)
    names = choice.names or (() if choice.whole else answer.table_keys)
    if not names or (answer.command.endswith(" show") and not choice.names):
        return known
    found: dict[str, None] = {}
    for name in names:
        own = [key for key in known if key == name or key.startswith(f"{name}.")]
        if not own and choice.names:
            raise InputError(f"--columns {shown(name)} is no column{nearest(name, known)}")
        found |= dict.fromkeys(own)
    return tuple(found)


def grid_of(answer: Answer, choice: Choice = TABLE, *, most: int | None = None) -> Grid:
    """Return an answer as people read it; a record's many keys run downwards.

    Parameters
    ----------
    answer : Answer
        What is shown.
    choice : Choice
        Its columns; of a record, its keys.
    most : int, optional
        Rows that are shown at most; all where absent [1].

    Returns
    -------
    Grid
        Texts.
    """
    rows = answer.rows()
    if answer.command.endswith(" show"):
        return _record_lines(rows, answer.table_keys, choice.names)
    inner = flat_rows(answer)
    keys = keys_of(answer, choice, inner)
    if answer.summary.get("weakest_kind") == "estimated":
        inner = [{**row, **dict.fromkeys((f"{key}_kind" for key in RESULTS), "estimated")} for row in inner]
    if answer.table_rows is not None:
        inner = [inner[index] for index in answer.table_rows]
    more = 0 if most is None else max(len(inner) - most, 0)
    inner = inner[:most]
    titles = tuple(column(key).title for key in keys)
    body = tuple(tuple(_marked(row, key) for key in keys) for row in inner)
    return Grid(keys, titles, body, chosen=bool(choice.names), more=more)


def grid_of_rows(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Grid:
    """Return rows that are no results as people read them.

    Parameters
    ----------
    rows : sequence of mapping
        Rows, one at least.
    keys : sequence of str
        Columns; those without any value are left out.

    Returns
    -------
    Grid
        Texts.
    """
    used = tuple(key for key in keys if any(row.get(key) is not None for row in rows))
    body = tuple(tuple(column(key).show(row.get(key)) for key in used) for row in rows)
    return Grid(used, tuple(column(key).title for key in used), body)


def _marked(row: Mapping[str, Any], key: str) -> str:
    dagger = DAGGER if row.get(f"{key}_kind") == "estimated" else ""
    if key in CHANGING and {"metric", *CHANGING} <= set(row):  # each row has a metric of its own
        mode, _, name = str(row["metric"]).rpartition(".")
        own = column(name)
        return f"{mode.upper()} {own.title}".lstrip() if key == "metric" else own.show(row[key])
    return column(key).show(row[key]) + dagger


def _exact(row: Mapping[str, Any], key: str) -> str:
    """Return a value of a record, counts to their last digit."""
    value = row[key]
    return f"{value:,}" if isinstance(value, int) and column(key).form == BILLIONS else _marked(row, key)


def _record_lines(
    rows: Sequence[Mapping[str, Any]], with_provenance: tuple[str, ...], names: tuple[str, ...]
) -> Grid:
    """Return a record with a line per key: value and provenance, or several records side by side."""
    keys = dict.fromkeys(key for row in rows for key in row if not key.endswith(_PROVENANCE_ENDINGS))
    for name in names:
        if name not in keys:
            raise InputError(f"--columns {shown(name)} is no key of these records{nearest(name, keys)}")
    keys = dict.fromkeys(names) if names else keys
    if len(rows) > 1:
        lines = [
            (key, _first(rows, f"{key}_unit"), *(_exact(row, key) if key in row else "-" for row in rows))
            for key in keys
            if key not in {"id", "prices"}
        ]
        ids = tuple(str(row["id"]) for row in rows)
        return Grid(("key", "unit", *ids), ("key", "unit", *ids), tuple(lines), heads=2, chosen=True)
    (row,) = rows
    found = []
    for key in keys:
        if row[key] is not None and key != "prices":
            provenance = (str(row.get(f"{key}_{part}") or "") for part in with_provenance)
            found.append((key, _exact(row, key), *provenance))
    for price in row.get("prices") or () if not names or "prices" in names else ():
        name = f"price, {price['basis']}" + (f" ({price['terms']})" if price["terms"] else "")
        dagger = DAGGER if price["kind"] == "estimated" else ""
        said = {**price, "note": "; ".join(filter(None, (f"dated {price['date']}", price["note"])))}
        provenance = (str(said.get(part) or "") for part in with_provenance)
        found.append((name, f"{price['value']:g}{dagger}", *provenance))
    heads = ("key", "value", *with_provenance)
    return Grid(heads, heads, tuple(found), heads=2)


def _first(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return next((str(row[key]) for row in rows if row.get(key)), "")
