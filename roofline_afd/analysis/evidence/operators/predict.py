"""Times of measured operators and transfers, predicted with a calibration."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.collectives import collective_time, is_collective
from roofline_afd.analysis.evidence.operators.families import KERNELS, family_of, form_of
from roofline_afd.analysis.evidence.operators.layers import layer_time
from roofline_afd.analysis.evidence.operators.libraries import EXCHANGES, library_of
from roofline_afd.analysis.evidence.operators.transfers import alltoall_of, exchange_of
from roofline_afd.analysis.evidence.operators.work import work_of
from roofline_afd.catalogue.calibration import EXPERT_KERNELS
from roofline_afd.catalogue.links import load_link

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.analysis.evidence.operators.transfers import Exchange
    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.links import LinkEfficiency
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
    if row.operator == "alltoall":
        return _exchanged(alltoall_of(row), link)
    if row.operator in EXCHANGES:
        library = library_of(row)
        known = library and catalogue.find("library", library) is not None
        own = load_link(row.system, catalogue=catalogue, libraries=(library,)) if known else link
        return _exchanged(exchange_of([row]), own)
    kernel = KERNELS.get(row.operator)
    if kernel is None:
        return layer_time(row, calibration, catalogue=catalogue)
    work = work_of([row])
    asked = "experts" if kernel in EXPERT_KERNELS else kernel  # as engines name it
    kernels = dataclasses.replace(calibration, families={asked: [family_of(row)]})
    found = kernels.of(kernel, form_of(row))
    return float(work.times(found)[0]), str(work.kinds(found)[0])


def _exchanged(exchange: Exchange, link: LinkEfficiency) -> tuple[float, str]:
    """Return the time of an exchange [s], and the kind of the leg it crosses."""
    return float(exchange.times(link)[0]), link.kind_out if exchange.crosses[0] else link.kind
