"""Number formats: bytes per element, and the peak rate a matrix product in them runs at."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Container


@dataclasses.dataclass(frozen=True, slots=True)
class Precision:
    """A number format; `bytes` counts the block scales that are part of it [B/element]."""

    id: str
    bytes: float
    peak: str | None
    """Which peak of an accelerator its products reach; None where the format only stores weights."""
    note: str


PRECISIONS = {
    precision.id: precision
    for precision in (
        Precision("bf16", 2.0, "bf16", "bfloat16 or float16"),
        Precision("fp8", 1.0, "fp8", "E4M3 or E5M2; scales of 128-wide blocks (0.02 to 3 %) not counted"),
        Precision("int8", 1.0, "int8", "scale per token and channel, not counted"),
        Precision("fp4", 0.5, "fp4", "E2M1 without scales, the convention of published rooflines"),
        Precision(
            "mxfp4", 0.5 + 1 / 32, "fp4", "E2M1, one E8M0 scale for 32 elements (OCP Microscaling 1.0)"
        ),
        Precision("nvfp4", 0.5 + 1 / 16, "fp4", "E2M1, one E4M3 scale for 16 elements"),
        Precision("int4", 0.5, None, "weights only; scales not counted"),
    )
}


def precision(name: str, *, option: str = "precision") -> Precision:
    """Return a number format by id.

    Parameters
    ----------
    name : str
        A key of `PRECISIONS`.
    option : str
        How a message calls the option it came from.

    Returns
    -------
    Precision
        The format.

    Raises
    ------
    InputError
        If the id is unknown.
    """
    if not isinstance(name, str) or name not in PRECISIONS:
        raise InputError(f"{option} {shown(name)} is not a precision{nearest(str(name)[:80], PRECISIONS)}")
    return PRECISIONS[name]


def operand(weights: Precision, arriving: Precision, peaks: Container[str]) -> str | None:
    """Return the peak a product runs at: of the weights' format, else of the vectors it is applied to.

    An accelerator without the weights' format multiplies in the format the vectors arrive in, if it has that
    and it is wider than the weights; else in bf16.

    Parameters
    ----------
    weights, arriving : Precision
        Formats of the weights, and of the vectors.
    peaks : container of str
        Precisions the accelerator has a peak for.

    Returns
    -------
    str or None
        One of `peaks`; None where none serves.
    """
    if weights.peak is not None and weights.peak in peaks:
        return weights.peak
    if arriving.peak is not None and arriving.peak in peaks and arriving.bytes > weights.bytes:
        return arriving.peak
    return "bf16" if "bf16" in peaks else None
