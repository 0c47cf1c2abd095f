"""The sheet of a purchase that computes again: prices to change, and costs that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.analysis.answer import Answer

PURCHASE, CNY = "purchase", "CNY"
HOURS_PER_YEAR, HOURS_PER_MONTH, SECONDS_PER_HOUR = 8760, 730, 3600
MONEY, COUNT, SMALL = "#,##0.00", "#,##0", "0.00##"
HEAD = (
    "system",
    "mode",
    "deployment",
    "devices sold",
    "power [kW]",
    "cost [USD/h]",
    "cost [USD/month]",
)


class Formula(NamedTuple):
    """A cell that a spreadsheet computes, and its number format."""

    text: str
    form: str


class Given(NamedTuple):
    """A number that is to be changed, and its number format."""

    value: float | None
    form: str


def has_costs(answer: Answer) -> bool:
    """Return whether an answer is of fleets with prices.

    Parameters
    ----------
    answer : Answer
        Any.

    Returns
    -------
    bool
        Whether `cost_rows` has something to tell.
    """
    return answer.command == "procure" and "device_prices" in answer.inputs


def cost_rows(answer: Answer) -> list[list[Any]]:
    """Return the rows of a sheet: prices and terms to change, then a line per fleet with its formulas.

    Parameters
    ----------
    answer : Answer
        Of `procure`.

    Returns
    -------
    list of list
        Texts, numbers, `Given` and `Formula`; the first row is a head.
    """
    asked = answer.inputs
    purchase = asked["price_basis"] == PURCHASE
    whole = "requests_per_s" in asked
    rows: list[list[Any]] = [["terms (coloured: to change)", "value", "unit"]]
    places: dict[str, str] = {}

    def put(key: str, label: str, value: object, unit: str) -> None:
        rows.append([label, value, unit])
        places[key] = f"$B${len(rows)}"

    unit = "USD per device" if purchase else "USD per device and hour"
    for name, quote in asked["device_prices"].items():
        price = _usd(quote, asked.get("cny_per_usd"))
        put(f"price {name}", f"price of {name}", Given(price, MONEY), unit)
    if whole:
        put("served", "requests the fleets are built for", asked["requests_per_s"], "1/s")
    else:
        put("served", "demand the fleets are built for", asked["demand_tokens_per_s"], "output tokens/s")
    put("share", "mean load over that the fleet is built for", Given(asked["utilization"], SMALL), "1")
    if purchase:
        put("years", "written off over", Given(asked.get("years"), SMALL), "years")
        put("energy", "price of power", Given(asked.get("power_usd_per_kwh"), SMALL), "USD/kWh")
    per = "cost [USD per thousand requests]" if whole else "cost [USD per million output tokens]"
    rows += [[], [*HEAD, per, "rank by cost"]]
    first = len(rows) + 1
    fleets = list(_fleets(answer))
    last = first + len(fleets) - 1
    for at, (row, counts) in enumerate(fleets, first):
        prices = [places[f"price {name}"] for name in counts]
        spent = "+".join(f"{many}*{price}" for price, many in zip(prices, counts.values(), strict=True))
        known = ",".join(f"ISNUMBER({price})" for price in prices)
        hourly = spent
        if purchase:
            hourly = f"({spent})/({places['years']}*{HOURS_PER_YEAR})+E{at}*{places['energy']}"
        served = f"{places['served']}*{places['share']}*{SECONDS_PER_HOUR}/{1_000 if whole else 1_000_000}"
        each = f'=IF(F{at}="","",F{at}/({served}))'
        rows.append(
            [
                *(row["system"], row["mode"], row["deployment"], row["n_devices_sold"], row["power_kw"]),
                Formula(f'=IF(AND({known}),{hourly},"")', MONEY),
                Formula(f'=IF(F{at}="","",F{at}*{HOURS_PER_MONTH})', COUNT),
                Formula(each, "0.0000"),
                Formula(f'=IF(H{at}="","",RANK(H{at},$H${first}:$H${last},1))', COUNT),
            ]
        )
    return rows


def _usd(quote: Mapping[str, Any] | None, cny_per_usd: float | None) -> float | None:
    """Return a price in USD; None where it is not known, or in another currency without a rate."""
    if quote is None:
        return None
    if quote["unit"].startswith(CNY):
        return quote["value"] / cny_per_usd if cny_per_usd else None
    return float(quote["value"])


def _fleets(answer: Answer) -> Iterator[tuple[Mapping[str, Any], Mapping[str, int]]]:
    """Yield feasible fleets with the devices sold of each system."""
    racks: Sequence[Sequence[Mapping[str, Any]]] | None = answer.picture.get("racks")
    for index, row in enumerate(answer.rows()):
        if not row["feasible"]:
            continue
        counts: dict[str, int] = {}
        if racks is not None:
            for rack in racks[index]:
                many = rack["units"] * rack["unit_devices"]
                counts[rack["system"]] = counts.get(rack["system"], 0) + many
        elif row.get("n_ffn_devices_sold") is not None:
            sides = ("attention", "ffn")
            names = row["system"].split("+")
            counts = {name: row[f"n_{side}_devices_sold"] for side, name in zip(sides, names, strict=True)}
        else:
            counts = {row["system"]: row["n_devices_sold"]}
        yield row, counts
