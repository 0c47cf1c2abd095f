"""The JSON Schemas of both databases: which keys a kind of record has, in which units, and where it lies."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = {
    "accelerator": "accelerators",
    "interconnect": "interconnects",
    "system": "systems",
    "calibration": "calibration",
    "engine": "engines",
    "library": "libraries",
}
"""Folder of each kind of hardware record below `hardware_db`; models lie in folders by vendor."""


@functools.cache
def schema(database: str) -> dict[str, Any]:
    """Return the JSON Schema of `hardware_db` or `model_db`."""
    loaded: dict[str, Any] = json.loads(files(database).joinpath("schema.json").read_text("utf-8"))
    return loaded


def database_of(record: str) -> str:
    """Return the package that holds records of a kind."""
    return "hardware_db" if record in FOLDERS else "model_db"


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
        Key to schema node; quantities carry `x-unit` and `description`, those that no answer depends on
        `x-unread` too.
    """
    root = schema(database_of(record))
    return {key: resolve(node, root) for key, node in root["$defs"][record]["properties"].items()}


def quantity_keys(record: str) -> dict[str, str]:
    """Return the numeric keys of a record kind and the unit of each."""
    return {key: node["x-unit"] for key, node in properties(record).items() if "x-unit" in node}


def unread_keys(record: str) -> dict[str, str]:
    """Return the keys of a record kind that no answer depends on, and what works instead."""
    return {key: node["x-unread"] for key, node in properties(record).items() if "x-unread" in node}


@functools.cache
def table_units(record: str, table: str) -> dict[str, str]:
    """Return the numeric keys of a table of a record kind and the unit of each."""
    nodes = properties(record)[table]["properties"]
    return {key: node["x-unit"] for key, node in nodes.items() if "x-unit" in node}


def resolve(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Follow `$ref` until none is left; what stands beside a `$ref` wins over what it points to."""
    merged = dict(node)
    while "$ref" in merged:
        target: Any = root
        for part in merged.pop("$ref").removeprefix("#/").split("/"):
            target = target[part]
        merged = {**target, **merged}
    return merged
