"""Straight lines through the operator model of a system, and how far off they are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics import linear
from roofline_afd.physics.linear import Coefficients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.analysis.requests.operators import Operators

POOR_FIT = 0.1
POINTS = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """Straight lines through the operator model of a system: where, and how far off they are."""

    ratio: float
    max_residual: dict[str, float]
    rms_residual: dict[str, float]

    @property
    def poor(self) -> tuple[str, ...]:
        """The times that the lines miss by much."""
        return tuple(name for name, value in self.max_residual.items() if value > POOR_FIT)


def fit_lines(model: Operators, *, full_duplex: bool) -> tuple[Coefficients, Fit]:
    """Fit straight lines to the times of a system, around the ratio that these times themselves call best.

    Parameters
    ----------
    model : Operators
        The operator model, at its batch, context and micro-batches in flight.
    full_duplex : bool
        Whether both directions of a transfer overlap.

    Returns
    -------
    coefficients : Coefficients
        Of one layer and micro-batch [s].
    fit : Fit
        Around which ratio, and how far off they are.
    """
    ratios = model.every[model.every <= model.most_ratio * (1 + 1e-12)]
    times = model.times(ratios)
    tau = linear.cycle_time_of(
        attention=times.attention,
        ffn=times.ffn,
        transfer=times.transfer,
        microbatches=model.microbatches,
        full_duplex=full_duplex,
    )
    rates = np.where(np.isfinite(tau), ratios / ((ratios + 1.0) * tau), 0.0)
    ratio = float(ratios[int(np.argmax(rates))])
    coefficients, residuals = _lines(model, ratio)
    fit = Fit(
        ratio=ratio,
        max_residual={name: float(np.abs(values).max()) for name, values in residuals.items()},
        rms_residual={name: float(np.sqrt((values**2).mean())) for name, values in residuals.items()},
    )
    return coefficients, fit


def _lines(model: Operators, ratio: float) -> tuple[Coefficients, dict[str, NDArray[np.float64]]]:
    """Fit the three times within half of the working point, to both sides."""
    spread = np.linspace(0.5, 1.5, POINTS)
    at = model.whole(np.array([ratio]))
    contexts = np.unique(np.maximum(np.rint(model.context * spread), 1)).astype(int)
    attention = [float(model.times(at, context=int(context)).attention[0]) for context in contexts]
    ratios = model.whole(np.minimum(ratio * spread, model.most_ratio))
    batches = np.unique(np.maximum(np.rint(model.batch * spread), 1.0))
    transfer = model.times(np.full(batches.shape, at[0]), batch=batches).transfer
    slope_a, fixed_a, off_a = _line(contexts * float(model.batch), np.array(attention))
    slope_f, fixed_f, off_f = _line(ratios * model.batch, model.times(ratios).ffn)
    slope_c, fixed_c, off_c = _line(batches, np.maximum(transfer, 1e-12))
    across = (slope_c * model.batch + fixed_c) / np.maximum(model.times(ratios).transfer, 1e-12) - 1.0
    least = 1e-6 * fixed_f / model.batch  # an FFN whose time no token changes: any ratio would do
    fitted = Coefficients(slope_a, fixed_a, max(slope_f, least), fixed_f, slope_c, fixed_c)
    return fitted, {"attention": off_a, "ffn": off_f, "transfer": off_c, "transfer over ratio": across}


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
    """Return slope, fixed part and relative residuals of the line of least relative squares."""
    design = np.stack([x / y, 1.0 / y], axis=1)
    slope, fixed = (float(value) for value in np.linalg.lstsq(design, np.ones(x.size), rcond=None)[0])
    if fixed < 0 or x.size == 1:
        slope, fixed = float((x / y).sum() / ((x / y) ** 2).sum()), 0.0
    if slope < 0:
        slope, fixed = 0.0, float((1.0 / y).sum() / (1.0 / y**2).sum())
    return slope, fixed, (slope * x + fixed) / y - 1.0
