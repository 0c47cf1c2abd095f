"""How many attention instances per FFN instance a stream of requests of random lengths needs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.decode.predict import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.requests.traces import Trace, read_trace
from roofline_afd.errors import InfeasibleError, InputError, shown
from roofline_afd.physics import barrier, lengths, linear
from roofline_afd.physics.linear import Coefficients
from roofline_afd.physics.ratio import optimal_ratio, optimal_ratio_microbatches
from roofline_afd.physics.slots import (
    Load,
    finite_horizon_load,
    finite_horizon_load_of,
    load_from_moments,
    stationary_load,
)
from roofline_afd.serving.deployment import AFD, Deployment, Deployments
from roofline_afd.serving.scenario import DUPLEXES, choice, finite, whole
from roofline_afd.serving.sizes import MEASURED_TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.lengths import Moments
    from roofline_afd.serving.scenario import Scenario

FIXED, GEOMETRIC, LOGNORMAL = "fixed", "geometric", "lognormal"
DISTRIBUTIONS = (GEOMETRIC, FIXED, LOGNORMAL)
NAMES = ("aA", "bA", "aF", "bF", "aC", "bC")
REGIMES = ("attention-bound", "communication-bound", "FFN-bound")
PLUGIN = "vllm-afd-plugin"
INTEGER, NODE = "whole ratio", "whole nodes"
MOST_FFN = 64
"""FFN instances per attention instance, at most."""
FFN_NODES_TRIED = 4
"""FFN instances, each a node, up to which the best fraction is looked for where nothing fixes them."""
DEFAULT_BATCH = 256
DEFAULT_MICROBATCHES = 2
LONGEST_LENGTH = 1_000_000
LARGEST_VARIATION = 20.0
LARGEST_RATIO = 1e6
LARGEST_TIME_US = 1e9
SMALLEST_SLOPE_US = 1e-9
MOST_STEPS = 1 << 22
"""Longest output whose start from empty slots is followed."""
POOR_FIT = 0.1
POINTS = 9
MOST_RATIOS = 512
SENSITIVITY = 0.1
SPREADS = 3.0
"""Standard deviations above the mean cache that an attention device must have room for."""
TABLE_KEYS = (
    "granularity",
    "recommended_ratio",
    "attention_instances",
    "ffn_instances",
    "microbatches",
    "tokens_per_s_per_instance",
    "tpot_ms",
    "rounding_loss",
    "r_star",
    "regime",
    "r_star_barrier",
    "r_star_microbatches",
)
HEAD_KEYS = (
    "theta",
    "nu",
    "r_star",
    "regime",
    "r_star_barrier",
    "r_star_microbatches",
    "recommended_ratio",
    "tokens_per_s_per_instance",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """Lengths of requests: what they load a slot with, and how the inputs name them."""

    load: Load
    prompt_mean: float
    decode_mean: float
    inputs: dict[str, Any]
    notes: tuple[str, ...] = ()
    trace: Trace | None = None
    decode_distribution: str | None = None
    decode_cv: float = 0.0

    def starting(self, *, batch: float, requests: float) -> float:
        """Return the mean load of a slot while an instance serves its first requests [tokens]."""
        if self.decode_distribution == GEOMETRIC:
            return float(
                finite_horizon_load(
                    prompt_mean=self.prompt_mean, decode_mean=self.decode_mean, batch=batch, requests=requests
                )
            )
        steps = requests * self.decode_mean / batch
        if self.trace is not None:
            ending, tokens = _trace_chances(self.trace)
        else:
            ending = self._chances()
            lasting = 1.0 - np.cumsum(ending)[:-1]
            tokens = (self.prompt_mean + np.arange(lasting.size)) * lasting
        return finite_horizon_load_of(ending=ending, tokens=tokens, steps=steps)

    def _chances(self) -> NDArray[np.float64]:
        if self.decode_distribution == FIXED:
            ending = np.zeros(int(self.decode_mean) + 1)
            ending[-1] = 1.0
            return ending
        sigma = math.sqrt(math.log1p(self.decode_cv**2))
        most = min(MOST_STEPS, math.ceil(self.decode_mean * math.exp(8.0 * sigma)) + 1)
        return lengths.lognormal_chances(mean=self.decode_mean, variation=self.decode_cv, most=most)


def _trace_chances(trace: Trace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the chance of each output length, and the mean load at each age, of requests as traced."""
    longest = int(trace.decode_tokens.max())
    if longest > MOST_STEPS:
        raise InputError(f"--horizon follows outputs of at most {MOST_STEPS:,} tokens; one has {longest:,}")
    counts = np.bincount(trace.decode_tokens, minlength=longest + 1) / trace.requests
    prompts = np.bincount(trace.decode_tokens, weights=trace.prompt_tokens, minlength=longest + 1)
    lasting = np.cumsum(counts[:0:-1])[::-1]
    held = np.cumsum(prompts[:0:-1])[::-1] / trace.requests
    return counts, held + np.arange(longest) * lasting


