"""Which instances to run: whole ratios, whole nodes, and what the plugin runs; or why there are none."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.analysis.requests.checks import DEFAULT_MICROBATCHES
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.scenario import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from roofline_afd.analysis.requests.plan import Plan
    from roofline_afd.analysis.requests.times import Source

INTEGER, NODE = "whole ratio", "whole nodes"
MOST_FFN = 64
"""FFN instances per attention instance, at most."""
FFN_NODES_TRIED = 4
"""FFN instances, each a node, up to which the best fraction is looked for where nothing fixes them."""


class Recommendation(NamedTuple):
    """A recommendation: instances of both sides, and the plan that they are best of."""

    granularity: str
    attention: int
    ffn: int
    plan: Plan

    @property
    def ratio(self) -> float:
        """Attention instances per FFN instance [1]."""
        return self.attention / self.ffn

    @property
    def text(self) -> str:
        """The ratio in words, as 8A1F."""
        common = math.gcd(self.attention, self.ffn)
        return f"{self.attention // common}A{self.ffn // common}F"


def recommended(plan: Plan, source: Source, deployable_with: str | None) -> list[Recommendation]:
    """Return the best whole ratio, whole nodes, and what the plugin runs.

    Parameters
    ----------
    plan : Plan
        What every ratio gives.
    source : Source
        Where times come from: how many FFN instances there are, and what a node holds.
    deployable_with : str or None
        The plugin, where its recommendation is asked for.

    Returns
    -------
    list of Recommendation
        The one asked for first; without those that limits rule out.

    Raises
    ------
    InfeasibleError
        If limits rule out the one asked for.
    """
    two = plan if plan.microbatches == DEFAULT_MICROBATCHES else dataclasses.replace(plan, microbatches=2)
    receivers = source.ffn_instances
    rows = {
        INTEGER: best_whole(plan, receivers),
        NODE: _best(NODE, plan, _whole_nodes(plan, source)),
        PLUGIN: _best(PLUGIN, two, _no_fewer(two, receivers)),
    }
    order = (PLUGIN, INTEGER, NODE) if deployable_with else (INTEGER, NODE, PLUGIN)
    found = [row for row in (rows[name] for name in order) if row is not None]
    if rows[order[0]] is None:
        raise InfeasibleError(_refusal(plan, source, deployable_with))
    return found


def best_whole(plan: Plan, receivers: int | None) -> Recommendation | None:
    """Return the best whole ratio, or one over a whole number where less than one is best.

    Parameters
    ----------
    plan : Plan
        What every ratio gives.
    receivers : int or None
        FFN instances, where they are given [1].

    Returns
    -------
    Recommendation or None
        None where limits rule out all.
    """
    return _best(INTEGER, plan, _whole_ratios(plan, receivers))


def _whole_ratios(plan: Plan, receivers: int | None) -> Iterator[tuple[int, int]]:
    """Yield pairs of instances with a whole ratio, or one over a whole number where less than one is best."""
    base = receivers or 1
    yield from ((count * base, base) for count in plan.around(1.0))
    if 0 < plan.target < 1:
        inverse = min(math.floor(1 / plan.target), MOST_FFN - 1)
        for count in (inverse, inverse + 1):
            if receivers is None:
                pair = (1, count)
            elif receivers % count == 0:
                pair = (receivers // count, receivers)
            else:
                continue
            if plan.allowed(pair[0] / pair[1]):
                yield pair


def _no_fewer(plan: Plan, receivers: int | None) -> Iterator[tuple[int, int]]:
    """Yield pairs of instances of any ratio from one on: as many attention as FFN instances at least."""
    for base in (receivers,) if receivers else range(1, FFN_NODES_TRIED + 1):
        counts = [count for count in plan.around(1.0 / base) if count >= base]
        yield from ((count, base) for count in counts or ([base] if plan.allowed(1.0) else ()))


def _whole_nodes(plan: Plan, source: Source) -> Iterator[tuple[int, int]]:
    """Yield pairs of instances that fill whole nodes."""
    fixed = source.ffn_instances
    for receivers in (fixed,) if fixed else range(1, FFN_NODES_TRIED + 1):
        unit = source.attention_node / receivers
        yield from ((count * source.attention_node, receivers) for count in plan.around(unit))


def _best(name: str, plan: Plan, pairs: Iterable[tuple[int, int]]) -> Recommendation | None:
    """Return the pair with most tokens per instance; of equals the smallest."""
    rows = [Recommendation(name, attention, ffn, plan) for attention, ffn in pairs]
    return max(rows, key=lambda row: (plan.rate(row.ratio), -row.ffn), default=None)


def _refusal(plan: Plan, source: Source, deployable_with: str | None) -> str:
    """Return why no ratio is left, and the nearest that would be."""
    least = plan.time_per_token(1.0)
    if least > plan.tpot:
        fewer = _batch_in_time(plan)
        smaller = f" or --batch {fewer}" if fewer else ""
        return (
            f"no: binding is the latency target: one attention instance per FFN instance takes "
            f"{least * 1e3:.4g} ms per token, --tpot-ms {plan.tpot * 1e3:g} allows less; nearest: "
            f"--tpot-ms {math.ceil(least * 1e5) / 1e2:g}{smaller}"
        )
    receivers = source.ffn_instances or 1
    why = f" with {deployable_with}" if deployable_with else ""
    return (
        f"no: binding is ratio granularity{why}: as many attention as FFN devices, {2 * receivers} in all, "
        f"exceed what devices and fabric allow; nearest: --max-devices {2 * receivers} or fewer --ffn-devices"
    )


def _batch_in_time(plan: Plan) -> int:
    """Return the most slots that meet the latency target at a ratio of one; 0 where one is too many."""
    low, high = 0, int(plan.batch)
    while high - low > 1:
        middle = (low + high) // 2
        quick = dataclasses.replace(plan, batch=middle).allowed(1.0)
        low, high = (middle, high) if quick else (low, middle)
    return low
