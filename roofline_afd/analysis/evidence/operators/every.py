"""The time of any measured row: by a law of its own, else by the tables of operators and links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.predict import predict
from roofline_afd.analysis.evidence.operators.small import SMALL, small_time
from roofline_afd.analysis.evidence.operators.stages import STAGES, stage_time
from roofline_afd.analysis.evidence.operators.transfers import as_sent

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.store import Catalogue


def predict_row(row: Measurement, calibration: Calibration, *, catalogue: Catalogue) -> tuple[float, str]:
    """Predict the time of one measured row of any operator.

    Parameters
    ----------
    row : Measurement
        A complete row.
    calibration : Calibration
        Efficiencies of its system.
    catalogue : Catalogue
        Where models are looked up, and the tables that no step uses yet.

    Returns
    -------
    float
        Time [s].
    str
        Kind of the efficiency it rests on.

    Raises
    ------
    InputError
        If a size, format, peak, fabric, table or model is unknown.
    """

    def product(other: Measurement) -> tuple[float, str]:
        return predict(other, calibration, catalogue=catalogue)

    if row.operator in STAGES:
        return stage_time(row, calibration.link, catalogue=catalogue, product=product)
    if row.operator in SMALL:
        return small_time(row, calibration.link, catalogue=catalogue, product=product)
    return product(as_sent(row))
