"""The layers of a step from the times of their stages: in lock-step, or as a pipeline of two groups."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics import pipeline, schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.order import Order

STAGES = ("attention", "ffn", "dispatch", "combine")
"""Stages of a layer, in the order of a block's times."""


class Block(NamedTuple):
    """Layers alike: how many of them a step has, and the times of one for one micro-batch [s]."""

    layers: float
    attention: FloatArray
    ffn: FloatArray
    dispatch: FloatArray
    combine: FloatArray
    dense: bool = False
    """Whether its FFN is dense, without experts."""


class Step(NamedTuple):
    """A step: its whole time, what comes once (gap, head), and the layers it is made of [s]."""

    time: FloatArray
    once: FloatArray
    blocks: tuple[Block, ...]


def added(*parts: FloatArray) -> FloatArray:
    """Return the sum of times, or of bytes; what is nothing costs nothing to add."""
    some = [part for part in parts if not (isinstance(part, float) and part == 0.0)]
    return functools.reduce(operator.add, some) if some else 0.0


def ep_layers(blocks: Sequence[Block], microbatches: FloatArray) -> FloatArray:
    """Return the time of all layers where a device does both sides: two micro-batches in lock-step [s]."""
    total: FloatArray = 0.0
    overlapped = np.greater(microbatches, 1)
    for block in blocks:
        times = {name: getattr(block, name) for name in STAGES}
        one, two = pipeline.serial_layer_time(**times), pipeline.lockstep_layer_time(**times)
        layer: FloatArray = np.where(overlapped, two, one)
        total = total + block.layers * layer
    return total


def sharing_layers(
    blocks: Sequence[Block], microbatches: FloatArray, turns: schedule.LayerTimes = schedule.ONE_GROUP
) -> FloatArray:
    """Return the time of all layers of two groups whose links carry one direction at a time [s].

    Layers that differ are taken as if each had a steady pipeline of its own.
    """
    busiest_sum: FloatArray = 0.0
    loop_sum: FloatArray = 0.0
    layers = sum(block.layers for block in blocks)
    for block in blocks:
        slowest = busiest(block, full_duplex=False, turns=turns)
        busiest_sum = busiest_sum + block.layers * slowest
        loop_sum = loop_sum + block.layers * np.maximum(_loop(block), slowest)
    return pipeline.pipeline_layers_time(
        busiest_sum=busiest_sum,
        loop_sum=loop_sum,
        busiest=busiest_sum / layers,
        loop=loop_sum / layers,
        microbatches=microbatches,
    )


def afd_layers(
    blocks: Sequence[Block],
    microbatches: FloatArray,
    order: Order,
    turns: schedule.LayerTimes = schedule.ONE_GROUP,
    *,
    least: bool = False,
    where: NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Return the time of all layers of two groups, in their order; layers that draft come last [s].

    Parameters
    ----------
    blocks : sequence of Block
        Layers by kind, as the order has them, and those that draft.
    microbatches : float or array
        Micro-batches in flight [1].
    order : Order
        Which kind each layer is.
    turns : LayerTimes
        How long each stage is taken over its time [1].
    least : bool
        Whether layers that differ are not followed: the time is then one that none is below.
    where : array of bool, optional
        Steps whose time is wanted; others may be infinite.

    Returns
    -------
    float or array
        Time [s].
    """
    if all(block[1:5] == blocks[0][1:5] for block in blocks) if _scalars(blocks) else len(blocks) == 1:
        whole, layers = blocks[0], sum(block.layers for block in blocks)
        slowest = busiest(whole, full_duplex=True, turns=turns)
        loop = np.maximum(_loop(whole), slowest)
        return pipeline.pipeline_layers_time(
            busiest_sum=layers * slowest,
            loop_sum=layers * loop,
            busiest=slowest,
            loop=loop,
            microbatches=microbatches,
        )
    kinds = [
        schedule.LayerTimes(block.attention, block.dispatch, block.ffn, block.combine) for block in blocks
    ]
    drafted = range(len(order.kinds), len(blocks))
    every = order.layers + tuple(index for index in drafted for _ in range(int(blocks[index].layers)))
    if least:
        return schedule.least_layers_time(kinds=kinds, order=every, microbatches=microbatches, turns=turns)
    values = np.unique(microbatches).astype(int).tolist()
    if len(values) == 1 and where is None:
        return schedule.ordered_layers_time(kinds=kinds, order=every, microbatches=values[0], turns=turns)
    alone = turns is schedule.ONE_GROUP  # whose factors of one are not spread over all steps
    every_time = (time for kind in (kinds if alone else (turns, *kinds)) for time in kind)
    wanted, whole_m, *times = np.broadcast_arrays(where is None or where, microbatches, *every_time)
    found = np.full(whole_m.shape, np.inf)
    for value in values:
        rows = (whole_m == value) & wanted
        part = [each[rows] for each in times]
        some = [schedule.LayerTimes(*part[start : start + 4]) for start in range(0, len(part), 4)]
        own = turns if alone else some.pop(0)
        found[rows] = schedule.ordered_layers_time(kinds=some, order=every, microbatches=value, turns=own)
    return found


def busiest(
    block: Block, *, full_duplex: bool, turns: schedule.LayerTimes = schedule.ONE_GROUP
) -> FloatArray:
    """Return the time of the busiest stage of a layer between two groups, others' turns included [s]."""
    link = pipeline.link_time(dispatch=block.dispatch, combine=block.combine, full_duplex=full_duplex)
    return pipeline.busiest_stage_time(
        attention=block.attention, ffn=turns.ffn * block.ffn, link=turns.dispatch * link
    )


def _loop(block: Block) -> FloatArray:
    return pipeline.serial_layer_time(
        attention=block.attention, ffn=block.ffn, dispatch=block.dispatch, combine=block.combine
    )


def _scalars(blocks: Sequence[Block]) -> bool:
    return all(np.ndim(time) == 0 for block in blocks for time in block[1:5])
