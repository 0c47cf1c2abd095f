"""Flags of `vllm serve`: of a replica of expert parallelism, and of the two roles of the AFD plugin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from roofline_afd.analysis.deploy.launch.files import on_nodes
from roofline_afd.analysis.deploy.launch.texts import Expansion, Flags, script
from roofline_afd.analysis.deploy.pools import DECODE, PREFILL, SERVE

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.files import Launched
    from roofline_afd.analysis.deploy.pools import Pool, Service

PORTS = {SERVE: 8000, PREFILL: 8100, DECODE: 8200}
RPC_PORT, AFD_PORT = 13345, 1239
BACKENDS = {
    "deepep-v1-low-latency": "deepep_low_latency",
    "uccl-low-latency": "deepep_low_latency",
    "deepep-v1-normal": "deepep_high_throughput",
    "uccl-normal": "deepep_high_throughput",
    "deepep-v2": "deepep_v2",
    "mori": "mori_low_latency",
    "trtllm-one-sided": "flashinfer_nvlink_one_sided",
    "trtllm-two-sided": "flashinfer_nvlink_two_sided",
    "nccl-all-to-all": "allgather_reducescatter",
}
"""What `--all2all-backend` calls libraries of exchange kernels; UCCL takes the place of DeepEP's."""
OVERLAPPING = {"deepep_low_latency", "deepep_high_throughput", "nixl_ep"}
BATCHED = {"deepep_low_latency", "nixl_ep"}
"""Backends whose buffers are made for the tokens of a step."""
LEAST_STEP_TOKENS = 256
CACHES = {"bf16": "bfloat16", "fp8": "fp8"}
NIXL = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}


def flags_of(service: Service, pool: Pool, launched: Launched) -> Flags:
    """Return the flags of a pool that are the same on every node.

    Parameters
    ----------
    service : Service
        What is launched.
    pool : Pool
        One of its pools.
    launched : Launched
        Where what cannot be said is kept.

    Returns
    -------
    Flags
        Flags and variables.
    """
    flags = Flags()
    flags.add("--tensor-parallel-size", pool.tensor_parallel, says="devices that share heads")
    flags.add("--data-parallel-size", pool.groups, says="attention groups")
    if pool.context_parallel > 1:
        flags.add("--decode-context-parallel-size", pool.context_parallel, says="devices that share a cache")
    if pool.expert_devices > 1:
        flags.add("--enable-expert-parallel", says=f"experts divided among {pool.expert_devices} devices")
    if pool.expert_tensor_parallel > 1:
        launched.cannot(
            f"{pool.expert_tensor_parallel} devices that share each expert: vLLM divides experts among all "
            "devices of a replica (--expert-tensor-parallel 1)"
        )
    if not pool.ffn_devices:
        _exchange(service, pool, flags, launched)
    _tokens(service, pool, flags, launched)
    launched.no_rhythm(pool)
    flags.add(
        "--gpu-memory-utilization",
        1 - service.scenario.reserve,
        says="share of memory that is planned with",
    )
    cache = CACHES.get(service.scenario.kv_precision)
    if cache:
        flags.add("--kv-cache-dtype", cache, says="format of the cache")
    else:
        launched.cannot(f"caches in {service.scenario.kv_precision}: no --kv-cache-dtype of vLLM is that")
    if service.drafted and pool.role != PREFILL:
        _drafting(service, flags, launched)
    return flags


def _exchange(service: Service, pool: Pool, flags: Flags, launched: Launched) -> None:
    """Add how tokens reach their experts, how experts are balanced, and what overlaps."""
    backend = BACKENDS.get(pool.library)
    if pool.devices > 1 and pool.groups > 1:
        if backend:
            flags.add("--all2all-backend", backend, says=f"kernels of {pool.library}")
        elif pool.library:
            launched.cannot(f"the exchange kernels of {pool.library}: vLLM takes its default")
    if pool.balanced and pool.devices > 1:
        flags.add("--enable-eplb", says="experts replicated and placed by load")
        flags.add(
            "--eplb-config.num_redundant_experts",
            pool.redundant_experts,
            says=f"{service.scenario.model.routed_experts} experts and these fill the devices evenly",
        )
    if pool.microbatches > 1:
        if backend in OVERLAPPING and pool.groups > 1:
            flags.add("--enable-dbo", says="two micro-batches, one computes while the other is sent")
            phase = "prefill" if pool.role == PREFILL else "decode"
            flags.add(f"--dbo-{phase}-token-threshold", 2, says="from two tokens on, as predicted")
        else:
            launched.cannot(
                f"two micro-batches: --enable-dbo needs attention groups and one of "
                f"{', '.join(sorted(OVERLAPPING))} (--microbatches 1)"
            )


