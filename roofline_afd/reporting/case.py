"""What a report is about: the purchase, the questions that follow from it, and what is asked of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline_picture
from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.curves import frontier
from roofline_afd.analysis.decode.questions import Breakdown, Frontier
from roofline_afd.analysis.decode.rows import SHARED
from roofline_afd.analysis.evidence.services.rows import shipped_services
from roofline_afd.analysis.evidence.services.validate import validate_services
from roofline_afd.analysis.purchase.candidates import candidate_name, is_pair
from roofline_afd.analysis.purchase.procurement import procure
from roofline_afd.analysis.purchase.questions import Sensitivity
from roofline_afd.analysis.purchase.sensitivity import sensitivity
from roofline_afd.analysis.requests.pareto import pareto_picture
from roofline_afd.analysis.requests.prepare import FEW_TURNS
from roofline_afd.analysis.requests.questions import ParetoPicture, Simulation
from roofline_afd.analysis.requests.ratio import ratio_picture
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.reporting.requests import asked_for_requests, asked_of_requests
from roofline_afd.serving.checks import whole
from roofline_afd.serving.deployment import AFD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.purchase.questions import Report
    from roofline_afd.reporting.requests import WholeRequests
    from roofline_afd.serving.scenario import Scenario

OUTPUT_TOKENS = 512
"""Output tokens of a request where nothing says so: its mean context then fixes the input."""
CURVE_DEVICES = 256
"""Devices up to which curves over many latency targets are searched."""
PARETO_DEVICES = 32
FEW_DEVICES = 128
"""Devices up to which groups of single devices are searched where hundreds of searches are needed."""
SIMULATED_STEPS = 2600
"""Output tokens of a slot that are simulated, but for its first few requests."""
DOTS = 300
"""Beaten deployments drawn: a picture has no hover that would name them."""
BREAK_EVENS = 6
"""Inputs, those that move the answer most, whose break-even is looked for."""


class Case(NamedTuple):
    """What a report is about."""

    bought: Answer
    scenarios: Sequence[Scenario]
    """The candidates, with what the demand sets."""
    best: Mapping[str, Any]
    """The row that is recommended."""
    chosen: Scenario
    """The question about its system."""
    coarse: Scenario
    """The same where hundreds of searches are needed."""
    small: Scenario
    """The same about a few devices that prefill and decode."""
    prompt: int
    output: int
    """Mean input and output of a request, which together have the mean context [tokens]."""
    samples: int
    """Of all uncertain inputs at once [1]."""
    requests: WholeRequests | None
    """What is asked of whole requests, where they are asked about."""
    asked: Report
    """The question, of decoded tokens."""

    @property
    def own(self) -> list[dict[str, Any]]:
        """Feasible rows of the recommended system."""
        return [row for row in self.bought.rows() if row["system"] == self.best["system"] and row["feasible"]]

    @property
    def afd(self) -> dict[str, Any] | None:
        """Its row of attention-FFN disaggregation."""
        return next((row for row in self.own if row["mode"] == AFD), None)

    @property
    def pair(self) -> bool:
        """Whether it is a pair of systems, a candidate for AFD alone."""
        return is_pair(self.chosen)


def case_of(question: Report) -> Case:
    """Return what a report is about: the purchase, and the questions that follow from it.

    Parameters
    ----------
    question : Report
        Candidates, demand, and a buyer's assumptions.

    Returns
    -------
    Case
        The answer of `procure`, and questions about what it recommends.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no candidate serves the demand.
    """
    question, requests = asked_of_requests(question)
    bought = procure(question)
    asked = {key: bought.inputs[key] for key in ("tpot_ms", "context")}  # the demand may set them
    scenarios = [attrs.evolve(each, **asked) for each in question.scenarios]
    best = bought.rows()[0]
    chosen = next(each for each in scenarios if candidate_name(each) == best["system"])
    osl, mean = question.osl, bought.inputs["mean_output_tokens"]
    if osl is None and mean is not None:
        osl = round(mean)
    output = whole("--osl", osl) if osl is not None else min(OUTPUT_TOKENS, max(chosen.context, 1))
    prompt = chosen.context - output // 2
    if prompt < 1:
        raise InputError(
            f"--osl {output:,}: a mean context of {chosen.context:,} tokens leaves no input; --context must "
            f"be above {output // 2:,}"
        )
    coarse = chosen
    if chosen.granularity == "device" and chosen.devices is None and chosen.max_devices > FEW_DEVICES:
        coarse = attrs.evolve(chosen, granularity="node")
    small = attrs.evolve(chosen, devices=PARETO_DEVICES, tpot_ms=chosen.latency_ms)
    return Case(
        bought, scenarios, best, chosen, coarse, small, prompt, output, question.samples, requests, question
    )


def asked_for_pictures(case: Case) -> dict[str, Callable[[], Answer]]:
    """Return what is asked for the pictures of a page: independent pieces of work.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    dict
        By name of the picture, the longest first: what asks. Without a disaggregated deployment there is
        no `ratio`.
    """
    afd = case.afd
    ratio: dict[str, Callable[[], Answer]] = (
        {} if afd is None else {"ratio": lambda: ratio_picture(ratio_question(case, afd))}
    )
    return {
        **(asked_for_requests(case.requests) if case.requests else {}),
        "pareto": lambda: pareto_picture(
            ParetoPicture(case.small, dots=DOTS, isl=case.prompt, osl=case.output)
        ),
        **ratio,
        "curves": lambda: frontier(Frontier(fewer(case))),
        "procurement": lambda: case.bought,
        "breakdown": lambda: breakdown(Breakdown(deployed(case), mode=case.best["mode"])),
        "dead zone": lambda: roofline_picture(Roofline(case.chosen)),
    }


def deployed(case: Case) -> Scenario:
    """Return the question about the deployment that is recommended.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    Scenario
        With its devices, batch and micro-batches, and how devices share the model.
    """
    best = case.best
    replicas = best["n_replicas"]
    plan = {key: best[key] for key in (*SHARED, "afd_cut")}
    groups = {"devices": best["n_devices"] // replicas}
    if best["mode"] == AFD:
        groups = {f"{side}_devices": best[f"n_{side}_devices"] // replicas for side in ("attention", "ffn")}
    return attrs.evolve(
        case.chosen, batch=best["batch_per_group"], microbatches=best["microbatches"], **plan, **groups
    )


def fewer(case: Case) -> Scenario:
    """Return the question where it is searched for many latency targets.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    Scenario
        With at most `CURVE_DEVICES`.
    """
    return attrs.evolve(case.coarse, max_devices=min(case.coarse.max_devices, CURVE_DEVICES))


def ratio_question(case: Case, afd: Mapping[str, Any]) -> Simulation:
    """Return the question of ratios about a disaggregated deployment.

    The batch is three quarters of that of a micro-batch: one that fits at the mean context leaves no room
    for one that is longer than the mean.

    Parameters
    ----------
    case : Case
        What the report is about.
    afd : mapping
        The row of the deployment.

    Returns
    -------
    Simulation
        What is asked.
    """
    m = int(afd["microbatches"])
    batch = max(int(afd["batch_per_device"]) * 3 // (4 * m), 1)
    turns = min(FEW_TURNS, SIMULATED_STEPS / case.output)
    ffn_devices = afd["n_ffn_devices"] // afd["n_replicas"]
    return Simulation(
        scenario=attrs.evolve(case.chosen, microbatches=m, ffn_devices=ffn_devices),
        prompt_mean=case.prompt,
        decode_mean=case.output,
        batch=batch,
        requests=max(round(turns * batch * m), 1),
        replications=2,
    )


def moved_by(case: Case) -> Answer:
    """Return what uncertain inputs do to AFD over EP; to the mode that serves where the other cannot.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    Answer
        Of `sensitivity`.
    """
    question = Sensitivity(case.coarse, samples=case.samples, break_evens=BREAK_EVENS)
    try:
        return sensitivity(question)
    except InfeasibleError:
        return sensitivity(dataclasses.replace(question, metric=case.best["mode"]))


def verdict_on(case: Case) -> tuple[str, list[dict[str, Any]]]:
    """Return which mode serves more, and why; and what each lever does to that.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    tuple
        The reason of `compare`, and its levers.
    """
    summary = compare(case.coarse, levers=True).summary
    return summary["reason"], summary["levers"]


def validated(case: Case) -> Answer:
    """Return how far predictions are from published services.

    Parameters
    ----------
    case : Case
        What the report is about.

    Returns
    -------
    Answer
        Of `validate`, about the catalogue of the case.
    """
    catalogue = case.chosen.system.parts.catalogue or Catalogue()
    return validate_services(shipped_services(catalogue), catalogue=catalogue)
