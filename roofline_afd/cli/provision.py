"""`provision`: the attention-FFN ratio for requests of random lengths."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from roofline_afd.analysis.requests.questions import SETTINGS, Provisioning
from roofline_afd.cli.commands import register
from roofline_afd.cli.options import (
    HARDWARE_PANEL,
    QUESTION_PANEL,
    RECORDS,
    SYSTEMS,
    Databases,
    Output,
    ScenarioFile,
    whole,
    word,
)
from roofline_afd.cli.reading import number, whole_number
from roofline_afd.docstrings import documentation
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import CHOICES, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.cli.commands import Shelf

Asked = TypeVar("Asked", bound=Provisioning)
OF_SCENARIO = tuple(name for name in SETTINGS if name != "layers")
"""What a question says itself only where no scenario does."""
_TEXTS = documentation(Scenario).parameters


def _of_scenario(name: str, parser: Callable[[str], float] | None = None) -> object:
    """Return the option that sets a field of a scenario, with that field's own help text."""
    text = _TEXTS[name].text.replace("`", "")
    words = CHOICES.get(name)
    metavar = "|".join(words) if words else "NUMBER" if parser else "ID" if name in RECORDS else "FORMAT"
    if parser and _TEXTS[name].unit not in {"", "1"}:
        metavar = _TEXTS[name].unit.upper()
    panel = HARDWARE_PANEL if name in SYSTEMS else QUESTION_PANEL
    return typer.Option(
        help=text[0].upper() + text[1:] + ".", metavar=metavar, parser=parser, rich_help_panel=panel
    )


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
    engine: Annotated[str | None, _of_scenario("engine")] = None
    memory_reserve: Annotated[float | None, _of_scenario("memory_reserve", number)] = None
    granularity: Annotated[str | None, _of_scenario("granularity")] = None
    fan_out: Annotated[str | None, _of_scenario("fan_out")] = None
    links: Annotated[str | None, _of_scenario("links")] = None
    transport: Annotated[
        str | None,
        word(
            "A copy of a token per expert, per device hit or per node hit. Default: as its library.",
            "pair",
            "rank",
            "node",
        ),
    ] = None
    domain_layout: Annotated[str | None, _of_scenario("domain_layout")] = None
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


def placed(question: Asked, hardware: Hardware, databases: Databases) -> Asked:
    """Return a question with the scenario of a command's options, where they name a system and a model.

    Parameters
    ----------
    question : Provisioning
        What is asked, as the other options say it.
    hardware : Hardware
        A system and a model whose times are fitted.
    databases : Databases
        Catalogue overlays.

    Returns
    -------
    Provisioning
        The same; what belongs to the scenario stands there.

    Raises
    ------
    InputError
        If options exclude each other.
    """
    if question.coefficients is not None and hardware.given():
        name = next(iter(hardware.given())).replace("_", "-")
        raise InputError(f"--coefficients and --{name} exclude each other: times come from one of them")
    held = {name: getattr(question, name) for name in OF_SCENARIO}
    held = {name: value for name, value in held.items() if value is not None}
    scenario = hardware.scenario(databases, held)
    if scenario is None:
        return question
    return dataclasses.replace(question, scenario=scenario, **dict.fromkeys(held))


def add(app: Shelf) -> None:
    """Add the command to the program."""

    @register(
        app,
        "provision",
        help_text="How many attention instances per FFN instance do requests of random lengths need?",
        readers={"coefficients": str},
    )
    def provision(
        output: Output,
        databases: Databases,
        file: ScenarioFile,
        *,
        question: Provisioning,
        hardware: Hardware,
    ) -> None:
        from roofline_afd.analysis.requests.provisioning import provision as analyse  # not for --help

        del file  # its options are among the others by now
        output.deliver(analyse(placed(question, hardware, databases)))
