"""What the devices of a fleet cost and draw, on a buyer's assumptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.prices import (
    BASES,
    PURCHASE,
    TERMS,
    Power,
    describe_power,
    describe_price,
    power_of,
    price_of,
    terms_of,
)
from roofline_afd.analysis.purchase.candidates import is_pair
from roofline_afd.catalogue.records import GIVEN
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.physics import economics
from roofline_afd.serving.checks import choice, finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.analysis.purchase.questions import DecodePurchase
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario

CNY = "CNY"
HOURS_PER_MONTH = economics.HOURS_PER_YEAR / 12


class Buyer(NamedTuple):
    """A buyer's assumptions: basis, terms, years [1], USD, power at the site over that of devices [1]."""

    basis: str
    terms: str
    given: Mapping[str, float]
    """Prices of devices by system id, instead of the catalogue's: USD/h, for purchase USD."""
    years: float
    power_usd_per_kwh: float
    pue: float
    utilization: float
    """Mean demand over the demand the fleet is built for [1]."""
    cny_per_usd: float | None


class Device(NamedTuple):
    """What one device of a system costs and draws; None where nobody says."""

    price: float | None
    power: Power | None
    quote: dict[str, Any] | None = None
    """The price as it was found: value, unit, terms, date, kind."""


def buyer_of(question: DecodePurchase, also: Iterable[System] = ()) -> Buyer:
    """Return a buyer's assumptions, checked, the terms chosen so that most candidates have a price.

    Parameters
    ----------
    question : DecodePurchase
        Candidates and assumptions.
    also : iterable of System
        Systems besides those of the candidates.

    Returns
    -------
    Buyer
        What costs are made of.

    Raises
    ------
    InputError
        If a value is out of bounds, or a price is of none of the systems.
    """
    basis = choice("--price-basis", question.price_basis, BASES)
    assumed = {
        "years": finite("--years", question.years, above=0),
        "power_usd_per_kwh": finite("--power-usd-per-kwh", question.power_usd_per_kwh, least=0),
        "pue": finite("--pue", question.pue, least=1),
        "utilization": finite("--utilization", question.utilization, above=0, most=1),
    }
    rate = None if question.cny_per_usd is None else finite("--cny-per-usd", question.cny_per_usd, above=0)
    given = dict(question.prices or {})
    sides = (each.side(side) for each in question.scenarios for side in ("attention", "ffn"))
    systems = {system.id: system for system in (*sides, *also)}
    for name, value in given.items():
        if name not in systems:
            raise InputError(f"--price {shown(name)} is none of the systems{nearest(name, sorted(systems))}")
        finite(f"--price {name}", value, above=0)
    terms = question.price_terms
    if terms is not None:
        choice("--price-terms", terms, TERMS[basis])
    return Buyer(basis, terms or terms_of(systems.values(), basis), given, **assumed, cny_per_usd=rate)


def device_of(system: System, buyer: Buyer, notes: list[str]) -> Device:
    """Return price and power of a device, and note where they come from.

    Parameters
    ----------
    system : System
        Whose device.
    buyer : Buyer
        What is assumed.
    notes : list of str
        Is added to.

    Returns
    -------
    Device
        None for what nobody says.
    """
    power = power_of(system)
    without = " with the cost of owning it" if buyer.basis == PURCHASE else ""
    notes.append(
        f"power of {describe_power(system, power)}"
        if power
        else Decisive(f"power of {system.id} is not known: left out{without}")
    )
    unit = "USD" if buyer.basis == PURCHASE else "USD/h"
    if system.id in buyer.given:
        notes.append(f"price of {system.id}: {buyer.given[system.id]:g} {unit} a device, as given")
        quote = {"value": buyer.given[system.id], "unit": unit, "terms": None, "date": None, "kind": GIVEN}
        return Device(buyer.given[system.id], power, quote)
    price = price_of(system, buyer.basis, buyer.terms)
    if price is None:
        other = sorted({found.terms for found in system.prices if found.basis == buyer.basis})
        has = f", only on {', '.join(other)}" if other else ""
        notes.append(
            Decisive(
                f"no {buyer.basis} price of {system.id} on {buyer.terms} terms is known{has}: cost left out; "
                f"give --price {system.id}=USD"
            )
        )
        return Device(None, power)
    if price.unit == CNY and buyer.cny_per_usd is None:
        notes.append(
            Decisive(
                f"price of {describe_price(system, price)}: cost left out; give --cny-per-usd, or "
                f"--price {system.id}=USD"
            )
        )
        return Device(None, power)
    notes.append(f"price of {describe_price(system, price)}")
    quote = {key: getattr(price, key) for key in ("value", "unit", "terms", "date", "kind")}
    return Device(price.value / (buyer.cny_per_usd or 1.0 if price.unit == CNY else 1.0), power, quote)


