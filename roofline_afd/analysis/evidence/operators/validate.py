"""Predictions against measured times of operators: signed errors, row by row and by group."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, left_out, object_columns
from roofline_afd.analysis.evidence.accuracy import estimated_note, files_of, medians, sentence, spread
from roofline_afd.analysis.evidence.operators.every import predict_row
from roofline_afd.analysis.evidence.operators.forwarded import implied_us
from roofline_afd.analysis.evidence.operators.rows import USES
from roofline_afd.catalogue.calibration import Calibration, load_calibration
from roofline_afd.errors import InputError
from roofline_afd.progress import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.store import Catalogue

TABLE_KEYS = ("id", "operator", "system", "measured", "predicted", "error", "kind", "kernel", "use", "why")
MOST_GROUPS = 24
"""Operators and systems that notes tell the errors of; of more, they tell those of operators."""


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
        time, null with the reason where it is skipped, besides kernel, engine and use; in the summary medians
        over all, by operator, by system, and by kernel, which rows stand where, and the shares skipped with
        the reasons.
    """
    calibrations: dict[str, Calibration] = {}
    for row in steps(rows):
        if not row.why_not and row.system.id not in calibrations:
            calibrations[row.system.id] = load_calibration(row.system, catalogue=catalogue)
    answers = [_row(row, calibrations, catalogue) for row in rows]
    known = [answer for answer in answers if answer["error"] is not None]
    by_both = medians((f"{answer['operator']} on {answer['system']}", answer["error"]) for answer in known)
    summary = spread([answer["error"] for answer in known], skipped=len(answers) - len(known)) | {
        "median_abs_error_by_operator": medians((answer["operator"], answer["error"]) for answer in known),
        "median_abs_error_by_system": medians((answer["system"], answer["error"]) for answer in known),
        "median_abs_error_by_operator_and_system": by_both,
        "median_abs_error_by_use": medians((answer["use"], answer["error"]) for answer in known),
        "errors_by_kernel": _by_kernel(known),
        "rows_by_system_and_operator": _standing(answers),
    }
    summary |= _skipped(answers)
    if known:
        summary["answer"] = sentence(summary, what="measured times predicted (us)")
    told = by_both if len(by_both) <= MOST_GROUPS else summary["median_abs_error_by_operator"]
    notes = [f"median error, {name}: {error:.1%}" for name, error in told.items()]
    if len(summary["median_abs_error_by_use"]) > 1:
        by_use = summary["median_abs_error_by_use"]
        notes += [f"median error, rows of use {use}: {error:.1%}" for use, error in by_use.items()]
    notes += [
        f"skipped, {count} row{'s' * (count > 1)}: {why}" for why, count in summary["skipped_reasons"].items()
    ]
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
        [*left_out(catalogue), *notes],
        TABLE_KEYS,
    )


def _by_kernel(known: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the errors of each system, operator, kernel and use."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for answer in known:
        use = answer["use"].partition(":")[0]
        key = (answer["system"], answer["operator"], answer["family"], use)
        groups.setdefault(key, []).append(answer["error"])
    return [
        dict(zip(("system", "operator", "family", "use"), key, strict=True))
        | {
            "n": len(errors),
            "median_abs_error": float(np.median(np.abs(errors))),
            "p90_abs_error": float(np.quantile(np.abs(errors), 0.9)),
            "median_error": float(np.median(errors)),
        }
        for key, errors in sorted(groups.items())
    ]


def _standing(answers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how many rows of each system and operator there are by use, and how many are predicted."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for answer in answers:
        group = groups.setdefault((answer["system"], answer["operator"]), Counter())
        group[answer["use"].partition(":")[0].strip()] += 1
        group["predicted"] += answer["error"] is not None
    return [
        {"system": system, "operator": operator} | {key: counts[key] for key in (*USES, "predicted")}
        for (system, operator), counts in sorted(groups.items())
    ]


def _skipped(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the shares of rows skipped, of all and of those to fit, and how many for which reason."""
    to_fit = [answer["why"] is not None for answer in answers if answer["use"].startswith("fit")]
    reasons = Counter(answer["why"] for answer in answers if answer["why"] is not None)
    return {
        "skipped_share": sum(reasons.values()) / len(answers),
        "skipped_share_to_fit": sum(to_fit) / len(to_fit) if to_fit else 0.0,
        "skipped_reasons": dict(reasons.most_common()),
    }


def _row(row: Measurement, calibrations: Mapping[str, Calibration], catalogue: Catalogue) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": row.id,
        "operator": row.operator,
        "system": row.texts["system"],
        "measured": None,
        "predicted": None,
        "error": None,
        "kind": None,
        "kernel": row.texts["kernel"],
        "engine": row.texts["engine"],
        "family": row.family,
        "timing": row.texts["timing"],
        "use": row.use,
        "why": None,
    }
    if row.why_not:
        return answer | {"why": row.why_not}
    try:
        measured = implied_us(row)
        time, kind = predict_row(row, calibrations[row.system.id], catalogue=catalogue)
        predicted = time * 1e6
    except InputError as error:
        return answer | {"why": str(error).removeprefix(f"{row.place}: ")}
    return answer | {
        "measured": measured,
        "predicted": predicted,
        "error": predicted / measured - 1,
        "kind": kind,
    }
