"""Whole requests that a fleet is built for: how many a second, of which lengths, how many of them in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.purchase.caching import Hit, caching_of, sessions_of
from roofline_afd.analysis.requests.traces import arrival_rate, read_arrivals, read_trace
from roofline_afd.errors import InputError, shown
from roofline_afd.physics import queueing
from roofline_afd.serving.checks import belongs, choice, finite, whole
from roofline_afd.serving.modes.fleets import Need
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.purchase.caching import Caching
    from roofline_afd.analysis.purchase.questions import Purchase
    from roofline_afd.serving.modes.question import Loading

BURSTY = 1.3
"""Deviation over mean of times between requests, 1 at random, from which on they are said to burst [1]."""
LATE_SHARE = 0.95
LATE_DEVIATIONS = 1.6449
"""Standard deviations that 95 % of normal numbers are below (Abramowitz, Stegun, table 26.2)."""


class Wanted(NamedTuple):
    """Requests that a fleet is built for."""

    workload: Workload
    requests_per_s: float
    users: int | None
    think_s: float | None
    variation: float
    source: str
    loading: tuple[Loading, ...]
    """Cached tokens that are read back before a prompt is computed."""
    caching: Caching | None
    """What recurs of prompts, where that is known by the size of a cache."""

    def cached(self, hit: Hit) -> Wanted:
        """Return the same requests of which caches hold another share."""
        prompt = self.workload.prompt
        held = min(round(prompt * hit.share), prompt - 1)
        work = attrs.evolve(self.workload, prefix=held, isl=prompt - held)
        return self._replace(workload=work, variation=hit.variation, loading=hit.loading)


class Spares(NamedTuple):
    """Replicas beyond those that the load takes: so many of each pool, or a share of it."""

    replicas: int
    share: float

    def of(self, needed: int) -> int:
        """Return the spare replicas of a pool."""
        return max(self.replicas, math.ceil(needed * self.share - 1e-9)) if needed else 0

    @property
    def words(self) -> str:
        """What is kept, in words."""
        if self.replicas:
            return "one spare replica of each pool"
        return f"{self.share:.0%} of each pool as spare replicas" if self.share else "no spare replicas"


def wanted_of(purchase: Purchase) -> tuple[Wanted, Need, dict[str, float | None]]:
    """Return the requests wanted, how many are to be in time, and the limits.

    Parameters
    ----------
    purchase : Purchase
        What is asked.

    Returns
    -------
    tuple
        Requests; what fleets are searched for; `ttft_ms` and `tpot_ms`, None where any will do.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    """
    late = purchase.ttft_p95_ms is not None or purchase.tpot_p95_ms is not None
    scenario = purchase.scenarios[0]
    for name, one, other in (
        ("ttft", purchase.ttft_ms, purchase.ttft_p95_ms),
        ("tpot", scenario.tpot_ms, purchase.tpot_p95_ms),
    ):
        if one is not None and other is not None:
            raise InputError(f"--{name}-ms and --{name}-p95-ms exclude each other: give one of them")
        if (other or one) is not None:
            finite(f"--{name}-{'p95-' if other else ''}ms", other or one, above=0, below=1e9)
    limits = {
        "ttft_ms": purchase.ttft_p95_ms or purchase.ttft_ms,
        "tpot_ms": purchase.tpot_p95_ms or scenario.tpot_ms,
    }
    lengths = _lengths(purchase)
    rate, users, think = _rate(purchase, lengths.output, limits)
    need = Need(rate, LATE_SHARE if late else 0.0, LATE_DEVIATIONS if late else 0.0)
    caching = caching_of(purchase, rate, lengths.output)
    known = finite("--prefix-hit", purchase.prefix_hit or 0.0, least=0, below=1)
    hit = Hit(known, lengths.variation, ()) if caching is None else caching.hit(lengths.input)
    source = lengths.source + _bursts(purchase)
    if caching is not None:
        source += f": {caching.words(scenario.kv_precision)}"
    work = Workload(prefix=0, isl=lengths.input, osl=lengths.output)
    return Wanted(work, rate, users, think, 0.0, source, (), caching).cached(hit), need, limits


class _Lengths(NamedTuple):
    """Mean input and output tokens, deviation over mean of the input, and where that is from."""

    input: int
    output: int
    variation: float
    source: str


def _lengths(purchase: Purchase) -> _Lengths:
    """Return the lengths of requests, cached tokens among them."""
    if purchase.trace is None:
        columns = ("prompt_column", "decode_column", "time_column", "trace_scale")
        belongs(purchase, columns, "--trace")
    if purchase.session is not None:
        for name in ("trace", "isl", "prefix_hit"):
            if getattr(purchase, name) is not None:
                other = name.replace("_", "-")
                raise InputError(f"--session and --{other} exclude each other: it tells what prompts hold")
        if purchase.osl is None:
            raise InputError("--osl missing: tokens of an answer")
        output = whole("--osl", purchase.osl)
        sessions = sessions_of(purchase, 1.0, output)
        words = f"; sessions of {sessions.turns} turns, from {sessions.prompts[0]:,.0f} to "
        answers = "kept by what decodes them" if sessions.answers_cached else "computed again as input"
        words += f"{sessions.prompts[-1]:,.0f} input tokens, the cache of answers {answers}"
        return _Lengths(round(sessions.prompt_tokens), output, 0.0, words)
    if purchase.trace is None:
        missing = [f"--{name}" for name in ("isl", "osl") if getattr(purchase, name) is None]
        if missing:
            raise InputError(f"{' and '.join(missing)} missing: tokens of a request, or --trace FILE")
        found = _Lengths(purchase.isl or 0, purchase.osl or 0, 0.0, "")
    else:
        requests = read_trace(
            purchase.trace, prompt_column=purchase.prompt_column, decode_column=purchase.decode_column
        )
        means = [float(np.mean(each)) for each in (requests.prompt_tokens, requests.decode_tokens)]
        source = f"; {requests.name}" + (f": {requests.note}" if requests.note else "")
        variation = float(np.std(requests.prompt_tokens)) / max(means[0], 1.0)
        tokens = (purchase.isl or max(round(means[0]), 1), purchase.osl or max(round(means[1]), 1))
        found = _Lengths(*tokens, variation, source)
    whole("--isl", found.input)
    whole("--osl", found.output)
    return found


def _bursts(purchase: Purchase) -> str:
    """Return how evenly the requests of a trace come, where their rate is asked for."""
    if purchase.request_rate != "trace" or purchase.trace is None:
        return ""
    held = read_arrivals(
        purchase.trace,
        prompt_column=purchase.prompt_column,
        decode_column=purchase.decode_column,
        time_column=purchase.time_column,
    )
    gaps = np.diff(held.times)
    spread = float(np.std(gaps) / np.mean(gaps))
    words = f"; times between requests deviate by {spread:.2g} of their mean"
    if spread > BURSTY:
        words += ", in bursts that fleets are not sized for: `load --requests-per-s trace` follows them"
    return words


def _rate(
    purchase: Purchase, osl: int, limits: Mapping[str, float | None]
) -> tuple[float, int | None, float | None]:
    """Return requests a second, and users and their time to think where these ask for them."""
    others = [name for name in ("demand", "user_tokens_per_s") if getattr(purchase, name) is not None]
    if others:
        raise InputError(f"--{others[0].replace('_', '-')} is of decoded tokens: leave it out")
    if purchase.think_time_s is not None:
        if purchase.users is None or purchase.request_rate is not None:
            raise InputError("--think-time-s belongs to --users alone: they ask again when they have thought")
        whole("--users", purchase.users, most=10**9)
        think = finite("--think-time-s", purchase.think_time_s, least=0)
        if limits["tpot_ms"] is None:
            raise InputError(
                "--users with --think-time-s needs --tpot-ms or --tpot-p95-ms: answers take time"
            )
        answer = ((limits["ttft_ms"] or 0.0) + osl * limits["tpot_ms"]) * 1e-3
        rate = queueing.requests_of_users(users=purchase.users, think=think, answer=answer)
        return float(rate), purchase.users, think
    if purchase.users is not None:
        raise InputError("--users with --requests-per-s: give --think-time-s instead of the rate")
    rate_given = purchase.request_rate
    if isinstance(rate_given, str):
        choice("--requests-per-s", rate_given, ("trace",))
        if purchase.trace is None:
            raise InputError("--requests-per-s trace needs --trace FILE; or give a number")
        scale = (
            1.0 if purchase.trace_scale is None else finite("--trace-scale", purchase.trace_scale, above=0)
        )
        return arrival_rate(purchase.trace, time_column=purchase.time_column) * scale, None, None
    return finite("--requests-per-s", rate_given, above=0, below=1e9), None, None


def spares_of(text: str | None) -> Spares:
    """Return the spares that a text asks for: n+1, or a share as 10%; raises InputError for others."""
    if text is None:
        return Spares(0, 0.0)
    given = text.strip().lower()
    if given == "n+1":
        return Spares(1, 0.0)
    number = given.removesuffix("%").removesuffix("percent").strip()
    try:
        share = float(number) / 100.0
    except ValueError as error:
        raise InputError(f"--spares {shown(text)} is neither n+1 nor a share as 10%") from error
    return Spares(0, finite("--spares", share, least=0, most=10))
