"""Predictions against published points of serving: signed errors, and every term of the step behind them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.accuracy import by_group, files_of, sentence, spread
from roofline_afd.analysis.evidence.points.predict import TERMS, predict_point
from roofline_afd.analysis.evidence.points.rows import TPOT
from roofline_afd.analysis.evidence.services.validate import LARGE_ERROR
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.evidence.points.rows import ServingPoint
    from roofline_afd.catalogue.calibration import ServiceConstants

LARGE_SHARE = 0.25
"""Share of the terms on efficiencies not measured on the parts, from which a note says so [1]."""
TERM_KEYS = tuple(f"{name}_ms" for name in TERMS)
"""Keys of the terms of a step [ms]."""
TABLE_KEYS = (
    "id",
    "metric",
    "measured",
    "predicted",
    "error",
    *(key for key in TERM_KEYS if key != "drafting_ms"),
    "hidden_ms",
    "step_ms",
    "step_measured_ms",
    "why",
)


def validate_points(rows: Sequence[ServingPoint]) -> Answer:
    """Predict each published point of serving with the calibration of the catalogue it was read with.

    Parameters
    ----------
    rows : sequence of ServingPoint
        What was published.

    Returns
    -------
    Answer
        A row per point: measured and predicted figure in the unit its metric names, signed error as a
        fraction of the measured one, the terms of the step behind it and the step that the measured figure
        implies [ms]; null with the reason where it is skipped. In the summary the errors of prompts
        (`prefill`), and of every metric by itself.
    """
    answers = [point_answer(row) for row in rows]
    prefill = _prefill_of(rows, answers)
    summary: dict[str, Any] = {
        "prefill": prefill,
        "by_metric": by_group(({"metric": row["metric"]}, row["error"]) for row in answers),
        "skipped": _reasons(answers),
    }
    if prefill["n"]:
        summary["answer"] = prefill_sentence(prefill)
    return Answer(
        "validate",
        {"serving_points": files_of(row.place for row in rows)},
        object_columns(answers),
        summary,
        _notes(answers, summary),
        TABLE_KEYS,
    )


def prefill_errors(
    rows: Sequence[ServingPoint], *, constants: ServiceConstants | None = None
) -> dict[str, Any]:
    """Sum up the errors of rows that time prompts alone; they are never mixed with those of decoding.

    Parameters
    ----------
    rows : sequence of ServingPoint
        Published points of any metric.
    constants : ServiceConstants, optional
        What running a service adds; by default as in the catalogue of their systems.

    Returns
    -------
    dict
        `rows` that time prompts, what `spread` says of those predicted, `median_signed_error`, above 0 where
        prompts are predicted faster than measured, and the ids counted.
    """
    timed = [row for row in rows if row.prefill]
    return _prefill_of(timed, [point_answer(row, constants=constants) for row in timed])


def with_prefill(answer: Answer, rows: Sequence[ServingPoint]) -> Answer:
    """Return an answer about services with the errors of prefill beside it, in figures of their own.

    Parameters
    ----------
    answer : Answer
        What `validate_services` returned.
    rows : sequence of ServingPoint
        Published points of any metric; those of prompts count.

    Returns
    -------
    Answer
        The same with `prefill` in its summary, and a note.
    """
    prefill = prefill_errors(rows)
    return dataclasses.replace(
        answer,
        inputs=answer.inputs | {"serving_points": files_of(row.place for row in rows)},
        summary=answer.summary | {"prefill": prefill},
        notes=[*answer.notes, *([f"not counted above: {prefill_sentence(prefill)}"] if prefill["n"] else [])],
    )


def prefill_sentence(summary: Mapping[str, Any]) -> str:
    """Say how far prefill is off, from what `prefill_errors` found of at least one row."""
    text = sentence(summary, what="points of prefill predicted (prompt tokens/s/device)")
    return f"{text} In the median {summary['median_signed_error']:+.1%}; above 0 is too fast."


def _prefill_of(rows: Sequence[ServingPoint], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    timed = [answer for row, answer in zip(rows, answers, strict=True) if row.prefill]
    known = [answer for answer in timed if answer["error"] is not None]
    errors = [answer["error"] for answer in known]
    return {
        "rows": len(timed),
        **spread(errors, skipped=len(timed) - len(errors)),
        "median_signed_error": float(np.median(errors)) if errors else None,
        "counted_rows": [answer["id"] for answer in known],
    }


def point_answer(row: ServingPoint, *, constants: ServiceConstants | None = None) -> dict[str, Any]:
    """Hold the prediction of one row against its measurement.

    Parameters
    ----------
    row : ServingPoint
        The row.
    constants : ServiceConstants, optional
        What running a service adds; by default as in the catalogue of its system.

    Returns
    -------
    dict
        The row of the answer: `error` is null where nothing is predicted, and `why` says why.
    """
    answer: dict[str, Any] = {
        "id": row.id,
        "metric": row.metric,
        "system": row.system,
        "model": row.model,
        "parallelism": row.parallelism or None,
        "engine": row.engine or None,
        "n_devices": row.devices,
        "measured": row.measured,
        "predicted": None,
        "error": None,
        "chunk_tokens": None,
        "batch_per_group": None,
        "microbatches": None,
        **dict.fromkeys(TERM_KEYS),
        "hidden_ms": None,
        "step_ms": None,
        "step_measured_ms": None,
        "estimated_share": None,
        "sibling_share": None,
        "why": row.why_not or None,
        "source": row.source or None,
    }
    try:
        found = predict_point(row, constants=constants)
    except InputError as error:
        return answer | {"why": str(error)}
    ratio = found.predicted / row.measured
    why = [] if row.devices else [f"devices not stated: the best of one scale-up domain, {found.devices}"]
    why += [row.reason] if row.reason and abs(ratio - 1) > LARGE_ERROR else []
    return answer | {
        "n_devices": found.devices,
        "predicted": found.predicted,
        "error": ratio - 1,
        "chunk_tokens": found.chunk_tokens,
        "batch_per_group": found.batch_per_group or None,
        "microbatches": found.microbatches,
        **{key: found.terms[name] * 1e3 for key, name in zip(TERM_KEYS, TERMS, strict=True)},
        "hidden_ms": found.hidden * 1e3,
        "step_ms": found.step * 1e3,
        "step_measured_ms": (found.step / ratio if row.metric == TPOT else found.step * ratio) * 1e3,
        "estimated_share": found.estimated_share,
        "sibling_share": found.sibling_share,
        "why": "; ".join(why) or None,
    }


def _reasons(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many rows are skipped for each reason."""
    found: dict[str, int] = {}
    for answer in answers:
        if answer["error"] is None:
            found[answer["why"]] = found.get(answer["why"], 0) + 1
    return found


def _notes(answers: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[str]:
    return [
        *(
            f"{group['metric']}: {group['n']} rows, median error {group['median_abs_error']:.1%}, in the "
            f"median {group['median_signed_error']:+.1%}, {group['skipped']} skipped"
            for group in summary["by_metric"]
            if group["n"]
        ),
        *(f"{count} skipped: {why}" for why, count in summary["skipped"].items()),
        "every row is a check: nothing is fitted to them",
        (
            "chunk and micro-batches are the best ones, as explore chooses them, since no row states them; "
            "the host pause of no engine is modelled"
        ),
        (
            "terms are times one after the other: less hidden, what micro-batches overlap, they are the "
            "step; step measured is the one that the published figure implies"
        ),
        *(
            f"{answer['id']}: {answer['sibling_share']:.0%} of its terms rest on efficiencies of a sibling "
            f"or another number format, {answer['estimated_share']:.0%} on none measured"
            for answer in answers
            if (answer["sibling_share"] or 0.0) + (answer["estimated_share"] or 0.0) > LARGE_SHARE
        ),
    ]
