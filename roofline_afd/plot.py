"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.roofline import DEFAULT_FFN_NODES
from roofline_afd.view.charts import dead_zone_chart, roofline_chart

if TYPE_CHECKING:
    import altair as alt

    from roofline_afd.serving.scenario import Scenario

ROOFLINE_FFN_NODES = (*range(1, 9), 16, 32)
"""FFN node counts worth a marker where none are asked for."""


def roofline(scenario: Scenario, *, ffn_nodes: object = ROOFLINE_FFN_NODES) -> alt.LayerChart:
    """Draw the communication-level roofline of the FFN stage.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts to mark [1].

    Returns
    -------
    altair.LayerChart
        The chart.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    return roofline_chart(scenario, ffn_nodes=ffn_nodes)


def dead_zone(scenario: Scenario, *, ffn_nodes: object = DEFAULT_FFN_NODES) -> alt.LayerChart:
    """Draw HFU, OFU and temporal sparsity over FFN nodes, the regimes shaded and named.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts [1].

    Returns
    -------
    altair.LayerChart
        The chart.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.
    """
    return dead_zone_chart(scenario, ffn_nodes=ffn_nodes)
