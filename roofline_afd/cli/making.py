"""Groups and questions made of the values that the command line gives for their options."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.cli.options import (
    SYSTEMS,
    Baseline,
    Candidates,
    Databases,
    MaybeScenario,
    Models,
    Serving,
)
from roofline_afd.cli.ranges import whole_numbers
from roofline_afd.cli.reading import listed, whole_number
from roofline_afd.cli.spreading import group_parameters, own_options, subject_of
from roofline_afd.errors import InputError, shown
from roofline_afd.questions import Option
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue


QUESTIONS = {Scenario, MaybeScenario, Serving, Models, Candidates, Baseline}
"""Groups that read the catalogue."""


def reads_catalogue(group: type) -> bool:
    """Return whether making a group reads the catalogue; those that need not are made first."""
    return group in QUESTIONS or not group.__module__.startswith("roofline_afd.cli.")


def make(group: type, values: dict[str, Any], readers: Mapping[str, Callable[[Any], object]]) -> Any:  # noqa: ANN401
    """Build a group or a question from the values given for its options.

    Parameters
    ----------
    group : type
        What is built.
    values : dict
        Values by option.
    readers : mapping of str to callable
        What turns the text of an option into the value of a question's field.

    Returns
    -------
    object
        The group or the question.

    Raises
    ------
    InputError
        If a value cannot be read, is out of bounds, or contradicts another.
    """
    build: dict[type, Callable[[dict[str, Any]], object]] = {
        Scenario: _make_scenario,
        MaybeScenario: _maybe,
        Serving: lambda held: Serving(_make_scenario(held)),
        Models: _several_models,
        Candidates: _candidates,
        Baseline: lambda held: Baseline(_make_scenario(held)),
    }
    if group in build:
        return build[group](values)
    if group.__module__.startswith("roofline_afd.cli."):
        return group(**values)
    return _question(group, values, readers)


def _maybe(values: dict[str, Any]) -> MaybeScenario:
    if values["system"] is None and values["model"] is None:
        return MaybeScenario(None)
    for name in ("system", "model"):
        if values[name] is None:
            raise InputError(f"--{name} is missing: numbers are put in for a system and a model")
    return MaybeScenario(_make_scenario(values))


def _several_models(values: dict[str, Any]) -> Models:
    models = listed(values.pop("models"), "--models")
    values["catalogue"] = _catalogue(values)
    return Models(tuple(_make_scenario({**values, "model": model}) for model in models))


def _candidates(values: dict[str, Any]) -> Candidates:
    systems = listed(values.pop("systems"), "--systems")
    values["catalogue"] = _catalogue(values)
    candidates = []
    for system in systems:
        own = {**values, "set": _settings_of(system, systems, values["set"] or ())}
        candidates.append(_make_scenario(_candidate(own, system)))
    return Candidates(tuple(candidates))


def _settings_of(system: str, systems: Sequence[str], pairs: Sequence[str]) -> tuple[str, ...]:
    """Return the settings that concern a candidate: those for all, and those of its own systems."""
    own, every = ({part.lower() for each in one for part in each.split("+")} for one in ([system], systems))
    owners = ((pair.partition(".")[0].strip().lower(), pair) for pair in pairs)
    return tuple(pair for owner, pair in owners if owner in own or owner not in every)


def _question(
    question: type, values: dict[str, Any], readers: Mapping[str, Callable[[Any], object]]
) -> object:
    """Build a question: its scenarios, and the fields that were given."""
    own = own_options(question)
    given = {option.name: values.pop(option.name) for option in own}
    catalogue = functools.cache(Databases(values.get("hardware_db"), values.get("model_db")).catalogue)
    subject = subject_of(question)
    if subject in {Models, Candidates}:
        given["scenarios"] = make(subject, values, {}).scenarios
    elif subject is not None and given.get("answer") is not None:
        given["scenario"] = _kept_question(given["answer"], subject, values, catalogue())
    elif subject is not None:
        made = make(subject, values, {})
        given["scenario"] = made.scenario if subject is Serving else made
    for option in own:
        if given[option.name] is None:
            del given[option.name]
        elif option.name in readers:
            given[option.name] = readers[option.name](given[option.name])
        else:
            given[option.name] = _read(option, given[option.name], catalogue)
    return question(**given)


def _kept_question(file: Path, subject: type, values: Mapping[str, Any], catalogue: Catalogue) -> Scenario:
    """Return the question of a kept answer; no other may be asked beside it."""
    from roofline_afd.analysis.kept import answer_of, scenario_of  # not for --help

    for option in group_parameters(subject):
        free = option.name in {"hardware_db", "model_db"}
        if not free and values.get(option.name) not in (None, (), option.default):
            raise InputError(f"--from holds the question: leave out --{option.name.replace('_', '-')}")
    return scenario_of(answer_of(file), catalogue)


def _read(option: Option, value: Any, catalogue: Callable[[], Catalogue]) -> object:  # noqa: ANN401
    """Return what a field holds, from the text of its option, as its type says."""
    if "System" in option.types:
        from roofline_afd.catalogue.hardware import load_system  # not for --help

        if "Sequence" in option.types:
            names = listed(value, option.flag or "--" + option.name.replace("_", "-"))
            return tuple(load_system(name, catalogue=catalogue()) for name in names)
        return load_system(value, catalogue=catalogue())
    if "Model" in option.types:
        from roofline_afd.catalogue.models import load_model

        return load_model(value, catalogue=catalogue())
    name = option.flag or "--" + option.name.replace("_", "-")
    if "Sequence" in option.types and "Path" not in option.types:
        return whole_numbers(value, option=name) if "int" in option.types else listed(value, name)
    return value


def _candidate(values: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the options for one of several systems, or for a pair of them."""
    attention, plus, ffn = text.partition("+")
    if not plus:
        return {**values, "system": text}
    if not (attention and ffn) or "+" in ffn:
        raise InputError(f"--systems {shown(text)} is no system and no pair attention+ffn")
    return {**values, "system": ffn, "attention_system": attention, "ffn_system": ffn}


