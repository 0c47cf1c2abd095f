"""Predictions against measured times of operators: signed errors, row by row and by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.accuracy import estimated_note, files_of, medians, sentence, spread
from roofline_afd.analysis.evidence.operators.predict import predict
from roofline_afd.analysis.evidence.operators.work import measured_us
from roofline_afd.catalogue.calibration import Calibration, load_calibration
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.store import Catalogue

TABLE_KEYS = ("id", "operator", "system", "measured", "predicted", "error", "kind", "why")


def validate_operators(rows: Sequence[Measurement], *, catalogue: Catalogue) -> Answer:
    """Predict the time of each measured operator or transfer with the calibration of the catalogue.

    Parameters
    ----------
    rows : sequence of Measurement
        What was measured.
    catalogue : Catalogue
        Where the calibration is looked up.

    Returns
    -------
    Answer
        A row per measurement: measured and predicted time [us], signed error as a fraction of the measured
        time, null with the reason where the row lacks an input; medians over all, by operator, by system.
    """
    calibrations: dict[str, Calibration] = {}
    for row in rows:
        if row.system.id not in calibrations:
            calibrations[row.system.id] = load_calibration(row.system, catalogue=catalogue)
    answers = [_row(row, calibrations[row.system.id], catalogue) for row in rows]
    known = [answer for answer in answers if answer["error"] is not None]
    by_both = medians((f"{answer['operator']} on {answer['system']}", answer["error"]) for answer in known)
    summary = spread([answer["error"] for answer in known], skipped=len(answers) - len(known)) | {
        "median_abs_error_by_operator": medians((answer["operator"], answer["error"]) for answer in known),
        "median_abs_error_by_system": medians((answer["system"], answer["error"]) for answer in known),
        "median_abs_error_by_operator_and_system": by_both,
    }
    if known:
        summary["answer"] = sentence(summary, what="measured times predicted (us)")
    notes = [f"median error, {name}: {error:.1%}" for name, error in by_both.items()]
    notes += estimated_note(answer["kind"] for answer in known)
    notes.append(
        "rows that the shipped calibration was fitted to are predicted better than others: "
        "the held-out errors of the records say how much"
    )
    return Answer(
        "validate",
        {"operators": files_of(row.place for row in rows)},
        object_columns(answers),
        summary,
        notes,
        TABLE_KEYS,
    )


def _row(row: Measurement, calibration: Calibration, catalogue: Catalogue) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": row.id,
        "operator": row.operator,
        "system": row.system.id,
        "measured": None,
        "predicted": None,
        "error": None,
        "kind": None,
        "why": None,
    }
    if row.missing:
        return answer | {"why": f"the row lacks {', '.join(row.missing)}"}
    try:
        measured = measured_us(row)
        time, kind = predict(row, calibration, catalogue=catalogue)
        predicted = time * 1e6
    except InputError as error:
        return answer | {"why": str(error)}
    return answer | {
        "measured": measured,
        "predicted": predicted,
        "error": predicted / measured - 1,
        "kind": kind,
    }
