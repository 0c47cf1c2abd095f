"""Published services: read strictly, predicted within targets, and four of them set the constants."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.evidence.services import (
    CALIBRATION,
    CONSTANTS,
    FOLDER,
    RATIO_BAND,
    RELATIVE,
    REQUIRED,
    ServiceMeasurement,
    fit_service_constants,
    is_miss,
    predict_service,
    read_services,
    service_record_text,
    shipped_reasons,
    shipped_services,
    validate_services,
)
from roofline_afd.catalogue.calibration import ServiceConstants, load_service_constants
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.conftest import ROOT, SHARED, require

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

CATALOGUE = Catalogue()
SHIPPED = ROOT / FOLDER / "systems.csv"
SOURCE = SHARED / "data" / "measurements" / "systems.csv"
ROW = {
    "id": "mine",
    "mode": "ep",
    "system": "h800",
    "model": "deepseek-v3",
    "n_devices": "128",
    "batch_per_device": "128",
    "context_tokens": "4096",
    "tokens_per_s_per_device": "2324",
}
GROUPS = {"mode": "afd", "n_attention_devices": "96", "n_ffn_devices": "32"}


@functools.cache
def shipped() -> tuple[ServiceMeasurement, ...]:
    return tuple(shipped_services(CATALOGUE))


@functools.cache
def answer() -> Answer:
    return validate_services(shipped(), catalogue=CATALOGUE)


def written(tmp_path: Path, *rows: dict[str, str]) -> Path:
    """Write rows as a CSV with the columns any of them has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(keys), *(",".join(row.get(key, "") for key in keys) for row in rows)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(tmp_path: Path, *rows: dict[str, str]) -> list[ServiceMeasurement]:
    return read_services([written(tmp_path, *rows)], catalogue=CATALOGUE)


def validated(tmp_path: Path, *rows: dict[str, str]) -> list[dict[str, Any]]:
    return validate_services(read(tmp_path, *rows), catalogue=CATALOGUE).rows()


# ------------------------------------------------------------------------------------------------- shipped


def test_shipped_rows_are_the_collected_ones() -> None:
    require(present=SOURCE.is_file(), what="the collection of published services")
    assert SHIPPED.read_bytes() == SOURCE.read_bytes()


def test_every_shipped_row_has_a_source_and_is_predicted_or_says_why() -> None:
    assert len(answer().rows()) == 54
    for row in answer().rows():
        assert row["source"], row["id"]
        assert (row["error"] is None) == (row["predicted"] is None), row["id"]
        assert row["error"] is not None or row["why"], row["id"]
    skipped = {row["id"] for row in answer().rows() if row["error"] is None}
    assert skipped == {"ep-ds-online", "ep-ant-h20-bs12"}
    assert answer().summary["skipped"] == 1


def test_levels_are_met() -> None:
    """Published serving results of nine origins, each with its source in systems.csv; none set a constant."""
    summary = answer().summary
    assert summary["n"] == 17
    assert summary["median_abs_error"] <= 0.08
    assert summary["p90_abs_error"] <= 0.20


def test_every_large_miss_has_its_sentence_and_no_sentence_is_stale() -> None:
    missed = {
        row["id"]: row["why"]
        for row in answer().rows()
        if row["error"] is not None and is_miss(row["use"], row["error"])
    }
    assert missed == shipped_reasons()


def test_relative_rows_keep_their_ratio() -> None:
    """Atlas A3, recipes of github.com/vllm-project/afd-plugin: AFD over EP .95 and 1.11."""
    relative = {row.id for row in shipped() if row.use == RELATIVE}
    pairs = [pair for pair in answer().summary["sign_test"]["pairs"] if pair["afd"] in relative]
    assert [round(pair["measured_ratio"], 3) for pair in pairs] == [0.947, 1.113]
    for pair in pairs:
        assert abs(pair["predicted_ratio"] - pair["measured_ratio"]) <= RATIO_BAND == 0.15


