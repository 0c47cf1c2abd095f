"""`report`: one page about a purchase, to forward."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from roofline_afd.analysis.purchase.questions import HTML, PDF, Report
from roofline_afd.cli import progress
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import OUTPUT_PANEL, Force
from roofline_afd.cli.procure import READERS

FORMS = {".html": HTML, ".htm": HTML, ".pdf": PDF}
"""What a suffix asks for."""


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "report",
        help_text="One page or pdf: the answer for a demand, why, how sure, and what it rests on.",
        readers=READERS,
    )
    def report(
        question: Report,
        *,
        output: Annotated[
            Path,
            typer.Option(
                metavar="FILE.html|FILE.pdf",
                help="Write to FILE: .html for screens, .pdf for paper.",
                rich_help_panel=OUTPUT_PANEL,
            ),
        ],
        force: Force = False,
    ) -> None:
        from roofline_afd.errors import InputError, shown, shown_path  # not for --help
        from roofline_afd.view.tables import check_output, write_file

        form = FORMS.get(output.suffix.lower())
        if form is None:
            raise InputError(
                f"--output {shown_path(output)}: {shown(output.suffix)} is no page; valid: .html, .pdf"
            )
        check_output(output, force=force)
        from roofline_afd.reporting.page import report as make

        page = make(dataclasses.replace(question, command=["roofline-afd", *sys.argv[1:]], form=form))
        progress.clear()
        write_file(output, page, force=force)
        print(f"wrote {shown_path(output)}", file=sys.stderr)  # noqa: T201