def hourly_weights(
    scenario: Scenario, devices: Mapping[str, Device], buyer: Buyer
) -> tuple[float, float] | None:
    """Return what a device of each side costs an hour, where they differ and both are known.

    Parameters
    ----------
    scenario : Scenario
        The question about a candidate.
    devices : mapping of str to Device
        What one costs and draws, by side.
    buyer : Buyer
        What is assumed.

    Returns
    -------
    tuple of float or None
        Of attention and of the FFN [USD/h].
    """
    if not is_pair(scenario):
        return None
    attention, ffn = (cost_of({side: 1}, devices, buyer)["usd_per_hour"] for side in ("attention", "ffn"))
    return None if attention is None or ffn is None else (attention, ffn)


def cost_of(
    counts: Mapping[str, int], devices: Mapping[str, Device], buyer: Buyer
) -> dict[str, float | None]:
    """Return what the fleet costs an hour, and to buy; None where a price is not known.

    Parameters
    ----------
    counts : mapping of str to int
        Devices by side, or by the id of their system [1].
    devices : mapping of str to Device
        Likewise, what one costs and draws.
    buyer : Buyer
        What is assumed.

    Returns
    -------
    dict
        `usd_per_hour` [USD/h], `capex_usd` [USD].
    """
    used = [side for side in counts if counts[side]]
    prices = {side: devices[side].price for side in used}
    blank: dict[str, float | None] = {"usd_per_hour": None, "capex_usd": None}
    known = {side: price for side, price in prices.items() if price is not None}
    if len(known) < len(used):
        return blank
    total = sum(counts[side] * price for side, price in known.items())
    if buyer.basis != PURCHASE:
        return {**blank, "usd_per_hour": total}
    watts = watts_of(counts, devices, buyer)
    if watts is None:
        return {**blank, "capex_usd": total}
    hourly = economics.ownership_usd_per_hour(
        purchase_usd=total,
        years=buyer.years,
        power=watts,
        power_usd_per_kwh=buyer.power_usd_per_kwh,
        pue=1.0,  # in the watts where they are of the devices alone
    )
    return {"usd_per_hour": float(hourly), "capex_usd": total}


def monthly(usd_per_hour: float | None) -> float | None:
    """Return what a cost by the hour is a month; None for none.

    Parameters
    ----------
    usd_per_hour : float or None
        What a fleet costs [USD/h].

    Returns
    -------
    float or None
        Of 730 hours [USD/month].
    """
    return None if usd_per_hour is None else usd_per_hour * HOURS_PER_MONTH


def watts_of(counts: Mapping[str, int], devices: Mapping[str, Device], buyer: Buyer) -> float | None:
    """Return the power of the fleet at the site; None where that of a device is not known.

    Parameters
    ----------
    counts : mapping of str to int
        Devices by side, or by the id of their system [1].
    devices : mapping of str to Device
        Likewise, what one costs and draws.
    buyer : Buyer
        What is assumed.

    Returns
    -------
    float or None
        Power [W].
    """
    total = 0.0
    for side, count in counts.items():
        power = devices[side].power
        if count and power is None:
            return None
        if count and power is not None:
            total += count * power.at_site(buyer.pue)
    return total


def power_basis(counts: Mapping[str, int], devices: Mapping[str, Device]) -> str | None:
    """Return what the watts are of.

    Parameters
    ----------
    counts : mapping of str to int
        Devices by side, or by the id of their system [1].
    devices : mapping of str to Device
        Likewise, what one costs and draws.

    Returns
    -------
    str or None
        `provisioned` with host and network, `rated` of the devices, or both; None where one is not known.
    """
    used = [devices[side].power for side in counts if counts[side]]
    kinds = {power and ("provisioned" if power.provisioned else "rated") for power in used}
    return None if None in kinds else " and ".join(sorted(kind for kind in kinds if kind))


def basis_note(buyer: Buyer) -> str:
    """Return what the costs are made of.

    Parameters
    ----------
    buyer : Buyer
        What is assumed.

    Returns
    -------
    str
        A note.
    """
    text = f"prices: {buyer.basis}, {buyer.terms} terms where the catalogue has them; "
    if buyer.basis == PURCHASE:
        text += (
            f"devices alone, written off over {buyer.years:g} years, power at "
            f"{buyer.power_usd_per_kwh:g} USD per kWh; hosts, network, staff and interest are not in it; "
        )
    text += f"PUE {buyer.pue:g} on devices whose provisioned power is not known; "
    return text + f"tokens sold are {buyer.utilization:.0%} of what the fleet is built for"
