"""The shipped hardware records against the raw tables that they were taken from."""

from __future__ import annotations

import csv
import re

import pytest

from roofline_afd.catalogue.hardware import system_parts
from tests.catalogue.shipped import ACCELERATORS, CATALOGUE, INTERCONNECTS, SYSTEMS, figures
from tests.conftest import SHARED

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


def shared_rows(name: str) -> list[dict[str, str]]:
    if not SHARED.is_dir():
        pytest.skip("the raw tables that the records were taken from are not beside this checkout")
    with (SHARED / "data" / "catalogue" / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def in_cell(number: float, cell: str) -> bool:
    """Whether a number is one of a cell's, or lies in a range that the cell gives."""
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?", cell)]
    spans = re.findall(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", cell)
    return any(number == pytest.approx(other, rel=2e-3) for other in numbers) or any(
        float(low) <= number <= float(high) for low, high in spans
    )


def test_figures_of_the_raw_tables_arrive_unchanged() -> None:
    """Each accelerator row is a record with the figures of the row, doubtful ones `estimated`.

    Parts that came later have no row.
    """
    rows = shared_rows("accelerators.csv")
    assert {row["accelerator"] for row in rows} == set(ACCELERATOR_ROWS)
    assert set(ACCELERATOR_ROWS.values()) <= set(ACCELERATORS)
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
