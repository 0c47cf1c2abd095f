"""`simulate`: attention instances and one FFN instance with requests of random length, step by step."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import (
    OUTPUT_PANEL,
    QUESTION_PANEL,
    Databases,
    Output,
    ScenarioFile,
    whole,
    word,
)
from roofline_afd.cli.provision import (  # read at run time to find the options
    Hardware,
    Requests,
    Times,
    asked,
)
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from roofline_afd.cli.commands import Shelf

SERIES_HELP = (
    "Write how the first replication went over time to FILE: .csv, or .parquet where pyarrow is installed."
)


@dataclasses.dataclass(frozen=True)
class Trial:
    """How the simulation goes: the parameters of the analysis, by their names."""

    requests: Annotated[
        int | None,
        whole(
            "Requests completed per attention instance. Default: 10000; with --system that over the FFN "
            "devices, at least 500 and five a slot."
        ),
    ] = None
    replications: Annotated[
        int | None, whole("Repetitions that the 95 % confidence intervals rest on. Default: 5.")
    ] = None
    seed: Annotated[int | None, whole("Seed of all random numbers. Default: 0.")] = None
    start: Annotated[
        str | None,
        word(
            "Slots met in the middle of requests, or all beginning one at once. Default: stationary.",
            "stationary",
            "cold",
        ),
    ] = None
    window: Annotated[
        str | None,
        word(
            "What counts: until 80 % of the requests are completed, or after the first 20 %. "
            "Default: first-80.",
            "first-80",
            "steady",
        ),
    ] = None
    replay: Annotated[
        str | None,
        word(
            "Requests of --trace drawn at random, or in their order. Default: shuffled.",
            "shuffled",
            "in-order",
        ),
    ] = None


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error while there is a terminal; it goes when the work is done.

    Parameters
    ----------
    text : str
        What is being done.

    Yields
    ------
    callable
        Takes the share that is done [1].
    """
    if not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console  # only for people
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "simulate",
        help_text="What do attention and FFN instances deliver at each ratio, simulated request by request?",
    )
    def simulate(
        output: Output,
        databases: Databases,
        file: ScenarioFile,
        *,
        r: Annotated[
            str | None,
            typer.Option(
                "--r",
                metavar="RANGE",
                help="Attention instances per FFN instance: a range first:last[:step] or a list a,b,c. "
                "Default: 1:32, as far as devices allow.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = None,
        series: Annotated[
            Path | None,
            typer.Option("--series", metavar="FILE", help=SERIES_HELP, rich_help_panel=OUTPUT_PANEL),
        ] = None,
        lengths: Requests,
        times: Times,
        hardware: Hardware,
        trial: Trial,
    ) -> None:
        from roofline_afd.analysis.requests import simulator  # not for --help
        from roofline_afd.cli.ranges import whole_numbers
        from roofline_afd.view.series import check_series, write_series

        del file  # its options are among the others by now
        if series is not None:
            check_series(series, force=output.force)
            if output.output is not None and series.resolve() == output.output.resolve():
                raise InputError("--series and --output name the same file")
        question = asked(lengths, times, hardware, databases)
        ratios = None if r is None else whole_numbers(r, option="--r")
        prepared = simulator.prepare(r=ratios, **question, **vars(trial))
        with progress_bar("simulating") as advanced:
            measured, course = simulator.run(prepared.simulation, advanced=advanced)
        answer = simulator.answer(prepared, measured)
        if series is not None:
            write_series(simulator.series(prepared.simulation, course), series, force=output.force)
        output.deliver(answer)