def test_pairs_timed_differently_are_apart() -> None:
    signs = answer().summary["sign_test"]
    assert signs["n"] == len(signs["pairs"]) == 2
    assert {pair["afd"] for pair in signs["timed_differently"]} == {
        "afd-fastafd-qwen-8k",
        "afd-fastafd-minimax-8k",
    }
    assert all("EP as kernel" in pair["difference"] for pair in signs["timed_differently"])


def test_the_ratio_predicted_best_loses_little() -> None:
    """Ratio sweeps of github.com/linsj20/FastAFD, CODEX_PROJECT_RATIO_EP_SWEEP.md."""
    test = answer().summary["ratio_test"]
    assert [sweep["points"] for sweep in test["sweeps"]] == [13, 14]
    assert [sweep["measured_best"] for sweep in test["sweeps"]] == ["20:4", "28:4"]
    assert test["mean_loss"] <= 0.05
    assert test["worst_loss"] <= 0.08


def test_lower_bounds_are_met_where_they_can_be_predicted() -> None:
    bounds = {bound["id"]: bound["satisfied"] for bound in answer().summary["lower_bounds"]}
    assert bounds == {"ep-ds-online": None, "ep-fastafd-qwen3-8k-ep64": True}


# ----------------------------------------------------------------------------------------------- constants


def test_shipped_constants_are_what_the_fit_gives() -> None:
    fit = fit_service_constants(shipped())
    record = CATALOGUE.record("calibration", "service")
    text = service_record_text(fit, date=record.data["fitted"])
    made = parse_record(text.encode(), file="service.toml")
    assert set(made.quantities) == set(record.quantities)
    for key, value in made.quantities.items():
        assert value.value == pytest.approx(record.quantities[key].value, rel=1e-3, abs=1e-6), key
        assert value.kind == record.quantities[key].kind == "measured"
    for key in ("points", "training_error", "validated_error"):
        assert made.data["service"][key] == pytest.approx(record.data["service"][key], rel=1e-2), key
    assert fit.validated_error == pytest.approx(answer().summary["median_abs_error"], rel=1e-2)
    assert [row.id for row in fit.rows] == list(answer().summary["calibration_rows"])
    for row in fit.rows:
        assert row.id in record.data["service"]["note"]


def test_the_fit_predicts_as_the_prediction_does() -> None:
    """Layers under new constants are put together from known ones; computed anew they are the same."""
    fit = fit_service_constants(shipped())
    constants = ServiceConstants(
        gap_s=fit.values["gap_ms"] * 1e-3,
        communication_slowdown=fit.values["communication_slowdown"],
        other_s=fit.values["other_us"] * 1e-6,
    )
    for row, error in zip(fit.rows, fit.errors, strict=True):
        assert row.throughput is not None
        predicted = predict_service(row, constants=constants).tokens_per_s_per_device
        assert row.throughput / predicted - 1 == pytest.approx(error, rel=1e-9)


def test_known_constants_come_back() -> None:
    truth = ServiceConstants(gap_s=2e-3, communication_slowdown=1.2, other_s=9e-6)
    rows = [
        dataclasses.replace(
            row, throughput=predict_service(row, constants=truth).tokens_per_s_per_device, timing="wall"
        )
        for row in shipped()
        if row.role == CALIBRATION
    ]
    fit = fit_service_constants(rows)
    assert fit.values["gap_ms"] == pytest.approx(2, rel=1e-3)
    assert fit.values["communication_slowdown"] == pytest.approx(1.2, rel=1e-3)
    assert fit.values["other_us"] == pytest.approx(9, rel=1e-3)
    assert fit.validated_error is None
    assert "validated_error" not in service_record_text(fit)


@settings(max_examples=3, deadline=None)
@given(factor=st.floats(0.1, 10))
def test_only_calibration_rows_set_constants(factor: float) -> None:
    rows = [
        row
        if row.role == CALIBRATION or row.throughput is None
        else dataclasses.replace(row, throughput=row.throughput * factor)
        for row in shipped()
    ]
    assert fit_service_constants(rows).values == fit_service_constants(shipped()).values


