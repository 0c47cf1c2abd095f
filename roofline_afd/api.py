"""The Python API: each analysis as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis import roofline as _roofline

if TYPE_CHECKING:
    import pandas as pd

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
