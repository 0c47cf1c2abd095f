"""`predict`: one deployment, term by term."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline_afd.cli.options import QUESTION_PANEL, Output, Serving, register

Mode = Annotated[
    str | None,
    typer.Option(
        metavar="ep|afd",
        help="One group of devices, or two. Default: afd where --ffn-devices is given.",
        autocompletion=lambda incomplete: [word for word in ("ep", "afd") if word.startswith(incomplete)],
        rich_help_panel=QUESTION_PANEL,
    ),
]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""

    @register(
        app,
        "predict",
        help_text="What does one deployment reach? Time per token, tokens/s, HFU, memory, what binds.",
    )
    def predict(question: Serving, output: Output, *, mode: Mode = None) -> None:
        from roofline_afd.analysis.predict import predict as analyse  # not for --help

        output.deliver(analyse(question.scenario, mode=mode))
