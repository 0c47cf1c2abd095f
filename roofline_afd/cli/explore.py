"""`explore`: serving modes over the first token and every next one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import HARDWARE_PANEL, QUESTION_PANEL, Output, Serving, real, whole, word
from roofline_afd.serving.workload import WORKLOADS

if TYPE_CHECKING:
    from roofline_afd.cli.commands import Shelf
    from roofline_afd.serving.scenario import Scenario


def _flag(name: str, text: str) -> object:
    """Return an option that is on or off."""
    return typer.Option(name, help=text, rich_help_panel=QUESTION_PANEL)


@dataclasses.dataclass(frozen=True)
class Requests:
    """What requests look like: parameters of the analysis, by their names."""

    workload: Annotated[
        str | None,
        word("Requests by name; --prefix, --isl and --osl change them.", *WORKLOADS),
    ] = None
    prefix: Annotated[int | None, whole("Tokens of a request that are cached already. Default: 0.")] = None
    isl: Annotated[int | None, whole("Input tokens of a request to prefill.")] = None
    osl: Annotated[int | None, whole("Output tokens of a request.")] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Requests, as for `provision`: their mean lengths, instead of --isl and --osl.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None


@dataclasses.dataclass(frozen=True)
class Search:
    """Limits and what is searched: parameters of the analysis, by their names."""

    ttft_ms: Annotated[float | None, real("Time to the first token allowed. Default: any.", "MS")] = None
    modes: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Serving modes to search, of agg, pd, agg+afd, pd+afd. Default: all.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    prefill_system: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="System that prefills, in the modes that do so apart. Default: --system.",
            rich_help_panel=HARDWARE_PANEL,
        ),
    ] = None
    chunk_tokens: Annotated[
        int | None, whole("Prompt tokens of a step and attention group. Default: searched.")
    ] = None
    tensor_parallel: Annotated[
        int | None, whole("Devices that share attention heads. Default: searched.")
    ] = None
    request_rate: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|trace",
            help="Requests a second of the cluster, which wait for each other, or those of --trace. "
            "Default: saturated, no waiting.",
            rich_help_panel=QUESTION_PANEL,
        ),
    ] = None
    prompt_variation: Annotated[
        float | None, real("Standard deviation over mean of input tokens, for waiting. Default: 0.")
    ] = None
    kv_link: Annotated[
        str | None,
        word(
            "Fabric between pools. Default: auto, scale-up where one domain holds all.",
            "auto",
            "scale-up",
            "scale-out",
        ),
    ] = None
    kv_moved: Annotated[
        str | None,
        word("Cache of a prompt that moves between pools. Default: all, its prefix too.", "all", "new"),
    ] = None
    kv_overlap: Annotated[bool, _flag("--kv-overlap", "The cache moves layer by layer during prefill.")] = (
        False
    )
    first_token: Annotated[
        str | None, word("Pool that gives out the first token. Default: prefill.", "prefill", "decode")
    ] = None
    shared_prefix: Annotated[
        bool, _flag("--shared-prefix", "Sequences of an attention group share one prefix in memory.")
    ] = False
    per: Annotated[
        str | None, word("What throughput is weighed by. Default: device.", "device", "dollar", "watt")
    ] = None
    price_basis: Annotated[str | None, word("Prices. Default: rent.", "rent", "tco")] = None


def number_of(text: str, option: str) -> float:
    """Read a number, or say which words are valid."""
    from roofline_afd.errors import InputError, shown  # not for --help

    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} {shown(text)} is neither a number nor trace") from error


def asked(scenario: Scenario, *groups: Requests | Search) -> dict[str, Any]:
    """Return the keyword arguments of the analysis."""
    from roofline_afd.catalogue.hardware import load_system  # not for --help

    given = {key: value for group in groups for key, value in vars(group).items() if value is not None}
    if given.get("request_rate") not in {None, "trace"}:
        given["request_rate"] = number_of(given["request_rate"], "--request-rate")
    if "modes" in given:
        given["modes"] = [part.strip() for part in given["modes"].split(",") if part.strip()]
    if "prefill_system" in given:
        given["prefill_system"] = load_system(
            given["prefill_system"], catalogue=scenario.system.parts.catalogue
        )
    return given


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "explore",
        help_text="Prefill and decode together or apart, with AFD or without? The best over TTFT and TPOT.",
    )
    def explore(question: Serving, requests: Requests, search: Search, output: Output) -> None:
        from roofline_afd.analysis.requests.explore import explore as analyse  # not for --help

        output.deliver(analyse(question.scenario, **asked(question.scenario, requests, search)))
