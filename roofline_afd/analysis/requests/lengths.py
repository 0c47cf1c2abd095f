"""What requests load a slot with: their lengths from a trace, or from a distribution of each."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.requests.traces import Trace, read_trace
from roofline_afd.errors import InputError
from roofline_afd.physics import lengths, slots
from roofline_afd.serving.checks import belongs, choice, finite, option
from roofline_afd.simulation.words import DISTRIBUTIONS, FIXED, GEOMETRIC, LOGNORMAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.analysis.requests.questions import Provisioning
    from roofline_afd.physics.lengths import Moments
    from roofline_afd.physics.slots import Load

LONGEST_LENGTH = 1_000_000
LARGEST_VARIATION = 20.0
MOST_STEPS = 1 << 22
"""Longest output whose start from empty slots is followed."""


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
                slots.finite_horizon_load(
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
        return slots.finite_horizon_load_of(ending=ending, tokens=tokens, steps=steps)

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


def workload_of(question: Provisioning) -> Workload:
    """Check where the lengths of requests come from: a trace, or a distribution of each.

    Parameters
    ----------
    question : Provisioning
        What is asked: its trace, or its lengths.

    Returns
    -------
    Workload
        The load of a slot.

    Raises
    ------
    InputError
        If both or none is given, a value is out of bounds, or the file is faulty.
    """
    prompt_mean, decode_mean = question.prompt_mean, question.decode_mean
    of_means = (
        *("prompt_mean", "prompt_distribution", "prompt_cv"),
        *("decode_mean", "decode_distribution", "decode_cv"),
    )
    given = [option(name) for name in of_means if getattr(question, name) is not None]
    if question.trace is not None:
        if given:
            raise InputError(f"--trace and {given[0]} exclude each other: lengths come from one of them")
        return _traced(question.trace, question.prompt_column, question.decode_column)
    belongs(question, ("prompt_column", "decode_column"), "--trace")
    if prompt_mean is None or decode_mean is None:
        missing = "--prompt-mean" if prompt_mean is None else "--decode-mean"
        raise InputError(f"{missing} is missing: give --trace, or --prompt-mean and --decode-mean")
    notes: list[str] = []
    spread = question.prompt_distribution or FIXED, question.prompt_cv
    prompts = _length("prompt", prompt_mean, *spread, notes)
    spread = question.decode_distribution or GEOMETRIC, question.decode_cv
    outputs = _length("decode", decode_mean, *spread, notes)
    if question.decode_distribution is None:
        notes.append(Decisive("outputs are taken as geometric: --decode-distribution says otherwise"))
    return Workload(
        load=slots.load_from_moments(prompt=prompts.moments, decode=outputs.moments),
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
    load = slots.stationary_load(prompt=trace.prompt_tokens, decode=trace.decode_tokens)
    notes = [
        (
            f"theta {load.theta:,.1f} +- {load.theta_error:,.1f} and nu {load.nu:,.1f} +- "
            f"{load.nu_error:,.1f} tokens: standard errors of {trace.requests:,} requests, taken as "
            "independent of each other"
        )
    ]
    if trace.note:
        notes.append(trace.note)
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
