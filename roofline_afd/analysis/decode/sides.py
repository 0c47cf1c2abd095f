"""Both modes of a question, searched: the best deployment of each, or why there is none."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.analysis.decode.memory import largest_parts, memory_of
from roofline_afd.analysis.decode.rows import TABLE_KEYS, row_of
from roofline_afd.progress import steps
from roofline_afd.serving.candidates import shapes_in_memory
from roofline_afd.serving.deployable import lifted, refused
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.limits import FABRIC, KERNELS, LATENCY, MEMORY, RATIO
from roofline_afd.serving.plans import plans_of
from roofline_afd.serving.repeated import Best, RepeatedSearch
from roofline_afd.serving.scenario import PLUGIN
from roofline_afd.serving.search import Found, search
from roofline_afd.units import rounded_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.serving.candidates import Candidates
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

NAMES = {EP: "EP", AFD: "AFD"}
REFUSALS = {
    MEMORY: "the weights and one sequence do not fit the devices allowed",
    LATENCY: "no deployment is quick enough",
    RATIO: "no whole number of devices meets the budget and the filters",
    FABRIC: "no fabric connects the devices",
    KERNELS: "those that hold the model are none that the software runs",
}
"""Why no deployment of a mode is feasible, by its binding constraint."""
MOST_DEVICES = 1024
"""Devices up to which an infeasible question looks for a feasible size."""
FEWEST_WIDER = 64
"""Devices up to which it looks first."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One mode of a comparison: what was searched, what was found, and the row of the best."""

    deployments: Deployments
    found: Found
    row: dict[str, Any]

    @property
    def rate(self) -> float | None:
        """Tokens per second and device of the best; None where nothing is feasible."""
        value = self.row["tokens_per_s_per_device"]
        return None if value is None else float(value)


def search_modes(scenario: Scenario) -> dict[str, Side]:
    """Search both modes.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    dict of str to Side
        By mode.
    """
    return {mode: search_mode(scenario, mode) for mode in steps(MODES)}


def search_mode(scenario: Scenario, mode: str) -> Side:
    """Search one mode; parameters are those of `search_modes` and the mode."""
    deployments = Deployments(scenario, mode)
    found = search(deployments)
    row = _refused(mode, found) if found.best is None else row_of(deployments, found.best)
    return Side(deployments, found, row)


def _refused(mode: str, found: Found) -> dict[str, Any]:
    """Return the row of a mode without a feasible deployment: nothing but what rules it out."""
    blank = dict.fromkeys(TABLE_KEYS)
    return {**blank, "mode": mode, "feasible": False, "binding": found.refusal}


