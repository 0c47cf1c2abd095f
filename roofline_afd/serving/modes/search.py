"""The four serving modes, searched: what each finds, or why it finds nothing."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.progress import steps
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.modes.aggregated import Aggregated
from roofline_afd.serving.modes.disaggregated import Disaggregated
from roofline_afd.serving.modes.points import frontier_rows, take
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD, SERVING_MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.question import Question


@dataclasses.dataclass(frozen=True, slots=True)
class ModeFound:
    """What a search over one mode found: its points not dominated, those that are, the best; or why none is.

    `points` has a row per deployment on the mode's frontier, `others` some of those below it.
    """

    mode: str
    points: Points
    others: Points
    best: dict[str, float] | None
    binding: str
    examined: int
    refusal: str = ""
    least_ttft: float = math.inf
    least_tpot: float = math.inf
    least_product: float = math.inf
    """Least product of both times, whatever the limits [s^2]."""


def explore_modes(question: Question, modes: Sequence[str] = SERVING_MODES) -> dict[str, ModeFound]:
    """Search serving modes.

    Parameters
    ----------
    question : Question
        What is asked.
    modes : sequence of str
        Modes to search.

    Returns
    -------
    dict of str to ModeFound
        By mode.
    """
    found = {}
    for mode in steps(modes):
        inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
        kind = Disaggregated if mode in {PD, PD_AFD} else Aggregated
        found[mode] = _found(mode, kind(question, inner))
    return found


def _found(mode: str, searching: Aggregated | Disaggregated) -> ModeFound:
    """Return what a search finds: frontier, the rest, the best and what binds it."""
    every = searching.search()
    examined, least = searching.examined, searching.least
    if not every or not every["rate"].size:
        return ModeFound(mode, {}, {}, None, "", examined, searching.refusal(), *least)
    rows = frontier_rows(every["tpot"], every["rate"])
    rest = np.setdiff1d(np.arange(every["rate"].size), rows)
    points = searching.quickest(take(every, rows))
    row = int(np.argmax(points["rate"]))
    best = {key: float(column[row]) for key, column in points.items()}
    others = take(every, rest)
    return ModeFound(mode, points, others, best, searching.binding(best), examined, "", *least)
