"""Errors summed up, against figures by hand."""

from __future__ import annotations

import pytest

from roofline_afd.analysis.evidence.accuracy import (
    by_group,
    estimated_note,
    files_of,
    medians,
    sentence,
    spread,
)


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


def test_groups_are_summed_up_by_their_labels() -> None:
    kernel, wall = {"timing": "kernel", "engine": "a"}, {"timing": "wall", "engine": "a"}
    first, second = by_group([(kernel, -0.1), (wall, None), (kernel, 0.3), (kernel, None), (kernel, 0.4)])
    assert (first["timing"], first["engine"], first["n"], first["skipped"]) == ("kernel", "a", 3, 1)
    assert first["median_abs_error"] == first["median_signed_error"] == pytest.approx(0.3)
    assert first["max_abs_error"] == pytest.approx(0.4)
    assert (second["timing"], second["n"], second["skipped"]) == ("wall", 0, 1)
    assert second["median_abs_error"] is second["median_signed_error"] is None
    (low,) = by_group([(kernel, -0.4), (kernel, -0.2), (kernel, 0.1)])
    assert low["median_signed_error"] == pytest.approx(-0.2)
    assert low["median_abs_error"] == pytest.approx(0.2)
    assert by_group([]) == []
