"""The latency budget: how much time a stage has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike, IntLike


def stage_budget(
    *, tpot: FloatLike, accept_length: FloatLike, gap: FloatLike, layers: IntLike, microbatches: IntLike
) -> FloatArray:
    """Return the time one stage may take, per layer and micro-batch.

    Parameters
    ----------
    layers, microbatches
        As in `nomenclature`.
    tpot : float or array
        Time per output token that is allowed, TPOT [s].
    accept_length : float or array
        Mean tokens accepted per step with speculative decoding, a; 1 without [1].
    gap : float or array
        Time of a step outside its layers, t_g: launch, synchronisation, sampling [s].

    Returns
    -------
    float or array
        Stage budget t_B, broadcast over all inputs [s]; not positive where tpot * accept_length <= gap.

    Notes
    -----
    t_B = (TPOT * a - t_g) / (L * m)

    References
    ----------
    arXiv 2602.09721, latency budget of one stage.

    Examples
    --------
    >>> round(stage_budget(tpot=50e-3, accept_length=1.7, gap=15e-3, layers=61, microbatches=3) * 1e6, 4)
    382.5137
    """
    return (tpot * accept_length - gap) / (layers * microbatches)
