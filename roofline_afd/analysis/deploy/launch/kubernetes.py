"""Manifests of Kubernetes: Dynamo's graph deployments, and llm-d's sets of leaders and workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.deploy.launch import sglang, trtllm, vllm
from roofline_afd.analysis.deploy.launch.texts import Flags, as_yaml
from roofline_afd.analysis.deploy.pools import DECODE, PREFILL, SERVE

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.files import Launched
    from roofline_afd.analysis.deploy.pools import Pool, Service

IMAGE = "IMAGE"
GPU = "nvidia.com/gpu"
LEAST_NODES = 2
"""Nodes from which Dynamo takes a replica for one of several nodes."""
TYPES = {SERVE: "worker", PREFILL: "prefill", DECODE: "decode"}
CONFIG_FOLDER = "/config"
DECODE_PORT = 8200
"""Port of the engine of llm-d behind the proxy of its decode pods."""


def _name(service: Service) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", service.scenario.model.id.lower()).strip("-")


def write_dynamo(service: Service, launched: Launched) -> None:
    """Write a graph deployment: a frontend, and a component for each pool."""
    engine = service.scenario.engine.id
    frontend = {
        "name": "Frontend",
        "type": "frontend",
        "replicas": 1,
        "podTemplate": _pod(["python3", "-m", "dynamo.frontend"], ["--router-mode", "kv"]),
    }
    components: list[dict[str, Any]] = [frontend]
    documents: list[dict[str, Any]] = []
    used = Flags()
    used.add("dynamo.frontend --router-mode", "kv", says="requests go where their prefix is cached")
    for pool in service.pools:
        component, config = _component(service, pool, engine, launched, used)
        components.append(component)
        if config is not None:
            documents.append(config)
    document = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": _name(service)},
        "spec": {"backendFramework": engine, "components": components},
    }
    above = launched.head()
    text = "---\n".join(as_yaml(each) for each in (*documents, document))
    launched.file("dynamo.yaml", "".join(f"# {line}\n" for line in above) + text, used)
    launched.left("IMAGE", f"the runtime image of Dynamo for {engine} that your registry has")


def _component(
    service: Service, pool: Pool, engine: str, launched: Launched, used: Flags
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return a component of a pool, and the configuration that it mounts, where its engine takes one."""
    config = None
    flags = Flags()
    if engine == "trtllm":
        flags.add("--model", service.weights, says="weights")
        flags.add("--extra-engine-args", f"{CONFIG_FOLDER}/{pool.role}.yaml", says="configuration")
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{_name(service)}-{pool.role}"},
            "data": {f"{pool.role}.yaml": as_yaml(trtllm.config_of(service, pool, launched))},
        }
    elif engine == "sglang":
        flags.add("--model-path", service.weights, says="weights")
        own = sglang.flags_of(service, pool, launched)
        flags.settings += own.settings
        flags.environment += own.environment
    else:
        flags.add("--model", service.weights, says="weights")
        own = vllm.flags_of(service, pool, launched)
        flags.settings += own.settings
        flags.environment += own.environment
        if pool.role != SERVE:
            vllm.moving(flags)
    if pool.role != SERVE:
        flags.add("--disaggregation-mode", pool.role, says="one phase of requests")
    used.settings += flags.settings
    used.environment += flags.environment
    nodes = pool.nodes(pool.devices)
    component: dict[str, Any] = {
        "name": pool.role,
        "type": TYPES[pool.role],
        "replicas": pool.replicas,
        **({"multinode": {"nodeCount": nodes}} if nodes >= LEAST_NODES else {}),
        "podTemplate": _pod(
            ["python3", "-m", f"dynamo.{engine}"],
            flags.words(),
            devices=pool.per_node(pool.devices),
            environment=flags,
            mounts=f"{_name(service)}-{pool.role}" if config else "",
        ),
    }
    return component, config


def _pod(
    command: list[str],
    words: list[str],
    *,
    devices: int = 0,
    environment: Flags | None = None,
    mounts: str = "",
) -> dict[str, Any]:
    """Return a pod of one container."""
    container: dict[str, Any] = {"name": "main", "image": IMAGE, "command": command, "args": words}
    if devices:
        container["resources"] = {"limits": {GPU: str(devices)}}
    if environment is not None and environment.environment:
        container["env"] = [{"name": each.name, "value": each.value} for each in environment.environment]
    spec: dict[str, Any] = {"containers": [container]}
    if mounts:
        container["volumeMounts"] = [{"name": "config", "mountPath": CONFIG_FOLDER}]
        spec["volumes"] = [{"name": "config", "configMap": {"name": mounts}}]
    return {"spec": spec}


