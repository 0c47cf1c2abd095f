"""Answers that were kept as JSON: read back, with the question that each holds."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.answer import read_answer
from roofline_afd.catalogue.engines import IDEAL, load_engine
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.records import GIVEN
from roofline_afd.errors import InputError, shown_path
from roofline_afd.serving.checks import choice
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.catalogue.store import Catalogue

SOURCES = ("predict", "compare", "explore")
"""Commands whose kept answers hold a deployment."""
LARGEST_FILE = 256_000_000


@contextmanager
def taken_from(given: Answer | Path | None, *, what: str) -> Iterator[None]:
    """Let what a kept answer lacks, or holds in another form than this program wrote, be an error of it.

    Parameters
    ----------
    given : Answer, Path or None
        The answer or its file; None where there is none, and nothing to blame.
    what : str
        What reads the answer, as messages call it.

    Raises
    ------
    InputError
        In place of what Python raises where a value is absent or of another type.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if given is None or isinstance(error, InputError):
            raise
        file = f" {shown_path(given)}" if isinstance(given, str | Path) else ""
        raise InputError(
            f"--from{file}: the answer lacks what {what} needs ({type(error).__name__}: {error})"
        ) from error


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
    with taken_from(answer, what="the question"):
        return _scenario(inputs, values, catalogue)


def _scenario(inputs: Mapping[str, Any], values: Mapping[str, Any], catalogue: Catalogue | None) -> Scenario:
    """Return the question of the inputs of an answer, and of the catalogue values among them."""
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
