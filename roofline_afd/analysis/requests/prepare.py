"""A question about requests of random lengths, put into a simulation: checked, in SI."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.requests.load import workload_of
from roofline_afd.analysis.requests.question import batch_of, check_sources, microbatches_of
from roofline_afd.analysis.requests.times import fitted_source, given_source
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.scenario import DUPLEXES, choice, finite, whole
from roofline_afd.simulation.lengths import IndependentLengths, TracedLengths, law
from roofline_afd.simulation.settings import FIRST, WINDOWS, Simulation
from roofline_afd.simulation.slots import COLD, STARTS, STATIONARY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from roofline_afd.analysis.requests.load import Workload
    from roofline_afd.analysis.requests.operators import Operators
    from roofline_afd.analysis.requests.traces import Trace
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.simulation.lengths import Lengths

REPLAYS = SHUFFLED, IN_ORDER = "shuffled", "in-order"
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
FEW_TURNS = 5
"""Requests per slot below which the start of the slots shows in the result."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question put into SI: what is simulated, and what the answer says of where it comes from."""

    simulation: Simulation
    workload: Workload
    inputs: dict[str, Any]
    notes: tuple[str, ...]
    tpot: float = math.inf
    """Mean time per output token allowed [s]."""
    operators: Operators | None = None
    """Where FFN and transfer times come from as they are, not as straight lines."""


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
    slots = batch_of(batch, notes, most=MAX_BATCH)
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
        times_at=None
        if source.operators is None
        else functools.partial(source.operators.at, lines=source.coefficients),
        ffn_devices=source.sharing,
    )
    tpot = math.inf if limit is None else finite("--tpot-ms", limit, above=0, below=1e9) * 1e-3
    lengths = dict(workload.inputs)
    if workload.trace is not None:
        lengths["trace_requests"] = lengths.pop("requests")
        lengths["replay"] = IN_ORDER if in_order else SHUFFLED
    return Prepared(
        simulation=checked(simulation),
        workload=workload,
        inputs={
            **source.inputs,
            **lengths,
            **_inputs(simulation),
            "tpot_ms": limit,
            "deployable_with": held["deployable_with"],
        },
        notes=(*notes, *source.notes),
        tpot=tpot,
        operators=source.operators,
    )


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


def checked(simulation: Simulation) -> Simulation:
    """Return a simulation that is within bounds, and neither too long nor too large.

    Parameters
    ----------
    simulation : Simulation
        What is to be simulated.

    Returns
    -------
    Simulation
        The same.

    Raises
    ------
    InputError
        If a value is out of bounds, or the simulation would take too long or too much memory.
    """
    whole("--batch", simulation.batch, most=MAX_BATCH)
    if len(simulation.ratios) == 0:
        raise InputError("--r is empty; give at least one ratio, as in 1:32")
    for ratio in simulation.ratios:
        whole("--r", ratio, most=MAX_RATIO)
    if len(set(simulation.ratios)) < len(simulation.ratios):
        raise InputError("--r names a ratio twice")
    whole("--microbatches", simulation.microbatches, most=MAX_MICROBATCHES)
    whole("--requests", simulation.requests, most=MAX_REQUESTS)
    whole("--replications", simulation.replications, most=MAX_REPLICATIONS)
    whole("--layers", simulation.layers, most=MAX_LAYERS)
    if not finite("--seed", simulation.seed, least=0).is_integer():
        raise InputError(f"--seed {simulation.seed:g} must be a whole number from 0")
    choice("--start", simulation.start, STARTS)
    choice("--window", simulation.window, WINDOWS)
    choice("--duplex", simulation.duplex, DUPLEXES)
    finite("--accept-length", simulation.accept_length, least=1, below=1e3)
    whole("--ffn-devices", simulation.ffn_devices)
    _check_size(simulation)
    return simulation


def _check_size(simulation: Simulation) -> None:
    """Refuse what would take too long or too much memory."""
    sharing = simulation.ffn_devices
    if simulation.slots > MAX_SLOTS:
        raise InputError(
            f"--r {max(simulation.ratios)}"
            + (f" with {sharing} FFN devices" if sharing > 1 else "")
            + f", --batch {simulation.batch} and --microbatches {simulation.microbatches} make "
            f"{simulation.slots:,} slots; at most {MAX_SLOTS:,} are simulated"
        )
    if simulation.expected_seconds > MAX_SECONDS:
        raise InputError(
            f"this would take some {simulation.expected_seconds / 60:,.0f} minutes; at most "
            f"{MAX_SECONDS / 60:.0f} are allowed: fewer --requests, --replications or ratios take less"
        )


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
