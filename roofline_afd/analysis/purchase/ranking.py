"""The ranking of candidates, and what would change it: prices that tie them, link speeds that flip them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.prices import PURCHASE
from roofline_afd.analysis.purchase.candidates import candidate_name, is_pair
from roofline_afd.analysis.purchase.fleets import fleet_of
from roofline_afd.physics import economics
from roofline_afd.serving.deployment import AFD, EP, Deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.purchase.costs import Buyer
    from roofline_afd.analysis.purchase.demand import Demand
    from roofline_afd.serving.scenario import Scenario

WIDEST = 16.0
"""Factor either way within which a link speed that flips the ranking is looked for."""
CLOSE = 0.01


def rank(rows: Sequence[dict[str, Any]], buyer: Buyer) -> None:
    """Give each row its rank, the cheapest first, those without a cost after; add what ties them.

    Parameters
    ----------
    rows : sequence of dict
        A row per candidate and mode: `rank` and `break_even_price` are set.
    buyer : Buyer
        What is assumed.
    """
    feasible = [row for row in rows if row["feasible"]]
    costly = [row for row in feasible if row["usd_per_million_tokens"] is not None]
    free = [row for row in feasible if row["usd_per_million_tokens"] is None]
    costly.sort(key=lambda row: (row["usd_per_million_tokens"], row["n_devices"]))
    free.sort(key=lambda row: row["n_devices_sold"])
    for index, row in enumerate([*costly, *free]):
        row["rank"] = index + 1
    for row in rows:
        row.setdefault("rank", None)
    if not costly:
        return
    for row in feasible:
        row["break_even_price"] = _break_even_price(row, costly, buyer)


def _break_even_price(
    row: Mapping[str, Any], costly: Sequence[Mapping[str, Any]], buyer: Buyer
) -> float | None:
    """Return the price of a device at which a row costs as much as the best of the others.

    Only where all devices have one price: for pairs of systems there is no single one. Pairs that have the
    system on one side are no rivals: their cost would move with the price.
    """
    rivals = rivals_of(row, costly)
    if not rivals or "+" in row["system"]:
        return None
    target = rivals[0]["usd_per_hour"]
    if buyer.basis != PURCHASE:
        return float(target / row["n_devices_sold"])
    if row["power_kw"] is None:
        return None
    affordable = economics.affordable_purchase_usd(
        usd_per_hour=target,
        years=buyer.years,
        power=row["power_kw"] * 1e3,
        power_usd_per_kwh=buyer.power_usd_per_kwh,
        pue=1.0,  # in the power where it is of the devices alone
    )
    return float(affordable) / row["n_devices_sold"] if affordable > 0 else None


def rivals_of(row: Mapping[str, Any], costly: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of other systems whose cost does not depend on the price of this one.

    Parameters
    ----------
    row : mapping
        A row of the answer.
    costly : sequence of mapping
        Rows that have a cost.

    Returns
    -------
    list of mapping
        In the same order.
    """
    return [other for other in costly if row["system"] not in other["system"].split("+")]


def flips_of(
    scenarios: Sequence[Scenario], rows: Sequence[Mapping[str, Any]], wanted: Demand
) -> list[dict[str, Any]]:
    """Return the link speeds at which the cheapest and the next system change places.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate.
    rows : sequence of mapping
        Rows of the answer, by rank.
    wanted : Demand
        What the fleets are built for.

    Returns
    -------
    list of dict
        `system`, `input`, its `value`, and where it `flips_at`: None where that is more than a factor of 16
        away [GB/s].
    """
    order = list(dict.fromkeys(row["system"] for row in rows if row["usd_per_million_tokens"] is not None))
    if len(order) < 2:  # noqa: PLR2004 - nothing to change places with
        return []
    known = {candidate_name(scenario): scenario for scenario in scenarios}
    best = {name: next(row for row in rows if row["system"] == name) for name in order[:2]}
    found = []
    for name, other, faster in ((order[0], order[1], False), (order[1], order[0], True)):
        scenario = known[name]
        if is_pair(scenario):
            continue
        key = "scale_up_gb_per_s" if scenario.system.superpod else "scale_out_gb_per_s"
        if key not in scenario.system.quantities:
            continue
        base = scenario.system.quantities[key].value
        price = best[name]["usd_per_hour"] / best[name]["n_devices_sold"]
        value = _flip(
            *(scenario, key, base, wanted), affordable=best[other]["usd_per_hour"] / price, faster=faster
        )
        found.append({"system": name, "input": key, "value": base, "flips_at": value})
    return found


def _flip(
    scenario: Scenario, key: str, base: float, wanted: Demand, *, affordable: float, faster: bool
) -> float | None:
    """Return the link speed at which a fleet needs more, or less, devices than the rival's cost buys.

    None where that is more than a factor of 16 away.
    """

    def reached(value: float) -> bool:
        question = changed(scenario, {key: value})
        for mode in (EP, AFD):
            # what has fewer tokens a device needs more devices
            least = wanted.tokens_per_s / affordable * (1.0 - 1e-9)
            fleet = fleet_of(Deployments(question, mode), wanted, at_least=least)
            if fleet is None:
                continue
            count = sum(fleet.sold.values())
            if count < affordable if faster else count <= affordable:
                return faster
        return not faster

    low, high = base, base * WIDEST if faster else base / WIDEST
    if not reached(high):
        return None
    while abs(math.log(high / low)) > CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
