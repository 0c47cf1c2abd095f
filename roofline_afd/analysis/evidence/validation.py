"""Predictions against published measurements: signed errors, row by row and by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.operator_times import (
    TABLES,
    exchange_of,
    layer_work,
    measured_us,
    work_of,
)
from roofline_afd.catalogue.calibration import ESTIMATED, Calibration, load_calibration
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from roofline_afd.analysis.evidence.measurements import Measurement
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
    errors = np.abs([answer["error"] for answer in known])
    summary: dict[str, Any] = {
        "n": len(known),
        "median_abs_error": float(np.median(errors)) if known else None,
        "p90_abs_error": float(np.quantile(errors, 0.9)) if known else None,
        "max_abs_error": float(np.max(errors)) if known else None,
        "skipped": len(answers) - len(known),
        "median_abs_error_by_operator": _medians(known, lambda answer: answer["operator"]),
        "median_abs_error_by_system": _medians(known, lambda answer: answer["system"]),
        "median_abs_error_by_operator_and_system": _medians(
            known, lambda answer: f"{answer['operator']} on {answer['system']}"
        ),
    }
    if known:
        summary["answer"] = (
            f"{len(known)} measured times predicted (us), median error {summary['median_abs_error']:.1%}, "
            f"90 % of them within {summary['p90_abs_error']:.1%}; {summary['skipped']} skipped."
        )
    notes = [f"median error, {name}: {error:.1%}" for name, error in summary[_BY_BOTH].items()]
    estimated = sum(answer["kind"] == ESTIMATED for answer in known)
    if estimated:
        notes.append(f"{estimated} predictions rest on an efficiency of kind estimated")
    notes.append(
        "rows that the shipped calibration was fitted to are predicted better than others: "
        "the held-out errors of the records say how much"
    )
    return Answer(
        "validate",
        {"operators": sorted({row.place.partition(", row")[0] for row in rows})},
        object_columns(answers),
        summary,
        notes,
        TABLE_KEYS,
    )


_BY_BOTH = "median_abs_error_by_operator_and_system"


def _medians(known: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for answer in known:
        groups.setdefault(key(answer), []).append(abs(answer["error"]))
    return {name: float(np.median(errors)) for name, errors in sorted(groups.items())}


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


def predict(row: Measurement, calibration: Calibration, *, catalogue: Catalogue) -> tuple[float, str]:
    """Predict the time of one measured row.

    Parameters
    ----------
    row : Measurement
        A complete row.
    calibration : Calibration
        Efficiencies of its system.
    catalogue : Catalogue
        Where the model of a whole attention layer is looked up.

    Returns
    -------
    float
        Time [s].
    str
        Kind of the efficiency it rests on.

    Raises
    ------
    InputError
        If a format, peak, fabric or model is unknown.
    """
    if row.operator not in TABLES:
        layer = layer_work([row], {row.system.id: calibration}, catalogue=catalogue)
        kinds = (calibration.gemm.kind, *layer.core.kinds(calibration.attention))
        return float(layer.times(calibration.attention)[0]), max(kinds, key=KINDS.index)
    if TABLES[row.operator] == "link":
        exchange = exchange_of([row])
        link = calibration.link
        return float(exchange.times(link)[0]), link.kind_out if exchange.crosses[0] else link.kind
    efficiency = getattr(calibration, TABLES[row.operator])
    work = work_of([row])
    return float(work.times(efficiency)[0]), work.kinds(efficiency)[0]
