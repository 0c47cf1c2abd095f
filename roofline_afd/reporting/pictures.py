"""Pictures of the report: independent pieces of work, as most of them search anew."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline_picture
from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.curves import frontier
from roofline_afd.analysis.decode.questions import Breakdown, Frontier
from roofline_afd.analysis.requests.pareto import pareto_picture
from roofline_afd.analysis.requests.questions import ParetoPicture
from roofline_afd.analysis.requests.ratio import ratio_picture
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.reporting.case import deployed, fewer, ratio_question
from roofline_afd.reporting.markup import picture
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
from roofline_afd.view.charts.breakdown import breakdown_chart
from roofline_afd.view.charts.dead_zone import dead_zone_chart
from roofline_afd.view.charts.pareto import pareto_chart
from roofline_afd.view.charts.procurement import procurement_chart
from roofline_afd.view.charts.ratio import ratio_chart
from roofline_afd.view.charts.tornado import tornado_chart
from roofline_afd.view.pages import svg_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import altair as alt

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.reporting.case import Case

DOTS = 300
"""Beaten deployments drawn: a picture has no hover that would name them."""


def pictures_of(case: Case) -> dict[str, Callable[[], str]]:
    """Return what makes the pictures of a page.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    dict
        By name, the longest first: what returns html.
    """
    afd = case.afd
    tasks: dict[str, Callable[[], str]] = {
        "pareto": lambda: _drawn(
            lambda: pareto_chart(
                pareto_picture(ParetoPicture(case.small, dots=DOTS, isl=case.prompt, osl=case.output))
            ),
            "Frontiers of four serving modes",
        ),
        "ratio": str
        if afd is None
        else lambda: _drawn(
            lambda: ratio_chart(ratio_picture(ratio_question(case, afd))),
            "Throughput over attention instances per FFN instance",
        ),
        "curves": lambda: _drawn(
            lambda: afd_vs_ep_chart(frontier(Frontier(fewer(case)))),
            "Tokens per second and device over TPOT, EP and AFD",
        ),
        "procurement": lambda: _drawn(
            lambda: procurement_chart(case.bought),
            "Cost per million tokens by system and mode",
        ),
        "breakdown": lambda: _drawn(
            lambda: breakdown_chart(breakdown(Breakdown(deployed(case), mode=case.best["mode"]))),
            "Where a decode step spends its time",
        ),
        "dead zone": lambda: _drawn(
            lambda: dead_zone_chart(roofline_picture(Roofline(case.chosen))),
            "HFU over FFN nodes, with the dead zone",
        ),
    }
    return tasks


def tornado_picture(moved: Answer) -> str:
    """Return the picture of what uncertain inputs do.

    Parameters
    ----------
    moved : Answer
        Of `sensitivity`.

    Returns
    -------
    str
        Html.
    """
    return _drawn(lambda: tornado_chart(moved), "Inputs by how far they move the comparison")


def _drawn(make: Callable[[], alt.TopLevelMixin], about: str) -> str:
    """Return the image of a chart, or why there is none."""
    try:
        drawn = svg_bytes(make().to_dict(validate=False))
    except (InfeasibleError, InputError) as error:
        return f'<p class="faint">No picture: {html.escape(str(error))}</p>'
    return picture(drawn, about)
