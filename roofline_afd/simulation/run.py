"""Whole simulations: replications one after the other, and what each shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.simulation.measure import Measured, measure
from roofline_afd.simulation.replicate import replicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.simulation.replicate import Course
    from roofline_afd.simulation.settings import Settings


def run(
    settings: Settings, *, advanced: Callable[[float], None] = lambda _share: None
) -> tuple[Measured, Course]:
    """Simulate all replications.

    Parameters
    ----------
    settings : Settings
        What is simulated.
    advanced : callable, optional
        Told now and then which share is done [1].

    Returns
    -------
    measured : Measured
        A row per replication.
    course : Course
        The course of the first one.
    """
    count = settings.replications
    found: list[Measured] = []
    courses: list[Course] = []
    for number in range(count):

        def told(share: float, before: int = number) -> None:
            advanced((before + share) / count)

        course = replicate(settings, number, advanced=told)
        found.append(measure(settings, course))
        courses = courses or [course]
    keys = [field.name for field in dataclasses.fields(Measured)]
    measured = Measured(**{key: np.concatenate([getattr(part, key) for part in found]) for key in keys})
    return measured, courses[0]