def write_llm_d(service: Service, launched: Launched) -> None:
    """Write a set of leaders and workers for each pool."""
    documents = []
    used = Flags()
    for pool in service.pools:
        flags = Flags()
        behind = pool.role == DECODE
        flags.add("--port", DECODE_PORT if behind else vllm.PORTS[SERVE], says="port of the engine")
        own = vllm.flags_of(service, pool, launched)
        flags.settings += own.settings
        flags.environment += own.environment
        if pool.role != SERVE:
            vllm.moving(flags)
        local = max(pool.per_node(pool.devices) // pool.tensor_parallel, 1)
        if pool.nodes(pool.devices) > 1:
            flags.add("--data-parallel-hybrid-lb", says="each node serves its own groups")
            flags.add("--data-parallel-size-local", local, says="attention groups of a node")
            flags.add("--data-parallel-address", "${LWS_LEADER_ADDRESS}", says="the first node")
            flags.add("--data-parallel-rpc-port", vllm.RPC_PORT, says="a port free on the first node")
            start = f"$((LWS_WORKER_INDEX * {local}))"
            flags.add("--data-parallel-start-rank", start, says="first attention group of the node")
        used.settings += flags.settings
        used.environment += flags.environment
        documents.append(_leader_worker_set(service, pool, flags, local=local, behind=behind))
        if behind:
            used.add("routing-proxy --port", vllm.PORTS[SERVE], says="port of the pod")
            used.add("routing-proxy --vllm-port", DECODE_PORT, says="the engine behind it")
            used.add("routing-proxy --kv-connector", "nixlv2", says="caches move by NIXL")
            used.add("routing-proxy --data-parallel-size", local, says="groups of the pod")
    above = launched.head()
    text = "---\n".join(as_yaml(each) for each in documents)
    launched.file("llm-d.yaml", "".join(f"# {line}\n" for line in above) + text, used)
    launched.left("IMAGE and PROXY_IMAGE", "images of vLLM and of llm-d's routing proxy")
    launched.left("the gateway", "llm-d routes requests with a gateway that its guides install")


def _leader_worker_set(
    service: Service, pool: Pool, flags: Flags, *, local: int, behind: bool
) -> dict[str, Any]:
    """Return the set of a pool: replicas of as many pods as nodes."""
    line = f"exec vllm serve {service.weights} {' '.join(_shell(flags))}"
    container: dict[str, Any] = {
        "name": "vllm",
        "image": IMAGE,
        "command": ["/bin/bash", "-c"],
        "args": [line],
        "resources": {"limits": {GPU: str(pool.per_node(pool.devices))}},
        "env": [
            {
                "name": "VLLM_NIXL_SIDE_CHANNEL_HOST",
                "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
            },
            *({"name": each.name, "value": each.value} for each in flags.environment),
        ],
    }
    spec: dict[str, Any] = {"containers": [container]}
    if behind:
        proxy = {
            "name": "routing-proxy",
            "image": "PROXY_IMAGE",
            "restartPolicy": "Always",
            "args": [
                f"--port={vllm.PORTS[SERVE]}",
                f"--vllm-port={DECODE_PORT}",
                "--kv-connector=nixlv2",
                f"--data-parallel-size={local}",
            ],
        }
        spec = {"initContainers": [proxy], **spec}
    name = f"{_name(service)}-{pool.role}"
    labels = {
        "llm-d.ai/inference-serving": "true",
        "llm-d.ai/model": _name(service),
        **({"llm-d.ai/role": pool.role} if pool.role != SERVE else {}),
    }
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": pool.replicas,
            "leaderWorkerTemplate": {
                "size": pool.nodes(pool.devices),
                "workerTemplate": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    }


def _shell(flags: Flags) -> list[str]:
    """Return flags for a shell: what it expands in double quotes, the rest quoted where it must be."""
    import shlex

    words = []
    for each in flags.settings:
        words.append(each.name)
        if each.value is not None:
            words.append(f'"{each.value}"' if "$" in each.value else shlex.quote(each.value))
    return words
