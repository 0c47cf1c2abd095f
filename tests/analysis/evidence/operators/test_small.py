"""Small kernels by hand: a change of number format, a router, a preparation, a hand-over; their records."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.small import fit_conversions
from roofline_afd.catalogue.calibration import load_calibration, load_service_constants
from roofline_afd.catalogue.hardware import load_system
from tests.analysis.evidence.operators.times import CATALOGUE, SECOND, one_answer
from tests.conftest import require

ROUTER_US = load_service_constants(CATALOGUE).router_s * 1e6


def test_quantisation_reads_two_bytes_and_writes_one(tmp_path: Path) -> None:
    """4,096 vectors of 7,168: 88 MB at 4.8 TB/s."""
    found = one_answer(tmp_path, operator="quantize", system="h200", precision="fp8", m=4096, k=7168)
    quantities = CATALOGUE.record("calibration", "quantize-h200").quantities
    launch, share = (quantities[f"quantize.{key}"].value for key in ("launch_us", "memory_efficiency"))
    assert found["predicted"] == pytest.approx(launch + 4096 * 7168 * 3 / (4.8e6 * share), rel=1e-9)
    assert found["kind"] == "measured"
    narrow = one_answer(tmp_path, operator="quantize", system="b200", precision="nvfp4", m=1024, k=7168)
    quantities = CATALOGUE.record("calibration", "quantize-gb200").quantities
    launch, share = (quantities[f"quantize.{key}"].value for key in ("launch_us", "memory_efficiency"))
    assert narrow["predicted"] == pytest.approx(launch + 1024 * 7168 * (2 + 9 / 16) / (8e6 * share), rel=1e-9)
    assert narrow["kind"] == "sibling"  # the same chip, not the part that was timed
    unknown = one_answer(tmp_path, operator="quantize", system="mi300x", precision="fp8", m=1, k=1)
    assert unknown["why"] == "no calibration record has [quantize] of mi300x"
    wrong = one_answer(tmp_path, operator="quantize", system="h200", precision="fp9", m=1, k=1)
    assert wrong["why"].startswith("precision 'fp9' is not a precision")


def test_a_router_is_its_product_and_the_small_kernels_of_a_layer(tmp_path: Path) -> None:
    row = {"precision": "bf16", "n_devices": 1}
    product = one_answer(tmp_path, operator="gemm", m=48, n=128, k=4096, **row)
    found = one_answer(tmp_path, operator="router", tokens=48, experts=128, hidden=4096, top_k=8, **row)
    assert found["predicted"] == pytest.approx(product["predicted"] + ROUTER_US, rel=1e-9)
    assert found["kind"] == "estimated"


def test_what_prepares_an_exchange_is_among_the_small_kernels(tmp_path: Path) -> None:
    found = one_answer(tmp_path, operator="a2a_prepare", n_devices=4, tokens=128)
    assert (found["predicted"], found["kind"]) == (pytest.approx(ROUTER_US), "estimated")


def test_a_hand_over_takes_the_fixed_time_of_a_transfer(tmp_path: Path) -> None:
    """Of 16 devices one doubling more than of 8."""
    link = load_calibration(load_system("gb200-nvl72", catalogue=CATALOGUE), catalogue=CATALOGUE).link
    two, sixteen = (
        one_answer(tmp_path, operator="p2p", system="gb200-nvl72", n_devices=count) for count in (2, 16)
    )
    assert two["predicted"] == pytest.approx(link.latency_up_s * 1e6)
    assert sixteen["predicted"] == pytest.approx(link.latency_up_s * 1e6 * (1 + link.latency_growth))
    away = one_answer(tmp_path, operator="p2p", n_devices=16)
    assert away["why"] == "a hand-over beyond one scale-up domain is not modelled"
    rate = one_answer(tmp_path, operator="p2p", n_devices=2, latency_us="", gb_per_s=92)
    assert rate["why"] == "a rate says nothing of the time of p2p: give latency_us"


@pytest.mark.parametrize("operator", ["a2a_prepare", "p2p", "quantize", "router"])
def test_small_kernels_lack_what_they_lack(operator: str, tmp_path: Path) -> None:
    columns = dict.fromkeys(("n_devices", "tokens", "precision", "m", "k", "hidden", "experts"), "")
    found = one_answer(tmp_path, operator=operator, **columns)
    assert found["predicted"] is None
    assert found["why"].startswith("the row lacks ")


@pytest.mark.parametrize(("part", "system"), [("gb200", "gb200-nvl72"), ("h200", "h200")])
def test_records_of_quantisation_are_what_their_rows_give(part: str, system: str) -> None:
    require(present=SECOND[0].is_file(), what="the second set of measured operators")
    rows = [
        row
        for row in read_measurements(SECOND[:1], catalogue=CATALOGUE)
        if row.operator == "quantize" and row.use_kind == "fit" and row.texts["system"] == system
    ]
    values, found = fit_conversions(rows)
    shipped = CATALOGUE.record("calibration", f"quantize-{part}")
    for key, value in values.items():
        assert shipped.quantities[f"quantize.{key}"].value == pytest.approx(value, rel=1e-3)
    assert shipped.data["quantize"]["points"] == len(rows) >= 7
    assert shipped.data["quantize"]["held_out_error"] == pytest.approx(found.held_out_error, rel=1e-2)
    assert found.held_out_error <= 0.10
