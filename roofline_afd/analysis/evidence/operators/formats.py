"""Number formats that measured rows name, and the rates they run at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.precision import PRECISIONS, Precision, precision
from roofline_afd.errors import InputError
from roofline_afd.serving.sizes import Formats

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement


def row_format(row: Measurement, key: str, name: str = "") -> Precision:
    """Return the format a column of a row names; InputError with the row's place where it is unknown."""
    return precision(name or row.texts[key], option=f"{row.place}: {key}")


def operand_format(row: Measurement) -> Precision:
    """Return the format a row's product multiplies in; InputError where its accelerator has no such rate."""
    held = row_format(row, "precision")
    if held.peak is None or held.peak not in row.system.accelerator.peak_flop_per_s:
        raise InputError(f"{row.place}: the catalogue has no {held.id} rate of {row.system.accelerator.id}")
    return PRECISIONS[held.peak]


def row_peak(row: Measurement) -> float:
    """Return the peak rate of a row's accelerator in the row's precision [FLOP/s]."""
    return row.system.accelerator.peak_flop_per_s[operand_format(row).id]


def core_peak(row: Measurement) -> float:
    """Return the peak rate of core attention as a service computes it by default [FLOP/s]."""
    name = Formats().core
    peaks = row.system.accelerator.peak_flop_per_s
    if name not in peaks:
        raise InputError(f"{row.place}: the catalogue has no {name} rate of {row.system.accelerator.id}")
    return peaks[name]


def cache_peak(row: Measurement) -> float:
    """Return the peak rate in the format of a row's cache; that of the core where there is none [FLOP/s]."""
    cache = row.texts.get("kv_precision", "")
    return row.system.accelerator.peak_flop_per_s.get(cache, core_peak(row))
