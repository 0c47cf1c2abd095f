"""Errors summed up, against figures by hand."""

from __future__ import annotations

import pytest

from roofline_afd.analysis.evidence.accuracy import estimated_note, files_of, medians, sentence, spread


def test_errors_are_summed_up_by_size() -> None:
    found = spread([0.1, -0.3, 0.2], skipped=4)
    assert (found["n"], found["skipped"]) == (3, 4)
    assert found["median_abs_error"] == pytest.approx(0.2)
    assert found["p90_abs_error"] == pytest.approx(0.28)  # numpy's linear rule: .2 + .8 * (.3 - .2)
    assert found["max_abs_error"] == pytest.approx(0.3)
    assert sentence(found, what="times predicted").startswith("3 times predicted, median error 20.0%, 90 %")
    assert medians([("b", -0.3), ("a", 0.1), ("b", 0.1)]) == {"a": 0.1, "b": pytest.approx(0.2)}


def test_no_errors_leave_nothing_to_say() -> None:
    assert spread([], skipped=0) == {
        "n": 0,
        "median_abs_error": None,
        "p90_abs_error": None,
        "max_abs_error": None,
        "skipped": 0,
    }
    assert medians([]) == {}
    assert estimated_note(["measured", None]) == []
    assert estimated_note(["estimated", "measured"])
    assert files_of(["b.csv, row 2", "a.csv, row 9", "b.csv, row 3"]) == ["a.csv", "b.csv"]
