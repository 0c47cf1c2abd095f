"""Prices and power of devices, as the catalogue has them: bases and terms are never mixed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.records import Price

RENT, TCO, PURCHASE = "rent", "tco", "purchase"
BASES = (RENT, TCO, PURCHASE)
TERMS = {
    RENT: ("three-year", "on-demand", "index", "list"),
    TCO: ("hyperscaler", "neocloud"),
    PURCHASE: ("street", "list"),
}
"""Terms of each basis, those asked for first."""


PUE = 1.3
"""Power of a site over that of its devices [1], of kind estimated: to be replaced by the buyer's own."""


class Power(NamedTuple):
    """Power of one device [W], and whether its share of host, network and cooling is in it."""

    watts: float
    provisioned: bool

    def at_site(self, pue: float = PUE) -> float:
        """Return the power that a device takes of its site [W]."""
        return self.watts * (1.0 if self.provisioned else pue)


def terms_of(systems: Iterable[System], basis: str) -> str:
    """Return the terms on which most systems have a price of a basis; of equals the first of `TERMS`."""
    held = Counter(
        terms
        for system in systems
        for terms in {price.terms for price in system.prices if price.basis == basis}
    )
    return max(TERMS[basis], key=lambda terms: (held[terms], -TERMS[basis].index(terms)))


def price_of(system: System, basis: str, terms: str) -> Price | None:
    """Return the newest price of a device on a basis and terms; None where there is none."""
    found = [price for price in system.prices if price.basis == basis and price.terms == terms]
    return max(found, key=lambda price: price.date, default=None)


def power_of(system: System) -> Power | None:
    """Return the power of a device: as provisioned where that is known, else as rated, else None."""
    provisioned, rated = (system.quantities.get(key) for key in ("provisioned_kw", "tdp_w"))
    if provisioned is not None:
        return Power(provisioned.value * 1e3, provisioned=True)
    return None if rated is None else Power(rated.value, provisioned=False)


def describe_price(system: System, price: Price) -> str:
    """Return a price with its terms, date and kind."""
    said = f"{price.basis}, {price.terms}, {price.date}, {price.kind}"
    return f"{system.id}: {price.value:g} {price.unit} a device ({said})"


def describe_power(system: System, power: Power) -> str:
    """Return a power with what it counts."""
    what = "provisioned, host, network and cooling in it" if power.provisioned else "rated, the device alone"
    return f"{system.id}: {power.watts:,.0f} W a device ({what})"
