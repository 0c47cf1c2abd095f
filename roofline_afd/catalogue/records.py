"""TOML records: every number with its unit, kind and source, checked against a JSON Schema."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import operator
import re
import tomllib
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.units import to_si

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

KINDS = ("measured", "datasheet", "derived", "reported", "estimated")
"""Kinds of provenance, strongest first; a value set by the user is of kind `GIVEN` and ranks with none."""
GIVEN = "given"
MAX_RECORD_BYTES = 200_000
MAX_FAULTS = 20
"""Faults listed of one record, or of one table in it; a hostile file has any number."""
MAX_KEY_DOTS = 50
_KEY_RUN = re.compile(r"""[\w"'.\- \t]+""")
"""A run of characters that keys are made of. A TOML parser takes quadratic time for a deep dotted key."""
FOLDERS = {
    "accelerator": "accelerators",
    "interconnect": "interconnects",
    "system": "systems",
    "calibration": "calibration",
}
"""Folder of each kind of hardware record below `hardware_db`; models lie in folders by vendor."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a number was read: title, address, date of publication (else of reading)."""

    title: str
    date: str
    url: str = ""
    revision: str = ""
    note: str = ""

    def __str__(self) -> str:
        """One line for tables and notes."""
        parts = (self.title, self.revision and f"@{self.revision}", self.url, self.date)
        return ", ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, slots=True)
