"""The shipped hardware records: their provenance, the known traps, and the cross-checks between figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.hardware import system_parts
from tests.catalogue.shipped import (
    ACCELERATORS,
    CATALOGUE,
    INTERCONNECTS,
    PRICES,
    QUANTITIES,
    RECORDS,
    accelerator,
    figures,
    value,
    with_both,
)

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Record


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: f"{record.record}-{record.id}")
def test_every_number_names_kind_and_dated_source(record: Record) -> None:
    """Every load-bearing number has kind, source and date; what is derived or estimated says why."""
    for quantity in record.quantities.values():
        assert quantity.sources, quantity.key
        assert all(source.title and source.date for source in quantity.sources), quantity.key
        if quantity.kind in {"derived", "estimated"}:
            assert quantity.note, f"{quantity.key} is {quantity.kind} and does not say why"


def test_estimates_are_visible() -> None:
    """Estimates keep their kind up to the merged values of a system, where results look for it."""
    parts = system_parts("rubin-nvl72", catalogue=CATALOGUE)
    estimated = {key for key, quantity in parts.quantities.items() if quantity.kind == "estimated"}
    assert estimated == {
        "fp4_tflops",
        "memory_driver_mib",
        "tdp_w",
        "scale_out_gb_per_s",
        "scale_out_latency_us",
    }


def test_secondary_readings_are_never_datasheet_or_measured() -> None:
    """A page nobody kept is at best `reported`."""
    for quantity in QUANTITIES:
        if all(source.note == "secondary reading" for source in quantity.sources):
            assert quantity.kind not in {"datasheet", "measured"}, (quantity.record, quantity.key)


def test_what_nobody_published_is_absent() -> None:
    """Prices, design powers and efficiencies that were not found stay absent."""
    priced = {name for name, _ in PRICES}
    unpriced = {"h20", "h800", "l40s", "ascend-950pr", "ascend-950dt", "tpu-v6e", "tpu-v7", "trainium2"}
    assert not priced & (unpriced | {"trainium3", "rubin", "mi455x", "p800", "ppu"})
    for name, record in ACCELERATORS.items():
        if name in {"ascend-910c", "ascend-910c-die", "ascend-950dt"} or name.startswith(("tpu", "train")):
            assert "tdp_w" not in record.quantities
    for name, record in INTERCONNECTS.items():
        if name.startswith(("roce", "spectrum", "ultra", "slingshot", "efa-v2", "efa-v3")):
            assert "measured_efficiency" not in record.quantities


# --------------------------------------------------------------------------------------------- the traps


def test_trap_sparse_is_never_stored_as_dense() -> None:
    """Trap 1: tensor rates quoted with 2:4 sparsity are twice the dense ones."""
    checked = 0
    for quantity in QUANTITIES:
        found = re.search(r"([\d.]+) with 2:4 sparsity", quantity.note)
        if found:
            checked += 1
            assert quantity.value == pytest.approx(float(found[1]) / 2, rel=0.02), quantity
    assert checked >= 14
    sparse = {
        "a100": 624,
        "h100": 1979,
        "h800": 1979,
        "h200": 1979,
        "l40s": 733,
        "b200": 4500,
        "gb200": 5000,
        "trainium2": 2563,
        "trainium3": 2517,
    }
    for name, rate in sparse.items():
        assert rate not in figures(ACCELERATORS[name].quantities["bf16_tflops"]), name


def test_trap_blackwell_ultra_breaks_the_sparsity_rule() -> None:
    """Trap 1: its dense FP4 rate is more than half of the 18 PF sparse one, and INT8 is nearly gone."""
    assert accelerator("b300", "fp4_tflops") > 18000 / 2
    for name in ("b300", "gb300"):
        assert accelerator(name, "int8_tops") < accelerator(name, "fp8_tflops") / 20


def test_trap_totals_of_both_directions_are_halved() -> None:
    """Trap 2: NVLink, UB, UALink and ICI totals are sums over both directions."""
    checked = 0
    for record in INTERCONNECTS.values():
        quantity = record.quantities.get("gb_per_s")
        found = quantity and re.search(r"(\d+) both directions", quantity.note)
        if quantity and found:
            checked += 1
            assert quantity.value == pytest.approx(float(found[1]) / 2), record.id
    assert checked >= 11
    assert value("interconnect", "ub2-atlas950", "gb_per_s") == pytest.approx(16.3e6 / 8192 / 2, rel=0.01)


@pytest.mark.parametrize(
    ("name", "total"), [("neuronlink-v3", 1280), ("neuronlink-v4", 2560), ("ppu-link", 700)]
)
def test_trap_unstated_direction_is_an_estimate(name: str, total: float) -> None:
    """Trap 2: where no direction is stated, half of the figure is an assumption and says so."""
    quantity = INTERCONNECTS[name].quantities["gb_per_s"]
    assert quantity.value == total / 2
    assert quantity.kind == "estimated"
    assert total in figures(quantity)


def test_trap_device_is_a_die_on_cloudmatrix_and_a_package_on_rubin() -> None:
    """Trap 3: Huawei's ranks are dies; NVL144 and NVL72 count dies and packages of the same rack."""
    cloudmatrix, rubin = (
        system_parts(name, catalogue=CATALOGUE) for name in ("cloudmatrix384", "rubin-nvl72")
    )
    assert cloudmatrix.accelerator.text("device_unit") == "die"
    assert cloudmatrix.quantities["scale_up_domain_devices"].value == 2 * 384
    assert rubin.accelerator.text("device_unit") == "package"
    assert rubin.quantities["scale_up_domain_devices"].value == 72


