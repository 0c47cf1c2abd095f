"""`plot KIND`: the answers as pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.analysis.bounds.questions import Roofline, RooflinePicture
from roofline_afd.analysis.decode.questions import Breakdown, Frontier, Map
from roofline_afd.analysis.purchase.questions import Purchase, Tornado
from roofline_afd.cli.commands import Shelf, register, register_picture
from roofline_afd.cli.explore import Requests as Lengths  # read at run time to find the options
from roofline_afd.cli.explore import Search
from roofline_afd.cli.explore import asked as explored
from roofline_afd.cli.options import (
    QUESTION_PANEL,
    Databases,
    Models,
    Picture,
    ScenarioFile,
    Serving,
)
from roofline_afd.cli.procure import READERS as PRICED
from roofline_afd.cli.provision import (  # read at run time to find the options
    Hardware,
    Requests,
    Times,
    asked,
)
from roofline_afd.cli.ranges import axis_of, ffn_nodes_of, milliseconds_of
from roofline_afd.cli.reading import listed
from roofline_afd.cli.sensitivity import READERS as UNCERTAIN
from roofline_afd.cli.simulate import Trial, progress_bar  # read at run time to find the options

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer  # not for --help


def add(app: Shelf) -> None:
    """Add the commands to the program."""
    group = app.group("plot", "Pictures: html (self-contained), svg, png, pdf, or Vega-Lite json.")
    _add_procurement(group)

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

    @register(
        group,
        "pareto",
        help_text="Serving modes: tokens per second and device over those of every user, the best marked.",
    )
    def pareto(question: Serving, requests: Lengths, search: Search, picture: Picture) -> None:
        from roofline_afd.view.charts.pareto import pareto_chart
        from roofline_afd.view.pages import deliver_chart

        chart = pareto_chart(question.scenario, **explored(question.scenario, requests, search))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "pareto-panels",
        help_text="The same for several models and kinds of requests: a panel each, with its best.",
    )
    def pareto_panels(
        models: Models,
        search: Search,
        picture: Picture,
        *,
        workloads: Annotated[
            str,
            typer.Option(
                metavar="LIST",
                help="Requests by name, of chat, coding, agentic.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = "chat,coding,agentic",
    ) -> None:
        from roofline_afd.view.charts.pareto import pareto_panels as panels
        from roofline_afd.view.pages import deliver_chart

        question = explored(models.scenarios[0], search)
        with progress_bar("searching") as advanced:
            chart = panels(models.scenarios, listed(workloads, "--workloads"), advanced=advanced, **question)
        deliver_chart(chart, output=picture.output, force=picture.force)

    _add_tornado(group)

    @register(
        group,
        "ratio",
        help_text="Throughput over attention instances per FFN instance: formulas, simulation, idle shares.",
    )
    def ratio(
        picture: Picture,
        databases: Databases,
        file: ScenarioFile,
        *,
        r: Annotated[
            str | None,
            typer.Option(
                "--r",
                metavar="RANGE",
                help="Attention instances per FFN instance: a range first:last[:step] or a list a,b,c. "
                "Default: around the best.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = None,
        lengths: Requests,
        times: Times,
        hardware: Hardware,
        trial: Trial,
    ) -> None:
        from roofline_afd.cli.ranges import whole_numbers  # not for --help
        from roofline_afd.view.charts.ratio import ratio_chart
        from roofline_afd.view.pages import deliver_chart

        del file  # its options are among the others by now
        ratios = None if r is None else whole_numbers(r, option="--r")
        chart = ratio_chart(r=ratios, **asked(lengths, times, hardware, databases), **vars(trial))
        deliver_chart(chart, output=picture.output, force=picture.force)


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

        with progress_bar("varying inputs") as advanced:
            return sensitivity(question, advanced=advanced)


def _add_procurement(group: Shelf) -> None:
    @register_picture(
        group,
        "procurement",
        help_text="What a million tokens cost on each candidate system, with its devices and power.",
        chart="procurement:procurement_chart",
        of="procure",
        readers=PRICED,
    )
    def procurement(question: Purchase) -> object:
        from roofline_afd.analysis.purchase.procurement import procure  # not for --help

        return procure(question)
