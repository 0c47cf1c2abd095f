"""What may be asked about requests: how many instances they need, what these deliver, how to serve them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.prices import RENT, TCO
from roofline_afd.questions import option
from roofline_afd.serving.modes.question import SERVING_MODES
from roofline_afd.serving.scenario import DUPLEXES, PLUGIN
from roofline_afd.serving.workload import WORKLOADS
from roofline_afd.simulation.words import DISTRIBUTIONS, FIRST, STARTS, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.requests.traces import Trace
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.linear import Coefficients
    from roofline_afd.serving.scenario import Scenario

SETTINGS = ("layers", "accept_length", "microbatches", "duplex", "gap_ms", "tpot_ms", "deployable_with")
"""What a question with coefficients says itself, and else its scenario."""
REPLAYS = SHUFFLED, IN_ORDER = "shuffled", "in-order"
FROM_TRACE = "trace"
KV_LINKS = ("auto", "scale-up", "scale-out")
KV_MOVED = ("all", "new")
POOLS = ("prefill", "decode")
ARRIVALS = ("poisson", "bursty", "even")
PRICE_BASES = (RENT, TCO)
OBJECTIVES = {
    "device": "tokens_per_s_per_device",
    "dollar": "tokens_per_usd",
    "watt": "tokens_per_joule",
}
"""What the frontier weighs throughput by, and the key of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provisioning:
    """How many attention instances one FFN instance needs for requests of random lengths.

    Times come from six coefficients, or from the operator model of a scenario's system and model, whose
    instances are devices: there the FFN devices share the experts, and every layer waits for the fullest of
    all attention devices. A scenario holds everything from `layers` on itself.

    Parameters
    ----------
    scenario : Scenario, optional
        System, model and how they are used; `ffn_devices` where given, else the fewest nodes that hold the
        experts; its context and batch are those of the requests and of `batch`.
    trace : Trace or path, optional
        Requests: CSV with ContextTokens and GeneratedTokens, or JSON lines with input_length and
        output_length; plain or .gz.
    prompt_column : str, optional
        Column of prompt tokens in `trace`.
    decode_column : str, optional
        Column of output tokens in `trace`.
    prompt_mean : float, optional
        Mean prompt, instead of `trace` [tokens].
    prompt_distribution : str, optional
        How prompts spread around their mean; `fixed` where absent.
    prompt_cv : float, optional
        Standard deviation over mean of log-normal prompts; 1 where absent [1].
    decode_mean : float, optional
        Mean output, instead of `trace` [tokens].
    decode_distribution : str, optional
        How outputs spread around their mean; `geometric` where absent.
    decode_cv : float, optional
        Standard deviation over mean of log-normal outputs; 1 where absent [1].
    batch : int, optional
        Slots of one micro-batch on one attention instance; 256 where absent [1].
    horizon : float, optional
        Requests an attention instance serves from empty slots on; where absent without end [1].
    coefficients : str or sequence of float, optional
        Six times in us per layer, instead of a system: attention per cached token and fixed, FFN per token
        and fixed, transfers per sequence and fixed.
    layers : int, optional
        Layers of the model, with `coefficients`; 1 where absent [1].
    accept_length : float, optional
        Mean tokens accepted per step with speculative decoding; 1 where absent [1].
    microbatches : int, optional
        Micro-batches in flight; 2 where absent [1].
    duplex : str, optional
        Whether both directions of a transfer overlap, or share the link; `full` where absent.
    gap_ms : float, optional
        Time of a step outside its layers; where absent 0, and as fitted to services for a system [ms].
    tpot_ms : float, optional
        Time per output token allowed; any where absent [ms].
    deployable_with : str, optional
        Software whose limits apply: the plugin has as many attention instances as FFN instances at least, and
        two micro-batches.
    """

    scenario: Scenario | None = None
    trace: Trace | Path | str | None = None
    prompt_column: str | None = option(None, metavar="NAME")
    decode_column: str | None = option(None, metavar="NAME")
    prompt_mean: float | None = None
    prompt_distribution: str | None = option(None, words=DISTRIBUTIONS)
    prompt_cv: float | None = None
    decode_mean: float | None = None
    decode_distribution: str | None = option(None, words=DISTRIBUTIONS)
    decode_cv: float | None = None
    batch: int | None = None
    horizon: float | None = None
    coefficients: str | Sequence[float] | Coefficients | None = option(None, metavar="aA,bA,aF,bF,aC,bC")
    layers: int | None = None
    accept_length: float | None = None
    microbatches: int | None = None
    duplex: str | None = option(None, words=DUPLEXES)
    gap_ms: float | None = None
    tpot_ms: float | None = None
    deployable_with: str | None = option(None, words=(PLUGIN,))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation(Provisioning):
    """What each ratio of attention to FFN instances delivers, simulated request by request.

    A `horizon` is short for a cold start with as many requests.

    Parameters
    ----------
    r : sequence of int, optional
        Attention instances per FFN instance, a row each: a range first:last[:step] or a list a,b,c; where
        absent 1:32 as far as devices allow, and in a picture those around the best.
    requests : int, optional
        Requests completed per attention instance; where absent 10,000, of a system those over its FFN
        devices, but at least 500 and five a slot [1].
    replications : int
        Independent repetitions that the 95 % confidence intervals rest on [1].
    seed : int
        Seed of all random numbers [1].
    start : str, optional
        Slots met in the middle of requests, or all beginning one at once; `stationary` where absent.
    window : str
        What counts: until 80 % of the requests are completed, or after the first 20 %.
    replay : str, optional
        Requests of `trace` drawn at random with replacement, or in their order; `shuffled` where absent.
    """

    r: Sequence[int] | None = option(None, metavar="RANGE")
    requests: int | None = None
    replications: int = 5
    seed: int = 0
    start: str | None = option(None, words=STARTS)
    window: str = option(FIRST, words=WINDOWS)
    replay: str | None = option(None, words=REPLAYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    """What requests look like, all alike.

    Parameters
    ----------
    workload : str, optional
        Requests by name; `prefix`, `isl` and `osl` change them.
    prefix : int, optional
        Tokens of a request that are cached already; 0 where absent [1].
    isl : int, optional
        Input tokens of a request to prefill [1].
    osl : int, optional
        Output tokens of a request [1].
    trace : Path, optional
        Requests, as for `provision`: their mean lengths, instead of `isl` and `osl`.
    prompt_column : str, optional
        Column of `trace` with tokens of the prompt, or a path into objects, joined by points; found by itself
        in the usual forms.
    decode_column : str, optional
        The same of the output.
    time_column : str, optional
        The same of times: dates, or numbers in seconds; since 1970 in ms, us or ns, too.
    """

    workload: str | None = option(None, words=tuple(WORKLOADS))
    prefix: int | None = None
    isl: int | None = None
    osl: int | None = None
    trace: Path | None = None
    prompt_column: str | None = option(None, metavar="NAME")
    decode_column: str | None = option(None, metavar="NAME")
    time_column: str | None = option(None, metavar="NAME")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModeSearch:
    """Limits on serving modes, and what is searched.

    Parameters
    ----------
    ttft_ms : float, optional
        Time to the first token allowed; any where absent [ms].
    modes : sequence of str
        Serving modes to search, of agg, pd, agg+afd, pd+afd; all where absent.
    prefill_system : System, optional
        System that prefills, in the modes that do so apart; that of the scenario where absent.
    chunk_tokens : int, optional
        Prompt tokens of a step and attention group; searched where absent [1].
    request_rate : float or "trace", optional
        Requests a second of the whole cluster, which then wait for each other, or those of `trace`;
        saturated where absent, no waiting.
    concurrency : float, optional
        Requests in flight on the whole cluster: what serves so many best is told beside the frontier [1].
    users : float, optional
        Users who each wait for an answer before they ask again: as many requests in flight [1].
    prompt_variation : float, optional
        Standard deviation over mean of input tokens, for waiting; that of `trace`, else 0, where absent [1].
    kv_link : str
        Fabric between pools; auto is scale-up where one domain holds all.
    kv_moved : str
        Cache of a prompt that moves between pools: all of it, its prefix too, or only the new tokens where
        both have the prefix.
    kv_overlap : bool
        The cache moves layer by layer during prefill.
    first_token : str
        Pool that gives out the first token: that of prefill, or that of decode, one decode step later.
    shared_prefix : bool
        Sequences of an attention group share one prefix in memory.
    per : str
        What the frontier weighs throughput by.
    price_basis : str
        Prices.
    """

    ttft_ms: float | None = None
    modes: Sequence[str] = option(SERVING_MODES, metavar="LIST")
    prefill_system: System | None = option(None, hardware=True)
    chunk_tokens: int | None = None
    request_rate: float | str | None = option(None, metavar="NUMBER|trace", also=("--requests-per-s",))
    concurrency: float | None = None
    users: float | None = None
    prompt_variation: float | None = None
    kv_link: str = option("auto", words=KV_LINKS)
    kv_moved: str = option("all", words=KV_MOVED)
    kv_overlap: bool = False
    first_token: str = option("prefill", words=POOLS)
    shared_prefix: bool = False
    per: str = option("device", words=tuple(OBJECTIVES))
    price_basis: str = option(RENT, words=PRICE_BASES)


@dataclasses.dataclass(frozen=True)
class Exploration(ModeSearch, Lengths):
    """Which serving mode gives most tokens under limits on the first token and every next one.

    Parameters
    ----------
    scenario : Scenario
        Model and system; `devices` is the cluster, 128 where absent, `max_devices` the largest replica,
        `tpot_ms` the time per output token allowed.
    """

    scenario: Scenario


@dataclasses.dataclass(frozen=True)
class UnderLoad(Lengths):
    """What requests see that come to a deployment at random, at one load after another.

    Parameters
    ----------
    scenario : Scenario
        Model and system: `devices` is the cluster, 128 where absent; with `batch`, and no lengths of prompts,
        the one deployment that decodes.
    answer : Path, optional
        Answer of predict, compare or explore kept as JSON, whose deployment is loaded; of the first two it
        decodes alone, answers of `osl` tokens.
    mode : str, optional
        Serving mode of the deployment, or ep or afd of one that decodes alone; the best under the limits
        where absent.
    ttft_ms : float, optional
        Time to the first token that requests are held to; any where absent [ms].
    chunk_tokens : int, optional
        Prompt tokens of a step and attention group; searched where absent [1].
    rates : sequence of float or "trace", optional
        Requests a second, a row each; where absent shares of what the deployment serves without waiting
        [1/s].
    arrivals : str
        How requests come: at random, in bursts (times between them deviate by three times their mean), or
        evenly; those of `trace` at their times.
    prompt_variation : float
        Standard deviation over mean of input tokens, log-normal [1].
    output_variation : float
        The same of output tokens [1].
    day : sequence of float, optional
        Requests of each equal part of a day over their mean, as 0.4,0.6,1.5,1.5; the rate is the mean [1].
    requests : int, optional
        Requests that are followed at each rate; enough for a steady service where absent [1].
    seed : int
        Seed of all random numbers [1].
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    answer: Answer | Path | None = option(None, metavar="FILE.json", flag="--from")
    mode: str | None = option(None, words=(*SERVING_MODES, "ep", "afd"))
    ttft_ms: float | None = None
    chunk_tokens: int | None = None
    rates: Sequence[float] | str | None = option(
        None, metavar="LIST|trace", flag="--requests-per-s", also=("--request-rate",)
    )
    arrivals: str = option("poisson", words=ARRIVALS)
    prompt_variation: float = 0.0
    output_variation: float = 0.0
    day: Sequence[float] | None = option(None, metavar="LIST")
    requests: int | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class LoadPicture(UnderLoad):
    """The same as a picture, whose `--from` is the answer that it draws."""

    _: dataclasses.KW_ONLY
    answer: Answer | Path | None = option(None, shown=False)


@dataclasses.dataclass(frozen=True)
class ParetoPicture(Exploration):
    """A picture of the frontiers of serving modes.

    Parameters
    ----------
    dots : int
        Grey dots of deployments that others beat, at most [1].
    """

    _: dataclasses.KW_ONLY
    dots: int = option(0, shown=False)


@dataclasses.dataclass(frozen=True)
class ParetoPanels(ModeSearch):
    """A panel of frontiers for each of several questions, with each of several kinds of requests.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Models and systems, a row each.
    workloads : sequence of str
        Requests by name, of chat, coding, agentic, a column each; all where absent.
    """

    scenarios: Sequence[Scenario] = dataclasses.field(metadata={"several": "models"})
    workloads: Sequence[str] = option(tuple(WORKLOADS), metavar="LIST")
