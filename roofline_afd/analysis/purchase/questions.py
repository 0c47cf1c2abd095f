"""What purchases and sensitivities are asked with: each option once, with its unit, default and words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.prices import BASES, PUE, RENT, TERMS
from roofline_afd.questions import option
from roofline_afd.serving.modes.question import SERVING_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario

YEARS, POWER_USD_PER_KWH, UTILIZATION = 4.0, 0.08, 1.0
"""Defaults of buyers' assumptions, all of kind estimated: they are to be replaced by the buyer's own."""
RATIO, BEST = "afd_over_ep", "best"
METRICS = (RATIO, "ep", "afd", BEST)
"""Throughput of the best deployments, AFD over EP; or that of a mode, or of the better one."""
SAMPLES, PAGE_SAMPLES = 100, 40
HTML, PDF = "html", "pdf"


@dataclasses.dataclass(frozen=True)
class DecodePurchase:
    """Which system decodes a demand cheapest.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate, alike but for the systems; a pair of systems is asked about AFD alone.
    demand : float, optional
        Output tokens wanted a second [tokens/s].
    users : int, optional
        Users served at once, instead of a demand; each at `user_tokens_per_s` [1].
    user_tokens_per_s : float, optional
        Tokens a second of one user, which limits the time per output token [tokens/s].
    trace : Path, optional
        Requests with times, instead of a demand: mean output tokens a second, and mean context.
    prompt_column : str, optional
        Column of `trace` with tokens of the prompt, or a path into objects, joined by points; found by itself
        in the usual forms.
    decode_column : str, optional
        The same of the output.
    time_column : str, optional
        The same of times: dates, or numbers in seconds; since 1970 in ms, us or ns, too.
    trace_scale : float, optional
        Factor on the arrivals of the trace; 1 where absent [1].
    price_basis : str
        Prices of devices: `rent`, `tco` (all that owning them costs) or `purchase`.
    price_terms : str, optional
        Terms of the prices; those that most systems have where absent.
    prices : mapping of str to float, optional
        Price of a device by the id of its system, instead of the catalogue's: USD per hour, for purchase
        USD.
    years : float
        Years a purchase is written off over [years].
    power_usd_per_kwh : float
        Price of power, for purchase [USD].
    pue : float
        Power of the site over that of devices known by rated power [1].
    utilization : float
        Mean demand over the demand the fleet is built for [1].
    cny_per_usd : float, optional
        Exchange rate; prices in CNY are left out without it [CNY].
    power_limit_kw : float, optional
        Power that the site has: fleets that draw more are ruled out [kW].
    budget : float, optional
        What the fleet may cost: USD a month (730 hours) for rent and tco, USD to buy its devices for
        purchase; dearer fleets are ruled out [USD].
    growth : float, optional
        Growth of the demand to tell the fleet for, beside today's, in percent [%].
    """

    scenarios: Sequence[Scenario]
    _: dataclasses.KW_ONLY
    demand: float | None = None
    users: int | None = None
    user_tokens_per_s: float | None = None
    trace: Path | None = None
    prompt_column: str | None = option(None, metavar="NAME")
    decode_column: str | None = option(None, metavar="NAME")
    time_column: str | None = option(None, metavar="NAME")
    trace_scale: float | None = None
    price_basis: str = option(RENT, words=BASES)
    price_terms: str | None = option(
        None, words=tuple(dict.fromkeys(term for terms in TERMS.values() for term in terms))
    )
    prices: Mapping[str, float] | None = option(None, metavar="ID=USD", flag="--price")
    years: float = YEARS
    power_usd_per_kwh: float = POWER_USD_PER_KWH
    pue: float = PUE
    utilization: float = UTILIZATION
    cny_per_usd: float | None = None
    power_limit_kw: float | None = None
    budget: float | None = None
    growth: float | None = None


@dataclasses.dataclass(frozen=True)
class Purchase(DecodePurchase):
    """Which system serves a demand cheapest: of decoded tokens alone, or of whole requests.

    Parameters
    ----------
    request_rate : float or "trace", optional
        Whole requests a second, prefilled and decoded, instead of a demand of decoded tokens; or those of
        `trace` [1/s].
    think_time_s : float, optional
        Time of each of `users` between an answer and the next request, instead of `user_tokens_per_s`: whole
        requests [s].
    isl : int, optional
        Input tokens of a request, cached ones among them; that of `trace` where absent [1].
    osl : int, optional
        Output tokens of a request; that of `trace` where absent [1].
    prefix_hit : float, optional
        Share of the input tokens that are cached already; where absent what `session`, or the `hash_ids` of
        `trace`, tell, else 0 [1].
    prefix_cache_gb : float, optional
        Size of the cache that all requests of a trace with `hash_ids`, or of `session`, share; where absent
        it holds all that ever comes [GB].
    prefix_cache : str, optional
        The same by tier, each holding what those before it gave up: hbm=GB read in place, host=GB@GB/s a
        device, remote=GB@GB/s or at the speed of the scale-out fabric, as hbm=500,host=4000@50,remote=40000.
    session : str, optional
        Turns that begin with all that was said before, instead of `isl`:
        turns=20,shared=2000,first=8000,input=1500,gap_s=30, tokens of the instructions all share, of the
        first turn, and that each later one adds; `osl` are those of an answer, answers=computed where its
        cache is not kept.
    ttft_ms : float, optional
        Mean time to the first token allowed; any where absent [ms].
    ttft_p95_ms : float, optional
        Time to the first token that 95 % of requests are to keep [ms].
    tpot_p95_ms : float, optional
        Time per output token that 95 % of requests are to keep [ms].
    modes : sequence of str
        Serving modes looked at for whole requests, of agg, pd, agg+afd, pd+afd.
    prefill_systems : sequence of System or str, optional
        Systems that may prefill for each candidate, besides itself, in the modes that do so apart: ids a,b,c.
    spares : str, optional
        Replicas beyond those that the load takes: n+1 for one of each pool, or a share as 10%.
    api_price : str, optional
        What the same tokens cost elsewhere: USD per million output tokens, or of input, cached input and
        output tokens as 0.3,0.03,1.2.
    """

    _: dataclasses.KW_ONLY
    request_rate: float | str | None = option(
        None, metavar="NUMBER|trace", flag="--requests-per-s", also=("--request-rate",)
    )
    think_time_s: float | None = None
    isl: int | None = None
    osl: int | None = None
    prefix_hit: float | None = None
    prefix_cache_gb: float | None = option(None, metavar="GB")
    prefix_cache: str | None = option(None, metavar="TIER=GB[@GB/s],...")
    session: str | None = option(None, metavar="KEY=VALUE,...")
    ttft_ms: float | None = None
    ttft_p95_ms: float | None = None
    tpot_p95_ms: float | None = None
    modes: Sequence[str] = option(SERVING_MODES, metavar="LIST")
    prefill_systems: Sequence[System | str] | None = option(None, metavar="LIST", hardware=True)
    spares: str | None = option(None, metavar="n+1|PERCENT")
    api_price: str | None = option(None, metavar="USD[,USD,USD]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Purchase):
    """The same as one page, with why, how sure, and what it rests on; whole requests beside decoding.

    Parameters
    ----------
    title : str, optional
        What the page is called; model and demand where absent.
    osl : int, optional
        Output tokens of a request, for serving modes and the ratio; where absent the mean of the trace, or
        512 [1].
    samples : int
        Random samples of all inputs at once, for how sure the answer is [1].
    command : sequence of str, optional
        Command line that makes the page, shown on it.
    form : str
        What is returned: `html`, or `pdf` for paper.
    """

    title: str | None = None
    osl: int | None = None
    samples: int = PAGE_SAMPLES
    command: Sequence[str] | None = option(None, shown=False)
    form: str = option(HTML, shown=False)


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Which uncertain inputs move EP against AFD, and which change the winner.

    Parameters
    ----------
    scenario : Scenario
        The question.
    uncertainty : mapping of str to str, optional
        Uncertainty of an input in place of the default, `10%` to either side or `low:high` in its unit, for
        example `scale_out_gb_per_s=40:50`; keys are those of the column `input`, and `tpot_ms`.
    metric : str
        Throughput of the best deployments, AFD over EP; or tokens/s per device of EP, of AFD or of the best
        of both.
    samples : int
        Random samples of all inputs at once, for intervals and the probability that AFD wins; 0 for none
        [1].
    seed : int
        Seed of all random numbers [1].
    pairs : int
        Inputs that move the metric most to vary in pairs too [1].
    break_evens : int, optional
        For how many of the inputs that move the metric most a break-even is looked for; for all where
        absent [1].
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    uncertainty: Mapping[str, str] | None = option(None, metavar="KEY=RANGE")
    metric: str = option(RATIO, words=METRICS)
    samples: int = SAMPLES
    seed: int = 0
    pairs: int = 0
    break_evens: int | None = option(None, shown=False)


@dataclasses.dataclass(frozen=True)
class Tornado(Sensitivity):
    """The same as a picture, which shows no pairs."""

    _: dataclasses.KW_ONLY
    pairs: int = option(0, shown=False)
