"""`simulate`: attention instances and one FFN instance with requests of random length, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.analysis.requests.questions import Simulation
from roofline_afd.cli.commands import register
from roofline_afd.cli.options import OUTPUT_PANEL, Databases, Output, ScenarioFile
from roofline_afd.cli.progress import progress_bar
from roofline_afd.cli.provision import Hardware, placed
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf

SERIES_HELP = (
    "Write how the first replication went over time to FILE: .csv, or .parquet where pyarrow is installed."
)


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "simulate",
        help_text="What do attention and FFN instances deliver at each ratio, simulated request by request?",
        readers={"coefficients": str},
    )
    def simulate(
        output: Output,
        databases: Databases,
        file: ScenarioFile,
        *,
        series: Annotated[
            Path | None,
            typer.Option("--series", metavar="FILE", help=SERIES_HELP, rich_help_panel=OUTPUT_PANEL),
        ] = None,
        question: Simulation,
        hardware: Hardware,
    ) -> None:
        from roofline_afd.analysis.requests.simulate import simulated  # not for --help
        from roofline_afd.view.series import check_series, write_series

        del file  # its options are among the others by now
        if series is not None:
            check_series(series, force=output.force)
            if output.output is not None and series.resolve() == output.output.resolve():
                raise InputError("--series and --output name the same file")
        asked = placed(question, hardware, databases)
        with progress_bar() as advanced:
            found = simulated(asked, advanced=advanced)
        if series is not None:
            write_series(found.series, series, force=output.force)
        output.deliver(found.answer)
