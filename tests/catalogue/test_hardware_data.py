"""The shipped hardware records: their provenance, the known traps, and the cross-checks between figures."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.hardware import PEAK_KEYS, load_system, system_parts
from roofline_afd.catalogue.reading import RecordError, parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

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

ACCELERATOR_ROWS = {
    "NVIDIA A100 SXM4 80GB": "a100",
    "NVIDIA H100 SXM5": "h100",
    "NVIDIA H800 SXM": "h800",
    "NVIDIA H200 SXM": "h200",
    "NVIDIA H20 96GB": "h20",
    "NVIDIA L40S": "l40s",
    "NVIDIA B200 SXM (HGX)": "b200",
    "NVIDIA GB200 (NVL72)": "gb200",
    "NVIDIA B300 SXM (HGX)": "b300",
    "NVIDIA GB300 (NVL72)": "gb300",
    "NVIDIA Rubin (Vera Rubin NVL72, first named NVL144)": "rubin",
    "NVIDIA Rubin CPX": "rubin-cpx",
    "AMD MI300X": "mi300x",
    "AMD MI325X": "mi325x",
    "AMD MI355X": "mi355x",
    "AMD MI455X (MI400, Helios rack)": "mi455x",
    "Huawei Ascend 910B2 (Atlas A2)": "ascend-910b2",
    "Huawei Ascend 910C (package, CloudMatrix384 / Atlas 900 A3)": "ascend-910c",
    "Huawei Ascend 910C (per die)": "ascend-910c-die",
    "Huawei Ascend 950PR": "ascend-950pr",
    "Huawei Ascend 950DT (Atlas 950 SuperPoD)": "ascend-950dt",
    "Google TPU v5e": "tpu-v5e",
    "Google TPU v5p": "tpu-v5p",
    "Google TPU v6e (Trillium)": "tpu-v6e",
    "Google TPU7x (Ironwood)": "tpu-v7",
    "AWS Trainium2 (Trn2 UltraServer)": "trainium2",
    "AWS Trainium3 (Trn3 UltraServer Gen1/Gen2)": "trainium3",
    "Intel Gaudi 2": "gaudi2",
    "Intel Gaudi 3 (OAM)": "gaudi3",
    "Groq LPU v1": "groq-lpu",
    "Cerebras WSE-3": "cerebras-wse-3",
    "Baidu Kunlun P800 (Tianchi 256/512)": "p800",
    "Alibaba T-Head PPU (Panjiu AL128)": "ppu",
}
INTERCONNECT_ROWS = {
    "NVLink 3 (A100)": "nvlink3-a100",
    "NVLink 4 (H100/H200/H20)": "nvlink4",
    "NVLink 4 cut-down (H800)": "nvlink4-h800",
    "NVLink 5 (B200/B300, 8-GPU)": "nvlink5",
    "NVLink 5 MNNVL (GB200/GB300 NVL72)": "nvlink5-nvl72",
    "NVLink 6 (Rubin NVL72)": "nvlink6-nvl72",
    "Huawei UB (CloudMatrix384)": "ub-cloudmatrix384",
    "Huawei UB 2.0 (Atlas 950)": "ub2-atlas950",
    "Huawei HCCS (Atlas A2, 910B)": "hccs-910b",
    "AMD xGMI (MI300X/MI325X)": "xgmi-mi300x",
    "AMD xGMI (MI355X)": "xgmi-mi355x",
    "UALink 200G 1.0 / UALoE (MI455X Helios)": "ualink-helios",
    "Google ICI v5e": "ici-v5e",
    "Google ICI v5p": "ici-v5p",
    "Google ICI v6e": "ici-v6e",
    "Google ICI v7 (Ironwood)": "ici-v7",
    "AWS NeuronLink-v3 (Trn2)": "neuronlink-v3",
    "AWS NeuronLink-v4 + NeuronSwitch-v1 (Trn3)": "neuronlink-v4",
    "Intel Gaudi 3 RoCE scale-up": "gaudi3-mesh",
    "Alibaba ALink (Panjiu AL128)": "alink-al128",
    "InfiniBand HDR 200G": "infiniband-hdr-200",
    "InfiniBand NDR 400G (CX7)": "infiniband-ndr-400",
    "InfiniBand XDR 800G (CX8)": "infiniband-xdr-800",
    "RoCEv2 100G": "roce-100",
    "RoCEv2 200G": "roce-200",
    "RoCEv2 400G": "roce-400",
    "RoCEv2 800G": "roce-800",
    "NVIDIA Spectrum-X (400/800G)": "spectrum-x-400",
    "Ultra Ethernet (UEC 1.0)": "ultra-ethernet",
    "HPE Slingshot-11": "slingshot-11",
    "AWS EFA v1 (P4d)": "efa-v1",
    "AWS EFA v2 (P5, 32 NICs)": "efa-v2",
    "AWS EFA v3 (Trn2/P5en; Trn3 200G per device)": "efa-v3",
    "PCIe Gen4 x16": "pcie4-x16",
    "PCIe Gen5 x16": "pcie5-x16",
    "PCIe Gen6 x16": "pcie6-x16",
}
COLUMNS = {
    "bf16_dense_tflops": "bf16_tflops",
    "fp8_dense_tflops": "fp8_tflops",
    "int8_dense_tops": "int8_tops",
    "fp4_dense_tflops": "fp4_tflops",
    "mem_gb": "memory_gb",
    "mem_bw_gbs": "memory_gb_per_s",
    "tdp_w": "tdp_w",
    "allin_provisioned_kw": "provisioned_kw",
}
LEFT_OUT = {("p800", "bf16_tflops")}
"""Figures in circulation that the catalogue leaves absent because nobody stands behind them."""
DOUBTFUL = re.compile(r"~|UNVERIFIED|estimate|assumed")


def value(kind: str, name: str, key: str) -> float:
    return RECORDS[kind, name].quantities[key].value


def accelerator(name: str, key: str) -> float:
    return value("accelerator", name, key)


def figures(quantity: Quantity | Price) -> set[float]:
    return {quantity.value, *(other.value for other in quantity.alternatives)}


def with_both(first: str, second: str) -> list[Record]:
    return [record for record in ACCELERATORS.values() if {first, second} <= set(record.quantities)]


def shared_rows(name: str) -> list[dict[str, str]]:
    folder = Path(__file__).parents[2].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the raw tables that the records were taken from are not beside this checkout")
    with (folder / "data" / "catalogue" / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def in_cell(number: float, cell: str) -> bool:
    """Whether a number is one of a cell's, or lies in a range that the cell gives."""
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?", cell)]
    spans = re.findall(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", cell)
    return any(number == pytest.approx(other, rel=2e-3) for other in numbers) or any(
        float(low) <= number <= float(high) for low, high in spans
    )


# ------------------------------------------------------------------------------------------- provenance


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
    assert estimated == {"fp4_tflops", "tdp_w", "scale_out_gb_per_s", "scale_out_latency_us"}


def test_secondary_readings_are_never_datasheet_or_measured() -> None:
    """A page nobody kept is at best `reported`."""
    for quantity in QUANTITIES:
        if all(source.note == "secondary reading" for source in quantity.sources):
            assert quantity.kind not in {"datasheet", "measured"}, (quantity.record, quantity.key)


def test_figures_of_the_raw_tables_arrive_unchanged() -> None:
    """Each accelerator row is a record with the figures of the row, doubtful ones `estimated`."""
    rows = shared_rows("accelerators.csv")
    assert {row["accelerator"] for row in rows} == set(ACCELERATOR_ROWS)
    assert set(ACCELERATOR_ROWS.values()) == set(ACCELERATORS)
    for row in rows:
        record = ACCELERATORS[ACCELERATOR_ROWS[row["accelerator"]]]
        for column, key in COLUMNS.items():
            if not row[column] or (record.id, key) in LEFT_OUT:
                assert key not in record.quantities, (record.id, key)
                continue
            quantity = record.quantities[key]
            assert any(in_cell(number, row[column]) for number in figures(quantity)), (record.id, key)
            if key != "bf16_tflops" or record.id != "ascend-910c":
                assert in_cell(quantity.value, row[column]), (record.id, key)
            if DOUBTFUL.search(row[column]):
                assert quantity.kind == "estimated", (record.id, key)


def test_link_figures_of_the_raw_tables_arrive_unchanged() -> None:
    """Scale-up and pairwise bandwidths of the accelerator rows are those of the systems made of them."""
    for row in shared_rows("accelerators.csv"):
        name = ACCELERATOR_ROWS[row["accelerator"]]
        owners = [system.id for system in SYSTEMS.values() if system.text("accelerator") == name]
        for column, key in (
            ("scaleup_bw_per_dir_gbs", "scale_up_gb_per_s"),
            ("scaleup_pair_bw_per_dir_gbs", "scale_up_pair_gb_per_s"),
        ):
            held = [system_parts(owner, catalogue=CATALOGUE).quantities.get(key) for owner in owners]
            found = [quantity for quantity in held if quantity is not None]
            if row[column] and found:
                numbers = {number for quantity in found for number in figures(quantity)}
                assert any(in_cell(number, row[column]) for number in numbers), (name, key)


def test_fabrics_of_the_raw_tables_arrive_unchanged() -> None:
    """Each fabric row is a record, its bandwidth one of the row's, and doubtful directions `estimated`."""
    rows = shared_rows("interconnects.csv")
    assert {row["fabric"] for row in rows} == set(INTERCONNECT_ROWS)
    for row in rows:
        cell = row["bw_per_dir_gbs_per_device"]
        quantity = INTERCONNECTS[INTERCONNECT_ROWS[row["fabric"]]].quantities["gb_per_s"]
        if "line rate" not in cell:
            assert in_cell(quantity.value, cell), row["fabric"]
        if "direction" in cell:
            assert quantity.kind == "estimated", row["fabric"]


def test_cost_and_rent_of_the_raw_tables_arrive_unchanged() -> None:
    """The three figures of one cost model land under their own basis and terms."""
    seen = 0
    for row in shared_rows("accelerators.csv"):
        found = re.search(r"TCO ([\d.]+)/([\d.]+); 3y rent ([\d.]+)", row["price_usd_per_hour"])
        if found:
            seen += 1
            prices = ACCELERATORS[ACCELERATOR_ROWS[row["accelerator"]]].prices
            held = {(price.basis, price.terms): price.value for price in prices}
            assert held["tco", "hyperscaler"] == float(found[1])
            assert held["tco", "neocloud"] == float(found[2])
            assert held["rent", "three-year"] == float(found[3])
    assert seen == 9


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
    """Trap 5: a full mesh gives one of seven links to a pair, a torus one of four or six."""
    if not {"gb_per_s", "pair_gb_per_s"} <= set(record.quantities):
        assert record.text("topology") not in {"full-mesh", "torus"}
        return
    links = record.quantities["gb_per_s"].value / record.quantities["pair_gb_per_s"].value
    allowed = {"full-mesh": {7}, "torus": {4, 6}, "switched": {1}}[record.text("topology")]
    assert any(links == pytest.approx(number) for number in allowed)


def test_trap_mi355x_links() -> None:
    """Trap 6: 7 links of 76.8, not 576."""
    quantity = INTERCONNECTS["xgmi-mi355x"].quantities["gb_per_s"]
    assert quantity.value == pytest.approx(7 * 76.8)
    assert 576 in figures(quantity)


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


# -------------------------------------------------------------------------------------------- the prices


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


def test_prices_reach_the_system() -> None:
    """A system has its accelerator's prices."""
    assert load_system("h100", catalogue=CATALOGUE).prices == ACCELERATORS["h100"].prices
    assert load_system("h800", catalogue=CATALOGUE).prices == ()


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


DOMAINS = {
    "a100": (8, 8),
    "h20": (8, 8),
    "h800": (8, 8),
    "b300": (8, 8),
    "gb200-nvl72": (4, 72),
    "gb300-nvl72": (4, 72),
    "rubin-nvl72": (4, 72),
    "mi300x": (8, 8),
    "mi325x": (8, 8),
    "mi355x": (8, 8),
    "helios": (4, 72),
    "cloudmatrix384": (16, 768),
    "ascend-910b2": (8, 8),
    "atlas-950": (64, 8192),
    "tpu-v5e": (8, 256),
    "tpu-v5p": (4, 8960),
    "tpu-v6e": (8, 256),
    "tpu-v7": (4, 9216),
    "trn2": (16, 16),
    "trn2-ultraserver": (16, 64),
    "trn3-ultraserver-gen1": (4, 64),
    "trn3-ultraserver-gen2": (4, 144),
    "gaudi3": (8, 8),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_node_and_domain_sizes(name: str) -> None:
    """Nodes fill the scale-up domain, and the superpods are those whose domain holds two nodes."""
    system = load_system(name, catalogue=CATALOGUE)
    node, domain = DOMAINS[name]
    assert (system.devices_per_node, system.scale_up_domain_devices) == (node, domain)
    assert domain % node == 0
    assert system.superpod == (domain >= 2 * node)


@pytest.mark.parametrize("record", SYSTEMS.values(), ids=lambda record: record.id)
def test_systems_fit_their_parts(record: Record) -> None:
    """A domain is no larger than its fabric allows, and no system repeats another."""
    quantities = system_parts(record.id, catalogue=CATALOGUE).quantities
    if {"scale_up_domain_devices", "scale_up_max_devices"} <= set(quantities):
        assert quantities["scale_up_domain_devices"].value <= quantities["scale_up_max_devices"].value
    if {"scale_up_gb_per_s", "scale_out_gb_per_s"} <= set(quantities):
        assert quantities["scale_out_gb_per_s"].value < quantities["scale_up_gb_per_s"].value

    def product(other: Record) -> tuple[object, ...]:
        values = {key: quantity.value for key, quantity in other.quantities.items()}
        keys = ("accelerator", "scale_up", "scale_out")
        return (*(other.text(key) for key in keys), sorted(values.items()))

    assert [other.id for other in SYSTEMS.values() if product(other) == product(record)] == [record.id]


@pytest.mark.parametrize("record", INTERCONNECTS.values(), ids=lambda record: record.id)
def test_nominal_efficiency_follows_one_convention(record: Record) -> None:
    """0.8 of a scale-up link, all of a scale-out link: published for NVLink, carried over elsewhere."""
    quantity = record.quantities["efficiency"]
    assert quantity.value == (1.0 if record.text("scope") == "scale-out" else 0.8)
    carried_over = record.text("scope") == "scale-up" and not record.id.startswith("nvlink")
    assert quantity.kind == ("estimated" if carried_over else "reported")


def test_the_ways_they_are_sold() -> None:
    """Each product a buyer can name has a system."""
    wanted = {"a100", "h100", "h800", "h200", "h20", "b200", "b300", "gb200-nvl72", "gb300-nvl72", "l40s"}
    wanted |= {"cloudmatrix384", "atlas-950", "mi300x", "mi325x", "mi355x", "helios", "gaudi3"}
    wanted |= {"tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7", "trn2-ultraserver", "rubin-nvl72"}
    wanted |= {"trn3-ultraserver-gen1", "trn3-ultraserver-gen2", "h100-roce-400", "b200-infiniband-800"}
    assert wanted <= set(SYSTEMS)
    sold = {record.text("accelerator") for record in SYSTEMS.values()}
    assert set(ACCELERATORS) - sold == {"ascend-910c"}, "the systems count dies, not packages"


# ------------------------------------------------------------------------------- known but incomplete


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_loads_or_says_what_is_missing(name: str) -> None:
    """Known-but-incomplete systems answer with one line that names every missing key."""
    if name not in INCOMPLETE:
        system = load_system(name, catalogue=CATALOGUE)
        assert set(system.accelerator.peak_flop_per_s) <= set(PEAK_KEYS)
        assert system.scale_up.bytes_per_s > 0
        return
    with pytest.raises(InputError, match="known but incomplete: no source gives") as caught:
        load_system(name, catalogue=CATALOGUE)
    message = str(caught.value)
    assert "\n" not in message
    assert all(key in message for key in INCOMPLETE[name])
    assert set(system_parts(name, catalogue=CATALOGUE).missing) >= INCOMPLETE[name]


def test_what_is_missing_can_be_supplied() -> None:
    """Overrides complete an incomplete system, which then computes."""
    given: dict[str, float | str] = {
        "bf16_tflops": 300.0,
        "memory_gb_per_s": 2000.0,
        "scale_up_gb_per_s": "400 GB/s",
    }
    system = load_system("p800", overrides=given, catalogue=CATALOGUE)
    assert system.accelerator.memory_bytes == 96e9
    assert system.scale_up.bytes_per_s == 400e9


def test_a_system_without_a_fabric_can_be_completed() -> None:
    """Even a part without any scale-up record takes the missing values from the user."""
    given = {"bf16_tflops": 1.0, "scale_up_gb_per_s": 1.0, "scale_up_efficiency": 0.5}
    assert load_system("cerebras-wse-3", overrides=given, catalogue=CATALOGUE).scale_up.id == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gb200",
            "gb200 is an accelerator, not a system; systems with it: gb200-nvl72, gb200-nvl72-infiniband-800",
        ),
        ("ascend-910c", "ascend-910c is an accelerator, not a system; no system of the catalogue has it"),
        ("ici-v6e", "ici-v6e is an interconnect, not a system; systems with it: tpu-v6e"),
        ("efa-v2", "efa-v2 is an interconnect, not a system; systems with it: h100-efa-v2"),
    ],
)
def test_a_part_is_not_a_system(name: str, message: str) -> None:
    """Asking for a part names the systems that contain it."""
    with pytest.raises(InputError) as caught:
        load_system(name, catalogue=CATALOGUE)
    assert str(caught.value) == message


