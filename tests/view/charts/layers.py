"""Layers of a chart, asked for their data."""

from __future__ import annotations

from typing import Any


def rows_of(specification: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the data of a layer."""
    data = layer["data"]
    rows: list[dict[str, Any]] = (
        data["values"] if "values" in data else specification["datasets"][data["name"]]
    )
    return rows
