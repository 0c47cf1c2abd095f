"""`hardware list`, `hardware show`, `hardware validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.cli.options import Databases, Output, register

NAME_HELP = "Id of a system, an accelerator or an interconnect."
KIND_HELP = "system, accelerator or interconnect."


def add(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(
        help="Accelerators, interconnects and systems, every value with unit, kind and source."
    )
    app.add_typer(group, name="hardware")

    @register(group, "list", help_text="List the systems one can buy, or their parts.")
    def list_(
        output: Output, databases: Databases, *, kind: Annotated[str, typer.Option(help=KIND_HELP)] = "system"
    ) -> None:
        from roofline_afd.analysis.listing import list_hardware  # not for --help

        output.deliver(list_hardware(databases.catalogue(), kind=kind))

    @register(
        group, "show", help_text="Show everything known of a system, an accelerator or an interconnect."
    )
    def show(
        id_: Annotated[str, typer.Argument(metavar="ID", help=NAME_HELP)],
        output: Output,
        databases: Databases,
        *,
        kind: Annotated[str | None, typer.Option(help=f"Narrow to one kind: {KIND_HELP}")] = None,
    ) -> None:
        from roofline_afd.analysis.listing import show_hardware

        output.deliver(show_hardware(databases.catalogue(), id_, kind=kind))

    @register(group, "validate", help_text="Check every hardware record; exit 1 if one is faulty.")
    def validate(output: Output, databases: Databases) -> None:
        from roofline_afd.analysis.listing import validate_hardware

        answer = validate_hardware(databases.catalogue(collect_faults=True))
        output.deliver(answer)
        if answer.summary["faulty"]:
            raise typer.Exit(1)
