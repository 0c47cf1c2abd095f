"""What is asked of decode deployments: each question with its options."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.questions import option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.serving.scenario import Scenario

METRICS = ("afd_over_ep", "hfu")
PLANES = ("bandwidth-context", "context-tpot", "bandwidth-tpot", "bandwidth-width")
"""Pairs of inputs that a map lies over where no others are named."""
AXIS_KEYS = (
    "scale_out_gb_per_s",
    "scale_up_gb_per_s",
    "memory_gb_per_s",
    "memory_gb",
    "fp8_tflops",
    "expert_intermediate",
    "routed_experts",
    "top_k",
    "context",
    "tpot_ms",
    "max_devices",
)
"""Inputs that the shell offers for an axis of a map; any other number works too."""
_AXIS_WORDS = tuple(f"{key}=" for key in AXIS_KEYS)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """EP or AFD.

    Parameters
    ----------
    scenario : Scenario
        The question.
    levers : bool
        Tell what each lever does to the verdict, one at a time and the same for both modes.
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    levers: bool = False


@dataclasses.dataclass(frozen=True)
class OneDeployment:
    """A question about one deployment.

    Parameters
    ----------
    scenario : Scenario
        The question: devices and batch among it.
    mode : str, optional
        One group of devices, or two; afd where FFN devices are named and nothing else is said.
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    mode: str | None = option(None, words=("ep", "afd"))


@dataclasses.dataclass(frozen=True)
class Prediction(OneDeployment):
    """What one deployment reaches.

    Parameters
    ----------
    largest_batch : bool
        Take the largest batch that memory holds, and a latency target that is given allows.
    largest_context : bool
        Take the longest context that memory holds the batch with.
    """

    _: dataclasses.KW_ONLY
    largest_batch: bool = option(default=False)
    largest_context: bool = option(default=False)


@dataclasses.dataclass(frozen=True)
class Breakdown(OneDeployment):
    """Where a decode step spends its time.

    Parameters
    ----------
    scenario : Scenario
        The question; with a batch one deployment, without the best one under the latency target.
    """


@dataclasses.dataclass(frozen=True)
class WhatIf:
    """What changes when inputs do.

    Parameters
    ----------
    scenario : Scenario
        The baseline.
    changes : mapping of str to float or str
        Key to new value, at least one: a field of the scenario, `system` or `model`, or a catalogue key as
        `--set` takes.
    """

    scenario: Scenario
    changes: Mapping[str, float | str]


@dataclasses.dataclass(frozen=True)
class Frontier:
    """Which mode serves more tokens per device at which latency target.

    Parameters
    ----------
    scenario : Scenario
        The question; its own latency target is one of those looked at.
    tpot_range : tuple of float, optional
        First and last latency target looked at, in ms; where absent, from the least that is feasible to where
        throughput no longer grows [ms].
    targets_ms : sequence of float, optional
        The targets themselves, instead of a range [ms].
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    tpot_range: tuple[float, float] | None = option(None, metavar="LOW:HIGH")
    targets_ms: Sequence[float] | None = option(None, shown=False)


@dataclasses.dataclass(frozen=True)
class Map:
    """Where AFD beats EP, or how well FFN devices are used, over two inputs at once.

    Parameters
    ----------
    scenario : Scenario
        The question; a picture marks its own values.
    x : tuple of str and sequence of float, optional
        Input across and its values, any number of the question, the system or the model: low:high[:count],
        evenly spaced on logarithms, or a list a,b,c; that of `axes` where absent.
    y : tuple of str and sequence of float, optional
        Input up and its values, likewise.
    metric : str
        Throughput of the best deployments, AFD over EP (`afd_over_ep`), or the best feasible HFU of the FFN
        stage over 1 to 40 nodes (`hfu`).
    axes : str, optional
        Inputs across and up where `x` and `y` do not name them: bandwidth between the groups, context,
        latency target, or width of an expert; bandwidth and context where absent, of HFU, which no context
        moves, bandwidth and latency target.
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    x: tuple[str, Sequence[float]] | None = option(None, metavar="KEY=RANGE", words=_AXIS_WORDS)
    y: tuple[str, Sequence[float]] | None = option(None, metavar="KEY=RANGE", words=_AXIS_WORDS)
    metric: str = option("afd_over_ep", words=METRICS)
    axes: str | None = option(None, words=PLANES)
