"""Overrides: `--set KEY=VALUE` on any number of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.faults import check_value
from roofline_afd.catalogue.records import GIVEN, Quantity, Source
from roofline_afd.catalogue.schema import quantity_keys, unread_keys
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.units import parse_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USER = Source(title="set by the user", date="")


def _schema_of(record: str, key: str) -> tuple[str, str] | None:
    """Return the record kind whose schema describes a key, and the key there; None for unknown keys."""
    if key in quantity_keys(record):
        return record, key
    table, _, last = key.rpartition(".")
    if record == "model" and table.startswith("attention.") and last in quantity_keys("attention"):
        return "attention", last
    return None


def override(
    quantities: Mapping[str, Quantity], overrides: Mapping[str, float | str], *, record: str, name: str
) -> dict[str, Quantity]:
    """Return quantities with some values replaced by the user's.

    Parameters
    ----------
    quantities : mapping of str to Quantity
        What the catalogue holds.
    overrides : mapping of str to float or str
        Key to value in the key's unit, or text with a unit.
    record : str
        `"system"` or `"model"`: whose keys are valid.
    name : str
        Id of the record, for messages.

    Returns
    -------
    dict of str to Quantity
        All quantities; the replaced ones of kind `"given"`.

    Raises
    ------
    InputError
        If a key is unknown (names the nearest), or nothing depends on it (names what works), or a value is
        out of the schema's bounds.
    """
    result = dict(quantities)
    for key, given in overrides.items():
        described = _schema_of(record, key)
        tables = {known.rpartition(".")[0] for known in quantities}
        if described is None or ("." in key and key.rpartition(".")[0] not in tables):
            known = {*quantity_keys(record), *quantities}
            raise InputError(f"unknown {record} key {shown(key)}{nearest(key, known)}")
        unread = unread_keys(described[0])
        if described[1] in unread:
            raise InputError(f"{key} changes no answer: {unread[described[1]]}")
        unit = quantity_keys(described[0])[described[1]]
        try:
            value = parse_number(given, unit=unit) if isinstance(given, str) else _plain(given)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        number = int(value) if isinstance(value, float) and value.is_integer() and unit == "1" else value
        try:
            check_value(described[0], described[1], number)
        except InputError as error:
            raise InputError(str(error).replace(described[1], key, 1)) from error
        before = (
            f"the catalogue has {quantities[key].value:g}" if key in quantities else "the catalogue has none"
        )
        result[key] = Quantity(key, number, unit, GIVEN, (USER,), note=before, record=f"{record} {name}")
    return result


def _plain(value: Any) -> Any:  # noqa: ANN401 - the schema judges what it is
    """Return a NumPy scalar as the Python number it holds."""
    return value.item() if hasattr(value, "item") else value


def parse_pairs(pairs: Iterable[str], *, option: str = "--set") -> dict[str, str]:
    """Read `KEY=VALUE` arguments.

    Parameters
    ----------
    pairs : iterable of str
        As given on the command line.
    option : str
        How messages call the option.

    Returns
    -------
    dict of str to str
        Key to the text of its value.

    Raises
    ------
    InputError
        If a pair has no `=`, no value, or a key comes twice.
    """
    result: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(f"{option} {shown(pair)} is not KEY=VALUE")
        if key.strip() in result:
            raise InputError(f"{option} {key.strip()} is given twice")
        result[key.strip()] = value.strip()
    return result


def split_overrides(
    pairs: Mapping[str, float | str], *, attention_tables: Iterable[str] = ()
) -> tuple[dict[str, float | str], dict[str, float | str]]:
    """Sort overrides into those of a system and those of a model; no key belongs to both.

    Parameters
    ----------
    pairs : mapping of str to float or str
        Key to value.
    attention_tables : iterable of str
        Names of the model's attention tables, to name valid dotted keys.

    Returns
    -------
    tuple of dict
        Overrides of the system, overrides of the model.

    Raises
    ------
    InputError
        If a key belongs to neither; names the nearest.
    """
    system, model = quantity_keys("system"), quantity_keys("model")
    dotted = [f"attention.{table}.{key}" for table in attention_tables for key in quantity_keys("attention")]
    of_system: dict[str, float | str] = {}
    of_model: dict[str, float | str] = {}
    for key, value in pairs.items():
        if key in system:
            of_system[key] = value
        elif key in model or key.startswith("attention."):
            of_model[key] = value
        else:
            raise InputError(f"unknown key {shown(key)} in --set{nearest(key, (*system, *model, *dotted))}")
    return of_system, of_model
