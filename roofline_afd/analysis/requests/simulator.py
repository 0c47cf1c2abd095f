"""Attention instances and the FFN instances they share, simulated with requests of random length.

What a slot holds at each step does not depend on how long the steps take, since a request that ends is
replaced at once. So the KV tokens of all workers are counted first, event by event, and the clock runs over
them afterwards: a max-plus recursion over micro-batches, for all ratios at a time.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import statistics
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from roofline_afd.analysis.answer import Answer
from roofline_afd.analysis.requests.provisioning import (
    DEFAULT_BATCH,
    DEFAULT_MICROBATCHES,
    DISTRIBUTIONS,
    FIXED,
    GEOMETRIC,
    Operators,
    Workload,
    check_sources,
    fitted_source,
    given_source,
    microbatches_of,
    workload_of,
)
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import barrier, linear
from roofline_afd.serving.scenario import DUPLEXES, choice, finite, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from roofline_afd.analysis.requests.traces import Trace
    from roofline_afd.physics.linear import Coefficients
    from roofline_afd.physics.slots import Load
    from roofline_afd.serving.scenario import Scenario

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

STARTS = STATIONARY, COLD = "stationary", "cold"
WINDOWS = FIRST, STEADY = "first-80", "steady"
REPLAYS = SHUFFLED, IN_ORDER = "shuffled", "in-order"
FIRST_SHARE = 0.8
"""Share of the completions that counts in the window `first-80`."""
WARM_UP_SHARE = 0.2
"""Share of the completions left out before the window `steady`."""
DEFAULT_RATIOS = tuple(range(1, 33))
DEFAULT_REQUESTS = 10_000
FEWEST_REQUESTS = 500
"""Requests per attention instance where FFN instances share the experts, at least."""
DEFAULT_REPLICATIONS = 5
MAX_RATIO, MAX_BATCH, MAX_MICROBATCHES, MAX_REPLICATIONS = 1024, 65_536, 64, 1000
MAX_REQUESTS = 100_000_000
MAX_LAYERS = 1000
MAX_SLOTS = 10_000_000
MAX_SECONDS = 3600.0
"""Roughly the longest that a simulation may take."""
SECONDS_PER_STEP, SECONDS_PER_WORKER, SECONDS_PER_REQUEST = 6e-6, 6e-9, 3e-7
"""Rough cost of the step of a micro-batch, of each worker in it, and of a request."""
BLOCK = 2048
"""Steps times micro-batches that instances decode at a time, so that long runs take little memory."""
SHORTEST_BLOCK = 64
"""Steps below which FFN instances that share the experts do not bring those timed at a time."""
QUANTILES = 1 << 14
"""Equally likely lengths that stand for a continuous law."""
MOST_KEPT = 1 << 22
"""Numbers kept of the course of a replication; of longer ones every second, third ... step is."""
SERIES_POINTS = 400
"""Rows of a time series per ratio."""
FEW_TURNS = 5
"""Requests per slot below which the start of the slots shows in the result."""
NEGLIGIBLE = 0.005
"""Ratios that lose no more throughput than this are as good as the best."""
QUANTILES_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t at 97.5 % for 1, 2, ... 30 degrees of freedom."""
QUANTILE_NORMAL = 1.96
TABLE_KEYS = (
    "r",
    "throughput_per_instance",
    "throughput_half_width",
    "throughput_predicted",
    "attention_idle",
    "ffn_idle",
    "tpot",
    "tpot_p95",
)


class Law(Protocol):
    """How one length is distributed."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """Return independent lengths [tokens]."""
        ...

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[NDArray[Any], Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens]."""
        ...

    @property
    def mean(self) -> float:
        """The mean length [tokens]."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class GeometricLaw:
    """A length that ends with the same chance at each token.

    Parameters
    ----------
    mean : float
        Mean length, at least 1 [tokens].
    """

    mean: float

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return independent lengths [tokens]."""
        return rng.geometric(1 / self.mean, count)

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Ints, Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens].

        The law has no memory: what lies before and what is left are independent.
        """
        before = rng.geometric(1 / self.mean, count) - 1
        return before + self.draw(rng, count), before


@dataclasses.dataclass(frozen=True, slots=True)
class ListedLaw:
    """Equally likely lengths.

    Parameters
    ----------
    lengths : array
        The lengths [tokens].
    """

    lengths: NDArray[Any]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """Return independent lengths [tokens]."""
        return self.lengths[rng.integers(self.lengths.size, size=count)]

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[NDArray[Any], Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens]."""
        chosen, before = _met(self.lengths, rng, count)
        return self.lengths[chosen], before

    @property
    def mean(self) -> float:
        """The mean length [tokens]."""
        return float(self.lengths.mean())


def _met(lengths: NDArray[Any], rng: np.random.Generator, count: int) -> tuple[Ints, Ints]:
    """Return which lengths are met at a random token, each as often as it is long, and the tokens before."""
    ends = np.cumsum(lengths)
    token = rng.integers(ends[-1], size=count)
    chosen = np.searchsorted(ends, token, side="right")
    return chosen, token - (ends[chosen] - lengths[chosen])


def law(*, distribution: str, mean: float, variation: float | None = None) -> Law:
    """Return the law of a length.

    Parameters
    ----------
    distribution : str
        `fixed`, `geometric`, or `lognormal`: rounded to whole tokens, at least one.
    mean : float
        Mean length; of log-normal ones before rounding [tokens].
    variation : float, optional
        Standard deviation over mean of log-normal lengths; 1 where absent [1].

    Returns
    -------
    Law
        How it is drawn; log-normal as the means of equally likely slices.
    """
    if distribution == FIXED:
        return ListedLaw(np.array([int(mean) if float(mean).is_integer() else mean]))
    if distribution == GEOMETRIC:
        return GeometricLaw(mean)
    choice("--decode-distribution", distribution, DISTRIBUTIONS)
    spread = math.sqrt(math.log1p((1.0 if variation is None else variation) ** 2))
    normal = statistics.NormalDist()
    bounds = (normal.inv_cdf(step / QUANTILES) for step in range(1, QUANTILES))
    below = np.array([0.0, *(normal.cdf(bound - spread) for bound in bounds), 1.0])
    return ListedLaw(np.maximum(np.rint(mean * QUANTILES * np.diff(below)), 1).astype(np.int64))


