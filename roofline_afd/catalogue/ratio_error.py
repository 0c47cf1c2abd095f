"""How far predicted ratios of AFD to EP are off, as the record of services says."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.calibration import SERVICE
from roofline_afd.catalogue.records import table_quantities
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from roofline_afd.catalogue.store import Catalogue

SPREAD, BIAS, DEGREES, NEVER_MEASURED = (
    *("ratio_spread", "ratio_bias", "ratio_degrees"),
    "ratio_estimated_error",
)
"""Keys of the record."""


@dataclasses.dataclass(frozen=True, slots=True)
class RatioError:
    """Student's distribution of the logarithm of predicted over true ratios of AFD to EP.

    Spread where all was measured, bias, degrees of freedom, and the relative error of times never measured
    [1]; `pairs` of published rows from `sources` say so.
    """

    spread: float
    bias: float
    degrees: float
    estimated_error: float
    pairs: int = 0
    sources: int = 0


def load_ratio_error(catalogue: Catalogue) -> RatioError:
    """Return how far predicted ratios of AFD to EP are off.

    Parameters
    ----------
    catalogue : Catalogue
        With the record of services.

    Returns
    -------
    RatioError
        What published pairs showed.

    Raises
    ------
    InputError
        If the record lacks it: names the key.

    Examples
    --------
    >>> from roofline_afd.catalogue.store import Catalogue
    >>> load_ratio_error(Catalogue()).degrees >= 1
    True
    """
    record = catalogue.record("calibration", SERVICE)
    data, values = record.data[SERVICE], table_quantities(record, SERVICE)
    for key in (SPREAD, DEGREES, NEVER_MEASURED):
        if key not in data:
            raise InputError(
                f"{record.file}: [{SERVICE}] lacks {key}: how sure a comparison is; add it as in the shipped "
                "record"
            )
    return RatioError(
        spread=float(data[SPREAD]),
        bias=float(data.get(BIAS, 0.0)),
        degrees=float(data[DEGREES]),
        estimated_error=values[NEVER_MEASURED].si,
        pairs=int(data.get("ratio_pairs", 0)),
        sources=int(data.get("ratio_sources", 0)),
    )
