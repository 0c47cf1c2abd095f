"""`validate`: predictions against published measurements, of services or of operators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import QUESTION_PANEL, Databases, Output
from roofline_afd.errors import InputError

SERVICES_HELP = (
    "CSV of measured services: columns id, mode, system, model, n_devices, batch_per_device, context_tokens, "
    "tokens_per_s_per_device, and what hardware_db/measurements/README.md lists; the shipped ones by "
    "default. After --operators or --serving-points more files of their kind."
)
OPERATORS_HELP = (
    "CSV of measured operator and transfer times: columns id, operator, system, the sizes the operator "
    "needs, and latency_us, tflops or gb_per_s; use is fit, check: why or exclude: why (repeatable)."
)
POINTS_HELP = (
    "CSV of published points of serving, by concurrency or of prompts alone: columns id, model, system, "
    "n_devices, parallelism, isl, osl, concurrency, metric, measured (repeatable)."
)


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app, "validate", help_text="How far are predictions from measurements? Signed errors, row by row."
    )
    def validate(
        output: Output,
        databases: Databases,
        *,
        files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help=SERVICES_HELP)] = None,
        operators: Annotated[
            list[Path] | None,
            typer.Option("--operators", metavar="FILE", help=OPERATORS_HELP, rich_help_panel=QUESTION_PANEL),
        ] = None,
        serving_points: Annotated[
            list[Path] | None,
            typer.Option(
                "--serving-points", metavar="FILE", help=POINTS_HELP, rich_help_panel=QUESTION_PANEL
            ),
        ] = None,
    ) -> None:
        catalogue = databases.catalogue()
        if serving_points:
            from roofline_afd.analysis.evidence.points.rows import read_points
            from roofline_afd.analysis.evidence.points.validate import validate_points

            if operators:
                raise InputError("--serving-points and --operators are two questions: ask one at a time")
            points = read_points([*serving_points, *(files or ())], catalogue=catalogue)
            output.deliver(validate_points(points))
            return
        if operators:
            from roofline_afd.analysis.evidence.operators.rows import read_measurements  # not for --help
            from roofline_afd.analysis.evidence.operators.validate import validate_operators

            measured = read_measurements([*operators, *(files or ())], catalogue=catalogue)
            output.deliver(validate_operators(measured, catalogue=catalogue))
            return
        from roofline_afd.analysis.evidence.services.rows import read_services, shipped_services
        from roofline_afd.analysis.evidence.services.validate import validate_services

        if files:
            output.deliver(validate_services(read_services(files, catalogue=catalogue), catalogue=catalogue))
            return
        from roofline_afd.analysis.evidence.points.rows import shipped_points
        from roofline_afd.analysis.evidence.points.validate import with_prefill

        found = validate_services(shipped_services(catalogue), catalogue=catalogue)
        output.deliver(with_prefill(found, shipped_points(catalogue)))
