"""`roofline`: where adding FFN nodes stops helping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import QUESTION_PANEL, Output
from roofline_afd.cli.ranges import whole_numbers
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.cli.commands import Shelf

FfnNodes = Annotated[
    str,
    typer.Option(
        metavar="RANGE",
        help="FFN node counts: a range first:last[:step] or a list a,b,c.",
        rich_help_panel=QUESTION_PANEL,
    ),
]
FFN_NODES = "1:40"


def ffn_nodes_of(text: str) -> Sequence[int]:
    """Return the FFN node counts an option asks for."""
    return whole_numbers(text, option="--ffn-nodes")


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "roofline",
        help_text="Where does adding FFN nodes stop helping? HFU over FFN nodes, its regimes, the dead zone.",
    )
    def roofline(scenario: Scenario, output: Output, *, ffn_nodes: FfnNodes = FFN_NODES) -> None:
        from roofline_afd.analysis.bounds.roofline import roofline as analyse  # not for --help

        output.deliver(analyse(scenario, ffn_nodes=ffn_nodes_of(ffn_nodes)))
