"""What is read off a simulation: throughput, idle shares and time per token of a window, and their course."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.simulation.words import FIRST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.simulation.arrays import Floats, Ints
    from roofline_afd.simulation.replicate import Course
    from roofline_afd.simulation.settings import Settings

FIRST_SHARE = 0.8
"""Share of the completions that counts in the window `first-80`."""
WARM_UP_SHARE = 0.2
"""Share of the completions left out before the window `steady`."""
SERIES_POINTS = 400
"""Rows of a time series per ratio."""
QUANTILES_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t at 97.5 % for 1, 2, ... 30 degrees of freedom."""
QUANTILE_NORMAL = 1.96


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a window of the replications shows: replications down, ratios across."""

    throughput: Floats
    """Tokens per second and instance, attention and FFN instances counted alike [tokens/s]."""
    attention_idle: Floats
    """Share of the layers' time in which an attention instance is idle, averaged over them [1]."""
    ffn_idle: Floats
    """The same of the FFN instance [1]."""
    tpot: Floats
    """Mean time per output token [s]."""
    tpot_p50: Floats
    """Median of it over tokens [s]."""
    tpot_p95: Floats
    """95th percentile of it over tokens [s]."""


def measure(settings: Settings, course: Course) -> Measured:
    """Return what the window of one replication shows.

    Parameters
    ----------
    settings : Settings
        What is simulated.
    course : Course
        What happened.

    Returns
    -------
    Measured
        One row.
    """
    ratios = np.array(settings.ratios)
    first, last = window_of(settings, course)
    across = np.arange(ratios.size)

    def during(values: NDArray[Any]) -> Floats:
        return values[last, across] - np.where(first < 0, 0, values[first, across])

    elapsed = during(course.time)
    steps = during(np.broadcast_to(course.steps[:, None], course.time.shape))
    tokens = steps * settings.batch * settings.microbatches * ratios * settings.accept_length
    ffn_busy = steps * settings.microbatches * settings.ffn_time(ratios)
    whole_time = elapsed * settings.layers + steps * settings.outside
    durations = [course.durations[first[at] + 1 : last[at] + 1, :, at] for at in across]
    tpot = np.array([[part.mean(), *np.quantile(part, (0.5, 0.95))] for part in durations])
    tpot = (tpot * settings.layers + settings.outside) / settings.accept_length
    return Measured(
        throughput=(tokens / (whole_time * (ratios + 1)))[None],
        attention_idle=(1 - during(course.attention_busy) / elapsed)[None],
        ffn_idle=(1 - ffn_busy / elapsed)[None],
        tpot=tpot[None, :, 0],
        tpot_p50=tpot[None, :, 1],
        tpot_p95=tpot[None, :, 2],
    )


def window_of(settings: Settings, course: Course) -> tuple[Ints, Ints]:
    """Return the first and the last row of a course that count, for each ratio; -1 is the start.

    Parameters
    ----------
    settings : Settings
        What is simulated.
    course : Course
        What happened.

    Returns
    -------
    first, last : array of int
        What happened after the first row, until the last, counts.
    """
    wanted = settings.requests * settings.workers
    if settings.window == FIRST:
        return np.full(wanted.size, -1), _reached(course, FIRST_SHARE * wanted)
    first = np.minimum(_reached(course, WARM_UP_SHARE * wanted), len(course.time) - 2)
    return first, np.maximum(_reached(course, wanted), first + 1)


def _reached(course: Course, completions: NDArray[Any]) -> Ints:
    """Return the first row with as many completions of each ratio."""
    found: Ints = np.argmax(course.completions >= completions, axis=0)
    return found


def half_width(values: Floats) -> NDArray[Any]:
    """Return half the width of the 95 % confidence interval of the means of columns.

    Parameters
    ----------
    values : array
        A row per replication.

    Returns
    -------
    array
        One per column, in the unit of the values; None of a single row.
    """
    count, across = values.shape
    if count == 1:
        return np.full(across, None)
    quantile = QUANTILES_95[count - 2] if count - 2 < len(QUANTILES_95) else QUANTILE_NORMAL
    return np.asarray(quantile * values.std(axis=0, ddof=1) / math.sqrt(count))


def series(settings: Settings, course: Course) -> dict[str, NDArray[Any]]:
    """Return how one replication went over time, as columns.

    Parameters
    ----------
    settings : Settings
        What was simulated.
    course : Course
        What happened.

    Returns
    -------
    dict of str to array
        A row per ratio and interval of some steps, of equal lengths: when it ended, and throughput, idle
        shares, the slowest attention time and completions within it.
    """
    every = math.ceil(len(course.time) / SERIES_POINTS)
    rows = np.arange(every - 1, len(course.time), every)
    steps = np.diff(course.steps[rows], prepend=0)[:, None]
    ratios = np.array(settings.ratios)[None]
    shape = (rows.size, ratios.size)
    elapsed = np.diff(course.time[rows], axis=0, prepend=0)
    work = steps * settings.microbatches
    ffn_busy = work * settings.ffn_time(ratios[0])
    tokens = work * settings.batch * ratios * settings.accept_length
    whole_time = elapsed * settings.layers + steps * settings.outside
    columns = {
        "r": np.broadcast_to(ratios, shape),
        "step": np.broadcast_to(course.steps[rows][:, None], shape),
        "time_s": course.time[rows] * settings.layers + course.steps[rows][:, None] * settings.outside,
        "throughput_per_instance": tokens / (whole_time * (ratios + 1)),
        "attention_idle": 1 - np.diff(course.attention_busy[rows], axis=0, prepend=0) / elapsed,
        "ffn_idle": 1 - ffn_busy / elapsed,
        "slowest_attention_us": course.slowest[rows] * 1e6,
        "completions": np.diff(course.completions[rows], axis=0, prepend=0),
    }
    return {key: values.T.ravel() for key, values in columns.items()}