def rates(
    scenario: Scenario,
    transports: Sequence[str] | None = None,
    *,
    at_least: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """Return the throughput of the best deployment of `ep` and of `afd`; 0 where none is feasible.

    Of some transports where they are given, else of those the question names; at least what is known.
    """
    found = []
    for mode, known in zip(MODES, at_least, strict=True):
        deployments = Deployments(scenario, mode)
        best = search(deployments, plans=plans_of(deployments, transports), at_least=known).best
        found.append(known if best is None else max(known, rate_of(deployments, best)))
    return found[0], found[1]


class Successive:
    """Throughput of the best deployments for question after question, those before a start for the next."""

    def __init__(self) -> None:
        self._known: dict[str, RepeatedSearch] = {}

    def rates(self, scenario: Scenario) -> tuple[float, float]:
        """Return the same as `rates`, sooner where a question differs from the last in numbers alone."""
        return self.every([scenario])[0]

    def every(self, scenarios: Sequence[Scenario]) -> list[tuple[float, float]]:
        """Return the same of each question; they differ from each other in `stacked.NUMBERS` alone."""
        ep, afd = ([best.rate for best in each] for each in self.bests(scenarios).values())
        return list(zip(ep, afd, strict=True))

    def bests(self, scenarios: Sequence[Scenario]) -> dict[str, list[Best]]:
        """Return the best deployment of each question, by mode."""
        return {mode: self._bests([Deployments(each, mode) for each in scenarios]) for mode in MODES}

    def _bests(self, questions: Sequence[Deployments]) -> list[Best]:
        found: dict[int, Best] = {}
        left = list(range(len(questions)))
        while left:
            known = self._known.get(questions[0].mode)
            alike = [place for place in left if known is not None and known.answers(questions[place])]
            if known is not None and alike:
                found |= zip(alike, known.bests([questions[place] for place in alike]), strict=True)
                left = [place for place in left if place not in found]
            else:
                place = left.pop(0)
                found[place] = self._searched(questions[place])
        return [found[place] for place in range(len(questions))]

    def _searched(self, deployments: Deployments) -> Best:
        """Return the best of a question that differs in more, from which others start."""
        plans = plans_of(deployments)
        found = search(deployments, plans=plans)
        self._known[deployments.mode] = RepeatedSearch(found, plans=plans)
        rate = 0.0 if found.best is None else rate_of(deployments, found.best)
        return Best(rate, found.best, late=found.refusal == LATENCY)


def rate_of(deployments: Deployments, deployment: Deployment) -> float:
    """Return tokens per second and device of a deployment."""
    step = deployments.step(deployment).time
    return float(np.asarray(deployments.tokens_per_s_per_device(deployment, step)))


def refusal_of(sides: Mapping[str, Side]) -> str:
    """Return why neither mode has a feasible deployment."""
    return "; ".join(f"{NAMES[mode]}: {why_not(side)}" for mode, side in sides.items())


def why_not(side: Side) -> str:
    """Return why a mode has no feasible deployment, with the nearest value that has one.

    Parameters
    ----------
    side : Side
        The mode, searched in vain.

    Returns
    -------
    str
        What binds, and the nearest value that would do.
    """
    found, scenario = side.found, side.deployments.scenario
    text = f"binding is {found.refusal}: {REFUSALS.get(found.refusal, found.refusal)}"
    if found.refusal == LATENCY and found.nearest:
        return f"{text}; the least is {rounded_up(found.nearest * 1e3)} ms per token (--tpot-ms)"
    if found.refusal == RATIO:
        return f"{text}{_ratio_hint(scenario, side.deployments)}"
    if found.refusal == KERNELS:
        return f"{text}{_kernel_terms(side.deployments)}{_ratio_hint(scenario, side.deployments)}"
    if found.refusal == MEMORY:
        return f"{text}{_memory_terms(side.deployments)}{_memory_hint(scenario, side.deployments)}"
    return text


def _ratio_hint(scenario: Scenario, deployments: Deployments) -> str:
    """Return the nearest devices that whole nodes and the filters allow."""
    senders, receivers = scenario.attention_devices, scenario.ffn_devices
    if senders and receivers and scenario.deployable_with == PLUGIN and senders < receivers:
        return f"; nearest: --attention-devices {receivers} --ffn-devices {receivers}"
    wanted = scenario.devices or scenario.max_devices
    for looked_at, found in _wider(attrs.evolve(scenario, devices=None), deployments.mode):
        sizes = np.unique(found.attention_devices + found.ffn_devices)
        away = np.abs(sizes - wanted)
        if sizes.size and np.min(away) <= looked_at - wanted:
            option = "--devices" if scenario.devices else "--max-devices"
            return f"; nearest: {option} {int(sizes[np.argmin(away)])}"
    return ""


def _wider(scenario: Scenario, mode: str) -> Iterator[tuple[float, Candidates]]:
    """Yield what memory holds on ever more devices, with how many were looked at: most answers need few."""
    last = max(scenario.max_devices, MOST_DEVICES)
    most = max(scenario.max_devices, FEWEST_WIDER)
    while most < last:
        yield most, shapes_in_memory(Deployments(attrs.evolve(scenario, max_devices=most), mode))
        most *= 2
    yield math.inf, shapes_in_memory(Deployments(attrs.evolve(scenario, max_devices=last), mode))


def _kernel_terms(deployments: Deployments) -> str:
    """Return which limits of kernels rule the smallest deployment out that holds the model."""
    free = lifted(deployments)
    if free is None:
        return ""
    found = shapes_in_memory(free)
    wanted = deployments.scenario.batch or 1
    rows = np.flatnonzero(found.most >= wanted)
    if not rows.size:
        return ""
    devices = (found.attention_devices + found.ffn_devices)[rows]
    best = rows[int(np.argmin(devices))]
    one = deployments.deployment_of(
        int(found.attention_devices[best]),
        int(found.ffn_devices[best]),
        batch=wanted,
        microbatches=int(found.microbatches[best]),
        redundant_experts=float(found.redundant_experts[best]),
    )
    return f" ({refused(deployments, one)})"


def _memory_terms(deployments: Deployments) -> str:
    """Return the largest terms of the memory of the roomiest deployment allowed, with one sequence."""
    found = shapes_in_memory(deployments)
    if not found.most.size:
        return ""
    best = int(np.argmax(found.most))
    shape = (found.attention_devices, found.ffn_devices)
    one = deployments.deployment_of(
        *(int(devices[best]) for devices in shape),
        batch=1,
        redundant_experts=float(found.redundant_experts[best]),
    )
    both = memory_of(deployments, one)
    full = min(filter(None, both.values()), key=lambda memory: memory["free_gb"])
    return f" ({largest_parts(full)} of {full['driver_gb']:.4g} GB a device, of {one.devices:.0f})"


def _memory_hint(scenario: Scenario, deployments: Deployments) -> str:
    """Return the least change that makes the model fit: more devices, or a shorter context."""
    wanted = scenario.batch or 1
    most = float(np.max(shapes_in_memory(deployments).most, initial=-1.0))
    if most >= 1:
        return f"; --batch {most:.0f} fits"
    free = attrs.evolve(scenario, devices=None, attention_devices=None, ffn_devices=None)
    for _, found in _wider(free, deployments.mode):
        sizes = (found.attention_devices + found.ffn_devices)[found.most >= wanted]
        if sizes.size:
            given = scenario.devices or scenario.attention_devices or scenario.ffn_devices
            return f"; {np.min(sizes):.0f} devices hold it ({'--devices' if given else '--max-devices'})"

    def fits(context: int) -> bool:
        shorter = Deployments(attrs.evolve(scenario, context=context), deployments.mode)
        return bool(np.max(shapes_in_memory(shorter).most, initial=-1.0) >= wanted)

    low, high = 0, scenario.context
    while high - low > max(low // 100, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return f"; --context {low} fits" if low else "; not even the shortest context fits"
