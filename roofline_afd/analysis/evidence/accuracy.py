"""Signed errors of predictions summed up, in the same words for services and for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def spread(errors: Sequence[float], *, skipped: int) -> dict[str, Any]:
    """Sum up signed errors.

    Parameters
    ----------
    errors : sequence of float
        Signed errors, as fractions of the measured figures [1].
    skipped : int
        Rows that would count but lack an input [1].

    Returns
    -------
    dict
        Count, median, ninetieth percentile and maximum of the absolute errors, null where there are none;
        rows skipped.
    """
    sizes = np.abs(errors)
    return {
        "n": len(errors),
        "median_abs_error": float(np.median(sizes)) if len(errors) else None,
        "p90_abs_error": float(np.quantile(sizes, 0.9)) if len(errors) else None,
        "max_abs_error": float(np.max(sizes)) if len(errors) else None,
        "skipped": skipped,
    }


def medians(errors: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the median absolute error of each group [1], from pairs of a group's name and an error."""
    groups: dict[str, list[float]] = {}
    for name, error in errors:
        groups.setdefault(name, []).append(abs(error))
    return {name: float(np.median(sizes)) for name, sizes in sorted(groups.items())}


def by_group(errors: Iterable[tuple[Mapping[str, str], float | None]]) -> list[dict[str, Any]]:
    """Sum up signed errors of groups.

    Parameters
    ----------
    errors : iterable of tuple
        The labels of a row's group, and its signed error as a fraction of the measured figure [1]: None where
        the row is skipped.

    Returns
    -------
    list of dict
        A group each, in the order of their first rows: its labels, what `spread` says, and
        `median_signed_error`, below 0 where predictions are too low, null where there are none.
    """
    groups: dict[tuple[tuple[str, str], ...], list[float | None]] = {}
    for labels, error in errors:
        groups.setdefault(tuple(labels.items()), []).append(error)
    found = []
    for labels_of, every in groups.items():
        known = [error for error in every if error is not None]
        summed = spread(known, skipped=len(every) - len(known))
        found.append(
            dict(labels_of) | summed | {"median_signed_error": float(np.median(known)) if known else None}
        )
    return found


def sentence(summary: Mapping[str, Any], *, what: str) -> str:
    """Say in one sentence how far the predictions of `what` are off."""
    return (
        f"{summary['n']} {what}, median error {summary['median_abs_error']:.1%}, "
        f"90 % of them within {summary['p90_abs_error']:.1%}; {summary['skipped']} skipped."
    )


def estimated_note(kinds: Iterable[object]) -> list[str]:
    """Return the note on predictions that rest on an efficiency nobody measured, where there are any."""
    estimated = sum(kind == ESTIMATED for kind in kinds)
    return [f"{estimated} predictions rest on an efficiency of kind estimated"] if estimated else []


def files_of(places: Iterable[str]) -> list[str]:
    """Return the names of the files that rows come from, sorted."""
    return sorted({place.partition(", row")[0] for place in places})
