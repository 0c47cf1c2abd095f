"""`compare`: expert parallelism or disaggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.decode.questions import Comparison
from roofline_afd.cli.commands import register
from roofline_afd.cli.options import Output

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "compare",
        help_text="EP or AFD? The best deployment of each under the latency target, who wins and why.",
    )
    def compare(question: Comparison, output: Output) -> None:
        from roofline_afd.analysis.decode.compare import compare as analyse  # not for --help

        output.deliver(analyse(question.scenario, levers=question.levers))
