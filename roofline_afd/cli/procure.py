"""`procure`: candidate systems against a demand."""

from __future__ import annotations

from collections.abc import Sequence

from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.explore import rate_of
from roofline_afd.cli.options import Output
from roofline_afd.errors import InputError, shown


def prices_of(texts: Sequence[str]) -> dict[str, float]:
    """Read prices: `ID=USD` each."""
    prices: dict[str, float] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if name in prices:
            raise InputError(f"--price {name} is given twice")
        try:
            prices[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"--price {shown(text)} is not ID=USD, as h20=1.1")
    return prices


READERS = {"prices": prices_of, "request_rate": rate_of}


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "procure",
        help_text="Which system serves a demand cheapest? Devices, cost and power, and what flips it.",
        readers=READERS,
    )
    def procure(question: Purchase, output: Output) -> None:
        from roofline_afd.analysis.purchase.services import procure as analyse  # not for --help

        output.deliver(analyse(question))
