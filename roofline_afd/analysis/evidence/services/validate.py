"""Predictions against published services: signed errors, what AFD gains over EP, the best ratio of groups."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.accuracy import estimated_note, files_of, medians, sentence, spread
from roofline_afd.analysis.evidence.services.predict import predict_service
from roofline_afd.analysis.evidence.services.rows import (
    ABSOLUTE,
    CALIBRATION,
    KERNEL,
    LOWER_BOUND,
    SHAPE,
    WALL,
    ServiceMeasurement,
)
from roofline_afd.catalogue.calibration import ServiceConstants, load_service_constants
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.store import Catalogue

LARGE_ERROR = 0.25
"""Share of the measured throughput from which a miss of a shipped row needs a reason [1]."""
RATIO_BAND = 0.15
"""Difference from a published ratio of AFD to EP that still counts as that ratio [1]."""
TABLE_KEYS = ("id", "mode", "use", "role", "timing", "measured", "predicted", "error", "fits_memory", "why")


@dataclasses.dataclass(frozen=True, slots=True)
class _Compared:
    """A row that has both figures [tokens/s/device]."""

    row: ServiceMeasurement
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def validate_services(rows: Sequence[ServiceMeasurement], *, catalogue: Catalogue) -> Answer:
    """Predict each measured service with the calibration of the catalogue.

    Parameters
    ----------
    rows : sequence of ServiceMeasurement
        What was measured.
    catalogue : Catalogue
        Where what a service adds to its operators is looked up.

    Returns
    -------
    Answer
        A row per service: measured and predicted throughput [tokens/s/device], signed error as a fraction of
        the measured one, null with the reason where the row lacks an input. The summary counts rows of use
        `absolute` and role `check`; beside it what AFD gains over EP, and which ratio of groups is best.
    """
    constants = load_service_constants(catalogue)
    answers, compared = [], []
    for row in rows:
        answer = answer_of(row, constants)
        answers.append(answer)
        if answer["error"] is not None:
            compared.append(_Compared(row, answer["measured"], answer["predicted"]))
    counted = [each for each in compared if each.row.level]
    skipped = sum(row.level for row in rows) - len(counted)
    summary = spread([each.error for each in counted], skipped=skipped) | {
        "median_abs_error_by_mode": medians((each.row.mode, each.error) for each in counted),
        "median_abs_error_by_source": medians(
            (each.row.origin or each.row.source or "unnamed", each.error) for each in counted
        ),
        "calibration_rows": {each.row.id: each.error for each in compared if each.row.role == CALIBRATION},
        "lower_bounds": [
            {key: answer[key] for key in ("id", "measured", "predicted", "why")}
            | {"satisfied": _satisfied(answer)}
            for answer in answers
            if answer["use"] == LOWER_BOUND
        ],
        "sign_test": _sign_test(compared),
        "ratio_test": _ratio_test(compared),
    }
    if counted:
        summary["answer"] = sentence(summary, what="services predicted (tokens/s/device)")
    return Answer(
        "validate",
        {"services": files_of(row.place for row in rows)},
        object_columns(answers),
        summary,
        _notes(answers, summary),
        TABLE_KEYS,
    )


def answer_of(row: ServiceMeasurement, constants: ServiceConstants) -> dict[str, Any]:
    """Hold the prediction of one row against its measurement.

    Parameters
    ----------
    row : ServiceMeasurement
        The row.
    constants : ServiceConstants
        What running a service adds to its operators.

    Returns
    -------
    dict
        The row of the answer: `error` is null where one of both figures is not known, and `why` says why.
    """
    answer: dict[str, Any] = {
        "id": row.id,
        "mode": row.mode,
        "system": row.scenario.system.id,
        "model": row.scenario.model.id,
        "use": row.use,
        "role": row.role,
        "timing": row.timing,
        "measured": row.throughput,
        "predicted": None,
        "error": None,
        "tpot_measured_ms": row.tpot_ms,
        "tpot_predicted_ms": None,
        "kind": None,
        "fits_memory": None,
        "why": None,
        "origin": row.origin or None,
        "source": row.source or None,
    }
    why = f"the row lacks {', '.join(row.incomparable)}" if row.incomparable else None
    if row.missing:
        return answer | {"why": why}
    try:
        predicted = predict_service(row, constants=constants)
    except InputError as error:
        return answer | {"why": str(error)}
    answer |= {
        "predicted": predicted.tokens_per_s_per_device,
        "tpot_predicted_ms": predicted.tpot_ms,
        "kind": predicted.kind,
        "fits_memory": predicted.fits_memory,
        "why": why,
    }
    if row.throughput is None:
        return answer
    off = predicted.tokens_per_s_per_device / row.throughput - 1
    return answer | {"error": off, "why": row.reason if row.reason and is_miss(row.use, off) else None}


def is_miss(use: str, error: float) -> bool:
    """Return whether an error is so large that a shipped row owes a reason.

    Parameters
    ----------
    use : str
        What the row is for; a lower bound is missed from below only.
    error : float
        Signed, as a fraction of the measured figure [1].

    Returns
    -------
    bool
        Whether it is.
    """
    return error < -LARGE_ERROR if use == LOWER_BOUND else use == ABSOLUTE and abs(error) > LARGE_ERROR


def _satisfied(answer: Mapping[str, Any]) -> bool | None:
    return None if answer["error"] is None else bool(answer["predicted"] >= answer["measured"])


def _sign_test(compared: Sequence[_Compared]) -> dict[str, Any]:
    """Return whether AFD is ahead of EP in prediction where it is in measurement, pair by pair.

    A pair is an AFD row and the best measured EP row of the same system, model, context, formats, accepted
    length and routing. Pairs timed in different ways are listed apart.
    """
    alike, unlike = [], []
    for afd in compared:
        if afd.row.mode != AFD or afd.row.use == LOWER_BOUND:
            continue
        rivals = [
            each
            for each in compared
            if each.row.mode == EP
            and each.row.use != LOWER_BOUND
            and each.row.conditions == afd.row.conditions
        ]
        same = [each for each in rivals if each.row.timing == afd.row.timing]
        other = [each for each in rivals if each.row.timing != afd.row.timing]
        if same:
            alike.append(_pair(afd, max(same, key=lambda each: each.measured)))
        if other:
            ep = max(other, key=lambda each: each.measured)
            timed = f"AFD timed as {afd.row.timing}, EP as {ep.row.timing}"
            if (afd.row.timing, ep.row.timing) == (WALL, KERNEL):
                timed += ", which leaves out what the host adds to EP alone and so understates AFD"
            unlike.append(_pair(afd, ep) | {"difference": timed})
    return {
        "n": len(alike),
        "same_sign": sum(pair["same_sign"] for pair in alike),
        "within_band": sum(abs(pair["ratio_error"]) <= RATIO_BAND for pair in alike),
        "pairs": alike,
        "timed_differently": unlike,
    }


def _pair(afd: _Compared, ep: _Compared) -> dict[str, Any]:
    measured, predicted = afd.measured / ep.measured, afd.predicted / ep.predicted
    return {
        "afd": afd.row.id,
        "ep": ep.row.id,
        "measured_ratio": measured,
        "predicted_ratio": predicted,
        "ratio_error": predicted - measured,
        "same_sign": (measured > 1) == (predicted > 1),
    }


def _ratio_test(compared: Sequence[_Compared]) -> dict[str, Any]:
    """Return what is lost, in measured throughput, where the ratio of groups predicted best is chosen."""
    sweeps: dict[tuple[str, str, int], list[_Compared]] = {}
    for each in compared:
        if each.row.use == SHAPE and each.row.mode == AFD:
            asked = each.row.scenario
            sweeps.setdefault((asked.system.id, asked.model.id, asked.context), []).append(each)
    found: list[dict[str, Any]] = []
    for (system, model, context), points in sorted(sweeps.items()):
        reached = max(points, key=lambda each: each.measured)
        chosen = max(points, key=lambda each: each.predicted)
        found.append(
            {
                "system": system,
                "model": model,
                "context_tokens": context,
                "points": len(points),
                "measured_best": reached.row.split,
                "predicted_best": chosen.row.split,
                "loss": 1 - chosen.measured / reached.measured,
            }
        )
    losses = [sweep["loss"] for sweep in found]
    return {
        "mean_loss": float(np.mean(losses)) if found else None,
        "worst_loss": max(losses) if found else None,
        "sweeps": found,
    }


def _notes(answers: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[str]:
    notes = [
        f"median error, {name}: {error:.1%}"
        for key in ("median_abs_error_by_mode", "median_abs_error_by_source")
        for name, error in summary[key].items()
    ]
    for bound in summary["lower_bounds"]:
        if bound["satisfied"] is not None:
            word = "is met" if bound["satisfied"] else "is not met"
            notes.append(
                f"lower bound {bound['id']} {word}: predicted {bound['predicted']:.4g}, "
                f"measured {bound['measured']:.4g}"
            )
    signs = summary["sign_test"]
    for pair in signs["pairs"]:
        word = "the same side of 1" if pair["same_sign"] else "the other side of 1"
        notes.append(
            f"AFD over EP, {pair['afd']} over {pair['ep']}: measured {pair['measured_ratio']:.2f}, "
            f"predicted {pair['predicted_ratio']:.2f}: {word}"
        )
    notes += [
        f"AFD over EP, {pair['afd']} over {pair['ep']}: published {pair['measured_ratio']:.2f}, predicted "
        f"{pair['predicted_ratio']:.2f}; not counted: {pair['difference']}"
        for pair in signs["timed_differently"]
    ]
    notes += [
        f"attention to FFN devices, {sweep['model']} at {sweep['context_tokens']} tokens on "
        f"{sweep['system']}: best measured {sweep['measured_best']}, best predicted "
        f"{sweep['predicted_best']}, which loses {sweep['loss']:.1%}"
        for sweep in summary["ratio_test"]["sweeps"]
    ]
    full = [str(answer["id"]) for answer in answers if answer["fits_memory"] is False]
    if full:
        notes.append(f"ran, though the memory model with its reserve would refuse it: {', '.join(full)}")
    notes += estimated_note(answer["kind"] for answer in answers)
    if summary["calibration_rows"]:
        errors = ", ".join(f"{name} {error:+.1%}" for name, error in summary["calibration_rows"].items())
        notes.append(f"rows of role calibration are not counted; their errors: {errors}")
    return notes
