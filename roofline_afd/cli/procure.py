"""`procure`: candidate systems against a demand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from roofline_afd.analysis.prices import BASES, TERMS
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import QUESTION_PANEL, Candidates, Output, real, whole, word


@dataclasses.dataclass(frozen=True)
class Purchase:
    """Demand and a buyer's assumptions: the parameters of the analysis, by their names."""

    demand: Annotated[float | None, real("Output tokens wanted a second.", "TOKENS/S")] = None
    users: Annotated[
        int | None,
        whole("Users served at once, instead of --demand; with --user-tokens-per-s."),
    ] = None
    user_tokens_per_s: Annotated[
        float | None,
        real("Tokens a second of one user, which limits the time per output token.", "TOKENS/S"),
    ] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Requests with times, instead of --demand: mean output tokens a second, and mean context.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    trace_scale: Annotated[float | None, real("Factor on the arrivals of --trace. Default: 1.")] = None
    price_basis: Annotated[str | None, word("Prices of devices. Default: rent.", *BASES)] = None
    price_terms: Annotated[
        str | None,
        word(
            "Terms of the prices. Default: those that most systems have.",
            *dict.fromkeys(term for terms in TERMS.values() for term in terms),
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
    years: Annotated[float | None, real("Years a purchase is written off over. Default: 4.", "YEARS")] = None
    power_usd_per_kwh: Annotated[
        float | None, real("Price of power, for purchase. Default: 0.08.", "USD")
    ] = None
    pue: Annotated[
        float | None,
        real("Power of the site over that of devices known by rated power. Default: 1.3."),
    ] = None
    utilization: Annotated[
        float | None, real("Mean demand over the demand the fleet is built for. Default: 1.")
    ] = None
    cny_per_usd: Annotated[
        float | None, real("Exchange rate; prices in CNY are left out without it.", "CNY")
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


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "procure",
        help_text="Which system serves a demand cheapest? Devices, cost and power, and what flips it.",
    )
    def procure(candidates: Candidates, purchase: Purchase, output: Output) -> None:
        from roofline_afd.analysis.purchase.procurement import procure as analyse  # not for --help

        output.deliver(analyse(candidates.scenarios, **asked(purchase)))
