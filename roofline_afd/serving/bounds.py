"""What deployments of two groups reach at most, told from each group alone: far cheaper than their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.filling import LEAST_FILL
from roofline_afd.serving.batches import batch_grid
from roofline_afd.serving.candidates import deployments_of, taken
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.sizes import CORE_CUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.batches import Numbers
    from roofline_afd.serving.candidates import Candidates
    from roofline_afd.serving.deployment import Deployments
    from roofline_afd.serving.sizes import Plan


def group_bounds(deployments: Deployments, found: Candidates, plans: Sequence[Plan]) -> Numbers:
    """Return the throughput that candidates of two groups cannot exceed.

    Each group computes every token of a step once a layer, whatever the other does and however many
    micro-batches there are. A stage never takes longer for being part of a larger micro-batch than it would
    in several, so that the largest one in time is the best: the next of a grid is no worse.

    Parameters
    ----------
    deployments : Deployments
        The question.
    found : Candidates
        Shapes, with the batch that memory allows each.
    plans : sequence of Plan
        Plans, by the place that candidates name.

    Returns
    -------
    array
        Rate; infinite under `ep`, where one group does both [tokens/s per device].
    """
    bound = np.full(found.most.shape, np.inf)
    if deployments.mode != AFD or not bound.size:
        return bound
    for code, plan in enumerate(plans):
        rows = np.flatnonzero((found.plan == code) & (found.most >= 1))
        if not rows.size:
            continue
        attention, ffn, most = (
            column[rows] for column in (found.attention_devices, found.ffn_devices, found.most)
        )
        groups = attention / plan.tensor_parallel
        grid = np.append(batch_grid(float(np.max(most))), np.max(most))
        sizes, where = np.unique(ffn, return_inverse=True)
        largest = np.zeros(sizes.shape)
        np.maximum.at(largest, where, attention)
        mine, theirs = _paces(deployments, plan, grid, (largest, sizes))
        place = np.minimum(np.searchsorted(grid, most), grid.size - 1)
        own = groups * mine[place]
        turns = deployments.attention_groups
        of_ffn = (largest / plan.tensor_parallel * np.max(theirs, axis=1))[where] / turns
        rate = np.minimum(own, of_ffn) * deployments.scenario.accept_length * deployments.scenario.sigma_dp
        bound[rows] = rate / deployments.paid_devices(
            deployments_of(deployments, taken(found, rows), plan, batch=most)
        )
    return bound / (LEAST_FILL if deployments.grains else 1.0)


def _paces(
    deployments: Deployments, plan: Plan, grid: Numbers, shapes: tuple[Numbers, Numbers]
) -> tuple[Numbers, NDArray[np.float64]]:
    """Return sequences that a group of sharers gets through each side in a second, at most, up to each batch.

    Of attention, which is alike for all shapes, and of the FFN, a row per shape; a column per batch of the
    grid; a batch whose next smaller one is too slow has none.
    """
    attention, ffn = shapes
    deployment = deployments.deployment_of(attention[:, None], ffn[:, None], batch=grid[None, :], plan=plan)
    blocks, once = deployments.micro_batch(deployment)
    heads = "ffn" if plan.afd_cut == CORE_CUT else "attention"
    found = []
    for side in ("attention", "ffn"):
        time = np.zeros((attention.size, grid.size)) + (np.asarray(once) if side == heads else 0.0)
        for block in blocks:
            time = time + block.layers * np.asarray(getattr(block, side))
        in_time = np.ones(time.shape, dtype=bool)
        in_time[:, 1:] = time[:, :-1] <= deployments.scenario.step_limit
        with np.errstate(divide="ignore", invalid="ignore"):
            pace = np.where(in_time, grid / time, 0.0)
        found.append(np.maximum.accumulate(pace, axis=1))
    return found[0][0], found[1]
