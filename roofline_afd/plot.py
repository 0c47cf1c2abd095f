"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.bounds.questions import Fabric, Roofline, RooflinePicture
from roofline_afd.analysis.decode.questions import Breakdown, Frontier, Map
from roofline_afd.analysis.purchase.questions import Purchase, Tornado
from roofline_afd.analysis.requests.questions import LoadPicture, ParetoPanels, ParetoPicture, Simulation
from roofline_afd.analysis.sweep.questions import Swept
from roofline_afd.questions import asks

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "afd_vs_ep",
    "breakdown",
    "dead_zone",
    "fabric",
    "hfu_map",
    "load",
    "pareto",
    "pareto_panels",
    "procurement",
    "ratio",
    "roofline",
    "sweep",
    "tornado",
]


@asks(RooflinePicture)
def roofline(question: RooflinePicture) -> alt.LayerChart:
    """Draw the communication-level roofline of the FFN stage.

    Every byte level has its own roof and its own intensity: operations per byte read from memory, received
    over scale-up, and received over scale-out. At each FFN node count the three markers share a height, the
    rate achieved over the stage; the level whose marker lies on its roof binds.

    Returns
    -------
    altair.LayerChart
        The chart; dashed where a roof rests on an estimate.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> chart = roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=[1, 2, 8])
    >>> chart.to_dict()["height"]
    420
    """
    from roofline_afd.analysis.bounds.roofline import roofline_picture
    from roofline_afd.view.charts.roofline import roofline_chart

    return roofline_chart(roofline_picture(question))


@asks(Roofline)
def dead_zone(question: Roofline) -> alt.LayerChart:
    """Draw HFU, OFU and temporal sparsity over FFN nodes, the regimes shaded and named.

    Returns
    -------
    altair.LayerChart
        The chart; infeasible counts are hollow.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> dead_zone(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=[1, 2, 8]).to_dict()["height"]
    440
    """
    from roofline_afd.analysis.bounds.roofline import roofline_picture
    from roofline_afd.view.charts.dead_zone import dead_zone_chart

    return dead_zone_chart(roofline_picture(question))


@asks(Fabric)
def fabric(question: Fabric) -> alt.LayerChart | alt.VConcatChart:
    """Draw what dispatch and combine of a layer take over tokens of a device, a line per group size.

    The lines of groups within a scale-up domain lie close together; the first beyond it lies apart, by what
    leaving a rack or node costs. Published exchanges of the model's shape are marked.

    Returns
    -------
    altair.LayerChart or altair.VConcatChart
        The chart, a panel per system where there are several; dashed and pale where a line is estimated.

    Raises
    ------
    InputError
        If a number is out of bounds, a file is faulty, there are too many systems, or no group can exchange.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> chart = fabric([Scenario(system="gb200-nvl72", model="deepseek-v3")], group_sizes=[72, 144])
    >>> chart.to_dict()["height"]
    440
    """
    from roofline_afd.analysis.evidence.operators.exchanges import measured_fabric
    from roofline_afd.view.charts.fabric import fabric_chart

    return fabric_chart(measured_fabric(question))


@asks(Breakdown)
def breakdown(question: Breakdown) -> alt.LayerChart:
    """Draw where a decode step spends its time, the largest operator first.

    Returns
    -------
    altair.LayerChart
        The chart, operators of less than a hundredth together; pale bars with a dashed edge rest on
        efficiencies never measured on these parts.

    Raises
    ------
    InputError
        If a size is out of bounds.
    InfeasibleError
        If no fabric of the system connects the devices.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> chart = breakdown(Scenario(system="h800", model="deepseek-v3", devices=64, batch=64))
    >>> "H800" in str(chart.to_dict()["title"])
    True
    """
    from roofline_afd.analysis.decode.breakdown import breakdown as analyse
    from roofline_afd.view.charts.breakdown import breakdown_chart

    return breakdown_chart(analyse(question))


@asks(Frontier)
def afd_vs_ep(question: Frontier) -> alt.LayerChart:
    """Draw the best throughput of both modes over the latency target.

    Returns
    -------
    altair.LayerChart
        The chart; each marker is one deployment, a band the error that was measured, and a line the
        question's own latency target.

    Raises
    ------
    InputError
        If the range is reversed or the scenario is out of bounds.
    InfeasibleError
        If neither mode has a feasible deployment.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-120b", max_devices=8, tensor_parallel=1)
    >>> chart = afd_vs_ep(scenario, targets_ms=[10, 20, 40])
    >>> chart.to_dict()["width"]
    760
    """
    from roofline_afd.analysis.decode.curves import frontier
    from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart

    return afd_vs_ep_chart(frontier(question))


