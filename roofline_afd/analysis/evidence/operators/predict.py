"""Times of measured operators and transfers, predicted with a calibration."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.collectives import collective_time, is_collective
from roofline_afd.analysis.evidence.operators.families import KERNELS, family_of, form_of
from roofline_afd.analysis.evidence.operators.layers import layer_time
from roofline_afd.analysis.evidence.operators.transfers import exchange_of, exchange_time
from roofline_afd.analysis.evidence.operators.work import work_of
from roofline_afd.catalogue.calibration import EXPERT_KERNELS

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.store import Catalogue


def predict(row: Measurement, calibration: Calibration, *, catalogue: Catalogue) -> tuple[float, str]:
    """Predict the time of one measured row.

    Parameters
    ----------
    row : Measurement
        A complete row.
    calibration : Calibration
        Efficiencies of its system; those of the library that the row timed are taken.
    catalogue : Catalogue
        Where the model of a whole attention layer, or of experts, is looked up.

    Returns
    -------
    float
        Time [s].
    str
        Kind of the efficiency it rests on.

    Raises
    ------
    InputError
        If a format, peak, fabric or model is unknown.
    """
    link = calibration.link
    if is_collective(row):
        return collective_time(row, calibration)
    if row.operator in ("exchange", "alltoall"):
        time, crosses = exchange_time(row, link)
        return time, link.kind_out if crosses else link.kind
    kernel = KERNELS.get(row.operator)
    if kernel is None:
        return layer_time(row, calibration, catalogue=catalogue)
    if kernel == "link":
        exchange = exchange_of([row])
        return float(exchange.times(link)[0]), link.kind_out if exchange.crosses[0] else link.kind
    work = work_of([row])
    asked = "experts" if kernel in EXPERT_KERNELS else kernel  # as engines name it
    kernels = dataclasses.replace(calibration, families={asked: [family_of(row)]})
    found = kernels.of(kernel, form_of(row))
    return float(work.times(found)[0]), str(work.kinds(found)[0])
