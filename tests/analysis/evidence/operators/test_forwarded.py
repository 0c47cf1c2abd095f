"""Kernels that send a copy per node: times and rates by hand; and which library a row timed."""

from __future__ import annotations

import csv
from math import comb
from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.operators.libraries import library_of
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.links import load_link
from tests.analysis.evidence.operators.times import CATALOGUE, one_answer

SYSTEM = load_system("h800", catalogue=CATALOGUE)
LINK = load_link(SYSTEM, catalogue=CATALOGUE, libraries=("deepep-v1-normal",))
LOW_LATENCY = load_link(SYSTEM, catalogue=CATALOGUE)
UP = SYSTEM.scale_up.bytes_per_s * LINK.efficiency_up
assert SYSTEM.scale_out is not None
OUT = SYSTEM.scale_out.bytes_per_s * LINK.efficiency_out
ROW: dict[str, object] = {
    "operator": "dispatch",
    "precision": "fp8",
    "tokens": 4096,
    "hidden": 7168,
    "top_k": 8,
    "experts": 256,
    "engine": "deepep-v1 abc",
    "kernel": "normal",
}
VECTOR = 7168 * (1 + 4 / 128)


def _hit(places: int, *, experts: int = 256) -> float:
    """Return the places that 8 experts drawn without replacement are on."""
    held = experts // places
    return places * (1 - comb(experts - held, 8) / comb(experts, 8))


def test_a_copy_per_node_is_forwarded_inside(tmp_path: Path) -> None:
    """16 devices in two nodes: half of the copies per node cross, 7 of 8 copies per device are forwarded."""
    found = one_answer(tmp_path, **ROW, n_devices=16)
    moving = max(4096 * VECTOR * _hit(16) * 7 / 8 / UP, 4096 * VECTOR * _hit(2) / 2 / OUT)
    assert found["predicted"] == pytest.approx((LINK.latency_out_s + moving) * 1e6, rel=1e-9)
    assert found["kind"] == "measured"
    within = one_answer(tmp_path, **ROW, n_devices=8)
    moving = 4096 * VECTOR * _hit(8) * 7 / 8 / UP
    assert within["predicted"] == pytest.approx((LINK.latency_up_s + moving) * 1e6, rel=1e-9)


def test_a_whole_exchange_goes_there_and_back(tmp_path: Path) -> None:
    there = one_answer(tmp_path, **ROW, n_devices=16)
    back = one_answer(tmp_path, **ROW | {"operator": "combine", "precision": "bf16"}, n_devices=16)
    both = one_answer(tmp_path, **ROW | {"operator": "exchange", "kernel": "normal API"}, n_devices=16)
    assert both["predicted"] == pytest.approx(there["predicted"] + back["predicted"], rel=1e-9)


@pytest.mark.parametrize(
    ("engine", "kernel", "library"),
    [
        ("deepep-v1 abc", "internode", "deepep-v1-normal"),
        ("deepep hybrid-ep", "hybrid-ep", "deepep-hybrid"),
        ("deepep-v2, 12 SMs", "", "deepep-v2"),
        ("deepep-v2 abc", "low-latency API", "deepep-v2"),
        ("mori-ep, 32 CUs", "EP16-V1", "mori"),
        ("mori-ep", "v1", "mori"),
        ("mori-ep", "v1_ll", "mori"),
        ("", "EP16-V1-LL", "mori"),
        ("uccl-ep", "normal", "uccl-normal"),
        ("uccl-ep 0dc87eb", "low-latency API", "uccl-low-latency"),
        ("tensorrt-llm 1.2.0rc6 NVLinkOneSided", "alltoall_combine", "trtllm-one-sided"),
        ("tensorrt-llm 1.2.0rc6 NVLinkTwoSided", "alltoall_dispatch", "trtllm-two-sided"),
        ("nccl 2.29.2", "", "nccl-all-to-all"),
        ("deepep-v1", "low-latency", "deepep-v1-low-latency"),
        ("deepep-v1", "", "deepep-v1-normal"),  # 4,096 tokens are more than low-latency kernels take
        ("sglang 0.5.12", "", ""),
        ("", "", ""),
    ],
)
def test_which_libraries_these_are(engine: str, kernel: str, library: str, tmp_path: Path) -> None:
    path = tmp_path / "row.csv"
    columns = ROW | {"engine": engine, "kernel": kernel, "n_devices": 16, "system": "h800"}
    columns |= {"id": "a", "latency_us": 100, "source": "ours"}
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([columns.keys(), columns.values()])
    (row,) = read_measurements([path], catalogue=CATALOGUE)
    assert library_of(row) == library


