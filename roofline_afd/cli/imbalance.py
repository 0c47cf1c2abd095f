"""`imbalance`: what load imbalance costs expert parallelism and disaggregation."""

from __future__ import annotations

from roofline_afd.analysis.bounds.questions import Imbalance
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Output
from roofline_afd.errors import InputError, shown


def sigmas_of(text: str) -> list[float]:
    """Return the balances an option asks for; whether they are in bounds, the analysis says."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--sigma {shown(text)}: write a number above 0 and at most 1 or a list, as in .95,.9,.8"
        ) from error


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "imbalance",
        help_text="What does load imbalance of experts cost EP, and AFD in whole nodes?",
        readers={"sigma": sigmas_of},
    )
    def imbalance(question: Imbalance, output: Output) -> None:
        from roofline_afd.analysis.bounds.imbalance import imbalance as analyse  # not for --help

        output.deliver(analyse(question))
