"""Predictions against published services: signed errors, what AFD gains over EP, the best ratio of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, left_out, object_columns
from roofline_afd.analysis.evidence.accuracy import (
    by_group,
    estimated_note,
    files_of,
    medians,
    sentence,
    spread,
)
from roofline_afd.analysis.evidence.services.pairs import Compared, pause_of, sign_test, sure_notes
from roofline_afd.analysis.evidence.services.predict import predict_service
from roofline_afd.analysis.evidence.services.rows import (
    ABSOLUTE,
    CALIBRATION,
    CHECK,
    CORE_PLACEMENT,
    DEVICE,
    LOWER_BOUND,
    SHAPE,
    WALL,
    ServiceMeasurement,
)
from roofline_afd.catalogue.calibration import ServiceConstants, load_service_constants
from roofline_afd.errors import InputError
from roofline_afd.progress import steps
from roofline_afd.serving.deployment import AFD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.store import Catalogue

LARGE_ERROR = 0.25
"""Share of the measured throughput from which a miss of a shipped row needs a reason [1]."""
NO_ENGINE = "none named"
"""How a summary calls the engine of rows that name none."""
TABLE_KEYS = (
    "id",
    "mode",
    "use",
    "role",
    "timing",
    "basis",
    "engine",
    "measured",
    "predicted",
    "error",
    "fits_memory",
    "why",
)


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
        the measured one, null with the reason where the row lacks an input. The summary is of `counted` rows:
        use `absolute`, role `check`, no engine named; where there are none, of named engines if predicted as
        they were timed.
        Beside it `like_for_like` sums up all levels that are predicted on the basis they were timed on,
        `device_basis` those timed by the wall clock but predicted without the pause of their engine's host,
        `by_basis` every group; then what AFD gains over EP, and which ratio of groups is best. `sign_test`
        lists every pair of AFD and EP that is alike in conditions and clock, with `ratio_model`, how sure a
        predicted ratio is by them.
    """
    constants = load_service_constants(catalogue)
    answers, compared = [], []
    for row in steps(rows):
        answer = answer_of(row, constants)
        answers.append(answer)
        if answer["error"] is not None:
            compared.append(Compared(row, answer["measured"], answer["predicted"]))
    headline = [row for row in rows if row.headline]
    engines = "no engine named"
    if not headline:
        headline = [row for row in rows if row.level and row.like_for_like]
        engines = "engine named, predicted as timed"
    ids = {row.id for row in headline}
    counted = [each for each in compared if each.row.id in ids]
    levels = [(row, answer["error"]) for row, answer in zip(rows, answers, strict=True) if row.level]
    summary = spread([each.error for each in counted], skipped=len(headline) - len(counted)) | {
        "counted": f"use {ABSOLUTE}, role {CHECK}, {engines}",
        "counted_rows": [each.row.id for each in counted],
        "median_abs_error_by_mode": medians((each.row.mode, each.error) for each in counted),
        "median_abs_error_by_source": medians(
            (each.row.origin or each.row.source or "unnamed", each.error) for each in counted
        ),
        "like_for_like": _spread_of(levels, like_for_like=True),
        "device_basis": _spread_of(levels, like_for_like=False),
        "by_basis": by_group(
            (_labels(row), answer["error"])
            for row, answer in zip(rows, answers, strict=True)
            if row.use == ABSOLUTE
        ),
        "calibration_rows": {
            each.row.id: each.error for each in compared if each.row.role == CALIBRATION and each.row.general
        },
        "lower_bounds": [
            {key: answer[key] for key in ("id", "measured", "predicted", "why")}
            | {"satisfied": _satisfied(answer)}
            for answer in answers
            if answer["use"] == LOWER_BOUND
        ],
        "sign_test": sign_test(compared, constants),
        "ratio_test": _ratio_test(compared),
    }
    if counted:
        summary["answer"] = _answer(summary)
    return Answer(
        "validate",
        {"services": files_of(row.place for row in rows)},
        object_columns(answers),
        summary,
        [*left_out(catalogue), *_notes(answers, summary)],
        TABLE_KEYS,
    )


