"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.requests.questions import ParetoPanels, ParetoPicture, Simulation
from roofline_afd.questions import asks
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart as afd_vs_ep
from roofline_afd.view.charts.afd_vs_ep import hfu_map_chart as hfu_map
from roofline_afd.view.charts.procurement import procurement_chart as procurement
from roofline_afd.view.charts.roofline import breakdown_chart as breakdown
from roofline_afd.view.charts.roofline import dead_zone_chart as dead_zone
from roofline_afd.view.charts.roofline import roofline_chart as roofline
from roofline_afd.view.charts.tornado import tornado_chart as tornado

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


@asks(Simulation)
def ratio(question: Simulation) -> alt.VConcatChart:
    """Draw throughput per instance over the ratio of attention to FFN instances, and idle shares below.

    Returns
    -------
    altair.VConcatChart
        The chart: formulas as curves, the simulation as points with 95 % intervals.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    from roofline_afd.analysis.requests.ratio import ratio_picture
    from roofline_afd.view.charts.ratio import ratio_chart

    return ratio_chart(ratio_picture(question))


@asks(ParetoPicture)
def pareto(question: ParetoPicture) -> alt.LayerChart:
    """Draw the frontier of each serving mode: throughput over tokens a second of every user.

    Returns
    -------
    altair.LayerChart
        The chart: a step line a mode, grey dots what they beat, the best under the limits in a ring.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment.
    """
    from roofline_afd.analysis.requests.pareto import pareto_picture
    from roofline_afd.view.charts.pareto import pareto_chart

    return pareto_chart(pareto_picture(question))


@asks(ParetoPanels)
def pareto_panels(question: ParetoPanels) -> alt.VConcatChart:
    """Draw the frontiers of serving modes for each scenario, a row, and each kind of requests, a column.

    Returns
    -------
    altair.VConcatChart
        The panels, each with axes of its own and its best deployment; one where nothing is feasible says why.

    Raises
    ------
    InputError
        If the question contradicts itself, names nothing, or too much.
    """
    from roofline_afd.analysis.requests.pareto import panels_picture
    from roofline_afd.view.charts.pareto_panels import pareto_panels as panels

    return panels(panels_picture(question))
