"""How well work fills a device: rows up to tiles, pieces up to waves of processors, few pieces split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.operators import LEAST_ROWS

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

LEAST_FILL = 0.75
"""Share of the processors that stays busy however badly pieces of work divide among them [1]."""
FEW_ITEMS = 16.0
"""Pieces of work below which a decode core is split along the sequence, and summed up after [1]."""
WIDE_ROWS = 64.0
"""Rows of an operand from which kernels reach another share of the peak [1]."""
LONG_ENTRIES = 32768.0
"""Entries from which that split costs its full time [1]."""


def padded_share(*, rows: FloatLike, tile_rows: FloatLike) -> FloatArray:
    """Return by how much a product grows when its rows are filled up to whole tiles.

    Parameters
    ----------
    rows : float or array
        Rows that share one operand: those of a product, or query heads of a cached head times query tokens
        of a sequence [1].
    tile_rows : float or array
        Rows of one tile of the matrix unit; 1 without padding [1].

    Returns
    -------
    float or array
        Rows computed over rows needed, at least 1 [1].

    Notes
    -----
    share = ceil(rows / tile) * tile / rows

    References
    ----------
    arXiv 2507.19427 (Step-3): query heads of one cached head against the rows of a tile.

    Examples
    --------
    >>> float(padded_share(rows=16, tile_rows=64))
    4.0
    """
    given = np.maximum(rows, LEAST_ROWS)
    return np.ceil(np.divide(given, tile_rows)) * tile_rows / given


def least_tile_share(*, rows: FloatLike, tile_rows: FloatLike) -> FloatArray:
    """Return by how much a product grows when its rows fill at least one tile, whatever they are beyond it.

    Parameters
    ----------
    rows : float or array
        Rows of a product whose batch is chosen: whole tiles are what one would choose [1].
    tile_rows : float or array
        Rows of one tile of the matrix unit; 1 without padding [1].

    Returns
    -------
    float or array
        Rows computed over rows needed, at least 1 [1].

    Notes
    -----
    share = max(1, tile / rows): never less time for more rows, nor more per row

    References
    ----------
    This project: `padded_share` without its steps beyond the first tile.

    Examples
    --------
    >>> least_tile_share(rows=[16, 64, 96], tile_rows=64).tolist()
    [4.0, 1.0, 1.0]
    """
    return np.maximum(1.0, np.divide(tile_rows, np.maximum(rows, LEAST_ROWS)))


def spread_padded_share(*, rows: FloatLike, tile_rows: FloatLike) -> FloatArray:
    """Return by how much a grouped product grows when the rows of each group are filled up to whole tiles.

    Parameters
    ----------
    rows : float or array
        Mean rows of a group that has any [1].
    tile_rows : float or array
        Rows of one tile of the matrix unit; 1 without padding [1].

    Returns
    -------
    float or array
        Rows computed over rows needed, at least 1 [1].

    Notes
    -----
    share = max(tile, min(1.5 * rows, rows + tile)) / rows where tile > 1, else 1: one tile where few rows
    come; beyond it groups are filled unevenly, and lose half of a tile of two on average

    References
    ----------
    This project: 669 published times of grouped products on the H20, whose tiles show from 1 to 4,096 rows.

    Examples
    --------
    >>> spread_padded_share(rows=[16, 96, 640], tile_rows=64).tolist()
    [4.0, 1.5, 1.1]
    """
    given = np.maximum(rows, LEAST_ROWS)
    filled = np.maximum(tile_rows, np.minimum(1.5 * given, given + tile_rows))
    if np.greater(tile_rows, 1).all():
        return filled / given
    return np.where(np.greater(tile_rows, 1), filled, given) / given


def filled_waves(*, items: FloatLike, processors: FloatLike) -> FloatArray:
    """Return the share of the processors that equal pieces of work keep busy, dealt out in whole waves.

    Parameters
    ----------
    items : float or array
        Pieces of work, of which a processor takes one at a time [1].
    processors : float or array
        Processors of the device [1].

    Returns
    -------
    float or array
        Share, at least 0.75: kernels split pieces where too few would be left for the last wave [1].

    Notes
    -----
    share = max(0.75, n / (P * ceil(n / P)))

    References
    ----------
    This project: times of grouped-query and of latent decoding on the H20 (InferSim, bench_data), whose share
    of the peak follows it; where processors are many (H800) times do not show it.

    Examples
    --------
    >>> float(filled_waves(items=156, processors=78)), float(filled_waves(items=80, processors=78))
    (1.0, 0.75)
    """
    waves = np.multiply(processors, np.ceil(np.divide(items, processors)))
    return np.maximum(LEAST_FILL, np.divide(items, np.maximum(waves, 1.0)))


def wide_share(*, rows: FloatLike, tile_rows: FloatLike, narrow: FloatLike, wide: FloatLike) -> FloatArray:
    """Return the share of the peak that rows of one operand reach, where many reach another than few.

    Parameters
    ----------
    rows : float or array
        Rows that share one operand [1].
    tile_rows : float or array
        Rows of one tile of the matrix unit that they are filled up to [1].
    narrow, wide : float or array
        Share of the peak below 64 rows, and from there on [1].

    Returns
    -------
    float or array
        Share [1].

    Notes
    -----
    share = wide from 64 rows on, else max(narrow, wide * filled / 64), filled = ceil(rows / tile) * tile: no
    fewer rows take longer than 64 do

    References
    ----------
    This project: times of grouped-query decoding on the H20, at 4 to 32 and at 64 and 128 rows.

    Examples
    --------
    >>> wide_share(rows=[32, 48, 64], tile_rows=16, narrow=0.4, wide=0.6).round(2).tolist()
    [0.4, 0.45, 0.6]
    """
    filled = np.ceil(np.divide(rows, tile_rows)) * tile_rows
    rising = np.maximum(narrow, np.multiply(wide, filled) / WIDE_ROWS)
    return np.where(np.greater_equal(rows, WIDE_ROWS), wide, rising)[()]


def few_items_growth(*, items: FloatLike, entries: FloatLike) -> FloatArray:
    """Return how many times the fixed time of a decode core grows where few pieces of work share a device.

    Parameters
    ----------
    items : float or array
        Pieces of work: sequences times cached heads [1].
    entries : float or array
        Cached entries each attends to [1].

    Returns
    -------
    float or array
        Factor on the time that such a growth takes, 0 from 16 pieces on [1].

    Notes
    -----
    growth = max(0, log2(16 / items)) * min(1, entries / 32768)

    References
    ----------
    This project: published times of grouped-query and latent decoding on GB200, whose cores are split along
    the sequence where pieces are few, and then summed up.

    Examples
    --------
    >>> float(few_items_growth(items=4, entries=65536)), float(few_items_growth(items=64, entries=65536))
    (2.0, 0.0)
    """
    doublings = np.log2(np.divide(FEW_ITEMS, np.maximum(items, LEAST_ROWS)))
    return np.maximum(0.0, doublings) * np.minimum(1.0, np.divide(entries, LONG_ENTRIES))
