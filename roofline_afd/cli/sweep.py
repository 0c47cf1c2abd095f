"""`sweep`: every combination of values on some axes, to a file or reduced."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Output, Streamed
from roofline_afd.cli.progress import SILENT_S
from roofline_afd.progress import listening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.sweep.sweep import Progress


def _axes(texts: Sequence[str]) -> list[str]:
    return list(texts)


def _told(progress: Progress) -> None:
    """Tell on a terminal how far a sweep is."""
    if sys.stderr.isatty() and progress.seconds >= SILENT_S:
        share = progress.points / progress.total
        text = f"{share:6.1%}  {progress.points:,} points, {progress.rate:,.0f} a second"
        end = "" if progress.points < progress.total else "\n"
        print(f"\r{text}, {progress.left:,.0f} s left   ", end=end, file=sys.stderr)  # noqa: T201


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "sweep",
        help_text="Every combination of values on some axes: millions of designs, to a file or reduced.",
        readers={"axes": _axes},
    )
    def sweep(question: Sweep, output: Streamed) -> None:
        from roofline_afd.analysis.sweep.sweep import sweep as analyse  # not for --help
        from roofline_afd.errors import shown_path

        rows = question.reduce == "none"
        if not (rows and output.streams):
            Output.check(output)  # of what is no stream: before the work
            kept = question if rows else dataclasses.replace(question, file=output.output)
            with listening(None):  # it tells of points itself
                answer = analyse(kept, told=_told)
            output.deliver(answer)
            return
        with listening(None):
            answer = analyse(dataclasses.replace(question, file=output.output), told=_told)
        points, file = answer.summary["points"], shown_path(answer.summary["file"])
        print(f"wrote {points:,} points to {file}", file=sys.stderr)  # noqa: T201