@asks(Map)
def hfu_map(question: Map) -> alt.LayerChart:
    """Draw where AFD beats EP, or how well FFN devices are used, over two inputs.

    Returns
    -------
    altair.LayerChart
        The chart; crossed out where nothing is feasible, with the break-even line of the two modes, and a
        ring at the question's own values.

    Raises
    ------
    InputError
        If a key is unknown, a value out of bounds, or there are too many points.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-120b", max_devices=8, tensor_parallel=1)
    >>> chart = hfu_map(scenario, x=("context", [2048, 8192]), y=("tpot_ms", [20, 50]))
    >>> chart.to_dict()["width"]
    760
    """
    from roofline_afd.analysis.decode.maps import grid
    from roofline_afd.view.charts.hfu_map import hfu_map_chart

    return hfu_map_chart(grid(question))


@asks(ParetoPicture)
def pareto(question: ParetoPicture) -> alt.LayerChart:
    """Draw the frontier of each serving mode: throughput over tokens a second of every user.

    Returns
    -------
    altair.LayerChart
        The chart: a step line a mode, the best under the limits in a ring, the error of published services
        a band, and as many grey dots of what the lines beat as are asked for.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tensor_parallel=1)
    >>> chart = pareto(scenario, workload="chat", modes=["agg", "pd"])
    >>> chart.to_dict()["width"]
    760
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
        The panels, on one scale, each with its best deployment; one where nothing is feasible says why.

    Raises
    ------
    InputError
        If the question contradicts itself, names nothing, or too much.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tensor_parallel=1)
    >>> chart = pareto_panels([scenario], workloads=["chat"], modes=["agg"])
    >>> len(chart.to_dict()["vconcat"])
    1
    """
    from roofline_afd.analysis.requests.pareto import panels_picture
    from roofline_afd.view.charts.pareto_panels import pareto_panels as panels

    return panels(panels_picture(question))


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

    Examples
    --------
    >>> chart = ratio(coefficients=(0.00165, 50, 0.083, 100, 0.022, 20), layers=61, batch=64,
    ...               prompt_mean=100, decode_mean=50, r=[1, 2, 4], requests=500, replications=2)
    >>> len(chart.to_dict()["vconcat"])
    2
    """
    from roofline_afd.analysis.requests.ratio import ratio_picture
    from roofline_afd.view.charts.ratio import ratio_chart

    return ratio_chart(ratio_picture(question))


@asks(Purchase)
def procurement(question: Purchase) -> alt.TopLevelMixin:
    """Draw what a million tokens, or whole requests, cost on each candidate, the cheapest on top.

    Returns
    -------
    altair.LayerChart or VConcatChart
        The chart; where nobody has a price, its bars are devices.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> fixed = {"model": "gpt-oss-120b", "max_devices": 4, "tensor_parallel": 1}
    >>> candidates = [Scenario(system=name, **fixed) for name in ("b200", "h200")]
    >>> chart = procurement(candidates, demand=100_000)
    >>> "b200" in str(chart.to_dict()["title"])
    True
    """
    from roofline_afd.analysis.purchase.services import procure
    from roofline_afd.view.charts.procurement import procurement_chart

    return procurement_chart(procure(question))


@asks(LoadPicture)
def load(question: LoadPicture) -> alt.VConcatChart:
    """Draw what requests wait for, in percentiles, over how many come a second.

    Returns
    -------
    altair.VConcatChart
        The chart: the time to the first token above, that per output token below, with their limits.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no deployment meets the limits without waiting.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tpot_ms=30, tensor_parallel=1)
    >>> chart = load(scenario, mode="agg", isl=512, osl=64, rates=[5, 50])
    >>> len(chart.to_dict()["vconcat"])
    2
    """
    from roofline_afd.analysis.requests.under_load import under_load
    from roofline_afd.view.charts.load import load_chart

    return load_chart(under_load(question))


@asks(Swept)
def sweep(question: Swept) -> alt.LayerChart:
    """Draw a sweep's file: a heat map over two of its axes, or lines over one, the best of all others.

    Returns
    -------
    altair.LayerChart
        The chart.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or has too many values for a picture.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import roofline_afd as ra
    >>> scenario = ra.Scenario(system="h800", model="deepseek-v3")
    >>> axes = {"ffn_nodes": [1, 2, 8], "scale_out_gb_per_s": [25, 50, 100]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "sweep.csv"
    ...     _ = ra.sweep(scenario, axes=axes, of="roofline", file=file)
    ...     chart = sweep(file=file, metric="hfu", x="ffn_nodes", by="scale_out_gb_per_s")
    >>> chart.to_dict()["height"]
    360
    """
    from roofline_afd.analysis.sweep.swept import swept
    from roofline_afd.view.charts.sweep import sweep_chart

    return sweep_chart(swept(question))


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

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="h800", model="deepseek-v3", devices=32, batch=64, tensor_parallel=1)
    >>> chart = tornado(scenario, samples=0, uncertainty={"context": "50%"})
    >>> chart.to_dict()["width"]
    760
    """
    from roofline_afd.analysis.purchase.sensitivity import sensitivity
    from roofline_afd.view.charts.tornado import tornado_chart

    return tornado_chart(sensitivity(question))
