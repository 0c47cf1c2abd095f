"""The program: its commands and what they share."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.cli.commands import MARKUP, Shelf
from roofline_afd.version import __version__

COMMANDS = (
    "compare",
    "what-if",
    "sensitivity",
    "predict",
    "roofline",
    "imbalance",
    "provision",
    "simulate",
    "explore",
    "load",
    "procure",
    "deploy",
    "sweep",
    "report",
    "explain",
    "validate",
    "calibrate",
    "plot",
    "hardware",
    "models",
)
"""Commands in the order in which help lists them; each is in the file of its name."""

shelf = Shelf()
for name in COMMANDS:
    shelf.part(name, f"roofline_afd.cli.{name.replace('-', '_')}")

app = typer.Typer(
    cls=shelf.kind(),
    help="Attention-FFN disaggregation or large-scale expert parallelism? "
    "A communication-level roofline for serving mixture-of-experts models, every number with its source.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass
