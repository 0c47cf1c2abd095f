"""Pictures of the report: answers drawn as images inside the page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.reporting.markup import picture
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
from roofline_afd.view.charts.breakdown import breakdown_chart
from roofline_afd.view.charts.dead_zone import dead_zone_chart
from roofline_afd.view.charts.load import load_chart
from roofline_afd.view.charts.pareto import pareto_chart
from roofline_afd.view.charts.procurement import procurement_chart
from roofline_afd.view.charts.ratio import ratio_chart
from roofline_afd.view.charts.tornado import tornado_chart
from roofline_afd.view.pages import svg_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.answer import Answer

PICTURES: dict[str, tuple[Callable[[Answer], Any], str]] = {
    "requests": (procurement_chart, "Cost of whole requests by part, and the fleets in their racks"),
    "load": (load_chart, "Percentiles of both times over requests per second"),
    "pareto": (pareto_chart, "Frontiers of four serving modes"),
    "ratio": (ratio_chart, "Throughput over attention instances per FFN instance"),
    "curves": (afd_vs_ep_chart, "Tokens per second and device over TPOT, EP and AFD"),
    "procurement": (procurement_chart, "Cost per million tokens by system and mode"),
    "breakdown": (breakdown_chart, "Where a decode step spends its time"),
    "dead zone": (dead_zone_chart, "HFU over FFN nodes, with the dead zone"),
    "tornado": (tornado_chart, "Inputs by how far they move the comparison"),
}
"""What draws each picture, and what is said of it to those who do not see it."""


def drawn(name: str, ask: Callable[[], Answer]) -> str:
    """Return the image of an answer, or why there is none.

    Parameters
    ----------
    name : str
        A key of `PICTURES`.
    ask : callable
        Returns the answer.

    Returns
    -------
    str
        Html.
    """
    chart, about = PICTURES[name]
    try:
        image = svg_bytes(chart(ask()).to_dict(validate=False))
    except (InfeasibleError, InputError) as error:
        return f'<p class="faint">No picture: {html.escape(str(error))}</p>'
    return picture(image, about)
