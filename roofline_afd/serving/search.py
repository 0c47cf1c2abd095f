"""The best deployment of a mode under a latency target: exhaustive over integers, exact."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP, EP_MICROBATCHES, Deployment, Deployments
from roofline_afd.serving.sizes import MEASURED_TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.scenario import Scenario

    Numbers = NDArray[np.float64]

AFD_MICROBATCHES = (1, 2, 3, 4)
PLUGIN_MICROBATCHES = (2,)
ALL = "all"
SEARCHED_TRANSPORTS = ("rank", "node")
"""What `all` searches: a copy per device hit never sends more than a copy per expert, which is named where
both are equal."""
NEAR = 0.98
"""Share of the best throughput from which a smaller deployment is worth naming."""
CHUNK = 4096
MOST_PAIRS = 550_000
"""Pairs of groups a search takes on: half of 1024 squared, and a few."""
BLOCK = 1 << 15
"""Candidates computed at a time, so that every array of a block stays in the cache."""
SAME = 1e-9
LARGEST_BATCH = 1 << 20
LATENCY, MEMORY, RATIO, FABRIC = "latency target", "HBM capacity", "ratio granularity", "no fabric"


class Candidates(NamedTuple):
    """Deployments examined, an element each: devices, micro-batches, the batch found, its step and tokens/s.

    `rate` is 0 where nothing is feasible; where `exact` is false it is an upper bound that could not win.
    """

    transport: NDArray[Any]
    attention_devices: NDArray[Any]
    ffn_devices: NDArray[Any]
    microbatches: NDArray[Any]
    redundant_experts: NDArray[Any]
    most: NDArray[Any]
    batch: NDArray[Any]
    step: NDArray[Any]
    rate: NDArray[Any]
    exact: NDArray[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the best, the best of another shape, the smallest nearly as good; all examined.

    `refusal` says why nothing is feasible, and `nearest` the least latency any deployment reaches [s].
    """

    best: Deployment | None
    runner_up: Deployment | None
    smallest: Deployment | None
    examined: int
    candidates: Candidates
    refusal: str = ""
    nearest: float | None = None


def _multiples(unit: int, most: int) -> NDArray[np.int64]:
    return np.arange(unit, most + 1, unit)


def _most_devices(scenario: Scenario, deployments: Deployments) -> int:
    """Return the most devices a deployment may have: the budget, or one domain where nothing leaves it."""
    budget = scenario.devices or scenario.max_devices
    alone = deployments.ffn.id == deployments.attention.id and deployments.attention.scale_out is None
    given = scenario.devices or scenario.attention_devices or scenario.ffn_devices
    if alone and not given:
        return min(budget, deployments.attention.scale_up_domain_devices)
    return budget


def _shapes(deployments: Deployments) -> tuple[Numbers, Numbers]:
    """Return the device counts of both sides that the question admits; under `ep` the second is empty."""
    scenario = deployments.scenario
    most = _most_devices(scenario, deployments)
    single = scenario.granularity == "device"
    units = [1 if single else side.devices_per_node for side in (deployments.attention, deployments.ffn)]
    if deployments.mode == EP:
        found = [scenario.devices] if scenario.devices else _multiples(units[0], most)
        return np.asarray(found, dtype=float), np.zeros(0)
    left, right = _pairs(scenario, units, most)
    if not single and deployments.attention.id == deployments.ffn.id:
        one = _split_node(scenario, units[0], most)
        left, right = np.concatenate([left, one]), np.concatenate([right, units[0] - one])
    if scenario.deployable_with:
        allowed = left % right == 0
        left, right = left[allowed], right[allowed]
    return left.astype(np.float64), right.astype(np.float64)


def _split_node(scenario: Scenario, unit: int, most: int) -> NDArray[np.int64]:
    """Return the attention devices of every way to make both groups out of one node."""
    left = np.arange(1, unit)
    fits = np.full(left.shape, most >= unit and scenario.devices in {None, unit})
    if scenario.attention_devices and scenario.ffn_devices:  # the question names the groups itself
        fits[:] = False
    if scenario.attention_devices:
        fits &= left == scenario.attention_devices
    if scenario.ffn_devices:
        fits &= unit - left == scenario.ffn_devices
    found: NDArray[np.int64] = left[fits]
    return found


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


