"""The picture of the dead zone: bands where the regimes are, curves in order."""

from __future__ import annotations

import itertools
from pathlib import Path

from roofline_afd import Scenario, plot
from roofline_afd.analysis.bounds import regimes
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline_picture
from roofline_afd.view.charts.dead_zone import DEAD_ZONE, SAME, dead_zone_chart
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file, layers_of, rows_of

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, accept_length=1.7, gap_ms=15)


def test_dead_zone_is_shaded_where_it_is() -> None:
    bands = next(
        layer["data"]["values"]
        for layer in layers_of(plot.dead_zone(H800, ffn_nodes=range(1, 41)))
        if layer["mark"]["type"] == "rect"
    )
    assert [(band["name"], band["left"], band["right"]) for band in bands] == [
        ("scale-up bound", 0.5, 2.5),
        ("stable intensity", 2.5, 8.0),
        ("dead zone", 8.0, 32.0),
        ("one expert per device", 32.0, 40.5),
    ]
    assert (
        len(
            {band["fill"] for band in bands if band["name"] == "dead zone"}
            & {b["fill"] for b in bands if b["name"] != "dead zone"}
        )
        == 0
    )


def test_counts_out_of_order_are_drawn_in_order() -> None:
    shuffled, ordered = (
        plot.dead_zone(H800, ffn_nodes=counts).to_dict(validate=False)
        for counts in ([40, 1, 2, 8], [1, 2, 8, 40])
    )
    assert shuffled == ordered


def test_names_of_regimes_stay_apart() -> None:
    """Level, each over its band; those of a line do not touch."""
    for model, counts in (("mixtral-8x7b", range(1, 41)), ("deepseek-v3", range(1, 1001))):
        scenario = Scenario(system="h800", model=model)
        texts = [
            layer["data"]["values"][0]
            for layer in layers_of(plot.dead_zone(scenario, ffn_nodes=counts))
            if layer["mark"]["type"] == "text" and layer["mark"].get("fontStyle") == "italic"
        ]
        assert texts
        for line in {text["line"] for text in texts}:
            own = sorted((text["at"], len(text["name"])) for text in texts if text["line"] == line)
            assert all(left + 6 * count < right for (left, count), (right, _) in itertools.pairwise(own))


def test_no_share_is_more_than_all() -> None:
    """Where the weights alone take longer than the stage an arrow says by how much."""
    answer = roofline_picture(Roofline(H800, ffn_nodes=range(1, 41)))
    layers = layers_of(dead_zone_chart(answer))
    curves = [layer for layer in layers if layer["mark"]["type"] == "line"]
    assert max(row["share"] for curve in curves for row in rows_of(curve)) == 1.0
    first = answer.rows()[0]
    assert first["temporal_sparsity"] > 1
    arrows = [
        row for layer in layers for row in rows_of(layer) if str(row.get("label", "")).startswith("S_t 1")
    ]
    assert {row["label"] for row in arrows if row.get("ffn_nodes") == 1 and "regime" in row} == {
        f"S_t {first['temporal_sparsity']:.0%}"
    }


def test_flat_curves_have_few_markers() -> None:
    """Both ends of what is flat, and both sides of where a count becomes infeasible."""
    answer = roofline_picture(
        Roofline(Scenario(system="gb200-nvl72", model="deepseek-v3"), ffn_nodes=range(1, 41))
    )
    points = [layer for layer in layers_of(dead_zone_chart(answer)) if layer["mark"]["type"] == "point"]
    hfu = next(rows_of(layer) for layer in points if rows_of(layer)[0].get("series") == "HFU")
    rows = answer.rows()
    for place, row in enumerate(hfu[1:-1], 1):
        changes = any(rows[place]["feasible"] != rows[place + step]["feasible"] for step in (-1, 1))
        steep = any(abs(rows[place]["hfu"] - rows[place + step]["hfu"]) > SAME for step in (-1, 1))
        assert row["marked"] == (1 if changes or steep else 0)
    assert sum(row["marked"] for row in hfu) < len(hfu) / 2


def test_the_regime_set_apart_is_that_of_the_analysis() -> None:
    assert DEAD_ZONE == regimes.DEAD_ZONE


def test_a_kept_answer_draws_the_same() -> None:
    draws_the_same_when_kept(dead_zone_chart, roofline_picture(Roofline(H800)))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    is_drawn_from_its_file("dead-zone", "--system", "h800", "--model", "deepseek-v3", folder=tmp_path)
