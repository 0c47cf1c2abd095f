"""What each ratio of attention to FFN instances delivers, simulated request by request, and which is best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.answer import Answer, with_formats
from roofline_afd.analysis.requests.prepare import FEW_TURNS, Prepared, prepare
from roofline_afd.errors import InfeasibleError
from roofline_afd.physics import barrier, linear
from roofline_afd.simulation.measure import FIRST_SHARE, half_width, series
from roofline_afd.simulation.run import run
from roofline_afd.simulation.words import COLD, FIRST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.requests.questions import Simulation
    from roofline_afd.physics.slots import Load
    from roofline_afd.simulation.arrays import Floats
    from roofline_afd.simulation.measure import Measured
    from roofline_afd.simulation.settings import Settings

NEGLIGIBLE = 0.005
"""Ratios that lose no more throughput than this are as good as the best."""
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


class Simulated(NamedTuple):
    """An answer, and how the first replication went over time: columns of `series`."""

    answer: Answer
    series: dict[str, NDArray[Any]]


def simulate(question: Simulation, *, advanced: Callable[[float], None] = lambda _share: None) -> Answer:
    """Answer which ratio of attention to FFN instances serves most, by simulation.

    Parameters
    ----------
    question : Simulation
        What is asked.
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
    prepared = prepare(question)
    measured, _ = run(prepared.settings, advanced=advanced)
    return answer(prepared, measured)


def simulated(question: Simulation, *, advanced: Callable[[float], None] = lambda _share: None) -> Simulated:
    """Answer the same, and tell how the first replication went; parameters are those of `simulate`.

    Returns
    -------
    Simulated
        The answer, and columns with a row per ratio and interval of steps.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or sources exclude each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.
    """
    prepared = prepare(question)
    measured, course = run(prepared.settings, advanced=advanced)
    return Simulated(answer(prepared, measured), series(prepared.settings, course))


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
    settings = prepared.settings
    rates = measured.throughput
    columns: dict[str, NDArray[Any]] = {
        "r": np.array(settings.ratios, dtype=np.int64),
        "throughput_per_instance": rates.mean(axis=0),
        "throughput_half_width": half_width(rates),
        "throughput_predicted": predicted(settings, load_of(prepared))[0],
        "attention_idle": np.maximum(measured.attention_idle.mean(axis=0), 0.0),
        "attention_idle_half_width": half_width(measured.attention_idle),
        "ffn_idle": np.maximum(measured.ffn_idle.mean(axis=0), 0.0),
        "ffn_idle_half_width": half_width(measured.ffn_idle),
        "tpot": measured.tpot.mean(axis=0) * 1e3,
        "tpot_p50": measured.tpot_p50.mean(axis=0) * 1e3,
        "tpot_p95": measured.tpot_p95.mean(axis=0) * 1e3,
    }
    summary = _summary(prepared, columns, rates)
    return Answer(
        command="simulate",
        inputs=prepared.inputs,
        columns=columns,
        summary=summary,
        notes=[*prepared.notes, *_notes(settings, summary)],
        table_keys=TABLE_KEYS,
    )


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
    settings, load = prepared.settings, prepared.workload.load
    if settings.start != COLD or settings.window != FIRST:
        return load
    theta = prepared.workload.starting(
        batch=settings.batch * settings.microbatches, requests=FIRST_SHARE * settings.requests
    )
    return load._replace(theta=theta)


def predicted(settings: Settings, load: Load, *, ratios: Floats | None = None) -> tuple[Floats, Floats]:
    """Return what the closed form says of each ratio: throughput per instance, and time per token.

    Parameters
    ----------
    settings : Settings
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
    ratios = np.array(settings.ratios, dtype=float) if ratios is None else ratios
    cycle = barrier.barrier_cycle_time(
        ratio=ratios,
        batch=settings.batch,
        theta=load.theta,
        nu=load.nu,
        skewness=load.skewness,
        coefficients=settings.times(ratios),
        microbatches=settings.microbatches,
        full_duplex=settings.duplex == "full",
        ffn_devices=settings.ffn_devices,
    )
    cycle = cycle + settings.outside / (settings.layers * settings.microbatches)
    share = {"cycle": cycle, "layers": settings.layers, "accept_length": settings.accept_length}
    rate = linear.throughput_per_instance(ratio=ratios, batch=settings.batch, **share)
    return rate, linear.time_per_token(microbatches=settings.microbatches, **share)


def _summary(prepared: Prepared, columns: Mapping[str, NDArray[Any]], rates: Floats) -> dict[str, Any]:
    """Return the best ratio, which others are as good, and the answer in a sentence."""
    ratios = columns["r"]
    allowed = columns["tpot"] <= prepared.tpot * 1e3
    if not allowed.any():
        least = int(np.argmin(columns["tpot"]))
        raise InfeasibleError(
            f"no: binding is the latency target: {ratios[least]} attention instances per FFN instance take "
            f"{columns['tpot'][least]:.4g} ms per token, --tpot-ms {prepared.tpot * 1e3:g} allows less"
        )
    best = int(np.argmax(np.where(allowed, rates.mean(axis=0), -np.inf)))
    losses = 1 - rates[:, allowed] / rates[:, [best]]
    close = ratios[allowed][losses.mean(axis=0) <= NEGLIGIBLE].tolist()
    unsure = None
    if prepared.settings.replications > 1:
        unsure = ratios[allowed][losses.mean(axis=0) <= half_width(losses)].tolist()
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
    asked = () if prepared.operators is None else (prepared.operators.scenario,)
    return {**found, "answer": with_formats(sentence, *asked)}


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


def _notes(settings: Settings, summary: Mapping[str, Any]) -> list[str]:
    """Say what the answer rests on."""
    sharing = settings.ffn_devices
    slowest = "attention instance" if sharing == 1 else f"of all {sharing} x r attention devices"
    notes = [
        (
            f"{settings.batch:,} slots per attention instance and micro-batch, {settings.microbatches} "
            f"micro-batch{'es' if settings.microbatches > 1 else ''} in flight; a request that ends is "
            f"replaced at once, and every layer waits for the slowest {slowest}; all layers take the "
            "times of the one that is simulated"
        )
    ]
    best, ratios = summary["best_r"], settings.ratios
    if best == max(ratios) and len(ratios) > 1:
        notes.append(f"{best} is the largest ratio asked for: a larger --r may serve more")
    if best == min(ratios) and best > 1 and len(ratios) > 1:
        notes.append(f"{best} is the smallest ratio asked for: a smaller --r may serve more")
    if settings.start == COLD and settings.window == FIRST:
        notes.append(
            "slots start together, with short contexts: throughput_predicted takes their mean in the window, "
            "and the deviation of the stationary state"
        )
    if settings.outside:
        notes.append("idle shares are those of the time in the layers; tokens/s and time per token hold all")
    unsure = [ratio for ratio in summary["indistinguishable_r"] or () if ratio != best]
    if unsure:
        notes.append(
            f"{_listed(unsure)} not told apart from {best} by these replications: more --requests or "
            "--replications would"
        )
    if settings.replications == 1:
        notes.append("one replication gives no confidence interval: --replications 2 or more do")
    slots = settings.batch * settings.microbatches
    if settings.requests < FEW_TURNS * slots:
        notes.append(
            f"{settings.requests:,} requests are only {settings.requests / slots:.3g} for each of an "
            f"attention instance's {slots:,} slots: the start still shows"
        )
    return notes