def _microbatches(scenario: Scenario, mode: str) -> Sequence[int]:
    """Return the numbers of micro-batches to try."""
    given = scenario.microbatches
    if mode == EP:
        return EP_MICROBATCHES if given is None or given not in EP_MICROBATCHES else (given,)
    if scenario.deployable_with:
        if given not in {None, *PLUGIN_MICROBATCHES}:
            raise InputError(f"--microbatches {given} cannot run with {scenario.deployable_with}: it has two")
        return PLUGIN_MICROBATCHES
    return AFD_MICROBATCHES if given is None else (given,)


def transports_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the ways of sending tokens that a question lets be searched; candidates name them by place."""
    if scenario.transport == ALL:
        return SEARCHED_TRANSPORTS
    return (scenario.transport or MEASURED_TRANSPORT,)


def _space(deployments: Deployments, transports: Sequence[str]) -> Candidates:
    """Return every deployment the question admits, with the batch that memory allows it."""
    senders, receivers = _shapes(deployments)
    batches = np.asarray(_microbatches(deployments.scenario, deployments.mode), dtype=float)
    codes = np.arange(len(transports), dtype=np.int8)
    transport, shape, m = (
        axis.ravel() for axis in np.meshgrid(codes, np.arange(senders.size), batches, indexing="ij")
    )
    attention = senders[shape]
    ffn = receivers[shape] if deployments.mode == AFD else np.zeros(attention.shape)
    redundant = deployments.fill(ffn if deployments.mode == AFD else attention)
    blank = np.zeros(attention.shape)
    found = Candidates(
        *(transport, attention, ffn, m, redundant, blank, blank, blank, blank),
        np.zeros(attention.shape, dtype=bool),
    )
    whole = deployments_of(deployments, found, "pair", batch=blank)
    most = deployments.largest_batch(whole) if attention.size else blank
    return found._replace(most=np.minimum(most, LARGEST_BATCH))


def deployments_of(
    deployments: Deployments, found: Candidates, transport: str, *, batch: FloatArray
) -> Deployment:
    """Return candidates that send tokens one way as deployments, elementwise."""
    return Deployment(
        mode=deployments.mode,
        attention_devices=found.attention_devices,
        ffn_devices=found.ffn_devices if deployments.mode == AFD else None,
        batch=batch,
        microbatches=found.microbatches,
        transport=transport,
        redundant_experts=found.redundant_experts,
    )


def taken(found: Candidates, rows: NDArray[np.intp]) -> Candidates:
    """Return some candidates."""
    return Candidates(*(column[rows] for column in found))


class _Search:
    """Times of candidates, all of one question."""

    def __init__(self, deployments: Deployments, transports: Sequence[str]) -> None:
        self.deployments = deployments
        self.transports = transports
        self.limit = deployments.scenario.step_limit

    def steps(self, found: Candidates, batch: Numbers) -> Numbers:
        """Return the time of a step of each candidate at some batch [s]."""
        times = np.empty(batch.shape)
        for code, name in enumerate(self.transports):
            every = np.flatnonzero(found.transport == code)
            for start in range(0, every.size, BLOCK):
                rows = every[start : start + BLOCK]
                deployment = deployments_of(self.deployments, taken(found, rows), name, batch=batch[rows])
                times[rows] = self.deployments.step(deployment).time
        return times

    def rates(self, found: Candidates, batch: Numbers, steps: Numbers) -> Numbers:
        """Return tokens per second and device of each candidate."""
        deployment = deployments_of(self.deployments, found, self.transports[0], batch=batch)
        with np.errstate(invalid="ignore"):
            rate = np.asarray(self.deployments.tokens_per_s_per_device(deployment, steps))
        return np.where(np.isfinite(steps) & (batch > 0), rate, 0.0)

    def settle(self, found: Candidates) -> Candidates:
        """Return candidates with the largest batch that memory and latency allow, by bisection.

        A step takes no less time for a larger batch and never grows faster than the batch, so the largest
        feasible one is the best; one that memory ends between two multiples of the micro-batches is held
        against the multiple below it.
        """
        m, most = found.microbatches, found.most
        high = np.ceil(most / m)
        low = np.zeros(most.shape)
        times = self.steps(found, high * m)
        fits = times <= self.limit
        low = np.where(fits, high, low)
        active = np.flatnonzero(~fits & (high > 1))
        while active.size:
            part = taken(found, active)
            middle = np.floor((low[active] + high[active]) / 2.0)
            time = self.steps(part, np.maximum(middle, 1.0) * part.microbatches)
            good = time <= self.limit
            low[active] = np.where(good, middle, low[active])
            high[active] = np.where(good, high[active], middle)
            active = active[high[active] - low[active] > 1]
        batch = np.minimum(low * m, most)
        steps = self.steps(found, np.maximum(batch, 1.0))
        feasible = (batch >= 1) & (steps <= self.limit)
        rate = np.where(feasible, self.rates(found, batch, steps), 0.0)
        below = np.floor(batch / m) * m
        odd = np.flatnonzero(feasible & (below < batch) & (below >= 1))
        if odd.size:
            part = taken(found, odd)
            other = self.steps(part, below[odd])
            better = self.rates(part, below[odd], other)
            wins = better > rate[odd]
            for column, value in ((batch, below[odd]), (steps, other), (rate, better)):
                column[odd] = np.where(wins, value, column[odd])
        return found._replace(
            batch=np.where(feasible, batch, 0.0), step=steps, rate=rate, exact=np.ones(rate.shape, dtype=bool)
        )

    def given(self, found: Candidates, batch: int) -> Candidates:
        """Return candidates at a batch that the question gives."""
        whole = np.full(found.most.shape, float(batch))
        steps = self.steps(found, whole)
        feasible = (found.most >= batch) & (steps <= self.limit)
        rate = np.where(feasible, self.rates(found, whole, steps), 0.0)
        return found._replace(
            batch=np.where(feasible, whole, 0.0), step=steps, rate=rate, exact=np.ones(rate.shape, dtype=bool)
        )

    def exhaust(self, found: Candidates) -> Candidates:
        """Return all candidates settled, but for those too slow even without a latency limit."""
        possible = np.flatnonzero(found.most >= 1)
        bound = np.zeros(found.most.shape)
        bound[possible] = self.bounds(taken(found, possible))
        order = possible[np.argsort(-bound[possible], kind="stable")]
        columns = [np.array(column) for column in found]
        rate, exact = columns[-2], columns[-1]
        rate[:] = bound
        best = 0.0
        for start in range(0, order.size, CHUNK):
            rows = order[start : start + CHUNK]
            if bound[rows[0]] < NEAR * best:
                break
            settled = self.settle(taken(found, rows[bound[rows] >= NEAR * best]))
            rows = rows[bound[rows] >= NEAR * best]
            for column, value in zip(columns, settled, strict=True):
                column[rows] = value
            best = max(best, float(np.max(rate[rows], initial=0.0)))
        exact[bound == 0] = True
        return Candidates(*columns)

    def bounds(self, part: Candidates) -> Numbers:
        """Return tokens per second and device that candidates reach at most, whatever the latency allows.

        The time is that of the largest batch rounded down to whole micro-batches, or less.
        """
        times = self.steps(part, np.floor(part.most / part.microbatches) * part.microbatches)
        times = np.where(part.most < part.microbatches, self.steps(part, part.most), times)
        return self.rates(part, part.most, times)


def shapes_in_memory(deployments: Deployments) -> Candidates:
    """Return the shapes a question admits, with the batch that memory allows each; nothing is timed."""
    return _space(deployments, (MEASURED_TRANSPORT,))


def every_shape(deployments: Deployments, *, at_least: float = 0.0) -> Candidates:
    """Return every shape a question admits with its best batch; `search` settles only those that matter.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    at_least : float
        Rate that matters: shapes that cannot reach it are left out [tokens/s per device].

    Returns
    -------
    Candidates
        Shapes whose weights and one sequence fit; `rate` is 0 where the latency target is missed.
    """
    scenario = deployments.scenario
    transports = transports_of(scenario)
    found = _space(deployments, transports)
    searching = _Search(deployments, transports)
    found = taken(found, np.flatnonzero(found.most >= (scenario.batch or 1)))
    if at_least and found.most.size:
        found = taken(found, np.flatnonzero(searching.bounds(found) >= at_least))
    if not found.most.size:
        return found
    return searching.settle(found) if scenario.batch is None else searching.given(found, scenario.batch)


def deployment_at(deployments: Deployments, found: Candidates, row: int) -> Deployment:
    """Return one of the candidates as plain numbers."""
    return _settled(deployments, found, transports_of(deployments.scenario), row)


def search(deployments: Deployments) -> Found:
    """Find the deployment with the most tokens per second and device that meets the latency target.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Returns
    -------
    Found
        The best, or why there is none.

    Raises
    ------
    InputError
        If the question contradicts itself.
    """
    scenario = deployments.scenario
    transports = transports_of(scenario)
    found = _space(deployments, transports)
    searching = _Search(deployments, transports)
    fixed = scenario.batch
    found = searching.exhaust(found) if fixed is None else searching.given(found, fixed)
    examined = _examined(found)
    rate = np.where(found.exact, found.rate, 0.0)
    if not rate.size or not np.max(rate) > 0:
        refusal, nearest = _refusal(searching, found)
        return Found(None, None, None, examined, found, refusal, nearest)

    def pick(rows: NDArray[np.intp]) -> Deployment | None:
        if not rows.size:
            return None
        return _settled(deployments, found, transports, _first(found, rate, rows))

    everything = np.arange(rate.size)
    best = _first(found, rate, everything)
    shape = (found.attention_devices == found.attention_devices[best]) & (
        found.ffn_devices == found.ffn_devices[best]
    )
    others = np.flatnonzero(~shape & (rate > 0))
    near = np.flatnonzero(rate >= NEAR * rate[best])
    devices = found.attention_devices[near] + found.ffn_devices[near]
    fewest = near[devices == devices.min()]
    return Found(pick(np.array([best])), pick(others), pick(fewest), examined, found)


def _examined(found: Candidates) -> int:
    """Return how many integer deployments the search decided on, batches counted."""
    return int(np.sum(np.maximum(found.most, 0.0)))


def _first(found: Candidates, rate: Numbers, rows: NDArray[np.intp]) -> int:
    """Return the best of some candidates: of equals the one with fewest devices, micro-batches, and hops."""
    top = np.max(rate[rows])
    equal = rows[rate[rows] >= top * (1.0 - SAME)]
    devices = found.attention_devices[equal] + found.ffn_devices[equal]
    return int(equal[np.lexsort((found.transport[equal], found.microbatches[equal], devices))[0]])


def _settled(deployments: Deployments, found: Candidates, transports: Sequence[str], row: int) -> Deployment:
    """Return one candidate as plain numbers, a copy per expert where that is as fast."""
    chosen = Deployment(
        mode=deployments.mode,
        attention_devices=int(found.attention_devices[row]),
        ffn_devices=int(found.ffn_devices[row]) if deployments.mode == AFD else None,
        batch=int(found.batch[row]),
        microbatches=int(found.microbatches[row]),
        transport=transports[int(found.transport[row])],
        redundant_experts=int(found.redundant_experts[row]),
    )
    if deployments.scenario.transport == ALL:
        plain = dataclasses.replace(chosen, transport=MEASURED_TRANSPORT)
        if float(deployments.step(plain).time) <= found.step[row] * (1.0 + SAME):
            return plain
    return chosen


def _refusal(searching: _Search, found: Candidates) -> tuple[str, float | None]:
    """Return the constraint that rules every deployment out, and the least latency where that is it [s]."""
    if not found.most.size:
        return RATIO, None
    wanted = searching.deployments.scenario.batch or 1
    fitting = np.flatnonzero(found.most >= wanted)
    if not fitting.size:
        return MEMORY, None
    part = taken(found, fitting)
    least = float(np.min(searching.steps(part, np.full(fitting.size, float(wanted)))))
    if not np.isfinite(least):
        return FABRIC, None
    return LATENCY, least / searching.deployments.scenario.accept_length
