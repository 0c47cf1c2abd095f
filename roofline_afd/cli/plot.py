"""`plot KIND`: the answers as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roofline_afd.analysis.purchase.questions import Purchase, Tornado
from roofline_afd.cli.commands import register, register_picture
from roofline_afd.cli.explore import Requests as Lengths  # read at run time to find the options
from roofline_afd.cli.explore import Search
from roofline_afd.cli.explore import asked as explored
from roofline_afd.cli.options import (
    QUESTION_PANEL,
    Databases,
    Models,
    Picture,
    ScenarioFile,
    Serving,
    among,
)
from roofline_afd.cli.predict import Mode
from roofline_afd.cli.procure import READERS as PRICED
from roofline_afd.cli.provision import (  # read at run time to find the options
    Hardware,
    Requests,
    Times,
    asked,
)
from roofline_afd.cli.reading import listed
from roofline_afd.cli.roofline import FFN_NODES, FfnNodes, ffn_nodes_of
from roofline_afd.cli.sensitivity import READERS as UNCERTAIN
from roofline_afd.cli.simulate import Trial, progress_bar  # read at run time to find the options
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.decode.curves import Axis
    from roofline_afd.cli.commands import Shelf

POINTS = 12
"""Values of an axis given as a range without a count."""
AXIS_KEYS = (
    "scale_out_gb_per_s",
    "scale_up_gb_per_s",
    "memory_gb_per_s",
    "memory_gb",
    "fp8_tflops",
    "expert_intermediate",
    "routed_experts",
    "top_k",
    "context",
    "tpot_ms",
    "max_devices",
)
"""Inputs that the shell offers for an axis; any other number works too."""


def _complete_axis(incomplete: str) -> list[str]:
    return [f"{key}=" for key in AXIS_KEYS if key.startswith(incomplete)]


def _axis_option(what: str) -> object:
    return typer.Option(
        metavar="KEY=RANGE",
        help=f"{what}: any number of the question, the system or the model; low:high[:count], evenly spaced "
        "on logarithms, or a list a,b,c.",
        autocompletion=_complete_axis,
        rich_help_panel=QUESTION_PANEL,
    )


def _number_reader(option: str, unit: str) -> Callable[[str], float]:
    """Return what reads one number of an option, with or without a unit."""
    from roofline_afd.errors import InputError  # not for --help
    from roofline_afd.units import parse_number

    def read(text: str) -> float:
        try:
            return parse_number(text.strip(), unit=unit)
        except InputError as error:
            raise InputError(f"{option}: {error}") from error

    return read


def _axis(text: str | None, option: str) -> Axis | None:
    """Read an axis of a map: `KEY=low:high[:count]` or `KEY=a,b,c`."""
    if text is None:
        return None
    from roofline_afd.analysis.decode.curves import axis_unit, spaced
    from roofline_afd.errors import InputError, shown

    key, equals, given = (part.strip() for part in text.partition("="))
    if not (equals and key and given):
        raise InputError(f"{option} {shown(text)} is not KEY=low:high[:count] or KEY=a,b,c")
    key = key.removeprefix("--").replace("-", "_")
    read = _number_reader(f"{option} {key}", axis_unit(key))
    if ":" not in given:
        return key, [read(part) for part in given.split(",")]
    low, high, count, *more = (*given.split(":"), "", "")[: max(3, given.count(":") + 1)]
    if more or (count and not count.strip().isdecimal()):
        raise InputError(f"{option} {shown(text)}: write low:high[:count], count a whole number")
    return key, spaced(key, read(low), read(high), int(count[:9]) if count else POINTS)


def _range(text: str | None, option: str) -> tuple[float, float] | None:
    """Read `low:high` in ms."""
    if text is None:
        return None
    from roofline_afd.errors import InputError, shown

    low, colon, high = text.partition(":")
    if not colon or ":" in high:
        raise InputError(f"{option} {shown(text)}: write low:high in ms")
    read = _number_reader(option, "ms")
    return read(low), read(high)


def add(app: Shelf) -> None:
    """Add the commands to the program."""
    group = app.group("plot", "Pictures: html (self-contained), svg, png, pdf, or Vega-Lite json.")
    _add_procurement(group)

    @register(
        group,
        "roofline",
        help_text="The communication-level roofline: memory, scale-up, scale-out and compute roofs, "
        "and where each FFN node count operates.",
    )
    def roofline(scenario: Scenario, picture: Picture, *, ffn_nodes: FfnNodes = "1:8,16,32") -> None:
        from roofline_afd.view.charts.roofline import roofline_chart  # not for --help
        from roofline_afd.view.pages import deliver_chart

        chart = roofline_chart(scenario, ffn_nodes=ffn_nodes_of(ffn_nodes))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "dead-zone",
        help_text="HFU, OFU and temporal sparsity over FFN nodes, regimes shaded and named.",
    )
    def dead_zone(scenario: Scenario, picture: Picture, *, ffn_nodes: FfnNodes = FFN_NODES) -> None:
        from roofline_afd.view.charts.roofline import dead_zone_chart
        from roofline_afd.view.pages import deliver_chart

        chart = dead_zone_chart(scenario, ffn_nodes=ffn_nodes_of(ffn_nodes))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "breakdown",
        help_text="Where a decode step spends its time: every operator of one deployment, or of the best.",
    )
    def breakdown(question: Serving, picture: Picture, *, mode: Mode = None) -> None:
        from roofline_afd.view.charts.roofline import breakdown_chart
        from roofline_afd.view.pages import deliver_chart

        chart = breakdown_chart(question.scenario, mode=mode)
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "afd-vs-ep",
        help_text="EP against AFD: tokens per second and device of the best deployments over latency.",
    )
    def afd_vs_ep(
        question: Serving,
        picture: Picture,
        *,
        tpot_range: Annotated[
            str | None,
            typer.Option(
                metavar="LOW:HIGH",
                help="Latency targets drawn, in ms. Default: from the least that is feasible to where "
                "throughput no longer grows.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = None,
    ) -> None:
        from roofline_afd.view.charts.afd_vs_ep import afd_vs_ep_chart
        from roofline_afd.view.pages import deliver_chart

        chart = afd_vs_ep_chart(question.scenario, tpot_range=_range(tpot_range, "--tpot-range"))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "hfu-map",
        help_text="A map over two inputs: where AFD beats EP with the break-even line, or the best HFU.",
    )
    def hfu_map(
        question: Serving,
        picture: Picture,
        *,
        x: Annotated[str | None, _axis_option("Across; default bandwidth")] = None,
        y: Annotated[str | None, _axis_option("Up; default width of an expert")] = None,
        metric: Annotated[
            str,
            typer.Option(
                metavar="afd_over_ep|hfu",
                help="Throughput of the best deployments, AFD over EP; or the best HFU of the FFN stage.",
                autocompletion=among("afd_over_ep", "hfu"),
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = "afd_over_ep",
    ) -> None:
        from roofline_afd.view.charts.afd_vs_ep import hfu_map_chart
        from roofline_afd.view.pages import deliver_chart

        chart = hfu_map_chart(question.scenario, x=_axis(x, "--x"), y=_axis(y, "--y"), metric=metric)
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "pareto",
        help_text="Serving modes: tokens per second and device over those of every user, the best marked.",
    )
    def pareto(question: Serving, requests: Lengths, search: Search, picture: Picture) -> None:
        from roofline_afd.view.charts.pareto import pareto_chart
        from roofline_afd.view.pages import deliver_chart

        chart = pareto_chart(question.scenario, **explored(question.scenario, requests, search))
        deliver_chart(chart, output=picture.output, force=picture.force)

    @register(
        group,
        "pareto-panels",
        help_text="The same for several models and kinds of requests: a panel each, with its best.",
    )
    def pareto_panels(
        models: Models,
        search: Search,
        picture: Picture,
        *,
        workloads: Annotated[
            str,
            typer.Option(
                metavar="LIST",
                help="Requests by name, of chat, coding, agentic.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = "chat,coding,agentic",
    ) -> None:
        from roofline_afd.view.charts.pareto import pareto_panels as panels
        from roofline_afd.view.pages import deliver_chart

        question = explored(models.scenarios[0], search)
        with progress_bar("searching") as advanced:
            chart = panels(models.scenarios, listed(workloads, "--workloads"), advanced=advanced, **question)
        deliver_chart(chart, output=picture.output, force=picture.force)

    _add_tornado(group)

    @register(
        group,
        "ratio",
        help_text="Throughput over attention instances per FFN instance: formulas, simulation, idle shares.",
    )
    def ratio(
        picture: Picture,
        databases: Databases,
        file: ScenarioFile,
        *,
        r: Annotated[
            str | None,
            typer.Option(
                "--r",
                metavar="RANGE",
                help="Attention instances per FFN instance: a range first:last[:step] or a list a,b,c. "
                "Default: around the best.",
                rich_help_panel=QUESTION_PANEL,
            ),
        ] = None,
        lengths: Requests,
        times: Times,
        hardware: Hardware,
        trial: Trial,
    ) -> None:
        from roofline_afd.cli.ranges import whole_numbers  # not for --help
        from roofline_afd.view.charts.ratio import ratio_chart
        from roofline_afd.view.pages import deliver_chart

        del file  # its options are among the others by now
        ratios = None if r is None else whole_numbers(r, option="--r")
        chart = ratio_chart(r=ratios, **asked(lengths, times, hardware, databases), **vars(trial))
        deliver_chart(chart, output=picture.output, force=picture.force)


def _add_tornado(group: Shelf) -> None:
    """Add the picture of sensitivities."""

    @register_picture(
        group,
        "tornado",
        help_text="How far each uncertain input moves EP against AFD, and which change the winner.",
        chart="tornado:tornado_chart",
        of="sensitivity",
        readers=UNCERTAIN,
    )
    def tornado(question: Tornado) -> object:
        from roofline_afd.analysis.purchase.sensitivity import sensitivity  # not for --help

        with progress_bar("varying inputs") as advanced:
            return sensitivity(question, advanced=advanced)


def _add_procurement(group: Shelf) -> None:
    @register_picture(
        group,
        "procurement",
        help_text="What a million tokens cost on each candidate system, with its devices and power.",
        chart="procurement:procurement_chart",
        of="procure",
        readers=PRICED,
    )
    def procurement(question: Purchase) -> object:
        from roofline_afd.analysis.purchase.procurement import procure  # not for --help

        return procure(question)
