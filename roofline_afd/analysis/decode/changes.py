"""Inputs of a question by their names: their values, and the question with others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.catalogue.hardware import build_system, load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.overrides import split_overrides
from roofline_afd.catalogue.schema import quantity_keys
from roofline_afd.docstrings import documentation
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.serving.scenario import COUNTS, Scenario
from roofline_afd.units import UNITS, parse_number

if TYPE_CHECKING:
    from collections.abc import Mapping

YES_OR_NO = {"true": True, "false": False}
SUBJECTS = ("system", "model", "attention_system", "ffn_system")


def changed(scenario: Scenario, changes: Mapping[str, float | str]) -> Scenario:
    """Return a scenario with inputs changed.

    Parameters
    ----------
    scenario : Scenario
        The baseline.
    changes : mapping of str to float or str
        Key to new value: a field of the scenario, `system` or `model`, or a catalogue key as `--set` takes.

    Returns
    -------
    Scenario
        The changed question.

    Raises
    ------
    InputError
        If a key is unknown, or a value out of bounds.
    """
    catalogue = scenario.system.parts.catalogue
    fields = {field.name for field in attrs.fields(Scenario)}
    options = {key.removeprefix("--").replace("-", "_"): value for key, value in changes.items()}
    evolved: dict[str, Any] = {}
    overrides: dict[str, float | str] = {}
    for name, value in options.items():
        if name == "model":
            evolved[name] = load_model(str(value), catalogue=catalogue)
        elif name in SUBJECTS:
            evolved[name] = load_system(str(value), catalogue=catalogue)
        elif name in fields:
            evolved[name] = _plain(name, value)
        else:
            overrides[name] = value
    system, model = evolved.get("system", scenario.system), evolved.get("model", scenario.model)
    valid = {*fields, *quantity_keys("system"), *quantity_keys("model"), *model.quantities}
    for name in overrides:
        if name not in valid and not name.startswith("attention."):
            raise InputError(f"{shown(name)} is no option and no catalogue key{nearest(name, sorted(valid))}")
    of_system, of_model = split_overrides(overrides, attention_tables=[kind.name for kind in model.attention])
    if of_system:
        evolved["system"] = build_system(system.parts, overrides=of_system)
    if of_model:
        kept = {key: model.quantities[key].value for key in model.overridden}
        evolved["model"] = load_model(model.id, overrides={**kept, **of_model}, catalogue=catalogue)
    return attrs.evolve(scenario, **evolved)


def _plain(name: str, value: float | str) -> object:
    """Return the value of a field from its text: a number where it is one."""
    if not isinstance(value, str):
        return value
    if name == "any_size" and value in YES_OR_NO:
        return YES_OR_NO[value]
    unit = documentation(Scenario).parameters[name].unit
    try:
        number = parse_number(value, unit=unit if unit in UNITS else "1")
    except InputError:
        return value
    whole = name in COUNTS or name in {"draft_tokens", "redundant_experts"}
    return int(number) if whole and math.isfinite(number) and number.is_integer() else number


def unit_of(scenario: Scenario, key: str) -> str:
    """Return the unit of what a scenario has under a key, after a space; empty where it has none."""
    name = key.removeprefix("--").replace("-", "_")
    fields = documentation(Scenario).parameters
    found = fields[name].unit if name in fields else ""
    for quantities in (scenario.system.quantities, scenario.model.quantities):
        if name in quantities:
            found = quantities[name].unit
    return f" {found}" if found not in {"", "1"} else ""


def value_of(scenario: Scenario, key: str) -> float | None:
    """Return the number a scenario has under a key: a field's, else a catalogue value; None for others."""
    name = key.removeprefix("--").replace("-", "_")
    if name in {field.name for field in attrs.fields(Scenario)}:
        found = scenario.latency_ms if name == "tpot_ms" else getattr(scenario, name)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
    for quantities in (scenario.system.quantities, scenario.model.quantities):
        if name in quantities:
            return float(quantities[name].value)
    return None
