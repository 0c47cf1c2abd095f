"""`explain TERM`: a formula with its symbols, units and reference, and the numbers put in."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    del app
