"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart as afd_vs_ep
from roofline_afd.view.charts.breakdown import breakdown_chart as breakdown
from roofline_afd.view.charts.dead_zone import dead_zone_chart as dead_zone
from roofline_afd.view.charts.hfu_map import hfu_map_chart as hfu_map
from roofline_afd.view.charts.pareto import pareto_chart as pareto
from roofline_afd.view.charts.pareto import pareto_panels
from roofline_afd.view.charts.procurement import procurement_chart as procurement
from roofline_afd.view.charts.ratio import ratio_chart as ratio
from roofline_afd.view.charts.roofline import roofline_chart as roofline
from roofline_afd.view.charts.tornado import tornado_chart as tornado

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
