"""TOML records read: parsed, checked against their schema, every number with its unit, kind and source."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.faults import faults_of
from roofline_afd.catalogue.records import Alternative, Price, Quantity, Record, Source
from roofline_afd.catalogue.schema import FOLDERS, database_of, resolve, schema
from roofline_afd.documents import toml_of
from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.resources.abc import Traversable

MAX_RECORD_BYTES = 200_000


class RecordError(InputError):
    """A record is faulty; `faults` lists every fault found in it."""

    def __init__(self, file: str, faults: Iterable[str]) -> None:
        self.file = file
        self.faults = tuple(faults)
        more = f"; and {len(self.faults) - 3} more faults" if len(self.faults) > 3 else ""  # noqa: PLR2004
        super().__init__(f"{file}: {'; '.join(self.faults[:3])}{more}")

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, tuple[str, ...]]]:
        """Return what makes it again in another process."""
        return type(self), (self.file, self.faults)


def read_record(path: Traversable | Path, *, file: str, checked: bool = True) -> Record:
    """Read and check one TOML record.

    Parameters
    ----------
    path : Traversable or Path
        The file.
    file : str
        How messages call it.
    checked : bool
        False for a record of this package, which its tests check: it is taken as it is where it can be.

    Returns
    -------
    Record
        The record, its numbers with unit, kind and sources.

    Raises
    ------
    RecordError
        If the file cannot be read or is no valid record; all faults at once.
    """
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise RecordError(file, ["is no regular file"])
        with path.open("rb") as opened:
            raw = opened.read(MAX_RECORD_BYTES + 1)
    except OSError as error:
        raise RecordError(file, [f"cannot be read: {error.strerror or error}"]) from error
    if len(raw) > MAX_RECORD_BYTES:
        raise RecordError(file, [f"is larger than a record may be, {MAX_RECORD_BYTES:,} bytes"])
    return parse_record(raw, file=file, checked=checked)


def parse_record(raw: bytes, *, file: str, checked: bool = True) -> Record:
    """Parse and check the bytes of one TOML record.

    Parameters
    ----------
    raw : bytes
        UTF-8 TOML.
    file : str
        How messages call it; where it ends in `.toml`, its stem must be the id.
    checked : bool
        As for `read_record`.

    Returns
    -------
    Record
        The record, its numbers with unit, kind and sources.

    Raises
    ------
    RecordError
        With every fault found.
    """
    try:
        data = toml_of(raw, name="")
    except InputError as error:
        raise RecordError(file, [str(error).strip()]) from error
    record = data.get("record")
    valid = (*FOLDERS, "model")
    if not isinstance(record, str) or record not in valid:
        what = "missing record" if record is None else f"record: {shown(record)} is not valid"
        raise RecordError(file, [f"{what}; write record = one of {', '.join(valid)}"])
    try:
        full = _expanded(data, record)
        if not checked:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                return _build(full, record, file)
        faults = faults_of(full, record, file)
        if not faults:
            return _build(full, record, file)
    except RecursionError as error:
        raise RecordError(file, ["is nested too deeply"]) from error
    raise RecordError(file, dict.fromkeys(faults))


def _expanded(data: Mapping[str, Any], record: str) -> dict[str, Any]:
    """Return a parsed record with its abbreviations written out."""
    root = schema(database_of(record))
    defaults = {
        key: data[f"default_{key}"]
        for key in ("kind", "source")
        if isinstance(data.get(f"default_{key}"), str | list)
    }
    full: dict[str, Any] = _expand(
        data,
        root["$defs"][record],
        root,
        defaults if len(defaults) == 2 else {},  # noqa: PLR2004
    )
    if isinstance(full.get("default_source"), str):
        full["default_source"] = [full["default_source"]]
    return full


def _expand(data: Any, node: Mapping[str, Any], root: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Write out what the format lets one abbreviate: bare numbers, and single sources without brackets."""
    node = resolve(node, root)
    if "x-unit" in node:
        if isinstance(data, int | float) and not isinstance(data, bool) and defaults:
            data = {"value": data, **defaults}
        return _with_source_lists(data)
    if isinstance(data, list) and "items" in node:
        return [_expand(item, node["items"], root, defaults) for item in data]
    if isinstance(data, dict):
        data = _with_source_lists(data)
        inner = node.get("properties", {})
        rest = node.get("additionalProperties")
        return {
            key: _expand(value, inner.get(key, rest if isinstance(rest, dict) else {}), root, defaults)
            for key, value in data.items()
        }
    return data


def _with_source_lists(data: Any) -> Any:  # noqa: ANN401
    """Put a single source of a table, and of each of its alternatives, in brackets."""
    if not isinstance(data, dict):
        return data
    full = {
        key: [value] if key == "source" and isinstance(value, str) else value for key, value in data.items()
    }
    if isinstance(full.get("alternatives"), list):
        full["alternatives"] = [_with_source_lists(item) for item in full["alternatives"]]
    return full


def _build(full: Mapping[str, Any], record: str, file: str) -> Record:
    root = schema(database_of(record))
    sources = {key: Source(**value) for key, value in full["sources"].items()}
    quantities: dict[str, Quantity] = {}

    def provenance(value: Mapping[str, Any]) -> dict[str, Any]:
        named = tuple(sources[name] for name in value["source"])
        return {"value": value["value"], "sources": named, "note": value.get("note", "")}

    def alternatives(value: Mapping[str, Any]) -> tuple[Alternative, ...]:
        return tuple(Alternative(**provenance(other)) for other in value.get("alternatives", ()))

    def walk(data: Mapping[str, Any], node: Mapping[str, Any], prefix: str) -> None:
        inner, rest = node.get("properties", {}), node.get("additionalProperties")
        for key, value in data.items():
            child = resolve(inner.get(key, rest if isinstance(rest, dict) else {}), root)
            if "x-unit" in child:
                quantities[prefix + key] = Quantity(
                    key=prefix + key,
                    unit=child["x-unit"],
                    kind=value["kind"],
                    alternatives=alternatives(value),
                    **provenance(value),
                    record=f"{record} {full['id']}",
                    file=file,
                )
            elif isinstance(value, dict) and key != "sources":
                walk(value, child, f"{prefix}{key}.")

    walk(full, root["$defs"][record], "")
    prices = tuple(
        Price(
            **{key: price[key] for key in ("basis", "unit", "date", "kind")},
            terms=price.get("terms", ""),
            alternatives=alternatives(price),
            record=f"{record} {full['id']}",
            file=file,
            **provenance(price),
        )
        for price in full.get("prices", ())
    )
    return Record(
        record=record,
        id=full["id"],
        file=file,
        data=full,
        quantities=quantities,
        sources=sources,
        prices=prices,
    )
