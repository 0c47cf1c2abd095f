"""Scenario files: the options of a question in TOML, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd.documents import file_bytes, toml_of
from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_BYTES = 1_000_000
LISTS = ("list", "files")


class Known(NamedTuple):
    """An option of a command, and what a file gives for it: a `flag`, `files`, a `list`, or `one` value."""

    name: str
    form: str = "one"


def read_scenario_file(
    file: Path, *, options: Mapping[str, Known], elsewhere: Callable[[], Mapping[str, str]]
) -> tuple[dict[str, Any], list[str]]:
    """Read the options a scenario file gives to a command.

    Parameters
    ----------
    file : Path
        TOML: a key per option, with `-` or `_`; `set` a table of catalogue keys or a list of KEY=VALUE.
    options : mapping of str to Known
        Options the command has, by what a file may call them; fields of a scenario that it lacks are left
        out.
    elsewhere : callable
        Returns the options of all commands and a command that has each; asked where one is not known.

    Returns
    -------
    values : dict of str to object
        Values by option.
    notes : list of str
        What is left out, as other commands read it.

    Raises
    ------
    InputError
        If the file cannot be read or is no TOML, or a key or the type of its value is unknown.
    """
    place = shown_path(file)
    fields = {field.name for field in attrs.fields(Scenario)}
    found: dict[str, Any] = {}
    seen: set[str] = set()
    others: dict[str, str] = {}
    for key, value in _held(file).items():
        name = key.replace("-", "_")
        if name in seen:
            raise InputError(f"{place}: {shown(key)} stands there twice, with - and with _")
        seen.add(name)
        if name in options:
            known = options[name]
            read = _value(f"{place}: {key}", value, known.form, file)
            found[known.name] = found[known.name] + read if known.name in found else read
        elif name not in fields:
            every = elsewhere()
            if name not in every or name == "scenario":
                valid = sorted({*options, *fields})
                raise InputError(f"{place}: unknown option {shown(key)}{nearest(name, valid)}")
            others[name] = every[name]
    if not others:
        return found, []
    told = ", ".join(f"{name} (of {command})" for name, command in others.items())
    return found, [f"{place}: not read here: {told}"]


def _held(file: Path) -> dict[str, Any]:
    """Return what a file holds; raises InputError where it is no TOML."""
    name = f"--scenario {shown_path(file)}"
    return toml_of(file_bytes(file, most=MAX_BYTES, name=name), name=name)


def _value(place: str, value: object, form: str, file: Path) -> Any:  # noqa: ANN401 - as TOML has it
    if form == "list" and isinstance(value, dict):
        return [f"{key}={each}" for key, each in _flat(place, value)]
    if form in LISTS:
        given = value if isinstance(value, list) else [value]
        texts = [text for text in given if isinstance(text, str)]
        if len(texts) != len(given):
            raise InputError(f"{place} must be text or a list of texts")
        return [str(file.parent / text) if form == "files" else text for text in texts]
    if form == "flag":
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
