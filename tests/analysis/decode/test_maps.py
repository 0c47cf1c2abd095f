"""Maps over two inputs: they say what searches one by one say, and where they break even."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd import InputError, Scenario
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.changes import changed, value_of
from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.curves import frontier
from roofline_afd.analysis.decode.maps import (
    BOTH,
    MOST_POINTS,
    NEITHER,
    ONLY_AFD,
    ONLY_EP,
    break_even,
    default_axis,
    default_x,
    expert_widths,
    grid,
    spaced,
)
from roofline_afd.analysis.decode.questions import PLANES, Frontier, Map
from tests.conftest import ONE_PLAN

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=160, **ONE_PLAN)
SMALL: dict[str, Any] = {
    "x": ("scale_out_gb_per_s", [25, 100, 400]),
    "y": ("expert_intermediate", [1024, 8192]),
}


@pytest.fixture(scope="module")
def plane() -> Answer:
    return grid(Map(H800, x=("scale_out_gb_per_s", [25, 100, 400]), y=("expert_intermediate", [1024, 8192])))


def test_a_point_of_a_map_is_what_compare_finds(plane: Answer) -> None:
    row = next(
        row for row in plane.rows() if (row["scale_out_gb_per_s"], row["expert_intermediate"]) == (100, 8192)
    )
    point = changed(H800, {"scale_out_gb_per_s": 100.0, "expert_intermediate": 8192})
    found = compare(point)
    ep, afd = (side["tokens_per_s_per_device"] for side in found.rows())
    assert row["ep_tokens_per_s_per_device"] == ep
    assert row["afd_tokens_per_s_per_device"] == afd
    assert row["afd_over_ep"] == found.summary["afd_over_ep"]
    assert row["state"] == BOTH
    assert plane.summary["at_own"]["afd_over_ep"] == compare(H800).summary["afd_over_ep"]
    assert any("another model" in note for note in plane.notes)


def test_infeasible_points_are_empty() -> None:
    least = frontier(Frontier(H800)).summary["least_tpot_ms"]
    between = math.sqrt(least["ep"] * least["afd"])
    answer = grid(Map(H800, x=("tpot_ms", [1, between, 50]), y=("context", [4096, 8192])))
    rows = answer.rows()
    alone = ONLY_AFD if least["afd"] < least["ep"] else ONLY_EP
    assert [row["state"] for row in rows[:3]] == [NEITHER, alone, BOTH]
    assert [row["afd_over_ep"] is None for row in rows[:3]] == [True, True, False]
    assert rows[0]["ep_tokens_per_s_per_device"] is None
    assert answer.summary["infeasible_points"] == sum(row["afd_over_ep"] is None for row in rows)


def test_a_map_of_hfu_is_the_roofline() -> None:
    answer = grid(Map(H800, metric="hfu", **SMALL))
    for row in answer.rows():
        values = {"scale_out_gb_per_s": row["scale_out_gb_per_s"]}
        point = changed(H800, {**values, "expert_intermediate": int(row["expert_intermediate"])})
        assert row["hfu"] == roofline(Roofline(point)).summary["best_hfu"]
    assert answer.summary["break_even"] == []


def test_default_axes() -> None:
    key, values = default_x(H800)
    assert key == "scale_out_gb_per_s"
    assert (values[0], values[-1]) == (12.5, 800)
    assert any(value == pytest.approx(50) for value in values)
    assert default_x(Scenario(system="gb200-nvl72", model="deepseek-v3"))[0] == "scale_up_gb_per_s"
    key, values = expert_widths(H800)
    assert key == "expert_intermediate"
    assert (values[0], values[-1]) == (512, 16384)
    assert all(value % 128 == 0 for value in values)
    assert 2048 in values


@pytest.mark.parametrize("name", [part for plane in PLANES for part in plane.split("-")])
def test_axes_by_name_hold_the_own_value(name: str) -> None:
    key, values = default_axis(H800, name)
    assert list(values) == sorted(set(values))
    assert any(value == pytest.approx(float(value_of(H800, key) or 0)) for value in values)


def test_planes_are_those_a_planner_can_move() -> None:
    """A map of the modes lies over bandwidth and context, of HFU over bandwidth and latency target."""
    small = attrs.evolve(H800, max_devices=32)
    for metric, plane, keys in (
        ("hfu", None, ("scale_out_gb_per_s", "tpot_ms")),
        ("hfu", "context-tpot", ("context", "tpot_ms")),
        ("hfu", "bandwidth-width", ("scale_out_gb_per_s", "expert_intermediate")),
    ):
        summary = grid(Map(small, metric=metric, axes=plane)).summary
        assert (summary["x"], summary["y"]) == keys
    narrow = grid(Map(small, x=("scale_out_gb_per_s", [25, 50]))).summary
    assert (narrow["x"], narrow["y"]) == ("scale_out_gb_per_s", "context")
    long = grid(Map(small, x=("context", [4096, 8192]))).summary
    assert (long["x"], long["y"]) == ("context", "tpot_ms")
    with pytest.raises(InputError, match="--axes 'hbm'"):
        grid(Map(small, axes="hbm"))
    with pytest.raises(InputError, match="leave nothing to --axes"):
        grid(Map(small, axes="context-tpot", x=("context", [1, 2]), y=("tpot_ms", [40, 50])))


def test_spaced_values() -> None:
    assert spaced("scale_out_gb_per_s", 1, 100, 3) == pytest.approx([1, 10, 100])
    assert spaced("top_k", 1, 4, 9) == [1, 2, 3, 4]
    for low, high, count in ((4, 1, 3), (0, 1, 3), (1, 2, 1), (1, 2, MOST_POINTS + 1)):
        with pytest.raises(InputError, match="tpot_ms"):
            spaced("tpot_ms", low, high, count)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"x": ("scale_out_gb_pr_s", [1, 2])}, "--x: unknown key .* did you mean 'scale_out_gb_per_s'"),
        ({"y": ("model", [1, 2])}, "--y 'model' is no number"),
        ({"x": ("kv_precision", [1, 2])}, "is no number"),
        ({"x": ("context", ["a", "b"])}, "'a' is not a finite number"),
        ({"x": ("context", 5)}, "holds no numbers"),
        ({"x": ("context", [8, 8])}, "at least two values"),
        ({"x": ("context", [1, 2]), "y": ("--context", [1, 2])}, "both context"),
        ({"x": ("context", range(1, 60)), "y": ("tpot_ms", range(1, 60))}, "3,481 points"),
        ({"x": ("context", [0.5, 2])}, "context 0.5 must be a whole number"),
        ({"metric": "hfo"}, "--metric 'hfo' is not valid; did you mean 'hfu'"),
    ],
)
def test_bad_maps(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        grid(Map(H800, **axes))
    assert "\n" not in str(error.value)


@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12))
@settings(max_examples=200, deadline=None)
def test_break_even_lies_between_signs(values: list[float]) -> None:
    """Every end of the line is on an edge between a point ahead and one behind; no sign change is missed."""
    xs, ys = [1.0, 10.0, 100.0, 1000.0], [0.0, 1.0, 2.0]
    lead = np.array(values).reshape(3, 4)
    ends = {
        (round(x, 9), round(y, 9))
        for piece in break_even(xs, ys, lead)
        for x, y in ((piece.x1, piece.y1), (piece.x2, piece.y2))
    }
    expected = set()
    for (i, y), (j, x) in itertools.product(enumerate(ys), enumerate(xs)):
        for k, m in ((i, j + 1), (i + 1, j)):
            if k < 3 and m < 4 and (lead[i, j] > 0) != (lead[k, m] > 0):
                share = lead[i, j] / (lead[i, j] - lead[k, m])
                place = (x * (xs[m] / x) ** share, y + share * (ys[k] - y))
                expected.add((round(float(place[0]), 9), round(float(place[1]), 9)))
    assert len(ends) <= len(expected)
    for x, y in expected:
        assert any(math.isclose(x, a, rel_tol=1e-6) and abs(y - b) < 1e-6 for a, b in ends)


def test_break_even_avoids_points_without_a_value() -> None:
    lead = np.array([[-1.0, 1.0], [math.nan, 1.0]])
    assert not [*break_even([1, 2], [1, 2], lead)]
