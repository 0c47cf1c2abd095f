"""What running a service adds to its operators: two constants, fitted to the rows that set them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, best
from roofline_afd.analysis.evidence.services.predict import deployment_of
from roofline_afd.analysis.evidence.services.rows import CALIBRATION, ServiceMeasurement
from roofline_afd.analysis.evidence.services.validate import answer_of
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import MODES, Block, Deployment, Deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.calibration import ServiceConstants
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.sizes import Prompt

CONSTANTS = {
    "gap_ms": Bounds(0.0, 15.0, 1.0),
    "communication_slowdown": Bounds(1.0, 2.0, 1.3),
}
"""Range of each constant, in the unit of its key."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceFit:
    """Constants by key in their units, errors of the rows they were fitted to, and without each of these."""

    rows: tuple[ServiceMeasurement, ...]
    values: Mapping[str, float]
    errors: tuple[float, ...]
    without: Mapping[str, Mapping[str, float]]
    """Constants when the row of this id is left out."""
    validated_error: float | None
    """Median absolute relative error on the general rows that set nothing, None where there are none [1]."""
    validated_by_mode: Mapping[str, tuple[float, float]]
    """The same by mode, and the median signed error: below 0 where services are faster than predicted [1]."""

    @property
    def training_error(self) -> float:
        """Median absolute relative error of the step on the rows fitted [1]."""
        return float(np.median(np.abs(self.errors)))


def fit_service_constants(rows: Sequence[ServiceMeasurement]) -> ServiceFit:
    """Fit what running a service adds to its operators, on general rows of role `calibration` alone.

    A row that names an engine speaks for that engine: it neither sets nor judges constants of every service.

    Parameters
    ----------
    rows : sequence of ServiceMeasurement
        Measured services; those of role `check` set nothing, and are predicted afterwards.

    Returns
    -------
    ServiceFit
        Constants, and what they would be without each row; the same rows always give the same.

    Raises
    ------
    InputError
        If fewer rows than constants set them, or one lacks an input.
    """
    used = tuple(row for row in rows if row.role == CALIBRATION and row.general)
    if len(used) <= len(CONSTANTS):
        raise InputError(
            f"{len(used)} rows of role calibration that name no engine are too few to fit "
            f"{len(CONSTANTS)} constants"
        )
    for row in used:
        if row.incomparable:
            raise InputError(f"{row.place}: lacks {', '.join(row.incomparable)}")
        if row.unpredictable:
            raise InputError(f"{row.place}: {row.unpredictable}")
    varied = [_Varied(row) for row in used]
    measured = np.array([1.0 / (row.throughput or np.nan) for row in used])

    def times(parameters: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        values = dict(zip(CONSTANTS, parameters.tolist(), strict=True))
        return np.array([varied[index].seconds_per_token(values) for index in chosen])

    def found(chosen: NDArray[np.intp]) -> dict[str, float]:
        parameters = best(times, measured, tuple(CONSTANTS.values()), chosen)
        return dict(zip(CONSTANTS, parameters.tolist(), strict=True))

    every = np.arange(len(used))
    values = found(every)
    errors = times(np.array(list(values.values())), every) / measured - 1
    without = {row.id: found(np.delete(every, index)) for index, row in enumerate(used)}
    answers = [answer_of(row, _constants(values, varied[0].constants)) for row in rows if row.headline]
    unseen = [answer["error"] for answer in answers if answer["error"] is not None]
    by_mode = {
        mode: [
            answer["error"] for answer in answers if answer["error"] is not None and answer["mode"] == mode
        ]
        for mode in MODES
    }
    return ServiceFit(
        used,
        values,
        tuple(errors.tolist()),
        without,
        float(np.median(np.abs(unseen))) if unseen else None,
        {
            mode: (float(np.median(np.abs(found_errors))), float(np.median(found_errors)))
            for mode, found_errors in by_mode.items()
            if found_errors
        },
    )


class _Varied(Deployments):
    """A deployment whose layers under any slowdown come from those under two: they depend linearly."""

    def __init__(self, row: ServiceMeasurement) -> None:
        super().__init__(row.scenario, row.mode)
        self._row = row
        self._known: dict[int, list[tuple[list[Block], FloatArray]]] = {}
        self.deployment = deployment_of(row, self)

    def _blocks(
        self, deployment: Deployment, query_tokens: int, prompt: Prompt | None = None
    ) -> tuple[list[Block], FloatArray]:
        assert prompt is None  # noqa: S101 - published rows decode
        wanted = self.constants
        if query_tokens not in self._known:
            self._known[query_tokens] = [
                self._computed(
                    dataclasses.replace(wanted, gap_s=0.0, communication_slowdown=slowdown),
                    deployment,
                    query_tokens,
                )
                for slowdown in (1.0, 2.0)
            ]
            self.constants = wanted
        (base, once), (slow, _) = self._known[query_tokens]
        slower = wanted.communication_slowdown - 1.0
        blocks = [
            one._replace(
                **{
                    side: getattr(one, side) + slower * (getattr(two, side) - getattr(one, side))
                    for side in Block._fields[1:5]
                }
            )
            for one, two in zip(base, slow, strict=True)
        ]
        return blocks, once

    def _computed(
        self, constants: ServiceConstants, deployment: Deployment, query_tokens: int
    ) -> tuple[list[Block], FloatArray]:
        self.constants = constants
        self._layers.clear()
        return super()._blocks(deployment, query_tokens)

    def seconds_per_token(self, values: Mapping[str, float]) -> float:
        """Return the time of a device per output token under some constants [s]."""
        self.constants = _constants(values, self.constants)
        step = self.step(self.deployment).time
        return 1.0 / float(self.tokens_per_s_per_device(self.deployment, step))


def _constants(values: Mapping[str, float], known: ServiceConstants) -> ServiceConstants:
    """Return known constants with fitted ones in their place."""
    return dataclasses.replace(
        known,
        gap_s=values["gap_ms"] * 1e-3,
        communication_slowdown=values["communication_slowdown"],
    )
