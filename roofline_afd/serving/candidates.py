"""Deployments that a question admits: devices, micro-batches, plans, the batch that memory allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.serving.batches import LARGEST_BATCH, microbatches_of
from roofline_afd.serving.deployable import most_sequences, runs
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.plans import families_of, most_devices, plan_of, plans_of, shared_of
from roofline_afd.serving.scenario import COUNTS
from roofline_afd.serving.sizes import REPLICATED, Plan
from roofline_afd.serving.torus import whole_slices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.batches import Numbers, Rows
    from roofline_afd.serving.deployment import Deployment, Deployments
    from roofline_afd.serving.scenario import Scenario

MOST_PAIRS = 550_000
"""Pairs of groups a search takes on: half of 1024 squared, and a few."""
BLOCK = 1 << 15
"""Candidates computed at a time, so that every array of a block stays in the cache."""


class Candidates(NamedTuple):
    """Deployments examined, an element each: devices, micro-batches, the batch found, its step and tokens/s.

    `rate` is 0 where nothing is feasible; where `exact` is false it is an upper bound that could not win.
    """

    plan: NDArray[Any]
    attention_devices: NDArray[Any]
    ffn_devices: NDArray[Any]
    microbatches: NDArray[Any]
    redundant_experts: NDArray[Any]
    most: NDArray[Any]
    batch: NDArray[Any]
    step: NDArray[Any]
    rate: NDArray[Any]
    exact: NDArray[Any]


def shapes_in_memory(deployments: Deployments, plans: Sequence[Plan] | None = None) -> Candidates:
    """Return the shapes a question admits, with the batch that memory allows each; nothing is timed.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    plans : sequence of Plan, optional
        Plans, which candidates name by place; those of the question where absent.

    Returns
    -------
    Candidates
        One for each shape, number of micro-batches and plan.

    Raises
    ------
    InputError
        If the question contradicts itself.
    """
    plans = plans_of(deployments) if plans is None else plans
    found = shapes_asked(deployments, plans)
    return found._replace(most=largest_batches(deployments, found, plans))


def shapes_asked(deployments: Deployments, plans: Sequence[Plan]) -> Candidates:
    """Return the shapes a question admits, whatever memory holds; raises as `shapes_in_memory`."""
    senders, receivers = shapes_of(deployments)
    batches = np.asarray(microbatches_of(deployments.scenario, deployments.mode), dtype=float)
    free = deployments.scenario.expert_tensor_parallel is None
    least = deployments.scenario.model.routed_experts if free else np.inf
    rows = [np.flatnonzero(offered(deployments, plan, (senders, receivers), experts=least)) for plan in plans]
    counts = [batches if plan.transport != REPLICATED else batches[:1] for plan in plans]
    sizes = [each.size * m.size for each, m in zip(rows, counts, strict=True)]
    plan = np.repeat(np.arange(len(plans), dtype=np.int16), sizes)
    shape = np.concatenate([np.repeat(each, m.size) for each, m in zip(rows, counts, strict=True)])
    m = np.concatenate([np.tile(m, each.size) for each, m in zip(rows, counts, strict=True)])
    attention = senders[shape]
    ffn = receivers[shape] if deployments.mode == AFD else np.zeros(attention.shape)
    redundant = redundant_of(deployments, plans, plan, ffn if deployments.mode == AFD else attention)
    blank = np.zeros(attention.shape)
    return Candidates(
        *(plan, attention, ffn, m, redundant, blank, blank, blank, blank),
        np.zeros(attention.shape, dtype=bool),
    )


def shapes_of(deployments: Deployments) -> tuple[Numbers, Numbers]:
    """Return the device counts of both sides that the question admits; under `ep` the second is empty."""
    scenario = deployments.scenario
    if scenario.devices and scenario.devices > COUNTS["max_devices"]:
        raise InputError(
            f"--devices {scenario.devices} are too many to search: valid up to {COUNTS['max_devices']}; "
            "`predict` takes more, of a deployment that is named"
        )
    most = most_devices(deployments)
    single = scenario.granularity == "device"
    units = [1 if single else side.devices_per_node for side in (deployments.attention, deployments.ffn)]
    if deployments.mode == EP:
        none = np.zeros(0)
        if scenario.devices:
            found = np.array([float(scenario.devices)])
        else:
            inside = np.arange(1, min(units[0] - 1, most) + 1)
            found = np.concatenate([inside, _multiples(units[0], most)]).astype(float)
            found = found[whole_slices(found, deployments.attention)]
        return found, none
    left, right = _pairs(scenario, units, most)
    if not single and deployments.attention.id == deployments.ffn.id:
        one, other = _within_node(scenario, units[0], most)
        left, right = np.concatenate([left, one]), np.concatenate([right, other])
    allowed = asked_for(scenario, left, right)
    named = scenario.devices or (scenario.attention_devices and scenario.ffn_devices)
    if deployments.attention.id == deployments.ffn.id and not named:
        allowed &= whole_slices((left + right).astype(float), deployments.attention)
    return left[allowed].astype(np.float64), right[allowed].astype(np.float64)


def _multiples(unit: int, most: int) -> NDArray[np.int64]:
    return np.arange(unit, most + 1, unit)


def _pairs(
    scenario: Scenario, units: Sequence[int], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of attention and FFN devices a question admits."""
    given = (scenario.attention_devices, scenario.ffn_devices)
    senders, receivers = (
        np.array([value]) if value else _multiples(unit, most)
        for value, unit in zip(given, units, strict=True)
    )
    if scenario.devices:  # the total fixes one group by the other
        left = senders if given[0] or not given[1] else scenario.devices - receivers
        right = scenario.devices - left
        fits = (left >= 1) & (right >= 1)
        fits &= (right == given[1]) if given[1] else (right % units[1] == 0)
        fits &= (left == given[0]) if given[0] else (left % units[0] == 0)
        return left[fits], right[fits]
    if senders.size * receivers.size > 2 * MOST_PAIRS:
        raise InputError(
            f"--max-devices {scenario.max_devices} in single devices are too many pairs of groups to search: "
            "valid with --granularity node, or up to --max-devices 1024"
        )
    left, right = (side.ravel() for side in np.meshgrid(senders, receivers, indexing="ij"))
    fits = np.ones(left.shape, dtype=bool) if all(given) else left + right <= most
    return left[fits], right[fits]


