"""Where times come from: six coefficients, or straight lines fitted to a system and a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import provenance_notes
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.requests.lines import POOR_FIT, Fit, fit_lines
from roofline_afd.analysis.requests.operators import Operators
from roofline_afd.errors import InputError, shown
from roofline_afd.physics.linear import Coefficients
from roofline_afd.serving.checks import finite, whole

if TYPE_CHECKING:
    from roofline_afd.analysis.requests.questions import Provisioning
    from roofline_afd.physics.slots import Load

NAMES = ("aA", "bA", "aF", "bF", "aC", "bC")
LARGEST_RATIO = 1e6
LARGEST_TIME_US = 1e9
SMALLEST_SLOPE_US = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where times come from: coefficients, and what the answer says of them."""

    coefficients: Coefficients
    """Of one layer and micro-batch [s]."""
    layers: int
    gap: float
    """Time of a step outside its layers [s]."""
    head: float
    """The same of each micro-batch [s]."""
    ffn_instances: int | None
    """FFN instances that share the experts; None where each holds them all [1]."""
    attention_node: int
    """Attention instances that are bought at a time [1]."""
    most_ratio: float
    """Largest ratio that devices and fabric allow [1]."""
    inputs: dict[str, Any]
    notes: list[str]
    fit: Fit | None = None
    operators: Operators | None = None

    @property
    def sharing(self) -> int:
        """FFN instances that share the experts; one that holds them all shares with none [1]."""
        return self.ffn_instances or 1


def source_of(
    question: Provisioning,
    settings: Mapping[str, Any],
    *,
    load: Load,
    batch: int,
    microbatches: int,
    full_duplex: bool,
    notes: list[str],
) -> Source:
    """Return where the times of a question come from.

    Parameters
    ----------
    question : Provisioning
        What is asked: its coefficients, or its scenario.
    settings : mapping
        What holds for it: `layers` [1] and `gap_ms` [ms] are read where there are coefficients.
    load : Load
        Cached tokens of a slot.
    batch : int
        Slots of an attention instance and micro-batch [1].
    microbatches : int
        Micro-batches in flight [1].
    full_duplex : bool
        Whether both directions of a transfer overlap.
    notes : list of str
        Is told what is taken where nothing is given.

    Returns
    -------
    Source
        Instances that hold all experts each, or devices, of which those with experts share them.

    Raises
    ------
    InputError
        If a value is out of bounds.
    InfeasibleError
        If memory or devices do not suffice, or no fabric connects both sides.
    """
    if question.scenario is None:
        return _given(question.coefficients, settings, notes)
    return _fitted(Operators(question.scenario, load, batch, microbatches), full_duplex=full_duplex)


def _given(coefficients: object, own: Mapping[str, Any], notes: list[str]) -> Source:
    """Return times that the user measured."""
    if own["layers"] is None:
        notes.append(
            "--layers is missing: tokens/s and time per token are those of a model of one layer; divide the "
            "first and multiply the second by the layers"
        )
    values = coefficients_of(coefficients)
    return Source(
        coefficients=values,
        layers=whole("--layers", 1 if own["layers"] is None else own["layers"], most=10_000),
        gap=finite("--gap-ms", own["gap_ms"] or 0.0, least=0, below=1e9) * 1e-3,
        head=0.0,
        ffn_instances=None,
        attention_node=1,
        most_ratio=LARGEST_RATIO,
        inputs={
            "coefficients": [microseconds(value) for value in values],
            "gap_ms": own["gap_ms"] or 0.0,
            "values": {},
        },
        notes=[],
    )


def coefficients_of(given: object) -> Coefficients:
    """Check six coefficients in microseconds per layer, and return them in seconds.

    Parameters
    ----------
    given : str, iterable of float or Coefficients
        aA, bA, aF, bF, aC, bC: slopes and fixed times of attention (per cached token), FFN (per token that
        reaches an instance) and transfers (per sequence) [us]; `Coefficients` are in seconds already.

    Returns
    -------
    Coefficients
        Of one layer and micro-batch [s].

    Raises
    ------
    InputError
        If there are not six numbers, one is negative, or aF is 0.
    """
    if isinstance(given, Coefficients):
        given = [float(np.asarray(value)) * 1e6 for value in given]
    if isinstance(given, str):
        parts: list[object] = []
        for text in given.split(","):
            try:
                parts.append(float(text))
            except ValueError as error:
                raise InputError(
                    f"--coefficients {shown(given)}: {shown(text)} is not a number; write six, "
                    f"{','.join(NAMES)} in us per layer"
                ) from error
    else:
        parts = list(given) if isinstance(given, Iterable) else [given]
    if len(parts) != len(NAMES):
        raise InputError(
            f"--coefficients has {len(parts)} numbers; it needs six: {','.join(NAMES)} in us per layer"
        )
    values = [
        finite(f"--coefficients {name}", value, least=0, below=LARGEST_TIME_US)
        for name, value in zip(NAMES, parts, strict=True)
    ]
    finite("--coefficients aF", values[2], least=SMALLEST_SLOPE_US)
    return Coefficients(*(value * 1e-6 for value in values))


def microseconds(seconds: object) -> float:
    """Return a time in microseconds, free of the noise of going back and forth."""
    return float(f"{float(np.asarray(seconds)) * 1e6:.14g}")


def _fitted(model: Operators, *, full_duplex: bool) -> Source:
    """Return straight lines through the operator model, around the ratio that its times call best."""
    coefficients, fit = fit_lines(model, full_duplex=full_duplex)
    deployments = model.deployments
    quantities = quantities_of(deployments)
    head = float(np.ravel(model.times(model.whole(np.array([fit.ratio]))).head)[0])
    return Source(
        coefficients=coefficients,
        layers=model.scenario.model.layers,
        gap=deployments.gap,
        head=head,
        ffn_instances=model.ffn_devices,
        attention_node=model.attention_node,
        most_ratio=model.most_ratio,
        inputs={**serving_inputs(model.scenario, quantities), "ffn_devices": model.ffn_devices},
        notes=[
            *_fit_notes(model, fit, deployments.gap, head),
            *notes_of(deployments, []),
            *provenance_notes(model.scenario, quantities),
        ],
        fit=fit,
        operators=model,
    )


def _fit_notes(model: Operators, fit: Fit, gap: float, head: float) -> list[str]:
    """Say what the coefficients rest on, and how well straight lines fit."""
    worst = ", ".join(
        f"{name} {fit.max_residual[name]:.1%} (rms {fit.rms_residual[name]:.1%})" for name in fit.max_residual
    )
    given = model.scenario.ffn_devices is not None
    notes = [
        f"an instance is a device; {model.ffn_devices} FFN devices hold the experts"
        + ("" if given else ": the fewest nodes that do, --ffn-devices chooses others")
        + f"; every layer waits for the fullest of all {model.ffn_devices} x r attention devices",
        (
            f"coefficients are lines through the operator model, within half of theta, --batch and ratio "
            f"{fit.ratio:.3g}; largest residuals: {worst}"
        ),
        (
            f"tokens/s and time per token hold the time outside the layers: gap {gap * 1e3:.3g} ms a step, "
            f"head {head * 1e3:.3g} ms a micro-batch; the formulas of r_star do not"
        ),
    ]
    if fit.poor:
        notes.append(
            f"the fit is poor: lines miss {' and '.join(fit.poor)} by more than {POOR_FIT:.0%}; r_star and "
            "its like rest on them, recommendations on the operator model as it is"
        )
    return notes