def _catalogue(values: dict[str, Any]) -> Catalogue:
    """Return the catalogue of some options, made once for several questions."""
    databases = Databases(values.pop("hardware_db", None), values.pop("model_db", None))
    found: Catalogue | None = values.pop("catalogue", None)
    return databases.catalogue() if found is None else found


def _make_scenario(values: dict[str, Any]) -> Scenario:
    """Build the scenario the options describe."""
    from roofline_afd.analysis.bounds.counts import counts_from  # not for --help
    from roofline_afd.catalogue.engines import load_engine
    from roofline_afd.catalogue.hardware import load_system
    from roofline_afd.catalogue.models import load_model
    from roofline_afd.catalogue.overrides import parse_pairs, split_overrides

    values.pop("scenario", None)
    _check_sizes(values.get("devices"), values.get("max_devices"))
    catalogue = _catalogue(values)
    if values.get("engine") is not None:
        values["engine"] = load_engine(values["engine"], catalogue=catalogue)
    system, model = values.pop("system"), values.pop("model")
    tables = catalogue.record("model", model).data["attention"]
    pairs = parse_pairs(values.pop("set") or ())
    for name in pairs.keys() & values.keys() & {"experts_per_ffn_device"}:  # published rows write it so
        values[name] = whole_number(pairs.pop(name))
    named = {name: values[name] for name in ("system", *SYSTEMS) if values.get(name) is not None} | {
        "system": system
    }
    own, common = _of_systems(pairs, {catalogue.record("system", each).id for each in named.values()})
    of_system, of_model = split_overrides(common, attention_tables=tables)
    for name, each in named.items():
        found = load_system(each, catalogue=catalogue)
        mine = {**of_system, **own.get(found.id, {})}
        values[name] = load_system(each, overrides=mine, catalogue=catalogue) if mine else found
    if isinstance(values.get("expert_counts"), str):
        values["expert_counts"] = counts_from(values["expert_counts"])
    return Scenario(model=load_model(model, overrides=of_model, catalogue=catalogue), **values)


def _check_sizes(devices: int | None, most: int | None) -> None:
    """Refuse devices beyond the bound of a search that was given beside them."""
    free = attrs.fields(Scenario).max_devices.default
    if devices is not None and most is not None and most != free and devices > most:
        raise InputError(f"--devices {devices} is more than the --max-devices {most} allowed")


def _of_systems(
    pairs: Mapping[str, str], systems: Collection[str]
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return overrides of single systems by id, as `h20.memory_gb`, and those without an owner."""
    own: dict[str, dict[str, str]] = {}
    common: dict[str, str] = {}
    for key, value in pairs.items():
        owner, dot, rest = key.partition(".")
        if dot and owner.lower() in systems:
            own.setdefault(owner.lower(), {})[rest] = value
        else:
            common[key] = value
    return own, common