def _spread_of(
    levels: Sequence[tuple[ServiceMeasurement, float | None]], *, like_for_like: bool
) -> dict[str, Any]:
    chosen = [error for row, error in levels if row.like_for_like == like_for_like]
    known = [error for error in chosen if error is not None]
    return spread(known, skipped=len(chosen) - len(known))


def _labels(row: ServiceMeasurement) -> dict[str, str]:
    return {
        "mode": row.mode,
        "timing": row.timing,
        "basis": row.basis,
        "engine": row.engine or NO_ENGINE,
        "role": row.role,
    }


def _answer(summary: Mapping[str, Any]) -> str:
    """Return the headline, and in the same breath the rows it leaves out."""
    alone = "no engine named" in summary["counted"]
    text = sentence(summary, what="published services predicted (tokens/s per device)")
    text += f" Counted are levels that set no constant, {'of no named engine' if alone else 'as timed'}."
    alike, device = summary["like_for_like"], summary["device_basis"]
    if alike["n"] > summary["n"]:
        text += (
            f" With services of named engines, predicted as timed: {alike['n']}, median error "
            f"{alike['median_abs_error']:.1%}, 90 % of them within {alike['p90_abs_error']:.1%}."
        )
    if device["n"]:
        text += (
            f" Left out: {device['n']} timed by a client of an engine whose pauses are not modelled, median "
            f"error without them {device['median_abs_error']:.1%}."
        )
    return text


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
        "system": row.system,
        "model": row.model,
        "use": row.use,
        "role": row.role,
        "timing": row.timing,
        "basis": row.basis,
        "engine": row.engine or None,
        "placement": row.placement,
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
        "reading": row.reading or None,
    }
    why = f"the row lacks {', '.join(row.incomparable)}" if row.incomparable else None
    if row.unpredictable:
        return answer | {"why": row.unpredictable if row.placement == CORE_PLACEMENT else why}
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
    answer["error"] = predicted.tokens_per_s_per_device / row.throughput - 1
    if not row.like_for_like:
        return answer | {"why": f"timed by the wall clock, predicted without {pause_of(row)}"}
    return answer | {"why": row.reason if row.reason and is_miss(answer) else None}


def is_miss(answer: Mapping[str, Any]) -> bool:
    """Return whether an error is so large that a shipped row owes a reason.

    Parameters
    ----------
    answer : mapping
        What `answer_of` returned. A lower bound is missed from below only; a wall-clock figure predicted
        without the pause of its host has its reason there, and is none.

    Returns
    -------
    bool
        Whether it is.
    """
    use, error = answer["use"], answer["error"]
    if error is None or (answer["timing"] == WALL and answer["basis"] == DEVICE):
        return False
    return bool(error < -LARGE_ERROR if use == LOWER_BOUND else use == ABSOLUTE and abs(error) > LARGE_ERROR)


def _satisfied(answer: Mapping[str, Any]) -> bool | None:
    return None if answer["error"] is None else bool(answer["predicted"] >= answer["measured"])


def _ratio_test(compared: Sequence[Compared]) -> dict[str, Any]:
    """Return what is lost, in measured throughput, where the ratio of groups predicted best is chosen."""
    sweeps: dict[tuple[str, str, int], list[Compared]] = {}
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
    notes += [
        f"{group['mode']}, timing {group['timing']}, predicted on the {group['basis']} basis, engine "
        f"{group['engine']}, role {group['role']}: {group['n']} rows, median error "
        f"{group['median_abs_error']:.1%}, in the median {group['median_signed_error']:+.1%}, "
        f"{group['skipped']} skipped"
        for group in summary["by_basis"]
        if group["n"]
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
            + ("" if pair["beyond_noise"] else f"; measured within {signs['noise']:.0%}, their noise")
        )
    notes += sure_notes(signs)
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
        notes.append(
            f"rows of role calibration are not counted; errors of those that set constants: {errors}"
        )
    return notes
