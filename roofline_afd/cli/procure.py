"""`procure`: candidate systems against a demand."""

from __future__ import annotations

import dataclasses
from pathlib import Path  # noqa: TC003 - typer reads it from the annotations
from typing import Annotated, Any

import typer

from roofline_afd.cli.options import (
    QUESTION_PANEL,
    Candidates,
    Output,
    number,
    register,
    whole_number,
)


def _real(text: str, metavar: str = "NUMBER") -> object:
    """Return an option for a number with this help text."""
    return typer.Option(help=text, metavar=metavar, parser=number, rich_help_panel=QUESTION_PANEL)


def _word(text: str, *words: str) -> object:
    """Return an option for one of a few words with this help text."""
    return typer.Option(
        help=text,
        metavar="|".join(words),
        autocompletion=lambda incomplete: [word for word in words if word.startswith(incomplete)],
        rich_help_panel=QUESTION_PANEL,
    )


@dataclasses.dataclass(frozen=True)
class Purchase:
    """Demand and a buyer's assumptions: the parameters of the analysis, by their names."""

    demand: Annotated[float | None, _real("Output tokens wanted a second.", "TOKENS/S")] = None
    users: Annotated[
        int | None,
        typer.Option(
            help="Users served at once, instead of --demand; with --user-tokens-per-s.",
            metavar="NUMBER",
            parser=whole_number,
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    user_tokens_per_s: Annotated[
        float | None,
        _real("Tokens a second of one user, which limits the time per output token.", "TOKENS/S"),
    ] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Requests with times, instead of --demand: mean output tokens a second, and mean context.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    trace_scale: Annotated[float | None, _real("Factor on the arrivals of --trace. Default: 1.")] = None
    price_basis: Annotated[
        str | None, _word("Prices of devices. Default: rent.", "rent", "tco", "purchase")
    ] = None
    price_terms: Annotated[
        str | None,
        _word(
            "Terms of the prices. Default: those that most systems have.",
            *("three-year", "on-demand", "index", "list", "hyperscaler", "neocloud", "street"),
        ),
    ] = None
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=USD",
            help="Price of a device of a system, in USD per hour, for purchase in USD (repeatable).",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    years: Annotated[float | None, _real("Years a purchase is written off over. Default: 4.", "YEARS")] = None
    power_usd_per_kwh: Annotated[
        float | None, _real("Price of power, for purchase. Default: 0.08.", "USD")
    ] = None
    pue: Annotated[
        float | None, _real("Power of the site over that of devices known by rated power. Default: 1.3.")
    ] = None
    utilization: Annotated[
        float | None, _real("Mean demand over the demand the fleet is built for. Default: 1.")
    ] = None
    cny_per_usd: Annotated[
        float | None, _real("Exchange rate; prices in CNY are left out without it.", "CNY")
    ] = None


def asked(purchase: Purchase) -> dict[str, Any]:
    """Return the keyword arguments of the analysis."""
    from roofline_afd.errors import InputError, shown  # not for --help

    given = {key: value for key, value in vars(purchase).items() if value is not None}
    prices: dict[str, float] = {}
    for text in given.pop("price", ()):
        name, equals, value = (part.strip() for part in text.partition("="))
        if name in prices:
            raise InputError(f"--price {name} is given twice")
        try:
            prices[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"--price {shown(text)} is not ID=USD, as h20=1.1")
    return {**given, "prices": prices}


def add(app: typer.Typer) -> None:
    """Add the command to the program."""

    @register(
        app,
        "procure",
        help_text="Which system serves a demand cheapest? Devices, cost and power, and what flips it.",
    )
    def procure(candidates: Candidates, purchase: Purchase, output: Output) -> None:
        from roofline_afd.analysis.procurement import procure as analyse  # not for --help

        output.deliver(analyse(candidates.scenarios, **asked(purchase)))