@pytest.mark.parametrize(
    "key", ["bf16_tflops", "int8_tops", "memory_gb", "memory_gb_per_s"], ids=lambda key: key
)
def test_trap_package_is_two_dies(key: str) -> None:
    """Traps 3 and 4: every figure of the 910C package is twice that of a die, links included."""
    assert accelerator("ascend-910c", key) == pytest.approx(2 * accelerator("ascend-910c-die", key))
    assert value("interconnect", "ub-cloudmatrix384", "gb_per_s") == 784 / 2 / 2


def test_trap_cube_rate_is_the_peak_of_a_matrix_product() -> None:
    """Trap 4: Ascend peaks that count the vector units lie about 6 % higher, and are alternatives only."""
    with_vector = {
        ("ascend-910b2", "bf16_tflops"): 376,
        ("ascend-910c", "bf16_tflops"): 752,
        ("ascend-950pr", "bf16_tflops"): 486,
        ("ascend-950pr", "fp8_tflops"): 919,
        ("ascend-950pr", "fp4_tflops"): 1784,
        ("ascend-950dt", "bf16_tflops"): 547,
        ("ascend-950dt", "fp8_tflops"): 1034,
        ("ascend-950dt", "fp4_tflops"): 2007,
    }
    for (name, key), total in with_vector.items():
        quantity = ACCELERATORS[name].quantities[key]
        assert quantity.value < total, (name, key)
        assert total in figures(quantity), (name, key)
    assert accelerator("ascend-950dt", "fp8_tflops") < 1000 < 2 * accelerator("ascend-950dt", "fp8_tflops")


@pytest.mark.parametrize("record", INTERCONNECTS.values(), ids=lambda record: record.id)
def test_trap_one_pair_gets_no_more_than_the_aggregate(record: Record) -> None:
    """Trap 5: a full mesh gives one of seven links to a pair, a torus the widest of two in each dimension."""
    if not {"gb_per_s", "pair_gb_per_s"} <= set(record.quantities):
        assert record.text("topology") not in {"full-mesh", "torus"}
        return
    links = record.quantities["gb_per_s"].value / record.quantities["pair_gb_per_s"].value
    if record.text("topology") == "torus":
        rates = record.data["slices"]["link_gb_per_s"]
        assert record.quantities["gb_per_s"].value == 2 * sum(rates)
        assert record.quantities["pair_gb_per_s"].value == max(rates)
    else:
        assert links == pytest.approx({"full-mesh": 7, "switched": 1}[record.text("topology")])


def test_tiers_make_up_the_bandwidth() -> None:
    """The links of all tiers are those of a device: 256 in the server, 320 in the rack, 128 between racks."""
    tiers = INTERCONNECTS["neuronlink-v4-gen2"].data["tiers"]
    assert sum(tier["gb_per_s"] for tier in tiers) == value("interconnect", "neuronlink-v4-gen2", "gb_per_s")
    assert [tier["devices"] for tier in tiers] == [4, 72, 144]


