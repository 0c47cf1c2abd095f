"""What running a service adds to its operators: constants, each fitted to the rows that may set it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, best
from roofline_afd.analysis.evidence.services.pairs import Compared, pairs_alike
from roofline_afd.analysis.evidence.services.predict import deployment_of, predict_service
from roofline_afd.analysis.evidence.services.ratio import RatioFit, fit_ratio
from roofline_afd.analysis.evidence.services.rows import CALIBRATION, DEVICE, ServiceMeasurement
from roofline_afd.analysis.evidence.services.validate import answer_of
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import MODES, Block, Deployment, Deployments
from roofline_afd.serving.uneven import PLAIN

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
POPULARITY = "popularity_exponent"
EXPONENTS = tuple(round(0.1 * step, 1) for step in range(16))
"""Exponents of the popularity of experts that are tried [1]."""
LEAST_ROWS = 4
"""Rows of one series from which the popularity of experts is fitted."""


@dataclasses.dataclass(frozen=True, slots=True)
class PopularityFit:
    """How fast the popularity of experts falls with rank, and what tells it.

    `spread` is the root mean square of log errors of `rows`, `even_spread` the same with even popularity,
    `alike` the exponents whose spread is within a tenth of the least [1].
    """

    exponent: float
    rows: tuple[ServiceMeasurement, ...]
    spread: float
    even_spread: float
    alike: tuple[float, float]


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
    popularity: PopularityFit | None = None
    """What tells the popularity of experts; None where too few rows do."""
    ratio: RatioFit | None = None
    """Error of predicted ratios of AFD to EP under these constants, None where no rows make a pair."""

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
    popularity = fit_popularity(rows)
    varied = [_Varied(row, popularity) for row in used]
    measured = np.array([1.0 / (row.throughput or np.nan) for row in used])

    def times(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        every = [dict(zip(CONSTANTS, each, strict=True)) for each in parameters.tolist()]
        return np.array([[one.seconds_per_token(values) for one in varied] for values in every])

    one_left_out = np.vstack([np.ones(len(used)), 1.0 - np.eye(len(used))])
    found = best(times, measured, tuple(CONSTANTS.values()), one_left_out)
    values, *others = (dict(zip(CONSTANTS, each, strict=True)) for each in found.tolist())
    errors = times(found[:1])[0] / measured - 1
    without = dict(zip((row.id for row in used), others, strict=True))
    constants = _constants(values, varied[0].constants)
    answers = [answer_of(row, constants) for row in rows if row.headline]
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
        popularity,
        _ratio(rows, constants),
    )


def fit_popularity(rows: Sequence[ServiceMeasurement]) -> PopularityFit | None:
    """Return the exponent of popularity under which predictions of a series are nearest.

    The more tokens a device has the more the fullest expert device counts beside the weights that all read.

    Parameters
    ----------
    rows : sequence of ServiceMeasurement
        Measured services; those of role `calibration` timed on the device, with live routing and experts as
        they come, on an engine that is named, are used.

    Returns
    -------
    PopularityFit or None
        The exponent; None where fewer than four rows tell it.
    """
    used = tuple(
        row
        for row in rows
        if row.role == CALIBRATION
        and not row.general
        and row.basis == DEVICE
        and row.like_for_like
        and not (row.incomparable or row.unpredictable)
        and row.scenario.expert_placement == PLAIN
    )
    if len(used) < LEAST_ROWS:
        return None
    known = load_service_constants(used[0].scenario.system.parts.catalogue)

    def spread(exponent: float) -> float:
        constants = dataclasses.replace(known, popularity_exponent=exponent)
        found = [predict_service(row, constants=constants).tokens_per_s_per_device for row in used]
        measured = [row.throughput or np.nan for row in used]
        return float(np.sqrt(np.mean(np.log(np.divide(found, measured)) ** 2)))

    spreads = [spread(exponent) for exponent in EXPONENTS]
    least = min(spreads)
    alike = [one for one, each in zip(EXPONENTS, spreads, strict=True) if each <= 1.1 * least]
    best_one = EXPONENTS[spreads.index(least)]
    return PopularityFit(best_one, used, least, spreads[0], (min(alike), max(alike)))


def _ratio(rows: Sequence[ServiceMeasurement], constants: ServiceConstants) -> RatioFit | None:
    """Return the error of predicted ratios, of rows that one of the other mode may be held against."""
    modes: dict[tuple[object, ...], set[str]] = {}
    known = [row for row in rows if not row.unpredictable and row.throughput is not None]
    for row in known:
        modes.setdefault(row.conditions, set()).add(row.mode)
    compared = []
    for row in known:
        if len(modes[row.conditions]) == len(MODES):
            answer = answer_of(row, constants)
            if answer["error"] is not None:
                compared.append(Compared(row, answer["measured"], answer["predicted"]))
    return fit_ratio(pairs_alike(compared, constants))


class _Varied(Deployments):
    """A deployment whose layers under any slowdown come from those under two: they depend linearly."""

    def __init__(self, row: ServiceMeasurement, popularity: PopularityFit | None) -> None:
        super().__init__(row.scenario, row.mode)
        if popularity is not None:
            self.constants = dataclasses.replace(self.constants, popularity_exponent=popularity.exponent)
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
