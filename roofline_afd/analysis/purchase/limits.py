"""What a fleet may draw and cost, and how far the demand is to grow: which fleets keep to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.prices import PURCHASE
from roofline_afd.serving.checks import finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from roofline_afd.analysis.purchase.questions import DecodePurchase

POWER, BUDGET = "power limit", "budget"
GROWN = ("n_devices_sold", "power_kw", "usd_per_month", "capex_usd")
"""What is told of the fleet of a demand that has grown."""
PERCENT = 100.0


class Limits(NamedTuple):
    """What a fleet may draw [kW] and cost [USD a month, or USD to buy], and growth of the demand [1]."""

    power_kw: float | None
    budget_usd: float | None
    growth: float | None
    spent: str
    """Key of a row that the budget is held against."""

    def keys(self) -> dict[str, Any]:
        """Return what the inputs of an answer tell of it."""
        percent = None if self.growth is None else self.growth * PERCENT
        return {"power_limit_kw": self.power_kw, "budget_usd": self.budget_usd, "growth_percent": percent}

    def columns(self) -> tuple[str, ...]:
        """Return the columns of a table that tell of them."""
        asked = (
            (("fits_power_limit",), self.power_kw),
            ((self.spent, "fits_budget"), self.budget_usd),
            (("n_devices_sold_grown", "power_kw_grown", f"{self.spent}_grown"), self.growth),
            (("fits_grown",), self.growth if self._limited else None),
        )
        return tuple(key for keys, value in asked if value is not None for key in keys)

    @property
    def _limited(self) -> bool:
        return self.power_kw is not None or self.budget_usd is not None

    def apply(self, row: dict[str, Any], grown: Callable[[float], Mapping[str, Any]]) -> dict[str, Any]:
        """Return a row with whether it keeps the limits, or what is left of one that does not.

        Parameters
        ----------
        row : dict
            A feasible row.
        grown : callable
            Returns the row of the fleet for so many times the demand.

        Returns
        -------
        dict
            The row with what is told of limits and growth; `system`, `mode`, `feasible` and `binding` alone
            where a limit rules it out.
        """
        broken = self._broken(row)
        if broken:
            binding = "; ".join(broken)
            return {"system": row["system"], "mode": row["mode"], "feasible": False, "binding": binding}
        blank = {"fits_power_limit": None, "fits_budget": None}
        later = dict.fromkeys((*(f"{key}_grown" for key in GROWN), "fits_grown"))
        told = blank | {
            key: True
            for key, limit, value in (
                ("fits_power_limit", self.power_kw, row["power_kw"]),
                ("fits_budget", self.budget_usd, row[self.spent]),
            )
            if limit is not None and value is not None
        }
        if self.growth is not None:
            other = grown(1.0 + self.growth)
            later |= {f"{key}_grown": other[key] for key in GROWN}
            known = self._known(other)
            later["fits_grown"] = (
                False if self._broken(other) else (True if known and self._limited else None)
            )
        return {**row, **told, **later}

    def _known(self, row: Mapping[str, Any]) -> bool:
        limits = ((self.power_kw, "power_kw"), (self.budget_usd, self.spent))
        return all(limit is None or row[key] is not None for limit, key in limits)

    def _broken(self, row: Mapping[str, Any]) -> list[str]:
        """Return the limits that a fleet breaks, in words."""
        unit = "USD a month" if self.spent == "usd_per_month" else "USD to buy"
        limits = (
            (POWER, self.power_kw, row["power_kw"], "kW"),
            (BUDGET, self.budget_usd, row[self.spent], unit),
        )
        return [
            f"{name}: {value:,.0f} {unit}, {limit:,.0f} allowed"
            for name, limit, value, unit in limits
            if limit is not None and value is not None and value > limit
        ]

    def words(self, best: Mapping[str, Any]) -> str:
        """Return whether the best fleet keeps the limits, now and with a demand that has grown."""
        text = ""
        unknown = []
        for name, limit, key in (
            (f"{self.power_kw or 0:,.0f} kW", self.power_kw, "fits_power_limit"),
            (f"{self.budget_usd or 0:,.0f} {self._unit}", self.budget_usd, "fits_budget"),
        ):
            if limit is None:
                continue
            if best[key]:
                text += f"{' and' if text else '; fits'} {name}"
            else:
                unknown.append(name)
        if unknown:
            text += f"; whether it fits {' and '.join(unknown)} is not known"
        if self.growth is None:
            return text
        later = [f"{best['n_devices_sold_grown']:,} devices"]
        if best["power_kw_grown"] is not None:
            later.append(f"{best['power_kw_grown']:,.0f} kW")
        spent = best[f"{self.spent}_grown"]
        if spent is not None:
            later.append(f"{spent:,.0f} {self._unit}")
        text += f"; at {self.growth:+.0%} demand {', '.join(later)}"
        if best["fits_grown"] is None:
            return text
        return text + (", which still fits" if best["fits_grown"] else ", which no longer fits")

    @property
    def _unit(self) -> str:
        return "USD a month" if self.spent == "usd_per_month" else "USD to buy"

    def notes(self) -> list[str]:
        """Return how the limits are meant."""
        found = []
        if self._limited:
            found.append(
                "limits hold for the cheapest fleet of each system and mode, idle devices of sold nodes or "
                "racks in it; a fleet whose power or cost is not known is not ruled out"
            )
        if self.budget_usd is not None:
            what = "to buy devices" if self.spent == "capex_usd" else "a month of 730 hours"
            found.append(f"the budget is in USD {what}")
        if self.growth is not None:
            found.append("a fleet that grows takes more replicas; whether it fits then rules nothing out")
        return found


def limits_of(question: DecodePurchase) -> Limits:
    """Return the limits a buyer sets.

    Parameters
    ----------
    question : DecodePurchase
        What is asked.

    Returns
    -------
    Limits
        Checked.

    Raises
    ------
    InputError
        If a value is out of bounds.
    """

    def bound(name: str, value: float | None) -> float | None:
        return None if value is None else finite(name, value, above=0, below=1e15)

    percent = question.growth
    growth = None if percent is None else finite("--growth", percent, above=-100, most=10_000) / PERCENT
    return Limits(
        bound("--power-limit-kw", question.power_limit_kw),
        bound("--budget", question.budget),
        growth,
        "capex_usd" if question.price_basis == PURCHASE else "usd_per_month",
    )


def ruled_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fleets that limits rule out, each in words.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of an answer.

    Returns
    -------
    list of str
        System, mode and the limits broken.
    """
    return [
        f"{row['system']}, {row['mode']}: {row['binding']}"
        for row in rows
        if not row["feasible"] and str(row["binding"]).startswith((POWER, BUDGET))
    ]
