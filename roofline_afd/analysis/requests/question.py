"""What `provision` and `simulate` are asked alike: sources that exclude each other, and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import MAX_COUNT, choice, whole

if TYPE_CHECKING:
    from roofline_afd.serving.scenario import Scenario

PLUGIN = "vllm-afd-plugin"
DEFAULT_BATCH = 256
DEFAULT_MICROBATCHES = 2


def check_sources(scenario: Scenario | None, coefficients: object, own: dict[str, Any]) -> None:
    """Refuse two sources of times, none, and settings that a scenario holds itself."""
    if scenario is not None and coefficients is not None:
        raise InputError("--coefficients and --system exclude each other: times come from one of them")
    if scenario is None and coefficients is None:
        raise InputError("where times come from, is missing: give --coefficients, or --system and --model")
    if scenario is not None:
        named = [name for name, value in own.items() if value is not None]
        if named:
            raise InputError(
                f"--{named[0].replace('_', '-')} belongs to --coefficients; with --system and --model it is "
                "that of the scenario"
            )


def microbatches_of(given: object, deployable_with: str | None, notes: list[str]) -> int:
    """Return the micro-batches in flight; the plugin has two."""
    if deployable_with is not None:
        choice("--deployable-with", deployable_with, (PLUGIN,))
        if given not in {None, DEFAULT_MICROBATCHES}:
            raise InputError(f"--microbatches {given} cannot run with {deployable_with}: it has two")
    elif given is None:
        notes.append(f"--microbatches is taken as {DEFAULT_MICROBATCHES}")
    return whole("--microbatches", DEFAULT_MICROBATCHES if given is None else given, most=1000)


def batch_of(given: int | None, notes: list[str], *, most: int = MAX_COUNT) -> int:
    """Return the slots of a micro-batch on an attention instance."""
    if given is None:
        notes.append(
            f"--batch is taken as {DEFAULT_BATCH}: slots of one micro-batch on an attention instance"
        )
    return whole("--batch", DEFAULT_BATCH if given is None else given, most=most)
