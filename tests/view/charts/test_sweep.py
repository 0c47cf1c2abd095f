"""The chart of a sweep's file: cells and lines are the best of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from roofline_afd import plot
from roofline_afd.analysis.sweep.questions import Swept
from roofline_afd.analysis.sweep.swept import swept
from roofline_afd.view.charts.sweep import sweep_chart
from roofline_afd.view.pages import chart_bytes
from tests.conftest import command
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file, layers_of, title_of

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pd.DataFrame(
    {
        "system": ["h800", "h800", "b200", "b200", "h20", "h20"],
        "context": [4096, 8192] * 3,
        "tpot_ms": [50.0] * 6,
        "afd_over_ep": [0.9, 0.8, 1.1, 1.2, None, None],
        "winner": ["ep", "ep", "afd", "afd", "ep", "ep"],
    }
)


@pytest.fixture(scope="module", params=["csv", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swept") / f"rows.{request.param}"
    (ROWS.to_csv if request.param == "csv" else ROWS.to_parquet)(path, index=False)
    return path


def test_cells_are_the_best_of_their_rows(file: Path) -> None:
    """Over both contexts; a cross where nothing has a value."""
    chart = plot.sweep(file=file, metric="afd_over_ep", x="system", y="tpot_ms")
    cells, crosses = (layer["data"]["values"] for layer in layers_of(chart))
    assert {row["x"]: row["value"] for row in cells} == {"h800": 0.9, "b200": 1.2}
    assert [row["x"] for row in crosses] == ["h20"]
    assert "AFD / EP from 0.9 to 1.2 over system and TPOT target" in title_of(chart)


def test_a_line_for_each_value(file: Path) -> None:
    chart = plot.sweep(file=file, metric="afd_over_ep", x="context", by="system")
    lines = [layer for layer in layers_of(chart) if layer["mark"]["type"] == "line"]
    assert [[row["value"] for row in line["data"]["values"]] for line in lines] == [[0.9, 0.8], [1.1, 1.2]]
    names = [
        row["name"]
        for layer in layers_of(chart)
        if layer["mark"]["type"] == "text"
        for row in layer["data"]["values"]
    ]
    assert names == ["h800", "b200"]


def test_less_is_better_of_times(tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    pd.DataFrame({"batch": [1, 1, 2, 2], "devices": [8, 16, 8, 16], "tpot_ms": [5.0, 4.0, 7.0, 6.0]}).to_csv(
        table, index=False
    )
    answer = swept(Swept(file=table, metric="tpot_ms", x="batch"))
    assert [row["value"] for row in answer.rows()] == [4.0, 6.0]


def test_kept_answers_and_files(file: Path, tmp_path: Path) -> None:
    draws_the_same_when_kept(
        sweep_chart, swept(Swept(file=file, metric="afd_over_ep", x="system", y="context"))
    )
    question = ("--file", str(file), "--metric", "afd_over_ep", "--x", "system", "--y", "context")
    is_drawn_from_its_file("sweep", *question, folder=tmp_path)
    chart = plot.sweep(file=file, metric="afd_over_ep", x="system", y="context")
    assert len(chart_bytes(chart, "svg")) > 3000


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "--metric is missing"),
        ({"metric": "hfu", "x": "system"}, "--metric 'hfu' is no column"),
        ({"metric": "winner", "x": "system"}, "holds words"),
        ({"metric": "afd_over_ep", "x": "sytem"}, "did you mean 'system'"),
        ({"metric": "afd_over_ep", "x": "system", "y": "system"}, "differ from each other"),
        ({"metric": "afd_over_ep", "x": "system", "y": "context", "by": "tpot_ms"}, "exclude each other"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(file: Path, asked: dict[str, Any], says: str) -> None:
    words = [word for key, value in asked.items() for word in (f"--{key}", value)]
    done = command("plot", "sweep", "--file", str(file), *words)
    assert (done.status, done.out) == (2, "")
    assert says in done.complaint


@pytest.mark.parametrize(
    ("text", "says"), [("", "is no table"), ("a,b\n", "holds no rows"), (None, "cannot be read")]
)
def test_bad_files_are_one_line(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text, "utf-8")
    done = command("plot", "sweep", "--file", str(path), "--metric", "a", "--x", "b")
    assert done.status == 2
    assert says in done.complaint
    assert command("plot", "sweep", "--metric", "a", "--x", "b").status == 2
