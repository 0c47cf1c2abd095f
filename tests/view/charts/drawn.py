"""What a chart draws: its layers with their data, and its headline."""

from __future__ import annotations

from typing import Any


def layers_of(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any altair chart
    """Return the layers of a chart, with their data in place."""
    return layers_in(chart.to_dict())


def layers_in(specification: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of a specification, with their data in place."""
    for layer in specification["layer"]:
        if "name" in layer.get("data", {}):
            layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    found: list[dict[str, Any]] = specification["layer"]
    return found


def lines_of(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the layers of a chart that are lines."""
    return [layer for layer in layers_of(chart) if layer["mark"]["type"] == "line"]


def rows_of(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a layer draws."""
    found: list[dict[str, Any]] = layer["data"]["values"]
    return found


def title_of(chart: Any) -> str:  # noqa: ANN401
    """Return the headline of a chart and what stands below it."""
    parts = chart.to_dict()["title"]
    return " ".join([*parts["text"], *parts["subtitle"]])
