"""A decode step from the times of its stages: expert parallelism in lock-step, two groups as a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike


def serial_layer_time(
    *, attention: FloatLike, ffn: FloatLike, dispatch: FloatLike, combine: FloatLike
) -> FloatArray:
    """Return the time of a layer without overlap.

    Parameters
    ----------
    dispatch, combine
        As in `nomenclature`.
    attention, ffn : float or array
        Times of both sides of the layer, t_a and t_f [s].

    Returns
    -------
    float or array
        Time of the layer; also the loop of one micro-batch through two groups of devices, S [s].

    Notes
    -----
    S = t_a + t_d + t_f + t_c

    References
    ----------
    arXiv 2412.19437 (DeepSeek-V3), section 3.4.2: order of the stages of a decode layer.

    Examples
    --------
    >>> round(float(serial_layer_time(attention=3e-4, ffn=1e-4, dispatch=1e-4, combine=2e-4)) * 1e6, 3)
    700.0
    """
    return np.add(np.add(attention, ffn), np.add(dispatch, combine))


def lockstep_layer_time(
    *, attention: FloatLike, ffn: FloatLike, dispatch: FloatLike, combine: FloatLike
) -> FloatArray:
    """Return the time of a layer for two half batches, one computing while the other communicates.

    Parameters
    ----------
    attention, ffn
        As in `nomenclature`.
    dispatch, combine : float or array
        Times of both transfers for one half batch, t_d and t_c [s].

    Returns
    -------
    float or array
        Time of the layer for both halves [s].

    Notes
    -----
    t = max(t_a, t_d) + max(t_f, t_d) + max(t_f, t_c) + max(t_a, t_c)

    References
    ----------
    This project; the two micro-batches of arXiv 2412.19437 (DeepSeek-V3), section 3.4.2, advance together.
    Never below `overlap_lower_bound`, and at most 1.5 times it.

    Examples
    --------
    >>> t = lockstep_layer_time(attention=3e-4, ffn=1e-4, dispatch=1e-4, combine=2e-4)
    >>> round(float(t) * 1e6, 3)
    900.0
    """
    first = np.maximum(attention, dispatch) + np.maximum(ffn, dispatch)
    return first + np.maximum(ffn, combine) + np.maximum(attention, combine)


def overlap_lower_bound(
    *, attention: FloatLike, ffn: FloatLike, dispatch: FloatLike, combine: FloatLike
) -> FloatArray:
    """Return the time below which no overlap of two half batches can bring a layer.

    Parameters
    ----------
    attention, ffn
        As in `nomenclature`.
    dispatch, combine : float or array
        Times of both transfers for one half batch, t_d and t_c [s].

    Returns
    -------
    float or array
        Time of the layer for both halves [s].

    Notes
    -----
    t >= max(2 * (t_a + t_f), 2 * (t_d + t_c))

    References
    ----------
    This project; a device computes one half at a time, and so does its link.

    Examples
    --------
    >>> t = overlap_lower_bound(attention=3e-4, ffn=1e-4, dispatch=1e-4, combine=2e-4)
    >>> round(float(t) * 1e6, 3)
    800.0
    """
    return 2.0 * np.maximum(np.add(attention, ffn), np.add(dispatch, combine))


def link_time(*, dispatch: FloatLike, combine: FloatLike, full_duplex: BoolLike) -> FloatArray:
    """Return the time both transfers of a micro-batch keep the links between two groups busy.

    Parameters
    ----------
    dispatch, combine
        As in `nomenclature`.
    full_duplex : bool or array
        Whether the directions overlap [1].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    link = max(t_d, t_c) where the directions overlap, t_d + t_c where they share the stage

    References
    ----------
    arXiv 2507.19427 (Step-3) for overlapping directions, arXiv 2602.09721 for shared ones.

    Examples
    --------
    >>> round(float(link_time(dispatch=1e-4, combine=2e-4, full_duplex=False)) * 1e6, 3)
    300.0
    """
    return np.where(full_duplex, np.maximum(dispatch, combine), np.add(dispatch, combine))[()]


def busiest_stage_time(*, attention: FloatLike, ffn: FloatLike, link: FloatLike) -> FloatArray:
    """Return the time of the stage that is busiest when two groups work as a pipeline.

    Parameters
    ----------
    attention, ffn : float or array
        Times of both groups for one micro-batch and layer, t_a and t_f [s].
    link : float or array
        Time the links are busy (`link_time`) [s].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    s = max(t_a, t_f, link)

    References
    ----------
    arXiv 2504.02263 (MegaScale-Infer), ping-pong pipeline.

    Examples
    --------
    >>> round(float(busiest_stage_time(attention=3e-4, ffn=1e-4, link=2e-4)) * 1e6, 3)
    300.0
    """
    return np.maximum(np.maximum(attention, ffn), link)


def cycle_time(*, busiest: FloatLike, loop: FloatLike, microbatches: FloatLike) -> FloatArray:
    """Return the time between micro-batches at one stage of the pipeline of two groups.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    busiest : float or array
        Time of the busiest stage, s [s].
    loop : float or array
        Time of one micro-batch through all stages of a layer, S [s].

    Returns
    -------
    float or array
        Time per layer and micro-batch [s].

    Notes
    -----
    tau = max(s, S / m)

    References
    ----------
    This project for the loop term: two micro-batches never hide the transfers where both groups are busy
    alike; arXiv 2504.02263 (MegaScale-Infer) for the first.

    Examples
    --------
    >>> round(float(cycle_time(busiest=3e-4, loop=9e-4, microbatches=2)) * 1e6, 3)
    450.0
    """
    return np.maximum(busiest, np.divide(loop, microbatches))


def pipeline_layers_time(
    *,
    busiest_sum: FloatLike,
    loop_sum: FloatLike,
    busiest: FloatLike,
    loop: FloatLike,
    microbatches: FloatLike,
) -> FloatArray:
    """Return the time of all layers of a step when two groups of devices work as a pipeline.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    busiest_sum, loop_sum : float or array
        Times of the busiest stage and of the loop, summed over layers: L*s and L*S of layers alike [s].
    busiest, loop : float or array
        The same of a mean layer, s and S [s].

    Returns
    -------
    float or array
        Time from the first micro-batch's first stage to the last one's last [s].

    Notes
    -----
    t = max(m * L * s + S - s, L * S + (m - 1) * s)

    References
    ----------
    This project; exact for links that overlap both directions.

    Examples
    --------
    >>> t = pipeline_layers_time(busiest_sum=60 * 3e-4, loop_sum=60 * 9e-4, busiest=3e-4, loop=9e-4,
    ...                          microbatches=3)
    >>> round(float(t) * 1e3, 3)
    54.6
    """
    with np.errstate(invalid="ignore"):  # where no link connects the groups, every time is infinite
        filled = np.multiply(microbatches, busiest_sum) + np.subtract(loop, busiest)
        waiting = np.add(loop_sum, np.multiply(np.subtract(microbatches, 1.0), busiest))
    return np.where(np.isfinite(loop_sum), np.maximum(filled, waiting), np.inf)[()]


def overlapped_time_share(*, microbatches: FloatLike, transfer_share: FloatLike) -> FloatArray:
    """Return the time of kernels beside the transfers of other micro-batches, over their time alone.

    Parameters
    ----------
    microbatches
        As in `nomenclature`.
    transfer_share : float or array
        Share of a device's processors that transfers take, S_comm / S [1].

    Returns
    -------
    float or array
        Factor [1].

    Notes
    -----
    S / (S - S_comm) with two micro-batches and more, 1 with one, which nothing overlaps

    References
    ----------
    This project: kernels that fill all processors are dealt out over those that are left. arXiv 2412.19437
    (DeepSeek-V3), section 3.2.2, gives 20 of the 132 of a Hopper part to transfers.

    Examples
    --------
    >>> round(float(overlapped_time_share(microbatches=2, transfer_share=24 / 152)), 4)
    1.1875
    """
    return np.where(np.greater(microbatches, 1), 1.0 / np.subtract(1.0, transfer_share), 1.0)[()]


def token_rate(*, batch: FloatLike, accept_length: FloatLike, step: FloatLike) -> FloatArray:
    """Return the tokens of all sequences of one device in a second.

    Parameters
    ----------
    accept_length, step
        As in `nomenclature`.
    batch : float or array
        Sequences, B [1].

    Returns
    -------
    float or array
        Rate [tokens/s].

    Notes
    -----
    rate = B * a / step

    References
    ----------
    arXiv 2211.17192 (speculative decoding) for the mean accepted length.

    Examples
    --------
    >>> round(float(token_rate(batch=128, accept_length=1.7, step=0.085)), 6)
    2560.0
    """
    return np.divide(np.multiply(batch, accept_length), step)
