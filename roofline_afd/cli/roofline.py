"""`roofline`: where adding FFN nodes stops helping."""

from __future__ import annotations

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Output
from roofline_afd.cli.ranges import ffn_nodes_of


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "roofline",
        help_text="Where does adding FFN nodes stop helping? HFU over FFN nodes, its regimes, the dead zone.",
        readers={"ffn_nodes": ffn_nodes_of},
    )
    def roofline(question: Roofline, output: Output) -> None:
        from roofline_afd.analysis.bounds.roofline import roofline as analyse  # not for --help

        output.deliver(analyse(question))
