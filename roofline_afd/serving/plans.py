"""Plans that a search tries one by one: how tokens are sent, what devices share, where layers are cut."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.fused import check_fused
from roofline_afd.serving.limits import SAME
from roofline_afd.serving.scenario import PLUGIN
from roofline_afd.serving.sizes import AFD_CUTS, ATTENTION_CUT, FUSED, REPLICATED, Plan, undivided
from roofline_afd.serving.uneven import LEVELLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.deployment import Deployments

ALL = "all"
SEARCHED_TRANSPORTS = ("pair", "rank", "node")
"""What `all` searches: a copy per device sends less than one per expert, but arrives unsorted."""
MOST_SHARING = 16
"""Devices that share heads, or experts, of the plans that are searched."""


def plans_of(deployments: Deployments, transports: Sequence[str] | None = None) -> tuple[Plan, ...]:
    """Return the plans that a question lets be searched, the plainest first.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    transports : sequence of str, optional
        Ways of sending tokens; those of the question where absent.

    Returns
    -------
    tuple of Plan
        At least one.

    Raises
    ------
    InputError
        If the model does not divide as the question asks.
    """
    scenario = deployments.scenario
    if transports is None:
        every = scenario.transport == ALL
        transports = SEARCHED_TRANSPORTS if every else (deployments.transport,)
    shared = list(_sharings(deployments))
    holders = (scenario.ffn_devices if deployments.mode == AFD else None) or most_devices(deployments)
    needed = holders / scenario.model.routed_experts  # more devices share an expert only where they are more
    kernels = scenario.kernels
    if kernels == FUSED:
        check_fused(deployments.ffn)
    load = deployments.load
    levelled = load is not None and load.placement == LEVELLED and scenario.redundant_experts is None
    spares = (0, 1) if levelled else (0,)
    found = [
        Plan(transport, *each, cut, kernels, spare)
        for cut in cuts_of(deployments)
        for each in shared
        for transport in transports
        if scenario.expert_tensor_parallel or each[2] == 1 or each[2] < 2 * needed
        for spare in spares
    ]
    if deployments.mode == EP and scenario.transport in {None, ALL} and kernels != FUSED:
        found += [
            Plan(REPLICATED, *each, spare_experts=spare)
            for spare in spares
            for each in shared
            if each[0] > 1
            and each[0] % each[2] == 0
            and (scenario.expert_tensor_parallel or each[2] in {1, each[0]})
        ]
    return tuple(found)


def cuts_of(deployments: Deployments) -> tuple[str, ...]:
    """Return where layers may be cut between two groups; where shared experts are placed, not beside them."""
    scenario = deployments.scenario
    if deployments.mode == EP or scenario.shared_experts == "attention" or scenario.deployable_with == PLUGIN:
        return (ATTENTION_CUT,)
    return (scenario.afd_cut,) if scenario.afd_cut else AFD_CUTS


def _sharings(deployments: Deployments) -> Iterator[tuple[int, int, int]]:
    """Yield how many devices share heads, caches and experts in the plans that a question lets be searched.

    Heads by powers of two within a scale-up domain; caches not at all, or as widely as leaves less on each.
    Experts for those plans in which every device has all tokens, not at all or by all of them.
    """
    scenario = deployments.scenario
    model = scenario.model
    most = min(deployments.attention.scale_up_domain_devices, scenario.devices or scenario.max_devices)
    powers = [1 << power for power in range(most.bit_length()) if 1 << power <= MOST_SHARING]
    given = (scenario.tensor_parallel, scenario.context_parallel, scenario.expert_tensor_parallel)
    heads, caches, experts = ([each] if each else powers for each in given)
    for name, many, system in (
        ("--context-parallel", given[1], deployments.attention),
        ("--expert-tensor-parallel", given[2], deployments.ffn),
    ):
        if many and many > system.scale_up_domain_devices:
            raise InputError(
                f"{name} {many} is beyond the {system.scale_up_domain_devices} devices of a scale-up domain "
                f"of {system.id}"
            )
    refusal = ""
    count = 0
    for tp, cp, et in itertools.product(heads, caches, experts):
        refused = undivided(model, tensor_parallel=tp, context_parallel=cp, expert_tensor_parallel=et)
        refusal = refusal or refused
        if refused or (not given[1] and cp > 1 and not _widest(deployments, tp, cp)):
            continue
        count += 1
        yield tp, cp, et
    if not count:
        names = ("--tensor-parallel", "--context-parallel", "--expert-tensor-parallel")
        asked = (f"{name} {many}" for name, many in zip(names, given, strict=True) if many)
        raise InputError(f"{', '.join(asked)}: {refusal}")


def _widest(deployments: Deployments, tensor_parallel: int, context_parallel: int) -> bool:
    """Return whether so many devices are the most whose sharing caches leaves less of them on each."""
    wider = 2 * context_parallel
    split = {"tensor_parallel": tensor_parallel, "context_parallel": wider}
    more = wider <= tensor_parallel and not undivided(deployments.scenario.model, **split)
    return _spares(deployments, tensor_parallel, context_parallel) and not (
        more and _spares(deployments, tensor_parallel, wider)
    )


def _spares(deployments: Deployments, tensor_parallel: int, context_parallel: int) -> bool:
    """Return whether a device holds less of a cache where more devices share it."""
    held, tokens = deployments.held, deployments.held_tokens
    less, more = (
        held.cache_of(tokens, tensor_parallel, each) for each in (context_parallel, context_parallel // 2)
    )
    return bool(less < more * (1.0 - SAME))


@functools.lru_cache(maxsize=64)
def families_of(plans: tuple[Plan, ...]) -> tuple[NDArray[np.intp], ...]:
    """Return the places of plans that are alike but for how many devices share.

    Parameters
    ----------
    plans : tuple of Plan
        Plans.

    Returns
    -------
    tuple of array
        Places, a family each.
    """
    alone = [plan.alone for plan in plans]
    every = (
        np.array([code for code, each in enumerate(alone) if each == kind]) for kind in dict.fromkeys(alone)
    )
    return tuple(every)


@functools.lru_cache(maxsize=64)
def shared_of(plans: tuple[Plan, ...]) -> tuple[NDArray[np.int64], ...]:
    """Return how many devices share heads, caches, experts under plans, and spare experts [1]."""
    numbers = ((*plan.shared, plan.spare_experts or 0) for plan in plans)
    return tuple(np.array(column) for column in zip(*numbers, strict=True))


def plan_of(codes: NDArray[Any], plans: Sequence[Plan]) -> Plan:
    """Return plans that are alike but for how many devices share, as one.

    Parameters
    ----------
    codes : array
        Plans by place, of one family, one at least.
    plans : sequence of Plan
        Plans.

    Returns
    -------
    Plan
        Numbers where all share alike, else arrays of the shape of `codes`.
    """
    first = plans[int(codes.flat[0])]
    if np.all(codes == codes.flat[0]):
        return first
    shared = (column[codes] for column in shared_of(tuple(plans)))
    numbers = [each if np.any(each != each.flat[0]) else int(each.flat[0]) for each in shared]
    tp, cp, etp, spare = numbers
    return Plan(first.transport, tp, cp, etp, first.afd_cut, first.kernels, spare)


def most_devices(deployments: Deployments) -> int:
    """Return the most devices a deployment may have: the budget, or one domain where nothing leaves it."""
    scenario = deployments.scenario
    budget = scenario.devices or scenario.max_devices
    alone = deployments.ffn.id == deployments.attention.id and deployments.attention.scale_out is None
    given = scenario.devices or scenario.attention_devices or scenario.ffn_devices
    if alone and not given:
        return min(budget, deployments.attention.scale_up_domain_devices)
    return budget
