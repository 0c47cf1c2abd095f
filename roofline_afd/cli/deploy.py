"""`deploy`: launch files and flags of a chosen deployment, and what to watch of it."""

from __future__ import annotations

from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Folder, Output


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "deploy",
        help_text="How is it launched? Files and flags for serving software, and what to watch once it runs.",
    )
    def deploy(question: Launch, folder: Folder, output: Output) -> None:
        from roofline_afd.analysis.deploy.deploy import deploy as analyse  # not for --help

        answer = analyse(question)
        folder.deliver(answer, force=output.force)
        output.deliver(answer)
