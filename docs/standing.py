"""The table of which measured rows stand where: parts by kernel, as the records of calibration say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.catalogue.records import Record

FORMATS = ("_bf16", "_fp4", "_fp8")
"""Endings of tables of one number format, counted with their kernel."""


def table(records: Iterable[Record]) -> str:
    """Return a Markdown table: systems down, kernels across, rows fitted and their held-out error."""
    cells: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for record in records:
        for name, data in record.data.items():
            if isinstance(data, dict) and "series" in data:
                kernel = next((name.removesuffix(end) for end in FORMATS if name.endswith(end)), name)
                for row in data["series"]:
                    found = (row["points"], row["held_out_error"])
                    cells.setdefault((row["system"], kernel), []).append(found)
    systems = sorted({system for system, _ in cells})
    kernels = sorted({kernel for _, kernel in cells})
    lines = [
        "| system | " + " | ".join(f"`{kernel}`" for kernel in kernels) + " |",
        "|---" * (len(kernels) + 1) + "|",
    ]
    for system in systems:
        row = [_cell(cells.get((system, kernel), [])) for kernel in kernels]
        lines.append(f"| {system} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _cell(found: list[tuple[int, float]]) -> str:
    """Return the rows of a cell, and their held-out error weighted by them; a dash where there are none."""
    rows = sum(points for points, _ in found)
    if not rows:
        return "-"
    return f"{rows} ({sum(points * error for points, error in found) / rows:.0%})"
