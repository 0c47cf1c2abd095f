"""Scenario files: the options of a question in TOML, read and written."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MAX_BYTES = 1_000_000
FILES = {"hardware_db", "model_db"}
LISTS = {"set", "base_set", "change", "price", *FILES}
FLAGS = {"any_size", "kv_overlap", "shared_prefix"}
"""Options that are on or off: true or false in a file."""
ELSEWHERE = {"mode", "ffn_nodes"}
"""Options of a question that only some commands have."""


def read_scenario_file(file: Path, *, options: Collection[str]) -> dict[str, Any]:
    """Read the options a scenario file gives to a command.

    Parameters
    ----------
    file : Path
        TOML: a key per option, with `-` or `_`; `set` a table of catalogue keys or a list of KEY=VALUE.
    options : collection of str
        Options the command has; fields of a scenario that it lacks are left out.

    Returns
    -------
    dict of str to object
        Values by option.

    Raises
    ------
    InputError
        If the file cannot be read or is no TOML, or a key or the type of its value is unknown.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"--scenario {shown_path(file)} cannot be read: {error.strerror or error}"
        ) from error
    if len(raw) > MAX_BYTES:
        raise InputError(f"--scenario {shown_path(file)} is larger than {MAX_BYTES:,} bytes")
    try:
        held = tomllib.loads(raw.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"--scenario {shown_path(file)} is no TOML: {error}") from error
    fields = {field.name for field in attrs.fields(Scenario)}
    found = {}
    seen: set[str] = set()
    for key, value in held.items():
        name = key.replace("-", "_")
        if name in seen:
            raise InputError(f"{shown_path(file)}: {shown(key)} stands there twice, with - and with _")
        seen.add(name)
        if name not in {*options, *fields, *LISTS, *ELSEWHERE} or name == "scenario":
            valid = sorted({*options, *fields} - {"scenario"})
            raise InputError(f"{shown_path(file)}: unknown option {shown(key)}{nearest(name, valid)}")
        if name in options:
            found[name] = _value(f"{shown_path(file)}: {key}", name, value, file)
    return found


def _value(place: str, name: str, value: object, file: Path) -> object:
    if name in LISTS - FILES and isinstance(value, dict):
        return [f"{key}={each}" for key, each in _flat(place, value)]
    if name in LISTS:
        given = value if isinstance(value, list) else [value]
        texts = [text for text in given if isinstance(text, str)]
        if len(texts) != len(given):
            raise InputError(f"{place} must be text or a list of texts")
        return [str(file.parent / text) if name in FILES else text for text in texts]
    if name in FLAGS:
        if not isinstance(value, bool):
            raise InputError(f"{place} must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{place} must be one number or text")
    return value


def _flat(place: str, table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the keys of nested tables with dots between, as `set` takes them."""
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            pairs += _flat(place, value, f"{prefix}{key}.")
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"{place}.{prefix}{key} must be a number or text")
        else:
            pairs.append((prefix + key, value))
    return pairs


def _toml(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        value = ",".join(f"{each:g}" for each in value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def scenario_text(scenario: Scenario) -> str:
    """Return a question as a scenario file.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    str
        TOML: what differs from the defaults, and the catalogue values overridden.
    """
    lines = [f'system = "{scenario.system.id}"', f'model = "{scenario.model.id}"']
    for field in attrs.fields(Scenario):
        value = getattr(scenario, field.name)
        if field.name == "engine":
            value = scenario.engine.id
        if field.name in {"system", "model"} or value is None or value == field.default:
            continue
        if field.name in {"attention_system", "ffn_system"}:
            side = scenario.side(field.name.partition("_")[0])
            lines.append(f'{field.name} = "{side.id}"')
        else:
            lines.append(f"{field.name} = {_toml(value)}")
    changed = [
        (key, values[key].value)
        for overridden, values in (
            (scenario.system.overridden, scenario.system.quantities),
            (scenario.model.overridden, scenario.model.quantities),
        )
        for key in overridden
        if key in values
    ]
    if changed:
        lines += ["", "[set]", *(f"{key} = {value}" for key, value in changed)]
    return "\n".join(lines) + "\n"