class Lengths(Protocol):
    """What requests look like: prompt and decode length of each."""

    def stream(self, rng: np.random.Generator) -> Iterator[tuple[float, int]] | None:
        """Return requests one by one where their order matters; None where they are independent."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        ...

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        ...

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class IndependentLengths:
    """Prompts and decode lengths that do not hang together.

    Parameters
    ----------
    prompt, decode : Law
        How each is distributed.
    """

    prompt: Law
    decode: Law

    def stream(self, rng: np.random.Generator) -> None:
        """Return None: requests are independent."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        return self.prompt.draw(rng, count).astype(float), self.decode.draw(rng, count)

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        decode, age = self.decode.draw_running(rng, count)
        return self.prompt.draw(rng, count).astype(float), decode, age

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        return self.decode.mean


@dataclasses.dataclass(frozen=True, slots=True)
class TracedLengths:
    """Requests of a trace: drawn with replacement, or replayed in order.

    Parameters
    ----------
    prompts, decodes : array
        Prompt, at least 0, and decode length, at least 1, of each request [tokens].
    in_order : bool
        Whether each attention instance replays the trace, from a random place on and over again.
    """

    prompts: NDArray[Any]
    decodes: Ints
    in_order: bool = False

    def stream(self, rng: np.random.Generator) -> Iterator[tuple[float, int]] | None:
        """Return requests one by one in the order of the trace; None where they are drawn."""
        return self._replay(int(rng.integers(self.decodes.size))) if self.in_order else None

    def _replay(self, at: int) -> Iterator[tuple[float, int]]:
        while True:
            yield float(self.prompts[at]), int(self.decodes[at])
            at = (at + 1) % self.decodes.size

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        chosen = rng.integers(self.decodes.size, size=count)
        return self.prompts[chosen].astype(float), self.decodes[chosen]

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        chosen, age = _met(self.decodes, rng, count)
        return self.prompts[chosen].astype(float), self.decodes[chosen], age

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        return float(self.decodes.mean())


