"""`sensitivity`: which inputs move the answer, and which change the winner."""

from __future__ import annotations

from collections.abc import Sequence

from roofline_afd.analysis.purchase.questions import Sensitivity
from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Output
from roofline_afd.cli.progress import progress_bar

HELP = (
    "What moves the comparison of EP and AFD, what changes the winner, and how sure the answer is? "
    "Every value of the hardware and its calibration, and every option that is an estimate, is varied "
    "over its uncertainty. By default that is 2 % for datasheet values, 5 % measured or set by --set, 10 % "
    "derived or reported, 30 % estimated; the held-out error of its record for what was fitted; context "
    "20 %, accept length 5 %, gap 1 ms, sigma-ep 15 %, sigma-dp 10 %, memory reserve 50 %."
)


def ranges_of(texts: Sequence[str]) -> dict[str, str]:
    """Read ranges of inputs: `KEY=RANGE` each."""
    from roofline_afd.catalogue.overrides import parse_pairs  # not for --help

    return parse_pairs(texts, option="--uncertainty")


READERS = {"uncertainty": ranges_of}


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(app, "sensitivity", help_text=HELP, readers=READERS)
    def sensitivity(question: Sensitivity, output: Output) -> None:
        from roofline_afd.analysis.purchase.sensitivity import sensitivity as analyse  # not for --help

        with progress_bar() as advanced:
            answer = analyse(question, advanced=advanced)
        output.deliver(answer)