def workload_of(
    *,
    trace: Trace | Path | str | None = None,
    prompt_column: str | None = None,
    decode_column: str | None = None,
    prompt_mean: float | None = None,
    prompt_distribution: str | None = None,
    prompt_cv: float | None = None,
    decode_mean: float | None = None,
    decode_distribution: str | None = None,
    decode_cv: float | None = None,
) -> Workload:
    """Check where the lengths of requests come from: a trace, or a distribution of each.

    Parameters
    ----------
    trace : Trace or path, optional
        Requests, or the file that holds them.
    prompt_column, decode_column : str, optional
        Columns of the file.
    prompt_mean, decode_mean : float, optional
        Mean lengths [tokens].
    prompt_distribution, decode_distribution : str, optional
        `fixed`, `geometric` or `lognormal`; where absent fixed prompts and geometric outputs.
    prompt_cv, decode_cv : float, optional
        Standard deviation over mean of log-normal lengths; 1 where absent [1].

    Returns
    -------
    Workload
        The load of a slot.

    Raises
    ------
    InputError
        If both or none is given, a value is out of bounds, or the file is faulty.
    """
    of_means = {
        "--prompt-mean": prompt_mean,
        "--prompt-distribution": prompt_distribution,
        "--prompt-cv": prompt_cv,
        "--decode-mean": decode_mean,
        "--decode-distribution": decode_distribution,
        "--decode-cv": decode_cv,
    }
    given = [name for name, value in of_means.items() if value is not None]
    if trace is not None:
        if given:
            raise InputError(f"--trace and {given[0]} exclude each other: lengths come from one of them")
        return _traced(trace, prompt_column, decode_column)
    for name, value in (("--prompt-column", prompt_column), ("--decode-column", decode_column)):
        if value is not None:
            raise InputError(f"{name} belongs to --trace, which is missing")
    if prompt_mean is None or decode_mean is None:
        missing = "--prompt-mean" if prompt_mean is None else "--decode-mean"
        raise InputError(f"{missing} is missing: give --trace, or --prompt-mean and --decode-mean")
    notes: list[str] = []
    prompts = _length("prompt", prompt_mean, prompt_distribution or FIXED, prompt_cv, notes)
    outputs = _length("decode", decode_mean, decode_distribution or GEOMETRIC, decode_cv, notes)
    if decode_distribution is None:
        notes.append("outputs are taken as geometric: --decode-distribution says otherwise")
    return Workload(
        load=load_from_moments(prompt=prompts.moments, decode=outputs.moments),
        prompt_mean=prompts.moments.first,
        decode_mean=outputs.moments.first,
        inputs={"trace": None, **prompts.inputs, **outputs.inputs},
        notes=(*notes, "lengths of prompt and output are taken as independent: a trace says how they are"),
        decode_distribution=outputs.distribution,
        decode_cv=outputs.variation or 0.0,
    )


class _Length(NamedTuple):
    """A length of one kind: how it is distributed."""

    moments: Moments
    distribution: str
    variation: float | None
    inputs: dict[str, Any]


def _length(which: str, mean: float, distribution: str, variation: float | None, notes: list[str]) -> _Length:
    """Check the distribution of one length, and return its moments."""
    name = f"--{which}-mean"
    choice(f"--{which}-distribution", distribution, DISTRIBUTIONS)
    least = 0 if (which, distribution) == ("prompt", FIXED) else 1
    value = finite(name, mean, least=least, most=LONGEST_LENGTH)
    if distribution != LOGNORMAL and variation is not None:
        raise InputError(f"--{which}-cv belongs to --{which}-distribution lognormal, not {distribution}")
    if distribution == FIXED:
        if which == "decode" and not value.is_integer():
            raise InputError(f"{name} {value:g} must be a whole number where every output is as long")
        moments = lengths.fixed_moments(mean=value)
    elif distribution == GEOMETRIC:
        moments = lengths.geometric_moments(mean=value)
    else:
        if variation is None:
            notes.append(f"--{which}-cv is taken as 1: standard deviation over mean of the log-normal length")
        variation = finite(
            f"--{which}-cv", 1.0 if variation is None else variation, above=0, below=LARGEST_VARIATION
        )
        moments = lengths.lognormal_moments(mean=value, variation=variation)
    shown_as = {
        f"{which}_mean": value,
        f"{which}_distribution": distribution,
        f"{which}_cv": variation,
    }
    return _Length(moments, distribution, variation, shown_as)


def _traced(given: Trace | Path | str, prompt_column: str | None, decode_column: str | None) -> Workload:
    """Return the load of requests as traced."""
    trace = (
        given
        if isinstance(given, Trace)
        else read_trace(Path(given), prompt_column=prompt_column, decode_column=decode_column)
    )
    load = stationary_load(prompt=trace.prompt_tokens, decode=trace.decode_tokens)
    notes = [
        (
            f"theta {load.theta:,.1f} +- {load.theta_error:,.1f} and nu {load.nu:,.1f} +- "
            f"{load.nu_error:,.1f} tokens: standard errors of {trace.requests:,} requests, taken as "
            "independent of each other"
        )
    ]
    if trace.without_output:
        one = trace.without_output == 1
        notes.append(
            f"{trace.without_output:,} of {trace.requests + trace.without_output:,} requests "
            f"{'has' if one else 'have'} no output: {'it decodes' if one else 'they decode'} nothing and "
            f"{'is' if one else 'are'} not in the load"
        )
    return Workload(
        load=load,
        prompt_mean=float(trace.prompt_tokens.mean()),
        decode_mean=float(trace.decode_tokens.mean()),
        inputs={
            "trace": str(given) if isinstance(given, str | Path) else trace.name,
            "requests": trace.requests,
            "requests_without_output": trace.without_output,
        },
        notes=tuple(notes),
        trace=trace,
    )


