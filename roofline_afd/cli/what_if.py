"""`what-if`: what changes when inputs do."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.analysis.decode.questions import WhatIf
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import QUESTION_PANEL, Baseline, Output


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "what-if",
        help_text="What if an input changed? Metrics before and after, what binds, where the winner flips.",
    )
    def what_if(
        question: Baseline,
        output: Output,
        *,
        change: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KEY=VALUE",
                help=(
                    "What changes: any option or catalogue key, as tpot_ms=30, model=step-3 or "
                    "scale_out_gb_per_s=100 (repeatable)."
                ),
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = None,
    ) -> None:
        from roofline_afd.analysis.decode.what_if import what_if as analyse  # not for --help
        from roofline_afd.catalogue.overrides import parse_pairs

        output.deliver(analyse(WhatIf(question.scenario, parse_pairs(change or (), option="--change"))))
