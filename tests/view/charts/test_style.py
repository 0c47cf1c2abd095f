"""The house style: one meaning a colour, told apart by everybody, and few lines above a picture."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import altair as alt
import pytest

from roofline_afd.view.charts import style
from roofline_afd.view.charts.style import (
    AFD,
    ENDS,
    EP,
    MODES,
    MOST_BELOW,
    MOST_LINES,
    POOLS,
    SERIES,
    SERVING_MODES,
    STAGES,
    TIERS,
    Look,
    apart,
    chart_data,
    house_style,
)

MEANINGS = {
    **{f"mode {name}": look.color for name, look in MODES.items()},
    **{
        f"serving mode {name}": look.color
        for name, look in SERVING_MODES.items()
        if look.color not in {EP, AFD}
    },
    **{f"tier {place}": look.color for place, look in enumerate(TIERS)},
    **{f"stage {name}": look.color for name, look in STAGES.items()},
    **{f"pool {name}": color for name, color in POOLS.items()},
    **{f"end {name}": color for name, color in ENDS.items()},
}
"""Every colour that means something, by what it means."""
COMPARED: dict[str, dict[Any, Look]] = {
    "modes": MODES,
    "serving modes": SERVING_MODES,
    "tiers": dict(enumerate(TIERS)),
    "stages": STAGES,
}
"""What one picture compares, with dashes and markers."""
SIGHT = {
    "as most see": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "without long cones": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "without middle cones": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "without short cones": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""Linear light as it is seen (Machado, Oliveira and Fernandes 2009, severity 1)."""
CHARTS = Path(style.__file__).parent
GREYS = 12
"""Levels between red, green and blue up to which a colour is a grey."""


def _linear(color: str) -> list[float]:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _lab(light: list[float]) -> tuple[float, float, float]:
    red, green, blue = (min(max(part, 0.0), 1.0) for part in light)
    mixed = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883,
    )
    x, y, z = (math.cbrt(part) if part > 0.008856 else 7.787 * part + 16 / 116 for part in mixed)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _seen(color: str, sight: str) -> tuple[float, float, float]:
    light = _linear(color)
    return _lab([sum(a * b for a, b in zip(row, light, strict=True)) for row in SIGHT[sight]])


def test_no_two_meanings_share_a_colour() -> None:
    """Nor are any two alike; agg and agg+afd are EP and AFD, and have their colours."""
    assert len(set(MEANINGS.values())) == len(MEANINGS)
    others = {look.color for look in SERIES} | {style.INK, style.FAINT}
    assert not others & set(MEANINGS.values())
    for (one, first), (other, second) in itertools.combinations(MEANINGS.items(), 2):
        distance = math.dist(_seen(first, "as most see"), _seen(second, "as most see"))
        assert distance > 20, (one, other)
    assert (SERVING_MODES["agg"].color, SERVING_MODES["agg+afd"].color) == (EP, AFD)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("group", [*COMPARED, "pools", "ends"])
def test_what_is_compared_is_told_apart(group: str, sight: str) -> None:
    looks = COMPARED.get(group)
    colors = (
        [look.color for look in looks.values()] if looks else {"pools": POOLS, "ends": ENDS}[group].values()
    )
    for first, second in itertools.combinations(colors, 2):
        assert math.dist(_seen(first, sight), _seen(second, sight)) > 18, (first, second)


@pytest.mark.parametrize("group", COMPARED)
def test_what_is_compared_is_told_apart_in_grey(group: str) -> None:
    """By lightness, or by dash and marker."""
    for first, second in itertools.combinations(COMPARED[group].values(), 2):
        lighter = abs(_seen(first.color, "as most see")[0] - _seen(second.color, "as most see")[0])
        assert lighter > 15 or first.dash != second.dash or first.shape != second.shape
    for first, second in itertools.combinations(SERIES, 2):
        assert first.dash != second.dash
        assert first.shape != second.shape


@pytest.mark.parametrize(
    "color", [color for name, color in MEANINGS.items() if name != "end low"] + [style.FAINT, style.INK]
)
def test_colours_stand_out_from_the_ground(color: str) -> None:
    """Three to one, as guidelines for graphics ask; the pale end of a range has an edge."""
    light = _linear(color)
    bright = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    assert 1.05 / (bright + 0.05) >= 3


def test_charts_take_their_colours_from_the_style() -> None:
    """No other file of charts writes a hue of its own; greys for grounds it may."""
    for path in CHARTS.glob("*.py"):
        if path.name == "style.py":
            continue
        for word in path.read_text("utf-8").split('"'):
            if len(word) == 7 and word.startswith("#"):
                parts = [int(word[at : at + 2], 16) for at in (1, 3, 5)]
                assert max(parts) - min(parts) <= GREYS + 4, (path.name, word)


def _chart() -> Any:  # noqa: ANN401
    layer = alt.Chart(chart_data([{"a": 1}])).mark_point().encode(x="a:Q")
    return alt.LayerChart(layer=[layer]).properties(width=100, height=50)


def test_two_lines_stand_above_and_the_rest_below() -> None:
    lines = [
        "first",
        "second",
        "third says core_attention",
        *(f"line {count} " + "long " * 30 for count in range(9)),
    ]
    chart = house_style(_chart(), "The answer at nvlink4.link.efficiency_out. And more", lines, ["1 is 2"])
    parts = chart.to_dict(validate=False)
    assert parts["title"]["text"] == ["The answer at share of scale-out bandwidth of exchanges (nvlink4)"]
    assert parts["title"]["subtitle"] == ["first", "second"]
    (caption,) = [layer for layer in parts["layer"] if layer["mark"]["type"] == "text"]
    (row,) = (
        caption["data"]["values"]
        if "values" in caption["data"]
        else parts["datasets"][caption["data"]["name"]]
    )
    assert row["label"].startswith("third says attention over the cache. line 0")
    assert len(row["label"].splitlines()) <= MOST_BELOW
    for part in ("first.", "line 8", "And more.", "1 is 2."):
        assert part in parts["description"]


def test_a_line_too_long_stands_below_whole() -> None:
    long = "word " * 60
    parts = house_style(_chart(), "Answer", ["short", long, "last"]).to_dict(validate=False)
    assert parts["title"]["subtitle"] == ["short"]
    assert len(parts["title"]["subtitle"]) <= MOST_LINES


def test_places_are_pushed_apart_within_the_ends() -> None:
    assert apart([1, 1, 1], 5, least=0, most=100) == [1, 6, 11]
    assert apart([98, 99], 5, least=0, most=100) == [95, 100]
    assert apart([], 5, least=0, most=100) == []
    assert Look("#000000", [1, 0], "circle").dash == [1, 0]
