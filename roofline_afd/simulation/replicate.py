"""One replication: all ratios under the same requests, until each has completed its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.simulation.clock import Clock
from roofline_afd.simulation.slots import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.simulation.arrays import Floats, Ints
    from roofline_afd.simulation.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """What happened in one replication, for each ratio, after every so many steps.

    Rows are steps, columns ratios. Times count from the start, for one layer.
    """

    steps: Ints
    """Steps done [1]."""
    time: Floats
    """When the FFN instance was done with the last micro-batch of the step [s]."""
    attention_busy: Floats
    """Time at work of an attention instance until then, averaged over them [s]."""
    completions: Ints
    """Requests completed by then [1]."""
    slowest: Floats
    """Attention time of the slowest instance in the step, averaged over micro-batches [s]."""
    durations: Floats
    """Time between this token and the one before, of each micro-batch: steps, micro-batches, ratios [s]."""


def replicate(
    settings: Settings, number: int, *, advanced: Callable[[float], None] = lambda _share: None
) -> Course:
    """Simulate all ratios once, until each has completed its requests.

    Workers are the same for all ratios, so that ratios are compared under the same requests, and a ratio's
    result does not depend on which others are asked for.

    Parameters
    ----------
    settings : Settings
        What is simulated.
    number : int
        Which replication; each has its own random numbers [1].
    advanced : callable, optional
        Told now and then which share is done [1].

    Returns
    -------
    Course
        What happened, until at least the last of the requests.
    """
    ratios, sharing = np.array(settings.ratios, dtype=np.int64), settings.workers
    coefficients, microbatches = settings.times(ratios), settings.microbatches
    workers = [
        Worker(
            settings.lengths,
            batch=settings.batch,
            microbatches=microbatches,
            start=settings.start,
            rng=np.random.default_rng([settings.seed, number, worker]),
        )
        for worker in range(int(sharing.max()))
    ]
    clock = Clock(
        ratios,
        coefficients=coefficients,
        batch=settings.batch,
        microbatches=microbatches,
        duplex=settings.duplex,
        ffn_devices=settings.ffn_devices,
    )
    stride, wanted = settings.stride, settings.requests * sharing
    parts: list[tuple[NDArray[Any], ...]] = []
    busy, completed = np.zeros(ratios.size), np.zeros(ratios.size, dtype=np.int64)
    back = np.zeros((microbatches, ratios.size))
    while (completed < wanted).any():
        loads, ended = map(
            np.stack, zip(*(worker.advance(settings.stretch) for worker in workers), strict=True)
        )
        for start in range(0, settings.stretch, settings.block):
            steps = slice(start, start + settings.block)
            attention = coefficients.attention_slope * loads[:, :, steps] + coefficients.attention_fixed
            attention = attention.transpose(2, 1, 0)
            done, returned = clock.run(attention)
            work = np.cumsum(attention.sum(axis=1), axis=1)[:, sharing - 1] / sharing
            at_work = busy + np.cumsum(work, axis=0)
            finished = np.cumsum(ended[:, steps].T, axis=1)[:, sharing - 1]
            finished = completed + np.cumsum(finished, axis=0)
            slowest = np.maximum.accumulate(attention, axis=2).mean(axis=1)[:, sharing - 1]
            durations = np.diff(returned, axis=0, prepend=back[None])
            kept = (done, at_work, finished, slowest, durations)
            parts.append(tuple(part[stride - 1 :: stride].copy() for part in kept))
            busy, completed, back = at_work[-1], finished[-1], returned[-1]
            advanced(min(1.0, float(np.min(completed / wanted))))
            if (completed >= wanted).all():
                break
    time, at_work, finished, slowest, durations = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Course(
        steps=stride * np.arange(1, len(time) + 1),
        time=time,
        attention_busy=at_work,
        completions=finished,
        slowest=slowest,
        durations=durations,
    )
