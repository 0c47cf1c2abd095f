"""`models list`, `models show`, `models validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.cli.options import Databases, Output, register


def add(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(help="Mixture-of-experts model shapes, every value with unit, kind and source.")
    app.add_typer(group, name="models")

    @register(
        group, "list", help_text="List the models, with parameters and cache bytes counted from the shape."
    )
    def list_(output: Output, databases: Databases) -> None:
        from roofline_afd.analysis.listing import list_models  # not for --help

        output.deliver(list_models(databases.catalogue()))

    @register(group, "show", help_text="Show everything known of a model.")
    def show(
        id_: Annotated[str, typer.Argument(metavar="ID", help="Id or alias of a model.")],
        output: Output,
        databases: Databases,
    ) -> None:
        from roofline_afd.analysis.listing import show_model

        output.deliver(show_model(databases.catalogue(), id_))

    @register(group, "validate", help_text="Check every model record; exit 1 if one is faulty.")
    def validate(output: Output, databases: Databases) -> None:
        from roofline_afd.analysis.listing import validate_models

        answer = validate_models(databases.catalogue(collect_faults=True))
        output.deliver(answer)
        if answer.summary["faulty"]:
            raise typer.Exit(1)