def test_four_shipped_rows_calibrate_and_fewer_do_not() -> None:
    used = [row for row in shipped() if row.role == CALIBRATION]
    assert len(used) == 4 > len(CONSTANTS)
    with pytest.raises(InputError, match="3 rows of role calibration are too few"):
        fit_service_constants(used[1:])
    with pytest.raises(InputError, match="row 2: lacks batch_per_device"):
        fit_service_constants([dataclasses.replace(used[0], batch=None), *used[1:]])


def test_a_gap_slows_wall_clock_rows_and_not_kernel_ones() -> None:
    rows = {row.id: row for row in shipped()}
    constants = load_service_constants(CATALOGUE)
    slower = dataclasses.replace(constants, gap_s=constants.gap_s + 5e-3)
    for name, changes in (("ep-cm384-2", True), ("ep-fastafd-qwen3-8k-ep16", False)):
        before, after = (predict_service(rows[name], constants=each).tpot_ms for each in (constants, slower))
        assert (after > before) == changes


# ------------------------------------------------------------------------------------------------- own rows


def test_required_columns_are_enough(tmp_path: Path) -> None:
    assert tuple(ROW) == REQUIRED
    (row,) = read(tmp_path, ROW)
    assert (row.use, row.role, row.timing, row.microbatches) == ("absolute", "check", "wall", 1)
    assert (row.scenario.routing, row.accept_length) == ("natural", 1.0)
    (found,) = validated(tmp_path, ROW)
    assert found["error"] == pytest.approx(found["predicted"] / 2324 - 1)
    assert found["tpot_predicted_ms"] == pytest.approx(128 / found["predicted"] * 1e3)


def test_the_shipped_file_read_as_ones_own_gives_the_same() -> None:
    mine = validate_services(read_services([SHIPPED], catalogue=CATALOGUE), catalogue=CATALOGUE)
    for key in ("predicted", "error", "fits_memory"):
        assert list(mine.columns[key]) == list(answer().columns[key])
    assert all(row["why"] is None for row in mine.rows() if row["error"] is not None)


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


def test_rows_without_an_input_are_skipped_with_the_reason(tmp_path: Path) -> None:
    rows = [
        ROW | {"id": "no batch", "batch_per_device": "", "accept_length": "1"},
        ROW | {"id": "no length"},
        ROW | {"id": "relative", "use": "relative"},
        ROW | {"id": "no figure", "tokens_per_s_per_device": "", "accept_length": "1"},
        ROW
        | {"id": "no peak", "expert_precision": "nvfp4", "dispatch_precision": "nvfp4"}
        | {"accept_length": "1"},
    ]
    found = {row["id"]: row for row in validated(tmp_path, *rows)}
    assert found["no batch"]["why"] == "the row lacks batch_per_device"
    assert found["no length"]["why"] == "the row lacks accept_length"
    assert found["no length"]["measured"] == 2324
    assert found["relative"]["error"] is not None
    assert found["no figure"]["why"] == "the row lacks tokens_per_s_per_device"
    assert found["no figure"]["predicted"] > 0
    assert found["no figure"]["error"] is None
    assert all(found[key]["error"] is not None or found[key]["why"] for key in found)


def test_a_measured_service_is_predicted_even_if_memory_says_no(tmp_path: Path) -> None:
    (row,) = validated(tmp_path, ROW | {"batch_per_device": "5000"})
    assert row["fits_memory"] is False
    assert row["predicted"] > 0
    answer = validate_services(read(tmp_path, ROW | {"batch_per_device": "5000"}), catalogue=CATALOGUE)
    assert any("would refuse it: mine" in note for note in answer.notes)


