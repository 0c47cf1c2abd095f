"""The picture of the dead zone: bands where the regimes are, curves in order."""

from __future__ import annotations

import itertools
from pathlib import Path

from roofline_afd import Scenario, plot
from roofline_afd.analysis.bounds import regimes
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline_picture
from roofline_afd.view.charts.dead_zone import DEAD_ZONE, dead_zone_chart
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file, layers_of

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
        plot.dead_zone(H800, ffn_nodes=counts).to_dict() for counts in ([40, 1, 2, 8], [1, 2, 8, 40])
    )
    assert shuffled == ordered


def test_names_of_regimes_stay_apart() -> None:
    for model, counts in (("mixtral-8x7b", range(1, 41)), ("deepseek-v3", range(1, 1001))):
        scenario = Scenario(system="h800", model=model)
        texts = [
            layer
            for layer in layers_of(plot.dead_zone(scenario, ffn_nodes=counts))
            if layer["mark"]["type"] == "text"
        ]
        places = sorted(
            row["middle"] for layer in texts for row in layer["data"]["values"] if "middle" in row
        )
        span = max(counts)
        assert all((right - left) / span * 640 >= 26 for left, right in itertools.pairwise(places))


def test_the_regime_set_apart_is_that_of_the_analysis() -> None:
    assert DEAD_ZONE == regimes.DEAD_ZONE


def test_a_kept_answer_draws_the_same() -> None:
    draws_the_same_when_kept(dead_zone_chart, roofline_picture(Roofline(H800)))


def test_it_is_drawn_from_its_file(tmp_path: Path) -> None:
    is_drawn_from_its_file("dead-zone", "--system", "h800", "--model", "deepseek-v3", folder=tmp_path)
