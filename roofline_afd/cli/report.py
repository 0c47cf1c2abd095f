"""`report`: one page about a purchase, to forward."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from roofline_afd.analysis.purchase.questions import Report
from roofline_afd.cli import progress
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import OUTPUT_PANEL, Force
from roofline_afd.cli.procure import READERS


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "report",
        help_text="One self-contained page: the answer for a demand, why, how sure, and what it rests on.",
        readers=READERS,
    )
    def report(
        question: Report,
        *,
        output: Annotated[
            Path, typer.Option(metavar="FILE.html", help="Write to FILE.html.", rich_help_panel=OUTPUT_PANEL)
        ],
        force: Force = False,
    ) -> None:
        from roofline_afd.errors import InputError, shown, shown_path  # not for --help
        from roofline_afd.view.tables import check_output, write_file

        if output.suffix.lower() not in {".html", ".htm"}:
            raise InputError(
                f"--output {shown_path(output)}: {shown(output.suffix)} is no page; valid: .html"
            )
        check_output(output, force=force)
        from roofline_afd.reporting.page import report as make

        page = make(dataclasses.replace(question, command=["roofline-afd", *sys.argv[1:]]))
        progress.clear()
        write_file(output, page, force=force)
        print(f"wrote {shown_path(output)}", file=sys.stderr)  # noqa: T201
