"""Predictions of operators that nothing was fitted to."""

from __future__ import annotations

from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.validate import validate_operators
from tests.analysis.evidence.operators.times import CATALOGUE, OPERATORS
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