def test_few_tokens_tell_kernels_of_decoding(tmp_path: Path) -> None:
    """Where only the library is named: its low-latency kernels take no more than 511 tokens of a device."""
    few = one_answer(tmp_path, **ROW | {"kernel": "", "tokens": 128}, n_devices=16)
    moved = 128 * 8 * VECTOR / 2
    rate = SYSTEM.scale_out.bytes_per_s * LOW_LATENCY.efficiency_out if SYSTEM.scale_out else 0.0
    assert few["predicted"] == pytest.approx((LOW_LATENCY.latency_out_s + moved / rate) * 1e6, rel=1e-9)


@pytest.mark.parametrize(
    ("devices", "note", "copies"),
    [
        (16, "bandwidth only, RDMA leg incl. local node; xGMI leg 75 GB/s", _hit(2)),
        (16, "algorithm bandwidth; H100 figures are InfiniBand bandwidth", _hit(2)),
        (16, "logical bandwidth incl. local-rank traffic", _hit(2)),
        (8, "bandwidth only, NVLink leg, top-4 groups", _hit(8)),
        (8, "algorithm bandwidth; one NVLink domain", _hit(8)),
        (8, "bandwidth only (xGMI), network cx7-ib", _hit(8)),
        (16, "user report", _hit(2)),  # what its benchmark prints first
    ],
)
def test_rates_count_the_copies_of_one_leg(devices: int, note: str, copies: float, tmp_path: Path) -> None:
    found = one_answer(tmp_path, **ROW, n_devices=devices, latency_us="", gb_per_s=50, note=note)
    assert found["measured"] == pytest.approx(4096 * copies * VECTOR / 50e3, rel=1e-9)
    assert found["error"] == pytest.approx(found["predicted"] / found["measured"] - 1)


def test_experts_of_few_nodes_are_counted_as_such(tmp_path: Path) -> None:
    """Of 8 nodes 4 are allowed: on each of them with 32 of 128 experts."""
    row = ROW | {"n_devices": 64, "latency_us": "", "gb_per_s": 50}
    limited = one_answer(tmp_path, **row, note="RDMA leg, top-4 groups")
    free = one_answer(tmp_path, **row, note="RDMA leg")
    assert limited["measured"] == pytest.approx(4096 * _hit(4, experts=128) * VECTOR / 50e3, rel=1e-9)
    assert free["measured"] == pytest.approx(4096 * _hit(8) * VECTOR / 50e3, rel=1e-9)
    kept = (1 + limited["error"]) / (1 + free["error"])
    assert kept == pytest.approx(1, abs=0.1)  # prediction and rate count the same copies


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"n_devices": 8, "latency_us": "", "gb_per_s": 50}, "whether gb_per_s counts a copy per expert"),
        (
            {"n_devices": 16, "latency_us": "", "gb_per_s": 50, "note": "NVLink disabled"},
            "whether gb_per_s counts a copy per expert",
        ),
        (
            {"n_devices": 16, "latency_us": "", "gb_per_s": 50, "engine": "other", "note": "as above"},
            "whether gb_per_s counts a copy per expert",
        ),
        ({"n_devices": 16, "top_k": 300}, "top_k 300 is more than the 256 experts"),
        ({"n_devices": 512}, "n_devices 512 is more than the 256 experts"),
        ({"n_devices": 16, "precision": "fp7"}, "precision 'fp7' is not a precision"),
    ],
)
def test_rows_that_cannot_be_predicted_say_why(columns: dict[str, object], why: str, tmp_path: Path) -> None:
    found = one_answer(tmp_path, **ROW | columns)
    assert found["predicted"] is None
    assert found["why"].startswith(why)


def test_a_low_precision_combine_travels_in_nvfp4(tmp_path: Path) -> None:
    row = {"operator": "combine", "n_devices": 8, "tokens": 1024, "hidden": 7168, "top_k": 8}
    low = one_answer(tmp_path, **row, precision="low-precision", kernel="alltoall_combine_low_precision")
    rate = SYSTEM.scale_up.bytes_per_s * LOW_LATENCY.efficiency_up
    moved = 1024 * 8 * 7168 * 9 / 16 * 7 / 8
    assert low["predicted"] == pytest.approx((LOW_LATENCY.latency_up_s + moved / rate) * 1e6, rel=1e-9)
    wrong = one_answer(tmp_path, **row | {"operator": "dispatch"}, precision="low-precision")
    assert wrong["why"].startswith("precision 'low-precision' is not a precision")
