"""Predictions of operators that nothing was fitted to."""

from __future__ import annotations

import time

from roofline_afd.analysis.evidence.operators.fit import groups_of
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.validate import validate_operators
from tests.analysis.evidence.operators.times import CATALOGUE, OPERATORS, SECOND
from tests.conftest import require


def test_whole_attention_layers_are_predicted_within_a_fifth() -> None:
    require(present=OPERATORS.is_file(), what="the file of published operator times")
    rows = read_measurements([OPERATORS], catalogue=CATALOGUE)
    answer = validate_operators(rows, catalogue=CATALOGUE)
    assert answer.summary["n"] == len(rows) == 284
    assert answer.summary["skipped"] == 0
    assert answer.summary["median_abs_error_by_operator"]["attention_layer"] <= 0.20
    layers = [row for row in answer.rows() if row["operator"] == "attention_layer"]
    assert max(abs(row["error"]) for row in layers) <= 0.30


def test_every_row_of_the_second_set_is_predicted_or_skipped_with_a_reason() -> None:
    """4,363 rows; 60 are excluded by their file, 5 stand on a system that the catalogue lacks."""
    require(present=all(file.is_file() for file in SECOND), what="the second set of measured operators")
    began = time.process_time()
    answer = validate_operators(read_measurements(SECOND, catalogue=CATALOGUE), catalogue=CATALOGUE)
    assert time.process_time() - began < 10
    rows, summary = answer.rows(), answer.summary
    assert len(rows) == 3439 + 924
    for row in rows:
        assert (row["error"] is None) == bool(row["why"]), row["id"]
        assert row["error"] is None or row["predicted"] > 0
    skipped = [row for row in rows if row["error"] is None]
    assert sum(row["why"].startswith("exclude: ") for row in skipped) == 60
    assert not any(row["use"].startswith("exclude") for row in rows if row["error"] is not None)
    assert summary["skipped"] == len(skipped) == sum(summary["skipped_reasons"].values())
    assert summary["skipped_share"] == len(skipped) / len(rows) < 0.15
    to_fit = [row["why"] is not None for row in rows if row["use"].startswith("fit")]
    assert summary["skipped_share_to_fit"] == sum(to_fit) / len(to_fit) < 0.05
    assert sum(row["why"].startswith("unknown system ") for row in skipped) == 5
    assert sum(group["n"] for group in summary["errors_by_kernel"]) == summary["n"]
    standing = {(each["system"], each["operator"]): each for each in summary["rows_by_system_and_operator"]}
    assert sum(each["predicted"] for each in standing.values()) == summary["n"]
    assert sum(each["fit"] for each in standing.values()) == len(to_fit)
    counts = {"fit": 11, "check": 0, "exclude": 11, "predicted": 11}
    assert standing["h200", "quantize"] == {"system": "h200", "operator": "quantize", **counts}
    assert set(summary["median_abs_error_by_use"]) == {row["use"] for row in rows if row["error"] is not None}


def test_all_kernels_to_fit_but_few_are_predicted() -> None:
    require(present=SECOND[0].is_file(), what="the second set of measured operators")
    rows = read_measurements(SECOND[:1], catalogue=CATALOGUE)
    summary = validate_operators(rows, catalogue=CATALOGUE).summary
    assert summary["skipped_share"] < 0.05
    assert summary["skipped_share_to_fit"] < 0.01
    errors = summary["median_abs_error_by_operator"]
    assert errors["moe_stage"] < 0.30  # DeepEP's kernels for large batches are among its rows
    assert errors["afd_moe_stage"] < 0.05
    assert errors["quantize"] < 0.10


def test_errors_by_kernel_tell_sign_and_spread() -> None:
    require(present=SECOND[0].is_file(), what="the second set of measured operators")
    answer = validate_operators(read_measurements(SECOND[:1], catalogue=CATALOGUE), catalogue=CATALOGUE)
    key = {"system": "h200", "operator": "gqa_decode", "family": "sglang fa3", "use": "fit"}
    (group,) = (each for each in answer.summary["errors_by_kernel"] if key.items() <= each.items())
    errors = sorted(
        row["error"]
        for row in answer.rows()
        if (row["system"], row["operator"], row["family"]) == ("h200", "gqa_decode", "sglang fa3")
        and row["use"] == "fit"
    )
    assert group["n"] == len(errors) == 12
    assert group["median_error"] == (errors[5] + errors[6]) / 2
    sizes = sorted(map(abs, errors))
    assert group["median_abs_error"] == (sizes[5] + sizes[6]) / 2
    assert sizes[9] <= group["p90_abs_error"] <= sizes[11]


def test_only_rows_to_fit_are_fitted() -> None:
    require(present=all(file.is_file() for file in SECOND), what="the second set of measured operators")
    groups, left = groups_of(read_measurements(SECOND, catalogue=CATALOGUE), catalogue=CATALOGUE)
    fitted = [row for group in groups for row in group.rows]
    assert len(fitted) > 1000
    assert {row.use_kind for row in fitted} == {"fit"}
    assert {row.operator for row in fitted} <= {
        *("gemm", "grouped_gemm_up", "grouped_gemm_down", "mla_decode", "dispatch", "combine"),
        *("dsa_decode_index", "dsa_prefill_index", "linear_decode_convolution", "linear_decode_update"),
    }
    assert any("check: host call, not kernel time; so 564 more rows" in why for why in left)
