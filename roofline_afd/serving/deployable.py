"""What published software runs: the shapes and tokens that libraries of exchange kernels do not go beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.catalogue.engines import IDEAL, load_engine
from roofline_afd.catalogue.libraries import load_library
from roofline_afd.serving.deployment import AFD, Deployments
from roofline_afd.serving.scenario import PLUGIN
from roofline_afd.serving.sizes import REPLICATED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.catalogue.libraries import Library
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

TOLD = 3
"""Libraries whose binding limit is told."""


class Rule(NamedTuple):
    """Libraries of which one must run an exchange, and who has them: an engine, or the library itself."""

    name: str
    libraries: tuple[Library, ...]


def rules_of(deployments: Deployments) -> tuple[Rule, ...]:
    """Return what a question is held to: the libraries of its engine, and those it is to be deployable with.

    Only libraries that run on the parts count. Of an engine none of whose libraries does, no limit is known;
    `ideal` has none, and `any_size` lifts all.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Returns
    -------
    tuple of Rule
        Each of them holds.
    """
    scenario = deployments.scenario
    named = {scenario.engine.id: scenario.engine.exchanges}
    catalogue = scenario.system.parts.catalogue
    other = scenario.deployable_with
    if other is not None and other != PLUGIN:
        known = catalogue.find("engine", other) is not None
        named[other] = load_engine(other, catalogue=catalogue).exchanges if known else (other,)
    named.pop(IDEAL, None)
    if scenario.any_size:
        return ()
    sides = (deployments.attention, deployments.ffn)
    vendors = {side.parts.accelerator.text("vendor") for side in sides}
    apart = sides[0].id != sides[1].id  # of two systems, which no domain joins
    rules = []
    for name, ids in named.items():
        libraries = (load_library(each, catalogue=catalogue) for each in ids)
        running = tuple(
            each for each in libraries if each.runs_on(*vendors) and not (apart and each.limits.one_domain)
        )
        if running or name in ids:
            rules.append(Rule(name, running))
    return tuple(rules)


def most_tokens(
    deployments: Deployments, attention: FloatArray, ffn: FloatArray, redundant_experts: FloatArray
) -> NDArray[np.float64]:
    """Return the most tokens that an attention device may send at once in each shape.

    Every device is a rank of one exchange: under `ep` all of them, under `afd` both groups together, among
    whose FFN devices the experts divide; that holds where the library lets ranks without experts take part.
    Devices that share heads count as ranks too.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    attention, ffn : float or array
        Devices of both groups; those of the second are not read under `ep` [1].
    redundant_experts : float or array
        Experts held twice [1].

    Returns
    -------
    array
        Tokens; infinite where nothing limits them, 0 where no library runs the shape [1].
    """
    found: NDArray[np.float64] = np.full(np.shape(attention), np.inf)
    rules = rules_of(deployments)
    if rules:
        ask = _exchange(deployments, attention, ffn, redundant_experts)
        for rule in rules:
            every = [each.limits.most_tokens(**ask) for each in rule.libraries]
            found = np.minimum(found, np.max([np.zeros(np.shape(attention)), *every], axis=0))
    if _ordered(deployments.scenario) and deployments.mode == AFD:
        found = np.where(np.less(attention, ffn), 0.0, found)
    return found


def most_sequences(deployments: Deployments, deployment: Deployment) -> FloatArray:
    """Return the most sequences of an attention device that libraries run, all micro-batches together.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One, or many, elementwise; its batch is not read.

    Returns
    -------
    float or array
        Sequences; infinite where nothing limits them, 0 where the shape does not run [1].
    """
    if deployment.transport == REPLICATED:  # collectives alone, which no such limit holds for
        return np.full(np.shape(deployment.attention_devices), np.inf)[()]
    tokens = most_tokens(
        deployments,
        deployment.attention_devices,
        0 if deployment.ffn_devices is None else deployment.ffn_devices,
        deployment.redundant_experts,
    )
    return np.floor(tokens / deployments.scenario.query_tokens) * deployment.microbatches


def runs(deployments: Deployments, attention: NDArray[Any], ffn: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which shapes the software of a question runs, whatever the tokens.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    attention, ffn : array
        Devices of both groups; the second may be empty under `ep` [1].

    Returns
    -------
    array of bool
        Whether each of them runs.
    """
    holders = ffn if deployments.mode == AFD else attention
    found: NDArray[np.bool_] = most_tokens(deployments, attention, ffn, deployments.fill(holders)) > 0
    return found


def refused(deployments: Deployments, deployment: Deployment) -> str:
    """Return why no library of a question runs one deployment, in words; empty where one does.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.
    deployment : Deployment
        One deployment, of plain numbers.

    Returns
    -------
    str
        Part of a sentence.
    """
    ffn = 0 if deployment.ffn_devices is None else deployment.ffn_devices
    most = float(np.asarray(most_sequences(deployments, deployment)))
    if most >= max(float(np.asarray(deployment.batch)), 1.0):
        return ""
    ask = _exchange(deployments, deployment.attention_devices, ffn, deployment.redundant_experts)
    tokens = float(np.asarray(deployment.sequences)) * deployments.scenario.query_tokens
    told = [_told(rule, ask, max(tokens, 1.0)) for rule in rules_of(deployments)]
    fewer = f"; --batch {most:,.0f} fits" if most >= 1 else ""
    return "; ".join(filter(None, told)) + fewer


def lifted(deployments: Deployments) -> Deployments | None:
    """Return the question without limits of software; None where none holds."""
    if not rules_of(deployments):
        return None
    free = attrs.evolve(deployments.scenario, any_size=True)
    return Deployments(free, deployments.mode, held_tokens=deployments.held_tokens)


def held_to(deployments: Deployments) -> str:
    """Return what limits the shapes of a question, in words; empty where nothing does."""
    rules = rules_of(deployments)
    names = (f"{rule.name} ({', '.join(each.id for each in rule.libraries)})" for rule in rules)
    if not rules:
        return ""
    return (
        f"shapes and tokens of a device are those that the exchange kernels of {' and '.join(names)} run, "
        "one of them each; `hardware show` tells their limits, --any-size lifts them"
    )


def _told(rule: Rule, ask: dict[str, Any], tokens: float) -> str:
    """Return why no library of a rule runs an exchange; empty where one does."""
    if not rule.libraries:
        return f"{rule.name} does not run on these parts"
    reasons = [(each.id, each.limits.binding(tokens=tokens, **ask)) for each in rule.libraries]
    if not all(reason for _, reason in reasons):
        return ""
    more = f", and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    said = ", ".join(reason if name == rule.name else f"{name} ({reason})" for name, reason in reasons[:TOLD])
    return f"{rule.name}: {said}{more}"


def _exchange(
    deployments: Deployments, attention: FloatArray, ffn: FloatArray, redundant_experts: FloatArray
) -> dict[str, Any]:
    """Return an exchange as limits are asked about it."""
    model, sides = deployments.scenario.model, (deployments.attention, deployments.ffn)
    apart = deployments.mode == AFD
    return {
        "devices": np.add(attention, ffn) if apart else np.multiply(attention, 1),
        "devices_per_node": min(side.scale_up_domain_devices for side in sides),
        "hidden_size": model.dispatch_width,
        "top_k": model.top_k,
        "experts": np.add(model.routed_experts, redundant_experts),
        "expert_devices": ffn if apart else attention,
    }


def _ordered(scenario: Scenario) -> bool:
    """Return whether attention devices must be as many as FFN devices at least, as the plugin wants them."""
    return scenario.deployable_with == PLUGIN and not scenario.any_size
