"""Published services are predicted within targets, and every large miss has its reason."""

from __future__ import annotations

from pathlib import Path

from roofline_afd.analysis.evidence.services.rows import RELATIVE, read_services, shipped_reasons
from roofline_afd.analysis.evidence.services.validate import RATIO_BAND, is_miss, validate_services
from tests.analysis.evidence.services.given import CATALOGUE, ROW, SHIPPED, answer, read, shipped, validated


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


def test_the_shipped_file_read_as_ones_own_gives_the_same() -> None:
    mine = validate_services(read_services([SHIPPED], catalogue=CATALOGUE), catalogue=CATALOGUE)
    for key in ("predicted", "error", "fits_memory"):
        assert list(mine.columns[key]) == list(answer().columns[key])
    assert all(row["why"] is None for row in mine.rows() if row["error"] is not None)


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


def test_no_row_that_counts_leaves_the_medians_null(tmp_path: Path) -> None:
    rows = read(tmp_path, ROW | {"batch_per_device": ""})
    summary = validate_services(rows, catalogue=CATALOGUE).summary
    assert (summary["n"], summary["skipped"], summary["median_abs_error"]) == (0, 1, None)
    assert summary["ratio_test"]["mean_loss"] is None
