"""What deployments of two groups reach at most, told from each group alone: far cheaper than their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.filling import LEAST_FILL
from roofline_afd.serving.batches import batch_grid
from roofline_afd.serving.candidates import deployments_of, taken
from roofline_afd.serving.deployment import AFD
from roofline_afd.serving.plans import families_of, plan_of
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
    for family in families_of(tuple(plans)):
        rows = np.flatnonzero(np.isin(found.plan, family) & (found.most >= 1))
        if not rows.size:
            continue
        attention, ffn, most = (
            column[rows] for column in (found.attention_devices, found.ffn_devices, found.most)
        )
        codes, which = np.unique(found.plan[rows], return_inverse=True)
        plan = plan_of(codes, plans)
        groups = attention / np.broadcast_to(plan.tensor_parallel, codes.shape)[which]
        grid = np.append(batch_grid(float(np.max(most))), np.max(most))
        sizes, where = np.unique(ffn, return_inverse=True)
        largest = np.zeros((codes.size, sizes.size))
        np.maximum.at(largest, (which, where), attention)
        plan = plan_of(codes[:, None, None], plans)
        fewest = np.full(codes.shape, np.inf)
        np.minimum.at(fewest, which, attention)
        # of pairs that are not there any will do that is one
        sharing = np.maximum(sizes, np.broadcast_to(plan.expert_tensor_parallel, (codes.size, 1, 1))[..., 0])
        holders = np.where(largest > 0, sizes, sharing)
        shapes = (np.maximum(largest, 1.0)[..., None], holders[..., None])
        mine, theirs = _paces(deployments, plan, grid, shapes)
        if deployments.scenario.context_variation:  # fewer groups wait for shorter caches
            alone = (fewest[:, None, None], holders[:, :1, None])
            mine, _ = _paces(deployments, plan, grid, alone)
        place = np.minimum(np.searchsorted(grid, most), grid.size - 1)
        own = groups * mine[which, place]
        turns = deployments.attention_groups
        heads = largest / np.broadcast_to(plan.tensor_parallel, (codes.size, 1, 1))[..., 0]
        of_ffn = (heads * np.max(theirs, axis=2))[which, where] / turns
        rate = np.minimum(own, of_ffn) * deployments.scenario.accept_length * deployments.scenario.sigma_dp
        bound[rows] = rate / deployments.paid_devices(
            deployments_of(deployments, taken(found, rows), plans, batch=most)
        )
    return bound / (LEAST_FILL if deployments.grains else 1.0)


def _paces(
    deployments: Deployments, plan: Plan, grid: Numbers, shapes: tuple[Numbers, Numbers]
) -> tuple[Numbers, NDArray[np.float64]]:
    """Return sequences that a group of sharers gets through each side in a second, at most, up to each batch.

    Of attention, which is alike for all shapes, a row per plan; and of the FFN, a row per plan and number of
    its devices; a column per batch of the grid; a batch whose next smaller one is too slow has none.
    """
    attention, ffn = shapes
    deployment = deployments.deployment_of(attention, ffn, batch=grid, plan=plan)
    blocks, once = deployments.micro_batch(deployment)
    heads = "ffn" if plan.afd_cut == CORE_CUT else "attention"
    found = []
    for side in ("attention", "ffn"):
        time = np.zeros((*attention.shape[:2], grid.size)) + (np.asarray(once) if side == heads else 0.0)
        for block in blocks:
            time = time + block.layers * np.asarray(getattr(block, side))
        in_time = np.ones(time.shape, dtype=bool)
        in_time[..., 1:] = time[..., :-1] <= deployments.scenario.step_limit
        with np.errstate(divide="ignore", invalid="ignore"):
            pace = np.where(in_time, grid / time, 0.0)
        found.append(np.maximum.accumulate(pace, axis=2))
    return found[0][:, 0], found[1]
