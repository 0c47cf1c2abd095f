"""The program: its commands and what they share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from roofline_afd import __version__
from roofline_afd.cli import (
    calibrate,
    compare,
    explain,
    explore,
    hardware,
    imbalance,
    models,
    plot,
    predict,
    procure,
    provision,
    report,
    roofline,
    sensitivity,
    simulate,
    validate,
    what_if,
)

app = typer.Typer(
    help="Attention-FFN disaggregation or large-scale expert parallelism? "
    "A communication-level roofline for serving mixture-of-experts models, every number with its source.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
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
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for part in (
    compare,
    what_if,
    sensitivity,
    predict,
    roofline,
    imbalance,
    provision,
    simulate,
    explore,
    procure,
    report,
    plot,
    explain,
    hardware,
    models,
    validate,
    calibrate,
):
    part.add(app)
