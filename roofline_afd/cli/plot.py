"""`plot KIND`: the answers as pictures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roofline_afd.cli.options import QUESTION_PANEL, Picture, register, whole_number
from roofline_afd.cli.roofline import FFN_NODES, FfnNodes, ffn_nodes_of
from roofline_afd.serving.scenario import Scenario  # noqa: TC001 - read at run time to find the options


def _count(text: str) -> Any:  # noqa: ANN401 - what typer makes of an option
    """Return the option of a whole number."""
    return typer.Option(metavar="NUMBER", help=text, parser=whole_number, rich_help_panel=QUESTION_PANEL)


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

    @register(group, "breakdown", help_text="Where a decode step spends its time, operator by operator.")
    def breakdown(
        scenario: Scenario,
        picture: Picture,
        *,
        deployment: Annotated[
            str,
            typer.Option(
                metavar="ep|afd", help="One group of devices, or two.", rich_help_panel=QUESTION_PANEL
            ),
        ] = "ep",
        transport: Annotated[
            str,
            typer.Option(
                metavar="pair|rank|node",
                help="A copy of a token per expert, per device hit, or per node hit.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = "pair",
        batch: Annotated[int, _count("Sequences of one attention device.")] = 128,
        context: Annotated[int, _count("Tokens cached of each sequence.")] = 4096,
        devices: Annotated[int, _count("All devices; under afd the attention devices.")] = 32,
        ffn_devices: Annotated[int | None, _count("FFN devices under afd; as many where absent.")] = None,
    ) -> None:
        from roofline_afd.view.charts import breakdown_chart
        from roofline_afd.view.pages import deliver_chart

        chart = breakdown_chart(
            scenario,
            deployment=deployment,
            transport=transport,
            batch=batch,
            context=context,
            devices=devices,
            ffn_devices=ffn_devices,
        )
        deliver_chart(chart, output=picture.output, force=picture.force)
