"""What to watch of a running deployment: each quantity as predicted, and where the answer no longer holds."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.one import largest_batch_in_time
from roofline_afd.analysis.decode.sides import Successive
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.steps import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

ABOVE, BELOW = "above", "below"
MOST = 16.0
"""Factor within which a threshold is looked for."""
ROUNDS, FINE_ROUNDS = 16, 40
"""Halvings until a threshold is settled, to 4e-5 of it; to rounding where each costs next to nothing."""
CLOSE = 1e-3
"""How closely one is settled where each trial is a search of its own [1]."""
MOST_UNEVEN = 8.0
"""The same of the load of the fullest device."""
QUANTITIES = {
    "tpot": ("time per output token", "ms"),
    "ttft": ("time to the first token", "ms"),
    "attention": ("attention of a layer and micro-batch", "us"),
    "ffn": ("experts of a layer and micro-batch", "us"),
    "dispatch": ("dispatch of a layer and micro-batch", "us"),
    "combine": ("combine of a layer and micro-batch", "us"),
    "sequences": ("sequences of an attention group", "1"),
    "context": ("tokens cached of a sequence", "1"),
    "accepted": ("tokens accepted of a step", "1"),
    "cache": ("share of the cache in use", "1"),
    "imbalance": ("fullest device of experts over the mean", "1"),
}
"""What is watched, in words, and its unit."""
BREAKS = "the latency target breaks"


@dataclasses.dataclass(frozen=True)
class Watched:
    """A deployment in service: how it is predicted, and what it is held to."""

    deployments: Deployments
    deployment: Deployment
    row: Mapping[str, Any]
    """As `predict` tells what decodes."""
    whole: Mapping[str, Any]
    """As the question was answered: with prompts, where they are asked about."""
    ttft_ms: float | None
    metrics: Mapping[str, str]

    @property
    def scenario(self) -> Scenario:
        """The question."""
        return self.deployments.scenario

    @property
    def mixed(self) -> bool:
        """Whether prompts are computed in the same steps."""
        return self.whole.get("mixed_share") is not None


def watch_list(watched: Watched) -> list[dict[str, Any]]:
    """Return what to watch.

    Parameters
    ----------
    watched : Watched
        The deployment.

    Returns
    -------
    list of dict
        A row for each quantity: `quantity`, `unit`, `expected`, `limit` (None where nothing breaks within
        16 times what is expected), `alert` (`above` or `below` the limit), `then`, `metric`.
    """
    rows = _latencies(watched)
    if watched.mixed:
        rows += [_row(watched, "sequences", _sequences(watched), None)]
    else:
        rows += [*_stages(watched), *_amounts(watched)]
    rows += _cache(watched)
    if watched.deployments.ffn_scenario.model.routed_experts and not watched.mixed:
        rows += _imbalances(watched)
    return rows


def _row(
    watched: Watched,
    key: str,
    expected: float,
    limit: float | None,
    *,
    alert: str = ABOVE,
    then: str = BREAKS,
) -> dict[str, Any]:
    quantity, unit = QUANTITIES[key]
    return {
        "quantity": quantity,
        "unit": unit,
        "expected": expected,
        "limit": limit,
        "alert": alert,
        "then": then if limit is not None else "",
        "metric": watched.metrics.get(key, ""),
    }


def _latencies(watched: Watched) -> list[dict[str, Any]]:
    """Return the times that users see."""
    scenario, whole = watched.scenario, watched.whole
    rows = [_row(watched, "tpot", whole["tpot_ms"], scenario.tpot_ms)]
    if whole.get("ttft_ms") is not None:
        rows.append(_row(watched, "ttft", whole["ttft_ms"], watched.ttft_ms))
    return rows


def _stages(watched: Watched) -> list[dict[str, Any]]:
    """Return the stages of a layer: their times, and how long each may take while others stay."""
    deployments, deployment = watched.deployments, watched.deployment
    blocks, once = deployments.micro_batch(deployment)

    def step(stage: str, factor: float) -> float:
        slower = [block._replace(**{stage: factor * getattr(block, stage)}) for block in blocks]
        return float(np.asarray(deployments.step_of(slower, once, deployment).time))

    rows = []
    for stage in STAGES:
        expected = float(watched.row["breakdown"][f"{stage}_us"])
        if expected > 0:
            factor = _breaks(functools.partial(step, stage), watched, FINE_ROUNDS)
            limit = None if factor is None else factor * expected
            rows.append(_row(watched, stage, expected, limit))
    return rows


def _breaks(step: Callable[[float], float], watched: Watched, rounds: int = ROUNDS) -> float | None:
    """Return the factor at which a step takes as long as the target allows; None where none does."""
    if watched.scenario.tpot_ms is None:
        return None
    limit = watched.scenario.step_limit
    if step(MOST) <= limit:
        return None
    low, high = 0.0, math.log(MOST)
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if step(math.exp(middle)) <= limit else (low, middle)
    return math.exp(low)


def _sequences(watched: Watched) -> int:
    return int(np.asarray(watched.deployment.batch))


def _amounts(watched: Watched) -> list[dict[str, Any]]:
    """Return sequences, their tokens and the tokens accepted: how many, and where the target breaks."""
    scenario, deployments, deployment = watched.scenario, watched.deployments, watched.deployment
    expected = _sequences(watched)
    in_memory = int(min(float(np.asarray(deployments.largest_batch(deployment))), MOST * expected))
    sequences, then = in_memory, "memory is full"
    if scenario.tpot_ms is not None:
        full = dataclasses.replace(deployment, batch=in_memory)
        in_time = largest_batch_in_time(deployments, full, scenario.step_limit)
        if in_time < in_memory:
            sequences, then = in_time, BREAKS
    rows = [_row(watched, "sequences", expected, sequences, then=then)]

    def longer(factor: float) -> float:
        other = attrs.evolve(scenario, context=max(round(scenario.context * factor), 1))
        return float(np.asarray(Deployments(other, deployment.mode).step(deployment).time))

    factor = _breaks(longer, watched)
    limit = None if factor is None else factor * scenario.context
    rows.append(_row(watched, "context", scenario.context, limit))
    if scenario.query_tokens > 1 and scenario.tpot_ms is not None:
        time = float(np.asarray(deployments.step(deployment).time)) * 1e3
        accepted = time / scenario.tpot_ms
        rows.append(_row(watched, "accepted", scenario.accept_length, accepted, alert=BELOW))
    return rows


def _cache(watched: Watched) -> list[dict[str, Any]]:
    """Return how full the cache is; from full on sequences wait or are computed again."""
    memory = watched.row["memory"]
    room = memory["cache_gb"] + memory["free_gb"]
    if not memory["cache_gb"] > 0 or not room > 0:
        return []
    share = memory["cache_gb"] / room
    return [_row(watched, "cache", share, 1.0, then="sequences wait")]


def _imbalances(watched: Watched) -> list[dict[str, Any]]:
    """Return the load of the fullest device of experts: where the target breaks, where the mode loses."""
    deployments, deployment, scenario = watched.deployments, watched.deployment, watched.scenario
    load = deployments.load
    if load is None:
        expected = 1 / scenario.sigma_ep
    else:
        holders = deployment.ffn_devices or deployment.attention_devices
        places = float(np.asarray(holders)) / deployment.expert_tensor_parallel
        groups = float(np.asarray(deployment.attention_devices)) / deployment.tensor_parallel
        tokens = float(np.asarray(deployment.sequences)) * scenario.query_tokens * groups
        expected = float(
            np.asarray(load.factor(places, float(np.asarray(deployment.redundant_experts)), tokens))
        )
    even = attrs.evolve(
        scenario, expert_placement=None, zipf=None, expert_counts=None, routing="natural", sigma_ep=1.0
    )

    def step(factor: float) -> float:
        other = attrs.evolve(even, sigma_ep=min(1 / (expected * factor), 1.0))
        return float(np.asarray(Deployments(other, deployment.mode).step(deployment).time))

    factor = _breaks(step, watched)
    limit = None if factor is None else factor * expected
    rows = [_row(watched, "imbalance", expected, limit)]
    other_mode = AFD if deployment.mode == EP else EP
    flips = _other_mode_wins(even, deployment.mode, expected)
    then = f"{other_mode.upper()} serves more"
    if flips is None:
        then += f", but not up to {MOST_UNEVEN * expected:.3g}"
    elif flips == expected:
        then += " as it is"
    rows.append({**_row(watched, "imbalance", expected, flips), "then": then})
    return rows


def _other_mode_wins(even: Scenario, mode: str, expected: float) -> float | None:
    """Return the imbalance from which the best deployment of the other mode serves more; None for none.

    Both are searched anew at each: devices that are free to be chosen otherwise are.
    """
    free = attrs.evolve(
        even,
        batch=None,
        devices=None,
        attention_devices=None,
        ffn_devices=None,
        tensor_parallel=None,
        microbatches=None,
        redundant_experts=None,
        context_parallel=None,
        expert_tensor_parallel=None,
        deployable_with=None,
        afd_cut=None,
    )
    successive = Successive()

    def lead(factor: float) -> float:
        try:
            ep, afd = successive.rates(attrs.evolve(free, sigma_ep=1 / factor))
        except InputError:
            return math.nan
        own, other = (ep, afd) if mode == EP else (afd, ep)
        return own - other

    if not lead(max(expected, 1.0)) > 0:
        return expected
    low, high = expected, MOST_UNEVEN * expected
    if not lead(high) < 0:
        return None
    while high > low * (1.0 + CLOSE):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if lead(middle) > 0 else (low, middle)
    return high
