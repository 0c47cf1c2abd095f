"""TOML as records are written: values, entries, tables, and what a text says of its source."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = 4
"""Significant digits of a fitted number in a record."""
MAX_TITLE = 500
"""Characters of the title of a source."""


def literal(value: object) -> str:
    """Return a value as TOML; a mapping as an inline table.

    Parameters
    ----------
    value : str, bool, int, float, list or mapping
        The value; lists and mappings hold such values again, under keys that need no quotes.

    Returns
    -------
    str
        TOML on one line.

    Examples
    --------
    >>> literal({"value": 2.5, "source": ["paper"]})
    '{ value = 2.5, source = ["paper"] }'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(entries(value))} }}"
    return repr(value)


def entries(values: Mapping[str, object]) -> list[str]:
    """Return the lines of a table, `key = value` each."""
    return [f"{key} = {literal(value)}" for key, value in values.items()]


def block(name: str, values: Mapping[str, object]) -> str:
    """Return a table under its header."""
    return "\n".join([f"[{name}]", *entries(values)])


def bare_key(name: str) -> str:
    """Return a key, in quotes where TOML wants them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)


def rounded(value: float) -> float:
    """Return a fitted number with as many digits as a record states."""
    return float(f"{value:.{DIGITS}g}")


def today() -> str:
    """Return the date a record is written at, ISO 8601."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def title(text: str) -> str:
    """Return the title of a source that somebody describes in these words: one line, not too long."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:MAX_TITLE]


def address(text: str) -> dict[str, str]:
    """Return the first web address in a text as the `url` of a source, nothing where it has none."""
    found = re.search(r"https://[^\s<>\"()]+", text)
    return {"url": found[0]} if found else {}