class Worker:
    """The slots of one attention instance: which request each holds, step by step.

    Parameters
    ----------
    lengths : Lengths
        What requests look like.
    batch : int
        Slots of a micro-batch [1].
    microbatches : int
        Micro-batches [1].
    start : str
        `stationary`: each slot is met in the middle of a request; `cold`: each begins one.
    rng : Generator
        Random numbers of this worker.
    """

    def __init__(
        self, lengths: Lengths, *, batch: int, microbatches: int, start: str, rng: np.random.Generator
    ) -> None:
        self.lengths, self.batch, self.microbatches, self.rng = lengths, batch, microbatches, rng
        slots = batch * microbatches
        self._stream = lengths.stream(rng)
        if start == STATIONARY:
            self.prompt, self.decode, age = lengths.draw_running(rng, slots)
        else:
            self.prompt, self.decode = self._next(slots)
            age = np.zeros(slots, dtype=np.int64)
        self.ends = self.decode - age
        """Steps until each slot begins its next request."""
        self.load = (self.prompt + age).reshape(microbatches, batch).sum(axis=1)
        """KV tokens of each micro-batch at the next step."""
        self.completed_tokens = 0
        """Decode lengths of all requests completed, summed."""

    def _next(self, count: int) -> tuple[Floats, Ints]:
        """Return the next requests, in order where order matters."""
        if self._stream is None:
            return self.lengths.draw(self.rng, count)
        prompts, decodes = zip(*(next(self._stream) for _ in range(count)), strict=True)
        return np.array(prompts, dtype=float), np.array(decodes, dtype=np.int64)

    def advance(self, steps: int) -> tuple[Floats, Ints]:
        """Decode some steps.

        Parameters
        ----------
        steps : int
            Steps, each one token in every slot [1].

        Returns
        -------
        loads : array
            KV tokens of each micro-batch at each step [tokens].
        completions : array
            Requests that end with each step [1].
        """
        fall = np.zeros((self.microbatches, steps + 1))
        completions = np.zeros(steps + 1, dtype=np.int64)
        refill = self._refill if self._stream is None else self._refill_in_order
        for slots, at, freed in refill(steps):
            np.add.at(fall, (slots // self.batch, at), freed)
            completions += np.bincount(at, minlength=steps + 1)
        self.ends -= steps
        grown = self.load[:, None] + self.batch * np.arange(steps + 1) - np.cumsum(fall, axis=1)
        self.load = grown[:, -1]
        return grown[:, :-1], completions[1:]

    def _refill(self, steps: int) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Give slots, the steps at which each begins its next request, and by how much its KV tokens fall."""
        slots = np.flatnonzero(self.ends <= steps)
        while slots.size:
            at = self.ends[slots]
            held = self.prompt[slots] + self.decode[slots]
            self.completed_tokens += int(self.decode[slots].sum())
            self.prompt[slots], self.decode[slots] = self._next(slots.size)
            yield slots, at, held - self.prompt[slots]
            self.ends[slots] = at + self.decode[slots]
            slots = slots[self.ends[slots] <= steps]

    def _refill_in_order(self, steps: int) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Give the same where the slot that is free first gets the next request."""
        queue = [(int(self.ends[slot]), int(slot)) for slot in np.flatnonzero(self.ends <= steps)]
        heapq.heapify(queue)
        events = []
        while queue:
            at, slot = heapq.heappop(queue)
            held = self.prompt[slot] + self.decode[slot]
            self.completed_tokens += int(self.decode[slot])
            prompt, decode = next(self._stream)  # type: ignore[arg-type]  # called only where there is one
            self.prompt[slot], self.decode[slot] = prompt, decode
            events.append((slot, at, held - prompt))
            self.ends[slot] = at + decode
            if at + decode <= steps:
                heapq.heappush(queue, (at + decode, slot))
        if events:
            slots, at_steps, freed = zip(*events, strict=True)
            yield np.array(slots), np.array(at_steps), np.array(freed)


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """What happened in one replication, for each ratio, after every so many steps.

    Rows are steps, columns ratios. Times count from the start, for one layer.
    """

    steps: Ints
    """Steps done [1]."""
    time: Floats
    """When the FFN instance was done with the last micro-batch of the step [s]."""
    attention_busy: Floats
    """Time at work of an attention instance until then, averaged over them [s]."""
    completions: Ints
    """Requests completed by then [1]."""
    slowest: Floats
    """Attention time of the slowest instance in the step, averaged over micro-batches [s]."""
    durations: Floats
    """Time between this token and the one before, of each micro-batch: steps, micro-batches, ratios [s]."""


class Clock:
    """When each micro-batch is where: the max-plus recursion, for all ratios at a time.

    An attention instance, its link and the FFN each handle one micro-batch at a time, in order. FFN instances
    that share the experts work as one, and begin a micro-batch when the attention instances of all of them
    have computed and sent theirs. On a shared link the round trip of a micro-batch is one occupation, before
    the FFN; on a full one each way is its own.

    Parameters
    ----------
    ratios : array of int
        Attention instances per FFN instance [1].
    coefficients : Coefficients
        Linear step times of one layer [s].
    batch : int
        Slots of an attention instance and micro-batch [1].
    microbatches : int
        Micro-batches in flight [1].
    duplex : str
        `shared` or `full` links.
    ffn_devices : int
        FFN instances that share the experts [1].
    """

    def __init__(
        self,
        ratios: Ints,
        *,
        coefficients: Coefficients,
        batch: int,
        microbatches: int,
        duplex: str,
        ffn_devices: int = 1,
    ) -> None:
        self.ratios = ratios
        workers = ratios * ffn_devices
        self.microbatches = microbatches
        self.coefficients = coefficients
        self.ffn_time = coefficients.ffn_slope * ratios * batch + coefficients.ffn_fixed
        trip = np.broadcast_to(
            coefficients.transfer_slope * batch + coefficients.transfer_fixed, ratios.shape
        )
        self._of_ratio = np.repeat(np.arange(ratios.size), workers)
        self._both_ways = duplex != "shared"
        self.way_back = trip / 2
        self.way_out = (trip / 2 if self._both_ways else trip)[self._of_ratio]
        self._first = np.concatenate([[0], np.cumsum(workers)[:-1]])
        self._worker = np.arange(workers.sum()) - self._first[self._of_ratio]
        self._attention_free = np.zeros(self._worker.size)
        self._link_free = np.zeros(self._worker.size)
        self._ffn_free = np.zeros(ratios.size)
        self._back_free = np.zeros(ratios.size)
        self._ready = np.zeros((microbatches, ratios.size))

    def run(self, attention: Floats) -> tuple[Floats, Floats]:
        """Take the clock through some steps.

        Parameters
        ----------
        attention : array
            Attention times: steps, micro-batches, workers [s].

        Returns
        -------
        done : array
            When the FFN instance was done: steps, ratios [s].
        returned : array
            When each micro-batch was back: steps, micro-batches, ratios [s].
        """
        steps = attention.shape[0]
        done = np.empty((steps, self.ratios.size))
        returned = np.empty((steps, self.microbatches, self.ratios.size))
        rows = max(1, (1 << 19) // (self.microbatches * self._worker.size))
        for low in range(0, steps, rows):
            times = attention[low : low + rows][:, :, self._worker]
            for step, of_step in enumerate(times, start=low):
                for microbatch, time in enumerate(of_step):
                    self._advance(microbatch, time)
                    returned[step, microbatch] = self._ready[microbatch]
                done[step] = self._ffn_free
        return done, returned

    def _advance(self, microbatch: int, time: Floats) -> None:
        """Take one micro-batch around once."""
        free, link, ffn = self._attention_free, self._link_free, self._ffn_free
        np.maximum(free, self._ready[microbatch].take(self._of_ratio), out=free)
        free += time
        np.maximum(link, free, out=link)
        link += self.way_out
        np.maximum(ffn, np.maximum.reduceat(link, self._first), out=ffn)
        ffn += self.ffn_time
        if self._both_ways:
            np.maximum(self._back_free, ffn, out=self._back_free)
            self._back_free += self.way_back
            self._ready[microbatch] = self._back_free
        else:
            self._ready[microbatch] = ffn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation:
    """What is simulated; checked when made.

    Parameters
    ----------
    lengths : Lengths
        What requests look like.
    coefficients : Coefficients
        Linear step times of one layer [s].
    batch : int
        Slots of an attention instance and micro-batch [1].
    ratios : sequence of int
        Attention instances per FFN instance, each its own row [1].
    microbatches : int
        Micro-batches in flight [1].
    requests : int
        Requests completed per attention instance [1].
    replications : int
        Independent repetitions that the confidence intervals rest on [1].
    seed : int
        Seed of all random numbers [1].
    start : str
        `stationary`: slots are met in the middle of requests; `cold`: all begin one at once.
    window : str
        What counts: `first-80`, from the start until 80 % of the requests are completed; `steady`, after the
        first 20 %.
    duplex : str
        Whether the ways there and back of a micro-batch occupy the link one after the other (`shared`) or
        each its own direction (`full`).
    layers : int
        Layers of the model; all have the times of the one that is simulated [1].
    accept_length : float
        Mean tokens accepted per step [1].
    outside : float
        Time of a step outside its layers [s].
    tpot : float
        Mean time per output token allowed [s].
    operators : Operators, optional
        Where FFN and transfer times of each ratio come from as they are, not as straight lines.
    ffn_devices : int
        FFN instances that share the experts, n_F: r*n_F attention instances wait for each other [1].

    Raises
    ------
    InputError
        If a value is out of bounds, or the simulation would take too long or too much memory.
    """

    lengths: Lengths
    coefficients: Coefficients
    batch: int
    ratios: Sequence[int] = DEFAULT_RATIOS
    microbatches: int = DEFAULT_MICROBATCHES
    requests: int = DEFAULT_REQUESTS
    replications: int = DEFAULT_REPLICATIONS
    seed: int = 0
    start: str = STATIONARY
    window: str = FIRST
    duplex: str = "full"
    layers: int = 1
    accept_length: float = 1.0
    outside: float = 0.0
    tpot: float = math.inf
    operators: Operators | None = None
    ffn_devices: int = 1

    def __post_init__(self) -> None:
        whole("--batch", self.batch, most=MAX_BATCH)
        if len(self.ratios) == 0:
            raise InputError("--r is empty; give at least one ratio, as in 1:32")
        for ratio in self.ratios:
            whole("--r", ratio, most=MAX_RATIO)
        if len(set(self.ratios)) < len(self.ratios):
            raise InputError("--r names a ratio twice")
        whole("--microbatches", self.microbatches, most=MAX_MICROBATCHES)
        whole("--requests", self.requests, most=MAX_REQUESTS)
        whole("--replications", self.replications, most=MAX_REPLICATIONS)
        whole("--layers", self.layers, most=MAX_LAYERS)
        if not finite("--seed", self.seed, least=0).is_integer():
            raise InputError(f"--seed {self.seed:g} must be a whole number from 0")
        choice("--start", self.start, STARTS)
        choice("--window", self.window, WINDOWS)
        choice("--duplex", self.duplex, DUPLEXES)
        finite("--accept-length", self.accept_length, least=1, below=1e3)
        whole("--ffn-devices", self.ffn_devices)
        self._check_size()

    def _check_size(self) -> None:
        """Refuse what would take too long or too much memory."""
        slots = max(self.ratios) * self.ffn_devices * self.batch * self.microbatches
        if slots > MAX_SLOTS:
            raise InputError(
                f"--r {max(self.ratios)}"
                + (f" with {self.ffn_devices} FFN devices" if self.ffn_devices > 1 else "")
                + f", --batch {self.batch} and --microbatches {self.microbatches} make "
                f"{slots:,} slots; at most {MAX_SLOTS:,} are simulated"
            )
        cost = self.expected_steps * self.microbatches
        cost *= SECONDS_PER_STEP + SECONDS_PER_WORKER * sum(self.ratios) * self.ffn_devices
        cost += SECONDS_PER_REQUEST * self.requests * max(self.ratios) * self.ffn_devices
        if cost * self.replications > MAX_SECONDS:
            raise InputError(
                f"this would take some {cost * self.replications / 60:,.0f} minutes; at most "
                f"{MAX_SECONDS / 60:.0f} are allowed: fewer --requests, --replications or ratios take less"
            )

    def clock(self, ratios: NDArray[Any]) -> Coefficients:
        """Return the coefficients of some ratios."""
        if self.operators is None:
            return self.coefficients
        return self.operators.at(ratios, self.coefficients)

    @property
    def workers(self) -> Ints:
        """Attention instances that wait for each other, of each ratio [1]."""
        counts: Ints = barrier.barrier_workers(
            ratio=np.array(self.ratios), ffn_devices=self.ffn_devices
        ).astype(np.int64)
        return counts

    @property
    def expected_steps(self) -> float:
        """Steps until the requests are completed, on average [1]."""
        return self.requests * self.lengths.mean_decode / (self.batch * self.microbatches)

    @property
    def stretch(self) -> int:
        """Steps that instances decode at a time, a power of two; ratios must not change it [1]."""
        return max(1, BLOCK >> (self.microbatches - 1).bit_length())

    @property
    def block(self) -> int:
        """Steps that are timed at a time, a power of two that divides the stretch [1]."""
        short = self.stretch >> (self.ffn_devices - 1).bit_length()
        return max(min(self.stretch, SHORTEST_BLOCK), short)

    @property
    def stride(self) -> int:
        """Steps of which one is kept, a power of two [1]."""
        kept = self.expected_steps * len(self.ratios) * (self.microbatches + 4)
        return min(self.block, 1 << max(0, math.ceil(math.log2(max(kept / MOST_KEPT, 1.0)))))


def replicate(
    simulation: Simulation, number: int, *, advanced: Callable[[float], None] = lambda _share: None
) -> Course:
    """Simulate all ratios once, until each has completed its requests.

    Workers are the same for all ratios, so that ratios are compared under the same requests, and a ratio's
    result does not depend on which others are asked for.

    Parameters
    ----------
    simulation : Simulation
        What is simulated.
    number : int
        Which replication; each has its own random numbers [1].
    advanced : callable, optional
        Told now and then which share is done [1].

    Returns
    -------
    Course
        What happened, until at least the last of the requests.
    """
    ratios, sharing = np.array(simulation.ratios, dtype=np.int64), simulation.workers
    coefficients, microbatches = simulation.clock(ratios), simulation.microbatches
    workers = [
        Worker(
            simulation.lengths,
            batch=simulation.batch,
            microbatches=microbatches,
            start=simulation.start,
            rng=np.random.default_rng([simulation.seed, number, worker]),
        )
        for worker in range(int(sharing.max()))
    ]
    clock = Clock(
        ratios,
        coefficients=coefficients,
        batch=simulation.batch,
        microbatches=microbatches,
        duplex=simulation.duplex,
        ffn_devices=simulation.ffn_devices,
    )
    stride, wanted = simulation.stride, simulation.requests * sharing
    parts: list[tuple[NDArray[Any], ...]] = []
    busy, completed = np.zeros(ratios.size), np.zeros(ratios.size, dtype=np.int64)
    back = np.zeros((microbatches, ratios.size))
    while (completed < wanted).any():
        loads, ended = map(
            np.stack, zip(*(worker.advance(simulation.stretch) for worker in workers), strict=True)
        )
        for start in range(0, simulation.stretch, simulation.block):
            steps = slice(start, start + simulation.block)
            attention = coefficients.attention_slope * loads[:, :, steps] + coefficients.attention_fixed
            attention = attention.transpose(2, 1, 0)
            done, returned = clock.run(attention)
            work = np.cumsum(attention.sum(axis=1), axis=1)[:, sharing - 1] / sharing
            at_work = busy + np.cumsum(work, axis=0)
            finished = np.cumsum(ended[:, steps].T, axis=1)[:, sharing - 1]
            finished = completed + np.cumsum(finished, axis=0)
            slowest = np.maximum.accumulate(attention, axis=2).mean(axis=1)[:, sharing - 1]
            durations = np.diff(returned, axis=0, prepend=back[None])
            kept = (done, at_work, finished, slowest, durations)
            parts.append(tuple(part[stride - 1 :: stride].copy() for part in kept))
            busy, completed, back = at_work[-1], finished[-1], returned[-1]
            advanced(min(1.0, float(np.min(completed / wanted))))
            if (completed >= wanted).all():
                break
    time, at_work, finished, slowest, durations = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Course(
        steps=stride * np.arange(1, len(time) + 1),
        time=time,
        attention_busy=at_work,
        completions=finished,
        slowest=slowest,
        durations=durations,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a window of the replications shows: replications down, ratios across."""

    throughput: Floats
    """Tokens per second and instance, attention and FFN instances counted alike [tokens/s]."""
    attention_idle: Floats
    """Share of the layers' time in which an attention instance is idle, averaged over them [1]."""
    ffn_idle: Floats
    """The same of the FFN instance [1]."""
    tpot: Floats
    """Mean time per output token [s]."""
    tpot_p50: Floats
    """Median of it over tokens [s]."""
    tpot_p95: Floats
    """95th percentile of it over tokens [s]."""


def window_of(simulation: Simulation, course: Course) -> tuple[Ints, Ints]:
    """Return the first and the last row of a course that count, for each ratio; -1 is the start.

    Parameters
    ----------
    simulation : Simulation
        What is simulated.
    course : Course
        What happened.

    Returns
    -------
    first, last : array of int
        What happened after the first row, until the last, counts.
    """
    wanted = simulation.requests * simulation.workers
    if simulation.window == FIRST:
        return np.full(wanted.size, -1), _reached(course, FIRST_SHARE * wanted)
    first = np.minimum(_reached(course, WARM_UP_SHARE * wanted), len(course.time) - 2)
    return first, np.maximum(_reached(course, wanted), first + 1)


def _reached(course: Course, completions: NDArray[Any]) -> Ints:
    """Return the first row with as many completions of each ratio."""
    found: Ints = np.argmax(course.completions >= completions, axis=0)
    return found


def measure(simulation: Simulation, course: Course) -> Measured:
    """Return what the window of one replication shows.

    Parameters
    ----------
    simulation : Simulation
        What is simulated.
    course : Course
        What happened.

    Returns
    -------
    Measured
        One row.
    """
    ratios = np.array(simulation.ratios)
    first, last = window_of(simulation, course)
    across = np.arange(ratios.size)

    def during(values: NDArray[Any]) -> Floats:
        return values[last, across] - np.where(first < 0, 0, values[first, across])

    elapsed = during(course.time)
    steps = during(np.broadcast_to(course.steps[:, None], course.time.shape))
    tokens = steps * simulation.batch * simulation.microbatches * ratios * simulation.accept_length
    clock = simulation.clock(ratios)
    ffn_busy = (
        steps * simulation.microbatches * (clock.ffn_slope * ratios * simulation.batch + clock.ffn_fixed)
    )
    whole_time = elapsed * simulation.layers + steps * simulation.outside
    durations = [course.durations[first[at] + 1 : last[at] + 1, :, at] for at in across]
    tpot = np.array([[part.mean(), *np.quantile(part, (0.5, 0.95))] for part in durations])
    tpot = (tpot * simulation.layers + simulation.outside) / simulation.accept_length
    return Measured(
        throughput=(tokens / (whole_time * (ratios + 1)))[None],
        attention_idle=(1 - during(course.attention_busy) / elapsed)[None],
        ffn_idle=(1 - ffn_busy / elapsed)[None],
        tpot=tpot[None, :, 0],
        tpot_p50=tpot[None, :, 1],
        tpot_p95=tpot[None, :, 2],
    )


def run(
    simulation: Simulation, *, advanced: Callable[[float], None] = lambda _share: None
) -> tuple[Measured, Course]:
    """Simulate all replications.

    Parameters
    ----------
    simulation : Simulation
        What is simulated.
    advanced : callable, optional
        Told now and then which share is done [1].

    Returns
    -------
    measured : Measured
        A row per replication.
    course : Course
        The course of the first one.
    """
    count = simulation.replications
    found: list[Measured] = []
    courses: list[Course] = []
    for number in range(count):

        def told(share: float, before: int = number) -> None:
            advanced((before + share) / count)

        course = replicate(simulation, number, advanced=told)
        found.append(measure(simulation, course))
        courses = courses or [course]
    keys = [field.name for field in dataclasses.fields(Measured)]
    return Measured(**{key: np.concatenate([getattr(part, key) for part in found]) for key in keys}), courses[
        0
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question put into SI: what is simulated, and what the answer says of where it comes from."""

    simulation: Simulation
    workload: Workload
    inputs: dict[str, Any]
    notes: tuple[str, ...]


def lengths_of(workload: Workload, *, in_order: bool = False) -> Lengths:
    """Return what requests of a workload look like.

    Parameters
    ----------
    workload : Workload
        A trace, or a distribution of each length.
    in_order : bool
        Whether a trace is replayed in its order.

    Returns
    -------
    Lengths
        How they are drawn.
    """
    trace = workload.trace
    if trace is not None:
        return TracedLengths(trace.prompt_tokens, trace.decode_tokens, in_order)
    laws = (
        law(
            distribution=workload.inputs[f"{which}_distribution"],
            mean=workload.inputs[f"{which}_mean"],
            variation=workload.inputs[f"{which}_cv"],
        )
        for which in ("prompt", "decode")
    )
    return IndependentLengths(*laws)


def prepare(
    *,
    scenario: Scenario | None = None,
    coefficients: object = None,
    trace: Trace | Path | str | None = None,
    prompt_column: str | None = None,
    decode_column: str | None = None,
    prompt_mean: float | None = None,
    prompt_distribution: str | None = None,
    prompt_cv: float | None = None,
    decode_mean: float | None = None,
    decode_distribution: str | None = None,
    decode_cv: float | None = None,
    batch: int | None = None,
    horizon: float | None = None,
    layers: int | None = None,
    accept_length: float | None = None,
    microbatches: int | None = None,
    duplex: str | None = None,
    gap_ms: float | None = None,
    tpot_ms: float | None = None,
    deployable_with: str | None = None,
    r: Sequence[int] | None = None,
    requests: int | None = None,
    replications: int | None = None,
    seed: int | None = None,
    start: str | None = None,
    window: str | None = None,
    replay: str | None = None,
) -> Prepared:
    """Check a question, and put it into SI; parameters are those of `simulate`.

    Returns
    -------
    Prepared
        What is simulated.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory or devices of a scenario leave no ratio.
    """
    workload = workload_of(
        trace=trace,
        prompt_column=prompt_column,
        decode_column=decode_column,
        prompt_mean=prompt_mean,
        prompt_distribution=prompt_distribution,
        prompt_cv=prompt_cv,
        decode_mean=decode_mean,
        decode_distribution=decode_distribution,
        decode_cv=decode_cv,
    )
    own: dict[str, Any] = {
        "layers": layers,
        "accept_length": accept_length,
        "microbatches": microbatches,
        "duplex": duplex,
        "gap_ms": gap_ms,
        "tpot_ms": tpot_ms,
        "deployable_with": deployable_with,
    }
    check_sources(scenario, coefficients, own)
    held = own if scenario is None else {name: getattr(scenario, name, None) for name in own}
    notes = list(workload.notes)
    if horizon is not None:
        if requests is not None or start == STATIONARY:
            what = "--requests" if requests is not None else "--start stationary"
            raise InputError(
                f"--horizon and {what} exclude each other: it is short for --start cold --requests"
            )
        requests, start = whole("--horizon", horizon, most=MAX_REQUESTS), COLD
    if replay is not None and workload.trace is None:
        raise InputError("--replay belongs to --trace, which is missing")
    in_order = choice("--replay", replay or SHUFFLED, REPLAYS) == IN_ORDER
    slots = whole("--batch", DEFAULT_BATCH if batch is None else batch, most=MAX_BATCH)
    if batch is None:
        notes.append(f"--batch is taken as {slots}: slots of one micro-batch on an attention instance")
    in_flight = microbatches_of(held["microbatches"], held["deployable_with"], notes)
    links = choice("--duplex", held["duplex"] or "full", DUPLEXES)
    full = links == "full"
    source = (
        given_source(coefficients, own, notes)
        if scenario is None
        else fitted_source(
            scenario, load=workload.load, batch=slots, microbatches=in_flight, full_duplex=full
        )
    )
    limit = held["tpot_ms"]
    simulation = Simulation(
        lengths=lengths_of(workload, in_order=in_order),
        coefficients=source.coefficients,
        batch=slots,
        ratios=_ratios(r, source.operators),
        microbatches=in_flight,
        requests=_requests(source.sharing, slots * in_flight, notes) if requests is None else requests,
        replications=DEFAULT_REPLICATIONS if replications is None else replications,
        seed=0 if seed is None else seed,
        start=start or STATIONARY,
        window=window or FIRST,
        duplex=links,
        layers=source.layers,
        accept_length=held["accept_length"] or 1.0,
        outside=source.gap + in_flight * source.head,
        tpot=math.inf if limit is None else finite("--tpot-ms", limit, above=0, below=1e9) * 1e-3,
        operators=source.operators,
        ffn_devices=source.sharing,
    )
    lengths = dict(workload.inputs)
    if workload.trace is not None:
        lengths["trace_requests"] = lengths.pop("requests")
        lengths["replay"] = IN_ORDER if in_order else SHUFFLED
    return Prepared(
        simulation=simulation,
        workload=workload,
        inputs={
            **source.inputs,
            **lengths,
            **_inputs(simulation),
            "tpot_ms": limit,
            "deployable_with": held["deployable_with"],
        },
        notes=(*notes, *source.notes),
    )


def _requests(sharing: int, slots: int, notes: list[str]) -> int:
    """Return requests per attention instance: in all about as many however many FFN instances share."""
    if sharing == 1:
        return DEFAULT_REQUESTS
    count = min(DEFAULT_REQUESTS, max(DEFAULT_REQUESTS // sharing, FEW_TURNS * slots, FEWEST_REQUESTS))
    notes.append(
        f"--requests is taken as {count:,} per attention device, of which there are {sharing} x r: "
        f"{DEFAULT_REQUESTS:,} over {sharing}, but at least {FEWEST_REQUESTS} and {FEW_TURNS} a slot"
    )
    return count


def _ratios(given: Sequence[int] | None, operators: Operators | None) -> tuple[int, ...]:
    """Return the ratios to simulate, which devices and fabric of a system must allow."""
    ratios = DEFAULT_RATIOS if given is None else tuple(given)
    if operators is None:
        return ratios
    most = math.floor(operators.most_ratio * (1 + 1e-12))
    if most < 1:
        raise InfeasibleError(
            f"no: binding is ratio granularity: {operators.ffn_devices} FFN devices leave fewer attention "
            "devices; a simulation needs at least as many: more --max-devices or fewer --ffn-devices"
        )
    if given is None:
        return tuple(ratio for ratio in ratios if ratio <= most)
    beyond = [ratio for ratio in ratios if isinstance(ratio, int) and ratio > most]
    if beyond:
        raise InfeasibleError(
            f"no: binding is --max-devices or the fabric: --r {beyond[0]} with {operators.ffn_devices} FFN "
            f"devices needs {(beyond[0] + 1) * operators.ffn_devices:,} devices in all; nearest: --r {most}"
        )
    return ratios


def simulate(
    *,
    r: Sequence[int] | None = None,
    requests: int | None = None,
    replications: int | None = None,
    seed: int | None = None,
    start: str | None = None,
    window: str | None = None,
    replay: str | None = None,
    advanced: Callable[[float], None] = lambda _share: None,
    **question: Any,  # noqa: ANN401 - whatever `prepare` takes
) -> Answer:
    """Answer which ratio of attention to FFN instances serves most, by simulation.

    Lengths of requests and times of instances are given as to `provision`; a `horizon` is short for a cold
    start with as many requests.

    Parameters
    ----------
    r : sequence of int, optional
        Attention instances per FFN instance, a row each; 1 to 32 where absent, as far as devices allow [1].
    requests : int, optional
        Requests completed per attention instance; where absent 10,000, of a scenario those over its FFN
        devices, but at least 500 and five per slot [1].
    replications : int, optional
        Independent repetitions that the confidence intervals rest on; 5 where absent [1].
    seed : int, optional
        Seed of all random numbers; 0 where absent [1].
    start : str, optional
        `stationary`, where absent: slots are met in the middle of requests; `cold`: all begin one at once.
    window : str, optional
        What counts: `first-80`, where absent, from the start until 80 % of the requests are completed;
        `steady`, after the first 20 %.
    replay : str, optional
        Requests of a trace drawn with replacement (`shuffled`, where absent), or `in-order`.
    advanced : callable, optional
        Told now and then which share is done [1].

    Returns
    -------
    Answer
        A row per ratio.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    prepared = prepare(
        r=r,
        requests=requests,
        replications=replications,
        seed=seed,
        start=start,
        window=window,
        replay=replay,
        **question,
    )
    measured, _ = run(prepared.simulation, advanced=advanced)
    return answer(prepared, measured)


def load_of(prepared: Prepared) -> Load:
    """Return the load of a slot that the closed form takes: while the window lasts, from a cold start.

    Parameters
    ----------
    prepared : Prepared
        What was asked.

    Returns
    -------
    Load
        Mean, deviation and skewness of the cached tokens of a slot.
    """
    simulation, load = prepared.simulation, prepared.workload.load
    if simulation.start != COLD or simulation.window != FIRST:
        return load
    theta = prepared.workload.starting(
        batch=simulation.batch * simulation.microbatches, requests=FIRST_SHARE * simulation.requests
    )
    return load._replace(theta=theta)


def predicted(simulation: Simulation, load: Load, *, ratios: Floats | None = None) -> tuple[Floats, Floats]:
    """Return what the closed form says of each ratio: throughput per instance, and time per token.

    Parameters
    ----------
    simulation : Simulation
        What is simulated.
    load : Load
        Of a slot.
    ratios : array, optional
        Ratios, where others than those simulated [1].

    Returns
    -------
    throughput : array
        With a barrier and micro-batches in flight [tokens/s].
    tpot : array
        Mean time per output token [s].
    """
    ratios = np.array(simulation.ratios, dtype=float) if ratios is None else ratios
    cycle = barrier.barrier_cycle_time(
        ratio=ratios,
        batch=simulation.batch,
        theta=load.theta,
        nu=load.nu,
        skewness=load.skewness,
        coefficients=simulation.clock(ratios),
        microbatches=simulation.microbatches,
        full_duplex=simulation.duplex == "full",
        ffn_devices=simulation.ffn_devices,
    )
    cycle = cycle + simulation.outside / (simulation.layers * simulation.microbatches)
    share = {"cycle": cycle, "layers": simulation.layers, "accept_length": simulation.accept_length}
    rate = linear.throughput_per_instance(ratio=ratios, batch=simulation.batch, **share)
    return rate, linear.time_per_token(microbatches=simulation.microbatches, **share)


def answer(prepared: Prepared, measured: Measured) -> Answer:
    """Return the answer that measured replications give.

    Parameters
    ----------
    prepared : Prepared
        What was asked.
    measured : Measured
        A row per replication.

    Returns
    -------
    Answer
        A row per ratio; half widths are those of 95 % confidence intervals, None of a single replication.

    Raises
    ------
    InfeasibleError
        If no ratio meets the latency target.
    """
    simulation = prepared.simulation
    rates = measured.throughput
    columns: dict[str, NDArray[Any]] = {
        "r": np.array(simulation.ratios, dtype=np.int64),
        "throughput_per_instance": rates.mean(axis=0),
        "throughput_half_width": _half_width(rates),
        "throughput_predicted": predicted(simulation, load_of(prepared))[0],
        "attention_idle": np.maximum(measured.attention_idle.mean(axis=0), 0.0),
        "attention_idle_half_width": _half_width(measured.attention_idle),
        "ffn_idle": np.maximum(measured.ffn_idle.mean(axis=0), 0.0),
        "ffn_idle_half_width": _half_width(measured.ffn_idle),
        "tpot": measured.tpot.mean(axis=0) * 1e3,
        "tpot_p50": measured.tpot_p50.mean(axis=0) * 1e3,
        "tpot_p95": measured.tpot_p95.mean(axis=0) * 1e3,
    }
    summary = _summary(simulation, columns, rates)
    return Answer(
        command="simulate",
        inputs=prepared.inputs,
        columns=columns,
        summary=summary,
        notes=[*prepared.notes, *_notes(simulation, summary)],
        table_keys=TABLE_KEYS,
    )


def _half_width(values: Floats) -> NDArray[Any]:
    """Return half the width of the 95 % confidence interval of means over rows; None of one row."""
    count, across = values.shape
    if count == 1:
        return np.full(across, None)
    quantile = QUANTILES_95[count - 2] if count - 2 < len(QUANTILES_95) else QUANTILE_NORMAL
    return np.asarray(quantile * values.std(axis=0, ddof=1) / math.sqrt(count))


def _inputs(simulation: Simulation) -> dict[str, Any]:
    """Return the inputs of an answer."""
    kept = (
        *("batch", "microbatches", "requests", "replications", "seed", "start", "window", "duplex"),
        *("layers", "accept_length"),
    )
    return {
        "coefficients_us": [float(np.asarray(value)) * 1e6 for value in simulation.coefficients],
        "r": list(simulation.ratios),
        **{key: getattr(simulation, key) for key in kept},
    }


def _summary(simulation: Simulation, columns: Mapping[str, NDArray[Any]], rates: Floats) -> dict[str, Any]:
    """Return the best ratio, which others are as good, and the answer in a sentence."""
    ratios = columns["r"]
    allowed = columns["tpot"] <= simulation.tpot * 1e3
    if not allowed.any():
        least = int(np.argmin(columns["tpot"]))
        raise InfeasibleError(
            f"no: binding is the latency target: {ratios[least]} attention instances per FFN instance take "
            f"{columns['tpot'][least]:.4g} ms per token, --tpot-ms {simulation.tpot * 1e3:g} allows less"
        )
    best = int(np.argmax(np.where(allowed, rates.mean(axis=0), -np.inf)))
    losses = 1 - rates[:, allowed] / rates[:, [best]]
    close = ratios[allowed][losses.mean(axis=0) <= NEGLIGIBLE].tolist()
    unsure = None
    if simulation.replications > 1:
        unsure = ratios[allowed][losses.mean(axis=0) <= _half_width(losses)].tolist()
    row = {key: values[best] for key, values in columns.items()}
    spread = row["throughput_half_width"]
    rate = row["throughput_per_instance"]
    found = {
        "best_r": int(ratios[best]),
        "throughput_per_instance": float(rate),
        "throughput_half_width": None if spread is None else float(spread),
        "attention_idle": float(row["attention_idle"]),
        "ffn_idle": float(row["ffn_idle"]),
        "tpot": float(row["tpot"]),
        "tpot_p95": float(row["tpot_p95"]),
        "predicted_best_r": int(ratios[allowed][np.argmax(columns["throughput_predicted"][allowed])]),
        "prediction_error": float(row["throughput_predicted"] / rate - 1),
        "as_good_r": close,
        "indistinguishable_r": unsure,
        "idle_crossing": _crossing(columns),
    }
    within = "" if spread is None else f" (95% interval +-{spread / rate:.2%})"
    others = [ratio for ratio in close if ratio != found["best_r"]]
    alike = f"; {_listed(others)} within {NEGLIGIBLE:.1%} of it" if others else ""
    sentence = (
        f"{found['best_r']} attention instance{'s' if found['best_r'] > 1 else ''} per FFN instance serve"
        f"{'' if found['best_r'] > 1 else 's'} most: {rate:,.0f} tokens/s and instance{within}, "
        f"{found['tpot']:.4g} ms per token, attention idle {found['attention_idle']:.1%} and FFN "
        f"{found['ffn_idle']:.1%} of the time{alike}."
    )
    return {**found, "answer": sentence}


def _listed(ratios: Sequence[int]) -> str:
    names = [str(ratio) for ratio in ratios]
    return names[0] + " is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def _crossing(columns: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the ratio at which attention and FFN are idle alike, between rows; None outside of them."""
    order = np.argsort(columns["r"])
    ratios = columns["r"][order]
    lead = (columns["attention_idle"] - columns["ffn_idle"])[order]
    at = np.flatnonzero((lead[:-1] < 0) & (lead[1:] >= 0))
    if at.size == 0:
        return None
    low = int(at[0])
    share = lead[low] / (lead[low] - lead[low + 1])
    return float(ratios[low] + share * (ratios[low + 1] - ratios[low]))


def _notes(simulation: Simulation, summary: Mapping[str, Any]) -> list[str]:
    """Say what the answer rests on."""
    sharing = simulation.ffn_devices
    slowest = "attention instance" if sharing == 1 else f"of all {sharing} x r attention devices"
    notes = [
        (
            f"{simulation.batch:,} slots per attention instance and micro-batch, {simulation.microbatches} "
            f"micro-batch{'es' if simulation.microbatches > 1 else ''} in flight; a request that ends is "
            f"replaced at once, and every layer waits for the slowest {slowest}; all layers take the "
            "times of the one that is simulated"
        )
    ]
    best, ratios = summary["best_r"], simulation.ratios
    if best == max(ratios) and len(ratios) > 1:
        notes.append(f"{best} is the largest ratio asked for: a larger --r may serve more")
    if best == min(ratios) and best > 1 and len(ratios) > 1:
        notes.append(f"{best} is the smallest ratio asked for: a smaller --r may serve more")
    if simulation.start == COLD and simulation.window == FIRST:
        notes.append(
            "slots start together, with short contexts: throughput_predicted takes their mean in the window, "
            "and the deviation of the stationary state"
        )
    if simulation.outside:
        notes.append("idle shares are those of the time in the layers; tokens/s and time per token hold all")
    unsure = [ratio for ratio in summary["indistinguishable_r"] or () if ratio != best]
    if unsure:
        notes.append(
            f"{_listed(unsure)} not told apart from {best} by these replications: more --requests or "
            "--replications would"
        )
    if simulation.replications == 1:
        notes.append("one replication gives no confidence interval: --replications 2 or more do")
    slots = simulation.batch * simulation.microbatches
    if simulation.requests < FEW_TURNS * slots:
        notes.append(
            f"{simulation.requests:,} requests are only {simulation.requests / slots:.3g} for each of an "
            f"attention instance's {slots:,} slots: the start still shows"
        )
    return notes


def series(simulation: Simulation, course: Course) -> dict[str, NDArray[Any]]:
    """Return how one replication went over time, as columns.

    Parameters
    ----------
    simulation : Simulation
        What was simulated.
    course : Course
        What happened.

    Returns
    -------
    dict of str to array
        A row per ratio and interval of some steps, of equal lengths: when it ended, and throughput, idle
        shares, the slowest attention time and completions within it.
    """
    every = math.ceil(len(course.time) / SERIES_POINTS)
    rows = np.arange(every - 1, len(course.time), every)
    steps = np.diff(course.steps[rows], prepend=0)[:, None]
    ratios = np.array(simulation.ratios)[None]
    shape = (rows.size, ratios.size)
    elapsed = np.diff(course.time[rows], axis=0, prepend=0)
    clock = simulation.clock(ratios[0])
    work = steps * simulation.microbatches
    ffn_busy = work * (clock.ffn_slope * ratios * simulation.batch + clock.ffn_fixed)
    tokens = work * simulation.batch * ratios * simulation.accept_length
    whole_time = elapsed * simulation.layers + steps * simulation.outside
    columns = {
        "r": np.broadcast_to(ratios, shape),
        "step": np.broadcast_to(course.steps[rows][:, None], shape),
        "time_s": course.time[rows] * simulation.layers + course.steps[rows][:, None] * simulation.outside,
        "throughput_per_instance": tokens / (whole_time * (ratios + 1)),
        "attention_idle": 1 - np.diff(course.attention_busy[rows], axis=0, prepend=0) / elapsed,
        "ffn_idle": 1 - ffn_busy / elapsed,
        "slowest_attention_us": course.slowest[rows] * 1e6,
        "completions": np.diff(course.completions[rows], axis=0, prepend=0),
    }
    return {key: values.T.ravel() for key, values in columns.items()}
