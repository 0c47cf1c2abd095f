"""`validate`: predictions against published measurements."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it from the annotations
from typing import Annotated

import typer

from roofline_afd.cli.options import QUESTION_PANEL, Databases, Output, register
from roofline_afd.errors import InputError

OPERATORS_HELP = (
    "CSV of measured operator and transfer times: columns id, operator, system, the sizes the operator "
    "needs, and latency_us, tflops or gb_per_s (repeatable)."
)


def add(app: typer.Typer) -> None:
    """Add the command to the program."""

    @register(
        app, "validate", help_text="How far are predictions from measurements? Signed errors, row by row."
    )
    def validate(
        output: Output,
        databases: Databases,
        *,
        files: Annotated[
            list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files of the same kind.")
        ] = None,
        operators: Annotated[
            list[Path] | None,
            typer.Option("--operators", metavar="FILE", help=OPERATORS_HELP, rich_help_panel=QUESTION_PANEL),
        ] = None,
    ) -> None:
        from roofline_afd.analysis.measurements import read_measurements  # not for --help
        from roofline_afd.analysis.validation import validate_operators

        if not operators:
            raise InputError("--operators FILE is missing: a CSV of measured operator times to predict")
        catalogue = databases.catalogue()
        rows = read_measurements([*operators, *(files or ())], catalogue=catalogue)
        output.deliver(validate_operators(rows, catalogue=catalogue))
