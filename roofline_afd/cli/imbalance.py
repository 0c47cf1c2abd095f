"""`imbalance`: what load imbalance costs expert parallelism and disaggregation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import HARDWARE_PANEL, QUESTION_PANEL, Databases, Output, real, whole
from roofline_afd.errors import InputError, shown

SIGMA_HELP = "Mean load over maximum load of the devices with experts, in (0, 1]: a number or a list a,b,c."
COUNTS_HELP = (
    "CSV of the tokens each expert received, instead of --sigma: columns expert, count, or one column."
)
TOKENS_HELP = "Tokens that the routers of all devices see in one batch. Default: 4096."


@dataclasses.dataclass(frozen=True)
class Unevenness:
    """How uneven the load is, and where that comes from: the parameters of the analysis, by their names."""

    lambda_ep: Annotated[
        float | None,
        real("Attention time over FFN time with EP. Default: attention nodes over FFN nodes."),
    ] = None
    expert_counts: Annotated[
        Path | None, typer.Option(metavar="FILE", help=COUNTS_HELP, rich_help_panel=QUESTION_PANEL)
    ] = None
    zipf: Annotated[
        float | None,
        real("Exponent of expert popularity over rank, instead of --sigma; 0 makes all experts equal."),
    ] = None
    placement: Annotated[
        str | None,
        typer.Option(
            metavar="contiguous|greedy",
            help="Experts on devices in order, or by load with redundant experts. Default: contiguous.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    devices: Annotated[int | None, whole("Devices that hold the experts. Default: eight per FFN node.")] = (
        None
    )
    routed_experts: Annotated[int | None, whole("Routed experts of a layer. Default: the model's.")] = None
    top_k: Annotated[int | None, whole("Distinct experts of a token. Default: the model's.")] = None
    redundant_experts: Annotated[
        int | None, whole("Replicas beyond one of each expert, with --placement greedy. Default: 0.")
    ] = None
    batch_tokens: Annotated[int | None, whole(TOKENS_HELP)] = None
    batches: Annotated[int | None, whole("Random batches drawn. Default: 200.")] = None
    seed: Annotated[int | None, whole("Seed of the random batches. Default: 0.")] = None


def sigmas_of(text: str) -> list[float]:
    """Return the balances an option asks for; whether they are in bounds, the analysis says."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--sigma {shown(text)}: write a number above 0 and at most 1 or a list, as in .95,.9,.8"
        ) from error


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "imbalance",
        help_text="What does load imbalance of experts cost EP, and AFD in whole nodes?",
    )
    def imbalance(
        output: Output,
        databases: Databases,
        *,
        attention_nodes: Annotated[int, whole("Attention nodes of AFD that a balanced load keeps busy.")],
        ffn_nodes: Annotated[int, whole("FFN nodes of AFD.")],
        sigma: Annotated[
            str | None, typer.Option(metavar="LIST", help=SIGMA_HELP, rich_help_panel=QUESTION_PANEL)
        ] = None,
        model: Annotated[
            str | None,
            typer.Option(
                metavar="ID",
                help="Model whose routed experts and experts per token to take: see `models list`.",
                rich_help_panel=HARDWARE_PANEL,
            ),
        ] = None,
        unevenness: Unevenness,
    ) -> None:
        from roofline_afd.analysis.bounds.imbalance import imbalance as analyse  # not for --help
        from roofline_afd.catalogue.models import load_model

        given = dataclasses.asdict(unevenness)
        given["tokens"] = given.pop("batch_tokens")
        output.deliver(
            analyse(
                attention_nodes=attention_nodes,
                ffn_nodes=ffn_nodes,
                sigma=None if sigma is None else sigmas_of(sigma),
                model=None if model is None else load_model(model, catalogue=databases.catalogue()),
                **given,
            )
        )
