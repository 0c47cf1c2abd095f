"""`models list`, `models show`, `models validate`, `models import`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from roofline_afd.cli.commands import Shelf, register
from roofline_afd.cli.hardware import NAMED_HELP, SORT_HELP, VENDOR_HELP
from roofline_afd.cli.options import Databases, Minimums, Output, Where, minimum
from roofline_afd.documents import utf8
from roofline_afd.errors import InputError, shown_path

NAME_HELP = "Ids or aliases of models; several are shown side by side."
CONFIG_HELP = "A Hugging Face config.json; - reads standard input. It is only parsed: no code of it is run."
ID_HELP = "Id of the record. Default: the name of the output file, else the model_type of the configuration."
ASSUME_HELP = "Format of weights whose own is not known, or not stated: bf16, fp8, mxfp4, nvfp4, int8, int4."
IMPORT_HELP = (
    "Turn a Hugging Face config.json into a model record; --output FILE.toml writes it, ready for --model-db."
)


@dataclasses.dataclass(frozen=True)
class ModelMinimums(Minimums):
    """Lower bounds a model must meet to be listed."""

    total_params: Annotated[float | None, minimum("total_params")] = None
    active_params: Annotated[float | None, minimum("active_params")] = None
    routed_experts: Annotated[float | None, minimum("routed_experts")] = None
    top_k: Annotated[float | None, minimum("top_k")] = None
    expert_intermediate: Annotated[float | None, minimum("expert_intermediate")] = None
    max_context_tokens: Annotated[float | None, minimum("max_context_tokens")] = None


@dataclasses.dataclass(frozen=True)
class RecordOutput(Output):
    """Where an imported record goes: a .toml file, or an answer like any other."""

    @property
    def is_record(self) -> bool:
        """Whether the record itself is asked for."""
        return self.output is not None and self.output.suffix.lower() == ".toml"

    def check(self) -> None:
        """Refuse a bad format or file name before any work is done."""
        if not self.is_record:
            super().check()
            return
        from roofline_afd.view.tables import check_output  # not for --help

        if self.format is not None:
            raise InputError(f"--format {self.format} and --output {shown_path(self.output)} disagree")
        if self.output is not None:
            check_output(self.output, force=self.force)


def _held(config: Path) -> tuple[bytes, bytes | None]:
    """Return a configuration, and what stands beside it; `-` is standard input."""
    from roofline_afd.catalogue.huggingface.files import config_files
    from roofline_afd.catalogue.huggingface.parsing import MAX_CONFIG_BYTES

    if str(config) != "-":
        return config_files(config)
    if sys.stdin is None:
        raise InputError("standard input is closed: give a file")
    return sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1), None


def _weight_format(text: str) -> str:
    """Return a format that weights may be taken for."""
    from roofline_afd.catalogue.huggingface.quantization import FORMATS
    from roofline_afd.serving.checks import choice

    return str(choice("--assume-format", text, FORMATS))


def add(app: Shelf) -> None:
    """Add the commands to the program."""
    group = app.group("models", "Mixture-of-experts model shapes, every value with unit, kind and source.")

    @register(
        group, "list", help_text="List the models, with parameters and cache bytes counted from the shape."
    )
    def list_(
        output: Output,
        databases: Databases,
        least: ModelMinimums,
        *,
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=NAMED_HELP)] = None,
        vendor: Annotated[str | None, typer.Option(metavar="NAME", help=VENDOR_HELP)] = None,
        sort: Annotated[str | None, typer.Option(metavar="KEY", help=SORT_HELP)] = None,
    ) -> None:
        from roofline_afd.analysis.listing.list import Choose, list_models  # not for --help

        choose = Choose(vendor=vendor, least=least.given(), sort=sort, name=name)
        output.deliver(list_models(databases.catalogue(), choose=choose))

    @register(group, "show", help_text="Show everything known of a model.")
    def show(
        ids: Annotated[list[str], typer.Argument(metavar="ID...", help=NAME_HELP)],
        output: Output,
        databases: Databases,
        *,
        where: Where = False,
    ) -> None:
        from roofline_afd.analysis.listing.show import show_models

        output.deliver(show_models(databases.catalogue(), ids, where=where))

    @register(group, "validate", help_text="Check every model record; exit 1 if one is faulty.")
    def validate(output: Output, databases: Databases) -> None:
        from roofline_afd.analysis.listing.validate import validate_models

        answer = validate_models(databases.catalogue(collect_faults=True))
        output.deliver(answer)
        if answer.summary["faulty"]:
            raise typer.Exit(1)

    @register(group, "import", help_text=IMPORT_HELP)
    def import_(
        config: Annotated[Path, typer.Argument(metavar="CONFIG.json", help=CONFIG_HELP)],
        output: RecordOutput,
        *,
        id_: Annotated[str | None, typer.Option("--id", metavar="ID", help=ID_HELP)] = None,
        vendor: Annotated[str, typer.Option(metavar="NAME", help="Who made the model.")] = "unknown",
        assume_format: Annotated[
            str | None, typer.Option(metavar="FORMAT", help=ASSUME_HELP, parser=_weight_format)
        ] = None,
    ) -> None:
        from roofline_afd.analysis.listing.show import imported_model
        from roofline_afd.catalogue.huggingface.importing import read_config
        from roofline_afd.view.tables import write_file

        stem = output.output.stem if output.is_record and output.output else None
        if id_ is not None and stem not in {None, id_}:
            raise InputError(
                f"--id {id_} and --output {shown_path(output.output)} disagree: a record's file is its id"
            )
        held, beside = _held(config)
        found = read_config(held, model_id=id_ or stem, vendor=vendor, beside=beside, assumed=assume_format)
        text = found.record
        if output.is_record and output.output is not None:
            write_file(output.output, utf8(text), force=output.force)
            for note in found.notes:
                print(f"note: {note}", file=sys.stderr)  # noqa: T201
            print(f"wrote {shown_path(output.output)}", file=sys.stderr)  # noqa: T201
        else:
            output.deliver(imported_model(found))
