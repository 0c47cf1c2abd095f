"""Pictures of the report, and what is searched anew for them: independent pieces of work."""

from __future__ import annotations

import base64
import html
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.purchase.sensitivity import sensitivity
from roofline_afd.analysis.purchase.variation import RATIO
from roofline_afd.analysis.requests.simulator import FEW_TURNS
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.reporting.page import CURVE_DEVICES
from roofline_afd.serving.deployment import AFD
from roofline_afd.view.charts import procurement as procurement_chart
from roofline_afd.view.charts import tornado as tornado_chart
from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
from roofline_afd.view.charts.pareto import pareto_chart
from roofline_afd.view.charts.ratio import ratio_chart
from roofline_afd.view.charts.roofline import breakdown_chart, dead_zone_chart
from roofline_afd.view.pages import svg_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import altair as alt

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.reporting.page import Case
    from roofline_afd.serving.scenario import Scenario

SIMULATED_STEPS = 2600
"""Output tokens of a slot that are simulated, but for its first few requests."""
SAMPLES = 40
BREAK_EVENS = 6
"""Inputs, those that move the answer most, whose break-even is looked for."""
DOTS = 300
"""Beaten deployments drawn: a picture has no hover that would name them."""


def pictures_of(case: Case) -> dict[str, Callable[[], Any]]:
    """Return what makes the pictures of a page, and the answers they rest on.

    Parameters
    ----------
    case : Case
        What the page is about.

    Returns
    -------
    dict
        By name, the longest first: pictures as html, `moved` the answer of `sensitivity` with its picture,
        `verdict` the sentence of `compare`.
    """
    chosen, coarse, best = case.chosen, case.coarse, case.best
    fewer = attrs.evolve(coarse, max_devices=min(coarse.max_devices, CURVE_DEVICES))
    tasks: dict[str, Callable[[], Any]] = {
        "moved": lambda: _moved(coarse, best["mode"]),
        "pareto": lambda: _picture(
            lambda: pareto_chart(case.small, dots=DOTS, isl=case.prompt, osl=case.output),
            "Frontiers of four serving modes",
        ),
        "ratio": partial(_ratio, case, case.afd) if case.afd else str,
        "curves": lambda: _picture(
            lambda: afd_vs_ep_chart(fewer), "Tokens per second and device over TPOT, EP and AFD"
        ),
        "procurement": lambda: _picture(
            lambda: procurement_chart.draw(case.bought, case.scenarios[0]),
            "Cost per million tokens by system and mode",
        ),
        "breakdown": lambda: _picture(
            lambda: breakdown_chart(_deployed(chosen, best), mode=best["mode"]),
            "Where a decode step spends its time",
        ),
        "dead zone": lambda: _picture(
            lambda: dead_zone_chart(chosen), "HFU over FFN nodes, with the dead zone"
        ),
        "verdict": lambda: str(compare(coarse).summary["reason"]),
    }
    return tasks


def _picture(make: Callable[[], alt.TopLevelMixin], about: str) -> str:
    """Return the image of a chart, or why there is none."""
    try:
        drawn = svg_bytes(make().to_dict(validate=False))
    except (InfeasibleError, InputError) as error:
        return f'<p class="faint">No picture: {html.escape(str(error))}</p>'
    data = base64.b64encode(drawn).decode()
    image = f'<img alt="{html.escape(about)}" src="data:image/svg+xml;base64,{data}">'
    return f'<figure tabindex="0">{image}</figure>'


def _moved(question: Scenario, mode: str) -> tuple[Answer, str]:
    """Return what uncertain inputs do to AFD over EP; to the mode that serves where the other cannot."""
    asked: dict[str, Any] = {"samples": SAMPLES, "break_evens": BREAK_EVENS}
    try:
        found = sensitivity(question, metric=RATIO, **asked)
    except InfeasibleError:
        found = sensitivity(question, metric=mode, **asked)
    about = "Inputs by how far they move the comparison"
    return found, _picture(lambda: tornado_chart.draw(question, found), about)


def _ratio(case: Case, afd: Mapping[str, Any]) -> str:
    """Return the picture of ratios about a disaggregated deployment.

    The batch is three quarters of that of a micro-batch: one that fits at the mean context leaves no room
    for one that is longer than the mean.
    """
    m = int(afd["microbatches"])
    batch = max(int(afd["batch_per_device"]) * 3 // (4 * m), 1)
    turns = min(FEW_TURNS, SIMULATED_STEPS / case.output)
    ffn_devices = afd["n_ffn_devices"] // afd["n_replicas"]
    question: dict[str, Any] = {
        "scenario": attrs.evolve(case.chosen, microbatches=m, ffn_devices=ffn_devices),
        "prompt_mean": case.prompt,
        "decode_mean": case.output,
        "batch": batch,
        "requests": max(round(turns * batch * m), 1),
        "replications": 2,
    }
    return _picture(partial(ratio_chart, **question), "Throughput over attention instances per FFN instance")


def _deployed(chosen: Scenario, best: Mapping[str, Any]) -> Scenario:
    """Return the question about the deployment that was chosen."""
    replicas = best["n_replicas"]
    groups = {"devices": best["n_devices"] // replicas}
    if best["mode"] == AFD:
        groups = {f"{side}_devices": best[f"n_{side}_devices"] // replicas for side in ("attention", "ffn")}
    return attrs.evolve(chosen, batch=best["batch_per_device"], microbatches=best["microbatches"], **groups)
