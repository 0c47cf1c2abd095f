"""`calibrate`: efficiencies fitted to one's own measurements, written as catalogue records."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import OUTPUT_PANEL, Databases, Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.cli.commands import Shelf

FILES_HELP = (
    "CSV files of measured operator and transfer times: columns id, operator, system, the sizes the "
    "operator needs, and latency_us, tflops or gb_per_s; rows whose column use is not fit are left out."
)
DIRECTORY_HELP = (
    "Folder for the records, made where it is absent; --hardware-db takes it. Default: none are written."
)


@dataclasses.dataclass(frozen=True)
class FolderOutput(Output):
    """Where fitted records go: a folder; the table of errors goes to stdout in any case."""

    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help=DIRECTORY_HELP, rich_help_panel=OUTPUT_PANEL)
    ] = None

    def check(self) -> None:
        """Refuse a bad format or a folder that is a file before any work is done."""
        from roofline_afd.view.tables import check_folder, choose_format  # not for --help

        choose_format(self.format, None, terminal=sys.stdout.isatty())
        if self.output is not None:
            check_folder(self.output, option="--output")

    def write(self, records: Mapping[str, str]) -> None:
        """Write the records, all or, where one exists already and --force is not given, none."""
        from roofline_afd.view.tables import write_files

        if self.output is not None:
            files = {f"{name}.toml": text for name, text in records.items()}
            write_files(self.output, files, force=self.force, option="--output")


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "calibrate",
        help_text="Fit the efficiencies of operators and links to measured times, with held-out errors.",
    )
    def calibrate(
        files: Annotated[list[Path], typer.Argument(metavar="OPERATORS.csv", help=FILES_HELP)],
        output: FolderOutput,
        databases: Databases,
    ) -> None:
        from roofline_afd.analysis.evidence.operators.calibrate import calibrate as analyse  # not for --help
        from roofline_afd.analysis.evidence.operators.rows import read_measurements
        from roofline_afd.view.tables import deliver

        catalogue = databases.catalogue()
        shipped = output.output is not None and catalogue.ships(output.output)
        records, answer = analyse(
            read_measurements(files, catalogue=catalogue), catalogue=catalogue, shipped=shipped
        )
        output.write(records)
        deliver(answer, dataclasses.replace(output.form(), output=None))