def _tokens(service: Service, pool: Pool, flags: Flags, launched: Launched) -> None:
    """Add what a rank holds at once, and how long a request may be."""
    tokens = service.scenario.query_tokens * pool.sequences
    if pool.sequences:
        flags.add("--max-num-seqs", pool.sequences, says="sequences of an attention group")
    chunk = pool.step_tokens or 0
    step = max(tokens + (chunk if pool.role == SERVE else 0), chunk, LEAST_STEP_TOKENS)
    flags.add("--max-num-batched-tokens", step, says="tokens of an attention group and step")
    if service.longest is not None:
        flags.add("--max-model-len", service.longest, says="tokens cached and computed of a request")
    else:
        launched.left("--max-model-len", "the longest request: the question names a mean context alone")
    if pool.sequences and not pool.ffn_devices:
        captured = -(-tokens // max(pool.microbatches, 1))
        flags.add("--max-cudagraph-capture-size", captured, says="tokens of the largest captured step")


def _drafting(service: Service, flags: Flags, launched: Launched) -> None:
    """Add speculative decoding."""
    if service.scenario.model.mtp_layers:
        config = {"method": "mtp", "num_speculative_tokens": service.drafted}
        flags.add("--speculative-config", json.dumps(config), says="tokens drafted in each step")
    else:
        launched.no_drafts(service, "--speculative-config")


def write(service: Service, launched: Launched) -> None:
    """Write a script for each pool; where there are two, caches move between them by NIXL."""
    for pool in service.pools:
        flags = Flags()
        flags.add("--host", "0.0.0.0", says="address of the server")  # noqa: S104 - what a server listens on
        flags.add("--port", PORTS[pool.role], says="port of the server")
        own = flags_of(service, pool, launched)
        flags.settings += own.settings
        flags.environment += own.environment
        if pool.role != SERVE:
            moving(flags)
        _write_nodes(service, pool, pool.role, flags, launched)
    if len(service.pools) > 1:
        launched.left(
            "a proxy", "vLLM has none of its own between prefill and decode: `--for dynamo` or `--for llm-d`"
        )


def moving(flags: Flags) -> None:
    """Add how caches move from prefill to decode."""
    flags.add("--kv-transfer-config", json.dumps(NIXL), says="caches move from prefill to decode by NIXL")


def _write_nodes(service: Service, pool: Pool, name: str, flags: Flags, launched: Launched) -> None:
    """Write the script of a pool, the same for each of its nodes."""
    program = f"vllm serve {service.weights}"
    nodes = pool.nodes(pool.devices)
    if pool.role != SERVE:
        flags.export(
            "VLLM_NIXL_SIDE_CHANNEL_HOST", Expansion("${OWN_ADDRESS}"), says="where caches are asked for"
        )
    if nodes == 1:
        asked = {"OWN_ADDRESS": "address of this node"} if pool.role != SERVE else {}
        launched.file(f"{name}.sh", script(program, flags, above=launched.above(pool), asked=asked), flags)
        return
    local = pool.system.devices_per_node // pool.tensor_parallel
    if not local:
        launched.cannot(
            f"{pool.tensor_parallel} devices that share heads over nodes of "
            f"{pool.system.devices_per_node}: data-parallel ranks of vLLM lie within a node "
            f"(--tensor-parallel {pool.system.devices_per_node})"
        )
        local = 1
    flags.add("--data-parallel-size-local", local, says="attention groups of a node")
    flags.add("--data-parallel-address", Expansion("${HEAD_ADDRESS}"), says="the first node")
    flags.add("--data-parallel-rpc-port", RPC_PORT, says="a port free on the first node")
    asked = {"HEAD_ADDRESS": "address of the first node"}
    if pool.role != SERVE:
        asked["OWN_ADDRESS"] = "address of this node"
    above = launched.above(pool, on_nodes(0, 0))
    launched.file(f"{name}.sh", script(program, flags, above=above, asked=asked), flags)
    kept = [each for each in flags.settings if each.name not in {"--host", "--port"}]
    other = Flags(kept, flags.environment)
    start = Expansion(f"$((NODE_RANK * {local}))")
    other.add("--data-parallel-start-rank", start, says="first attention group of the node")
    other.add("--headless", says="no server of its own")
    above = launched.above(pool, on_nodes(1, nodes - 1))
    asked["NODE_RANK"] = "which node this is, from 1"
    launched.file(f"{name}-other-nodes.sh", script(program, other, above=above, asked=asked), other)
