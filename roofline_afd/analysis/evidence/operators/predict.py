"""Times of measured operators and transfers, predicted with a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.layers import experts_time, layer_time
from roofline_afd.analysis.evidence.operators.transfers import (
    HALVES,
    collective_time,
    exchange_of,
    exchange_time,
)
from roofline_afd.analysis.evidence.operators.work import TABLES, work_of

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
        Efficiencies of its system.
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
    if row.operator in HALVES:
        return collective_time(row, link), link.kind
    if row.operator in ("exchange", "alltoall"):
        time, crosses = exchange_time(row, link)
        return time, link.kind_out if crosses else link.kind
    if row.operator == "moe_experts":
        return experts_time(row, calibration, catalogue=catalogue)
    if row.operator not in TABLES:
        return layer_time(row, calibration, catalogue=catalogue)
    if TABLES[row.operator] == "link":
        exchange = exchange_of([row])
        return float(exchange.times(link)[0]), link.kind_out if exchange.crosses[0] else link.kind
    efficiency = getattr(calibration, TABLES[row.operator])
    work = work_of([row])
    return float(work.times(efficiency)[0]), work.kinds(efficiency)[0]
