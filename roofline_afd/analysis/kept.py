"""Answers that were kept as JSON: read back, with the question that each holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.answer import read_answer
from roofline_afd.catalogue.engines import IDEAL, load_engine
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.records import GIVEN
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.serving.checks import choice
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer
    from roofline_afd.catalogue.store import Catalogue

SOURCES = ("predict", "compare", "explore")
"""Commands whose kept answers hold a deployment."""
LARGEST_FILE = 256_000_000


def answer_of(given: Answer | Path) -> Answer:
    """Return an answer, read where a file is given."""
    if not isinstance(given, str | Path):
        return given
    file = Path(given)
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(f"--from {shown_path(file)} is larger than {LARGEST_FILE:,} bytes")
        text = file.read_bytes()
    except OSError as error:
        raise InputError(f"--from {shown_path(file)} cannot be read: {error.strerror or error}") from error
    return read_answer(text, name=f"--from {shown_path(file)}")


def scenario_of(answer: Answer, catalogue: Catalogue | None = None) -> Scenario:
    """Return the question that an answer holds, with the catalogue values set for it.

    Parameters
    ----------
    answer : Answer
        Of `predict`, `compare` or `explore`.
    catalogue : Catalogue, optional
        Where systems and models are looked up.

    Returns
    -------
    Scenario
        The question.

    Raises
    ------
    InputError
        If the answer is another's, or does not hold a question.
    """
    choice("--from: the answer of", answer.command, SOURCES)
    inputs = answer.inputs
    values = inputs.get("values")
    if not isinstance(inputs.get("system"), str) or not isinstance(values, dict):
        raise InputError("--from: the answer does not hold its question: keep it with --format json")
    overrides: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        if value.get("kind") == GIVEN:
            owner = str(value["record"]).rpartition(" ")[2]
            overrides.setdefault(owner, {})[name.removeprefix(f"{owner}.")] = value["value"]

    def system(name: str) -> Any:  # noqa: ANN401 - a System
        return load_system(name, overrides=overrides.get(name, {}), catalogue=catalogue)

    fields = {field.name for field in attrs.fields(Scenario)} - {"system", "model", "engine"}
    given = {key: value for key, value in inputs.items() if key in fields and value is not None}
    engine = load_engine(str(inputs.get("engine", IDEAL)), catalogue=catalogue)
    if given.get("memory_reserve") == round(1 - engine.memory_fraction, 12):
        del given["memory_reserve"]  # what the engine plans, not what was asked
    for side in ("attention_system", "ffn_system"):
        name = given.pop(side, inputs["system"])
        if name != inputs["system"]:
            given[side] = system(name)
    try:
        return Scenario(
            system=system(inputs["system"]),
            model=load_model(
                inputs.get("model_asked_as", inputs["model"]),
                overrides=overrides.get(inputs["model"], {}),
                catalogue=catalogue,
            ),
            engine=engine,
            **given,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"--from: the answer does not hold its question: {shown(str(error))}") from error
