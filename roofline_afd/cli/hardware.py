"""`hardware list`, `hardware show`, `hardware validate`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.options import Databases, Minimums, Output, Where, complete_ids, minimum, whole

NAME_HELP = "Ids of systems, their parts, engines or libraries; several are shown side by side."
KIND_HELP = "system, accelerator, interconnect, calibration, engine or library."
CLASS_HELP = "Only systems whose scale-up domain holds both sides (superpod), or not (scale-out)."
NAMED_HELP = "Only records whose id or name holds this."
VENDOR_HELP = "Only of vendors whose name holds this."
HOLDS_HELP = "Only systems that hold this model at its default formats: devices needed, and memory by part."
ENGINE_HELP = "Software that plans with the memory for --holds: see --kind engine. Default: ideal."
CONTEXT_HELP = "Tokens of the sequence held besides, for --holds. Default: 4096."
SORT_HELP = "Key to sort by; with a minus before it the largest first (--sort=-KEY)."


@dataclasses.dataclass(frozen=True)
class HardwareMinimums(Minimums):
    """Lower bounds a record must meet to be listed."""

    bf16_tflops: Annotated[float | None, minimum("bf16_tflops")] = None
    fp8_tflops: Annotated[float | None, minimum("fp8_tflops")] = None
    int8_tops: Annotated[float | None, minimum("int8_tops")] = None
    fp4_tflops: Annotated[float | None, minimum("fp4_tflops")] = None
    memory_gb: Annotated[float | None, minimum("memory_gb")] = None
    memory_gb_per_s: Annotated[float | None, minimum("memory_gb_per_s")] = None
    scale_up_gb_per_s: Annotated[float | None, minimum("scale_up_gb_per_s")] = None
    scale_out_gb_per_s: Annotated[float | None, minimum("scale_out_gb_per_s")] = None
    gb_per_s: Annotated[float | None, minimum("gb_per_s")] = None
    scale_up_domain_devices: Annotated[float | None, minimum("scale_up_domain_devices")] = None


def add(app: Shelf) -> None:
    """Add the commands to the program."""
    group = app.group(
        "hardware", "Accelerators, interconnects and systems, every value with unit, kind and source."
    )

    @register(group, "list", help_text="List the systems one can buy, or their parts.")
    def list_(
        output: Output,
        databases: Databases,
        least: HardwareMinimums,
        *,
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=NAMED_HELP)] = None,
        kind: Annotated[str, typer.Option(metavar="KIND", help=KIND_HELP)] = "system",
        vendor: Annotated[str | None, typer.Option(metavar="NAME", help=VENDOR_HELP)] = None,
        network: Annotated[str | None, typer.Option("--class", metavar="CLASS", help=CLASS_HELP)] = None,
        sort: Annotated[str | None, typer.Option(metavar="KEY", help=SORT_HELP)] = None,
        holds: Annotated[
            str | None,
            typer.Option(metavar="MODEL", help=HOLDS_HELP, autocompletion=complete_ids("model")),
        ] = None,
        engine: Annotated[
            str | None,
            typer.Option(metavar="ID", help=ENGINE_HELP, autocompletion=complete_ids("engine")),
        ] = None,
        context: Annotated[int | None, whole(CONTEXT_HELP)] = None,
    ) -> None:
        from roofline_afd.analysis.listing.holds import held_of  # not for --help
        from roofline_afd.analysis.listing.list import Choose, list_hardware

        choose = Choose(vendor=vendor, network=network, least=least.given(), sort=sort, name=name)
        catalogue = databases.catalogue()
        held = held_of(catalogue, holds, engine=engine, context=context)
        output.deliver(list_hardware(catalogue, kind=kind, choose=choose, holds=held))

    @register(
        group, "show", help_text="Show everything known of a system, an accelerator or an interconnect."
    )
    def show(
        ids: Annotated[list[str], typer.Argument(metavar="ID...", help=NAME_HELP)],
        output: Output,
        databases: Databases,
        *,
        kind: Annotated[
            str | None, typer.Option(metavar="KIND", help=f"Narrow to one kind: {KIND_HELP}")
        ] = None,
        where: Where = False,
    ) -> None:
        from roofline_afd.analysis.listing.show import show_hardware

        output.deliver(show_hardware(databases.catalogue(), ids, kind=kind, where=where))

    @register(group, "validate", help_text="Check every hardware record; exit 1 if one is faulty.")
    def validate(output: Output, databases: Databases) -> None:
        from roofline_afd.analysis.listing.validate import validate_hardware

        answer = validate_hardware(databases.catalogue(collect_faults=True))
        output.deliver(answer)
        if answer.summary["faulty"]:
            raise typer.Exit(1)
