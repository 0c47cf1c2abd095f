"""Whole requests that a fleet is built for: how many a second, of which lengths, how many of them in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.analysis.requests.prefixes import read_reuse
from roofline_afd.analysis.requests.traces import BLOCKS, arrival_rate, read_trace
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError, shown
from roofline_afd.physics import queueing
from roofline_afd.serving.checks import belongs, choice, finite, whole
from roofline_afd.serving.modes.fleets import Need
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from roofline_afd.analysis.purchase.questions import Purchase

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
    work, variation, source = _lengths(purchase)
    rate, users, think = _rate(purchase, work, limits)
    need = Need(rate, LATE_SHARE if late else 0.0, LATE_DEVIATIONS if late else 0.0)
    return Wanted(work, rate, users, think, variation, source), need, limits


def _lengths(purchase: Purchase) -> tuple[Workload, float, str]:
    """Return what requests look like, the deviation of their input over its mean, and where that is from."""
    known = purchase.prefix_hit
    hit = 0.0 if known is None else finite("--prefix-hit", known, least=0, below=1)
    if purchase.trace is None:
        columns = ("prompt_column", "decode_column", "time_column", "trace_scale", "prefix_cache_gb")
        belongs(purchase, columns, "--trace")
        missing = [f"--{name}" for name in ("isl", "osl") if getattr(purchase, name) is None]
        if missing:
            raise InputError(f"{' and '.join(missing)} missing: tokens of a request, or --trace FILE")
        tokens, variation, source = (purchase.isl or 0, purchase.osl or 0), 0.0, ""
    else:
        requests = read_trace(
            purchase.trace, prompt_column=purchase.prompt_column, decode_column=purchase.decode_column
        )
        means = [float(np.mean(each)) for each in (requests.prompt_tokens, requests.decode_tokens)]
        tokens = (purchase.isl or max(round(means[0]), 1), purchase.osl or max(round(means[1]), 1))
        variation = float(np.std(requests.prompt_tokens)) / max(means[0], 1.0)
        source = f"; {requests.name}" + (f": {requests.note}" if requests.note else "")
        found = _hit(purchase, purchase.trace)
        if found is not None:
            hit, variation = found.share, found.variation
            source += f": {found.words}"
    whole("--isl", tokens[0])
    whole("--osl", tokens[1])
    cached = min(round(tokens[0] * hit), tokens[0] - 1)
    return Workload(prefix=cached, isl=tokens[0] - cached, osl=tokens[1]), variation, source


class _Hit(NamedTuple):
    """Share of prompt tokens that are cached, deviation over mean of those that are not, and how that is."""

    share: float
    variation: float
    words: str


def _hit(purchase: Purchase, trace: Path) -> _Hit | None:
    """Return what a trace tells of prompts that begin alike; None where it tells nothing, or need not."""
    size = purchase.prefix_cache_gb
    if purchase.prefix_hit is not None:
        if size is not None:
            raise InputError("--prefix-hit and --prefix-cache-gb exclude each other: give one of them")
        return None
    found = read_reuse(trace, prompt_column=purchase.prompt_column)
    if found is None:
        if size is not None:
            raise InputError(
                f"--prefix-cache-gb needs a trace whose requests name blocks (`{BLOCKS}`): give --prefix-hit"
            )
        return None
    scenario = purchase.scenarios[0]
    gb = scenario.model.kv_bytes_per_token(precision(scenario.kv_precision).bytes) / 1e9
    most = math.inf if size is None else finite("--prefix-cache-gb", size, above=0, below=1e9) / gb
    computed = found.prompt_tokens - found.cached(most)
    kept = f"a cache of {size:,.4g} GB keeps" if size is not None else "a cache that keeps all would hold"
    half, nearly = (found.cache_for(share) * gb for share in (0.5, 0.9))
    return _Hit(
        found.hit(most),
        float(np.std(computed)) / max(float(np.mean(computed)), 1.0),
        f"{kept} {found.hit(most):.1%} of the tokens of prompts, of at most {found.hit():.1%} that recur; "
        f"half of these need {half:,.3g} GB, nine tenths {nearly:,.3g} GB, shared by all replicas and kept "
        f"in {scenario.kv_precision} by what is longest unused",
    )


def _rate(
    purchase: Purchase, work: Workload, limits: Mapping[str, float | None]
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
        answer = ((limits["ttft_ms"] or 0.0) + work.osl * limits["tpot_ms"]) * 1e-3
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
