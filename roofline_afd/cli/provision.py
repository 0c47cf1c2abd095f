"""`provision`: the attention-FFN ratio for requests of random lengths."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roofline_afd.cli.commands import register
from roofline_afd.cli.options import (
    HARDWARE_PANEL,
    QUESTION_PANEL,
    SYSTEMS,
    Databases,
    Output,
    ScenarioFile,
    real,
    whole,
)
from roofline_afd.cli.reading import number, whole_number
from roofline_afd.docstrings import documentation
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import CHOICES, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.cli.commands import Shelf

DISTRIBUTION = "geometric|fixed|lognormal"
_TEXTS = documentation(Scenario).parameters


def _option(text: str, metavar: str, parser: Callable[[str], float] | None = None) -> object:
    """Return an option with this help text."""
    return typer.Option(help=text, metavar=metavar, parser=parser, rich_help_panel=QUESTION_PANEL)


def _of_scenario(name: str, parser: Callable[[str], float] | None = None) -> object:
    """Return the option that sets a field of a scenario, with that field's own help text."""
    text = _TEXTS[name].text.replace("`", "")
    words = CHOICES.get(name)
    metavar = "|".join(words) if words else "NUMBER" if parser else "ID" if name in SYSTEMS else "FORMAT"
    if parser and _TEXTS[name].unit not in {"", "1"}:
        metavar = _TEXTS[name].unit.upper()
    panel = HARDWARE_PANEL if name in SYSTEMS else QUESTION_PANEL
    return typer.Option(
        help=text[0].upper() + text[1:] + ".", metavar=metavar, parser=parser, rich_help_panel=panel
    )


@dataclasses.dataclass(frozen=True)
class Requests:
    """How long requests are: the parameters of the analysis, by their names."""

    trace: Annotated[
        Path | None,
        _option(
            "Requests: CSV with ContextTokens and GeneratedTokens, or JSON lines with input_length and "
            "output_length; plain or .gz.",
            "FILE",
        ),
    ] = None
    prompt_column: Annotated[str | None, _option("Column of prompt tokens in --trace.", "NAME")] = None
    decode_column: Annotated[str | None, _option("Column of output tokens in --trace.", "NAME")] = None
    prompt_mean: Annotated[float | None, real("Mean prompt, instead of --trace.", "TOKENS")] = None
    prompt_distribution: Annotated[
        str | None, _option("How prompts spread around their mean. Default: fixed.", DISTRIBUTION)
    ] = None
    prompt_cv: Annotated[
        float | None, real("Standard deviation over mean of log-normal prompts. Default: 1.")
    ] = None
    decode_mean: Annotated[float | None, real("Mean output, instead of --trace.", "TOKENS")] = None
    decode_distribution: Annotated[
        str | None, _option("How outputs spread around their mean. Default: geometric.", DISTRIBUTION)
    ] = None
    decode_cv: Annotated[
        float | None, real("Standard deviation over mean of log-normal outputs. Default: 1.")
    ] = None
    batch: Annotated[
        int | None, whole("Slots of one micro-batch on one attention instance. Default: 256.")
    ] = None
    horizon: Annotated[
        float | None,
        real("Requests an attention instance serves from empty slots on. Default: without end."),
    ] = None


@dataclasses.dataclass(frozen=True)
class Times:
    """Where times come from, and what both sources need."""

    coefficients: Annotated[
        str | None,
        _option(
            "Six times in us per layer, instead of --system: attention per cached token and fixed, FFN per "
            "token and fixed, transfers per sequence and fixed.",
            "aA,bA,aF,bF,aC,bC",
        ),
    ] = None
    layers: Annotated[int | None, whole("Layers of the model, with --coefficients. Default: 1.")] = None
    accept_length: Annotated[float | None, _of_scenario("accept_length", number)] = None
    microbatches: Annotated[int | None, whole("Micro-batches in flight. Default: 2.")] = None
    duplex: Annotated[
        str | None,
        _option("Whether the directions of a transfer overlap. Default: full.", "|".join(CHOICES["duplex"])),
    ] = None
    gap_ms: Annotated[
        float | None,
        real("Time of a step outside its layers. Default: 0; with --system as fitted to services.", "MS"),
    ] = None
    tpot_ms: Annotated[float | None, real("Time per output token allowed. Default: any.", "MS")] = None
    deployable_with: Annotated[str | None, _of_scenario("deployable_with")] = None


