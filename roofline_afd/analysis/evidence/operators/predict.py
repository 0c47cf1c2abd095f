"""Times of measured operators and transfers, predicted with a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.work import TABLES, exchange_of, layer_work, work_of
from roofline_afd.catalogue.records import KINDS

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
        Where the model of a whole attention layer is looked up.

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
    if row.operator not in TABLES:
        layer = layer_work([row], {row.system.id: calibration}, catalogue=catalogue)
        kinds = (calibration.gemm.kind, *layer.core.kinds(calibration.attention))
        return float(layer.times(calibration.attention)[0]), max(kinds, key=KINDS.index)
    if TABLES[row.operator] == "link":
        exchange = exchange_of([row])
        link = calibration.link
        return float(exchange.times(link)[0]), link.kind_out if exchange.crosses[0] else link.kind
    efficiency = getattr(calibration, TABLES[row.operator])
    work = work_of([row])
    return float(work.times(efficiency)[0]), work.kinds(efficiency)[0]
