"""`load`: what requests see that come to a deployment at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.requests.questions import FROM_TRACE, UnderLoad
from roofline_afd.cli.commands import register
from roofline_afd.cli.options import Output
from roofline_afd.cli.reading import listed
from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf


def _numbers(text: str, option: str) -> list[float]:
    from roofline_afd.cli.reading import scaled  # not for --help

    try:
        return [scaled(part) for part in listed(text, option)]
    except ValueError as error:
        raise InputError(f"{option} {shown(text)} is not a list of numbers a,b,c") from error


def _rates_of(text: str) -> list[float] | str:
    """Read rates of requests: numbers, or those of the trace."""
    return text if text == FROM_TRACE else _numbers(text, "--requests-per-s")


def _day_of(text: str) -> list[float]:
    """Read the profile of a day; parts may be alike."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--day {shown(text)} is not a list of numbers a,b,c") from error


READERS = {"rates": _rates_of, "day": _day_of}


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "load",
        help_text="What do requests see that come at random? Percentiles, goodput and cost over load.",
        readers=READERS,
    )
    def load(question: UnderLoad, output: Output) -> None:
        from roofline_afd.analysis.requests.under_load import under_load as analyse  # not for --help

        output.deliver(analyse(question))
