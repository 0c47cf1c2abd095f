"""A chosen deployment as launch files, and what to watch of it once it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import quantities_of, serving_inputs
from roofline_afd.analysis.decode.one import deployment_of
from roofline_afd.analysis.decode.rows import row_of
from roofline_afd.analysis.deploy.chosen import Chosen, chosen
from roofline_afd.analysis.deploy.launch import afd_plugin, kubernetes, sglang, trtllm, vllm
from roofline_afd.analysis.deploy.launch.files import Launched
from roofline_afd.analysis.deploy.pools import Pool, Service, pools_of
from roofline_afd.analysis.deploy.targets import METRICS
from roofline_afd.analysis.deploy.watch import Watched, watch_list
from roofline_afd.analysis.kept import taken_from
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes.question import AGG_AFD, PD_AFD

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.deploy.questions import Launch
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario

WRITERS: dict[str, Callable[[Service, Launched], None]] = {
    "vllm": vllm.write,
    "sglang": sglang.write,
    "trtllm": trtllm.write,
    "dynamo": kubernetes.write_dynamo,
    "llm-d": kubernetes.write_llm_d,
    "afd-plugin": afd_plugin.write,
}
PROMPT_TRANSPORT = "node"
SHOWN = {"prefill": "prefill", "decode": "decode", "serve": ""}


def deploy(question: Launch) -> Answer:
    """Answer how a deployment is launched, and what to watch of it.

    Parameters
    ----------
    question : Launch
        What is asked.

    Returns
    -------
    Answer
        The watch list as rows; files, settings and what they cannot say in the summary.

    Raises
    ------
    InputError
        If the question contradicts itself, or an answer that is given holds no deployment.
    InfeasibleError
        If no deployment that the software runs is feasible.
    """
    with taken_from(question.answer, what="deploy"):
        return _launched(question)


def _launched(question: Launch) -> Answer:
    found = chosen(question)
    watched = _watched(found)
    scenario = watched.scenario
    service = Service(
        scenario=found.scenario,
        pools=pools_of(
            found.scenario, found.row, watched.row, prefill_library=_prompt_library(watched.deployments)
        ),
        weights=_weights(found.scenario),
        workload=found.workload,
    )
    said = _sentence(found, service)
    launched = Launched(found.target, said)
    WRITERS[question.target](service, launched)
    _formats(found.scenario, launched)
    rows = watch_list(watched)
    quantities = quantities_of(watched.deployments)
    error = load_service_constants(scenario.system.parts.catalogue).validated_error
    return Answer(
        command="deploy",
        inputs={**serving_inputs(found.scenario, quantities), "for": question.target},
        columns=object_columns(rows),
        summary={
            "deployment": dict(found.row),
            "files": launched.files,
            "settings": launched.settings,
            "unexpressed": launched.unexpressed,
            "left_to_you": launched.left_to_you,
            "target": {"name": found.target.name, "version": found.target.version},
            "source": found.target.source,
            "answer": with_formats(said, found.scenario),
        },
        notes=[
            *(f"cannot be expressed: {each}" for each in launched.unexpressed),
            *(f"left to you: {each}" for each in launched.left_to_you),
            *found.notes,
            f"flags as documented for {found.target.name}, {found.target.version}: {found.target.source}",
            f"services were {error:.1%} off in the median: so much a quantity may differ with nothing wrong",
            *provenance_notes(scenario, quantities),
        ],
        files=launched.files,
    )


def _watched(found: Chosen) -> Watched:
    """Return what decodes of a deployment, as it is predicted."""
    row, scenario = found.row, found.scenario
    mode = AFD if row["mode"] in {AFD, AGG_AFD, PD_AFD} else EP
    sizes = (
        {
            "attention_devices": row["n_attention_devices"],
            "ffn_devices": row["n_ffn_devices"],
            "devices": None,
        }
        if mode == AFD
        else {"devices": row["n_devices"], "attention_devices": None, "ffn_devices": None}
    )
    kept = ("tensor_parallel", "context_parallel", "expert_tensor_parallel", "redundant_experts", "afd_cut")
    one = attrs.evolve(
        scenario,
        **sizes,
        batch=int(row["batch_per_group"]),
        microbatches=int(row["microbatches"]),
        context=scenario.context if found.workload is None else max(found.workload.mean_context, 1),
        **{key: row[key] for key in kept if row.get(key) is not None},
    )
    deployments = Deployments(one, mode)
    deployment: Deployment = deployment_of(deployments)
    told = row_of(deployments, deployment, limited=one.tpot_ms is not None)
    return Watched(deployments, deployment, told, row, found.ttft_ms, METRICS.get(one.engine.id, {}))


def _prompt_library(deployments: Deployments) -> str:
    """Return the kernels that exchange the tokens of prompts."""
    transport = deployments.scenario.transport or PROMPT_TRANSPORT
    return deployments.calibrations(transport)[0].link.library or ""


def _weights(scenario: Scenario) -> str:
    """Return the repository of the weights: the one that was asked for, else of the checkpoint taken."""
    taken, asked = scenario.checkpoint, scenario.model.asked_as
    record = scenario.system.parts.catalogue.record("model", scenario.model.id)
    known = record.data.get("hugging_face_ids", ())
    first = next(iter(known), scenario.model.id)
    if taken is None or taken.experts != scenario.weights.id:
        return first
    if taken.repository == first:  # others of the same shape are published in the same formats
        named = (
            each for each in known if asked.rpartition("/")[2].lower() == each.rpartition("/")[2].lower()
        )
        return next(named, first)
    return taken.repository or first


def _formats(scenario: Scenario, launched: Launched) -> None:
    """Keep that no checkpoint has the formats of the question, where none does."""
    taken = scenario.checkpoint
    if taken is None or taken.experts != scenario.weights.id:
        launched.left(
            "weights",
            f"no checkpoint with experts in {scenario.weights.id} is known: put the name of one in place of "
            "the repository",
        )


def _sentence(found: Chosen, service: Service) -> str:
    """Return what is launched, and what it is predicted to reach."""
    shapes = "; ".join(_shape(pool) for pool in service.pools)
    whole = found.row
    times = f"{whole['tpot_ms']:.1f} ms per token"
    if whole.get("ttft_ms") is not None:
        times += f" after {whole['ttft_ms']:,.0f} ms"
    return (
        f"{service.scenario.model.id} with {found.target.name}: {shapes}; predicted "
        f"{whole['tokens_per_s_per_device']:,.0f} tokens/s per device at {times}."
    )


def _shape(pool: Pool) -> str:
    """Return a pool in words."""
    sides = (
        f"{pool.attention_devices} attention and {pool.ffn_devices} FFN devices"
        if pool.ffn_devices
        else f"{pool.devices} devices"
    )
    times = f"{pool.replicas} x " if pool.replicas > 1 else ""
    role = f"{SHOWN[pool.role]} on " if SHOWN[pool.role] else ""
    heads = f" of {pool.tensor_parallel}" if pool.tensor_parallel > 1 else ""
    groups = f"{pool.groups} attention groups{heads}" if pool.groups > 1 else "one attention group"
    held = f", {pool.sequences} sequences each" if pool.sequences else ""
    return f"{role}{times}{sides} of {pool.system.id} as {groups}{held}"