def _within_node(scenario: Scenario, unit: int, most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return every way to make both groups out of devices of one node."""
    named = scenario.attention_devices and scenario.ffn_devices  # the question names the groups itself
    totals = [scenario.devices] if scenario.devices else range(2, min(unit, most) + 1)
    pairs = [(one, total - one) for total in totals for one in range(1, total) if total <= unit and not named]
    left, right = np.array(pairs, dtype=int).reshape(len(pairs), 2).T
    return left, right


def asked_for(scenario: Scenario, attention: NDArray[Any], ffn: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pairs of groups are those a question names.

    Parameters
    ----------
    scenario : Scenario
        The question.
    attention, ffn : array
        Devices of both groups [1].

    Returns
    -------
    array of bool
        Whether each pair is admitted.
    """
    fits = np.ones(attention.shape, dtype=bool)
    if scenario.attention_devices:
        fits &= attention == scenario.attention_devices
    if scenario.ffn_devices:
        fits &= ffn == scenario.ffn_devices
    return fits


def redundant_of(
    deployments: Deployments, plans: Sequence[Plan], plan: NDArray[Any], holders: NDArray[Any]
) -> Numbers:
    """Return the redundant experts of each candidate, from its plan and the devices that hold experts."""
    _, _, sharing, spare = (column[plan] for column in shared_of(tuple(plans)))
    found: Numbers = deployments.fill(holders / sharing, spare)
    return found


def offered(
    deployments: Deployments, plan: Plan, shapes: tuple[NDArray[Any], NDArray[Any]], *, experts: float
) -> NDArray[np.bool_]:
    """Return which shapes a plan is for that the software of the question runs.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    plan : Plan
        How devices are used.
    shapes : tuple of array
        Devices of both groups; the second is empty under `ep` [1].
    experts : float
        As of `admitted` [1].

    Returns
    -------
    array of bool
        Whether each of them is.
    """
    fits = admitted(plan, *shapes, experts=experts)
    if deployments.attention_groups > 1:
        fits &= shapes[0] % (deployments.attention_groups * plan.tensor_parallel) == 0
    if plan.spare_experts:
        places = shapes[-1 if shapes[1].size else 0] / plan.expert_tensor_parallel
        fits[fits] &= _may_pay(deployments, places[fits])
    if plan.transport != REPLICATED:
        fits &= runs(deployments, *shapes)
    return fits


def _may_pay(deployments: Deployments, places: Numbers) -> NDArray[np.bool_]:
    """Return where one more expert on each of the devices that hold them may pay."""
    load = deployments.load
    assert load is not None  # noqa: S101 - else no plan has spare experts
    return load.uneven(places, deployments.fill(places, 0))


def admitted(
    plan: Plan, attention: NDArray[Any], ffn: NDArray[Any], *, experts: float = np.inf
) -> NDArray[np.bool_]:
    """Return which shapes a plan is for: those whose devices make whole groups of it.

    Where tokens are sent, fewest devices share an expert: several only where they are more than experts.

    Parameters
    ----------
    plan : Plan
        How devices are used.
    attention, ffn : array
        Devices of both groups; the second is empty under `ep` [1].
    experts : float
        Experts of a layer; infinite where the question says how many devices share each [1].

    Returns
    -------
    array of bool
        Whether each of them is.
    """
    holders = ffn if ffn.size else attention
    fits = (attention % plan.tensor_parallel == 0) & (holders % plan.expert_tensor_parallel == 0)
    if plan.transport == REPLICATED:
        fits &= attention == plan.tensor_parallel
    elif plan.expert_tensor_parallel > 1 and np.isfinite(experts):
        fits &= holders > experts * (plan.expert_tensor_parallel // 2)
    found: NDArray[np.bool_] = fits
    return found


def largest_batches(deployments: Deployments, found: Candidates, plans: Sequence[Plan]) -> Numbers:
    """Return the most sequences of an attention device that memory, and the kernels, allow each candidate.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    found : Candidates
        Shapes.
    plans : sequence of Plan
        Plans, by the place that candidates name.

    Returns
    -------
    array
        Batches, negative where weights do not fit [1].
    """
    most = np.empty(found.microbatches.shape)
    for rows in blocks_of(found.plan, plans):
        empty = deployments_of(deployments, taken(found, rows), plans, batch=0)
        most[rows] = np.minimum(deployments.largest_batch(empty), most_sequences(deployments, empty))
    return np.minimum(most, LARGEST_BATCH)


def blocks_of(plan: NDArray[Any], plans: Sequence[Plan]) -> Iterator[Rows]:
    """Yield the rows of each family of plans, `BLOCK` at a time.

    Parameters
    ----------
    plan : array
        Plan of each row, by place in `plans`.
    plans : sequence of Plan
        Plans.

    Yields
    ------
    array
        Rows, one at least.
    """
    families = families_of(tuple(plans))
    for codes in families:
        every = np.flatnonzero(np.isin(plan, codes)) if len(families) > 1 else np.arange(plan.size)
        for start in range(0, every.size, BLOCK):
            yield every[start : start + BLOCK]


def deployments_of(
    deployments: Deployments, found: Candidates, plans: Sequence[Plan], *, batch: FloatArray
) -> Deployment:
    """Return candidates of one family of plans as deployments, elementwise."""
    return deployments.deployment_of(
        found.attention_devices,
        found.ffn_devices,
        batch=batch,
        microbatches=found.microbatches,
        plan=plan_of(found.plan, plans),
        redundant_experts=found.redundant_experts,
    )


def taken(found: Candidates, rows: Rows) -> Candidates:
    """Return some candidates."""
    return Candidates(*(column[rows] for column in found))