def test_no_row_that_counts_leaves_the_medians_null(tmp_path: Path) -> None:
    rows = read(tmp_path, ROW | {"batch_per_device": ""})
    summary = validate_services(rows, catalogue=CATALOGUE).summary
    assert (summary["n"], summary["skipped"], summary["median_abs_error"]) == (0, 1, None)
    assert summary["ratio_test"]["mean_loss"] is None


BAD = {
    "mode": ({"mode": "epp"}, "mode 'epp' is not valid; did you mean 'ep'?"),
    "system": ({"system": "h8000"}, "unknown system 'h8000'; did you mean 'h800'"),
    "model": ({"model": "deepseek-v33"}, "unknown model 'deepseek-v33'; did you mean 'deepseek-v3'"),
    "precision": ({"kv_precision": "fp9"}, "kv_precision 'fp9' is not a precision; did you mean 'fp8'"),
    "use": ({"use": "absolut"}, "use 'absolut' is not valid; did you mean 'absolute'?"),
    "role": ({"role": "calib"}, "role 'calib' is not valid"),
    "timing": ({"timing": "wal"}, "timing 'wal' is not valid; did you mean 'wall'?"),
    "routing": ({"routing": "forced"}, "routing 'forced' is not valid; valid: balanced, natural"),
    "text": ({"batch_per_device": "many"}, "batch_per_device 'many' is not a number"),
    "nan": ({"tokens_per_s_per_device": "nan"}, "tokens_per_s_per_device 'nan' is not a number"),
    "infinite": ({"context_tokens": "inf"}, "context_tokens 'inf' is not a number"),
    "tiny": ({"tokens_per_s_per_device": "1e-320"}, "'1e-320' is too small"),
    "zero": ({"n_devices": "0"}, "n_devices '0' must be above 0"),
    "negative": ({"draft_tokens": "-1"}, "draft_tokens '-1' must be at least 0"),
    "broken": ({"context_tokens": "4096.5"}, "context_tokens '4096.5' is not a whole number"),
    "huge": ({"context_tokens": "1e14"}, "--context"),
    "no id": ({"id": ""}, "id is empty"),
    "no context": ({"context_tokens": ""}, "context_tokens is empty"),
    "accepted below 1": ({"accept_length": "0.5"}, "--accept-length 0.5 must be at least 1"),
    "accepted above drafted": (
        {"accept_length": "2.5", "draft_tokens": "1"},
        "--accept-length 2.5 exceeds the 2 tokens of a step",
    ),
    "groups under ep": ({"n_ffn_devices": "32"}, "ep has no groups"),
    "no groups": ({"mode": "afd"}, "afd needs n_attention_devices and n_ffn_devices"),
    "sum": (GROUPS | {"n_devices": "129"}, "96 attention and 32 FFN devices are not n_devices 129"),
    "three under ep": ({"microbatches": "3"}, "microbatches 3 is not valid under ep; valid: 1, 2"),
    "override": ({"overrides": "scale_out_gb_per_s"}, "overrides 'scale_out_gb_per_s' is not KEY=VALUE"),
    "override twice": (
        {"overrides": "hbm_gb=1;hbm_gb=2"},
        "overrides set 'hbm_gb' twice",
    ),
    "unknown override": ({"overrides": "scale_out_gbps=25"}, "'scale_out_gbps'"),
    "no experts": ({"overrides": "experts_per_ffn_device=0"}, "experts_per_ffn_device '0' must be above 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_one_line_with_their_place(name: str, tmp_path: Path) -> None:
    changes, message = BAD[name]
    path = written(tmp_path, ROW | {"id": "good", "accept_length": "1"}, ROW | changes)
    with pytest.raises(InputError) as raised:
        read_services([path], catalogue=CATALOGUE)
    assert message in str(raised.value)
    assert "mine.csv', row 3" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    with pytest.raises(InputError, match=r"row 2: id 'mine' is taken by .*mine\.csv', row 2"):
        read_services([path, path], catalogue=CATALOGUE)
