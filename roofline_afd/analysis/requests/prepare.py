"""A question about requests of random lengths, put into a simulation: checked, in SI."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.requests.checks import batch_of, latency_of, microbatches_of, settings_of
from roofline_afd.analysis.requests.lengths import workload_of
from roofline_afd.analysis.requests.questions import IN_ORDER, REPLAYS, SHUFFLED
from roofline_afd.analysis.requests.times import source_of
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.checks import choice, finite, whole
from roofline_afd.serving.scenario import DUPLEXES
from roofline_afd.simulation.lengths import IndependentLengths, TracedLengths, law
from roofline_afd.simulation.settings import Settings
from roofline_afd.simulation.words import COLD, STARTS, STATIONARY, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.requests.lengths import Workload
    from roofline_afd.analysis.requests.operators import Operators
    from roofline_afd.analysis.requests.questions import Simulation
    from roofline_afd.simulation.lengths import Lengths

DEFAULT_RATIOS = tuple(range(1, 33))
DEFAULT_REQUESTS = 10_000
FEWEST_REQUESTS = 500
"""Requests per attention instance where FFN instances share the experts, at least."""
MAX_RATIO, MAX_BATCH, MAX_MICROBATCHES, MAX_REPLICATIONS = 1024, 65_536, 64, 1000
MAX_REQUESTS = 100_000_000
MAX_LAYERS = 1000
MAX_SLOTS = 10_000_000
MAX_SECONDS = 3600.0
"""Roughly the longest that a simulation may take."""
FEW_TURNS = 5
"""Requests per slot below which the start of the slots shows in the result."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question put into SI: what is simulated, and what the answer says of where it comes from."""

    settings: Settings
    workload: Workload
    inputs: dict[str, Any]
    notes: tuple[str, ...]
    tpot: float = math.inf
    """Mean time per output token allowed [s]."""
    operators: Operators | None = None
    """Where FFN and transfer times come from as they are, not as straight lines."""


