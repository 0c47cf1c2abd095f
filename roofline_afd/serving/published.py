"""Which of the checkpoints that a model's maker publishes an accelerator is given by default."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from roofline_afd.catalogue.precision import arriving, nearest_format, operand, precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.models import Checkpoint
    from roofline_afd.catalogue.precision import Precision


def sent_to(weights: Precision, peaks: Mapping[str, float], checkpoint: Checkpoint | None) -> str | None:
    """Return the format that vectors are sent to experts in by default.

    Parameters
    ----------
    weights : Precision
        Format of the expert weights.
    peaks : mapping of str to float
        Peak rate of the accelerator by precision [FLOP/s].
    checkpoint : Checkpoint, optional
        The checkpoint the weights are of: it may state what its experts take.

    Returns
    -------
    str or None
        As stated, if the accelerator multiplies in that or in the nearest to it; else as `arriving` says.
    """
    stated = checkpoint.activations if checkpoint is not None else ""
    nearest = nearest_format(stated, peaks) if stated else ""
    return nearest if nearest in peaks else arriving(weights, peaks)


def quickest(
    checkpoints: Sequence[Checkpoint],
    peaks: Mapping[str, float],
    *,
    vendor: str = "",
    experts: str | None = None,
) -> Checkpoint | None:
    """Return the checkpoint whose expert products run in the narrowest format, the smallest of those alike.

    So a format that the accelerator multiplies in stands before a narrower one that it would widen, and a
    narrow one that it widens before bf16, which runs no quicker.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
        What the model's maker publishes.
    peaks : mapping of str to float
        Peak rate of the accelerator by precision [FLOP/s].
    vendor : str
        Maker of the accelerator: formats that only other makers' accelerators multiply in are passed over.
    experts : str, optional
        Format of the experts that is asked for: the first checkpoint in it, where there is one.

    Returns
    -------
    Checkpoint or None
        One of them; None where nothing is published.
    """
    asked = [each for each in checkpoints if each.experts == experts]
    if asked:
        return asked[0]
    within = [each for each in checkpoints if precision(each.experts).vendor in ("", vendor)]

    def rank(each: Checkpoint) -> tuple[float, float]:
        weights = precision(nearest_format(each.experts, peaks))
        sent = sent_to(weights, peaks, each)
        peak = operand(weights, precision(sent), peaks) if sent else None
        return precision(peak).bytes if peak else math.inf, weights.bytes

    return min(within or checkpoints, key=rank, default=None)
