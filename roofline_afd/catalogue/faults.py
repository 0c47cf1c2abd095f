"""What is wrong with a record or a number, by its schema: every fault a line in our words."""

from __future__ import annotations

import functools
import math
import operator
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.schema import database_of, properties, resolve, schema
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MAX_FAULTS = 20
"""Faults listed of one record, or of one table in it; a hostile file has any number."""
_KEY_RULES = ("additionalProperties", "required", "dependentRequired")
_TYPES = {"number": "a finite number", "integer": "a whole number", "array": "a list"}
_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", operator.lt),
    "exclusiveMinimum": ("above", operator.le),
    "maximum": ("at most", operator.gt),
}


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
    if not _is_number(value) or (rule["type"] == "integer" and value != int(value)):
        raise InputError(f"{key}: {_no_type(value, rule['type'])}")
    for bound, (_, broken) in _BOUNDS.items():
        if bound in rule and broken(value, rule[bound]):
            raise InputError(f"{key}: {_out_of_bounds(value, bound, rule[bound])}")


def faults_of(full: Mapping[str, Any], record: str, file: str) -> list[str]:
    """List every fault of a record.

    Parameters
    ----------
    full : mapping
        What its file holds, abbreviations written out.
    record : str
        Kind of record.
    file : str
        How messages call the file; its stem must be the id.

    Returns
    -------
    list of str
        A line per fault, none of a valid record.
    """
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _no_type(value: object, wanted: str) -> str:
    return f"{shown(value)} is not {_TYPES.get(wanted, f'a {wanted}')}"


def _out_of_bounds(value: object, bound: str, limit: float) -> str:
    return f"{shown(value)} must be {_BOUNDS[bound][0]} {limit:g}"


@functools.cache
def _validator(record: str) -> Validator:
    from jsonschema import Draft202012Validator, validators  # 80 ms, only to check records

    checker = Draft202012Validator.TYPE_CHECKER.redefine("number", lambda _, value: _is_number(value))
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
    return {key: _inlined(value, root) for key, value in resolve(node, root).items()}


def _describe(error: ValidationError) -> Iterator[str]:
    """Say one schema violation in our words: where, what, and what is valid."""
    where = ".".join(str(part) for part in error.absolute_path)
    place = f"{where}: " if where else ""
    if isinstance(error.instance, dict) and error.validator in _KEY_RULES:
        yield from (place + fault for fault in _describe_keys(error))
    else:
        yield place + _describe_value(error)


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
        return _no_type(value, str(limit))
    if rule in {"enum", "const"}:
        valid = [str(choice) for choice in (limit if rule == "enum" else [limit])]
        return f"{shown(value)} is not valid{nearest(str(value)[:80], valid)}"
    if rule in _BOUNDS:
        return _out_of_bounds(value, rule, limit)
    if rule == "pattern":
        return f"{shown(value)} has characters that are not allowed here"
    return f"{shown(value)} breaks the rule {rule} = {shown(limit)}"


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


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
