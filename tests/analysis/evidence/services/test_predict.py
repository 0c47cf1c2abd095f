"""Predictions of services: with what a service adds, as deployed, whatever the memory model says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.services.predict import predict_service
from roofline_afd.analysis.evidence.services.validate import validate_services
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InputError
from tests.analysis.evidence.services.given import CATALOGUE, GROUPS, ROW, read, shipped, validated


def test_a_gap_slows_wall_clock_rows_and_not_kernel_ones() -> None:
    rows = {row.id: row for row in shipped()}
    constants = load_service_constants(CATALOGUE)
    slower = dataclasses.replace(constants, gap_s=constants.gap_s + 5e-3)
    for name, changes in (("ep-cm384-2", True), ("ep-fastafd-qwen3-8k-ep16", False)):
        before, after = (predict_service(rows[name], constants=each).tpot_ms for each in (constants, slower))
        assert (after > before) == changes


def test_a_gap_slows_no_row_predicted_on_the_device_basis(tmp_path: Path) -> None:
    constants = load_service_constants(CATALOGUE)
    slower = dataclasses.replace(constants, gap_s=constants.gap_s + 5e-3)
    rows = read(
        tmp_path,
        ROW,
        ROW | {"id": "profile", "timing": "profile"},
        ROW | {"id": "engine", "engine": "fastafd"},
        ROW | {"id": "paused", "engine": "vllm-0.19"},
    )
    steps = [[predict_service(row, constants=each).tpot_ms for each in (constants, slower)] for row in rows]
    assert [after - before for before, after in steps] == pytest.approx([5.0, 0.0, 0.0, 5.0])


def test_a_row_of_no_system_is_refused(tmp_path: Path) -> None:
    (nowhere,) = read(tmp_path, ROW | {"id": "nowhere", "system": ""})
    with pytest.raises(InputError, match=r"^the row lacks system$"):
        predict_service(nowhere)
    with pytest.raises(InputError, match=r"^the row lacks system$"):
        _ = nowhere.scenario


def test_the_placement_of_a_row_is_where_its_layers_are_cut(tmp_path: Path) -> None:
    plain, core = read(tmp_path, ROW | GROUPS, ROW | GROUPS | {"id": "core", "placement": "core"})
    assert (plain.scenario.afd_cut, core.scenario.afd_cut) == ("attention", "core")
    assert predict_service(plain).tpot_ms != predict_service(core).tpot_ms


def test_overrides_change_the_deployment(tmp_path: Path) -> None:
    few = ROW | GROUPS | {"overrides": "experts_per_ffn_device=4; scale_out_gb_per_s = 400 Gb/s"}
    slow = few | {"id": "slow", "overrides": "experts_per_ffn_device=4;scale_out_gb_per_s=5"}
    all_of_them = few | {"id": "all", "overrides": "scale_out_gb_per_s=400 Gb/s"}
    first, second, third = read(tmp_path, few, slow, all_of_them)
    assert first.scenario.experts_per_ffn_device == 4
    assert first.scenario.system.scale_out is not None
    assert first.scenario.system.scale_out.bytes_per_s == 50e9
    rates = [predict_service(row).tokens_per_s_per_device for row in (first, second, third)]
    assert rates[1] < rates[0]
    assert rates[2] < rates[0]


def test_a_measured_service_is_predicted_even_if_memory_says_no(tmp_path: Path) -> None:
    (row,) = validated(tmp_path, ROW | {"batch_per_device": "5000"})
    assert row["fits_memory"] is False
    assert row["predicted"] > 0
    answer = validate_services(read(tmp_path, ROW | {"batch_per_device": "5000"}), catalogue=CATALOGUE)
    assert any("would refuse it: mine" in note for note in answer.notes)
