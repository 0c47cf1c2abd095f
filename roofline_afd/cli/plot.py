"""`plot KIND`: the answers as pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from roofline_afd.analysis.bounds.questions import Fabric, Roofline, RooflinePicture
from roofline_afd.analysis.decode.questions import Breakdown, Frontier, Map
from roofline_afd.analysis.purchase.questions import Purchase, Tornado
from roofline_afd.analysis.requests.questions import LoadPicture, ParetoPanels, ParetoPicture, Simulation
from roofline_afd.analysis.sweep.questions import Swept
from roofline_afd.cli.commands import Shelf, register_picture
from roofline_afd.cli.explore import rate_of
from roofline_afd.cli.load import READERS as LOADED
from roofline_afd.cli.options import Databases, ScenarioFile
from roofline_afd.cli.procure import READERS as PRICED
from roofline_afd.cli.progress import progress_bar
from roofline_afd.cli.provision import Hardware, placed
from roofline_afd.cli.ranges import axis_of, ffn_nodes_of, milliseconds_of
from roofline_afd.cli.sensitivity import READERS as UNCERTAIN

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer  # not for --help


def add(app: Shelf) -> None:
    """Add the commands to the program."""
    group = app.group("plot", "Pictures: html (self-contained), svg, png, pdf, or Vega-Lite json.")
    _add_procurement(group)
    _add_fabric(group)

    @register_picture(
        group,
        "roofline",
        help_text="The communication-level roofline: memory, scale-up, scale-out and compute roofs, "
        "and where each FFN node count operates.",
        chart="roofline:roofline_chart",
        of="roofline",
        readers={"ffn_nodes": ffn_nodes_of},
    )
    def roofline(question: RooflinePicture) -> Answer:
        from roofline_afd.analysis.bounds.roofline import roofline_picture  # not for --help

        return roofline_picture(question)

    @register_picture(
        group,
        "dead-zone",
        help_text="HFU, OFU and temporal sparsity over FFN nodes, regimes shaded and named.",
        chart="dead_zone:dead_zone_chart",
        of="roofline",
        readers={"ffn_nodes": ffn_nodes_of},
    )
    def dead_zone(question: Roofline) -> Answer:
        from roofline_afd.analysis.bounds.roofline import roofline_picture

        return roofline_picture(question)

    @register_picture(
        group,
        "breakdown",
        help_text="Where a decode step spends its time: every operator of one deployment, or of the best.",
        chart="breakdown:breakdown_chart",
        of="breakdown",
    )
    def breakdown(question: Breakdown) -> Answer:
        from roofline_afd.analysis.decode.breakdown import breakdown

        return breakdown(question)

    @register_picture(
        group,
        "afd-vs-ep",
        help_text="EP against AFD: tokens per second and device of the best deployments over latency.",
        chart="afd_vs_ep:afd_vs_ep_chart",
        of="afd-vs-ep",
        readers={"tpot_range": partial(milliseconds_of, option="--tpot-range")},
    )
    def afd_vs_ep(question: Frontier) -> Answer:
        from roofline_afd.analysis.decode.curves import frontier

        return frontier(question)

    @register_picture(
        group,
        "hfu-map",
        help_text="A map over two inputs: where AFD beats EP with the break-even line, or the best HFU.",
        chart="hfu_map:hfu_map_chart",
        of="hfu-map",
        readers={"x": partial(axis_of, option="--x"), "y": partial(axis_of, option="--y")},
    )
    def hfu_map(question: Map) -> Answer:
        from roofline_afd.analysis.decode.maps import grid

        return grid(question)

    @register_picture(
        group,
        "pareto",
        help_text="Serving modes: tokens per second and device over those of every user, the best marked.",
        chart="pareto:pareto_chart",
        of="explore",
        readers={"request_rate": rate_of},
    )
    def pareto(question: ParetoPicture) -> Answer:
        from roofline_afd.analysis.requests.pareto import pareto_picture  # not for --help

        return pareto_picture(question)

    @register_picture(
        group,
        "pareto-panels",
        help_text="The same for several models and kinds of requests: a panel each, with its best.",
        chart="pareto_panels:pareto_panels",
        of="explore",
        readers={"request_rate": rate_of},
    )
    def pareto_panels(question: ParetoPanels) -> list[Answer]:
        from roofline_afd.analysis.requests.pareto import panels_picture

        with progress_bar() as advanced:
            return panels_picture(question, advanced=advanced)

    _add_tornado(group)
    _add_load(group)
    _add_sweep(group)

    @register_picture(
        group,
        "ratio",
        help_text="Throughput over attention instances per FFN instance: formulas, simulation, idle shares.",
        chart="ratio:ratio_chart",
        of="simulate",
        readers={"coefficients": str},
    )
    def ratio(databases: Databases, file: ScenarioFile, question: Simulation, hardware: Hardware) -> Answer:
        from roofline_afd.analysis.requests.ratio import ratio_picture  # not for --help

        del file  # its options are among the others by now
        return ratio_picture(placed(question, hardware, databases))


def _add_tornado(group: Shelf) -> None:
    """Add the picture of sensitivities."""

    @register_picture(
        group,
        "tornado",
        help_text="How far each uncertain input moves EP against AFD, and which change the winner.",
        chart="tornado:tornado_chart",
        of="sensitivity",
        readers=UNCERTAIN,
    )
    def tornado(question: Tornado) -> object:
        from roofline_afd.analysis.purchase.sensitivity import sensitivity  # not for --help

        with progress_bar() as advanced:
            return sensitivity(question, advanced=advanced)


def _add_load(group: Shelf) -> None:
    @register_picture(
        group,
        "load",
        help_text="What requests wait for, in percentiles of both times, over how many come a second.",
        chart="load:load_chart",
        of="load",
        readers=LOADED,
    )
    def load(question: LoadPicture) -> Answer:
        from roofline_afd.analysis.requests.under_load import under_load  # not for --help

        return under_load(question)


def _add_sweep(group: Shelf) -> None:
    @register_picture(
        group,
        "sweep",
        help_text="A sweep's file: a heat map over two of its axes, or lines over one.",
        chart="sweep:sweep_chart",
        of="swept",
    )
    def sweep(question: Swept) -> Answer:
        from roofline_afd.analysis.sweep.swept import swept  # not for --help

        return swept(question)


def _add_fabric(group: Shelf) -> None:
    @register_picture(
        group,
        "fabric",
        help_text="Where a rack ends: dispatch and combine of a layer over tokens, a line per group size.",
        chart="fabric:fabric_chart",
        of="fabric",
    )
    def fabric(question: Fabric) -> Answer:
        from roofline_afd.analysis.evidence.operators.exchanges import measured_fabric  # not for --help

        return measured_fabric(question)


def _add_procurement(group: Shelf) -> None:
    @register_picture(
        group,
        "procurement",
        help_text="What tokens, or whole requests by part, cost on each candidate, with devices and power.",
        chart="procurement:procurement_chart",
        of="procure",
        readers=PRICED,
    )
    def procurement(question: Purchase) -> object:
        from roofline_afd.analysis.purchase.services import procure  # not for --help

        return procure(question)