def coefficients_of(given: object) -> Coefficients:
    """Check six coefficients in microseconds per layer, and return them in seconds.

    Parameters
    ----------
    given : str, iterable of float or Coefficients
        aA, bA, aF, bF, aC, bC: slopes and fixed times of attention (per cached token), FFN (per token that
        reaches an instance) and transfers (per sequence) [us]; `Coefficients` are in seconds already.

    Returns
    -------
    Coefficients
        Of one layer and micro-batch [s].

    Raises
    ------
    InputError
        If there are not six numbers, one is negative, or aF is 0.
    """
    if isinstance(given, Coefficients):
        given = [float(np.asarray(value)) * 1e6 for value in given]
    if isinstance(given, str):
        parts: list[object] = []
        for text in given.split(","):
            try:
                parts.append(float(text))
            except ValueError as error:
                raise InputError(
                    f"--coefficients {shown(given)}: {shown(text)} is not a number; write six, "
                    f"{','.join(NAMES)} in us per layer"
                ) from error
    else:
        parts = list(given) if isinstance(given, Iterable) else [given]
    if len(parts) != len(NAMES):
        raise InputError(
            f"--coefficients has {len(parts)} numbers; it needs six: {','.join(NAMES)} in us per layer"
        )
    values = [
        finite(f"--coefficients {name}", value, least=0, below=LARGEST_TIME_US)
        for name, value in zip(NAMES, parts, strict=True)
    ]
    finite("--coefficients aF", values[2], least=SMALLEST_SLOPE_US)
    return Coefficients(*(value * 1e-6 for value in values))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """Straight lines through the operator model of a system: where, and how far off they are."""

    ratio: float
    max_residual: dict[str, float]
    rms_residual: dict[str, float]

    @property
    def poor(self) -> tuple[str, ...]:
        """The times that the lines miss by much."""
        return tuple(name for name, value in self.max_residual.items() if value > POOR_FIT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the ratio, in SI."""

    coefficients: Coefficients
    theta: float
    nu: float
    skewness: float
    batch: float
    microbatches: int
    full_duplex: bool
    layers: int
    accept_length: float
    gap: float
    head: float = 0.0
    """Time of what comes once a micro-batch, beside the gap that comes once a step [s]."""
    most_ratio: float = LARGEST_RATIO
    tpot: float = math.inf
    operators: Operators | None = None
    """Where FFN and transfer times come from as they are, not as straight lines."""
    ffn_devices: int = 1
    """FFN instances that share the experts, so that each waits for the attention instances of all [1]."""

    def cycles(self, ratio: Any) -> Any:  # noqa: ANN401 - a number or an array
        """Return the mean time between micro-batches of a layer [s]."""
        coefficients = self.coefficients
        if self.operators is not None:
            coefficients = self.operators.at(ratio, coefficients, batch=self.batch)
        return barrier.barrier_cycle_time(
            ratio=ratio,
            batch=self.batch,
            theta=self.theta,
            nu=self.nu,
            skewness=self.skewness,
            coefficients=coefficients,
            microbatches=self.microbatches,
            full_duplex=self.full_duplex,
            ffn_devices=self.ffn_devices,
        )

    @property
    def _outside(self) -> float:
        """Time outside the layers, as a share of each layer and micro-batch [s]."""
        return (self.gap / self.microbatches + self.head) / self.layers

    def rates(self, ratio: Any) -> Any:  # noqa: ANN401 - a number or an array
        """Return tokens per second and instance."""
        return linear.throughput_per_instance(
            ratio=ratio,
            batch=self.batch,
            cycle=self.cycles(ratio) + self._outside,
            layers=self.layers,
            accept_length=self.accept_length,
        )

    def rate(self, ratio: float) -> float:
        """Return tokens per second and instance of one ratio."""
        return float(self.rates(ratio))

    def time_per_token(self, ratio: float) -> float:
        """Return the time per output token [s]."""
        return float(
            linear.time_per_token(
                cycle=float(self.cycles(ratio)) + self._outside,
                microbatches=self.microbatches,
                layers=self.layers,
                accept_length=self.accept_length,
            )
        )

    @cached_property
    def best(self) -> float:
        """The ratio with the highest rate, a real number; of whole devices where instances are some [1]."""
        if self.operators is not None:
            ratios = self.operators.every
            return float(ratios[int(np.argmax(self.rates(ratios)))])
        return barrier.optimal_ratio_barrier_microbatches(
            batch=self.batch,
            theta=self.theta,
            nu=self.nu,
            skewness=self.skewness,
            coefficients=self.coefficients,
            microbatches=self.microbatches,
            full_duplex=self.full_duplex,
            ffn_devices=self.ffn_devices,
            outside=self._outside,
        )

    def allowed(self, ratio: float) -> bool:
        """Whether a ratio meets the devices and the latency target."""
        return ratio <= self.most_ratio * (1 + 1e-12) and self.time_per_token(ratio) <= self.tpot

    @cached_property
    def target(self) -> float:
        """The best ratio that is allowed, a real number; 0 where the latency target rules all out [1]."""
        high = min(self.best, self.most_ratio)
        if self.allowed(high):
            return high
        low = 0.0
        for _ in range(60):  # the time per token never falls with the ratio
            middle = (low + high) / 2
            low, high = (middle, high) if self.allowed(middle) else (low, middle)
        return low

    def around(self, unit: float) -> Iterator[int]:
        """Yield the whole multiples of a unit next to the best ratio that are allowed."""
        below = math.floor(self.target / unit * (1 + 1e-12))
        for count in (below - 1, below, below + 1):
            if count >= 1 and self.allowed(count * unit):
                yield count


class _Row(NamedTuple):
    """A recommendation: instances of both sides."""

    granularity: str
    attention: int
    ffn: int
    plan: Plan

    @property
    def ratio(self) -> float:
        return self.attention / self.ffn

    @property
    def text(self) -> str:
        common = math.gcd(self.attention, self.ffn)
        return f"{self.attention // common}A{self.ffn // common}F"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Source:
    """Where times come from: coefficients, and what the answer says of them."""

    coefficients: Coefficients
    layers: int
    gap: float
    head: float
    ffn_instances: int | None
    attention_node: int
    most_ratio: float
    inputs: dict[str, Any]
    notes: list[str]
    fit: Fit | None = None
    operators: Operators | None = None

    @property
    def sharing(self) -> int:
        """FFN instances that share the experts; one that holds them all shares with none [1]."""
        return self.ffn_instances or 1


def provision(
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
) -> Answer:
    """Answer how many attention instances one FFN instance needs for requests of random lengths.

    Times come from six coefficients, or from the operator model of a scenario's system and model, whose
    instances are devices: there the FFN devices share the experts, and every layer waits for the fullest of
    all attention devices. A scenario holds everything from `layers` on itself.

    Parameters
    ----------
    scenario : Scenario, optional
        System, model and how they are used; `ffn_devices` where given, else the fewest nodes that hold the
        experts; its context and batch are those of the requests and of `batch`.
    coefficients : str or sequence of float, optional
        aA, bA, aF, bF, aC, bC [us per layer].
    trace : Trace or path, optional
        Requests.
    prompt_column, decode_column : str, optional
        Columns of the file.
    prompt_mean, decode_mean : float, optional
        Mean lengths, instead of a trace [tokens].
    prompt_distribution, decode_distribution : str, optional
        `fixed`, `geometric` or `lognormal`; where absent fixed prompts and geometric outputs.
    prompt_cv, decode_cv : float, optional
        Standard deviation over mean of log-normal lengths; 1 where absent [1].
    batch : int, optional
        Slots of one micro-batch on one attention instance; 256 where absent [1].
    horizon : float, optional
        Requests an attention instance serves from empty slots on; where absent without end [1].
    layers : int, optional
        Layers of the model; one where absent [1].
    accept_length : float, optional
        Mean tokens accepted per step; 1 where absent [1].
    microbatches : int, optional
        Micro-batches in flight; two where absent [1].
    duplex : str, optional
        Whether both directions of a transfer overlap (`full`, where absent) or share the link (`shared`).
    gap_ms : float, optional
        Time of a step outside its layers; where absent 0, and as fitted to services for a scenario [ms].
    tpot_ms : float, optional
        Time per output token allowed; any where absent [ms].
    deployable_with : str, optional
        `vllm-afd-plugin`: attention instances a multiple of FFN instances, and two micro-batches.

    Returns
    -------
    Answer
        A row per granularity: whole ratio, whole nodes, and what the plugin runs.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    work = workload_of(
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
    notes = list(work.notes)
    slots = _batch(batch, notes)
    m = microbatches_of(held["microbatches"], held["deployable_with"], notes)
    theta, later = _horizon(work, horizon, slots, notes)
    full = choice("--duplex", held["duplex"] or "full", DUPLEXES) == "full"
    load = work.load._replace(theta=theta)
    source = (
        given_source(coefficients, own, notes)
        if scenario is None
        else fitted_source(scenario, load=load, batch=slots, microbatches=m, full_duplex=full)
    )
    limit = held["tpot_ms"]
    plan = Plan(
        coefficients=source.coefficients,
        theta=theta,
        nu=load.nu,
        skewness=load.skewness,
        batch=slots,
        microbatches=m,
        full_duplex=full,
        layers=source.layers,
        accept_length=finite("--accept-length", held["accept_length"] or 1.0, least=1, below=1e3),
        gap=source.gap,
        head=source.head,
        most_ratio=source.most_ratio,
        operators=source.operators,
        ffn_devices=source.sharing,
        tpot=math.inf if limit is None else finite("--tpot-ms", limit, above=0, below=1e9) * 1e-3,
    )
    head = _ratios(plan)
    rows = _recommendations(plan, source, held["deployable_with"])
    results = [_result(row, head, work.load) for row in rows]
    sensitivity = _sensitivity(plan, rows[0])
    summary: dict[str, Any] = {
        **{key: results[0][key] for key in HEAD_KEYS},
        "tpot_ms": results[0]["tpot_ms"],
        "ratio": rows[0].ratio,
        "theta_error": work.load.theta_error,
        "nu_error": work.load.nu_error,
        "skewness": work.load.skewness,
        **later,
        **head,
        "r_star_error": _ratio_error(plan, work.load, head["regime"]),
        "rounding_loss": results[0]["rounding_loss"],
        "coefficients_us": {
            name: _microseconds(value) for name, value in zip(NAMES, source.coefficients, strict=True)
        },
        "fit": None if source.fit is None else dataclasses.asdict(source.fit),
        "sensitivity": sensitivity,
        "answer": _sentence(rows[0], results[0], head, sensitivity, source),
    }
    return Answer(
        command="provision",
        inputs={
            **source.inputs,
            **work.inputs,
            "batch": slots,
            "microbatches": m,
            "duplex": "full" if full else "shared",
            "accept_length": plan.accept_length,
            "layers": source.layers,
            "horizon": horizon,
            "tpot_ms": limit,
            "deployable_with": held["deployable_with"],
        },
        columns=object_columns(results),
        summary=summary,
        notes=[*notes, *source.notes, *_notes(plan, rows, sensitivity)],
        table_keys=TABLE_KEYS,
    )


def _microseconds(seconds: object) -> float:
    """Return a time in microseconds, free of the noise of going back and forth."""
    return float(f"{float(np.asarray(seconds)) * 1e6:.14g}")


def check_sources(scenario: Scenario | None, coefficients: object, own: dict[str, Any]) -> None:
    """Refuse two sources of times, none, and settings that a scenario holds itself."""
    if scenario is not None and coefficients is not None:
        raise InputError("--coefficients and --system exclude each other: times come from one of them")
    if scenario is None and coefficients is None:
        raise InputError("where times come from, is missing: give --coefficients, or --system and --model")
    if scenario is not None:
        named = [name for name, value in own.items() if value is not None]
        if named:
            raise InputError(
                f"--{named[0].replace('_', '-')} belongs to --coefficients; with --system and --model it is "
                "that of the scenario"
            )


def _batch(given: int | None, notes: list[str]) -> int:
    if given is None:
        notes.append(
            f"--batch is taken as {DEFAULT_BATCH}: slots of one micro-batch on an attention instance"
        )
    return whole("--batch", DEFAULT_BATCH if given is None else given)


def microbatches_of(given: object, deployable_with: str | None, notes: list[str]) -> int:
    """Return the micro-batches in flight; the plugin has two."""
    if deployable_with is not None:
        choice("--deployable-with", deployable_with, (PLUGIN,))
        if given not in {None, DEFAULT_MICROBATCHES}:
            raise InputError(f"--microbatches {given} cannot run with {deployable_with}: it has two")
    elif given is None:
        notes.append(f"--microbatches is taken as {DEFAULT_MICROBATCHES}")
    return whole("--microbatches", DEFAULT_MICROBATCHES if given is None else given, most=1000)


def _horizon(work: Workload, horizon: object, batch: int, notes: list[str]) -> tuple[float, dict[str, float]]:
    """Return the mean load that decides, and what the summary says of a finite horizon."""
    if horizon is None:
        return work.load.theta, {}
    requests = finite("--horizon", horizon, least=1)
    if requests * work.decode_mean < batch:
        raise InputError(
            f"--horizon {requests:g} requests of {work.decode_mean:g} tokens do not last one step of "
            f"--batch {batch} slots; give at least {math.ceil(batch / work.decode_mean)}"
        )
    theta = work.starting(batch=batch, requests=requests)
    notes.append(
        f"all ratios are those of the first {requests:,.0f} requests of an attention instance, whose slots "
        f"start together: theta {theta:,.1f} instead of {work.load.theta:,.1f} tokens; nu stays as it is"
    )
    return theta, {"theta_horizon": theta}


def given_source(coefficients: object, own: dict[str, Any], notes: list[str]) -> _Source:
    """Return the source of times that the user measured."""
    if own["layers"] is None:
        notes.append(
            "--layers is missing: tokens/s and time per token are those of a model of one layer; divide the "
            "first and multiply the second by the layers"
        )
    values = coefficients_of(coefficients)
    return _Source(
        coefficients=values,
        layers=whole("--layers", 1 if own["layers"] is None else own["layers"], most=10_000),
        gap=finite("--gap-ms", own["gap_ms"] or 0.0, least=0, below=1e9) * 1e-3,
        head=0.0,
        ffn_instances=None,
        attention_node=1,
        most_ratio=LARGEST_RATIO,
        inputs={
            "coefficients": [_microseconds(value) for value in values],
            "gap_ms": own["gap_ms"] or 0.0,
            "values": {},
        },
        notes=[],
    )


class _Measured(NamedTuple):
    """Times of a mean layer and a micro-batch [s]."""

    attention: NDArray[np.float64]
    ffn: NDArray[np.float64]
    transfer: NDArray[np.float64]
    head: NDArray[np.float64]


class Operators:
    """The operator model of one system and model, at any batch, context and ratio.

    Parameters
    ----------
    scenario : Scenario
        System, model and how they are used.
    load : Load
        Cached tokens of a slot.
    batch : int
        Slots of an attention device and micro-batch [1].
    microbatches : int
        Micro-batches in flight [1].

    Raises
    ------
    InfeasibleError
        If memory or devices do not suffice.
    """

    def __init__(self, scenario: Scenario, load: Load, batch: int, microbatches: int) -> None:
        self.context = max(round(load.theta), 1)
        self.scenario = attrs.evolve(scenario, context=self.context, batch=None)
        self.deployments = Deployments(self.scenario, AFD)
        self.batch, self.microbatches = batch, microbatches
        nodes = self.deployments.attention.devices_per_node, self.deployments.ffn.devices_per_node
        single = scenario.granularity == "device"
        self.attention_node, self.ffn_node = (1, 1) if single else nodes
        self.ffn_devices = scenario.ffn_devices or self._fewest()
        self._check_memory(load)

    def deployment(self, ratios: NDArray[np.float64], batch: NDArray[np.float64] | None = None) -> Deployment:
        """Return deployments with these ratios."""
        receivers = np.full(np.shape(ratios), float(self.ffn_devices))
        return Deployment(
            mode=AFD,
            attention_devices=ratios * self.ffn_devices,
            ffn_devices=receivers,
            batch=self.batch if batch is None else batch,
            microbatches=1,
            transport=self.scenario.transport or MEASURED_TRANSPORT,
            redundant_experts=self.deployments.fill(receivers),
        )

    def _fewest(self) -> int:
        """Return the devices of the fewest whole nodes that hold the experts."""
        counts = np.arange(self.ffn_node, self.scenario.max_devices, self.ffn_node, dtype=float)
        counts = counts[counts <= self.scenario.model.routed_experts + (self.scenario.redundant_experts or 0)]
        if not counts.size:
            counts = np.array([float(min(self.ffn_node, self.scenario.model.routed_experts))])
        trial = Deployment(
            mode=AFD,
            attention_devices=counts,
            ffn_devices=counts,
            batch=0,
            microbatches=1,
            redundant_experts=self.deployments.fill(counts),
        )
        fits = counts[np.asarray(self.deployments.memory(trial)[1]) <= self.deployments.usable_memory()[1]]
        if not fits.size:
            raise InfeasibleError(
                f"no: binding is HBM capacity: the experts of {self.scenario.model.id} do not fit "
                f"{counts[-1]:.0f} devices of {self.deployments.ffn.id}"
            )
        return int(fits[0])

    def _check_memory(self, load: Load) -> None:
        """Refuse more sequences than the attention side has memory for, and experts that do not fit."""
        slots = self.batch * self.microbatches
        long = math.ceil(load.theta + SPREADS * load.nu / math.sqrt(slots))
        roomy = Deployments(attrs.evolve(self.scenario, context=max(long, 1)), AFD)
        one = dataclasses.replace(self.deployment(np.ones(1)), batch=slots)
        experts, room = float(np.ravel(roomy.memory(one)[1])[0]), roomy.usable_memory()[1]
        if experts > room:
            raise InfeasibleError(
                f"no: binding is HBM capacity: experts take {experts / 1e9:.4g} of {room / 1e9:.4g} GB a "
                f"device with --ffn-devices {self.ffn_devices}; more devices hold fewer each"
            )
        most = float(np.ravel(roomy.largest_batch(one))[0])
        if most < slots:
            nearest = int(most) // self.microbatches
            raise InfeasibleError(
                f"no: binding is HBM capacity: {self.microbatches} micro-batches of --batch {self.batch} "
                f"sequences of {long:,} tokens do not fit an attention device; "
                + (f"--batch {nearest} does" if nearest >= 1 else "not even --batch 1 does")
            )

    def times(
        self,
        ratios: NDArray[np.float64],
        *,
        batch: NDArray[np.float64] | None = None,
        context: int | None = None,
    ) -> _Measured:
        """Return the times of a mean layer, in service, at whole attention devices."""
        deployments = self.deployments
        if context is not None:
            deployments = Deployments(attrs.evolve(self.scenario, context=context), AFD)
        found = self.deployment(ratios, batch)
        step = deployments.step(found)
        shape = np.shape(np.multiply(ratios, found.batch))
        sums = [np.zeros(shape) for _ in range(3)]
        for block in step.blocks:
            parts = (block.attention, block.ffn, np.add(block.dispatch, block.combine))
            sums = [total + block.layers * part for total, part in zip(sums, parts, strict=True)]
        layers = self.scenario.model.layers
        head = np.broadcast_to(np.subtract(step.once, deployments.gap), shape)
        attention, ffn, transfer = (total / layers for total in sums)
        return _Measured(attention, ffn, transfer, head)

    def at(self, ratio: Any, lines: Coefficients, *, batch: float | None = None) -> Coefficients:  # noqa: ANN401
        """Return coefficients of some ratios: FFN and transfers as they are there, attention as the line."""
        ratios = np.atleast_1d(np.asarray(ratio, dtype=float))
        found = self.times(ratios, batch=np.full(ratios.shape, float(self.batch if batch is None else batch)))
        return lines._replace(
            ffn_slope=0.0,
            ffn_fixed=found.ffn.reshape(np.shape(ratio)),
            transfer_slope=0.0,
            transfer_fixed=found.transfer.reshape(np.shape(ratio)),
        )

    def whole(self, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ratios of whole attention devices, each once."""
        devices = np.unique(np.maximum(np.rint(ratios * self.ffn_devices), 1.0))
        return np.asarray(devices / self.ffn_devices)

    @cached_property
    def most_ratio(self) -> float:
        """The largest ratio that devices and fabric allow [1]."""
        spare = self.scenario.max_devices - self.ffn_devices
        usable = spare // self.attention_node * self.attention_node
        if usable < 1:
            raise InfeasibleError(
                f"no: binding is ratio granularity: {self.ffn_devices} FFN devices leave no attention node "
                f"within --max-devices {self.scenario.max_devices}; nearest: --max-devices "
                f"{self.ffn_devices + self.attention_node}"
            )
        connected = self.every[np.isfinite(self.times(self.every).transfer)]
        if not connected.size:
            raise InfeasibleError(
                f"no: no fabric of {self.deployments.attention.id} connects {self.ffn_devices} FFN devices "
                "with attention devices"
            )
        return float(min(connected[-1], usable / self.ffn_devices))

    @cached_property
    def every(self) -> NDArray[np.float64]:
        """The ratios of whole attention devices, a few hundred of them [1]."""
        spare = max(self.scenario.max_devices - self.ffn_devices, 1)
        return self.whole(np.linspace(1, spare, min(spare, MOST_RATIOS)) / self.ffn_devices)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
    """Return slope, fixed part and relative residuals of the line of least relative squares."""
    design = np.stack([x / y, 1.0 / y], axis=1)
    slope, fixed = (float(value) for value in np.linalg.lstsq(design, np.ones(x.size), rcond=None)[0])
    if fixed < 0 or x.size == 1:
        slope, fixed = float((x / y).sum() / ((x / y) ** 2).sum()), 0.0
    if slope < 0:
        slope, fixed = 0.0, float((1.0 / y).sum() / (1.0 / y**2).sum())
    return slope, fixed, (slope * x + fixed) / y - 1.0


def fitted_source(
    scenario: Scenario, *, load: Load, batch: int, microbatches: int, full_duplex: bool
) -> _Source:
    """Return straight lines through the operator model, around the ratio they themselves call best."""
    model = Operators(scenario, load, batch, microbatches)
    ratios = model.every[model.every <= model.most_ratio * (1 + 1e-12)]
    times = model.times(ratios)
    tau = linear.cycle_time_of(
        attention=times.attention,
        ffn=times.ffn,
        transfer=times.transfer,
        microbatches=microbatches,
        full_duplex=full_duplex,
    )
    rates = np.where(np.isfinite(tau), ratios / ((ratios + 1.0) * tau), 0.0)
    ratio = float(ratios[int(np.argmax(rates))])
    coefficients, residuals = _lines(model, ratio)
    fit = Fit(
        ratio=ratio,
        max_residual={name: float(np.abs(values).max()) for name, values in residuals.items()},
        rms_residual={name: float(np.sqrt((values**2).mean())) for name, values in residuals.items()},
    )
    deployments = model.deployments
    quantities = quantities_of(deployments)
    head = float(np.ravel(model.times(model.whole(np.array([ratio]))).head)[0])
    return _Source(
        coefficients=coefficients,
        layers=scenario.model.layers,
        gap=deployments.gap,
        head=head,
        ffn_instances=model.ffn_devices,
        attention_node=model.attention_node,
        most_ratio=model.most_ratio,
        inputs={**serving_inputs(model.scenario, quantities), "ffn_devices": model.ffn_devices},
        notes=[
            *_fit_notes(model, fit, deployments.gap, head),
            *notes_of(deployments, []),
            *provenance_notes(scenario, quantities),
        ],
        fit=fit,
        operators=model,
    )


def _lines(model: Operators, ratio: float) -> tuple[Coefficients, dict[str, NDArray[np.float64]]]:
    """Fit the three times within half of the working point, to both sides."""
    spread = np.linspace(0.5, 1.5, POINTS)
    at = model.whole(np.array([ratio]))
    contexts = np.unique(np.maximum(np.rint(model.context * spread), 1)).astype(int)
    attention = [float(model.times(at, context=int(context)).attention[0]) for context in contexts]
    ratios = model.whole(np.minimum(ratio * spread, model.most_ratio))
    batches = np.unique(np.maximum(np.rint(model.batch * spread), 1.0))
    transfer = model.times(np.full(batches.shape, at[0]), batch=batches).transfer
    slope_a, fixed_a, off_a = _line(contexts * float(model.batch), np.array(attention))
    slope_f, fixed_f, off_f = _line(ratios * model.batch, model.times(ratios).ffn)
    slope_c, fixed_c, off_c = _line(batches, np.maximum(transfer, 1e-12))
    across = (slope_c * model.batch + fixed_c) / np.maximum(model.times(ratios).transfer, 1e-12) - 1.0
    least = 1e-6 * fixed_f / model.batch  # an FFN whose time no token changes: any ratio would do
    fitted = Coefficients(slope_a, fixed_a, max(slope_f, least), fixed_f, slope_c, fixed_c)
    return fitted, {"attention": off_a, "ffn": off_f, "transfer": off_c, "transfer over ratio": across}


def _fit_notes(model: Operators, fit: Fit, gap: float, head: float) -> list[str]:
    """Say what the coefficients rest on, and how well straight lines fit."""
    worst = ", ".join(
        f"{name} {fit.max_residual[name]:.1%} (rms {fit.rms_residual[name]:.1%})" for name in fit.max_residual
    )
    given = model.scenario.ffn_devices is not None
    notes = [
        f"an instance is a device; {model.ffn_devices} FFN devices hold the experts"
        + ("" if given else ": the fewest nodes that do, --ffn-devices chooses others")
        + f"; every layer waits for the fullest of all {model.ffn_devices} x r attention devices",
        (
            f"coefficients are lines through the operator model, within half of theta, --batch and ratio "
            f"{fit.ratio:.3g}; largest residuals: {worst}"
        ),
        (
            f"tokens/s and time per token hold the time outside the layers: gap {gap * 1e3:.3g} ms a step, "
            f"head {head * 1e3:.3g} ms a micro-batch; the formulas of r_star do not"
        ),
    ]
    if fit.poor:
        notes.append(
            f"the fit is poor: lines miss {' and '.join(fit.poor)} by more than {POOR_FIT:.0%}; r_star and "
            "its like rest on them, recommendations on the operator model as it is"
        )
    return notes


def _ratios(plan: Plan) -> dict[str, Any]:
    """Return every closed form and real optimum."""
    basic = optimal_ratio(theta=plan.theta, batch=plan.batch, coefficients=plan.coefficients)
    terms = [float(term) for term in (basic.attention, basic.communication, basic.ffn)]
    plain: dict[str, Any] = {"batch": plan.batch, "theta": plan.theta, "nu": plan.nu}
    plain["ffn_devices"] = plan.ffn_devices
    looped = float(
        optimal_ratio_microbatches(
            theta=plan.theta,
            batch=plan.batch,
            coefficients=plan.coefficients,
            microbatches=plan.microbatches,
            full_duplex=plan.full_duplex,
        )
    )
    if max(float(basic.ratio), looped) > LARGEST_RATIO and plan.operators is None:
        raise InfeasibleError(
            f"no: the best ratio is {max(float(basic.ratio), looped):.3g} attention instances per FFN "
            f"instance, more than {LARGEST_RATIO:,.0f}: aF of --coefficients is too small for a choice"
        )
    return {
        "r_star": float(basic.ratio),
        "regime": REGIMES[int(np.argmax(terms))],
        "r_star_attention": terms[0],
        "r_star_communication": terms[1],
        "r_star_ffn": terms[2],
        "r_star_barrier": barrier.optimal_ratio_barrier(**plain, coefficients=plan.coefficients),
        "r_star_barrier_skewed": barrier.optimal_ratio_barrier(
            **plain, coefficients=plan.coefficients, skewness=plan.skewness
        ),
        "r_star_microbatches": looped,
        "r_star_microbatches_barrier": plan.best,
    }


def _recommendations(plan: Plan, source: _Source, deployable_with: str | None) -> list[_Row]:
    """Return the best whole ratio, whole nodes, and what the plugin runs; the one asked for first."""
    two = plan if plan.microbatches == DEFAULT_MICROBATCHES else dataclasses.replace(plan, microbatches=2)
    receivers = source.ffn_instances
    rows = {
        INTEGER: _best(INTEGER, plan, _whole_ratios(plan, receivers)),
        NODE: _best(NODE, plan, _whole_nodes(plan, source)),
        PLUGIN: _best(PLUGIN, two, ((count * (receivers or 1), receivers or 1) for count in two.around(1.0))),
    }
    order = (PLUGIN, INTEGER, NODE) if deployable_with else (INTEGER, NODE, PLUGIN)
    found = [row for row in (rows[name] for name in order) if row is not None]
    if rows[order[0]] is None:
        raise InfeasibleError(_refusal(plan, source, deployable_with))
    return found


def _refusal(plan: Plan, source: _Source, deployable_with: str | None) -> str:
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


def _whole_nodes(plan: Plan, source: _Source) -> Iterator[tuple[int, int]]:
    """Yield pairs of instances that fill whole nodes."""
    fixed = source.ffn_instances
    for receivers in (fixed,) if fixed else range(1, FFN_NODES_TRIED + 1):
        unit = source.attention_node / receivers
        yield from ((count * source.attention_node, receivers) for count in plan.around(unit))


def _best(name: str, plan: Plan, pairs: Iterable[tuple[int, int]]) -> _Row | None:
    """Return the pair with most tokens per instance; of equals the smallest."""
    rows = [_Row(name, attention, ffn, plan) for attention, ffn in pairs]
    return max(rows, key=lambda row: (plan.rate(row.ratio), -row.ffn), default=None)


def _result(row: _Row, head: dict[str, Any], load: Load) -> dict[str, Any]:
    """Return a recommendation as a row, with the ratios it rounds."""
    plan = row.plan
    rate = plan.rate(row.ratio)
    return {
        "granularity": row.granularity,
        "recommended_ratio": row.text,
        "ratio": row.ratio,
        "attention_instances": row.attention,
        "ffn_instances": row.ffn,
        "microbatches": plan.microbatches,
        "tokens_per_s_per_instance": rate,
        "tpot_ms": plan.time_per_token(row.ratio) * 1e3,
        "cycle_us": float(plan.cycles(row.ratio)) * 1e6,
        "rounding_loss": max(1.0 - rate / plan.rate(plan.target), 0.0),
        "theta": load.theta,
        "nu": load.nu,
        **{
            key: head[key]
            for key in (
                "r_star",
                "regime",
                "r_star_barrier",
                "r_star_microbatches",
                "r_star_microbatches_barrier",
            )
        },
    }


def _ratio_error(plan: Plan, load: Load, regime: str) -> float:
    """Return the standard error of r_star that the length of the trace leaves [1]."""
    if regime != REGIMES[0]:
        return 0.0
    slopes = plan.coefficients.attention_slope, plan.coefficients.ffn_slope
    return load.theta_error * float(np.divide(*slopes))


def _sensitivity(plan: Plan, chosen: _Row) -> list[dict[str, Any]]:
    """Return what becomes of the ratios when the workload is another, and what the recommendation loses."""
    found = []
    for name in ("theta", "nu", "batch"):
        for factor in (1 - SENSITIVITY, 1 + SENSITIVITY):
            mine = chosen.plan
            other = dataclasses.replace(mine, **{name: getattr(mine, name) * factor})
            best = optimal_ratio(theta=other.theta, batch=other.batch, coefficients=plan.coefficients)
            pairs = list(_whole_ratios(other, chosen.ffn if chosen.ffn > 1 else None))
            row = _best(INTEGER, other, pairs)
            found.append(
                {
                    "input": name,
                    "change": factor - 1,
                    "r_star": float(best.ratio),
                    "r_star_microbatches_barrier": other.best,
                    "recommended_ratio": row and row.text,
                    "loss_if_kept": row and max(1.0 - other.rate(chosen.ratio) / other.rate(row.ratio), 0.0),
                    "kept_in_time": other.time_per_token(chosen.ratio) <= other.tpot,
                }
            )
    return found


def _sentence(
    row: _Row,
    result: dict[str, Any],
    head: dict[str, Any],
    sensitivity: Sequence[dict[str, Any]],
    source: _Source,
) -> str:
    """Return what to run, what it gives, and how sure that is."""
    plan = row.plan
    instance = "instance" if source.ffn_instances is None else "device"
    of_devices = (
        f" ({row.attention} attention and {row.ffn} FFN devices)" if source.ffn_instances is not None else ""
    )
    one_layer = " for a model of one layer" if source.layers == 1 else ""
    rules = (
        f"{head['regime']}: r* {head['r_star']:.2f} of mean times, {head['r_star_barrier']:.2f} where the "
        f"slowest {instance} sets the pace"
    )
    if source.fit is not None and source.fit.poor:
        rules = "by the operator model as it is: straight lines fit it poorly"
    more = next(each for each in sensitivity if each["input"] == "theta" and each["change"] > 0)
    if more["recommended_ratio"] is None:
        then = "requests 10% longer miss the latency target"
    elif more["recommended_ratio"] == row.text:
        then = "requests 10% longer would not change it"
    else:
        other, lost = more["recommended_ratio"], more["loss_if_kept"]
        then = f"requests 10% longer ask for {other} (without it {lost:.1%} are lost)"
    return (
        f"Run {row.text}{of_devices}: {result['tokens_per_s_per_instance']:,.0f} tokens/s per {instance} at "
        f"{result['tpot_ms']:.3g} ms per token{one_layer}, {plan.microbatches} micro-batch"
        f"{'es' if plan.microbatches > 1 else ''} of {plan.batch:g}; the best ratio is {plan.best:.2f} "
        f"({rules}), rounding costs {result['rounding_loss']:.1%}, and {then}."
    )


def _notes(plan: Plan, rows: Sequence[_Row], sensitivity: Sequence[dict[str, Any]]) -> list[str]:
    """Say what the ratios rest on, and where they part."""
    low, high = (
        next(each for each in sensitivity if each["input"] == "theta" and (each["change"] > 0) == up)
        for up in (False, True)
    )
    notes = [
        (
            "theta 10% lower or higher moves r* to "
            f"{low['r_star']:.3g} or {high['r_star']:.3g}, and the best ratio with micro-batches and "
            f"barrier to {low['r_star_microbatches_barrier']:.3g} or "
            f"{high['r_star_microbatches_barrier']:.3g}"
        ),
        (
            "recommendations maximise tokens/s with micro-batches, the slowest instance and the skewness of "
            "the load; r_star and r_star_barrier are the published rules, without a way through all stages"
        ),
    ]
    if plan.target < min(plan.best, plan.most_ratio) * (1 - 1e-9):
        notes.append(
            f"the latency target binds: without it the best ratio is {min(plan.best, plan.most_ratio):.3g}, "
            f"with it {plan.target:.3g}"
        )
    if plan.most_ratio < plan.best:
        notes.append(
            f"devices bind: --max-devices or the fabric allow a ratio of {plan.most_ratio:.3g}, the best is "
            f"{plan.best:.3g}"
        )
    plugin = next((row for row in rows if row.granularity == PLUGIN), None)
    if plugin is None:
        notes.append(f"{PLUGIN} runs nothing here: it needs attention devices a multiple of FFN devices")
    return notes
