"""`explore`: serving modes over the first token and every next one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.analysis.requests.questions import FROM_TRACE, Exploration
from roofline_afd.cli.commands import register
from roofline_afd.cli.options import OUTPUT_PANEL, Output
from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf


def rate_of(text: str) -> float | str:
    """Read a rate of requests: a number, or that of the trace."""
    if text == FROM_TRACE:
        return text
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"--request-rate {shown(text)} is neither a number nor trace") from error


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "explore",
        help_text="Prefill and decode together or apart, with AFD or without? The best over TTFT and TPOT.",
        readers={"request_rate": rate_of},
    )
    def explore(
        question: Exploration,
        output: Output,
        *,
        frontier: Annotated[
            bool,
            typer.Option(
                "--frontier",
                help="Every row, not only the best of each mode.",
                rich_help_panel=OUTPUT_PANEL,
            ),
        ] = False,
    ) -> None:
        from roofline_afd.analysis.requests.explore import explore as analyse  # not for --help

        answer = analyse(question)
        output.deliver(dataclasses.replace(answer, table_rows=None) if frontier else answer)
