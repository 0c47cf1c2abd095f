"""How work fills a device: whole tiles, whole waves, few pieces; by hand and by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import filling

ROWS, TILES = st.integers(1, 256), st.integers(1, 128)


@given(ROWS, TILES)
def test_padding_fills_tiles(rows: int, tile: int) -> None:
    """Whole tiles, never less than the rows, and not a tile too many."""
    computed = filling.padded_share(rows=rows, tile_rows=tile) * rows
    assert computed == pytest.approx(-(-rows // tile) * tile)


@given(ROWS, TILES)
def test_least_tile_fills_one_tile_alone(rows: int, tile: int) -> None:
    """As whole tiles up to the first; beyond it nothing, so that it is never more than these."""
    share = filling.least_tile_share(rows=rows, tile_rows=tile)
    assert share * rows == pytest.approx(max(rows, tile))
    assert share <= filling.padded_share(rows=rows, tile_rows=tile) * (1 + 1e-12)


@given(st.floats(1.0, 5000.0), st.floats(1.0, 4.0), TILES)
def test_shares_fall_slower_than_rows_grow(rows: float, factor: float, tile: int) -> None:
    """More rows are never computed faster, for products whose batch is chosen and for uneven groups."""
    for share in (filling.least_tile_share, filling.spread_padded_share):
        few, many = (share(rows=each, tile_rows=tile) * each for each in (rows, rows * factor))
        assert many >= few * (1 - 1e-12)
        assert share(rows=rows, tile_rows=tile) >= 1


def test_uneven_groups_by_hand() -> None:
    """A tile where few rows come, half as many again around one, and a tile more than many rows."""
    rows = np.array([1.0, 64 / 1.5, 100.0, 128.0, 1000.0])
    computed = np.array([64.0, 64.0, 150.0, 192.0, 1064.0])
    share = filling.spread_padded_share(rows=rows, tile_rows=64)
    assert share * rows == pytest.approx(computed)
    assert filling.spread_padded_share(rows=rows, tile_rows=1).tolist() == [1.0] * 5


def test_uneven_groups_fill_between_counted_tiles() -> None:
    """Groups whose rows are drawn by chance: no less than their tiles, no more than pairs of tiles."""
    drawn = np.random.default_rng(1)
    for mean in (4, 16, 64, 128, 512, 2048):
        rows = drawn.poisson(drawn.gamma(4.0, mean / 4.0, size=20000))  # uneven by half: popular experts
        held = rows[rows > 0]
        single, double = (np.sum(np.ceil(held / tile) * tile) / np.sum(held) for tile in (64, 128))
        share = filling.spread_padded_share(rows=float(np.mean(held)), tile_rows=64)
        assert single * 0.98 <= share <= double * 1.02, mean


@given(st.integers(1, 2000), st.integers(1, 200))
def test_waves_keep_whole_processors_busy(items: int, processors: int) -> None:
    """Pieces over processors times waves; three quarters at least; all busy at whole waves."""
    waves = math.ceil(items / processors)
    share = filling.filled_waves(items=items, processors=processors)
    assert share == pytest.approx(max(0.75, items / (waves * processors)))
    assert filling.filled_waves(items=waves * processors, processors=processors) == 1


def test_waves_by_hand() -> None:
    """78 processors: 100 pieces take two waves and would fill 64 % of them, 117 fill three quarters."""
    found = filling.filled_waves(items=np.array([1.0, 78, 100, 117, 140, 156]), processors=78)
    assert found == pytest.approx([0.75, 1.0, 0.75, 0.75, 140 / 156, 1.0])


@given(st.floats(1.0, 1e4), st.floats(1.0, 4.0), st.integers(1, 200))
def test_more_pieces_may_take_less_than_a_wave_less(items: float, factor: float, processors: int) -> None:
    """Time goes with pieces over the share: in whole waves it never falls, and is a third off at most."""
    few, many = (
        each / filling.filled_waves(items=each, processors=processors) for each in (items, items * factor)
    )
    assert many >= few * (1 - 1e-12)
    assert items * (1 - 1e-12) <= few <= items / 0.75 * (1 + 1e-12)


def test_few_pieces_by_hand() -> None:
    """A doubling each below 16 pieces, in full from 32,768 entries, in proportion below."""
    growth = filling.few_items_growth(items=np.array([1.0, 2, 8, 16, 64]), entries=32768)
    assert growth.tolist() == [4.0, 3.0, 1.0, 0.0, 0.0]
    entries = filling.few_items_growth(items=4, entries=np.array([0.0, 8192, 32768, 1 << 20]))
    assert entries.tolist() == [0.0, 0.5, 2.0, 2.0]
