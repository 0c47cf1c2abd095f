"""The section on published points of serving, prompts among them: errors, and every term of the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.points.predict import TERMS
from roofline_afd.analysis.evidence.points.rows import shipped_points
from roofline_afd.analysis.evidence.points.validate import validate_points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.store import Catalogue

SHOWN = tuple(name for name in TERMS if name != "drafting")
"""Terms that have a column: no published point drafts."""
WHOLE_FROM = 1000
"""Figures from here on are written without a fraction."""


def section(catalogue: Catalogue) -> list[str]:
    """Return the paragraphs and tables, as Markdown."""
    answer = validate_points(shipped_points(catalogue))
    rows, summary = answer.rows(), answer.summary
    known = [row for row in rows if row["error"] is not None]
    skipped: dict[str, list[str]] = {}
    for row in rows:
        if row["error"] is None:
            skipped.setdefault(row["why"], []).append(f"`{row['id']}`")
    reasons: dict[str, list[str]] = {}
    for row in known:
        if row["why"]:
            reasons.setdefault(row["why"], []).append(f"`{row['id']}` {row['error']:+.1%}")
    return [
        "\n## Prefill, and points of serving\n",
        (
            f"**{summary.get('answer', 'No point of prefill is predicted.')}** These stand apart from "
            "the figures above, which are of decoding. `validate --serving-points FILE` answers the same for "
            "rows of your own. All rows are checks: nothing is fitted to them. Chunk and micro-batches are "
            "the best ones, as `explore` chooses them, and the pause of no host is counted: a prediction is "
            "what an engine without pauses would reach.\n"
        ),
        _groups(summary["by_metric"]),
        (
            "The terms of the step behind each point, one after the other [ms]: what two micro-batches "
            "overlap is hidden, the rest is the step. Beside it stands the step that the measured figure "
            "implies for the same chunk and batch: the difference is what the terms together miss.\n"
        ),
        f"| row | {' | '.join(SHOWN)} | hidden | step | step measured | error |".replace("_", " "),
        f"|{'---|' * (len(SHOWN) + 5)}",
        *map(_terms, known),
        "",
        "| row | metric | measured | predicted | devices | chunk tokens | micro-batches |",
        f"|{'---|' * 7}",
        *(
            f"| `{row['id']}` | {row['metric']} | {_figure(row['measured'])} | {_figure(row['predicted'])} "
            f"| {row['n_devices']} | {row['chunk_tokens']:,.0f} | {row['microbatches']} |"
            for row in known
        ),
        "",
        *(f"- {', '.join(names)}: {why}." for why, names in reasons.items()),
        *(f"- Not predicted, {why}: {', '.join(names)}." for why, names in skipped.items()),
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.4g}"


def _terms(row: Mapping[str, Any]) -> str:
    times = (row[f"{name}_ms"] for name in (*SHOWN, "hidden", "step", "step_measured"))
    return f"| `{row['id']}` | {' | '.join(f'{time:,.2f}' for time in times)} | {row['error']:+.1%} |"


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| metric | rows | skipped | median error | in the median |", "|---|---|---|---|---|"]
    for group in groups:
        figures = ["-"] * 2
        if group["n"]:
            figures = [f"{group['median_abs_error']:.1%}", f"{group['median_signed_error']:+.1%}"]
        cells = (group["metric"], str(group["n"]), str(group["skipped"]), *figures)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