class Alternative:
    """Another figure in circulation for the same quantity, with who uses it."""

    value: float
    sources: tuple[Source, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a record, in the unit its key names, with its provenance."""

    key: str
    value: float
    unit: str
    kind: str
    sources: tuple[Source, ...]
    note: str = ""
    alternatives: tuple[Alternative, ...] = ()
    record: str = ""
    file: str = ""

    @property
    def si(self) -> float:
        """The value in SI."""
        return to_si(self.value, self.unit)

    @property
    def source(self) -> str:
        """All sources in one line."""
        return "; ".join(str(source) for source in self.sources)


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """One dated price of one device; `basis` is rent, tco or purchase, and bases are never mixed."""

    basis: str
    value: float
    unit: str
    date: str
    kind: str
    sources: tuple[Source, ...]
    terms: str = ""
    note: str = ""
    alternatives: tuple[Alternative, ...] = ()
    record: str = ""
    file: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One TOML file: plain entries in `data`, numbers with provenance in `quantities` (dotted keys)."""

    record: str
    id: str
    file: str
    data: Mapping[str, Any]
    quantities: Mapping[str, Quantity]
    sources: Mapping[str, Source]
    prices: tuple[Price, ...] = ()

    def text(self, key: str) -> str:
        """Return a text entry, empty where the record has none."""
        return str(self.data.get(key, ""))


def weakest_kind(quantities: Iterable[Quantity]) -> str:
    """Return the weakest provenance kind among quantities, which a result built on them carries.

    Parameters
    ----------
    quantities : iterable of Quantity
        What the result rests on.

    Returns
    -------
    str
        A member of `KINDS`, or `GIVEN` if the user set them all.
    """
    ranks = [KINDS.index(quantity.kind) for quantity in quantities if quantity.kind in KINDS]
    return KINDS[max(ranks)] if ranks else GIVEN


@functools.cache
def schema(database: str) -> dict[str, Any]:
    """Return the JSON Schema of `hardware_db` or `model_db`."""
    loaded: dict[str, Any] = json.loads(files(database).joinpath("schema.json").read_text("utf-8"))
    return loaded


def _resolve(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Follow `$ref` until none is left; what stands beside a `$ref` wins over what it points to."""
    merged = dict(node)
    while "$ref" in merged:
        target: Any = root
        for part in merged.pop("$ref").removeprefix("#/").split("/"):
            target = target[part]
        merged = {**target, **merged}
    return merged


@functools.cache
def properties(record: str) -> dict[str, dict[str, Any]]:
    """Return the schema of each key of a record kind, references resolved.

    Parameters
    ----------
    record : str
        `accelerator`, `interconnect`, `system`, `model`, or `attention` (a table of a model).

    Returns
    -------
    dict
        Key to schema node; quantities carry `x-unit` and `description`.
    """
    root = schema(database_of(record))
    return {key: _resolve(node, root) for key, node in root["$defs"][record]["properties"].items()}


def database_of(record: str) -> str:
    """Return the package that holds records of a kind."""
    return "hardware_db" if record in FOLDERS else "model_db"


def quantity_keys(record: str) -> dict[str, str]:
    """Return the numeric keys of a record kind and the unit of each."""
    return {key: node["x-unit"] for key, node in properties(record).items() if "x-unit" in node}


@functools.cache
def _validator(record: str) -> Validator:
    from jsonschema import Draft202012Validator, validators  # 80 ms, only to check records

    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "number",
        lambda _, value: (
            isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
        ),
    )
    strict: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]  # its stub lacks types
        Draft202012Validator, type_checker=checker
    )
    root = schema(database_of(record))
    return strict(_inlined(root["$defs"][record], root))


def _inlined(node: Any, root: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Copy a schema with its references written out: following them takes half the time of a check."""
    if isinstance(node, list):
        return [_inlined(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _inlined(value, root) for key, value in _resolve(node, root).items()}


def _describe(error: ValidationError) -> Iterator[str]:
    """Say one schema violation in our words: where, what, and what is valid."""
    where = ".".join(str(part) for part in error.absolute_path)
    place = f"{where}: " if where else ""
    if isinstance(error.instance, dict) and error.validator in _KEY_RULES:
        yield from (place + fault for fault in _describe_keys(error))
    else:
        yield place + _describe_value(error)


_KEY_RULES = ("additionalProperties", "required", "dependentRequired")
_TYPES = {"number": "a finite number", "integer": "a whole number", "array": "a list"}
_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", operator.lt),
    "exclusiveMinimum": ("above", operator.le),
    "maximum": ("at most", operator.gt),
}


def _describe_keys(error: ValidationError) -> Iterator[str]:
    """Say which keys of a table are unknown or missing."""
    value: Any = error.instance
    limit: Any = error.validator_value
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        unknown = (key for key in value if key not in known)
        yield from (f"unknown key {shown(key)}{nearest(key, known)}" for key in islice(unknown, MAX_FAULTS))
    elif error.validator == "required":
        yield from (f"missing {key}" for key in limit if key not in value)
    else:
        for given, needed in limit.items():
            if given in value:
                yield from (f"missing {key}, needed with {given}" for key in needed if key not in value)


def _describe_value(error: ValidationError) -> str:
    """Say what is wrong with a value."""
    value, rule = error.instance, str(error.validator)
    limit: Any = error.validator_value
    if rule == "type" and limit == "object":
        return f"{shown(value)} has no source: write {{ value = ..., kind = ..., source = ... }}"
    if rule == "type":
        return f"{shown(value)} is not {_TYPES.get(str(limit), f'a {limit}')}"
    if rule in {"enum", "const"}:
        valid = [str(choice) for choice in (limit if rule == "enum" else [limit])]
        return f"{shown(value)} is not valid{nearest(str(value)[:80], valid)}"
    if rule in _BOUNDS:
        return f"{shown(value)} must be {_BOUNDS[rule][0]} {limit:g}"
    if rule == "pattern":
        return f"{shown(value)} has characters that are not allowed here"
    return f"{shown(value)} breaks the rule {rule} = {shown(limit)}"


def _expand(data: Any, node: Mapping[str, Any], root: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Write out what the format lets one abbreviate: bare numbers, and single sources without brackets."""
    node = _resolve(node, root)
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


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _source_uses(data: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Yield (place, source key) for every use of a source in an expanded record."""
    for key, value in data.items():
        where = f"{place}.{key}" if place else key
        if key == "source":
            yield from ((place, name) for name in _as_list(value) if isinstance(name, str))
        elif isinstance(value, dict):
            yield from _source_uses(value, where)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _source_uses(item, where)


def check_value(record: str, key: str, value: float) -> None:
    """Check a number against the bounds the schema sets for a key.

    Parameters
    ----------
    record : str
        Kind of record (see `properties`).
    key : str
        Key of a quantity.
    value : float
        The number, in the key's unit.

    Raises
    ------
    InputError
        If the number is out of bounds, not finite, or not whole where a count is wanted.
    """
    rule = properties(record)[key]["properties"]["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise InputError(f"{key}: {shown(value)} is not {_TYPES[rule['type']]}")
    if rule["type"] == "integer" and value != int(value):
        raise InputError(f"{key}: {shown(value)} is not {_TYPES['integer']}")
    for bound, (words, broken) in _BOUNDS.items():
        if bound in rule and broken(value, rule[bound]):
            raise InputError(f"{key}: {shown(value)} must be {words} {rule[bound]:g}")


class RecordError(InputError):
    """A record is faulty; `faults` lists every fault found in it."""

    def __init__(self, file: str, faults: Iterable[str]) -> None:
        self.file = file
        self.faults = tuple(faults)
        more = f"; and {len(self.faults) - 3} more faults" if len(self.faults) > 3 else ""  # noqa: PLR2004
        super().__init__(f"{file}: {'; '.join(self.faults[:3])}{more}")


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
        text = raw.decode("utf-8")
        deep = any(run[0].count(".") > MAX_KEY_DOTS for run in _KEY_RUN.finditer(text))
        data = {} if deep else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RecordError(file, ["is not UTF-8 text"]) from error
    except RecursionError as error:
        raise RecordError(file, ["is nested too deeply"]) from error
    except ValueError as error:
        first = str(error).splitlines()[0][:120]
        raise RecordError(file, [f"is not valid TOML: {first}"]) from error
    if deep:
        raise RecordError(file, ["is nested too deeply"])
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
        faults = _faults(full, record, file)
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


def _faults(full: Mapping[str, Any], record: str, file: str) -> list[str]:
    """List every fault of an expanded record."""
    errors = islice(_validator(record).iter_errors(full), MAX_FAULTS)
    faults = [line for error in errors for line in _describe(error)]
    sources = full.get("sources")
    if isinstance(sources, dict):
        used = list(_source_uses({key: value for key, value in full.items() if key != "sources"}))
        faults += [
            f"{place}: unknown source {shown(name)}{nearest(name, sources)}"
            for place, name in used
            if name not in sources
        ]
        faults += [f"sources.{name}: not used" for name in sources if name not in {name for _, name in used}]
    stem = re.sub(r"(?i)^.*[/\\]|\.toml$", "", file)
    if isinstance(full.get("id"), str) and full["id"] != stem:
        faults.append(f"id: {shown(full['id'])} differs from the file name {shown(stem)}")
    return faults


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
            child = _resolve(inner.get(key, rest if isinstance(rest, dict) else {}), root)
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
