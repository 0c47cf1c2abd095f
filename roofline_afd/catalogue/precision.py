"""Number formats: bytes per element, and the peak rate a matrix product in them runs at."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Precision:
    """A number format; `bytes` counts the block scales that are part of it [B/element]."""

    id: str
    bytes: float
    peak: str | None
    """Which peak of an accelerator its products reach; None where the format only stores weights."""
    note: str
    vectors: str | None = None
    """Peak that products run at where published kernels bring vectors to a wider format than the weights."""
    vendor: str = ""
    """Whose accelerators multiply in it, where nobody else's do."""


PRECISIONS = {
    precision.id: precision
    for precision in (
        Precision("bf16", 2.0, "bf16", "bfloat16 or float16"),
        Precision("fp8", 1.0, "fp8", "E4M3 or E5M2; scales of 128-wide blocks (0.02 to 3 %) not counted"),
        Precision("int8", 1.0, "int8", "scale per token and channel, not counted"),
        Precision("fp4", 0.5, "fp4", "E2M1 without scales, the convention of published rooflines"),
        Precision(
            *("mxfp4", 0.5 + 1 / 32, "fp4", "E2M1, one E8M0 scale for 32 elements (OCP Microscaling 1.0)"),
            vectors="fp8",
        ),
        Precision(*("nvfp4", 0.5 + 1 / 16, "fp4", "E2M1, one E4M3 scale for 16 elements"), vendor="NVIDIA"),
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


def native(peaks: Container[str]) -> str | None:
    """Return the narrowest of fp8, int8 and bf16 that an accelerator has a peak for; None without any."""
    return next((name for name in ("fp8", "int8", "bf16") if name in peaks), None)


def nearest_format(published: str, peaks: Mapping[str, float]) -> str:
    """Return the format that stands for a published one on an accelerator.

    Eight bits of the other kind, integer or floating, stand for eight bits whose products the accelerator
    lacks, or runs at less than half the rate of bf16. Every other format stays: weights that are not
    multiplied as they are stream narrow, and are widened.

    Parameters
    ----------
    published : str
        Format a maker publishes weights in.
    peaks : mapping of str to float
        Peak rate of the accelerator by precision [FLOP/s].

    Returns
    -------
    str
        A format's id.
    """
    kinds = ("fp8", "int8")
    if published not in kinds:
        return published
    least = peaks.get("bf16", 0.0) / 2
    good = (name for name in (published, *kinds) if name in peaks and peaks[name] >= least)
    return next(good, published)


def arriving(weights: Precision, peaks: Container[str]) -> str | None:
    """Return the format that vectors are sent in to weights of a format, where nothing else is asked for.

    Vectors are quantised before they are sent if the product takes them so. To weights in bf16, and to those
    that an accelerator widens, they come in bf16: kernels for weights alone (W4A16) take nothing else.

    Parameters
    ----------
    weights : Precision
        Format of the weights.
    peaks : container of str
        Precisions the accelerator has a peak for.

    Returns
    -------
    str or None
        A format's id; None where the accelerator has no peak for fp8, int8 or bf16.

    Notes
    -----
    vLLM dispatches in fp8 only where experts take activations in fp8 (`maybe_make_prepare_finalize`).
    """
    widened = weights.id == "bf16" or weights.peak is None or weights.peak not in peaks
    return "bf16" if widened and "bf16" in peaks else native(peaks)


def operand(weights: Precision, arriving: Precision, peaks: Container[str]) -> str | None:
    """Return the peak a product runs at: of the weights' format, else of the vectors it is applied to.

    A product of two formats runs at the rate of the wider one: weights in mxfp4 are published for vectors in
    eight bits (W4A8), whose products run at the fp8 rate on accelerators that multiply in four bits; only
    vectors that arrive in four bits run at the rate of those. An accelerator without the weights' format
    multiplies in the format the vectors arrive in, if it has that and it is wider than the weights; else in
    bf16.

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

    Notes
    -----
    CUTLASS, `blackwell_functionality.md`: `mxf8f6f4` (mixed) runs at twice the fp8 rate of Hopper, `mxf4nvf4`
    at four times.
    The checkpoints of Kimi K2 Thinking (int4) and Kimi K3 (mxfp4) leave activations unquantised.
    """
    if weights.peak is not None and weights.peak in peaks:
        mixed = weights.vectors in peaks and arriving.bytes >= 1
        return weights.vectors if mixed else weights.peak
    if arriving.peak is not None and arriving.peak in peaks and arriving.bytes > weights.bytes:
        return arriving.peak
    return "bf16" if "bf16" in peaks else None
