"""`predict`: one deployment, term by term."""

from __future__ import annotations

from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Output


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "predict",
        help_text="What does one deployment reach? Time per token, tokens/s, HFU, memory, what binds.",
    )
    def predict(question: Prediction, output: Output) -> None:
        from roofline_afd.analysis.decode.predict import predict as analyse  # not for --help

        output.deliver(analyse(question))