def test_trap_mi355x_links() -> None:
    """Trap 6: 7 links of 76.8, not 576."""
    quantity = INTERCONNECTS["xgmi-mi355x"].quantities["gb_per_s"]
    assert quantity.value == pytest.approx(7 * 76.8)
    assert 576 in figures(quantity)


@pytest.mark.parametrize("record", ACCELERATORS.values(), ids=lambda record: record.id)
def test_a_driver_reports_about_what_the_maker_states(record: Record) -> None:
    """At least the maker's figure in decimal bytes, at most the same number of GiB."""
    if not {"memory_gb", "memory_driver_mib"} <= set(record.quantities):
        return
    stated, driver = record.quantities["memory_gb"], record.quantities["memory_driver_mib"]
    assert stated.si <= driver.si <= stated.value * 2**30
    assert float(driver.value).is_integer()


@pytest.mark.parametrize(
    ("name", "mib"),
    [("h100", 81559), ("h800", 81559), ("h200", 143771), ("h20", 97871), ("a100", 81920), ("gb200", 189471)],
)
def test_memory_is_what_drivers_report(name: str, mib: float) -> None:
    """The figures people read off their devices, in MiB."""
    assert accelerator(name, "memory_driver_mib") == mib
    assert ACCELERATORS[name].quantities["memory_driver_mib"].kind == "measured"


def test_memory_of_a_part_whose_driver_was_never_read_is_an_estimate() -> None:
    """It stands beside the maker's figure, marked, and means as many decimal bytes."""
    quantities = system_parts("rubin-nvl72", catalogue=CATALOGUE).quantities
    assert quantities["memory_driver_mib"].kind == "estimated"
    assert quantities["memory_driver_mib"].si == quantities["memory_gb"].si


@pytest.mark.parametrize(
    ("name", "usable", "raw"),
    [("b200", 180, 192), ("gb200", 186, 192), ("b300", 270, 288), ("gb300", 279, 288)],
)
def test_trap_memory_is_what_a_process_can_use(name: str, usable: float, raw: float) -> None:
    """Trap 7: Blackwell's usable memory is below the raw one."""
    assert accelerator(name, "memory_gb") == usable < raw


def test_trap_b200_memory_bandwidth_is_disputed() -> None:
    """Trap 7: 8.0 TB/s against 7.7 in another table."""
    assert figures(ACCELERATORS["b200"].quantities["memory_gb_per_s"]) == {8000, 7700}


def test_trap_blackwell_network_ports() -> None:
    """Trap 8: 400G per GB200 (800G in one source), 800G per GB300 and B300."""
    quantities = {
        name: system_parts(name, catalogue=CATALOGUE).quantities["scale_out_gb_per_s"]
        for name in ("gb200-nvl72", "gb300-nvl72", "b300")
    }
    assert quantities["gb200-nvl72"].value == 50
    assert 100 in figures(quantities["gb200-nvl72"])
    assert quantities["gb300-nvl72"].value == quantities["b300"].value == 100


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        ("gb200", "memory_gb_per_s", 13400),
        ("a100", "memory_gb_per_s", 4000),
        ("tpu-v5e", "memory_gb_per_s", 1600),
        ("tpu-v5p", "memory_gb_per_s", 4800),
        ("tpu-v6e", "memory_gb", 144),
        ("ascend-910c", "memory_gb", 96),
        ("ascend-910c", "memory_gb_per_s", 1800),
        ("b200", "fp4_tflops", 4500),
        ("h20", "fp8_tflops", 148),
    ],
)
def test_trap_known_errors_are_not_kept(name: str, key: str, wrong: float) -> None:
    """Trap 15: figures known to be wrong are not even alternatives."""
    assert wrong not in figures(ACCELERATORS[name].quantities[key])


def test_trap_h100_network_is_not_halved() -> None:
    """Trap 15: a tool lists 25 GB/s between nodes of H100; NDR is 50."""
    assert system_parts("h100", catalogue=CATALOGUE).quantities["scale_out_gb_per_s"].value == 50


