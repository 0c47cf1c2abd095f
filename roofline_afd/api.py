"""The Python API: each analysis as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis import roofline as _roofline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.serving.scenario import Scenario


def roofline(scenario: Scenario, *, ffn_nodes: object = _roofline.DEFAULT_FFN_NODES) -> pd.DataFrame:
    """Answer where adding FFN nodes stops helping, as a table.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts, one row each [1].

    Returns
    -------
    pandas.DataFrame
        The keys of `roofline --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> table = roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=[2, 8])
    >>> table["hfu"].round(3).tolist()
    [0.331, 0.103]
    """
    return _roofline.roofline(scenario, ffn_nodes=ffn_nodes).frame()


def validate(*, operators: Sequence[str | Path], catalogue: Catalogue | None = None) -> pd.DataFrame:
    """Say how far predicted operator and transfer times are from measured ones, as a table.

    Parameters
    ----------
    operators : sequence of path
        CSV files of measured times.
    catalogue : Catalogue, optional
        Where systems, models and their calibration are looked up; the shipped one with the user's overlays by
        default.

    Returns
    -------
    pandas.DataFrame
        The keys of `validate --operators --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a file cannot be read, or a row of it is faulty.
    """
    from pathlib import Path  # only here

    from roofline_afd.analysis.measurements import read_measurements
    from roofline_afd.analysis.validation import validate_operators
    from roofline_afd.catalogue.store import Catalogue

    catalogue = catalogue or Catalogue()
    rows = read_measurements([Path(file) for file in operators], catalogue=catalogue)
    return validate_operators(rows, catalogue=catalogue).frame()
