"""`explain TERM`: a formula with its symbols, units and reference, and the numbers put in."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import QUESTION_PANEL, MaybeScenario, Output
from roofline_afd.cli.reading import whole_number


def _complete(incomplete: str) -> list[str]:
    from roofline_afd.analysis.listing.terms import TERMS  # only on a completion
    from roofline_afd.analysis.listing.words import words

    return [term for term in {**TERMS, **words()} if term.startswith(incomplete)]


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "explain",
        help_text="What a word, a column or an option means; of a quantity the formula, with numbers put in.",
    )
    def explain(
        term: Annotated[
            str, typer.Argument(help="A quantity, a word, a column or an option.", autocompletion=_complete)
        ],
        maybe: MaybeScenario,
        output: Output,
        *,
        ffn_nodes: Annotated[
            int,
            typer.Option(
                metavar="NUMBER",
                help="FFN nodes to put in.",
                parser=whole_number,
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = 8,
        batch: Annotated[
            int,
            typer.Option(
                metavar="NUMBER",
                help="Sequences of a device to put in.",
                parser=whole_number,
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = 128,
        context: Annotated[
            int,
            typer.Option(
                metavar="NUMBER",
                help="Tokens cached of each to put in.",
                parser=whole_number,
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = 4096,
    ) -> None:
        from roofline_afd.analysis.listing.explain import explain as analyse  # not for --help

        output.deliver(analyse(term, maybe.scenario, ffn_nodes=ffn_nodes, batch=batch, context=context))
