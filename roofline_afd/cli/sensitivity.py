"""`sensitivity`: which inputs move the answer, and which change the winner."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import QUESTION_PANEL, Output, Serving, among, whole
from roofline_afd.cli.simulate import progress_bar

METRICS = ("afd_over_ep", "ep", "afd", "best")
HELP = (
    "What moves the comparison of EP and AFD, what changes the winner, and how sure the answer is? "
    "Every value of the hardware and its calibration, and every option that is an estimate, is varied "
    "over its uncertainty. By default that is 2 % for datasheet values, 5 % measured or set by --set, 10 % "
    "derived or reported, 30 % estimated; the held-out error of its record for what was fitted; context "
    "20 %, accept length 5 %, gap 1 ms, sigma-ep 15 %, sigma-dp 10 %, memory reserve 50 %."
)


@dataclasses.dataclass(frozen=True)
class Uncertain:
    """What is uncertain by how much, and how it is looked at: parameters of the analysis, by their names."""

    uncertainty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help="Uncertainty of an input, 10% to either side or low:high, for example "
            "scale_out_gb_per_s=40:50 (repeatable); keys are those of the column input, and tpot_ms.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    metric: Annotated[
        str,
        typer.Option(
            metavar="|".join(METRICS),
            help="Throughput of the best deployments, AFD over EP; or tokens/s per device of EP, of AFD or "
            "of the best of both.",
            autocompletion=among(*METRICS),
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = METRICS[0]
    samples: Annotated[
        int | None,
        whole(
            "Random samples of all inputs at once, for intervals and the probability that AFD wins; 0 "
            "for none. Default: 100."
        ),
    ] = None
    seed: Annotated[int, whole("Seed of all random numbers.")] = 0

    def question(self) -> dict[str, Any]:
        """Return the arguments of the analysis; what is not given keeps its default."""
        from roofline_afd.catalogue.overrides import parse_pairs  # not for --help

        asked: dict[str, Any] = {
            "uncertainty": parse_pairs(self.uncertainty or (), option="--uncertainty"),
            "metric": self.metric,
            "seed": self.seed,
        }
        return asked if self.samples is None else asked | {"samples": self.samples}


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(app, "sensitivity", help_text=HELP)
    def sensitivity(
        question: Serving,
        uncertain: Uncertain,
        output: Output,
        *,
        pairs: Annotated[int, whole("Inputs that move the metric most to vary in pairs too.")] = 0,
    ) -> None:
        from roofline_afd.analysis.purchase.sensitivity import sensitivity as analyse  # not for --help

        with progress_bar("varying inputs") as advanced:
            answer = analyse(question.scenario, pairs=pairs, advanced=advanced, **uncertain.question())
        output.deliver(answer)
