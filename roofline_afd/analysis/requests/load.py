"""A service under load: requests that come as they do, followed through a deployment, and what they see."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.requests.questions import ARRIVALS
from roofline_afd.errors import InputError
from roofline_afd.serving.modes.profiles import Profile, loading_time, profiles_of, transfer_time
from roofline_afd.simulation.service import Pool, Requests, Served, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.serving.modes.question import Question
    from roofline_afd.serving.workload import Workload

POISSON, BURSTY, EVEN = ARRIVALS
BURST_DEVIATION = 3.0
"""Standard deviation over mean of times between bursty arrivals, of a hyperexponential law [1]."""
WARMED_UP = 0.2
"""Share of the time, the first, in which requests do not count."""
FILLING, LEAVING = 2.0, 1.0
"""Stays of a request until a service is as full as it will be, and before the end, in which none counts."""
HORIZON = 5.0
"""The same that requests are followed for, where nothing else is asked for."""
FEWEST, MOST = 4_000, 150_000
"""Requests that are followed, at least and at most."""
BATCHES = 20
"""Stretches of requests that intervals of percentiles rest on."""
STUDENT = 2.093
"""Of 19 degrees of freedom, 95 % (Abramowitz, Stegun, table 26.10)."""
WAITING_PLACES = 1_000_000
"""Places of a replica that prefills: prompts wait for its groups in turn, nothing of them is in memory."""


@dataclasses.dataclass(frozen=True)
class Arrivals:
    """Requests that come at random: how many a second, how many, and how.

    Parameters
    ----------
    rate : float
        Mean requests a second [1/s].
    requests : int
        How many are followed [1].
    kind : str
        `poisson`, `bursty` or `even`.
    variation : float
        Standard deviation over mean of input tokens, log-normal [1].
    output_variation : float
        The same of output tokens [1].
    day : sequence of float, optional
        Requests of each equal part of a day, over their mean [1].
    seed : int
        Seed of all random numbers [1].
    """

    rate: float
    requests: int
    kind: str = POISSON
    variation: float = 0.0
    output_variation: float = 0.0
    day: tuple[float, ...] | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Service:
    """A deployment as requests meet it."""

    profiles: tuple[Profile, ...]
    """Of one pool, or of that which prefills and that which decodes."""
    workload: Workload
    accepted: float
    """Tokens accepted of a step [1]."""
    moving: float = 0.0
    """Time for the cache of a prompt to move between pools [s]."""
    loading: float = 0.0
    """Time for cached tokens to be read back before a prompt is computed [s]."""


def service_of(question: Question, mode: str, point: Mapping[str, float]) -> Service:
    """Return a deployment of a serving mode as requests meet it.

    Parameters
    ----------
    question : Question
        What was asked.
    mode : str
        The serving mode.
    point : mapping of str to float
        A point of `explore_modes`, or of `cheapest_fleets`.
    """
    return Service(
        profiles_of(question, mode, point),
        question.workload,
        question.scenario.accept_length,
        transfer_time(question, mode, point),
        loading_time(question, mode, point),
    )


@dataclasses.dataclass(frozen=True)
class Load:
    """A deployment, and the requests that come to it."""

    service: Service
    arrivals: Arrivals
    given: Requests | None = None
    """Requests themselves, as those of a trace, instead of drawn ones."""


class Followed:
    """What requests saw: times to the first token, per output token, and to the end."""

    def __init__(self, served: Served, profiles: tuple[Profile, ...]) -> None:
        requests = served.requests
        self.served = served
        self.profiles = profiles
        end = float(requests.arrival[-1])
        stay = float(np.mean(served.finish - requests.arrival))
        self.begun, self.ended = max(WARMED_UP * end, FILLING * stay), end - LEAVING * stay
        self.steady = self.ended - self.begun > stay
        """Whether requests came for long enough that what they saw no longer depends on the start."""
        if not self.steady:
            self.begun, self.ended = WARMED_UP * end, end
        rows = np.flatnonzero((requests.arrival >= self.begun) & (requests.arrival <= self.ended))
        self.ttft = (served.first - requests.arrival)[rows]
        gaps = np.maximum(requests.output - 1.0, 1.0)
        self.tpot = ((served.finish - served.first) / gaps)[rows]
        self.whole = (served.finish - requests.arrival)[rows]
        self.output = requests.output[rows]

    def ttft_ms(self, share: float) -> tuple[float, float]:
        """Return the time to the first token that a share of requests keep, and its half width [ms]."""
        return _percentile(self.ttft * 1e3, share)

    def tpot_ms(self, share: float) -> tuple[float, float]:
        """Return the same of the time per output token [ms]."""
        several = self.output > 1
        return _percentile(self.tpot[several] * 1e3, share) if np.any(several) else (0.0, 0.0)

    def whole_ms(self, share: float) -> tuple[float, float]:
        """Return the same of the time from a request to the end of its answer [ms]."""
        return _percentile(self.whole * 1e3, share)

    def within(self, ttft_ms: float, tpot_ms: float) -> float:
        """Return the share of requests that keep both limits [1]."""
        return float(np.mean((self.ttft * 1e3 <= ttft_ms) & (self.tpot * 1e3 <= tpot_ms)))

    def requests_per_s(self) -> float:
        """Return the requests answered a second while requests count [1/s]."""
        done = (self.served.finish >= self.begun) & (self.served.finish < self.ended)
        return float(np.sum(done) / max(self.ended - self.begun, 1e-12))

    def in_flight(self) -> float:
        """Return the mean requests between arrival and end, over the same time [1]."""
        arrival, finish = self.served.requests.arrival, self.served.finish
        stay = np.minimum(finish, self.ended) - np.maximum(arrival, self.begun)
        return float(np.sum(np.maximum(stay, 0.0)) / max(self.ended - self.begun, 1e-12))

    def busy(self) -> tuple[float, float | None]:
        """Return the share of time that replicas decode, and prefill where these are others [1]."""
        whole = float(np.max(self.served.finish))
        decode = float(np.mean(self.served.busy)) / whole
        apart = self.served.prefill_busy
        return decode, float(np.mean(apart)) / whole if apart.size else None


def enough(rate: float, stay: float) -> int:
    """Return how many requests are followed so that a service of such a rate is steady [1].

    Parameters
    ----------
    rate : float
        Requests a second [1/s].
    stay : float
        Time of a request from its arrival to its end [s].
    """
    return int(min(max(math.ceil(rate * HORIZON * stay), FEWEST), MOST))


def _percentile(values: NDArray[np.float64], share: float) -> tuple[float, float]:
    """Return a percentile, and the half width of its 95 % interval from stretches of requests in order."""
    found = float(np.quantile(values, share))
    size = values.size // BATCHES
    if size < 2:  # noqa: PLR2004 - nothing spreads
        return found, math.nan
    parts = np.quantile(values[: size * BATCHES].reshape(BATCHES, size), share, axis=1)
    return found, float(STUDENT * np.std(parts, ddof=1) / math.sqrt(BATCHES))


def loaded(load: Load) -> Followed:
    """Follow requests through a deployment.

    Parameters
    ----------
    load : Load
        The deployment, and its requests.

    Returns
    -------
    Followed
        What they saw.

    Raises
    ------
    InputError
        If there are too few requests to tell percentiles of.
    """
    service = load.service
    requests = load.given if load.given is not None else drawn(load)
    if requests.arrival.size < BATCHES:
        raise InputError(f"{requests.arrival.size} requests are too few: at least {BATCHES}")
    pools = [_pool(each) for each in service.profiles]
    served = serve(
        dataclasses.replace(requests, arrival=requests.arrival + service.loading),
        pools[-1],
        accepted=service.accepted,
        prefill=pools[0] if len(pools) > 1 else None,
        moving=service.moving,
    )
    return Followed(dataclasses.replace(served, requests=requests), service.profiles)


def _pool(profile: Profile) -> Pool:
    return Pool(
        replicas=profile.replicas,
        groups=profile.groups,
        slots=profile.slots or WAITING_PLACES,
        chunk=profile.chunk,
        every=profile.every,
        even=profile.even.tolist(),
        uneven=profile.uneven.tolist(),
    )


def drawn(load: Load) -> Requests:
    """Return requests that come at random, of lengths about those of the workload.

    Parameters
    ----------
    load : Load
        How they come.

    Returns
    -------
    Requests
        In the order of their arrival.
    """
    arrivals, work = load.arrivals, load.service.workload
    random = np.random.default_rng(arrivals.seed)
    many = arrivals.requests
    gaps = _gaps(random, arrivals.kind, many) / arrivals.rate
    times = np.cumsum(gaps)
    if arrivals.day is not None:
        times = _over_a_day(times, arrivals)
    prompt = _lengths(random, work.isl, arrivals.variation, many)
    output = _lengths(random, work.osl, arrivals.output_variation, many)
    return Requests(times, prompt, output)


def _gaps(random: np.random.Generator, kind: str, many: int) -> NDArray[np.float64]:
    """Return times between arrivals of mean 1."""
    if kind == EVEN:
        return np.ones(many)
    gaps: NDArray[np.float64] = random.exponential(1.0, many)
    if kind == POISSON:
        return gaps
    square = BURST_DEVIATION**2
    short = 0.5 * (1.0 + math.sqrt((square - 1.0) / (square + 1.0)))
    quick = random.random(many) < short  # balanced means: each kind fills half of the time
    return gaps * np.where(quick, 0.5 / short, 0.5 / (1.0 - short))


def _over_a_day(times: NDArray[np.float64], arrivals: Arrivals) -> NDArray[np.float64]:
    """Return arrivals whose rate follows a profile, which the requests take once."""
    weights = np.asarray(arrivals.day, dtype=float)
    weights = weights / np.mean(weights)
    passed = np.concatenate([[0.0], np.cumsum(weights)]) / weights.size
    whole = float(times[-1])
    found: NDArray[np.float64] = np.interp(times / whole, passed, np.linspace(0.0, 1.0, passed.size)) * whole
    return found


def _lengths(random: np.random.Generator, mean: float, variation: float, many: int) -> NDArray[np.float64]:
    """Return log-normal lengths of a mean and deviation, whole and at least 1."""
    if not variation:
        return np.full(many, float(mean))
    sigma = math.sqrt(math.log1p(variation**2))
    found = random.lognormal(math.log(mean) - sigma**2 / 2.0, sigma, many)
    return np.maximum(np.round(found), 1.0)


def summary_of(found: Followed, *, ttft_ms: float | None, tpot_ms: float | None) -> dict[str, Any]:
    """Return what requests saw as keys of an answer.

    Parameters
    ----------
    found : Followed
        Requests that were followed.
    ttft_ms, tpot_ms : float, optional
        Limits; any where absent [ms].

    Returns
    -------
    dict
        Percentiles with half widths, goodput, utilization, requests in flight.
    """
    keys: dict[str, Any] = {}
    for name, of in (("ttft", found.ttft_ms), ("tpot", found.tpot_ms), ("end_to_end", found.whole_ms)):
        for share in (0.5, 0.95, 0.99):
            value, half = of(share)
            keys[f"{name}_p{share * 100:.0f}_ms"] = value
            keys[f"{name}_p{share * 100:.0f}_half_width_ms"] = None if math.isnan(half) else half
    within = found.within(ttft_ms or math.inf, tpot_ms or math.inf)
    decode, prefill = found.busy()
    served = found.requests_per_s()
    return {
        **keys,
        "requests_per_s": served,
        "goodput_requests_per_s": served * within,
        "within_limits": within,
        "requests_in_flight": found.in_flight(),
        "decode_utilization": decode,
        "prefill_utilization": prefill,
    }
