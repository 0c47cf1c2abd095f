"""`predict`: one deployment, term by term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import Output, Serving, word

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf

Mode = Annotated[
    str | None,
    word("One group of devices, or two. Default: afd where --ffn-devices is given.", "ep", "afd"),
]


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "predict",
        help_text="What does one deployment reach? Time per token, tokens/s, HFU, memory, what binds.",
    )
    def predict(question: Serving, output: Output, *, mode: Mode = None) -> None:
        from roofline_afd.analysis.decode.predict import predict as analyse  # not for --help

        output.deliver(analyse(question.scenario, mode=mode))
