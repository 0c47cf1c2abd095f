"""Stages of experts: fused ones by their law, others one by one, and the records of fused ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.analysis.evidence.operators.rows import Measurement, read_measurements
from roofline_afd.analysis.evidence.operators.stages import (
    COMPUTE_SHARE,
    STAGES,
    fit_stages,
    is_fused,
    stage_of,
)
from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.hardware import load_system
from tests.analysis.evidence.operators.times import CATALOGUE, SECOND, one_answer
from tests.conftest import require

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.fitting import Fit

QWEN3: dict[str, object] = {
    "system": "b200",
    "precision": "mxfp4",
    "hidden": 4096,
    "intermediate": 1536,
    "top_k": 8,
    "experts": 128,
    "n_devices": 8,
}
EXPERT_BYTES = 3 * 4096 * 1536 * 17 / 32
"""An mxfp4 weight is half a byte, and a byte of scale for 32 of them."""
VECTOR_BYTES = 4096 * (1 + 4 / 128 + 2)
"""There in fp8 with a scale of 4 B for 128 elements, back in bf16."""


def _values(record: str) -> dict[str, float]:
    quantities = CATALOGUE.record("calibration", record).quantities
    return {key.partition(".")[2]: value.value for key, value in quantities.items()}


def _us(values: dict[str, float], fixed: str, *, experts: float, pairs: float, moved: float) -> float:
    """Return t_fix + max(weights, products) + both transfers on B200, in microseconds."""
    b200 = load_system("b200", catalogue=CATALOGUE)
    reading = experts * EXPERT_BYTES / (b200.accelerator.memory_bytes_per_s * values["memory_efficiency"])
    peak = b200.accelerator.peak_flop_per_s["fp8"] * values["compute_efficiency"]
    moving = moved / (b200.scale_up.bytes_per_s * values["moving_efficiency"])
    return values[fixed] + 1e6 * (max(reading, pairs * 6 * 4096 * 1536 / peak) + moving)


def test_a_fused_stage_reads_multiplies_and_moves(tmp_path: Path) -> None:
    """16 experts of 128 on each of 8 devices, 24 pairs an expert: 7 of 8 copies leave the device."""
    row: dict[str, object] = {"operator": "moe_stage", "groups": 16, "tokens_per_expert": 24}
    found = one_answer(tmp_path, **QWEN3 | row)
    values = _values("megamoe")
    moved = 16 * 24 * 7 / 8 * VECTOR_BYTES
    expected = _us(values, "ep_fixed_us", experts=16, pairs=16 * 24, moved=moved)
    assert found["predicted"] == pytest.approx(expected, rel=1e-9)
    assert found["kind"] == "measured"
    sibling = one_answer(tmp_path, **QWEN3 | row | {"system": "b300"})
    assert sibling["kind"] == "sibling"
    many = one_answer(tmp_path, **QWEN3 | row | {"tokens_per_expert": 1000})  # products bind
    moved = 16 * 1000 * 7 / 8 * VECTOR_BYTES
    expected = _us(values, "ep_fixed_us", experts=16, pairs=16 * 1000, moved=moved)
    assert many["predicted"] == pytest.approx(expected, rel=1e-9)


def test_between_groups_all_copies_move_and_lanes_hide_some(tmp_path: Path) -> None:
    """4 devices send to 4 others, which hold 32 experts each."""
    row: dict[str, object] = {"operator": "afd_moe_stage", "groups": 32, "tokens_per_expert": 12}
    values = _values("megamoe")
    moved = 32 * 12 * VECTOR_BYTES
    for lanes, shown in ((1, 1.0), (2, 1 - values["hidden_share"]), (4, 1 - values["hidden_share"])):
        found = one_answer(
            tmp_path, **QWEN3 | row, note=f"split stage; {lanes} micro-batch lane(s) in flight"
        )
        expected = _us(values, "afd_fixed_us", experts=32, pairs=32 * 12, moved=shown * moved)
        assert found["predicted"] == pytest.approx(expected, rel=1e-9)


def test_experts_reached_follow_from_tokens(tmp_path: Path) -> None:
    """3 tokens on each of 4 devices, 8 of 128 experts a token: 32 (1 - (15/16)^12) of 32 are read."""
    row: dict[str, object] = {"operator": "moe_stage", "n_devices": 4}
    values = _values("megamoe")
    moved = 24 * 3 / 4 * VECTOR_BYTES
    expected = _us(values, "ep_fixed_us", experts=32 * (1 - (15 / 16) ** 12), pairs=24, moved=moved)
    stated = one_answer(tmp_path, **QWEN3 | row, tokens=3)
    noted = one_answer(tmp_path, **QWEN3 | row, note="one tray; 3 rows per rank; all of them")
    assert stated["predicted"] == pytest.approx(expected, rel=1e-9)
    assert noted["predicted"] == stated["predicted"]
    some = one_answer(tmp_path, **QWEN3 | row, tokens=3, groups=5)  # so many are active
    expected = _us(values, "ep_fixed_us", experts=5, pairs=24, moved=moved)
    assert some["predicted"] == pytest.approx(expected, rel=1e-9)


def test_separate_kernels_are_transfers_and_products_one_by_one(tmp_path: Path) -> None:
    row = QWEN3 | {"groups": 16, "tokens_per_expert": 24, "n_devices": 8}
    found = one_answer(tmp_path, **row, operator="moe_stage", note="DeepEP + DeepGEMM")
    tokens = {"tokens": 16 * 24 / 8}
    parts = [
        one_answer(tmp_path, **row | tokens | {"operator": name, "precision": form})
        for name, form in (
            *(("dispatch", "fp8"), ("combine", "bf16")),
            *(("grouped_gemm_up", "mxfp4"), ("grouped_gemm_down", "mxfp4")),
        )
    ]
    assert found["predicted"] == pytest.approx(sum(part["predicted"] for part in parts), rel=1e-9)
    apart = one_answer(tmp_path, **row, operator="afd_moe_stage", note="DeepEP + DeepGEMM")
    link = load_calibration(load_system("b200", catalogue=CATALOGUE), catalogue=CATALOGUE).link
    peak = load_system("b200", catalogue=CATALOGUE).scale_up.bytes_per_s
    there, back = (peak * link.up.of(name)[1] for name in ("dispatch", "combine"))
    more = 16 * 24 / 8 * 4096 * ((1 + 4 / 128) / there + 2 / back)
    assert apart["predicted"] - found["predicted"] == pytest.approx(1e6 * more, rel=1e-9)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"operator": "moe_stage"}, "the row lacks tokens, or groups and tokens_per_expert"),
        ({"operator": "afd_moe_stage", "tokens": 3}, "the row lacks groups, tokens_per_expert"),
        ({"operator": "moe_stage", "tokens": 3, "n_devices": 16}, "a stage beyond one scale-up domain"),
        ({"operator": "moe_stage", "tokens": 3, "top_k": 129}, "top_k 129 is more than the 128 experts"),
        ({"operator": "moe_stage", "tokens": 3, "groups": 200}, "groups 200 is more than the 128 experts"),
        ({"operator": "moe_stage", "tokens": 3, "precision": "fp3"}, "precision 'fp3' is not a precision"),
        ({"operator": "moe_stage", "tokens": 3, "precision": ""}, "the row lacks precision"),
        (
            {"operator": "moe_stage", "tokens": 3, "system": "mi355x"},
            "no calibration record has [fused_stage] of mi355x",
        ),
    ],
)
def test_rows_that_cannot_be_predicted_say_why(columns: dict[str, object], why: str, tmp_path: Path) -> None:
    found = one_answer(tmp_path, **QWEN3 | columns)
    assert found["predicted"] is None
    assert found["why"].startswith(why)


# ------------------------------------------------------------------------------------------- the records


def _rows(system: str, *, timing: str = "isolated") -> list[Measurement]:
    require(present=SECOND[0].is_file(), what="the second set of measured operators")
    return [
        row
        for row in read_measurements(SECOND[:1], catalogue=CATALOGUE)
        if is_fused(row) and row.use_kind == "fit" and row.texts["timing"] == timing
        if row.texts["system"] == system
    ]


def _held_to(record: str, values: dict[str, float], found: Fit) -> None:
    shipped = CATALOGUE.record("calibration", record)
    data = shipped.data["fused_stage"]
    assert {key: pytest.approx(value, rel=1e-3) for key, value in values.items()} == _values(record)
    assert data["points"] == found.errors.size
    for key in ("training_error", "held_out_error"):
        assert data[key] == pytest.approx(getattr(found, key), rel=1e-2)


def test_the_record_of_b200_is_what_its_rows_give() -> None:
    rows = _rows("b200")
    values, found = fit_stages(rows)
    _held_to("megamoe", values, found)
    assert found.held_out_error < 0.05
    left_out = []
    names = [(row.operator, row.numbers["hidden"], row.numbers["experts"]) for row in rows]
    assert len(set(names)) == 4
    for name in set(names):
        out = [row for row, other in zip(rows, names, strict=True) if other == name]
        others, _ = fit_stages([row for row, other in zip(rows, names, strict=True) if other != name])
        measured = np.array([row.numbers["latency_us"] for row in out]) * 1e-6
        left_out += list(stage_of(out).times(others) / measured - 1)
    assert np.median(np.abs(left_out)) <= 0.12


def test_the_record_of_gb200_is_what_its_rows_give() -> None:
    of_b200 = _values("megamoe")
    held = {key: of_b200[key] for key in ("moving_efficiency", "hidden_share", "afd_fixed_us")}
    values, found = fit_stages(_rows("gb200-nvl72"), held)
    again, _ = fit_stages(_rows("b200"), {"memory_efficiency": values["memory_efficiency"]})
    _held_to("megamoe-gb200", values | {"afd_fixed_us": again["afd_fixed_us"]}, found)
    assert found.held_out_error < 0.05


def test_stages_of_known_parameters_give_them_back() -> None:
    rows = _rows("b200")
    truth = {
        "afd_fixed_us": 25.0,
        "ep_fixed_us": 45.0,
        "memory_efficiency": 0.7,
        "moving_efficiency": 0.5,
        "hidden_share": 0.25,
        "compute_efficiency": COMPUTE_SHARE,
    }
    times = stage_of(rows).times(truth)
    for row, time in zip(rows, times, strict=True):
        row.numbers["latency_us"] = float(time) * 1e6  # type: ignore[index]  # a dict, made for this test
    values, found = fit_stages(rows)
    assert values == {key: pytest.approx(value, rel=1e-3) for key, value in truth.items()}
    assert found.held_out_error < 1e-3


def test_stages_are_of_two_kinds() -> None:
    assert {row.operator for row in (*_rows("b200"), *_rows("gb200-nvl72"))} == set(STAGES)
