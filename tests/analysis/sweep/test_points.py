"""Axes, grids and reductions: every point once, in order, and what is kept is what all points have."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.sweep.axes import axes_of, axis_of
from roofline_afd.analysis.sweep.grids import Grid, cropped, pieces, put
from roofline_afd.analysis.sweep.reduce import Reducer, reduction_of
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("batch=1:5", [1, 2, 3, 4, 5]),
        ("batch=1:10:4", [1, 5, 9]),
        ("batch=1:8*2", [1, 2, 4, 8]),
        ("tpot_ms=10:20/3", [10, 15, 20]),
        ("context=4096,8192", [4096, 8192]),
        ("--tpot-ms=0.1:0.3:0.1", [0.1, 0.2, 0.30000000000000004]),
    ],
)
def test_ranges_by_hand(text: str, values: list[float]) -> None:
    axis = axis_of(text, CATALOGUE)
    assert axis.numbers is not None
    assert axis.numbers.tolist() == pytest.approx(values, rel=1e-12)


def test_words_records_and_files(tmp_path: Path) -> None:
    assert axis_of("system=h800,b200", CATALOGUE).words == ("h800", "b200")
    every = axis_of("system=all", CATALOGUE)
    assert {*every.words, *every.left_out} == set(CATALOGUE.ids("system"))
    assert every.left_out
    assert "h800" in every.words
    assert len(axis_of("model=all", CATALOGUE).words) > 40
    assert axis_of("expert_placement=all", CATALOGUE).words == ("plain", "levelled")
    listed = tmp_path / "models.txt"
    listed.write_text("deepseek-v3\n# a word on it\n\nkimi-k2\n", "utf-8")
    assert axis_of(f"model=@{listed}", CATALOGUE).words == ("deepseek-v3", "kimi-k2")
    listed.write_text("1\n2.5\n", "utf-8")
    numbers = axis_of(f"tpot_ms=@{listed}", CATALOGUE).numbers
    assert numbers is not None
    assert numbers.tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch", "is not KEY=VALUES"),
        ("batch=", "is not KEY=VALUES"),
        ("batch=5:1", "low at most high"),
        ("batch=1:5:0", "a step above 0"),
        ("batch=1:8*1", "a factor above 1"),
        ("batch=1:8/1", "a whole count of at least 2"),
        ("batch=1:1e12", "at most 10,000,000"),
        ("batch=all", "all is of systems, models"),
        ("batch=1,x", "batch"),
        ("model=@/nowhere", "nowhere"),
    ],
)
def test_axes_that_cannot_be_meant(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        axis_of(text, CATALOGUE)


def test_axes_of_python() -> None:
    axes = axes_of({"batch": range(1, 4), "system": ["h800"], "tpot_ms": "10:20/2"}, CATALOGUE)
    assert [axis.size for axis in axes] == [3, 1, 2]
    for bad, message in (
        ({}, "needs an axis"),
        ({"batch": []}, "empty"),
        ({"batch": [1, "x"]}, "neither numbers alone nor words"),
        ({"batch": [math.inf]}, "no finite number"),
        ({"batch": [[1, 2]]}, "no list of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            axes_of(bad, CATALOGUE)
    with pytest.raises(InputError, match="given twice"):
        axes_of(["batch=1", "batch=2"], CATALOGUE)


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    outer=st.integers(0, 3),
    chunk=st.integers(1, 60),
    task=st.integers(1, 400),
)
def test_chunks_hold_every_point_once_in_order(shape: list[int], outer: int, chunk: int, task: int) -> None:
    grid = Grid(tuple(shape), min(outer, len(shape)), chunk)
    places = np.arange(grid.points).reshape(shape)
    seen: list[int] = []
    for part in grid.tasks(task):
        for each in grid.of(part):
            at: Any = (*each.lead, *([] if each.part is None else [each.part]))
            held = places[at].ravel()
            assert held.size == each.points
            assert held.size <= max(chunk, 1) or held.size == 1
            seen += held.tolist()
    assert seen == list(range(grid.points))


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    most=st.integers(1, 60),
    kept=st.sets(st.integers(0, 8), min_size=1),
)
def test_pieces_make_a_block_whole(shape: list[int], most: int, kept: set[int]) -> None:
    """Every place of a block once, in pieces of at most so many; and nothing beside it."""
    whole = np.zeros(shape, dtype=int)
    block = [np.array(sorted({place % size for place in kept})) for size in shape]
    for piece in pieces([places.size for places in block], most):
        own = [places[part] for places, part in zip(block, piece, strict=True)]
        assert math.prod(places.size for places in own) <= most
        put(whole, own, cropped(whole, own) + 1)
    expected = np.zeros(shape, dtype=int)
    expected[np.ix_(*block)] = 1
    assert (whole == expected).all()


def _columns(values: list[tuple[float, float, bool]]) -> dict[str, Any]:
    first, second, good = (np.array(column) for column in zip(*values, strict=True))
    return {"hfu": first, "active_time_us": second, "feasible": good}


POINTS = st.lists(
    st.tuples(
        st.one_of(st.just(math.nan), st.sampled_from([0.1, 0.2, 0.25, 0.3])),
        st.sampled_from([1.0, 2.0, 3.0, 5.0]),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(values=POINTS, cut=st.integers(0, 40), many=st.integers(1, 5), name=st.sampled_from(["top", "pareto"]))
def test_what_is_kept_is_what_all_points_have(
    values: list[tuple[float, float, bool]], cut: int, many: int, name: str
) -> None:
    """In one go, in two, or joined of two: the same points, those that brute force finds."""
    reduction = reduction_of(f"top:{many}:hfu" if name == "top" else "pareto:hfu,active_time_us", "roofline")
    metrics = ("hfu", "active_time_us", "feasible")
    whole, first, second = (Reducer("roofline", reduction, metrics) for _ in range(3))
    whole.take(0, _columns(values), (len(values),))
    for reducer, part, start in ((first, values[:cut], 0), (second, values[cut:], min(cut, len(values)))):
        if part:
            reducer.take(start, _columns(part), (len(part),))
    joined = Reducer("roofline", reduction, metrics)
    joined.join(second.state())
    joined.join(first.state())
    assert joined.kept.places.tolist() == whole.kept.places.tolist()
    assert (joined.points, joined.valid) == (whole.points, whole.valid)
    good = [(place, x, y) for place, (x, y, held) in enumerate(values) if held and not math.isnan(x)]
    assert whole.valid == len(good)
    if name == "top":
        expected = [place for place, x, _ in sorted(good, key=lambda each: (-each[1], each[0]))[:many]]
        assert whole.kept.places.tolist() == expected
    else:
        beaten = {
            place
            for place, x, y in good
            for other, x2, y2 in good
            if (x2 >= x and y2 <= y and (x2 > x or y2 < y)) or ((x2, y2) == (x, y) and other < place)
        }
        assert set(whole.kept.places.tolist()) == {place for place, _, _ in good} - beaten


@given(
    x=st.lists(st.sampled_from([math.nan, 0.1, 0.2, 0.3]), min_size=1, max_size=5),
    y=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=5),
    good=st.lists(st.booleans(), min_size=5, max_size=5),
    text=st.sampled_from(["top:3:hfu", "best:active_time_us", "pareto:hfu,active_time_us", "quantiles:hfu"]),
)
def test_metrics_of_few_axes_are_kept_as_if_they_were_spread(
    x: list[float], y: list[float], good: list[bool], text: str
) -> None:
    """Columns that only some axes move, and the same at every point, give the same."""
    shape = (len(x), len(y))
    columns: dict[str, Any] = {
        "hfu": np.array(x)[:, None],
        "active_time_us": np.array(y)[None, :],
        "feasible": np.array(good[: len(x)])[:, None],
    }
    metrics = tuple(columns)
    few, spread = (Reducer("roofline", reduction_of(text, "roofline"), metrics) for _ in range(2))
    few.take(0, columns, shape)
    every = {name: np.broadcast_to(column, shape).ravel() for name, column in columns.items()}
    spread.take(0, every, (len(x) * len(y),))
    assert json.dumps(few.state()) == json.dumps(spread.state())


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=300))
def test_quantiles_and_histograms_count_all(values: list[float]) -> None:
    """Within half a percent of the value that such a share is below; bins hold every point."""
    columns = {"tpot_ms": np.array(values)}
    found = Reducer("predict", reduction_of("quantiles:tpot_ms", "predict"), ("tpot_ms",))
    found.take(0, columns, (len(values),))
    for row in found.quantiles():
        exact = sorted(values)[max(math.ceil(row["share"] * len(values) - 1e-9) - 1, 0)]
        assert row["tpot_ms"] == pytest.approx(exact, rel=0.0051)
    counted = Reducer("predict", reduction_of("histogram:tpot_ms:7", "predict"), ("tpot_ms",))
    counted.take(0, columns, (len(values),))
    bins = counted.histogram()
    assert sum(row["points"] for row in bins) == len(values)
    assert len(bins) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worst:hfu", "'worst' is not valid"),
        ("best", "is not one of"),
        ("best:speed", "'speed' is not valid"),
        ("top:hfu", "is not one of"),
        ("top:x:hfu", "'x' is no whole number"),
        ("top:0:hfu", "must be a whole number"),
        ("pareto:hfu", "is not one of"),
        ("best:experts_per_device", "neither more nor less"),
    ],
)
def test_reductions_that_cannot_be_meant(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reduction_of(text, "roofline")