def prepare(question: Simulation) -> Prepared:
    """Check a question, and put it into SI.

    Parameters
    ----------
    question : Simulation
        What is asked.

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
    workload = workload_of(question)
    held = settings_of(question)
    notes = list(workload.notes)
    requests, start = _requests_and_start(question)
    if question.replay is not None and workload.trace is None:
        raise InputError("--replay belongs to --trace, which is missing")
    in_order = choice("--replay", question.replay or SHUFFLED, REPLAYS) == IN_ORDER
    slots = batch_of(question.batch, notes, most=MAX_BATCH)
    in_flight = microbatches_of(held["microbatches"], held["deployable_with"], notes)
    links = choice("--duplex", held["duplex"] or "full", DUPLEXES)
    source = source_of(
        question,
        held,
        load=workload.load,
        batch=slots,
        microbatches=in_flight,
        full_duplex=links == "full",
        notes=notes,
    )
    settings = Settings(
        lengths=lengths_of(workload, in_order=in_order),
        coefficients=source.coefficients,
        batch=slots,
        ratios=_ratios(question.r, source.operators),
        microbatches=in_flight,
        requests=_default_requests(source.sharing, slots * in_flight, notes)
        if requests is None
        else requests,
        replications=question.replications,
        seed=question.seed,
        start=start or STATIONARY,
        window=question.window,
        duplex=links,
        layers=source.layers,
        accept_length=held["accept_length"] or 1.0,
        outside=source.gap + in_flight * source.head,
        times_at=None
        if source.operators is None
        else functools.partial(source.operators.at, lines=source.coefficients),
        ffn_devices=source.sharing,
    )
    tpot = latency_of(held["tpot_ms"])
    lengths = dict(workload.inputs)
    if workload.trace is not None:
        lengths["trace_requests"] = lengths.pop("requests")
        lengths["replay"] = IN_ORDER if in_order else SHUFFLED
    return Prepared(
        settings=checked(settings),
        workload=workload,
        inputs={
            **source.inputs,
            **lengths,
            **_inputs(settings),
            "tpot_ms": held["tpot_ms"],
            "deployable_with": held["deployable_with"],
        },
        notes=(*notes, *source.notes),
        tpot=tpot,
        operators=source.operators,
    )


def _requests_and_start(question: Simulation) -> tuple[int | None, str | None]:
    """Return requests per attention instance and the start, which a horizon is short for."""
    requests, start = question.requests, question.start
    if question.horizon is None:
        return requests, start
    if requests is not None or start == STATIONARY:
        what = "--requests" if requests is not None else "--start stationary"
        raise InputError(f"--horizon and {what} exclude each other: it is short for --start cold --requests")
    return whole("--horizon", question.horizon, most=MAX_REQUESTS), COLD


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


def _default_requests(sharing: int, slots: int, notes: list[str]) -> int:
    """Return requests per attention instance: in all about as many however many FFN instances share."""
    if sharing == 1:
        return DEFAULT_REQUESTS
    count = min(DEFAULT_REQUESTS, max(DEFAULT_REQUESTS // sharing, FEW_TURNS * slots, FEWEST_REQUESTS))
    notes.append(
        f"--requests is taken as {count:,} per attention device, of which there are {sharing} x r: "
        f"{DEFAULT_REQUESTS:,} over {sharing}, but at least {FEWEST_REQUESTS} and {FEW_TURNS} a slot"
    )
    return count


def checked(settings: Settings) -> Settings:
    """Return a simulation that is within bounds, and neither too long nor too large.

    Parameters
    ----------
    settings : Settings
        What is to be simulated.

    Returns
    -------
    Settings
        The same.

    Raises
    ------
    InputError
        If a value is out of bounds, or the simulation would take too long or too much memory.
    """
    whole("--batch", settings.batch, most=MAX_BATCH)
    if len(settings.ratios) == 0:
        raise InputError("--r is empty; give at least one ratio, as in 1:32")
    for ratio in settings.ratios:
        whole("--r", ratio, most=MAX_RATIO)
    if len(set(settings.ratios)) < len(settings.ratios):
        raise InputError("--r names a ratio twice")
    whole("--microbatches", settings.microbatches, most=MAX_MICROBATCHES)
    whole("--requests", settings.requests, most=MAX_REQUESTS)
    whole("--replications", settings.replications, most=MAX_REPLICATIONS)
    whole("--layers", settings.layers, most=MAX_LAYERS)
    if not finite("--seed", settings.seed, least=0).is_integer():
        raise InputError(f"--seed {settings.seed:g} must be a whole number from 0")
    choice("--start", settings.start, STARTS)
    choice("--window", settings.window, WINDOWS)
    choice("--duplex", settings.duplex, DUPLEXES)
    finite("--accept-length", settings.accept_length, least=1, below=1e3)
    whole("--ffn-devices", settings.ffn_devices)
    _check_size(settings)
    return settings


def _check_size(settings: Settings) -> None:
    """Refuse what would take too long or too much memory."""
    sharing = settings.ffn_devices
    if settings.slots > MAX_SLOTS:
        raise InputError(
            f"--r {max(settings.ratios)}"
            + (f" with {sharing} FFN devices" if sharing > 1 else "")
            + f", --batch {settings.batch} and --microbatches {settings.microbatches} make "
            f"{settings.slots:,} slots; at most {MAX_SLOTS:,} are simulated"
        )
    if settings.expected_seconds > MAX_SECONDS:
        raise InputError(
            f"this would take some {settings.expected_seconds / 60:,.0f} minutes; at most "
            f"{MAX_SECONDS / 60:.0f} are allowed: fewer --requests, --replications or ratios take less"
        )


def _inputs(settings: Settings) -> dict[str, Any]:
    """Return the inputs of an answer."""
    kept = (
        *("batch", "microbatches", "requests", "replications", "seed", "start", "window", "duplex"),
        *("layers", "accept_length"),
    )
    return {
        "coefficients_us": [float(np.asarray(value)) * 1e6 for value in settings.coefficients],
        "r": list(settings.ratios),
        **{key: getattr(settings, key) for key in kept},
    }