# ---------------------------------------------------------------------------------------------- the docs


def readme() -> str:
    return (Path(__file__).parents[2] / "hardware_db" / "README.md").read_text(encoding="utf-8")


def test_the_examples_of_the_readme_work(tmp_path: Path) -> None:
    """The worked example parses as it stands and makes a system."""
    blocks = re.findall(r"```toml\n(.*?)```", readme(), flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        found = re.search(r'^id = "(.*)"$', block, flags=re.MULTILINE)
        assert found
        parse_record(block.encode(), file=f"{found[1]}.toml")
        (tmp_path / f"{found[1]}.toml").write_text(block, encoding="utf-8")
    system = load_system("x1-node", catalogue=Catalogue(hardware_db=[tmp_path]))
    assert system.accelerator.peak_flop_per_s == {"bf16": 500e12, "fp8": 1000e12}
    assert [price.basis for price in system.prices] == ["rent"]
    assert not system.superpod


def test_the_readme_lists_every_field_and_every_incomplete_system() -> None:
    """Each key of the schema has a row, each incomplete system is listed."""
    text = readme()
    for kind in KINDS:
        assert f"`{kind}s/` ({len(CATALOGUE.ids(kind))})" in text
    keys = {
        quantity.key for quantity in QUANTITIES if not quantity.key.startswith(("scale_up_", "scale_out_"))
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
    assert [name for name in sorted(INCOMPLETE) if f"`{name}`" not in text] == []
