"""`plot KIND`: the answers as pictures."""

from __future__ import annotations

import typer

from roofline_afd.cli.options import Picture, Serving, register
from roofline_afd.cli.predict import Mode  # noqa: TC001 - read at run time to find the options
from roofline_afd.cli.roofline import FFN_NODES, FfnNodes, ffn_nodes_of
from roofline_afd.serving.scenario import Scenario  # noqa: TC001 - read at run time to find the options


def add(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(
        no_args_is_help=True, help="Pictures: html (self-contained), svg, png, pdf, or Vega-Lite json."
    )
    app.add_typer(group, name="plot")

    @register(
        group,
        "roofline",
        help_text="The communication-level roofline: memory, scale-up, scale-out and compute roofs, "
        "and where each FFN node count operates.",
    )
    def roofline(scenario: Scenario, picture: Picture, *, ffn_nodes: FfnNodes = "1:8,16,32") -> None:
        from roofline_afd.view.charts import roofline_chart  # not for --help
        from roofline_afd.view.pages import deliver_chart

        chart = roofline_chart(scenario, ffn_nodes=ffn_nodes_of(ffn_nodes))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "dead-zone",
        help_text="HFU, OFU and temporal sparsity over FFN nodes, regimes shaded and named.",
    )
    def dead_zone(scenario: Scenario, picture: Picture, *, ffn_nodes: FfnNodes = FFN_NODES) -> None:
        from roofline_afd.view.charts import dead_zone_chart
        from roofline_afd.view.pages import deliver_chart

        chart = dead_zone_chart(scenario, ffn_nodes=ffn_nodes_of(ffn_nodes))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "breakdown",
        help_text="Where a decode step spends its time: every operator of one deployment, or of the best.",
    )
    def breakdown(question: Serving, picture: Picture, *, mode: Mode = None) -> None:
        from roofline_afd.view.charts import breakdown_chart
        from roofline_afd.view.pages import deliver_chart

        chart = breakdown_chart(question.scenario, mode=mode)
        deliver_chart(chart, output=picture.output, force=picture.force)
