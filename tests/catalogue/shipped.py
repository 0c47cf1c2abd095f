"""The shipped hardware records, as the tests look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.store import Catalogue

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Price, Quantity, Record

CATALOGUE = Catalogue()
KINDS = ("accelerator", "interconnect", "system")
RECORDS = {(kind, name): CATALOGUE.record(kind, name) for kind in KINDS for name in CATALOGUE.ids(kind)}
ACCELERATORS = {name: record for (kind, name), record in RECORDS.items() if kind == "accelerator"}
INTERCONNECTS = {name: record for (kind, name), record in RECORDS.items() if kind == "interconnect"}
SYSTEMS = {name: record for (kind, name), record in RECORDS.items() if kind == "system"}
QUANTITIES = [quantity for record in RECORDS.values() for quantity in record.quantities.values()]
PRICES = [(name, price) for name, record in ACCELERATORS.items() for price in record.prices]

INCOMPLETE = {
    "cerebras-wse-3": {"bf16_tflops or fp8_tflops or int8_tops or fp4_tflops", "scale_up_gb_per_s"},
    "groq-lpu": {"scale_up_gb_per_s", "devices_per_node"},
    "p800": {
        "bf16_tflops or fp8_tflops or int8_tops or fp4_tflops",
        "memory_gb_per_s",
        "scale_up_gb_per_s",
    },
    "ppu": {"memory_gb_per_s"},
    "ppu-al128": {"memory_gb_per_s", "devices_per_node"},
    "rubin-cpx": {"devices_per_node", "scale_up_domain_devices"},
}
INCOMPLETE["p800-tianchi-256"] = INCOMPLETE["p800-tianchi-512"] = INCOMPLETE["p800"]


def value(kind: str, name: str, key: str) -> float:
    return RECORDS[kind, name].quantities[key].value


def accelerator(name: str, key: str) -> float:
    return value("accelerator", name, key)


def figures(quantity: Quantity | Price) -> set[float]:
    return {quantity.value, *(other.value for other in quantity.alternatives)}


def with_both(first: str, second: str) -> list[Record]:
    return [record for record in ACCELERATORS.values() if {first, second} <= set(record.quantities)]
