"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.purchase.questions import Purchase, Tornado
from roofline_afd.questions import asks
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart as afd_vs_ep
from roofline_afd.view.charts.afd_vs_ep import hfu_map_chart as hfu_map
from roofline_afd.view.charts.pareto import pareto_chart as pareto
from roofline_afd.view.charts.pareto import pareto_panels
from roofline_afd.view.charts.ratio import ratio_chart as ratio
from roofline_afd.view.charts.roofline import breakdown_chart as breakdown
from roofline_afd.view.charts.roofline import dead_zone_chart as dead_zone
from roofline_afd.view.charts.roofline import roofline_chart as roofline

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "afd_vs_ep",
    "breakdown",
    "dead_zone",
    "hfu_map",
    "pareto",
    "pareto_panels",
    "procurement",
    "ratio",
    "roofline",
    "tornado",
]


@asks(Purchase)
def procurement(question: Purchase) -> alt.LayerChart:
    """Draw what a million tokens cost on each candidate, the cheapest on top.

    Returns
    -------
    altair.LayerChart
        The chart; where nobody has a price, its bars are devices.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.
    """
    from roofline_afd.analysis.purchase.procurement import procure
    from roofline_afd.view.charts.procurement import procurement_chart

    return procurement_chart(procure(question))


@asks(Tornado)
def tornado(question: Tornado) -> alt.LayerChart:
    """Draw how far each uncertain input moves the answer, those that move it most on top.

    Returns
    -------
    altair.LayerChart
        The chart: a bar to each end of the range, and diamonds where the winner changes.

    Raises
    ------
    InputError
        If a key is unknown, or a range is none.
    InfeasibleError
        If nothing is feasible, or the metric has no value.
    """
    from roofline_afd.analysis.purchase.sensitivity import sensitivity
    from roofline_afd.view.charts.tornado import tornado_chart

    return tornado_chart(sensitivity(question))
