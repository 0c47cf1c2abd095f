"""Prices of the shipped hardware: dated, each under its own basis, and those of an own record."""

from __future__ import annotations

import csv
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.reading import RecordError, parse_record
from roofline_afd.catalogue.store import Catalogue
from tests.catalogue.shipped import ACCELERATORS, CATALOGUE, PRICES
from tests.conftest import SHARED, require

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Price


@pytest.mark.parametrize(("name", "price"), PRICES, ids=lambda item: item if isinstance(item, str) else "")
def test_prices_are_dated_and_never_mixed(name: str, price: Price) -> None:
    """Rent and cost are USD per hour, purchase is money; each has a date, a kind, a source and its terms."""
    assert (price.unit == "USD/h") == (price.basis in {"rent", "tco"}), name
    assert re.fullmatch(r"20\d\d(-\d\d){0,2}", price.date)
    assert price.sources
    assert (price.terms in {"hyperscaler", "neocloud"}) == (price.basis == "tco")
    if price.kind in {"derived", "estimated"}:
        assert price.note


def test_cost_of_different_owners_stays_apart() -> None:
    """A neocloud pays more for the same hour than a hyperscaler: two entries, never an average."""
    owners = {
        name: {price.terms: price.value for price in record.prices if price.basis == "tco"}
        for name, record in ACCELERATORS.items()
        if any(price.basis == "tco" for price in record.prices)
    }
    assert len(owners) == 9
    assert all(set(costs) == {"hyperscaler", "neocloud"} for costs in owners.values())
    assert all(costs["hyperscaler"] < costs["neocloud"] for costs in owners.values())


@pytest.mark.parametrize("name", ["b300", "gb300"])
def test_placeholder_rents_are_estimates(name: str) -> None:
    """The Ultra parts' rents are 1.2 times those of the parts before them, a placeholder of the source."""
    (rent,) = (price for price in ACCELERATORS[name].prices if price.basis == "rent")
    (before,) = (price for price in ACCELERATORS[name.replace("300", "200")].prices if price.basis == "rent")
    assert rent.kind == "estimated"
    assert rent.value == pytest.approx(1.2 * before.value, rel=1e-3)


def test_prices_reach_the_system() -> None:
    """A system has its accelerator's prices."""
    assert load_system("h100", catalogue=CATALOGUE).prices == ACCELERATORS["h100"].prices
    assert load_system("h800", catalogue=CATALOGUE).prices == ()


def test_published_prices_are_those_of_the_records() -> None:
    """Every published price is in its record, to the cent, and no other of its terms.

    Rents for three years and costs of owning, of two kinds of owners; of purchases nothing is published. The
    same commit is dated by one zone or another: a day apart at most.
    """
    table = SHARED / "data" / "prices.csv"
    require(present=table.is_file(), what=str(table))
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    published = {
        (row["system"], row["basis"], row["terms"]): float(row["usd_per_device_hour"]) for row in rows
    }
    assert {basis for _, basis, _ in published} == {"rent", "tco"}
    kinds = {(basis, terms) for _, basis, terms in published}
    held = {
        (name, price.basis, price.terms): price
        for name in sorted({name for name, *_ in published})
        for price in load_system(name, catalogue=CATALOGUE).prices
        if (price.basis, price.terms) in kinds
    }
    assert {key: price.value for key, price in held.items()} == published
    (day,) = {date.fromisoformat(row["date"]) for row in rows}
    assert all(abs((date.fromisoformat(price.date) - day).days) <= 1 for price in held.values())


PRICED = """
schema = 1
record = "system"
id = "ours"
name = "Ours"
accelerator = "h100"
scale_up = "nvlink4"
prices = [
  {{ basis = "{basis}", value = 1.9, unit = "{unit}", date = "2026-10", kind = "measured", source = "bill" }},
]
[sources.bill]
title = "our bill"
date = "2026-10"
"""


def test_a_systems_own_price_stands_for_the_accelerators(tmp_path: Path) -> None:
    """A buyer's overlay states the price that applies."""
    (tmp_path / "ours.toml").write_text(PRICED.format(basis="rent", unit="USD/h"), encoding="utf-8")
    overrides = {"devices_per_node": 8.0, "scale_up_domain_devices": 8.0}
    system = load_system("ours", overrides=overrides, catalogue=Catalogue(hardware_db=[tmp_path]))
    (price,) = system.prices
    assert (price.basis, price.value, price.sources[0].title) == ("rent", 1.9, "our bill")


@pytest.mark.parametrize(("basis", "unit"), [("rent", "USD"), ("tco", "CNY"), ("purchase", "USD/h")])
def test_a_price_in_the_wrong_unit_is_refused(basis: str, unit: str) -> None:
    """The schema keeps bases apart."""
    with pytest.raises(RecordError, match=r"prices\.0\.unit: '.*' is not valid"):
        parse_record(PRICED.format(basis=basis, unit=unit).encode(), file="ours.toml")


def test_a_price_names_a_source_of_the_record() -> None:
    """A price without a known source is refused, as any number is."""
    text = PRICED.format(basis="rent", unit="USD/h").replace('source = "bill"', 'source = "bil"')
    with pytest.raises(RecordError, match="unknown source 'bil'; did you mean 'bill'"):
        parse_record(text.encode(), file="ours.toml")
