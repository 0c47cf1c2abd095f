"""Checks of what `provision` and `simulate` are asked alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.requests.questions import SETTINGS
from roofline_afd.errors import InputError
from roofline_afd.serving.checks import MAX_COUNT, choice, finite, whole
from roofline_afd.serving.scenario import PLUGIN

if TYPE_CHECKING:
    from roofline_afd.analysis.requests.questions import Provisioning

DEFAULT_BATCH = 256
DEFAULT_MICROBATCHES = 2


def settings_of(question: Provisioning) -> dict[str, Any]:
    """Return the settings that hold for a question: its own, or those of its scenario.

    Parameters
    ----------
    question : Provisioning
        What is asked.

    Returns
    -------
    dict
        `SETTINGS` by name; None where nothing is said.

    Raises
    ------
    InputError
        If times come from two sources or none, or a setting belongs to the other source.
    """
    own = {name: getattr(question, name) for name in SETTINGS}
    scenario, coefficients = question.scenario, question.coefficients
    if scenario is not None and coefficients is not None:
        raise InputError("--coefficients and --system exclude each other: times come from one of them")
    if scenario is None and coefficients is None:
        raise InputError("where times come from, is missing: give --coefficients, or --system and --model")
    if scenario is None:
        return own
    named = [name for name, value in own.items() if value is not None]
    if named:
        raise InputError(
            f"--{named[0].replace('_', '-')} belongs to --coefficients; with --system and --model it is "
            "that of the scenario"
        )
    return {name: getattr(scenario, name, None) for name in own}


def batch_of(given: int | None, notes: list[str], *, most: int = MAX_COUNT) -> int:
    """Return the slots of a micro-batch on an attention instance [1]."""
    if given is None:
        notes.append(
            Decisive(
                f"--batch is taken as {DEFAULT_BATCH}: slots of one micro-batch on an attention instance"
            )
        )
    return whole("--batch", DEFAULT_BATCH if given is None else given, most=most)


def microbatches_of(given: object, deployable_with: str | None, notes: list[str]) -> int:
    """Return the micro-batches in flight; the plugin has two [1]."""
    if deployable_with is not None:
        choice("--deployable-with", deployable_with, (PLUGIN,))
        if given not in {None, DEFAULT_MICROBATCHES}:
            raise InputError(f"--microbatches {given} cannot run with {deployable_with}: it has two")
    elif given is None:
        notes.append(Decisive(f"--microbatches is taken as {DEFAULT_MICROBATCHES}"))
    return whole("--microbatches", DEFAULT_MICROBATCHES if given is None else given, most=1000)


def latency_of(tpot_ms: object) -> float:
    """Return the time per output token allowed [s]."""
    return math.inf if tpot_ms is None else finite("--tpot-ms", tpot_ms, above=0, below=1e9) * 1e-3