def test_trap_logical_bandwidth_is_no_efficiency() -> None:
    """Trap 16: bandwidths that count local copies exceed the wire; none sets an efficiency."""
    assert value("interconnect", "infiniband-ndr-400", "measured_efficiency") == pytest.approx(40 / 50)
    assert value("interconnect", "nvlink5", "measured_efficiency") < 726 / 900
    for record in INTERCONNECTS.values():
        if "measured_efficiency" in record.quantities:
            assert record.quantities["measured_efficiency"].value <= 0.85, record.id


def test_trap_in_switch_reduction_is_no_efficiency() -> None:
    """All-reduce of 445 to 460 GB/s over NVLink 4 is reduction in the switch: all-to-all reaches 0.70."""
    assert value("interconnect", "nvlink4", "measured_efficiency") == pytest.approx(315 / 450, abs=0.01)


def test_trap_precisions_without_a_speed_of_their_own() -> None:
    """Trap 17: FP8 at the BF16 rate, FP4 at the FP8 rate, and parts without FP8."""
    for name in ("tpu-v5p", "tpu-v6e", "gaudi3"):
        assert accelerator(name, "fp8_tflops") == accelerator(name, "bf16_tflops")
    assert accelerator("trainium3", "fp4_tflops") == accelerator("trainium3", "fp8_tflops")
    for name in ("a100", "ascend-910b2", "ascend-910c", "ascend-910c-die", "tpu-v5e"):
        assert "fp8_tflops" not in ACCELERATORS[name].quantities


def test_trap_rubin_rate_is_disputed() -> None:
    """Trap 18: 35 PF is taken as dense and flagged; memory bandwidth was raised from 13 to 22 TB/s."""
    rate = ACCELERATORS["rubin"].quantities["fp4_tflops"]
    assert (rate.value, rate.kind) == (35000, "estimated")
    assert {50000, 25000} <= figures(rate)
    assert figures(ACCELERATORS["rubin"].quantities["memory_gb_per_s"]) == {22000, 13000}


# ------------------------------------------------------------------------------------------ cross-checks


@pytest.mark.parametrize("record", with_both("bf16_tflops", "memory_gb_per_s"), ids=lambda record: record.id)
def test_ridge_points_lie_in_a_sane_band(record: Record) -> None:
    """16-bit ridge points lie between 30 and 700 FLOP/B, where a slip of units does not."""
    ridge = record.quantities["bf16_tflops"].si / record.quantities["memory_gb_per_s"].si
    low, high = (1, 10) if record.text("memory_type") == "SRAM" else (30, 700)
    assert low < ridge < high


FP8_OVER_BF16 = {"tpu-v5p": 1, "tpu-v6e": 1, "gaudi3": 1, "trainium3": 3.75}


@pytest.mark.parametrize("record", with_both("bf16_tflops", "fp8_tflops"), ids=lambda record: record.id)
def test_fp8_is_twice_bf16_but_for_the_listed(record: Record) -> None:
    """FP8 doubles the BF16 rate, with the listed exceptions."""
    ratio = record.quantities["fp8_tflops"].value / record.quantities["bf16_tflops"].value
    assert ratio == pytest.approx(FP8_OVER_BF16.get(record.id, 2), rel=0.03)


FP4_OVER_FP8 = {"trainium3": 1, "b300": 3, "gb300": 3, "rubin": 35 / 16.7}


@pytest.mark.parametrize("record", with_both("fp8_tflops", "fp4_tflops"), ids=lambda record: record.id)
def test_fp4_is_twice_fp8_but_for_the_listed(record: Record) -> None:
    """FP4 doubles the FP8 rate, with the listed exceptions."""
    ratio = record.quantities["fp4_tflops"].value / record.quantities["fp8_tflops"].value
    assert ratio == pytest.approx(FP4_OVER_FP8.get(record.id, 2), rel=0.01)


@pytest.mark.parametrize("record", INTERCONNECTS.values(), ids=lambda record: record.id)
def test_nominal_efficiency_follows_one_convention(record: Record) -> None:
    """0.8 of a scale-up link, all of a scale-out link: published for NVLink, carried over elsewhere."""
    quantity = record.quantities["efficiency"]
    assert quantity.value == (1.0 if record.text("scope") == "scale-out" else 0.8)
    carried_over = record.text("scope") == "scale-up" and not record.id.startswith("nvlink")
    assert quantity.kind == ("estimated" if carried_over else "reported")