@dataclasses.dataclass(frozen=True)
class Hardware:
    """System and model, and how they are used: fields of a scenario by their names; None where not given."""

    system: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="System to buy: see `hardware list`.", rich_help_panel=HARDWARE_PANEL
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Model to serve: see `models list`.", rich_help_panel=HARDWARE_PANEL),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Override a catalogue value by its record key, for example fp8_tflops=4500 (repeatable).",
            rich_help_panel=HARDWARE_PANEL,
        ),
    ] = None
    attention_system: Annotated[str | None, _of_scenario("attention_system")] = None
    ffn_system: Annotated[str | None, _of_scenario("ffn_system")] = None
    ffn_devices: Annotated[
        int | None,
        whole("FFN devices that share the experts. Default: those of the fewest nodes that hold them."),
    ] = None
    max_devices: Annotated[int | None, _of_scenario("max_devices", whole_number)] = None
    draft_tokens: Annotated[int | None, _of_scenario("draft_tokens", whole_number)] = None
    memory_reserve: Annotated[float | None, _of_scenario("memory_reserve", number)] = None
    granularity: Annotated[str | None, _of_scenario("granularity")] = None
    fan_out: Annotated[str | None, _of_scenario("fan_out")] = None
    links: Annotated[str | None, _of_scenario("links")] = None
    transport: Annotated[
        str | None,
        _option(
            "A copy of a token per expert, per device hit or per node hit. Default: pair.", "pair|rank|node"
        ),
    ] = None
    shared_experts: Annotated[str | None, _of_scenario("shared_experts")] = None
    redundant_experts: Annotated[int | None, _of_scenario("redundant_experts", whole_number)] = None
    experts_per_ffn_device: Annotated[int | None, _of_scenario("experts_per_ffn_device", whole_number)] = None
    sigma_dp: Annotated[float | None, _of_scenario("sigma_dp", number)] = None
    sigma_ep: Annotated[float | None, _of_scenario("sigma_ep", number)] = None
    routing: Annotated[str | None, _of_scenario("routing")] = None
    expert_precision: Annotated[str | None, _of_scenario("expert_precision")] = None
    dispatch_precision: Annotated[str | None, _of_scenario("dispatch_precision")] = None
    combine_precision: Annotated[str | None, _of_scenario("combine_precision")] = None
    attention_precision: Annotated[str | None, _of_scenario("attention_precision")] = None
    attention_core_precision: Annotated[str | None, _of_scenario("attention_core_precision")] = None
    kv_precision: Annotated[str | None, _of_scenario("kv_precision")] = None

    def given(self) -> dict[str, Any]:
        """Return the fields that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def scenario(self, databases: Databases, shared: dict[str, Any]) -> Scenario | None:
        """Return the scenario, `shared` among its fields; None where neither system nor model is named."""
        from roofline_afd.catalogue.hardware import load_system  # not for --help
        from roofline_afd.catalogue.models import load_model
        from roofline_afd.catalogue.overrides import parse_pairs, split_overrides

        fields = self.given()
        if self.system is None and self.model is None:
            if fields:
                name = next(iter(fields)).replace("_", "-")
                raise InputError(f"--{name} belongs to --system and --model, which are missing")
            return None
        for name, value in (("system", self.system), ("model", self.model)):
            if value is None:
                raise InputError(f"--{name} is missing: times come from a system and a model")
        catalogue = databases.catalogue()
        for name in SYSTEMS:
            if name in fields:
                fields[name] = load_system(fields[name], catalogue=catalogue)
        system, model = fields.pop("system"), fields.pop("model")
        tables = catalogue.record("model", model).data["attention"]
        pairs = parse_pairs(fields.pop("set", ()))
        of_system, of_model = split_overrides(pairs, attention_tables=tables)
        return Scenario(
            system=load_system(system, overrides=of_system, catalogue=catalogue),
            model=load_model(model, overrides=of_model, catalogue=catalogue),
            **fields,
            **shared,
        )


def asked(requests: Requests, times: Times, hardware: Hardware, databases: Databases) -> dict[str, Any]:
    """Return what the analyses of ratios take, from the options of a command.

    Parameters
    ----------
    requests : Requests
        Lengths of requests.
    times : Times
        Coefficients and what goes with them.
    hardware : Hardware
        A system and a model whose times are fitted instead.
    databases : Databases
        Catalogue overlays.

    Returns
    -------
    dict of str to object
        Keyword arguments of `provision`, and of `simulate`.

    Raises
    ------
    InputError
        If options exclude each other.
    """
    settings = {name: value for name, value in vars(times).items() if value is not None}
    coefficients, layers = settings.pop("coefficients", None), settings.pop("layers", None)
    if coefficients is not None and hardware.given():
        name = next(iter(hardware.given())).replace("_", "-")
        raise InputError(f"--coefficients and --{name} exclude each other: times come from one of them")
    scenario = hardware.scenario(databases, settings)
    return {
        "scenario": scenario,
        "coefficients": coefficients,
        "layers": layers,
        **({} if scenario is not None else settings),
        **vars(requests),
    }


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "provision",
        help_text="How many attention instances per FFN instance do requests of random lengths need?",
    )
    def provision(
        output: Output,
        databases: Databases,
        file: ScenarioFile,
        *,
        requests: Requests,
        times: Times,
        hardware: Hardware,
    ) -> None:
        from roofline_afd.analysis.requests.provisioning import provision as analyse  # not for --help

        del file  # its options are among the others by now
        output.deliver(analyse(**asked(requests, times, hardware, databases)))
